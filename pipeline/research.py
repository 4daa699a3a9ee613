"""TikTok's Research API: videos by hashtag and their comments, page by page into landing, then into tables.

Counts its requests on disk and stops by itself before the quota does. Never used as a fallback for the public pages,
nor they for it: the service's terms seem to forbid mixing them. Keys come from the environment and go nowhere else.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from pipeline.errors import CsmvError
from pipeline.pseudonym import load_or_create_key
from pipeline.schemas import FailureReason
from pipeline.sources.landing import Record, read_records, write_records
from pipeline.sources.plain_http import http_client
from pipeline.sources.settings import Connection, ResearchSource
from pipeline.sources.tables import CommentSeen, VideoSeen, landing_state, write_videos
from pipeline.store import Failure, Store, is_safe_id

KEY_VARIABLE = "CSMV_RESEARCH_KEY"
SECRET_VARIABLE = "CSMV_RESEARCH_SECRET"
URL_VARIABLE = "CSMV_RESEARCH_URL"
DEFAULT_URL = "https://open.tiktokapis.com"

LANDING = "private/landing/research"
QUOTA_FILE = "private/state/research-quota.json"
STAGE = "collect"

VIDEO_FIELDS = [
    "id",
    "create_time",
    "region_code",
    "video_description",
    "hashtag_names",
    "like_count",
    "comment_count",
    "share_count",
    "view_count",
    "video_duration",
    "voice_to_text",
]
COMMENT_FIELDS = ["id", "video_id", "text", "like_count", "reply_count", "parent_comment_id", "create_time"]
"""No field that names a person is asked for."""

_PAGE = 100
_TRIES = 5
_EMPTY_PAGES = 5
_RENEW_EARLY_S = 300


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class ResearchVideo(_Row):
    """A video as the API tells of it; fields without a value are left out by the service."""

    id: int = Field(validation_alias=AliasChoices("id", "video_id"))
    create_time: int = 0
    username: str | None = None
    region_code: str | None = None
    video_description: str = ""
    hashtag_names: tuple[str, ...] = ()
    hashtag_info_list: tuple[dict[str, Any], ...] = ()
    like_count: int | None = None
    comment_count: int | None = None
    share_count: int | None = None
    view_count: int | None = None
    favorites_count: int | None = Field(
        default=None, validation_alias=AliasChoices("favorites_count", "favourites_count")
    )
    video_duration: int | None = None
    voice_to_text: str | None = None
    music_id: int | None = None
    playlist_id: int | None = None
    effect_ids: tuple[str, ...] = ()
    effect_info_list: tuple[dict[str, Any], ...] = ()
    sticker_info_list: tuple[dict[str, Any], ...] = ()
    video_mention_list: tuple[Any, ...] = ()
    is_stem_verified: bool | None = None
    video_label: dict[str, Any] | None = None
    video_tag: dict[str, Any] | None = None


class ResearchComment(_Row):
    """A comment as the API tells of it: without its author."""

    id: int
    video_id: int
    parent_comment_id: int | None = None
    text: str = ""
    like_count: int = 0
    reply_count: int | None = None
    create_time: int = 0


@dataclass
class ResearchReport:
    """What a run brought: videos and comments in the tables, requests sent, and why it ended early, if so."""

    videos: int = 0
    comments: int = 0
    requests: int = 0
    stalled_windows: int = 0
    stopped: str = ""


class QuotaSpent(Exception):
    """The day's requests are used up: nothing is sent until 00:00 UTC."""


class _SearchGone(Exception):
    """The service no longer knows a search_id."""


class _TooDeep(Exception):
    """The service refuses to page so deep: the window has to be shorter."""


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
        search = _Search(store, source, client, report)
        try:
            search.all_windows()
            search.all_comments()
        except QuotaSpent:
            report.stopped = "the day's quota of requests is used up; run again after 00:00 UTC"
    report.requests = client.sent
    report.videos, report.comments = tabulate_research(store)
    return report


class Quota:
    """The number of requests of each day (UTC), in the root, counted before they are sent."""

    def __init__(self, store: Store, daily: int, today: Callable[[], date]) -> None:
        self.store, self.daily, self.today = store, daily, today

    def take(self) -> None:
        """Count one request. Raises QuotaSpent if the day has none left."""
        used = self.used()
        if used >= self.daily:
            raise QuotaSpent
        self._write(used + 1)

    def spend(self) -> None:
        """The service says that nothing is left: believe it."""
        self._write(max(self.used(), self.daily))

    def used(self) -> int:
        """Requests counted today."""
        if not self.store.exists(QUOTA_FILE):
            return 0
        kept: Mapping[str, Any] = json.loads(self.store.read_file(QUOTA_FILE))
        return int(kept.get(self.today().isoformat(), 0))

    def _write(self, used: int) -> None:
        self.store.write_file(QUOTA_FILE, json.dumps({self.today().isoformat(): used}).encode())


