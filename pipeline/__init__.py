"""The stages of the pipeline, one a module: collection, tables, media, features, splits, training, report.

Plain Python: nothing in here knows of Prefect, which only arranges these stages in `flows/`. The public API is
`from csmv.pipeline import Dataset`; see `csmv.pipeline.dataset`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from csmv.pipeline.dataset import Dataset

__all__ = ["Dataset"]


def __getattr__(name: str) -> Any:
    # Loaded when it is asked for, so that importing one module of the package does not load them all.
    if name == "Dataset":
        return import_module("csmv.pipeline.dataset").Dataset
    raise AttributeError(f"module 'pipeline' has no attribute '{name}'")
