"""Seconds, processor time and requests of `csmv status` on all of CSMV: 8,210 videos, 107,267 comments, 3 feature sets.

OMP_NUM_THREADS=1 python tests/benchmarks/bench_status.py --published FOLDER [--shards 16] [--folder DIR] [--s3]

FOLDER holds the published files. They are imported as a person would; media files are one byte each and features
random, 60 vectors of 8 numbers a video, with a few videos of each set still missing or given up. With `--s3` the same
root is copied into moto's server and its requests are counted. `first` is without what an earlier status remembered.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import boto3
import numpy as np
import pyarrow as pa
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "pipeline"))

from counted_s3 import CountedS3

from csmv.pipeline.failures import Failure, record_failures
from csmv.pipeline.root import CONFIG_FILE, media_path
from csmv.pipeline.schemas import FailureReason, MediaStatus, features_spec
from csmv.pipeline.store import Store

SETS = ("mfcc", "logmel", "timm:test_resnet")
DIM = 8

MEASURED = """
import re, sys, time
begun, cpu = time.monotonic(), time.process_time()
from csmv.flows.cli import main
sys.argv = ["csmv", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print(f"MEASURED {time.monotonic() - begun:.2f} {time.process_time():.2f} {int(peak) // 1024}")
"""


def make_root(folder: Path, published: Path, shards: int) -> Path:
    root = folder / "csmv"
    if not root.exists():
        command = ["import", str(published / "Comments_Anno" / "lable_data_dict.json.zip")]
        command += ["--links", str(published / "CSMV_rawLinks.xlsx"), "--root", str(root), "--shards", str(shards)]
        subprocess.run([sys.executable, "-m", "csmv.flows.cli", *command], check=True, stdout=subprocess.DEVNULL)
    if (root / "features").exists():
        return root
    config = yaml.safe_load((root / CONFIG_FILE).read_text())
    config |= {"features": [{"extractor": name, "weights": "random"} for name in SETS]}
    config |= {"splits": [{"kind": "published"}, {"kind": "video"}]}
    (root / CONFIG_FILE).write_text(yaml.safe_dump(config))
    store = Store.open(str(root))
    random = np.random.default_rng(0)
    for shard in store.shards():
        videos = store.read("videos", shard)
        assert videos is not None
        ids = videos["video_id"].to_pylist()
        shas = [f"{number:064x}" for number in range(len(ids))]
        status = [str(MediaStatus.OK)] * len(ids)
        for name, values in {"media_status": status, "media_sha256": shas}.items():
            at = videos.column_names.index(name)
            videos = videos.set_column(at, videos.schema.field(at), pa.array(values, pa.string()))
        store.rewrite("videos", shard, videos)
        for video in ids:
            path = Path(store.path(media_path(shard, video)))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        for number, extractor in enumerate(SETS):
            name = extractor.replace(":", "-")
            spec = features_spec(
                DIM,
                "float32",
                {"extractor": extractor, "weights": "random", "dtype": "float32", "storage": "float32"}
                | {"max_clips": "180", "weights_sha256": "0" * 64, "granularity": "clip", "clip_rule": "CSMV's"},
            )
            have = len(ids) - 3 * number
            rows = {
                "video_id": ids[:have],
                "features": [random.standard_normal((60, DIM), np.float32).tolist() for _ in ids[:have]],
                "media_sha256": shas[:have],
            }
            store.write(f"features/{name}", shard, pa.table(rows, schema=spec.schema), spec)
            given_up = [Failure(one, FailureReason.NO_AUDIO) for one in ids[have : have + number]]
            record_failures(store, f"features/{name}", shard, given_up)
    return root


def measured(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", MEASURED, *arguments], capture_output=True, text=True)
    numbers = re.search(r"MEASURED (\S+) (\S+) (\S+)", done.stdout)
    assert numbers is not None, done.stderr
    return f"{numbers[1]:>8}{numbers[2]:>8}{int(numbers[3]):>8,}"


def on_s3(root: Path) -> None:
    s3 = CountedS3()
    os.environ.update(s3.environment)
    client = boto3.client("s3")
    client.create_bucket(Bucket="csmv")
    for path in sorted(root.rglob("*")):
        if path.is_file() and "private/cache" not in str(path):
            client.put_object(Bucket="csmv", Key=f"csmv/{path.relative_to(root)}", Body=path.read_bytes())
    begun, pages = time.monotonic(), 0
    for _page in client.get_paginator("list_objects_v2").paginate(Bucket="csmv"):
        pages += 1
    print(f"boto3 alone lists the root, {pages} pages of 1,000, in {time.monotonic() - begun:.2f} s from this server")
    for what in ("first, S3", "again, S3"):
        before, begun = s3.requests.copy(), time.monotonic()
        line = measured("status", "s3://csmv/csmv", "--json")
        counts: Counter[str] = s3.requests - before
        print(f"{what:>12}{line}  {dict(counts)} in {time.monotonic() - begun:.1f} s with starting", flush=True)
    s3.stop()


def main(folder: Path, published: Path, shards: int, s3: bool) -> None:
    root = make_root(folder, published, shards)
    print(f"{'':>12}{'s':>8}{'CPU s':>8}{'MiB':>8}")
    for cache in (root / "private" / "cache").glob("status*"):
        cache.unlink()
    for what in ("first", "again", "again"):
        print(f"{what:>12}{measured('status', str(root), '--json')}", flush=True)
    if s3:
        on_s3(root)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--published", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--s3", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        chosen = given.folder or Path(passing)
        chosen.mkdir(parents=True, exist_ok=True)
        main(chosen, given.published, given.shards, given.s3)