class ResearchClient:
    """Sends requests with a valid token; waits and tries again where that helps, and says where it does not."""

    def __init__(self, http: httpx.Client, quota: Quota, sleep: Callable[[float], None]) -> None:
        self.http, self.quota, self.sleep = http, quota, sleep
        self.base = os.environ.get(URL_VARIABLE, DEFAULT_URL).rstrip("/")
        self.sent = 0
        self._token: SecretStr | None = None
        self._token_until = 0.0

    def post(self, path: str, fields: Iterable[str], body: Mapping[str, Any]) -> dict[str, Any]:
        """`data` of an answer.

        Raises QuotaSpent, or CsmvError if the service fails for good or a person has to act.
        """
        renewed = False
        problem = ""
        for attempt in range(_TRIES + 1):
            code, message, data, wait_s = self._send(path, fields, body)
            if code == "ok":
                return data
            problem = f"{code}: {message}"[:200]
            if code == "daily_quota_limit_exceeded":
                self.quota.spend()
                raise QuotaSpent
            if code == "access_token_invalid" and not renewed:
                renewed, self._token = True, None
                continue
            pause = _pause(code, message, attempt, wait_s)
            if pause is None:
                raise CsmvError(f"The Research API refused a request ({problem}). {_advice(code)}")
            if attempt < _TRIES:
                self.sleep(pause)
        if code == "invalid_params" and message.startswith("Search Id"):
            raise _SearchGone
        if code == "invalid_params":
            raise _TooDeep
        raise CsmvError(f"The Research API failed {_TRIES + 1} times in a row ({problem}): run again later.")

    def _send(
        self, path: str, fields: Iterable[str], body: Mapping[str, Any]
    ) -> tuple[str, str, dict[str, Any], float | None]:
        """(error code, message, data, Retry-After) of one request."""
        token = self._valid_token()
        self.quota.take()
        self.sent += 1
        try:
            answer = self.http.post(
                f"{self.base}{path}",
                params={"fields": ",".join(fields)},
                headers={"Authorization": f"Bearer {token.get_secret_value()}"},
                json=dict(body),
            )
        except httpx.HTTPError as error:
            return "internal_error", type(error).__name__, {}, None
        stated = answer.headers.get("Retry-After", "")
        wait_s = float(stated) if stated.isdigit() else None
        try:
            made = answer.json()
            said = made["error"]
            return str(said["code"]), str(said.get("message", "")), made.get("data") or {}, wait_s
        except (ValueError, KeyError, TypeError):
            # A gateway's page, whatever its status: as good as a failure of the service.
            return "internal_error", f"HTTP {answer.status_code} without the API's envelope", {}, wait_s

    def _valid_token(self) -> SecretStr:
        if self._token is None or time.monotonic() > self._token_until:
            self._token = self._new_token()
        return self._token

    def _new_token(self) -> SecretStr:
        key, secret = os.environ.get(KEY_VARIABLE, ""), os.environ.get(SECRET_VARIABLE, "")
        if not key or not secret:
            raise CsmvError(
                f"The Research API needs its client key and secret in {KEY_VARIABLE} and {SECRET_VARIABLE}."
            )
        form = {"client_key": key, "client_secret": secret, "grant_type": "client_credentials"}
        try:
            made = self.http.post(f"{self.base}/v2/oauth/token/", data=form).json()
        except (httpx.HTTPError, ValueError) as error:
            raise CsmvError(f"No token could be had from the Research API ({type(error).__name__}).") from None
        # OAuth's errors may come with HTTP 200, so the error is looked at first.
        if made.get("error") or "access_token" not in made:
            code = str(made.get("error", "no token"))[:60]
            raise CsmvError(f"The Research API gave no token ({code}): check {KEY_VARIABLE} and {SECRET_VARIABLE}.")
        lasts = int(made.get("expires_in", 7200))
        self._token_until = time.monotonic() + max(lasts - min(_RENEW_EARLY_S, lasts // 2), 0)
        return SecretStr(made["access_token"])


def _pause(code: str, message: str, attempt: int, wait_s: float | None) -> float | None:
    """Seconds to wait before the same request once more, or None if that can't help."""
    if code == "rate_limit_exceeded":
        return wait_s if wait_s is not None else min(10.0 * 2.0**attempt, 120.0)
    if code == "internal_error":
        return min(30.0 * 2.0**attempt, 120.0)
    if code == "invalid_params" and message.startswith("Search Id"):
        return 5.0 * 2.0**attempt
    if code == "invalid_params" and message == "Invalid count or cursor":
        return 10.0
    return None


def _advice(code: str) -> str:
    if code.startswith("scope"):
        return "The project is not approved for this: its principal researcher has to ask TikTok."
    if code == "access_token_invalid":
        return f"A fresh token was refused too: check {KEY_VARIABLE} and {SECRET_VARIABLE}."
    return "Check the hashtags, regions, dates and more_fields of the configuration."


# ---------------------------------------------------------------------- search


@dataclass
class _Search:
    """What is left of a search. Each page is a file whose name says whether more follows."""

    store: Store
    source: ResearchSource
    client: ResearchClient
    report: ResearchReport
    videos: dict[str, ResearchVideo] = field(default_factory=dict)

    def all_windows(self) -> None:
        """Every window of dates to its end."""
        for start, end in windows(self.source.start, self.source.end, self.source.window_days):
            self._window(start, end)

    def _window(self, start: date, end: date) -> None:
        place = f"{LANDING}/videos/{start:%Y%m%d}-{end:%Y%m%d}"
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
        except _TooDeep:
            if (end - start).days < 2:
                raise CsmvError(f"The Research API will not page through {start}: narrow the search.") from None
            middle = start + (end - start) // 2
            self._window(start, middle)
            self._window(middle, end)
            self._mark(place, "end")

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
        place = f"{LANDING}/comments/{self.store.shard_of(video_id):04d}/{video_id}"
        body = {"video_id": int(video_id), "max_count": _PAGE}
        most = min(n for n in (self.source.first_comments, self.source.limits.comments, 10**9) if n is not None)
        shard = self.store.shard_of(video_id)
        try:
            self._pages(place, "/v2/research/video/comment/list/", COMMENT_FIELDS, body, "comments", most)
        except _TooDeep:
            text = "unavailable: the service does not list its comments"
            self.store.record_failures(STAGE, shard, [Failure(video_id, FailureReason.UNAVAILABLE, text)])
            self._mark(place, "end")

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
            except _SearchGone:
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


def windows(start: date, end: date, days: int) -> list[tuple[date, date]]:
    """Windows of at most `days` days from start to end. Neighbours share their border day: whether the service counts
    the last day or not, none is lost, and repeats fall together by their ids.
    """
    found = []
    at = start
    while True:
        until = min(at + timedelta(days=days), end)
        found.append((at, until))
        if until >= end:
            return found
        at = until


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


def research_videos(store: Store) -> dict[str, ResearchVideo]:
    """Every video in a root's landing, the newest answer about each."""
    found: dict[str, ResearchVideo] = {}
    for row in _landed(store, f"{LANDING}/videos", "videos"):
        try:
            video = ResearchVideo.model_validate(row)
        except ValidationError:
            continue
        if is_safe_id(str(video.id)) and video.id > 0:
            found[str(video.id)] = video
    return found


def tabulate_research(store: Store) -> tuple[int, int]:
    """Make the tables of every shard from landing; gives the number of videos and comments."""
    key = load_or_create_key(store)
    by_shard: dict[int, list[VideoSeen]] = {}
    for video_id, video in sorted(research_videos(store).items()):
        by_shard.setdefault(store.shard_of(video_id), []).append(_seen(store, video_id, video))
    state = landing_state(store)
    for shard, seen in by_shard.items():
        write_videos(store, key, shard, seen, {video.video_id for video in seen}, state)
    everything = [video for seen in by_shard.values() for video in seen]
    return len(everything), sum(len(video.comments) for video in everything)


def _seen(store: Store, video_id: str, video: ResearchVideo) -> VideoSeen:
    seen = VideoSeen(
        video_id,
        caption=video.video_description,
        hashtags=sorted({name.lstrip("#").casefold() for name in video.hashtag_names} - {""}),
        published=datetime.fromtimestamp(video.create_time, UTC) if video.create_time > 0 else None,
        comment_count=video.comment_count,
        usable=True,
    )
    for row in _landed(store, f"{LANDING}/comments/{store.shard_of(video_id):04d}/{video_id}", "comments"):
        try:
            comment = ResearchComment.model_validate(row)
        except ValidationError:
            continue
        top = comment.parent_comment_id in (None, comment.video_id)
        seen.comments[str(comment.id)] = CommentSeen(
            str(comment.id),
            comment.text,
            comment.like_count,
            comment.create_time,
            None if top else str(comment.parent_comment_id),
        )
    return seen


def _landed(store: Store, place: str, rows: str) -> Iterator[dict[str, Any]]:
    for name in store.files(place):
        for record in read_records(store, name):
            yield from json.loads(record.body).get(rows) or []
