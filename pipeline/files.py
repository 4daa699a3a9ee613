"""The files of a dataset root, on a local disk or any fsspec URL: each appears whole or not at all.

Locally a file is written under a temporary name, flushed and moved into place; object stores commit a put atomically by
themselves. What lies under `private/` is readable by its owner alone from the first byte on.
"""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, takewhile
from pathlib import Path
from threading import Event
from typing import IO, Any, NamedTuple, TypeVar

import fsspec
import psutil
from fsspec.implementations.local import LocalFileSystem

from csmv.pipeline.errors import CsmvError, sentence_for, shown
from csmv.pipeline.remote import storage_options

PRIVATE = "private"
GROUP_VARIABLE = "CSMV_PRIVATE_GROUP"
"""Set to 1 where the members of the folder's group work on one root together: `private/` is then theirs too."""

_TEMPORARY = re.compile(r"\.csmv-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{8}\.tmp$")
_STALE_AFTER_S = 24 * 3600
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
_NOT_CONDITIONAL = ("NotImplemented", "InvalidArgument", "InvalidRequest")

AHEAD = 8
"""Copies that are fetched before they are asked for: of short films, as many as decode in a round trip."""

_T = TypeVar("_T")


class Listed(NamedTuple):
    """What a listing says of a file: its size in bytes, and when it was written."""

    size: int
    modified: datetime


