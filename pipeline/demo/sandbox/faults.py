"""What can go wrong on the sandbox site, as data: where each fault strikes, whether it passes, what must come of it.

The words in `expect` are the outcome classes of `csmv.pipeline.sources.walls`; the sandbox states them independently, so
that a collector is compared with this table and not with itself.
"""

from dataclasses import dataclass
from enum import StrEnum


class Place(StrEnum):
    """What a fault strikes."""

    TAG = "tag"  # a hashtag page and its lists
    VIDEO = "video"  # a video page
    COMMENTS = "comments"  # the comment and reply lists of a video
    MEDIA = "media"  # a video's file
    SHORT = "short"  # a short link


class Fault(StrEnum):
    """A fault by name, `<place>_<what>`."""

    TAG_CAPTCHA = "tag_captcha"
    TAG_VERIFY = "tag_verify"
    TAG_LOGIN_MODAL = "tag_login_modal"
    TAG_LOGIN_MODAL_BACK = "tag_login_modal_back"
    TAG_LOGIN_REDIRECT = "tag_login_redirect"
    TAG_BANNER = "tag_banner"
    TAG_EMPTY = "tag_empty"
    TAG_RATE_LIMITED = "tag_rate_limited"
    TAG_SERVER_ERROR = "tag_server_error"
    TAG_SLOW = "tag_slow"
    TAG_RESET = "tag_reset"
    TAG_PANEL = "tag_panel"
    TAG_PANEL_BACK = "tag_panel_back"
    TAG_ENDLESS = "tag_endless"
    TAG_STALL = "tag_stall"
    TAG_BROKEN_JSON = "tag_broken_json"
    TAG_HUGE = "tag_huge"
    TAG_EVIL_ID = "tag_evil_id"
    TAG_NOT_FOUND = "tag_not_found"
    TAG_BAD_COUNT = "tag_bad_count"

    VIDEO_CAPTCHA = "video_captcha"
    VIDEO_CHALLENGE = "video_challenge"
    VIDEO_LOGIN_REDIRECT = "video_login_redirect"
    VIDEO_EMPTY = "video_empty"
    VIDEO_NO_TAG = "video_no_tag"
    VIDEO_BROKEN_JSON = "video_broken_json"
    VIDEO_HUGE = "video_huge"
    VIDEO_RATE_LIMITED = "video_rate_limited"
    VIDEO_FORBIDDEN = "video_forbidden"
    VIDEO_SERVER_ERROR = "video_server_error"
    VIDEO_SLOW = "video_slow"
    VIDEO_RESET = "video_reset"
    VIDEO_LOGIN_MODAL = "video_login_modal"
    VIDEO_BANNER = "video_banner"
    VIDEO_DELETED = "video_deleted"
    VIDEO_SELF_SEE = "video_self_see"
    VIDEO_PRIVATE = "video_private"
    VIDEO_PRIVATE_ACCOUNT = "video_private_account"
    VIDEO_REGION = "video_region"
    VIDEO_CLASSIFIED = "video_classified"
    VIDEO_SLIDESHOW = "video_slideshow"
    VIDEO_AD = "video_ad"
    VIDEO_NO_DOWNLOAD = "video_no_download"
    VIDEO_NO_INDEX = "video_no_index"
    VIDEO_WRONG_ID = "video_wrong_id"
    VIDEO_NOT_FOUND = "video_not_found"

    COMMENTS_EMPTY = "comments_empty"
    COMMENTS_VERIFY = "comments_verify"
    COMMENTS_RATE_LIMITED = "comments_rate_limited"
    COMMENTS_SERVER_ERROR = "comments_server_error"
    COMMENTS_BROKEN_JSON = "comments_broken_json"
    COMMENTS_NONE = "comments_none"
    COMMENTS_OFF = "comments_off"
    COMMENTS_REPEAT = "comments_repeat"
    COMMENTS_TOTAL = "comments_total"
    COMMENTS_ENDLESS = "comments_endless"

    MEDIA_FORBIDDEN = "media_forbidden"
    MEDIA_EXPIRED = "media_expired"
    MEDIA_TRUNCATED = "media_truncated"
    MEDIA_SHORT = "media_short"
    MEDIA_HTML = "media_html"
    MEDIA_SERVER_ERROR = "media_server_error"
    MEDIA_RESET = "media_reset"
    MEDIA_SLOW = "media_slow"

    SHORT_LOOP = "short_loop"
    SHORT_LOGIN = "short_login"
    SHORT_ELSEWHERE = "short_elsewhere"

    @property
    def place(self) -> Place:
        """What it strikes."""
        return Place(self.value.split("_", 1)[0])


@dataclass(frozen=True)
class Effect:
    """What must come of a fault: `expect` is the outcome class, "" where the collector must get by.

    A passing fault strikes the first visits only; a lasting one every visit.
    """

    expect: str = ""
    lasting: bool = False


