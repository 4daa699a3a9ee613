"""What a source is: where a dataset's videos, comments and media come from, behind one class.

A source lands raw material under `private/landing/<kind>`, gives the rows of one shard before scrubbing, a video's file
where it has files of its own, and every name of a person that it knows. Nothing outside a source asks which kind it is;
one writer (`csmv.pipeline.sources.tables`) scrubs, pseudonymizes and writes for all of them.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, ClassVar

from csmv.extractors.containers import VIDEO_SUFFIXES
from csmv.pipeline.failures import Failure
from csmv.pipeline.known_names import LANDING, KnownNames
from csmv.pipeline.landed_names import extracted_names, extracted_state
from csmv.pipeline.root import is_safe_id
from csmv.pipeline.schemas import FailureReason
from csmv.pipeline.sources.collect_settings import Connection, Manners
from csmv.pipeline.sources.pacing import Interval, Pacer, interval_for
from csmv.pipeline.store import Store
from csmv.pipeline.validated import Validated


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

    @property
    def values(self) -> tuple[str, ...]:
        """Everything that the person is called."""
        return tuple(value for value in (self.handle, *self.names, *self.ids) if value)


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
    removed: tuple[str, ...] = ()
    """Kinds of personal data that were taken out of the text before the source had it."""


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


def repeated_comments(video_id: str, number: int) -> Failure:
    """What to say of comments of a video whose ids another video's comments have: they cost only themselves."""
    text = f"{number:,} comments of it have the ids of another video's comments"
    return Failure(f"{video_id}:duplicates", FailureReason.DUPLICATE, text)


