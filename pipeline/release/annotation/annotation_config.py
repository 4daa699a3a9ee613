"""What is asked of annotators: apart, so that a command line has read it at once."""

from enum import StrEnum

from pydantic import Field, model_validator

from csmv.pipeline.schemas import CommentKind
from csmv.pipeline.validated import Validated


class MediaLink(StrEnum):
    """How annotators see a comment's video."""

    PLATFORM = "platform"  # the platform's page, by an address without the creator's handle
    LOCAL = "local"  # the root's media, which Label Studio serves from its own disk
    SIGNED = "signed"  # the root's media in an object store, by addresses that expire
    NONE = "none"


class BatchConfig(Validated):
    """Which comments one batch asks about, of how many annotators."""

    name: str = Field(
        default="batch-1",
        pattern=r"^[0-9A-Za-z][0-9A-Za-z_-]{0,31}$",
        description="the batch's name, of at most 32 letters, digits, '_' and '-'",
    )
    hashtags: tuple[str, ...] = Field(default=(), description="only videos with one of these hashtags")
    languages: tuple[str, ...] = Field(default=(), description="only comments in these languages, such as en")
    kinds: tuple[CommentKind, ...] = Field(
        default=(CommentKind.TEXT,), description="what comments consist of: text, sticker, picture"
    )
    fewest: int = Field(default=2, ge=1, description="comments that a video must have to be asked about")
    most: int = Field(default=20, ge=1, description="comments asked about a video, at most")
    comments: int | None = Field(default=None, ge=1, description="comments asked about altogether; left out, all")
    each: int = Field(default=3, ge=1, le=20, description="annotators that label a comment")
    overlap: float = Field(
        default=1.0, ge=0, le=1, description="share of the comments that get so many annotators; the others get one"
    )
    annotators: int | None = Field(
        default=None, ge=1, le=100, description="lists of tasks, one an annotator; left out, as many as label a comment"
    )
    gold: int = Field(
        default=0, ge=0, description="comments with a label that counts already, put among everybody's tasks"
    )
    seed: int = Field(default=3407, ge=0, description="decides which comments, for whom, in which order")
    media: MediaLink = Field(
        default=MediaLink.PLATFORM, description="how the video is shown: platform, local, signed, none"
    )
    signed_hours: float = Field(default=24 * 14, gt=0, description="hours after which signed addresses expire")

    @model_validator(mode="after")
    def _sound(self) -> "BatchConfig":
        if self.most < self.fewest:
            raise ValueError("most comments a video can't be fewer than the fewest")
        if self.lists < self.each:
            raise ValueError("a comment can't have more annotators than there are")
        return self

    @property
    def lists(self) -> int:
        """How many lists of tasks there are, one an annotator."""
        return self.each if self.annotators is None else self.annotators

    @property
    def identity(self) -> str:
        """The settings that decide which comments are asked of whom, as JSON."""
        return self.model_dump_json(exclude={"media", "signed_hours"})
