"""`build-dataset`: all stages one after the other, here or on the workers that their deployments name."""

from typing import Any, Literal, cast

from prefect import flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.states import Completed, Failed
from pydantic import Field

from csmv.flows.shards import UNFINISHED, Dataset, UnexpectedError, discreet
from csmv.flows.stages import FLOWS
from csmv.pipeline.dataset import Dataset as OpenDataset
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.stage import Stage, Unit
from csmv.pipeline.stages import STAGES

DEPLOYMENT = "csmv"
"""The name under which `csmv deploy` registers each flow."""

WHOLE = (Unit.ENTRY, Unit.ROOT)
"""Units of stages that need the whole dataset."""


class Build(Dataset):
    """Which dataset to build, and where its stages run."""

    stages_run: Literal["here", "on-workers"] = Field(
        default="here",
        description="here: in this flow's own process; on-workers: each as a run of its own deployment, so that "
        "features and training can go to machines with a GPU",
    )


@flow(name="build-dataset", persist_result=False)
def build_dataset(dataset: Build) -> "State[Any]":
    """From a source to whatever the configuration asks for and a report. Resumes: what is done is not done again.

    A stage's failed shards do not keep the next stages from the other shards; but what needs the whole dataset is
    left for the run in which nothing failed. Ends Failed unless everything asked for is there; named Unfinished if
    nothing failed and a later run may succeed.
    """
    try:
        with discreet(dataset.root, "build"):
            opened = dataset.open()
            opened.store.sweep()
            asked = [stage for stage in STAGES if _is_asked_for(stage, opened)]
    except (CsmvError, UnexpectedError) as error:
        return Failed(message=str(error))
    failed: list[str] = []
    unfinished: list[str] = []
    for stage in asked:
        if stage.unit in WHOLE and (failed or unfinished):
            waiting = ", ".join(one.name for one in asked if one.unit in WHOLE)
            unfinished.append(f"What needs the whole dataset waits: {waiting}.")
            break
        state = _run(stage, dataset)
        message = state.message or f"{stage.name} ended as {state.name}"
        if not state.is_completed():
            failed.append(message)
            if stage.unit is not Unit.SHARD:
                break
        elif state.name == UNFINISHED:
            unfinished.append(f"{message}.")
    if failed or unfinished:
        again = "Run the same again later." if not failed else ""
        told = " ".join(part for part in (*failed, *unfinished, again) if part)
        return Failed(message=told) if failed else Failed(name=UNFINISHED, message=told)
    idle = [stage.name for stage in STAGES if stage not in asked]
    note = f"; its dataset.yaml asks for no {', '.join(idle)}" if idle else ""
    return Completed(message=f"{dataset.root} is built: {', '.join(stage.name for stage in asked)}{note}")


def _is_asked_for(stage: Stage, dataset: OpenDataset) -> bool:
    """Whether the configuration has anything for a stage: a list of features, splits or runs may be empty."""
    return not stage.section or getattr(dataset.config, stage.section) != ()


def _run(stage: Stage, dataset: Build) -> "State[Any]":
    if dataset.stages_run == "here":
        return cast("State[Any]", FLOWS[stage.name](dataset.for_stage(), return_state=True))
    parameters = {"dataset": dataset.for_stage().model_dump(mode="json")}
    run = run_deployment(f"{stage.name}/{DEPLOYMENT}", parameters=parameters)
    return cast("State[Any]", cast(FlowRun, run).state)
