"""Removes personal data from short social-media text: `Scrubber(ScrubPolicy()).scrub(texts)`.

The policy is data, and every command reads it; the scrubber and its many expressions are loaded when first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from csmv.pipeline.scrub.policy import EntityRule, Kind, NerModel, Operator, ScrubPolicy

if TYPE_CHECKING:
    from csmv.pipeline.scrub.scrubber import Scrubbed, Scrubber, Span

__all__ = ["EntityRule", "Kind", "NerModel", "Operator", "ScrubPolicy", "Scrubbed", "Scrubber", "Span"]


def __getattr__(name: str) -> Any:
    if name in ("Scrubbed", "Scrubber", "Span"):
        return getattr(import_module("csmv.pipeline.scrub.scrubber"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
