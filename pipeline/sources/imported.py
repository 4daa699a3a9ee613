"""What other tools collected: files of browser add-ons, 4CAT, TikTok-Api, yt-dlp and the Research API into a root.

Records land as the site's own answers would have, a visit a video, so that all behind landing is the web source's.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import Failure, record_failures
from csmv.pipeline.root import is_safe_id
from csmv.pipeline.schemas import FailureReason
from csmv.pipeline.sources.answer_fields import read
from csmv.pipeline.sources.base import LandReport, Part, Reach, video_file_in
from csmv.pipeline.sources.by_shard import sha256_of
from csmv.pipeline.sources.collect_settings import Limits, Manners
from csmv.pipeline.sources.landing import WEB, Landing, Record, new_visit
from csmv.pipeline.sources.others_records import Format, Odd, Remark, Video, read_records
from csmv.pipeline.sources.responses import Comment, Item
from csmv.pipeline.sources.visit import COMMENTS
from csmv.pipeline.sources.walls import DONE, Verdict
from csmv.pipeline.sources.web import NAMED, Web
from csmv.pipeline.sources.web_visits import STAGE
from csmv.pipeline.store import Store
from csmv.pipeline.validated import Validated

_MARKS = f"{WEB}/imported"
_RECORDS_AT_ONCE = 20_000
"""Records that are held before they land."""


class ImportSource(Validated):
    """Files that other tools wrote."""

    kind: Literal["import"] = "import"
    files: tuple[str, ...] = Field(default=(), description="SHA-256 of each file, as imported")
    paths: tuple[str, ...] = Field(default=(), description="where the files are; left out after an import")
    format: Format = Field(default="auto", description="the tool's format; auto finds it from the content")
    media: str | None = Field(default=None, description="a folder of video files, each named by its video's id")
    limits: Limits = Limits(videos=None, comments=None)
    manners: Manners = Field(default=Manners(), description="of downloads, where no folder of files is named")
    gone: Literal["remove", "keep"] = "keep"


@dataclass
class ImportReport(LandReport):
    """What an import brought: videos and comments that can be used, and records by why they can't."""

    videos: int = 0
    comments: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def merge(self, other: Any) -> None:
        """Add another report."""
        super().merge(other)
        self.videos += getattr(other, "videos", 0)
        self.comments += getattr(other, "comments", 0)
        self.rejected.update(getattr(other, "rejected", {}))


class Imported(Web):
    """Videos and comments that other tools collected."""

    kind: ClassVar[str] = "import"
    section_class: ClassVar[type[Validated]] = ImportSource
    grows: ClassVar[tuple[str, ...]] = ("files",)
    takes_targets: ClassVar[bool] = False
    section: ImportSource  # type: ignore[assignment]

    @property
    def online(self) -> bool:
        """Files are all it reads."""
        return False

    @property
    def landing(self) -> str:
        """Where the web source's visits are."""
        return WEB

    @property
    def hashtags(self) -> tuple[str, ...]:
        """It has no targets."""
        return ()

    def open_hashtags(self, store: Store) -> list[str]:
        """It has no targets."""
        return []

    def expected_videos(self, links: Path | None = None) -> int:
        """The videos in the files."""
        records = (record for path in self._paths() for record in read_records(path, self.section.format))
        return len({_video_of(record) for record in records if not isinstance(record, Odd)})

    def prepare(self, store: Store, reach: Reach) -> None:
        """Nothing: nobody is asked."""

    def parts(self, workers: int) -> list[list[Part]]:
        """One part reads all files."""
        return [[Part()]]

    def land(self, store: Store, reach: Reach, part: Part) -> ImportReport:  # type: ignore[override]
        """Land what the files hold; a file that has landed is not read again.

        Raises:
            CsmvError: a file is not there, or is of no format that is read.
        """
        report = ImportReport()
        for path in self._paths():
            digest = sha256_of(path)
            if not store.exists(f"{_MARKS}/{digest}.json"):
                _land_file(store, path, digest, self.section.format, report)
        return report

    def left(self, store: Store) -> int:
        """How many of the files have not landed."""
        named = [sha256_of(path) for path in self._paths() if path.is_file()] or list(self.section.files)
        return sum(not store.exists(f"{_MARKS}/{digest}.json") for digest in named)

    @property
    def has_files(self) -> bool:
        """Whether a folder of files is named."""
        return self.section.media is not None

    def file(self, store: Store, video_id: str) -> Path | None:
        """The video's file in the folder. Raises CsmvError if the folder is not there."""
        if self.section.media is None:
            return None
        folder = Path(self.section.media).expanduser()
        if not folder.is_dir():
            raise CsmvError(f"The folder '{self.section.media}' is not there; it should hold files named by video ids.")
        return video_file_in(folder, video_id)

    def _paths(self) -> list[Path]:
        return [Path(path).expanduser() for path in self.section.paths]


