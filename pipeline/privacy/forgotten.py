"""What a root was asked to forget, so that no later run of any stage brings it back.

Every request is a create-only file under `private/forgotten`, named by the SHA-256 of its content: requests that come
at the same time never touch each other's. Ids that stand in tables are kept as they stand; raw ids, handles and names
of persons only as HMAC-SHA256 under a key of their own, so that the list of who was forgotten names nobody.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.privacy.traces import Digester, Trace, Traces, plain_handle

REQUESTS = "private/forgotten"
FORGET_KEY = "private/forget.key"
FORMAT_1_FILE = "private/forgotten.json"
TEXT_COLUMNS = ("text", "description")
_PII = "USERNAME"
_FORMAT = 1


class Files(Protocol):
    """What is needed of a root to read and add requests."""

    @property
    def root(self) -> str:
        """The root's address."""

    def files(self, prefix: str = "") -> list[str]:
        """The files below a folder, as they are now and not as they were listed before."""

    def files_beginning(self, beginning: str) -> list[str]:
        """The files whose path begins with these characters, as they are now."""

    def exists(self, relative: str) -> bool:
        """Whether a file is there."""

    def read_file(self, relative: str) -> bytes:
        """A file's bytes."""

    def create_file(self, relative: str, data: bytes) -> bool:
        """Commit a new file, whole or not at all; False if one of that name is there."""


@dataclass(frozen=True)
class Request:
    """What is to be forgotten, in plain. Personal: stays in memory, prints nothing of itself.

    `handles`, `accounts` and `raw_comments` decide whose a comment or video is; `names` (display names) and
    `mentions` (raw ids seen beside the handle) are only taken out of texts, since others may share them.
    """

    comments: frozenset[str] = field(default=frozenset(), repr=False)
    videos: frozenset[str] = field(default=frozenset(), repr=False)
    raw_comments: frozenset[str] = field(default=frozenset(), repr=False)
    accounts: frozenset[str] = field(default=frozenset(), repr=False)
    mentions: frozenset[str] = field(default=frozenset(), repr=False)
    handles: frozenset[str] = field(default=frozenset(), repr=False)
    names: frozenset[str] = field(default=frozenset(), repr=False)
    pseudonym_key: str = ""
    """The fingerprint of the key under which `comments` were made."""


