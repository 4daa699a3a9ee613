"""Videos and comments of any site that yt-dlp reads: from its `.info.json` files, or from addresses that it is given.

An info file may hold session cookies and signed addresses, so only the fields named here land. Addresses are read one
at a time, each request at the pace of `manners`, after robots.txt was asked. TikTok's belong to a `web` source.
"""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from csmv.extractors.containers import VIDEO_SUFFIXES
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import Failure, clear_failures, record_failures
from csmv.pipeline.root import is_safe_id
from csmv.pipeline.schemas import CommentKind, FailureReason
from csmv.pipeline.sources.base import CommentRow, LandReport, Part, Person, Reach, Rows, Source, VideoRow
from csmv.pipeline.sources.by_shard import digest_of
from csmv.pipeline.sources.collect_settings import Connection, Manners
from csmv.pipeline.sources.landing import Record, read_records, write_records
from csmv.pipeline.sources.pacing import Pacer, interval_for
from csmv.pipeline.sources.plain_http import http_client
from csmv.pipeline.sources.proxies import proxy_of
from csmv.pipeline.sources.robots import AGENT, refuse_forbidden
from csmv.pipeline.sources.video_links import short_link_of, video_id_of
from csmv.pipeline.store import Store
from csmv.pipeline.validated import Validated

STAGE = "collect"

_OF_A_VIDEO = (
    *("id", "extractor_key", "title", "description", "tags", "timestamp", "language", "uploader", "uploader_id"),
    *("channel", "channel_id", "comment_count", "like_count", "view_count", "repost_count"),
)
_OF_A_COMMENT = (
    *("id", "parent", "text", "author", "author_id", "like_count", "timestamp", "is_pinned", "author_is_uploader"),
)


class YtdlpSource(Validated):
    """Videos and comments of any site that yt-dlp reads: see `csmv.pipeline.sources.ytdlp`."""

    kind: Literal["ytdlp"] = "ytdlp"
    path: str | None = Field(default=None, description="a folder of .info.json files, videos beside them")
    urls: tuple[str, ...] = Field(default=(), description="addresses of videos, read with their comments")
    comments: int = Field(default=1000, ge=0, description="at most so many of a video that is read by its address")
    manners: Manners = Manners()

    @model_validator(mode="after")
    def _something(self) -> "YtdlpSource":
        if self.path is None and not self.urls:
            raise ValueError("give a path, urls, or both")
        if any(video_id_of(url) or short_link_of(url) for url in self.urls):
            raise ValueError("TikTok's addresses belong to a source of kind web")
        return self


