"""TikTok's answers as typed models: hydration, item lists, comments.

What is needed, expected and wanted of each is said here; `csmv.pipeline.sources.answer_fields` reads by it.

An element's own problems cost that element. A list that is not under its key, or does not say whether more follows, is
no list at all: its verdict says so, and stops the run.
"""

import html
import json
import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from csmv.pipeline.schemas import CommentKind
from csmv.pipeline.sources.answer_fields import (
    Answer,
    AnyId,
    Count,
    Elements,
    Expected,
    Flag,
    Id,
    Objects,
    Second,
    Text,
    count_of,
    flag_of,
    kind_of,
    moved_to,
    read,
    read_all,
    second_of,
    text_of,
)
from csmv.pipeline.sources.walls import DONE, Outcome, Verdict, verdict_of_code

MAX_BODY_BYTES = 16 << 20
"""No real answer comes near this size."""


def _language(value: object) -> str | None:
    """A language as the platform guesses it; "un" is its word for none."""
    is_language = isinstance(value, str) and value != "un" and _LANGUAGE.fullmatch(value)
    return str(value) if is_language else None


def _account(value: object) -> object:
    # A plain string in old shapes; anything that is no account is nobody.
    if isinstance(value, str):
        return {"unique_id": value}
    if not isinstance(value, dict):
        return {}
    return {name: str(inner) for name, inner in value.items() if isinstance(inner, str | int)}


def _account_kind(value: object) -> object:
    if not isinstance(value, str | dict):
        raise ValueError("no account")
    return value


def _stats(data: dict[str, Any]) -> dict[str, Any]:
    """The counts of `stats`, and of `statsV2` where that has none that can be read."""
    counts: dict[str, Any] = {}
    for name in ("statsV2", "stats"):
        stated = data.get(name)
        for key, value in stated.items() if isinstance(stated, dict) else ():
            try:
                counts[str(key)] = count_of(value)
            except (ValueError, OverflowError):
                continue
    return counts


_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*")
_CREATORS_LABEL = 1
_Language = Annotated[str | None, BeforeValidator(_language)]
_PRIVACY = ("isAd", "privateItem", "secret", "forFriend", "isContentClassified", "indexEnabled")


class Challenge(Answer):
    """A hashtag of a video."""

    title: Text = ""


class Mention(Answer):
    """A piece of markup in a text: a hashtag (type 1) or a mentioned person (type 0)."""

    type: Count = 0
    hashtag: Text = Field(default="", validation_alias=AliasChoices("hashtagName", "hashtag_name"))


class Account(Answer):
    """Who published a video or wrote a comment. Personal."""

    id: str = Field(default="", validation_alias=AliasChoices("id", "uid"))
    handle: str = Field(default="", validation_alias=AliasChoices("uniqueId", "unique_id"))
    name: str = Field(default="", alias="nickname")
    sec_id: str = Field(default="", validation_alias=AliasChoices("secUid", "sec_uid"))


_Account = Annotated[Account, BeforeValidator(_account)]


class Stats(Answer):
    """Counts of a video; `comments` is None where the site does not say."""

    comments: Count | None = Field(default=None, alias="commentCount")
    likes: Count | None = Field(default=None, alias="diggCount")
    plays: Count | None = Field(default=None, alias="playCount")
    shares: Count | None = Field(default=None, alias="shareCount")


class VideoFile(Answer):
    """What an item says about its file."""

    duration: Count = 0
    play: Text = Field(default="", alias="playAddr")
    download: str | None = Field(default=None, alias="downloadAddr")


class Part(Answer):
    """A part of a caption."""

    desc: Text = ""


