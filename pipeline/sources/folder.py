"""Reads a folder of videos and a JSONL of comments into the tables of a root, one shard at a time.

Text is scrubbed and ids become pseudonyms before a table is written. A row that can't be used costs only itself:
`failures/source` names its line and what is wrong with it, and never quotes it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import pyarrow as pa
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, StringConstraints, ValidationError

from pipeline.errors import CsmvError
from pipeline.privacy.forgotten import Forgotten
from pipeline.progress import track
from pipeline.pseudonym import Pseudonymiser
from pipeline.schemas import COMMENTS, LABELS, VIDEOS, FailureReason, MediaStatus
from pipeline.scrub import ScrubPolicy
from pipeline.sources.media_columns import MEDIA_COLUMNS, keep_media_columns
from pipeline.store import Failure, Store, is_safe_id

if TYPE_CHECKING:
    from pipeline.config import FolderSource
    from pipeline.scrub import Scrubber

STAGE = "source"
LABEL_SOURCE = "published"
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi")
"""What counts as a video by its name; of two files with one stem the earlier suffix wins."""

_MOST_LIKES = 2**63 - 1


def _day(value: object) -> object:
    if not isinstance(value, str) or len(value) <= len("2024-05-31"):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("expected a day such as 2024-05-31") from None
    return moment.astimezone(UTC).date() if moment.tzinfo else moment.date()


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _bare(value: object) -> object:
    return value.strip().lstrip("@") if isinstance(value, str) else value


_Id = Annotated[str, BeforeValidator(_as_text), StringConstraints(min_length=1, max_length=256)]
_Handle = Annotated[str, BeforeValidator(_bare)]
_Count = Annotated[int, Field(strict=True, ge=0, le=_MOST_LIKES)]
_Opinion = Literal["positive", "neutral", "negative"]
_Emotion = Literal["joy", "disgust", "surprise", "sadness", "trust", "fear", "anger", "anticipation"]


class _Row(BaseModel):
    # Nothing of a row may come out in a traceback or a log, whoever prints it.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    __str__ = __repr__


_RowKind = TypeVar("_RowKind", bound=_Row)


class VideoRow(_Row):
    """A line of videos.jsonl. `video` is the file's name without its suffix."""

    video: _Id
    description: str | None = None
    hashtags: tuple[str, ...] = ()
    created_at: datetime | None = None
    comment_count: _Count | None = None
    creator: _Handle | None = None


class CommentRow(_Row):
    """A line of comments.jsonl. `author` helps to scrub and is never stored."""

    id: _Id
    video: _Id
    text: Annotated[str, StringConstraints(pattern=r"\S")]
    like_count: _Count | None = None
    reply_to: _Id | None = None
    created_on: Annotated[date | None, BeforeValidator(_day)] = None
    author: _Handle | None = None
    opinion: _Opinion | None = None
    emotion: _Emotion | None = None


@dataclass(frozen=True, repr=False)
class Listing:
    """What a folder holds, before anything is scrubbed. Stays in memory."""

    files: dict[str, Path]
    videos: dict[str, VideoRow]
    comments: tuple[CommentRow, ...]
    rejected: tuple[tuple[str, Failure], ...]
    """What can't be used, each with the key that decides its shard."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The handles of all creators and authors, sorted: the scrubber looks for them without an @ as well."""
        handles = {row.creator for row in self.videos.values()} | {row.author for row in self.comments}
        return tuple(sorted(handle for handle in handles if handle))


@dataclass(frozen=True)
class SourceSummary:
    """How much an ingest found. `reused` counts shards that were up to date already."""

    videos: int = 0
    comments: int = 0
    labelled: int = 0
    rejected: int = 0
    reused: int = 0

    def __add__(self, other: "SourceSummary") -> "SourceSummary":
        return SourceSummary(**{name: value + getattr(other, name) for name, value in vars(self).items()})


def ingest(store: Store, source: "FolderSource", key: SecretStr) -> SourceSummary:
    """Bring every shard's videos, comments and labels up to date with the folder.

    Raises CsmvError if the folder or a file that the source names is not there.
    """
    total = SourceSummary()
    with track("comments and videos", store.n_shards) as tick:
        for shard in store.shards():
            total += ingest_shard(store, source, key, shard)
            tick(1)
    return total


