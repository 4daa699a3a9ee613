"""Takes forgotten comments, videos and persons out of landing: what is left of a page stays, or the file goes.

A page of one video may hold another's item, a reply to a forgotten comment, or a forgotten person's name in a text.
Everything is read as what it is (records, JSON in JSON); what is no JSON and holds any of it is not kept at all.
"""

import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import zstandard

from pipeline.known_names import HANDLE_KEYS, LANDING, NAME_KEYS, PERSON_ID_KEYS, folder_rows, landing_values
from pipeline.scrub.folding import fold
from pipeline.scrub.gazetteer import Gazetteer
from pipeline.scrub.recognizer import Glance

if TYPE_CHECKING:
    from pipeline.store import Store

PLACEHOLDER = "<USERNAME>"
_SHORTEST_ID = 8
_SHORTEST_TEXT = 12
"""Characters of a comment's text by which a page that is no JSON is known to hold it."""

_TOKEN = re.compile(r"[\w-]{8,}")
_DIGITS = re.compile(r"\d{8,}")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_GONE = object()


@dataclass
class Wanted:
    """What is to be forgotten, by everything that landing calls it. Handles in small letters. Prints nothing of it."""

    comments: set[str] = field(default_factory=set, repr=False)
    videos: set[str] = field(default_factory=set, repr=False)
    handles: set[str] = field(default_factory=set, repr=False)
    names: set[str] = field(default_factory=set, repr=False)
    person_ids: set[str] = field(default_factory=set, repr=False)
    texts: set[str] = field(default_factory=set, repr=False)


def wanted(store: "Store", comments: Iterable[str], videos: Iterable[str], handles: Iterable[str]) -> Wanted:
    """All that belongs to the comments, videos and handles, as landing and the folder source tell it."""
    found = Wanted(set(comments), set(videos), {bare(handle) for handle in handles} - {""})
    for name in store.files(LANDING):
        for value in landing_values(store.read_file(name), name):
            for here in _objects(value):
                _add(found, here)
    for row in folder_rows(store):
        if bare(row.get("author")) in found.handles:
            found.comments.add(str(row["id"]))
        if bare(row.get("creator")) in found.handles:
            found.videos.add(str(row["video"]))
    return found


def bare(handle: object) -> str:
    """A handle without @, in small letters."""
    return handle.strip().lstrip("@").casefold() if isinstance(handle, str) else ""


def _add(found: Wanted, here: dict[str, Any]) -> None:
    if "cid" in here and _is_by(here.get("user"), found.handles):
        found.comments.add(str(here["cid"]))
    elif _is_video(here) and (_is_by(here.get("author"), found.handles) or bare(here.get("username")) in found.handles):
        found.videos.add(str(here["id"]))
    if _comment_id(here) in found.comments and isinstance(here.get("text"), str):
        found.texts.add(here["text"])
    if _is_by(here, found.handles):
        found.names.update(name for key in NAME_KEYS if isinstance(name := here.get(key), str) and name)
        ids = (str(here.get(key, "")) for key in (*PERSON_ID_KEYS, "id"))
        # In a video that says its creator's handle, the id is the video's.
        found.person_ids.update(one for one in ids if len(one) >= _SHORTEST_ID and not _is_video(here))


def _is_video(here: dict[str, Any]) -> bool:
    return "id" in here and ("author" in here or "video_description" in here) and "text" not in here


def _comment_id(here: dict[str, Any]) -> str:
    return str(here.get("cid") or (here.get("id", "") if "text" in here else ""))


def _is_by(person: Any, handles: set[str]) -> bool:
    if isinstance(person, str):
        return bare(person) in handles
    return isinstance(person, dict) and any(bare(person.get(key)) in handles for key in HANDLE_KEYS)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    stack = [value]
    while stack:
        here = stack.pop()
        if isinstance(here, dict):
            yield here
            stack.extend(here.values())
        elif isinstance(here, list):
            stack.extend(here)


# ---------------------------------------------------------------------- rewriting