# ---------------------------------------------------------------------- landing


def _land_file(store: Store, path: Path, digest: str, wanted: str, report: ImportReport) -> None:
    """Land a file whole, then say that it has landed. Killed before that and run again, its rows are the same."""
    landing = Landing(store)
    odd: list[Failure] = []
    before = (report.videos, report.comments)
    for batch in _batches(read_records(path, wanted)):
        by_video: dict[str, list[Record]] = {}
        refused: dict[str, Verdict] = {}
        for record in batch:
            problem = "" if isinstance(record, Odd) else _take(record, by_video, refused, report)
            if isinstance(record, Odd):
                problem = record.why
            if problem:
                place = f"record {record.place}" if isinstance(record, Odd) else "a record"
                report.rejected[problem] += 1
                key = f"import:{digest[:12]}:{place}:{len(odd)}"
                odd.append(Failure(key, FailureReason.BAD_ROW, problem))
        for video, records in by_video.items():
            landing.close_video(video, new_visit(), refused.get(video, DONE), records)
            report.landed += 1
    if (report.videos, report.comments) == before:
        raise CsmvError(
            f"'{path.name}': none of its {len(odd):,} records gave a video or a comment; the first: "
            f"{odd[0].detail if odd else 'it is empty'}."
        )
    shards: dict[int, list[Failure]] = {}
    for failure in odd:
        shards.setdefault(store.shard_of(failure.key), []).append(failure)
    for shard, failures in sorted(shards.items()):
        record_failures(store, STAGE, shard, failures)
    store.write_file(f"{_MARKS}/{digest}.json", json.dumps({"rejected": len(odd)}).encode())


def _batches(records: Iterator[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for record in records:
        batch.append(record)
        if len(batch) >= _RECORDS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _take(
    record: Video | Remark, by_video: dict[str, list[Record]], refused: dict[str, Verdict], report: ImportReport
) -> str:
    """Put a record with its video's; gives why it can't be used, if it can't."""
    video = _video_of(record)
    if not is_safe_id(video) or not video.isdigit():
        return "the video's id is none"
    if isinstance(record, Video):
        reading = read(Item, record.item, "item")
        if reading.value is None:
            return reading.problem
        by_video.setdefault(video, []).append(_record("/video", record.item))
        report.videos += 1
        verdict = reading.value.refusal(honour_creators=True)
        if verdict is not None:
            refused[video] = verdict
        return ""
    answer = read(Comment, record.comment, "comment")
    if answer.value is None:
        return answer.problem
    records = by_video.setdefault(video, [_record(NAMED, {"id": video})])
    records.append(_record(COMMENTS, {"comments": [record.comment], "has_more": 0, "cursor": 0, "status_code": 0}))
    report.comments += 1
    return ""


def _record(path: str, body: Any) -> Record:
    return Record(path, json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _video_of(record: Any) -> str:
    return str(record.item.get("id")) if isinstance(record, Video) else str(record.video)
