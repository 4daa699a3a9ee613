"""Registers the flows with a Prefect server: a work pool, one deployment a flow, and the concurrency limits."""

from typing import Any

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.types.entrypoint import EntrypointType

from flows.build import BY_SHARD, DEPLOYMENT, ON_THE_WHOLE, Build, build_dataset
from flows.collect import collect, download
from flows.limits import declare_limits, ensure_pool
from flows.settings import FEATURES, TRAIN
from flows.shards import Dataset
from flows.sweep import sweep

FLOWS: tuple["Flow[..., Any]", ...] = (build_dataset, *BY_SHARD, *ON_THE_WHOLE, collect, download, sweep)
_LIKES_A_GPU = {FEATURES.stage, TRAIN.stage, sweep.name}


def deploy(dataset: Build | None, pool: str, gpu_pool: str) -> list[tuple[str, str]]:
    """Register every flow as `<flow>/csmv`; gives (deployment, work pool) of each.

    `dataset` becomes the parameter of runs that name none; a sweep's runs always name theirs. Features, training and
    sweeps go to `gpu_pool`, the rest to `pool`; each is made, of type process, if it is not there.
    """
    with get_client(sync_client=True) as client:
        for name in sorted({pool, gpu_pool}):
            ensure_pool(client, name)
        declare_limits(client)
    registered = []
    for flow in FLOWS:
        chosen = gpu_pool if flow.name in _LIKES_A_GPU else pool
        _deployment(flow, dataset).apply(work_pool_name=chosen)
        registered.append((f"{flow.name}/{DEPLOYMENT}", chosen))
    return registered


def _deployment(flow: "Flow[..., Any]", dataset: Build | None) -> RunnerDeployment:
    # By module path: a worker needs csmv installed, and no copy of this folder.
    return RunnerDeployment.from_flow(
        flow,
        name=DEPLOYMENT,
        parameters={"dataset": _parameter(flow, dataset)} if dataset and flow is not sweep else {},
        tags=["csmv"],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def _parameter(flow: "Flow[..., Any]", dataset: Build) -> dict[str, Any]:
    chosen: Dataset = dataset if flow is build_dataset else dataset.for_stage()
    return chosen.model_dump(mode="json")
