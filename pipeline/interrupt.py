"""Ctrl-C: what is under way ends in order within seconds, and the run says what it did and how to go on.

The first interrupt asks; whoever waits for something or begins something new looks here first. The second ends the
process as it always does.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SENTENCE = "it was interrupted"

_asked = threading.Event()


def is_asked() -> bool:
    """Whether the run is to end now."""
    return _asked.is_set()


def rest(seconds: float) -> bool:
    """Wait so long, or until the run is to end; gives whether it is."""
    return _asked.wait(max(0.0, seconds))


@contextmanager
def ending_in_order(say: Callable[[], None]) -> Iterator[None]:
    """For the block's time, let the first Ctrl-C ask the run to end; `say` is called when it does.

    Only the main thread can; elsewhere Ctrl-C stays what it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _asked.set()
        say()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        _asked.clear()
