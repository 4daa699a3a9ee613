"""Rows of feature tables: as arrays and as Arrow, the media file that each was made from, and whether it counts.

A row counts while its video is there and has the file that the vectors were made from.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.schemas import TableSpec, features_spec
from csmv.pipeline.store import Store

Vectors = NDArray[Any]

SHA = "media_sha256"
"""The column that says which file a row was made from."""


class Row(NamedTuple):
    """A video's vectors (T, D) and the SHA-256 of the file that they were made from."""

    video: str
    vectors: Vectors
    media_sha256: str | None


def media_of(store: Store, shard: int) -> dict[str, tuple[str | None, str]]:
    """video_id -> (SHA-256 of its file, media status) of a shard's videos that were not forgotten."""
    rows = store.read_columns("videos", shard, ["video_id", SHA, "media_status"])
    if rows is None:
        return {}
    columns = (rows[name].to_pylist() for name in ("video_id", SHA, "media_status"))
    gone = Forgotten.of(store).videos
    return {video: (sha, status) for video, sha, status in zip(*columns, strict=True) if video not in gone}


def files_of(store: Store, shard: int) -> dict[str, str | None]:
    """video_id -> SHA-256 of its file, of a shard's videos that were not forgotten."""
    return {video: sha for video, (sha, _) in media_of(store, shard).items()}


def rows_made_from(rows: pa.Table | pa.RecordBatch) -> Iterator[tuple[str, str | None]]:
    """(video_id, SHA-256 of its media file or None) of each row."""
    shas = rows[SHA].to_pylist() if SHA in rows.schema.names else [None] * rows.num_rows
    yield from zip(rows["video_id"].to_pylist(), shas, strict=True)


def is_current(sha: str | None, made_from: Collection[str | None]) -> bool:
    """Whether a row was made from the file that the video has; of old rows nobody recorded it."""
    return sha in made_from or None in made_from


def counts(video: str, sha: str | None, files: Mapping[str, str | None]) -> bool:
    """Whether a row counts that was made from the file `sha`; `files` are those that the videos have now."""
    return video in files and is_current(files[video], (sha,))


def holds_only(rows: pa.Table | None, files: Mapping[str, str | None]) -> bool:
    """Whether a shard is there and every row of it is of a video that is there, made from the file that it has."""
    if rows is None:
        return False
    return all(counts(video, sha, files) for video, sha in rows_made_from(rows))


def upgrade(rows: pa.Table, files: Mapping[str, str | None]) -> tuple[pa.Table, TableSpec]:
    """Rows of a set as they were written before anyone recorded which file they were made from, and their spec.

    Args:
        rows: video_id and features.
        files: video_id -> SHA-256 of its file.
    """
    schema = with_media_column(rows.schema)
    shas = [files.get(video) for video in rows["video_id"].to_pylist()]
    columns = [rows["video_id"], rows["features"], pa.array(shas, pa.string())]
    return pa.Table.from_arrays(columns, schema=schema), TableSpec(schema, key=("video_id",))


def with_media_column(schema: pa.Schema) -> pa.Schema:
    """A features schema with the column that says which file the vectors were made from; old shards lack it."""
    vectors = schema.field("features").type.value_type
    spec = features_spec(vectors.list_size, {"float": "float32", "halffloat": "float16"}[str(vectors.value_type)])
    return spec.schema.with_metadata(schema.metadata)


def as_table(rows: list[Row], schema: pa.Schema) -> pa.Table:
    """Rows as a table of a features schema."""
    kind = schema.field("features").type
    flat = np.concatenate([row.vectors.reshape(-1) for row in rows])
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat, kind.value_type.value_type), type=kind.value_type)
    offsets = np.cumsum([0] + [len(row.vectors) for row in rows], dtype=np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), vectors, type=kind)
    files = pa.array([row.media_sha256 for row in rows], pa.string())
    return pa.Table.from_arrays([pa.array([row.video for row in rows]), lists, files], schema=schema)


def rows_of(table: pa.Table) -> Iterator[Row]:
    """The rows of a table; their arrays are views of its memory."""
    for batch in table.to_batches():
        lists = batch.column("features")
        dim = lists.type.value_type.list_size
        vectors = lists.values  # not flatten(): offsets count from the start of the values
        numbers = vectors.values.to_numpy(zero_copy_only=True).reshape(-1, dim)[vectors.offset :]
        offsets = lists.offsets.to_numpy()
        for at, (video, sha) in enumerate(rows_made_from(batch)):
            yield Row(video, numbers[offsets[at] : offsets[at + 1]], sha)
