"""The tables of a dataset root: written whole, in equal bytes, listed in a manifest, checked whenever they are read.

Rows are sorted by key and the writer's settings are fixed, so equal tables are equal bytes wherever they are kept.
Nothing is ever locked: two writers of one shard waste time, no more. Knows a root's header and no configuration.
"""

import hashlib
import json
import mmap
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import SecretStr

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.files import Files
from csmv.pipeline.manifest import (
    HEADER_FILE,
    Entry,
    Header,
    column_digests,
    entries_of,
    entry_for,
    footer_digest,
    identity,
    made_from_of,
    table_file,
    with_identity,
    without_identity,
)
from csmv.pipeline.privacy.forgotten import settling
from csmv.pipeline.pseudonym import KEY_FILE, KEY_VARIABLE, MissingKeyError, key_fingerprint, new_key
from csmv.pipeline.schemas import FAILURES, SPLITS, FailureReason, TableSpec, spec_of

CONFIG_FILE = "dataset.yaml"
HISTORY = "history"
_SAFE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
_SUPERSEDED_AFTER = timedelta(hours=1)
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


def shard_of(key: str, n_shards: int) -> int:
    """The shard of a video: the first eight bytes of SHA-256 of its id, big-endian, modulo `n_shards`."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % n_shards


def is_safe_id(key: str) -> bool:
    """Whether an id may become a file name: 1 to 64 letters, digits, - and _, beginning with a letter or digit."""
    return _SAFE_ID.fullmatch(key) is not None


@dataclass(frozen=True)
class Failure:
    """One thing that could not be done. `key` and `detail` must hold no personal data.

    `detail` is a sentence; left empty, it is the reason's own. Nothing reads anything out of it again.
    """

    key: str
    reason: FailureReason
    detail: str = ""


class _SourceKind(Protocol):
    @property
    def kind(self) -> str: ...


class Described(Protocol):
    """What a root is made by: a configuration, of which the store knows no more than this."""

    @property
    def name(self) -> str: ...
    @property
    def n_shards(self) -> int: ...
    @property
    def source(self) -> _SourceKind: ...
    def to_yaml(self) -> str:
        """The whole configuration."""


class Store(Files):
    """The tables and files of one dataset root. Paths are relative to the root, with forward slashes."""

    # ------------------------------------------------------------------ roots

    @classmethod
    def open(cls, root: str) -> "Store":
        """The root at `root`. Raises CsmvError if there is none or another version made it."""
        store = cls(root)
        _ = store.header
        return store

    @classmethod
    def create(cls, root: str, config: Described) -> "Store":
        """The root at `root`, made if need be, with `config` written into it.

        The key of its pseudonyms is made first, once, whoever else does the same at the same time.

        Raises:
            CsmvError: a root is there and belongs to another dataset, source or number of shards.
        """
        store = cls(root)
        if not store.exists(HEADER_FILE):
            if store.exists(CONFIG_FILE) and _is_format_1(store.read_file(CONFIG_FILE)):
                raise CsmvError(_migrate(root))
            key = store.make_key()
            header = Header(config.name, config.source.kind, config.n_shards, key_fingerprint(key))
            store.create_file(HEADER_FILE, header.to_json())
        store.require(config.name, config.source.kind, config.n_shards)
        text = config.to_yaml().encode()
        if not store.exists(CONFIG_FILE) or store.read_file(CONFIG_FILE) != text:
            store.write_file(CONFIG_FILE, text)
        return store

    def require(self, name: str, source: str, n_shards: int) -> None:
        """Raises CsmvError unless the root is the dataset of this name, source and number of shards."""
        asked = {"name": name, "source": source, "n_shards": n_shards}
        for field, value in asked.items():
            made_with = getattr(self.header, field)
            if made_with != value:
                raise CsmvError(
                    f"The root '{self.root}' was made with {field} {made_with} and can't be used with {value}: a root "
                    "belongs to one dataset. Keep what it says, or choose another root."
                )

    @cached_property
    def header(self) -> Header:
        """What never changes in this root. Raises CsmvError if there is none or it can't be trusted."""
        if not self.exists(HEADER_FILE):
            if self.exists(CONFIG_FILE):
                raise CsmvError(self._without_header())
            raise CsmvError(
                f"'{self.root}' is not a dataset root: it has no {CONFIG_FILE}. Make one with `csmv import` or "
                "`csmv build`."
            )
        return Header.from_json(self.read_file(HEADER_FILE), f"{self.root}/{HEADER_FILE}")

    def _without_header(self) -> str:
        data = self.read_file(CONFIG_FILE)
        if _is_format_1(data) or data.startswith(b"# Written by csmv"):  # a migration that was interrupted at its end
            return _migrate(self.root)
        found = re.search(rb"^format_version:\s*(\S+)", data, re.M)
        told = f"format version '{found[1].decode(errors='replace')[:20]}'" if found else "no format version"
        return (
            f"{self.root}: this root has {told} and no {HEADER_FILE}, and this csmv reads format 2: use the csmv that "
            "made it, or build the root anew."
        )

    @property
    def n_shards(self) -> int:
        """How many shards every table of this root has."""
        return self.header.n_shards

    def shards(self) -> range:
        """All shard numbers."""
        return range(self.n_shards)

    def shard_of(self, video_id: str) -> int:
        """The shard in which a video, its comments, labels, features and failures are kept."""
        return shard_of(video_id, self.n_shards)

    # ------------------------------------------------------------------ the key

    def key(self) -> SecretStr:
        """The key of this root's pseudonyms: the environment's CSMV_PSEUDONYM_KEY, else `private/pseudonym.key`.

        Raises:
            CsmvError: there is none, or it is not the one that the root was made with.
        """
        given = os.environ.get(KEY_VARIABLE)
        if not given and not self.exists(KEY_FILE):
            raise MissingKeyError(
                f"The key of this root's pseudonyms is not in {KEY_FILE} nor in {KEY_VARIABLE}: put it back. "
                "Without it nobody can tell which comment is which."
            )
        key = SecretStr(given or self.read_file(KEY_FILE).decode("ascii", "replace").strip())
        if key_fingerprint(key) != self.header.key:
            where = KEY_VARIABLE if given else KEY_FILE
            raise CsmvError(
                f"The key in {where} is not the one that the root '{self.root}' was made with: every pseudonym would "
                f"change. Put the right one there{f', or unset {KEY_VARIABLE}' if given else ''}."
            )
        return key

    def make_key(self) -> SecretStr:
        """The key of a root that is only being made: the environment's, the one that is there, or a new one."""
        given = os.environ.get(KEY_VARIABLE)
        if given:
            return SecretStr(given)
        self.create_file(KEY_FILE, new_key())
        # Read back rather than kept: another process may have been first.
        return SecretStr(self.read_file(KEY_FILE).decode("ascii", "replace").strip())

    # ------------------------------------------------------------------ reading tables

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
                there = [name for name in columns if name in file.schema_arrow.names]
                sound = entry is not None and all(
                    entry.columns.get(column) == found
                    for column, found in column_digests(data, file.metadata, there).items()
                )
                if sound:
                    self._refuse_foreign(table, shard, file.schema_arrow.metadata)
                    return _without_place(file.read(columns=there))
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
        found = [shard for number in self.shards() if (shard := self.read(table, number)) is not None]
        spec = spec_of(table)
        if not found:
            if spec is None:
                raise CsmvError(f"The root '{self.root}' has no table '{table}' yet; make it with `csmv extract`.")
            return spec.schema.empty_table()
        if table in _WHOLE and len(found) < self.n_shards:
            raise CsmvError(
                f"The table '{table}' of the root '{self.root}' has {len(found)} of its {self.n_shards} shards: the "
                "stage that makes it has not come to its end. Run `csmv run tables` first."
            )
        return pa.concat_tables(found, promote_options="default")

    def read_split(self, name: str) -> pa.Table:
        """The split `name`. Raises CsmvError if it has not been built or is damaged."""
        with self.open_table(f"splits/{name}", None) as file:
            if file is not None:
                return _without_place(file.read())
        there = ", ".join(self.split_names()) or "none"
        raise CsmvError(f"There is no split '{name}' (built so far: {there}); build it with `csmv split`.")

    def split_names(self) -> list[str]:
        """The splits that have been built."""
        names = (name for name in self.files("splits") if name.endswith(".parquet"))
        return [name.removeprefix("splits/").removesuffix(".parquet") for name in names]

    @contextmanager
    def _buffer(self, relative: str) -> Iterator[pa.Buffer]:
        if not self.is_local:
            yield pa.py_buffer(self.read_file(relative))
            return
        path = self.path(relative)
        if self.fs.isdir(path):
            raise CsmvError(
                f"'{relative}' in the root '{self.root}' should be a table's file and is a folder: move it away."
            )
        if self.fs.size(path) == 0:
            yield pa.py_buffer(b"")
            return
        with pa.memory_map(path) as mapped:
            yield mapped.read_buffer()

    def _tail(self, relative: str) -> bytes:
        """The end of a file, long enough for its footer, behind the magic that a Parquet reader looks for first."""
        path = self.path(relative)
        if self.fs.isdir(path):
            raise CsmvError(
                f"'{relative}' in the root '{self.root}' should be a table's file and is a folder: move it away."
            )
        # Counted from the end and read at once: another writer may put a longer file in its place at any moment.
        tail = bytes(self.fs.cat_file(path, start=-_TAIL))
        needed = int.from_bytes(tail[-8:-4], "little") + 8
        if _TAIL == len(tail) < needed <= _LARGEST_FOOTER:
            tail = bytes(self.fs.cat_file(path, start=-needed))
        return b"PAR1" + tail

    # ------------------------------------------------------------------ what is wrong with a table

    def _refuse_lost(self, table: str, shard: int | None) -> None:
        if self._entries(table, shard):
            raise CsmvError(
                f"'{table_file(table, shard)}' should be in the root '{self.root}' and is not there: put it back "
                f"from a copy, or make it anew with {_remake(table)}."
            )

    def _refuse_foreign(self, table: str, shard: int | None, metadata: Mapping[bytes, bytes] | None) -> None:
        said = {key.decode(errors="replace"): value.decode(errors="replace") for key, value in (metadata or {}).items()}
        relative = table_file(table, shard)
        wanted = {"csmv.root": self.header.root, "csmv.table": table, "csmv.n_shards": str(self.n_shards)}
        wanted["csmv.shard"] = "" if shard is None else str(shard)
        for key, value in wanted.items():
            if said.get(key) != value:
                what = "another root" if key == "csmv.root" else f"{key.removeprefix('csmv.')} '{said.get(key, '')}'"
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
        found = []
        folder = entries_of(table, shard)
        for name in self.files(folder):
            if name.endswith(".json") and name.count("/") == folder.count("/") + 1:
                try:
                    found.append(Entry(**json.loads(self.read_file(name))))
                except (ValueError, TypeError):
                    continue  # verify names it
        return found

    # ------------------------------------------------------------------ writing tables

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
        said = identity(self.header, table, shard, made_from)
        rows = rows.replace_schema_metadata(with_identity(rows.schema, said).metadata)
        # Once more if a request comes in the meantime: it may have looked at the shard before this was there.
        for gone in settling(self):
            self._commit(table, shard, gone.applied(rows), made_from)

    def _commit(self, table: str, shard: int | None, rows: pa.Table, made_from: str) -> None:
        data = parquet_bytes(rows)
        entry = entry_for(self.header, table, shard, data, made_from)
        relative = table_file(table, shard)
        if self.exists(relative) and self._is_file(relative, data) and self.exists(entry.file):
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

    def _is_file(self, relative: str, data: bytes) -> bool:
        return self.fs.size(self.path(relative)) == len(data) and self.read_file(relative) == data

    def _note(self, entry: Entry) -> None:
        """Leave a line in the history: which shard of a published table was written, when, with how many rows."""
        if entry.table.startswith("failures/"):
            return
        said = {"event": "write", "table": entry.table, "shard": entry.shard, "rows": entry.rows}
        self.note(said | {"sha256": entry.sha256, "made_from": entry.made_from})

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
        for name in self.files("manifest"):
            if name != HEADER_FILE:
                by_folder.setdefault(name.rsplit("/", 1)[0], []).append(name)
        for folder, names in by_folder.items():
            if len(names) > 1:
                self._sweep_entries(folder, names)
        return removed

    def _sweep_entries(self, folder: str, names: list[str]) -> None:
        try:
            entries = [Entry(**json.loads(self.read_file(name))) for name in names]
            relative = table_file(entries[0].table, entries[0].shard)
            if not self.exists(relative):
                return
            current = footer_digest(self._tail(relative))
        except (ValueError, TypeError, CsmvError):
            return  # verify tells
        if not any(entry.footer_sha256 == current for entry in entries):
            return
        for entry, name in zip(entries, names, strict=True):
            old = datetime.now(UTC) - _aware(self.fs.modified(self.path(name))) > _SUPERSEDED_AFTER
            if entry.footer_sha256 != current and old:
                self.remove(name)

    # ------------------------------------------------------------------ failures

    def record_failures(self, stage: str, shard: int, failures: Iterable[Failure], at: datetime | None = None) -> None:
        """Add to `failures/<stage>`: a key that failed before counts one more attempt and takes the new reason."""
        new = {failure.key: failure for failure in failures}
        if not new:
            return
        now = (at or datetime.now(UTC)).replace(microsecond=0)
        rows: dict[str, Mapping[str, Any]] = {row["key"]: row for row in self._failure_rows(stage, shard)}
        for key, failure in new.items():
            attempts = int(rows[key]["attempts"]) + 1 if key in rows else 1
            reason = FailureReason(failure.reason)
            rows[key] = {
                "key": key,
                "reason": str(reason),
                "class": str(reason.kind),
                "detail": failure.detail or reason.sentence,
                "attempts": attempts,
                "at": now,
            }
        self.write(f"failures/{stage}", shard, pa.Table.from_pylist(list(rows.values()), schema=FAILURES.schema))

    def clear_failures(self, stage: str, shard: int, keys: Iterable[str]) -> None:
        """Forget the failures of `keys`: they have been done since."""
        gone = set(keys)
        rows = self._failure_rows(stage, shard)
        kept = [row for row in rows if row["key"] not in gone]
        if len(kept) < len(rows):
            self.write(f"failures/{stage}", shard, pa.Table.from_pylist(kept, schema=FAILURES.schema))

    def failures(self) -> dict[str, pa.Table]:
        """Every stage's failures, all shards together; a stage without any is left out."""
        stages = sorted({name.rsplit("/", 1)[0] for name in self.files("failures") if name.endswith(".parquet")})
        found = {stage.removeprefix("failures/"): self.read_all(stage) for stage in stages}
        return {stage: rows for stage, rows in found.items() if rows.num_rows}

    def _failure_rows(self, stage: str, shard: int) -> list[dict[str, Any]]:
        found = self.read(f"failures/{stage}", shard, remake=True)
        rows = [] if found is None else found.to_pylist()
        return [{**row, "class": str(FailureReason(row["reason"]).kind)} for row in rows]  # format 1 has no class