class Item(Answer):
    """A video: `itemStruct` of a page or an element of `itemList`."""

    expected: ClassVar[tuple[Expected, ...]] = (
        Expected(("createTime",), second_of),
        Expected(("desc", "contents"), lambda value: value if isinstance(value, list) else text_of(value)),
        Expected(("stats.commentCount", "statsV2.commentCount"), count_of),
        Expected(("author",), _account_kind),
    )

    id: Id
    desc: Text = ""
    contents: Annotated[tuple[Part, ...], Objects] = ()
    created: Second = Field(default=0, alias="createTime")
    challenges: Annotated[tuple[Challenge, ...], Objects] = ()
    extra: Annotated[tuple[Mention, ...], Objects] = Field(default=(), alias="textExtra")
    stats: Stats = Stats()
    author: _Account = Account()
    language: _Language = Field(default=None, alias="textLanguage")
    video: VideoFile | None = None
    slideshow: dict[str, Any] | None = Field(default=None, alias="imagePost")
    is_ad: Flag = Field(default=False, alias="isAd")
    private: Flag = Field(default=False, alias="privateItem")
    secret: Flag = False
    for_friend: Flag = Field(default=False, alias="forFriend")
    classified: Flag = Field(default=False, alias="isContentClassified")
    comment_status: Count = Field(default=0, alias="itemCommentStatus")
    take_down: Count = Field(default=0, alias="takeDown")
    index_enabled: Flag | None = Field(default=None, alias="indexEnabled")

    @model_validator(mode="before")
    @classmethod
    def _one_stats(cls, data: Any) -> Any:
        return data | {"stats": _stats(data)} if isinstance(data, dict) else data

    @classmethod
    def odd(cls, data: dict[str, Any], at: str) -> str:
        """An author without an id, or a mark of what is not public that can't be read."""
        for name in _PRIVACY:
            try:
                if data.get(name) is not None:
                    flag_of(data[name])
            except ValueError:
                return f"`{at}.{name}` is {kind_of(data[name])} where it should be true or false"
        return _nobody(data.get("author"), f"{at}.author", ("id", "uniqueId"))

    @property
    def caption(self) -> str:
        """The creator's text, from its parts where the whole is empty."""
        return self.desc or " ".join(part.desc for part in self.contents if part.desc)

    @property
    def hashtags(self) -> list[str]:
        """Hashtags without #, in small letters, sorted."""
        named = [challenge.title for challenge in self.challenges] + [mark.hashtag for mark in self.extra]
        return sorted({name.lstrip("#").casefold() for name in named} - {""})

    @property
    def published(self) -> datetime | None:
        """When it was published, if the number is believable."""
        if not 0 < self.created < 1 << 33:
            return None
        return datetime.fromtimestamp(self.created, UTC)

    @property
    def day(self) -> date | None:
        """The day it was published, UTC."""
        return self.published.date() if self.published else None

    def refusal(self, *, honour_creators: bool) -> Verdict | None:
        """Why this item is not to be collected, or None. `honour_creators` heeds their settings on downloads."""
        if self.classified and self.video is None:
            return Verdict(Outcome.AGE_GATE)
        if self.is_ad:
            return Verdict(Outcome.ADVERTISEMENT)
        if self.private or self.secret or self.for_friend:
            return Verdict(Outcome.NOT_PUBLIC)
        if self.take_down:
            return Verdict(Outcome.UNAVAILABLE, note="being taken down")
        if self.slideshow is not None:
            return Verdict(Outcome.SLIDESHOW)
        if honour_creators and self.video is not None and self.video.download == "":
            return Verdict(Outcome.DOWNLOAD_DISALLOWED)
        if honour_creators and self.index_enabled is False:
            return Verdict(Outcome.INDEXING_DISALLOWED)
        return None


class Comment(Answer):
    """A comment or reply. `reply_id` is "0", or the cid of the comment at the root of the thread."""

    expected: ClassVar[tuple[Expected, ...]] = (
        Expected(("create_time",), second_of),
        Expected(("user",), _account_kind),
        Expected(("reply_id",)),
    )

    cid: Id
    video_id: AnyId = Field(default="", alias="aweme_id")
    text: Text
    created: Second = Field(default=0, alias="create_time")
    likes: Count = Field(default=0, alias="digg_count")
    replies: Count = Field(default=0, alias="reply_comment_total")
    reply_id: AnyId = "0"
    user: _Account = Account()
    language: _Language = Field(default=None, alias="comment_language")
    pinned: Flag | None = Field(default=None, alias="author_pin")
    pictures: Any = Field(default=None, alias="image_list")
    label_list: Any = None

    @classmethod
    def odd(cls, data: dict[str, Any], at: str) -> str:
        """A root that does not say how many replies it has, or somebody without an id."""
        if data.get("reply_id") in ("0", "", 0, None):
            problem = Expected(("reply_comment_total",), count_of).problem(data, at)
            if problem:
                return problem
        return _nobody(data.get("user"), f"{at}.user", ("uid", "id", "unique_id"))

    @property
    def kind(self) -> CommentKind:
        """What it consists of: without a word it is a picture, or else a sticker."""
        if self.pictures:
            return CommentKind.PICTURE
        return CommentKind.TEXT if self.text.strip() else CommentKind.STICKER

    def is_by(self, creator: Account) -> bool | None:
        """Whether the video's creator wrote it; None where that can't be told."""
        labels = self.label_list if isinstance(self.label_list, list) else []
        if any(isinstance(label, dict) and label.get("type") == _CREATORS_LABEL for label in labels):
            return True
        if self.user.id and creator.id:
            return self.user.id == creator.id
        if self.user.handle and creator.handle:
            return self.user.handle.casefold() == creator.handle.casefold()
        return None


