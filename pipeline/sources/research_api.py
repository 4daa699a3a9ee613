"""The Research API's client: tokens, the day's quota counted on disk, waits where they help, and what its answers hold.

Keys come from the environment and go nowhere else; no field that names a person is asked for.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import AliasChoices, Field, SecretStr

from csmv.pipeline.errors import CsmvError, parsed_json
from csmv.pipeline.sources.answer_fields import (
    Answer,
    Count,
    Expected,
    NumberId,
    Second,
    Text,
    Texts,
    count_of,
    flag_of,
    kind_of,
    moved_to,
    second_of,
    text_of,
)
from csmv.pipeline.store import Store

if TYPE_CHECKING:
    import httpx

KEY_VARIABLE = "CSMV_RESEARCH_KEY"
SECRET_VARIABLE = "CSMV_RESEARCH_SECRET"
URL_VARIABLE = "CSMV_RESEARCH_URL"
DEFAULT_URL = "https://open.tiktokapis.com"

QUOTA_FILE = "private/state/research-quota.json"

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


_TRIES = 5
_RENEW_EARLY_S = 300


class ResearchVideo(Answer):
    """A video as the API tells of it; fields without a value are left out by the service."""

    expected: ClassVar[tuple[Expected, ...]] = (
        Expected(("create_time",), second_of, optional=True),
        Expected(("comment_count",), count_of, optional=True),
        Expected(("video_description",), text_of, optional=True),
    )

    id: NumberId = Field(validation_alias=AliasChoices("id", "video_id"))
    create_time: Second = 0
    video_description: Text = ""
    hashtag_names: Texts = ()
    like_count: Count | None = None
    comment_count: Count | None = None
    share_count: Count | None = None
    view_count: Count | None = None

    @property
    def published(self) -> datetime | None:
        """When it was published, where the service says so."""
        return datetime.fromtimestamp(self.create_time, UTC) if self.create_time else None


class ResearchComment(Answer):
    """A comment as the API tells of it: without its author."""

    expected: ClassVar[tuple[Expected, ...]] = (
        Expected(("create_time",), second_of, optional=True),
        Expected(("text",), text_of, optional=True),
    )

    id: NumberId
    video_id: NumberId | None = None
    parent_comment_id: NumberId | None = None
    text: Text = ""
    like_count: Count = 0
    create_time: Second = 0


@dataclass(frozen=True)
class ResearchList:
    """One page of a list: its rows as they came, whether more follows, and what is wrong with its shape, or ""."""

    rows: Sequence[object] = ()
    more: bool = False
    problem: str = ""

    @classmethod
    def of(cls, data: object, key: str) -> "ResearchList":
        """Read `data` of an answer; the rows stand under `key`. Only `has_more: false` is an end."""
        if not isinstance(data, dict):
            return cls(problem=f"`data` is {kind_of(data)} where it should be an object")
        rows, elsewhere = data.get(key), moved_to(data, key)
        if rows is not None and not isinstance(rows, list):
            return cls(problem=f"`data.{key}` is {kind_of(rows)} where it should be a list")
        if key not in data or (not rows and elsewhere):
            other = f", and a list stands under `data.{elsewhere}`" if elsewhere else ""
            return cls(rows or (), problem=f"`data.{key}` is {'empty' if key in data else 'missing'}{other}")
        if data.get("has_more") is None:
            return cls(rows or (), problem=f"`data.has_more` is {'null' if 'has_more' in data else 'missing'}")
        try:
            more = flag_of(data["has_more"])
        except ValueError:
            return cls(rows or (), problem=f"`data.has_more` is {kind_of(data['has_more'])}")
        cursor = Expected(("data.cursor",), count_of).problem({"data": data}, "") if more else ""
        if more and not cursor and data["cursor"] is None:
            cursor = "`data.cursor` is null"
        return cls(rows or (), more, cursor)


class QuotaSpent(Exception):
    """The day's requests are used up: nothing is sent until 00:00 UTC."""


