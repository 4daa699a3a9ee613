"""Rows of feature tables in a root: the media file that each was made from, and whether it counts.

A row counts while its video is there and has the file that the vectors were made from.
"""

from collections.abc import Collection, Mapping

import pyarrow as pa

from csmv.pipeline.feature_arrays import SHA, rows_made_from
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.schemas import TableSpec, features_spec
from csmv.pipeline.store import Store


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
