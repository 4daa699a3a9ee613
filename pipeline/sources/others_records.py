"""Records of other tools, each brought into the shape of the site's own answers: a video's item, or a comment.

Facts about the shapes: Zeeschuimer and 4CAT (Digital Methods Initiative), TikTok-Api's `as_dict`, yt-dlp's info.json
and TikTok's Research API, as each documents or writes them.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.sources.link_files import are_rounded
from csmv.pipeline.sources.links_in_text import videos_in
from csmv.pipeline.sources.text_files import decoded, lines_of

Format = Literal["auto", "zeeschuimer", "4cat", "tiktok-api", "yt-dlp", "research-api"]
FORMATS: tuple[str, ...] = ("zeeschuimer", "4cat", "tiktok-api", "yt-dlp", "research-api")

_HASHTAG = re.compile(r"#(\w{1,100})")
_CONTAINERS = (
    *("video", "item", "itemStruct", "ItemModule", "data", "videos", "comments"),
    *("itemList", "items", "item_list", "aweme_list", "entries", "itemInfo"),
)
_DEPTH = 6
_LOOKED_AT = 50
_ROWS_LOOKED_AT = 10_000
_SURE_DIGITS = 15
_FLOAT = re.compile(r"\d[.,]\d+[eE]\+?\d+")


@dataclass(frozen=True, repr=False)
class Video:
    """A video in the shape of the site's `itemStruct`."""

    item: dict[str, Any]


@dataclass(frozen=True, repr=False)
class Remark:
    """A comment in the shape of the site's comment lists, and the video that it stands under."""

    video: str
    comment: dict[str, Any]


@dataclass(frozen=True)
class Odd:
    """A record that is none of these; `place` counts from 1."""

    place: int
    why: str


Found = Video | Remark | Odd


def read_records(path: Path, wanted: str = "auto") -> Iterator[Found]:
    """The videos and comments in a file of another tool.

    Args:
        path: .json, .jsonl, .ndjson or .csv.
        wanted: the tool's format; `auto` finds it from the content.

    Raises:
        CsmvError: the file is not there, is no text of this kind, or nothing in it is a record of any tool.
    """
    name = wanted if wanted != "auto" else format_of(path)
    reader = _READERS[name]
    for place, record in _raw(path):
        if isinstance(record, Odd):
            yield record
            continue
        told = False
        for found in reader(record):
            told = True
            yield found
        if not told:
            yield Odd(place, f"no video or comment of the format {name}")


def require_records(path: Path, wanted: str = "auto") -> None:
    """Make sure that a file has a video or a comment. Raises CsmvError as `read_records`, and where it has none."""
    if not any(not isinstance(record, Odd) for record in read_records(path, wanted)):
        raise CsmvError(f"'{path.name}': nothing in it is a video or a comment of the format {wanted}.")


def format_of(path: Path) -> str:
    """Which tool's format a file is in, by the first records that are any's. Raises CsmvError as `read_records`."""
    votes = dict.fromkeys(FORMATS, 0)
    for number, (_, record) in enumerate(_raw(path)):
        if number >= _LOOKED_AT:
            break
        if not isinstance(record, Odd):
            for name in FORMATS:
                votes[name] += any(True for _ in _READERS[name](record))
    best = max(votes, key=lambda name: votes[name])
    if not votes[best]:
        raise CsmvError(
            f"'{path.name}': nothing in it looks like a video or a comment of {', '.join(FORMATS)}. If it is one of "
            "them, say which with --format."
        )
    return best


# ---------------------------------------------------------------------- files


def _raw(path: Path) -> Iterator[tuple[int, "dict[str, Any] | Odd"]]:
    """The records of a file, with their places."""
    if not path.is_file():
        raise CsmvError(f"There is no file '{path}'; name the files to import.")
    if path.suffix.lower() == ".csv":
        yield from enumerate(_csv(path), 1)
        return
    if path.suffix.lower() not in (".json", ".jsonl", ".ndjson"):
        raise CsmvError(f"'{path.name}': expected .ndjson, .jsonl, .json or .csv, found '{path.suffix}'.")
    with path.open("rb") as file:
        start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    is_utf8 = b"\0" not in start and start[:2] not in (b"\xff\xfe", b"\xfe\xff")
    whole = not is_utf8 or start[:1] == b"[" or (start[:1] == b"{" and not _is_line(start))
    if whole:
        text = decoded(path)
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            whole = False
        else:
            yield from enumerate(_flat(document), 1)
            return
        if not is_utf8:
            yield from _read_lines(lines_of(text))
            return
    if not whole:
        with path.open(encoding="utf-8-sig", errors="replace", newline="\n") as lines:
            yield from _read_lines(lines)


def _is_line(start: bytes) -> bool:
    """Whether a file begins with an object that ends on its line."""
    line, ended, _ = start.partition(b"\n")
    try:
        return bool(ended) and isinstance(json.loads(line), dict)
    except ValueError:
        return b"\n" not in start  # a first line that is longer than what was looked at


