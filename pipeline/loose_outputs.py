"""Where features of loose files go: a folder with a file a video, or one file; and what is recorded of them.

Each video is committed by itself: its file appears whole, then a line in the folder's log. One file for all videos is
gathered in a folder beside it, and put together at the end. So a kill loses what is under way and nothing else.
"""

import fcntl
import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from csmv.pipeline.errors import CsmvError, UsageError, parsed_json
from csmv.pipeline.feature_arrays import Row, as_table, rows_of
from csmv.pipeline.files import Files
from csmv.pipeline.loose_config import Format
from csmv.pipeline.schemas import PARQUET, features_spec

MANIFEST = "manifest.json"
"""In a folder: how its features were made, and from which files."""
LOG = "manifest.part.jsonl"
"""Lines that the manifest does not hold yet, one a video."""
_FINAL = "final.json"
_FORMAT = 1
_START = pa.field(
    "start_s",
    pa.list_(pa.field("item", pa.float64(), nullable=False)),
    nullable=False,
    metadata={"meaning": "when each vector's stretch begins, from the first frame", "unit": "s"},
)


@dataclass(frozen=True)
class Timed:
    """Vectors (T, D) float32 in time order, and when the stretch of each begins, in seconds from the first frame."""

    vectors: NDArray[np.float32]
    starts: NDArray[np.float64]


@dataclass
class Entry:
    """What is recorded of one video."""

    path: str
    size: int
    mtime_ns: int
    sha256: str
    features: dict[str, list[int]]
    """Extractor -> shape of the vectors."""
    failures: dict[str, list[str]] = field(default_factory=dict)
    """Extractor -> the reason why there are none, and a detail."""
    damage: dict[str, str] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The files with its features -> bytes and sha256."""


@dataclass
class Recorded:
    """What a manifest says: `extractors` holds, for each, what decides its numbers; `made_on` what doesn't."""

    extractors: dict[str, dict[str, str]] = field(default_factory=dict)
    made_on: list[dict[str, dict[str, str]]] = field(default_factory=list)
    videos: dict[str, Entry] = field(default_factory=dict)
    layout: str = ""

    def text(self, **more: Any) -> bytes:
        """As JSON, the same for the same contents."""
        head = {"format": _FORMAT, "layout": self.layout, **more, "extractors": self.extractors}
        videos = {key: asdict(entry) for key, entry in sorted(self.videos.items())}
        whole = {**head, "made_on": self.made_on, "videos": videos}
        return (json.dumps(whole, indent=1, ensure_ascii=False) + "\n").encode()

    @classmethod
    def of(cls, data: bytes, where: str) -> "Recorded":
        """Raises CsmvError if `data` is no such record."""
        try:
            read = parsed_json(data, where)
            videos = {key: Entry(**entry) for key, entry in read["videos"].items()}
            recorded = cls(read["extractors"], read["made_on"], videos, read["layout"])
        except (KeyError, TypeError, AttributeError):
            raise CsmvError(f"'{where}' is no record of features: name another --out, or delete it.") from None
        if read["format"] != _FORMAT:
            raise CsmvError(f"'{where}' is of another version of csmv (format {read['format']}).")
        return recorded


class Output(Protocol):
    """Where features go. Its parts are called in the order in which they stand here."""

    where: str
    """As the person named it."""

    @property
    def recorded(self) -> Recorded: ...

    def open(self) -> Any:
        """A context in which nobody else writes there; reads what is there. Raises CsmvError if that is not ours."""

    def claim(self, keys: list[str]) -> None:
        """Raises CsmvError if new videos of these keys would overwrite what is not ours."""

    def begin(self, dims: Mapping[str, int]) -> None:
        """Write down `recorded`, whose `extractors` are how the rest is made; `dims` are their vectors' lengths."""

    def add(self, key: str, entry: Entry, vectors: Mapping[str, Timed]) -> None:
        """Commit a video."""

    def is_there(self, entry: Entry) -> bool:
        """Whether the files of an entry are there."""

    def finish(self) -> None:
        """All that could be done is done."""


