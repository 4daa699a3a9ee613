"""The Research API's client against a service that has all the quirks that are documented."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from csmv.pipeline.collect import collect, unread
from csmv.pipeline.config import DatasetConfig, read_config
from csmv.pipeline.demo.sandbox import Sandbox, SandboxSettings
from csmv.pipeline.demo.sandbox.research_sandbox import CLIENT_KEY, CLIENT_SECRET, TROUBLES
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.sources.base import Reach
from csmv.pipeline.sources.collect_settings import Connection, Limits
from csmv.pipeline.sources.research import Research, ResearchReport, ResearchSource
from csmv.pipeline.sources.research_api import KEY_VARIABLE, QUOTA_FILE, SECRET_VARIABLE, ResearchVideo
from csmv.pipeline.sources.research_rounds import LANDING, windows
from csmv.pipeline.sources.tables import TableSummary, write_tables
from csmv.pipeline.store import Store

NO_COMMENTS = Limits(videos=None, comments=0)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, CLIENT_KEY)
    monkeypatch.setenv(SECRET_VARIABLE, CLIENT_SECRET)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(SandboxSettings(hashtags=2, videos=60, comments=3)) as running:
        yield running


def store_of(tmp_path: Path, sandbox: Sandbox, name: str = "root", **settings: Any) -> Store:
    asked = {"hashtags": tuple(sandbox.world.tags), "start": date(2026, 8, 28), "end": date(2026, 9, 6), **settings}
    return Store.create(str(tmp_path / name), DatasetConfig(name="t", n_shards=2, source=ResearchSource(**asked)))


@dataclass
class Run:
    """A run's report beside what is in the tables after it."""

    report: ResearchReport
    tables: TableSummary
    videos: int
    comments: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.report, name)


def run(store: Store, sandbox: Sandbox, day: date = date(2026, 10, 1), **options: Any) -> Run:
    """A run on a day after the last of the sandbox's videos."""
    connection = Connection(proxy=sandbox.proxy, ca_file=sandbox.ca_file)
    source = Research(read_config(store).source, **{"sleep": lambda _: None, "today": lambda: day, **options})
    report = collect(store, source, Reach(connection))
    assert isinstance(report, ResearchReport)
    tables = write_tables(store, source, read_config(store).scrub, store.key())
    return Run(report, tables, *(store.read_all(table).num_rows for table in ("videos", "comments")))


def test_a_search_ends_in_tables_with_everything_once(tmp_path: Path, sandbox: Sandbox) -> None:
    store = store_of(tmp_path, sandbox)

    report = run(store, sandbox)

    videos, comments = store.read_all("videos"), store.read_all("comments")
    assert set(videos["video_id"].to_pylist()) == set(sandbox.world.videos)
    assert comments.num_rows == 120 * 3
    assert report.requests == len(sandbox.site.research.requests)
    assert json.loads(store.read_file(QUOTA_FILE)).popitem()[1] == report.requests
    assert all(request["body"].get("max_count") == 100 for request in sandbox.site.research.requests)
    text = json.dumps([table.to_pylist() for table in (videos, comments)], default=str)
    assert not [name for name in sandbox.world.personal() if name in text]
    assert "\\u0000" not in text

    assert run(store, sandbox).requests == 0, "a finished search asks for nothing again"


def test_cursors_come_from_answers_and_windows_share_their_border(tmp_path: Path, sandbox: Sandbox) -> None:
    run(store_of(tmp_path, sandbox, window_days=3, limits=NO_COMMENTS), sandbox)
    asked = [r["body"] for r in sandbox.site.research.requests if "query" in r["body"]]
    spans = list(dict.fromkeys((body["start_date"], body["end_date"]) for body in asked))
    assert spans == [("20260828", "20260831"), ("20260831", "20260903"), ("20260903", "20260906")]
    # The sandbox's first page of a long list is one short: a computed cursor would be 100.
    assert {body["cursor"] for body in asked if "cursor" in body} <= {99}


