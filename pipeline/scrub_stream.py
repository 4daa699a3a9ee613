"""Scrubs a stream of lines or JSONL in batches: order kept, bytes outside the findings untouched, any bytes allowed."""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO, NamedTuple

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.progress import track
from csmv.pipeline.scrub.policy import StreamSettings
from csmv.pipeline.scrub.scrubber import Scrubbed, Scrubber
from csmv.pipeline.scrub_pool import ScrubPool

BATCH_LINES = 500
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass
class StreamSummary:
    """How many lines there were, how many held something, and what."""

    lines: int = 0
    touched: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    def sentence(self) -> str:
        """For the person at the terminal."""
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(self.kinds.items()))
        return f"{self.lines:,} lines, {self.touched:,} with personal data" + (f": {kinds}." if kinds else ".")


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

    Raises CsmvError for a file that is not there, and for a JSON line that is no object or lacks the field.
    """
    summary = StreamSummary()
    with ExitStack() as stack:
        source = _opened(file, stack)
        first = source.readline()
        lines = enumerate(chain([first] if first else [], source), 1)
        jsonl = settings.form == "jsonl" or (settings.form == "auto" and _is_object(first))
        stack.enter_context(pool)
        tick = stack.enter_context(track("scrub", None))
        clean = partial(_cleaned, settings.field if jsonl else None, _Telling(explain, as_json, show_values))
        for batch, cleaned in pool.map(clean, _batches(lines)):
            summary.lines += len(batch)
            summary.touched += cleaned.touched
            summary.kinds.update(cleaned.kinds)
            sys.stdout.buffer.write(cleaned.out)
            sys.stderr.write(cleaned.explained)
            tick(len(batch))
    sys.stdout.buffer.flush()
    return summary


def stream_texts(settings: StreamSettings, file: Path | None) -> Iterator[str]:
    """The texts of `file`, or of standard input, that `scrub_stream` scrubs. Raises CsmvError as that does."""
    with ExitStack() as stack:
        source = _opened(file, stack)
        first = source.readline()
        jsonl = settings.form == "jsonl" or (settings.form == "auto" and _is_object(first))
        for number, line in enumerate(chain([first] if first else [], source), 1):
            yield (_json_line(line, number, settings.field) if jsonl else _plain_line(line)).text


_Numbered = tuple[int, bytes]
"""A line of the stream, with its number from 1."""


def _batches(lines: Iterable[_Numbered]) -> Iterator[list[_Numbered]]:
    rest = iter(lines)
    while batch := list(islice(rest, BATCH_LINES)):
        yield batch


class _Cleaned(NamedTuple):
    """What a batch of lines became: the bytes of the output, and what is said of them."""

    out: bytes
    touched: int
    kinds: Counter[str]
    explained: str


class _Telling(NamedTuple):
    """What is said of the findings: where and by whom, as JSON, and what they are."""

    explain: bool
    as_json: bool
    show_values: bool


def _cleaned(field: str | None, telling: _Telling, scrubber: Scrubber, batch: Sequence[_Numbered]) -> _Cleaned:
    """Scrub the field of these lines, or all of each if it is None."""
    lines = [_plain_line(line) if field is None else _json_line(line, number, field) for number, line in batch]
    out, explained = [], []
    touched, kinds = 0, Counter[str]()
    for (number, _), line, scrubbed in zip(batch, lines, scrubber.scrub([line.text for line in lines]), strict=True):
        touched += bool(scrubbed.spans)
        kinds.update(span.kind for span in scrubbed.spans)
        out.append(_as_json(line.text, scrubbed, telling) if telling.as_json else line.put(scrubbed))
        if telling.explain and not telling.as_json:
            explained += _explained(number, line.text, scrubbed, telling)
    return _Cleaned(b"".join(out), touched, kinds, "".join(explained))


# ---------------------------------------------------------------------- lines


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the stream: what stands before the text to scrub, the text, and what stands after it."""

    before: str
    text: str
    after: str
    quoted: str | None
    """The text as it stands in JSON, or None in a plain line."""

    def put(self, cleaned: Scrubbed) -> bytes:
        """The line with its text scrubbed, as bytes."""
        text = cleaned.text
        if self.quoted is not None:
            text = _quoted(text) if cleaned.spans else self.quoted
        return _bytes(self.before + text + self.after)


def _plain_line(line: bytes) -> _Line:
    text = line.decode("utf-8", "surrogateescape")
    body = text.rstrip("\r\n")
    return _Line("", body, text[len(body) :], None)


def _json_line(line: bytes, number: int, field: str) -> _Line:
    text = line.decode("utf-8", "surrogateescape")
    if not text.strip():
        return _Line(text, "", "", "")
    span = _span_of_field(text, field)
    if span is None:
        raise CsmvError(
            f"Line {number} was expected to be a JSON object with the field '{field}' holding text, and is not: "
            "name another field with --field, or read plain lines with --format lines."
        )
    start, end, value = span
    return _Line(text[:start], value, text[end:], text[start:end])


def _span_of_field(line: str, field: str) -> tuple[int, int, str] | None:
    """Where the value of a field of a JSON object stands, and the text it is; the last, if it is there twice."""
    decoder = json.JSONDecoder()
    span: tuple[int, int, str] | None = None
    at = _skip(line, 0)
    if line[at : at + 1] != "{":
        return None
    at = _skip(line, at + 1)
    try:
        while line[at : at + 1] != "}":
            key, at = decoder.raw_decode(line, at)
            at = _skip(line, at)
            if not isinstance(key, str) or line[at : at + 1] != ":":
                return None
            start = _skip(line, at + 1)
            value, end = decoder.raw_decode(line, start)
            if key == field:
                span = (start, end, value) if isinstance(value, str) else None
            at = _skip(line, end)
            if line[at : at + 1] == ",":
                at = _skip(line, at + 1)
    except (ValueError, RecursionError):
        return None
    return span


def _skip(line: str, at: int) -> int:
    while line[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _quoted(value: object) -> str:
    """As JSON, readable; escaped where a lone surrogate has no UTF-8."""
    text = json.dumps(value, ensure_ascii=False)
    return json.dumps(value) if _SURROGATE.search(text) else text


def _bytes(text: str) -> bytes:
    # Bytes that were no UTF-8 came in as lone surrogates and go out as they were.
    return text.encode("utf-8", "surrogateescape")


def _opened(file: Path | None, stack: ExitStack) -> IO[bytes]:
    if file is None or str(file) == "-":
        return sys.stdin.buffer
    if not file.is_file():
        raise CsmvError(f"The file '{file}' is not there.")
    return stack.enter_context(file.open("rb"))


# ---------------------------------------------------------------------- telling


def _as_json(text: str, scrubbed: Scrubbed, telling: _Telling) -> bytes:
    fields: dict[str, object] = {"text": scrubbed.text, "kinds": list(scrubbed.kinds)}
    if telling.explain:
        fields["spans"] = [
            {"start": s.start, "end": s.end, "kind": s.kind, "score": s.score, "recognizer": s.recognizer}
            | ({"value": text[s.start : s.end]} if telling.show_values else {})
            for s in scrubbed.spans
        ]
    return _bytes(_quoted(fields) + "\n")


def _explained(number: int, text: str, scrubbed: Scrubbed, telling: _Telling) -> list[str]:
    lines = []
    for span in scrubbed.spans:
        value = f" {text[span.start : span.end]!r}" if telling.show_values else ""
        lines.append(f"line {number}: {span.start}-{span.end} {span.kind} {span.score:.2f} {span.recognizer}{value}\n")
    return lines
