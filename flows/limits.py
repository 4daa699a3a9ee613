"""What all workers of a Prefect server share: the stages' limits, the pace of requests, and the work pools.

Everything here may be called by several processes at once, on a server that has none of it: whoever comes second finds
what the first has made.
"""

from contextlib import suppress

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate, WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from csmv.flows.stage_limits import STAGES
from csmv.pipeline.sources.collect_settings import Connection, Manners
from csmv.pipeline.sources.pacing import interval_for

PACE = "csmv-web-pace"
"""The name of the limit that paces requests to the site."""


def declare_limits(client: SyncPrefectClient, *, forget_holders: bool = False) -> None:
    """Make each stage's concurrency limit if it is not there; one that somebody changed stays as it is.

    Args:
        client: a client of the server.
        forget_holders: free all slots; right only where nobody else uses the server.
    """
    for limits in STAGES:
        is_new = _make_limit(client, GlobalConcurrencyLimitCreate(name=limits.slot, limit=limits.everywhere))
        if forget_holders and not is_new:
            client.update_global_concurrency_limit(limits.slot, GlobalConcurrencyLimitUpdate(active_slots=0))


def declare_pace(manners: Manners, connection: Connection) -> None:
    """Set the shared limit to one request an interval."""
    decay = 1.0 / max(interval_for(manners, connection), 0.001)
    with get_client(sync_client=True) as client:
        if not _make_limit(client, GlobalConcurrencyLimitCreate(name=PACE, limit=1, slot_decay_per_second=decay)):
            update = GlobalConcurrencyLimitUpdate(limit=1, slot_decay_per_second=decay)
            client.update_global_concurrency_limit(PACE, update)


def ensure_pool(client: SyncPrefectClient, name: str) -> None:
    """Make the work pool `name`, of type process, if it is not there."""
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        with suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name=name, type="process"))
            return
        client.read_work_pool(name)  # what was refused as a second one is there


def _make_limit(client: SyncPrefectClient, limit: GlobalConcurrencyLimitCreate) -> bool:
    """Make a limit that is not there; gives whether it was made now, and by this call."""
    try:
        client.read_global_concurrency_limit_by_name(limit.name)
        return False
    except ObjectNotFound:
        pass
    try:
        client.create_global_concurrency_limit(limit)
        return True
    except ObjectAlreadyExists:
        client.read_global_concurrency_limit_by_name(limit.name)  # what was refused as a second one is there
        return False
