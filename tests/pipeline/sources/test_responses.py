"""TikTok's answers as documented, and answers that are not what they should be."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csmv.pipeline.sources.responses import (
    MAX_BODY_BYTES,
    CommentList,
    ItemList,
    comments_in,
    items_in,
    read_hydration,
    read_json,
    read_list,
    read_video_page,
)
from csmv.pipeline.sources.walls import Done, Ending, Outcome, verdict_of_code, verdict_of_status

ID = "7679401525248000001"


def as_page(data: bytes) -> bytes:
    return (
        b'<html><script id="__UNIVERSAL_DATA_FOR_REHYDRATION__" type="application/json">' + data + b"</script></html>"
    )


@pytest.mark.parametrize(
    ("example", "outcome", "refusal"),
    [
        ("ok", Done.DONE, None),
        ("deleted", Outcome.GONE, None),
        ("private", Outcome.PRIVATE, None),
        ("private_account", Outcome.PRIVATE, None),
        ("self_see_10204", Outcome.WITHHELD, None),
        ("region", Outcome.WITHHELD, None),
        ("classified", Done.DONE, Outcome.AGE_GATE),
    ],
)
def test_video_pages_as_documented(shared: Path, example: str, outcome: Ending, refusal: Outcome | None) -> None:
    page = as_page((shared / "tiktok" / "examples" / f"video_hydration_{example}.json").read_bytes())
    _, item, verdict = read_video_page(page, ID)
    assert verdict.outcome is outcome
    refused = item.refusal(honour_creators=True) if item else None
    assert (refused.outcome if refused else None) is refusal


def test_a_slideshow_is_told_from_a_video(shared: Path) -> None:
    page = as_page((shared / "tiktok" / "examples" / "video_hydration_slideshow.json").read_bytes())
    assert read_video_page(page, ID)[2].outcome is Outcome.WRONG_ID
    _, item, _ = read_video_page(page, "7679386063365734402")
    assert item is not None
    refused = item.refusal(honour_creators=False)
    assert refused is not None and refused.outcome is Outcome.SLIDESHOW


def test_lists_as_documented(shared: Path) -> None:
    examples = shared / "tiktok" / "examples"
    first, _ = read_list(ItemList, (examples / "item_list_page1.json").read_bytes())
    assert first is not None and first.more
    items = items_in(first)
    refusals = [item.refusal(honour_creators=True) for item in items.values]
    assert [refused.outcome if refused else None for refused in refusals] == [
        None,
        Outcome.SLIDESHOW,
        Outcome.ADVERTISEMENT,
    ]
    assert items.problems == [""] * 3
    end, _ = read_list(ItemList, (examples / "item_list_empty_end.json").read_bytes())
    assert end is not None and end.items == () and not end.more
    none, _ = read_list(CommentList, (examples / "comment_list_none.json").read_bytes())
    assert none is not None and none.comments == () and not none.more
    replies, _ = read_list(CommentList, (examples / "comment_reply_list.json").read_bytes())
    assert replies is not None and {reply.reply_id for reply in comments_in(replies).values} == {"7679404102228377857"}


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b"", Outcome.EMPTY_RESPONSE),
        (b"  \n", Outcome.EMPTY_RESPONSE),
        (b"<html>", Outcome.UNREADABLE),
        (b"[1]", Outcome.UNREADABLE),
        (b'{"itemList": [{"id": "76', Outcome.UNREADABLE),
        (b"[" * 200_000, Outcome.UNREADABLE),
        (b'{"a":' * 100_000, Outcome.UNREADABLE),
        (b'{"type": "verify", "code": "10000"}', Outcome.CAPTCHA),
        (b'{"statusCode": 10201}', Outcome.REFUSED_PARAMETERS),
        (b'{"status_code": "10205"}', Outcome.NOT_FOUND),
        (b'{"statusCode": 100004}', Outcome.SERVER_ERROR),
        (b'{"statusCode": 77777}', Outcome.UNAVAILABLE),
        (b'{"statusCode": {"a": 1}}', Outcome.UNREADABLE),
        (b'{"itemList": 7}', Outcome.UNREADABLE),
        (b'{"itemList": ["x"]}', Outcome.UNREADABLE),
    ],
)
def test_what_is_no_list(body: bytes, outcome: Outcome) -> None:
    found, verdict = read_list(ItemList, body)
    assert found is None and verdict.outcome is outcome


def test_fifty_megabytes_are_refused_unread() -> None:
    assert read_json(b" " * 10 + b"x" * (50 << 20))[1].outcome is Outcome.OVERSIZED
    assert read_hydration(b"x" * (MAX_BODY_BYTES + 1))[1].outcome is Outcome.OVERSIZED


@pytest.mark.parametrize(
    "bad", ["../../x", "", "7679401525248000001\n", "٧٦٧٩", 7.67940152524800001e18, None, "7" * 21, {"a": 1}, True]
)
def test_an_id_that_is_no_id_makes_no_item(bad: object) -> None:
    answer, _ = read_list(ItemList, json.dumps({"itemList": [{"id": bad}, {"id": ID}], "hasMore": False}).encode())
    assert answer is not None
    items = items_in(answer)
    assert [item.id for item in items.values] == [ID] and items.lost.total() == 1


def test_numbers_may_be_strings_and_lists_null() -> None:
    raw = {"id": ID, "createTime": "1788000000", "challenges": None, "textExtra": None, "stats": {"commentCount": "12"}}
    answer, _ = read_list(ItemList, json.dumps({"itemList": [raw], "cursor": 30, "hasMore": True}).encode())
    assert answer is not None
    item = items_in(answer).values[0]
    assert (item.created, item.stats.comments, item.hashtags) == (1788000000, 12, [])


KEYS = ["itemList", "comments", "id", "cid", "video", "author", "stats", "statusCode", "hasMore", "text"]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=20,
)


@given(ANY_JSON)
@settings(max_examples=200, deadline=None)
def test_no_json_breaks_the_readers(value: object) -> None:
    body = json.dumps(value).encode()
    for model in (ItemList, CommentList):
        answer, _ = read_list(model, body)
        if isinstance(answer, ItemList):
            items_in(answer)
        if isinstance(answer, CommentList):
            comments_in(answer)
    read_video_page(as_page(body), ID)


def test_nothing_of_an_answer_gets_into_its_representation() -> None:
    body = {"comments": [{"cid": "1", "text": "secret text"}], "has_more": 0}
    answer, _ = read_list(CommentList, json.dumps(body).encode())
    assert answer is not None
    assert "secret" not in repr(answer) and "secret" not in repr(comments_in(answer))


def test_words_of_walls_in_a_page_are_not_walls(shared: Path) -> None:
    data = (shared / "tiktok" / "examples" / "video_hydration_ok.json").read_bytes()
    words = b"<script>'Log in to TikTok','captcha_container','Please wait...','This account is private'</script>"
    assert read_video_page(words + as_page(data) + words, ID)[2].outcome is Done.DONE
    assert read_hydration(words)[1].outcome is Outcome.UNREADABLE


def test_of_a_message_only_known_words_are_kept() -> None:
    verdict = verdict_of_code(10204, "status_deleted&@somebody said so")
    assert verdict.note == "status_deleted"
    failure = verdict.failure(ID)
    assert failure is not None and failure.detail == "deleted, code 10204, status_deleted"


@pytest.mark.parametrize(
    ("status", "header", "outcome", "wait"),
    [
        (429, "120", Outcome.RATE_LIMITED, 120),
        (429, "", Outcome.RATE_LIMITED, None),
        (429, "Wed, 21 Oct 2026 07:28:00 GMT", Outcome.RATE_LIMITED, None),
        (403, "", Outcome.FORBIDDEN, None),
        (404, "", Outcome.NOT_FOUND, None),
        (503, "", Outcome.SERVER_ERROR, None),
        (418, "", Outcome.UNAVAILABLE, None),
    ],
)
def test_http_statuses(status: int, header: str, outcome: Outcome, wait: float | None) -> None:
    verdict = verdict_of_status(status, header)
    assert verdict is not None and (verdict.outcome, verdict.retry_after_s) == (outcome, wait)
