"""How far a root is: what its stages say, remembered while nothing changes, counted by hashtag, with a time left."""

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from csmv.pipeline import status
from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.failures import Failure, record_failures
from csmv.pipeline.parts import add_part
from csmv.pipeline.root import media_path
from csmv.pipeline.schemas import COMMENTS, LABELS, VIDEOS, FailureReason, features_spec
from csmv.pipeline.sources.landing import Landing
from csmv.pipeline.stage import HashtagCount, StageStatus
from csmv.pipeline.stages import STAGES

SPEC = features_spec(
    8,
    "float32",
    {"extractor": "mfcc", "weights": "none", "dtype": "float32", "storage": "float32"},
)
SHA = "0" * 64


def make(root: str, shards: int = 2, **changed: Any) -> Dataset:
    """A root of 8 videos a shard: two pending, one failed; of five with files three have features, one was given up."""
    config = {
        "name": "seen",
        "n_shards": shards,
        "source": {"kind": "web", "hashtags": ["nba", "#Cats"]},
        "features": [{"extractor": "mfcc"}],
        "splits": [{"kind": "video"}],
    }
    dataset = Dataset.create(root, DatasetConfig.model_validate(config | changed))
    store = dataset.store
    by_shard: dict[int, list[str]] = {shard: [] for shard in store.shards()}
    number = 0
    while any(len(ids) < 8 for ids in by_shard.values()):
        video = f"7{number:018d}"
        if len(by_shard[store.shard_of(video)]) < 8:
            by_shard[store.shard_of(video)].append(video)
        number += 1
    for shard, ids in by_shard.items():
        states = ["pending"] * 2 + ["failed"] + ["ok"] * 5
        rows = [
            {"video_id": one, "media_status": state, "media_sha256": SHA if state == "ok" else None}
            | {"hashtags": ["NBA", "other"] if at % 2 else ["cats"], "url": f"https://www.tiktok.com/@/video/{one}"}
            for at, (one, state) in enumerate(zip(ids, states, strict=True))
        ]
        store.write("videos", shard, pa.Table.from_pylist(rows, schema=VIDEOS.schema))
        comments = [{"comment_id": f"{one}-0", "video_id": one, "text": "so good"} for one in ids]
        store.write("comments", shard, pa.Table.from_pylist(comments, schema=COMMENTS.schema))
        labels = [
            {"comment_id": f"{one}-0", "opinion": "positive", "emotion": "joy", "source": "published"} for one in ids
        ]
        store.write("labels", shard, pa.Table.from_pylist(labels, schema=LABELS.schema))
        for one in ids[3:]:
            store.write_file(media_path(shard, one), b"a film")
        record_failures(store, "media", shard, [Failure(ids[2], FailureReason.NO_VIDEO_STREAM)])
        store.write("features/mfcc", shard, features(ids[3:6]), SPEC)
        later = datetime.now(UTC) + timedelta(seconds=5)  # than the file, which would be worth another try
        record_failures(store, "features/mfcc", shard, [Failure(ids[6], FailureReason.NO_AUDIO)], later)
    return dataset


def features(ids: list[str]) -> pa.Table:
    rows = [{"video_id": one, "features": [[1.0] * 8], "media_sha256": SHA} for one in ids]
    return pa.Table.from_pylist(rows, schema=SPEC.schema)


def told(dataset: Dataset) -> list[StageStatus]:
    """What is said of a root by somebody who has just come."""
    return Dataset.open(dataset.store.root).overview().stages


def from_the_stages(dataset: Dataset) -> list[tuple[str, int, int, dict[str, str]]]:
    fresh = Dataset.open(dataset.store.root)
    answers = ((stage.name, stage.units(fresh), stage.missing(fresh), stage.stale(fresh)) for stage in STAGES)
    return [(name, len(units), len(set(missing) - stale.keys()), stale) for name, units, missing, stale in answers]


def short(rows: list[StageStatus]) -> list[tuple[str, int, int, dict[str, str]]]:
    return [(row.name, row.units, row.missing, row.stale) for row in rows]


def first_video(dataset: Dataset) -> str:
    videos = dataset.store.read("videos", 0)
    assert videos is not None
    return str(videos["video_id"][7])


CHANGES: dict[str, Callable[[Dataset], object]] = {
    "nothing": lambda dataset: None,
    "a file of a video is gone": lambda dataset: dataset.store.remove(media_path(0, first_video(dataset))),
    "a file of a video came again": lambda dataset: dataset.store.write_file(
        media_path(0, first_video(dataset)), b"the film"
    ),
    "a part of features": lambda dataset: add_part(dataset.store, "features/mfcc", 0, features([first_video(dataset)])),
    "a shard of features was deleted with its entries": lambda dataset: [
        dataset.store.remove(name)
        for name in [*dataset.store.files("manifest/features/mfcc/0001"), "features/mfcc/0001.parquet"]
    ],
    "a split was built": lambda dataset: dataset.run("splits"),
    "labels changed": lambda dataset: dataset.store.write("labels", 0, LABELS.schema.empty_table()),
    "other media": lambda dataset: dataset.store.write("videos", 1, _with_other_media(dataset)),
    "another set is asked for": lambda dataset: _ask_for(
        dataset, features=[{"extractor": "mfcc"}, {"extractor": "i3d"}]
    ),
    "other numbers are asked for": lambda dataset: _ask_for(
        dataset, features=[{"extractor": "mfcc", "storage": "float16"}]
    ),
    "another policy": lambda dataset: _ask_for(dataset, scrub={"threshold": 0.9}),
    "what landed": lambda dataset: Landing(dataset.store).add_links(["7000000000000000001"], "list"),
}


