"""A dataset root on a local disk or any fsspec URL: where every table, file and failure of a dataset is kept.

A file appears whole or not at all: locally it is written under a temporary name, flushed and moved into place; object
stores commit a put atomically by themselves. Rows are sorted by key and the writer's settings are fixed, so equal
tables are equal bytes wherever they are kept. Nothing is ever locked: two writers of one shard waste time, no more.
"""

import hashlib
import io
import os
import re
import secrets
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import fsspec
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import CsmvError
from pipeline.privacy.forgotten import settling
from pipeline.schemas import FAILURES, SPLITS, FailureReason, TableSpec, spec_of

if TYPE_CHECKING:
    from pipeline.config import DatasetConfig

CONFIG_FILE = "dataset.yaml"
_SAFE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
_TEMPORARY = re.compile(r"\.csmv-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{8}\.tmp$")
_STALE_AFTER_S = 24 * 3600


def shard_of(key: str, n_shards: int) -> int:
    """The shard of a video: the first eight bytes of SHA-256 of its id, big-endian, modulo `n_shards`."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % n_shards


def is_safe_id(key: str) -> bool:
    """Whether an id may become a file name: 1 to 64 letters, digits, - and _, beginning with a letter or digit."""
    return _SAFE_ID.fullmatch(key) is not None


@dataclass(frozen=True)
class Failure:
    """One thing that could not be done. `key` and `detail` must hold no personal data."""

    key: str
    reason: FailureReason
    detail: str = ""


class Store:
    """The files of one dataset root. Paths are relative to the root, with forward slashes."""

    def __init__(self, root: str) -> None:
        try:
            # Other processes write too, so that no listing may be remembered.
            remote = {"use_listings_cache": False} if root.startswith(("s3://", "s3a://")) else {}
            self.fs, path = fsspec.core.url_to_fs(root, **remote)
        except (ImportError, ValueError) as error:
            raise CsmvError(f"The root '{root}' can't be used: {error}.") from None
        self.root = root
        self._base = str(path).rstrip("/")
        self.is_local = isinstance(self.fs, LocalFileSystem)

    # ------------------------------------------------------------------ roots

    @classmethod
    def open(cls, root: str) -> "Store":
        """The root at `root`. Raises CsmvError if there is none or another version made it."""
        store = cls(root)
        if not store.exists(CONFIG_FILE):
            raise CsmvError(
                f"'{root}' is not a dataset root: it has no {CONFIG_FILE}. Make one with `csmv import` or `csmv build`."
            )
        _ = store.config
        return store

    @classmethod
    def create(cls, root: str, config: "DatasetConfig") -> "Store":
        """The root at `root`, made if need be, with `config` written into it.

        Raises CsmvError if a root is there whose number of shards differs: that is fixed when a root is made.
        """
        store = cls(root)
        if store.exists(CONFIG_FILE):
            made_with = store.config.n_shards
            if made_with != config.n_shards:
                raise CsmvError(
                    f"The root '{root}' was made with n_shards {made_with} and can't be used with {config.n_shards}: "
                    "keep the number, or choose another root."
                )
            del store.config
        store.write_file(CONFIG_FILE, config.to_yaml().encode())
        return store

    @cached_property
    def config(self) -> "DatasetConfig":
        """The configuration that made this root, validated."""
        from pipeline.config import DatasetConfig

        return DatasetConfig.from_yaml(self.read_file(CONFIG_FILE).decode(), f"{self.root}/{CONFIG_FILE}")

    @property
    def n_shards(self) -> int:
        """How many shards every table of this root has."""
        return self.config.n_shards

    def shards(self) -> range:
        """All shard numbers."""
        return range(self.n_shards)

    def shard_of(self, video_id: str) -> int:
        """The shard in which a video, its comments, labels, features and failures are kept."""
        return shard_of(video_id, self.n_shards)

    # ------------------------------------------------------------------ files

    def path(self, relative: str) -> str:
        """The filesystem's own path of a file. Raises CsmvError for a path that would leave the root."""
        parts = relative.split("/")
        if relative.startswith("/") or "\\" in relative or any(part in ("", ".", "..") for part in parts):
            raise CsmvError(f"A path inside a root was expected, and '{relative[:80]}' is none.")
        return f"{self._base}/{relative}"

    def exists(self, relative: str) -> bool:
        """Whether a file is there."""
        return bool(self.fs.exists(self.path(relative)))

    def read_file(self, relative: str) -> bytes:
        """A file's bytes. Raises CsmvError if it is not there."""
        try:
            return bytes(self.fs.cat_file(self.path(relative)))
        except FileNotFoundError:
            raise CsmvError(f"'{relative}' was expected in the root '{self.root}' and is not there.") from None

    def write_file(self, relative: str, data: bytes) -> None:
        """Commit `data` as a file, whole or not at all."""
        if not self.is_local:
            self.fs.pipe_file(self.path(relative), data)
            return
        with self.writing(relative) as file:
            file.write(data)

    def create_file(self, relative: str, data: bytes) -> bool:
        """Commit `data` as a new file, whole or not at all; False if one of that name is there, which stays."""
        final = self.path(relative)
        if not self.is_local:
            try:
                self.fs.pipe_file(final, data, mode="create")
            except FileExistsError:
                return False
            return True
        Path(final).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = Path(f"{final}{_temporary_suffix()}")
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, final)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        return True

    @contextmanager
    def writing(self, relative: str) -> Iterator[IO[bytes]]:
        """A new file to write to, committed when the block ends well and forgotten when it does not.

        For data that is better streamed than held; a remote root gets it in one upload at the end.
        """
        final = self.path(relative)
        if not self.is_local:
            with tempfile.TemporaryFile() as file:
                yield file
                file.seek(0)
                with self.fs.open(final, "wb") as target:
                    while chunk := file.read(1 << 22):
                        target.write(chunk)
            return
        Path(final).parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(f"{final}{_temporary_suffix()}")
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(final)
        finally:
            temporary.unlink(missing_ok=True)

    def remove(self, relative: str) -> None:
        """Delete a file; nothing happens if it is not there."""
        path = self.path(relative)
        if self.fs.exists(path):
            self.fs.rm_file(path)

    def files(self, prefix: str = "") -> list[str]:
        """The files below a folder of the root, sorted, as relative paths; temporary ones left out."""
        base = self.path(prefix) if prefix else self._base
        if not self.fs.exists(base):
            return []
        names = (str(name)[len(self._base) + 1 :] for name in self.fs.find(base))
        return sorted(name for name in names if not _TEMPORARY.search(name))

    @contextmanager
    def local_file(self, relative: str) -> Iterator[Path]:
        """A local path to read a file from: the file itself on a local root, else a copy for the block's time."""
        if self.is_local:
            yield Path(self.path(relative))
            return
        with tempfile.TemporaryDirectory(prefix="csmv-") as folder:
            copy = Path(folder) / relative.rsplit("/", 1)[-1]
            self.fs.get_file(self.path(relative), str(copy))
            yield copy

    def sweep(self) -> int:
        """Remove the temporary files that killed processes left; gives their number.

        A file goes if the process of this machine that wrote it is gone, or if it is a day old.
        """
        if not self.is_local or not self.fs.exists(self._base):
            return 0
        removed = 0
        for name in self.fs.find(self._base):
            found = _TEMPORARY.search(str(name))
            if found and _is_stale(Path(str(name)), found):
                Path(str(name)).unlink(missing_ok=True)
                removed += 1
        return removed

    # ------------------------------------------------------------------ tables

    def read(self, table: str, shard: int) -> pa.Table | None:
        """A shard of a table, or None if it has not been written."""
        return self._read_parquet(f"{table}/{shard:04d}.parquet")

    def read_all(self, table: str) -> pa.Table:
        """All shards of a table, one after the other; an empty table if none has been written."""
        found = [shard for number in self.shards() if (shard := self.read(table, number)) is not None]
        if found:
            return pa.concat_tables(found, promote_options="default")
        spec = spec_of(table)
        if spec is None:
            raise CsmvError(f"The root '{self.root}' has no table '{table}' yet; make it with `csmv extract`.")
        return spec.schema.empty_table()

    def made_from(self, table: str, shard: int | None) -> str | None:
        """The digest of what a shard was made from, as its footer records it; None if there is no shard."""
        rows = self._read_parquet(f"{table}.parquet" if shard is None else f"{table}/{shard:04d}.parquet")
        return None if rows is None else (rows.schema.metadata or {}).get(b"made_from", b"").decode()

    def write(
        self, table: str, shard: int, rows: pa.Table, spec: TableSpec | None = None, *, made_from: str | None = None
    ) -> None:
        """Commit a shard of a table: columns and types as in its spec, rows sorted by key, none that was forgotten.

        `spec` is needed for features (`pipeline.schemas.features_spec`), whose width is the extractor's.
        """
        spec = spec or spec_of(table)
        if spec is None:
            raise CsmvError(f"Writing '{table}' needs the spec of its features.")
        rows = spec.conform(rows)
        if made_from:
            rows = rows.replace_schema_metadata({**(rows.schema.metadata or {}), b"made_from": made_from.encode()})
        for gone in settling(self):
            self.write_file(f"{table}/{shard:04d}.parquet", parquet_bytes(gone.applied(rows)))

    def read_split(self, name: str) -> pa.Table:
        """The split `name`. Raises CsmvError if it has not been built."""
        found = self._read_parquet(f"splits/{name}.parquet")
        if found is None:
            there = ", ".join(self.split_names()) or "none"
            raise CsmvError(f"There is no split '{name}' (built so far: {there}); build it with `csmv split`.")
        return found

    def split_names(self) -> list[str]:
        """The splits that have been built."""
        return [name.removeprefix("splits/").removesuffix(".parquet") for name in self.files("splits")]

    def write_split(self, name: str, rows: pa.Table, *, made_from: str | None = None) -> None:
        """Commit the split `name`."""
        if not is_safe_id(name):
            raise CsmvError(f"A split's name is letters, digits, - and _; '{name[:80]}' is not.")
        relative = f"splits/{name}.parquet"
        for gone in settling(self):
            data = parquet_bytes(gone.applied(SPLITS.conform(rows)))
            # A split is made from the whole root each time; one that came out the same is left as it is.
            if not self.exists(relative) or self.read_file(relative) != data:
                self.write_file(relative, data)

    def _read_parquet(self, relative: str) -> pa.Table | None:
        path = self.path(relative)
        if not self.fs.exists(path):
            return None
        try:
            if self.is_local:
                return pq.ParquetFile(path, memory_map=True).read()
            return pq.ParquetFile(io.BytesIO(self.fs.cat_file(path))).read()
        except pa.ArrowInvalid as error:
            raise CsmvError(
                f"'{relative}' in the root '{self.root}' is no Parquet file ({error}); delete it."
            ) from None

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
            rows[key] = {
                "key": key,
                "reason": str(FailureReason(failure.reason)),
                "detail": failure.detail,
                "attempts": attempts,
                "at": now,
            }
        self.write(f"failures/{stage}", shard, pa.Table.from_pylist(list(rows.values()), schema=FAILURES.schema))

    def clear_failures(self, stage: str, shard: int, keys: Iterable[str]) -> None:
        """Forget the failures of `keys`: they have been done since."""
        gone = set(keys)
        rows = self._failure_rows(stage, shard)
        kept = [row for row in rows if row["key"] not in gone]
        if len(kept) == len(rows):
            return
        if kept:
            self.write(f"failures/{stage}", shard, pa.Table.from_pylist(kept, schema=FAILURES.schema))
        else:
            self.remove(f"failures/{stage}/{shard:04d}.parquet")

    def failures(self) -> dict[str, pa.Table]:
        """Every stage's failures, all shards together."""
        stages = sorted({name.rsplit("/", 1)[0] for name in self.files("failures") if name.endswith(".parquet")})
        return {stage.removeprefix("failures/"): self.read_all(stage) for stage in stages}

    def _failure_rows(self, stage: str, shard: int) -> list[dict[str, Any]]:
        found = self.read(f"failures/{stage}", shard)
        return [] if found is None else found.to_pylist()


def media_path(shard: int, video_id: str) -> str:
    """Where a video's file is kept in the root. Raises CsmvError for an id that may not become a file name."""
    if not is_safe_id(video_id):
        raise CsmvError("A video id that is not 1 to 64 letters, digits, - and _ can't become a file name.")
    return f"private/media/{shard:04d}/{video_id}.mp4"


def parquet_bytes(table: pa.Table) -> bytes:
    """`table` as Parquet with this project's fixed settings: the same table gives the same bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=3, row_group_size=1 << 16, version="2.6")
    return bytes(sink.getvalue().to_pybytes())


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _temporary_suffix() -> str:
    return f".csmv-{_host()}-{os.getpid()}-{secrets.token_hex(4)}.tmp"


def _is_stale(path: Path, name: re.Match[str]) -> bool:
    # A reused process number only keeps the file until it is a day old.
    if name["host"] == _host() and not psutil.pid_exists(int(name["pid"])):
        return True
    try:
        return time.time() - path.stat().st_mtime > _STALE_AFTER_S
    except FileNotFoundError:
        return False
