"""Runs `build-dataset` on this machine, with a Prefect server of its own if there is none."""

import hashlib
import os
from pathlib import Path
from typing import Any

from flows.server import prefect_api
from pipeline.errors import CsmvError
from pipeline.store import Store


def build_here(root: str, config: dict[str, Any] | None = None) -> None:
    """Build the dataset at `root`, by its own configuration or by `config`; returns when everything is done.

    Raises CsmvError, with a summary, if anything failed; what was done stays done.
    """
    own_server = "PREFECT_API_URL" not in os.environ
    with prefect_api(_home(root)):
        # Prefect reads its settings when it is imported, so not before they are made.
        from prefect.client.orchestration import get_client

        from flows.build import Build, build_dataset
        from flows.deploy import declare_limits

        with get_client(sync_client=True) as client:
            declare_limits(client, forget_holders=own_server)
        state = build_dataset(Build(root=root, config=config), return_state=True)
    if not state.is_completed():
        raise CsmvError(_sentence(state.message))


def _home(root: str) -> Path:
    """Where our server keeps its database: in the root's private folder if that is on a disk of this machine."""
    store = Store(root)
    if store.is_local:
        return Path(store.path("private/prefect"))
    cache = Path(os.environ.get("CSMV_CACHE") or Path.home() / ".cache" / "csmv")
    return cache / "prefect" / hashlib.sha256(root.encode()).hexdigest()[:16]


def _sentence(message: str | None) -> str:
    told = (message or "The build did not end well.").removeprefix("Flow run encountered an exception: ")
    return told.removeprefix("CsmvError: ")
