"""How a visit can end: a verdict with one of the reasons of `csmv.pipeline.schemas`, and which answers mean which.

A wall is recognized here and never worked around: nothing in this package solves, signs, replays or disguises.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from csmv.pipeline.failures import Failure
from csmv.pipeline.schemas import FailureReason

Outcome = FailureReason
"""How a visit ended that did not end well."""


class Done(StrEnum):
    """How a visit ended that ended well; has what a reason has."""

    DONE = "done"
    ENOUGH = "enough"
    """As much was read as the limits ask for; more was there. A higher limit reaches further."""
    LEFT_OUT = "left_out"
    """It was read, and the limits leave it out; other limits may let it in."""

    @property
    def sentence(self) -> str:
        """What there is to say, if there is anything."""
        return "left out by the limits" if self is Done.LEFT_OUT else ""

    @property
    def final(self) -> bool:
        """It is not done again."""
        return True

    @property
    def wall(self) -> bool:
        """It is none."""
        return False


Ending = FailureReason | Done

_OLD_ENDINGS = {"too_large": FailureReason.OVERSIZED}
"""Words in landing that meant something else before: `too_large` is a reason of media files now."""

ENDINGS: dict[str, Ending] = {
    **{str(done): done for done in Done},
    **{str(reason): reason for reason in FailureReason},
    **_OLD_ENDINGS,
}
"""How a visit ended, by the word that stands in landing."""


HOPELESS = frozenset(
    {
        Outcome.UNREADABLE,
        Outcome.OVERSIZED,
        Outcome.REFUSED_PARAMETERS,
        Outcome.NETWORK,
        Outcome.SERVER_ERROR,
        Outcome.STALLED,
    }
)
"""Endings besides walls of which several in a row mean that going on is of no use."""


@dataclass(frozen=True)
class Verdict:
    """An ending with TikTok's own code and message where it gave them, and when to come back after a 429."""

    outcome: Ending
    code: int | None = None
    note: str = ""
    retry_after_s: float | None = None
    changed: Literal["", "item", "list"] = ""
    """Whether the site's own answers have another shape now: of one item, or of a list, which stops the run."""

    def failure(self, key: str) -> Failure | None:
        """The row for `failures/`, or None if nothing failed."""
        if isinstance(self.outcome, Done):
            return None
        parts = [self.outcome.sentence, f"code {self.code}" if self.code else "", self.note]
        return Failure(key, self.outcome, ", ".join(filter(None, parts)))


DONE = Verdict(Done.DONE)
ENOUGH = Verdict(Done.ENOUGH)
LEFT_OUT = Verdict(Done.LEFT_OUT)

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
        wait = float(retry_after) if retry_after.replace(".", "", 1).isdecimal() else None
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
