"""A folder of videos with a JSONL of comments: what people have who collected by other means.

Its lists are read once and parted by shard. A row that can't be used costs only itself: its failure names its line and
what is wrong with it, and never quotes it.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, StringConstraints, ValidationError

from csmv.extractors.containers import VIDEO_SUFFIXES
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import Failure
from csmv.pipeline.known_names import COMMENT_KEY
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.privacy.hidden_ids import HIDDEN_IDS, HiddenIds
from csmv.pipeline.pseudonym import Pseudonymiser
from csmv.pipeline.root import is_safe_id
from csmv.pipeline.schemas import FailureReason
from csmv.pipeline.sources.base import (
    CommentRow,
    LabelRow,
    LandReport,
    Part,
    Person,
    Reach,
    Rows,
    Source,
    VideoRow,
)
from csmv.pipeline.sources.by_shard import (
    digest_of,
    inputs_of,
    is_landed,
    land_parts,
    look_of,
    part_anew,
    part_state,
    read_part,
)
from csmv.pipeline.store import Store
from csmv.pipeline.validated import Validated

_RECIPE = 2
"""Of landing: another number makes every folder land anew."""
_NAMES_STAY = 1
"""Of roots that were made before names in ids were hidden: they go on as they began, and the audit tells them."""
_MOST = 2**63 - 1


class FolderSource(Validated):
    """A folder of videos, a JSONL of comments, and labels if there are any: see `csmv.pipeline.sources.folder`."""

    kind: Literal["folder"] = "folder"
    path: str
    comments: str = "comments.jsonl"
    videos: str | None = Field(default=None, description="a JSONL about the videos, if there is one")


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
_Count = Annotated[int, Field(strict=True, ge=0, le=_MOST)]
_Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$")]
_Opinion = Literal["positive", "neutral", "negative"]
_Emotion = Literal["joy", "disgust", "surprise", "sadness", "trust", "fear", "anger", "anticipation"]


class _Row(BaseModel):
    # Nothing of a row may come out in a traceback or a log, whoever prints it.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    __str__ = __repr__


_RowKind = TypeVar("_RowKind", bound=_Row)


class VideoLine(_Row):
    """A line of videos.jsonl. `video` is the file's name without its suffix; its pseudonym, where it holds a name."""

    video: _Id
    description: str | None = None
    hashtags: tuple[str, ...] = ()
    created_at: datetime | None = None
    comment_count: _Count | None = None
    like_count: _Count | None = None
    play_count: _Count | None = None
    share_count: _Count | None = None
    language: _Language | None = None
    creator: _Handle | None = None


class CommentLine(_Row):
    """A line of comments.jsonl. `author` helps to scrub, and is stored as a keyed pseudonym only."""

    id: _Id
    video: _Id
    text: Annotated[str, StringConstraints(pattern=r"\S")]
    like_count: _Count | None = None
    reply_to: _Id | None = None
    created_on: Annotated[date | None, BeforeValidator(_day)] = None
    language: _Language | None = None
    author: _Handle | None = None
    by_creator: Annotated[bool, Field(strict=True)] | None = None
    pinned: Annotated[bool, Field(strict=True)] | None = None
    kind: Literal["text", "sticker", "picture"] | None = None
    opinion: _Opinion | None = None
    emotion: _Emotion | None = None


