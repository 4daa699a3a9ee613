"""The data path of training against one `.npy` a sample: samples a second, and memory over an epoch.

    python tests/benchmarks/bench_vccsa_data.py --videos 8210 --npy 500 --samples 2000 --folder DIR

measures at the size of CSMV (180 x 1024 float32 a video: 6 GB of features, and more for the `.npy` files); without
options a small root in a temporary folder.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pyarrow as pa
import torch

from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.schemas import COMMENTS, LABELS, features_spec
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.batches import Batches
from csmv.pipeline.vccsa.data import load_corpus
from csmv.pipeline.vccsa.text import HashTokenizer
from csmv.pipeline.vccsa.train_config import TrainConfig

FRAMES = 180


class Rate(NamedTuple):
    """Samples a second by the clock, and a second of this process's time on a core."""

    wall: float
    cpu: float


def make_root(folder: Path, videos: int, comments: int, dim: int, npy: int) -> Store:
    """A root of full-length videos, and `npy` of them as one file each."""
    config = {"name": "size", "n_shards": 64, "source": {"kind": "folder", "path": "nowhere"}}
    store = Store.create(str(folder / "root"), DatasetConfig.model_validate(config))
    (folder / "npy").mkdir(parents=True, exist_ok=True)
    spec = features_spec(dim)
    by_shard: dict[int, list[str]] = {}
    for v in range(videos):
        by_shard.setdefault(store.shard_of(f"v{v:05d}"), []).append(f"v{v:05d}")
    random, split, written = np.random.default_rng(0), [], 0
    for shard in store.shards():
        names = by_shard.get(shard, [])
        values = random.standard_normal((len(names) * FRAMES, dim), dtype=np.float32)
        for k, name in enumerate(names):
            if written < npy:
                np.save(folder / "npy" / f"{name}.npy", values[k * FRAMES : (k + 1) * FRAMES])
                written += 1
        vectors = pa.FixedSizeListArray.from_arrays(
            pa.array(values.reshape(-1)), type=spec.schema.field(1).type.value_type
        )
        lists = pa.ListArray.from_arrays(pa.array(range(0, len(values) + 1, FRAMES), pa.int32()), vectors)
        store.write(
            "features/size",
            shard,
            pa.table([pa.array(names), lists, pa.nulls(len(names), pa.string())], schema=spec.schema),
            spec,
        )
        rows = [(f"{name}-{c:02d}", name) for name in names for c in range(comments)]
        text = {"text": "so good", "pii": [], "like_count": 0, "reply_to": None, "created_on": None}
        comments_of = [{"comment_id": c, "video_id": v, **text} for c, v in rows]
        store.write("comments", shard, pa.Table.from_pylist(comments_of, schema=COMMENTS.schema))
        label = {"opinion": "positive", "emotion": "joy", "source": "published"}
        store.write("labels", shard, pa.Table.from_pylist([{"comment_id": c, **label} for c, _ in rows], LABELS.schema))
        parts = ("train",) * 7 + ("dev", "test", "test")
        split += [{"comment_id": c, "video_id": v, "split": parts[k % 10]} for k, (c, v) in enumerate(rows)]
    store.write_split("comment", pa.Table.from_pylist(split))
    return store


def batches_of(store: Store, batch_size: int = 16) -> Batches:
    config = TrainConfig(features=("size",), batch_size=batch_size)
    corpus = load_corpus(store, config)
    return Batches(corpus, config, HashTokenizer(64).encode(corpus.texts, 16), 0)


def side_by_side(batches: Batches, comments: int) -> Batches:
    """The same corpus with as many comments of a video together."""
    config = batches.config.replace({"comments_per_video": comments})
    return Batches(batches.corpus, config, batches.ids, batches.pad_id)


