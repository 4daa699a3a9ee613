"""Scrubs a stream of lines or JSON in batches: order kept, bytes outside the findings untouched, any bytes allowed."""

import difflib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.json_fields import EACH, Found, UnreadableError, all_texts, field_path, keys_of, read_row, unescaped
from csmv.pipeline.progress import track
from csmv.pipeline.scrub.policy import StreamSettings
from csmv.pipeline.scrub.scrubber import Scrubbed, Scrubber
from csmv.pipeline.scrub_pool import ScrubPool
from csmv.pipeline.stream_rows import Encoding, Row, RowStream

_SURROGATE = re.compile("[\ud800-\udfff]")
_TOLD_ROWS = 20
"""Bad rows that are told one by one."""
_HELD_ROWS = 10_000
_HELD_BYTES = 1 << 24
"""What is held back until every field was seen once: a mistyped one would pass everything as it is."""


@dataclass
class StreamSummary:
    """How many rows there were, how many held something, and what.

    Attributes:
        lines: rows, or lines where every line is one.
        touched: those that held personal data.
        kinds: what they held.
        missing: rows that lack a field.
        null: rows in which a field is null.
        bad: rows that could not be read as asked.
        bad_rows: what became of them, as `--bad-rows` says it.
        first_bad: what was wrong with the first of them.
    """

    noun: str = "line"
    lines: int = 0
    touched: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    null: int = 0
    bad: int = 0
    bad_rows: str = "scrub"
    first_bad: str = ""

    def sentence(self) -> str:
        """For the person at the terminal."""
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(self.kinds.items()))
        sentence = f"{self.lines:,} {self.noun}s, {self.touched:,} with personal data" + (
            f": {kinds}." if kinds else "."
        )
        if self.missing:
            sentence += f" {self.missing:,} lack a field."
        if self.null:
            sentence += f" {self.null:,} have null in one."
        return sentence

    def about_bad_rows(self) -> str:
        """What became of the rows that could not be read as asked, and what to do."""
        became = {
            "scrub": "was scrubbed whole, keys and numbers as well",
            "pass": "was passed on as it is, perhaps with personal data",
            "drop": "was left out",
        }
        return (
            f"{self.bad:,} of {self.lines:,} {self.noun}s could not be read as asked, and each {became[self.bad_rows]} "
            f"(--bad-rows scrub, stop, pass or drop). The first: {self.first_bad} Correct them, or say with --field or "
            "--format what they hold."
        )


class _Telling(NamedTuple):
    """What is said of the findings: where and by whom, as JSON, and what they are."""

    explain: bool = False
    as_json: bool = False
    show_values: bool = False


def scrub_stream(
    settings: StreamSettings,
    file: Path | None,
    pool: ScrubPool,
    *,
    explain: bool,
    as_json: bool,
    show_values: bool = False,
) -> StreamSummary:
    """Scrub `file`, or standard input, to standard output; ends the pool.

    What is explained holds the values only with `show_values`.

    Raises:
        CsmvError: the file is not there, a field is in no row, a JSON document breaks off, or a row can't be read and
            `bad_rows` is stop. The rows before are written, once each field was in one of them.
    """
    for written in settings.field:
        field_path(written)
    with ExitStack() as stack:
        stack.enter_context(pool)
        stream = stack.enter_context(RowStream(settings, file))
        how = _Batch.of(settings, stream, _Telling(explain, as_json, show_values))
        tick = stack.enter_context(track("scrub", None))
        out = _Output(b"" if as_json else stream.encoding.mark, _Unseen(how.fields or ()))
        summary = StreamSummary(stream.noun, bad_rows=settings.bad_rows)
        for batch, cleaned in pool.map(partial(_cleaned, how), stream.batches(), Row.size):
            _add(summary, cleaned)
            out.write(cleaned)
            tick(len(batch))
            if cleaned.stopped:
                raise CsmvError(cleaned.stopped)
        out.finish()
    return summary


