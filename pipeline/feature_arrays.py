"""Rows of feature tables as arrays and as Arrow; knows no root."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Vectors = NDArray[Any]

SHA = "media_sha256"
"""The column that says which file a row was made from."""


class Row(NamedTuple):
    """A video's vectors (T, D) and the SHA-256 of the file that they were made from."""

    video: str
    vectors: Vectors
    media_sha256: str | None


def rows_made_from(rows: pa.Table | pa.RecordBatch) -> Iterator[tuple[str, str | None]]:
    """(video_id, SHA-256 of its media file or None) of each row."""
    shas = rows[SHA].to_pylist() if SHA in rows.schema.names else [None] * rows.num_rows
    yield from zip(rows["video_id"].to_pylist(), shas, strict=True)


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
