"""`build-dataset`: all stages one after the other, here or on the workers that their deployments name."""

from typing import Any, Literal, cast

from prefect import Flow, flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.states import Completed, Failed
from pydantic import Field

from flows import stages
from flows.shards import Dataset

DEPLOYMENT = "csmv"
"""The name under which `csmv deploy` registers each flow."""

BY_SHARD = (stages.ingest, stages.media, stages.features)
ON_THE_WHOLE = (stages.splits, stages.train, stages.report)


class Build(Dataset):
    """Which dataset to build, and where its stages run."""

    stages_run: Literal["here", "on-workers"] = Field(
        default="here",
        description="here: in this flow's own process; on-workers: each as a run of its own deployment, so that "
        "features and training can go to machines with a GPU",
    )

    def for_stage(self) -> Dataset:
        """What a stage needs to know: the configuration is in the root by then."""
        return Dataset(root=self.root, shards=self.shards)


@flow(name="build-dataset", persist_result=False)
def build_dataset(dataset: Build) -> "State[None]":
    """From a source to a trained and evaluated model and a report. Resumes: what is done already is not done again.

    A stage's failed shards do not keep the next stages from the other shards; but what needs the whole dataset is
    left for the run in which nothing failed.
    """
    dataset.open().sweep()
    problems = []
    for stage in BY_SHARD:
        state = _run(stage, dataset)
        if not state.is_completed():
            problems.append(state.message or stage.name)
    if problems:
        return Failed(message=" ".join(problems))
    for stage in ON_THE_WHOLE:
        state = _run(stage, dataset)
        if not state.is_completed():
            return Failed(message=state.message)
    return Completed(message=f"{dataset.root} is built")


def _run(stage: "Flow[[Dataset], Any]", dataset: Build) -> "State[Any]":
    if dataset.stages_run == "here":
        return cast("State[Any]", stage(dataset.for_stage(), return_state=True))
    run = run_deployment(f"{stage.name}/{DEPLOYMENT}", parameters={"dataset": dataset.for_stage().model_dump()})
    return cast("State[Any]", cast(FlowRun, run).state)
