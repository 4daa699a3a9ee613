"""Reading the tables of a root: whatever is read was checked against the manifest before.

What is wrong with a file is a sentence that names it and says how to get it back.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.manifest import (
    Entry,
    column_digests,
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
        if not self.exists(relative):
            if not remake:
                self._refuse_lost(table, shard)
            yield None
            return
        with self._buffer(relative) as data:
            if not self.exists(f"{entries_of(table, shard)}/{hashlib.sha256(data).hexdigest()}.json"):
                raise CsmvError(self._damage(table, shard, data))
            try:
                file = pq.ParquetFile(pa.BufferReader(data))
            except (pa.ArrowException, OSError):
                raise CsmvError(self._damage(table, shard, data)) from None
            self._refuse_foreign(table, shard, file.schema_arrow.metadata)
            yield file

    def read_columns(self, table: str, shard: int, columns: Sequence[str], *, remake: bool = False) -> pa.Table | None:
        """Some columns of a shard, checked as `read` does, without reading the rest of a local file.

        Raises:
            CsmvError: as `read` does.
        """
        relative = table_file(table, shard)
        if not self.exists(relative):
            if not remake:
                self._refuse_lost(table, shard)
            return None
        with self._buffer(relative) as data:
            try:
                digest = footer_digest(data)
                entry = next((one for one in self._entries(table, shard) if one.footer_sha256 == digest), None)
                file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
                present = [name for name in columns if name in file.schema_arrow.names]
                sound = entry is not None and all(
                    entry.columns.get(column) == sha256
                    for column, sha256 in column_digests(data, file.metadata, present).items()
                )
                if sound:
                    self._refuse_foreign(table, shard, file.schema_arrow.metadata)
                    return _without_place(file.read(columns=present))
            except (ValueError, pa.ArrowException, OSError):
                pass
            raise CsmvError(self._damage(table, shard, data))

    def footer(self, table: str, shard: int | None, *, remake: bool = False) -> dict[bytes, bytes] | None:
        """The metadata of a shard's footer, which was checked against the manifest; None if there is no shard."""
        relative = table_file(table, shard)
        if not self.exists(relative):
            if not remake:
                self._refuse_lost(table, shard)
            return None
        tail = self._tail(relative)
        try:
            digest = footer_digest(tail)
            metadata = pq.read_schema(pa.BufferReader(tail)).metadata or {}
        except (ValueError, pa.ArrowException, OSError):
            raise CsmvError(self._damage(table, shard, tail)) from None
        if not any(entry.footer_sha256 == digest for entry in self._entries(table, shard)):
            raise CsmvError(self._damage(table, shard, tail))
        self._refuse_foreign(table, shard, metadata)
        return dict(metadata)

    def made_from(self, table: str, shard: int | None) -> str | None:
        """The digest of what a shard was made from, as its footer records it; None if there is no shard."""
        metadata = self.footer(table, shard, remake=True)
        return None if metadata is None else made_from_of(metadata)

    def read_all(self, table: str) -> pa.Table:
        """All shards of a table, one after the other; an empty table if none has been written.

        Raises:
            CsmvError: a shard is damaged or lost, or the table is only begun: some shards alone are a smaller dataset.
        """
        shards = [rows for shard in self.shards() if (rows := self.read(table, shard)) is not None]
        spec = spec_of(table)
        if not shards:
            if spec is None:
                raise CsmvError(f"The root '{self.root}' has no table '{table}' yet; make it with `csmv extract`.")
            return spec.schema.empty_table()
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
        built = ", ".join(self.split_names()) or "none"
        raise CsmvError(f"There is no split '{name}' (built so far: {built}); build it with `csmv split`.")

    def split_names(self) -> list[str]:
        """The splits that have been built."""
        names = (name for name in self.files("splits") if name.endswith(".parquet"))
        return [name.removeprefix("splits/").removesuffix(".parquet") for name in names]

    @contextmanager
    def _buffer(self, relative: str) -> Iterator[pa.Buffer]:
        if not self.is_local:
            yield pa.py_buffer(self.read_file(relative))
            return
        path = self._path_of_file(relative)
        if self.fs.size(path) == 0:
            yield pa.py_buffer(b"")
            return
        with pa.memory_map(path) as mapped:
            yield mapped.read_buffer()

    def _tail(self, relative: str) -> bytes:
        """The end of a file, long enough for its footer, behind the magic that a Parquet reader looks for first."""
        path = self._path_of_file(relative)
        # Counted from the end and read at once: another writer may put a longer file in its place at any moment.
        tail = bytes(self.fs.cat_file(path, start=-_TAIL))
        needed = int.from_bytes(tail[-8:-4], "little") + 8
        if _TAIL == len(tail) < needed <= _LARGEST_FOOTER:
            tail = bytes(self.fs.cat_file(path, start=-needed))
        return b"PAR1" + tail

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
        return not self.exists(table_file(table, shard)) and bool(self._entries(table, shard))

    def _refuse_lost(self, table: str, shard: int | None) -> None:
        if self.is_lost(table, shard):
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

    def _entries(self, table: str, shard: int | None) -> list[Entry]:
        entries = []
        folder = entries_of(table, shard)
        for name in self.files(folder):
            if name.endswith(".json") and name.count("/") == folder.count("/") + 1:
                try:
                    entries.append(Entry(**json.loads(self.read_file(name))))
                except (ValueError, TypeError):
                    continue  # verify names it
        return entries


def _without_place(table: pa.Table) -> pa.Table:
    """A table as its writer gave it: its footer says where the file belongs, its rows do not."""
    return table.replace_schema_metadata(without_identity(table.schema.metadata) or None)


def _remake(table: str) -> str:
    return _REMAKE.get(table.split("/", 1)[0], "the command that made it")
