"""What all sources share when they write tables: a source knows a video's page, the media stage knows its file."""

import pyarrow as pa

MEDIA_COLUMNS = ("duration_s", "width", "height", "fps", "has_audio", "media_status", "media_sha256")
"""The columns of `videos` that the media stage fills."""


def keep_media_columns(existing: pa.Table | None, fresh: pa.Table) -> pa.Table:
    """`fresh` videos with the media columns of `existing` ones: ingesting again forgets nothing about the files."""
    if existing is None or existing.num_rows == 0:
        return fresh
    by_video = {row["video_id"]: row for row in existing.select(["video_id", *MEDIA_COLUMNS]).to_pylist()}
    rows = [{**row, **by_video.get(row["video_id"], {})} for row in fresh.to_pylist()]
    return pa.Table.from_pylist(rows, schema=fresh.schema)
