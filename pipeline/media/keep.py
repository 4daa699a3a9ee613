"""Keeping what was found: good files in private/media, and the media columns of `videos`.

A file is there whole before its row says so, and a row says that it is not before another file takes its place: killed
at any moment, the next run knows what is left.
"""

import errno
import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.root import media_path
from csmv.pipeline.schemas import VIDEOS, MediaStatus
from csmv.pipeline.sources.media_columns import MEDIA_COLUMNS
from csmv.pipeline.store import Store

_CHUNK = 1 << 20


class UnreadableFileError(Exception):
    """A file of the source that can't be read; the message names the kind of error only."""


def keep(store: Store, shard: int, video_id: str, path: Path) -> tuple[str, int]:
    """Copy a file into the root, whole or not at all.

    Returns:
        Its SHA-256 and size, of the bytes that were copied.

    Raises:
        UnreadableFileError: `path` can't be read.
        CsmvError: the disk is full.
    """
    digest, size = hashlib.sha256(), 0
    try:
        original = path.open("rb")
    except OSError as error:
        raise UnreadableFileError(type(error).__name__) from None
    try:
        with original, store.writing(media_path(shard, video_id)) as target:
            while True:
                try:
                    chunk = original.read(_CHUNK)
                except OSError as error:
                    raise UnreadableFileError(type(error).__name__) from None
                if not chunk:
                    break
                digest.update(chunk)
                size += target.write(chunk)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CsmvError(
                "The disk is full: make room and run the same command again; nothing done is lost."
            ) from None
        raise
    return digest.hexdigest(), size


def sha256_of(path: Path) -> str | None:
    """SHA-256 of a file, hexadecimal; None if it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def fill(store: Store, shard: int, columns: Mapping[str, Mapping[str, Any]]) -> None:
    """Put media columns, by video, into a shard as it is now: another stage may have written it in the meantime."""
    now = store.read("videos", shard)
    if now is None or not columns:
        return
    rows = [{**row, **columns.get(row["video_id"], {})} for row in now.to_pylist()]
    store.write("videos", shard, pa.Table.from_pylist(rows, schema=VIDEOS.schema))


def start_anew(store: Store, shard: int, videos: Collection[str]) -> None:
    """Forget what the table says of videos whose good file is gone or has been replaced at the source.

    Done before the new file is there. Features made from the old file are found stale by `media_sha256`, by the
    feature stage.
    """
    pending = dict.fromkeys(MEDIA_COLUMNS) | {"media_status": str(MediaStatus.PENDING)}
    fill(store, shard, dict.fromkeys(videos, pending))
