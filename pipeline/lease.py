"""One build of a root at a time, without a server that knows: whoever builds leaves a file that says so.

A lease is a create-only file `private/leases/<name>/<number>.json`; whoever creates the next one has it, so of two that
ask at once one wins, on S3 too. Beside it a second file is written anew while the work goes on, and its age tells a
lease that nobody holds any more.
"""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import psutil

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.store import Store

LEASES = "private/leases"
RENEW_S = 30.0
FRESH_S = 120.0
"""A lease that was not renewed for so long is nobody's."""


class HeldError(CsmvError):
    """Somebody else holds the lease; the sentence says who, since when, and what to do."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lease. `key` is equal for one who comes back: a run's id, or a process."""

    key: str
    what: str
    """for people, such as: the flow run 'build mine'"""
    machine: str
    process: int
    since: str

    @classmethod
    def here(cls, what: str, key: str = "") -> "Holder":
        """This process."""
        machine, process = socket.gethostname(), os.getpid()
        began = psutil.Process(process).create_time()
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        return cls(key or f"{machine}:{process}:{began:.2f}", what, machine, process, since)

    def is_a_process_that_ended(self) -> bool:
        """Whether this names a process of this machine that is not there any more."""
        if self.machine != socket.gethostname() or not self.key.startswith(f"{self.machine}:{self.process}:"):
            return False
        try:
            return f"{psutil.Process(self.process).create_time():.2f}" != self.key.rsplit(":", 1)[-1]
        except psutil.NoSuchProcess:
            return True


@dataclass(frozen=True)
class Lease:
    """A lease that is held."""

    store: Store
    folder: str
    number: int
    holder: Holder

    def renew(self) -> None:
        """Say that the work goes on.

        Raises:
            HeldError: somebody has taken over in the meantime.
        """
        newest = _newest(self.store, self.folder)
        if newest is not None and newest[1].key != self.holder.key:
            raise HeldError(f"'{self.store.root}' was taken over by {_told(newest[1])}: this build has ended.")
        self.store.write_file(f"{self.folder}/{self.number:06d}.alive", self.holder.key.encode())

    def release(self) -> None:
        """Let others have it."""
        _remove(self.store, self.folder, self.number)


def take(
    store: Store, name: str, holder: Holder, is_over: Callable[[Holder], bool | None] = lambda _holder: None
) -> Lease:
    """Take a lease, or come back to one's own.

    Args:
        store: the root.
        name: what it is for, such as `build`.
        holder: who takes it.
        is_over: whether another holder's work has ended, from whoever knows its key; None where nobody does, and then
            its age decides.

    Raises:
        HeldError: somebody holds it.
    """
    folder = f"{LEASES}/{name}"
    newest = _newest(store, folder)
    number = 1
    if newest is not None:
        number, other = newest
        if other.key == holder.key:
            lease = Lease(store, folder, number, other)
            lease.renew()
            return lease
        if not _has_ended(store, folder, number, other, is_over):
            raise HeldError(
                f"'{store.root}' is being built by {_told(other)}: wait until it has ended, or cancel it; "
                f"if it is gone, its place is free {FRESH_S:.0f} s after its last sign of life."
            )
        number += 1
    if not store.create_file(f"{folder}/{number:06d}.json", json.dumps(asdict(holder)).encode()):
        winner = _newest(store, folder)
        who = _told(winner[1]) if winner else "another build"
        raise HeldError(f"'{store.root}' is being built by {who}, which began at the same moment.")
    lease = Lease(store, folder, number, holder)
    lease.renew()
    if number > 1:
        _remove(store, folder, number - 1)
    return lease


@contextmanager
def renewed(lease: Lease) -> Iterator[None]:
    """Renew a lease on a thread for the block's time, and release it at its end."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(RENEW_S):
            with suppress(Exception):  # a storage that does not answer now may answer the next time
                lease.renew()

    thread = threading.Thread(target=renew, name="csmv-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        lease.release()


def _newest(store: Store, folder: str) -> tuple[int, Holder] | None:
    numbers = [int(name[-11:-5]) for name in store.files(folder) if name.endswith(".json")]
    if not numbers:
        return None
    data = store.read_if_there(f"{folder}/{max(numbers):06d}.json")
    return None if data is None else (max(numbers), Holder(**json.loads(data)))


def _has_ended(
    store: Store, folder: str, number: int, holder: Holder, is_over: Callable[[Holder], bool | None]
) -> bool:
    if holder.is_a_process_that_ended():
        return True
    over = is_over(holder)
    if over is not None:
        return over
    listing = store.listing(folder)
    signs = [listing[name].modified for name in listing if name.endswith((f"{number:06d}.alive", f"{number:06d}.json"))]
    return not signs or (datetime.now(UTC) - max(signs)).total_seconds() > FRESH_S


def _remove(store: Store, folder: str, number: int) -> None:
    store.remove(f"{folder}/{number:06d}.json")
    store.remove(f"{folder}/{number:06d}.alive")


def _told(holder: Holder) -> str:
    return f"{holder.what} (process {holder.process} on {holder.machine}, since {holder.since})"
