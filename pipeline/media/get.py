"""Getting a video's file: the source's own, or else a download with yt-dlp in its polite form.

Downloads go a few at a time at one shared pace. They grow in the root's private folder, so that a killed run's are
continued; what a page says about persons is not kept at all.
"""

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from csmv.pipeline.failures import Failure
from csmv.pipeline.media.media_settings import MediaSettings
from csmv.pipeline.schemas import FailureReason
from csmv.pipeline.sources.collect_settings import Connection, Manners
from csmv.pipeline.sources.pacing import Pacer, Paused
from csmv.pipeline.sources.walls import HOPELESS, Ending, Outcome, Verdict
from csmv.pipeline.store import Store

if TYPE_CHECKING:
    from csmv.pipeline.sources.polite import Downloader, Promise

PARTIAL = "private/partial"
_TRIES = 3
_BATCH = 16
_BATCH_S = 5.0
_BACKOFF_S: dict[Ending, float] = {Outcome.SERVER_ERROR: 10.0, Outcome.NETWORK: 5.0}
"""What may pass at once, and the pause before it is tried again; twice as long the next time."""


class Origin(Protocol):
    """What the media stage asks of a source (`csmv.pipeline.sources.base.Source` is one)."""

    @property
    def has_files(self) -> bool:
        """Whether it has files of its own, so that nothing is downloaded."""

    @property
    def manners(self) -> Manners | None:
        """How politely its site is asked; None if it says nothing of it."""

    def file(self, store: Store, video_id: str) -> Path | None:
        """Its own file of a video."""


@dataclass(frozen=True)
class Got:
    """A file that waits to be verified, or why there is none.

    `downloaded` files are ours and go away once they are dealt with; `promised_s` is the length that the page said.
    """

    video_id: str
    path: Path | None = None
    failure: Failure | None = None
    downloaded: bool = False
    promised_s: float = 0.0


class Stop:
    """Ends a run early, from any thread; the first reason counts."""

    def __init__(self) -> None:
        self.why = ""
        self._event = threading.Event()

    def __call__(self, why: str = "") -> None:
        """Begin nothing more."""
        self.why = self.why or why
        self._event.set()

    def wait(self, seconds: float) -> None:
        """Let time pass, but not beyond the end of the run."""
        self._event.wait(seconds)

    def __bool__(self) -> bool:
        return self._event.is_set()


class Room:
    """What private/media may still hold; ends the run when it is used up. `quota_bytes` None means no limit."""

    def __init__(self, store: Store, quota_bytes: int | None, stop: Stop) -> None:
        self.store, self._stop = store, stop
        self._left = float("inf")
        if quota_bytes is not None:
            bytes_used = sum(file.size for file in store.listing("private/media").values())
            self._left = quota_bytes - bytes_used
            if self._left <= 0:
                self._end()

    def take(self, size: int) -> None:
        """A file of so many bytes has come."""
        self._left -= size
        if self._left < 0:
            self._end()

    def _end(self) -> None:
        self._stop("the disk quota is used up")


@contextmanager
def partial_folder(store: Store) -> Iterator[Path]:
    """Where downloads grow: in the private folder of a local root, else in one that passes."""
    if not store.is_local:
        with tempfile.TemporaryDirectory(prefix="csmv-media-") as passing:
            yield Path(passing)
        return
    yield store.private_folder(PARTIAL)


