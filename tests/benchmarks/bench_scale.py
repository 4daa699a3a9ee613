"""Seconds, CPU seconds and peak memory of every stage on made roots of several sizes, and what follows for larger ones.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_scale.py [--comments 25000 250000 1000000] [--folder DIR]
    OMP_NUM_THREADS=1 python tests/benchmarks/bench_scale.py --workers 1 2 4 [--comments 250000] [--folder DIR]

A root is made as a person would who collected by other means: a folder with a JSONL of comments and labels, one of
videos (12.5 comments each), and a file of one byte a video. Media are left out, and features are random vectors, by the
project's own writer. Each stage is a process of its own, without Prefect; memory is the largest sum of the resident
sizes of that process and all it started, looked at four times a second, and the process's own VmHWM if larger.

From two smaller sizes follow seconds for a beginning and for a comment, which predict the largest; how far that was off
is printed, and what the largest two sizes predict for CSMV and 100 times CSMV. Exit code 1 if a stage took more than 4
GiB, or more than 1.5 times the CPU seconds a comment that it took at the size before, the beginning left out.

With `--workers`, what is done by many processes is measured with so many of them (CSMV_JOBS) on one size instead.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import yaml

from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.labels import TASKS
from csmv.pipeline.root import CONFIG_FILE
from csmv.pipeline.schemas import features_spec
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.train_config import TrainConfig

COMMENTS_A_VIDEO = 12.5
VECTORS, DIM = 16, 128
"""Of a video: 8 KiB. CSMV's own sets have about 60 x 1024."""
MOST_MIB = 4096
LEAST_LINEAR = 1.5
CSMV = (107_267, 8_210)
STAGES = ("collect", "tables", "splits", "train", "report", "status", "verify", "audit")

