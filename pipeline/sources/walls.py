"""How a visit can end, as data: the outcome classes, what each means for the run, and how it is told in `failures/`.

A wall is recognised here and never worked around: nothing in this package solves, signs, replays or disguises.
"""

from dataclasses import dataclass
from enum import StrEnum

from pipeline.schemas import FailureReason
from pipeline.store import Failure


class Outcome(StrEnum):
    """How a visit of a target ended. The word begins the detail of a failure."""

    DONE = "done"

    GONE = "gone"
    WITHHELD = "withheld"
    PRIVATE = "private"
    AGE_GATE = "age_gate"
    UNAVAILABLE = "unavailable"
    NOT_FOUND = "not_found"
    SLIDESHOW = "slideshow"
    ADVERTISEMENT = "advertisement"
    NOT_PUBLIC = "not_public"
    DOWNLOAD_DISALLOWED = "download_disallowed"
    INDEXING_DISALLOWED = "indexing_disallowed"
    WRONG_ID = "wrong_id"
    REDIRECT_LOOP = "redirect_loop"
    REFUSED_ADDRESS = "refused_address"

    CAPTCHA = "captcha"
    LOGIN_REQUIRED = "login_required"
    CHALLENGE = "challenge"
    EMPTY_RESPONSE = "empty_response"
    RATE_LIMITED = "rate_limited"
    FORBIDDEN = "forbidden"
    ERROR_PANEL = "error_panel"

    STALLED = "stalled"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    REFUSED_PARAMETERS = "refused_parameters"
    SERVER_ERROR = "server_error"
    NETWORK = "network"


@dataclass(frozen=True)
class Meaning:
    """What an outcome means. `final`: not tried again. `wall`: the site wants this session to stop."""

    reason: FailureReason | None
    text: str
    final: bool = False
    wall: bool = False


def _final(reason: FailureReason, text: str) -> Meaning:
    return Meaning(reason, text, final=True)


def _wall(text: str) -> Meaning:
    return Meaning(FailureReason.WALLED, text, wall=True)


MEANINGS: dict[Outcome, Meaning] = {
    Outcome.DONE: Meaning(None, "", final=True),
    Outcome.GONE: _final(FailureReason.UNAVAILABLE, "deleted"),
    Outcome.WITHHELD: _final(FailureReason.UNAVAILABLE, "withheld here, under review, or shown to its creator only"),
    Outcome.PRIVATE: _final(FailureReason.UNAVAILABLE, "a private post or account"),
    Outcome.AGE_GATE: _final(FailureReason.UNAVAILABLE, "shown after a login only, for its content"),
    Outcome.UNAVAILABLE: _final(FailureReason.UNAVAILABLE, "not available"),
    Outcome.NOT_FOUND: _final(FailureReason.UNAVAILABLE, "there is no such page"),
    Outcome.SLIDESHOW: _final(FailureReason.NOT_A_VIDEO, "pictures, not a video"),
    Outcome.ADVERTISEMENT: _final(FailureReason.REFUSED, "an advertisement"),
    Outcome.NOT_PUBLIC: _final(FailureReason.REFUSED, "not meant for everybody"),
    Outcome.DOWNLOAD_DISALLOWED: _final(FailureReason.REFUSED, "the creator disallows downloads"),
    Outcome.INDEXING_DISALLOWED: _final(FailureReason.REFUSED, "kept out of search engines"),
    Outcome.WRONG_ID: _final(FailureReason.BAD_ROW, "the page was about another video"),
    Outcome.REDIRECT_LOOP: _final(FailureReason.BAD_ROW, "the short link leads in circles"),
    Outcome.REFUSED_ADDRESS: _final(FailureReason.BAD_ROW, "the short link leads to no TikTok address"),
    Outcome.CAPTCHA: _wall("a captcha was asked for"),
    Outcome.LOGIN_REQUIRED: _wall("a login was asked for"),
    Outcome.CHALLENGE: _wall("a browser challenge was set"),
    Outcome.EMPTY_RESPONSE: _wall("an empty answer, which is a refusal"),
    Outcome.RATE_LIMITED: _wall("too many requests"),
    Outcome.FORBIDDEN: _wall("access was refused (HTTP 403)"),
    Outcome.ERROR_PANEL: _wall("the page kept saying that something went wrong"),
    Outcome.STALLED: Meaning(FailureReason.NETWORK, "the list stopped loading before its end"),
    Outcome.UNREADABLE: Meaning(FailureReason.BAD_ROW, "the answer was not what it should be"),
    Outcome.TOO_LARGE: Meaning(FailureReason.TOO_LARGE, "the answer was larger than any real one"),
    Outcome.REFUSED_PARAMETERS: Meaning(FailureReason.REFUSED, "the site refused the request's parameters"),
    Outcome.SERVER_ERROR: Meaning(FailureReason.NETWORK, "the server failed"),
    Outcome.NETWORK: Meaning(FailureReason.NETWORK, "the connection failed"),
}