@dataclass
class Downloads:
    """The downloads of one shard."""

    settings: MediaSettings
    manners: Manners
    connection: Connection
    pacer: Pacer
    folder: Path
    stop: Stop
    room: Room
    _in_a_row: ClassVar[Counter[str]] = Counter()
    """Walls and failures one after the other, by root: where no shard can succeed, each tries one."""
    _own: threading.local = field(default_factory=threading.local)
    _downloaders: "list[Downloader]" = field(default_factory=list)

    def get(self, videos: Sequence[str]) -> Iterator[list[Got]]:
        """Fetch videos; small batches, as they come, so that little is done twice after a kill.

        After a stop the downloads that have begun are still given, and the rest is not.

        Raises:
            CsmvError: the disk is full.
        """
        batch: list[Got] = []
        since = time.monotonic()
        queue = iter(videos)
        with ThreadPoolExecutor(self.settings.at_once, thread_name_prefix="media") as threads:
            running: set[Future[Got | None]] = set()
            try:
                while True:
                    while not self.stop and len(running) < self.settings.at_once:
                        if (video_id := next(queue, None)) is None:
                            break
                        running.add(threads.submit(self._fetch, video_id))
                    if not running:
                        break
                    ready, running = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
                    for future in ready:
                        if (got := future.result()) is not None:
                            self._count(got)
                            batch.append(got)
                    if batch and (len(batch) >= _BATCH or time.monotonic() - since > _BATCH_S):
                        yield batch
                        batch, since = [], time.monotonic()
                if batch:
                    yield batch
            finally:
                self.stop()
                wait(running)
                for downloader in self._downloaders:
                    downloader.close()

    def _fetch(self, video_id: str) -> Got | None:
        """In a thread: a video's page and file; None where it was not tried to the end."""
        if not video_id.isdigit():
            return Got(video_id, failure=Failure(video_id, FailureReason.UNSAFE_ID, "TikTok's ids are digits"))
        try:
            fetched = self._try(video_id)
        except Paused as paused:
            self.stop(str(paused))
            return None
        if isinstance(fetched, Verdict):
            self._hold(fetched)
            return Got(video_id, failure=fetched.failure(video_id))
        return fetched

    def _count(self, got: Got) -> None:
        """See whether the run has to end: walls in a row, or no room."""
        failed = got.failure is not None and (got.failure.reason.wall or got.failure.reason in HOPELESS)
        root = self.room.store.root
        self._in_a_row[root] = self._in_a_row[root] + 1 if failed else 0
        if got.failure is not None and self._in_a_row[root] >= self.manners.walls_in_a_row:
            what = "walls" if got.failure.reason.wall else "failures"
            self.stop(f"{self._in_a_row[root]} {what} in a row, the last one: {got.failure.reason.sentence}")
        if got.path is not None:
            self.room.take(got.path.stat().st_size)

    def _try(self, video_id: str) -> Got | Verdict | None:
        downloader = self._downloader()
        promise: Promise | Verdict = Verdict(Outcome.NETWORK)
        file: Path | Verdict = Verdict(Outcome.NETWORK)
        reread = False
        for number in range(_TRIES):
            if self.stop:
                return None
            if isinstance(promise, Verdict):
                self.pacer.wait()
                promise = downloader.read(video_id)
            if isinstance(promise, Verdict):
                if promise.outcome not in _BACKOFF_S:
                    return promise
                self._back_off(promise.outcome, number)
                continue
            self.pacer.wait()
            file = downloader.fetch(promise)
            if isinstance(file, Path):
                seconds = float(promise.item.video.duration if promise.item.video else 0)
                return Got(video_id, file, downloaded=True, promised_s=seconds)
            if file.outcome is Outcome.FORBIDDEN and not reread:
                # The address has expired, or belongs to another page load: the page is read once more.
                promise, reread = file, True
            elif file.outcome not in _BACKOFF_S:
                return file
            else:
                self._back_off(file.outcome, number)
        last = promise if isinstance(promise, Verdict) else file
        return last if isinstance(last, Verdict) else Verdict(Outcome.NETWORK)

    def _back_off(self, outcome: Ending, number: int) -> None:
        """Pause after the `number`th try, counted from 0, unless it was the last; never longer than after a wall."""
        if number < _TRIES - 1:
            self.stop.wait(min(_BACKOFF_S[outcome] * 2**number, self.manners.after_wall_s))

    def _downloader(self) -> "Downloader":
        if not hasattr(self._own, "downloader"):
            from csmv.pipeline.sources.polite import Downloader  # loads yt-dlp

            self._own.downloader = Downloader(
                self.connection, self.folder, self.settings.shortest_side, self.manners.honour_creators
            )
            self._downloaders.append(self._own.downloader)
        own: Downloader = self._own.downloader
        return own

    def _hold(self, verdict: Verdict) -> None:
        if verdict.outcome is Outcome.RATE_LIMITED:
            wait_s = verdict.retry_after_s
            self.pacer.pause(self.manners.wait_without_retry_after_s if wait_s is None else wait_s)