class Folder(Source):
    """Videos from files, comments and labels from JSONL."""

    kind: ClassVar[str] = "folder"
    section_class: ClassVar[type[Validated]] = FolderSource
    identity: ClassVar[tuple[str, ...]] = ("path",)
    section: FolderSource

    def expected_videos(self, links: Path | None = None) -> int:
        """The films in the folder; 0 where it is not there."""
        folder = Path(self.section.path).expanduser()
        return len(_films_in(folder)) if folder.is_dir() else 0

    def land(self, store: Store, reach: Reach, part: Part) -> LandReport:
        """Part the lists by shard, unless that was done of the very same files.

        Raises:
            CsmvError: the folder or a file that the section names is not there.
        """
        folder, lists = self._lists()
        films = _films_in(folder)
        inputs = self._inputs(store, films)
        if is_landed(store, self.landing, inputs, lists):
            return LandReport()
        # Looked at before they are read: a file that changes meanwhile lands again the next time.
        looks = {name: look_of(path) for name, path in lists.items()}
        ids = None if inputs["recipe"] == _NAMES_STAY else HiddenIds(store, self._persons(store))
        listing = _read(lists["comments"], lists.get("videos"), films)
        if ids is not None:
            for name in listing.videos:
                ids.public(name)
            ids.keep()  # before anything has landed that a run without it would undo
        lines = _parted(store, listing, ids.public if ids is not None else str)
        return LandReport(land_parts(store, self.landing, lines, {**inputs, "files": looks}))

    def left(self, store: Store) -> int:
        """1 until the folder has landed as it is now. What has landed of a folder that is gone stays as it is."""
        landed = part_state(store, self.landing, 0) != ""
        if landed and not Path(self.section.path).expanduser().is_dir():
            return 0
        folder, lists = self._lists()
        return int(not (landed and is_landed(store, self.landing, self._inputs(store, _films_in(folder)), lists)))

    def _inputs(self, store: Store, films: Sequence[Path]) -> dict[str, Any]:
        begun = inputs_of(store, self.landing) is not None or store.exists("videos/0000.parquet")
        recipe = _NAMES_STAY if begun and not store.exists(HIDDEN_IDS) else _RECIPE
        inputs = {"recipe": recipe, "films": digest_of([path.name for path in films]), "n_shards": store.n_shards}
        # Whoever is forgotten may be named by a file, too.
        gone = Forgotten.of(store).digest
        return inputs | ({"forgotten": gone} if gone and recipe == _RECIPE else {})

    def _persons(self, store: Store) -> set[str]:
        rows = self.own_rows(store)
        return {name for row in rows for key in ("author", "creator") if isinstance(name := row.get(key), str)}

    def state(self, store: Store, shard: int) -> str:
        """The digest of the shard's part."""
        return part_state(store, self.landing, shard)

    def rows(self, store: Store, shard: int) -> Rows:
        """The shard's videos, with a file or described, their comments and labels, and the lines that are no use."""
        videos: list[VideoLine] = []
        comments: list[CommentLine] = []
        failures: list[Failure] = []
        for line in read_part(store, self.landing, shard):
            # What was forgotten stands there as null: the row, or the ids in it.
            if video := line.get("video"):
                if video["video"] is not None:
                    videos.append(VideoLine.model_validate(video))
            elif comment := line.get(COMMENT_KEY):
                if comment["video"] is not None and comment["id"] is not None:
                    comments.append(CommentLine.model_validate(comment))
            elif (failure := line.get("failure")) is not None:
                failures.append(Failure(failure[0], FailureReason(failure[1]), failure[2]))
        creators = {row.video: row.creator for row in videos if row.creator}
        return Rows(
            [_video(row) for row in videos],
            [_comment(row, creators.get(row.video)) for row in comments],
            [LabelRow(row.id, row.opinion, row.emotion) for row in comments if row.opinion or row.emotion],
            failures,
        )

    def reshard(self, old: Store, new: Store) -> None:
        """Part the lines anew, in the order in which they would land in a root with so many shards."""

        def order(line: dict[str, Any]) -> tuple[int, str, int]:
            if "video" in line:
                return 0, str((line["video"] or {}).get("video") or ""), 0
            if COMMENT_KEY in line:
                return 1, "", int(line.get("line", 0))
            # Of films, of the list of videos, of the list of comments.
            file, _, number = str((line.get("failure") or [""])[0]).rpartition(":")
            is_line = bool(file) and number.isdecimal()
            return 2 + is_line + (is_line and file == self.section.comments), "", int(number) if is_line else 0

        part_anew(old, new, self.landing, _place_of, order)
        hidden = old.read_if_there(HIDDEN_IDS)
        if hidden is not None:
            new.write_file(HIDDEN_IDS, hidden)

    def own_rows(self, store: Store) -> Iterator[dict[str, Any]]:
        """The rows of the folder's lists as they are there now; none where it is gone."""
        try:
            lists = self._lists()[1]
        except CsmvError:
            return
        for path in lists.values():
            with path.open("rb") as lines:
                for line in lines:
                    try:
                        row = json.loads(line)
                    except ValueError:
                        continue
                    if isinstance(row, dict):
                        yield row

    @property
    def has_files(self) -> bool:
        """Always: a video without a file is a failure of the media stage."""
        return True

    def file(self, store: Store, video_id: str) -> Path | None:
        """The video's file in the folder. Raises CsmvError if the folder is not there."""
        folder = self._folder()
        films = _films_by_name(folder, folder.stat().st_mtime_ns)
        if video_id in films or not store.exists(HIDDEN_IDS):
            return films.get(video_id)
        return _films_by_pseudonym(folder, folder.stat().st_mtime_ns, store.key()).get(video_id)

    def _folder(self) -> Path:
        folder = Path(self.section.path).expanduser()
        if not folder.is_dir():
            raise CsmvError(
                f"The folder '{self.section.path}' is not there; it should hold videos and {self.section.comments}."
            )
        return folder

    def _lists(self) -> tuple[Path, dict[str, Path]]:
        folder = self._folder()
        lists = {"comments": _named(folder, self.section.comments, "comments")}
        described = folder / "videos.jsonl"
        if self.section.videos:
            described = _named(folder, self.section.videos, "videos")
        return folder, lists | ({"videos": described} if described.is_file() else {})


