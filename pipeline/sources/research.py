"""TikTok's Research API: videos by hashtag and their comments, page by page into landing, landing into rows.

Counts its requests on disk and stops by itself before the quota does. Never used as a fallback for the public pages,
nor they for it: the service's terms seem to forbid mixing them. Keys come from the environment and go nowhere else.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import Failure, clear_failures, record_failures
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.schemas import CommentKind, FailureReason
from csmv.pipeline.sources.answer_fields import Expected, Streak, count_of, read_all
from csmv.pipeline.sources.base import CommentRow, LandReport, Part, Reach, Rows, Source, VideoRow, repeated_comments
from csmv.pipeline.sources.by_shard import digest_of
from csmv.pipeline.sources.collect_settings import Limits
from csmv.pipeline.sources.landing import Record, read_records, write_records
from csmv.pipeline.sources.last_rows import LastRows
from csmv.pipeline.sources.pending import plain
from csmv.pipeline.sources.plain_http import http_client
from csmv.pipeline.sources.research_api import (
    COMMENT_FIELDS,
    VIDEO_FIELDS,
    Quota,
    QuotaSpent,
    ResearchClient,
    ResearchComment,
    ResearchList,
    ResearchVideo,
    SearchGone,
    TooDeep,
)
from csmv.pipeline.sources.research_rounds import (
    LANDING,
    Searched,
    believed,
    comments_place,
    halves,
    research_comments,
    research_videos,
    rounds_of,
    unread_videos,
    window_place,
    windows,
)
from csmv.pipeline.sources.video_links import canonical_url
from csmv.pipeline.sources.web_visits import MENDING
from csmv.pipeline.store import Store
from csmv.pipeline.validated import Validated

STAGE = "collect"

_PAGE = 100
_EMPTY_PAGES = 5


class ResearchSource(Validated):
    """Videos and comments from TikTok's Research API. Never mixed with the public pages."""

    kind: Literal["research"] = "research"
    hashtags: tuple[str, ...] = Field(min_length=1, description="without #")
    regions: tuple[str, ...] = Field(default=(), description="two-letter codes; none means all")
    start: date
    end: date
    window_days: int = Field(default=7, ge=1, le=30, description="a lost window costs less when it is short")
    limits: Limits = Limits(videos=None, comments=1000)
    settle_days: int = Field(default=2, ge=0, le=30, description="windows that end later than so long ago are left")
    refresh_days: int | None = Field(
        default=15, ge=1, description="lists older than this are asked for again; the terms ask for 15"
    )
    daily_requests: int = Field(default=1000, ge=1, description="of the organisation's quota, for this root")
    first_comments: int | None = Field(default=1000, ge=1, description="how deep the service lets one page")
    more_fields: tuple[str, ...] = Field(default=(), description="newer video fields to ask for")

    @model_validator(mode="after")
    def _ordered(self) -> "ResearchSource":
        if self.end < self.start:
            raise ValueError("end is before start")
        return self

    @property
    def searched(self) -> Searched:
        """The days of the search and how they are cut into windows."""
        return self.start, self.end, self.window_days


