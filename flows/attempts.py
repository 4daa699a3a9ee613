"""How often a run has died: counted by Prefect's own history of its states, with the machines it died on as labels."""

import socket

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from csmv.pipeline.errors import CsmvError

AGAIN = "Again"
"""The name of the state in which a run is scheduled after it has died."""
_MACHINE = "csmv.machine."


def begin_run(what: str, restarts: int) -> None:
    """`begin` for the flow run of this context, if a worker runs it."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.deployment_id is None:
        return
    with get_client(sync_client=True) as client:
        begin(client, context.flow_run, what, restarts)


def begin(client: SyncPrefectClient, run: FlowRun, what: str, restarts: int) -> None:
    """Note on which machine a run begins, unless it has died too often.

    Args:
        client: a client of the server.
        run: the run; its count of starts goes up each time that it begins.
        what: what it is about, such as `features of mine, shards 0-3`.
        restarts: how often it may be begun again after its process has died.

    Raises:
        CsmvError: it has died as often as it may; the sentence names what it was about and the machines.
    """
    crashes = deaths(client, run)
    if crashes > restarts:
        machines = machines_of(run)
        on = f" on {', '.join(machines)}" if machines else ""
        raise CsmvError(
            f"{what}: its process has died {crashes} times{on}. See what ended it there (out of memory is the usual "
            "reason), then run it again: what is done stays done."
        )
    client.update_flow_run_labels(run.id, {f"{_MACHINE}{run.run_count}": socket.gethostname()})


def deaths(client: SyncPrefectClient, run: FlowRun) -> int:
    """How often the process of a run has died, or its worker before it began."""
    states = client.read_flow_run_states(run.id)
    dead_now = run.state is not None and run.state.is_crashed()
    return sum(state.name == AGAIN for state in states) + dead_now


def machines_of(run: FlowRun) -> list[str]:
    """The machines that a run has begun on, in order, each once."""
    starts = {int(key.rsplit(".", 1)[-1]): str(value) for key, value in run.labels.items() if key.startswith(_MACHINE)}
    return list(dict.fromkeys(starts[number] for number in sorted(starts)))
