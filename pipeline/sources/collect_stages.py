"""The stages `collect` and `tables`: whatever a source brings into landing, and landing into tables."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from typing import ClassVar

from csmv.pipeline.collect import collect, collect_part, forget_again, prepare
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.landed_names import extract_names
from csmv.pipeline.progress import did
from csmv.pipeline.schemas import FailureClass, FailureReason, reasons_of
from csmv.pipeline.sources.base import LandReport, Part
from csmv.pipeline.sources.tables import TABLES, finish_tables, is_current, write_shard
from csmv.pipeline.stage import DatasetView, Needs, ShardStage, Stage, Tick, Unit, UnitReport

EVERYTHING = "everything"
"""The one unit of collection: which targets there are shows only while they are collected."""


class CollectStage(Stage):
    """Raw material from the dataset's source into `private/landing`."""

    name = "collect"
    summary = "raw videos' pages, comments and lists from the source, as they came"
    section = "source"
    unit = Unit.TARGET
    reads = ()
    writes = ("private/landing",)
    failures: ClassVar[tuple[FailureReason, ...]] = reasons_of(
        FailureClass.GONE, FailureClass.WALL, FailureClass.NETWORK, FailureClass.INPUT
    )
    failure_tables = ("collect",)
    needs = Needs(network=True, site=True)
    everywhere = 8
    # Walls are never tried again by themselves, and what may pass is tried once more by the collection itself.
    retries = 0
    timeout_s = 7 * 24 * 3600.0

    def units(self, dataset: DatasetView) -> list[str]:
        """All targets together."""
        return [EVERYTHING]

    def missing(self, dataset: DatasetView) -> list[str]:
        """All targets, while one is not settled or the run brings new ones."""
        reach = dataset.reach
        asked = reach.again or reach.links is not None or reach.refresh_after is not None
        return [EVERYTHING] if asked or dataset.source.left(dataset.store) else []

    def rounds(self, dataset: DatasetView, runs: int) -> list[list[str]]:
        """The source's steps, each in as many parts as there are runs."""
        if not self.missing(dataset):
            return []
        return [[_unit_of(part) for part in parts] for parts in dataset.source.parts(runs)]

    def prepare(self, dataset: DatasetView) -> None:
        """What the source wants to know first: robots.txt, a file of links."""
        if self.missing(dataset):
            prepare(dataset.store, dataset.source, dataset.reach)

    def finish(self, dataset: DatasetView) -> None:
        """What has landed of people who asked to be forgotten is forgotten again; names are read out of the rest."""
        forget_again(dataset.store)
        extract_names(dataset.store)

    def note(self, dataset: DatasetView) -> str:
        """How many targets are left."""
        left = dataset.source.left(dataset.store)
        return f"{left:,} targets left" if left else ""

    def run(self, dataset: DatasetView, unit: str, tick: Tick) -> UnitReport:
        """Land what is left, by as many workers as the run has, each with a part of the targets; or one part of it."""
        store, source = dataset.store, dataset.source

        def watch(target: str, report: object) -> None:
            did(1, visits=1)
            dataset.reach.watch(target, report)

        reach = replace(dataset.reach, watch=watch)
        if unit != EVERYTHING:
            report = collect_part(store, source, reach, _part_of(unit))
            tick(1)
            counts = Counter({"landed": report.landed})
            return UnitReport(counts, stopped=report.stopped, details=[report])

        def run_parts(parts: Sequence[Part]) -> list[LandReport]:
            with ThreadPoolExecutor(len(parts), thread_name_prefix="collect") as threads:
                # Each in a context of its own, in which `did` finds this unit's meter.
                started = [threads.submit(copy_context().run, source.land, store, reach, part) for part in parts]
                return [future.result() for future in started]

        report = collect(store, source, reach, run_parts, workers=dataset.workers, prepared=True)
        tick(1)
        stopped = report.stopped or (f"{report.left:,} targets are left" if report.left else "")
        counts = Counter({"landed": report.landed, "left": report.left})
        return UnitReport(counts, stopped=stopped, details=[report])


def _unit_of(part: Part) -> str:
    return f"{part.step} {part.number} of {part.of}"


def _part_of(unit: str) -> Part:
    try:
        step, number, _, of = unit.split()
        return Part(int(number), int(of), step)
    except ValueError:
        raise CsmvError(
            f"A part of a collection is called like 'hashtags 0 of 3', and '{unit[:40]}' was asked for."
        ) from None


class TablesStage(ShardStage):
    """Landing into videos, comments and labels: scrubbed, and under pseudonyms."""

    name = "tables"
    summary = "videos, comments and labels from what landed, personal data removed"
    section = "scrub"
    reads = ("private/landing",)
    writes = ("videos", "comments", "labels", "splits/published")
    failures: ClassVar[tuple[FailureReason, ...]] = (
        FailureReason.BAD_ROW,
        FailureReason.UNREADABLE,
        FailureReason.UNSAFE_ID,
        FailureReason.UNKNOWN_VIDEO,
        FailureReason.DUPLICATE,
        FailureReason.COMMENTS_OFF,
    )
    failure_tables = ("tables",)
    needs = Needs(memory_gb=4)
    # Texts are scrubbed by processes of their own; while they do it for one shard, another is read and written here.
    at_once = 2
    everywhere = 16
    timeout_s = 6 * 3600.0

    def is_open(self, dataset: DatasetView, shard: int) -> bool:
        """Whether it was not written from what landed, by the policy and with the names of now."""
        return not self._is_current(dataset, shard)

    def why_stale(self, dataset: DatasetView, shard: int) -> str:
        """Written from other landing, another policy, other names, or before a request to forget."""
        if not self._is_there(dataset, shard) or self._is_current(dataset, shard):
            return ""
        return "what landed, the scrub policy or the requests to forget have changed since it was written"

    def depends_on(self, dataset: DatasetView) -> tuple[str, ...]:
        """Landing as a whole: the names in it decide every shard."""
        return ("private/landing",)

    def prepare(self, dataset: DatasetView) -> None:
        """Take in what has changed in a source that stands on this machine, and the names in what has landed."""
        if not dataset.source.online and dataset.source.left(dataset.store):
            collect(dataset.store, dataset.source, dataset.reach)
        extract_names(dataset.store)

    def run(self, dataset: DatasetView, unit: str, tick: Tick) -> UnitReport:
        """One shard."""
        store = dataset.store
        written = write_shard(store, dataset.source, dataset.scrub, store.key(), int(unit))
        did(1, videos=written.videos, comments=written.comments)
        tick(1)
        return UnitReport(Counter(vars(written)))

    def finish(self, dataset: DatasetView) -> None:
        """The split that the source brings, if it brings one.

        Raises:
            CsmvError: the source has no video at all.
        """
        if not dataset.store.has_rows("videos"):
            raise CsmvError(
                f"The root '{dataset.store.root}' has no video: nothing usable has come from its source. "
                "`csmv status` counts what failed, by reason."
            )
        finish_tables(dataset.store, dataset.source)

    def _is_current(self, dataset: DatasetView, shard: int) -> bool:
        if not dataset.source.state(dataset.store, shard) and self._is_there(dataset, shard):
            return True  # brought up from an older format; its source has not been read since
        return is_current(dataset.store, dataset.source, dataset.scrub, dataset.store.key(), shard)

    def _is_there(self, dataset: DatasetView, shard: int) -> bool:
        return any(dataset.store.made_from(table, shard) is not None for table in TABLES)