@dataclass(frozen=True)
class Verdict:
    """An outcome with TikTok's own code and message where it gave them, and when to come back after a 429."""

    outcome: Outcome
    code: int | None = None
    note: str = ""
    retry_after_s: float | None = None

    @property
    def meaning(self) -> Meaning:
        """What it means for the run."""
        return MEANINGS[self.outcome]

    def failure(self, key: str) -> Failure | None:
        """The row for `failures/`, or None if nothing failed."""
        if self.meaning.reason is None:
            return None
        said = [self.meaning.text, f"code {self.code}" if self.code else "", self.note]
        return Failure(key, self.meaning.reason, f"{self.outcome}: {', '.join(filter(None, said))}")


DONE = Verdict(Outcome.DONE)

CODES: dict[int, Outcome] = {
    10204: Outcome.GONE,  # refined by its message
    10216: Outcome.PRIVATE,
    10222: Outcome.PRIVATE,
    10231: Outcome.WITHHELD,
    10205: Outcome.NOT_FOUND,
    10209: Outcome.NOT_FOUND,
    10201: Outcome.REFUSED_PARAMETERS,
    10101: Outcome.LOGIN_REQUIRED,
    10102: Outcome.LOGIN_REQUIRED,
    209002: Outcome.LOGIN_REQUIRED,
    10202: Outcome.NOT_FOUND,
    10221: Outcome.NOT_FOUND,
    10225: Outcome.NOT_FOUND,
    100002: Outcome.NOT_FOUND,
    100004: Outcome.SERVER_ERROR,
}
"""TikTok's own status codes; every other one that is not 0 means UNAVAILABLE."""

_DELETED = frozenset({"status_deleted", "item doesn't exist"})
_KNOWN_NOTES = _DELETED | {
    "item_privacy_authorization",
    "status_self_see",
    "status_reviewing",
    "status_audit_not_pass",
    "content_classification",
    "cross_border_violation",
    "copyright_geo_filter",
    "person_geo_fencing",
    "author_secret",
}


def verdict_of_code(code: int, message: str) -> Verdict:
    """What a status code other than 0 means; the message refines 10204 only, and only known words of it are kept."""
    words = [word for word in message.split("&") if word in _KNOWN_NOTES]
    outcome = CODES.get(code, Outcome.UNAVAILABLE)
    if code == 10204 and not _DELETED & set(words):
        outcome = Outcome.WITHHELD
    return Verdict(outcome, code, " & ".join(words))


def verdict_of_status(status: int, retry_after: str = "") -> Verdict | None:
    """What an HTTP status means by itself; None where the body has to be read."""
    if status == 429:
        wait = float(retry_after) if retry_after.replace(".", "", 1).isdigit() else None
        return Verdict(Outcome.RATE_LIMITED, retry_after_s=wait)
    if status == 403:
        return Verdict(Outcome.FORBIDDEN)
    if status in (404, 410):
        return Verdict(Outcome.NOT_FOUND)
    if status >= 500:
        return Verdict(Outcome.SERVER_ERROR, note=f"HTTP {status}")
    if status >= 400:
        return Verdict(Outcome.UNAVAILABLE, note=f"HTTP {status}")
    return None