def _named(folder: Path, name: str, what: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise CsmvError(f"The {what} file '{path}' is not there: name the right one, or put it there.")
    return path


# ---------------------------------------------------------------------- landing


@dataclass(frozen=True, repr=False)
class _Listing:
    """What a folder holds: the usable rows with their lines, and the others' failures with what decides their shard.

    Comments are read while they are iterated, and what is rejected of them is there afterwards.
    """

    videos: dict[str, tuple[int, VideoLine]]
    comments: Iterator[tuple[int, CommentLine]]
    rejected: list[tuple[str, Failure]]


def _parted(store: Store, listing: _Listing, public: Callable[[str], str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for name, (number, video) in sorted(listing.videos.items()):
        row = video.model_dump(mode="json", exclude_none=True) | {"video": public(name)}
        yield store.shard_of(row["video"]), {"line": number, "video": row}
    for number, comment in listing.comments:
        row = comment.model_dump(mode="json", exclude_none=True) | {"video": public(comment.video)}
        yield store.shard_of(row["video"]), {"line": number, COMMENT_KEY: row}
    for place, failure in listing.rejected:
        # The place decides the shard, in a root with another number of them too.
        is_of_video = place in listing.videos
        shown = public(place) if is_of_video else place
        key = shown + failure.key.removeprefix(place) if is_of_video and failure.key.startswith(place) else failure.key
        yield store.shard_of(shown), {"failure": [key, str(failure.reason), failure.detail, shown]}


def _place_of(line: dict[str, Any]) -> str:
    """What decides the shard of a line; empty where nothing does any more."""
    if failure := line.get("failure"):
        return str(failure[-1] if len(failure) > 3 else failure[0])
    return str((line.get("video") or line.get(COMMENT_KEY) or {}).get("video") or "")


def _films_in(folder: Path) -> list[Path]:
    """The video files, those of one stem in the order in which they are preferred."""
    films = [path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]
    return sorted(films, key=lambda path: (path.stem, VIDEO_SUFFIXES.index(path.suffix.lower()), path.name))


@lru_cache(maxsize=1)
def _films_by_name(folder: Path, _mtime_ns: int) -> dict[str, Path]:
    return _chosen(_films_in(folder), [])


@lru_cache(maxsize=1)
def _films_by_pseudonym(folder: Path, mtime_ns: int, key: SecretStr) -> dict[str, Path]:
    pseudonyms = Pseudonymiser(key)
    return {pseudonyms.video_id(name): path for name, path in _films_by_name(folder, mtime_ns).items()}


def _chosen(films: Sequence[Path], rejected: list[tuple[str, Failure]]) -> dict[str, Path]:
    chosen: dict[str, Path] = {}
    for number, path in enumerate(films, start=1):
        name = path.stem
        if not is_safe_id(name):
            # The name may be anybody's handle, so the failure gives its place in the listing instead.
            key = f"file {number} by name"
            rejected.append((key, Failure(key, FailureReason.UNSAFE_ID, "the file's name can't be a video id")))
        elif name in chosen:
            key = f"{name}{path.suffix}"
            rejected.append((name, Failure(key, FailureReason.DUPLICATE, f"{chosen[name].suffix} is used instead")))
        else:
            chosen[name] = path
    return chosen


def _read(comments: Path, described: Path | None, films: Sequence[Path]) -> _Listing:
    rejected: list[tuple[str, Failure]] = []
    names = _chosen(films, rejected)
    videos = _video_lines(described, rejected) if described else {}
    for name in names:
        videos.setdefault(name, (0, VideoLine(video=name)))
    return _Listing(videos, _comment_lines(comments, videos, rejected), rejected)


def _video_lines(path: Path, rejected: list[tuple[str, Failure]]) -> dict[str, tuple[int, VideoLine]]:
    rows: dict[str, tuple[int, VideoLine]] = {}
    for number, row in _lines(path, VideoLine, rejected):
        key = f"{path.name}:{number}"
        if not is_safe_id(row.video):
            rejected.append((key, Failure(key, FailureReason.UNSAFE_ID, "'video' can't be a video id")))
        elif row.video in rows:
            rejected.append((row.video, Failure(key, FailureReason.DUPLICATE, "the video was described above")))
        else:
            rows[row.video] = (number, row)
    return rows


def _comment_lines(
    path: Path, videos: dict[str, tuple[int, VideoLine]], rejected: list[tuple[str, Failure]]
) -> Iterator[tuple[int, CommentLine]]:
    seen: set[str] = set()
    for number, row in _lines(path, CommentLine, rejected):
        key = f"{path.name}:{number}"
        if not is_safe_id(row.video):
            rejected.append((key, Failure(key, FailureReason.UNSAFE_ID, "'video' can't be a video id")))
        elif row.video not in videos:
            rejected.append((key, Failure(key, FailureReason.UNKNOWN_VIDEO, "the folder has no such video")))
        elif row.id in seen:
            rejected.append((row.video, Failure(key, FailureReason.DUPLICATE, "the comment's id stands above")))
        else:
            seen.add(row.id)
            yield number, row


def _lines(path: Path, kind: type[_RowKind], rejected: list[tuple[str, Failure]]) -> Iterator[tuple[int, _RowKind]]:
    """The usable rows of a JSONL file, each with its line's number from 1."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield number, kind.model_validate_json(line.removeprefix(b"\xef\xbb\xbf"))
            except ValidationError as error:
                key = f"{path.name}:{number}"
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
        return f"'{field}' is blank" if field == "text" else f"'{field}' is not a language such as en or pt-BR"
    return f"'{field}': {problem['msg'][:1].lower()}{problem['msg'][1:]}"


# ---------------------------------------------------------------------- rows


def _video(row: VideoLine) -> VideoRow:
    created = row.created_at
    return VideoRow(
        row.video,
        description=row.description or "",
        hashtags=row.hashtags,
        created_at=created if created is None or created.tzinfo else created.replace(tzinfo=UTC),
        comment_count=row.comment_count,
        like_count=row.like_count,
        play_count=row.play_count,
        share_count=row.share_count,
        language=row.language,
        creator=Person(row.creator) if row.creator else None,
    )


def _comment(row: CommentLine, creator: str | None) -> CommentRow:
    by_creator = row.by_creator
    if by_creator is None and row.author and creator:
        by_creator = row.author.casefold() == creator.casefold()
    return CommentRow(
        row.id,
        row.video,
        row.text,
        like_count=row.like_count,
        reply_to=row.reply_to,
        created_on=row.created_on,
        language=row.language,
        author=Person(row.author) if row.author else None,
        by_creator=by_creator,
        pinned=row.pinned,
        kind=row.kind or "text",
    )
