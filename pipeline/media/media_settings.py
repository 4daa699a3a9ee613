"""The `media` section of dataset.yaml."""

from typing import Literal

from pydantic import Field

from csmv.pipeline.sources.collect_settings import Manners
from csmv.pipeline.validated import Validated


class MediaSettings(Validated):
    """Which files, how many at once, and how long they are kept."""

    shortest_side: int = Field(
        default=256, ge=1, le=4096, description="pixels of the shorter side that the extractors need"
    )
    at_once: int = Field(default=4, ge=1, le=32, description="downloads at once in one process; they share one pace")
    quota_bytes: int | None = Field(
        default=None, ge=0, description="the most that private/media may hold; none means the disk decides"
    )
    retention: Literal["keep", "delete-after-features"] = Field(
        default="keep", description="whether files are kept, or deleted once every feature set has them"
    )
    manners: Manners | None = Field(default=None, description="of downloads; left out, the source's own")
    decode_timeout_s: float = Field(default=60.0, gt=0, description="what looking at one file may take")
    decoders: int = Field(default=1, ge=1, le=64, description="processes that look at files")