def ingest_shard(store: Store, source: "FolderSource", key: SecretStr, shard: int) -> SourceSummary:
    """Write one shard of videos, comments and labels, unless it is there already and the folder says the same.

    `key` makes the comments' pseudonyms. Killed at any moment and run again, it ends in the same bytes.
    """
    listing, gone = read_folder(source), Forgotten.of(store)
    videos = [
        row
        for name, row in sorted(listing.videos.items())
        if store.shard_of(name) == shard and not gone.is_forgotten_video(name)
        if not gone.is_forgotten_person(row.creator)
    ]
    here = {row.video for row in videos}
    comments = [
        row
        for row in listing.comments
        if row.video in here and not gone.is_forgotten_comment(row.id) and not gone.is_forgotten_person(row.author)
    ]
    rejected = [failure for place, failure in listing.rejected if store.shard_of(place) == shard]
    found = SourceSummary(len(videos), len(comments), sum(_is_labelled(row) for row in comments), len(rejected))

    pseudonyms = Pseudonymiser(key)
    policy = store.config.scrub
    # A request may take a name out of texts whose rows stay.
    state = pseudonyms.comment_id(_fingerprint(policy, listing.names, videos, comments, rejected) + gone.digest)
    marker = f"private/ingest/{shard:04d}"
    tables = [f"{table}/{shard:04d}.parquet" for table in ("videos", "comments", "labels")]
    if all(map(store.exists, [marker, *tables])) and store.read_file(marker).decode() == state:
        return found + SourceSummary(reused=1)

    scrubber = _scrubber(policy, key, listing.names)
    store.write("comments", shard, _comments(comments, scrubber, pseudonyms))
    store.write("labels", shard, _labels(comments, pseudonyms))
    store.write("videos", shard, keep_media_columns(store.read("videos", shard), _videos(videos, scrubber)))
    _settle_failures(store, shard, rejected)
    store.write_file(marker, state.encode())
    return found


# ---------------------------------------------------------------------- reading


def read_folder(source: "FolderSource") -> Listing:
    """All that the folder holds. Read once a process as long as its files stay as they are."""
    folder = Path(source.path).expanduser()
    if not folder.is_dir():
        raise CsmvError(f"The folder '{source.path}' is not there; it should hold videos and {source.comments}.")
    comments = _named(folder, source.comments, "comments")
    described = _named(folder, source.videos, "videos") if source.videos else folder / "videos.jsonl"
    files = tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()))
    present = (comments, described) if described.is_file() else (comments,)
    return _read(present, files, tuple((path.stat().st_size, path.stat().st_mtime_ns) for path in present))


