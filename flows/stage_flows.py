"""One flow and one task a stage, made from the list of stages. The work is in `pipeline/`."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from prefect import Flow, Task, flow
from prefect.client.schemas.objects import State
from prefect.flows import FlowStateHook
from prefect.states import Failed

from csmv.flows.attempts import begin_run
from csmv.flows.fan_out import FanOut, coordinate, tell_parent, whole
from csmv.flows.limits import declare_pace
from csmv.flows.pace import with_interval
from csmv.flows.parents import following_parent
from csmv.flows.run_names import current_run_name, root_name, span_of
from csmv.flows.seeing import seen_unit, showing
from csmv.flows.shards import UNFINISHED, Dataset, UnexpectedError, discreet, limits_of, run_all, stage_task, threads
from csmv.flows.task_runners import units_on
from csmv.pipeline import interrupt
from csmv.pipeline.dataset import Dataset as OpenDataset
from csmv.pipeline.dataset import chosen_units
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.media.media_settings import MediaSettings
from csmv.pipeline.media.media_shard import manners_of
from csmv.pipeline.stage import Stage, Unit, UnitReport, named
from csmv.pipeline.stages import STAGES
from csmv.pipeline.store import Store
from csmv.pipeline.work import sweep_work

_MANY = {Unit.SHARD: "shards", Unit.ENTRY: "entries", Unit.TARGET: "collections", Unit.ROOT: "pages"}


def _task_of(stage: Stage) -> "Task[..., UnitReport]":
    def run(dataset: Dataset, unit: str) -> UnitReport:
        opened = dataset.reopen(stage.name)
        return seen_unit(stage, opened, unit)

    _call_it(run, stage.name, f"One unit of the stage: {stage.summary}.")
    return stage_task(stage.name, f"{stage.name} {{unit}}")(run)


def _flow_of(stage: Stage) -> "Flow[[Dataset], Any]":
    unit_task = TASKS[stage.name]

    def run(dataset: Dataset) -> "State[Any]":
        try:
            with discreet(dataset.root, stage.name):
                begin_run(f"{stage.name} of {root_name(dataset.root)}, {_extent(dataset)}", dataset.restarts)
                opened = dataset.open(stage.name)
                if not whole(dataset):
                    begin_stage(stage, dataset, opened)
            if whole(dataset):
                return coordinate(dataset, lambda parts: _advance(parts, (stage.name, *dataset.then), opened))
            with discreet(dataset.root, stage.name):
                units = chosen_units(stage, opened, dataset.shards, dataset.units)
            with (
                following_parent(),
                showing(stage.name, dataset.root, len(units)) as run_shown,
                units_on(dataset, limits_of(stage.name)),
            ):
                futures = [unit_task.submit(dataset, unit) for unit in units]
                state = run_all(stage.name, futures, _MANY[stage.unit], run_shown.unit_ended)
                run_shown.end(state)
            if state.is_completed() and dataset.shards is None and dataset.units is None:
                with discreet(dataset.root, stage.name):
                    stage.finish(opened)
        except (CsmvError, UnexpectedError) as error:
            return Failed(message=f"{stage.name}: {error}")
        return _followed(dataset, state)

    _call_it(run, stage.name, f"{stage.summary[0].upper()}{stage.summary[1:]}.")
    hooks: list[FlowStateHook[..., Any]] = [tell_parent]
    return flow(
        name=stage.name,
        flow_run_name=partial(current_run_name, stage.name),
        task_runner=threads(stage.name),
        persist_result=False,
        on_completion=hooks,
        on_failure=hooks,
        on_cancellation=hooks,
    )(run)


def begin_stage(stage: Stage, dataset: Dataset, opened: OpenDataset) -> None:
    """What comes once before a stage's units. A part of a collection finds it done by the run that waits for it."""
    opened.store.sweep()
    sweep_work(opened.store, stage.name)
    _set_pace(stage, dataset, opened)
    if dataset.units is None:
        stage.prepare(opened)
        stage.refuse_stale(opened)


def _advance(parts: FanOut, names: Sequence[str], opened: OpenDataset) -> "State[Any] | None":
    """Go on with these stages, one after the other, over all workers."""
    ended: State[Any] | None = None
    for name in names:
        stage = named(STAGES, name)
        with discreet(parts.dataset.root, name):
            state = parts.advance(stage, opened, partial(begin_stage, stage, parts.dataset))
        if state is None or not state.is_completed():
            return state
        ended = ended or state
    return ended


def _extent(dataset: Dataset) -> str:
    if dataset.units is not None:
        return span_of(dataset.units)
    return "all" if dataset.shards is None else f"shards {span_of([str(shard) for shard in dataset.shards])}"


def _followed(dataset: Dataset, state: "State[Any]") -> "State[Any]":
    """What a run ends in after the stages that it was asked to go on with."""
    for name in dataset.then if state.is_completed() and not interrupt.is_asked() else ():
        after = cast("State[Any]", FLOWS[name](dataset.for_stage(), return_state=True))
        if not after.is_completed():
            # Where a collection ended early and brought no video at all, why it did is what there is to say.
            has_none = state.name == UNFINISHED and not Store.open(dataset.root).has_rows("videos")
            return state if has_none else Failed(message=after.message)
    return state


def _set_pace(stage: Stage, dataset: Dataset, opened: OpenDataset) -> None:
    if stage.needs.site:
        manners = manners_of(opened.section("media", MediaSettings), opened.source)
        declare_pace(with_interval(manners, dataset.interval_s), dataset.connection)


def _call_it(function: Callable[..., Any], name: str, doc: str) -> None:
    """Give a function the name by which deployments import it from this module."""
    function.__name__ = function.__qualname__ = name
    function.__module__ = __name__
    function.__doc__ = doc


TASKS = {stage.name: _task_of(stage) for stage in STAGES}
FLOWS: "dict[str, Flow[[Dataset], Any]]" = {}
FLOWS.update({stage.name: _flow_of(stage) for stage in STAGES})
globals().update(FLOWS)
