"""How many times a feature shard's bytes are written: 16 commits as parts and one compaction, against rewriting.

    python tests/benchmarks/bench_compaction.py [--videos 320] [--vectors 60] [--dim 1024] [--commits 16]

The baseline writes the whole shard so far at each commit, by the same writer, in the same run. Bytes are those that
this process gave to the kernel (`wchar` of /proc/self/io), so manifest, history and failures count too.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from csmv.pipeline.compaction import compact, write_rows
from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.feature_arrays import Row, as_table
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.manifest import table_file
from csmv.pipeline.parts import add_part, part_names
from csmv.pipeline.schemas import VIDEOS, features_spec
from csmv.pipeline.store import Store

CONFIG = FeatureConfig(extractor="mfcc")
MOST = 2.2
"""Times that parts and one compaction may write a shard's bytes; more is an error."""


def make_store(folder: Path, videos: list[str]) -> Store:
    config = {"name": "compaction", "n_shards": 1, "source": {"kind": "folder", "path": "nowhere"}}
    store = Store.create(str(folder), DatasetConfig.model_validate(config))
    rows = {
        "video_id": videos,
        "url": [f"https://www.tiktok.com/@/video/{video}" for video in videos],
        "hashtags": [[] for _ in videos],
        "media_status": ["deleted"] * len(videos),
        "media_sha256": [f"{number:064x}" for number in range(len(videos))],
    }
    store.write("videos", 0, pa.table({name: rows.get(name, [None] * len(videos)) for name in VIDEOS.schema.names}))
    return store


def commits(videos: list[str], vectors: int, dim: int, count: int) -> Iterator[list[Row]]:
    """The rows of each commit, of videos as they come: not in the order of the shard."""
    random = np.random.default_rng(0)
    order = random.permutation(len(videos))
    for chosen in np.array_split(order, count):
        yield [
            Row(videos[k], random.standard_normal((vectors, dim), dtype=np.float32), f"{k:064x}")
            for k in sorted(chosen)
        ]


def written(work: Callable[[], None]) -> tuple[int, float]:
    """Bytes that this process wrote meanwhile, and CPU seconds."""

    def so_far() -> int:
        lines = Path("/proc/self/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("wchar:"))

    before, busy = so_far(), time.process_time()
    work()
    return so_far() - before, time.process_time() - busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=320)
    parser.add_argument("--vectors", type=int, default=60)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--commits", type=int, default=16)
    asked = parser.parse_args()
    os.environ["CSMV_PSEUDONYM_KEY"] = "6b" * 32  # part of what a shard says of itself
    videos = [f"7{number:018d}" for number in range(asked.videos)]
    metadata = {"extractor": CONFIG.extractor, "weights": "none", "dtype": "float32", "storage": "float32"}
    schema = features_spec(asked.dim, "float32", metadata).schema

    def rows() -> Iterator[list[Row]]:
        return commits(videos, asked.vectors, asked.dim, asked.commits)

    def rewrite(store: Store) -> None:
        so_far: list[Row] = []
        for commit in rows():
            so_far = sorted([*so_far, *commit])
            write_rows(store, CONFIG.table, 0, iter(so_far), schema)

    def parts(store: Store) -> None:
        for commit in rows():
            add_part(store, CONFIG.table, 0, as_table(commit, schema))
        compact(store, 0, CONFIG)

    times: dict[str, float] = {}
    shards: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory(prefix="csmv-bench-") as folder:
        for name, work in {"the whole shard at each commit": rewrite, "parts and one compaction": parts}.items():
            store = make_store(Path(folder) / name.replace(" ", "-"), videos)
            amount, cpu = written(lambda work=work, store=store: work(store))  # type: ignore[misc]
            shards[name] = store.read_file(table_file(CONFIG.table, 0))
            times[name] = amount / len(shards[name])
            size = len(shards[name]) / 1e6
            print(
                f"{name:32} {amount / 1e6:8.1f} MB, {times[name]:5.2f} times the shard's {size:.1f} MB, {cpu:.1f} CPU s"
            )
            assert not part_names(store, CONFIG.table, 0)
    one, other = shards.values()
    assert one == other, "both ways end in the same bytes"
    before, now = times.values()
    print(
        f"{date.today()}, load {os.getloadavg()[0]:.1f}; {asked.commits} commits: {before / now:.2f} times fewer bytes"
    )
    if now > MOST:
        sys.exit(f"parts and one compaction wrote the shard {now:.2f} times; at most {MOST} was expected")


if __name__ == "__main__":
    main()
