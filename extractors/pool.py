"""A pool of decoding workers: files in, windows out, and a file that hangs or kills its worker costs only itself.

Bounded by construction: a worker has a few windows of shared memory and waits until they are free again. Nothing is
written to disk.
"""

import os
import pickle
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from mmap import mmap
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Self

import numpy as np

from csmv.extractors.cutting import Cut, Plan, Window
from csmv.extractors.decode import Probe
from csmv.extractors.decoders import DecoderName
from csmv.extractors.extractor_errors import ExtractorError, MediaError
from csmv.extractors.reasons import MediaFailure
from csmv.extractors.stills import StillsRule
from csmv.extractors.worker import Limits, Setup

_START_SECONDS = 120.0
"""How long a worker may take to start, which on a busy machine is longer than a file may be silent."""


@dataclass(frozen=True)
class WindowEvent:
    """A window of job `job`; `window` is shared memory, valid only until the next event is asked for."""

    job: int
    plan: int
    number: int
    window: Window


@dataclass(frozen=True)
class DoneEvent:
    """Every window of the job has been given."""

    job: int
    cut: Cut


@dataclass(frozen=True)
class FailedEvent:
    """The job gives nothing; windows that it already gave do not count."""

    job: int
    reason: MediaFailure
    detail: str


Event = WindowEvent | DoneEvent | FailedEvent


@dataclass
class _Process:
    """A worker as the parent sees it."""

    popen: subprocess.Popen[bytes]
    connection: Connection
    memory: mmap | None
    job: int | None = None
    served: int = 0
    silent: float = field(default=0.0)
    ready: bool = False
    """It has said that it is ready to work."""


