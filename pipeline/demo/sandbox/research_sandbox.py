"""The sandbox's Research API: OAuth, video search and comments over the sandbox's world, with quotas and its quirks."""

import json
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from csmv.pipeline.demo.sandbox.world import Comment, Video, World

CLIENT_KEY = "sandbox-client-key"
CLIENT_SECRET = "sandbox-client-secret"

_VIDEO_FIELDS = frozenset(
    [
        "id",
        "create_time",
        "username",
        "region_code",
        "video_description",
        "hashtag_names",
        "hashtag_info_list",
        "like_count",
        "comment_count",
        "share_count",
        "view_count",
        "favorites_count",
        "video_duration",
        "voice_to_text",
        "music_id",
        "playlist_id",
        "effect_ids",
        "effect_info_list",
        "sticker_info_list",
        "video_mention_list",
        "is_stem_verified",
        "video_label",
        "video_tag",
    ]
)
_COMMENT_FIELDS = frozenset(["id", "video_id", "text", "like_count", "reply_count", "parent_comment_id", "create_time"])
_OPERATIONS = frozenset({"EQ", "IN", "GT", "GTE", "LT", "LTE"})
_QUERY_FIELDS = frozenset(
    [
        "hashtag_name",
        "keyword",
        "region_code",
        "create_date",
        "username",
        "video_id",
        "music_id",
        "effect_id",
        "video_length",
        "view_count",
        "comment_count",
    ]
)

Reply = tuple[int, bytes, dict[str, str]]