class PlacedText(NamedTuple):
    """A text of a stream, the number of its row, and where it stands there, if a row may hold several."""

    row: int
    place: str
    text: str


def placed_texts(settings: StreamSettings, file: Path | None, summary: StreamSummary) -> Iterator[PlacedText]:
    """The texts of `file`, or of standard input, that `scrub_stream` scrubs, each with its place.

    What there is to say of the rows goes into the summary. Raises CsmvError as `scrub_stream` does.
    """
    with RowStream(settings, file) as stream:
        how = _Batch.of(settings, stream, _Telling())
        summary.noun, summary.bad_rows = stream.noun, settings.bad_rows
        unseen = _Unseen(how.fields or ())
        for batch in stream.batches():
            cleaned = _Cleaned()
            for read in _all_read(how, batch, cleaned):
                for found in read.found:
                    yield PlacedText(read.row.number, found.place if how.several else "", found.text)
            _add(summary, cleaned)
            if cleaned.stopped:
                raise CsmvError(cleaned.stopped)
            unseen.look(cleaned)
        unseen.finish()


def _add(summary: StreamSummary, cleaned: "_Cleaned") -> None:
    for reason in cleaned.bad[: max(0, _TOLD_ROWS - summary.bad)]:
        sys.stderr.write(f"{reason}\n")
    summary.first_bad = summary.first_bad or next(iter(cleaned.bad), "")
    summary.lines += cleaned.rows
    summary.touched += cleaned.touched
    summary.kinds.update(cleaned.kinds)
    summary.missing += cleaned.missing
    summary.null += cleaned.null
    summary.bad += len(cleaned.bad)


class _Output:
    """Writes to standard output, and holds back what comes before every field was seen."""

    def __init__(self, mark: bytes, unseen: "_Unseen") -> None:
        self._held = [_Cleaned(out=mark)]
        self._unseen = unseen
        self._bytes = 0

    def write(self, cleaned: "_Cleaned") -> None:
        """Write what became of a batch, or hold it back."""
        self._held.append(cleaned)
        self._bytes += len(cleaned.out)
        self._unseen.look(cleaned)
        if not self._unseen.fields:
            self._write()
        elif self._unseen.rows >= _HELD_ROWS or self._bytes >= _HELD_BYTES:
            raise self._unseen.error(f"in none of the first {self._unseen.rows:,} rows")

    def finish(self) -> None:
        """Write what is held back. Raises CsmvError if there were rows and a field was in none of them."""
        self._unseen.finish()
        self._write()
        sys.stdout.buffer.flush()

    def _write(self) -> None:
        for cleaned in self._held:
            sys.stdout.buffer.write(cleaned.out)
            sys.stderr.write(cleaned.explained)
        self._held = []


class _Unseen:
    """The fields that were in no row yet, of those that should be in one."""

    def __init__(self, fields: tuple[str, ...]) -> None:
        self.fields = {number: written for number, written in enumerate(fields) if not field_path(written).optional}
        self.rows = 0
        self._keys: tuple[str, ...] = ()

    def look(self, cleaned: "_Cleaned") -> None:
        """Take note of what a batch held."""
        self.rows += cleaned.read
        self._keys = self._keys or cleaned.keys
        for number in cleaned.seen:
            self.fields.pop(number, None)

    def finish(self) -> None:
        """Raises CsmvError if there were rows and a field was in none of them."""
        if self.fields and self.rows:
            raise self.error("in no row")

    def error(self, where: str) -> CsmvError:
        """That a field was not there, and which may have been meant."""
        written = min(self.fields.items())[1]
        key = str(field_path(written).steps[0])
        like = difflib.get_close_matches(key, self._keys, 1) or [one for one in self._keys if one.lower() in _USUAL]
        if written in self._keys:
            advice = f"'{written}' is one key with a dot: write --field '\"{written}\"'"
        elif like and like[0] != key:
            advice = f"there is '{like[0][:80]}': name the right one with --field"
        else:
            advice = "name the right one with --field"
        return CsmvError(
            f"The field '{written[:80]}' is {where}, and nothing was written; {advice}, write '{written[:80]}?' if it "
            "may be missing, or read plain lines with --format lines."
        )


