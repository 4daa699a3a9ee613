"""The one rate limit that all workers share: a global concurrency limit of the Prefect server, with decay.

Ten workers on ten machines are as polite as one.
"""

import threading
import time
from collections.abc import Callable

from prefect.concurrency.sync import rate_limit

from csmv.flows.limits import PACE
from csmv.pipeline import interrupt
from csmv.pipeline.sources.collect_settings import Connection, Manners
from csmv.pipeline.sources.pacing import Pacer, interval_for
from csmv.pipeline.store import Store


class SharedPace:
    """A turn from the Prefect server: for all workers of all machines together.

    One caller of a process asks at a time, and not before it can be granted: the server counts every refusal as news
    and starts the wait over.
    """

    _lock = threading.Lock()
    _granted = 0.0

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s

    def __call__(self) -> None:
        """Wait for this caller's turn."""
        with SharedPace._lock:
            since = time.monotonic() - SharedPace._granted
            if interrupt.rest(self.interval_s * 1.01 - since):
                return  # nothing is sent any more
            rate_limit(PACE, strict=True)
            SharedPace._granted = time.monotonic()


def shared_pacer(connection: Connection, interval_s: float | None) -> Callable[[Store, Manners], Pacer]:
    """What gives a run its pace; `interval_s` takes the place of the one in its manners."""

    def pacer(store: Store, manners: Manners) -> Pacer:
        manners = with_interval(manners, interval_s)
        return Pacer(store, SharedPace(interval_for(manners, connection)), manners.longest_wait_s)

    return pacer


def with_interval(manners: Manners, interval_s: float | None) -> Manners:
    """Manners with another interval, if one is asked for."""
    return manners if interval_s is None else manners.model_copy(update={"interval_s": interval_s})