def test_windows_never_span_more_than_asked() -> None:
    for days in (1, 7, 30):
        made = windows(date(2026, 1, 1), date(2026, 12, 31), days)
        assert made[0][0] == date(2026, 1, 1) and made[-1][1] == date(2026, 12, 31)
        assert all((end - start).days <= days for start, end in made)
        assert all(one[1] == following[0] for one, following in pairwise(made))
    assert windows(date(2026, 1, 1), date(2026, 1, 1), 7) == [(date(2026, 1, 1), date(2026, 1, 1))]


def test_passing_troubles_are_waited_out(tmp_path: Path, sandbox: Sandbox) -> None:
    sandbox.site.research.trouble.extend(["rate", "internal", "internal", "gateway", "token"])
    waits: list[float] = []
    report = run(store_of(tmp_path, sandbox, limits=NO_COMMENTS), sandbox, sleep=waits.append)
    assert report.videos == 120
    assert waits[:4] == [1.0, 60.0, 120.0, 120.0]
    assert report.requests == len(sandbox.site.research.requests), "failed requests count too"


def test_after_the_quota_nothing_is_sent_until_the_next_day(tmp_path: Path, sandbox: Sandbox) -> None:
    store = store_of(tmp_path, sandbox, daily_requests=20)
    day = [date(2026, 10, 1)]

    first = run(store, sandbox, today=lambda: day[0])
    assert (first.requests, len(sandbox.site.research.requests)) == (20, 20)
    assert "quota" in first.stopped
    assert run(store, sandbox, today=lambda: day[0]).requests == 0

    pages = {name for name in store.files(LANDING) if ".more." in name or ".end." in name}
    while run(store, sandbox, today=lambda: day[0]).stopped:
        day[0] = day[0].replace(day=day[0].day + 1)
    assert pages <= set(store.files(LANDING)), "landing is only ever added to"
    asked = [json.dumps(r["body"], sort_keys=True) for r in sandbox.site.research.requests if "video_id" in r["body"]]
    assert len(asked) == len(set(asked)) == 120, "no page that is stored is asked for again"
    assert set(store.read_all("videos")["video_id"].to_pylist()) == set(sandbox.world.videos)


def test_the_services_own_word_on_the_quota_is_believed(tmp_path: Path, sandbox: Sandbox) -> None:
    store = store_of(tmp_path, sandbox)
    sandbox.site.research.trouble.append("quota")
    assert "quota" in run(store, sandbox).stopped
    assert len(sandbox.site.research.requests) == 1
    assert run(store, sandbox).requests == 0


@pytest.mark.parametrize(
    ("trouble", "said"),
    [(["scope"], "not approved"), (["token", "token"], "fresh token"), (["internal"] * 9, "6 times in a row")],
)
def test_what_a_person_has_to_put_right_is_said(
    tmp_path: Path, sandbox: Sandbox, trouble: list[str], said: str
) -> None:
    sandbox.site.research.trouble.extend(trouble)
    with pytest.raises(CsmvError, match=said):
        run(store_of(tmp_path, sandbox), sandbox)


def test_a_window_that_is_too_deep_is_halved(tmp_path: Path, sandbox: Sandbox) -> None:
    sandbox.site.research.trouble.extend(["cursor"] * 6)
    store = store_of(tmp_path, sandbox, window_days=30, limits=NO_COMMENTS)
    assert run(store, sandbox).videos == 120
    assert {name.split("/")[4] for name in store.files(f"{LANDING}/videos")} == {
        "20260828-20260906",
        "20260828-20260901",
        "20260901-20260906",
    }


def test_windows_that_may_still_grow_are_left_for_a_later_run(tmp_path: Path, sandbox: Sandbox) -> None:
    store = store_of(tmp_path, sandbox, window_days=3, end=date(2026, 9, 3), limits=NO_COMMENTS)
    on_time = {video.id for video in sandbox.world.videos.values() if video.created < 1_788_134_400}  # 31 August

    early = run(store, sandbox, date(2026, 9, 4))

    assert early.unsettled_windows == 1
    found = set(store.read_all("videos")["video_id"].to_pylist())
    assert on_time < found < set(sandbox.world.videos)
    spans = {(r["body"]["start_date"], r["body"]["end_date"]) for r in sandbox.site.research.requests}
    assert spans == {("20260828", "20260831")}
    later = run(store, sandbox, date(2026, 9, 5))
    assert (later.unsettled_windows, later.videos) == (0, 120)


