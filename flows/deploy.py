"""Registers the flows with a Prefect server, and describes them for prefect.yaml and the README by their stages."""

from collections.abc import Mapping
from typing import Any

import prefect
import yaml
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.types.entrypoint import EntrypointType

from csmv.flows.automations import ENVIRONMENT, OURS, declare_automations
from csmv.flows.build import Build, build_dataset
from csmv.flows.fan_out import DEPLOYMENT
from csmv.flows.limits import declare_limits, ensure_pool
from csmv.flows.shards import Dataset
from csmv.flows.stage_flows import FLOWS as STAGE_FLOWS
from csmv.flows.sweep_flow import sweep
from csmv.pipeline.stages import STAGES

FLOWS: Mapping[str, "Flow[..., Any]"] = {
    "build-dataset": build_dataset,
    **STAGE_FLOWS,
    "download": STAGE_FLOWS["media"].with_options(name="download"),
    "sweep": sweep,
}
"""Deployment -> flow. `download` is another name of `media`, which it was before media came from anywhere."""

GPU = {"sweep", *(stage.name for stage in STAGES if stage.needs.gpu)}
"""The deployments that go to the pool with GPUs."""

NIGHTLY = {"collect": {"again": True, "then": ["tables"]}}
"""What runs of a deployment do besides, where it is made to run by itself every night."""

SCHEDULE = {"cron": "0 3 * * *", "timezone": "UTC", "active": False}
"""Of what runs by night: off until somebody switches it on."""

TAGS = ["csmv", OURS]

HEAD = """\
# Made from the list of stages by `python -m csmv.flows.generated`; `make check` compares it. For `prefect deploy --all`
# in this folder; `csmv deploy` does the same from anywhere, and makes the work pools, the limits and the automations
# that find runs whose machine is gone. CSMV_ROOT names the dataset root of runs that name none, CSMV_GPU_POOL the work
# pool with GPUs.
"""


def deploy(dataset: Build | None, pool: str, gpu_pool: str) -> list[tuple[str, str]]:
    """Register every flow as `<flow>/csmv`; gives (deployment, work pool) of each.

    `dataset` becomes the parameter of runs that name none; a sweep's runs always name theirs. What likes a GPU goes to
    `gpu_pool`, the rest to `pool`; each is made, of type process, if it is not there. Limits and automations are
    declared too.
    """
    with get_client(sync_client=True) as client:
        for name in sorted({pool, gpu_pool}):
            ensure_pool(client, name)
        declare_limits(client)
        declare_automations(client)
    registered = []
    for name, flow in FLOWS.items():
        chosen = gpu_pool if name in GPU else pool
        _deployment(name, flow, dataset).apply(work_pool_name=chosen)
        registered.append((f"{name}/{DEPLOYMENT}", chosen))
    return registered


def _deployment(name: str, flow: "Flow[..., Any]", dataset: Build | None) -> RunnerDeployment:
    # By module path: a worker needs csmv installed, and no copy of this folder.
    return RunnerDeployment.from_flow(
        flow,
        name=DEPLOYMENT,
        parameters={"dataset": _parameter(name, dataset)} if dataset and flow is not sweep else {},
        tags=TAGS,
        job_variables={"env": ENVIRONMENT},
        schedules=[_schedule()] if name in NIGHTLY else None,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def _schedule() -> DeploymentScheduleCreate:
    timed = CronSchedule(cron=str(SCHEDULE["cron"]), timezone=str(SCHEDULE["timezone"]))
    return DeploymentScheduleCreate(schedule=timed, active=bool(SCHEDULE["active"]))


def _parameter(name: str, dataset: Build) -> dict[str, Any]:
    chosen: Dataset = dataset
    if FLOWS[name] is not build_dataset:
        chosen = dataset.for_stage().model_copy(update={"stages_run": dataset.stages_run})
    return chosen.as_parameter() | NIGHTLY.get(name, {})


def prefect_yaml() -> str:
    """The text of prefect.yaml: the same deployments, for Prefect's own command."""
    described: dict[str, Any] = {"name": "csmv", "prefect-version": prefect.__version__}
    described["deployments"] = [_described(name, flow) for name, flow in FLOWS.items()]
    return HEAD + str(yaml.dump(described, Dumper=_NoAliases, sort_keys=False, allow_unicode=True, width=120))


class _NoAliases(yaml.SafeDumper):
    """Writes a list that stands in several places out in each."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _described(name: str, flow: "Flow[..., Any]") -> dict[str, Any]:
    dataset = {"root": "{{ $CSMV_ROOT }}", "stages_run": "on-workers"} | NIGHTLY.get(name, {})
    entry: dict[str, Any] = {
        "name": DEPLOYMENT,
        "flow_name": name,
        "entrypoint": f"{flow.fn.__module__}.{flow.fn.__name__}",
        "tags": TAGS,
        "parameters": {} if flow is sweep else {"dataset": dataset},
        "work_pool": {
            "name": "{{ $CSMV_GPU_POOL }}" if name in GPU else "csmv",
            "job_variables": {"env": dict(ENVIRONMENT)},
        },
    }
    if name in NIGHTLY:
        entry["schedules"] = [dict(SCHEDULE)]
    return entry
