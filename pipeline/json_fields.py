"""Where the texts of chosen fields stand in a line of JSON: only these are read, and all else can stay as it was.

A field is written as people write it: `text`, `reply.text`, `comments[].text`, `tags[]`, `"a.b".c` for a key with a
dot, and a `?` at the end if no row need have it.
"""

import json
import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from csmv.pipeline.errors import UsageError

EACH = None
"""The step of a path that stands for each item of a list; every other step is a key."""

_STEP = re.compile(r'(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<bare>[^."\[\]*?]+)|(?P<each>\[\])')
_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_NUMBER = re.compile(r"-?\d[\d.eE+-]*")
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|["\\/bfnrt])')
_ESCAPED = {'\\"': '"', "\\\\": "\\", "\\/": "/"}
_DECODER = json.JSONDecoder(strict=False)
_DEEPEST = "is nested too deeply"


class UnreadableError(ValueError):
    """A row that is no JSON, or holds something else than asked for. Says what it is, and nothing that stands in it."""


@dataclass(frozen=True)
class FieldPath:
    """One field: how it was written, the keys and lists on the way to it, and whether rows may do without it."""

    written: str
    steps: tuple[str | None, ...]
    optional: bool

    @property
    def is_key(self) -> bool:
        """Whether it is a key of the row itself."""
        return len(self.steps) == 1 and self.steps[0] is not EACH


@cache
def field_path(written: str) -> FieldPath:
    """A field as it was typed. Raises UsageError if it can't be read."""
    optional = written.endswith("?")
    path = written[:-1] if optional else written
    begin = 1 if path.startswith(".") else 0
    steps, at = _steps(path, begin)
    if at < len(path) or not steps:
        raise UsageError(
            f"The field '{written[:80]}' can't be read at '{path[at : at + 20]}': write keys with dots between "
            'them and [] for each item of a list, such as comments[].text; another sign in quotes, such as "a.b".c.'
        )
    return FieldPath(written, tuple(steps), optional)


def _steps(path: str, begin: int) -> tuple[list[str | None], int]:
    """The steps of a path, and how far it could be read."""
    steps: list[str | None] = []
    at = begin
    while step := _STEP.match(path, at):
        after_dot = path[at - 1 : at] == "." and at > begin
        if at > begin and after_dot == (step["each"] is not None):
            break
        try:
            steps.append(EACH if step["each"] else json.loads(step["quoted"]) if step["quoted"] else step["bare"])
        except ValueError:
            break
        at = step.end()
        if path[at : at + 1] == "." and at + 1 < len(path):
            at += 1
    return steps, at


# ---------------------------------------------------------------------- reading a row


class Found(NamedTuple):
    """A text in a line: characters [start, end), the text that they stand for, and how one gets there."""

    start: int
    end: int
    text: str
    place: str


@dataclass
class Reading:
    """What a row holds: its texts in their order, and the numbers of the fields that are there, null or missing."""

    texts: list[Found] = field(default_factory=list)
    there: set[int] = field(default_factory=set)
    null: set[int] = field(default_factory=set)
    missing: set[int] = field(default_factory=set)


def read_row(line: str, fields: tuple[str, ...]) -> Reading:
    """The texts of these fields in a line that holds one JSON value, every one of them if a key stands there twice.

    Raises:
        UnreadableError: the line is not one JSON value, or a field holds something else than text or null.
    """
    walk = _Walk(line)
    try:
        end = walk.value(walk.skip(0), _tree(fields), "")
    except UnreadableError:
        raise
    except ValueError:
        raise UnreadableError("is not JSON") from None
    except RecursionError:
        raise UnreadableError(_DEEPEST) from None
    if walk.skip(end) < len(line):
        raise UnreadableError("holds something behind its JSON value")
    return walk.reading


def all_texts(line: str) -> list[Found]:
    """Every string and number of a line that is JSON, keys as well; none if it is no JSON."""
    try:
        _DECODER.decode(line)
    except (ValueError, RecursionError):
        return []
    texts = []
    at = 0
    while at < len(line):
        if string := _STRING.match(line, at):
            texts.append(Found(*string.span(), _DECODER.decode(string[0]), ""))
            at = string.end()
        elif number := _NUMBER.match(line, at):
            texts.append(Found(*number.span(), number[0], ""))
            at = number.end()
        else:
            at += 1
    return texts


def unescaped(text: str) -> str:
    """A text that is no JSON, with the escapes of JSON as what they stand for, or as a space."""
    if "\\" not in text:
        return text
    plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _ESCAPED.get(found[0], " "), text)
    # Two escapes may be one character.
    return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def keys_of(line: str) -> tuple[str, ...]:
    """The keys of a line that holds an object; none of another line."""
    try:
        value = _DECODER.decode(line)
    except (ValueError, RecursionError):
        return ()
    return tuple(value) if isinstance(value, dict) else ()