def test_lists_that_grew_old_are_asked_for_again_and_what_vanished_goes(tmp_path: Path, sandbox: Sandbox) -> None:
    store = store_of(tmp_path, sandbox, limits=Limits(videos=10, comments=100))
    first = run(store, sandbox)
    landed = set(store.files(LANDING))
    video, other = list(sandbox.world.videos.values())[:2]
    sandbox.site.research.withdrawn |= {video.id, other.comments[0].cid}
    assert run(store, sandbox, date(2026, 10, 15)).requests == 0, "fourteen days are not too old"

    again = run(store, sandbox, date(2026, 10, 16))

    assert (again.videos, again.comments, again.vanished) == (119, 10 * 3 - 1, 1)
    assert again.refreshed == 2 + 9, "two windows, and the comments of all videos but the new tenth"
    assert again.requests == first.requests
    assert video.id not in store.read_all("videos")["video_id"].to_pylist()
    assert video.id not in store.read_all("comments")["video_id"].to_pylist()
    row = next(row for row in store.read_all("failures/tables").to_pylist() if row["key"] == video.id)
    assert (row["reason"], row["detail"]) == ("gone", "the service no longer gives it")
    assert landed <= set(store.files(LANDING)), "landing is only ever added to"
    assert run(store, sandbox, date(2026, 10, 17)).requests == 0


def test_a_service_that_suddenly_knows_nothing_is_not_believed(tmp_path: Path, sandbox: Sandbox) -> None:
    store = store_of(tmp_path, sandbox, limits=NO_COMMENTS)
    run(store, sandbox)
    everything = set(sandbox.world.videos)
    sandbox.site.research.withdrawn |= everything

    run(store, sandbox, date(2026, 10, 20))
    assert set(store.read_all("videos")["video_id"].to_pylist()) == everything
    assert run(store, sandbox, date(2026, 10, 20)).requests == 0

    sandbox.site.research.withdrawn = set(list(everything)[:5])
    assert run(store, sandbox, date(2026, 10, 21)).vanished == 5, "asked again the next day"


def test_nothing_grows_too_old_where_the_setting_says_so(tmp_path: Path, sandbox: Sandbox) -> None:
    store = store_of(tmp_path, sandbox, refresh_days=None, limits=NO_COMMENTS)
    run(store, sandbox)
    assert run(store, sandbox, date(2027, 10, 1)).requests == 0


