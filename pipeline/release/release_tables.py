"""The released tables: a root's, without what only the root needs, each one file, features one a shard.

Rows are sorted by key and the writer's settings are fixed, so that one root is released in the same bytes each time.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_sets import said_by
from csmv.pipeline.labels import CLASSES, TASKS, resolve
from csmv.pipeline.manifest import without_identity
from csmv.pipeline.progress import track
from csmv.pipeline.release.release_folder import TABLES
from csmv.pipeline.schemas import COMMENTS, LABELS, PARQUET, SPLIT_NAMES, SPLITS, spec_of
from csmv.pipeline.store import Store

_ROWS_A_GROUP = 1 << 16
_VECTORS_A_GROUP = 64
"""Videos of features that are read at once."""

SPLIT_SCHEMA = pa.schema(
    [
        SPLITS.schema.field("comment_id"),
        SPLITS.schema.field("video_id"),
        COMMENTS.schema.field("text"),
        *(LABELS.schema.field(task) for task in TASKS),
    ],
    metadata=dict(CLASSES),
)
"""A part of a released split: its comments with the label that counts for each."""


def write_tables(store: Store, folder: Path) -> dict[str, int]:
    """Write videos, comments and labels below a folder; gives the rows of each."""
    rows = {}
    for table in TABLES:
        spec = spec_of(table)
        assert spec is not None
        whole = spec.conform(store.read_all(table))
        schema = spec.schema
        write(folder / f"{table}.parquet", whole.replace_schema_metadata(schema.metadata))
        rows[table] = whole.num_rows
    return rows


def write_splits(store: Store, names: Sequence[str], folder: Path) -> dict[str, dict[str, int]]:
    """Write a file a part of each split; gives split -> part -> comments. Parts without comments are left out."""
    if not names:
        return {}
    settled = resolve(store.read_all("labels"))
    texts = store.read_all("comments", ["comment_id", "text"])
    counts: dict[str, dict[str, int]] = {}
    for name in names:
        split = store.read_split(name)
        rows = split.join(texts, "comment_id", join_type="inner").join(settled, "comment_id", join_type="left outer")
        if rows.num_rows != split.num_rows:
            raise CsmvError(
                f"The split '{name}' has {split.num_rows - rows.num_rows} comment(s) that the comments table lacks: "
                "build it anew with `csmv split`."
            )
        counts[name] = {}
        for part in SPLIT_NAMES:
            chosen = rows.filter(pc.equal(rows["split"], part)).sort_by("comment_id").select(SPLIT_SCHEMA.names)
            if chosen.num_rows:
                write(folder / "splits" / name / f"{part}.parquet", chosen.cast(SPLIT_SCHEMA))
                counts[name][part] = chosen.num_rows
    return counts


def write_features(
    store: Store, names: Sequence[str], folder: Path
) -> tuple[dict[str, int], dict[str, dict[str, str]]]:
    """Write feature sets, a file a shard that has rows.

    Returns:
        Set -> videos, and set -> what the footers say of how it was made, with the width as `dim` and the number of
        vectors as `vectors`.
    """
    rows: dict[str, int] = {}
    said: dict[str, dict[str, str]] = {}
    for name in names:
        rows[name], vectors = 0, 0
        with track(f"release features/{name}", store.n_shards) as tick:
            for shard in store.shards():
                table = store.read(f"features/{name}", shard)
                tick(1)
                if table is None or table.num_rows == 0:
                    continue
                metadata = without_identity(table.schema.metadata)
                path = folder / "features" / name / f"{shard:04d}.parquet"
                write(path, table.replace_schema_metadata(metadata), _VECTORS_A_GROUP)
                rows[name] += table.num_rows
                vectors += int(pc.sum(pc.list_value_length(table["features"])).as_py() or 0)
                dim = table.schema.field("features").type.value_type.list_size
                said.setdefault(name, said_by(metadata) | {"dim": str(dim)})
        if name not in said:
            raise CsmvError(f"The feature set '{name}' has no row to release: extract it, or leave it out.")
        said[name]["vectors"] = str(vectors)
    return rows, said


def write(path: Path, table: pa.Table, rows_a_group: int = _ROWS_A_GROUP) -> None:
    """A table as Parquet with this project's fixed settings."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=rows_a_group, **PARQUET)
