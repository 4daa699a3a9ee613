"""Progress bars for work that a person watches; silent where nobody does (no terminal, or CSMV_PROGRESS=0)."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

_lock = threading.Lock()
_shared: Progress | None = None
_users = 0


class _RateColumn(ProgressColumn):
    """Items a second, or seconds an item where that reads better."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each", style="dim")


@contextmanager
def track(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar named `label` while the block runs; call what it gives with the number of items just finished.

    Bars of several threads share one display. Writes to standard error only.
    """
    if not watched():
        yield lambda _count: None
        return
    display = _join()
    bar = display.add_task(label, total=total)
    try:
        yield lambda count: display.advance(bar, count)
    finally:
        _leave()


def watched() -> bool:
    """Whether somebody is there to see a bar."""
    return sys.stderr.isatty() and os.environ.get("CSMV_PROGRESS", "1") != "0"


def _join() -> Progress:
    global _shared, _users
    with _lock:
        if _shared is None:
            _shared = Progress(
                TextColumn("{task.description:<28}"),
                BarColumn(),
                MofNCompleteColumn(),
                _RateColumn(),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=Console(stderr=True),
            )
            _shared.start()
        _users += 1
        return _shared


def _leave() -> None:
    global _shared, _users
    with _lock:
        _users -= 1
        if _users == 0 and _shared is not None:
            _shared.stop()
            _shared = None
