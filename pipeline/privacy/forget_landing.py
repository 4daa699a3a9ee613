"""Takes forgotten comments, videos and persons out of landing: what is left of a page stays, or the file goes.

A page of one video may hold another's item, a reply to a forgotten comment, or a forgotten person's name in a text.
Everything is read as what it is (records, JSON in JSON); what is no JSON and holds any of it is not kept at all.
"""

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import zstandard

from csmv.pipeline.known_names import HANDLE_KEYS, LANDING, NAME_KEYS, PERSON_ID_KEYS, folder_rows, landing_values
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.privacy.traces import SHORTEST_ID, plain_handle

if TYPE_CHECKING:
    from csmv.pipeline.store import Store

_SHORTEST_TEXT = 12
"""Characters of a comment's text by which a page that is no JSON is known to hold it."""

_PERSON_KEYS = frozenset(("author", "user", "authorInfo", "owner"))
"""Under these stands the person whose the comment or video is, with ids of their own."""

_ACCOUNT_KEYS = ("uid", "secUid", "sec_uid", "user_id", "userId", "id")
_OWN_NAMES = sorted(NAME_KEYS - {"reply_to_username"})
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_QUOTED = re.compile(r'"([^"\\]{1,64})"')
_GONE = object()


@dataclass
class Wanted:
    """What is to be forgotten, by everything that landing calls it. Handles in small letters. Prints nothing of it.

    `accounts` are ids of the persons themselves, `mentions` ids that stood beside a handle elsewhere, `texts` what they
    wrote; `known` is what of the request was met anywhere.
    """

    comments: set[str] = field(default_factory=set, repr=False)
    videos: set[str] = field(default_factory=set, repr=False)
    handles: set[str] = field(default_factory=set, repr=False)
    names: set[str] = field(default_factory=set, repr=False)
    accounts: set[str] = field(default_factory=set, repr=False)
    mentions: set[str] = field(default_factory=set, repr=False)
    texts: set[str] = field(default_factory=set, repr=False)
    known: set[str] = field(default_factory=set, repr=False)

    def knows_handle(self, handle: str) -> bool:
        """Whether a handle was met anywhere."""
        return plain_handle(handle) in self.known

    def is_by(self, person: Any) -> bool:
        """Whether a person, as landing has one (a handle, or an object), is wanted."""
        if isinstance(person, str):
            return plain_handle(person) in self.handles
        return isinstance(person, dict) and (
            any(handle in self.handles for handle in _handles(person)) or not self.accounts.isdisjoint(_ids(person))
        )


def wanted(store: "Store", comments: Iterable[str], videos: Iterable[str], handles: Iterable[str]) -> Wanted:
    """All that belongs to the comments, videos and handles, as landing and the folder source tell it.

    A person's account is followed to its other handles, so that one who changed the handle is found whole.
    """
    targets = Wanted(set(comments), set(videos), {plain_handle(handle) for handle in handles} - {""})
    asked = _Asked(targets)
    accounts: dict[str, set[str]] = {}
    names = store.files(LANDING)
    for name in names:
        data = store.read_file(name)
        asked.look(name, data)
        for value in landing_values(data, name):
            for key, here in _objects(value):
                _learn(targets, accounts, key, here)
    for account in targets.accounts:
        targets.handles |= accounts[account]
    if targets.handles or targets.comments:
        for name in names:
            for value in landing_values(store.read_file(name), name):
                for _, here in _objects(value):
                    _add(targets, here)
    for row in folder_rows(store):
        asked.folder_row(row)
        if _handle(row.get("author")) in targets.handles:
            targets.comments.add(str(row["id"]))
        if _handle(row.get("creator")) in targets.handles:
            targets.videos.add(str(row["video"]))
    return targets


