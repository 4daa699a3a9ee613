"""Removes personal data from short social-media text: `Scrubber(ScrubPolicy()).scrub(texts)`.

The policy is data and imports nothing heavy; the scrubber, and Presidio with it, is loaded when it is first asked for.
"""

from typing import TYPE_CHECKING, Any

from csmv.pipeline.scrub.policy import EntityRule, Kind, NerModel, Operator, ScrubPolicy

if TYPE_CHECKING:
    from csmv.pipeline.scrub.scrubber import Scrubbed, Scrubber, Span

__all__ = ["EntityRule", "Kind", "NerModel", "Operator", "ScrubPolicy", "Scrubbed", "Scrubber", "Span"]


def __getattr__(name: str) -> Any:
    if name in ("Scrubbed", "Scrubber", "Span"):
        from csmv.pipeline.scrub import scrubber

        return getattr(scrubber, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
