"""How a review of a scrub samples texts, as the options of a command, and where it leaves what; loads nothing heavy."""

from pydantic import Field

from csmv.pipeline.validated import Validated

REVIEWS = "private/review"
"""The folder of a root for pages that show raw comments. A request to forget deletes them."""
REVIEW_PAGE = f"{REVIEWS}/scrub.html"
REVIEW_COUNTS = "reports/scrub.json"
"""What a review of a root counted, without a text or a name."""
EXPLORER_PAGE = "reports/explorer.html"
"""The report's page that holds the scrubbed comments themselves. A request to forget deletes it, too."""


class ReviewSettings(Validated):
    """How many texts a review shows, and which. Not part of a dataset's configuration."""

    samples: int = Field(
        default=8, ge=1, le=200, description="texts that the review page shows of each rule and each trigger"
    )
    seed: int = Field(default=0, ge=0, description="with another one the review page shows other texts")