def _nobody(account: object, at: str, names: tuple[str, ...]) -> str:
    """What is wrong with an account that is there and names nobody, or ""."""
    if not isinstance(account, dict) or not account or any(account.get(name) for name in names):
        return ""
    return f"`{at}.{names[0]}` is missing"


class ItemList(Answer):
    """`/api/challenge/item_list/`. Items are validated one by one by `items_in`."""

    key: ClassVar[str] = "itemList"
    more_key: ClassVar[str] = "hasMore"
    ends_without_key: ClassVar[bool] = True

    items: tuple[Any, ...] = Field(default=(), alias="itemList")
    cursor: AnyId = ""
    more: Flag = Field(default=False, alias="hasMore")


class CommentList(Answer):
    """`/api/comment/list/` and `/api/comment/list/reply/`. Comments are validated one by one by `comments_in`."""

    key: ClassVar[str] = "comments"
    more_key: ClassVar[str] = "has_more"
    ends_without_key: ClassVar[bool] = False

    comments: tuple[Any, ...] = ()
    cursor: Count = 0
    more: Flag = Field(default=False, alias="has_more")
    total: Count = 0


_List = TypeVar("_List", ItemList, CommentList)


def read_json(body: bytes) -> tuple[dict[str, Any], Verdict]:
    """A list's answer as a JSON object, and DONE or what its status means. An empty body is a wall, not an end."""
    if not body.strip():
        return {}, Verdict(Outcome.EMPTY_RESPONSE)
    if len(body) > MAX_BODY_BYTES:
        return {}, Verdict(Outcome.OVERSIZED, note=f"{len(body) >> 20} MiB")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {}, Verdict(Outcome.UNREADABLE, note="not JSON")
    if not isinstance(data, dict):
        return {}, Verdict(Outcome.UNREADABLE, note="not a JSON object")
    code = next((data[key] for key in ("statusCode", "status_code") if data.get(key) not in (None, "")), None)
    if data.get("type") == "verify" and code is None:
        return data, Verdict(Outcome.CAPTCHA)
    return data, _verdict(code, data.get("statusMsg") or data.get("status_msg") or "")


def _verdict(code: object, message: object) -> Verdict:
    if code in (None, "", 0, "0"):
        return DONE
    try:
        number = int(str(code))
    except ValueError:
        return Verdict(Outcome.UNREADABLE, note="a status code that is no number")
    return verdict_of_code(number, str(message))


def read_list(model: type[_List], body: bytes, *, first: bool = False) -> tuple[_List | None, Verdict]:
    """A list's answer as a `model`; None with the verdict where it is not one.

    Args:
        model: which list it is.
        body: the answer.
        first: whether it is a list's first page, which is never left without its list.
    """
    data, verdict = read_json(body)
    if verdict is not DONE:
        return None, verdict
    problem = _list_problem(model, data, first)
    if problem:
        return None, Verdict(Outcome.UNREADABLE, note=problem, changed="list")
    reading = read(model, data)
    if reading.value is None:
        return None, Verdict(Outcome.UNREADABLE, note=reading.problem, changed="list")
    return reading.value, DONE


def landed_list(model: type[_List], body: bytes) -> _List | None:
    """What has landed of a list, for its rows: what stands under its key counts, whatever else is wrong with it."""
    data, verdict = read_json(body)
    return read(model, data).value if verdict is DONE else None


def _list_problem(model: type[ItemList] | type[CommentList], data: dict[str, Any], first: bool) -> str:
    """What is wrong with a list's envelope, or ""."""
    key, more_key = model.key, model.more_key
    if data.get(more_key) is None:
        return f"`{more_key}` is {'null' if more_key in data else 'missing'}"
    try:
        more = flag_of(data[more_key])
    except ValueError:
        return f"`{more_key}` is {kind_of(data[more_key])} where it should be true or false"
    elements, elsewhere = data.get(key), moved_to(data, key)
    if elements is not None and not isinstance(elements, list):
        return f"`{key}` is {kind_of(elements)} where it should be a list"
    if not elements and elsewhere:
        return f"`{key}` is {'empty' if key in data else 'missing'}, and a list stands under `{elsewhere}`"
    if key not in data and (more or first or not model.ends_without_key):
        return f"`{key}` is missing"
    if elements is None and more:
        return f"`{key}` is null although `{more_key}` says that more follows"
    return ""


SCRIPT = "__UNIVERSAL_DATA_FOR_REHYDRATION__"
"""The script of a page that holds its data."""

