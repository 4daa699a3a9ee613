"""Where the units of a stage run: in threads of the flow's own process, or on a Dask or Ray cluster.

Both are extras of csmv. What a task needs from its flow goes with it: its parameters, and Prefect's settings, the
server's address and credentials among them, so a cluster's own environment needs neither. A task gives back a report
of counts, and lets out no other exception than one that is fit to be read (`csmv.flows.shards`); so nothing personal
passes through a cluster's scheduler, object store or logs.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any

from prefect.context import FlowRunContext

from csmv.flows.stage_limits import StageLimits, TaskRunning
from csmv.pipeline.errors import CsmvError, how_to_install, shown

_LIBRARIES = {"dask": "prefect_dask", "ray": "prefect_ray"}

_DASK = {
    "distributed.worker.daemon": False,  # a daemon may have no children, and PyTorch's loaders are some
    "distributed.admin.tick.limit": "1h",  # decoding holds the interpreter for longer than Dask likes, and may
}

_RAY_ATTEMPTS = 3
_TOKEN = " A cluster that wants a token gets it from RAY_AUTH_MODE=token and RAY_AUTH_TOKEN in the environment."


@contextmanager
def units_on(settings: TaskRunning, limits: StageLimits) -> Iterator[None]:
    """Have what the flow submits within the block run where `settings` say; threads are the flow's own.

    A cluster that no address names is started here, with as many processes as the stage may have at once, and stopped
    at the block's end. Each has one thread for PyTorch unless OMP_NUM_THREADS says otherwise, on Dask and Ray alike.

    Raises:
        CsmvError: the extra is missing, the cluster does not answer, or the environment's number is none.
    """
    if settings.task_runner == "threads":
        yield
        return
    library = _LIBRARIES[settings.task_runner]
    if find_spec(library) is None:
        raise CsmvError(
            f"`task_runner: {settings.task_runner}` needs '{library}', which is not installed here: "
            f"{how_to_install(library)} brings it."
        )
    flow_run = FlowRunContext.get()
    assert flow_run is not None, "only a flow has tasks to submit"
    with ExitStack() as stack:
        start = _dask if settings.task_runner == "dask" else _ray
        runner = start(stack, settings.cluster, limits)
        stack.enter_context(flow_run.model_copy(update={"task_runner": runner}))
        yield


def _dask(stack: ExitStack, address: str | None, limits: StageLimits) -> Any:
    import dask
    from prefect_dask.task_runners import DaskTaskRunner

    runner: Any
    if address:
        runner = DaskTaskRunner(address=address)
    else:
        stack.enter_context(dask.config.set(_DASK))
        own = {"n_workers": limits.workers(), "threads_per_worker": 1, "memory_limit": None}
        runner = DaskTaskRunner(
            cluster_kwargs=own | {"env": {"CSMV_PROGRESS": "0"}, "scheduler_kwargs": {"dashboard": False}}
        )
    stack.enter_context(runner)
    try:
        _ = runner.client  # connects
    except (OSError, ValueError) as error:
        raise _unanswered("Dask scheduler", address, "", error) from None
    return runner


def _ray(stack: ExitStack, address: str | None, limits: StageLimits) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
    import ray
    from prefect_ray import RayTaskRunner
    from prefect_ray.context import remote_options

    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if not address:
        options |= {"num_cpus": limits.workers(), "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    for attempt in range(_RAY_ATTEMPTS):
        runner: Any = RayTaskRunner(address=address or "local", init_kwargs=options)
        try:
            stack.enter_context(runner)
            break
        except ConnectionAbortedError as error:
            # The head answers, and has not started this client's server within its half minute.
            if attempt == _RAY_ATTEMPTS - 1:
                raise _unanswered("Ray head", address, _TOKEN, error) from None
        except (OSError, ValueError, RuntimeError) as error:
            raise _unanswered("Ray head", address, _TOKEN, error) from None
    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    if limits.gpu and resources.get("GPU", 0) >= 1:
        # Ray hides the GPUs from a task that asks for none.
        stack.enter_context(remote_options(num_gpus=1))
    return runner


def _unanswered(what: str, address: str | None, hint: str, error: Exception) -> CsmvError:
    if not address:
        return CsmvError(f"A {what} of this machine's own could not be started ({type(error).__name__}).")
    return CsmvError(
        f"No {what} answers at {shown(address)} ({type(error).__name__}): start it, or correct the address.{hint}"
    )
