"""The flow `sweep`: one run a point and seed of a sweep that is kept in the root, then its table of results."""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Failed
from pydantic import Field, model_validator

from csmv.flows.attempts import begin_run
from csmv.flows.fan_out import coordinate, tell_parent, whole
from csmv.flows.parents import following_parent
from csmv.flows.run_names import current_run_name, root_name, span_of
from csmv.flows.shards import Dataset, UnexpectedError, discreet, limits_of, run_all, stage_task, threads
from csmv.flows.task_runners import units_on
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.stage import DatasetView, Needs, Stage, Tick, Unit, UnitReport
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa import sweep as sweeps
from csmv.pipeline.vccsa.run_files import Overwrite

TRAIN = "train"
"""The stage whose limits a sweep's runs share."""


class Sweep(Dataset):
    """A dataset and a sweep: a new one by its description, or the name of one that the root has."""

    name: str = Field(default="", description="of a sweep that is in the root; left out, the described one's")
    sweep: sweeps.SweepConfig | None = Field(default=None, description="a new sweep, kept in the root under its name")
    overwrite: bool = Field(default=False, description="replace another sweep or run of that name, and failed runs")

    @model_validator(mode="after")
    def _names_one(self) -> "Sweep":
        if self.sweep is None and not self.name:
            raise ValueError("name a sweep of the root, or describe a new one")
        return self

    def for_part(self, _stage: str) -> "Sweep":
        """The name is enough: the sweep is in the root by then."""
        return self.model_copy(update={"sweep": None, "name": self.title, "stages_run": "here", "config": None})

    @property
    def title(self) -> str:
        """The sweep's name."""
        return self.sweep.name if self.sweep is not None else self.name

    @property
    def replaces(self) -> Overwrite:
        """What may be replaced."""
        return "always" if self.overwrite else "never"


class SweepPoints(Stage):
    """The runs of a sweep, as a stage whose parts go to workers: one a point and seed."""

    name = "sweep"
    summary = "every run of a sweep, and their table"
    section = ""
    unit = Unit.ENTRY
    reads: ClassVar[tuple[str, ...]] = ("comments", "labels", "splits/<name>", "features/<set>")
    writes: ClassVar[tuple[str, ...]] = ("models/<run>", "sweeps/<name>")
    needs = Needs(gpu=True, network=True, memory_gb=8)
    timeout_s = 7 * 24 * 3600.0

    def __init__(self, title: str) -> None:
        self.title = title

    def units(self, dataset: DatasetView) -> list[str]:
        """The runs' numbers."""
        return [str(number) for number, _ in enumerate(sweeps.read_sweep(dataset.store, self.title).runs())]

    def missing(self, dataset: DatasetView) -> list[str]:
        """All of them: a finished one is found finished, and not trained again."""
        return self.units(dataset)

    def run(self, dataset: DatasetView, unit: str, tick: Tick) -> UnitReport | None:
        """One run."""
        sweeps.train_point(dataset.store, self.title, int(unit))
        tick(1)
        return None

    def finish(self, dataset: DatasetView) -> None:
        """The table."""
        sweeps.results(dataset.store, self.title)


@stage_task(TRAIN, "train point {number}")
def train_point(dataset: Sweep, number: int) -> None:
    """The run that stands `number`th in the sweep; a finished one is not trained again."""
    sweeps.train_point(Store.open(dataset.root), dataset.title, number, dataset.replaces)


@flow(
    name="sweep",
    flow_run_name=partial(current_run_name, "sweep"),
    task_runner=threads(TRAIN),
    persist_result=False,
    on_completion=[tell_parent],
    on_failure=[tell_parent],
    on_cancellation=[tell_parent],
)
def sweep(dataset: Sweep) -> "State[Any]":
    """Train every run of a sweep and write its results."""
    stage = SweepPoints(dataset.title)
    try:
        with discreet(dataset.root, "sweep"):
            numbers = _numbers(dataset.units)
            which = "all" if numbers is None else f"run {span_of([str(number) for number in numbers])}"
            begin_run(f"sweep {dataset.title} of {root_name(dataset.root)}, {which}", dataset.restarts)
            opened = dataset.open()
            if dataset.sweep is not None and numbers is None:
                sweeps.write_sweep(opened.store, dataset.sweep, dataset.replaces)
            if numbers is None:
                numbers = [int(unit) for unit in stage.units(opened)]
        if whole(dataset):
            return coordinate(dataset, lambda parts: parts.advance(stage, opened, lambda _opened: None))
        with following_parent(), units_on(dataset, limits_of(TRAIN)):
            state = run_all(TRAIN, [train_point.submit(dataset, number) for number in numbers], "runs")
        if state.is_completed() and dataset.units is None:
            with discreet(dataset.root, "sweep"):
                stage.finish(opened)
    except (CsmvError, UnexpectedError) as error:
        return Failed(message=f"sweep: {error}")
    return state


def _numbers(units: Sequence[str] | None) -> list[int] | None:
    if units is None:
        return None
    if not all(unit.isdigit() for unit in units):
        raise CsmvError("The units of a sweep are the numbers of its runs, from 0.")
    return [int(unit) for unit in units]