_USUAL = {"body", "caption", "comment", "content", "description", "message", "post", "review", "text", "title", "tweet"}
"""Keys under which texts are found; other keys of a person's file are not shown."""


# ---------------------------------------------------------------------- a batch


@dataclass
class _Cleaned:
    """What a batch of rows became: the bytes of the output, and what is said of them."""

    out: bytes = b""
    explained: str = ""
    rows: int = 0
    read: int = 0
    """Rows in which every field could be looked for."""
    touched: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    null: int = 0
    seen: set[int] = field(default_factory=set)
    keys: tuple[str, ...] = ()
    """Of the first row that was read."""
    bad: list[str] = field(default_factory=list)
    stopped: str = ""


@dataclass
class _Read:
    """A row whose texts were found: how it is written, and where they stand in it."""

    row: Row
    line: str
    found: Sequence[Found]
    quoted: bool = True

    def put(self, scrubbed: Sequence[Scrubbed]) -> str:
        """The row with its texts scrubbed."""
        pieces: list[str] = []
        at = 0
        for found, cleaned in zip(self.found, scrubbed, strict=True):
            if cleaned.spans:
                pieces += (self.line[at : found.start], _quoted(cleaned.text) if self.quoted else cleaned.text)
                at = found.end
        return "".join((*pieces, self.line[at:]))


class _Batch(NamedTuple):
    """How the rows of a batch are read, what becomes of those that can't be, and what is said."""

    encoding: Encoding
    fields: tuple[str, ...] | None
    """None for plain lines."""
    bad_rows: str
    telling: _Telling
    noun: str

    @classmethod
    def of(cls, settings: StreamSettings, stream: RowStream, telling: _Telling) -> "_Batch":
        """What is the same of all batches of a stream."""
        fields = None if stream.form == "lines" else settings.field
        return cls(stream.encoding, fields, settings.bad_rows, telling, stream.noun)

    @property
    def several(self) -> bool:
        """Whether a row may hold several texts, or one that is not a key of its own."""
        return self.fields is not None and not (len(self.fields) == 1 and field_path(self.fields[0]).is_key)

    def bad(self, row: Row, reason: str) -> str:
        """What is wrong with a row."""
        fields = self.fields or ()
        listed = ", ".join(f"'{written[:80]}'" for written in fields)
        rows = "a JSON list" if all(field_path(written).steps[0] is EACH for written in fields) else "a JSON object"
        place = f"the fields {listed}" if len(fields) > 1 else f"the field {listed}"
        return f"{self.noun.capitalize()} {row.number:,} was expected to be {rows} with text in {place}, and {reason}"


def _cleaned(how: _Batch, scrubber: Scrubber, batch: Sequence[Row]) -> _Cleaned:
    """Scrub the fields of the rows, or all of each if there are none."""
    cleaned = _Cleaned()
    _scrub(_all_read(how, batch, cleaned), how, scrubber, cleaned)
    return cleaned


def _all_read(how: _Batch, batch: Sequence[Row], cleaned: _Cleaned) -> list[_Read]:
    """The rows with what is to be scrubbed in them, up to one at which to stop."""
    reads: list[_Read] = []
    for row in batch:
        cleaned.rows += row.number > 0
        line = how.encoding.decode(row.body)
        try:
            reads.append(_read(row, line, how.fields, cleaned))
        except UnreadableError as error:
            reason = how.bad(row, str(error))
            if how.bad_rows == "stop":
                cleaned.stopped = (
                    f"{reason}: correct it, name another field with --field, say with --bad-rows what becomes of such "
                    "rows, or read plain lines with --format lines."
                )
                break
            cleaned.bad.append(f"{reason}.")
            if how.bad_rows == "scrub":
                reads.append(_whole(row, line))
            elif how.bad_rows == "pass":
                reads.append(_Read(row, line, ()))
    return reads