PARQUET: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 3,
    "version": "2.6",
    "store_schema": True,
    "write_page_checksum": True,
}
"""The settings of every Parquet file: fixed, so that the same table gives the same bytes."""


def media_path(shard: int, video_id: str) -> str:
    """Where a video's file is kept in the root. Raises CsmvError for an id that may not become a file name."""
    if not is_safe_id(video_id):
        raise CsmvError("A video id that is not 1 to 64 letters, digits, - and _ can't become a file name.")
    return f"private/media/{shard:04d}/{video_id}.mp4"


def parquet_bytes(table: pa.Table) -> bytes:
    """`table` as Parquet with this project's fixed settings: the same table gives the same bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=1 << 16, **PARQUET)
    return bytes(sink.getvalue().to_pybytes())


def _without_place(table: pa.Table) -> pa.Table:
    """A table as its writer gave it: its footer says where the file belongs, its rows do not."""
    return table.replace_schema_metadata(without_identity(table.schema.metadata) or None)


def _remake(table: str) -> str:
    return _REMAKE.get(table.split("/", 1)[0], "the command that made it")


def _is_format_1(config: bytes) -> bool:
    return re.search(rb"^format_version:\s*1\s*$", config, re.M) is not None


def _migrate(root: str) -> str:
    return (
        f"The root '{root}' has format 1, and this csmv reads format 2: `csmv migrate {root}` brings it up to date in "
        "place, and can be run again if it is interrupted."
    )


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
