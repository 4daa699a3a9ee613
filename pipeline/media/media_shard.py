"""The media stage: every video's file into the root's private folder, verified, and its properties into `videos`.

One way for every origin. Works only on what is open, and what cannot be used is said in `failures/media`.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import Failure, clear_failures, failure_rows, record_failures
from csmv.pipeline.files import Listed
from csmv.pipeline.media.get import Downloads, Got, Origin, Room, Stop, partial_folder
from csmv.pipeline.media.keep import UnreadableFileError, fill, keep, sha256_of, start_anew
from csmv.pipeline.media.media_settings import MediaSettings
from csmv.pipeline.media.verify_media import Verified, verify
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.progress import did, did_not, expect, track
from csmv.pipeline.root import is_safe_id, media_folder, media_path
from csmv.pipeline.schemas import FailureReason, MediaStatus
from csmv.pipeline.sources.base import Reach
from csmv.pipeline.sources.collect_settings import Manners
from csmv.pipeline.sources.media_columns import MEDIA_COLUMNS
from csmv.pipeline.sources.pacing import Interval, Pacer, interval_for
from csmv.pipeline.store import Store

STAGE = "media"
_SAVE_EVERY_S = 5.0
_MEASURED = ("duration_s", "width", "height", "fps", "has_audio")


@dataclass
class MediaReport:
    """How a run went: videos done now, settled before (`skipped`), failures by reason, bytes, and why it ended early.

    `left` videos may succeed in a later run: not tried, or met with something that may pass.
    """

    done: int = 0
    skipped: int = 0
    left: int = 0
    bytes: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    stopped: str = ""

    @property
    def failed(self) -> int:
        """Videos that gave no usable file now."""
        return self.reasons.total()

    def merge(self, other: "MediaReport") -> None:
        """Add another shard's report."""
        self.done += other.done
        self.skipped += other.skipped
        self.left += other.left
        self.bytes += other.bytes
        self.reasons.update(other.reasons)
        self.stopped = self.stopped or other.stopped


def media_shard(
    store: Store,
    shard: int,
    origin: Origin,
    settings: MediaSettings | None = None,
    reach: Reach | None = None,
    *,
    retry_failed: bool = False,
) -> MediaReport:
    """Bring the media of one shard into the root and fill the media columns of its videos.

    Resumes: killed at any moment and run again, it ends in the same bytes. Ends early on walls and a used-up quota.

    Args:
        store: the root.
        shard: its number.
        origin: the source of the videos: their files, or the manners with which they are downloaded.
        settings: the `media` section.
        reach: how this machine reaches the site; its pacer is shared with other workers, if there are any. With a
            `sample` only the videos of it are tried.
        retry_failed: also videos that failed for good.

    Raises:
        CsmvError: the disk is full.
    """
    settings, reach = settings or MediaSettings(), reach or Reach()
    videos = _Videos.read(store, shard)
    todo = videos.open(origin, retry_failed=retry_failed, sample=reach.sample)
    report = MediaReport(skipped=len(videos.rows) - len(todo))
    clear_failures(store, STAGE, shard, videos.ok & videos.failures - set(todo))
    start_anew(store, shard, videos.ok & set(todo))
    if not todo:
        return report
    expect(len(todo))
    with track(f"media of shard {shard}", len(todo), part_of=STAGE) as tick:
        run = _Run(store, shard, settings, report, tick)
        run.take_all(_get(store, origin, settings, reach, run, todo))
    report.stopped = run.stop.why
    report.left = len(todo) - run.settled
    return report


def open_videos(
    store: Store, shard: int, origin: Origin, *, retry_failed: bool = False, sample: int | None = None
) -> list[str]:
    """The videos of a shard, sorted, that a run would try.

    Pending ones; good ones whose file is gone or has been replaced at the source; failed ones whose file at the source
    is another than the one that failed, or all failed ones with `retry_failed`. Deleted ones are not. With a `sample`,
    only the shard's share of so many videos of the root, whatever became of the others of it.
    """
    return _Videos.read(store, shard).open(origin, retry_failed=retry_failed, sample=sample)