@dataclass
class ResearchReport(LandReport):
    """What a run brought: requests sent, and why it ended early, if so.

    `unsettled_windows` are left for a later run, because the service may not have all of their videos yet; `refreshed`
    lists (of videos or of comments) had grown too old and were asked for again; `vanished` videos, which the service no
    longer gives, have no rows.
    """

    requests: int = 0
    stalled_windows: int = 0
    unsettled_windows: int = 0
    shapes: Counter[str] = field(default_factory=Counter)
    """Rows that are not what they should be, by the sentence that names their field."""
    refreshed: int = 0
    vanished: int = 0

    def merge(self, other: "ResearchReport") -> None:
        """Add another run's report."""
        super().merge(other)
        for name in ("requests", "stalled_windows", "unsettled_windows", "refreshed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.vanished = other.vanished
        self.shapes.update(other.shapes)


def _today() -> date:
    return datetime.now(UTC).date()


class Research(Source):
    """Videos and comments that the official service gives; it tells nothing of persons."""

    kind: ClassVar[str] = "research"
    section_class: ClassVar[type[Validated]] = ResearchSource
    grows: ClassVar[tuple[str, ...]] = ("hashtags",)
    section: ResearchSource

    @property
    def online(self) -> bool:
        """It asks the site."""
        return True

    def __init__(
        self,
        section: ResearchSource,
        sleep: Callable[[float], None] = time.sleep,
        today: Callable[[], date] = _today,
    ) -> None:
        super().__init__(section)
        self.sleep = sleep
        self.today = today

    def land(self, store: Store, reach: Reach, part: Part) -> ResearchReport:
        """Do what is left of the search; stops at the quota and goes on when it is run again.

        Raises:
            CsmvError: keys are missing, or a person has to act.
        """
        report = ResearchReport()
        quota = Quota(store, self.section.daily_requests, self.today)
        with http_client(reach.connection) as http:
            client = ResearchClient(http, quota, self.sleep)
            search = _Search(store, self.section, client, report, self.today())
            try:
                search.all_windows()
                search.all_comments()
            except Changed as changed:
                report.shapes[str(changed)] += 1
                report.stopped = f"the Research API's answers have changed: {changed}. To go on, {MENDING}"
            except QuotaSpent:
                report.stopped = "the day's quota of requests is used up; run again after 00:00 UTC"
        report.landed = report.requests = client.sent
        _say_unread(store)
        report.vanished = len(self.videos(store)[1])
        return report

    @property
    def hashtags(self) -> tuple[str, ...]:
        """As the section says."""
        return tuple(plain(self.section.hashtags))

    def left(self, store: Store) -> int:
        """How many windows of dates and lists of comments are not read to their end."""
        left = 0
        pending = windows(*self.section.searched)
        while pending:
            window = pending.pop()
            rounds = rounds_of(store, window_place(*window))
            left += not rounds or not rounds[-1].ended
            if rounds and rounds[-1].halved:
                pending += halves(*window)
        most = _most_comments(self.section)
        for video_id in _with_comments(self.section, self.videos(store)[0]):
            rounds = rounds_of(store, comments_place(store, video_id))
            left += not rounds or not rounds[-1].ended or not _so_far(store, rounds[-1].names, most)[2]
        return left

    def videos(self, store: Store) -> tuple[dict[str, ResearchVideo], set[str]]:
        """Every video that the service gives, and the ids of those that it no longer gives."""
        return _videos_of(store, self.section.searched)

    # ------------------------------------------------------------------ rows

    def state(self, store: Store, shard: int) -> str:
        """A digest of what the service said of the shard, however often it was asked."""
        return _LAST_ROWS.digest(self._at(store, shard), lambda: self._read(store, shard))

    def reread(self, store: Store) -> None:
        """Forget what was read, and count anew the rows of videos that give none."""
        _LAST_ROWS.forget()
        with _LOCK:
            _videos_read.clear()
        _say_unread(store)

    def glance(self, store: Store, shard: int) -> str:
        """A digest of the names of what landed of the windows and of the shard's comments."""
        return digest_of(self._at(store, shard)[1:])

    def rows(self, store: Store, shard: int) -> Rows:
        """The shard's videos and their comments, and which videos the service let go of."""
        return _LAST_ROWS.rows(self._at(store, shard), lambda: self._read(store, shard))

    def _at(self, store: Store, shard: int) -> tuple[Any, ...]:
        landed = digest_of([store.files(f"{LANDING}/videos"), store.files(f"{LANDING}/comments/{shard:04d}")])
        limit = self.section.limits.comments
        return store.root, shard, self.section.searched, landed, Forgotten.of(store).digest, limit

    def _read(self, store: Store, shard: int) -> Rows:
        videos, gone = self.videos(store)
        here = {video_id: video for video_id, video in sorted(videos.items()) if store.shard_of(video_id) == shard}
        comments: dict[str, CommentRow] = {}
        failures = [
            Failure(video_id, FailureReason.GONE, "the service no longer gives it")
            for video_id in sorted(gone)
            if store.shard_of(video_id) == shard
        ]
        for video_id in here:
            listed = research_comments(store, video_id)
            distinct = {str(comment.id): comment for comment in listed.values}
            shown = dict(list(distinct.items())[: self.section.limits.comments])
            if repeated := shown.keys() & comments.keys():
                failures.append(repeated_comments(video_id, len(repeated)))
            if listed.lost:
                text = f"{listed.lost.total()} comments could not be read: {listed.lost.most_common(1)[0][0]}"
                failures.append(Failure(f"{video_id}:comments", FailureReason.UNREADABLE, text))
            comments |= {cid: _comment(video_id, one) for cid, one in shown.items() if cid not in repeated}
        return Rows(
            [_video(video_id, video) for video_id, video in here.items()], list(comments.values()), (), failures
        )


_LAST_ROWS = LastRows()
_LOCK = threading.Lock()
_videos_read: dict[tuple[str, Searched, str], tuple[dict[str, ResearchVideo], set[str]]] = {}
"""The videos of the root at hand: its windows are read once a process and not once a shard."""


def _videos_of(store: Store, searched: Searched) -> tuple[dict[str, ResearchVideo], set[str]]:
    landed = digest_of([store.files(f"{LANDING}/videos"), Forgotten.of(store).digest])
    at = (store.root, searched, landed)
    with _LOCK:
        if at not in _videos_read:
            videos = research_videos(store, searched)
            _videos_read.clear()
            _videos_read[at] = videos
        return _videos_read[at]


def _video(video_id: str, video: ResearchVideo) -> VideoRow:
    return VideoRow(
        video_id,
        url=canonical_url(video_id),
        description=video.video_description,
        hashtags=video.hashtag_names,
        created_at=video.published,
        comment_count=video.comment_count,
        like_count=video.like_count,
        play_count=video.view_count,
        share_count=video.share_count,
    )


def _comment(video_id: str, comment: ResearchComment) -> CommentRow:
    top = comment.parent_comment_id in (None, comment.video_id, int(video_id))
    created = comment.create_time
    return CommentRow(
        str(comment.id),
        video_id,
        comment.text,
        like_count=comment.like_count,
        reply_to=None if top else str(comment.parent_comment_id),
        created_on=datetime.fromtimestamp(created, UTC).date() if created else None,
        kind=str(CommentKind.TEXT) if comment.text.strip() else None,
    )


# ---------------------------------------------------------------------- search


@dataclass
class _Search:
    """What is left of a search. Each page is a file whose name says whether more follows."""

    store: Store
    source: ResearchSource
    client: ResearchClient
    report: ResearchReport
    today: date

    def __post_init__(self) -> None:
        self._streaks = {"videos": Streak(), "comments": Streak()}

    def all_windows(self) -> None:
        """Every window of dates to its end, but for those that the service may not know all of yet."""
        for start, end in windows(self.source.start, self.source.end, self.source.window_days):
            if (self.today - end).days < self.source.settle_days:
                self.report.unsettled_windows += 1
            else:
                self._window(start, end)

    def _window(self, start: date, end: date) -> None:
        place = self._due(window_place(start, end), "videos")
        conditions = [_condition("hashtag_name", [tag.lstrip("#").casefold() for tag in self.source.hashtags])]
        if self.source.regions:
            conditions.append(_condition("region_code", self.source.regions))
        query = {
            "query": {"and": conditions},
            "start_date": f"{start:%Y%m%d}",
            "end_date": f"{end:%Y%m%d}",
            "max_count": _PAGE,
        }
        fields = [*VIDEO_FIELDS, *self.source.more_fields]
        try:
            self._pages(place, "/v2/research/video/query/", fields, query, "videos")
        except TooDeep:
            if (end - start).days < 2:
                raise CsmvError(f"The Research API will not page through {start}: narrow the search.") from None
            self._mark(place, "halved")
        rounds = rounds_of(self.store, window_place(start, end))
        if rounds and rounds[-1].halved:
            for half in halves(start, end):
                self._window(*half)

    def all_comments(self) -> None:
        """The comments of every video found, as far as limits go."""
        for video_id in _with_comments(self.source, _videos_of(self.store, self.source.searched)[0]):
            self._comments(video_id)

    def _comments(self, video_id: str) -> None:
        place = self._due(comments_place(self.store, video_id), "comments")
        body = {"video_id": int(video_id), "max_count": _PAGE}
        most = _most_comments(self.source)
        shard = self.store.shard_of(video_id)
        try:
            self._pages(place, "/v2/research/video/comment/list/", COMMENT_FIELDS, body, "comments", most)
        except TooDeep:
            text = "the service does not list its comments"
            record_failures(self.store, STAGE, shard, [Failure(video_id, FailureReason.UNAVAILABLE, text)])
            self._mark(place, "end")

    def _due(self, place: str, rows: str) -> str:
        """The round of a list that is to be done: the newest, or a new one where that has grown too old."""
        rounds = rounds_of(self.store, place)
        if rounds:
            age = (self.today - rounds[-1].began).days
            doubtful = rounds[-1].ended and rounds[-1] not in believed(self.store, rounds, rows)
            if age < (1 if doubtful else self.source.refresh_days or age + 1):
                return rounds[-1].folder
            self.report.refreshed += 1
        return f"{place}/{self.today:%Y%m%d}"

    def _pages(
        self, place: str, path: str, fields: list[str], body: dict[str, Any], rows: str, most: int | None = None
    ) -> None:
        """Fetch the pages of one list that are not in landing yet."""
        number, following, ended = _so_far(self.store, self.store.files(place), most)
        model = ResearchVideo if rows == "videos" else ResearchComment
        empty = 0
        while not ended:
            if most is not None and count_of(following.get("cursor", 0)) >= most:
                self._mark(place, "enough")
                return
            try:
                data = self.client.post(path, fields, {**body, **following})
            except SearchGone:
                # The window begins anew; what was had is had, and repeats fall together by their ids.
                following = {}
                continue
            page = ResearchList.of(data, rows)
            problem = page.problem or self._feed(model, page.rows, rows)
            empty = 0 if page.rows else empty + 1
            stands = bool(following) and _following(data).get("cursor") == following.get("cursor")
            # Only the service's own word is an end: what stopped loading before it goes on in a later run.
            is_stalled = page.more and (stands or empty >= _EMPTY_PAGES)
            ended = bool(problem) or is_stalled or not page.more
            how = "stalled" if problem or is_stalled else "more" if page.more else "end"
            record = Record(path, json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogatepass"))
            write_records(self.store, f"{place}/{number:05d}.{how}.jsonl.zst", [record])
            if problem:
                raise Changed(problem)
            self.report.stalled_windows += is_stalled
            following = _following(data)
            number += 1

    def _feed(self, model: type[ResearchVideo] | type[ResearchComment], rows: Sequence[object], name: str) -> str:
        """Count a page's odd rows; what has changed, once they show it."""
        elements = read_all(model, rows, f"{name}[]")
        self.report.shapes += elements.told
        return self._streaks[name].feed(elements.problems)

    def _mark(self, place: str, how: str) -> None:
        number = len(self.store.files(place))
        write_records(self.store, f"{place}/{number:05d}.{how}.jsonl.zst", [Record("about:end", b"{}")])


class Changed(Exception):
    """The service's answers have another shape; the text names the field."""


def _so_far(store: Store, names: Sequence[str], most: int | None) -> tuple[int, dict[str, Any], bool]:
    """How many pages of a round have landed, what the next request adds, and whether the round has ended.

    A round that ended for a limit has not where the limit, `most`, is higher now. One that stalled begins anew, because
    nobody knows what its last pages left out.
    """
    if not names or names[-1].endswith(".stalled.jsonl.zst"):
        return len(names), {}, False
    pages = [name for name in names if not name.endswith(".enough.jsonl.zst")]
    limited = names[-1].endswith(".enough.jsonl.zst")
    if not pages or not (limited or names[-1].endswith(".more.jsonl.zst")):
        return len(names), {}, True
    following = _following(json.loads(next(read_records(store, pages[-1])).body))
    enough = limited and most is not None and count_of(following.get("cursor", 0)) >= most
    return len(names), following, enough


def _most_comments(source: ResearchSource) -> int:
    """How deep a video's comments are read."""
    return min(n for n in (source.first_comments, source.limits.comments, 10**9) if n is not None)


def _say_unread(store: Store) -> None:
    """Say in `failures/` how many rows of videos can't be read, and why; or that all can."""
    key = "research:rows"
    shard = store.shard_of(key)
    lost = unread_videos(store)
    if not lost:
        clear_failures(store, STAGE, shard, [key])
        return
    text = f"{lost.total():,} rows of videos could not be read: {lost.most_common(1)[0][0]}"
    record_failures(store, STAGE, shard, [Failure(key, FailureReason.UNREADABLE, text)])


def _condition(name: str, values: Iterable[str]) -> dict[str, Any]:
    return {"operation": "IN", "field_name": name, "field_values": [str(value) for value in values]}


def _following(data: object) -> dict[str, Any]:
    """What the next request adds: always the answer's own cursor, never a computed one."""
    if not isinstance(data, dict):
        return {}
    following = {name: data[name] for name in ("cursor", "search_id") if data.get(name) is not None}
    return following if not Expected(("cursor",), count_of).problem(following, "") else {}


def _with_comments(source: ResearchSource, videos: Mapping[str, ResearchVideo]) -> list[str]:
    """The videos whose comments are wanted, as far as limits go."""
    limits = source.limits
    in_range = [video_id for video_id, video in sorted(videos.items()) if _in_range(video, source)]
    wanted = in_range if limits.videos is None else in_range[: limits.videos]
    return [video_id for video_id in wanted if limits.comments != 0 and videos[video_id].comment_count != 0]


def _in_range(video: ResearchVideo, source: ResearchSource) -> bool:
    return source.limits.admit(video.published.date() if video.published else None, video.comment_count)