def _scrub(reads: Sequence[_Read], how: _Batch, scrubber: Scrubber, cleaned: _Cleaned) -> None:
    results = iter(scrubber.scrub([found.text for read in reads for found in read.found]))
    out: list[bytes] = []
    explained: list[str] = []
    for read in reads:
        scrubbed = [next(results) for _ in read.found]
        cleaned.touched += any(one.spans for one in scrubbed)
        for found, one in zip(read.found, scrubbed, strict=True):
            cleaned.kinds.update(span.kind for span in one.spans)
            if how.telling.explain and not how.telling.as_json:
                explained += _explained(how, read.row.number, found, one)
        if not how.telling.as_json:
            out += (read.row.before, how.encoding.encode(read.put(scrubbed)))
        elif read.row.number:
            out.append(_as_json(how, read, scrubbed))
    cleaned.out, cleaned.explained = b"".join(out), "".join(explained)


def _read(row: Row, line: str, fields: tuple[str, ...] | None, cleaned: _Cleaned) -> _Read:
    """Where the texts of a row stand. Raises UnreadableError if it is not as expected."""
    if fields is None:
        body = line.rstrip("\r\n")
        return _Read(row, line, (Found(0, len(body), body, ""),), quoted=False)
    if not line.strip():
        return _Read(row, line, ())
    reading = read_row(line, fields)
    cleaned.read += 1
    cleaned.seen |= reading.there
    cleaned.missing += bool(reading.missing - reading.there)
    cleaned.null += bool(reading.null)
    cleaned.keys = cleaned.keys or keys_of(line)
    return _Read(row, line, reading.texts)


def _whole(row: Row, line: str) -> _Read:
    """A row that is not as expected, with all of it to be scrubbed: its strings, or what its escapes stand for."""
    texts = all_texts(line)
    if texts:
        return _Read(row, line, texts)
    body = line.rstrip("\r\n")
    return _Read(row, line, (Found(0, len(body), unescaped(body), ""),), quoted=False)


def _quoted(value: object) -> str:
    """As JSON, readable; escaped where a lone surrogate has no UTF-8."""
    text = json.dumps(value, ensure_ascii=False)
    return json.dumps(value) if _SURROGATE.search(text) else text


# ---------------------------------------------------------------------- telling


def _as_json(how: _Batch, read: _Read, scrubbed: Sequence[Scrubbed]) -> bytes:
    """A row as a line of JSON: its text, or where it may have several, each of them with its place."""
    if how.several:
        texts = [
            {"field": found.place} | _told(how, found.text, one)
            for found, one in zip(read.found, scrubbed, strict=True)
        ]
        fields = {"row": read.row.number, "texts": texts}
    else:
        fields = _told(how, read.found[0].text, scrubbed[0]) if scrubbed else {"text": None, "kinds": []}
    return (_quoted(fields) + "\n").encode("utf-8", "surrogateescape")


def _told(how: _Batch, text: str, scrubbed: Scrubbed) -> dict[str, object]:
    fields: dict[str, object] = {"text": scrubbed.text, "kinds": list(scrubbed.kinds)}
    if how.telling.explain:
        fields["spans"] = [
            {"start": s.start, "end": s.end, "kind": s.kind, "score": s.score, "recognizer": s.recognizer}
            | ({"value": text[s.start : s.end]} if how.telling.show_values else {})
            for s in scrubbed.spans
        ]
    return fields


def _explained(how: _Batch, number: int, found: Found, scrubbed: Scrubbed) -> list[str]:
    place = f", {found.place}" if how.several and found.place else ""
    lines = []
    for span in scrubbed.spans:
        value = f" {found.text[span.start : span.end]!r}" if how.telling.show_values else ""
        where = f"{how.noun} {number}{place}: {span.start}-{span.end}"
        lines.append(f"{where} {span.kind} {span.score:.2f} {span.recognizer}{value}\n")
    return lines
