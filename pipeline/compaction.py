"""Merging a shard of features with its parts, in the same bytes however often and when they were committed."""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

import pyarrow as pa
import pyarrow.parquet as pq

from csmv.pipeline.failures import failure_rows
from csmv.pipeline.feature_arrays import SHA, Row, as_table, rows_made_from, rows_of
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.feature_rows import counts, files_of, holds_only, with_media_column
from csmv.pipeline.feature_sets import made_from_of_footer
from csmv.pipeline.parts import open_part, part_names
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.schemas import FailureReason
from csmv.pipeline.store import Store

DAMAGED = b"damaged_videos"
GROUP_ROWS = 64
"""Videos a row group: fixed, so that bytes do not depend on when the shard was committed before."""


def compact(store: Store, shard: int, config: FeatureConfig) -> None:
    """Merge a shard and its parts into the shard, each video once and from the file that it has now.

    Parts go only once the shard, read again, holds their rows: whatever two processes do at the same time, a row is
    either in a part or in the shard, or missing and made again by the next run.
    """
    while True:
        gone = Forgotten.of(store)
        parts = part_names(store, config.table, shard)
        files = files_of(store, shard)
        done = store.read_columns(config.table, shard, ["video_id", SHA], remake=True)
        if done is None and not parts:
            return
        if parts or not holds_only(done, files):
            _merge(store, shard, config, parts, files)
        _drop_parts(store, shard, config, parts, files)
        if Forgotten.of(store) == gone:
            return


def _merge(
    store: Store, shard: int, config: FeatureConfig, parts: Sequence[str], files: Mapping[str, str | None]
) -> None:
    with ExitStack() as stack:
        opened = [stack.enter_context(store.open_table(config.table, shard, remake=True))]
        opened += [stack.enter_context(open_part(store, name)) for name in parts]
        sources = [file for file in opened if file is not None]
        if not sources:
            return
        # Of two rows of one video the first source's counts: the shard's, then the parts' in the order of their names.
        rows = heapq.merge(*(_rows_in(file, files) for file in sources), key=lambda row: row.video)
        schema = with_damage(store, config.table, shard, with_media_column(sources[0].schema_arrow))
        write_rows(store, config.table, shard, rows, schema)


def with_damage(store: Store, table: str, shard: int, schema: pa.Schema) -> pa.Schema:
    """The schema whose metadata say of how many videos a part could not be decoded; nothing of none."""
    rows = failure_rows(store, table, shard)
    damaged = sum(row["reason"] == FailureReason.PARTLY_DAMAGED for row in rows)
    metadata = {key: value for key, value in (schema.metadata or {}).items() if key != DAMAGED}
    return schema.with_metadata(metadata | ({DAMAGED: str(damaged).encode()} if damaged else {}))


def write_rows(store: Store, table: str, shard: int, rows: Iterator[Row], schema: pa.Schema) -> None:
    """Commit a feature shard from its rows, in the order of their videos; of several rows of a video the first.

    The bytes depend on the rows and the schema alone.
    """
    with store.writing_table(table, shard, schema, made_from=made_from_of_footer(schema.metadata)) as writer:
        for group in _groups(_once(rows)):
            writer.write_table(as_table(group, writer.schema), row_group_size=GROUP_ROWS)


def _drop_parts(
    store: Store, shard: int, config: FeatureConfig, parts: Sequence[str], files: Mapping[str, str | None]
) -> None:
    now = store.read_columns(config.table, shard, ["video_id"], remake=True)
    held = set() if now is None else set(now["video_id"].to_pylist())
    for name in parts:
        with open_part(store, name) as file:
            rows = [] if file is None else list(rows_made_from(file.read(columns=["video_id", SHA])))
        if all(video in held for video, sha in rows if counts(video, sha, files)):
            store.remove(name)


def _rows_in(file: pq.ParquetFile, files: Mapping[str, str | None]) -> Iterator[Row]:
    """The rows of a file in order that still count, one row group in memory at a time."""
    for number in range(file.num_row_groups):
        for row in rows_of(file.read_row_group(number)):
            if counts(row.video, row.media_sha256, files):
                yield row


def _once(rows: Iterator[Row]) -> Iterator[Row]:
    before = None
    for row in rows:
        if row.video != before:
            yield row
        before = row.video


def _groups(rows: Iterator[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    for row in rows:
        group.append(row)
        if len(group) == GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group
