"""The `media` section of dataset.yaml."""

from typing import Literal

from pydantic import Field

from csmv.pipeline.sources.settings import Manners
from csmv.pipeline.validated import Validated


class MediaSettings(Validated):
    """Which files, how many at once, and how long they are kept."""

    shortest_side: int = Field(default=256, ge=1, le=4096, description="pixels that the extractors need")
    at_once: int = Field(default=4, ge=1, le=32, description="downloads in one process; the pace is shared")
    quota_bytes: int | None = Field(default=None, ge=0, description="of private/media; none means the disk decides")
    retention: Literal["keep", "delete-after-features"] = "keep"
    manners: Manners | None = Field(default=None, description="of downloads; left out, the source's own")
    decode_timeout_s: float = Field(default=60.0, gt=0, description="what looking at one file may take")
    decoders: int = Field(default=1, ge=1, le=64, description="processes that look at files")