def sample_of(videos: Iterable[str], sample: int, shard: int, n_shards: int) -> set[str]:
    """A shard's share of a sample: the same videos at each call, whatever became of them, and of a larger sample too.

    Args:
        videos: the ids of the shard's videos.
        sample: how many videos of the root are drawn.
        shard: the shard's number.
        n_shards: how many shards the root has; ids are spread over them evenly, and so is the sample.
    """
    share = sample // n_shards + (shard < sample % n_shards)
    return set(sorted(videos, key=lambda video: hashlib.sha256(f"sample:{video}".encode()).digest())[:share])


@dataclass(frozen=True)
class _Videos:
    """What a root says of the videos of a shard and their files."""

    store: Store
    shard: int
    rows: Sequence[Mapping[str, Any]]
    files: Mapping[str, Listed]
    failures: frozenset[str]

    @classmethod
    def read(cls, store: Store, shard: int) -> "_Videos":
        videos = store.read_columns("videos", shard, ["video_id", "media_status", "media_sha256"])
        return cls(
            store,
            shard,
            [] if videos is None else videos.to_pylist(),
            store.listing(media_folder(shard)),
            frozenset(row["key"] for row in failure_rows(store, STAGE, shard)),
        )

    @property
    def ok(self) -> set[str]:
        return {row["video_id"] for row in self.rows if row["media_status"] == MediaStatus.OK}

    def open(self, origin: Origin, *, retry_failed: bool, sample: int | None = None) -> list[str]:
        chosen = {row["video_id"] for row in self.rows}
        if sample is not None:
            chosen = sample_of(chosen, sample, self.shard, self.store.n_shards)
        return [
            row["video_id"]
            for row in self.rows
            if row["video_id"] in chosen and self._is_open(row, origin, retry_failed)
        ]

    def _is_open(self, row: Mapping[str, Any], origin: Origin, retry_failed: bool) -> bool:
        video_id, status = row["video_id"], row["media_status"]
        if status == MediaStatus.PENDING:
            return True
        if status == MediaStatus.OK:
            copy = self.files.get(media_path(self.shard, video_id))
            return copy is None or self._was_replaced(row, copy, origin)
        if status == MediaStatus.FAILED:
            # A failure without its row in failures/media was being saved when the process was killed.
            return retry_failed or video_id not in self.failures or self._is_another(row, origin)
        return False

    def _was_replaced(self, row: Mapping[str, Any], copy: Listed, origin: Origin) -> bool:
        """Whether the source has another file now than the one that is kept.

        The bytes are read only where the file is newer than the copy: a large dataset is not read at every run.
        """
        try:
            original = origin.file(self.store, row["video_id"])
        except CsmvError:
            return False  # the source is not on this machine; what is kept is kept
        if original is None:
            return False
        now = original.stat()
        if now.st_size != copy.size:
            return True
        return bool(now.st_mtime > copy.modified.timestamp() and sha256_of(original) != row["media_sha256"])

    def _is_another(self, row: Mapping[str, Any], origin: Origin) -> bool:
        """Whether the source's file is another than the one that failed, which a failed video keeps the hash of."""
        if not origin.has_files:
            return False
        try:
            original = origin.file(self.store, row["video_id"])
        except CsmvError:
            return False  # the source is not on this machine
        return bool(row["media_sha256"] != (None if original is None else sha256_of(original)))


def _get(
    store: Store, origin: Origin, settings: MediaSettings, reach: Reach, run: "_Run", todo: Sequence[str]
) -> Iterator[Sequence[Got]]:
    """The files of videos, in batches: those of the source all at once, downloads as they come."""
    own: list[Got] = []
    elsewhere: list[str] = []
    for video_id in todo:
        if not is_safe_id(video_id):
            own.append(Got(video_id, failure=Failure(video_id, FailureReason.UNSAFE_ID)))
        elif (path := origin.file(store, video_id)) is not None:
            own.append(Got(video_id, path))
        elif origin.has_files:
            own.append(Got(video_id, failure=Failure(video_id, FailureReason.MISSING_FILE)))
        else:
            elsewhere.append(video_id)
    if own:
        yield own
    if not elsewhere or run.stop:
        return
    manners = manners_of(settings, origin)
    pacer = reach.pacer(store, manners) if reach.pacer else _pacer_here(store, manners, reach)
    with partial_folder(store) as folder:
        yield from Downloads(settings, manners, reach.connection, pacer, folder, run.stop, run.room).get(elsewhere)


