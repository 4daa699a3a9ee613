"""A small dataset root whose labels depend on the words and on the video together."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tiny_models import text_encoder

from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.schemas import COMMENTS, EMOTIONS, LABELS, OPINIONS, features_spec
from csmv.pipeline.store import Store

sys.path.insert(0, str(Path(__file__).parent))  # for the modules that several of these tests share

PRAISE = ["love this", "so good", "amazing work", "best one yet", "my favourite"]
SCORN = ["this is bad", "so boring", "worst one", "hate it", "please stop"]
OPEN = ["here we go again", "look at that", "what a moment", "who saw this coming", "only here"]
FILLER = ["today", "again", "friend", "lol", "video", "guys", "right", "honestly", "tonight", "wow"]


def make_root(
    folder: Path,
    videos: int = 30,
    comments: int = 16,
    dim: int = 32,
    seed: int = 0,
    frames: tuple[int, int] = (3, 12),
    n_shards: int = 4,
) -> Store:
    """Videos have one of three moods, in their features; an open phrase means what the mood makes it mean."""
    random = np.random.default_rng(seed)
    config = DatasetConfig.model_validate(
        {"name": "synthetic", "n_shards": n_shards, "source": {"kind": "folder", "path": "nowhere"}}
    )
    store = Store.create(str(folder), config)
    moods = random.normal(size=(3, dim))
    tables: dict[int, dict[str, list]] = {k: {"comments": [], "labels": [], "features": []} for k in store.shards()}
    split = []
    opinions, emotions = list(OPINIONS), list(EMOTIONS)
    for v in range(videos):
        video = f"7{v:018d}"
        mood = v % 3
        rows = tables[store.shard_of(video)]
        length = int(random.integers(*frames))
        signal = 20 + 0.4 * moods[mood] + 0.2 * random.normal(size=(length, dim))
        rows["features"].append({"video_id": video, "features": signal.astype(np.float32)})
        for c in range(comments):
            kind = int(random.integers(4))
            phrase = str(random.choice((PRAISE, SCORN, OPEN, OPEN)[kind]))
            text = " ".join([*random.choice(FILLER, int(random.integers(0, 4))), phrase])
            opinion = (0, 2, mood, mood)[kind]
            emotion = (0 if mood == 0 else 4, 1 if mood == 1 else 6, (2, 3, 7)[mood], (2, 3, 7)[mood])[kind]
            comment = f"c{v:03d}x{c:03d}"
            rows["comments"].append(
                {
                    "comment_id": comment,
                    "video_id": video,
                    "text": text,
                    "pii": [],
                    "like_count": 0,
                    "reply_to": None,
                    "created_on": None,
                }
            )
            label = {"opinion": opinions[opinion], "emotion": emotions[emotion], "source": "published"}
            rows["labels"].append({"comment_id": comment, **label})
            part = ("train", "train", "train", "train", "train", "train", "train", "dev", "test", "test")
            split.append({"comment_id": comment, "video_id": video, "split": part[(v + c) % 10]})
    for shard, rows in tables.items():
        for table, spec in (("comments", COMMENTS), ("labels", LABELS)):
            store.write(table, shard, pa.Table.from_pylist(rows[table], schema=spec.schema))
        if rows["features"]:
            _write_features(store, "synthetic", shard, {row["video_id"]: row["features"] for row in rows["features"]})
    store.write_split("comment", pa.Table.from_pylist(split))
    return store


def _write_features(store: Store, name: str, shard: int, videos: dict[str, np.ndarray]) -> None:
    dims = {vectors.shape[1] for vectors in videos.values()}
    spec = features_spec(dims.pop())
    vectors = [one.tolist() for one in videos.values()]
    rows = {"video_id": list(videos), "features": vectors, "media_sha256": [None] * len(videos)}
    store.write(f"features/{name}", shard, pa.table(rows, schema=spec.schema), spec)


@pytest.fixture(scope="session")
def root_maker() -> Callable[..., Store]:
    """Makes a root in a folder, for a module of tests that has one of its own."""
    return make_root


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A root to read from; runs may be trained in it under names of their own."""
    return make_root(tmp_path_factory.mktemp("root") / "data")


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of toy size in Hugging Face's layout, with a tokenizer of its own."""
    return text_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def new_root(tmp_path: Path) -> Callable[..., Store]:
    """Makes a root of one's own to change."""
    return lambda **sizes: make_root(tmp_path / "data", **sizes)


@pytest.fixture
def write_features() -> Callable[[Store, str, int, dict[str, np.ndarray]], None]:
    """Writes a shard of a feature set: video_id -> vectors (T, D)."""
    return _write_features