class ResearchApi:
    """Answers for `open.tiktokapis.com`. `trouble` queues answers that come before any other: see `TROUBLES`.

    `withdrawn` are videos and comments, by id, that the service no longer gives.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.token_s = 7200
        self.trouble: deque[str] = deque()
        self.withdrawn: set[str] = set()
        self.requests: list[dict[str, Any]] = []
        self._tokens: dict[str, float] = {}
        self._searches: dict[str, int] = {}
        self._used = 0
        self._lock = threading.Lock()

    def answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Reply:
        """The answer to a POST to `path`."""
        with self._lock:
            if path == "/v2/oauth/token/":
                return self._token(body)
            try:
                asked = json.loads(body)
            except ValueError:
                return _error(400, "invalid_params", "the body is not JSON")
            self._used += 1
            self.requests.append({"path": path, "body": asked, "at": time.time()})
            if refused := self._refusal(headers):
                return refused
            fields = frozenset(query.get("fields", "").split(","))
            if path == "/v2/research/video/query/":
                return self._videos(fields, asked)
            if path == "/v2/research/video/comment/list/":
                return self._comments(fields, asked)
            return _error(404, "invalid_params", "no such endpoint")

    def _token(self, body: bytes) -> Reply:
        given = dict(pair.split("=", 1) for pair in body.decode().split("&") if "=" in pair)
        if given.get("client_key") != CLIENT_KEY or given.get("client_secret") != CLIENT_SECRET:
            # OAuth's own shape, and a 200 all the same.
            return _reply(200, {"error": "invalid_client", "error_description": "client key", "log_id": "sandbox"})
        token = f"clt.{secrets.token_hex(12)}"
        self._tokens[token] = time.time() + self.token_s
        return _reply(200, {"access_token": token, "expires_in": self.token_s, "token_type": "Bearer"})

    def _refusal(self, headers: Mapping[str, str]) -> Reply | None:
        trouble = self.trouble.popleft() if self.trouble else ""
        if trouble:
            return TROUBLES[trouble]
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if self._tokens.get(token, 0) < time.time():
            return TROUBLES["token"]
        if self._used > self.world.settings.research_quota:
            return _error(
                429, "daily_quota_limit_exceeded", "The API daily quota limit exceeded. Please try again later"
            )
        return None

    # ------------------------------------------------------------------ videos

    def _videos(self, fields: frozenset[str], asked: dict[str, Any]) -> Reply:
        problem = _video_problem(fields, asked)
        if problem:
            return _error(400, "invalid_params", problem)
        videos = [video for video in self.world.videos.values() if _matches(video, asked)]
        videos = [video for video in videos if video.id not in self.withdrawn]
        videos.sort(key=lambda video: int(video.id), reverse=True)
        search, cursor = asked.get("search_id"), int(asked.get("cursor", 0))
        if cursor:
            if search not in self._searches:
                return _error(400, "invalid_params", f"Search Id {search} is invalid or expired")
            # A fresh search_id is refused a few times, as the index lags behind.
            self._searches[search] -= 1
            if self._searches[search] >= 0:
                return _error(400, "invalid_params", f"Search Id {search} is invalid or expired")
        else:
            search = str(7_600_000_000_000_000_000 + len(self._searches))
            self._searches[search] = 2
        size = int(asked.get("max_count", 20))
        page = videos[cursor : cursor + size]
        # One short page: fewer videos than asked for, and still more to come.
        shown = page[:-1] if cursor == 0 and len(videos) > size else page
        rest = [] if len(shown) == len(page) else [page[-1]]
        following = cursor + len(shown)
        more = following < len(videos) or bool(rest)
        rows = [_video_row(video, fields) for video in shown]
        return _ok({"videos": rows, "cursor": following, "has_more": more, "search_id": search})

    # ------------------------------------------------------------------ comments

    def _comments(self, fields: frozenset[str], asked: dict[str, Any]) -> Reply:
        if fields - _COMMENT_FIELDS:
            return _error(400, "invalid_params", f"unknown fields: {','.join(sorted(fields - _COMMENT_FIELDS))}")
        if ("video_id" in asked) == ("comment_id" in asked):
            return _error(400, "invalid_params", "exactly one of video_id and comment_id")
        cursor, size = int(asked.get("cursor", 0)), int(asked.get("max_count", 10))
        if size > 100 or cursor + size > 1000:
            return _error(400, "invalid_params", "Invalid count or cursor")
        video = self.world.videos.get(str(asked.get("video_id")))
        comments = [c for c in video.comments if c.cid not in self.withdrawn] if video else []
        rows = [_comment_row(comment, video, fields) for comment in comments[cursor : cursor + size] if video]
        return _ok({"comments": rows, "cursor": cursor + size, "has_more": cursor + size < len(comments)})


def _video_problem(fields: frozenset[str], asked: dict[str, Any]) -> str:
    if fields - _VIDEO_FIELDS:
        return f"unknown fields: {','.join(sorted(fields - _VIDEO_FIELDS))}"
    try:
        span = _day(asked["end_date"]) - _day(asked["start_date"])
    except (KeyError, ValueError, TypeError):
        return "start_date and end_date are YYYYMMDD"
    if not timedelta(0) <= span <= timedelta(days=30):
        return "the dates may span 30 days"
    if not 1 <= int(asked.get("max_count", 20)) <= 100:
        return "max_count is 1 to 100"
    conditions = [c for group in ("and", "or", "not") for c in asked.get("query", {}).get(group, [])]
    if not conditions:
        return "a query needs a condition"
    for condition in conditions:
        values = condition.get("field_values")
        if condition.get("operation") not in _OPERATIONS or condition.get("field_name") not in _QUERY_FIELDS:
            return "unknown operation or field_name"
        if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
            return "field_values is a list of strings"
    return ""


def _matches(video: Video, asked: dict[str, Any]) -> bool:
    day = datetime.fromtimestamp(video.created, UTC).date()
    if not _day(asked["start_date"]).date() <= day <= _day(asked["end_date"]).date():
        return False
    query = asked["query"]
    return (
        all(_holds(video, c) for c in query.get("and", []))
        and (not query.get("or") or any(_holds(video, c) for c in query["or"]))
        and not any(_holds(video, c) for c in query.get("not", []))
    )


def _holds(video: Video, condition: dict[str, Any]) -> bool:
    name, values = condition["field_name"], condition["field_values"]
    if name == "hashtag_name":
        return bool(set(values) & set(video.tags))
    if name == "video_id":
        return video.id in values
    if name == "region_code":
        return "US" in values
    return name == "keyword" and any(value in video.text for value in values)


def _video_row(video: Video, fields: frozenset[str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": int(video.id),
        "create_time": video.created,
        "username": video.creator.handle,
        "region_code": "US",
        "video_description": video.text + ("\0" if video.number % 9 == 4 else ""),
        "hashtag_names": list(video.tags),
        "like_count": 50,
        "comment_count": len(video.comments),
        "share_count": 3,
        "view_count": 1000 + video.number,
        "video_duration": 2,
        "is_stem_verified": False,
    }
    if video.number % 5 == 0:
        row["voice_to_text"] = "invented transcript"
    shown = {name: value for name, value in row.items() if name in fields}
    # An official example has `video_id` where the table says `id`.
    if "id" in shown and video.number % 7 == 3:
        shown["video_id"] = shown.pop("id")
    return shown


def _comment_row(comment: Comment, video: Video, fields: frozenset[str]) -> dict[str, Any]:
    row = {
        "id": int(comment.cid),
        "video_id": int(video.id),
        "parent_comment_id": int(comment.reply_to or video.id),
        "text": re.sub(r"\d{4,}", "****", comment.text),
        "like_count": comment.likes,
        "reply_count": len(video.replies_to(comment.cid)),
        "create_time": comment.created,
    }
    return {name: value for name, value in row.items() if name in fields}


def _day(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC)


def _reply(status: int, body: object) -> Reply:
    return status, json.dumps(body).encode(), {}


def _ok(data: dict[str, Any]) -> Reply:
    return _reply(200, {"data": data, "error": {"code": "ok", "message": "", "log_id": "sandbox"}})


def _error(status: int, code: str, message: str) -> Reply:
    return _reply(status, {"data": {}, "error": {"code": code, "message": message, "log_id": "sandbox"}})


TROUBLES: dict[str, Reply] = {
    "rate": (
        429,
        _error(429, "rate_limit_exceeded", "The API rate limit was exceeded. Please try again later.")[1],
        {"Retry-After": "1"},
    ),
    "quota": _error(429, "daily_quota_limit_exceeded", "The API daily quota limit exceeded. Please try again later"),
    "internal": _error(500, "internal_error", "something went wrong"),
    "gateway": (504, b"<html><h1>504 Gateway Time-out</h1></html>", {"Content-Type": "text/html"}),
    "token": _error(401, "access_token_invalid", "The access token is invalid or not found in the request."),
    "scope": _error(401, "scope_not_authorized", "The user did not authorize the scope required."),
    "cursor": _error(400, "invalid_params", "Invalid count or cursor"),
}
"""Answers that a test may queue by name."""
