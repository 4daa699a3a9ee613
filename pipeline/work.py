"""Who works on what: a small file a unit under `private/working`, there while it is being done and a little longer.

Whoever does a unit writes `private/working/<stage>/<unit>.json` two seconds after its beginning, so that quick ones
cost nothing, then every ten seconds, and removes it at the end. A file that nobody has touched for two minutes is of a
worker that has died or lost its way to the storage: it is shown as silent. Files are no part of what is published nor
of what is compared, and say of the data no more than counts.
"""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import psutil

from csmv.pipeline.files import Files, Listed
from csmv.pipeline.progress import Meter, Reading, metered
from csmv.pipeline.stage import DatasetView, Stage, Tick, UnitReport

WORK = "private/working"
FIRST_AFTER_S = 2.0
EVERY_S = 10.0
SILENT_AFTER = timedelta(seconds=120)

Watch = Callable[[Reading], None]
"""Is told every ten seconds how far a unit is, and once more at its end."""


@dataclass(frozen=True)
class Work:
    """One unit that is being done: by which machine, process and run, since when, how far.

    `done` of `expected` items, videos mostly; `seconds` since the beginning by the worker's own clock. `updated` is the
    storage's time of the file.
    """

    stage: str
    unit: str
    machine: str
    process: int
    run: str
    since: datetime
    done: int
    expected: int | None
    seconds: float
    updated: datetime

    def is_silent(self, now: datetime) -> bool:
        """Whether nobody has touched the file for so long that its worker may be gone."""
        return now - self.updated > SILENT_AFTER

    @property
    def rate(self) -> float | None:
        """Items a second; None before the first is done."""
        return self.done / self.seconds if self.done and self.seconds > 0 else None


def do_unit(
    stage: Stage,
    dataset: DatasetView,
    unit: str,
    tick: Tick,
    *,
    run: str = "",
    meter: Meter | None = None,
    watchers: Sequence[Watch] = (),
) -> UnitReport:
    """Do a unit of a stage, and let others see how far it is.

    Args:
        stage: the stage.
        dataset: the dataset.
        unit: the unit's name.
        tick: called with the number of items just finished.
        run: the name of the run that it belongs to, for whoever looks.
        meter: counts what the stage tells of its work; left out, one of its own.
        watchers: are told how far it is.

    Returns:
        What came of it: the stage's own report, with what its meter counted besides.

    Raises:
        CsmvError: as the stage does.
    """
    meter = meter or Meter()
    with _seen(dataset.store, stage.name, unit, run, meter, watchers), metered(meter):
        report = stage.run(dataset, unit, tick) or UnitReport()
    reading = meter.read()
    for name, amount in reading.amounts.items():
        report.counts.setdefault(name, round(amount))
    if not report.reasons:
        report.reasons.update(reading.reasons)
    return report


@contextmanager
def _seen(store: Files, stage: str, unit: str, run: str, meter: Meter, watchers: Sequence[Watch]) -> Iterator[None]:
    """Keep the file of a unit, and tell `watchers`, while the block runs."""
    name = f"{WORK}/{stage}/{unit}.json"
    files = Files(store.root)  # of its own: what a store remembers is the business of its own thread
    begun = datetime.now(UTC)
    over = threading.Event()
    written = threading.Event()

    def tell(reading: Reading) -> None:
        for watcher in watchers:
            with suppress(Exception):  # a display that fails disturbs nothing
                watcher(reading)

    def write(reading: Reading) -> None:
        said = {
            "stage": stage,
            "unit": unit,
            "machine": socket.gethostname(),
            "process": os.getpid(),
            "run": run,
            "since": begun.isoformat(timespec="seconds"),
            "done": reading.items,
            "expected": reading.expected,
            "seconds": round(reading.seconds, 1),
        }
        with suppress(Exception):  # nor does storage that fails: the work itself will say so
            files.write_file(name, (json.dumps(said) + "\n").encode())
            written.set()

    def follow() -> None:
        wait_s = FIRST_AFTER_S
        while not over.wait(wait_s):
            reading = meter.read()
            write(reading)
            tell(reading)
            wait_s = EVERY_S

    thread = threading.Thread(target=follow, name=f"csmv-work-{stage}-{unit}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        tell(meter.read())
        if written.is_set() or files.is_local:  # on a local disk, what a killed process left of this unit too
            with suppress(Exception):
                files.remove(name)


def work_in(store: Files) -> list[Work]:
    """Everything that is being done in a root, by stage and unit: one listing, and one small file a unit."""
    listing = store.listing(WORK)
    working = (_read(store, name, listed) for name, listed in sorted(listing.items()))
    return [work for work in working if work is not None]


def sweep_work(store: Files, stage: str) -> None:
    """Remove what killed processes left of a stage: files of this machine's that are gone, and all silent ones."""
    now = datetime.now(UTC)
    for name, listed in store.listing(f"{WORK}/{stage}").items():
        work = _read(store, name, listed)
        if work is None or work.is_silent(now) or _is_gone(work):
            store.remove(name)


def _is_gone(work: Work) -> bool:
    return work.machine == socket.gethostname() and not psutil.pid_exists(work.process)


def _read(store: Files, name: str, listed: Listed) -> Work | None:
    data = store.read_if_there(name)
    if data is None:
        return None
    try:
        said = json.loads(data)
        said["since"] = datetime.fromisoformat(said["since"])
        return Work(**said, updated=listed.modified)
    except (ValueError, TypeError, KeyError):
        return None


def as_json(work: Work, now: datetime) -> dict[str, object]:
    """A unit under way for machines to read."""
    return asdict(work) | {"rate": work.rate, "silent": work.is_silent(now)}
