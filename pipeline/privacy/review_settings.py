"""How a review of a scrub samples texts, as the options of a command; loads nothing heavy."""

from pydantic import Field

from csmv.pipeline.validated import Validated


class ReviewSettings(Validated):
    """How many texts a review shows, and which. Not part of a dataset's configuration."""

    samples: int = Field(
        default=8, ge=1, le=200, description="texts that the review page shows of each rule and each trigger"
    )
    seed: int = Field(default=0, ge=0, description="with another one the review page shows other texts")
