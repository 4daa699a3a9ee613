"""TikTok's Research API: videos by hashtag and their comments, page by page into landing, then into tables.

Counts its requests on disk and stops by itself before the quota does. Never used as a fallback for the public pages,
nor they for it: the service's terms seem to forbid mixing them. Keys come from the environment and go nowhere else.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from pipeline.errors import CsmvError
from pipeline.pseudonym import load_or_create_key
from pipeline.schemas import FailureReason
from pipeline.sources.landing import Record, read_records, write_records
from pipeline.sources.plain_http import http_client
from pipeline.sources.research_api import (
    COMMENT_FIELDS,
    VIDEO_FIELDS,
    Quota,
    QuotaSpent,
    ResearchClient,
    ResearchVideo,
    SearchGone,
    TooDeep,
)
from pipeline.sources.research_rounds import (
    believed,
    comments_place,
    halves,
    research_comments,
    research_videos,
    rounds_of,
    vanished,
    window_place,
    windows,
)
from pipeline.sources.settings import Connection, ResearchSource
from pipeline.sources.tables import CommentSeen, VideoSeen, landing_state, write_videos
from pipeline.store import Failure, Store

STAGE = "collect"

_PAGE = 100
_EMPTY_PAGES = 5


@dataclass
class ResearchReport:
    """What a run brought: videos and comments in the tables, requests sent, and why it ended early, if so.

    `unsettled_windows` are left for a later run, because the service may not have all of their videos yet; `refreshed`
    lists (of videos or of comments) had grown too old and were asked for again; `vanished` videos, which the service no
    longer gives, are out of the tables.
    """

    videos: int = 0
    comments: int = 0
    requests: int = 0
    stalled_windows: int = 0
    unsettled_windows: int = 0
    refreshed: int = 0
    vanished: int = 0
    stopped: str = ""


def collect_research(
    store: Store,
    connection: Connection | None = None,
    *,
    sleep: Callable[[float], None] = time.sleep,
    today: Callable[[], date] = lambda: datetime.now(UTC).date(),
) -> ResearchReport:
    """Do what is left of a root's search; stops at the quota and goes on when it is run again.

    Raises CsmvError if the root has another source, keys are missing, or a person has to act.
    """
    source = store.config.source
    if source.kind != "research":
        raise CsmvError(
            f"The root '{store.root}' is made from a '{source.kind}' source, and sources are never mixed in one "
            "dataset: collect into a root of its own."
        )
    store.sweep()
    report = ResearchReport()
    quota = Quota(store, source.daily_requests, today)
    with http_client(connection or Connection()) as http:
        client = ResearchClient(http, quota, sleep)
        search = _Search(store, source, client, report, today())
        try:
            search.all_windows()
            search.all_comments()
        except QuotaSpent:
            report.stopped = "the day's quota of requests is used up; run again after 00:00 UTC"
    report.requests = client.sent
    report.videos, report.comments, report.vanished = tabulate_research(store)
    return report


# ---------------------------------------------------------------------- search


@dataclass
class _Search:
    """What is left of a search. Each page is a file whose name says whether more follows."""

    store: Store
    source: ResearchSource
    client: ResearchClient
    report: ResearchReport
    today: date

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
        limits = self.source.limits
        kept = 0
        for video_id, video in sorted(research_videos(self.store).items()):
            if (video.comment_count or 0) < limits.min_comments or not _in_range(video, self.source):
                continue
            if limits.videos is not None and kept >= limits.videos:
                break
            kept += 1
            if limits.comments != 0 and video.comment_count != 0:
                self._comments(video_id)

    def _comments(self, video_id: str) -> None:
        place = self._due(comments_place(self.store, video_id), "comments")
        body = {"video_id": int(video_id), "max_count": _PAGE}
        most = min(n for n in (self.source.first_comments, self.source.limits.comments, 10**9) if n is not None)
        shard = self.store.shard_of(video_id)
        try:
            self._pages(place, "/v2/research/video/comment/list/", COMMENT_FIELDS, body, "comments", most)
        except TooDeep:
            text = "unavailable: the service does not list its comments"
            self.store.record_failures(STAGE, shard, [Failure(video_id, FailureReason.UNAVAILABLE, text)])
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
        number, following, ended = self._so_far(place)
        empty = 0
        while not ended:
            if most is not None and int(following.get("cursor", 0)) >= most:
                self._mark(place, "end")
                return
            try:
                data = self.client.post(path, fields, {**body, **following})
            except SearchGone:
                # The window begins anew; what was had is had, and repeats fall together by their ids.
                following = {}
                continue
            empty = 0 if data.get(rows) else empty + 1
            stands = data.get("cursor") == following.get("cursor") and number > 0
            more = bool(data.get("has_more"))
            ended = not more or stands or empty >= _EMPTY_PAGES
            how = "more" if not ended else "stalled" if more else "end"
            record = Record(path, json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogatepass"))
            write_records(self.store, f"{place}/{number:05d}.{how}.jsonl.zst", [record])
            self.report.stalled_windows += how == "stalled"
            following = _following(data)
            number += 1

    def _so_far(self, place: str) -> tuple[int, dict[str, Any], bool]:
        names = self.store.files(place)
        if not names:
            return 0, {}, False
        if not names[-1].endswith(".more.jsonl.zst"):
            return len(names), {}, True
        last = next(read_records(self.store, names[-1]))
        return len(names), _following(json.loads(last.body)), False

    def _mark(self, place: str, how: str) -> None:
        number = len(self.store.files(place))
        write_records(self.store, f"{place}/{number:05d}.{how}.jsonl.zst", [Record("about:end", b"{}")])


def _condition(name: str, values: Iterable[str]) -> dict[str, Any]:
    return {"operation": "IN", "field_name": name, "field_values": [str(value) for value in values]}


def _following(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the next request adds: always the answer's own cursor, never a computed one."""
    found = {name: data[name] for name in ("cursor", "search_id") if data.get(name) is not None}
    return found if "cursor" in found else {}