class Files:
    """The files below one address. Paths are relative to it, with forward slashes."""

    def __init__(self, root: str) -> None:
        try:
            if "://" in root:
                self.fs, path = fsspec.core.url_to_fs(root, **storage_options(root))
            else:  # a folder, in whose name fsspec would take :: for a chain of file systems
                self.fs = fsspec.filesystem("file")
                path = self.fs._strip_protocol(root)
        except (ImportError, ValueError) as error:
            raise CsmvError(f"The root '{shown(root)}' can't be used: {sentence_for(error) or f'{error}.'}") from None
        self.root = root
        self._base = str(path).rstrip("/")
        self.is_local = isinstance(self.fs, LocalFileSystem)
        protocols = (self.fs.protocol,) if isinstance(self.fs.protocol, str) else self.fs.protocol
        self._is_s3 = "s3" in protocols
        self._remembered: dict[tuple[str, ...], Any] | None = None

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Within the block, ask for each listing, footer and document once: for looking at a root as it is now.

        What this object writes or removes meanwhile ends it; what others write is seen after the block.
        """
        before, self._remembered = self._remembered, {} if self._remembered is None else self._remembered
        try:
            yield
        finally:
            self._remembered = before

    def _once(self, key: tuple[str, ...], ask: Callable[[], _T]) -> _T:
        if self._remembered is None:
            return ask()
        if key not in self._remembered:
            self._remembered[key] = ask()
        answer: _T = self._remembered[key]
        return answer

    def _changed(self) -> None:
        if self._remembered is not None:
            self._remembered.clear()

    def path(self, relative: str) -> str:
        """The filesystem's own path of a file. Raises CsmvError for a path that would leave the root."""
        parts = relative.split("/")
        if relative.startswith("/") or "\\" in relative or any(part in ("", ".", "..") for part in parts):
            raise CsmvError(f"A path inside a root was expected, and '{relative[:80]}' is none.")
        return f"{self._base}/{relative}"

    def exists(self, relative: str) -> bool:
        """Whether a file is there."""
        path = self.path(relative)
        if (whole := self._whole()) is not None:
            return relative in whole
        return bool(self.fs.exists(path))

    def read_file(self, relative: str) -> bytes:
        """A file's bytes. Raises CsmvError if it is not there."""
        data = self.read_if_there(relative)
        if data is None:
            raise CsmvError(f"'{relative}' was expected in the root '{self.root}' and is not there.")
        return data

    def read_document(self, relative: str) -> bytes | None:
        """A small file's bytes, read once within `remembering`; None if it is not there."""
        return self._once(("document", relative), lambda: self.read_if_there(relative))

    def read_if_there(self, relative: str, *, at_once: int = 1) -> bytes | None:
        """A file's bytes; None if it is not there.

        S3 is asked once, or with `at_once` for the size first, and then for so many parts of a large file at once.
        """
        options: dict[str, Any] = {"max_concurrency": at_once} if self._is_s3 else {}
        try:
            return bytes(self.fs.cat_file(self.path(relative), **options))
        except FileNotFoundError:
            return None
        except IsADirectoryError:
            raise CsmvError(f"'{relative}' in the root '{self.root}' should be a file and is a folder.") from None

    def read_end(self, relative: str, size: int) -> bytes | None:
        """The last `size` bytes of a file, or all of a shorter one; None if it is not there.

        Counted from the end and read at once: another writer may put a longer file in its place at any moment.
        """
        try:
            return bytes(self.fs.cat_file(self.path(relative), start=-size))
        except FileNotFoundError:
            return None

    def write_file(self, relative: str, data: bytes) -> None:
        """Commit `data` as a file, whole or not at all."""
        self._changed()
        if not self.is_local:
            self.fs.pipe_file(self.path(relative), data)
            return
        with self.writing(relative) as file:
            file.write(data)

    def create_file(self, relative: str, data: bytes) -> bool:
        """Commit `data` as a new file, whole or not at all, unless a file of that name is there.

        Of several that create one file at the same time exactly one succeeds.

        Returns:
            Whether the file is this call's; False if it was there already, and is left as it is.
        """
        self._changed()
        if not self.is_local:
            return self._create_remote(self.path(relative), data)
        final = Path(self.path(relative))
        with self._temporary(relative) as temporary:
            with _opened(temporary, relative) as file:
                file.write(data)
                _flush(file)
            try:
                os.link(temporary, final)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return _create_without_links(final, relative, data)
        return True

    def _create_remote(self, path: str, data: bytes) -> bool:
        try:
            self.fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            # Some S3 services know no conditional put: the best that is left is to look first.
            if not any(word in f"{error} {error.__cause__}" for word in _NOT_CONDITIONAL):
                raise
            if self.fs.exists(path):
                return False
            self.fs.pipe_file(path, data)
        return True

    def take(self, other: "Files", theirs: str, relative: str) -> None:
        """Commit another root's file as a file of this one: on one local disk, a second name for the same bytes.

        For files that are never changed in place, as no file of a root outside its logs is.
        """
        if self.is_local and other.is_local:
            self._changed()
            with self._temporary(relative) as temporary, suppress(OSError):
                os.link(other.path(theirs), temporary)
                temporary.replace(self.path(relative))
                return
        with other.local_file(theirs) as path, path.open("rb") as source, self.writing(relative) as target:
            shutil.copyfileobj(source, target, 1 << 22)

    @contextmanager
    def writing(
        self, relative: str, before_commit: Callable[[IO[bytes]], None] = lambda _file: None
    ) -> Iterator[IO[bytes]]:
        """A new file to write to, committed when the block ends well and forgotten when it does not.

        For data that is better streamed than held; a remote root gets it in one upload at the end. `before_commit`
        gets the whole file, open for reading, just before it appears.
        """
        self._changed()
        final = self.path(relative)
        if not self.is_local:
            with tempfile.TemporaryFile() as file:
                yield file
                file.seek(0)
                before_commit(file)
                file.seek(0)
                with self.fs.open(final, "wb") as target:
                    while chunk := file.read(1 << 22):
                        target.write(chunk)
            return
        with self._temporary(relative) as temporary:
            with _opened(temporary, relative) as file:
                yield file
                _flush(file)
                file.seek(0)
                before_commit(file)
            temporary.replace(final)

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Wait until no other process or thread of this machine is inside, for a file that is read, changed, written.

        For small files of settings alone: tables need no lock. It is the system's lock on the folder itself, so it
        leaves no file and ends with its process. An object store, or a file system without locks, has none.
        """
        if not self.is_local:
            yield
            return
        folder = os.open(self._base, os.O_RDONLY)
        try:
            with suppress(OSError):
                fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    @contextmanager
    def _temporary(self, relative: str) -> Iterator[Path]:
        """A name beside a file's own that no other process uses; gone when the block ends."""
        final = Path(self.path(relative))
        _make_folder(final.parent, Path(self._base), relative)
        temporary = Path(f"{final}.csmv-{_host()}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def private_folder(self, relative: str) -> Path:
        """A folder below `private/` of a local root, made if need be, for files that grow in place.

        Raises:
            CsmvError: the root is not on a local disk, or the path is not below `private/`.
        """
        if not self.is_local or not relative.startswith(f"{PRIVATE}/"):
            raise CsmvError(f"'{relative}' should be a folder below {PRIVATE}/ of a local root.")
        folder = Path(self.path(relative))
        _make_folder(folder, Path(self._base), f"{relative}/.")
        return folder

    def close_private(self) -> None:
        """Take `private/` of a local root from everybody but its owner (or group); older versions left it open."""
        folder = Path(self._base) / PRIVATE
        if self.is_local and folder.is_dir() and folder.stat().st_mode & 0o777 != _folder_mode() & 0o777:
            with suppress(PermissionError):  # somebody else's: verify says so
                folder.chmod(_folder_mode())

    def remove(self, relative: str) -> None:
        """Delete a file; nothing happens if it is not there."""
        self._changed()
        with suppress(FileNotFoundError):
            self.fs.rm_file(self.path(relative))

    def files(self, prefix: str = "") -> list[str]:
        """The files below a folder of the root, sorted, as relative paths; temporary ones left out."""
        return sorted(self.listing(prefix))

    def listing(self, prefix: str = "") -> dict[str, Listed]:
        """Size and time of every file below a folder of the root, by relative path; temporary files left out.

        Of an object store one listing, however many files there are (one request a thousand files), and none of it is
        remembered: other processes write too.
        """
        return self._once(("listing", prefix), lambda: self._listed_below(prefix))

    def _listed_below(self, prefix: str) -> dict[str, Listed]:
        folder = self.path(prefix) if prefix else self._base
        if (whole := self._whole()) is not None:
            return {name: whole[name] for name in self._names_beginning(f"{prefix}/")}
        return dict(sorted(_walk(folder, len(self._base) + 1))) if self.is_local else self._listed(self._below(prefix))

    def _whole(self) -> dict[str, Listed] | None:
        """The listing of everything, if it is remembered."""
        return None if self._remembered is None else self._remembered.get(("listing", ""))

    def _names_beginning(self, beginning: str) -> list[str]:
        """Names in the remembered listing of everything that begin so, sorted."""
        names: list[str] = self._once(("names",), lambda: sorted(self._whole() or ()))
        return list(takewhile(lambda name: name.startswith(beginning), names[bisect_left(names, beginning) :]))

    def _below(self, prefix: str) -> dict[str, Any]:
        folder = self.path(prefix) if prefix else self._base
        if self._is_s3 and prefix:
            # Asked for a folder, s3fs asks twice more where it has no files.
            return dict(self.fs.find(self._base, prefix=f"{prefix}/", detail=True))
        return dict(self.fs.find(folder, detail=True))

    def files_beginning(self, beginning: str) -> list[str]:
        """The files whose relative path begins with these characters, sorted: `a/b` finds `a/b.json` and `a/b/c`."""
        return self._once(("beginning", beginning), lambda: self._beginning(beginning))

    def _beginning(self, beginning: str) -> list[str]:
        if self._whole() is not None:
            return self._names_beginning(beginning)
        if self._is_s3:
            return sorted(self._listed(self.fs.find(self._base, prefix=beginning, detail=True)))
        folder, _, name = beginning.rpartition("/")
        try:
            beside = self.fs.ls(self.path(folder) if folder else self._base, detail=True)
        except FileNotFoundError:
            return []
        names: list[str] = []
        for entry in beside:
            relative = str(entry["name"])[len(self._base) + 1 :]
            if relative.rsplit("/", 1)[-1].startswith(name):
                names += self.files(relative) if entry["type"] == "directory" else [relative]
        return sorted(one for one in names if not _TEMPORARY.search(one))

    def _listed(self, entries: dict[str, Any]) -> dict[str, Listed]:
        relative = ((str(name)[len(self._base) + 1 :], entry) for name, entry in entries.items())
        return {
            name: Listed(int(entry.get("size") or 0), _modified(entry))
            for name, entry in relative
            if name and not _TEMPORARY.search(name)
        }

    @contextmanager
    def local_file(self, relative: str) -> Iterator[Path]:
        """A local path to read a file from: the file itself on a local root, else a copy for the block's time."""
        if self.is_local:
            yield Path(self.path(relative))
            return
        with tempfile.TemporaryDirectory(prefix="csmv-") as folder:
            yield self._copied(relative, Path(folder))

    @contextmanager
    def local_files(self, relative: Sequence[str], ahead: int = AHEAD) -> "Iterator[LocalFiles]":
        """Local paths to read files from, one after the other: the files themselves on a local root, else copies.

        Up to `ahead` copies are fetched before they are asked for, while earlier ones are read. Each copy is there
        until it is given back, and no longer than the block.
        """
        if self.is_local:
            yield LocalFiles(iter([Path(self.path(name)) for name in relative]), lambda _path: None)
            return
        with (
            tempfile.TemporaryDirectory(prefix="csmv-") as folder,
            ThreadPoolExecutor(ahead, thread_name_prefix="csmv-copies") as threads,
        ):
            stopped = Event()
            try:
                yield LocalFiles(self._ahead(relative, Path(folder), threads, ahead, stopped), _delete)
            finally:
                stopped.set()

    def _ahead(
        self, relative: Sequence[str], folder: Path, threads: ThreadPoolExecutor, ahead: int, stopped: Event
    ) -> Iterator[Path]:
        waiting: deque[Future[Path]] = deque()
        names = iter(relative)
        while not stopped.is_set():
            for name in islice(names, ahead + 1 - len(waiting)):
                waiting.append(threads.submit(self._copied, name, folder))
            if not waiting:
                return
            yield waiting.popleft().result()

    def _copied(self, relative: str, folder: Path) -> Path:
        copy = folder / relative.rsplit("/", 1)[-1]
        self.fs.get_file(self.path(relative), str(copy))
        return copy

    def sweep(self) -> int:
        """Remove the temporary files that killed processes left; gives their number.

        A file goes if the process of this machine that wrote it is gone, or if it is a day old.
        """
        if not self.is_local or not self.fs.exists(self._base):
            return 0
        self.close_private()
        removed = 0
        for name in self.fs.find(self._base):
            temporary = _TEMPORARY.search(str(name))
            if temporary and _is_stale(Path(str(name)), temporary):
                Path(str(name)).unlink(missing_ok=True)
                removed += 1
        return removed


@dataclass(frozen=True)
class LocalFiles:
    """Local paths of files, to go through once; `give_back` each when it has been read."""

    paths: Iterator[Path]
    give_back: Callable[[Path], None]


def _walk(folder: str, base: int) -> Iterator[tuple[str, Listed]]:
    """Every file below a local folder with its path from the character `base` on; temporary ones left out."""
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif not _TEMPORARY.search(entry.name):
                        with suppress(FileNotFoundError):  # gone since it was listed, or a link to nothing
                            status = entry.stat()
                            when = datetime.fromtimestamp(status.st_mtime, UTC)
                            yield entry.path[base:], Listed(status.st_size, when)
        except (FileNotFoundError, NotADirectoryError):
            continue


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)


