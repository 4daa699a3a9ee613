"""What a source is: where a dataset's videos, comments and media come from, behind one class.

A source lands raw material under `private/landing`, gives the rows of one shard before scrubbing, a video's file where
it has files of its own, and every name of a person that it knows. Nothing outside a source asks which kind it is; one
writer (`pipeline.sources.tables`) scrubs, pseudonymizes and writes for all of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, ClassVar

from pipeline.known_names import KnownNames
from pipeline.sources.pacing import Pacer
from pipeline.sources.settings import Connection, Manners
from pipeline.store import Failure, Store


@dataclass(frozen=True, repr=False)
class Person:
    """Who wrote or published something. Personal: stays in memory, prints nothing of itself."""

    handle: str = ""
    names: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What the person's pseudonym is made from: the first id, else the handle in small letters; may be empty."""
        return self.ids[0] if self.ids else self.handle.lstrip("@").casefold()


@dataclass(frozen=True, repr=False)
class VideoRow:
    """A video as a source knows it, before scrubbing."""

    video_id: str
    url: str | None = None
    description: str = ""
    hashtags: tuple[str, ...] = ()
    created_at: datetime | None = None
    comment_count: int | None = None
    like_count: int | None = None
    play_count: int | None = None
    share_count: int | None = None
    language: str | None = None
    creator: Person | None = None


@dataclass(frozen=True, repr=False)
class CommentRow:
    """A comment as a source knows it, before scrubbing.

    `id` and `reply_to` are raw ids, which become pseudonyms, unless `published_id` says that they are published data
    ids that are kept as they are.
    """

    id: str
    video_id: str
    text: str
    like_count: int | None = None
    reply_to: str | None = None
    created_on: date | None = None
    language: str | None = None
    author: Person | None = None
    by_creator: bool | None = None
    pinned: bool | None = None
    kind: str | None = None
    published_id: bool = False


@dataclass(frozen=True)
class LabelRow:
    """A label of a comment of the same shard; `comment` is the comment's id as its CommentRow has it."""

    comment: str
    opinion: str | None
    emotion: str | None
    source: str = "published"


@dataclass(frozen=True, repr=False)
class Rows:
    """What a source has for one shard. `failures` is everything that could not be used, exactly."""

    videos: Sequence[VideoRow] = ()
    comments: Sequence[CommentRow] = ()
    labels: Sequence[LabelRow] = ()
    failures: Sequence[Failure] = ()


@dataclass(frozen=True)
class Part:
    """The share of one worker: the targets whose hash falls to `number` of `of`."""

    number: int = 0
    of: int = 1


@dataclass(frozen=True)
class Reach:
    """How this machine reaches the outside, and what a run of a collection was asked to do differently."""

    connection: Connection = field(default_factory=Connection)
    pacer: Callable[[Store, Manners], Pacer] | None = None
    links: Path | None = None
    again: bool = False
    watch: Callable[[str, Any], None] = lambda _target, _report: None


@dataclass
class LandReport:
    """What landing brought, and why it ended early, if so; `left` targets may succeed in a later run."""

    landed: int = 0
    left: int = 0
    stopped: str = ""
    details: dict[str, Any] = field(default_factory=dict)


class Source(ABC):
    """One kind of source with its settings. Made from its section of dataset.yaml."""

    kind: ClassVar[str]

    @abstractmethod
    def land(self, store: Store, reach: Reach, part: Part) -> LandReport:
        """Bring one worker's share of what is not settled yet into `private/landing`. Resumes.

        Raises:
            CsmvError: something that a person has to put right is missing (a folder, credentials, a list of links).
        """

    @abstractmethod
    def left(self, store: Store) -> int:
        """How many targets are not settled: 0 means that landing is as complete as it can be."""

    @abstractmethod
    def state(self, store: Store, shard: int) -> str:
        """A digest of the raw material that decides a shard's rows: equal on every machine, names nobody."""

    @abstractmethod
    def rows(self, store: Store, shard: int) -> Rows:
        """Everything the source has for one shard, from landing."""

    @abstractmethod
    def names(self, store: Store) -> KnownNames:
        """Every handle, display name and raw id of a person that the source knows."""

    def split_of(self, store: Store) -> dict[str, str]:
        """Comment id as in the tables -> train, dev or test, where the source brings a published split."""
        return {}

    def file(self, store: Store, video_id: str) -> Path | None:
        """The source's own file of a video; None where the source has no files and media are downloaded."""
        return None

    @property
    def has_files(self) -> bool:
        """Whether `file` can give files, so that nothing is downloaded."""
        return False
