"""Finds names and ids in texts that are known only by their digests.

Every candidate in a text (a word, several in a row, what follows an @, a long number) is written as the name would be
and looked up by its HMAC. How many words and characters the names have is known, which leaves few candidates to hash.
"""

import hmac
import re
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache

from csmv.pipeline.scrub.folding import fold
from csmv.pipeline.scrub.forms import SPACE, Writing, form_of
from csmv.pipeline.scrub.vocabulary import WORD

PLACEHOLDER = "<USERNAME>"
NO_ID = "0"
"""What stands where an id was; a JSON of numbers stays one."""
SHORTEST_ID = 8

Entry = tuple[str, str, int, int]
"""Kind, digest, words, characters."""

_TOKEN = re.compile(r"[\w-]{8,}")
_DIGITS = re.compile(r"\d{8,}")
_PLACEHOLDERS = re.compile(r"<[A-Z_]{2,20}(?::[0-9a-f]{12})?>")
_INERT = "\ue000"
_GOES_ON = re.compile(r"\w|\.\w")
_SPACED_OUT = re.compile(r"\s\s|[^\S ]")
_CACHED = 1 << 17


class Trace(StrEnum):
    """What a digest is of. The kind is part of what is hashed, so that equal digits of two kinds differ."""

    COMMENT = "comment"
    ACCOUNT = "account"
    MENTION = "mention"
    HANDLE = "handle"
    NAME = "name"
    LOOSE = "loose"
    EXACT = "exact"
    UNSPACED = "unspaced"


_IDS = (Trace.COMMENT, Trace.ACCOUNT, Trace.MENTION)
_OF_WRITING = {Writing.LOOSE: Trace.LOOSE, Writing.EXACT: Trace.EXACT, Writing.UNSPACED: Trace.UNSPACED}


def plain_handle(handle: str) -> str:
    """A handle without @ and spaces around it, folded, in small letters."""
    return fold(handle).text.strip().lstrip("@").lower()


class Digester:
    """Makes the entries of a request under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def id(self, kind: Trace, value: str) -> Entry:
        """The entry of a raw id."""
        return str(kind), self.of(kind, value), 1, len(value)

    def handle(self, handle: str) -> Iterator[Entry]:
        """The entries of a handle: as an author's, behind an @, and as a name in a text."""
        plain = plain_handle(handle)
        if plain:
            yield str(Trace.HANDLE), self.of(Trace.HANDLE, plain), 1, len(plain)
            yield from self._forms(plain)

    def name(self, name: str) -> Iterator[Entry]:
        """The entries of a display name: as a whole value, and in a text."""
        yield str(Trace.NAME), self.of(Trace.NAME, name.strip()), 1, len(name.strip())
        yield from self._forms(name)

    def _forms(self, name: str) -> Iterator[Entry]:
        form = form_of(name)
        if form is not None:
            kind = _OF_WRITING[form.writing]
            yield str(kind), self.of(kind, form.text), len(form.words), len(form.text)

    def of(self, kind: str, value: str) -> str:
        """The digest of a value of a kind."""
        return hmac.digest(self._key, f"{kind}:{value}".encode("utf-8", "surrogatepass"), "sha256").hex()