def output_for(out: Path, form: Format, extractors: Sequence[str]) -> Output:
    """What `--out` names.

    Args:
        out: a file ending in .npz, .npy or .parquet; or a folder, which may be new.
        form: how the files in a folder are written.
        extractors: their names.

    Raises:
        UsageError: it names neither, or can't hold what is asked for.
        CsmvError: it can't be written to.
    """
    if out.suffix in (".npz", ".npy", ".parquet") and not out.is_dir():
        if len(extractors) > 1 and out.suffix != ".npz":
            what = "video by one extractor" if out.suffix == ".npy" else "extractor's features"
            raise UsageError(f"A {out.suffix} file holds one {what}: use .npz or a folder for more.")
        if not out.parent.is_dir():
            raise CsmvError(f"The folder '{out.parent}' of --out is not there.")
        _check_writable(out.parent)
        return OneFile(out, extractors)
    if out.suffix and not out.is_dir() and out.suffix[1:].isalpha():
        raise UsageError(f"--out must end in .npz, .npy or .parquet, or be a folder's name, and '{out.name}' does not.")
    if out.exists() and not out.is_dir():
        raise CsmvError(
            f"'{out}' of --out is a file, and a folder is wanted: give it .npz, .npy or .parquet at its end."
        )
    out.mkdir(parents=True, exist_ok=True)
    _check_writable(out)
    return InFolder(out, form, extractors, str(out))


def _check_writable(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder):
        pass  # what it raises where it can't be has its sentence


class InFolder:
    """A file a video, an extractor where the format holds one only; and the manifest."""

    def __init__(self, folder: Path, form: Format, extractors: Sequence[str], where: str) -> None:
        self.where, self._folder, self._form, self._extractors = where, folder, form, extractors
        self._files = Files(str(folder.absolute()))
        self.recorded = Recorded()
        self._log: IO[bytes] | None = None
        self._dims: Mapping[str, int] = {}

    @contextmanager
    def open(self) -> Iterator[None]:
        with _alone(self._folder, self.where):
            self._files.sweep()
            self._read()
            try:
                yield
            finally:
                if self._log is not None:
                    self._log.close()

    def _read(self) -> None:
        data = self._files.read_if_there(MANIFEST)
        if data is None:
            return
        self.recorded = Recorded.of(data, f"{self.where}/{MANIFEST}")
        if self.recorded.layout != self._form:
            raise CsmvError(
                f"'{self.where}' holds {self.recorded.layout} files, and {self._form} is asked for: name another "
                f"--out, or --format {self.recorded.layout}."
            )
        for line in (self._files.read_if_there(LOG) or b"").splitlines():
            with suppress(ValueError, KeyError, TypeError):  # the last line of a killed run may be half a line
                key, entry = json.loads(line)
                self.recorded.videos[key] = Entry(**entry)

    def claim(self, keys: list[str]) -> None:
        if self.recorded.extractors:
            return
        for key in keys:
            for name in self._names(key, self._extractors):
                if self._files.exists(name):
                    raise CsmvError(
                        f"'{name}' is in '{self.where}' already, and no {MANIFEST} there says how it was made: name "
                        "another --out, or move it away."
                    )

    def begin(self, dims: Mapping[str, int]) -> None:
        self._dims = dims
        self.recorded.layout = self._form
        self._files.write_file(MANIFEST, self.recorded.text())
        self._log = (self._folder / LOG).open("wb")

    def _names(self, key: str, extractors: Iterable[str]) -> dict[str, str]:
        """File -> the extractor that it is of; of all of them, where the format can hold several."""
        if self._form == "npz":
            return {f"{key}.npz": ""}
        several = len(self._extractors) > 1
        folders = {one: f"{one.replace('/', '-')}/" if several else "" for one in extractors}
        return {f"{folder}{key}.{self._form}": one for one, folder in folders.items()}

    def add(self, key: str, entry: Entry, vectors: Mapping[str, Timed]) -> None:
        written = {}
        for name, extractor in self._names(key, vectors).items() if vectors else ():
            for file, data in self._encoded(name, key, entry, vectors, extractor):
                self._files.write_file(file, data)
                written[file] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        before = self.recorded.videos.get(key)
        entry.files = written
        assert self._log is not None
        self._log.write((json.dumps([key, asdict(entry)], ensure_ascii=False) + "\n").encode())
        self._log.flush()
        os.fsync(self._log.fileno())
        self.recorded.videos[key] = entry
        for stale in set(before.files) - set(written) if before else ():
            self._files.remove(stale)

    def _encoded(
        self, name: str, key: str, entry: Entry, vectors: Mapping[str, Timed], extractor: str
    ) -> Iterator[tuple[str, bytes]]:
        if self._form == "npz":
            yield name, npz_bytes(_members("", vectors, always=True))
        elif self._form == "npy":
            yield f"{name.removesuffix('.npy')}.start.npy", _npy_bytes(vectors[extractor].starts)
            yield name, _npy_bytes(vectors[extractor].vectors)
        else:
            sink = io.BytesIO()
            schema = _schema(self._dims[extractor], self.recorded, extractor)
            with pq.ParquetWriter(sink, schema, **PARQUET) as writer:
                writer.write_table(_table([(key, entry.sha256, vectors[extractor])], schema))
            yield name, sink.getvalue()

    def is_there(self, entry: Entry) -> bool:
        for name, said in entry.files.items():
            try:
                if (self._folder / name).stat().st_size != said["bytes"]:
                    return False
            except OSError:
                return False
        return True

    def finish(self) -> None:
        if self._log is not None or self._files.exists(LOG):
            if self._log is not None:
                self._log.close()
                self._log = None
            self._files.write_file(MANIFEST, self.recorded.text())
            self._files.remove(LOG)

    def vectors(self, key: str) -> dict[str, Timed]:
        """What the folder holds of a video; of .npz files alone."""
        arrays = _npz_arrays(self._folder / f"{key}.npz")
        return {name: Timed(arrays[name], arrays[f"{name}/start"]) for name in self.recorded.videos[key].features}


