"""Names of persons, read out of landing once: when something lands, and not whenever somebody asks who is known.

What was read out of a batch of landing files is a part: one private Parquet file, immutable, named by what it was made
from. A row is a landing file with its size and time, so that a file that is gone or was rewritten since counts no more.
The parts are a cache: deleted, they are read out of landing again, and a request to forget deletes them.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from csmv.pipeline.files import Listed
from csmv.pipeline.known_names import LANDED, LANDING, KnownNames, landing_values
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.store import Store, parquet_bytes

PARTS = f"{LANDED}/names"
KINDS = ("handles", "display_names", "ids")
"""What a part has of each landing file; the fields of KnownNames."""

_RECIPE = 1
"""Of what is read out of a landing file: another number reads all of it again."""
_FILES_A_PART = 4096
_MOST_PARTS = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VALUES = pa.list_(pa.binary())
"""Names as bytes: what a site calls somebody may hold half a pair of surrogates, which no string column takes."""
_SCHEMA = pa.schema(
    [pa.field("file", pa.string()), pa.field("size", pa.int64()), pa.field("modified_us", pa.int64())]
    + [pa.field(kind, _VALUES) for kind in KINDS]
)


def known_names(store: Store, below: str = LANDING, kinds: Collection[str] = KINDS) -> KnownNames:
    """The names and ids in a root's landing, or in the part of it `below` a folder, as it is now.

    What no part has is read out of landing, and nothing is written.

    Raises:
        CsmvError: a landing file is damaged.
    """
    listing = store.listing(below)
    names = KnownNames()
    covered: set[str] = set()
    for part in _parts(store):
        rows = _read(store, part, kinds)
        if rows is not None:
            rows = rows.filter(_is_as_listed(rows, listing))
            covered.update(rows["file"].to_pylist())
            _add(names, rows, kinds)
    for file in sorted(listing.keys() - covered):
        for value in landing_values(store.read_file(file), file):
            names.add(value)
    return names


def extracted_names(store: Store, below: str = LANDING, kinds: Collection[str] = KINDS) -> KnownNames:
    """The names and ids as `extract_names` last read them out of landing, of files `below` a folder.

    Landing itself is looked at only where nothing was read out of it yet.
    """
    parts = _parts(store)
    if not parts:
        return known_names(store, below, kinds)
    names = KnownNames()
    for part in parts:
        rows = _read(store, part, kinds)
        if rows is None:
            return known_names(store, below, kinds)
        _add(names, rows.filter(pc.starts_with(rows["file"], f"{below}/")), kinds)
    return names


def extracted_state(store: Store) -> str:
    """A digest that changes whenever `extracted_names` may."""
    return hashlib.sha256("\n".join(_parts(store) or sorted(store.listing(LANDING))).encode()).hexdigest()


def extract_names(store: Store) -> int:
    """Read the names out of every landing file that no part has, and drop what parts say of files that are gone.

    Killed and run again, or run by several at the same time, it ends in parts that say the same.

    Returns:
        How many landing files were read.

    Raises:
        CsmvError: a landing file is damaged.
    """
    count = 0
    while True:
        gone = Forgotten.of(store)
        listing = store.listing(LANDING)
        covered = _tidied(store, listing)
        files = sorted(listing.keys() - covered)
        for start in range(0, len(files), _FILES_A_PART):
            _write(store, [(file, listing[file]) for file in files[start : start + _FILES_A_PART]])
        count += len(files)
        if Forgotten.of(store).digest == gone.digest:
            return count
        # Somebody was forgotten meanwhile, after the deletion of a part or before it was written.
        for part in _parts(store):
            store.remove(part)


def _write(store: Store, files: Sequence[tuple[str, Listed]]) -> None:
    rows: list[dict[str, object]] = []
    for file, listed in files:
        data = store.read_if_there(file)
        if data is None:  # removed since it was listed
            continue
        names = KnownNames()
        for value in landing_values(data, file):
            names.add(value)
        rows.append(
            {"file": file, "size": listed.size, "modified_us": _microseconds(listed.modified)}
            | {kind: sorted(map(_encoded, getattr(names, kind))) for kind in KINDS}
        )
    _create(store, pa.Table.from_pylist(rows, schema=_SCHEMA))


def _create(store: Store, rows: pa.Table) -> str:
    made_from = [rows[name].to_pylist() for name in ("file", "size", "modified_us")]
    digest = hashlib.sha256(json.dumps([_RECIPE, *made_from]).encode()).hexdigest()
    name = f"{PARTS}/{_RECIPE}-{digest}.parquet"
    if rows.num_rows:
        store.create_file(name, parquet_bytes(rows))
    return name


def _tidied(store: Store, listing: Mapping[str, Listed]) -> set[str]:
    """The landing files that parts have, after parts that are too many or say anything of other files became one."""
    parts = _parts(store)
    tables: list[pa.Table] = []
    covered: set[str] = set()
    is_tidy = len(parts) <= _MOST_PARTS
    for part in parts:
        rows = _read(store, part, ())
        if rows is None:
            is_tidy = False
            continue
        fits = _is_as_listed(rows, listing)
        covered.update(rows.filter(fits)["file"].to_pylist())
        is_tidy &= bool(pc.all(fits).as_py())
    if is_tidy:
        return covered
    seen: set[str] = set()
    for part in parts:
        rows = _read(store, part, KINDS)
        if rows is not None:
            rows = rows.filter(_is_as_listed(rows, listing))
            new = [file not in seen for file in rows["file"].to_pylist()]
            rows = rows.filter(pa.array(new, pa.bool_()))
            seen.update(rows["file"].to_pylist())
            tables.append(rows)
    whole = _create(store, pa.concat_tables(tables).sort_by("file")) if tables else ""
    for part in parts:
        if part != whole:
            store.remove(part)
    return seen


def _parts(store: Store) -> list[str]:
    return [name for name in store.files(PARTS) if name.startswith(f"{PARTS}/{_RECIPE}-")]


def _read(store: Store, part: str, kinds: Collection[str]) -> pa.Table | None:
    """A part's files and what it has of some kinds; None if it is damaged or gone."""
    data = store.read_if_there(part)
    if data is None:
        return None
    columns = [*_SCHEMA.names[:3], *(kind for kind in KINDS if kind in kinds)]
    try:
        return pq.read_table(pa.BufferReader(data), columns=columns, page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError):
        return None


def _is_as_listed(rows: pa.Table, listing: Mapping[str, Listed]) -> pa.Array:
    """Of each row whether its landing file is there as it was when it was read."""
    said = zip(*(rows[name].to_pylist() for name in _SCHEMA.names[:3]), strict=True)
    fits = [
        (listed := listing.get(file)) is not None and (listed.size, _microseconds(listed.modified)) == (size, modified)
        for file, size, modified in said
    ]
    return pa.array(fits, pa.bool_())


def _add(names: KnownNames, rows: pa.Table, kinds: Collection[str]) -> None:
    for kind in kinds:
        getattr(names, kind).update(_decoded(rows[kind]))


def _decoded(column: pa.ChunkedArray) -> Iterator[str]:
    for value in pc.unique(pc.list_flatten(column)).to_pylist():
        yield value.decode("utf-8", "surrogatepass")


def _encoded(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
