"""Bytes a comment that training holds, and needs while it loads: the difference between roots of two sizes.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_corpus_memory.py [--comments 100000 400000] [--folder DIR]

The roots are those of `bench_large_root.py` with 16 shards and 12.5 comments a video, so that features are 205 bytes a
comment. Each is loaded, and made into batches, in a process of its own.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from bench_large_root import make_root

from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split
from csmv.pipeline.store import Store

LOAD = """
import gc, resource, sys
import accelerate, psutil, pyarrow, torch, transformers
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.data import load_corpus
from csmv.pipeline.vccsa.networks import assemble
from csmv.pipeline.vccsa.train_config import TrainConfig

def held():
    gc.collect()
    pyarrow.default_memory_pool().release_unused()
    memory = psutil.Process().memory_info()
    return memory.rss - memory.shared

def largest():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

config = TrainConfig(split="comment", features=("mfcc",))
store = Store.open(sys.argv[1])
before, before_largest = held(), largest()
corpus = load_corpus(store, config)
batches = assemble(config, corpus).batches
print(held() - before, largest() - before_largest)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comments", type=int, nargs=2, default=[100_000, 400_000])
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix="csmv-bench-") as passing:
        for comments in given.comments:
            folder = (given.folder or Path(passing)) / f"r{comments}"
            if not (folder / "root").exists():
                folder.mkdir(parents=True, exist_ok=True)
                build_split(make_root(folder, comments, comments * 2 // 25, 16), SplitConfig(kind="comment"))
            root = Store.open(str(folder / "root")).root
            done = subprocess.run([sys.executable, "-c", LOAD, root], capture_output=True, text=True, check=True)
            results.append([int(number) for number in done.stdout.split()])
            print(f"{comments:,} comments: {results[-1][0] >> 20} MiB held, {results[-1][1] >> 20} MiB at most")
    difference = given.comments[1] - given.comments[0]
    held, most = ((b - a) / difference for a, b in zip(*results, strict=True))
    print(f"a comment: {held:.0f} bytes held, {most:.0f} at most")


if __name__ == "__main__":
    main()