def returned(store: "Store", gone: Forgotten) -> tuple[set[str], set[str]]:
    """What has landed again of what was forgotten: handles of the persons, and original ids of the comments.

    Args:
        store: the root.
        gone: what it was asked to forget; known by digests, so that only what landed can say who it was.
    """
    handles: set[str] = set()
    comments: set[str] = set()
    for name in store.files(LANDING):
        for value in landing_values(store.read_file(name), name):
            for _, here in _objects(value):
                of_person = _handles(here)
                if gone.is_forgotten_person(*of_person, *_ids(here)):
                    handles |= of_person
                if (comment := _comment_id(here)) and gone.is_forgotten_comment(comment):
                    comments.add(comment)
    return handles, comments


def plain_bytes(name: str, data: bytes) -> bytes:
    """A landing file's content, unpacked."""
    if not name.endswith((".zst", ".zstd")):
        return data
    return zstandard.ZstdDecompressor().stream_reader(data).read()


class _Asked:
    """Tells which of the ids and handles of a request stand anywhere in landing or the folder source."""

    def __init__(self, what: Wanted) -> None:
        self._what = what
        self._left = {
            one: re.compile(rb"(?<![0-9A-Za-z_-])%s(?![0-9A-Za-z_-])" % re.escape(one.encode("utf-8", "replace")))
            for one in what.comments | what.videos
        } | {
            # A word of somebody's comment is no handle: it stands behind an @, or alone in quotes and is no key.
            # In a JSON body that stands as text in a record, the quotes are escaped.
            one: re.compile(
                rb"(?:@|%%40)%s(?![\w.])|[\"']%s\\*[\"'](?!\s*:)" % ((re.escape(one.encode("utf-8", "replace")),) * 2),
                re.I,
            )
            for one in what.handles
        }

    def look(self, name: str, data: bytes) -> None:
        """Look through a landing file and its name."""
        if self._left:
            plain = plain_bytes(name, data)
            self._met(one for one, pattern in self._left.items() if one in name.split("/") or pattern.search(plain))

    def folder_row(self, row: dict[str, Any]) -> None:
        """Look at a row of the folder source."""
        here = {str(row.get(key, "")) for key in ("id", "video")}
        here |= {_handle(row.get(key)) for key in ("author", "creator")}
        self._met(here & self._left.keys())

    def _met(self, ones: Iterable[str]) -> None:
        for one in list(ones):
            self._what.known.add(one)
            del self._left[one]


def _handle(value: object) -> str:
    return plain_handle(value) if isinstance(value, str) else ""


def _handles(here: dict[str, Any]) -> set[str]:
    return {_handle(here.get(key)) for key in HANDLE_KEYS} - {""}


def _ids(here: dict[str, Any]) -> set[str]:
    return {one for key in _ACCOUNT_KEYS if len(one := str(here.get(key) or "")) >= SHORTEST_ID}


def _learn(targets: Wanted, accounts: dict[str, set[str]], key: str, here: dict[str, Any]) -> None:
    """The accounts of the handles that are wanted, and the handles of every account."""
    if key not in _PERSON_KEYS or _is_video(here):
        return
    handles, ids = _handles(here), _ids(here)
    for account in ids:
        accounts.setdefault(account, set()).update(handles)
    if handles & targets.handles:
        targets.accounts |= ids


def _add(targets: Wanted, here: dict[str, Any]) -> None:
    if "cid" in here and targets.is_by(here.get("user")):
        targets.comments.add(str(here["cid"]))
    elif _is_video(here) and (targets.is_by(here.get("author")) or _handle(here.get("username")) in targets.handles):
        targets.videos.add(str(here["id"]))
    if _comment_id(here) in targets.comments and isinstance(here.get("text"), str):
        targets.texts.add(here["text"])
    if any(handle in targets.handles for handle in _handles(here)):
        targets.names.update(name for key in _OWN_NAMES if isinstance(name := here.get(key), str) and name.strip())
        ids = (str(here.get(key, "")) for key in (*PERSON_ID_KEYS, "id"))
        # In a video that says its creator's handle, the id is the video's.
        targets.mentions.update(one for one in ids if len(one) >= SHORTEST_ID and not _is_video(here))