def test_wrong_keys_and_no_keys(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(tmp_path, sandbox)
    monkeypatch.setenv(SECRET_VARIABLE, "wrong")
    with pytest.raises(CsmvError, match="invalid_client") as refused:
        run(store, sandbox)
    assert "wrong" not in str(refused.value)
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(CsmvError, match=KEY_VARIABLE):
        run(store, sandbox)
    assert sandbox.site.research.requests == []


def test_secrets_and_tokens_are_in_no_file(tmp_path: Path, sandbox: Sandbox) -> None:
    store = store_of(tmp_path, sandbox, limits=Limits(videos=3, comments=1))
    run(store, sandbox)
    import zstandard

    for name in store.files():
        data = store.read_file(name)
        if name.endswith(".zst"):
            data = zstandard.ZstdDecompressor().decompress(data)
        assert CLIENT_SECRET.encode() not in data and b"clt." not in data and b"Bearer" not in data, name


def test_limits_are_kept(tmp_path: Path, sandbox: Sandbox) -> None:
    store = store_of(tmp_path, sandbox, limits=Limits(videos=5, comments=100))
    run(store, sandbox)
    assert sum("video_id" in r["body"] for r in sandbox.site.research.requests) == 5


def test_the_documented_example_is_read(shared: Path) -> None:
    answer = json.loads((shared / "tiktok" / "examples" / "research_video_query.json").read_text())
    videos = [ResearchVideo.model_validate(row) for row in answer["data"]["videos"]]
    assert [str(video.id) for video in videos] == ["7679401525248000001", "7679030440073625604"]
    assert ResearchVideo.model_validate({"video_id": 5}).id == 5


def test_landing_with_strange_rows_gives_the_others(tmp_path: Path, sandbox: Sandbox) -> None:
    store = store_of(tmp_path, sandbox)
    from csmv.pipeline.sources.landing import Record, write_records

    rows = {"videos": [{"id": "../../x"}, {"id": -4}, {"nothing": 1}, {"id": 7679401525248000001}]}
    write_records(
        store,
        f"{LANDING}/videos/20260828-20260904/20261001/00000.end.jsonl.zst",
        [Record("x", json.dumps(rows).encode())],
    )
    assert list(Research(read_config(store).source).videos(store)[0]) == ["7679401525248000001"]


def altered(sandbox: Sandbox, path: str, change: Any) -> None:
    """Have the service send other answers at a path, from now on."""
    whole = f"/v2/research/video/{path}/"

    def alter(asked: str, data: dict[str, Any]) -> None:
        if asked == whole and data["error"]["code"] == "ok":
            change(data["data"])

    sandbox.site.alter = alter


def rename(old: str, new: str) -> Any:
    return lambda data: data.update({new: data.pop(old)})


QUERY, LIST = "query", "comment/list"
SHAPES = {
    "videos renamed": (QUERY, rename("videos", "items"), "`data.videos`"),
    "videos an object": (QUERY, lambda data: data.update(videos={"a": 1}), "`data.videos`"),
    "has_more gone": (QUERY, lambda data: data.pop("has_more"), "`data.has_more`"),
    "has_more null": (QUERY, lambda data: data.update(has_more=None), "`data.has_more`"),
    "cursor gone": (QUERY, lambda data: data.update(has_more=True) or data.pop("cursor"), "`data.cursor`"),
    "ids gone": (
        QUERY,
        lambda data: [(row.pop("id", None), row.pop("video_id", None)) for row in data["videos"]],
        "`videos[].id`",
    ),
    "create_time renamed": (
        QUERY,
        lambda data: [rename("create_time", "created")(row) for row in data["videos"]],
        "`videos[].create_time`",
    ),
    "comments renamed": (LIST, rename("comments", "items"), "`data.comments`"),
    "comments' has_more gone": (LIST, lambda data: data.pop("has_more"), "`data.has_more`"),
    "comments' text renamed": (
        LIST,
        lambda data: [rename("text", "content")(row) for row in data["comments"]],
        "`comments[].text`",
    ),
    "comments' ids gone": (LIST, lambda data: [row.pop("id") for row in data["comments"]], "`comments[].id`"),
}


QUICKLY = ("videos renamed", "comments' has_more gone", "comments' text renamed")


@pytest.mark.parametrize(
    "name", [name if name in QUICKLY else pytest.param(name, marks=pytest.mark.slow) for name in SHAPES]
)
def test_a_changed_service_ends_the_run_with_the_field(tmp_path: Path, sandbox: Sandbox, name: str) -> None:
    path, change, told = SHAPES[name]
    store = store_of(tmp_path, sandbox, limits=Limits(videos=4, comments=100))
    altered(sandbox, path, change)

    report = run(store, sandbox)

    assert told in report.stopped and "--reparse" in report.stopped
    assert report.left

    sandbox.site.alter = None
    for _ in range(3):
        again = run(store, sandbox)
    assert (again.left, again.stopped, again.videos) == (0, "", 120)
    assert again.comments == 4 * 3


def test_odd_rows_cost_themselves(tmp_path: Path, sandbox: Sandbox) -> None:
    def odd(data: dict[str, Any]) -> None:
        rows = data["videos"]
        if len(rows) > 40:
            rows[5] |= {"create_time": 10**15}
            rows[40] |= {name: None for name in rows[40] if name not in ("id", "video_id")}

    altered(sandbox, QUERY, odd)
    store = store_of(tmp_path, sandbox, limits=Limits(videos=None, comments=0, since=date(2026, 8, 1)))

    report = run(store, sandbox)

    assert (report.stopped, report.videos) == ("", 120)
    assert report.shapes == {"`videos[].create_time` is a number where it should be another value": 1}
    assert store.read_all("videos")["created_at"].null_count == 2


def test_a_row_without_an_id_is_counted(tmp_path: Path, sandbox: Sandbox) -> None:
    def odd(data: dict[str, Any]) -> None:
        for row in data["videos"][7:8]:
            row.update(id=None, video_id=None)

    altered(sandbox, QUERY, odd)
    store = store_of(tmp_path, sandbox, limits=NO_COMMENTS)
    run(store, sandbox)
    assert len(unread(store)) == 1 and "`videos[].id`" in unread(store)[0]


def test_a_refresh_that_stalled_deletes_nothing(tmp_path: Path, sandbox: Sandbox) -> None:
    store = store_of(tmp_path, sandbox, limits=NO_COMMENTS)
    run(store, sandbox)
    everything = set(store.read_all("videos")["video_id"].to_pylist())

    def stall(data: dict[str, Any]) -> None:
        data.update(videos=data["videos"][:3], has_more=True, cursor=99)

    altered(sandbox, QUERY, stall)
    for day in (20, 21):
        stalled = run(store, sandbox, date(2026, 10, day))
        assert (stalled.vanished, stalled.videos) == (0, 120)
        assert stalled.stalled_windows and stalled.left

    sandbox.site.alter = None
    healed = run(store, sandbox, date(2026, 10, 22))
    assert (healed.vanished, healed.left) == (0, 0)
    assert set(store.read_all("videos")["video_id"].to_pylist()) == everything


@pytest.mark.parametrize("answer", [(503, b'{"error": {"code": "service_unavailable"}}'), (502, b"[]"), (500, b"null")])
def test_every_failure_of_a_server_is_tried_again(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, bytes]
) -> None:
    monkeypatch.setitem(TROUBLES, "odd", (*answer, {}))
    sandbox.site.research.trouble.extend(["odd"] * 3)
    assert run(store_of(tmp_path, sandbox, limits=NO_COMMENTS), sandbox).videos == 120


