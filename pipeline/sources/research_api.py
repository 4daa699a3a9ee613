"""The Research API's client: tokens, the day's quota counted on disk, waits where they help, and what its answers hold.

Keys come from the environment and go nowhere else; no field that names a person is asked for.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr

from csmv.pipeline.errors import CsmvError, parsed_json
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

    def post(self, path: str, fields: Iterable[str], body: Mapping[str, Any]) -> dict[str, Any]:
        """`data` of an answer.

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

    def _send(
        self, path: str, fields: Iterable[str], body: Mapping[str, Any]
    ) -> tuple[str, str, dict[str, Any], float | None]:
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
        import httpx

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