@dataclass(frozen=True)
class Forgotten:
    """Everything that a root was ever asked to forget."""

    comments: frozenset[str] = field(default=frozenset(), repr=False)
    """Ids of comments as they stand in the tables."""
    videos: frozenset[str] = field(default=frozenset(), repr=False)
    traces: Traces = field(default_factory=Traces, repr=False)
    digest: str = ""
    """Changes with every request; empty where nothing was forgotten."""

    @classmethod
    def of(cls, store: Files) -> "Forgotten":
        """What was ever forgotten in a root. Read once a set of requests, so that asking is one listing.

        Raises:
            CsmvError: a request or the key of the requests is damaged or gone.
        """
        # One listing for both, since every write of every table asks.
        listed = store.files_beginning(REQUESTS)
        names = tuple(name for name in listed if name.startswith(f"{REQUESTS}/") and name.endswith(".json"))
        format_1 = store.read_file(FORMAT_1_FILE) if FORMAT_1_FILE in listed else b""
        if not names and not format_1:
            return _NOTHING
        state = (names, format_1)
        earlier = _READ.get(store.root)
        if earlier is None or earlier[0] != state:
            earlier = _READ[store.root] = (state, _read(store, names, format_1))
        return earlier[1]

    def drop(self, rows: pa.Table) -> pa.Table:
        """`rows` without what is forgotten, the same table if nothing is; a reply to a forgotten comment stays and no
        longer says to what. A failure goes with the video or comment that it is about."""
        for column, gone in (("comment_id", self.comments), ("video_id", self.videos)):
            if column in rows.column_names:
                rows = _without(rows, column, gone)
        if {"key", "reason"} <= set(rows.column_names):
            rows = _without(rows, "key", self.comments | self.videos)
        if self.comments and "reply_to" in rows.column_names:
            lost = pc.is_in(rows["reply_to"], value_set=_ids(self.comments))
            if pc.any(lost).as_py():
                reply_to = pc.if_else(lost, pa.scalar(None, rows["reply_to"].type), rows["reply_to"])
                rows = _replaced(rows, "reply_to", reply_to)
        return rows

    def applied(self, rows: pa.Table) -> pa.Table:
        """`rows` as they may be published: without forgotten rows, and without forgotten names in texts and hashtags.

        The same table if nothing of it is forgotten. Idempotent.
        """
        return self.cleaned(self.drop(rows))[0]

    def cleaned(self, rows: pa.Table) -> tuple[pa.Table, int]:
        """`rows` without forgotten names in texts and hashtags, and how many there were."""
        names = set(rows.column_names)
        if not self.traces or not {"comment_id", "video_id"} & names:
            return rows, 0
        total = 0
        for column in TEXT_COLUMNS:
            if column in names and pa.types.is_string(rows.schema.field(column).type):
                cleaned = self.clean([text or "" for text in rows[column].to_pylist()])
                counts = [count for _, count in cleaned]
                if any(counts):
                    total += sum(counts)
                    blank = rows[column].is_null().to_pylist()
                    texts = [None if null else text for null, (text, _) in zip(blank, cleaned, strict=True)]
                    rows = _replaced(rows, column, pa.array(texts, pa.string()))
                    if column == "text" and "pii" in names:
                        rows = _replaced(rows, "pii", _with_kind(rows["pii"].to_pylist(), counts))
        if "hashtags" in names:
            tags = rows["hashtags"].to_pylist()
            left = [row if row is None else [tag for tag in row if not self.traces.count(f"#{tag}")] for row in tags]
            if left != tags:
                total += sum(len(row or ()) for row in tags) - sum(len(row or ()) for row in left)
                rows = _replaced(rows, "hashtags", pa.array(left, rows.schema.field("hashtags").type))
        return rows, total

    def clean(self, texts: Sequence[str]) -> list[tuple[str, int]]:
        """Each text without the names and ids of forgotten persons, and how many were taken out.

        A name counts as the scrubber's list of known names has it: an ordinary word only behind an @.
        """
        if not self.traces:
            return [(text, 0) for text in texts]
        return [self.traces.clean(text) for text in texts]

    def is_forgotten_person(self, *values: str | None) -> bool:
        """Whether one of these is the handle (with or without @) or the raw id of a forgotten person.

        Display names decide nothing: others go by the same one.
        """
        return bool(self.traces) and any(
            value and (self.traces.has(Trace.HANDLE, plain_handle(value)) or self.traces.has(Trace.ACCOUNT, value))
            for value in values
        )

    def is_forgotten_comment(self, comment_id: str) -> bool:
        """Whether a comment was forgotten, by its raw id (under any key of pseudonyms) or its id in the tables."""
        return comment_id in self.comments or self.traces.has(Trace.COMMENT, comment_id)

    def is_forgotten_video(self, video_id: str) -> bool:
        """Whether a video was forgotten."""
        return video_id in self.videos

    def is_forgotten_name(self, value: str) -> bool:
        """Whether this is all of a display name or the handle of a forgotten person."""
        return self.traces.has(Trace.NAME, value.strip()) or self.traces.has(Trace.HANDLE, plain_handle(value))

    def is_forgotten_id(self, value: str) -> bool:
        """Whether this is any id of what was forgotten: a comment's, a video's, an account's."""
        return value in self.videos or value in self.comments or self.traces.has_id(value)


_NOTHING = Forgotten()
_READ: dict[str, tuple[tuple[tuple[str, ...], bytes], Forgotten]] = {}
"""Of each root, the requests that were read last. A file of that name never changes."""


def settling(store: Files) -> Iterator[Forgotten]:
    """What is forgotten, for writing something without it; again, for writing it anew, while requests came meanwhile.

    A request that comes during a write may have looked at the file before the write landed. One that comes later finds
    what was written. So `for gone in settling(store): write(gone.applied(rows))` leaves nothing of either.
    """
    gone = Forgotten.of(store)
    while True:
        yield gone
        now = Forgotten.of(store)
        if now.digest == gone.digest:
            return
        gone = now


