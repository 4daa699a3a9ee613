"""The section of dataset.yaml that asks for a split: apart, so that a command line has read it at once."""

from typing import Literal

from pydantic import Field, model_validator

from csmv.pipeline.validated import Validated


class SplitConfig(Validated):
    """How one split is made. `published` reads what the source brought and takes neither seed nor ratios."""

    kind: Literal["published", "comment", "video"] = Field(
        default="video",
        description="what stays together: a video, only a comment, or as the published split has it",
    )
    name: str | None = Field(
        default=None,
        pattern=r"^[0-9A-Za-z][0-9A-Za-z_-]{0,63}$",
        description="the split's name, of at most 64 letters, digits, '_' and '-'; left out, the kind",
    )
    seed: int = Field(default=3407, ge=0, description="decides who goes where")
    ratios: tuple[float, float, float] = Field(default=(7, 1, 2), description="shares of train, dev and test")

    @model_validator(mode="after")
    def _sound(self) -> "SplitConfig":
        if min(self.ratios) < 0 or self.ratios[0] <= 0:
            raise ValueError("ratios are train, dev, test shares: none below 0, and train above 0")
        return self

    @property
    def title(self) -> str:
        """The split's name in the root."""
        return self.name or self.kind