def _modified(entry: Mapping[str, Any]) -> datetime:
    """When a file of a listing was written: file systems call it by different names; the beginning of time if none."""
    when = next((entry[key] for key in _TIMES if entry.get(key)), 0)
    if isinstance(when, datetime):
        return when if when.tzinfo else when.replace(tzinfo=UTC)
    return datetime.fromtimestamp(float(when), UTC) if isinstance(when, int | float) else datetime.fromisoformat(when)


def _is_private(relative: str) -> bool:
    return relative.split("/", 1)[0] == PRIVATE


def _shared_with_group() -> bool:
    return os.environ.get(GROUP_VARIABLE, "0") == "1"


def _folder_mode() -> int:
    return 0o2770 if _shared_with_group() else 0o700


def _make_folder(folder: Path, base: Path, relative: str) -> None:
    if not _is_private(relative):
        folder.mkdir(parents=True, exist_ok=True)
        return
    base.mkdir(parents=True, exist_ok=True)
    place = base
    for part in folder.relative_to(base).parts:
        place /= part
        if not place.is_dir():
            with suppress(FileExistsError):
                place.mkdir(mode=_folder_mode())
                if _shared_with_group():
                    place.chmod(_folder_mode())  # whatever the umask says


def _opened(path: Path, relative: str) -> IO[bytes]:
    mode = 0o666
    if _is_private(relative):
        mode = 0o660 if _shared_with_group() else 0o600
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode), "w+b")


def _create_without_links(final: Path, relative: str, data: bytes) -> bool:
    try:
        with _opened(final, relative) as file:
            file.write(data)
            _flush(file)
    except FileExistsError:
        return False
    return True


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _is_stale(path: Path, name: re.Match[str]) -> bool:
    # A reused process number only keeps the file until it is a day old.
    if name["host"] == _host() and not psutil.pid_exists(int(name["pid"])):
        return True
    try:
        return time.time() - path.stat().st_mtime > _STALE_AFTER_S
    except FileNotFoundError:
        return False
