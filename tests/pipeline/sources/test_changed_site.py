"""A site that changes its shapes while it is collected from: the run says which field, and mending brings the rows."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from csmv.pipeline.collect import unread
from csmv.pipeline.config import read_config
from csmv.pipeline.sources import responses
from csmv.pipeline.sources.reparse import reparse
from csmv.pipeline.sources.visit import COMMENTS, ITEMS, REPLIES
from csmv.pipeline.sources.web import Web
from csmv.pipeline.store import Store

Json = dict[str, Any]


def at(path: str, change: Callable[[Json], Any]) -> Callable[[str, Json], None]:
    """Changes the answers of one path; "/@" is every video page."""

    def alter(asked: str, data: Json) -> None:
        if asked == path or (path == "/@" and asked.startswith("/@") and "__DEFAULT_SCOPE__" in data):
            change(data)

    return alter


def rename(old: str, new: str) -> Callable[[Json], Any]:
    return lambda data: data.update({new: data.pop(old)}) if old in data else None


def each_comment(change: Callable[[Json], Any]) -> Callable[[Json], Any]:
    return lambda data: [change(comment) for comment in data.get("comments") or []]


def item_of(data: Json) -> Json:
    item: Json = data["__DEFAULT_SCOPE__"]["webapp.video-detail"]["itemInfo"]["itemStruct"]
    return item


CHANGES = {
    "items under another key": (at(ITEMS, rename("itemList", "items")), "`itemList`", 0),
    "no word on more items": (at(ITEMS, rename("hasMore", "more")), "`hasMore`", 0),
    "items without ids": (at(ITEMS, lambda data: [item.pop("id") for item in data["itemList"]]), "`itemList[].id`", 0),
    "pages without their item": (
        at("/@", lambda data: rename("itemInfo", "info")(data["__DEFAULT_SCOPE__"]["webapp.video-detail"])),
        "itemInfo.itemStruct`",
        3,
    ),
    "pages whose items lack an author": (at("/@", lambda data: item_of(data).pop("author")), "`itemStruct.author`", 3),
    "comments under another key": (at(COMMENTS, rename("comments", "comment_list")), "`comments`", 1),
    "no word on more comments": (at(COMMENTS, rename("has_more", "more")), "`has_more`", 1),
    "comments without text": (at(COMMENTS, each_comment(rename("text", "content"))), "`comments[].text`", 1),
    "no comments though declared": (
        at(COMMENTS, lambda data: data.update(comments=[], has_more=0)),
        "declare comments, and none were received",
        3,
    ),
    "replies under another key": (at(REPLIES, rename("comments", "replies")), "`comments`", 1),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "name",
    [name if name == "comments under another key" else pytest.param(name, marks=pytest.mark.slow) for name in CHANGES],
)
def test_a_changed_site_ends_the_run_with_the_field(trial: Callable[..., Any], name: str) -> None:
    alter, field, visited = CHANGES[name]
    site = trial(hashtags=1, videos=6, comments=5)
    site.sandbox.site.alter = alter

    report = site.run()

    assert field in report.stopped
    assert report.left
    assert "--reparse" in report.stopped
    pages = {entry.target for entry in site.sandbox.log() if entry.kind == "page" and entry.path.startswith("/@")}
    assert len(pages) == visited
    site.tabulate()
    assert set(site.failures().values()) == {"unreadable"}

    site.sandbox.site.alter = None
    site.run_until_done()
    site.assert_true()
    assert unread(site.store) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_one_odd_comment_costs_itself_and_is_told(trial: Callable[..., Any]) -> None:
    site = trial(hashtags=1, videos=3, comments=30)
    video = next(iter(site.sandbox.world.videos.values()))
    odd = next(comment.cid for comment in video.roots if not video.replies_to(comment.cid))

    def alter(path: str, data: Json) -> None:
        for comment in data["comments"] or [] if path == COMMENTS else []:
            if comment["cid"] == odd:
                comment["text"] = {"raw": comment["text"]}

    site.sandbox.site.alter = alter
    report = site.run()
    site.tabulate()

    assert (report.stopped, report.left) == ("", 0)
    assert report.tallies[site.sandbox.world.tags[0]].unreadable == 1
    assert site.store.read_all("comments").num_rows == 3 * 30 - 1
    assert site.failures() == {f"{video.id}:comments": "unreadable"}
    assert unread(site.store) == [
        "1 of 30 comments could not be read: `comments[].text` is an object where it should be another value"
    ]


def reparsed(site: Any) -> None:
    """Make the tables anew; nothing may be asked for it."""
    asked = len(site.sandbox.log())
    config = read_config(site.store)
    reparse(site.store, Web(site.source), config.scrub, site.store.key())
    assert len(site.sandbox.log()) == asked
    site.assert_nothing_personal()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_after_mending_reparse_brings_the_videos(trial: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    site = trial(hashtags=1, videos=3, comments=2)
    private = list(site.sandbox.world.videos)[1]

    def change(data: Json) -> None:
        item_of(data)["secret"] = item_of(data)["id"] == private
        rename("itemStruct", "item")(data["__DEFAULT_SCOPE__"]["webapp.video-detail"]["itemInfo"])

    site.sandbox.site.alter = at("/@", change)
    site.run()
    site.tabulate()
    assert site.store.read_all("videos").num_rows == 0
    hydration = responses.read_hydration

    def mended(page: bytes) -> tuple[Json, Any]:
        scope, verdict = hydration(page)
        rename("item", "itemStruct")(scope["webapp.video-detail"]["itemInfo"])
        return scope, verdict

    monkeypatch.setattr(responses, "read_hydration", mended)
    reparsed(site)

    assert set(site.store.read_all("videos")["video_id"].to_pylist()) == {*site.sandbox.world.videos} - {private}
    assert site.failures() == {}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_after_mending_reparse_brings_the_comments(trial: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    site = trial(hashtags=1, videos=1, comments=3)
    site.sandbox.site.alter = at(COMMENTS, each_comment(rename("text", "content")))
    site.run()
    site.tabulate()
    assert site.store.read_all("comments").num_rows == 0
    assert site.failures()[f"{next(iter(site.sandbox.world.videos))}:comments"] == "unreadable"
    as_it_was = responses.read_json

    def mended(body: bytes) -> tuple[Json, Any]:
        data, verdict = as_it_was(body)
        each_comment(rename("content", "text"))(data)
        return data, verdict

    monkeypatch.setattr(responses, "read_json", mended)
    reparsed(site)

    assert site.store.read_all("comments").num_rows == 3
    assert not [key for key in site.failures() if key.endswith(":comments")]


def tables_of(store: Store) -> dict[str, Any]:
    """Every table byte for byte; failures without how often and when."""
    tables: dict[str, Any] = {
        name: store.read_file(name)
        for name in store.files()
        if name.startswith(("videos/", "comments/", "labels/", "splits/"))
    }
    for stage in ("collect", "tables"):
        rows = store.read_all(f"failures/{stage}").to_pylist()
        tables[f"failures/{stage}"] = sorted((row["key"], row["reason"], row["detail"]) for row in rows)
    return tables


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_reparse_that_is_killed_ends_in_the_same_bytes(trial: Callable[..., Any], tmp_path: Path) -> None:
    site = trial(hashtags=1, videos=12, comments=6)
    victim = list(site.sandbox.world.videos)[::4]

    def alter(path: str, data: Json) -> None:
        if path.startswith("/@") and path.rsplit("/", 1)[-1] in victim:
            rename("itemStruct", "item")(data["__DEFAULT_SCOPE__"]["webapp.video-detail"]["itemInfo"])

    site.sandbox.site.alter = alter
    site.run()
    site.tabulate()
    assert site.store.read_all("videos").num_rows == 9
    twin = tmp_path / "twin"

    command = [sys.executable, str(Path(__file__).with_name("killed_reparse.py")), site.store.root, str(twin), "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1700, check=False)

    assert done.returncode == 0, done.stderr[-2000:]
    print(done.stdout)
    state = tables_of(Store.open(site.store.root))
    assert state == tables_of(Store.open(str(twin)))
    assert site.store.read_all("videos").num_rows == 12
    assert list(Path(site.store.root).rglob("*.tmp")) == []