_SCOPE = "__DEFAULT_SCOPE__"
_DETAILS = ("webapp.video-detail", "webapp.reflow.video.detail")
_HYDRATION = re.compile(rf"""<script[^>]*\bid=["']{SCRIPT}["'][^>]*>(.*?)</script>""", re.DOTALL | re.IGNORECASE)
_DATA_SCRIPT = re.compile(r"""<script[^>]*(?:\btype=["']application/json["']|\bid=["']\w+["'])[^>]*>\s*\{""")
_ELEMENTS_OF_CHALLENGE = re.compile(r"""<[^>]*\bid=["']?(?:wci|cs)["'\s>]""")
_ELEMENTS_OF_CAPTCHA = re.compile(r"""<(?!script)[^>]*\b(?:id|class)=["'][^"']*captcha[_-](?:container|verify)""")


def read_hydration(page: bytes) -> tuple[dict[str, Any], Verdict]:
    """`__DEFAULT_SCOPE__` of a page's hydration data, and DONE or why it can't be had.

    The page's words are never searched: those of every wall stand in every page's scripts.
    """
    if not page.strip():
        return {}, Verdict(Outcome.EMPTY_RESPONSE)
    if len(page) > MAX_BODY_BYTES:
        return {}, Verdict(Outcome.OVERSIZED, note=f"{len(page) >> 20} MiB")
    text = page.decode("utf-8", "replace")
    match = _HYDRATION.search(text)
    if match is None:
        if _ELEMENTS_OF_CHALLENGE.search(text):
            return {}, Verdict(Outcome.CHALLENGE)
        if _ELEMENTS_OF_CAPTCHA.search(text):
            return {}, Verdict(Outcome.CAPTCHA)
        if _DATA_SCRIPT.search(text):
            return {}, _changed(f"the script `{SCRIPT}` is missing, and the page has its data in another")
        return {}, Verdict(Outcome.UNREADABLE, note=f"a page without its data, the script `{SCRIPT}`")
    try:
        data = json.loads(match[1])
    except ValueError:
        try:
            data = json.loads(html.unescape(match[1]))
        except (ValueError, RecursionError):
            return {}, Verdict(Outcome.UNREADABLE, note="the page's data is not JSON")
    except RecursionError:
        return {}, Verdict(Outcome.UNREADABLE, note="the page's data is not JSON")
    scope = data.get(_SCOPE) if isinstance(data, dict) else None
    if not isinstance(scope, dict):
        return {}, _changed(
            f"`{_SCOPE}` is {kind_of(scope) if isinstance(data, dict) and _SCOPE in data else 'missing'}"
        )
    return scope, DONE


def read_video_page(page: bytes, video_id: str) -> tuple[dict[str, Any], Item | None, Verdict]:
    """A video page's item, raw and typed, and DONE or why there is none. Its id must be the one asked for.

    An item whose shape has changed in what is expected of it comes with a verdict that says so.
    """
    scope, verdict = read_hydration(page)
    if verdict is not DONE:
        return {}, None, verdict
    name = next((name for name in _DETAILS if scope.get(name)), _DETAILS[0])
    detail, at = scope.get(name), f"{_SCOPE}.{name}"
    if not isinstance(detail, dict):
        return {}, None, _changed(f"`{at}` is {kind_of(detail) if name in scope else 'missing'}")
    verdict = _verdict(detail.get("statusCode"), detail.get("statusMsg") or "")
    if verdict is not DONE:
        return {}, None, verdict
    info = detail.get("itemInfo")
    raw = info.get("itemStruct") if isinstance(info, dict) else None
    if raw is None:
        return {}, None, _changed(f"`{at}.itemInfo.itemStruct` is missing")
    reading = read(Item, raw, "itemStruct")
    if reading.value is None:
        return {}, None, _changed(reading.problem)
    if reading.value.id != video_id:
        return {}, None, Verdict(Outcome.WRONG_ID)
    return raw, reading.value, _changed(reading.problem) if reading.problem else DONE


def items_in(answer: ItemList) -> Elements[Item]:
    """The items of a list, one by one."""
    return read_all(Item, answer.items, "itemList[]")


def comments_in(answer: CommentList, video_id: str = "") -> Elements[Comment]:
    """The comments of a list one by one, previewed replies included; those of another video give no row."""

    def check(comment: Comment) -> str:
        is_here = not video_id or comment.video_id in ("", video_id)
        return "" if is_here else "`comments[].aweme_id` is another video's"

    comments = read_all(Comment, answer.comments, "comments[]", check)
    for raw in [raw for raw, _ in comments.rows]:
        previews = raw.get("reply_comment")
        if isinstance(previews, list):
            shown = read_all(Comment, previews, "comments[].reply_comment[]", check)
            comments.rows += shown.rows
            comments.problems += shown.problems
            comments.lost += shown.lost
    return comments


def _changed(problem: str) -> Verdict:
    return Verdict(Outcome.UNREADABLE, note=problem, changed="item")
