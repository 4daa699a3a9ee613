"""How often each stage and command asks an S3 store: moto's server behind a counter, a small root of made videos.

OMP_NUM_THREADS=1 python tests/benchmarks/bench_requests.py [--videos 40] [--shards 4]

Requests do not depend on the machine. `again` is the same with nothing left to do.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import boto3
from pydantic import SecretStr

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "pipeline"))

from counted_s3 import CountedS3

from csmv.pipeline.collect import ingest
from csmv.pipeline.config import DatasetConfig, FolderSource, read_config
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.demo.sample import make_sample
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.privacy.audit import audit
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.verify import verify

KEY = "a key that is long enough"
KINDS = ("LIST", "HEAD", "GET", "PUT", "DELETE")


def main(videos: int, shards: int) -> None:
    logging.disable(logging.WARNING)
    s3 = CountedS3()
    os.environ.update(s3.environment, CSMV_PSEUDONYM_KEY=KEY, CSMV_PROGRESS="0")
    boto3.client("s3").create_bucket(Bucket="csmv")
    with tempfile.TemporaryDirectory() as folder:
        sample = make_sample(Path(folder) / "sample", videos=videos, comments_each=6).folder
        config = DatasetConfig(
            name="requests",
            n_shards=shards,
            source=FolderSource(path=str(sample)),
            features=(FeatureConfig(extractor="mfcc"),),
            splits=(SplitConfig(kind="video"),),
            train=(TrainConfig(model="majority", split="video"),),
        )
        dataset = Dataset.create("s3://csmv/requests", config)
        print(
            f"{'':>22}{'all':>8}{'a shard':>9}"
            + "".join(f"{kind:>8}" for kind in KINDS)
            + f"{'MB got':>9}{'put':>7}{'s':>8}"
        )

        def row(what: str, do: Callable[[], object]) -> None:
            before, sent, received, begun = s3.requests.copy(), s3.sent, s3.received, time.monotonic()
            do()
            counts: Counter[str] = s3.requests - before
            each = "".join(f"{counts[kind]:>8,}" for kind in KINDS)
            megabytes = f"{(s3.sent - sent) / 1e6:>9.2f}{(s3.received - received) / 1e6:>7.2f}"
            seconds = time.monotonic() - begun
            all_ = counts.total()
            print(f"{what:>22}{all_:>8,}{all_ / shards:>9.1f}{each}{megabytes}{seconds:>8.1f}", flush=True)

        store = dataset.store
        row("ingest", lambda: ingest(store, source_of(config.source), read_config(store).scrub, SecretStr(KEY)))
        for stage in ("tables", "media", "features", "splits", "train", "report"):
            row(stage, lambda stage=stage: run(dataset, stage))
        for stage in ("tables", "media", "features", "splits", "train", "report"):
            row(f"{stage}, again", lambda stage=stage: run(dataset, stage))
        row("status", dataset.status)
        row("verify", lambda: verify(store))
        row("audit", lambda: audit(store))
    s3.stop()


def run(dataset: Dataset, stage: str) -> None:
    Dataset.open(dataset.store.root).run(stage)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=40)
    parser.add_argument("--shards", type=int, default=4)
    main(**vars(parser.parse_args()))
