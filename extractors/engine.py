"""Whole files in, features out: each decoded once for any number of extractors, results in the order asked for.

Streams in bounded memory: workers decode ahead by a few windows, a thread packs batches, this one computes. A file
that cannot be read becomes a result that says why; it never raises and never disturbs its neighbours.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from csmv.extractors.base import Extractor
from csmv.extractors.cutting import Cut, Plan
from csmv.extractors.damage import Damage
from csmv.extractors.decoders import DecoderName, require_decoder
from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.packing import Batch, Packer, Runner, Ticket
from csmv.extractors.pool import DecodePool, DoneEvent, FailedEvent, WindowEvent
from csmv.extractors.reasons import MediaFailure
from csmv.extractors.registry import create
from csmv.extractors.worker import Limits

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class VideoResult:
    """One file's features by extractor, (T, D) float32 in time order; `failures` says why one has none.

    An extractor is in exactly one of the two. `damage` says what could not be decoded, of those whose features lack it.
    """

    path: Path
    features: dict[str, Vectors]
    failures: dict[str, tuple[MediaFailure, str]]
    damage: dict[str, Damage] = field(default_factory=dict)
    decode_seconds: float = field(default=0.0, compare=False)
    """How long a decoding process was busy with it; 0 for a file that could not be read."""


@dataclass(frozen=True)
class Settings:
    """How the engine works; only `batch_size` (see extractors/packing.py) and `decoder` may change the numbers."""

    workers: int = 0
    """Decoding processes; 0 chooses by the machine's cores."""
    batch_size: int = 0
    """Windows a batch; 0 chooses by device: 1 on a CPU, where one window fills the cores, 16 on a GPU."""
    limits: Limits = field(default_factory=Limits)
    decoder: DecoderName = "pyav"
    """What decodes pictures; sound and times are PyAV's, whichever it is (see extractors/README.md)."""
    threads: int = 1
    """Threads of one decoder."""
    slots: int = 6
    """Windows that a worker may be ahead."""
    max_damage: float = 1.0
    """The part of a file, of what an extractor would look at, that may be undecodable; a file with more of it fails."""
    queued: int = 2
    """Batches that may wait for the network."""