class Ytdlp(Source):
    """What yt-dlp tells of a video: its info and its comments."""

    kind: ClassVar[str] = "ytdlp"
    section_class: ClassVar[type[Validated]] = YtdlpSource
    section: YtdlpSource

    @property
    def online(self) -> bool:
        """It asks the site."""
        return True

    def land(self, store: Store, reach: Reach, part: Part) -> LandReport:
        """Take in the info files, then the addresses that have not been read.

        Raises:
            CsmvError: the folder is not there, or robots.txt can't be read or disallows an address.
        """
        report = LandReport()
        for stem, info in self._infos():
            report.landed += self._keep(store, stem, info)
        waiting = [url for url in self.section.urls if not store.exists(self._url_mark(url))]
        if not waiting:
            return report
        manners = self.section.manners
        pacer = reach.pace(store, manners)
        if manners.obey_robots:
            interval_s = interval_for(reach.with_interval(manners), reach.connection)
            _check_robots(waiting, reach.connection, pacer, interval_s)
        for url in waiting:
            pacer.wait()
            fetched = _fetch(url, reach.connection, self.section.comments, pacer)
            key = f"url:{digest_of([url])[:16]}"
            if fetched is None:
                text = "network: yt-dlp could not read the video at this address"
                record_failures(store, STAGE, store.shard_of(key), [Failure(key, FailureReason.NETWORK, text)])
                continue
            report.landed += self._keep(store, "", fetched)
            store.write_file(self._url_mark(url), b"{}")
            clear_failures(store, STAGE, store.shard_of(key), [key])
            reach.watch(key, report)
        return report

    def left(self, store: Store) -> int:
        """The addresses not read yet, and the info files that have not landed."""
        safe = [(stem, info) for stem, info in self._infos() if is_safe_id(_id(info))]
        files = sum(self._file_of(store, stem, info)[0] not in self._kept(store, _id(info)) for stem, info in safe)
        return files + sum(not store.exists(self._url_mark(url)) for url in self.section.urls)

    def state(self, store: Store, shard: int) -> str:
        """A digest of the names of what landed of the shard, which tell the content."""
        return digest_of(store.files(f"{self.landing}/videos/{shard:04d}"))

    def rows(self, store: Store, shard: int) -> Rows:
        """The shard's videos and comments; one comment that is no comment costs only itself."""
        videos: list[VideoRow] = []
        comments: dict[str, CommentRow] = {}
        for name in store.files(f"{self.landing}/videos/{shard:04d}"):
            video = _said(store, name)["video"]
            videos.append(_video(video))
            for comment in video["comments"]:
                if comment.get("id") and isinstance(comment.get("text"), str):
                    row = _comment(_id(video), comment)
                    comments.setdefault(row.id, row)
        return Rows(videos, list(comments.values()))

    @property
    def has_files(self) -> bool:
        """Where there is a folder, the videos stand beside the info files."""
        return self.section.path is not None

    def file(self, store: Store, video_id: str) -> Path | None:
        """The video beside its info file."""
        names = self._kept(store, video_id)
        stem = _said(store, names[-1])["stem"] if self.section.path and names else ""
        candidates = (self._folder() / f"{stem}{suffix}" for suffix in VIDEO_SUFFIXES) if stem else iter(())
        return next((path for path in candidates if path.is_file()), None)

    @property
    def manners(self) -> Manners:
        """As the section says."""
        return self.section.manners

    def _folder(self) -> Path:
        folder = Path(self.section.path or "").expanduser()
        if not folder.is_dir():
            raise CsmvError(f"The folder '{self.section.path}' is not there; it should hold .info.json files.")
        return folder

    def _infos(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The readable info files, each with the name that its video has without a suffix."""
        for path in sorted(self._folder().glob("*.info.json")) if self.section.path else ():
            try:
                info = json.loads(path.read_bytes())
            except ValueError:
                continue
            if isinstance(info, dict) and info.get("id"):
                yield path.name.removesuffix(".info.json"), info

    def _keep(self, store: Store, stem: str, info: dict[str, Any]) -> int:
        """Land what is wanted of an info, if it is news; gives 1 if it was."""
        video_id = _id(info)
        if not is_safe_id(video_id):
            key = f"info:{digest_of([video_id])[:16]}"
            text = "the site's name and the video's id make no video id"
            record_failures(store, STAGE, store.shard_of(key), [Failure(key, FailureReason.UNSAFE_ID, text)])
            return 0
        name, said = self._file_of(store, stem, info)
        names = self._kept(store, video_id)
        if name not in names:
            body = json.dumps(said, ensure_ascii=False).encode("utf-8", "surrogatepass")
            write_records(store, name, [Record("about:ytdlp", body)])
        for old in names:
            if old != name:
                store.remove(old)
        return int(name not in names)

    def _file_of(self, store: Store, stem: str, info: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """What is wanted of an info, and the landing file that it belongs into, named by its content."""
        comments = [one for one in info.get("comments") or () if isinstance(one, dict)]
        video = {name: info[name] for name in _OF_A_VIDEO if info.get(name) is not None}
        video["comments"] = [{name: one[name] for name in _OF_A_COMMENT if name in one} for one in comments]
        said = {"stem": stem, "video": video}
        return f"{self._folder_of(store, _id(info))}/{digest_of([said])[:32]}.jsonl.zst", said

    def _kept(self, store: Store, video_id: str) -> list[str]:
        return store.files(self._folder_of(store, video_id))

    def _folder_of(self, store: Store, video_id: str) -> str:
        return f"{self.landing}/videos/{store.shard_of(video_id):04d}/{video_id}"

    def _url_mark(self, url: str) -> str:
        return f"{self.landing}/urls/{digest_of([url])[:32]}.json"


def _said(store: Store, name: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(next(read_records(store, name)).body)
    return said


# ---------------------------------------------------------------------- rows


def _id(info: dict[str, Any]) -> str:
    """A video's id: two sites may give the same, and some begin theirs with a dash."""
    return f"{str(info.get('extractor_key') or 'video').lower()}-{info['id']}"


def _video(info: dict[str, Any]) -> VideoRow:
    return VideoRow(
        _id(info),
        description="\n".join(str(info[name]) for name in ("title", "description") if info.get(name)),
        hashtags=tuple(str(tag) for tag in info.get("tags") or ()),
        created_at=_moment(info.get("timestamp")),
        comment_count=_count(info.get("comment_count")),
        like_count=_count(info.get("like_count")),
        play_count=_count(info.get("view_count")),
        share_count=_count(info.get("repost_count")),
        language=info.get("language") if isinstance(info.get("language"), str) else None,
        creator=_person(info, "uploader_id", "channel_id", "uploader", "channel"),
    )


def _comment(video_id: str, comment: dict[str, Any]) -> CommentRow:
    parent = str(comment.get("parent") or "root")
    by_creator, pinned = comment.get("author_is_uploader"), comment.get("is_pinned")
    return CommentRow(
        str(comment["id"]),
        video_id,
        comment["text"],
        like_count=_count(comment.get("like_count")),
        reply_to=None if parent == "root" else parent,
        created_on=_day(_moment(comment.get("timestamp"))),
        author=_person(comment, "author_id", "", "author", ""),
        by_creator=by_creator if isinstance(by_creator, bool) else None,
        pinned=pinned if isinstance(pinned, bool) else None,
        kind=str(CommentKind.TEXT),
    )


def _person(said: dict[str, Any], handle: str, other: str, name: str, channel: str) -> Person | None:
    """Ids may be handles (@someone) as well as ids; either way they are the person's."""
    values = [str(said.get(key) or "") for key in (handle, other, name, channel)]
    if not any(values):
        return None
    ids = tuple(value for value in values[:2] if value)
    return Person(values[0].lstrip("@"), tuple(value.lstrip("@") for value in values[2:] if value), ids)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _moment(value: object) -> datetime | None:
    believable = isinstance(value, int | float) and 0 < value < 1 << 33
    return datetime.fromtimestamp(float(str(value)), UTC) if believable else None


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


# ---------------------------------------------------------------------- asking sites


def _check_robots(urls: list[str], connection: Connection, pacer: Pacer, interval_s: float) -> None:
    """Raises CsmvError where a site's robots.txt can't be read, or disallows one of the addresses, or the pace."""
    import httpx

    by_site: dict[str, list[str]] = {}
    for url in urls:
        parts = urlsplit(url)
        by_site.setdefault(f"{parts.scheme}://{parts.netloc}", []).append(url)
    with http_client(connection) as client:
        for site, addresses in by_site.items():
            pacer.wait()
            try:
                answer = client.get(f"{site}/robots.txt")
            except httpx.HTTPError as error:
                problem = type(error).__name__
                raise CsmvError(f"robots.txt could not be fetched ({problem}): try again later.") from None
            if answer.status_code not in (200, 404, 410):
                raise CsmvError(f"robots.txt could not be read (HTTP {answer.status_code}): try again later.")
            if answer.status_code == 200:
                refuse_forbidden(answer.text, addresses, interval_s, "an address of this source gives")


def _fetch(url: str, connection: Connection, comments: int, pacer: Pacer) -> dict[str, Any] | None:
    """What yt-dlp tells of one address, its comments included; None if it can't."""
    from yt_dlp import YoutubeDL
    from yt_dlp.utils import YoutubeDLError

    class Paced(YoutubeDL):  # type: ignore[misc]
        def urlopen(self, req: Any) -> Any:
            pacer.wait()
            return super().urlopen(req)

    proxy = proxy_of(connection)
    options = {
        "quiet": True,
        "no_warnings": True,
        "logger": _Silent(),
        "cachedir": False,
        "skip_download": True,
        "getcomments": comments > 0,
        "extractor_args": {"youtube": {"max_comments": [str(comments)]}},
        "noplaylist": True,
        "proxy": "" if proxy is None else proxy.url.get_secret_value(),
        "http_headers": {"User-Agent": AGENT},
        "retries": 0,
        "extractor_retries": 0,
        "socket_timeout": 30,
    }
    try:
        with Paced(options) as client:
            info = client.sanitize_info(client.extract_info(url, download=False))
    except YoutubeDLError:
        return None
    if not isinstance(info, dict) or not info.get("id"):
        return None
    return {**info, "comments": (info.get("comments") or [])[:comments]}


class _Silent:
    """yt-dlp's messages quote addresses and names: they go nowhere."""

    def debug(self, message: str) -> None:
        """Nothing."""

    info = warning = error = debug
