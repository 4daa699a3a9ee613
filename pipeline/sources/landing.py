"""Landing: what a source answered, as it came, compressed, append-only and private.

A visit is one file, written whole when the visit ends; its name tells when it was and how it ended, so that a run knows
where it stands without reading any. A hashtag's pages are kept one by one as they come. Of the requests, signatures,
session tokens and cookies are not kept.
"""

import json
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import zstandard

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.root import is_safe_id
from csmv.pipeline.sources.walls import ENDINGS, Ending, Outcome, Verdict
from csmv.pipeline.store import Store

WEB = "private/landing/web"
ABOUT = "about:visit"
_SHORT = f"{WEB}/short_links"
MAX_RECORD_BYTES = 64 << 20

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEPT_QUERY = frozenset({"challengeName", "challengeID", "aweme_id", "item_id", "comment_id", "cursor", "count"})


@dataclass(frozen=True)
class Record:
    """One answer: the path that was asked, what of its query is no secret, the HTTP status, the body as it came."""

    path: str
    body: bytes
    query: dict[str, str] = field(default_factory=dict)
    status: int = 200
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def line(self) -> bytes:
        """As a line of JSON."""
        entry = {
            "path": self.path,
            "query": {name: value for name, value in self.query.items() if name in _KEPT_QUERY},
            "status": self.status,
            "at": self.at.isoformat(timespec="milliseconds"),
            "body": self.body.decode("utf-8", "replace"),
        }
        return json.dumps(entry, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


@dataclass(frozen=True)
class Visit:
    """A visit by its file: when it began (sortable), and how it ended."""

    name: str
    outcome: Ending

    @property
    def began(self) -> str:
        """The beginning, as 20261123T171500123Z456 (the microseconds after the Z) and something random.

        Names by earlier versions end at the millisecond: 20261123T171500123Z and something random. Of one
        millisecond they sort first.
        """
        return self.name.rsplit("/", 1)[-1].split(".", 1)[0]

    @property
    def when(self) -> datetime:
        """The beginning as a time."""
        milliseconds, _, rest = self.began.partition("Z")
        microseconds = rest.partition("-")[0]
        return datetime.strptime(milliseconds + microseconds, "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)


class VisitNames:
    """Names of visits that sort in the order in which they were made; any thread may ask.

    A name holds the time in microseconds, or one microsecond more than the name before it where the clock stood
    still or stepped back. Names of several processes sort as well as their clocks agree.

    Args:
        clock: the time in nanoseconds since 1970.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._last = 0
        self._lock = threading.Lock()

    def new(self) -> str:
        """The name of a visit that begins now. No two are equal, of other processes either."""
        with self._lock:
            self._last = max(self._clock() // 1000, self._last + 1)
            began = _EPOCH + timedelta(microseconds=self._last)
        milliseconds, microseconds = divmod(began.microsecond, 1000)
        return f"{began:%Y%m%dT%H%M%S}{milliseconds:03d}Z{microseconds:03d}-{secrets.token_hex(3)}"


_NAMES = VisitNames()


def new_visit() -> str:
    """The name of a visit that begins now, after all that this process has named before."""
    return _NAMES.new()


class Landing:
    """The landing of the web source in one root."""

    def __init__(self, store: Store) -> None:
        self.store = store

    # ------------------------------------------------------------------ writing

    def add_page(self, tag: str, visit: str, number: int, record: Record) -> None:
        """Keep one page of a hashtag's list."""
        self._write(f"{WEB}/tags/{tag_key(tag)}/{visit}.{number:04d}.page.jsonl.zst", [record])

    def close_tag(self, tag: str, visit: str, verdict: Verdict, records: Iterable[Record] = ()) -> None:
        """Keep how a visit of a hashtag ended."""
        self._write(f"{WEB}/tags/{tag_key(tag)}/{visit}.{verdict.outcome}.jsonl.zst", [_about(tag, verdict), *records])

    def close_video(self, video_id: str, visit: str, verdict: Verdict, records: Iterable[Record] = ()) -> None:
        """Keep all of a visit of a video. Raises CsmvError for an id that may not become a file name."""
        if not is_safe_id(video_id):
            raise CsmvError("A video id that is not 1 to 64 letters, digits, - and _ can't become a file name.")
        folder = f"{WEB}/videos/{self.store.shard_of(video_id):04d}/{video_id}"
        self._write(f"{folder}/{visit}.{verdict.outcome}.jsonl.zst", [_about(video_id, verdict), *records])

    def add_links(self, ids: Iterable[str], name: str) -> None:
        """Keep a list of video ids to collect, under the name of its file's content."""
        self._write(f"{WEB}/links/{name}.jsonl.zst", [Record("about:links", json.dumps(list(ids)).encode())])

    def links(self) -> dict[str, None]:
        """All ids from lists of links, in order."""
        video_ids: dict[str, None] = {}
        for name in self.store.files(f"{WEB}/links"):
            for record in self.read(name):
                video_ids.update(dict.fromkeys(json.loads(record.body)))
        return video_ids

    def add_short_links(self, links: Iterable[str], name: str) -> None:
        """Keep short links to resolve, under the name of their file's content."""
        self._write(f"{_SHORT}/{name}.jsonl.zst", [Record("about:short", json.dumps(list(links)).encode())])

    def close_short_link(self, link: str, verdict: Verdict) -> None:
        """Keep how the resolving of a short link ended."""
        name = f"{_SHORT}/{tag_key(link)}/{new_visit()}.{verdict.outcome}.jsonl.zst"
        self._write(name, [_about(tag_key(link), verdict)])

    def short_links(self) -> list[str]:
        """The short links that have not been resolved, in order."""
        names = self.store.files(_SHORT)
        settled = {name.split("/")[-2] for name in names if (visit := _visit(name)) is not None and visit.outcome.final}
        listed = [name for name in names if name.rsplit("/", 1)[0] == _SHORT]
        links = dict.fromkeys(link for name in listed for record in self.read(name) for link in json.loads(record.body))
        return [link for link in links if tag_key(link) not in settled]

    def _write(self, name: str, records: Iterable[Record]) -> None:
        write_records(self.store, name, records)

    # ------------------------------------------------------------------ reading

    def video_visits(self, shard: int | None = None) -> dict[str, list[Visit]]:
        """The visits of each video, oldest first; of one shard or of all."""
        place = f"{WEB}/videos" if shard is None else f"{WEB}/videos/{shard:04d}"
        visits: dict[str, list[Visit]] = defaultdict(list)
        for name in self.store.files(place):
            visit = _visit(name)
            if visit is not None:
                visits[name.split("/")[-2]].append(visit)
        return visits

    def tag_visits(self, tag: str) -> list[Visit]:
        """The visits of a hashtag that ended, oldest first."""
        visits = (_visit(name) for name in self.store.files(f"{WEB}/tags/{tag_key(tag)}"))
        return [visit for visit in visits if visit is not None]

    def tag_pages(self, tag: str) -> Iterator[Record]:
        """Every page of a hashtag's list that was ever kept, oldest first."""
        for name in self.store.files(f"{WEB}/tags/{tag_key(tag)}"):
            if name.endswith(".page.jsonl.zst"):
                yield from self.read(name)

    def last_pages(self, tag: str) -> Iterator[Record]:
        """The pages of a hashtag's newest visit that kept any."""
        names = [name for name in self.store.files(f"{WEB}/tags/{tag_key(tag)}") if name.endswith(".page.jsonl.zst")]
        for name in names:
            if name.split(".", 1)[0] == names[-1].split(".", 1)[0]:
                yield from self.read(name)

    def read(self, name: str) -> Iterator[Record]:
        """The records of a file."""
        yield from read_records(self.store, name)


def write_records(store: Store, name: str, records: Iterable[Record]) -> None:
    """Commit records as a landing file, whole or not at all."""
    data = b"".join(record.line() for record in records)
    store.write_file(name, zstandard.ZstdCompressor(level=6).compress(data))


def read_records(store: Store, name: str) -> Iterator[Record]:
    """The records of a landing file. Raises CsmvError if it is damaged."""
    try:
        data = zstandard.ZstdDecompressor().decompress(store.read_file(name), max_output_size=MAX_RECORD_BYTES * 4)
        for line in data.splitlines():
            entry: dict[str, Any] = json.loads(line)
            yield Record(
                path=entry["path"],
                body=entry["body"].encode("utf-8", "surrogatepass"),
                query=entry["query"],
                status=entry["status"],
                at=datetime.fromisoformat(entry["at"]),
            )
    except (zstandard.ZstdError, ValueError, KeyError, TypeError):
        raise CsmvError(f"'{name}' is damaged: move it away, and the collection fetches it again.") from None


def verdict_of(records: Iterable[Record]) -> Verdict:
    """How a visit ended, as it was told."""
    for record in records:
        if record.path == ABOUT:
            ending = json.loads(record.body)
            return Verdict(ENDINGS[ending["outcome"]], ending["code"], ending["note"])
    return Verdict(Outcome.UNREADABLE)


def _about(target: str, verdict: Verdict) -> Record:
    ending = {"target": target, "outcome": verdict.outcome, "code": verdict.code, "note": verdict.note}
    return Record(ABOUT, json.dumps(ending).encode())


def tag_key(tag: str) -> str:
    """The folder of a hashtag: hashtags may hold any letters, folders may not."""
    return sha256(tag.casefold().encode()).hexdigest()[:16]


def latest(visits: list[Visit]) -> Visit | None:
    """The visit that counts: the newest final one, else the newest."""
    final = [visit for visit in visits if visit.outcome.final]
    return (final or visits or [None])[-1]  # type: ignore[list-item]


def _visit(name: str) -> Visit | None:
    parts = name.rsplit("/", 1)[-1].split(".")
    if len(parts) != 4 or parts[1] not in ENDINGS:
        return None
    return Visit(name, ENDINGS[parts[1]])
