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
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import fsspec
import psutil
from fsspec.implementations.local import LocalFileSystem

from csmv.pipeline.errors import CsmvError, shown
from csmv.pipeline.remote import storage_options

PRIVATE = "private"
GROUP_VARIABLE = "CSMV_PRIVATE_GROUP"
"""Set to 1 where the members of the folder's group work on one root together: `private/` is then theirs too."""

_TEMPORARY = re.compile(r"\.csmv-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{8}\.tmp$")
_STALE_AFTER_S = 24 * 3600
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
_NOT_CONDITIONAL = ("NotImplemented", "InvalidArgument", "InvalidRequest")


class Files:
    """The files below one address. Paths are relative to it, with forward slashes."""

    def __init__(self, root: str) -> None:
        try:
            self.fs, path = fsspec.core.url_to_fs(root, **storage_options(root))
        except (ImportError, ValueError) as error:
            raise CsmvError(f"The root '{shown(root)}' can't be used: {error}.") from None
        self.root = root
        self._base = str(path).rstrip("/")
        self.is_local = isinstance(self.fs, LocalFileSystem)

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
        except IsADirectoryError:
            raise CsmvError(f"'{relative}' in the root '{self.root}' should be a file and is a folder.") from None

    def write_file(self, relative: str, data: bytes) -> None:
        """Commit `data` as a file, whole or not at all."""
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

    @contextmanager
    def writing(
        self, relative: str, before_commit: Callable[[IO[bytes]], None] = lambda _file: None
    ) -> Iterator[IO[bytes]]:
        """A new file to write to, committed when the block ends well and forgotten when it does not.

        For data that is better streamed than held; a remote root gets it in one upload at the end. `before_commit`
        gets the whole file, open for reading, just before it appears.
        """
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
        path = self.path(relative)
        if self.fs.exists(path):
            with suppress(FileNotFoundError):
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
        self.close_private()
        removed = 0
        for name in self.fs.find(self._base):
            found = _TEMPORARY.search(str(name))
            if found and _is_stale(Path(str(name)), found):
                Path(str(name)).unlink(missing_ok=True)
                removed += 1
        return removed


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
