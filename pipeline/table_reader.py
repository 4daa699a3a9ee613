"""Reading the tables of a root: whatever is read was checked against the manifest before.

What is wrong with a file is a sentence that names it and says how to get it back.
"""

import hashlib
import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq

from csmv.extractors.nearest_names import did_you_mean
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.manifest import (
    Entry,
    column_digests,
    column_ranges,
    entries_of,
    footer_digest,
    made_from_of,
    table_file,
    without_identity,
)
from csmv.pipeline.root import Root
from csmv.pipeline.schemas import spec_of

_TAIL = 1 << 16
_LARGEST_FOOTER = 64 << 20
_GAP = 1 << 18
"""Bytes that are read along, rather than asked for in two requests."""
_TRIES = 3
_PARTS_AT_ONCE = 8
_WHOLE = ("videos", "comments", "labels")
"""Tables of which some shards alone would be a smaller dataset."""

_REMAKE = {
    "videos": "`csmv run tables`, then `csmv run media`",
    "comments": "`csmv run tables`",
    "labels": "`csmv run tables`",
    "features": "`csmv run features` (or `csmv extract`)",
    "splits": "`csmv run splits` (or `csmv split`)",
    "failures": "the stage that it is about",
}
"""How a shard is made anew, by the first part of its table's name."""