def one_npy_a_sample(folder: Path, names: list[str], dim: int, batch_size: int = 16) -> Iterator[torch.Tensor]:
    """As the released loader: a file read and padded for each comment, then stacked."""
    for start in range(0, len(names), batch_size):
        items = []
        for name in names[start : start + batch_size]:
            frames = np.load(folder / "npy" / f"{name}.npy", allow_pickle=True)[:FRAMES]
            padded = np.zeros((FRAMES, dim), dtype=np.float32)
            padded[: len(frames)] = frames
            items.append(torch.from_numpy(padded))
        yield torch.stack(items)


def rates(batches: Batches, folder: Path, dim: int, samples: int, size: int = 16) -> dict[str, Rate]:
    """Samples a second on a train epoch's first comments whose video is also a `.npy` file.

    All but the views end in the same thing, padded tensors of a batch; views are what a batch is made of.
    """
    there = {path.stem for path in (folder / "npy").glob("*.npy")}
    features, ids = batches.corpus.features[0], batches.corpus.video_ids

    def first(epoch: list[np.ndarray]) -> np.ndarray:
        return np.array([row for row in np.concatenate(epoch) if ids[row] in there][:samples])

    def timed(work: Iterator[object]) -> Rate:
        start, busy = time.perf_counter(), time.process_time()
        for _ in work:
            pass
        return Rate(samples / (time.perf_counter() - start), samples / (time.process_time() - busy))

    def joined(of: Batches) -> Rate:
        rows = first(of.of_epoch(0))
        return timed(of.join(rows[k : k + size], True) for k in range(0, len(rows), size))

    rows = first(batches.of_epoch(0))
    for _ in one_npy_a_sample(folder, [ids[row] for row in rows[:64]], dim):
        pass  # warm
    for row in rows:
        features.of(ids[row]).sum()  # each page of the mapped file once, as the files are in the page cache by now
    return {
        "one npy a sample": timed(one_npy_a_sample(folder, [ids[row] for row in rows], dim)),
        "batches": joined(batches),
        "batches, 4 comments a video": joined(side_by_side(batches, 4)),
        "batches, all of a video": joined(side_by_side(batches, 1000)),
        "views": timed((features.of(ids[row]), batches.ids[row]) for row in rows),
    }


def anonymous_bytes() -> int:
    """Memory of this process that is not a mapped file's."""
    memory = psutil.Process().memory_info()
    return int(memory.rss - memory.shared)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--videos", type=int, default=60)
    parser.add_argument("--comments", type=int, default=13)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--npy", type=int, default=60)
    parser.add_argument("--samples", type=int, default=600)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="csmv-bench-") as passing:
        measure(asked, asked.folder or Path(passing))


def measure(asked: argparse.Namespace, folder: Path) -> None:
    os.environ["XDG_CACHE_HOME"] = str(folder)
    store = make_root(folder, asked.videos, asked.comments, asked.dim, asked.npy)
    start = time.perf_counter()
    batches = batches_of(store)
    print(f"{date.today()}, load {os.getloadavg()[0]:.1f}; {asked.videos} videos of {FRAMES} x {asked.dim}")
    print(f"opened in {time.perf_counter() - start:.1f} s, {anonymous_bytes() >> 20} MiB")
    found = rates(batches, folder, asked.dim, asked.samples)
    slow = found["one npy a sample"]
    for name, rate in found.items():
        print(
            f"{name:28s} {rate.wall:11.0f} samples/s ({rate.wall / slow.wall:.1f}), "
            f"{rate.cpu:11.0f} samples/CPU s ({rate.cpu / slow.cpu:.1f})"
        )
    held, start = [], time.perf_counter()
    epoch = batches.of_epoch(0)
    for k, rows in enumerate(epoch):
        batches.join(rows, True)
        if k % max(1, len(epoch) // 8) == 0:
            held.append(anonymous_bytes() >> 20)
    print(f"one epoch, {sum(map(len, epoch))} comments: {time.perf_counter() - start:.0f} s, MiB along the way {held}")
    print(
        f"largest resident size {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB, mapped pages included"
    )


if __name__ == "__main__":
    main()
