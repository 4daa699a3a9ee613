"""Who works on what: the file of a unit while it is being done, on a disk and on S3, and what is left of a dead one."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from counted_s3 import CountedS3

from csmv.pipeline import work
from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.progress import did, did_not, expect
from csmv.pipeline.stage import RootStage, Tick
from csmv.pipeline.store import Store
from csmv.pipeline.verify import verify
from csmv.pipeline.work import Work, do_unit, sweep_work, work_in

CONFIG = {"name": "x", "n_shards": 2, "source": {"kind": "web", "hashtags": ["nba"]}}


class Slow(RootStage):
    """A stage that does as a test says."""

    name = "slow"

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act

    def missing(self, dataset: Any) -> list[str]:
        return ["root"]

    def run(self, dataset: Any, unit: str, tick: Tick) -> None:
        self.act()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "FIRST_AFTER_S", 0.05)
    monkeypatch.setattr(work, "EVERY_S", 0.05)


@pytest.fixture(params=["disk", "s3"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    root = str(tmp_path / "root")
    if request.param == "s3":
        request.getfixturevalue("counted_s3")
        root = f"s3://csmv/{tmp_path.name}"
    return Dataset.create(root, DatasetConfig.model_validate(CONFIG))


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_unit_is_seen_while_it_is_done_and_not_afterwards(dataset: Dataset) -> None:
    seen: list[Work] = []

    def act() -> None:
        expect(10)
        did(4, videos=4, bytes=1000)
        did_not("no_audio")
        until(lambda: [one for one in work_in(dataset.store) if one.done == 4])
        seen.extend(work_in(dataset.store))

    told: list[int] = []
    report = do_unit(
        Slow(act), dataset, "0001", lambda _n: None, run="slow x", watchers=[lambda r: told.append(r.items)]
    )

    [one] = seen
    assert (one.stage, one.unit, one.run, one.done, one.expected) == ("slow", "0001", "slow x", 4, 10)
    assert (one.machine, one.process) == (socket.gethostname(), os.getpid())
    assert one.rate is not None and one.rate == pytest.approx(4 / one.seconds)
    assert not one.is_silent(datetime.now(UTC))
    assert work_in(dataset.store) == []
    assert report.counts == {"videos": 4, "bytes": 1000} and report.reasons == {"no_audio": 1}
    assert told[-1] == 4
    assert verify(dataset.store).problems == ()


def test_the_file_goes_when_the_unit_fails(dataset: Dataset) -> None:
    def act() -> None:
        until(lambda: work_in(dataset.store))
        raise ValueError

    with pytest.raises(ValueError):
        do_unit(Slow(act), dataset, "root", lambda _n: None)

    assert work_in(dataset.store) == []


def test_a_quick_unit_asks_nothing_of_s3_and_a_long_one_a_put_each_time(
    counted_s3: CountedS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Dataset.create(f"s3://csmv/{tmp_path.name}", DatasetConfig.model_validate(CONFIG))
    with counted_s3.counted() as quick:
        do_unit(Slow(lambda: None), dataset, "root", lambda _n: None)
    assert quick.total() == 0

    monkeypatch.setattr(work, "EVERY_S", 0.2)
    with counted_s3.counted() as long:
        do_unit(Slow(lambda: time.sleep(0.5)), dataset, "root", lambda _n: None)
    assert 1 <= long["PUT"] <= 3
    assert long.total() - long["PUT"] <= 2, "one file is removed, and nothing else is asked"


def test_what_a_killed_process_left_is_swept_and_what_runs_elsewhere_is_not(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), DatasetConfig.model_validate(CONFIG))

    def leave(unit: str, machine: str, process: int, age_s: float = 0) -> None:
        said = {"stage": "media", "unit": unit, "machine": machine, "process": process, "run": "", "done": 0}
        since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        name = f"private/working/media/{unit}.json"
        store.write_file(name, json.dumps(said | {"since": since, "expected": None, "seconds": 1.0}).encode())
        then = time.time() - age_s
        os.utime(store.path(name), (then, then))

    leave("0000", socket.gethostname(), os.getpid())
    leave("0001", socket.gethostname(), 2**22 - 1)
    leave("0002", "elsewhere", 1)
    leave("0003", "elsewhere", 1, age_s=150)
    store.write_file("private/working/media/0004.json", b"{")
    silent = [one.unit for one in work_in(store) if one.is_silent(datetime.now(UTC))]

    sweep_work(store, "media")

    assert silent == ["0003"]
    assert [one.unit for one in work_in(store)] == ["0000", "0002"]
    assert len(store.files("private/working")) == 2
    assert (Path(store.path("private/working")).stat().st_mode & 0o077) == 0


def test_storage_that_fails_and_a_watcher_that_fails_disturb_nothing(tmp_path: Path) -> None:
    dataset = Dataset.create(str(tmp_path), DatasetConfig.model_validate(CONFIG))
    (tmp_path / "private" / "working").write_text("a file where the folder should be")

    def watcher(_reading: object) -> None:
        raise OSError

    over = threading.Event()
    do_unit(Slow(lambda: time.sleep(0.2)), dataset, "root", lambda _n: over.set(), watchers=[watcher])
