"""What `csmv features` is asked for beyond a feature set: apart, so that a command line has read it at once."""

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from csmv.pipeline.validated import Validated

if TYPE_CHECKING:
    from csmv.extractors.sampling import ClipRule

Format = Literal["npz", "npy", "parquet"]


class LooseConfig(Validated):
    """How loose files are cut, and how their features are written."""

    format: Format = Field(default="npz", description="of the files in a folder, one a video")
    max_clips: int | None = Field(
        default=None, ge=1, le=100_000, description="windows of a video, at most; the extractor's own rule if not given"
    )
    fps: int | None = Field(
        default=None, ge=1, le=240, description="frames a second that windows are made of; the extractor's own if not"
    )
    frames: int | None = Field(
        default=None, ge=1, le=1024, description="frames of a window; the extractor's own number if not given"
    )
    step: int | None = Field(
        default=None, ge=1, le=100_000, description="frames from one window's first to the next's; as many as it has"
    )
    max_damage: float = Field(
        default=1.0, ge=0, le=1, description="part of a file that may be undecodable; with more of it, it fails"
    )

    def rule(self, own: "ClipRule") -> "ClipRule":
        """An extractor's own rule with what was asked for in its place; windows of another length don't overlap."""
        asked = {name: getattr(self, name) for name in ("max_clips", "fps", "frames", "step")}
        if self.frames is not None and self.step is None:
            asked["step"] = self.frames
        return replace(own, **{name: value for name, value in asked.items() if value is not None})
