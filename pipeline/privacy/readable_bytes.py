"""What is readable in plain bytes, and in the strings of a PDF."""

import re
import zlib

from csmv.pipeline.privacy.encodings import marked_text
from csmv.pipeline.privacy.pieces import BATCH, Look, Piece, Pieces

_RUN = re.compile(rb"(?:[\x20-\x7e]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}){6,}")
_WIDE_RUNS = (
    (re.compile(rb"(?:[\x20-\x7e]\0){6,}"), "utf-16-le"),
    (re.compile(rb"(?:\0[\x20-\x7e]){6,}"), "utf-16-be"),
    (re.compile(rb"(?:[\x20-\x7e]\0\0\0){6,}"), "utf-32-le"),
    (re.compile(rb"(?:\0\0\0[\x20-\x7e]){6,}"), "utf-32-be"),
)
_PDF_STREAM = re.compile(rb"stream\r?\n(.*?)endstream", re.S)
_PDF_HEX = re.compile(rb"<([0-9A-Fa-f\s]{12,})>")
_PDF_KERNING = re.compile(rb"\)\s*-?[\d.]*\s*\(")


def in_bytes(file: str, data: bytes, place: str = "bytes") -> Pieces:
    """What is readable in bytes, as one text of many lines a megabyte."""
    lines: list[str] = []
    size = 0
    for match in _RUN.finditer(data):
        lines.append(match[0].decode("utf-8", "ignore"))
        size += len(lines[-1])
        if size > BATCH:
            yield Piece(file, place, "\n".join(lines), Look.BYTES)
            lines, size = [], 0
    for pattern, encoding in _WIDE_RUNS:
        lines += [run.decode(encoding) for run in pattern.findall(data)]
    if lines:
        yield Piece(file, place, "\n".join(lines), Look.BYTES)


def in_pdf(file: str, content: bytes) -> Pieces:
    """Strings of a PDF that are written as hexadecimal digits, and wide ones."""
    for match in _PDF_HEX.finditer(content):
        digits = b"".join(match[1].split())
        said = bytes.fromhex(digits[: len(digits) // 2 * 2].decode())
        text = marked_text(said)
        yield from [Piece(file, "bytes", text, Look.BYTES)] if text else in_bytes(file, said)
    at = content.find(b"(\xfe\xff")
    while at >= 0:
        end = content.find(b")", at)
        text = content[at + 3 : end].decode("utf-16-be", "replace")
        yield Piece(file, "bytes", text, Look.BYTES)
        at = content.find(b"(\xfe\xff", at + 1)


def pdf_texts(file: str, data: bytes) -> Pieces:
    """What is readable in a PDF, its packed streams included."""
    yield from in_bytes(file, data)
    yield from in_pdf(file, data)
    for match in _PDF_STREAM.finditer(data):
        try:
            content = zlib.decompressobj().decompress(match[1], 64 * BATCH)
        except zlib.error:
            continue
        # Letters are moved closer to each other by numbers between them.
        content = _PDF_KERNING.sub(b"", content)
        yield from in_bytes(file, content)
        yield from in_pdf(file, content)
