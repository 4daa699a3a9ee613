"""Opens any file and gives the texts in it: tables, arrays, databases, pages, archives, pictures, and plain bytes.

A file is opened by what its first bytes say it is, and what is packed in it is opened in turn. One that can't be
opened whole is told as such, and its bytes are looked through.
"""

import io
import json
import re
import sqlite3
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from csmv.pipeline.privacy.array_leaves import (
    field_names,
    inner_fields,
    is_safetensors,
    leaves,
    long_numbers,
    may_hold,
    plain_arrays,
)
from csmv.pipeline.privacy.database_log import with_log
from csmv.pipeline.privacy.encodings import is_plain, marked_text, old_readings, packed_texts, without_data_uris
from csmv.pipeline.privacy.packings import PACKINGS
from csmv.pipeline.privacy.page_parser import STRING_LITERAL, Page
from csmv.pipeline.privacy.pieces import BATCH, MOST_BYTES, SMALLEST_ID, Look, Piece, Pieces, Unread, placed
from csmv.pipeline.privacy.readable_bytes import in_bytes, pdf_texts

_DEEPEST = 12
_FRAME = re.compile(r'\s*File ".*", line \d+(?:, in \S.*)?$')
"""A frame of a Python traceback; what is indented more, below it, is a program's source."""
_LOOKS_LIKE_A_PAGE = re.compile(r"\s*<(?:!doctype|!--|\?xml|html|svg|head|body|rss|feed)\b", re.I)


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object, all of them where a key stands twice."""


_NO_JSON = object()


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_Members)
    except (ValueError, RecursionError):
        return _NO_JSON


def read_pieces(
    file: str,
    data: bytes,
    is_personal: Callable[[str], bool],
    beside: Callable[[str], bytes | None] = lambda _: None,
) -> Pieces:
    """Every text of a file.

    Args:
        file: What it is called in findings.
        data: Its bytes.
        is_personal: Whether the name of a column or a member must not be told: it is then called by its number.
        beside: Reads the file whose name is this one's and something more: a database's log.
    """
    return _Reader(is_personal, beside).read(file, data, 0, file)


@dataclass(frozen=True)
class _Reader:
    is_personal: Callable[[str], bool]
    beside: Callable[[str], bytes | None]

    def read(self, file: str, data: bytes, depth: int, name: str = "") -> Pieces:
        """The texts of a file, by what it is; `name` is its own, for one that has one."""
        if depth > _DEEPEST:
            yield Unread(file, f"it is packed more than {_DEEPEST} times")
            return
        kind, opened = self._opened(file, data, depth, name.rsplit("/", 1)[-1].lower())
        try:
            yield from opened
        except Exception:
            # Parsers of damaged files raise whatever they like, and what they say may quote the file.
            yield Unread(file, f"it is damaged or locked as {kind}")
            yield from in_bytes(file, data)

    def _opened(self, file: str, data: bytes, depth: int, name: str) -> tuple[str, Pieces]:
        """What a file is, and its texts."""
        head = data[:512]
        for begins, kind, unpack in PACKINGS:
            if head.startswith(begins):
                return kind, self._unpacked(file, data, kind, unpack, depth, name)
        for begins, kind, opener in (
            (b"PAR1", "Parquet", self._parquet),
            (b"ARROW1", "Arrow IPC", self._arrow),
            (b"\xff\xff\xff\xff", "Arrow IPC", self._arrow_stream),
            (b"\x93NUMPY", "a NumPy array", self._array),
            (b"SQLite format 3\0", "an SQLite database", self._database),
            (b"PK\x03\x04", "ZIP", self._zip),
            (b"PK\x05\x06", "ZIP", self._zip),
            (b"\x89PNG\r\n\x1a\n", "PNG", self._picture),
            (b"%PDF", "PDF", self._pdf),
        ):
            if head.startswith(begins) and (
                begins != b"\xff\xff\xff\xff" or name.endswith((".arrow", ".arrows", ".ipc"))
            ):
                return kind, opener(file, data, depth)
        for begins, kind in ((b"PARE", "encrypted Parquet"), (b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07", "RAR")):
            if head.startswith(begins):
                return kind, self._closed(file, data, kind)
        if data[257:262] == b"ustar":
            return "TAR", self._tar(file, data, depth)
        if is_safetensors(data):
            return "safetensors", self._safetensors(file, data, depth)
        if name.endswith((".parquet", ".npy", ".npz", ".zip", ".sqlite", ".sqlite3")) and data:
            return "", self._mistaken(file, data, name)
        text = marked_text(data)
        if text is not None:
            return "text", self._wide(file, data, text, depth, name)
        if is_plain(data):
            return "text", self._plain(file, data, depth, name)
        return "bytes", in_bytes(file, data)

    def _closed(self, file: str, data: bytes, kind: str) -> Pieces:
        yield Unread(file, f"it is {kind}, which is not opened")
        yield from in_bytes(file, data)

    def _mistaken(self, file: str, data: bytes, name: str) -> Pieces:
        yield Unread(file, f"it is called .{name.rsplit('.', 1)[-1]} and does not begin as one")
        yield from self._plain(file, data, 0, name) if is_plain(data) else in_bytes(file, data)

    # ------------------------------------------------------------------ archives

    def _unpacked(
        self,
        file: str,
        data: bytes,
        kind: str,
        unpack: Callable[[bytes], tuple[bytes, bool, bytes]],
        depth: int,
        name: str,
    ) -> Pieces:
        for suffix in (".gz", ".zst", ".zstd", ".bz2", ".xz", ".lz4"):
            name = name.removesuffix(suffix)
        content, is_whole, rest = unpack(data)
        if not is_whole:
            yield Unread(file, f"it is damaged or cut short as {kind}")
        if len(content) > MOST_BYTES:
            yield Unread(file, "unpacked, it has more than 4 GiB")
        yield from self.read(file, content, depth + 1, name)
        # A header may say what the file was called.
        yield from in_bytes(file, data[:1024] + b"\0" + rest, "header")

    def _zip(self, file: str, data: bytes, depth: int) -> Pieces:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if archive.comment:
                yield from self.read(f"{file}!comment", archive.comment, depth + 1)
            for number, member in enumerate(archive.infolist(), start=1):
                label = self._member(file, number, member.filename)
                yield Piece(label, "its name", member.filename, Look.LABEL)
                if member.comment or member.extra:
                    yield from in_bytes(label, member.comment + b"\0" + member.extra, "header")
                if member.is_dir():
                    continue
                if member.flag_bits & 1:
                    yield Unread(label, "it is locked by a password")
                    continue
                if member.file_size > MOST_BYTES:
                    yield Unread(label, "unpacked, it has more than 4 GiB")
                    continue
                try:
                    content = archive.read(member)
                except Exception:
                    yield Unread(label, "it is damaged in its ZIP")
                    continue
                yield from self.read(label, content, depth + 1, member.filename)

    def _tar(self, file: str, data: bytes, depth: int) -> Pieces:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            end = 0
            for number, member in enumerate(archive, start=1):
                label = self._member(file, number, member.name)
                yield Piece(label, "its name", member.name, Look.LABEL)
                for said in (member.linkname, member.uname, member.gname, *map(str, member.pax_headers.values())):
                    yield Piece(label, "header", said, Look.BARE)
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None:
                    yield from self.read(label, content.read(), depth + 1, member.name)
                end = member.offset_data + (member.size if member.isfile() else 0)
        if end > len(data):
            yield Unread(file, "it is cut short as TAR")

    def _member(self, file: str, number: int, name: str) -> str:
        return f"{file}!{number if self.is_personal(name) else name}"

    # ------------------------------------------------------------------ tables and arrays

    def _parquet(self, file: str, data: bytes, depth: int) -> Pieces:
        opened = pq.ParquetFile(io.BytesIO(data))
        yield from self._schema(file, opened.schema_arrow)
        for key, value in (opened.metadata.metadata or {}).items():
            if key != b"ARROW:schema":
                yield from self._metadata(file, key, value, depth)
        fields = [field for field in opened.schema_arrow if may_hold(field.type)]
        # A column by itself, since the vectors beside it may be large.
        for name in dict.fromkeys(field.name for field in fields):
            for batch in opened.iter_batches(columns=[name], batch_size=1 << 16):
                yield from self._columns(file, batch, opened.schema_arrow, depth)

    def _arrow(self, file: str, data: bytes, depth: int) -> Pieces:
        reader = pa.ipc.open_file(pa.BufferReader(data))
        yield from self._schema(file, reader.schema)
        for index in range(reader.num_record_batches):
            yield from self._columns(file, reader.get_batch(index), reader.schema, depth)
        yield from in_bytes(file, data)

    def _arrow_stream(self, file: str, data: bytes, depth: int) -> Pieces:
        reader = pa.ipc.open_stream(pa.BufferReader(data))
        yield from self._schema(file, reader.schema)
        for batch in reader:
            yield from self._columns(file, batch, reader.schema, depth)
        yield from in_bytes(file, data)

    def _schema(self, file: str, schema: pa.Schema) -> Pieces:
        for key, value in (schema.metadata or {}).items():
            yield from self._metadata(file, key, value, 0)
        fields = list(schema)
        while fields:
            field = fields.pop()
            yield Piece(file, "a column's name", field.name, Look.LABEL)
            for key, value in (field.metadata or {}).items():
                yield from self._metadata(file, key, value, 0)
            fields.extend(inner_fields(field.type))

    def _metadata(self, file: str, key: bytes, value: bytes, depth: int) -> Pieces:
        for part in (key, value):
            yield from (placed(piece, "metadata") for piece in self.read(file, part, depth + 1))

    def _columns(self, file: str, batch: pa.RecordBatch, schema: pa.Schema, depth: int) -> Pieces:
        for field, column in zip(batch.schema, batch.columns, strict=True):
            number = schema.get_all_field_indices(field.name)[0] + 1
            yield from self._column(file, field.name, self._column_label(field.name, number), column, depth)

    def _column_label(self, name: str, number: int) -> str:
        return f"column {number if self.is_personal(name) else name}"

    def _column(self, file: str, name: str, label: str, column: pa.Array, depth: int) -> Pieces:
        for leaf in leaves(column):
            if pa.types.is_integer(leaf.type):
                for number in long_numbers(leaf):
                    yield Piece(file, label, str(number), Look.BARE)
                continue
            # Classes, languages and ids stand in many rows, and are looked at once.
            for value, times in Counter(leaf.drop_null().to_pylist()).items():
                if isinstance(value, str):
                    yield Piece(file, label, value, Look.CELL, times, name)
                else:
                    yield from self._blob(file, label, name, value, times, depth)

    def _blob(self, file: str, label: str, name: str, value: bytes, times: int, depth: int) -> Pieces:
        """A cell of bytes: a text, or a file of its own."""
        text = marked_text(value)
        try:
            text = value.decode() if text is None and is_plain(value) else text
        except UnicodeDecodeError:
            text = None
        if text is not None and len(text) < 4096 and not value.startswith(b"%PDF"):
            yield Piece(file, label, text, Look.CELL, times, name)
        else:
            yield from (placed(piece, label) for piece in self.read(file, value, depth + 1))

    def _array(self, file: str, data: bytes, depth: int) -> Pieces:
        stream = io.BytesIO(data)
        version = np.lib.format.read_magic(stream)
        # The third version is the second with names that are no ASCII.
        newer = np.lib.format.read_array_header_2_0
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): newer, (3, 0): newer}
        dtype = read[version](stream)[2]
        yield from in_bytes(file, data[: stream.tell()], "header")
        for name in field_names(dtype):
            yield Piece(file, "a field's name", name, Look.LABEL)
        if dtype.hasobject:
            # Unpickled, it could run anything; what it pickled stands in its bytes.
            yield from in_bytes(file, data)
            return
        array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
        for inner in plain_arrays(np.atleast_1d(array)):
            if inner.dtype.kind in "iu":
                for number in np.unique(inner[np.abs(inner.astype(np.float64)) >= SMALLEST_ID]).tolist():
                    yield Piece(file, "values", str(number), Look.BARE)
            elif inner.dtype.kind == "U":
                for text, times in zip(*np.unique(inner, return_counts=True), strict=True):
                    yield from self._string(file, "values", str(text), depth, int(times))
            elif inner.dtype.kind in "SV":
                yield from self._bytes_values(file, inner, depth)

    def _bytes_values(self, file: str, array: Any, depth: int) -> Pieces:
        for value, times in Counter(array.ravel().tolist()).items():
            yield from self._blob(file, "values", "", bytes(value), times, depth)

    def _safetensors(self, file: str, data: bytes, depth: int) -> Pieces:
        size = int.from_bytes(data[:8], "little")
        yield from (placed(piece, "header") for piece in self._json(file, data[8 : 8 + size].decode(), depth))
        yield from in_bytes(file, data[8 + size :])

    def _database(self, file: str, data: bytes, depth: int) -> Pieces:
        wal = self.beside("-wal")
        for label, content in ((file, data), (f"{file}-wal", wal), (f"{file}-journal", self.beside("-journal"))):
            if content:
                yield from in_bytes(label, content)  # what was deleted may still stand there
        with closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(with_log(data, wal or b""))
            database.text_factory = bytes
            tables = database.execute("select name, type, coalesce(sql, '') from sqlite_master").fetchall()
            for number, (raw, kind, sql) in enumerate(tables, start=1):
                name = raw.decode("utf-8", "replace")
                yield Piece(file, f"{kind.decode()} {number}", name, Look.LABEL)
                yield Piece(file, f"{kind.decode()} {number}", sql.decode("utf-8", "replace"), Look.BARE)
                if kind == b"table":
                    yield from self._rows(file, database, number, name, depth)

    def _rows(self, file: str, database: sqlite3.Connection, number: int, name: str, depth: int) -> Pieces:
        label = f"table {number if self.is_personal(name) else name}"
        quoted = name.replace('"', '""')
        try:
            cursor = database.execute(f'select * from "{quoted}"')
        except sqlite3.OperationalError:
            return  # a virtual table, whose content stands in tables of its own
        kinds = [str(column[0]) for column in cursor.description]
        while rows := cursor.fetchmany(10_000):
            for index, column in enumerate(kinds):
                place = f"{label}, {self._column_label(column, index + 1)}"
                for value, times in Counter(row[index] for row in rows).items():
                    if isinstance(value, bytes):
                        yield from self._field(file, place, value, times, depth)
                    elif isinstance(value, int) and abs(value) >= SMALLEST_ID:
                        yield Piece(file, place, str(value), Look.BARE, times)

    def _field(self, file: str, place: str, value: bytes, times: int, depth: int) -> Pieces:
        for piece in self.read(file, value, depth + 1):
            at_place = placed(piece, place)
            if isinstance(at_place, Piece):
                yield Piece(at_place.file, place, at_place.text, at_place.look, times * at_place.times)
            else:
                yield at_place

    # ------------------------------------------------------------------ text

    def _wide(self, file: str, data: bytes, text: str, depth: int, name: str) -> Pieces:
        yield from self._text(file, text, depth, name)
        if not is_plain(data):  # and may be no text at all
            yield from in_bytes(file, data)

    def _plain(self, file: str, data: bytes, depth: int, name: str = "") -> Pieces:
        try:
            yield from self._text(file, data.decode(), depth, name)
            return
        except UnicodeDecodeError:
            pass
        yield from self._text(file, data.decode("utf-8", "replace"), depth, name)
        for text in old_readings(data):
            for number, line in enumerate(text.splitlines(), start=1):
                if not line.isascii():
                    yield Piece(file, f"line {number}", line, Look.BARE)

    def _text(self, file: str, text: str, depth: int, name: str) -> Pieces:
        """The texts of a text, by what it is: JSON, a page, or lines."""
        if name.endswith((".html", ".htm", ".xhtml", ".svg", ".xml")) or _LOOKS_LIKE_A_PAGE.match(text):
            yield from self._page(file, text, depth)
        elif name.endswith((".json", ".jsonl", ".ndjson", ".jsonld", ".ipynb", ".geojson")) or text.lstrip()[:1] in (
            *"{[",
        ):
            yield from self._json(file, text, depth)
        else:
            yield from self._lines(file, text, depth)

    def _lines(self, file: str, text: str, depth: int, first: int = 1) -> Pieces:
        frame: int | None = None
        for number, line in enumerate(text.splitlines(), start=first):
            indent = len(line) - len(line.lstrip())
            if _FRAME.match(line):
                frame = indent
            elif frame is not None and line and indent <= frame:
                frame = None
            look = Look.PROSE if frame is None else Look.BARE
            yield from self._string(file, f"line {number}", line, depth, look=look)

    def _string(self, file: str, place: str, text: str, depth: int, times: int = 1, look: Look = Look.PROSE) -> Pieces:
        """A text, and what is packed in it."""
        text, contents = without_data_uris(text)
        if text:
            yield Piece(file, place, text, look, times)
        for said in packed_texts(text):
            yield Piece(file, place, said, Look.BARE, times)
        for content in contents:
            yield from (placed(piece, place) for piece in self.read(file, content, depth + 1))

    def _json(self, file: str, text: str, depth: int) -> Pieces:
        value = _parsed(text)
        if value is not _NO_JSON:
            yield from self._value(file, value, depth)
            return
        for number, line in enumerate(text.splitlines(), start=1):
            value = _parsed(line)
            if value is _NO_JSON:
                yield from self._string(file, f"line {number}", line, depth)
            else:
                yield from self._value(file, value, depth)

    def _value(self, file: str, value: Any, depth: int) -> Pieces:
        """The keys, strings and whole numbers of a JSON value; where they stand is not told, since keys are data."""
        stack = [value]
        while stack:
            here = stack.pop()
            if isinstance(here, _Members):
                for key, inner in here:
                    yield Piece(file, "a key", key, Look.LABEL)
                    stack.append(inner)
            elif isinstance(here, list):
                stack.extend(here)
            elif isinstance(here, str):
                inner = _parsed(here) if here[:1] in ("{", "[") else _NO_JSON
                if inner is _NO_JSON or depth > _DEEPEST:
                    yield from self._string(file, "a value", here, depth)
                else:
                    yield from self._value(file, inner, depth + 1)
            elif isinstance(here, int) and not isinstance(here, bool):
                yield Piece(file, "a value", str(here), Look.BARE)

    def _page(self, file: str, text: str, depth: int) -> Pieces:
        # As it is written, for what a parser would not see.
        for number, line in enumerate(text.splitlines(), start=1):
            bare, _ = without_data_uris(line)
            yield Piece(file, f"line {number}", bare, Look.BARE)
        page = Page()
        page.feed(text)
        page.close()
        for line in "".join(page.texts).splitlines():
            if line.strip():
                yield Piece(file, "text", line, Look.PROSE)
        for line in "".join(page.joined).splitlines():
            if line.strip():
                yield Piece(file, "text", line, Look.BARE)
        for place, look, value in page.others:
            yield from self._string(file, place, value, depth, look=look)
        for kind, script in page.scripts:
            if "json" in kind:
                yield from (placed(piece, "a script") for piece in self._json(file, script, depth))
            else:
                for literal in STRING_LITERAL.findall(script):
                    yield from self._string(file, "a script", literal[1:-1], depth, look=Look.LABEL)

    # ------------------------------------------------------------------ pictures and documents

    def _picture(self, file: str, data: bytes, depth: int) -> Pieces:
        at = 8
        while at + 12 <= len(data):
            size, kind = struct.unpack(">I4s", data[at : at + 8])
            chunk = data[at + 8 : at + 8 + size]
            if kind in (b"zTXt", b"iTXt"):
                for start in (match.end() for match in re.finditer(rb"\0+", chunk[:200])):
                    try:
                        packed = zlib.decompressobj().decompress(chunk[start:], BATCH)
                    except zlib.error:
                        continue
                    yield from (placed(piece, "a text of the picture") for piece in self._plain(file, packed, depth))
            if kind in (b"tEXt", b"iTXt"):
                for said in chunk.split(b"\0"):
                    yield from (placed(piece, "a text of the picture") for piece in self._plain(file, said, depth))
            elif kind != b"IDAT":
                yield from in_bytes(file, chunk)
            at += 12 + size
        yield from in_bytes(file, data[at:])

    def _pdf(self, file: str, data: bytes, depth: int) -> Pieces:
        return pdf_texts(file, data)
