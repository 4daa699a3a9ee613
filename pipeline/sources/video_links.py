"""One address of a video: every form of TikTok's reduced to the numeric id. Asks no server.

Strict, for addresses that a server gave. What people and programs write into files is read by `links_in_text`.
"""

import re
from urllib.parse import unquote, urlsplit

MAX_LINK_CHARACTERS = 4096

_ID = r"(?P<id>[0-9]{15,20})"
_SITE = frozenset({"tiktok.com", "www.tiktok.com", "m.tiktok.com", "tiktokv.com", "www.tiktokv.com", "m.tiktokv.com"})
_SHORTENERS = frozenset({"vm.tiktok.com", "vt.tiktok.com"})
_PATHS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"/@[^/]*/(?:video|photo)/{_ID}",
        rf"/share/video/{_ID}",
        rf"/embed(?:/v[0-9])?/{_ID}",
        rf"/player/v[0-9]/{_ID}",
        rf"/v/{_ID}(?:\.html)?",
    )
)
_SHORT_PATH = re.compile(r"/[0-9A-Za-z_-]{4,32}")
_BARE_ID = re.compile(_ID)


def video_id_of(url: str) -> str | None:
    """The numeric id of the video an address points to, or None where the address does not say it.

    Understands every form that carries the id (with or without scheme, `www.`, handle and query) and a bare id of 15
    to 20 digits. Any other host, scheme, port or user part gives None.
    """
    text = url.strip()
    if len(text) > MAX_LINK_CHARACTERS:
        return None
    if _BARE_ID.fullmatch(text):
        return text
    place = _host_and_path(text)
    if place is None or place[0] not in _SITE:
        return None
    for pattern in _PATHS:
        if match := pattern.fullmatch(place[1]):
            return match["id"]
    return None


def short_link_of(url: str) -> str | None:
    """The address of a short link in its plain form (https, no query), or None if `url` is not one."""
    place = _host_and_path(url.strip()[:MAX_LINK_CHARACTERS])
    if place is None:
        return None
    host, path = place
    if host in _SHORTENERS and _SHORT_PATH.fullmatch(path):
        return f"https://{host}{path}/"
    if host in _SITE and path.startswith("/t/") and _SHORT_PATH.fullmatch(path[2:]):
        return f"https://www.tiktok.com{path}/"
    if host.endswith(".tiktok.com") and path.startswith("/t/") and _SHORT_PATH.fullmatch(path[2:]):
        return f"https://{host}{path}/"
    return None


def canonical_url(video_id: str) -> str:
    """The address of a video without its creator's handle."""
    return f"https://www.tiktok.com/@/video/{video_id}"


def _host_and_path(text: str) -> tuple[str, str] | None:
    if "://" not in text:
        text = f"https://{text.removeprefix('//')}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or parts.username is not None or port not in (None, 80, 443):
        return None
    path = unquote(parts.path).rstrip("/")
    if any(ord(character) < 32 for character in path):
        return None
    return (parts.hostname or "").rstrip("."), path