class OneFile:
    """One file with all videos, its record beside it; gathered in a folder beside it until all is there."""

    def __init__(self, file: Path, extractors: Sequence[str]) -> None:
        self.where, self._file, self._several = str(file), file, len(extractors) > 1
        self._beside = file.with_name(f"{file.name}.json")
        self._parts_folder = file.with_name(f"{file.name}.parts")
        self._parts = InFolder(self._parts_folder, "npz", extractors, f"{file}.parts")
        self._before = Recorded()
        self._merged = Recorded()
        self._dims: Mapping[str, int] = {}

    @property
    def recorded(self) -> Recorded:
        """What the file holds, and what was gathered since."""
        return self._merged

    @contextmanager
    def open(self) -> Iterator[None]:
        had_parts = self._parts_folder.is_dir()
        self._parts_folder.mkdir(exist_ok=True)
        try:
            with self._parts.open():
                self._end_finishing()
                self._read()
                yield
        finally:
            if not had_parts and not (self._parts_folder / MANIFEST).exists():
                shutil.rmtree(self._parts_folder, ignore_errors=True)

    def _end_finishing(self) -> None:
        """A run that was killed as it finished may have left the file without its record."""
        final = self._parts_folder / _FINAL
        if final.is_file() and self._file.is_file():
            data = final.read_bytes()
            if parsed_json(data, str(final)).get("sha256") == sha256_of(self._file):
                Files(str(self._file.parent.absolute())).write_file(self._beside.name, data)

    def _read(self) -> None:
        if self._file.is_file():
            if not self._beside.is_file():
                raise CsmvError(
                    f"'{self._file}' is there already, and no '{self._beside.name}' beside it says how it was made: "
                    "name another --out, or move it away."
                )
            data = self._beside.read_bytes()
            self._before = Recorded.of(data, str(self._beside))
            if parsed_json(data, str(self._beside)).get("sha256") != sha256_of(self._file):
                raise CsmvError(
                    f"'{self._file}' is not the file that '{self._beside.name}' speaks of: restore it, name another "
                    "--out, or delete both."
                )
        parts = self._parts.recorded
        for one, other in ((self._before, parts),) if self._before.extractors and parts.extractors else ():
            if one.extractors != other.extractors:
                raise CsmvError(
                    f"'{self._file}' and what an interrupted run gathered in '{self._parts.where}' were made "
                    "otherwise: delete one of the two."
                )
        if parts.extractors and not self._before.extractors:
            self.where = self._parts.where
        newest = parts if parts.extractors else self._before
        self._merged = Recorded(dict(newest.extractors), list(newest.made_on), self._before.videos | parts.videos)

    def claim(self, keys: list[str]) -> None:
        if self._file.suffix == ".npy" and set(keys) | set(self._merged.videos) != set(keys[:1]):
            raise UsageError("A .npy file holds one video by one extractor: use .npz, .parquet or a folder for more.")

    def begin(self, dims: Mapping[str, int]) -> None:
        self._dims = dims
        self._parts.recorded.extractors, self._parts.recorded.made_on = self._merged.extractors, self._merged.made_on
        self._parts.begin(dims)

    def add(self, key: str, entry: Entry, vectors: Mapping[str, Timed]) -> None:
        self._parts.add(key, entry, vectors)
        self._merged.videos[key] = entry

    def is_there(self, entry: Entry) -> bool:
        return self._parts.is_there(entry)

    def finish(self) -> None:
        self._parts.finish()
        if not self._parts.recorded.videos:
            shutil.rmtree(self._parts_folder, ignore_errors=True)
            return
        if any(entry.features for entry in self._merged.videos.values()):
            self._put_together()
        shutil.rmtree(self._parts_folder)

    def _put_together(self) -> None:
        files = Files(str(self._file.parent.absolute()))
        more: dict[str, Any] = {}

        def note(file: IO[bytes]) -> None:
            more["sha256"] = _digest(file)
            (self._parts_folder / _FINAL).write_bytes(self._text(more))

        if self._file.suffix == ".npy":
            ((_, vectors),) = self._all()
            (timed,) = vectors.values()
            files.write_file(f"{self._file.stem}.start.npy", _npy_bytes(timed.starts))
        with files.writing(self._file.name, note) as target:
            if self._file.suffix == ".npz":
                self._write_npz(target)
            elif self._file.suffix == ".npy":
                target.write(_npy_bytes(timed.vectors))
            else:
                self._write_parquet(target)
        files.write_file(self._beside.name, self._text(more))

    def _text(self, more: dict[str, Any]) -> bytes:
        for entry in self._merged.videos.values():
            entry.files = {}
        self._merged.layout = self._file.suffix[1:]
        return self._merged.text(**more)

    def _all(self) -> Iterator[tuple[str, dict[str, Timed]]]:
        """Every video's key and vectors, by key."""
        before = self._of_file() if self._before.videos else {}
        for key, entry in sorted(self._merged.videos.items()):
            if entry.features:
                yield key, self._parts.vectors(key) if key in self._parts.recorded.videos else before[key]

    def _of_file(self) -> Mapping[str, dict[str, Timed]]:
        """What the file itself holds by now."""
        names = list(self._merged.extractors)
        if self._file.suffix == ".npy":
            key = next(iter(self._before.videos))
            starts = np.load(self._file.with_name(f"{self._file.stem}.start.npy"))
            return {key: {names[0]: Timed(np.load(self._file), starts)}}
        if self._file.suffix == ".parquet":
            table = pq.read_table(self._file)
            starts = dict(zip(table["video_id"].to_pylist(), table["start_s"].to_pylist(), strict=True))
            return {
                row.video: {names[0]: Timed(row.vectors, np.array(starts[row.video]))}
                for row in rows_of(table.select(["video_id", "features", "media_sha256"]))
            }
        return _OfNpz(self._file, self._before, self._several)

    def _write_npz(self, target: IO[bytes]) -> None:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for key, vectors in self._all():
                _write_members(archive, _members(key, vectors, always=self._several))

    def _write_parquet(self, target: IO[bytes]) -> None:
        (name,) = self._merged.extractors
        dim = next(entry.features[name][1] for entry in self._merged.videos.values() if name in entry.features)
        schema = _schema(dim, self._merged, name)
        waiting: list[tuple[str, str, Timed]] = []
        with pq.ParquetWriter(target, schema, **PARQUET) as writer:
            for key, vectors in self._all():
                waiting.append((key, self._merged.videos[key].sha256, vectors[name]))
                if len(waiting) == 64:
                    writer.write_table(_table(waiting, schema))
                    waiting = []
            if waiting:
                writer.write_table(_table(waiting, schema))


