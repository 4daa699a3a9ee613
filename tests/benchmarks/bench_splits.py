"""How long a split by video and the leakage audit of the published one take on all of CSMV, and in how much memory.

    python tests/benchmarks/bench_splits.py --root ROOT

ROOT is CSMV as `csmv import` makes it. Each step runs in a process of its own; `--copies N` takes every text N times,
with a number behind it, and looks for near texts among those alone.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from csmv.pipeline.release.leakage import leakage_of
from csmv.pipeline.release.near_texts import near_pairs, spoken
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split
from csmv.pipeline.store import Store


def split_by_video(root: str, _: int) -> dict[str, Any]:
    """Builds it and says how far its parts are from 7:1:2, and their label shares from those of the whole."""
    store = Store.open(root)
    table, seconds = timed(lambda: build_split(store, SplitConfig(kind="video")))
    audit = leakage_of(store, "video")
    whole = audit["whole"]
    off = [
        100 * abs(audit["parts"][part]["comments"] / table.num_rows - share)
        for part, share in {"train": 0.7, "dev": 0.1, "test": 0.2}.items()
    ]
    labels = [
        100 * abs(part["labels"][task][name] / part["comments"] - count / table.num_rows)
        for part in audit["parts"].values()
        for task, counts in whole["labels"].items()
        for name, count in counts.items()
    ]
    return {"comments": table.num_rows, "seconds": seconds, "points_off": max(off), "label_points_off": max(labels)}


def published_audit(root: str, _: int) -> dict[str, Any]:
    """The whole audit of the published split."""
    store = Store.open(root)
    audit, seconds = timed(lambda: leakage_of(store, "published"))
    test = audit["shared"][1]
    return {
        "seconds": seconds,
        "video": test["video"]["comments"],
        "word_for_word": test["text"]["comments"],
        "near": test["near_text"]["comments"],
    }


def near_texts(root: str, copies: int) -> dict[str, Any]:
    """The search for near texts alone, over the comments of the published split."""
    store = Store.open(root)
    rows = store.read_split("published").join(store.read_all("comments", ("comment_id", "text")), "comment_id")
    distinct = sorted({spoken(text) for text in rows["text"].to_pylist()} - {""})
    texts = distinct if copies == 1 else sorted(f"{text} {n:05d}" for text in distinct for n in range(copies))
    (left, _), seconds = timed(lambda: near_pairs(texts))
    return {"comments": rows.num_rows * copies, "texts": len(texts), "pairs": len(left), "seconds": seconds}


STEPS: dict[str, Callable[[str, int], dict[str, Any]]] = {
    "split by video": split_by_video,
    "audit of published": published_audit,
    "near texts": near_texts,
}


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What work gives, with its wall and processor time in seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, {
        "wall": round(time.perf_counter() - wall, 1),
        "processor": round(time.process_time() - processor, 1),
    }


def main() -> None:
    """Runs every step, each in a process of its own, and prints a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--step", choices=STEPS)
    options = parser.parse_args()
    if options.step:
        answer = STEPS[options.step](options.root, options.copies)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"step": options.step, **answer, "peak_gb": round(peak / 1e9, 2)}))
        return
    for step in STEPS if options.copies == 1 else ["near texts"]:
        command = [sys.executable, __file__, "--root", options.root, "--copies", str(options.copies), "--step", step]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