def _read_lines(lines: Iterable[str]) -> Iterator[tuple[int, "dict[str, Any] | Odd"]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            yield number, Odd(number, "the line is not JSON")
            continue
        for one in _flat(record):
            yield number, one


def _flat(value: Any, depth: int = 0) -> Iterator["dict[str, Any] | Odd"]:
    """The objects of lists, and of the lists that answers wrap them in."""
    if isinstance(value, list):
        for one in value:
            yield from _flat(one, depth + 1)
    elif isinstance(value, dict):
        inner = [value[name] for name in _CONTAINERS if isinstance(value.get(name), list | dict)]
        is_record = any(name in value for name in ("id", "cid", "item_id", "aweme_id", "source_platform"))
        if isinstance(value.get("entries"), list):  # a playlist
            inner, is_record = [value["entries"]], False
        if not inner and value and all(_digits(key) and isinstance(one, dict) for key, one in value.items()):
            inner, is_record = list(value.values()), False  # records by their ids
        if inner and not is_record and depth < _DEPTH:
            for one in _with_videos(inner):
                yield from _flat(one, depth + 1)
        else:
            yield value


def _with_videos(inner: list[Any]) -> list[Any]:
    """What stands in one answer: comments that do not say under which video they stand are its video's."""
    ids = [one["id"] for one in inner if isinstance(one, dict) and _digits(one.get("id")) and "createTime" in one]
    if len(ids) != 1:
        return inner
    return [
        [{"aweme_id": str(ids[0])} | entry if isinstance(entry, dict) and "cid" in entry else entry for entry in one]
        if isinstance(one, list)
        else one
        for one in inner
    ]


def _csv(path: Path) -> Iterator["dict[str, Any] | Odd"]:
    text = decoded(path)
    _refuse_rounded(path, text)
    head = text[: text.find("\n")] if "\n" in text else text
    reader = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=head.count))
    try:
        for row in reader:
            yield {str(name).strip().casefold(): value for name, value in row.items() if isinstance(value, str)}
    except csv.Error as error:
        raise CsmvError(f"'{path.name}' is not CSV from line {reader.line_num} on ({error}).") from None


def _refuse_rounded(path: Path, text: str) -> None:
    """Raises CsmvError where a program has rounded the ids of a table: no row of it can be told from another."""
    head = text[: text.find("\n")] if "\n" in text else text
    reader = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=head.count))
    columns: dict[str, list[str]] = {}
    for number, row in enumerate(reader):
        if number >= _ROWS_LOOKED_AT:
            break
        for name, value in row.items():
            if str(name).strip().casefold() in ("id", "thread_id") and isinstance(value, str) and value.strip():
                columns.setdefault(str(name), []).append(value.strip())
    for name, values in columns.items():
        digits = [value for value in values if value.isdigit() and len(value) > _SURE_DIGITS]
        is_float = any(_FLOAT.fullmatch(value) for value in values)
        if is_float or (len(digits) > 1 and are_rounded(digits)):
            raise CsmvError(
                f"'{path.name}': a program has rounded the numbers of the column '{name}', so that their last digits "
                "are lost. Export the file anew, with that column as text."
            )


# ---------------------------------------------------------------------- the tools


def _site_shaped(record: Mapping[str, Any]) -> Iterator[Found]:
    """A record that is the site's own item or comment already."""
    if _digits(record.get("cid")) and _digits(record.get("aweme_id")):
        yield Remark(str(record["aweme_id"]), dict(record))
        for reply in record.get("reply_comment") or ():
            if isinstance(reply, dict) and _digits(reply.get("cid")):
                yield Remark(str(reply.get("aweme_id") or record["aweme_id"]), reply)
    elif _digits(record.get("id")) and isinstance(record.get("author"), dict | str) and "createTime" in record:
        remarks = record.get("comments")
        yield Video({name: value for name, value in record.items() if name != "comments"})
        for one in remarks if isinstance(remarks, list) else ():
            if isinstance(one, dict) and _digits(one.get("cid")):
                yield Remark(str(one.get("aweme_id") or record["id"]), {"aweme_id": str(record["id"])} | one)


def _zeeschuimer(record: Mapping[str, Any]) -> Iterator[Found]:
    data = record.get("data")
    if "source_platform" in record and isinstance(data, dict):
        yield from _site_shaped(data)


def _fourcat(record: Mapping[str, Any]) -> Iterator[Found]:
    if "__import_meta" in record:
        yield from _site_shaped(record)
        return
    if "thread_id" not in record or "body" not in record:
        return
    if record.get("tiktok_url") or record.get("video_url"):
        ids = list(videos_in(record.get("tiktok_url") or "").ids) or [str(record.get("id") or "")]
        tags = _HASHTAG.findall(record.get("body") or "")
        tags += [tag.strip().lstrip("#") for tag in (record.get("hashtags") or "").split(",")]
        yield Video(
            {
                "id": ids[0],
                "desc": record["body"],
                "textLanguage": record.get("language_guess") or record.get("language"),
                "createTime": _seconds(record.get("unix_timestamp") or record.get("timestamp")),
                "author": _account(record.get("author_id"), record.get("author"), record.get("author_full")),
                "challenges": [{"title": tag} for tag in tags if tag],
                "stats": {
                    "commentCount": record.get("comments"),
                    "diggCount": record.get("likes"),
                    "playCount": record.get("plays"),
                    "shareCount": record.get("shares"),
                },
            }
        )
        return
    video = next(iter(videos_in(record.get("post_url") or record.get("comment_url") or "").ids), record["thread_id"])
    yield Remark(
        str(video),
        {
            "cid": record.get("id"),
            "aweme_id": str(video),
            "text": record["body"],
            "create_time": _seconds(record.get("unix_timestamp") or record.get("timestamp")),
            "digg_count": record.get("likes"),
            "reply_comment_total": record.get("replies") or 0,
            "reply_id": record.get("parent_id") or record.get("reply_to") or "0",
            "user": _person(record.get("author_id"), record.get("author"), record.get("author_full")),
        },
    )


