"""The collection stage: whatever a source brings, into landing. The only orchestration of it there is.

A run does what is left to do, one part of the targets in each worker, and can be stopped at any moment. Where the
parts run is the caller's choice; Prefect's flow passes an executor that submits tasks.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from pydantic import SecretStr

from csmv.pipeline import interrupt
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.landed_names import extract_names
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.schemas import FailureReason
from csmv.pipeline.scrub.policy import ScrubPolicy
from csmv.pipeline.sources.base import LandReport, Part, Reach, Source
from csmv.pipeline.sources.collect_settings import Manners
from csmv.pipeline.sources.pacing import Interval, Pacer, interval_for
from csmv.pipeline.sources.tables import TableSummary, write_tables
from csmv.pipeline.store import Store

RunParts = Callable[[Sequence[Part]], Iterable[LandReport]]
"""Runs the parts of one step, at the same time if it can, and gives their reports when all have ended."""


def collect(
    store: Store,
    source: Source,
    reach: Reach,
    run_parts: RunParts | None = None,
    *,
    workers: int = 1,
    pause: Callable[[float], object] | None = interrupt.rest,
    prepared: bool = False,
) -> LandReport:
    """Land everything that is left, and once more, after a pause, what may pass then.

    Args:
        store: The root.
        source: The root's source.
        reach: How this machine reaches the outside.
        run_parts: What runs the parts of a step; left out, they run in this process one after the other.
        workers: How many parts a step may have.
        pause: Waits so many seconds before what may pass then is tried once more; None leaves that to a later run.
        prepared: Whether `prepare` has been called.

    Returns:
        What all parts brought; `left` is what the root still lacks. Of the class that the source's `land` gives.

    Raises:
        CsmvError: something that a person has to put right, from the source.
    """
    here = _with_one_pace(reach)
    if not prepared:
        prepare(store, source, here)
    steps = run_parts or (lambda parts: [source.land(store, here, part) for part in parts])
    report = _run(source.parts(workers), steps)
    if pause is not None and report.passing and not report.stopped:
        pause(max(report.passing.values()))
        only = tuple(sorted(report.passing))
        again = [[replace(part, only=only) for part in step] for step in source.parts(workers)]
        report.merge(_run(again, steps))
    forget_again(store)
    extract_names(store)
    report.left = source.left(store)
    return report


def prepare(store: Store, source: Source, reach: Reach) -> None:
    """What comes once before the parts of a collection that run in processes of their own."""
    store.sweep()
    source.prepare(store, _with_one_pace(reach))


def collect_part(store: Store, source: Source, reach: Reach, part: Part) -> LandReport:
    """Land one part of a step, and once more, after a pause, what may pass then. Arguments as in `collect`."""
    reach = _with_one_pace(reach)
    report = source.land(store, reach, part)
    if report.passing and not report.stopped:
        interrupt.rest(max(report.passing.values()))
        report.merge(source.land(store, reach, replace(part, only=tuple(sorted(report.passing)))))
    return report


def _with_one_pace(reach: Reach) -> Reach:
    return reach if reach.pacer is not None else replace(reach, pacer=_OnePace(reach))


def forget_again(store: Store) -> None:
    """Forget anew, in what has landed since, who asked to be forgotten."""
    if Forgotten.of(store).digest:
        from csmv.pipeline.privacy import forget  # loads Presidio

        forget.forget_again(store)


def ingest(store: Store, source: Source, policy: ScrubPolicy, key: SecretStr) -> TableSummary:
    """Land a source in this process, and bring the tables up to date with it. Arguments as in `write_tables`."""
    collect(store, source, Reach())
    return write_tables(store, source, policy, key)


def unread(store: Store) -> list[str]:
    """What there is to say of items and comments that landed and could not be read, a sentence a list of them."""
    return sorted(
        row["detail"]
        for stage in ("collect", "tables")
        for row in store.read_all(f"failures/{stage}").to_pylist()
        if row["reason"] == FailureReason.UNREADABLE and row["key"].endswith((":items", ":comments", ":rows"))
    )


def reasons(store: Store) -> Counter[str]:
    """Failures of collection, tables and media by their reason."""
    found: Counter[str] = Counter()
    for stage in ("collect", "tables", "media"):
        for row in store.read_all(f"failures/{stage}").to_pylist():
            found[row["reason"]] += 1
    return found


def _run(steps: Sequence[Sequence[Part]], run_parts: RunParts) -> LandReport:
    """Run step after step; one that stopped early is the last."""
    total: LandReport | None = None
    for parts in steps:
        for report in run_parts(parts):
            if total is None:
                total = report
            else:
                total.merge(report)
        if total is None:
            raise CsmvError("A collection was run in no parts at all: give it at least one worker.")
        if total.stopped:
            break
    assert total is not None
    return total


class _OnePace:
    """The pace of a run in this process: preparations and parts wait in one line."""

    def __init__(self, reach: Reach) -> None:
        self._connection = reach.connection
        self._pacer: Pacer | None = None

    def __call__(self, store: Store, manners: Manners) -> Pacer:
        if self._pacer is None:
            interval = Interval(interval_for(manners, self._connection))
            self._pacer = Pacer(store, interval, manners.longest_wait_s)
        return self._pacer
