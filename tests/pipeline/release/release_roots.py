"""A small root that may be released, made from a folder by the stages themselves; its features are drawn numbers."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np

from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.feature_arrays import Row, as_table
from csmv.pipeline.labels import EMOTIONS, OPINIONS
from csmv.pipeline.release.make_release import Made, make_release
from csmv.pipeline.release.release_config import ReleaseConfig
from csmv.pipeline.schemas import features_spec
from csmv.pipeline.store import Store

VIDEOS = 6
COMMENTS_EACH = 5
DIM = 4
MADE_BY = {
    "extractor": "i3d",
    "weights": "default",
    "weights_sha256": "ab" * 32,
    "clip_rule": "24 fps, 16 frames, step 16, at most 180",
    "dtype": "float32",
    "granularity": "clip",
    "storage": "float32",
}


def write_folder(folder: Path, videos: int = VIDEOS) -> None:
    """The lists of a folder source: no films, comments with labels, a description a video."""
    folder.mkdir(parents=True)
    words = ("so good", "why though", "=SUM(A1) they said", "who saw this coming", "I cried")
    about = [
        {"video": f"7{k}00", "description": f"clip {k}", "hashtags": ["nba" if k % 2 else "cats"]}
        for k in range(videos)
    ]
    rows = [
        {
            "id": f"{k}-{n}",
            "video": f"7{k}00",
            "text": f"{words[n]} {k}",
            "language": "en",
            "created_on": "2026-01-02",
            "author": f"viewer.number{n}",
            "opinion": list(OPINIONS)[(k + n) % 3],
            "emotion": list(EMOTIONS)[(k + n) % 8],
        }
        for k in range(videos)
        for n in range(COMMENTS_EACH)
    ]
    for name, lines in (("videos.jsonl", about), ("comments.jsonl", rows)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_features(store: Store, name: str = "i3d", **said: str) -> None:
    """A feature set of drawn numbers: k + 1 vectors for the k-th video."""
    spec = features_spec(DIM, metadata=MADE_BY | said)
    draw = np.random.default_rng(7)
    videos = sorted(store.read_all("videos")["video_id"].to_pylist())
    vectors = {video: draw.standard_normal((k + 1, DIM), np.float32) for k, video in enumerate(videos)}
    for shard in store.shards():
        rows = [Row(video, vectors[video], None) for video in videos if store.shard_of(video) == shard]
        table = as_table(rows, spec.schema) if rows else spec.schema.empty_table()
        store.write(f"features/{name}", shard, table, spec)


def build_root(
    place: Path, splits: Sequence[str] = ("video", "comment"), name: str = "small", videos: int = VIDEOS
) -> str:
    """A root below `place`, with tables, splits and features."""
    write_folder(place / "folder", videos)
    config = DatasetConfig.model_validate(
        {
            "name": name,
            "n_shards": 2,
            "source": {"kind": "folder", "path": str(place / "folder")},
            "splits": [{"kind": kind} for kind in splits],
        }
    )
    dataset = Dataset.create(str(place / "root"), config)
    for stage in ("collect", "tables", "media"):
        dataset.run(stage)
    write_features(dataset.store)
    dataset.run("splits")
    return str(place / "root")


LICENSED = ReleaseConfig(license="CC-BY-4.0", title="A small set", day=date(2026, 2, 3))


def release(root: str, config: ReleaseConfig = LICENSED, out: Path | None = None) -> Made:
    """Release a root, into `out` or into itself."""
    return make_release(Dataset.open(root), config, str(out) if out else None)
