"""Seconds of the explorer in Chromium on a root of a million comments: the first page, filters, models, memory.

OMP_NUM_THREADS=1 python tests/benchmarks/bench_explorer.py [--comments 1000000] [--videos 80000] [--folder DIR]

The root is that of bench_large_root.py, with hashtags drawn by chance for its videos. `csmv explore` runs as a process
of its own; times are the browser's, from the change of the address to the answer on the page, the median of --repeats.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from bench_large_root import RUN, make_root

from csmv.pipeline.sources.browser import find_chromium
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split
from csmv.pipeline.store import Store

HASHTAGS = 200
FILTERS = {
    "a hashtag": "#comments?hashtag=tag7",
    "a label": "#comments?opinion=negative",
    "two labels and a part": "#comments?opinion=negative&emotion=anger&split=video&part=test",
    "words": "#comments?words=haha+love",
    "words that no comment has": "#comments?words=zzzzz",
    "the last page": "#comments?page=19999",
    "a model wrong on emotion": f"#comments?run={RUN}&task=emotion&outcome=wrong&answered=test",
    "videos by words": "#videos?words=haha+love",
    "confusion matrices of a model": f"#models?run={RUN}",
    "a video": "#video?video=7000000000000000042",
}

READY = """(address) => new Promise((done) => {
  const results = document.getElementById("results");
  const begun = performance.now();
  const watch = new MutationObserver(() => {
    if (!results.hasAttribute("aria-busy")) {
      watch.disconnect();
      requestAnimationFrame(() => done(performance.now() - begun));
    }
  });
  watch.observe(results, { attributes: true });
  location.hash = address;
})"""


def with_hashtags(store: Store) -> None:
    """Give every video one to three of the hashtags."""
    random = np.random.default_rng(1)
    for shard in store.shards():
        rows = store.read("videos", shard)
        if rows is None:
            continue
        tags = [
            sorted({f"tag{n}" for n in random.integers(0, HASHTAGS, random.integers(1, 4))}) for _ in range(len(rows))
        ]
        place = rows.column_names.index("hashtags")
        store.write("videos", shard, rows.set_column(place, rows.schema.field(place), pa.array(tags)))


def measure(root: str, repeats: int) -> None:
    """Start the explorer of `root`, and print what a browser waits for."""
    from playwright.sync_api import sync_playwright

    begun = time.monotonic()
    command = [sys.executable, "-m", "csmv.flows.cli", "explore", root, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, sync_playwright() as playwright:
        assert process.stdout is not None
        line = process.stdout.readline()
        print(f"{'start of csmv explore':>34} {time.monotonic() - begun:8.2f} s, {cpu_s(process.pid):.1f} s of CPU")
        url = re.search(r"http://\S+", line)[0]  # type: ignore[index]
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        show("the first page", [first_page(browser, url) for _ in range(repeats)])
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("#results:not([aria-busy])")
        for title, address in FILTERS.items():
            times = []
            for _ in range(repeats):
                times.append(page.evaluate(READY, address) / 1000)
                page.evaluate(READY, "#failures")
            show(title, times)
        peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
        print(f"{'memory of the server':>34} {int(peak[1]) // 1024 if peak else 0:8,} MiB")
        browser.close()
        process.terminate()


def first_page(browser: Any, url: str) -> float:
    """Seconds from asking for the address until the first comments stand on the page, in a fresh profile."""
    page = browser.new_page()
    begun = time.monotonic()
    page.goto(url)
    page.wait_for_selector("#results:not([aria-busy])")
    waited = time.monotonic() - begun
    page.close()
    return waited


def cpu_s(process: int) -> float:
    """Seconds of CPU time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def show(title: str, times: list[float]) -> None:
    """A line of the table: the median, and the slowest."""
    print(f"{title:>34} {statistics.median(times):8.2f} s, at most {max(times):.2f} s", flush=True)


def main(comments: int, videos: int, folder: Path, repeats: int) -> None:
    """Make the root, unless it is there, and measure."""
    root = folder / "root"
    if not root.exists():
        store = make_root(folder, comments, videos)
        with_hashtags(store)
        build_split(store, SplitConfig(kind="video"))
    print(f"{comments:,} comments on {videos:,} videos")
    measure(str(root), repeats)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comments", type=int, default=1_000_000)
    parser.add_argument("--videos", type=int, default=80_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    if given.folder is not None:
        given.folder.mkdir(parents=True, exist_ok=True)
        main(given.comments, given.videos, given.folder, given.repeats)
    else:
        with tempfile.TemporaryDirectory() as passing:
            main(given.comments, given.videos, Path(passing), given.repeats)
