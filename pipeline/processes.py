"""Processes for work that is plain Python: one a core, ended with the work, with an interrupt, and with this process.

They are spawned, by loky: nothing of this process is copied into them, so threads and open connections do no harm, and
a script needs no `if __name__ == "__main__"`. The results do not depend on how many there are.
"""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import loky
from loky.process_executor import BrokenProcessPool

from csmv.extractors.orphans import leave_with
from csmv.pipeline.errors import CsmvError

Item = TypeVar("Item")
Result = TypeVar("Result")

JOBS_VARIABLE = "CSMV_JOBS"
"""How many processes a command uses that uses all cores otherwise."""


def default_jobs() -> int:
    """How many processes to use here: what CSMV_JOBS says, else as many as there are cores for this process.

    Raises:
        CsmvError: the variable holds no whole number of at least 1.
    """
    given = os.environ.get(JOBS_VARIABLE)
    if given is None:
        return int(loky.cpu_count())
    if not given.isdigit() or int(given) < 1:
        raise CsmvError(f"{JOBS_VARIABLE} should be a whole number of at least 1, and is '{given[:20]}'.")
    return int(given)


def may_start_processes() -> bool:
    """Whether this process may have processes of its own; one of a Dask cluster may not."""
    return not multiprocessing.current_process().daemon


class Processes:
    """A pool of processes that starts with its first use; a context manager. Any thread may use it.

    Args:
        jobs: how many processes.
        setup: called once in each, with `arguments`; a function of a module.
        arguments: are sent to each process as they are.
    """

    def __init__(self, jobs: int, setup: Callable[..., None], *arguments: Any) -> None:
        self._jobs = jobs
        self._pool = loky.ProcessPoolExecutor(jobs, initializer=_begin, initargs=(os.getpid(), setup, [arguments]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process now, whatever it is doing."""
        self._pool.shutdown(wait=True, kill_workers=True)

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        """Each item with what `work`, a function of a module, made of it; in the order of the items.

        Only a few items are taken ahead of the one that is waited for: there may be more of them than memory holds.

        Raises:
            CsmvError: a process was killed from outside.
        """
        ahead: deque[tuple[Item, Future[Result]]] = deque()
        rest = iter(items)
        while True:
            try:
                item = next(rest)
            except StopIteration:
                break
            except Exception:
                yield from self._results(ahead)  # of the items before it
                raise
            with _telling_of_the_dead(), _interrupts_held():
                ahead.append((item, self._pool.submit(work, item)))
            yield from self._results(ahead, 3 * self._jobs)
        yield from self._results(ahead)

    @staticmethod
    def _results(ahead: deque[tuple[Item, Future[Result]]], most: int = 0) -> Iterator[tuple[Item, Result]]:
        """Those that are done already, and more until `most` are left."""
        while len(ahead) > most or (ahead and ahead[0][1].done()):
            item, future = ahead.popleft()
            with _telling_of_the_dead():
                result = future.result()
            yield item, result


def _begin(parent: int, setup: Callable[..., None], arguments: list[tuple[Any, ...]]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal's processes; the parent ends these
    leave_with(parent)
    setup(*arguments.pop())  # whoever called this keeps the list, and would keep what is in it


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Within the block, a process that starts takes no SIGINT: it would die of it with a traceback while it imports."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _telling_of_the_dead() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise CsmvError(
            "A process that did a part of the work was killed, perhaps because memory ran out: run the same command "
            f"again, with fewer processes (--jobs 1, or {JOBS_VARIABLE}=1) if it did."
        ) from None
