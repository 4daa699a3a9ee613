"""A small root to look around in: videos with hashtags, comments that try to be markup, failures, and two runs."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from csmv.pipeline.config import DatasetConfig, FolderSource
from csmv.pipeline.failures import Failure, record_failures
from csmv.pipeline.labels import CLASSES, TASKS
from csmv.pipeline.schemas import COMMENTS, LABELS, SPLIT_NAMES, VIDEOS, FailureReason, features_spec
from csmv.pipeline.sources.browser import find_chromium
from csmv.pipeline.store import Store, parquet_bytes
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.training import RunResult

HOSTILE = [
    "</script><script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>",
    "\u202egnp.exe #!$ 'quoted\" \\u0000",
    "love this <USERNAME> so much 😍",
]
WORDS = [
    "so",
    "good",
    "worst",
    "one",
    "yet",
    "why",
    "here",
    "again",
    "love",
    "this",
    "never",
    "seen",
    "it",
    "Füße",
    "日本",
]


def build_browsed_root(folder: Path, videos: int = 12, comments: int = 10) -> Store:
    """`videos` videos with `comments` comments each, of which the last of a video has no label; see the module."""
    store = Store.create(str(folder), DatasetConfig(name="sea-side", n_shards=2, source=FolderSource(path=str(folder))))
    random = np.random.default_rng(0)
    rows: dict[int, dict[str, list[dict[str, object]]]] = {
        shard: {"videos": [], "comments": [], "labels": [], "features": []} for shard in store.shards()
    }
    split = []
    for v in range(videos):
        video = f"7{v:018d}"
        here = rows[store.shard_of(video)]
        gone = v == videos - 1
        here["videos"].append(
            {
                "video_id": video,
                "hashtags": [["sea"], ["sea", "wave"], ["tide"], []][v % 4],
                "description": f"video {v} <i>of</i> the sea",
                "duration_s": None if gone else 4.0 + v,
                "media_status": "failed" if gone else "ok",
                "creator": f"creator-{v}",
            }
        )
        if gone:
            record_failures(store, "media", store.shard_of(video), [Failure(video, FailureReason.TRUNCATED)])
        for c in range(comments):
            comment = f"c{v:03d}x{c:03d}"
            text = (
                HOSTILE[v]
                if c == 0 and v < len(HOSTILE)
                else " ".join(random.choice(WORDS, int(random.integers(3, 12))))
            )
            here["comments"].append(
                {
                    "comment_id": comment,
                    "video_id": video,
                    "text": text,
                    "pii": [],
                    "like_count": c if c % 2 else None,
                    "author": f"author-{c}",
                }
            )
            if c < comments - 1:
                chosen = {task: names[int(random.integers(len(names)))] for task, names in TASKS.items()}
                here["labels"].append({"comment_id": comment, "source": "published", **chosen})
                split.append({"comment_id": comment, "video_id": video, "split": SPLIT_NAMES[max(0, v % 5 - 2)]})
        here["features"].append(
            {"video_id": video, "features": random.normal(size=(v + 3, 8)).astype(np.float32).tolist()}
        )
    footer = {"extractor": "mfcc", "clip_rule": "24 fps, 16 frames, step 16, at most 180", "granularity": "clip"}
    spec = features_spec(8, metadata=footer)
    for shard, tables in rows.items():
        for name, of in (("videos", VIDEOS), ("comments", COMMENTS), ("labels", LABELS)):
            store.write(name, shard, pa.Table.from_pylist(tables[name], schema=of.schema))
        vectors = [row | {"media_sha256": None} for row in tables["features"]]
        store.write("features/made", shard, pa.Table.from_pylist(vectors, schema=spec.schema), spec)
    store.write_split("video", pa.Table.from_pylist(split))
    for run, model, right in (("words-only", "text", 0.5), ("both", "vccsa", 0.8)):
        _write_run(store, run, model, right)
    return store


def _write_run(store: Store, run: str, model: str, right: float) -> None:
    """A finished run without weights, whose answers are right that often."""
    random = np.random.default_rng(len(run))
    labels = {row["comment_id"]: row for row in store.read_all("labels").to_pylist()}
    rows = [row for row in store.read_split("video").to_pylist() if row["split"] != "train"]
    columns: dict[str, object] = {name: [row[name] for row in rows] for name in ("comment_id", "video_id", "split")}
    columns["video_in_train"] = [False] * len(rows)
    for task, names in TASKS.items():
        truth = np.array([names.index(labels[row["comment_id"]][task]) for row in rows])
        answer = np.where(random.random(len(rows)) < right, truth, random.integers(0, len(names), len(rows)))
        values = np.full((len(rows), len(names)), 0.4 / (len(names) - 1), np.float32)
        values[np.arange(len(rows)), answer] = 0.6
        columns[task] = np.array(names)[truth]
        columns[f"predicted_{task}"] = np.array(names)[answer]
        columns[f"{task}_probabilities"] = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), len(names))
    predictions = f"models/{run}/predictions.parquet"
    store.write_file(predictions, parquet_bytes(pa.table(columns, metadata=dict(CLASSES))))
    looks = {"features": ("made",)} if model == "vccsa" else {}
    config = TrainConfig(model=model, split="video", **looks)  # type: ignore[arg-type]
    scores = {part: {task: {"micro_f1": right} for task in TASKS} for part in ("dev", "test")}
    result = RunResult(run, model, scores, {}, [], 1.0, 1, predictions, None)  # type: ignore[arg-type]
    document = {"config": config.model_dump(mode="json"), "result": asdict(result), "split": "video"}
    store.write_file(f"models/{run}/run.json", json.dumps(document).encode())


@pytest.fixture(scope="session")
def browsed_root_maker() -> Callable[..., Store]:
    """Makes a root to look around in, in a folder."""
    return build_browsed_root


@pytest.fixture(scope="session")
def browsed_root(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A root to look around in, for reading only."""
    return build_browsed_root(tmp_path_factory.mktemp("browsed") / "root")


@pytest.fixture(scope="session")
def chromium() -> Path:
    """A real browser; the tests that need one are skipped where there is none."""
    path = find_chromium()
    if path is None:
        pytest.skip("Chromium is not installed: `make set-up` or `apt-get install chromium`")
    return path