def manners_of(settings: MediaSettings, origin: Origin) -> Manners:
    """How politely media are downloaded: as the section says, else as the source does, else by the defaults."""
    return settings.manners or origin.manners or Manners()


def _pacer_here(store: Store, manners: Manners, reach: Reach) -> Pacer:
    return Pacer(store, _turn(interval_for(manners, reach.connection)), manners.longest_wait_s)


@lru_cache
def _turn(interval_s: float) -> Interval:
    """One for all shards of this process."""
    return Interval(interval_s)


class _Run:
    """The files of one shard on their way into the root."""

    def __init__(
        self, store: Store, shard: int, settings: MediaSettings, report: MediaReport, tick: Callable[[int], None]
    ) -> None:
        self.store, self.shard, self.settings, self.report, self.tick = store, shard, settings, report, tick
        self.stop = Stop()
        self.settled = 0
        self._columns: dict[str, dict[str, Any]] = {}
        self._failures: list[Failure] = []
        self._since = time.monotonic()
        self.room = Room(store, settings.quota_bytes, self.stop)

    def take_all(self, batches: Iterator[Sequence[Got]]) -> None:
        """Verify, keep and save every file, now and then on the way."""
        how = self.settings
        try:
            for batch in batches:
                for result in verify(batch, workers=how.decoders, time_limit_s=how.decode_timeout_s):
                    if not self._take(result):
                        break
                    if time.monotonic() - self._since > _SAVE_EVERY_S:
                        self._save()
                self._save()
        except BaseException:
            with suppress(OSError, CsmvError):  # the first error is the one to tell
                self._save()
            raise

    def _take(self, result: Verified) -> bool:
        """Deal with one file; gives whether there is room for more of the source's own."""
        got = result.got
        if self.stop and not got.downloaded and got.path is not None:
            return False
        if result.path is None or result.probe is None:
            self._fail(got, result.failure or Failure(got.video_id, FailureReason.DECODER_CRASHED))
        else:
            self._keep(got, result)
        if got.downloaded and got.path is not None:
            got.path.unlink(missing_ok=True)
        did(1, videos=1)
        self.tick(1)
        return True

    def _keep(self, got: Got, result: Verified) -> None:
        assert result.path is not None and result.probe is not None
        try:
            sha256, size = keep(self.store, self.shard, got.video_id, result.path)
        except UnreadableFileError as error:
            detail = f"the file can't be read ({error})"
            self._fail(got, Failure(got.video_id, FailureReason.MISSING_FILE, detail))
            return
        measured = {name: getattr(result.probe, name) for name in _MEASURED}
        self._columns[got.video_id] = measured | {"media_status": str(MediaStatus.OK), "media_sha256": sha256}
        self.report.done += 1
        self.report.bytes += size
        did(0, bytes=size)
        if not got.downloaded:
            self.room.take(size)

    def _fail(self, got: Got, failure: Failure) -> None:
        """A failed video keeps the hash of the file that failed, so that another file is tried and the same is not."""
        self._failures.append(failure)
        self.report.reasons[str(failure.reason)] += 1
        did_not(str(failure.reason))
        if got.path is not None or failure.reason.final:
            sha256 = None if got.path is None else sha256_of(got.path)
            failed = dict.fromkeys(MEDIA_COLUMNS) | {"media_status": str(MediaStatus.FAILED), "media_sha256": sha256}
            self._columns[got.video_id] = failed

    def _save(self) -> None:
        fill(self.store, self.shard, self._columns)
        gone = Forgotten.of(self.store)
        for video_id in self._columns:
            if gone.is_forgotten_video(video_id):  # the request came while its file was on the way
                self.store.remove(media_path(self.shard, video_id))
        record_failures(self.store, STAGE, self.shard, self._failures)
        clear_failures(
            self.store, STAGE, self.shard, self._columns.keys() - {failure.key for failure in self._failures}
        )
        self.settled += len(self._columns)
        self._columns, self._failures, self._since = {}, [], time.monotonic()
