"""How far work is: bars for a person at a terminal, and a meter of each unit for whoever watches from elsewhere.

Bars are silent where nobody looks (no terminal, or CSMV_PROGRESS=0). Stages tell the meter of the unit at hand what
they have done (`expect`, `did`, `did_not`), and know nothing of who reads it: a file in the root, metrics, a server.
"""

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

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
def track(label: str, total: int | None, part_of: str = "") -> Iterator[Callable[[int], None]]:
    """A bar named `label` while the block runs; call what it gives with the number of items just finished.

    Bars of several threads share one display. Writes to standard error only.

    Args:
        label: what stands before the bar.
        total: how many items there are; None where nobody knows.
        part_of: a name of `together`: where that has a bar, it moves in place of one for this block.
    """
    if not watched():
        yield lambda _count: None
        return
    if part_of in _joint:
        yield _joint[part_of]
        return
    display = _join()
    bar = display.add_task(label, total=total)
    try:
        yield lambda count: display.advance(bar, count)
    finally:
        _leave()


_joint: dict[str, Callable[[int], None]] = {}


@contextmanager
def together(name: str, label: str, total: int) -> Iterator[None]:
    """One bar for all blocks of this process that are `part_of` a name, such as the shards of a stage."""
    with track(label, total) as tick:
        _joint[name] = tick
        try:
            yield
        finally:
            del _joint[name]


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


# ---------------------------------------------------------------------- the meter of a unit


@dataclass
class Reading:
    """What a meter says at one moment.

    `items` are done of `expected` (None: nobody knows how many there are); `amounts` add up by what was counted, such
    as videos, windows, bytes, decode_seconds; `reasons` count failures. All of it names nobody.
    """

    items: int = 0
    expected: int | None = None
    amounts: dict[str, float] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


class Meter:
    """Counts what a unit of work has done so far. Any thread may add to it and read it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._reading = Reading()

    def expect(self, items: int) -> None:
        """So many items more are to come."""
        with self._lock:
            self._reading.expected = (self._reading.expected or 0) + items

    def add(self, items: int, reasons: Counter[str], amounts: dict[str, float]) -> None:
        """So many items are finished; what they came to."""
        with self._lock:
            self._reading.items += items
            self._reading.reasons.update(reasons)
            for name, amount in amounts.items():
                self._reading.amounts[name] = self._reading.amounts.get(name, 0) + amount

    def read(self) -> Reading:
        """What it says now."""
        with self._lock:
            now = self._reading
            seconds = time.monotonic() - self._begun
            return Reading(now.items, now.expected, dict(now.amounts), Counter(now.reasons), seconds)


_METER: ContextVar[Meter | None] = ContextVar("csmv_meter", default=None)


@contextmanager
def metered(meter: Meter) -> Iterator[None]:
    """Within the block, what this thread's stage tells of its work goes to `meter`."""
    before = _METER.set(meter)
    try:
        yield
    finally:
        _METER.reset(before)


def expect(items: int) -> None:
    """Tell the meter of the unit at hand, if there is one, that so many items are to be done."""
    if (meter := _METER.get()) is not None:
        meter.expect(items)


def did(items: int = 1, **amounts: float) -> None:
    """Tell it that so many items are finished, and what they came to: `did(1, videos=1, windows=12)`."""
    if (meter := _METER.get()) is not None:
        meter.add(items, Counter(), amounts)


def did_not(reason: str) -> None:
    """Tell it of a failure, by its reason; its item is counted by `did` like any other."""
    if (meter := _METER.get()) is not None:
        meter.add(0, Counter({reason: 1}), {})
