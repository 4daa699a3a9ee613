"""The rows of a stream: lines of text, JSONL, or the objects of a JSON document, in UTF-8 or what a BOM says.

A row keeps its bytes, so that all that is not scrubbed can be written as it came.
"""

import codecs
import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import IO, NamedTuple

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.scrub.policy import StreamSettings

_PEEK_LINES = 20
_PEEK_BYTES = 1 << 20
"""How much of a stream is looked at to tell what it holds, where its first line does not."""
_CHUNK = 1 << 16
_BATCH_LINES = 500
_BATCH_BYTES = 1 << 18
_DECODER = json.JSONDecoder(strict=False)
_BETWEEN = re.compile(r"[\s,]*")


class Row(NamedTuple):
    """A row of a stream: its number from 1, the bytes that stand before it, and its own."""

    number: int
    before: bytes
    body: bytes

    def size(self) -> int:
        """Bytes of the row."""
        return len(self.body)


@dataclass(frozen=True)
class Encoding:
    """How bytes of a stream are text; bytes that are none are kept where they can be."""

    name: str
    errors: str
    mark: bytes
    """The byte order mark that the stream began with."""

    @property
    def width(self) -> int:
        """Bytes of the smallest character."""
        return len("\n".encode(self.name))

    def decode(self, data: bytes) -> str:
        """Raises CsmvError if the bytes end within a character."""
        try:
            return data.decode(self.name, self.errors)
        except UnicodeDecodeError as error:
            raise CsmvError(
                f"The text is said to be {self.name.upper()} and breaks off within a character, or is something else "
                f"({error.reason}): make the file again, or save it as UTF-8."
            ) from None

    def encode(self, text: str) -> bytes:
        """The bytes of a text that `decode` gave."""
        return text.encode(self.name, self.errors)


UTF_8 = Encoding("utf-8", "surrogateescape", b"")
_MARKS = (
    # That of UTF-32 begins with that of UTF-16.
    Encoding("utf-8", "surrogateescape", codecs.BOM_UTF8),
    Encoding("utf-32-le", "surrogatepass", codecs.BOM_UTF32_LE),
    Encoding("utf-32-be", "surrogatepass", codecs.BOM_UTF32_BE),
    Encoding("utf-16-le", "surrogatepass", codecs.BOM_UTF16_LE),
    Encoding("utf-16-be", "surrogatepass", codecs.BOM_UTF16_BE),
)


class RowStream:
    """A file or standard input as rows; a context manager.

    Args:
        settings: says what form it has, or that this is to be found out.
        file: a file; None or - is standard input.

    Attributes:
        encoding: of the stream.
        form: lines, jsonl or json.

    Raises:
        CsmvError: the file is not there.
    """

    def __init__(self, settings: StreamSettings, file: Path | None) -> None:
        self._stack = ExitStack()
        self._source = _opened(file, self._stack)
        self._begin = self._source.readline(_PEEK_BYTES)
        self.encoding = encoding_of(self._begin)
        self._begin = self._begin[len(self.encoding.mark) :]
        self.form: str = settings.form if settings.form != "auto" else form_of(self._peeked())

    def __enter__(self) -> "RowStream":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def noun(self) -> str:
        """What a row is called."""
        return "row" if self.form == "json" else "line"

    def rows(self) -> Iterator[Row]:
        """Every row in its order; their bytes together are those of the stream, but for the byte order mark.

        Raises:
            CsmvError: a JSON document breaks off, or something else stands in it.
        """
        if self.form == "json":
            yield from self._values()
            return
        for number, line in enumerate(self._lines(), 1):
            yield Row(number, b"", line)

    def batches(self) -> Iterator[list[Row]]:
        """The rows, some hundreds together."""
        batch: list[Row] = []
        size = 0
        rows = self.rows()
        while True:
            try:
                row = next(rows, None)
            except CsmvError:
                if batch:
                    yield batch
                raise
            if row is None:
                break
            batch.append(row)
            size += len(row.body)
            if len(batch) >= _BATCH_LINES or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _peeked(self) -> list[str]:
        """As many of the first lines as it takes to tell the form; they are kept for those who read."""
        while True:
            whole = len(self._begin) - len(self._begin) % self.encoding.width
            lines = self.encoding.decode(self._begin[:whole]).split("\n")
            written = [line for line in lines if line.strip()]
            cut_off = bool(written) and not self._begin.endswith(b"\n")
            begins_json = bool(written) and (_BEGINS_ARRAY.match(written[0].strip()) or is_object(written[0].strip()))
            if begins_json or len(written) >= _PEEK_LINES or (len(self._begin) >= _PEEK_BYTES and not cut_off):
                return written
            more = self._source.readline()
            if not more:
                return written
            self._begin += more

    def _lines(self) -> Iterator[bytes]:
        newline = "\n".encode(self.encoding.name)
        if len(newline) > 1:
            yield from _wide_lines(self._begin, self._source, newline)
            return
        begin = BytesIO(self._begin)
        for line in begin:
            yield line if line.endswith(newline) else line + self._source.readline()
        yield from self._source

    def _texts(self) -> Iterator[str]:
        """The stream as text, in pieces that end anywhere."""
        decoder = codecs.getincrementaldecoder(self.encoding.name)(self.encoding.errors)
        for piece in chain([self._begin], iter(partial(self._source.read, _CHUNK), b"")):
            yield decoder.decode(piece)
        yield self.encoding.decode(decoder.getstate()[0])

    def _values(self) -> Iterator[Row]:
        """The items of an array, or values one after the other, however they are laid out."""
        document = _Document(self._texts())
        number = 0
        while document.next_value(number):
            number += 1
            value = document.value(number)
            yield Row(number, self.encoding.encode(document.before), self.encoding.encode(value))
        if document.before:
            yield Row(0, self.encoding.encode(document.before), b"")