def _is_video(here: dict[str, Any]) -> bool:
    return "id" in here and ("author" in here or "video_description" in here) and "text" not in here


def _comment_id(here: dict[str, Any]) -> str:
    return str(here.get("cid") or (here.get("id", "") if "text" in here else ""))


def _objects(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object in a JSON value, with the key that it stands under."""
    stack = [("", value)]
    while stack:
        key, here = stack.pop()
        if isinstance(here, dict):
            yield key, here
            stack.extend(here.items())
        elif isinstance(here, list):
            stack.extend((key, inner) for inner in here)


# ---------------------------------------------------------------------- rewriting


class LandingEraser:
    """Rewrites landing files without what is forgotten. `removed` and `blotted` count for the file at hand.

    `texts` are what a forgotten person wrote, by which a page that is no JSON is known to hold it. They stand in other
    landing files, so `erase_pages` goes through all files before `erase` goes through any.
    """

    def __init__(self, gone: Forgotten, texts: Iterable[str] = ()) -> None:
        self._gone = gone
        self._texts = [text for text in texts if len(text) >= _SHORTEST_TEXT]
        self.removed = self.blotted = 0

    def erase(self, name: str, data: bytes) -> bytes | None:
        """A landing file as it may stay, the same bytes if nothing of it is forgotten; None if it has to go."""
        if self._gone.videos.intersection(name.split("/")):
            return None
        return self._rewritten(name, data, self._line)

    def erase_pages(self, name: str, data: bytes) -> bytes | None:
        """A landing file without the pages that are no JSON and hold anything; None if it has to go."""
        return self._rewritten(name, data, self._page)

    def text(self, text: str) -> str:
        """A text without the names and ids in it; the very same text if there are none."""
        given = text
        text = _ESCAPED.sub(lambda match: _unescaped(int(match[1], 16)), text) if "\\u" in text else text
        cleaned, count = self._gone.clean([text])[0]
        self.blotted += count
        return cleaned if count else given

    def _rewritten(self, name: str, data: bytes, line_of: Callable[[bytes], bytes | None]) -> bytes | None:
        self.removed = self.blotted = 0
        left: list[bytes] = []
        try:
            for line in plain_bytes(name, data).split(b"\n"):
                new_line = line_of(line)
                if new_line is not None:
                    left.append(new_line)
        except _PieceOfAPageError:
            left = []
        if not self.removed and not self.blotted:
            return data
        rewritten = b"\n".join(left)
        if not rewritten.strip():
            return None
        packed = name.endswith((".zst", ".zstd"))
        return zstandard.ZstdCompressor(level=6).compress(rewritten) if packed else rewritten

    def _line(self, line: bytes) -> bytes | None:
        value = self._parsed(line)
        if value is _GONE:
            return line
        before = self.removed, self.blotted
        value = self._record(value) if _is_record(value) else self._cleaned(value, "")
        if value is _GONE:
            return None
        return line if before == (self.removed, self.blotted) else _dumped(value)

    def _page(self, line: bytes) -> bytes | None:
        value = self._parsed(line)
        if _is_record(value) and not _is_json(value["body"]) and self._holds(value["body"]):
            self.removed += 1
            return None
        return line

    def _parsed(self, line: bytes) -> Any:
        """The JSON value of a line; `_GONE` if it is none, and holds nothing that is forgotten."""
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            # A piece of a page: what was forgotten can't be told from the rest of it.
            if self._holds(line.decode("utf-8", "replace")):
                self.removed += 1
                raise _PieceOfAPageError from None
            return _GONE

    def _record(self, record: dict[str, Any]) -> Any:
        """An answer that was kept: its body is a text of its own."""
        try:
            body = json.loads(record["body"])
        except ValueError:
            if self._holds(record["body"]):
                self.removed += 1
                return _GONE
            return record
        before = self.removed, self.blotted
        query: dict[str, str] = record.get("query") or {}
        remaining = {key: value for key, value in query.items() if not self._is_id(value)}
        self.blotted += len(query) - len(remaining)
        cleaned = self._cleaned(body, "")
        if cleaned is _GONE:
            return _GONE
        if before != (self.removed, self.blotted):
            record = record | {"query": remaining, "body": _dumped(cleaned).decode("utf-8", "surrogatepass")}
        return record

    def _cleaned(self, value: Any, key: str) -> Any:
        """A JSON value without what is forgotten; `_GONE` if it is that itself."""
        if isinstance(value, dict):
            return self._object(value)
        if isinstance(value, list):
            return [left for item in value if (left := self._cleaned(item, key)) is not _GONE]
        if isinstance(value, str):
            return self._string(value, key)
        if isinstance(value, int) and self._is_id(str(value)):
            self.blotted += 1
            return _GONE
        return value

    def _object(self, value: dict[str, Any]) -> Any:
        is_video = _is_video(value)
        video = str(value["id"]) if is_video else str(value.get("aweme_id", "")) if "cid" in value else ""
        theirs = is_video and (self._is_by(value.get("author")) or self._is_by(value.get("username")))
        comment = _comment_id(value)
        if (
            (comment and self._gone.is_forgotten_comment(comment))
            or self._gone.is_forgotten_video(video)
            or theirs
            or self._is_by(value.get("user"))
        ):
            self.removed += 1
            return _GONE
        # Somebody else may go by the same display name.
        another = bool(_handles(value)) and not self._gone.is_forgotten_person(*_handles(value))
        left = {
            self.text(key): inner if another and key in NAME_KEYS else self._cleaned(inner, key)
            for key, inner in value.items()
        }
        return {key: None if inner is _GONE else inner for key, inner in left.items()}

    def _is_by(self, person: Any) -> bool:
        if isinstance(person, str):
            return self._gone.is_forgotten_person(person)
        return isinstance(person, dict) and self._gone.is_forgotten_person(*_handles(person), *_ids(person))

    def _is_id(self, value: Any) -> bool:
        return isinstance(value, str) and len(value) >= SHORTEST_ID and self._gone.is_forgotten_id(value)

    def _string(self, value: str, key: str) -> Any:
        if self._is_id(value):
            self.blotted += 1
            return _GONE
        is_handle = key in HANDLE_KEYS and self._gone.is_forgotten_person(value)
        if value and (is_handle or (key in NAME_KEYS and self._gone.is_forgotten_name(value))):
            self.blotted += 1
            return ""
        if value[:1] in ("{", "["):
            try:
                inner = json.loads(value)
            except ValueError:
                return self.text(value)
            before = self.removed, self.blotted
            cleaned = self._cleaned(inner, key)
            same = before == (self.removed, self.blotted)
            return value if same else "" if cleaned is _GONE else _dumped(cleaned).decode("utf-8", "surrogatepass")
        return self.text(value)

    def _holds(self, page: str) -> bool:
        """Whether text that is no JSON holds anything that is forgotten, however it is escaped."""
        before = self.removed, self.blotted
        for form in (page, unquote(page), html.unescape(page)):
            self.text(form)
            # A handle that is an ordinary word counts in quotes, as a page's data has it.
            quoted = any(self._gone.is_forgotten_person(inner) for inner in _QUOTED.findall(form))
            if before != (self.removed, self.blotted) or quoted or any(text in form for text in self._texts):
                self.removed, self.blotted = before
                return True
        return False


class _PieceOfAPageError(Exception):
    """A file is a page that is no JSON and holds what is forgotten."""


def _unescaped(code: int) -> str:
    # Halves of a pair are of no script that names are written in, and no table takes them.
    return "\N{REPLACEMENT CHARACTER}" if 0xD800 <= code < 0xE000 else chr(code)


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and "path" in value and isinstance(value.get("body"), str)


def _is_json(body: str) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