class _OfNpz(Mapping[str, dict[str, Timed]]):
    """The videos of a .npz file, read when they are asked for."""

    def __init__(self, file: Path, recorded: Recorded, several: bool) -> None:
        self._archive, self._recorded, self._several = zipfile.ZipFile(file), recorded, several

    def __getitem__(self, key: str) -> dict[str, Timed]:
        names = {name: f"{key}/{name}" if self._several else key for name in self._recorded.videos[key].features}
        return {
            name: Timed(_member(self._archive, member), _member(self._archive, f"{member}/start"))
            for name, member in names.items()
        }

    def __iter__(self) -> Iterator[str]:
        return iter(self._recorded.videos)

    def __len__(self) -> int:
        return len(self._recorded.videos)


@contextmanager
def _alone(folder: Path, where: str) -> Iterator[None]:
    """The system's lock on the folder; it ends with its process and leaves no file."""
    number = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CsmvError(
                f"Another csmv features is writing to '{where}': wait for it, or name another --out."
            ) from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(number)


# ---------------------------------------------------------------------- formats


def _members(key: str, vectors: Mapping[str, Timed], *, always: bool) -> dict[str, NDArray[Any]]:
    """Name -> array, as they stand in a .npz: vectors, and their starts under the same name with /start."""
    members: dict[str, NDArray[Any]] = {}
    for name, timed in vectors.items():
        member = "/".join(part for part in (key, name if always else "") if part)
        members |= {member: timed.vectors, f"{member}/start": timed.starts}
    return members


def npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """A .npz of arrays under any names, which `numpy.savez` can't take (`file` is one of its own); no times in it."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        _write_members(archive, arrays)
    return sink.getvalue()


def _write_members(archive: zipfile.ZipFile, arrays: Mapping[str, NDArray[Any]]) -> None:
    for name, array in arrays.items():
        with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
            np.lib.format.write_array(member, array, allow_pickle=False)


def _member(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as member:
        array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
        return array


def _npz_arrays(file: Path) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(file) as archive:
        return {name.removesuffix(".npy"): _member(archive, name.removesuffix(".npy")) for name in archive.namelist()}


def _npy_bytes(array: NDArray[Any]) -> bytes:
    sink = io.BytesIO()
    np.lib.format.write_array(sink, array, allow_pickle=False)
    return sink.getvalue()


def _schema(dim: int, recorded: Recorded, extractor: str) -> pa.Schema:
    machine = {name: value for one in recorded.made_on[-1:] for name, value in one.get(extractor, {}).items()}
    schema = features_spec(dim, "float32", recorded.extractors[extractor] | machine).schema
    return schema.append(_START)


def _table(rows: list[tuple[str, str, Timed]], schema: pa.Schema) -> pa.Table:
    plain = schema.remove(schema.get_field_index("start_s"))
    table = as_table([Row(key, timed.vectors, sha256) for key, sha256, timed in rows], plain)
    starts = pa.array([timed.starts.tolist() for _, _, timed in rows], _START.type)
    return table.append_column(_START, starts).cast(schema)


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with file.open("rb") as data:
        return _digest(data)


def _digest(data: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := data.read(1 << 22):
        digest.update(chunk)
    return digest.hexdigest()
