"""yt-dlp as a library, in the polite form: no solved challenge, no impersonation, no random headers, no other site.

A video page is read with this package's own models, so that its refusals are told by TikTok's codes and not by yt-dlp's
guess. Relies on private names of yt-dlp, which is why its version is pinned and a test watches them.
"""

import errno
import functools
import ssl
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from yt_dlp import YoutubeDL
from yt_dlp.extractor.tiktok import TikTokIE
from yt_dlp.networking._urllib import UrllibRH
from yt_dlp.networking.exceptions import HTTPError
from yt_dlp.utils import DownloadError, ExtractorError

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.sources.collect_settings import Connection
from csmv.pipeline.sources.cookie_files import cookies_of
from csmv.pipeline.sources.hosts import is_media
from csmv.pipeline.sources.proxies import proxy_of
from csmv.pipeline.sources.responses import MAX_BODY_BYTES, Item, read_video_page
from csmv.pipeline.sources.video_links import canonical_url
from csmv.pipeline.sources.walls import Outcome, Verdict, verdict_of_status

USER_AGENT = f"csmv/{version('csmv')} (research data collection; Python)"


class Refused(ExtractorError):  # type: ignore[misc]
    """A page that gives no video; `verdict` says why."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(str(verdict.outcome), expected=True)
        self.verdict = verdict


@dataclass(frozen=True)
class Promise:
    """What a page promises about its file."""

    item: Item
    info: dict[str, Any]


def format_selector(shortest_side: int) -> tuple[str, list[str]]:
    """yt-dlp's `format` and `format_sort` for the smallest H.264 file whose shorter side has so many pixels.

    Where there is none so large the largest H.264 is taken, then anything. The watermarked rendition never is.
    """
    side = f"[width>={shortest_side}][height>={shortest_side}]"
    # The best in this order is the smallest, so that the worst is the largest.
    h264 = "[vcodec^=h264][format_id!=download]"
    return f"b{h264}{side}/w{h264}/w[format_id!=download]", ["+res", "+br", "+size"]


class Downloader:
    """Reads video pages and fetches their files, with one cookie jar. Not for several threads at once."""

    def __init__(self, connection: Connection, folder: Path, shortest_side: int, honour_creators: bool) -> None:
        selector, order = format_selector(shortest_side)
        proxy = proxy_of(connection)
        self._extractor = _PoliteTikTok(honour_creators)
        self._ydl = _Ydl(
            {
                "quiet": True,
                "noprogress": True,
                "no_warnings": True,
                "logger": _Silent(),
                "cachedir": False,
                "outtmpl": {"default": f"{str(folder).replace('%', '%%')}/%(id)s.%(format_id)s.%(ext)s"},
                "format": selector,
                "format_sort": order,
                "format_sort_force": True,
                "proxy": "" if proxy is None else proxy.url.get_secret_value(),
                "http_headers": {"User-Agent": USER_AGENT},
                "cookiefile": None,  # read here: yt-dlp prints the lines of one that it can't read
                "socket_timeout": 30,
                "retries": 0,  # every request waits its turn, so every retry is ours
                "file_access_retries": 0,
                "extractor_retries": 0,
                "continuedl": True,
                "updatetime": False,
                "writeinfojson": False,
            },
            connection.ca_file,
        )
        self._ydl.add_info_extractor(self._extractor)
        for cookie in cookies_of(connection):
            self._ydl.cookiejar.set_cookie(cookie)

    def read(self, video_id: str) -> Promise | Verdict:
        """Read a video's page: one request."""
        try:
            info = self._ydl.extract_info(canonical_url(video_id), download=False, process=False)
        except (DownloadError, ExtractorError) as error:
            return _verdict_of(error)
        assert self._extractor.item is not None
        return Promise(self._extractor.item, info)

    def fetch(self, promise: Promise) -> Path | Verdict:
        """Fetch the file that a page promises: one request; what a former try left behind is continued."""
        try:
            done = self._ydl.process_ie_result({**promise.info}, download=True)
        except (DownloadError, ExtractorError) as error:
            return _verdict_of(error)
        files = done.get("requested_downloads") or []
        return Path(files[0]["filepath"]) if files else Verdict(Outcome.UNREADABLE, note="no file to fetch")

    def close(self) -> None:
        """Close connections; the cookies are forgotten, never written back."""
        self._ydl.close()


class _Silent:
    """yt-dlp's messages hold captions and names: none is passed on."""

    def debug(self, _message: str) -> None: ...
    def info(self, _message: str) -> None: ...
    def warning(self, _message: str) -> None: ...
    def error(self, _message: str) -> None: ...


