"""The decoding worker: a process that cuts files into windows for its parent, and may die without harm.

Started by `csmv.extractors.pool` as `python -m csmv.extractors.worker FD`. Windows go through shared memory, everything
else as small messages over one socket. It never sees a network and never imports torch unless a transform does.
"""

import contextlib
import os
import pickle
import resource
import sys
import time
from collections import deque
from dataclasses import dataclass, replace
from mmap import mmap
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from csmv.extractors.cutting import Plan, Window, cut, probe_file
from csmv.extractors.decoders import PACKAGES, DecoderName
from csmv.extractors.extractor_errors import ExtractorError, MediaError
from csmv.extractors.orphans import leave_with
from csmv.extractors.reasons import MediaFailure
from csmv.extractors.stills import StillsRule, stills


@dataclass(frozen=True)
class Limits:
    """What one file may cost before it is given up."""

    seconds: float = 600.0
    """Working time for one file; waiting for the parent does not count."""
    silent_seconds: float = 60.0
    """A worker that says nothing for so long is taken to hang, and killed."""
    memory_bytes: int = 8 << 30
    """Address space of a worker."""
    files: int = 500
    """Files after which a worker is replaced, so that a decoder's leaks never add up."""


@dataclass(frozen=True)
class Setup:
    """The first message: everything that stays the same for a worker's life."""

    path: tuple[str, ...]
    memory_fd: int
    slots: int
    slot_bytes: int
    limits: Limits
    decoder: DecoderName
    threads: int
    max_damage: float
    plans: bytes
    """Pickled apart, since a plugin's transform can only be found once `path` is set."""
    stills: StillsRule


class Gone(Exception):
    """The parent is no longer there."""


class Worker:
    """Answers (job, path) messages until the parent closes the socket."""

    def __init__(self, connection: Connection, setup: Setup) -> None:
        self._connection, self._setup = connection, setup
        self._plans: tuple[Plan, ...] = pickle.loads(setup.plans)
        self._memory = mmap(setup.memory_fd, setup.slots * setup.slot_bytes) if setup.slots else None
        self._free = deque(range(setup.slots))
        self._waited = 0.0
        self._begun = self._told = time.monotonic()

    def run(self) -> None:
        self._send("ready")
        while True:
            kind, *rest = self._receive()
            if kind == "free":
                self._free.append(rest[0])
            elif kind == "cut":
                self._answer(*rest, work=self._cut)
            elif kind == "probe":
                self._answer(*rest, work=lambda job, path: self._send("done", job, probe_file(Path(path))))
            elif kind == "stills":
                self._answer(*rest, work=self._stills)

    def _answer(self, job: int, path: str, *, work: Any) -> None:
        self._waited, self._begun = 0.0, time.monotonic()
        self._told = self._begun
        try:
            work(job, path)
        except MediaError as error:
            self._send("failed", job, error.reason, error.detail)
        except MemoryError:
            self._send("failed", job, MediaFailure.TOO_LARGE, "decoding needs more memory than a worker may use")
        except ExtractorError as error:
            self._send("wrong", job, str(error))
        except Gone:
            raise
        except Exception as error:
            self._send("failed", job, MediaFailure.DECODER_CRASHED, f"decoding raised {type(error).__name__}")

    def _cut(self, job: int, path: str) -> None:
        result = cut(
            Path(path),
            self._plans,
            lambda plan, number, window: self._emit(job, plan, number, window),
            decoder=self._setup.decoder,
            threads=self._setup.threads,
            max_damage=self._setup.max_damage,
            tick=self._tick,
        )
        seconds = time.monotonic() - self._begun - self._waited
        self._send("done", job, replace(result, seconds=seconds))

    def _stills(self, job: int, path: str) -> None:
        self._send("done", job, stills(Path(path), self._setup.stills, self._tick))

    def _emit(self, job: int, plan: int, number: int, window: Window) -> None:
        while not self._free:
            before = time.monotonic()
            kind, *rest = self._receive()
            self._waited += time.monotonic() - before
            assert kind == "free"
            self._free.append(rest[0])
        slot = self._free.popleft()
        assert self._memory is not None
        at = slot * self._setup.slot_bytes
        space = np.frombuffer(self._memory, window.dtype, window.size, at)
        space[:] = window.reshape(-1)
        self._send("window", job, plan, number, slot)

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._begun - self._waited > self._setup.limits.seconds:
            raise MediaError(
                MediaFailure.DECODE_TIMEOUT, f"decoding took more than {self._setup.limits.seconds:g} seconds"
            )
        if now - self._told > 1:
            self._send("tick")

    def _send(self, *message: Any) -> None:
        self._told = time.monotonic()
        try:
            self._connection.send(message)
        except OSError as error:
            raise Gone from error

    def _receive(self) -> Any:
        try:
            return self._connection.recv()
        except (EOFError, OSError) as error:
            raise Gone from error


def main() -> None:
    """Serve the parent at the other end of the socket whose number is the only argument."""
    connection = Connection(int(sys.argv[1]))
    leave_with(os.getppid())
    setup: Setup = connection.recv()
    sys.path[:] = [p for p in setup.path if p not in sys.path] + sys.path
    limit = setup.limits.memory_bytes
    with contextlib.suppress(ValueError, OSError):
        if not PACKAGES[setup.decoder].gpu:  # CUDA reserves more addresses than any memory has
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import av.logging

    av.logging.set_level(av.logging.PANIC)
    try:
        worker = Worker(connection, setup)
    except Exception as error:
        connection.send(("broken", f"{type(error).__name__}: {error}"))
        return
    with contextlib.suppress(Gone):
        worker.run()


if __name__ == "__main__":
    main()