@dataclass(frozen=True)
class Part:
    """The share of one worker: the targets whose hash falls to `number` of `of`.

    `step` is one of the steps that a source lands in, one after the other, where it has several; `only` are the
    outcomes whose targets are to be tried once more, where it is not all that is left.
    """

    number: int = 0
    of: int = 1
    step: str = "all"
    only: tuple[str, ...] = ()

    def has(self, target: str) -> bool:
        """Whether a target is in this share."""
        digest = hashlib.sha256(target.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number


@dataclass(frozen=True)
class Reach:
    """How this machine reaches the outside, and what a run of a collection was asked to do differently.

    `pacer` gives the pace that all workers share; None means that this process has one of its own. `sample` is how many
    videos' files are tried, the same ones each time; None for all. `refresh_after` are the days after which a video is
    visited again; None for never. `interval_s` is the pace that this run was asked to keep.
    """

    connection: Connection = field(default_factory=Connection)
    pacer: Callable[[Store, Manners], Pacer] | None = None
    links: Path | None = None
    again: bool = False
    sample: int | None = None
    refresh_after: float | None = None
    interval_s: float | None = None
    watch: Callable[[str, Any], None] = lambda _target, _report: None

    def with_interval(self, manners: Manners) -> Manners:
        """Manners at the pace that this run was asked to keep, if it was."""
        return manners if self.interval_s is None else manners.model_copy(update={"interval_s": self.interval_s})

    def pace(self, store: Store, manners: Manners) -> Pacer:
        """The pace that all workers share, or one of this process."""
        if self.pacer is not None:
            return self.pacer(store, manners)
        interval = Interval(interval_for(self.with_interval(manners), self.connection))
        return Pacer(store, interval, manners.longest_wait_s)


@dataclass
class LandReport:
    """What landing brought, and why it ended early, if so; `left` targets may succeed in a later run.

    `passing` are the outcomes that may turn out well in this very run, with the pause in seconds after which they are
    tried once more. Sources with more to tell have a report class of their own.
    """

    landed: int = 0
    left: int = 0
    stopped: str = ""
    passing: dict[str, float] = field(default_factory=dict)

    def merge(self, other: Any) -> None:
        """Add another worker's report of the same source."""
        self.landed += other.landed
        self.left += other.left
        self.stopped = self.stopped or other.stopped
        self.passing |= other.passing


class Source(ABC):
    """One kind of source with its settings. Made from its section of dataset.yaml.

    A subclass names its kind and its section's class and gives `land`, `left`, `state` and `rows`; the rest has
    defaults that suit a source without files of its own, whose landing names persons by the usual keys
    (`csmv.pipeline.known_names`).
    """

    kind: ClassVar[str]
    """The word that stands for it in dataset.yaml."""

    section_class: ClassVar[type[Validated]]
    """The source's section of dataset.yaml; its field `kind` has `kind` as its only value."""

    identity: ClassVar[tuple[str, ...]] = ()
    """Fields of its section that make it another source when they change; a root takes that only when asked to."""

    grows: ClassVar[tuple[str, ...]] = ()
    """Fields of its section that may gain values and not lose any."""

    takes_targets: ClassVar[bool] = False
    """Whether hashtags, limits and lists of links can be laid over its section from the command line."""

    section: Any

    def __init__(self, section: Any) -> None:
        self.section = section

    @property
    def online(self) -> bool:
        """Whether landing asks anybody outside this machine, so that a stage that may not, must not land."""
        return False

    @property
    def landing(self) -> str:
        """The folder of the root in which everything raw is kept."""
        return f"{LANDING}/{self.kind}"

    @property
    def hashtags(self) -> tuple[str, ...]:
        """The hashtags that are its targets, without # and in small letters; empty where it has none."""
        return ()

    def open_hashtags(self, store: Store) -> list[str]:
        """Those of its hashtags that are not read to their end, where landing tells."""
        return []

    def expected_videos(self, links: Path | None = None) -> int:
        """About how many videos the source will bring, for the number of shards of a new root; 0 if it can't tell.

        Args:
            links: a file of links to collect, too.
        """
        return 0

    # ------------------------------------------------------------------ landing

    def prepare(self, store: Store, reach: Reach) -> None:  # noqa: B027  (nothing to prepare is the usual case)
        """Once before the parts: ask for permission, take in lists of links."""

    def parts(self, workers: int) -> Sequence[Sequence[Part]]:
        """The steps of a landing, each as parts that run at the same time; by default, one part does all."""
        return [[Part()]]

    @abstractmethod
    def land(self, store: Store, reach: Reach, part: Part) -> LandReport:
        """Bring one worker's share of what is not settled yet into the landing folder. Resumes.

        Raises:
            CsmvError: something that a person has to put right is missing (a folder, credentials, a list of links).
        """

    @abstractmethod
    def left(self, store: Store) -> int:
        """How many targets are not settled: 0 means that landing is as complete as it can be."""

    def remaining(self, store: Store) -> dict[str, int]:
        """The same, by what the targets are, in the plural."""
        return {"targets": self.left(store)}

    def reshard(self, old: Store, new: Store) -> None:
        """Bring what landed in a root into another that has another number of shards.

        By default every file is copied, and the number of a shard in its path, which stands before the id of a video of
        that shard, becomes the other root's. What is there and no older stays.
        """
        reshard_folder(self.landing, old, new)

    # ------------------------------------------------------------------ rows

    @abstractmethod
    def state(self, store: Store, shard: int) -> str:
        """A digest of the raw material that decides a shard's rows: equal on every machine; "" before it landed."""

    @abstractmethod
    def rows(self, store: Store, shard: int) -> Rows:
        """Everything the source has for one shard, from landing."""

    def reread(self, store: Store) -> None:  # noqa: B027  (a source that keeps nothing in memory has nothing to do)
        """Forget what this process has read of landing, and say anew in `failures/` what of its lists is unreadable."""

    def glance(self, store: Store, shard: int) -> str:
        """What decides `state`, told without reading what landed where the source can: equal glances, equal states."""
        return self.state(store, shard)

    def names(self, store: Store) -> KnownNames:
        """Every handle and display name that the source knows, as last read out of its landing."""
        return extracted_names(store, self.landing, ("handles", "display_names"))

    def names_state(self, store: Store) -> str:
        """A digest that changes whenever `names` may."""
        return extracted_state(store)

    def split_of(self, store: Store, shard: int) -> dict[str, str]:
        """Of a shard's comments: id as in the tables -> train, dev or test, where the source brings a split."""
        return {}

    def own_rows(self, store: Store) -> Iterator[dict[str, Any]]:
        """Rows of lists that stand outside the root and are not its to clean, for whoever has to name them."""
        yield from ()

    # ------------------------------------------------------------------ files

    @property
    def has_files(self) -> bool:
        """Whether `file` can give files, so that nothing is downloaded."""
        return False

    def file(self, store: Store, video_id: str) -> Path | None:
        """The source's own file of a video; None where the source has no files and media are downloaded."""
        return None

    @property
    def manners(self) -> Manners | None:
        """How politely the source asks a site; None if it asks none, or keeps a pace of its own."""
        return None


def video_file_in(folder: Path, video_id: str) -> Path | None:
    """The file of a video in a folder whose files are named by ids; None if it has none."""
    if not is_safe_id(video_id):
        return None
    return next((path for suffix in VIDEO_SUFFIXES if (path := folder / f"{video_id}{suffix}").is_file()), None)


def reshard_folder(folder: str, old: Store, new: Store) -> None:
    """Bring the files below a folder of landing into a root with another number of shards; see `Source.reshard`."""
    theirs = old.listing(folder)
    places = {name: resharded_path(name, old, new) for name in theirs}
    ours = new.listing(folder)
    for name, place in places.items():
        before = ours.get(place)
        if before is None or before.size != theirs[name].size or before.modified < theirs[name].modified:
            new.write_file(place, old.read_file(name))
    for place in ours.keys() - set(places.values()):
        new.remove(place)


def resharded_path(name: str, old: Store, new: Store) -> str:
    """The path of a file in a root with another number of shards: shard/video/... with the video's shard there."""
    parts = name.split("/")
    for at in range(len(parts) - 1):
        video = parts[at + 1].split(".", 1)[0]
        if re.fullmatch(r"\d{4}", parts[at]) and video and int(parts[at]) == old.shard_of(video):
            parts[at] = f"{new.shard_of(video):04d}"
            break
    return "/".join(parts)
