"""TikTok's answers as typed models, read leniently and held strictly: hydration, item lists, comments.

Unknown fields are ignored here and stay in landing. Nothing of a person gets into an error's text.
"""

import html
import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from csmv.pipeline.schemas import CommentKind
from csmv.pipeline.sources.walls import DONE, Outcome, Verdict, verdict_of_code

MAX_BODY_BYTES = 16 << 20
"""No real answer comes near this size."""


def _number(value: object) -> object:
    # Numbers come as numbers or as strings, and as "" where there is none.
    if isinstance(value, str):
        return value.strip() or 0
    return 0 if value is None else value


def _text(value: object) -> object:
    return "" if value is None else value


def _list(value: object) -> object:
    return () if value is None else value


def _number_or_none(value: object) -> int | None:
    # What is only nice to have must not cost the row.
    try:
        return int(str(value).strip()) if isinstance(value, int | str) and not isinstance(value, bool) else None
    except ValueError:
        return None


def _language(value: object) -> str | None:
    """A language as the platform guesses it; "un" is its word for none."""
    is_language = isinstance(value, str) and value != "un" and _LANGUAGE.fullmatch(value)
    return str(value) if is_language else None


def _flag(value: object) -> bool | None:
    return bool(value) if isinstance(value, bool | int) else None


def _account(value: object) -> object:
    # A plain string in old shapes; anything that is no account is nobody.
    if isinstance(value, str):
        return {"unique_id": value}
    if not isinstance(value, dict):
        return {}
    return {name: str(inner) for name, inner in value.items() if isinstance(inner, str | int)}


_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*")
_CREATORS_LABEL = 1

_Id = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,20}$")]
_Count = Annotated[int, BeforeValidator(_number)]
_Text = Annotated[str, BeforeValidator(_text)]
_MaybeCount = Annotated[int | None, BeforeValidator(_number_or_none)]
_MaybeFlag = Annotated[bool | None, BeforeValidator(_flag)]
_Language = Annotated[str | None, BeforeValidator(_language)]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    __str__ = __repr__


class Challenge(_Answer):
    """A hashtag of a video."""

    title: _Text = ""


class Mention(_Answer):
    """A piece of markup in a text: a hashtag (type 1) or a mentioned person (type 0)."""

    type: _Count = 0
    hashtag: _Text = Field(default="", validation_alias=AliasChoices("hashtagName", "hashtag_name"))


class Account(_Answer):
    """Who published a video or wrote a comment. Personal."""

    id: str = Field(default="", validation_alias=AliasChoices("id", "uid"))
    handle: str = Field(default="", validation_alias=AliasChoices("uniqueId", "unique_id"))
    name: str = Field(default="", alias="nickname")
    sec_id: str = Field(default="", validation_alias=AliasChoices("secUid", "sec_uid"))


_Account = Annotated[Account, BeforeValidator(_account)]


class Stats(_Answer):
    """Counts of a video."""

    comments: _Count = Field(default=0, alias="commentCount")
    likes: _MaybeCount = Field(default=None, alias="diggCount")
    plays: _MaybeCount = Field(default=None, alias="playCount")
    shares: _MaybeCount = Field(default=None, alias="shareCount")


class VideoFile(_Answer):
    """What an item says about its file."""

    duration: _Count = 0
    play: _Text = Field(default="", alias="playAddr")
    download: str | None = Field(default=None, alias="downloadAddr")


class Part(_Answer):
    """A part of a caption."""

    desc: _Text = ""


class Item(_Answer):
    """A video: `itemStruct` of a page or an element of `itemList`."""

    id: _Id
    desc: _Text = ""
    contents: Annotated[tuple[Part, ...], BeforeValidator(_list)] = ()
    created: _Count = Field(default=0, alias="createTime")
    challenges: Annotated[tuple[Challenge, ...], BeforeValidator(_list)] = ()
    extra: Annotated[tuple[Mention, ...], BeforeValidator(_list)] = Field(default=(), alias="textExtra")
    stats: Stats = Stats()
    author: _Account = Account()
    language: _Language = Field(default=None, alias="textLanguage")
    video: VideoFile | None = None
    slideshow: dict[str, Any] | None = Field(default=None, alias="imagePost")
    is_ad: bool = Field(default=False, alias="isAd")
    private: bool = Field(default=False, alias="privateItem")
    secret: bool = False
    for_friend: bool = Field(default=False, alias="forFriend")
    classified: bool = Field(default=False, alias="isContentClassified")
    comment_status: _Count = Field(default=0, alias="itemCommentStatus")
    take_down: _Count = Field(default=0, alias="takeDown")
    index_enabled: bool | None = Field(default=None, alias="indexEnabled")

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


