"""What is asked of an S3 store: a few requests a shard however many videos it has, ranges of files, fresh listings."""

import time
from collections.abc import Callable
from pathlib import Path

import boto3
import numpy as np
import pyarrow as pa
import pytest
from counted_s3 import CountedS3

from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import Failure, record_failures
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.features import complete, missing
from csmv.pipeline.media.media_shard import open_videos
from csmv.pipeline.media.retention import apply_retention
from csmv.pipeline.release.leakage import write_leakage
from csmv.pipeline.report import write_report
from csmv.pipeline.root import media_path
from csmv.pipeline.schemas import COMMENTS, LABELS, VIDEOS, FailureReason, features_spec
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split
from csmv.pipeline.stage import named
from csmv.pipeline.stages import STAGES
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.training import train
from csmv.pipeline.verify import verify

CONFIG = {
    "name": "requests",
    "n_shards": 2,
    "source": {"kind": "web", "hashtags": ["nba"]},
    "features": [{"extractor": "mfcc"}],
    "splits": [{"kind": "video"}],
    "train": [{"model": "majority", "split": "video"}],
}
MFCC = FeatureConfig(extractor="mfcc")
SPEC = features_spec(8, "float32", {"extractor": "mfcc", "weights": "none", "dtype": "float32", "storage": "float32"})
FEW, MANY = 8, 16


def filled(root: str, videos: int) -> Dataset:
    """A root with tables. Of four videos two have features, one was given up, one is still to do."""
    dataset = Dataset.create(root, DatasetConfig.model_validate(CONFIG))
    store = dataset.store
    by_shard: dict[int, list[str]] = {shard: [] for shard in store.shards()}
    for number in range(10 * videos):
        shard = store.shard_of(f"7{number:018d}")
        if len(by_shard[shard]) < videos // 2:
            by_shard[shard].append(f"7{number:018d}")
    for shard, ids in by_shard.items():
        write(store, shard, ids)
    return dataset


def make(root: str, videos: int) -> Dataset:
    """The same with a split and a run."""
    dataset = filled(root, videos)
    build_split(dataset.store, SplitConfig(kind="video"))
    write_leakage(dataset.store, "video")
    dataset.run("train")
    return dataset


