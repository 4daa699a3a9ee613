"""Media for the videos of a root: yt-dlp in its polite form, a few at a time at one shared pace, every file verified.

Works shard by shard and only on what is missing. Raw media, cut ones too, are nowhere but in the root's private folder;
what a page says about persons is not kept at all.
"""

import errno
import hashlib
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from pydantic import Field

from extractors.reasons import MediaFailure
from pipeline.errors import CsmvError
from pipeline.progress import track
from pipeline.schemas import VIDEOS, FailureReason, MediaStatus
from pipeline.sources.media_columns import MEDIA_COLUMNS
from pipeline.sources.pacing import Pacer, Paused
from pipeline.sources.settings import Connection, Manners
from pipeline.sources.walls import DONE, Outcome, Verdict
from pipeline.store import Failure, Store, is_safe_id, media_path
from pipeline.validated import Validated

if TYPE_CHECKING:
    from pipeline.sources.polite import Downloader, Promise

STAGE = "media"
PARTIAL = "private/partial"
_TRIES = 3
_BATCH = 16
_BATCH_S = 5.0
_LOOK_S = 60.0
_MOST_DRIFT_S = 2.0


class MediaSettings(Validated):
    """Which files, how many at once, and how long they are kept."""

    shortest_side: int = Field(default=256, ge=1, le=4096, description="pixels that the extractors need")
    at_once: int = Field(default=4, ge=1, le=32, description="downloads in one process; the pace is shared")
    quota_bytes: int | None = Field(default=None, ge=0, description="of private/media; none means the disk decides")
    retention: Literal["keep", "delete-after-features"] = "keep"
    manners: Manners = Manners()


@dataclass
class DownloadReport:
    """How a download went: files by outcome, bytes fetched, and why it ended early, if so."""

    done: int = 0
    skipped: int = 0
    bytes: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    stopped: str = ""

    def merge(self, other: "DownloadReport") -> None:
        """Add another shard's report."""
        self.done += other.done
        self.skipped += other.skipped
        self.bytes += other.bytes
        self.reasons.update(other.reasons)
        self.stopped = self.stopped or other.stopped


@dataclass(frozen=True)
class _Fetched:
    """A file that was fetched and waits to be looked at, or why there is none."""

    video_id: str
    path: Path | None = None
    promised_s: float = 0.0
    verdict: Verdict = DONE
    untried: bool = False


def download(
    store: Store, settings: MediaSettings, connection: Connection, pacer: Pacer, *, retry_failed: bool = False
) -> DownloadReport:
    """Fetch what is missing in every shard; ends early on walls, a full disk, or a used-up quota."""
    total = DownloadReport()
    for shard in store.shards():
        total.merge(download_shard(store, shard, settings, connection, pacer, retry_failed=retry_failed))
        if total.stopped:
            break
    return total


def download_shard(
    store: Store,
    shard: int,
    settings: MediaSettings,
    connection: Connection,
    pacer: Pacer,
    *,
    retry_failed: bool = False,
) -> DownloadReport:
    """Fetch the media of one shard's videos that have none; killed at any moment and run again, nothing is lost.

    A video that is ok, deleted by the retention rule, or failed for good is left alone (the last unless
    `retry_failed`). Raises CsmvError if the disk is full.
    """
    todo, skipped = pending_media(store, shard, retry_failed=retry_failed)
    report = DownloadReport(skipped=skipped)
    if not todo:
        return report
    with _partial_folder(store) as folder, track(f"media of shard {shard}", len(todo)) as tick:
        run = _Run(store, shard, settings, connection, pacer, folder, report, tick)
        run.fetch_all(todo)
    return report


def pending_media(store: Store, shard: int, *, retry_failed: bool = False) -> tuple[list[str], int]:
    """The videos of a shard whose file is still to be fetched, and the number of the others."""
    table = store.read("videos", shard)
    rows = [] if table is None else table.select(["video_id", "media_status"]).to_pylist()
    todo = [row["video_id"] for row in rows if _is_open(store, shard, row, retry_failed)]
    return todo, len(rows) - len(todo)


def _is_open(store: Store, shard: int, row: dict[str, Any], retry_failed: bool) -> bool:
    status = row["media_status"]
    if not is_safe_id(row["video_id"]) or not row["video_id"].isdigit():
        return False
    if status == MediaStatus.OK:
        return not store.exists(media_path(shard, row["video_id"]))
    if status == MediaStatus.FAILED:
        return retry_failed
    return bool(status == MediaStatus.PENDING)


@contextmanager
def _partial_folder(store: Store) -> Iterator[Path]:
    """Where files grow: in the private folder of a local root, so that a killed run's are continued."""
    if not store.is_local:
        with tempfile.TemporaryDirectory(prefix="csmv-media-") as passing:
            yield Path(passing)
        return
    folder = Path(store.path(PARTIAL))
    folder.mkdir(parents=True, exist_ok=True)
    yield folder


