"""Videos that any text names: in addresses of every form, in prose, behind wrappers, as people and programs pass them.

Lenient where `video_links` is strict: what stands around an address, and what the address is wrapped in, does not
matter, as long as the id stands where only a video's can.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

from csmv.pipeline.sources.video_links import MAX_LINK_CHARACTERS, short_link_of

_ID = r"(?P<id>[0-9]{15,20})(?![0-9A-Za-z])"
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f"))
_HOST = r"(?P<host>(?:[a-z0-9-]+\.)*tiktokv?\.com)\.?(?::(?P<port>[0-9]*))?"
_START = re.compile(
    rf"(?<![0-9A-Za-z@.-])(?:(?P<scheme>[a-z][a-z0-9+.-]*):)?(?://)?{_HOST}(?![0-9A-Za-z@.-])", re.IGNORECASE
)
"""Where an address of the site begins, with or without a scheme; not a part of another host's name."""
_ANY_START = re.compile(r"https?://", re.IGNORECASE)
_END = re.compile(r"[\s<>\"“”„«»‹›|\\^`{}\[\]]")
_PLACES = r"(?:@[^/?#]*/+)?(?:video|photo)|share/video|share/photo|embed(?:/v[0-9])?|player/v[0-9]|v"
_IN_PATH = re.compile(rf"/(?:{_PLACES})/+{_ID}", re.IGNORECASE)
_IN_QUERY = re.compile(
    rf"[?&#;](?:item_?id|aweme_?id|modal_?id|share_?id|share_?item_?id|video_?id)=@?{_ID}", re.IGNORECASE
)
_APPS = r"(?<![0-9A-Za-z])(?:snssdk[0-9]+|aweme|tiktok|musically)"
_IN_APP = re.compile(rf"(?:{_APPS}://(?:aweme/)?detail/|data-video-id=[\"']?){_ID}", re.IGNORECASE)
_HANDLE = re.compile(r"/+(?:[a-z]{2}(?:-[a-z]{2})?/+)?@([^/?#]+)/", re.IGNORECASE)
_FEW_DIGITS = re.compile(r"/(?:video|photo)/+(?P<digits>[0-9]+)", re.IGNORECASE)
_PAGES = (
    (re.compile(r"^/+@[^/?#]+/live", re.IGNORECASE), "a live page, not a video"),
    (re.compile(r"^/+@[^/?#]+/?(?:[?#]|$)", re.IGNORECASE), "a profile, not a video"),
    (re.compile(r"^/+music/", re.IGNORECASE), "a sound, not a video"),
    (re.compile(r"^/+tag/", re.IGNORECASE), "a hashtag, not a video"),
)
_ARCHIVED = re.compile(r"^\s*tiktok\s+(?=[0-9]{15,20}\s*$)", re.IGNORECASE)
"""How yt-dlp's list of what it has fetched begins a line."""
_EDGE = "='\"`‘’‚“”„«»‹›<>()[]{}.,;:!?*_|"
NO_ADDRESS = "no link in the row"
NOT_A_VIDEO = "not an address of a TikTok video"
_BARE = re.compile(r"[0-9]{15,20}")


@dataclass
class NamedVideos:
    """What a text names: ids and short links, each once and in order; `why` says what stood there if there is neither.

    `handles` are whose videos they are, by id, as far as the addresses say. Personal.
    """

    ids: dict[str, None] = field(default_factory=dict)
    short_links: dict[str, None] = field(default_factory=dict)
    why: str = ""
    handles: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.ids or self.short_links)


def videos_in(text: str) -> NamedVideos:
    """The videos that addresses in a text name; bare numbers are none of them (`bare_ids_in`)."""
    named = NamedVideos()
    text = _plain(text)
    in_apps = [(match.start(), f"/v/{match['id']}") for match in _IN_APP.finditer(text)]
    for _, address in sorted([*_addresses_in(text), *in_apps]):
        _take(address, named)
    if not named and not named.why:
        named.why = NOT_A_VIDEO if "://" in text or "tiktok" in text.casefold() else NO_ADDRESS
    return named


def bare_ids_in(text: str) -> list[str]:
    """The ids in a text that consists of nothing but ids, quoted or listed as they may be; else none."""
    plain = _ARCHIVED.sub("", _plain(text))
    words = [word.strip(_EDGE) for word in re.split(r"[\s,;|]+", plain)]
    words = [word for word in words if word]
    return list(dict.fromkeys(words)) if words and all(map(_BARE.fullmatch, words)) else []


def _plain(text: str) -> str:
    """A text without what can't be seen, its entities and percent signs read as what they stand for."""
    text = html.unescape(text.translate(_INVISIBLE)).replace("\u00a0", " ").replace("\\/", "/")
    for _ in range(3):
        if "%" not in text:
            break
        decoded = unquote(text, errors="replace")
        if decoded == text:
            break
        text = decoded
    return text


def _addresses_in(text: str) -> Iterator[tuple[int, str]]:
    """Where each address of the site begins, and the address from its host up to the next one, which it may wrap."""
    begins = list(_START.finditer(text))
    cuts = sorted({*(match.start() for match in begins), *(match.start() for match in _ANY_START.finditer(text))})
    for match in begins:
        if (match["scheme"] or "https").casefold() in ("http", "https") and match["port"] in (None, "", "80", "443"):
            stop = _END.search(text, match.end())
            end = stop.start() if stop else len(text)
            end = min([end, *(cut for cut in cuts if match.end() <= cut < end)])
            yield match.start(), text[match.start("host") : end]


def _take(address: str, named: NamedVideos) -> None:
    """Note what one address names."""
    is_long = len(address) > MAX_LINK_CHARACTERS
    address = address[:MAX_LINK_CHARACTERS]
    rest = address[min([len(address), *(at for mark in "/?#" if (at := address.find(mark)) >= 0)]) :]
    match = _IN_PATH.search(rest) or _IN_QUERY.search(rest)
    if match is not None and (handle := _HANDLE.match(rest)):
        named.handles.setdefault(match["id"], handle[1])
    if is_long:
        named.why = named.why or f"a link of more than {MAX_LINK_CHARACTERS} characters"
        return
    if match is not None:
        named.ids.setdefault(match["id"])
        return
    short = short_link_of(address.rstrip(_EDGE))
    if short is not None:
        named.short_links.setdefault(short)
        return
    named.why = named.why or _why(rest)


def _why(rest: str) -> str:
    """What an address of the site is that is no video's."""
    if digits := _FEW_DIGITS.search(rest):
        return f"an id of {len(digits['digits'])} digits, where a video's has 15 to 20"
    return next((reason for pattern, reason in _PAGES if pattern.search(rest)), NOT_A_VIDEO)