class LandingEraser:
    """Rewrites landing files without what is wanted. `removed` and `blotted` count for the file at hand."""

    def __init__(self, what: Wanted) -> None:
        self._what = what
        self._names = Gazetteer(what.handles | what.names)
        self._ids = {one for one in what.comments | what.videos | what.person_ids if len(one) >= _SHORTEST_ID}
        marked = "|".join(map(re.escape, sorted(what.handles, key=len, reverse=True)))
        self._marked = re.compile(rf"@(?:{marked})(?!\w|\.\w)", re.I) if marked else None
        self.removed = self.blotted = 0

    def erase(self, name: str, data: bytes) -> bytes | None:
        """A landing file as it may stay, the same bytes if nothing of it is wanted; None if it has to go."""
        self.removed = self.blotted = 0
        if self._what.videos.intersection(name.split("/")):
            return None
        packed = name.endswith((".zst", ".zstd"))
        plain = zstandard.ZstdDecompressor().stream_reader(data).read() if packed else data
        left = self._lines(plain.split(b"\n"))
        if not self.removed and not self.blotted:
            return data
        rewritten = b"\n".join(left)
        if not rewritten.strip():
            return None
        return zstandard.ZstdCompressor(level=6).compress(rewritten) if packed else rewritten

    def text(self, text: str) -> str:
        """A text without the names and ids in it; the very same text if there are none."""
        given, before = text, self.blotted
        text = _ESCAPED.sub(lambda found: _unescaped(int(found[1], 16)), text) if "\\u" in text else text
        text, count = self._marked.subn(f"@{PLACEHOLDER}", text) if self._marked else (text, 0)
        self.blotted += count
        for start, end in reversed(self._named(text)):
            text = text[:start] + PLACEHOLDER + text[end:]
            self.blotted += 1
        text = _DIGITS.sub(self._id, _TOKEN.sub(self._id, text)) if self._ids else text
        return given if before == self.blotted else text

    def _named(self, text: str) -> list[tuple[int, int]]:
        folded = fold(text)
        if not self._names.may_hold(Glance(folded.text)):
            return []
        spans: list[tuple[int, int]] = []
        for found in sorted(self._names.find(folded.text)):
            start, end = folded.original(found[0], found[1])
            if spans and start < spans[-1][1]:
                start, end = spans[-1][0], max(end, spans.pop()[1])
            spans.append((start, end))
        return spans

    def _id(self, found: re.Match[str]) -> str:
        if found[0] not in self._ids:
            return found[0]
        self.blotted += 1
        return "0"

    def _lines(self, lines: list[bytes]) -> list[bytes]:
        left: list[bytes] = []
        for line in lines:
            try:
                value = json.loads(line)
                before = self.removed, self.blotted
                value = self._record(value) if _is_record(value) else self._cleaned(value, "")
            except (ValueError, RecursionError):
                # A piece of a page: what was forgotten can't be told from the rest of it.
                if self._holds(line.decode("utf-8", "replace")):
                    self.removed += 1
                    return []
                left.append(line)
                continue
            if value is not _GONE:
                left.append(line if before == (self.removed, self.blotted) else _dumped(value))
        return left

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
        kept = {key: value for key, value in query.items() if value not in self._ids}
        self.blotted += len(query) - len(kept)
        cleaned = self._cleaned(body, "")
        if cleaned is _GONE:
            return _GONE
        if before != (self.removed, self.blotted):
            record = record | {"query": kept, "body": _dumped(cleaned).decode("utf-8", "surrogatepass")}
        return record

    def _cleaned(self, value: Any, key: str) -> Any:
        """A JSON value without what is wanted; `_GONE` if it is that itself."""
        if isinstance(value, dict):
            return self._object(value)
        if isinstance(value, list):
            return [left for item in value if (left := self._cleaned(item, key)) is not _GONE]
        if isinstance(value, str):
            return self._string(value, key)
        if isinstance(value, int) and str(value) in self._ids:
            self.blotted += 1
            return _GONE
        return value

    def _object(self, value: dict[str, Any]) -> Any:
        what = self._what
        video = str(value["id"]) if _is_video(value) else str(value.get("aweme_id", "")) if "cid" in value else ""
        if _comment_id(value) in what.comments or video in what.videos or _is_by(value.get("user"), what.handles):
            self.removed += 1
            return _GONE
        # Somebody else may go by the same display name.
        another = any(bare(value.get(key)) for key in HANDLE_KEYS) and not _is_by(value, what.handles)
        left = {
            self.text(key): inner if another and key in NAME_KEYS else self._cleaned(inner, key)
            for key, inner in value.items()
        }
        return {key: None if inner is _GONE else inner for key, inner in left.items()}

    def _string(self, value: str, key: str) -> Any:
        if value in self._ids:
            self.blotted += 1
            return _GONE
        known = key in HANDLE_KEYS and bare(value) in self._what.handles
        if known or (key in NAME_KEYS and (value in self._what.names or bare(value) in self._what.handles)):
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
        """Whether text that is no JSON holds anything that is wanted, however it is escaped."""
        before = self.removed, self.blotted
        for form in (page, unquote(page), html.unescape(page)):
            self.text(form)
            # A handle that is an ordinary word counts in quotes, as a page's data has it.
            quoted = any(f'"{name}"' in form.casefold() for name in self._what.handles)
            if before != (self.removed, self.blotted) or quoted or any(text in form for text in self._long_texts):
                self.removed, self.blotted = before
                return True
        return False

    @property
    def _long_texts(self) -> list[str]:
        return [text for text in self._what.texts if len(text) >= _SHORTEST_TEXT]


def _unescaped(code: int) -> str:
    # Halves of a pair are of no script that names are written in, and no table takes them.
    return "\N{REPLACEMENT CHARACTER}" if 0xD800 <= code < 0xE000 else chr(code)


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and "path" in value and isinstance(value.get("body"), str)


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
