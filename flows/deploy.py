"""Registers the flows with a Prefect server: a work pool, one deployment a flow, and the concurrency limits."""

from typing import Any

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate, WorkPoolCreate
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.types.entrypoint import EntrypointType

from flows.build import BY_SHARD, DEPLOYMENT, ON_THE_WHOLE, Build, build_dataset
from flows.collect import collect, download
from flows.settings import FEATURES, STAGES, TRAIN
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
            _ensure_pool(client, name)
        declare_limits(client)
    registered = []
    for flow in FLOWS:
        chosen = gpu_pool if flow.name in _LIKES_A_GPU else pool
        _deployment(flow, dataset).apply(work_pool_name=chosen)
        registered.append((f"{flow.name}/{DEPLOYMENT}", chosen))
    return registered


def declare_limits(client: SyncPrefectClient, *, forget_holders: bool = False) -> None:
    """Make each stage's concurrency limit if it is not there; one that somebody changed stays as it is.

    `forget_holders` frees all slots: right only where nobody else uses the server.
    """
    for limits in STAGES:
        try:
            client.read_global_concurrency_limit_by_name(limits.slot)
        except ObjectNotFound:
            client.create_global_concurrency_limit(
                GlobalConcurrencyLimitCreate(name=limits.slot, limit=limits.everywhere)
            )
            continue
        if forget_holders:
            client.update_global_concurrency_limit(limits.slot, GlobalConcurrencyLimitUpdate(active_slots=0))


def _ensure_pool(client: SyncPrefectClient, name: str) -> None:
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type="process"))


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
