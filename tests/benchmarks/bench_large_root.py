"""Seconds and peak memory of split, report, status, audit and evaluate on a root of a million comments.

OMP_NUM_THREADS=1 python tests/benchmarks/bench_large_root.py [--comments 1000000] [--videos 80000] [--folder DIR]

The root is made here, without media: 64 shards, a feature set of 10 vectors of 64 numbers a video, and the predictions
of a run that never was. Each command is a process of its own; memory is its VmHWM.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa

from csmv.pipeline.config import DatasetConfig, create_root
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.labels import CLASSES, TASKS
from csmv.pipeline.schemas import COMMENTS, LABELS, SPLIT_NAMES, VIDEOS, features_spec
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.store import Store, parquet_bytes
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.training import RunResult

VECTORS, DIM = 10, 64
RUN = "never-was"
WORDS = [
    "this",
    "is",
    "so",
    "good",
    "i",
    "can",
    "not",
    "stop",
    "looking",
    "at",
    "it",
    "why",
    "would",
    "anyone",
    "do",
    "that",
    "haha",
    "love",
    "the",
    "song",
]

MEASURED = """
import os, re, sys, time
begun, cpu = time.monotonic(), time.process_time()
from csmv.flows.cli import main
sys.argv = ["csmv", *sys.argv[1:]]
code = 0
try:
    main()
