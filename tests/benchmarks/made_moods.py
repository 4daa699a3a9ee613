"""A dataset where the video is known to matter, of any size: a root with comments, labels and features, without films.

Comments are those of the demo's sample: about half say what they feel, the others ("no words") mean what the mood of
their video makes them mean; and some labels are another annotator's slip. A video's features are made directly. Its
mood shows in one scene only, of a third to two thirds of its windows: by a weak direction in feature space, which two
moods nearly share, and by a rhythm, quick or slow. The rest belongs to its creator's usual surroundings, and a few
windows flash the direction of another mood, twice as strong. So nobody learns the mood from one window, and the mean
over all of them is blurred. All values are positive with a large common part, as features after a ReLU and a pooling
are, so that a network has to standardise them.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.demo.sample import MOODS
from csmv.pipeline.demo.sample.words import write_comments
from csmv.pipeline.schemas import COMMENTS, EMOTIONS, LABELS, OPINIONS, features_spec
from csmv.pipeline.scrub.policy import ScrubPolicy
from csmv.pipeline.scrub.scrubber import Scrubber
from csmv.pipeline.store import Store

FEATURES = "made"
DIM = 64
SIGNAL = 0.2
"""Size of a mood's direction in each dimension; what varies from window to window by chance has 0.9."""
SLIPS = 0.08
"""Share of comments whose label is drawn anew from all labels."""
RHYTHM = {"party": 2.0, "calm": 12.0, "gloom": 9.0, "menace": 2.6}
"""Windows from one pulse of a mood to the next."""


@dataclass(frozen=True)
class Size:
    """How much is made: videos, comments under each, and the fewest and most windows of a video."""

    videos: int = 2_000
    comments: int = 10
    windows: tuple[int, int] = (8, 32)
    n_shards: int = 8


@dataclass(frozen=True)
class _World:
    """Directions in feature space, each (DIM,): of moods, and of the surroundings of creators."""

    moods: dict[str, NDArray[np.float64]]
    creators: NDArray[np.float64]

    def windows(self, mood: str, creator: int, length: int, draw: np.random.Generator) -> NDArray[np.float32]:
        """A video's features, (length, DIM)."""
        time = np.arange(length)
        level = 5.0 + self.creators[creator] + draw.normal(scale=0.9, size=(length, DIM))
        scene = int(length * draw.uniform(1 / 3, 2 / 3))
        start = int(draw.integers(length - scene + 1))
        pulse = 0.5 + 0.5 * np.cos(2 * np.pi * (time / RHYTHM[mood] + draw.uniform()))
        inside = (time >= start) & (time < start + scene)
        level += np.outer(inside * (0.4 + pulse), self.moods[mood])
        for at in np.flatnonzero(~inside & (draw.uniform(size=length) < 0.15)):
            level[at] += 2 * self.moods[str(draw.choice([name for name in MOODS if name != mood]))]
        return np.maximum(level, 0).astype(np.float32)


def make_root(folder: Path, size: Size = Size(), seed: int = 0) -> Store:
    """Write the root: tables `comments` and `labels`, and the feature set `made`.

    The same seed and size give the same bytes on one kind of processor.
    """
    config = {"name": "made-moods", "n_shards": size.n_shards, "source": {"kind": "folder", "path": "nowhere"}}
    store = Store.create(str(folder), DatasetConfig.model_validate(config))
    draw, chance = np.random.default_rng(seed), random.Random(seed)
    creators = max(size.videos // 4, 1)
    moods = _mood_directions(draw)
    world = _World(moods, draw.normal(scale=0.5, size=(creators, DIM)))
    scrubber = Scrubber(ScrubPolicy())
    shards: dict[int, dict[str, list[dict[str, object]]]] = {
        shard: {"comments": [], "labels": [], "features": []} for shard in store.shards()
    }
    for number in range(size.videos):
        video, mood = f"7{number:018d}", chance.choice(MOODS)
        rows = shards[store.shard_of(video)]
        length = int(draw.integers(size.windows[0], size.windows[1] + 1))
        vectors = world.windows(mood, number % creators, length, draw)
        rows["features"].append({"video_id": video, "features": vectors.tolist(), "media_sha256": None})
        written, _ = write_comments(mood, size.comments, f"creator{number % creators}", chance)
        texts = scrubber.scrub([comment.text for comment in written])
        for place, (comment, scrubbed) in enumerate(zip(written, texts, strict=True)):
            assert comment.label is not None
            ids = {"comment_id": f"c{number:06d}x{place:03d}", "video_id": video}
            row = {"text": scrubbed.text, "pii": [], "like_count": 0, "reply_to": None, "created_on": None}
            rows["comments"].append(ids | row)
            slips = chance.random() < SLIPS
            opinion, emotion = (
                (chance.choice(list(OPINIONS)), chance.choice(list(EMOTIONS))) if slips else comment.label
            )
            label = {"opinion": opinion, "emotion": emotion, "source": "published"}
            rows["labels"].append({"comment_id": ids["comment_id"]} | label)
    for shard, rows in shards.items():
        for table, spec in (("comments", COMMENTS), ("labels", LABELS), (f"features/{FEATURES}", features_spec(DIM))):
            store.write(table, shard, pa.Table.from_pylist(rows[table.partition("/")[0]], schema=spec.schema), spec)
    return store


def _mood_directions(draw: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """A direction (DIM,) for each mood: bright or dark, which is shared by two, and a little of its own."""
    bright, dark = draw.normal(scale=SIGNAL, size=(2, DIM))
    own = draw.normal(scale=SIGNAL / 2, size=(len(MOODS), DIM))
    return {mood: (dark if mood in ("gloom", "menace") else bright) + own[at] for at, mood in enumerate(MOODS)}
