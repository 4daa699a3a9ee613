"""Batches that a thread makes ready while the network computes with those before them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Job = TypeVar("Job")
Made = TypeVar("Made")


def ahead(jobs: Iterable[Job], make: Callable[[Job], Made], most: int) -> Iterator[Made]:
    """What `make` gives for each job, in their order.

    Args:
        jobs: what to make something of.
        make: called for one job at a time, in a thread, for at most `most` jobs beyond the one that is asked for.
        most: 0 calls it where it is asked for, without a thread.

    Raises:
        Exception: what `make` raises, where its result is asked for.
    """
    if not most:
        yield from map(make, jobs)
        return
    pending: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="csmv-batches") as thread:
        for job in jobs:
            pending.append(thread.submit(make, job))
            if len(pending) > most:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def most_ahead(prefetch: int | None, device: str) -> int:
    """How many batches to make ready: as the setting says, or 2 for a GPU, which would wait, and none for a CPU."""
    if prefetch is not None:
        return prefetch
    return 2 if device == "cuda" else 0
