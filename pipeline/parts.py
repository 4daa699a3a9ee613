"""Unfinished shards of feature tables: immutable parts under `private/parts`, until a compaction holds all their rows.

A part is named by the SHA-256 of its bytes, so that it is never written over and a damaged one is known. Two processes
that extract one shard write parts beside each other; readers see the rows of the shard and its parts, each video once.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from csmv.pipeline.feature_arrays import SHA, rows_made_from
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.store import Store, parquet_bytes

PARTS = "private/parts"


def part_names(store: Store, table: str, shard: int) -> list[str]:
    """The parts of a shard, sorted."""
    return [name for name in store.files(f"{PARTS}/{table}/{shard:04d}") if name.endswith(".parquet")]


def add_part(store: Store, table: str, shard: int, rows: pa.Table) -> str:
    """Keep rows (sorted by video_id, with their schema's metadata) as a part; gives its name."""
    data = parquet_bytes(Forgotten.of(store).drop(rows))
    name = f"{PARTS}/{table}/{shard:04d}/{hashlib.sha256(data).hexdigest()}.parquet"
    store.create_file(name, data)
    return name


@contextmanager
def open_part(store: Store, name: str) -> Iterator[pq.ParquetFile | None]:
    """A part's Parquet file; None, and the part is gone, if it is damaged: its rows are made again."""
    if not store.exists(name):  # another process's compaction has its rows by now
        yield None
        return
    data = store.read_file(name)
    if f"{hashlib.sha256(data).hexdigest()}.parquet" != name.rsplit("/", 1)[-1]:
        store.remove(name)
        yield None
        return
    yield pq.ParquetFile(pa.BufferReader(data))


def files_in_parts(store: Store, table: str, shard: int) -> dict[str, set[str | None]]:
    """video_id -> the media files (their SHA-256) that rows of the shard's parts were made from."""
    files: dict[str, set[str | None]] = {}
    for name in part_names(store, table, shard):
        with open_part(store, name) as file:
            if file is not None:
                for video, sha in rows_made_from(file.read(columns=["video_id", SHA])):
                    files.setdefault(video, set()).add(sha)
    return files


def read_with_parts(store: Store, table: str, shard: int) -> pa.Table | None:
    """A feature shard with the rows of its parts that it does not hold yet, by video_id; None if there is neither."""
    names = part_names(store, table, shard)
    gone = Forgotten.of(store)
    whole = store.read(table, shard, remake=bool(names))
    tables = [] if whole is None else [whole]
    seen = set() if whole is None else set(whole["video_id"].to_pylist())
    for name in names:
        with open_part(store, name) as file:
            if file is None:
                continue
            rows = gone.drop(file.read())
            new = [video for video in rows["video_id"].to_pylist() if video not in seen]
            if new:
                tables.append(rows.filter(pc.is_in(rows["video_id"], value_set=pa.array(new, pa.string()))))
                seen |= set(new)
    if len(tables) < 2:
        return tables[0] if tables else None
    return pa.concat_tables(tables, promote_options="default").sort_by("video_id")
