"""The media stage: every video's file into the root's private folder, looked at, and its properties into `videos`.

A file is opened in a worker process with a time limit, so that a bad one costs only itself and goes to
`failures/media`. Nothing is written outside `private/` but what the tables say.
"""

import errno
import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from extractors.reasons import MediaFailure
from pipeline.errors import CsmvError
from pipeline.schemas import VIDEOS, FailureReason, MediaStatus, TableSpec
from pipeline.sources.media_columns import MEDIA_COLUMNS
from pipeline.sources.registry import source_of
from pipeline.store import Failure, Store, media_path

if TYPE_CHECKING:
    from extractors.decode import Probe
    from pipeline.sources.registry import Section

STAGE = "media"
TIME_LIMIT_S = 60.0
"""What looking at one file may take before it counts as hanging."""

_SAVE_EVERY_S = 5.0
_CHUNK = 1 << 20


@dataclass(frozen=True)
class StageSummary:
    """How many videos of a shard were done now, had been settled before, or failed now."""

    done: int = 0
    skipped: int = 0
    failed: int = 0

    def __add__(self, other: "StageSummary") -> "StageSummary":
        return StageSummary(self.done + other.done, self.skipped + other.skipped, self.failed + other.failed)


@dataclass
class _Found:
    """What is known since the last save: the media columns of each video, and what failed."""

    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


def fetch_shard(
    store: Store,
    shard: int,
    source: "Section",
    *,
    retry_failed: bool = False,
    time_limit_s: float = TIME_LIMIT_S,
    workers: int = 1,
) -> StageSummary:
    """Bring the media of one shard into the root and fill the media columns of its videos.

    A video that is there and ok is left alone, and so is one that failed, unless its file at the source has changed
    or `retry_failed` is set. Killed at any moment and run again, it ends in the same bytes. Raises CsmvError where the
    source has no files of its own or the disk is full.
    """
    origin = source_of(source)
    if not origin.has_files:
        raise CsmvError(f"A '{origin.kind}' source names videos without their files; get them with `csmv download`.")
    videos = store.read("videos", shard)
    if videos is None:
        return StageSummary()
    failed_before = _failed_keys(store, shard)
    todo: dict[str, Path | None] = {}
    for row in videos.to_pylist():
        path = origin.file(store, row["video_id"])
        known = row["video_id"] in failed_before and not retry_failed
        if not _is_settled(store, shard, row, path, known):
            todo[row["video_id"]] = path
    store.clear_failures(STAGE, shard, _ok(videos) & failed_before - todo.keys())
    _start_anew(store, shard, _ok(videos) & todo.keys())
    done = failed = 0
    for found in _batches(store, shard, todo, time_limit_s, workers):
        _save(store, shard, found)
        failed += len(found.failures)
        done += len(found.columns) - len(found.failures)
    return StageSummary(done, videos.num_rows - len(todo), failed)


def _is_settled(store: Store, shard: int, row: Mapping[str, Any], path: Path | None, known_failure: bool) -> bool:
    status = row["media_status"]
    if status == MediaStatus.OK:
        return _is_there(store, media_path(shard, row["video_id"]), path)
    if status == MediaStatus.FAILED:
        # A failure without its row in failures/media was being saved when the process was killed.
        return known_failure and row["media_sha256"] == (None if path is None else _sha256(path))
    return bool(status == MediaStatus.DELETED)


def _is_there(store: Store, relative: str, original: Path | None) -> bool:
    """Whether the root has the file; one that grew or shrank at the source since then is another file.

    Size tells almost as much as a hash, and does not read every file of a large dataset at every run.
    """
    if not store.exists(relative):
        return False
    return original is None or original.stat().st_size == store.fs.size(store.path(relative))


