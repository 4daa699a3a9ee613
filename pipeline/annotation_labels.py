"""What annotators and adjudicators said, kept below `private/annotation`: the labels table is made of it, too.

A file holds one batch's labels of one source (an annotator's pseudonym, or `adjudicated`), so an import replaces
exactly what it brings anew. Whoever writes the labels table adds these rows to those of the dataset's source.
"""

import io
from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import PUBLISHED
from csmv.pipeline.root import is_safe_id
from csmv.pipeline.schemas import LABELS
from csmv.pipeline.store import Store, parquet_bytes

ANNOTATION = "private/annotation"
LABEL_FILES = f"{ANNOTATION}/labels"
AGREEMENT_FILES = "reports/annotation-"
"""What the names of batches' agreement reports begin with."""

ANNOTATIONS = pa.schema(
    [
        pa.field("comment_id", pa.string(), nullable=False),
        pa.field("opinion", pa.string()),
        pa.field("emotion", pa.string()),
        pa.field("lead_time_s", pa.float64()),
        pa.field("at", pa.timestamp("us", tz="UTC")),
        pa.field("origin", pa.string()),
    ]
)
"""A label with what tells how it was given: seconds it took, when, and in which project of Label Studio.

Null where the import did not say.
"""

_PASSES = 4
"""How often a shard is written while others import, before the last writer is left to them."""


def label_file(batch: str, source: str) -> str:
    """Where the labels of a batch and source are kept. Raises CsmvError for a name that may not become a file's."""
    for name in (batch, source):
        if not is_safe_id(name):
            raise CsmvError(f"A batch's name is 1 to 64 letters, digits, - and _; '{name[:80]}' is not.")
    return f"{LABEL_FILES}/{batch}/{source}.parquet"


def read_parquet(store: Store, name: str, schema: pa.Schema) -> pa.Table | None:
    """A private file's rows with its metadata; None if there is none.

    Raises:
        CsmvError: the file is damaged, or something else.
    """
    data = store.read_if_there(name)
    if data is None:
        return None
    try:
        rows = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True).read()
        return rows.select(schema.names).cast(schema.with_metadata(rows.schema.metadata))
    except (pa.ArrowException, OSError, KeyError, ValueError):
        raise CsmvError(
            f"'{name}' in the root '{store.root}' is damaged: put it back from a copy, or delete it and do again what "
            "made it (`csmv annotate export`, `import` or `adjudicate`)."
        ) from None


def write_parquet(store: Store, name: str, rows: pa.Table) -> None:
    """Write a private file of rows, sorted by comment; the same rows are the same bytes."""
    store.write_file(name, parquet_bytes(rows.sort_by("comment_id").combine_chunks()))


def read_annotations(store: Store, batch: str | None = None) -> dict[tuple[str, str], pa.Table]:
    """(batch, source) -> rows as `ANNOTATIONS`, of one batch or all."""
    folder = LABEL_FILES if batch is None else f"{LABEL_FILES}/{batch}"
    tables = {}
    for name in store.files(folder):
        rows = read_parquet(store, name, ANNOTATIONS) if name.endswith(".parquet") else None
        if rows is not None:
            of_batch, _, source = name.removeprefix(f"{LABEL_FILES}/").removesuffix(".parquet").partition("/")
            tables[of_batch, source] = rows
    return tables


def annotated_labels(tables: Mapping[tuple[str, str], pa.Table]) -> pa.Table:
    """Rows of the labels table; of a comment that a source labelled in several batches, the label given last."""
    pieces = [
        rows.select(["comment_id", "opinion", "emotion", "at"])
        .append_column("source", pa.array([source] * rows.num_rows, pa.string()))
        .append_column("batch", pa.array([batch] * rows.num_rows, pa.string()))
        .replace_schema_metadata()
        for (batch, source), rows in sorted(tables.items())
    ]
    if not pieces:
        return LABELS.schema.empty_table()
    rows = pa.concat_tables(pieces)
    order = [("comment_id", "ascending"), ("source", "ascending"), ("at", "ascending"), ("batch", "ascending")]
    at = pc.fill_null(rows["at"].cast(pa.int64()), -(2**62))
    rows = rows.set_column(rows.column_names.index("at"), "at", at).sort_by(order)
    last = rows.group_by(["comment_id", "source"], use_threads=False).aggregate([("batch", "last")])
    key = pa.table({name: last[name] for name in ("comment_id", "source")} | {"batch": last["batch_last"]})
    chosen = key.join(rows, keys=["comment_id", "source", "batch"], join_type="inner")
    return chosen.select(LABELS.schema.names).sort_by([("comment_id", "ascending"), ("source", "ascending")])


def with_annotations(labels: pa.Table, annotated: pa.Table, comments: pa.ChunkedArray) -> pa.Table:
    """The labels of a shard's comments: the source's own of `labels`, and those that were annotated.

    Args:
        labels: rows of the labels table; of them, those that are no annotator's are used.
        annotated: `annotated_labels`.
        comments: ids of the shard's comments.
    """
    own = labels.filter(pc.equal(labels["source"], PUBLISHED))
    mine = annotated.filter(pc.is_in(annotated["comment_id"], value_set=comments.combine_chunks()))
    return pa.concat_tables([table.cast(LABELS.schema) for table in (own, mine)])


def write_labels(
    store: Store, shard: int, labels: pa.Table, comments: pa.ChunkedArray, made_from: str | None = None
) -> None:
    """Commit a shard of the labels table: the source's labels with the annotated ones.

    Once more if somebody imports in the meantime, whose own writing of this shard may have come before.

    Args:
        store: the root.
        shard: its number.
        labels: the source's labels; the shard as it is will do.
        comments: ids of the shard's comments.
        made_from: as for `Store.write`.
    """
    before: pa.Table | None = None
    for _ in range(_PASSES):
        annotated = annotated_labels(read_annotations(store))
        if before is not None and annotated.equals(before):
            return
        store.write("labels", shard, with_annotations(labels, annotated, comments), made_from=made_from)
        before = annotated


def apply_annotations(store: Store, shards: Iterable[int] | None = None) -> None:
    """Bring the labels table up to date with what was imported, without touching what the dataset's source says."""
    for shard in store.shards() if shards is None else shards:
        labels = store.read("labels", shard, remake=True)
        comments = store.read_columns("comments", shard, ["comment_id"])
        if labels is not None and comments is not None:
            write_labels(store, shard, labels, comments["comment_id"])