@dataclass
class _Run:
    """The downloads of one shard."""

    store: Store
    shard: int
    settings: MediaSettings
    connection: Connection
    pacer: Pacer
    folder: Path
    report: DownloadReport
    tick: Callable[[int], None]
    _walls: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _own: threading.local = field(default_factory=threading.local)
    _downloaders: "list[Downloader]" = field(default_factory=list)

    def fetch_all(self, todo: Sequence[str]) -> None:
        """Fetch, verify and save in small batches, so that little is done twice after a kill."""
        left = self._room()
        waiting: list[_Fetched] = []
        saved = time.monotonic()
        with ThreadPoolExecutor(self.settings.at_once, thread_name_prefix="media") as threads:
            queue = iter(todo)
            running: set[Future[_Fetched]] = set()
            try:
                while True:
                    while not self._stop.is_set() and len(running) < self.settings.at_once:
                        video_id = next(queue, None)
                        if video_id is None:
                            break
                        running.add(threads.submit(self._fetch, video_id))
                    if not running:
                        break
                    ready, running = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
                    for future in ready:
                        fetched = future.result()
                        if fetched.untried:
                            continue
                        waiting.append(fetched)
                        left -= fetched.path.stat().st_size if fetched.path else 0
                        self._watch_walls(fetched.verdict)
                        self.tick(1)
                    if left < 0:
                        self._end("the disk quota is used up")
                    if len(waiting) >= _BATCH or time.monotonic() - saved > _BATCH_S:
                        self._save(waiting)
                        waiting, saved = [], time.monotonic()
            finally:
                self._stop.set()
                wait(running)
                late = [future.result() for future in running if future.exception() is None]
                self._save([*waiting, *(fetched for fetched in late if not fetched.untried)])
                for downloader in self._downloaders:
                    downloader.close()

    # ------------------------------------------------------------------ one file

    def _fetch(self, video_id: str) -> _Fetched:
        """In a thread: a video's page and file. Raises nothing but a full disk."""
        try:
            return self._try(video_id)
        except Paused as paused:
            self._end(str(paused))
            return _Fetched(video_id, untried=True)

    def _try(self, video_id: str) -> _Fetched:
        downloader = self._downloader()
        promise: Promise | Verdict = Verdict(Outcome.NETWORK)
        found: Path | Verdict = Verdict(Outcome.NETWORK)
        reread = False
        for _ in range(_TRIES):
            if self._stop.is_set():
                return _Fetched(video_id, untried=True)
            if isinstance(promise, Verdict):
                self.pacer.wait()
                promise = downloader.read(video_id)
            if isinstance(promise, Verdict):
                if promise.outcome not in (Outcome.SERVER_ERROR, Outcome.NETWORK):
                    self._hold(promise)
                    return _Fetched(video_id, verdict=promise)
                continue
            self.pacer.wait()
            found = downloader.fetch(promise)
            if isinstance(found, Path):
                return _Fetched(video_id, found, float(promise.item.video.duration if promise.item.video else 0))
            if found.outcome is Outcome.FORBIDDEN and not reread:
                # The address has expired, or belongs to another page load: the page is read once more.
                promise, reread = found, True
            elif found.outcome not in (Outcome.SERVER_ERROR, Outcome.NETWORK):
                self._hold(found)
                return _Fetched(video_id, verdict=found)
        return _Fetched(video_id, verdict=promise if isinstance(promise, Verdict) else _said(found))

    def _downloader(self) -> "Downloader":
        if not hasattr(self._own, "downloader"):
            from pipeline.sources.polite import Downloader

            honour = self.settings.manners.honour_creators
            made = Downloader(self.connection, self.folder, self.settings.shortest_side, honour)
            self._own.downloader = made
            self._downloaders.append(made)
        own: Downloader = self._own.downloader
        return own

    def _hold(self, verdict: Verdict) -> None:
        if verdict.outcome is Outcome.RATE_LIMITED:
            wait_s = verdict.retry_after_s
            self.pacer.pause(self.settings.manners.wait_without_retry_after_s if wait_s is None else wait_s)

    def _watch_walls(self, verdict: Verdict) -> None:
        self._walls = self._walls + 1 if verdict.outcome.wall else 0
        if self._walls >= self.settings.manners.walls_in_a_row:
            self._end(f"{self._walls} walls in a row, the last one: {verdict.outcome.sentence}")

    def _end(self, why: str) -> None:
        self.report.stopped = self.report.stopped or why
        self._stop.set()

    def _room(self) -> float:
        if self.settings.quota_bytes is None:
            return float("inf")
        used = sum(int(self.store.fs.size(self.store.path(name)) or 0) for name in self.store.files("private/media"))
        if used >= self.settings.quota_bytes:
            self._end("the disk quota is used up")
        return self.settings.quota_bytes - used

    # ------------------------------------------------------------------ verifying and saving

    def _save(self, fetched: Sequence[_Fetched]) -> None:
        """Look at the files, move the good ones into place, and say in the tables what became of each."""
        if not fetched:
            return
        columns: dict[str, dict[str, Any]] = {}
        failures: list[Failure] = []
        for one, problem, probe in self._looked_at(fetched):
            if problem is not None:
                failures.append(problem)
                self.report.reasons[str(problem.reason)] += 1
                if one.path is not None or one.verdict.outcome.final:
                    columns[one.video_id] = dict.fromkeys(MEDIA_COLUMNS) | {"media_status": str(MediaStatus.FAILED)}
            elif one.path is not None:
                sha256, size = self._keep(one.video_id, one.path)
                columns[one.video_id] = probe | {"media_status": str(MediaStatus.OK), "media_sha256": sha256}
                self.report.done += 1
                self.report.bytes += size
            if one.path is not None:
                one.path.unlink(missing_ok=True)
        if columns:
            _fill(self.store, self.shard, columns)
        self.store.record_failures(STAGE, self.shard, failures)
        self.store.clear_failures(STAGE, self.shard, columns.keys() - {failure.key for failure in failures})

    def _looked_at(self, fetched: Sequence[_Fetched]) -> Iterator[tuple[_Fetched, Failure | None, dict[str, Any]]]:
        from extractors.decode import is_cut_short
        from extractors.pool import probe_many

        whole: list[_Fetched] = []
        for one in fetched:
            if one.path is None:
                yield one, one.verdict.failure(one.video_id), {}
            elif not _is_mp4(one.path):
                yield one, _bad(one, MediaFailure.NOT_A_VIDEO, "the file is no MP4, whatever its address said"), {}
            elif is_cut_short(one.path):
                yield one, _bad(one, MediaFailure.TRUNCATED, "the file ends before its container says it does"), {}
            else:
                whole.append(one)
        looks = probe_many([one.path for one in whole if one.path], workers=1, time_limit_s=_LOOK_S) if whole else ()
        for at, look in looks:
            one, probe = whole[at], look.probe
            if probe is None:
                reason = look.error.reason if look.error else MediaFailure.DECODER_CRASHED
                yield one, _bad(one, reason, "it can't be decoded"), {}
            elif one.promised_s and abs(probe.duration_s - one.promised_s) > _MOST_DRIFT_S:
                said = f"it lasts {probe.duration_s:.1f} s and the page promised {one.promised_s:.0f} s"
                yield one, _bad(one, MediaFailure.TRUNCATED, said), {}
            else:
                yield one, None, {name: getattr(probe, name) for name in MEDIA_COLUMNS[:5]}

    def _keep(self, video_id: str, path: Path) -> tuple[str, int]:
        """Move a good file into place, whole or not at all; its SHA-256 and size."""
        digest, size = hashlib.sha256(), 0
        try:
            with path.open("rb") as source, self.store.writing(media_path(self.shard, video_id)) as target:
                while chunk := source.read(1 << 20):
                    digest.update(chunk)
                    size += target.write(chunk)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise CsmvError(
                    "The disk is full: make room and run the same command again; nothing done is lost."
                ) from None
            raise
        return digest.hexdigest(), size


