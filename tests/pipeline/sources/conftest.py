"""A sandbox, a root that collects from it, and manners quick enough for tests."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from csmv.pipeline.collect import collect
from csmv.pipeline.config import DatasetConfig, read_config
from csmv.pipeline.demo.sandbox import Sandbox, SandboxSettings
from csmv.pipeline.pseudonym import Pseudonymiser
from csmv.pipeline.sources.base import Reach
from csmv.pipeline.sources.browser import find_chromium
from csmv.pipeline.sources.collect_settings import Connection, Limits, Manners, WebSource
from csmv.pipeline.sources.landing import Landing, latest
from csmv.pipeline.sources.tables import write_tables
from csmv.pipeline.sources.web import Web
from csmv.pipeline.sources.web_visits import Report
from csmv.pipeline.store import Store

QUICK = Manners(
    interval_s=0,
    scroll_pause_s=(0, 0.01),
    page_timeout_s=20,
    list_timeout_s=1.5,
    stall_scrolls=2,
    after_wall_s=0,
    walls_in_a_row=100,
)


@pytest.fixture(scope="session")
def quick() -> Manners:
    """Manners that no real site would be shown."""
    return QUICK


@pytest.fixture(scope="session")
def chromium() -> Path:
    """A real browser; the tests that need one are skipped where there is none."""
    found = find_chromium()
    if found is None:
        pytest.skip("Chromium is not installed: `make set-up` or `apt-get install chromium`")
    return found


@dataclass
class Trial:
    """A sandbox and a root that collects from it."""

    sandbox: Sandbox
    store: Store
    source: WebSource

    @property
    def connection(self) -> Connection:
        return Connection(proxy=self.sandbox.proxy, ca_file=self.sandbox.ca_file)

    def run(self, **reach: Any) -> Report:
        """One run, without a second try of what may pass; `reach` are fields of `Reach`."""
        report = collect(self.store, Web(self.source), Reach(self.connection, **reach), pause=None)
        assert isinstance(report, Report)
        return report

    def run_until_done(self, most: int = 12) -> int:
        """Runs until nothing is left, then tables; gives the number of runs."""
        for number in range(1, most + 1):
            if self.run().left == 0:
                self.tabulate()
                return number
        raise AssertionError(f"not done after {most} runs")

    def tabulate(self) -> None:
        write_tables(self.store, Web(self.source), read_config(self.store).scrub, self.store.key())

    def outcome(self, video_id: str) -> str:
        """How the last visit of a video ended."""
        visit = latest(Landing(self.store).video_visits().get(video_id, []))
        return str(visit.outcome) if visit else ""

    def comment_ids(self, truth: dict[str, frozenset[str]]) -> set[tuple[str, str]]:
        """The (pseudonym, video) pairs that a truth table asks for."""
        pseudonyms = Pseudonymiser(self.store.key())
        return {(pseudonyms.comment_id(cid), video) for video, cids in truth.items() for cid in cids}

    def failures(self) -> dict[str, str]:
        """The reason of every failure of the collection, by key."""
        rows = [row for stage in ("collect", "tables") for row in self.store.read_all(f"failures/{stage}").to_pylist()]
        return {row["key"]: row["reason"] for row in rows}

    def assert_true(self) -> None:
        """The tables are what the sandbox's truth table says, and hold nothing that is personal."""
        truth = self.sandbox.world.truth()
        videos, comments = self.store.read_all("videos").to_pylist(), self.store.read_all("comments").to_pylist()
        assert sorted(row["video_id"] for row in videos) == sorted(truth.collected)
        found = [(row["comment_id"], row["video_id"]) for row in comments]
        assert len(found) == len(set(found))
        assert set(found) == self.comment_ids(truth.collected)
        assert {key: word for key, word in self.failures().items() if key.isdigit()} == truth.failed
        self.assert_nothing_personal()

    def assert_nothing_personal(self) -> None:
        """No planted identifier is anywhere outside private/, in any file."""
        text = ""
        for name in self.store.files():
            if name.startswith("private/"):
                continue
            if name.endswith(".parquet"):
                table = pq.read_table(io.BytesIO(self.store.read_file(name)))
                text += json.dumps(table.to_pylist(), default=str, ensure_ascii=False)
            else:
                text += self.store.read_file(name).decode("utf-8", "replace")
        assert text
        found = [identifier for identifier in self.sandbox.world.personal() if identifier in text]
        assert found == []


@pytest.fixture
def trial(tmp_path: Path, chromium: Path) -> Iterator[Callable[..., Trial]]:
    """Makes a trial: sandbox settings by name, `limits` and `manners` apart."""
    opened: list[Sandbox] = []

    def make(limits: Limits | None = None, manners: Manners = QUICK, **settings: Any) -> Trial:
        sandbox = Sandbox(SandboxSettings(**{"retry_after_s": 0.2, "slow_s": 0.3} | settings)).__enter__()
        opened.append(sandbox)
        limits = limits or Limits(videos=None, comments=None)
        source = WebSource(hashtags=tuple(sandbox.world.tags), limits=limits, manners=manners)
        root = tmp_path / f"root{len(opened)}"
        store = Store.create(str(root), DatasetConfig(name="trial", n_shards=3, source=source))
        return Trial(sandbox, store, source)

    yield make
    for sandbox in opened:
        sandbox.close()
