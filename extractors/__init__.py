"""Feature extractors for micro videos: `create` one by name, or `extract` whole files with several at once.

Importing this package imports neither torch nor a decoder; both come with the first use. Nothing in here knows
about dataset roots, flows or comments.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from csmv.extractors.engine import VideoResult, extract
    from csmv.extractors.registry import create, names

__all__ = ["VideoResult", "create", "extract", "names"]

_HOME = {
    "create": "csmv.extractors.registry",
    "names": "csmv.extractors.registry",
    "extract": "csmv.extractors.engine",
    "VideoResult": "csmv.extractors.engine",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'extractors' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)