def _said(found: Path | Verdict) -> Verdict:
    return found if isinstance(found, Verdict) else Verdict(Outcome.NETWORK)


def _bad(one: _Fetched, reason: MediaFailure, detail: str) -> Failure:
    return Failure(one.video_id, FailureReason(str(reason)), detail)


def _is_mp4(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8)[4:8] == b"ftyp"


def _fill(store: Store, shard: int, columns: dict[str, dict[str, Any]]) -> None:
    """Put media columns into a shard as it is now: another stage may have written it in the meantime."""
    now = store.read("videos", shard)
    if now is None:
        return
    rows = [{**row, **columns.get(row["video_id"], {})} for row in now.to_pylist()]
    store.write("videos", shard, pa.Table.from_pylist(rows, schema=VIDEOS.schema))


# ---------------------------------------------------------------------- retention


def apply_retention(store: Store, shard: int, extractors: Sequence[str]) -> int:
    """Delete the media of a shard's videos that have features of every one of `extractors`; gives their number.

    Raises CsmvError if no extractor is named: then nothing says that the files have been used.
    """
    if not extractors:
        raise CsmvError("The retention rule deletes media after features, and no extractor is named.")
    table = store.read("videos", shard)
    if table is None:
        return 0
    used = [_featured(store, shard, name) for name in extractors]
    there = {row["video_id"] for row in table.to_pylist() if row["media_status"] == MediaStatus.OK}
    gone = there.intersection(*used)
    for video_id in gone:
        with suppress(FileNotFoundError):
            store.remove(media_path(shard, video_id))
    if gone:
        _fill(store, shard, {video_id: {"media_status": str(MediaStatus.DELETED)} for video_id in gone})
    return len(gone)


def _featured(store: Store, shard: int, extractor: str) -> set[str]:
    table = store.read(f"features/{extractor}", shard)
    return set() if table is None else set(table["video_id"].to_pylist())
