"""The flow `sweep`: one task a run of a sweep that is kept in the root, then its table of results."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from csmv.flows.shards import Dataset, run_all, stage_task, threads
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa import sweep as sweeps

TRAIN = "train"
"""The stage whose limits a sweep's runs share."""


class Sweep(Dataset):
    """A dataset and the name of a sweep in it (see `csmv.pipeline.vccsa.sweep`)."""

    name: str = Field(min_length=1)


@stage_task(TRAIN, "point-{number}")
def train_point(dataset: Sweep, number: int) -> None:
    """The run that stands `number`th in the sweep; a finished one is not trained again."""
    sweeps.train_point(Store.open(dataset.root), dataset.name, number)


@flow(name="sweep", task_runner=threads(TRAIN), persist_result=False)
def sweep(dataset: Sweep) -> "State[Any]":
    """Train every run of a sweep and write its results."""
    store = dataset.open().store
    count = len(list(sweeps.read_sweep(store, dataset.name).runs()))
    state = run_all(TRAIN, [train_point.submit(dataset, number) for number in range(count)], "runs")
    if state.is_completed():
        sweeps.results(store, dataset.name)
    return state
