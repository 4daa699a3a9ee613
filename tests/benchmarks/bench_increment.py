"""Seconds of a night's increment: landing of so many comments is in the tables, and one in a hundred is new.

OMP_NUM_THREADS=1 python tests/benchmarks/bench_increment.py [--comments 20000 200000] [--new 0.01]

Landing is made here as the web source leaves it: a visit a video, with its page and its comments by authors who are new
in every visit. The night brings visits of new videos, whose authors are named in an old comment each. Each step is a
process of its own, so nothing is remembered but what is in the root; at the end the tables are compared, byte for byte,
with those of a root that gets all of it at once.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from csmv.pipeline.config import DatasetConfig, create_root
from csmv.pipeline.sources.landing import Landing, Record
from csmv.pipeline.sources.visit import COMMENTS
from csmv.pipeline.sources.walls import DONE
from csmv.pipeline.sources.web import WebSource
from csmv.pipeline.store import Store

COMMENTS_A_VIDEO = 12
VIDEOS_A_SHARD = 500
WORDS = ["this", "is", "so", "good", "why", "would", "anyone", "do", "that", "haha", "love", "the", "song"]

STEP = """
import resource, sys, time
from csmv.pipeline.config import read_config
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.sources.tables import write_tables
from csmv.pipeline.store import Store
from csmv.pipeline.scrub.scrubber import Scrubber
store = Store.open(sys.argv[1])
config = read_config(store)
begun, cpu = time.monotonic(), time.process_time()
total = write_tables(store, source_of(config.source), config.scrub, store.key())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print("STEP", round(time.monotonic() - begun, 2), round(time.process_time() - cpu, 2), peak, vars(total))
"""


def land(store: Store, videos: range, named: range, visit: str) -> None:
    """Visits of videos; a comment in ten names an author of one of the videos in `named`."""
    chance = random.Random(videos.start)
    landing = Landing(store)
    for number in videos:
        video = f"7{number:018d}"
        item = {
            "id": video,
            "desc": "a caption",
            "author": {"uniqueId": handle(number, 99), "nickname": f"Xq {number}z"},
        }
        rows = []
        for comment in range(COMMENTS_A_VIDEO):
            words = chance.choices(WORDS, k=12)
            if comment == 0:
                words[5] = handle(chance.choice(named), 3)
            user = {
                "unique_id": handle(number, comment),
                "nickname": f"Vq{number}x{comment}",
                "uid": f"6{number:012d}{comment:03d}",
            }
            cid = f"7{number:014d}{comment:04d}"
            rows.append({"cid": cid, "aweme_id": video, "text": " ".join(words), "digg_count": 3, "user": user})
        records = [
            Record("/video", json.dumps(item).encode()),
            Record(COMMENTS, json.dumps({"status_code": 0, "comments": rows, "has_more": 0}).encode()),
        ]
        landing.close_video(video, f"{visit}Z{number:06d}", DONE, records)


def handle(video: int, author: int) -> str:
    return f"qv{video}_{author}x"


def step(root: Path) -> str:
    done = subprocess.run([sys.executable, "-c", STEP, str(root)], capture_output=True, text=True)
    told = re.search(r"STEP (\S+) (\S+) (\d+) (.*)", done.stdout)
    return done.stderr[-500:] if told is None else f"{told[1]:>9}{told[2]:>9}{int(told[3]):>8,}  {told[4]}"


def new_root(folder: Path, videos: int) -> Store:
    shards = 16
    while shards * VIDEOS_A_SHARD < videos:
        shards *= 2
    return create_root(
        str(folder), DatasetConfig(name="increment", n_shards=shards, source=WebSource(hashtags=("nba",)))
    )


def tables(store: Store) -> dict[str, bytes]:
    names = (name for name in store.files() if name.startswith(("videos/", "comments/", "labels/")))
    return {name: store.read_file(name) for name in names}


def main(comments: int, share: float, folder: Path) -> None:
    videos = comments // COMMENTS_A_VIDEO
    new = max(1, round(videos * share))
    root = new_root(folder / "root", videos)
    size = f"{videos * COMMENTS_A_VIDEO:,} comments of {videos:,} videos in {root.n_shards} shards"
    print(f"{size}, and {new:,} videos more at night")
    print(f"{'':>20}{'s':>9}{'CPU s':>9}{'MiB':>8}")
    # Old comments name authors that only come with the night, too.
    land(root, range(videos), range(videos + new), "20261123T170000000")
    print(f"{'first':>20}{step(folder / 'root')}", flush=True)
    print(f"{'nothing new':>20}{step(folder / 'root')}", flush=True)
    land(root, range(videos, videos + new), range(videos), "20261124T170000000")
    print(f"{'the night':>20}{step(folder / 'root')}", flush=True)
    whole = new_root(folder / "whole", videos)
    land(whole, range(videos), range(videos + new), "20261123T170000000")
    land(whole, range(videos, videos + new), range(videos), "20261124T170000000")
    print(f"{'all of it at once':>20}{step(folder / 'whole')}", flush=True)
    print(f"the same bytes: {tables(root) == tables(whole)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comments", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--new", type=float, default=0.01)
    given = parser.parse_args()
    os.environ.setdefault("CSMV_PSEUDONYM_KEY", "one key, so that equal roots are equal bytes")
    for number in given.comments:
        with tempfile.TemporaryDirectory() as passing:
            main(number, given.new, Path(passing))