class _PoliteTikTok(TikTokIE):  # type: ignore[misc]
    """TikTok's extractor with a page reader of our own; none of its tricks is reached."""

    IE_NAME = "TikTok"

    def __init__(self, honour_creators: bool) -> None:
        super().__init__()
        self.honour_creators = honour_creators
        self.item: Item | None = None

    @classmethod
    def ie_key(cls) -> str:
        return "TikTok"

    def _generate_blockbuster_headers(self) -> dict[str, str]:
        return {}

    def _solve_challenge_and_set_cookies(self, _page: str) -> None:
        raise Refused(Verdict(Outcome.CHALLENGE))

    def _real_extract(self, url: str) -> dict[str, Any]:
        self.item = None
        video_id = self._match_id(url)
        answer = self._request_webpage(url, video_id, note=False, expected_status=lambda _status: True)
        verdict = verdict_of_status(answer.status, answer.headers.get("Retry-After", ""))
        if verdict is not None:
            raise Refused(verdict)
        where = answer.url.split("?", 1)[0].rstrip("/")
        if where.endswith("/login"):
            raise Refused(Verdict(Outcome.LOGIN_REQUIRED))
        raw, item, verdict = read_video_page(answer.read(MAX_BODY_BYTES + 1), video_id)
        if item is None:
            raise Refused(verdict)
        refusal = item.refusal(honour_creators=self.honour_creators)
        if refusal is not None:
            raise Refused(refusal)
        self.item = item
        info: dict[str, Any] = self._parse_aweme_video_web(raw, canonical_url(video_id), video_id)
        info["formats"] = [one for one in info.get("formats") or () if is_media(str(one.get("url")))]
        return info | {"id": video_id, "extractor": "TikTok", "extractor_key": "TikTok", "webpage_url": url}


class _Handler(UrllibRH):  # type: ignore[misc]
    """yt-dlp's plain handler, trusting one more certificate where the settings say so."""

    ca_file: Path | None = None
    RH_KEY = "Urllib"

    def _create_instance(self, *arguments: Any, **more: Any) -> urllib.request.OpenerDirector:
        opener: urllib.request.OpenerDirector = super()._create_instance(*arguments, **more)
        opener.add_handler(_OnlyPlatform())
        return opener

    def _make_sslcontext(self, legacy_ssl_support: bool | None = None) -> ssl.SSLContext:
        context: ssl.SSLContext = super()._make_sslcontext(legacy_ssl_support)
        if self.ca_file is not None:
            context.load_verify_locations(cafile=str(self.ca_file))
        return context


class _OnlyPlatform(urllib.request.BaseHandler):
    """Sees every request before it is sent, those of redirects too: none leaves for anybody else."""

    def https_request(self, request: urllib.request.Request) -> urllib.request.Request:
        if not is_media(request.full_url):
            raise Refused(Verdict(Outcome.REFUSED_ADDRESS, note="a file elsewhere than with the platform"))
        return request

    http_request = https_request


class _Ydl(YoutubeDL):  # type: ignore[misc]
    """yt-dlp with its plain handler only: whatever else is installed, nothing impersonates a browser."""

    def __init__(self, params: dict[str, Any], ca_file: Path | None) -> None:
        self._handler = type("_HandlerHere", (_Handler,), {"ca_file": ca_file, "RH_KEY": "Urllib"})
        super().__init__(params, auto_init=False)

    @functools.cached_property
    def _request_director(self) -> Any:
        return self.build_request_director((self._handler,))


def _verdict_of(error: Exception) -> Verdict:
    """What an error of yt-dlp means, by its kind and never by its text. Raises CsmvError if the disk is full."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CsmvError("The disk is full: make room and run the same command again; nothing done is lost.")
        if isinstance(cause, Refused):
            return cause.verdict
        if isinstance(cause, HTTPError):
            retry_after = cause.response.headers.get("Retry-After", "") if cause.response else ""
            return verdict_of_status(cause.status, retry_after) or Verdict(Outcome.NETWORK)
    if isinstance(error, DownloadError) and "Requested format" in str(error):
        return Verdict(Outcome.UNREADABLE, note="the page names no file")
    return Verdict(Outcome.NETWORK)


def _causes(error: BaseException | None) -> Sequence[BaseException]:
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        info = getattr(error, "exc_info", None)
        following = info[1] if info and info[1] is not error else getattr(error, "cause", None) or error.__cause__
        error = following if isinstance(following, BaseException) else None
    return causes
