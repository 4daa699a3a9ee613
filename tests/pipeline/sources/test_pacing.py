"""One pace for threads, pauses that everybody sees, and a floor that only the sandbox lifts."""

import threading
import time
from pathlib import Path

import pytest

from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.demo.sandbox import Sandbox, SandboxSettings
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.sources.collect_settings import FLOOR_S, Connection, Manners, WebSource
from csmv.pipeline.sources.landing import Landing, Record, Visit, latest, new_visit, verdict_of
from csmv.pipeline.sources.pacing import Interval, Pacer, Paused, interval_for, is_sandbox
from csmv.pipeline.sources.walls import DONE, Done, Outcome, Verdict
from csmv.pipeline.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(str(tmp_path / "root"), DatasetConfig(name="t", n_shards=2, source=WebSource(hashtags=("x",))))


def test_four_threads_keep_one_interval() -> None:
    turn, granted = Interval(0.05), list[float]()

    def work() -> None:
        for _ in range(5):
            turn()
            granted.append(time.monotonic())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    granted.sort()
    assert granted[-1] - granted[0] >= 19 * 0.05 - 0.02


def test_a_pause_holds_every_worker_of_a_root(store: Store) -> None:
    one, other = (Pacer(store, Interval(0), 10) for _ in range(2))
    one.pause(0.5)
    began = time.monotonic()
    other.wait()
    assert time.monotonic() - began >= 0.4


def test_a_shorter_pause_never_cuts_a_longer_one(store: Store) -> None:
    pacer = Pacer(store, Interval(0), 10)
    pacer.pause(100)
    until = pacer.paused_until()
    pacer.pause(1)
    assert pacer.paused_until() == until


def test_a_pause_beyond_patience_is_told(store: Store) -> None:
    pacer = Pacer(store, Interval(0), 10)
    pacer.pause(3600)
    with pytest.raises(Paused) as paused:
        pacer.wait()
    assert 3500 < paused.value.until - time.time() <= 3600


def test_no_setting_goes_below_the_floor_but_for_the_sandbox() -> None:
    hasty = Manners(interval_s=0)
    assert interval_for(hasty, Connection()) == FLOOR_S
    assert interval_for(hasty, Connection(proxy="http://127.0.0.1:9")) == FLOOR_S
    assert interval_for(Manners(interval_s=7), Connection()) == 7
    with Sandbox(SandboxSettings(hashtags=1, videos=1)) as sandbox:
        assert is_sandbox(sandbox.proxy)
        assert interval_for(hasty, Connection(proxy=sandbox.proxy)) == 0


def test_landing_tells_from_names_where_a_target_stands(store: Store) -> None:
    landing = Landing(store)
    wall = Verdict(Outcome.CAPTCHA)
    landing.close_video("7679401525248000001", new_visit(), wall, [Record("/video", b"{}")])
    landing.close_video(
        "7679401525248000001", new_visit(), DONE, [Record("/video", '{"a": "\ud83d"}'.encode("utf-8", "surrogatepass"))]
    )
    landing.close_video("7679401525248000001", new_visit(), wall)
    visits = landing.video_visits()["7679401525248000001"]
    assert [visit.outcome for visit in visits] == [Outcome.CAPTCHA, Done.DONE, Outcome.CAPTCHA]
    last = latest(visits)
    assert last is not None and last.outcome is Done.DONE and verdict_of(landing.read(last.name)) == DONE
    assert latest([]) is None and isinstance(last, Visit)


@pytest.mark.parametrize("bad", ["../../x", "a/b", "", ".hidden", "x" * 65])
def test_landing_takes_no_id_that_leaves_its_folder(store: Store, bad: str) -> None:
    with pytest.raises(CsmvError):
        Landing(store).close_video(bad, new_visit(), DONE)
    assert store.files("private/landing") == []


def test_a_damaged_landing_file_is_named(store: Store) -> None:
    store.write_file("private/landing/web/tags/abc/x.0001.page.jsonl.zst", b"no zstd")
    with pytest.raises(CsmvError, match=r"x\.0001.*damaged"):
        list(Landing(store).read("private/landing/web/tags/abc/x.0001.page.jsonl.zst"))