def _with_other_media(dataset: Dataset) -> pa.Table:
    videos = dataset.store.read("videos", 1)
    assert videos is not None
    at = videos.column_names.index("media_sha256")
    return videos.set_column(at, videos.schema.field(at), pa.array(["1" * 64] * len(videos), pa.string()))


def _ask_for(dataset: Dataset, **sections: Any) -> None:
    config = dataset.config.model_dump(mode="json") | sections
    dataset.store.write_file("dataset.yaml", json.dumps(config).encode())


def test_what_is_remembered_is_what_the_stages_say_after_every_change(tmp_path: Path) -> None:
    dataset = make(str(tmp_path / "root"))
    for what, change in CHANGES.items():
        told(dataset)
        change(Dataset.open(dataset.store.root))
        assert short(told(dataset)) == from_the_stages(dataset), what
        assert short(told(dataset)) == from_the_stages(dataset), f"{what}, remembered"


def test_only_shards_that_have_changed_are_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make(str(tmp_path / "root"), shards=4)
    told(dataset)
    asked: list[tuple[str, int]] = []
    real = status._ask

    def ask(stage: Any, view: Any, shard: int) -> Any:
        asked.append((stage.name, shard))
        return real(stage, view, shard)

    monkeypatch.setattr(status, "_ask", ask)
    told(dataset)
    assert asked == []
    dataset.store.remove(media_path(0, first_video(dataset)))
    told(dataset)
    assert set(asked) == {("tables", 0), ("media", 0), ("features", 0)}


def test_hashtags_count_their_own_videos(tmp_path: Path) -> None:
    rows = {row.name: row for row in told(make(str(tmp_path / "root")))}

    assert set(rows["tables"].hashtags) == {"nba", "cats"}, "those that are collected, and no other"
    assert rows["collect"].hashtags["nba"] == HashtagCount(0, 1)
    assert rows["tables"].hashtags["nba"] == HashtagCount(8, 0)
    assert rows["media"].hashtags["nba"] == HashtagCount(6, 2)
    assert rows["media"].hashtags["cats"].done == 4
    assert rows["media"].hashtags["cats"].failures == {"no_video_stream": 2}
    assert rows["features"].hashtags["nba"] == HashtagCount(4, 2)
    assert rows["features"].hashtags["cats"].failures == {"no_audio": 2}
    assert rows["features"].failures == {"no_audio": 2}
    assert (rows["media"].items_left, rows["features"].items_left) == (4, 2)


def test_a_source_without_hashtags_of_its_own_counts_the_most_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "_MOST_HASHTAGS", 2)
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "comments.jsonl").write_text("")
    dataset = make(str(tmp_path / "root"), source={"kind": "folder", "path": str(tmp_path / "films")})

    rows = {row.name: row for row in told(dataset)}

    assert set(rows["tables"].hashtags) == {"cats", "nba"}
    assert rows["collect"].hashtags == {}


def test_the_time_left_is_by_the_rates_of_those_who_are_not_silent(tmp_path: Path) -> None:
    dataset = make(str(tmp_path / "root"))

    def work(unit: str, done: int, at: datetime) -> None:
        said = {
            "stage": "media",
            "unit": unit,
            "machine": "elsewhere",
            "process": 1,
            "run": "media seen 0",
            "done": done,
        }
        since = {"since": at.isoformat(), "expected": 9, "seconds": 10.0}
        dataset.store.write_file(f"private/working/media/{unit}.json", json.dumps(said | since).encode())

    now = datetime.now(UTC)
    work("0000", 5, now)
    work("0001", 15, now)
    overview = Dataset.open(dataset.store.root).overview()
    media = next(row for row in overview.stages if row.name == "media")
    assert (media.rate, media.items_left, media.seconds_left) == (2.0, 4, 2.0)
    assert [one.unit for one in overview.working] == ["0000", "0001"]

    silent = tmp_path / "root" / "private" / "working" / "media" / "0001.json"
    then = time.time() - timedelta(minutes=3).total_seconds()
    os.utime(silent, (then, then))
    overview = Dataset.open(dataset.store.root).overview()
    assert next(row for row in overview.stages if row.name == "media").rate == 0.5
    assert [one.is_silent(overview.at) for one in overview.working] == [False, True]


@pytest.mark.parametrize("memory", [b"{", b"[]", b"{}"])
def test_a_memory_that_is_no_use_is_done_without(tmp_path: Path, memory: bytes) -> None:
    dataset = make(str(tmp_path / "root"))
    dataset.store.write_file(status.MEMORY, memory)
    assert short(told(dataset)) == from_the_stages(dataset)


def test_who_may_not_write_looks_all_the_same(tmp_path: Path) -> None:
    dataset = make(str(tmp_path / "root"))
    (tmp_path / "root" / status.MEMORY).mkdir(parents=True)  # where the file should be
    assert short(told(dataset)) == from_the_stages(dataset)