def _named(folder: Path, name: str, what: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise CsmvError(f"The {what} file '{path}' is not there: name the right one, or put it there.")
    return path


@lru_cache(maxsize=1)
def _read(lists: tuple[Path, ...], files: tuple[Path, ...], _state: tuple[tuple[int, int], ...]) -> Listing:
    rejected: list[tuple[str, Failure]] = []
    found = _video_files(files, rejected)
    videos = _video_rows(lists[1], rejected) if len(lists) > 1 else {}
    for name in found:
        videos.setdefault(name, VideoRow(video=name))
    comments = tuple(_comment_rows(lists[0], videos, rejected))
    return Listing(found, videos, comments, tuple(rejected))


def _video_files(files: Sequence[Path], rejected: list[tuple[str, Failure]]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    ranked = sorted(files, key=lambda path: (path.stem, VIDEO_SUFFIXES.index(path.suffix.lower()), path.name))
    for number, path in enumerate(ranked, start=1):
        name = path.stem
        if not is_safe_id(name):
            # The name may be anybody's handle, so the failure gives its place in the listing instead.
            key = f"file {number} by name"
            rejected.append((key, Failure(key, FailureReason.UNSAFE_ID, "the file's name can't be a video id")))
        elif name in found:
            key = f"{name}{path.suffix}"
            rejected.append((name, Failure(key, FailureReason.DUPLICATE, f"{found[name].suffix} is used instead")))
        else:
            found[name] = path
    return found


def _video_rows(path: Path, rejected: list[tuple[str, Failure]]) -> dict[str, VideoRow]:
    rows: dict[str, VideoRow] = {}
    for key, row in _rows(path, VideoRow, rejected):
        if not is_safe_id(row.video):
            rejected.append((key, Failure(key, FailureReason.UNSAFE_ID, "'video' can't be a video id")))
        elif row.video in rows:
            rejected.append((row.video, Failure(key, FailureReason.DUPLICATE, "the video was described above")))
        else:
            rows[row.video] = row
    return rows


def _comment_rows(path: Path, videos: dict[str, VideoRow], rejected: list[tuple[str, Failure]]) -> Iterator[CommentRow]:
    seen: set[str] = set()
    for key, row in _rows(path, CommentRow, rejected):
        if not is_safe_id(row.video):
            rejected.append((key, Failure(key, FailureReason.UNSAFE_ID, "'video' can't be a video id")))
        elif row.video not in videos:
            rejected.append((key, Failure(key, FailureReason.UNKNOWN_VIDEO, "the folder has no such video")))
        elif row.id in seen:
            rejected.append((row.video, Failure(key, FailureReason.DUPLICATE, "the comment's id stands above")))
        else:
            seen.add(row.id)
            yield row


def _rows(path: Path, kind: type[_RowKind], rejected: list[tuple[str, Failure]]) -> Iterator[tuple[str, _RowKind]]:
    """The usable rows of a JSONL file, each with its name, "<file>:<line>"."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            key = f"{path.name}:{number}"
            try:
                yield key, kind.model_validate_json(line.removeprefix(b"\xef\xbb\xbf"))
            except ValidationError as error:
                rejected.append((key, Failure(key, FailureReason.BAD_ROW, _what_is_wrong(error))))


def _what_is_wrong(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if problem["type"] == "json_invalid":
        return "this line is not JSON"
    if not problem["loc"]:
        return "this line is not a JSON object"
    field = problem["loc"][0]
    if problem["type"] == "missing":
        return f"'{field}' is missing"
    if problem["type"] == "string_pattern_mismatch":
        return f"'{field}' is blank"
    return f"'{field}': {problem['msg'][:1].lower()}{problem['msg'][1:]}"


# ---------------------------------------------------------------------- writing


@lru_cache(maxsize=1)
def _scrubber(policy: ScrubPolicy, key: SecretStr, names: tuple[str, ...]) -> "Scrubber":
    from pipeline.scrub import Scrubber  # loads Presidio

    return Scrubber(policy, key=key, names=names)


def _comments(rows: Sequence[CommentRow], scrubber: "Scrubber", pseudonyms: Pseudonymiser) -> pa.Table:
    scrubbed = scrubber.scrub([row.text for row in rows])
    return _table(
        COMMENTS.schema,
        comment_id=[pseudonyms.comment_id(row.id) for row in rows],
        video_id=[row.video for row in rows],
        text=[text.text for text in scrubbed],
        pii=[sorted(set(map(str, text.kinds))) for text in scrubbed],
        like_count=[row.like_count for row in rows],
        reply_to=[None if row.reply_to is None else pseudonyms.comment_id(row.reply_to) for row in rows],
        created_on=[row.created_on for row in rows],
    )


def _labels(rows: Sequence[CommentRow], pseudonyms: Pseudonymiser) -> pa.Table:
    labelled = [row for row in rows if _is_labelled(row)]
    return _table(
        LABELS.schema,
        comment_id=[pseudonyms.comment_id(row.id) for row in labelled],
        opinion=[row.opinion for row in labelled],
        emotion=[row.emotion for row in labelled],
        source=[LABEL_SOURCE] * len(labelled),
    )


def _videos(rows: Sequence[VideoRow], scrubber: "Scrubber") -> pa.Table:
    nothing = [None] * len(rows)
    descriptions = scrubber.scrub([row.description or "" for row in rows])
    return _table(
        VIDEOS.schema,
        video_id=[row.video for row in rows],
        url=nothing,
        hashtags=[_hashtags(row.hashtags, scrubber) for row in rows],
        description=[text.text or None for text in descriptions],
        created_at=[_utc(row.created_at) for row in rows],
        comment_count=[row.comment_count for row in rows],
        **dict.fromkeys(MEDIA_COLUMNS, nothing) | {"media_status": [str(MediaStatus.PENDING)] * len(rows)},
    )


def _hashtags(tags: Sequence[str], scrubber: "Scrubber") -> list[str]:
    """Hashtags without #, in small letters, sorted; one that holds personal data is left out."""
    bare = sorted({tag.strip().lstrip("#").casefold() for tag in tags} - {""})
    return [tag for tag, found in zip(bare, scrubber.scrub(bare), strict=True) if not found.kinds]


def _utc(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def _table(schema: pa.Schema, **columns: list[Any]) -> pa.Table:
    return pa.table([pa.array(columns[field.name], field.type) for field in schema], schema=schema)


def _is_labelled(row: CommentRow) -> bool:
    return row.opinion is not None or row.emotion is not None


def _settle_failures(store: Store, shard: int, wanted: Iterable[Failure]) -> None:
    """Make failures/source say exactly `wanted`; a row that says so already keeps its date and attempts."""
    now = {failure.key: failure for failure in wanted}
    before = store.read(f"failures/{STAGE}", shard)
    said = {} if before is None else {row["key"]: (row["reason"], row["detail"]) for row in before.to_pylist()}
    store.clear_failures(STAGE, shard, said.keys() - now.keys())
    news = [failure for failure in now.values() if said.get(failure.key) != (str(failure.reason), failure.detail)]
    store.record_failures(STAGE, shard, news)


def _fingerprint(policy: ScrubPolicy, names: Sequence[str], *rows: Iterable[object]) -> str:
    """SHA-256 of all that decides a shard's tables: the rows, the handles, the policy, this version of csmv."""
    digest = hashlib.sha256(f"{version('csmv')}\n{policy.model_dump_json()}\n{names}".encode())
    for group in rows:
        for row in group:
            text = row.model_dump_json() if isinstance(row, BaseModel) else repr(row)
            digest.update(text.encode() + b"\n")
        digest.update(b"--\n")
    return digest.hexdigest()
