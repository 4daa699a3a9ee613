"""What in landing names a person: the keys under which handles, names and ids stand, and the JSON they stand in.

Every source keeps what it brought in `private/landing`; `csmv.pipeline.landed_names` reads the names out of it.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import zstandard

from csmv.pipeline.errors import CsmvError

if TYPE_CHECKING:
    from csmv.pipeline.store import Store

LANDING = "private/landing"
LANDED = "private/cache/landed"
"""What is kept of landing so that it is not read again. Every request to forget deletes all of it."""
HANDLE_KEYS = frozenset(
    (
        "uniqueId",
        "unique_id",
        "userUniqueId",
        "user_unique_id",
        "username",
        "author_unique_id",
        "ownerHandle",
        "uploader_id",
        "author",
        "creator",
    )
)
NAME_KEYS = frozenset(
    ("nickname", "authorName", "author_name", "display_name", "reply_to_username", "uploader", "channel")
)
PERSON_ID_KEYS = frozenset(("uid", "secUid", "sec_uid", "user_id", "userId", "cid", "author_id", "channel_id"))
_PERSON_KEYS = frozenset(("author", "user", "authorInfo", "owner"))
COMMENT_KEY = "comment"
"""Under which key a source that parts rows of its own lands a comment: its `id` becomes a pseudonym."""
FOLDER_ROWS = f"{LANDING}/folder"
_ID_OWNERS = _PERSON_KEYS | {COMMENT_KEY}
_SHORTEST_ID = 8
_LARGEST_FILE = 1 << 30


@dataclass(frozen=True, repr=False)
class KnownNames:
    """Handles, display names, and raw ids of persons and comments. Prints nothing of itself."""

    handles: set[str] = field(default_factory=set)
    display_names: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)

    @property
    def names(self) -> list[str]:
        """Handles and display names, sorted: the gazetteer."""
        return sorted(self.handles | self.display_names)

    def add(self, value: Any) -> None:
        """Take in everything that a JSON value says about persons, however deep."""
        for key, parent, found in _strings(value, "", ""):
            if key in HANDLE_KEYS:
                self.handles.add(found.strip().lstrip("@"))
            elif key in NAME_KEYS:
                self.display_names.add(found.strip())
            elif len(found) >= _SHORTEST_ID and (key in PERSON_ID_KEYS or (key == "id" and parent in _ID_OWNERS)):
                self.ids.add(found)
        self.handles.discard("")
        self.display_names.discard("")


def landing_values(data: bytes, name: str) -> Iterator[Any]:
    """The JSON values in a landing file: whole, line by line, or the body of a record; damaged lines are left out."""
    if name.endswith((".zst", ".zstd")):
        try:
            data = zstandard.ZstdDecompressor().decompress(data, max_output_size=_LARGEST_FILE)
        except zstandard.ZstdError:
            raise CsmvError(f"'{name}' is damaged: move it away and run again.") from None
    for line in [data] if _is_json(data) else data.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        body = value.get("body") if isinstance(value, dict) else None
        yield value
        if isinstance(body, str):
            yield from embedded_json(body)


def embedded_json(body: str) -> Iterator[Any]:
    """The JSON that a body is, or that script tags of a page hold."""
    try:
        yield json.loads(body)
        return
    except ValueError:
        pass
    at = 0
    while (start := body.find("<script", at)) >= 0:
        opened = body.find(">", start)
        at = body.find("</script", opened)
        if opened < 0 or at < 0:
            return
        try:
            yield json.loads(body[opened + 1 : at])
        except ValueError:
            continue


def folder_rows(store: "Store") -> Iterator[dict[str, Any]]:
    """The rows that landed from the lists of a folder source: comments and videos as they stood there."""
    for relative in store.files(FOLDER_ROWS):
        if relative.endswith(".zst"):
            for value in landing_values(store.read_file(relative), relative):
                for name in (COMMENT_KEY, "video"):
                    if isinstance(value, dict) and isinstance(row := value.get(name), dict):
                        yield row


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def _strings(value: Any, key: str, parent: str) -> Iterable[tuple[str, str, str]]:
    """Every string and whole number in a JSON value, with its key and the key above that."""
    stack: list[tuple[Any, str, str]] = [(value, key, parent)]
    while stack:
        here, name, above = stack.pop()
        if isinstance(here, dict):
            stack.extend((inner, str(inner_name), name) for inner_name, inner in here.items())
        elif isinstance(here, list):
            stack.extend((inner, name, above) for inner in here)
        elif isinstance(here, str):
            yield name, above, here
        elif isinstance(here, int) and not isinstance(here, bool):
            yield name, above, str(here)
