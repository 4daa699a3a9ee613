"""What Prefect shows of runs: names that a person can read, a line a unit, and how far a unit is while it runs."""

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Any, cast
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from csmv.flows.run_names import root_name
from csmv.flows.worker_metrics import measured
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.errors import shown
from csmv.pipeline.progress import Meter, track
from csmv.pipeline.report import PATH as REPORT
from csmv.pipeline.stage import Stage, UnitReport
from csmv.pipeline.work import do_unit

_SHOW_EVERY_S = 10.0
_UNITS_OF = {"bytes": "bytes", "decode_seconds": "s of decoding"}
"""How amounts are called in a line, where their own names don't read well."""


def seen_unit(stage: Stage, dataset: Dataset, unit: str) -> UnitReport:
    """Do a unit in a task: with a bar, its file under `private/working`, and one line in the run's log at its end."""
    meter = Meter()
    logger = get_run_logger()
    try:
        with (
            track(f"{stage.name} {unit}", None) as tick,
            measured(stage.name, root_name(dataset.store.root)) as watch,
            _at_work(meter),
        ):
            report = do_unit(stage, dataset, unit, tick, run=flow_run.name or "", meter=meter, watchers=[watch])
    except BaseException:
        reading = meter.read()
        logger.warning("%s", line(f"{stage.name} {unit} stopped", reading.amounts, reading.reasons, reading.seconds))
        raise
    logger.info("%s", line(f"{stage.name} {unit}", report.counts, report.reasons, meter.read().seconds))
    return report


# ---------------------------------------------------------------------- artifacts

_meters: dict[str, list[Meter]] = {}
"""Of each flow run of this process, the meters of the units that are being done."""


@contextmanager
def _at_work(meter: Meter) -> Iterator[None]:
    """Let the artifact of this task's flow run count `meter` for the block's time."""
    meters = _meters.setdefault(flow_run.id or "", [])
    meters.append(meter)
    try:
        yield
    finally:
        meters.remove(meter)


class Shown:
    """A stage's run as the server shows it: how far it is while it runs, and a page with its table at its end.

    The bar appears after ten seconds and moves every ten, so that a quick stage costs one request, for its page.

    Args:
        stage: the stage's name.
        root: the dataset's root.
        units: how many units the run is to do.
    """

    def __init__(self, stage: str, root: str, units: int) -> None:
        self.stage, self.root, self.units = stage, root, units
        self._run = flow_run.id or ""
        self._ended = 0
        self._bar: UUID | None = None
        self._begun = time.monotonic()
        self._key = re.sub(r"[^a-z0-9]+", "-", f"{stage}-{root_name(root)}".casefold()).strip("-")

    def unit_ended(self) -> None:
        """One more unit has ended, well or not."""
        self._ended += 1

    def fraction(self) -> float:
        """How much of the run is done, from 0 to 1: units that have ended, and the parts of those at work."""
        readings = [meter.read() for meter in list(_meters.get(self._run, ()))]
        parts = sum(min(1.0, one.items / one.expected) for one in readings if one.expected)
        return min(1.0, (self._ended + parts) / self.units) if self.units else 1.0

    def update(self, fraction: float | None = None) -> None:
        """Move the bar; left out, to where this process's units are."""
        done = round(100 * (self.fraction() if fraction is None else fraction), 1)
        if self._bar is None:
            self._bar = cast(
                UUID, create_progress_artifact(done, f"{self._key}-progress", f"{self.stage} of {self.root}")
            )
        else:
            update_progress_artifact(self._bar, done)

    def end(self, state: "State[Any]") -> None:
        """Show what came of it."""
        with suppress(Exception):  # what can't be shown disturbs nothing
            self._end(state, time.monotonic() - self._begun)

    def _end(self, state: "State[Any]", seconds: float) -> None:
        report = state.data if isinstance(state.data, UnitReport) else UnitReport()
        create_markdown_artifact(
            page(self.stage, self.root, self.units, report, seconds, state), self._key, f"{self.stage} of {self.root}"
        )
        if self._bar is not None:
            update_progress_artifact(self._bar, 100.0 if state.is_completed() else round(100 * self.fraction(), 1))
        if self.root.startswith("https://"):
            create_link_artifact(f"{self.root.rstrip('/')}/{REPORT}", "report", f"{self._key}-report")


@contextmanager
def showing(stage: str, root: str, units: int) -> "Iterator[Shown]":
    """Show a stage's run on the server while the block runs. What can't be shown disturbs nothing."""
    run = Shown(stage, shown(root), units)
    over = threading.Event()

    def follow() -> None:
        while not over.wait(_SHOW_EVERY_S):
            with suppress(Exception):
                run.update()

    thread = threading.Thread(target=copy_context().run, args=(follow,), name=f"csmv-shown-{stage}", daemon=True)
    thread.start()
    try:
        yield run
    finally:
        over.set()
        thread.join()
        _meters.pop(run._run, None)


def page(stage: str, root: str, units: int, report: UnitReport, seconds: float, state: "State[Any]") -> str:
    """A stage's run as Markdown: counts, failures by reason, seconds, where the report is."""
    rows = [
        ("units", f"{units:,}"),
        *((name, f"{round(number):,}") for name, number in report.counts.items() if number),
    ]
    lines = [f"# {stage} of `{root}`", "", f"{state.name}: {state.message or ''}", "", "| what | count |", "|---|---:|"]
    lines += [f"| {what} | {count} |" for what, count in [*rows, ("seconds", f"{seconds:,.1f}")]]
    if report.reasons:
        lines += ["", "| failure | count |", "|---|---:|"]
        lines += [f"| {reason} | {count:,} |" for reason, count in report.reasons.most_common()]
    return "\n".join([*lines, "", f"The report, once it is written: `{root.rstrip('/')}/{REPORT}`", ""])


# ---------------------------------------------------------------------- lines


def line(what: str, amounts: Mapping[str, float], reasons: Counter[str], seconds: float) -> str:
    """`features 0003: 512 videos, 40,960 windows, 812 s; failures: 3 no_audio`; it names nobody."""
    parts = [f"{round(amount):,} {_UNITS_OF.get(name, name)}" for name, amount in amounts.items() if round(amount)]
    parts.append(f"{seconds:,.1f} s")
    failures = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    return f"{what}: {', '.join(parts)}" + (f"; failures: {failures}" if failures else "")