def _in_range(video: ResearchVideo, source: ResearchSource) -> bool:
    day = datetime.fromtimestamp(video.create_time, UTC).date()
    limits = source.limits
    return (limits.since is None or day >= limits.since) and (limits.until is None or day <= limits.until)


# ---------------------------------------------------------------------- tables


def tabulate_research(store: Store) -> tuple[int, int, int]:
    """Make the tables of every shard from landing; gives the number of videos, of comments, and of vanished videos."""
    key = load_or_create_key(store)
    gone = vanished(store)
    by_shard: dict[int, list[VideoSeen]] = {store.shard_of(video_id): [] for video_id in gone}
    for video_id, video in sorted(research_videos(store).items()):
        by_shard.setdefault(store.shard_of(video_id), []).append(_seen(store, video_id, video))
    state = landing_state(store)
    for shard, seen in by_shard.items():
        gone_here = {video_id for video_id in gone if store.shard_of(video_id) == shard}
        write_videos(store, key, shard, seen, gone_here | {video.video_id for video in seen}, state)
        text = "gone: the service no longer gives it"
        told = [Failure(video_id, FailureReason.UNAVAILABLE, text) for video_id in sorted(gone_here)]
        store.record_failures(STAGE, shard, told)
    everything = [video for seen in by_shard.values() for video in seen]
    return len(everything), sum(len(video.comments) for video in everything), len(gone)


def _seen(store: Store, video_id: str, video: ResearchVideo) -> VideoSeen:
    seen = VideoSeen(
        video_id,
        caption=video.video_description,
        hashtags=sorted({name.lstrip("#").casefold() for name in video.hashtag_names} - {""}),
        published=datetime.fromtimestamp(video.create_time, UTC) if video.create_time > 0 else None,
        comment_count=video.comment_count,
        usable=True,
    )
    for comment in research_comments(store, video_id):
        top = comment.parent_comment_id in (None, comment.video_id)
        seen.comments[str(comment.id)] = CommentSeen(
            str(comment.id),
            comment.text,
            comment.like_count,
            comment.create_time,
            None if top else str(comment.parent_comment_id),
        )
    return seen
