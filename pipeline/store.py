"""The store of a dataset root: tables written whole, in equal bytes, listed in a manifest and noted in a history.

Rows are sorted by key and the writer's settings are fixed, so equal tables are equal bytes wherever they are kept.
Nothing is ever locked: two writers of one shard waste time, no more.
"""

import json
import mmap
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.files import Listed
from csmv.pipeline.manifest import HEADER_FILE, Entry, entry_for, identity, table_file, with_identity
from csmv.pipeline.privacy.forgotten import settling
from csmv.pipeline.root import is_safe_id
from csmv.pipeline.schemas import PARQUET, SPLITS, TableSpec, spec_of
from csmv.pipeline.table_reader import TableReader

HISTORY = "history"
_SUPERSEDED_AFTER = timedelta(hours=1)


class Store(TableReader):
    """The tables and files of one dataset root. Paths are relative to the root, with forward slashes."""

    def write(
        self, table: str, shard: int, rows: pa.Table, spec: TableSpec | None = None, *, made_from: str | None = None
    ) -> None:
        """Commit a shard of a table: columns and types as in its spec, rows sorted by key, none that was forgotten.

        Args:
            table: its name.
            shard: its number.
            rows: the whole shard.
            spec: needed for features (`csmv.pipeline.schemas.features_spec`), whose width is the extractor's.
            made_from: a digest of the settings and inputs that decided it; left out, what the shard says stays.
        """
        spec = spec or spec_of(table)
        if spec is None:
            raise CsmvError(f"Writing '{table}' needs the spec of its features.")
        self._write(table, shard, spec.conform(rows), made_from)

    def write_split(self, name: str, rows: pa.Table, *, made_from: str | None = None) -> None:
        """Commit the split `name`."""
        if not is_safe_id(name):
            raise CsmvError(f"A split's name is letters, digits, - and _; '{name[:80]}' is not.")
        self._write(f"splits/{name}", None, SPLITS.conform(rows), made_from)

    def rewrite(self, table: str, shard: int | None, rows: pa.Table) -> None:
        """Commit a shard (or a split, whose shard is None) with other rows of the schema that it has."""
        spec = spec_of(table) or TableSpec(rows.schema, key=("video_id",))
        self._write(table, shard, spec.conform(rows), None)

    def _write(self, table: str, shard: int | None, rows: pa.Table, made_from: str | None) -> None:
        if made_from is None:
            made_from = self.made_from(table, shard) or ""
        schema = with_identity(rows.schema, identity(self.header, table, shard, made_from))
        rows = rows.replace_schema_metadata(schema.metadata)
        # Once more if a request comes in the meantime: it may have looked at the shard before this was there.
        for gone in settling(self):
            self._commit(table, shard, gone.applied(rows), made_from)

    def _commit(self, table: str, shard: int | None, rows: pa.Table, made_from: str) -> None:
        data = parquet_bytes(rows)
        entry = entry_for(self.header, table, shard, data, made_from)
        relative = table_file(table, shard)
        if self._is_listed(entry.file) and self.read_if_there(relative) == data:
            return
        self.create_file(entry.file, entry.to_json())
        self.write_file(relative, data)
        self._note(entry)

    @contextmanager
    def writing_table(
        self, table: str, shard: int, schema: pa.Schema, *, made_from: str = ""
    ) -> Iterator[pq.ParquetWriter]:
        """A shard to be written piece by piece, rows in the order of their key; listed and committed at the end.

        What was forgotten must be left out by the caller, who also sees to it that no key stands twice.
        """
        schema = with_identity(schema, identity(self.header, table, shard, made_from))
        entries: list[Entry] = []

        def listed(file: IO[bytes]) -> None:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                entry = entry_for(self.header, table, shard, data, made_from)
            self.create_file(entry.file, entry.to_json())
            entries.append(entry)

        with (
            self.writing(table_file(table, shard), listed) as file,
            pq.ParquetWriter(file, schema, **PARQUET) as writer,
        ):
            yield writer
        self._note(entries[0])

    def _note(self, entry: Entry) -> None:
        """Leave a line in the history: which shard of a published table was written, when, with how many rows."""
        if entry.table.startswith("failures/"):
            return
        event = {"event": "write", "table": entry.table, "shard": entry.shard, "rows": entry.rows}
        self.note(event | {"sha256": entry.sha256, "made_from": entry.made_from})

    def note(self, event: Mapping[str, Any]) -> None:
        """Add an event to the dated, append-only history. It must hold no personal data."""
        now = datetime.now(UTC)
        name = f"{HISTORY}/{now:%Y%m%d}/{now:%H%M%S%f}-{secrets.token_hex(3)}.json"
        self.create_file(name, (json.dumps({"at": now.isoformat(), **event}) + "\n").encode())

    def sweep(self) -> int:
        """Remove what killed processes left: temporary files, and manifest entries that nothing has needed for long.

        Gives the number of temporary files.
        """
        removed = super().sweep()
        by_folder: dict[str, list[str]] = {}
        listing = self.listing("manifest")
        for name in sorted(listing):
            if name != HEADER_FILE:
                by_folder.setdefault(name.rsplit("/", 1)[0], []).append(name)
        for names in by_folder.values():
            if len(names) > 1:
                self._sweep_entries({name: listing[name] for name in names})
        return removed

    def _sweep_entries(self, listing: Mapping[str, Listed]) -> None:
        """Remove the superseded ones of a shard's entries."""
        now = datetime.now(UTC)
        old = [name for name, listed in listing.items() if now - listed.modified > _SUPERSEDED_AFTER]
        if not old:
            return
        try:
            entries = {name: Entry(**json.loads(self.read_file(name))) for name in listing}
            first = next(iter(entries.values()))
            current = self.footer_sha256(first.table, first.shard)
        except (ValueError, TypeError, CsmvError):
            return  # verify tells
        for name in old if current is not None else ():
            if entries[name].footer_sha256 != current:
                self.remove(name)


def parquet_bytes(table: pa.Table) -> bytes:
    """`table` as Parquet with this project's fixed settings: the same table gives the same bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=1 << 16, **PARQUET)
    return bytes(sink.getvalue().to_pybytes())