class Comment(_Answer):
    """A comment or reply. `reply_id` is "0", or the cid of the comment at the root of the thread."""

    cid: _Id
    video_id: _Text = Field(default="", alias="aweme_id")
    text: _Text = ""
    created: _Count = Field(default=0, alias="create_time")
    likes: _Count = Field(default=0, alias="digg_count")
    replies: _Count = Field(default=0, alias="reply_comment_total")
    reply_id: _Text = "0"
    user: _Account = Account()
    language: _Language = Field(default=None, alias="comment_language")
    pinned: _MaybeFlag = Field(default=None, alias="author_pin")
    pictures: Any = Field(default=None, alias="image_list")
    label_list: Any = None

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


class ItemList(_Answer):
    """`/api/challenge/item_list/`. Items are validated one by one by `items_in`."""

    items: Annotated[tuple[dict[str, Any], ...], BeforeValidator(_list)] = Field(default=(), alias="itemList")
    cursor: _Text | int = ""
    more: bool = Field(default=False, alias="hasMore")


class CommentList(_Answer):
    """`/api/comment/list/` and `/api/comment/list/reply/`."""

    comments: Annotated[tuple[dict[str, Any], ...], BeforeValidator(_list)] = ()
    cursor: _Count = 0
    more: bool = Field(default=False, alias="has_more")
    total: _Count = 0


_Model = TypeVar("_Model", bound=_Answer)


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


def parsed(model: type[_Model], data: object) -> _Model | None:
    """`data` as a `model`, or None if it is none."""
    try:
        return model.model_validate(data)
    except (ValidationError, RecursionError, OverflowError):
        return None


def read_list(model: type[_Model], body: bytes) -> tuple[_Model | None, Verdict]:
    """A list's answer as a `model`; None with the verdict where it is not one."""
    data, verdict = read_json(body)
    if verdict is not DONE:
        return None, verdict
    answer = parsed(model, data)
    return (answer, DONE) if answer is not None else (None, Verdict(Outcome.UNREADABLE, note="fields of another kind"))


_HYDRATION = re.compile(
    r"""<script[^>]*\bid=["']__UNIVERSAL_DATA_FOR_REHYDRATION__["'][^>]*>(.*?)</script>""", re.DOTALL | re.IGNORECASE
)
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
        return {}, Verdict(Outcome.UNREADABLE, note="a page without its data")
    try:
        data = json.loads(match[1])
    except ValueError:
        try:
            data = json.loads(html.unescape(match[1]))
        except (ValueError, RecursionError):
            return {}, Verdict(Outcome.UNREADABLE, note="the page's data is not JSON")
    except RecursionError:
        return {}, Verdict(Outcome.UNREADABLE, note="the page's data is not JSON")
    scope = data.get("__DEFAULT_SCOPE__") if isinstance(data, dict) else None
    if not isinstance(scope, dict):
        return {}, Verdict(Outcome.UNREADABLE, note="the page's data has no scope")
    return scope, DONE


def read_video_page(page: bytes, video_id: str) -> tuple[dict[str, Any], Item | None, Verdict]:
    """A video page's item, raw and typed, and DONE or why there is none. Its id must be the one asked for."""
    scope, verdict = read_hydration(page)
    if verdict is not DONE:
        return {}, None, verdict
    detail = scope.get("webapp.video-detail") or scope.get("webapp.reflow.video.detail")
    if not isinstance(detail, dict):
        return {}, None, Verdict(Outcome.UNREADABLE, note="the page's data speaks of no video")
    verdict = _verdict(detail.get("statusCode"), detail.get("statusMsg") or "")
    if verdict is not DONE:
        return {}, None, verdict
    info = detail.get("itemInfo")
    raw = info.get("itemStruct") if isinstance(info, dict) else None
    item = parsed(Item, raw)
    if not isinstance(raw, dict) or item is None:
        return {}, None, Verdict(Outcome.UNREADABLE, note="the page's item is not what it should be")
    if item.id != video_id:
        return {}, None, Verdict(Outcome.WRONG_ID)
    return raw, item, DONE


def items_in(answer: ItemList) -> tuple[list[tuple[dict[str, Any], Item]], int]:
    """The usable items of a list, raw and typed, and the number of others."""
    read = [(raw, parsed(Item, raw)) for raw in answer.items]
    usable = [(raw, item) for raw, item in read if item is not None]
    return usable, len(read) - len(usable)


def comments_in(answer: CommentList) -> list[Comment]:
    """The usable comments of a list, previewed replies included."""
    comments = []
    for raw in answer.comments:
        comment = parsed(Comment, raw)
        if comment is None:
            continue
        comments.append(comment)
        previews = raw.get("reply_comment")
        if isinstance(previews, list):
            comments.extend(reply for reply in (parsed(Comment, preview) for preview in previews) if reply is not None)
    return comments