def _batches(
    store: Store, shard: int, todo: Mapping[str, Path | None], time_limit_s: float, workers: int
) -> Iterator[_Found]:
    """Look at the files and copy the good ones, giving what was found every few seconds so that it can be saved."""
    from extractors.pool import probe_many

    found, saved = _Found(), time.monotonic()
    present = [(video_id, path) for video_id, path in todo.items() if path is not None]
    for video_id in todo.keys() - dict(present).keys():
        _fail(found, video_id, FailureReason.MISSING_FILE, "the folder has no file for this video", None)
    # Without a file to look at no worker process is started.
    looks = probe_many([path for _, path in present], workers=workers, time_limit_s=time_limit_s) if present else ()
    for at, look in looks:
        video_id, path = present[at]
        try:
            if look.probe is None:
                reason = look.error.reason if look.error else MediaFailure.DECODER_CRASHED
                detail = look.error.detail if look.error else ""
                _fail(found, video_id, FailureReason(reason), detail, _sha256(path))
            else:
                _take(store, shard, video_id, path, look.probe, found)
        except OSError as error:
            _stop_if_full(error)
            _fail(found, video_id, FailureReason.MISSING_FILE, f"it can't be read ({type(error).__name__})", None)
        if time.monotonic() - saved > _SAVE_EVERY_S:
            yield found
            found, saved = _Found(), time.monotonic()
    if found.columns:
        yield found


def _take(store: Store, shard: int, video_id: str, path: Path, probe: "Probe", found: _Found) -> None:
    from extractors.decode import is_cut_short

    if is_cut_short(path):
        detail = "the file ends before its container says it does"
        _fail(found, video_id, FailureReason.TRUNCATED, detail, _sha256(path))
        return
    found.columns[video_id] = {
        "duration_s": probe.duration_s,
        "width": probe.width,
        "height": probe.height,
        "fps": probe.fps,
        "has_audio": probe.has_audio,
        "media_status": str(MediaStatus.OK),
        "media_sha256": _copy(store, path, media_path(shard, video_id)),
    }


def _fail(found: _Found, video_id: str, reason: FailureReason, detail: str, sha256: str | None) -> None:
    """A failed video keeps the hash of the file that failed, so that another file is tried and the same is not."""
    nothing = dict.fromkeys(MEDIA_COLUMNS)
    found.columns[video_id] = nothing | {"media_status": str(MediaStatus.FAILED), "media_sha256": sha256}
    found.failures.append(Failure(video_id, reason, detail))


def _save(store: Store, shard: int, found: _Found) -> None:
    """Merge what was found into the shard as it is now: an ingest may have written it in the meantime."""
    now = store.read("videos", shard)
    assert now is not None
    rows = [{**row, **found.columns.get(row["video_id"], {})} for row in now.to_pylist()]
    store.write("videos", shard, pa.Table.from_pylist(rows, schema=VIDEOS.schema))
    store.record_failures(STAGE, shard, found.failures)
    store.clear_failures(STAGE, shard, found.columns.keys() - {failure.key for failure in found.failures})


def _start_anew(store: Store, shard: int, videos: set[str]) -> None:
    """Forget what is known of videos whose good file is gone or has been replaced.

    Done before the new file is there: killed at any later moment, the next run knows that it is not settled.
    """
    if not videos:
        return
    _drop_features(store, shard, videos)
    anew = dict.fromkeys(MEDIA_COLUMNS) | {"media_status": str(MediaStatus.PENDING)}
    _save(store, shard, _Found(columns=dict.fromkeys(videos, anew)))


def _drop_features(store: Store, shard: int, videos: set[str]) -> None:
    """Features speak of the file they were made from; the feature stage makes new ones."""
    for table in sorted({name.rsplit("/", 1)[0] for name in store.files("features")}):
        rows = store.read(table, shard)
        if rows is None:
            continue
        kept = rows.filter(pc.invert(pc.is_in(rows["video_id"], value_set=pa.array(sorted(videos)))))
        if kept.num_rows == 0:
            store.remove(f"{table}/{shard:04d}.parquet")
        elif kept.num_rows < rows.num_rows:
            store.write(table, shard, kept, TableSpec(rows.schema, key=("video_id",)))


def _failed_keys(store: Store, shard: int) -> set[str]:
    table = store.read(f"failures/{STAGE}", shard)
    return set() if table is None else set(table["key"].to_pylist())


def _ok(videos: pa.Table) -> set[str]:
    return {row["video_id"] for row in videos.to_pylist() if row["media_status"] == MediaStatus.OK}


def _copy(store: Store, path: Path, relative: str) -> str:
    """Copy a file into the root, whole or not at all; gives its SHA-256."""
    digest = hashlib.sha256()
    with path.open("rb") as original, store.writing(relative) as copy:
        while chunk := original.read(_CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stop_if_full(error: OSError) -> None:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise CsmvError("The disk is full: make room and run the same command again; nothing done is lost.") from None