class _Node:
    """What is looked for at a place: text (the number of its field), the items of a list, keys of an object."""

    __slots__ = ("fields", "items", "keys", "text")

    def __init__(self) -> None:
        self.text: int | None = None
        self.items: _Node | None = None
        self.keys: dict[str, _Node] = {}
        self.fields: set[int] = set()
        """The fields that end here or below."""

    @property
    def expected(self) -> str:
        kinds = (
            "text" if self.text is not None else "",
            "a list" if self.items else "",
            "an object" if self.keys else "",
        )
        return " or ".join(filter(None, kinds))


@cache
def _tree(fields: tuple[str, ...]) -> _Node:
    root = _Node()
    for number, written in enumerate(fields):
        node = root
        node.fields.add(number)
        for step in field_path(written).steps:
            if step is EACH:
                node.items = node.items or _Node()
                node = node.items
            else:
                node = node.keys.setdefault(step, _Node())
            node.fields.add(number)
        node.text = number
    return root


class _Walk:
    """Reads one line from left to right, by Python's own scanner where nothing is looked for."""

    def __init__(self, line: str) -> None:
        self._line = line
        self.reading = Reading()

    def skip(self, at: int) -> int:
        """The next place that is no space."""
        space = _SPACE.match(self._line, at)
        return space.end() if space else at

    def value(self, at: int, node: _Node, place: str) -> int:
        """Where the value that begins at a place ends."""
        first = self._line[at : at + 1]
        if first == "{" and node.keys:
            return self._object(at, node, place)
        if first == "[" and node.items is not None:
            return self._list(at, node.items, place)
        if first == '"' and node.text is not None:
            text, end = _scanned(self._line, at)
            self.reading.texts.append(Found(at, end, text, place))
            self.reading.there.add(node.text)
            return end
        value, end = _scanned(self._line, at)
        if value is None and place:
            self.reading.there |= node.fields
            self.reading.null |= node.fields
            return end
        raise UnreadableError(f"holds {_kind(value)} {f'at {place!r} ' if place else ''}and not {node.expected}")

    def _object(self, at: int, node: _Node, place: str) -> int:
        absent = dict(node.keys)
        at = self.skip(at + 1)
        closed = self._line[at : at + 1] == "}"
        while not closed:
            key, at = self._key(at)
            below = node.keys.get(key)
            if below is None:
                _, at = _scanned(self._line, at)
            else:
                absent.pop(key, None)
                at = self.value(at, below, _below(place, key))
            at = self.skip(at)
            closed = self._sign(at, ",}") == "}"
            if not closed:
                at = self.skip(at + 1)
        for below in absent.values():
            self.reading.missing |= below.fields
        return at + 1

    def _key(self, at: int) -> tuple[str, int]:
        self._sign(at, '"')
        key, at = _scanned(self._line, at)
        at = self.skip(at)
        self._sign(at, ":")
        return key, self.skip(at + 1)

    def _list(self, at: int, node: _Node, place: str) -> int:
        at = self.skip(at + 1)
        if self._line[at : at + 1] == "]":
            self.reading.there |= node.fields
            return at + 1
        number = 0
        while True:
            at = self.skip(self.value(at, node, f"{place}[{number}]"))
            if self._sign(at, ",]") == "]":
                return at + 1
            at = self.skip(at + 1)
            number += 1

    def _sign(self, at: int, signs: str) -> str:
        sign = self._line[at : at + 1]
        if not sign or sign not in signs:
            raise ValueError(f"expected one of {signs}")
        return sign


def _scanned(line: str, at: int) -> tuple[Any, int]:
    value, end = _DECODER.raw_decode(line, at)
    return value, int(end)


def _below(place: str, key: str) -> str:
    name = key if _STEP.fullmatch(key) and key[0] != '"' else json.dumps(key, ensure_ascii=False)
    return f"{place}.{name}" if place else name


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "a truth value", type(None): "null"}
    return kinds.get(type(value), "a number")