def write(store: Store, shard: int, ids: list[str]) -> None:
    sha = "0" * 64
    videos = [
        {"video_id": one, "url": f"https://www.tiktok.com/@/video/{one}", "media_status": "ok", "media_sha256": sha}
        for one in ids
    ]
    store.write("videos", shard, pa.Table.from_pylist(videos, schema=VIDEOS.schema))
    comments = [{"comment_id": f"{one}-{k}", "video_id": one, "text": "so good"} for one in ids for k in range(2)]
    store.write("comments", shard, pa.Table.from_pylist(comments, schema=COMMENTS.schema))
    labels = [
        {"comment_id": f"{one}-{k}", "opinion": ("positive", "negative")[k], "emotion": "joy", "source": "published"}
        for one in ids
        for k in range(2)
    ]
    store.write("labels", shard, pa.Table.from_pylist(labels, schema=LABELS.schema))
    for one in ids:
        store.write_file(media_path(shard, one), b"a film")
    done = [{"video_id": one, "features": [[1.0] * 8], "media_sha256": sha} for one in ids[: len(ids) // 2]]
    store.write("features/mfcc", shard, pa.Table.from_pylist(done, schema=SPEC.schema), SPEC)
    given_up = [Failure(one, FailureReason.NO_AUDIO) for one in ids[len(ids) // 2 : 3 * len(ids) // 4]]
    record_failures(store, "features/mfcc", shard, given_up)


@pytest.fixture(scope="module")
def datasets(counted_s3: CountedS3) -> tuple[Dataset, Dataset]:
    """Equal roots on S3 but for the number of videos."""
    return make("s3://csmv/few", FEW), make("s3://csmv/many", MANY)


def opened(dataset: Dataset) -> Dataset:
    """The same root, of which nothing is remembered."""
    return Dataset.open(dataset.store.root)


EACH: dict[str, tuple[int, Callable[[Dataset], object]]] = {
    "media still to get": (8, lambda dataset: [open_videos(dataset.store, s, dataset.source) for s in (0, 1)]),
    "features still to make": (15, lambda dataset: [missing(dataset.store, s, MFCC) for s in (0, 1)]),
    "completing a set": (4, lambda dataset: complete(dataset.store, MFCC)),
    "tables": (16, lambda dataset: named(STAGES, "tables").missing(dataset)),
    "splits": (13, lambda dataset: dataset.run("splits")),
    "train": (10, lambda dataset: dataset.run("train")),
    "report": (32, lambda dataset: write_report(dataset.store)),
    "status": (48, lambda dataset: dataset.status()),
    "verify without media": (30, lambda dataset: verify(dataset.store, media=False)),
}
"""The most requests for each shard, and what is done."""


@pytest.mark.parametrize("what", EACH)
def test_requests_are_bounded_for_each_shard_however_many_videos_it_has(
    datasets: tuple[Dataset, Dataset], counted_s3: CountedS3, what: str
) -> None:
    most, do = EACH[what]
    counts = []
    for dataset in datasets:
        with counted_s3.counted() as requests:
            do(opened(dataset))
        counts.append(requests)

    assert counts[0] == counts[1], "the number of videos decides the number of requests"
    assert counts[0].total() <= most * CONFIG["n_shards"]  # type: ignore[operator]


def test_a_second_look_at_the_status_is_a_few_requests(
    datasets: tuple[Dataset, Dataset], counted_s3: CountedS3
) -> None:
    for dataset in datasets:
        first = opened(dataset).status()
        with counted_s3.counted() as requests:
            assert opened(dataset).status() == first
        assert requests["LIST"] <= 2, requests
        assert requests.total() <= 7, requests


def test_the_listing_says_what_is_to_do(datasets: tuple[Dataset, Dataset]) -> None:
    for dataset, videos in zip(datasets, (FEW, MANY), strict=True):
        assert sum(len(missing(dataset.store, shard, MFCC)) for shard in (0, 1)) == videos // 4


def test_retention_lists_once_and_asks_once_for_each_file_it_deletes(
    counted_s3: CountedS3,
) -> None:
    counts = []
    for root, videos in (("s3://csmv/used-few", FEW), ("s3://csmv/used-many", MANY)):
        dataset = filled(root, videos)
        with counted_s3.counted() as requests:
            deleted = sum(apply_retention(dataset.store, shard, [MFCC]) for shard in (0, 1))
        assert requests["DELETE"] == deleted == 3 * videos // 4
        counts.append(requests.total() - deleted)

    assert counts[0] == counts[1] <= 80


def test_a_finished_run_is_recognised_without_reading_a_table(
    datasets: tuple[Dataset, Dataset], counted_s3: CountedS3
) -> None:
    before = len(counted_s3.got)

    result = train(opened(datasets[1]).store, TrainConfig(model="majority", split="video"))
    opened(datasets[1]).run("train")

    read = {path.removeprefix("/csmv/many/").split("/")[0] for path in counted_s3.got[before:]}
    assert not result.trained
    assert not read & {"comments", "features", "splits", "videos"}


def test_a_run_is_stale_once_a_label_has_changed(counted_s3: CountedS3, tmp_path: Path) -> None:
    dataset = make(str(tmp_path / "root"), FEW)
    assert dataset.status()[5].missing == 0 and not dataset.status()[5].stale

    labels = dataset.store.read("labels", 0)
    assert labels is not None
    other = labels.set_column(2, labels.schema.field(2), pa.array(["anger"] * labels.num_rows))
    dataset.store.write("labels", 0, other)

    assert len(Dataset.open(dataset.store.root).status()[5].stale) == 1
    config = TrainConfig(model="majority", split="video")
    with pytest.raises(CsmvError, match="is there already, made with another split, other comments, labels"):
        train(dataset.store, config)
    assert train(dataset.store, config, overwrite="changed").trained


# ---------------------------------------------------------------------- ranges


@pytest.fixture(scope="module")
def large(counted_s3: CountedS3) -> Store:
    """A store on S3 with a feature shard of some megabytes."""
    dataset = Dataset.create("s3://csmv/large", DatasetConfig.model_validate(CONFIG))
    store = dataset.store
    for k in range(6):
        store.write_file(media_path(0, f"v{k}"), b"a film")
    numbers = np.random.default_rng(0).standard_normal((64, 200, 64)).astype(np.float32)
    spec = features_spec(64)
    rows = [{"video_id": f"v{k:03d}", "features": list(numbers[k]), "media_sha256": f"{k:064d}"} for k in range(64)]
    store.write("features/large", 0, pa.Table.from_pylist(rows, schema=spec.schema), spec)
    return store


def test_counts_and_columns_come_by_range_reads(large: Store, counted_s3: CountedS3) -> None:
    size = large.listing("features/large")["features/large/0000.parquet"].size
    before = counted_s3.sent

    rows = Store.open(large.root).read_columns("features/large", 0, ["video_id", "media_sha256"])
    number = Store.open(large.root).num_rows("features/large")

    assert rows is not None and rows["video_id"].to_pylist()[63] == "v063" and number == 64
    assert size > 3_000_000
    assert counted_s3.sent - before < 400_000
    assert Store.open(large.root).read_columns("features/large", 0, ["features"]) is not None


@pytest.mark.parametrize("place", [4, 100, -9, -200], ids=["the column", "within it", "the length", "the footer"])
def test_a_flipped_bit_in_what_a_range_read_reads_is_noticed(large: Store, place: int) -> None:
    name = "features/large/0000.parquet"
    whole = large.read_file(name)
    damaged = bytearray(whole)
    damaged[place] ^= 1
    large.write_file(name, bytes(damaged))
    try:
        with pytest.raises(CsmvError, match=name):
            Store.open(large.root).read_columns("features/large", 0, ["video_id"])
    finally:
        large.write_file(name, whole)


def test_an_empty_file_is_damage_on_s3_too(large: Store) -> None:
    name = "features/large/0000.parquet"
    whole = large.read_file(name)
    large.write_file(name, b"")
    try:
        with pytest.raises(CsmvError, match="cut short"):
            Store.open(large.root).read_columns("features/large", 0, ["video_id"])
    finally:
        large.write_file(name, whole)


def test_files_with_equal_footers_are_told_apart(tmp_path: Path) -> None:
    store = filled(str(tmp_path / "root"), FEW).store

    def labels(first: int) -> pa.Table:
        opinions = ["positive" if k in (first, 63) else "negative" for k in range(64)]
        rows = [{"comment_id": f"{k:03d}", "opinion": one, "source": "published"} for k, one in enumerate(opinions)]
        return pa.Table.from_pylist(rows, schema=LABELS.schema)

    footers: dict[str | None, int] = {}
    for first in range(1, 62):
        store.write("labels", 0, labels(first))
        footer = store.footer_sha256("labels", 0)
        if footer in footers:
            break
        footers[footer] = first
    else:
        pytest.fail("no two tables with equal footers")

    read = Store.open(store.root).read_columns("labels", 0, ["comment_id", "opinion"])
    assert read is not None and read.equals(
        labels(first).select(["comment_id", "opinion"]).replace_schema_metadata(read.schema.metadata)
    )
    changed = Store.open(store.root).states("labels")
    store.write("labels", 0, labels(footers[footer]))
    assert Store.open(store.root).states("labels") != changed
    assert Store.open(store.root).read_columns("labels", 0, ["opinion"]) is not None


# ---------------------------------------------------------------------- listings and copies


def test_what_another_process_writes_and_deletes_is_seen(large: Store) -> None:
    other = boto3.client("s3")
    assert large.files("private/other") == [] and not large.exists("private/other/a")

    other.put_object(Bucket="csmv", Key="large/private/other/a", Body=b"1")
    assert large.files("private/other") == ["private/other/a"] and large.exists("private/other/a")
    assert large.files_beginning("private/oth") == ["private/other/a"]

    other.put_object(Bucket="csmv", Key="large/private/other/a", Body=b"22")
    assert large.listing("private/other")["private/other/a"].size == 2
    assert large.read_file("private/other/a") == b"22" and large.read_end("private/other/a", 1) == b"2"

    other.delete_object(Bucket="csmv", Key="large/private/other/a")
    assert large.files("private/other") == [] and large.read_if_there("private/other/a") is None


def test_copies_are_fetched_ahead_and_go_one_by_one(large: Store) -> None:
    names = large.files("private/media")
    most = []
    with large.local_files(names, ahead=2) as files:
        for path in files.paths:
            end = time.monotonic() + 30
            while len(list(path.parent.iterdir())) < min(3, len(names) - len(most)) and time.monotonic() < end:
                time.sleep(0.01)  # while this one is read, the next ones come
            time.sleep(0.05)  # and no more than these
            most.append(len(list(path.parent.iterdir())))
            assert path.read_bytes() == b"a film"
            files.give_back(path)
            assert not path.exists()

    assert most == [3, 3, 3, 3, 2, 1]
    assert not path.parent.exists()
