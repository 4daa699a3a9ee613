"""What a stage is: a step from tables to tables, described and done by one object.

Flows, deployments, limits, `csmv run`, `csmv status`, the report's progress table and the README's table of stages are
derived from these objects; `csmv.pipeline.stages.STAGES` has them in order.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import pyarrow as pa

from csmv.extractors.nearest_names import did_you_mean
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.schemas import FailureReason
from csmv.pipeline.scrub import ScrubPolicy
from csmv.pipeline.sources.base import Reach, Source
from csmv.pipeline.store import Store
from csmv.pipeline.validated import Validated

Section = TypeVar("Section", bound=Validated)

_ROWS_AT_ONCE = 1 << 14

Tick = Callable[[int], None]
"""Called with the number of items just finished, for a progress bar."""

ROOT = "root"
"""The one unit of a stage that works on the whole root."""


class Unit(StrEnum):
    """What a stage's work is divided into."""

    SHARD = "shard"
    ENTRY = "entry"
    """of its section of dataset.yaml: a split, a training run"""
    TARGET = "target"
    """a worker's share of what a source lands: hashtags, links, windows of dates"""
    ROOT = "root"


@dataclass(frozen=True)
class Needs:
    """What a machine should have to run a stage."""

    gpu: bool = False
    """is much faster with one; its deployment goes to the GPU pool"""
    network: bool = False
    site: bool = False
    """asks the site that videos come from, at the pace that all workers share"""
    memory_gb: float = 2.0


class DatasetView(Protocol):
    """What a stage sees of a dataset; `csmv.pipeline.dataset.Dataset` is one."""

    @property
    def store(self) -> Store:
        """The tables and files."""

    @property
    def source(self) -> Source:
        """Where the dataset comes from."""

    @property
    def scrub(self) -> ScrubPolicy:
        """What is taken out of texts."""

    @property
    def reach(self) -> Reach:
        """How this machine reaches the outside."""

    @property
    def workers(self) -> int:
        """How many processes or threads share the landing of a source."""

    @property
    def retry_failed(self) -> bool:
        """Whether what failed for good is tried once more."""

    def section(self, name: str, kind: type[Section]) -> Section:
        """A section of the configuration that stands once, with what this run changes laid over it."""

    def entries(self, name: str, kind: type[Section]) -> tuple[Section, ...]:
        """The entries of a section that is a list, with what this run changes laid over each."""

    def progress(self) -> "list[StageStatus]":
        """How far each stage is."""


@dataclass(frozen=True)
class StageStatus:
    """How far a stage is. Stale units are counted neither as done nor as missing."""

    name: str
    unit: str
    units: int
    missing: int
    stale: dict[str, str]
    failures: Counter[str]
    note: str = ""
    items_left: int | None = None
    """Items, videos mostly, that are to be done in the missing and stale units; None where nobody counts them."""
    rate: float | None = None
    """Items a second of all who work on it now; None where nobody does, or nobody has finished an item yet."""
    hashtags: dict[str, "HashtagCount"] = field(default_factory=dict)

    @property
    def seconds_left(self) -> float | None:
        """How long it takes at this rate; None where that can't be said."""
        return None if self.items_left is None or not self.rate else self.items_left / self.rate

    @property
    def done(self) -> int:
        """Units that are as the settings and inputs of now would make them."""
        return self.units - self.missing - len(self.stale)


@dataclass
class HashtagCount:
    """How far a stage is with the videos of a hashtag; of feature sets, each counts for itself."""

    done: int = 0
    missing: int = 0
    failures: Counter[str] = field(default_factory=Counter)


@dataclass
class UnitReport:
    """What came of a unit. `stopped` says why it ended before its end; what it left may succeed in a later run.

    Counts and reasons name nobody: they reach logs and Prefect's database. `details` are for the caller alone.
    """

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    stopped: str = ""
    details: list[Any] = field(default_factory=list)

    def merge(self, other: "UnitReport") -> None:
        """Add another unit's report."""
        self.counts.update(other.counts)
        self.reasons.update(other.reasons)
        self.stopped = self.stopped or other.stopped
        self.details += other.details