class SearchGone(Exception):
    """The service no longer knows a search_id."""


class TooDeep(Exception):
    """The service refuses to page so deep: the window has to be shorter."""


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
        kept: Mapping[str, Any] = parsed_json(self.store.read_file(QUOTA_FILE), QUOTA_FILE)
        return int(kept.get(self.today().isoformat(), 0))

    def _write(self, used: int) -> None:
        self.store.write_file(QUOTA_FILE, json.dumps({self.today().isoformat(): used}).encode())


class ResearchClient:
    """Sends requests with a valid token; waits and tries again where that helps, and says where it does not."""

    def __init__(self, http: "httpx.Client", quota: Quota, sleep: Callable[[float], None]) -> None:
        self.http, self.quota, self.sleep = http, quota, sleep
        self.base = os.environ.get(URL_VARIABLE, DEFAULT_URL).rstrip("/")
        self.sent = 0
        self._token: SecretStr | None = None
        self._token_until = 0.0

    def post(self, path: str, fields: Iterable[str], body: Mapping[str, Any]) -> Any:
        """`data` of an answer, whatever it is.

        Raises QuotaSpent, SearchGone, TooDeep, or CsmvError if the service fails for good or a person has to act.
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
            raise SearchGone
        if code == "invalid_params":
            raise TooDeep
        raise CsmvError(f"The Research API failed {_TRIES + 1} times in a row ({problem}): run again later.")

    def _send(self, path: str, fields: Iterable[str], body: Mapping[str, Any]) -> tuple[str, str, Any, float | None]:
        """(error code, message, data, Retry-After) of one request."""
        import httpx

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
            return "internal_error", type(error).__name__, None, None
        stated = answer.headers.get("Retry-After", "")
        wait_s = float(stated) if stated.isdigit() else None
        try:
            made = answer.json()
            said = made["error"]
            # A server that fails says so by its status, whatever word it has for it.
            code = "internal_error" if answer.status_code >= 500 else str(said["code"])
            return code, str(said.get("message", "")), made.get("data"), wait_s
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            # A gateway's page, whatever its status: as good as a failure of the service.
            return "internal_error", f"HTTP {answer.status_code} without the API's envelope", None, wait_s

    def _valid_token(self) -> SecretStr:
        if self._token is None or time.monotonic() > self._token_until:
            self._token = self._new_token()
        return self._token

    def _new_token(self) -> SecretStr:
        import httpx

        key, secret = os.environ.get(KEY_VARIABLE, ""), os.environ.get(SECRET_VARIABLE, "")
        if not key or not secret:
            raise CsmvError(
                f"The Research API needs its client key and secret in {KEY_VARIABLE} and {SECRET_VARIABLE}."
            )
        form = {"client_key": key, "client_secret": secret, "grant_type": "client_credentials"}
        problem = ""
        for attempt in range(_TRIES + 1):
            try:
                answer = self.http.post(f"{self.base}/v2/oauth/token/", data=form)
                body = answer.json() if answer.status_code < 500 else None
                problem = f"HTTP {answer.status_code}"
            except (httpx.HTTPError, ValueError) as error:
                body, problem = None, type(error).__name__
            if isinstance(body, dict):
                break
            if attempt < _TRIES:
                self.sleep(_pause("internal_error", "", attempt, None) or 0.0)
        else:
            raise CsmvError(f"The Research API gave no token {_TRIES + 1} times in a row ({problem}): run again later.")
        # OAuth's errors may come with HTTP 200, so the error is looked at first.
        if body.get("error") or "access_token" not in body:
            code = str(body.get("error", "no token"))[:60]
            raise CsmvError(f"The Research API gave no token ({code}): check {KEY_VARIABLE} and {SECRET_VARIABLE}.")
        stated = body.get("expires_in")
        lasts = stated if isinstance(stated, int) and stated > 0 else 7200
        self._token_until = time.monotonic() + max(lasts - min(_RENEW_EARLY_S, lasts // 2), 0)
        return SecretStr(str(body["access_token"]))


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
