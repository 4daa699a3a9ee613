"""The section of dataset.yaml that asks for a split: apart, so that a command line has read it at once."""

from typing import Literal

from pydantic import Field, model_validator

from csmv.pipeline.validated import Validated


class SplitConfig(Validated):
    """How one split is made. `published` takes neither seed nor ratios, and `time` no seed."""

    kind: Literal["published", "comment", "video", "creator", "hashtag", "time"] = Field(
        default="video",
        description=(
            "what stays together: a video, a creator's videos, videos with a common hashtag, only a comment; or train "
            "oldest and test newest (time); or as published"
        ),
    )
    name: str | None = Field(
        default=None,
        pattern=r"^[0-9A-Za-z][0-9A-Za-z_-]{0,63}$",
        description="the split's name, of at most 64 letters, digits, '_' and '-'; left out, the kind",
    )
    seed: int = Field(default=3407, ge=0, description="decides who goes where")
    ratios: tuple[float, float, float] = Field(default=(7, 1, 2), description="shares of train, dev and test")

    ignore_hashtags: tuple[str, ...] = Field(
        default=(),
        description="hashtags that keep no videos together, for the kind hashtag: those that all videos have",
    )

    @model_validator(mode="after")
    def _sound(self) -> "SplitConfig":
        if min(self.ratios) < 0 or self.ratios[0] <= 0:
            raise ValueError("ratios are train, dev, test shares: none below 0, and train above 0")
        if self.ignore_hashtags and self.kind != "hashtag":
            raise ValueError("ignore_hashtags is for the kind hashtag")
        return self

    @property
    def identity(self) -> str:
        """The settings as JSON, as splits record them; a field that came later is left out while it is empty."""
        return self.model_dump_json(exclude=set() if self.ignore_hashtags else {"ignore_hashtags"})

    @property
    def title(self) -> str:
        """The split's name in the root."""
        return self.name or self.kind