EFFECTS: dict[Fault, Effect] = {
    Fault.TAG_CAPTCHA: Effect("captcha"),
    Fault.TAG_VERIFY: Effect("captcha"),
    Fault.TAG_LOGIN_MODAL: Effect(),
    Fault.TAG_LOGIN_MODAL_BACK: Effect("login_required"),
    Fault.TAG_LOGIN_REDIRECT: Effect("login_required"),
    Fault.TAG_BANNER: Effect(lasting=True),
    Fault.TAG_EMPTY: Effect("empty_response"),
    Fault.TAG_RATE_LIMITED: Effect("rate_limited"),
    Fault.TAG_SERVER_ERROR: Effect("server_error"),
    Fault.TAG_SLOW: Effect(),
    Fault.TAG_RESET: Effect("network"),
    Fault.TAG_PANEL: Effect(),
    Fault.TAG_PANEL_BACK: Effect("error_panel"),
    Fault.TAG_ENDLESS: Effect(lasting=True),
    Fault.TAG_STALL: Effect("stalled"),
    Fault.TAG_BROKEN_JSON: Effect("unreadable"),
    Fault.TAG_HUGE: Effect("oversized"),
    Fault.TAG_EVIL_ID: Effect("", lasting=True),
    Fault.TAG_NOT_FOUND: Effect("not_found", lasting=True),
    Fault.TAG_BAD_COUNT: Effect("refused_parameters"),
    Fault.VIDEO_CAPTCHA: Effect("captcha"),
    Fault.VIDEO_CHALLENGE: Effect("challenge"),
    Fault.VIDEO_LOGIN_REDIRECT: Effect("login_required"),
    Fault.VIDEO_EMPTY: Effect("empty_response"),
    Fault.VIDEO_NO_TAG: Effect("unreadable"),
    Fault.VIDEO_BROKEN_JSON: Effect("unreadable"),
    Fault.VIDEO_HUGE: Effect("oversized"),
    Fault.VIDEO_RATE_LIMITED: Effect("rate_limited"),
    Fault.VIDEO_FORBIDDEN: Effect("forbidden"),
    Fault.VIDEO_SERVER_ERROR: Effect("server_error"),
    Fault.VIDEO_SLOW: Effect(),
    Fault.VIDEO_RESET: Effect("network"),
    Fault.VIDEO_LOGIN_MODAL: Effect(),
    Fault.VIDEO_BANNER: Effect(lasting=True),
    Fault.VIDEO_DELETED: Effect("gone", lasting=True),
    Fault.VIDEO_SELF_SEE: Effect("withheld", lasting=True),
    Fault.VIDEO_PRIVATE: Effect("private", lasting=True),
    Fault.VIDEO_PRIVATE_ACCOUNT: Effect("private", lasting=True),
    Fault.VIDEO_REGION: Effect("withheld", lasting=True),
    Fault.VIDEO_CLASSIFIED: Effect("age_gate", lasting=True),
    Fault.VIDEO_SLIDESHOW: Effect("slideshow", lasting=True),
    Fault.VIDEO_AD: Effect("advertisement", lasting=True),
    Fault.VIDEO_NO_DOWNLOAD: Effect("download_disallowed", lasting=True),
    Fault.VIDEO_NO_INDEX: Effect("indexing_disallowed", lasting=True),
    Fault.VIDEO_WRONG_ID: Effect("wrong_id", lasting=True),
    Fault.VIDEO_NOT_FOUND: Effect("not_found", lasting=True),
    Fault.COMMENTS_EMPTY: Effect("empty_response"),
    Fault.COMMENTS_VERIFY: Effect("captcha"),
    Fault.COMMENTS_RATE_LIMITED: Effect("rate_limited"),
    Fault.COMMENTS_SERVER_ERROR: Effect("server_error"),
    Fault.COMMENTS_BROKEN_JSON: Effect("unreadable"),
    Fault.COMMENTS_NONE: Effect(lasting=True),
    Fault.COMMENTS_OFF: Effect(lasting=True),
    Fault.COMMENTS_REPEAT: Effect(lasting=True),
    Fault.COMMENTS_TOTAL: Effect(lasting=True),
    Fault.COMMENTS_ENDLESS: Effect(lasting=True),
    Fault.MEDIA_FORBIDDEN: Effect("forbidden", lasting=True),
    Fault.MEDIA_EXPIRED: Effect(),
    Fault.MEDIA_TRUNCATED: Effect(),
    Fault.MEDIA_SHORT: Effect("truncated", lasting=True),
    Fault.MEDIA_HTML: Effect("not_a_video", lasting=True),
    Fault.MEDIA_SERVER_ERROR: Effect("server_error"),
    Fault.MEDIA_RESET: Effect("network"),
    Fault.MEDIA_SLOW: Effect(),
    Fault.SHORT_LOOP: Effect("redirect_loop", lasting=True),
    Fault.SHORT_LOGIN: Effect("login_required"),
    Fault.SHORT_ELSEWHERE: Effect("refused_address", lasting=True),
}

NEVER_DRAWN = frozenset(
    # A hashtag that isn't there would take all its videos with it, and a huge page is slow: asked for by name only.
    {Fault.TAG_NOT_FOUND, Fault.TAG_HUGE, Fault.TAG_EVIL_ID, Fault.TAG_BAD_COUNT, Fault.VIDEO_HUGE}
)


def drawn_at(place: Place) -> tuple[Fault, ...]:
    """The faults that a rate may bring to a place."""
    return tuple(fault for fault in EFFECTS if fault.place is place and fault not in NEVER_DRAWN)
