"""The flow `sweep`: one task a run of a sweep that is kept in the root, then its table of results."""

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from flows.settings import TRAIN
from flows.shards import Dataset, run_all, stage_task, threads
from pipeline.store import Store


class Sweep(Dataset):
    """A dataset and the name of a sweep in it (see `pipeline.vccsa.sweep`)."""

    name: str = Field(min_length=1)


@stage_task(TRAIN, "point-{number}")
def train_point(root: str, name: str, number: int) -> None:
    """The run that stands `number`th in the sweep; a finished one is not trained again."""
    from pipeline.vccsa import sweep

    sweep.train_point(Store.open(root), name, number)


@flow(name="sweep", task_runner=threads(TRAIN), persist_result=False)
def sweep(dataset: Sweep) -> "State[None]":
    """Train every run of a sweep and write its results."""
    from pipeline.vccsa.sweep import read_sweep, results

    store = dataset.open()
    count = len(list(read_sweep(store, dataset.name).runs()))
    state = run_all(TRAIN, (train_point.submit(dataset.root, dataset.name, number) for number in range(count)), "runs")
    if state.is_completed():
        results(store, dataset.name)
    return state