class TableReader(Root):
    """A root whose tables can be read, whole, by column, or their footers alone."""

    def read(self, table: str, shard: int, *, remake: bool = False) -> pa.Table | None:
        """A shard of a table, or None if it has not been written.

        Args:
            table: its name, such as `videos` or `features/i3d`.
            shard: its number.
            remake: for the stage that writes the table: a shard that was lost is None, to be made anew.

        Raises:
            CsmvError: the shard is damaged, foreign, renamed, or lost; the sentence says how to get it back.
        """
        with self.open_table(table, shard, remake=remake) as file:
            return None if file is None else _without_place(file.read())

    @contextmanager
    def open_table(self, table: str, shard: int | None, *, remake: bool = False) -> Iterator[pq.ParquetFile | None]:
        """A shard's Parquet file, open and checked whole, for reading it piece by piece; None if there is none."""
        relative = table_file(table, shard)
        with self._buffer(relative) as data:
            if data is None:
                if not remake:
                    self._refuse_lost(table, shard)
                yield None
                return
            if not self._is_listed(f"{entries_of(table, shard)}/{hashlib.sha256(data).hexdigest()}.json"):
                raise CsmvError(self._damage(table, shard, data))
            try:
                file = pq.ParquetFile(pa.BufferReader(data))
            except (pa.ArrowException, OSError):
                raise CsmvError(self._damage(table, shard, data)) from None
            self._refuse_foreign(table, shard, file.schema_arrow.metadata)
            yield file

    def read_columns(self, table: str, shard: int, columns: Sequence[str], *, remake: bool = False) -> pa.Table | None:
        """Some columns of a shard, checked as `read` does, without reading the rest of the file.

        Raises:
            CsmvError: as `read` does.
        """
        end = self._end(table, shard, remake=remake)
        for _ in range(_TRIES):
            if end is None:
                return None
            rows = self._columns_of(end, columns)
            if rows is not None:
                return rows
            # Another writer may have put another file in its place since the footer was read.
            self._changed()
            tail, end = end.tail, self._end(table, shard, remake=remake)
            if end is not None and end.tail == tail:
                break
        raise CsmvError(self._damage(table, shard, b"" if end is None else end.readable))

    def _columns_of(self, end: "_End", columns: Sequence[str]) -> pa.Table | None:
        """Some columns of the file with this end; None if their bytes are not as the manifest has them."""
        with self._buffer_of(end, columns) as data:
            try:
                file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
                present = [name for name in columns if name in file.schema_arrow.names]
                digests = column_digests(data, file.metadata, present)
                return _without_place(file.read(columns=present)) if self._are_listed(end, digests) else None
            except (ValueError, pa.ArrowException, OSError):
                return None

    def footer(self, table: str, shard: int | None, *, remake: bool = False) -> dict[bytes, bytes] | None:
        """The metadata of a shard's footer, which was checked against the manifest; None if there is no shard."""
        end = self._end(table, shard, remake=remake)
        return None if end is None else dict(end.schema.metadata or {})

    def file_metadata(self, table: str, shard: int | None, *, remake: bool = False) -> pq.FileMetaData | None:
        """Parquet's own metadata of a shard (row groups, sizes, statistics), checked; None if there is no shard."""
        end = self._end(table, shard, remake=remake)
        return None if end is None else pq.read_metadata(pa.BufferReader(end.readable))

    def schema(self, table: str, shard: int | None, *, remake: bool = False) -> pa.Schema | None:
        """The schema of a shard, checked, with its footer's metadata; None if there is no shard."""
        end = self._end(table, shard, remake=remake)
        return None if end is None else end.schema

    def num_rows(self, table: str) -> int:
        """How many rows a table has, without reading them."""
        ends = (self.file_metadata(table, shard) for shard in self.shards())
        return sum(metadata.num_rows for metadata in ends if metadata is not None)

    def has_rows(self, table: str) -> bool:
        """Whether a table has a row, without reading one."""
        ends = (self.file_metadata(table, shard) for shard in self.shards())
        return any(metadata is not None and metadata.num_rows > 0 for metadata in ends)

    def footer_sha256(self, table: str, shard: int | None) -> str | None:
        """SHA-256 of a shard's footer, which was checked against the manifest; None if there is no shard."""
        end = self._end(table, shard, remake=True)
        return None if end is None else end.entry.footer_sha256

    def sha256_of(self, table: str, shard: int | None) -> str | None:
        """SHA-256 of a shard's file as the manifest has it, mostly without reading its rows; None if there is none.

        Raises:
            CsmvError: the shard's footer is damaged or foreign; a flipped bit before it is not noticed.
        """
        end = self._end(table, shard, remake=True)
        if end is None:
            return None
        same = [entry for entry in self._entries(table, shard) if entry.footer_sha256 == end.entry.footer_sha256]
        if len(same) == 1:
            return same[0].sha256
        with self._buffer(table_file(table, shard)) as data:  # files that differ in values of equal size alone
            return None if data is None else hashlib.sha256(data).hexdigest()

    def states(self, table: str) -> dict[str, str]:
        """SHA-256 of each file of a table, by its path: of a large table mostly from one listing of the manifest.

        What the manifest lists counts as what there is, where it lists one file only: enough to tell whether anything
        was written since, not to tell whether a file is damaged.
        """
        by_folder: dict[str, list[str]] = {}
        for name in self.files(f"manifest/{table}"):
            if name.endswith(".json"):
                by_folder.setdefault(name.rpartition("/")[0], []).append(name)
        states = {}
        for shard in self.shards():
            names = by_folder.get(entries_of(table, shard), [])
            if len(names) == 1:
                states[table_file(table, shard)] = _digest_in(names[0])
            elif names and (sha256 := self.sha256_of(table, shard)) is not None:
                states[table_file(table, shard)] = sha256
        return states

    def made_from(self, table: str, shard: int | None) -> str | None:
        """The digest of what a shard was made from, as its footer records it; None if there is no shard."""
        metadata = self.footer(table, shard, remake=True)
        return None if metadata is None else made_from_of(metadata)

    def read_all(self, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """All shards of a table, one after the other; an empty table if none has been written.

        Args:
            table: its name.
            columns: only these, without reading the rest; all if left out.

        Raises:
            CsmvError: a shard is damaged or lost, or the table is only begun: some shards alone are a smaller dataset.
        """
        parts = (
            self.read(table, shard) if columns is None else self.read_columns(table, shard, columns)
            for shard in self.shards()
        )
        shards = [rows for rows in parts if rows is not None]
        spec = spec_of(table)
        if not shards:
            if spec is None:
                raise CsmvError(f"The root '{self.root}' has no table '{table}' yet; make it with `csmv extract`.")
            empty = spec.schema.empty_table()
            return empty if columns is None else empty.select(list(columns))
        if table in _WHOLE and len(shards) < self.n_shards:
            raise CsmvError(
                f"The table '{table}' of the root '{self.root}' has {len(shards)} of its {self.n_shards} shards: the "
                "stage that makes it has not come to its end. Run `csmv run tables` first."
            )
        return pa.concat_tables(shards, promote_options="default")

    def read_split(self, name: str) -> pa.Table:
        """The split `name`. Raises CsmvError if it has not been built or is damaged."""
        with self.open_table(f"splits/{name}", None) as file:
            if file is not None:
                return _without_place(file.read())
        hint = did_you_mean(name, self.split_names(), "built so far:").rstrip(".")
        raise CsmvError(f"There is no split '{name}' ({hint}); build it with `csmv split`.")

    def split_names(self) -> list[str]:
        """The splits that have been built."""
        names = (name for name in self.files("splits") if name.endswith(".parquet"))
        return [name.removeprefix("splits/").removesuffix(".parquet") for name in names]

    @contextmanager
    def _buffer(self, relative: str) -> Iterator[pa.Buffer | None]:
        """All bytes of a file: of a local one mapped into memory, else read; None if it is not there."""
        if not self.is_local:
            many_parts = relative.startswith("features/")
            data = self.read_if_there(relative, at_once=_PARTS_AT_ONCE if many_parts else 1)
            yield None if data is None else pa.py_buffer(data)
            return
        path = self._path_of_file(relative)
        try:
            if self.fs.size(path) == 0:
                yield pa.py_buffer(b"")
                return
            mapped = pa.memory_map(path)
        except FileNotFoundError:
            yield None
            return
        with mapped:
            yield mapped.read_buffer()

    @contextmanager
    def _buffer_of(self, end: "_End", columns: Sequence[str]) -> Iterator[pa.Buffer]:
        """A file of which the footer and some columns can be read: of a local one all of it, else the ranges of these.

        The rest of a remote file is zeros that take no memory. What comes is not checked yet.
        """
        relative = table_file(end.entry.table, end.entry.shard)
        if self.is_local:
            with self._buffer(relative) as data:
                yield pa.py_buffer(b"") if data is None else data
            return
        size = end.entry.size
        start = size - len(end.tail)
        if start <= 0:
            yield pa.py_buffer(end.tail)
            return
        metadata = pq.read_metadata(pa.BufferReader(end.readable))
        ranges = [(a, min(b, start)) for a, b in _joined(column_ranges(metadata, columns)) if a < start]
        memory = mmap.mmap(-1, size)  # closed with the last table that was read from it
        memory[start:] = end.tail
        parts = self.fs.cat_ranges(
            [self.path(relative)] * len(ranges),
            [first for first, _ in ranges],
            [last for _, last in ranges],
            on_error="return",
        )
        for (first, last), part in zip(ranges, parts, strict=True):
            if isinstance(part, FileNotFoundError) or (isinstance(part, bytes) and len(part) < last - first):
                continue  # another file is there now, or none: the columns' digests tell
            if isinstance(part, Exception):
                raise part
            memory[first:last] = part
        yield pa.py_buffer(memory)

    def _end(self, table: str, shard: int | None, *, remake: bool = False) -> "_End | None":
        """The end of a shard's file, checked against the manifest and its place; None if there is no file."""
        end = self._once(("end", table_file(table, shard)), lambda: self._end_now(table, shard))
        if end is None and not remake:
            self._refuse_lost(table, shard)
        return end

    def _end_now(self, table: str, shard: int | None) -> "_End | None":
        relative = table_file(table, shard)
        if self.is_local:
            self._path_of_file(relative)
        tail = self.read_end(relative, _TAIL)
        if tail is not None and len(tail) == _TAIL:
            footer_size = _footer_size(tail)
            if _TAIL < footer_size <= _LARGEST_FOOTER:
                tail = self.read_end(relative, footer_size)
            elif footer_size <= _TAIL:
                tail = tail[-footer_size:]
        if tail is None:
            return None
        readable = b"PAR1" + tail  # the magic that a Parquet reader looks for first
        try:
            digest = footer_digest(readable)
            schema = pq.read_schema(pa.BufferReader(readable))
        except (ValueError, pa.ArrowException, OSError):
            raise CsmvError(self._damage(table, shard, readable)) from None
        entry = self._entry_of_footer(table, shard, digest)
        if entry is None:
            raise CsmvError(self._damage(table, shard, readable))
        self._refuse_foreign(table, shard, schema.metadata)
        return _End(tail, schema, entry)

    def _path_of_file(self, relative: str) -> str:
        path = self.path(relative)
        if self.fs.isdir(path):
            raise CsmvError(
                f"'{relative}' in the root '{self.root}' should be a table's file and is a folder: move it away."
            )
        return path

    # ------------------------------------------------------------------ what is wrong with a table

    def is_lost(self, table: str, shard: int | None) -> bool:
        """Whether a shard is listed and not there: it was lost, or its first writer was killed just before it."""
        return any(self._entries(table, shard)) and not self.exists(table_file(table, shard))

    def _refuse_lost(self, table: str, shard: int | None) -> None:
        if any(self._entries(table, shard)) and not self.exists(table_file(table, shard)):
            raise CsmvError(
                f"'{table_file(table, shard)}' should be in the root '{self.root}' and is not there: put it back "
                f"from a copy, or make it anew with {_remake(table)}."
            )

    def _refuse_foreign(self, table: str, shard: int | None, metadata: Mapping[bytes, bytes] | None) -> None:
        stated = {
            key.decode(errors="replace"): value.decode(errors="replace") for key, value in (metadata or {}).items()
        }
        relative = table_file(table, shard)
        wanted = {"csmv.root": self.header.root, "csmv.table": table, "csmv.n_shards": str(self.n_shards)}
        wanted["csmv.shard"] = "" if shard is None else str(shard)
        for key, value in wanted.items():
            if stated.get(key) != value:
                what = "another root" if key == "csmv.root" else f"{key.removeprefix('csmv.')} '{stated.get(key, '')}'"
                raise CsmvError(
                    f"'{relative}' in the root '{self.root}' was made for {what}: put the right file back from a copy, "
                    f"or delete it and make it anew with {_remake(table)}."
                )

    def _damage(self, table: str, shard: int | None, data: "bytes | pa.Buffer") -> str:
        """What is wrong with a file that the manifest does not list, as far as its footer still tells."""
        relative = table_file(table, shard)
        try:
            digest = footer_digest(data)
            metadata = pq.read_schema(pa.BufferReader(data)).metadata
        except (ValueError, pa.ArrowException, OSError):
            how = "is cut short or no Parquet file"
        else:
            self._refuse_foreign(table, shard, metadata)
            listed = any(entry.footer_sha256 == digest for entry in self._entries(table, shard))
            how = "is damaged (its bytes are not what was written)" if listed else "is not what was written there"
        return (
            f"'{relative}' in the root '{self.root}' {how}: put it back from a copy, or delete it and make it "
            f"anew with {_remake(table)}."
        )

    @cached_property
    def _read_entries(self) -> dict[str, dict[str, Entry]]:
        """Manifest entries that were read, by folder and name. None ever changes, so none is read twice."""
        return {}

    @cached_property
    def _seen_entries(self) -> set[str]:
        return set()

    def _is_listed(self, name: str) -> bool:
        """Whether the manifest has an entry of this name."""
        if name not in self._seen_entries and not self.exists(name):
            return False
        self._seen_entries.add(name)
        return True

    def _are_listed(self, end: "_End", digests: Mapping[str, str]) -> bool:
        """Whether some columns are as the manifest has them, of a file with this footer.

        Files that differ in a few values may have equal footers, and then each has its entry.
        """
        table, shard = end.entry.table, end.entry.shard
        candidates = chain([end.entry], self._entries(table, shard))
        return any(
            entry.footer_sha256 == end.entry.footer_sha256
            and all(entry.columns.get(column) == sha256 for column, sha256 in digests.items())
            for entry in candidates
        )

    def _entry_of_footer(self, table: str, shard: int | None, digest: str) -> Entry | None:
        """The entry of a file with this footer."""
        folder = entries_of(table, shard)
        for entries in (list(self._read_entries.get(folder, {}).values()), self._entries(table, shard)):
            for entry in entries:
                if entry.footer_sha256 == digest:
                    return entry
        return None

    def _entries(self, table: str, shard: int | None) -> Iterator[Entry]:
        """The readable entries of a shard, each read only when it is asked for; none of an earlier one twice."""
        folder = entries_of(table, shard)
        entries = self._read_entries.setdefault(folder, {})
        for name in self.files(folder):
            if not name.endswith(".json") or name.rpartition("/")[0] != folder:
                continue
            if name not in entries:
                data = self.read_if_there(name)
                try:
                    entries[name] = Entry(**json.loads(data or b""))
                except (ValueError, TypeError):
                    continue  # verify names it, or it was swept
            yield entries[name]


@dataclass(frozen=True)
class _End:
    """The end of a table's file: its bytes, what its footer says of it, and its entry in the manifest."""

    tail: bytes
    schema: pa.Schema
    entry: Entry

    @property
    def readable(self) -> bytes:
        """What a Parquet reader takes for a file, as long as it reads no rows."""
        return b"PAR1" + self.tail


def _footer_size(tail: bytes) -> int:
    return int.from_bytes(tail[-8:-4], "little") + 8


def _joined(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in order, those that nearly touch as one: a request costs more than the bytes between."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first - joined[-1][1] <= _GAP:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def _digest_in(name: str) -> str:
    """The SHA-256 that a manifest entry is named by."""
    return name.rpartition("/")[2].removesuffix(".json")


def _without_place(table: pa.Table) -> pa.Table:
    """A table as its writer gave it: its footer says where the file belongs, its rows do not."""
    return table.replace_schema_metadata(without_identity(table.schema.metadata) or None)


def _remake(table: str) -> str:
    return _REMAKE.get(table.split("/", 1)[0], "the command that made it")