def cores() -> int:
    """CPU cores this process may use."""

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Engine:
    """Decoding workers and networks that stay alive between calls of `run`; a context manager.

    `extractors`: loaded ones, all on one device, by the name their results go under.
    """

    def __init__(self, extractors: dict[str, Extractor], settings: Settings | None = None) -> None:
        if not extractors:
            raise ExtractorError("At least one extractor is needed.")
        devices = {extractor.device for extractor in extractors.values()}
        if len(devices) > 1:
            raise ExtractorError("Extractors of one pass must be on one device; run one process a device.")
        self._settings = settings or Settings()
        require_decoder(self._settings.decoder)
        self._device = devices.pop()
        self._by_plan: dict[Plan, list[tuple[str, Extractor]]] = {}
        for name, extractor in extractors.items():
            self._by_plan.setdefault(extractor.plan(), []).append((name, extractor))
        self.plans = tuple(self._by_plan)
        on_gpu = self._device.type == "cuda"
        self._size = self._settings.batch_size or (16 if on_gpu else 1)
        self._pool = DecodePool(
            self.plans,
            self._settings.workers or max(1, cores() - (1 if on_gpu else 0)),
            slots=self._settings.slots,
            limits=self._settings.limits,
            decoder=self._settings.decoder,
            threads=self._settings.threads,
            max_damage=self._settings.max_damage,
        )

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the decoding workers."""
        self._pool.close()

    def run(self, paths: Iterable[str | Path]) -> Iterator[VideoResult]:
        """Results of `paths`, in their order; each as soon as it and those before it are there."""
        groups = dict(enumerate(self._by_plan.values()))
        for _, result in self._run(paths, _Shelf(groups), groups):
            yield result

    def run_as_done(self, paths: Iterable[str | Path]) -> Iterator[tuple[int, VideoResult]]:
        """(place in `paths`, result), each as soon as it is there: none waits for a longer file before it."""
        groups = dict(enumerate(self._by_plan.values()))
        yield from self._run(paths, _Shelf(groups, in_order=False), groups)

    def _run(
        self, paths: Iterable[str | Path], shelf: "_Shelf", groups: dict[int, list[tuple[str, Extractor]]]
    ) -> Iterator[tuple[int, VideoResult]]:
        packers = [Packer(n, plan, self._size, pinned=self._device.type == "cuda") for n, plan in enumerate(self.plans)]
        runner = Runner(groups, self._device)
        with _feeding(self._pool, paths, packers, shelf, self._settings.queued) as fed:
            for batch in fed:
                for done, vectors in runner.submit(batch) if batch is not None else ():
                    shelf.put(done, vectors)
                    packers[done.plan].give_back(done.tensor)
                yield from shelf.take()
            for done, vectors in runner.drain():
                shelf.put(done, vectors)
            yield from shelf.take()


@dataclass
class _Job:
    path: Path
    pieces: dict[str, dict[int, Vectors]]
    cut: Cut | None = None
    failed: tuple[MediaFailure, str] | None = None


class _Shelf:
    """Results under way, handed out in order or as they come. Shared by the packing thread and the computing one."""

    def __init__(self, groups: dict[int, list[tuple[str, Extractor]]], *, in_order: bool = True) -> None:
        self._groups, self._in_order = groups, in_order
        self._jobs: dict[int, _Job] = {}
        self._next = 0
        self._lock = threading.Lock()

    def open(self, number: int, path: Path) -> None:
        with self._lock:
            self._jobs[number] = _Job(path, {name: {} for group in self._groups.values() for name, _ in group})

    def close(self, number: int, cut: Cut) -> None:
        with self._lock:
            self._jobs[number].cut = cut

    def fail(self, number: int, reason: MediaFailure, detail: str) -> None:
        with self._lock:
            self._jobs[number].failed = (reason, detail)

    def put(self, batch: Batch, vectors: dict[str, Vectors]) -> None:
        """File the vectors (B, N, D) of a finished batch under their videos."""
        with self._lock:
            for name, values in vectors.items():
                for at, ticket in enumerate(batch.tickets):
                    job = self._jobs.get(ticket.job)
                    if job is not None:  # a job that failed meanwhile may have been handed out already
                        job.pieces[name][ticket.number] = values[at].copy()

    def take(self) -> list[tuple[int, VideoResult]]:
        """Results that are complete, with their numbers: those next in order, or all of them."""
        with self._lock:
            done = []
            for number in sorted(self._jobs):
                if self._complete(self._jobs[number]) and (not self._in_order or number == self._next):
                    done.append(number)
                    self._next += 1
                elif self._in_order:
                    break
            return [(number, self._result(self._jobs.pop(number))) for number in done]

    def _complete(self, job: _Job) -> bool:
        if job.failed:
            return True
        if job.cut is None:
            return False
        wanted = {name: job.cut.windows[plan] for plan, group in self._groups.items() for name, _ in group}
        return all(len(job.pieces[name]) == count for name, count in wanted.items())

    def _result(self, job: _Job) -> VideoResult:
        names = [name for group in self._groups.values() for name, _ in group]
        if job.failed or job.cut is None:
            return VideoResult(job.path, {}, dict.fromkeys(names, job.failed or (MediaFailure.NO_FRAMES, "")))
        failures = {
            name: job.cut.failures[p] for p, g in self._groups.items() if p in job.cut.failures for name, _ in g
        }
        features = {}
        for name in names:
            if name not in failures:
                vectors = np.concatenate([job.pieces[name][at] for at in sorted(job.pieces[name])])
                if np.isfinite(vectors).all():
                    features[name] = vectors
                else:
                    failures[name] = (MediaFailure.NOT_FINITE, _not_finite(vectors))
        damage = {name: job.cut.damage[p] for p, g in self._groups.items() if p in job.cut.damage for name, _ in g}
        return VideoResult(job.path, features, failures, damage, job.cut.seconds)


def _not_finite(vectors: Vectors) -> str:
    windows = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    return f"{len(windows)} of {len(vectors)} vectors hold numbers that are not finite, the first at place {windows[0]}"


class _Look(Enum):
    """What the packing thread says beside batches."""

    AGAIN = 1
    NO_MORE = 2


class _Stop(Exception):
    """The consumer went away."""


@contextmanager
def _feeding(
    pool: DecodePool, paths: Iterable[str | Path], packers: Sequence[Packer], shelf: _Shelf, depth: int
) -> Iterator[Iterator[Batch | None]]:
    """Batches packed by a thread of their own, at most `depth` waiting; an error in it is raised here.

    None comes between them where nothing waits and a file has all its windows: its result may be there.
    """
    queue: Queue[Batch | BaseException | _Look] = Queue(depth)
    stop = threading.Event()

    def offer(item: Batch | BaseException | _Look) -> None:
        while not stop.is_set():
            try:
                return queue.put(item, timeout=0.2)
            except Full:
                continue
        raise _Stop

    def feed() -> None:
        try:
            for batch in _packed(pool, paths, packers, shelf):
                if batch is not None:
                    offer(batch)
                elif queue.empty():
                    offer(_Look.AGAIN)
            offer(_Look.NO_MORE)
        except _Stop:
            pass
        except BaseException as error:
            offer(error)

    def batches() -> Iterator[Batch | None]:
        while (item := queue.get()) is not _Look.NO_MORE:
            if isinstance(item, BaseException):
                raise item
            yield item if isinstance(item, Batch) else None

    thread = threading.Thread(target=feed, name="csmv-packing", daemon=True)
    thread.start()
    try:
        yield batches()
    finally:
        stop.set()
        _empty(queue)
        thread.join()


def _empty(queue: "Queue[Any]") -> None:
    """Empty a queue so that its memory goes."""
    try:
        while True:
            queue.get_nowait()
    except Empty:
        return


def _packed(
    pool: DecodePool, paths: Iterable[str | Path], packers: Sequence[Packer], shelf: _Shelf
) -> Iterator[Batch | None]:
    """Full batches; None wherever a file has given all it has."""

    def jobs() -> Iterator[tuple[int, Path]]:
        for number, path in enumerate(paths):
            shelf.open(number, Path(path))
            yield number, Path(path)

    for event in pool.cut(jobs()):
        if isinstance(event, WindowEvent):
            full = packers[event.plan].add(Ticket(event.job, event.number), event.window)
            if full is not None:
                yield full
        elif isinstance(event, DoneEvent):
            shelf.close(event.job, event.cut)
            yield None
        elif isinstance(event, FailedEvent):
            shelf.fail(event.job, event.reason, event.detail)
            yield None
    for packer in packers:
        rest = packer.flush()
        if rest is not None:
            yield rest


def extract(
    paths: Iterable[str | Path],
    extractors: Iterable[str | Extractor] | dict[str, Extractor],
    *,
    weights: str | Path = "default",
    device: str | torch.device = "cpu",
    dtype: Any = "float32",
    granularity: Any = "clip",
    settings: Settings | None = None,
) -> Iterator[VideoResult]:
    """Features of files by several extractors in one pass, a VideoResult a file, in order.

    Args:
        paths: the files.
        extractors: names (then loaded with the options given here) or loaded ones; or these by the name that their
            results shall have.
        weights: as `create` takes them.
        device: where the networks run.
        dtype: numbers that they compute with.
        granularity: "clip" or "temporal".
        settings: how the engine works.

    Returns:
        The results as they come. Files that give nothing have their reason in theirs.

    Raises:
        ExtractorError: an extractor cannot be had, or breaks what it promised.
    """
    if isinstance(paths, str | Path):
        raise ExtractorError(
            f"extract takes a list of files, and got the one name '{str(paths)[:80]}': put it into []."
        )
    if isinstance(extractors, str):
        raise ExtractorError(
            f"extract takes a list of extractors, and got the one name '{extractors}': put it into []."
        )
    loaded: dict[str, Extractor] = {}
    for name, one in extractors.items() if isinstance(extractors, dict) else ((None, one) for one in extractors):
        if isinstance(one, str):
            one = create(one, weights, device=device, dtype=dtype, granularity=granularity)
        if not isinstance(one, Extractor):
            raise ExtractorError(f"extract takes names of extractors or loaded ones, and got a {type(one).__name__}.")
        loaded[one.name if name is None else name] = one
    return _extracted(paths, loaded, settings)


def _extracted(
    paths: Iterable[str | Path], loaded: dict[str, Extractor], settings: Settings | None
) -> Iterator[VideoResult]:
    with Engine(loaded, settings) as engine:
        yield from engine.run(paths)