def _tiktok_api(record: Mapping[str, Any]) -> Iterator[Found]:
    if "source_platform" not in record and "__import_meta" not in record:
        yield from _site_shaped(record)


def _ytdlp(record: Mapping[str, Any]) -> Iterator[Found]:
    key = str(record.get("extractor_key") or record.get("extractor") or "")
    if key.lower() != "tiktok" or not _digits(record.get("id")):
        return
    caption = str(record.get("description") or record.get("title") or "")
    handle = record.get("uploader") or record.get("creator")
    yield Video(
        {
            "id": str(record["id"]),
            "desc": caption,
            "createTime": record.get("timestamp"),
            "textLanguage": record.get("language"),
            "author": _account(record.get("uploader_id"), handle, record.get("channel"), record.get("channel_id")),
            "challenges": [{"title": tag} for tag in (record.get("tags") or _HASHTAG.findall(caption))],
            "stats": {
                "commentCount": record.get("comment_count"),
                "diggCount": record.get("like_count"),
                "playCount": record.get("view_count"),
                "shareCount": record.get("repost_count"),
            },
        }
    )
    for one in record.get("comments") or ():
        if isinstance(one, dict):
            parent = str(one.get("parent") or "root")
            yield Remark(
                str(record["id"]),
                {
                    "cid": str(one.get("id")),
                    "aweme_id": str(record["id"]),
                    "text": one.get("text") or "",
                    "create_time": one.get("timestamp"),
                    "digg_count": one.get("like_count"),
                    "reply_comment_total": one.get("reply_count") or 0,
                    "reply_id": "0" if parent == "root" else parent,
                    "user": _person(one.get("author_id"), one.get("author"), None),
                    "author_pin": one.get("is_pinned"),
                    "label_list": [{"type": 1}] if one.get("author_is_uploader") else None,
                },
            )


def _research(record: Mapping[str, Any]) -> Iterator[Found]:
    if "video_description" in record or "hashtag_names" in record or "region_code" in record:
        tags = record.get("hashtag_names") or ()
        yield Video(
            {
                "id": str(record.get("id")),
                "desc": record.get("video_description") or "",
                "createTime": record.get("create_time"),
                "author": _account(None, record.get("username"), None),
                "challenges": [{"title": str(tag)} for tag in tags],
                "stats": {
                    "commentCount": record.get("comment_count"),
                    "diggCount": record.get("like_count"),
                    "playCount": record.get("view_count"),
                    "shareCount": record.get("share_count"),
                },
            }
        )
    elif "video_id" in record and "text" in record and "create_time" in record:
        parent = str(record.get("parent_comment_id") or "0")
        yield Remark(
            str(record["video_id"]),
            {
                "cid": str(record.get("id")),
                "aweme_id": str(record["video_id"]),
                "text": record.get("text") or "",
                "create_time": record.get("create_time"),
                "digg_count": record.get("like_count"),
                "reply_comment_total": record.get("reply_count") or 0,
                "reply_id": "0" if parent in ("", str(record["video_id"])) else parent,
                "user": _person(None, record.get("username"), None),
            },
        )


_READERS: dict[str, Callable[[Mapping[str, Any]], Iterator[Found]]] = {
    "zeeschuimer": _zeeschuimer,
    "4cat": _fourcat,
    "tiktok-api": _tiktok_api,
    "yt-dlp": _ytdlp,
    "research-api": _research,
}


def _digits(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and str(value).isdigit()


def _account(number: object, handle: object, name: object, sec_id: object = None) -> dict[str, str]:
    """A creator as items name them; without what is not known."""
    given = {"id": number, "uniqueId": handle, "nickname": name, "secUid": sec_id}
    return {key: str(value).lstrip("@") if key == "uniqueId" else str(value) for key, value in given.items() if value}


def _person(number: object, handle: object, name: object) -> dict[str, str]:
    """A commenter as comments name them."""
    given = {"uid": number, "unique_id": handle, "nickname": name}
    return {key: str(value).lstrip("@") if key == "unique_id" else str(value) for key, value in given.items() if value}


def _seconds(value: object) -> int | None:
    """Seconds since 1970 of a number or a time in UTC."""
    text = str(value or "").strip()
    if text.removesuffix(".0").isdigit():
        return int(text.removesuffix(".0"))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