class Stage(ABC):
    """A step of the pipeline. The facts stand on the class; the methods do the work and say what is left of it."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """One line, for help pages and the README."""
    section: ClassVar[str]
    """Of dataset.yaml: what decides what the stage makes; empty if nothing does."""
    unit: ClassVar[Unit]
    reads: ClassVar[tuple[str, ...]]
    writes: ClassVar[tuple[str, ...]]
    failures: ClassVar[tuple[FailureReason, ...]] = ()
    """Which reasons it can record."""
    failure_tables: ClassVar[tuple[str, ...]] = ()
    """Under which names below `failures/`."""
    needs: ClassVar[Needs] = Needs()
    at_once: ClassVar[int] = 1
    """Units at once in one process, unless the environment names another number."""
    everywhere: ClassVar[int] = 4
    """Units at once on all machines of one Prefect server."""
    retries: ClassVar[int] = 1
    timeout_s: ClassVar[float] = 3600.0
    when_stale: ClassVar[Literal["redo", "refuse"]] = "redo"
    """What a run does about outputs whose settings or inputs have changed."""

    @abstractmethod
    def units(self, dataset: DatasetView) -> list[str]:
        """All units, by name."""

    @abstractmethod
    def missing(self, dataset: DatasetView) -> list[str]:
        """The units still to do: those never done, and the stale ones of a stage that makes them anew."""

    def rounds(self, dataset: DatasetView, runs: int) -> "list[list[str]]":
        """The units still to do for several runs at the same time, in rounds that wait for each other.

        Args:
            dataset: the dataset.
            runs: how many runs there may be at once; a stage whose units can't be counted is divided into so many.
        """
        missing = self.missing(dataset)
        return [missing] if missing else []

    def stale(self, dataset: DatasetView) -> dict[str, str]:
        """Of each unit that was made from other settings or inputs than there are now: a sentence that says why."""
        return {}

    def code(self, dataset: DatasetView) -> str:
        """What of this version of csmv decides which units are stale, besides the root: usually nothing.

        What was remembered under another code is not believed.
        """
        return ""

    def note(self, dataset: DatasetView) -> str:
        """What `csmv status` says of the stage besides its units; usually nothing."""
        return ""

    def prepare(self, dataset: DatasetView) -> None:  # noqa: B027  (usually nothing)
        """What comes once, before the first unit.

        Raises:
            CsmvError: something that a person has to put right is missing, such as labels for a split.
        """

    @abstractmethod
    def run(self, dataset: DatasetView, unit: str, tick: Tick) -> UnitReport | None:
        """Do one unit. Does only what is missing in it, and can be killed at any moment and run again."""

    def finish(self, dataset: DatasetView) -> None:  # noqa: B027  (usually nothing)
        """What comes once, after the last unit, if none failed."""

    def refuse_stale(self, dataset: DatasetView) -> None:
        """Raises CsmvError if something is stale and the stage does not make it anew by itself."""
        if self.when_stale != "refuse":
            return
        for unit, why in self.stale(dataset).items():
            raise CsmvError(f"{self.name}, {unit}: {why}")


class ShardStage(Stage):
    """A stage whose unit is a shard."""

    unit = Unit.SHARD

    def units(self, dataset: DatasetView) -> list[str]:
        """All shards' numbers, with four digits."""
        return [shard_name(shard) for shard in dataset.store.shards()]

    def missing(self, dataset: DatasetView) -> list[str]:
        """The shards in which something is to be done."""
        with dataset.store.remembering():
            return [shard_name(shard) for shard in dataset.store.shards() if self.is_open(dataset, shard)]

    def stale(self, dataset: DatasetView) -> dict[str, str]:
        """Of each shard that was made from something else than there is now: a sentence that says why."""
        with dataset.store.remembering():
            reasons = {shard_name(shard): self.why_stale(dataset, shard) for shard in dataset.store.shards()}
        return {unit: why for unit, why in reasons.items() if why}

    @abstractmethod
    def is_open(self, dataset: DatasetView, shard: int) -> bool:
        """Whether anything is to be done in a shard."""

    def why_stale(self, dataset: DatasetView, shard: int) -> str:
        """Why a shard is stale, in a sentence; empty if it is not."""
        return ""

    def items_left(self, dataset: DatasetView, shard: int) -> int | None:
        """How many items, videos mostly, are to be done in a shard; None where a stage does not count them."""
        return None

    def depends_on(self, dataset: DatasetView) -> tuple[str, ...] | None:
        """The folders that decide the three answers above, besides what the root keeps of the shard itself.

        None if something outside the root does: then nobody may remember the answers.
        """
        return ()


class RootStage(Stage):
    """A stage that works on the whole root."""

    unit = Unit.ROOT

    def units(self, dataset: DatasetView) -> list[str]:
        """The root."""
        return [ROOT]


def shard_name(shard: int) -> str:
    """A shard as a unit."""
    return f"{shard:04d}"


def digest(*parts: "str | pa.Table") -> str:
    """SHA-256 of texts and tables: what an output records of the settings and inputs it was made from.

    Of a table only the values count and not how it is kept, so it is the same on every machine.
    """
    whole = hashlib.sha256()
    for part in parts:
        inner = hashlib.sha256()
        for text in (part,) if isinstance(part, str) else _as_json(part):
            inner.update(text.encode("utf-8", "surrogatepass"))
        whole.update(inner.digest())
    return whole.hexdigest()


def _as_json(table: pa.Table) -> Iterator[str]:
    """`json.dumps(table.to_pydict(), default=str, sort_keys=True)` in pieces: a large table is never all objects."""
    yield "{"
    for number, name in enumerate(sorted(table.column_names)):
        yield f"{', ' if number else ''}{json.dumps(name)}: ["
        column = table[name]
        for start in range(0, len(column), _ROWS_AT_ONCE):
            yield ", " if start else ""
            yield json.dumps(column.slice(start, _ROWS_AT_ONCE).to_pylist(), default=str, sort_keys=True)[1:-1]
        yield "]"
    yield "}"


def summary_of(units: Sequence[str], why: Mapping[str, str]) -> str:
    """The first few of stale units with their reasons, for a line of text."""
    shown = [f"{unit}: {why[unit]}" for unit in list(units)[:3]]
    return "; ".join(shown) + (f" (and {len(units) - 3} more)" if len(units) > 3 else "")


def named(stages: Iterable[Stage], name: str) -> Stage:
    """The stage of that name. Raises CsmvError, with the names there are."""
    by_name = {stage.name: stage for stage in stages}
    if name not in by_name:
        raise CsmvError(f"There is no stage '{name[:40]}'; {did_you_mean(name[:40], by_name, 'the stages are')}")
    return by_name[name]
