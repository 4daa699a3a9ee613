"""Every shape of the site's answers that could change: named by its field, never read as an end with nothing in it."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from csmv.pipeline.sources.answer_fields import Streak, count_of, read
from csmv.pipeline.sources.responses import (
    Comment,
    CommentList,
    Item,
    ItemList,
    comments_in,
    items_in,
    read_list,
    read_video_page,
)
from csmv.pipeline.sources.walls import DONE, Outcome

Json = dict[str, Any]
Alter = Callable[[Json], Any]
ID = "7679401525248000001"


@pytest.fixture
def example(shared: Path) -> Callable[[str], Json]:
    def load(name: str) -> Json:
        loaded: Json = json.loads((shared / "tiktok" / "examples" / f"{name}.json").read_text())
        return loaded

    return load


def renamed(old: str, new: str) -> Alter:
    def alter(data: Json) -> None:
        data[new] = data.pop(old)

    return alter


def without(name: str) -> Alter:
    return lambda data: data.pop(name)


def having(**values: Any) -> Alter:
    return lambda data: data.update(values)


def in_each(key: str, alter: Alter) -> Alter:
    def alter_all(data: Json) -> None:
        for element in data[key]:
            alter(element)

    return alter_all


LISTS: dict[str, tuple[str, Alter, str]] = {
    "items renamed": ("item_list_page1", renamed("itemList", "items"), "itemList"),
    "items renamed on the only page": (
        "item_list_page1",
        lambda data: (renamed("itemList", "item_list")(data), data.update(hasMore=False)),
        "itemList",
    ),
    "items gone": ("item_list_page1", without("itemList"), "itemList"),
    "items an object": ("item_list_page1", having(itemList={"0": {}}), "itemList"),
    "items null though more follow": ("item_list_page1", having(itemList=None), "itemList"),
    "items empty and elsewhere": ("item_list_page1", lambda d: d.update(itemList=[], list=d["itemList"]), "itemList"),
    "items in an envelope": ("item_list_page1", lambda d: d.update(data={"itemList": d.pop("itemList")}), "itemList"),
    "hasMore renamed": ("item_list_page1", renamed("hasMore", "has_more"), "hasMore"),
    "hasMore null": ("item_list_page1", having(hasMore=None), "hasMore"),
    "hasMore an object": ("item_list_page1", having(hasMore={"value": True}), "hasMore"),
    "comments renamed": ("comment_list_page1", renamed("comments", "comment_list"), "comments"),
    "comments gone": ("comment_list_page1", without("comments"), "comments"),
    "comments null and elsewhere": (
        "comment_list_last",
        lambda data: data.update(top_comments=data["comments"], comments=None),
        "comments",
    ),
    "comments an object": ("comment_list_page1", having(comments={"list": []}), "comments"),
    "comments null though more follow": ("comment_list_page1", having(comments=None, has_more=1), "comments"),
    "has_more renamed": ("comment_list_page1", renamed("has_more", "hasMore"), "has_more"),
    "has_more gone": ("comment_list_last", without("has_more"), "has_more"),
    "has_more a word": ("comment_list_page1", having(has_more="yes"), "has_more"),
    "replies renamed": ("comment_reply_list", renamed("comments", "replies"), "comments"),
    "has_more of replies gone": ("comment_reply_list", without("has_more"), "has_more"),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_another_shape_is_no_list(example: Callable[[str], Json], name: str) -> None:
    file, alter, field = LISTS[name]
    data = example(file)
    model: Any = ItemList if file.startswith("item") else CommentList
    assert read_list(model, json.dumps(data).encode(), first=True)[1] is DONE
    alter(data)

    answer, verdict = read_list(model, json.dumps(data).encode(), first=True)

    assert answer is None
    assert (verdict.outcome, verdict.changed) == (Outcome.UNREADABLE, "list")
    assert f"`{field}`" in verdict.note


ELEMENTS: dict[str, tuple[str, Alter, str]] = {
    "item without id": ("item_list_page1", without("id"), "itemList[].id"),
    "item with its id elsewhere": ("item_list_page1", renamed("id", "itemId"), "itemList[].id"),
    "item with an id that lost digits": ("item_list_page1", having(id=7.67940152524800001e18), "itemList[].id"),
    "item without createTime": ("item_list_page1", renamed("createTime", "create_time"), "itemList[].createTime"),
    "item in milliseconds": ("item_list_page1", having(createTime=1788000000000), "itemList[].createTime"),
    "item with a text for its time": ("item_list_page1", having(createTime="yesterday"), "itemList[].createTime"),
    "item without caption": (
        "item_list_page1",
        lambda data: (without("desc")(data), data.pop("contents", None)),
        "itemList[].desc",
    ),
    "item with an object for a caption": (
        "item_list_page1",
        lambda data: (data.update(desc={"text": "x"}), data.pop("contents", None)),
        "itemList[].desc",
    ),
    "item without any count": (
        "item_list_page1",
        lambda data: (data.pop("stats"), data.pop("statsV2", None)),
        "itemList[].stats.commentCount",
    ),
    "item whose counts are objects": (
        "item_list_page1",
        lambda data: (data.update(stats={"commentCount": {"n": 4}}), data.pop("statsV2", None)),
        "itemList[].stats.commentCount",
    ),
    "item without author": ("item_list_page1", without("author"), "itemList[].author"),
    "item whose author has no id": ("item_list_page1", having(author={"userName": "x"}), "itemList[].author.id"),
    "item whose privacy can't be read": ("item_list_page1", having(privateItem={"a": 1}), "itemList[].privateItem"),
    "comment without cid": ("comment_list_page1", renamed("cid", "id"), "comments[].cid"),
    "comment without text": ("comment_list_page1", renamed("text", "content"), "comments[].text"),
    "comment with an object for a text": ("comment_list_page1", having(text={"raw": "x"}), "comments[].text"),
    "comment without a time": ("comment_list_page1", without("create_time"), "comments[].create_time"),
    "comment without author": ("comment_list_page1", renamed("user", "author"), "comments[].user"),
    "comment whose author has no id": ("comment_list_page1", having(user={"nick": "x"}), "comments[].user.uid"),
    "root without its number of replies": (
        "comment_list_page1",
        without("reply_comment_total"),
        "comments[].reply_comment_total",
    ),
    "comment of another video": ("comment_list_page1", having(aweme_id="7679401525248999999"), "comments[].aweme_id"),
    "reply without its root": ("comment_reply_list", without("reply_id"), "comments[].reply_id"),
    "reply without text": ("comment_reply_list", without("text"), "comments[].text"),
}


@pytest.mark.parametrize("name", ELEMENTS)
def test_an_element_of_another_shape_is_counted_and_named(example: Callable[[str], Json], name: str) -> None:
    file, alter, field = ELEMENTS[name]
    data = example(file)

    def problems() -> list[str]:
        if file.startswith("item"):
            items, _ = read_list(ItemList, json.dumps(data).encode())
            assert items is not None
            return items_in(items).problems
        comments, _ = read_list(CommentList, json.dumps(data).encode())
        assert comments is not None
        return comments_in(comments, ID).problems

    assert not any(problems())
    key = "itemList" if file.startswith("item") else "comments"
    alter(data[key][-1])
    told = [problem for problem in problems() if problem]
    assert len(told) == 1 and f"`{field}`" in told[0]

    for element in data[key][:-1]:
        alter(element)
    assert Streak().feed(problems() * 3), "all of them are no single element"


PAGES: dict[str, tuple[Alter, str]] = {
    "scope renamed": (renamed("__DEFAULT_SCOPE__", "__SCOPE__"), "__DEFAULT_SCOPE__"),
    "detail renamed": (
        lambda data: renamed("webapp.video-detail", "webapp.video.detail")(data["__DEFAULT_SCOPE__"]),
        "webapp.video-detail",
    ),
    "item renamed": (
        lambda data: renamed("itemStruct", "item")(data["__DEFAULT_SCOPE__"]["webapp.video-detail"]["itemInfo"]),
        "itemInfo.itemStruct",
    ),
    "item moved": (
        lambda data: renamed("itemInfo", "info")(data["__DEFAULT_SCOPE__"]["webapp.video-detail"]),
        "itemInfo.itemStruct",
    ),
    "id gone": (
        lambda data: data["__DEFAULT_SCOPE__"]["webapp.video-detail"]["itemInfo"]["itemStruct"].pop("id"),
        "itemStruct.id",
    ),
    "author gone": (
        lambda data: data["__DEFAULT_SCOPE__"]["webapp.video-detail"]["itemInfo"]["itemStruct"].pop("author"),
        "itemStruct.author",
    ),
}


def page_of(data: Json, script: str = "__UNIVERSAL_DATA_FOR_REHYDRATION__") -> bytes:
    return f'<html><script id="{script}" type="application/json">{json.dumps(data)}</script></html>'.encode()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_another_shape_names_its_field(example: Callable[[str], Json], name: str) -> None:
    alter, field = PAGES[name]
    data = example("video_hydration_ok")
    alter(data)
    _, _, verdict = read_video_page(page_of(data), ID)
    assert (verdict.outcome, verdict.changed) == (Outcome.UNREADABLE, "item")
    assert f"{field}`" in verdict.note


def test_a_renamed_script_is_named(example: Callable[[str], Json]) -> None:
    verdict = read_video_page(page_of(example("video_hydration_ok"), "__UNIVERSAL_DATA__"), ID)[2]
    assert (verdict.outcome, verdict.changed) == (Outcome.UNREADABLE, "item")
    assert "`__UNIVERSAL_DATA_FOR_REHYDRATION__`" in verdict.note


ODD: tuple[Any, ...] = (None, 1.5, {"a": 1}, [1], "odd", True, -3)
NOT_NEEDED = ("textLanguage", "challenges", "textExtra", "video", "music", "itemCommentStatus", "takeDown", "contents")
NOT_NEEDED_OF_COMMENTS = ("digg_count", "comment_language", "author_pin", "image_list", "label_list", "reply_comment")


def test_what_is_not_needed_costs_nothing_whatever_it_is(example: Callable[[str], Json]) -> None:
    item = example("item_list_page1")["itemList"][0]
    comment = example("comment_list_page1")["comments"][0]
    for odd in ODD:
        for name in NOT_NEEDED:
            reading = read(Item, item | {name: odd})
            assert (reading.problem, reading.value is None) == ("", False), (name, odd)
        for name in ("diggCount", "playCount", "shareCount", "collectCount"):
            changed = copy.deepcopy(item)
            changed["stats"][name] = odd
            assert read(Item, changed).problem == ""
        for name in NOT_NEEDED_OF_COMMENTS:
            known = read(Comment, comment | {name: odd})
            assert (known.problem, known.value is None) == ("", False), (name, odd)


def test_counts_come_from_either_stats(example: Callable[[str], Json]) -> None:
    item = example("item_list_page1")["itemList"][0]
    for stats, second in ((None, {"commentCount": "7"}), ({"commentCount": None}, {"commentCount": "7"}), ({}, None)):
        changed = {name: value for name, value in item.items() if name not in ("stats", "statsV2")}
        changed |= {"stats": stats} if stats is not None else {}
        changed |= {"statsV2": second} if second is not None else {}
        reading = read(Item, changed)
        assert reading.value is not None
        assert (reading.value.stats.comments, bool(reading.problem)) == ((7, False) if second else (None, True))


@pytest.mark.parametrize(
    ("written", "count"),
    [
        (12, 12),
        (12.0, 12),
        ("12", 12),
        (" 1,234 ", 1234),
        ("1.2K", 1200),
        ("1.2k", 1200),
        ("3M", 3_000_000),
        ("1.5B", 1_500_000_000),
    ],
)
def test_counts_as_people_write_them(written: object, count: int) -> None:
    assert count_of(written) == count


@pytest.mark.parametrize(
    "written", [None, "", "many", "1.2.3K", 1.5, True, [], {}, float("nan"), float("inf"), "9" * 60]
)
def test_what_is_no_count(written: object) -> None:
    with pytest.raises((ValueError, OverflowError)):
        count_of(written)


def test_ids_come_as_numbers_too(example: Callable[[str], Json]) -> None:
    item = example("item_list_page1")["itemList"][0]
    value = read(Item, item | {"id": int(item["id"])}).value
    assert value is not None and value.id == item["id"]


def test_one_odd_element_is_no_change_and_three_in_a_row_are() -> None:
    assert Streak().feed([""] * 20 + ["x"] + [""] * 20) == ""
    assert Streak().feed(["x"]) == ""
    assert Streak().feed(["x", "", *[""] * 18, "y"]) == "x", "5 % of a page"
    assert Streak().feed(["x", "", *[""] * 60, "y"]) == ""
    streak = Streak()
    assert [streak.feed(["x"]) for _ in range(3)] == ["", "", "x"], "in a row over several lists"


def test_no_sentence_holds_a_value(example: Callable[[str], Json]) -> None:
    comment = example("comment_list_page1")["comments"][0]
    for name in ("cid", "text", "create_time", "user", "reply_comment_total"):
        problem = read(Comment, comment | {name: ["secret person"]}, "comments[]").problem
        assert problem and "secret" not in problem and f"`comments[].{name}`" in problem