STEP = """
import json, re, sys
from csmv.pipeline.dataset import Dataset
root, step = sys.argv[1:]
dataset = Dataset.open(root)
if step == "status":
    dataset.status()
elif step == "verify":
    from csmv.pipeline.verify import verify
    assert not verify(dataset.store, media=False).problems
elif step == "audit":
    from csmv.pipeline.privacy.audit import audit
    hits = audit(dataset.store).hits
    assert not hits, hits[:3]
else:
    dataset.run(step)
print("VmHWM", re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


@dataclass(frozen=True)
class Measured:
    """What a stage took."""

    wall_s: float
    cpu_s: float
    mib: int


# ---------------------------------------------------------------------- the made root


def make_folder(folder: Path, comments: int, videos: int) -> None:
    """Lists of a collection that somebody made by other means; four texts in a hundred hold something personal."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    ids = [f"7{video:018d}" for video in range(videos)]
    words = np.array([f"{a}{b}" for a in ("lo", "mi", "so", "ra", "the", "we", "gra") for b in "abdeiknorstuy"])
    with (folder / "videos.jsonl").open("w") as lines:
        for video, name in enumerate(ids):
            (folder / f"{name}.mp4").write_bytes(b"x")
            row = {"video": name, "hashtags": ["nba"], "creator": f"creator_{video}", "description": "so good #nba"}
            lines.write(json.dumps(row) + "\n")
    labels = {task: np.array(names) for task, names in TASKS.items()}
    with (folder / "comments.jsonl").open("w") as lines:
        for start in range(0, comments, 10_000):
            size = min(10_000, comments - start)
            lengths = np.clip(random.lognormal(2.0, 0.7, size), 1, 60).astype(int)
            texts = np.split(words[random.integers(0, len(words), lengths.sum())], np.cumsum(lengths)[:-1])
            owners = random.integers(0, videos, size)
            authors = random.integers(0, max(1, comments * 7 // 10), size)
            opinions, emotions = (random.integers(0, len(names), size) for names in labels.values())
            for at, text in enumerate(texts):
                number = start + at
                personal = (f" @friend.of_{number}", f" mail me at u{number}@example.org", " see t.me/joinus", "")
                row = {
                    "id": f"76{number:017d}",
                    "video": ids[owners[at]],
                    "text": " ".join(text) + personal[min(number % 75, 3)],
                    "author": f"account.{authors[at]}_x",
                    "like_count": int(number % 40),
                    "created_on": "2024-05-31",
                    "opinion": labels["opinion"][opinions[at]],
                    "emotion": labels["emotion"][emotions[at]],
                }
                lines.write(json.dumps(row) + "\n")


def make_root(folder: Path, comments: int, videos: int) -> str:
    """The lists, and a root of them."""
    make_folder(folder / "source", comments, videos)
    return new_root(folder, "root")


def new_root(folder: Path, name: str) -> str:
    """A root of the folder's lists, with nothing but its configuration."""
    sizes = {"visual_dim": 32, "ground_dim": 16, "consensus_dim": 16, "scales": 2, "visual_length": VECTORS}
    train = TrainConfig(features=("mfcc",), epochs=1, batch_size=256).replace(
        {**{f"sizes.{name}": value for name, value in sizes.items()}, "text.tiny_dim": 16, "text.max_tokens": 32}
    )
    root = folder / name
    config = {
        "name": "scale",
        "source": {"kind": "folder", "path": str(folder / "source")},
        "features": [FeatureConfig(extractor="mfcc").model_dump(mode="json")],
        "splits": [SplitConfig(kind=kind).model_dump(mode="json") for kind in ("comment", "video")],
        "train": [train.model_dump(mode="json")],
    }
    from csmv.pipeline.config import DatasetConfig, create_root

    create_root(str(root), DatasetConfig.model_validate(config), yaml.safe_dump(config))
    assert (root / CONFIG_FILE).is_file()
    return str(root)


def write_features(root: str) -> None:
    """Random vectors of every video, as the features stage leaves them; its file is gone by then."""
    store = Store.open(root)
    random = np.random.default_rng(1)
    spec = features_spec(DIM, "float32", {"extractor": "mfcc", "weights": "none", "dtype": "float32"})
    kind = spec.schema.field("features").type
    for shard in store.shards():
        videos = store.read("videos", shard)
        assert videos is not None
        ids = videos["video_id"].to_pylist()
        shas = pa.array([f"{number:064x}" for number in range(len(ids))])
        for name, values in {"media_status": pa.array(["deleted"] * len(ids)), "media_sha256": shas}.items():
            at = videos.column_names.index(name)
            videos = videos.set_column(at, videos.schema.field(at), values)
        store.rewrite("videos", shard, videos)
        numbers = random.standard_normal(len(ids) * VECTORS * DIM, dtype=np.float32)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(numbers), type=kind.value_type)
        offsets = pa.array(np.arange(0, (len(ids) + 1) * VECTORS, VECTORS, dtype=np.int32))
        lists = pa.ListArray.from_arrays(offsets, vectors, type=kind)
        columns = {"video_id": videos["video_id"], "features": lists, "media_sha256": shas}
        store.write("features/mfcc", shard, pa.table(columns, schema=spec.schema), spec)


# ---------------------------------------------------------------------- measuring


def measured(*arguments: str) -> Measured:
    """Run STEP in a process and see what it and its own processes take."""
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", STEP, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    largest = [0]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.25):
            largest[0] = max(largest[0], sum(_resident(psutil.Process(process.pid))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    over.set()
    watcher.join()
    wall = time.monotonic() - begun
    if process.returncode:
        sys.exit(f"{arguments}: exit code {process.returncode}\n{said}")
    own = int(said.rsplit("VmHWM", 1)[1]) * 1024
    return Measured(round(wall, 1), round(usage.ru_utime + usage.ru_stime, 1), max(largest[0], own) >> 20)


def _resident(process: psutil.Process) -> Iterator[int]:
    try:
        for one in (process, *process.children(recursive=True)):
            yield one.memory_info().rss
    except psutil.Error:
        return


def measure(folder: Path, comments: int) -> dict[str, Measured]:
    """Every stage on a root of so many comments."""
    videos = round(comments / COMMENTS_A_VIDEO)
    begun = time.monotonic()
    root = make_root(folder, comments, videos)
    shards = Store.open(root).n_shards
    made = time.monotonic() - begun
    print(f"\n{comments:,} comments, {videos:,} videos, {shards} shards; lists made in {made:.0f} s", flush=True)
    print(f"{'':>10}{'s':>9}{'CPU s':>9}{'MiB':>8}{'load':>7}")
    results = {}
    for stage in STAGES:
        if stage == "splits":
            begun = time.monotonic()
            write_features(root)
            print(f"{'features':>10}{time.monotonic() - begun:>9.1f}   made here, {VECTORS} x {DIM} float32 a video")
        result = results[stage] = measured(root, stage)
        load = os.getloadavg()[0]
        print(f"{stage:>10}{result.wall_s:>9.1f}{result.cpu_s:>9.1f}{result.mib:>8,}{load:>7.1f}", flush=True)
    for place in ("source", "root"):
        amount = sum(path.stat().st_size for path in (folder / place).rglob("*") if path.is_file())
        print(f"{place:>10}{amount / 1e6:>9.0f} MB")
    return results


def by_workers(folder: Path, comments: int, workers: Sequence[int]) -> None:
    """The stages that many processes share, with so many of them; each must come to the same bytes."""
    if not (folder / "source").is_dir():
        make_folder(folder / "source", comments, round(comments / COMMENTS_A_VIDEO))
    print(f"{comments:,} comments")
    print(f"{'':>10}{'processes':>11}{'s':>9}{'CPU s':>9}{'MiB':>8}{'comments/s':>12}{'load':>7}")
    tables = set()
    for jobs in workers:
        os.environ["CSMV_JOBS"] = str(jobs)
        root = new_root(folder, f"root-by-{jobs}")
        measured(root, "collect")
        for stage in ("tables", "audit"):
            result = measured(root, stage)
            rate, load = comments / result.wall_s, os.getloadavg()[0]
            line = f"{stage:>10}{jobs:>11}{result.wall_s:>9.1f}{result.cpu_s:>9.1f}{result.mib:>8,}{rate:>12,.0f}"
            print(f"{line}{load:>7.1f}", flush=True)
        files = sorted(path for path in Path(root).glob("*/*.parquet") if path.parent.name in ("videos", "comments"))
        tables.add(hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest())
    assert len(tables) == 1, "the tables depend on the number of processes"


# ---------------------------------------------------------------------- what follows


def line_through(sizes: Sequence[int], results: Sequence[Measured]) -> tuple[float, float]:
    """CPU seconds of a beginning, and a comment, from two sizes."""
    slope = (results[1].cpu_s - results[0].cpu_s) / (sizes[1] - sizes[0])
    return max(0.0, results[0].cpu_s - slope * sizes[0]), slope


def conclude(results: dict[int, dict[str, Measured]]) -> list[str]:
    """Print what the sizes say together, and give what is wrong with it."""
    wrong = []
    sizes = sorted(results)
    for size in sizes:
        for stage, result in results[size].items():
            if result.mib > MOST_MIB:
                wrong.append(f"{stage} took {result.mib:,} MiB at {size:,} comments")
    if len(sizes) < 3:
        return wrong
    small, middle, large = sizes[-3:]
    print(f"\nCPU seconds, predicted for {large:,} comments from {small:,} and {middle:,}; then from the largest two")
    heads = ("begin", "1,000", "predicted", "measured", "off", "linear", "CSMV", "x 100", "MiB x 100")
    print(f"{'':>10}" + "".join(f"{head:>10}" for head in heads))
    for stage in STAGES:
        few, some, many = (results[size][stage] for size in (small, middle, large))
        begin, slope = line_through((small, middle), (few, some))
        predicted = begin + slope * large
        base, later = line_through((middle, large), (some, many))
        linear = later / slope if slope > 0 else 1.0
        csmv, hundred = (base + later * CSMV[0] * times for times in (1, 100))
        mib = many.mib + (many.mib - some.mib) / (large - middle) * (100 * CSMV[0] - large)
        print(
            f"{stage:>10}{begin:>10.1f}{1000 * slope:>10.3f}{predicted:>10.1f}{many.cpu_s:>10.1f}"
            f"{many.cpu_s / predicted - 1:>+10.0%}{linear:>10.2f}{csmv:>10.1f}{hundred:>10,.0f}{mib:>10,.0f}"
        )
        if linear > LEAST_LINEAR:
            wrong.append(f"{stage} took {linear:.2f} times the CPU seconds a comment from {middle:,} on")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comments", type=int, nargs="+", default=[25_000, 250_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="where the roots are made and left; a passing folder if not given")
    parser.add_argument("--workers", type=int, nargs="+", help="numbers of processes to compare, on the last size")
    given = parser.parse_args()
    os.environ |= {"CSMV_PSEUDONYM_KEY": "6b" * 32, "CSMV_PROGRESS": "0"}
    print(f"{date.today()}, {psutil.cpu_count()} cores, {psutil.virtual_memory().total >> 30} GB")
    results = {}
    with tempfile.TemporaryDirectory(prefix="csmv-bench-") as passing:
        if given.workers:
            by_workers((given.folder or Path(passing)) / str(given.comments[-1]), given.comments[-1], given.workers)
            return
        for comments in sorted(given.comments):
            folder = (given.folder or Path(passing)) / str(comments)
            earlier = folder / "results.json"
            if earlier.is_file():
                results[comments] = {stage: Measured(**one) for stage, one in json.loads(earlier.read_text()).items()}
                continue
            results[comments] = measure(folder, comments)
            earlier.write_text(json.dumps({stage: asdict(one) for stage, one in results[comments].items()}))
    if wrong := conclude(results):
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