class _Document:
    """A JSON document read from left to right, little more of it in memory than a value."""

    def __init__(self, texts: Iterator[str]) -> None:
        self._texts = texts
        self._text = ""
        self._at = 0
        self._line = 1
        self._depth = 0
        self.before = ""
        """What stands between the last value and the next."""

    def next_value(self, number: int) -> bool:
        """Go to the value after the one of this number; no if there is none any more."""
        begin = self._at
        while True:
            between = _BETWEEN.match(self._text, self._at)
            self._at = between.end() if between else self._at
            sign = self._text[self._at : self._at + 1]
            if (sign == "[" and self._depth == 0) or (sign == "]" and self._depth == 1):
                self._depth = 1 - self._depth
                self._at += 1
            elif sign:
                self.before = self._text[begin : self._at]
                return True
            elif not self._more(begin):
                if self._depth:
                    raise self._no_json(number, len(self._text))
                self.before = self._text[begin:]
                return False
            else:
                begin = 0

    def value(self, number: int) -> str:
        """The value that begins here, as it is written."""
        while True:
            try:
                _, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                # What breaks off at the end of what was read may go on.
                cut_off = error.msg.startswith("Unterminated string") or error.pos > len(self._text) - 16
                if not (cut_off and self._more(self._at)):
                    raise self._no_json(number, error.pos) from None
            except RecursionError:
                raise self._no_json(number, self._at) from None
            else:
                if end < len(self._text) or not self._more(self._at):
                    break
        span = self._text[self._at : end]
        self._at = end
        return span

    def _more(self, keep: int) -> bool:
        """Read on, as much again as is kept from a place on, which then is at 0; no at the end of the document."""
        wanted = max(_CHUNK, len(self._text) - keep)
        pieces: list[str] = []
        size = 0
        for piece in self._texts:
            pieces.append(piece)
            size += len(piece)
            if size >= wanted:
                break
        if not size:
            return False
        self._line += self._text.count("\n", 0, keep)
        self._text = self._text[keep:] + "".join(pieces)
        self._at -= keep
        return True

    def _no_json(self, number: int, at: int) -> CsmvError:
        line = self._line + self._text.count("\n", 0, at)
        what = "breaks off" if at >= len(self._text.rstrip()) else "is no JSON"
        return CsmvError(
            f"The stream looks like a JSON document, and {what} at line {line:,}, in row {number:,}: correct it there, "
            "or say --format jsonl if every line should be an object of its own, or --format lines for plain text."
        )


# ---------------------------------------------------------------------- what a stream is


def encoding_of(begin: bytes) -> Encoding:
    """The encoding that the first bytes of a stream tell: by a byte order mark, or the zeros of UTF-16 without one."""
    for encoding in _MARKS:
        if begin.startswith(encoding.mark):
            return encoding
    zeros = tuple(byte == 0 for byte in begin[:4])
    if zeros == (False, True, False, True):
        return Encoding("utf-16-le", "surrogatepass", b"")
    if zeros == (True, False, True, False):
        return Encoding("utf-16-be", "surrogatepass", b"")
    return UTF_8


def form_of(lines: Sequence[str]) -> str:
    """What a stream that begins with these lines holds: jsonl, a JSON document, or lines of plain text."""
    written = [line for line in lines if line.strip()]
    if not written:
        return "lines"
    first = written[0].strip()
    objects = sum(is_object(line) for line in written)
    if is_object(first):
        return "jsonl"
    if _BEGINS_ARRAY.match(first):
        return "json"
    if len(written) > 1 and 2 * objects >= len(written):
        return "jsonl"  # with rows among the first that are broken
    return "json" if _BEGINS_OBJECT.match(first) else "lines"


_BEGINS_ARRAY = re.compile(r"\[\s*(?:\{\s*(?:[\"}]|$)|$)")
_BEGINS_OBJECT = re.compile(r"\{\s*(?:$|\"(?:[^\"\\]|\\.)*\"\s*:|\}\s*\{)")


def is_object(line: str) -> bool:
    """Whether a line is a JSON object that is not a part of one laid out over lines."""
    if not line.startswith("{"):
        return False
    try:
        return isinstance(_DECODER.decode(line), dict)
    except (ValueError, RecursionError):
        return False


def _wide_lines(begin: bytes, source: IO[bytes], newline: bytes) -> Iterator[bytes]:
    """The lines of a stream whose characters have two or four bytes."""
    width = len(newline)
    rest = begin
    start = 0
    while True:
        at = rest.find(newline, start)
        if at < 0:
            # A newline may begin before what is read next.
            start = max(0, len(rest) - width + 1)
            chunk = source.read(_CHUNK)
            if not chunk:
                break
            rest += chunk
        elif at % width:
            start = at + 1
        else:
            yield rest[: at + width]
            rest, start = rest[at + width :], 0
    if rest:
        yield rest


def _opened(file: Path | None, stack: ExitStack) -> IO[bytes]:
    if file is None or str(file) == "-":
        return sys.stdin.buffer
    if not file.is_file():
        raise CsmvError(f"The file '{file}' is not there.")
    return stack.enter_context(file.open("rb"))
