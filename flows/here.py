"""Runs flows on this machine, with a Prefect server of its own if there is none."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.server import prefect_api
from pipeline.errors import CsmvError, shown
from pipeline.store import Store

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from pipeline.media.stage import MediaReport
    from pipeline.sources.base import LandReport
    from pipeline.sources.web_visits import Watch


@contextmanager
def prefect_here(root: str) -> Iterator[None]:
    """A Prefect API with the limits that the flows share, for the block's time; `root` keeps a server's database.

    Prefect reads its settings when it is imported: import flows inside the block, not before.
    """
    own_server = not os.environ.get("PREFECT_API_URL")
    with prefect_api(_home(root), root):
        from prefect.client.orchestration import get_client

        from flows.limits import declare_limits

        with get_client(sync_client=True) as client:
            declare_limits(client, forget_holders=own_server)
        yield


def build_here(root: str, config: dict[str, Any] | None = None) -> None:
    """Build the dataset at `root`, by its own configuration or by `config`; returns when everything is done.

    Raises CsmvError, with a summary, if anything failed; what was done stays done.
    """
    with prefect_here(root):
        from flows.build import Build, build_dataset

        state = build_dataset(Build(root=root, config=config), return_state=True)
    _require_completed(state)


def sweep_here(root: str, name: str) -> None:
    """Train every run of the sweep `name` of `root`. Raises CsmvError, with a summary, if a run failed."""
    with prefect_here(root):
        from flows.sweep import Sweep, sweep

        state = sweep(Sweep(root=root, name=name), return_state=True)
    _require_completed(state)


def collect_here(root: str, watch: "Watch | None" = None, **collection: Any) -> "LandReport":
    """Run the `collect` flow on `root`; `collection` are the fields of `flows.collect.Collection`."""
    with prefect_here(root):
        from flows.collect import Collection, collect, watchers

        if watch is not None:
            watchers.append(watch)
        try:
            return collect(Collection(root=root, **collection))
        finally:
            if watch is not None:
                watchers.remove(watch)


def download_here(root: str, **download: Any) -> "MediaReport":
    """Run the `download` flow on `root`; `download` are the fields of `flows.collect.Download`."""
    with prefect_here(root):
        from flows import collect as flows

        return flows.download(flows.Download(root=root, **download))


def _home(root: str) -> Path:
    """Where our server keeps its database: in the root's private folder if that is on a disk of this machine."""
    store = Store(root)
    if store.is_local:
        return Path(store.path("private/prefect"))
    cache = Path(os.environ.get("CSMV_CACHE") or Path.home() / ".cache" / "csmv")
    return cache / "prefect" / hashlib.sha256(root.encode()).hexdigest()[:16]


def _require_completed(state: "State[Any]") -> None:
    """Raise what ended a flow: CsmvError with its summary or with what was foreseeable, else the exception itself."""
    if state.is_completed():
        return
    error = state.result(raise_on_failure=False)
    if isinstance(error, Exception) and not type(error).__module__.startswith("prefect."):
        raise error
    raise CsmvError(shown(state.message or "The build did not end well, and Prefect does not say why."))