except SystemExit as end:
    code = end.code or 0
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print(f"MEASURED {time.monotonic() - begun:.1f} {time.process_time() - cpu:.1f} {int(peak) // 1024} {code}")
"""


def make_root(folder: Path, comments: int, videos: int, shards: int = 64) -> Store:
    config = DatasetConfig.model_validate(
        {
            "name": "large",
            "n_shards": shards,
            "source": {"kind": "web", "hashtags": ["nba"]},
            "features": [FeatureConfig(extractor="mfcc").model_dump()],
            "splits": [SplitConfig(kind="video").model_dump()],
        }
    )
    store = create_root(str(folder / "root"), config)
    random = np.random.default_rng(0)
    ids = [f"7{video:018d}" for video in range(videos)]
    shard_of = np.array([store.shard_of(video) for video in ids])
    owner = random.integers(0, videos, comments)
    words = np.array(WORDS)
    spec = features_spec(DIM, "float32", {"extractor": "mfcc", "weights": "none", "dtype": "float32"})
    for shard in store.shards():
        here = np.flatnonzero(shard_of == shard)
        rows = {
            "video_id": [ids[video] for video in here],
            "url": [f"https://www.tiktok.com/@/video/{ids[video]}" for video in here],
            "hashtags": [["nba"]] * len(here),
            "duration_s": random.uniform(5, 60, len(here)),
            "width": [576] * len(here),
            "height": [1024] * len(here),
            "fps": [30.0] * len(here),
            "has_audio": [True] * len(here),
            "media_status": ["deleted"] * len(here),
            "media_sha256": [f"{video:064x}" for video in here],
        }
        store.write("videos", shard, _table(rows, VIDEOS.schema))
        mine = np.flatnonzero(shard_of[owner] == shard)
        names = [f"{comment:032x}" for comment in mine]
        texts = [" ".join(row) for row in words[random.integers(0, len(words), (len(mine), 12))]]
        store.write(
            "comments",
            shard,
            _table(
                {
                    "comment_id": names,
                    "video_id": [ids[owner[comment]] for comment in mine],
                    "text": texts,
                    "pii": [["USERNAME"] if comment % 9 == 0 else [] for comment in mine],
                    "kind": ["text"] * len(mine),
                },
                COMMENTS.schema,
            ),
        )
        labels = {task: np.array(kinds)[random.integers(0, len(kinds), len(mine))] for task, kinds in TASKS.items()}
        store.write(
            "labels",
            shard,
            _table({"comment_id": names, "source": ["published"] * len(mine), **labels}, LABELS.schema),
        )
        vectors = pa.FixedSizeListArray.from_arrays(
            pa.array(random.standard_normal(len(here) * VECTORS * DIM, dtype=np.float32)),
            type=spec.schema.field("features").type.value_type,
        )
        offsets = pa.array(np.arange(0, (len(here) + 1) * VECTORS, VECTORS, dtype=np.int32))
        lists = pa.ListArray.from_arrays(offsets, vectors, type=spec.schema.field("features").type)
        columns = {"video_id": rows["video_id"], "features": lists, "media_sha256": rows["media_sha256"]}
        store.write("features/mfcc", shard, pa.table(columns, schema=spec.schema), spec)
    _never_was(store, random, comments, [ids[video] for video in owner])
    return store


def _table(rows: dict[str, object], schema: pa.Schema) -> pa.Table:
    length = len(next(iter(rows.values())))  # type: ignore[arg-type]
    columns = [
        pa.array(rows[field.name], field.type) if field.name in rows else pa.nulls(length, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _never_was(store: Store, random: np.random.Generator, comments: int, videos: Sequence[str]) -> None:
    """A finished run: predictions of three comments in ten, and what a run says of itself."""
    chosen = np.arange(0, comments * 3 // 10)
    columns: dict[str, object] = {
        "comment_id": [f"{comment:032x}" for comment in chosen],
        "video_id": [videos[comment] for comment in chosen],
        "split": np.array(SPLIT_NAMES)[1 + (chosen % 3 > 0)],
        "video_in_train": chosen % 2 == 0,
    }
    for task, names in TASKS.items():
        values = random.dirichlet(np.ones(len(names)), len(chosen)).astype(np.float32)
        columns[task] = np.array(names)[random.integers(0, len(names), len(chosen))]
        columns[f"predicted_{task}"] = np.array(names)[values.argmax(1)]
        columns[f"{task}_probabilities"] = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), len(names))
    predictions = f"models/{RUN}/predictions.parquet"
    store.write_file(predictions, parquet_bytes(pa.table(columns, metadata=dict(CLASSES))))
    config = TrainConfig(model="text", split="video")
    result = RunResult(RUN, "text", {"dev": {}, "test": {}}, {}, [], 1.0, 1, predictions, "0" * 64)
    document = {"config": config.model_dump(mode="json"), "result": asdict(result), "split": "video"}
    store.write_file(f"models/{RUN}/run.json", json.dumps(document).encode())


def measured(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", MEASURED, *arguments], capture_output=True, text=True)
    numbers = re.search(r"MEASURED (\S+) (\S+) (\d+) (\d+)", done.stdout)
    if numbers is None:
        return done.stderr[-300:]
    return f"{numbers[1]:>9}{numbers[2]:>9}{int(numbers[3]):>9,}" + (f"  exit code {numbers[4]}" * (numbers[4] != "0"))


def main(comments: int, videos: int, folder: Path) -> None:
    begun = time.monotonic()
    if not (folder / "root").exists():
        make_root(folder, comments, videos)
    root = str(folder / "root")
    print(f"{comments:,} comments, {videos:,} videos, made in {time.monotonic() - begun:.0f} s")
    print(f"{'':>18}{'s':>9}{'CPU s':>9}{'MiB':>9}")
    for title, arguments in {
        "split by video": ("split", "--root", root, "--kind", "video"),
        "split by comment": ("split", "--root", root, "--kind", "comment"),
        "status": ("status", root),
        "report": ("report", "--root", root),
        "audit": ("audit", root),
        "evaluate": ("evaluate", RUN, "--root", root, "--no-figures"),
    }.items():
        print(f"{title:>18}{measured(*arguments)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comments", type=int, default=1_000_000)
    parser.add_argument("--videos", type=int, default=80_000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.folder is not None:
        given.folder.mkdir(parents=True, exist_ok=True)
        main(given.comments, given.videos, given.folder)
    else:
        with tempfile.TemporaryDirectory() as passing:
            main(given.comments, given.videos, Path(passing))
