"""Runs flows on this machine, with a Prefect server of its own if there is none."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from csmv.flows.server import prefect_api
from csmv.pipeline.errors import CsmvError, UnfinishedError, shown
from csmv.pipeline.media.media_shard import MediaReport
from csmv.pipeline.sources.base import LandReport
from csmv.pipeline.store import Store

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from csmv.pipeline.sources.web_visits import Watch
    from csmv.pipeline.stage import UnitReport


@contextmanager
def prefect_here(root: str) -> Iterator[None]:
    """A Prefect API with the limits that the flows share, for the block's time; `root` keeps a server's database.

    Prefect reads its settings when it is imported: import flows inside the block, not before.
    """
    own_server = not os.environ.get("PREFECT_API_URL")
    with prefect_api(_home(root), root):
        from prefect.client.orchestration import get_client

        from csmv.flows.limits import declare_limits

        with get_client(sync_client=True) as client:
            declare_limits(client, forget_holders=own_server)
        yield


def build_here(root: str, config: dict[str, Any] | None = None, **dataset: Any) -> str:
    """Build the dataset at `root`, by its own configuration or by `config`; returns when everything is done.

    Args:
        root: the dataset root.
        config: its configuration; left out, the root's own.
        dataset: other fields of `csmv.flows.build.Build`, such as how this machine reaches the site.

    Returns:
        What has been built.

    Raises:
        UnfinishedError: nothing failed, and something is left that may succeed in a later run.
        CsmvError: something failed; what was done stays done.
    """
    with prefect_here(root):
        from csmv.flows.build import Build, build_dataset

        state = build_dataset(Build(root=root, config=config, **dataset), return_state=True)
    if state.name == "Unfinished":
        raise UnfinishedError(state.message)
    _require_completed(state)
    return state.message or ""


def stage_here(root: str, stage: str, watch: "Watch | None" = None, **dataset: Any) -> "UnitReport":
    """Run a stage on `root`; `dataset` are the fields of `csmv.flows.shards.Dataset`. Gives what came of its units.

    Raises CsmvError, with a summary, if a unit failed.
    """
    with prefect_here(root):
        from csmv.flows.shards import Dataset, watchers
        from csmv.flows.stage_flows import FLOWS

        if watch is not None:
            watchers.append(watch)
        try:
            state = cast("State[Any]", FLOWS[stage](Dataset(root=root, **dataset), return_state=True))
        finally:
            if watch is not None:
                watchers.remove(watch)
        _require_completed(state)
        report: UnitReport = state.result()
    return report


def sweep_here(root: str, name: str, overwrite: bool = False) -> None:
    """Train every run of the sweep `name` of `root`; `overwrite` replaces other and failed runs of those names.

    Raises CsmvError, with a summary, if a run could not be trained.
    """
    with prefect_here(root):
        from csmv.flows.sweep_flow import Sweep, sweep

        state = sweep(Sweep(root=root, name=name, overwrite=overwrite), return_state=True)
    _require_completed(state)


def collect_here(root: str, watch: "Watch | None" = None, **collection: Any) -> "LandReport":
    """Collect into `root` and bring its tables up to date; `collection` are fields of `csmv.flows.shards.Dataset`."""
    report = stage_here(root, "collect", watch, then=("tables",), **collection)
    landings = [landed for landed in report.details if isinstance(landed, LandReport)]
    return landings[0] if landings else LandReport()


def download_here(root: str, **dataset: Any) -> "MediaReport":
    """Get the media of `root`; `dataset` are the fields of `csmv.flows.shards.Dataset`."""
    total = MediaReport()
    for report in stage_here(root, "media", **dataset).details:
        total.merge(report)
    return total


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