def remember(store: Files, request: Request) -> Forgotten:
    """Add a request to a root, unless all of it was asked before; gives everything that is forgotten since.

    The file holds no time and no name: the same request makes the same file.
    """
    before = Forgotten.of(store)
    digester = Digester(_key(store, make=True))
    traces = _traces(request, digester)
    if request.comments <= before.comments and request.videos <= before.videos and traces <= before.traces.entries:
        return before
    content = {
        "format": _FORMAT,
        "comments": sorted(request.comments),
        "videos": sorted(request.videos),
        "traces": sorted(traces),
        "pseudonym_key": request.pseudonym_key,
    }
    data = (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
    store.create_file(f"{REQUESTS}/{hashlib.sha256(data).hexdigest()}.json", data)
    return Forgotten.of(store)


def _traces(request: Request, digester: Digester) -> frozenset[tuple[str, str, int, int]]:
    traces: set[tuple[str, str, int, int]] = set()
    for kind, ids in ((Trace.COMMENT, request.raw_comments), (Trace.ACCOUNT, request.accounts)):
        traces.update(digester.id(kind, one) for one in ids)
    traces.update(digester.id(Trace.MENTION, one) for one in request.mentions)
    for handle in request.handles:
        traces.update(digester.handle(handle))
    for name in request.names:
        traces.update(digester.name(name))
    return frozenset(traces)


def _key(store: Files, *, make: bool = False) -> bytes:
    """The key of a root's requests, made once and never changed. Independent of the key of its pseudonyms."""
    if not store.exists(FORGET_KEY):
        if not make or any(name.endswith(".json") for name in store.files(REQUESTS)):
            raise CsmvError(
                f"{FORGET_KEY} is gone from the root '{store.root}': put it back from a copy. Without it nobody can "
                f"tell what the requests in {REQUESTS} are about."
            )
        store.create_file(FORGET_KEY, secrets.token_hex(32).encode("ascii") + b"\n")
    # Read back rather than kept: another process may have been first.
    key = store.read_file(FORGET_KEY).strip()
    if len(key) != 64:
        raise CsmvError(f"{FORGET_KEY} in the root '{store.root}' is damaged: put it back from a copy.")
    return key


def _read(store: Files, names: tuple[str, ...], format_1: bytes) -> Forgotten:
    comments: set[str] = set()
    videos: set[str] = set()
    entries: set[tuple[str, str, int, int]] = set()
    for name in names:
        data = store.read_file(name)
        if f"{hashlib.sha256(data).hexdigest()}.json" != name.rsplit("/", 1)[-1]:
            raise CsmvError(
                f"'{name}' in the root '{store.root}' is a request to forget and is damaged: put it back from a copy."
            )
        entry = json.loads(data)
        comments.update(entry["comments"])
        videos.update(entry["videos"])
        entries.update((kind, digest, words, chars) for kind, digest, words, chars in entry["traces"])
    if format_1:
        entry = _format_1(store, format_1)
        comments.update(entry["comments"])
        videos.update(entry["videos"])
    traces = Traces(_key(store), frozenset(entries)) if entries else Traces()
    said = "\n".join((*names, hashlib.sha256(format_1).hexdigest() if format_1 else ""))
    return Forgotten(frozenset(comments), frozenset(videos), traces, hashlib.sha256(said.encode()).hexdigest())


def _format_1(store: Files, data: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(data)
        return {"comments": list(entry["comments"]), "videos": list(entry["videos"])}
    except (ValueError, KeyError, TypeError):
        raise CsmvError(
            f"'{FORMAT_1_FILE}' in the root '{store.root}' holds requests to forget and is damaged: put it back from "
            "a copy."
        ) from None


def _without(rows: pa.Table, column: str, gone: frozenset[str]) -> pa.Table:
    if not gone:
        return rows
    matches = pc.is_in(rows[column], value_set=_ids(gone))
    return rows.filter(pc.invert(matches)) if pc.any(matches).as_py() else rows


def _ids(ids: Iterable[str]) -> pa.Array:
    return pa.array(sorted(ids), pa.string())


def _replaced(rows: pa.Table, column: str, values: Any) -> pa.Table:
    place = rows.column_names.index(column)
    return rows.set_column(place, rows.schema.field(place), values)


def _with_kind(kinds: Sequence[Sequence[str] | None], counts: Sequence[int]) -> pa.Array:
    new_kinds = [sorted({*(row or ()), _PII}) if count else row for row, count in zip(kinds, counts, strict=True)]
    return pa.array(new_kinds, pa.list_(pa.string()))
