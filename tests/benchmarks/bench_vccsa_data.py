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

import numpy as np
import psutil
import pyarrow as pa
import torch

from pipeline.config import DatasetConfig
from pipeline.schemas import features_spec
from pipeline.store import Store
from pipeline.vccsa.batches import Batches
from pipeline.vccsa.config import TrainConfig
from pipeline.vccsa.data import load_corpus
from pipeline.vccsa.text import HashTokenizer

FRAMES = 180


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
    for shard, names in by_shard.items():
        values = random.standard_normal((len(names) * FRAMES, dim), dtype=np.float32)
        for k, name in enumerate(names):
            if written < npy:
                np.save(folder / "npy" / f"{name}.npy", values[k * FRAMES : (k + 1) * FRAMES])
                written += 1
        vectors = pa.FixedSizeListArray.from_arrays(
            pa.array(values.reshape(-1)), type=spec.schema.field(1).type.value_type
        )
        lists = pa.ListArray.from_arrays(pa.array(range(0, len(values) + 1, FRAMES), pa.int32()), vectors)
        store.write("features/size", shard, pa.table([pa.array(names), lists], schema=spec.schema), spec)
        rows = [(f"{name}-{c:02d}", name) for name in names for c in range(comments)]
        text = {"text": "so good", "pii": [], "like_count": 0, "reply_to": None, "created_on": None}
        store.write(
            "comments", shard, pa.Table.from_pylist([{"comment_id": c, "video_id": v, **text} for c, v in rows])
        )
        label = {"opinion": "positive", "emotion": "joy", "source": "published"}
        store.write("labels", shard, pa.Table.from_pylist([{"comment_id": c, **label} for c, _ in rows]))
        parts = ("train",) * 7 + ("dev", "test", "test")
        split += [{"comment_id": c, "video_id": v, "split": parts[k % 10]} for k, (c, v) in enumerate(rows)]
    store.write_split("comment", pa.Table.from_pylist(split))
    return store


def batches_of(store: Store, batch_size: int = 16) -> Batches:
    config = TrainConfig(features=("size",), batch_size=batch_size)
    corpus = load_corpus(store, config)
    return Batches(corpus, config, HashTokenizer(64).encode(corpus.texts, 16), 0)


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


def rates(batches: Batches, folder: Path, dim: int, samples: int) -> dict[str, float]:
    """Samples a second: as views, joined to padded batches, and from one file a sample."""
    there = sorted(path.stem for path in (folder / "npy").glob("*.npy"))
    random = np.random.default_rng(1)
    names = [str(name) for name in random.choice(there, samples)]
    place = {video: k for k, video in enumerate(batches.videos)}
    first = {video: int(np.flatnonzero(batches.video == k)[0]) for video, k in place.items() if video in set(there)}
    rows = np.array([first[name] for name in names])
    features = batches.corpus.features[0]

    def seconds(work: object) -> float:
        start = time.perf_counter()
        for _ in work:  # type: ignore[attr-defined]
            pass
        return time.perf_counter() - start

    seconds(one_npy_a_sample(folder, names[:64], dim))  # warm
    slow = seconds(one_npy_a_sample(folder, names, dim))
    joined = seconds(batches.join(rows[k : k + 16], True) for k in range(0, samples, 16))
    views = seconds((features.of(batches.corpus.video_ids[row]), batches.ids[row]) for row in rows)
    return {"one npy a sample": samples / slow, "joined batches": samples / joined, "views": samples / views}


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
    for name, rate in rates(batches, folder, asked.dim, asked.samples).items():
        print(f"{name:20s} {rate:12.0f} samples/s")
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