class DecodePool:
    """`workers` decoding processes for fixed plans; a context manager."""

    def __init__(
        self,
        plans: tuple[Plan, ...],
        workers: int = 2,
        *,
        slots: int = 6,
        limits: Limits | None = None,
        decoder: DecoderName = "pyav",
        threads: int = 1,
        max_damage: float = 1.0,
        stills: StillsRule | None = None,
    ) -> None:
        self.plans, self._limits = plans, limits or Limits()
        self._slots = slots if plans else 0
        widest = max((plan.nbytes for plan in plans), default=0)
        self._slot_bytes = -(-widest // 4096) * 4096
        self._decoder, self._threads, self._max_damage = decoder, threads, max_damage
        self._stills = stills or StillsRule()
        try:
            self._pickled = pickle.dumps(plans)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ExtractorError(
                f"An extractor's transform cannot be sent to a decoding worker ({error}): its class must be importable."
            ) from None
        self._workers: list[_Process] = [self._start() for _ in range(workers)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every worker now."""
        for worker in self._workers:
            _end(worker)
        self._workers = []

    def cut(self, jobs: Iterable[tuple[int, Path]]) -> Iterator[Event]:
        """Events of (number, path) jobs; those of one job in order, jobs in whatever order they get done."""
        yield from self._serve("cut", iter(jobs))

    def probe(self, paths: Iterable[Path]) -> Iterator[tuple[int, Probe | MediaError]]:
        """(position in `paths`, what the file says or why it says nothing), as they come."""
        yield from self._whole("probe", enumerate(paths))

    def stills(self, jobs: Iterable[tuple[int, Path]]) -> Iterator[tuple[int, list[bytes] | MediaError]]:
        """(number, JPEG pictures or why there are none) of (number, path) jobs, as they come."""
        yield from self._whole("stills", iter(jobs))

    def _whole(self, kind: str, jobs: Iterator[tuple[int, Path]]) -> Iterator[tuple[int, Any]]:
        """The one answer to each job of a kind that has one, or why there is none."""
        for event in self._serve(kind, jobs):
            if isinstance(event, FailedEvent):
                yield event.job, MediaError(event.reason, event.detail)
            elif isinstance(event, DoneEvent):
                yield event.job, event.cut

    def _serve(self, kind: str, jobs: Iterator[tuple[int, Path]]) -> Iterator[Event]:
        more = True
        while True:
            for at, worker in enumerate(self._workers):
                if worker.job is None and more:
                    job = next(jobs, None)
                    more = job is not None
                    if job is not None:
                        self._give(at, kind, *job)
            busy = [worker for worker in self._workers if worker.job is not None]
            if not busy:
                return
            yield from self._events(busy)

    def _give(self, at: int, kind: str, job: int, path: Path) -> None:
        worker = self._workers[at]
        if worker.served >= self._limits.files or worker.popen.poll() is not None:
            _end(worker)
            worker = self._workers[at] = self._start()
        worker.job, worker.silent = job, 0.0
        worker.served += 1
        try:
            worker.connection.send((kind, job, str(path)))
        except OSError:
            return  # it died while idle: the next wait finds the socket closed

    def _events(self, busy: list[_Process]) -> Iterator[Event]:
        before = time.monotonic()
        ready = wait([worker.connection for worker in busy], timeout=1.0)
        waited = time.monotonic() - before
        for worker in busy:
            if worker.connection in ready:
                worker.silent = 0.0
                yield from self._read(worker)
                continue
            # Only time spent waiting here counts: a busy consumer is no hanging worker.
            worker.silent += waited
            limit = self._limits.silent_seconds
            if not worker.ready:  # a slow start is the machine's, not the file's
                limit = max(limit, _START_SECONDS)
            if worker.silent > limit:
                detail = f"no frame for {limit:g} seconds"
                yield self._lost(worker, MediaFailure.DECODE_TIMEOUT, detail)

    def _read(self, worker: _Process) -> Iterator[Event]:
        assert worker.job is not None
        try:
            kind, *rest = worker.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            yield self._lost(worker, MediaFailure.DECODER_CRASHED, "the decoding process died")
            return
        if kind == "ready":
            worker.ready = True
        elif kind == "window":
            job, plan, number, slot = rest
            yield WindowEvent(job, plan, number, self._view(worker, plan, slot))
            try:
                worker.connection.send(("free", slot))
            except OSError:
                return  # the next read says that it died
        elif kind == "broken":
            raise ExtractorError(
                f"A decoding worker could not load an extractor's transform ({rest[0]}): its class must be importable."
            )
        elif kind == "wrong":
            raise ExtractorError(rest[1])
        elif kind == "done":
            worker.job = None
            yield DoneEvent(*rest)
        elif kind == "failed":
            worker.job = None
            yield FailedEvent(*rest)

    def _view(self, worker: _Process, plan: int, slot: int) -> Window:
        assert worker.memory is not None
        shape, dtype = self.plans[plan].shape, self.plans[plan].dtype
        flat = np.frombuffer(worker.memory, dtype, int(np.prod(shape)), slot * self._slot_bytes)
        window: Window = flat.reshape(shape)
        window.flags.writeable = False
        return window

    def _lost(self, worker: _Process, reason: MediaFailure, detail: str) -> FailedEvent:
        job = worker.job
        assert job is not None
        _end(worker)
        self._workers[self._workers.index(worker)] = self._start()
        return FailedEvent(job, reason, detail)

    def _start(self) -> _Process:
        ours, theirs = socket.socketpair()
        size = self._slots * self._slot_bytes
        memory_fd = _anonymous_memory(size) if size else -1
        memory = mmap(memory_fd, size) if size else None
        inherited = [theirs.fileno()] + ([memory_fd] if size else [])
        home = str(Path(__file__).resolve().parent.parent)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([home, os.environ.get("PYTHONPATH", "")])}
        # Each worker is one thread of work: numpy must not start a pool of its own in every one.
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        popen = subprocess.Popen(
            [sys.executable, "-m", "csmv.extractors.worker", str(theirs.fileno())],
            pass_fds=inherited,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        theirs.close()
        connection = Connection(ours.detach())
        setup = Setup(
            path=tuple(sys.path),
            memory_fd=memory_fd,
            slots=self._slots,
            slot_bytes=self._slot_bytes,
            limits=self._limits,
            decoder=self._decoder,
            threads=self._threads,
            max_damage=self._max_damage,
            plans=self._pickled,
            stills=self._stills,
        )
        connection.send(setup)
        if size:
            os.close(memory_fd)
        return _Process(popen, connection, memory)


def _anonymous_memory(size: int) -> int:
    """A file descriptor of `size` bytes of memory that no name leads to and that is gone with its users."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("csmv-windows")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd


def _end(worker: _Process) -> None:
    worker.connection.close()
    worker.popen.kill()
    worker.popen.wait()


def probe(path: str | Path, *, time_limit_s: float = 60.0) -> Probe:
    """Duration, size, rate, frames and sound of one file, read in a process of its own. MediaError where none."""
    return next(iter(probe_many([path], workers=1, time_limit_s=time_limit_s)))[1].unwrap()


@dataclass(frozen=True)
class ProbeResult:
    """What a file says of itself, or why it says nothing."""

    probe: Probe | None
    error: MediaError | None

    def unwrap(self) -> Probe:
        if self.probe is None:
            raise self.error or MediaError(MediaFailure.DECODER_CRASHED)
        return self.probe


def probe_many(
    paths: Iterable[str | Path], *, workers: int = 2, time_limit_s: float = 60.0
) -> Iterator[tuple[int, ProbeResult]]:
    """(position, result) of each file, as they come; one pool of workers for all of them."""
    limits = Limits(seconds=time_limit_s, silent_seconds=time_limit_s)
    with DecodePool((), workers, limits=limits) as pool:
        for at, probed in pool.probe(Path(path) for path in paths):
            yield at, ProbeResult(None, probed) if isinstance(probed, MediaError) else ProbeResult(probed, None)
