"""One flow and one task a stage, made from the list of stages. The work is in `pipeline/`."""

from collections.abc import Callable
from typing import Any, cast

from prefect import Flow, Task, flow
from prefect.client.schemas.objects import State
from prefect.states import Failed

from csmv.flows.limits import declare_pace
from csmv.flows.pace import with_interval
from csmv.flows.shards import Dataset, UnexpectedError, discreet, run_all, stage_task, threads
from csmv.pipeline.dataset import Dataset as OpenDataset
from csmv.pipeline.dataset import chosen_units
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.media.settings import MediaSettings
from csmv.pipeline.media.stage import manners_of
from csmv.pipeline.progress import track
from csmv.pipeline.stage import Stage, Unit, UnitReport
from csmv.pipeline.stages import STAGES

_MANY = {Unit.SHARD: "shards", Unit.ENTRY: "entries", Unit.TARGET: "collections", Unit.ROOT: "pages"}


def _task_of(stage: Stage) -> "Task[..., UnitReport | None]":
    def run(dataset: Dataset, unit: str) -> UnitReport | None:
        opened = dataset.reopen(stage.name)
        with track(f"{stage.name} {unit}", None) as tick:
            return stage.run(opened, unit, tick)

    _call_it(run, stage.name, f"One unit of the stage: {stage.summary}.")
    return stage_task(stage.name, f"{stage.name}-{{unit}}")(run)


def _flow_of(stage: Stage) -> "Flow[[Dataset], Any]":
    unit_task = TASKS[stage.name]

    def run(dataset: Dataset) -> "State[Any]":
        try:
            with discreet(dataset.root, stage.name):
                opened = dataset.open(stage.name)
                opened.store.sweep()
                _set_pace(stage, dataset, opened)
                stage.prepare(opened)
                stage.refuse_stale(opened)
                units = chosen_units(stage, opened, dataset.shards)
            state = run_all(stage.name, [unit_task.submit(dataset, unit) for unit in units], _MANY[stage.unit])
            if state.is_completed() and dataset.shards is None:
                with discreet(dataset.root, stage.name):
                    stage.finish(opened)
        except (CsmvError, UnexpectedError) as error:
            return Failed(message=f"{stage.name}: {error}")
        return _followed(dataset, state)

    _call_it(run, stage.name, f"{stage.summary[0].upper()}{stage.summary[1:]}.")
    return flow(name=stage.name, task_runner=threads(stage.name), persist_result=False)(run)


def _followed(dataset: Dataset, state: "State[Any]") -> "State[Any]":
    """What a run ends in after the stages that it was asked to go on with."""
    for name in dataset.then if state.is_completed() else ():
        after = cast("State[Any]", FLOWS[name](dataset.for_stage(), return_state=True))
        if not after.is_completed():
            return Failed(message=after.message)
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