class Traces:
    """Digests of the names and ids of forgotten persons, and the search for them. False if there are none."""

    def __init__(self, key: bytes = b"", entries: frozenset[Entry] = frozenset()) -> None:
        self.entries = entries
        self._of = lru_cache(_CACHED)(Digester(key).of)
        self._digests: dict[str, frozenset[str]] = {}
        self._chars: dict[str, frozenset[int]] = {}
        for trace in Trace:
            of_kind = [entry for entry in entries if entry[0] == trace]
            self._digests[trace] = frozenset(digest for _, digest, _, _ in of_kind)
            self._chars[trace] = frozenset(chars for _, _, _, chars in of_kind)
        self._id_chars = frozenset().union(*(self._chars[kind] for kind in _IDS))
        self._handle_chars = sorted(self._chars[Trace.HANDLE], reverse=True)
        self._unspaced_chars = sorted(self._chars[Trace.UNSPACED], reverse=True)
        shapes: dict[int, dict[Trace, set[int]]] = {}
        for kind, _, words, chars in entries:
            if kind in (Trace.LOOSE, Trace.EXACT):
                shapes.setdefault(words, {Trace.LOOSE: set(), Trace.EXACT: set()})[Trace(kind)].add(chars)
        self._shapes = [(words, kinds[Trace.LOOSE], kinds[Trace.EXACT]) for words, kinds in sorted(shapes.items())]

    def __bool__(self) -> bool:
        return bool(self.entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Traces) and self.entries == other.entries

    def __hash__(self) -> int:
        return hash(self.entries)

    def has(self, kind: Trace, value: str) -> bool:
        """Whether a value of a kind is one of those known."""
        return len(value) in self._chars[kind] and self._of(kind, value) in self._digests[kind]

    def has_id(self, value: str) -> bool:
        """Whether a value is the raw id of a comment or an account."""
        return len(value) in self._id_chars and any(self.has(kind, value) for kind in _IDS)

    def count(self, text: str, shortest: int = 0) -> int:
        """How many names (of at least so many characters) and ids stand in a text."""
        return sum(end - start >= shortest for start, end, _ in self._find(text))

    def clean(self, text: str) -> tuple[str, int]:
        """A text with a placeholder for each name and id, and how many there were; the very same text if none."""
        spans = self._find(text)
        for start, end, instead in reversed(spans):
            text = text[:start] + instead + text[end:]
        return text, len(spans)

    def _find(self, text: str) -> list[tuple[int, int, str]]:
        """Where names and ids stand in a text and what stands instead, in order, none within another."""
        if not self.entries:
            return []
        plain = _PLACEHOLDERS.sub(lambda match: _INERT * len(match[0]), text) if "<" in text else text
        folded = fold(plain)
        spans: list[tuple[int, int, str]] = []
        for start, end, instead in sorted(self._spans(folded.text), key=lambda span: (span[0], -span[1])):
            start, end = folded.original(start, end)
            if spans and start < spans[-1][1]:
                before = spans.pop()
                start, end, instead = before[0], max(end, before[1]), before[2]
            spans.append((start, end, instead))
        return spans

    def _spans(self, text: str) -> Iterator[tuple[int, int, str]]:
        if self._shapes:
            yield from self._names(text)
        if self._handle_chars and "@" in text:
            yield from self._marked(text)
        if self._unspaced_chars and not text.isascii():
            yield from self._unspaced(text)
        if self._id_chars:
            yield from self._ids(text)

    def _names(self, text: str) -> Iterator[tuple[int, int, str]]:
        words = [match.span() for match in WORD.finditer(text)]
        # Only spaces can be more in the text than in the name.
        is_spaced_out = _SPACED_OUT.search(text) is not None
        for count, loose, exact in self._shapes:
            for (start, _), (_, end) in zip(words, words[count - 1 :], strict=False):
                chars = end - start
                if is_spaced_out:
                    chars = len(SPACE.sub(" ", text[start:end]))
                if chars in loose or chars in exact:
                    written = SPACE.sub(" ", text[start:end])
                    if (chars in loose and self._of(Trace.LOOSE, written.lower()) in self._digests[Trace.LOOSE]) or (
                        chars in exact and self._of(Trace.EXACT, written) in self._digests[Trace.EXACT]
                    ):
                        yield start, end, PLACEHOLDER

    def _marked(self, text: str) -> Iterator[tuple[int, int, str]]:
        at = text.find("@")
        while at >= 0:
            for chars in self._handle_chars:
                end = at + 1 + chars
                if (
                    end <= len(text)
                    and not _GOES_ON.match(text, end)
                    and self.has(Trace.HANDLE, text[at + 1 : end].lower())
                ):
                    yield at + 1, end, PLACEHOLDER
                    break
            at = text.find("@", at + 1)

    def _unspaced(self, text: str) -> Iterator[tuple[int, int, str]]:
        for start, char in enumerate(text):
            if not char.isascii():
                for chars in self._unspaced_chars:
                    if self.has(Trace.UNSPACED, text[start : start + chars]):
                        yield start, start + chars, PLACEHOLDER
                        break

    def _ids(self, text: str) -> Iterator[tuple[int, int, str]]:
        for pattern in (_TOKEN, _DIGITS):
            for match in pattern.finditer(text):
                if self.has_id(match[0]):
                    yield *match.span(), NO_ID