def test_a_comment_under_two_videos_costs_itself(tmp_path: Path, sandbox: Sandbox) -> None:
    def repeat(data: dict[str, Any]) -> None:
        for row in data["comments"][:1]:
            row.pop("video_id")
            row["id"] = 7_000_000_000_000_000_001

    altered(sandbox, LIST, repeat)
    store = store_of(tmp_path, sandbox, limits=Limits(videos=4, comments=100))
    run(store, sandbox)
    for shard in store.shards():
        shown = store.read("comments", shard)
        assert shown is None or len(set(shown["comment_id"].to_pylist())) == shown.num_rows
    reasons = [row["reason"] for row in store.read_all("failures/tables").to_pylist()]
    assert reasons.count("duplicate") + store.read_all("comments").num_rows == 4 * 3


def test_a_higher_limit_on_comments_reaches_further(tmp_path: Path, sandbox: Sandbox) -> None:
    store = store_of(tmp_path, sandbox, limits=Limits(videos=4, comments=2))
    assert run(store, sandbox).comments == 4 * 2
    assert run(store, sandbox).requests == 0
    source = read_config(store).source
    raised = source.model_copy(update={"limits": Limits(videos=4, comments=100)})
    source = Research(raised, sleep=lambda _: None, today=lambda: date(2026, 10, 1))
    assert source.left(store) == 0, "one page had them all"
    write_tables(store, source, read_config(store).scrub, store.key())
    assert store.read_all("comments").num_rows == 4 * 3
