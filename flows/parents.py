"""A part of a divided run sees that the run that waits for it was cancelled, and has all parts cancelled at once.

The server does the same by itself, a part every twenty seconds or so; it is what is left where no part runs.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext
from prefect.states import Cancelling

PART = "csmv-part"
"""The tag of a run that does a part of another one's work."""
_LOOK_S = 10.0
_PAGE = 200


def parent_of(client: SyncPrefectClient, part: FlowRun) -> FlowRun | None:
    """The run that a part was made by; None for a run that is no part."""
    if PART not in part.tags or part.parent_task_run_id is None:
        return None
    parent_id = client.read_task_run(part.parent_task_run_id).flow_run_id
    return None if parent_id is None else client.read_flow_run(parent_id)


def children(client: SyncPrefectClient, run_id: UUID) -> list[FlowRun]:
    """The parts of a flow run, in the order of their names."""
    sought = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run_id]))
    parts: list[FlowRun] = []
    while True:
        page = client.read_flow_runs(
            flow_run_filter=sought, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=_PAGE, offset=len(parts)
        )
        parts += page
        if len(page) < _PAGE:
            return sorted((part for part in parts if PART in part.tags), key=lambda part: part.name)


def cancel_parts(client: SyncPrefectClient, run_id: UUID, message: str) -> None:
    """Cancel what has not ended of a run's parts: at once where no process has it, else by its worker."""
    for part in children(client, run_id):
        if part.state is None or not (part.state.is_final() or part.state.is_cancelling()):
            client.set_flow_run_state(part.id, Cancelling(message=message))


@contextmanager
def following_parent() -> Iterator[None]:
    """While this flow run does a part's work, look now and then whether the run that waits for it is cancelled."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    if run is None or PART not in run.tags:
        yield
        return
    over = threading.Event()

    def follow(part: FlowRun) -> None:
        with suppress(Exception), get_client(sync_client=True) as client:  # the server has another way, a slower one
            parent = parent_of(client, part)
            while parent is not None and parent.state is not None:
                if parent.state.is_cancelled() or parent.state.is_cancelling():
                    cancel_parts(client, parent.id, "The run that waits for it was cancelled.")
                    return
                if over.wait(_LOOK_S):
                    return
                parent = client.read_flow_run(parent.id)

    thread = threading.Thread(target=follow, args=(run,), name="csmv-parent", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
