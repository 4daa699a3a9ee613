"""Brings a root of format 1 up to format 2, in place: tables get their identity and their place in the manifest.

Nothing is lost if it is interrupted: each file is replaced whole, the header comes last, and running it again goes on
where it stopped. Rows stay as they are; what format 1 did not know is left empty.
"""

import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from csmv.pipeline.config import DatasetConfig, signed
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_rows import upgrade
from csmv.pipeline.feature_sets import made_from_of_footer
from csmv.pipeline.files import Files
from csmv.pipeline.manifest import FORMAT, HEADER_FILE, Header, entries_of, place_of
from csmv.pipeline.progress import track
from csmv.pipeline.pseudonym import key_fingerprint
from csmv.pipeline.root import CONFIG_FILE
from csmv.pipeline.schemas import FAILURES, reason_of_format_1, spec_of
from csmv.pipeline.store import Store
from csmv.pipeline.validated import decoded, yaml_mapping

_OLD_STAGES = {"failures/source": "failures/tables", "failures/import": "failures/tables"}
"""Failures of format 1 by the stage that they are about now."""

_MARKERS = ("private/ingest/", "private/landing/tabulated/")
"""Files in which format 1 noted what a shard was made from; footers say so now."""


@dataclass(frozen=True)
class Migration:
    """What a migration did: tables rewritten, files that were as they should be already, empty shards added."""

    rewritten: int = 0
    kept: int = 0
    added: int = 0


def migrate(root: str, note: Callable[[str], None] = lambda _line: None) -> Migration:
    """Bring the root up to format 2. A root that has format 2 already is left as it is.

    Args:
        root: a folder or an fsspec URL.
        note: is told what a person should know of.

    Raises:
        CsmvError: there is no root, its configuration can't be read, or a table of it is damaged.
    """
    files = Files(root)
    if files.exists(HEADER_FILE):
        _ = Store.open(root).header
        return Migration()
    store = _unopened(root)
    names = store.files()
    rewritten = unchanged = 0
    tables = [name for name in names if place_of(name) is not None]
    with track("migrate", len(tables)) as tick:
        for name in tables:
            if _is_listed(store, name):
                unchanged += 1
            else:
                _rewrite(store, name)
                rewritten += 1
            tick(1)
    added = _fill(store)
    for name in names:
        if name.startswith(_MARKERS):
            store.remove(name)
    _write_version(store)
    # Last: until it is there, the root is one of format 1, which everything but this refuses.
    store.create_file(HEADER_FILE, store.header.to_json())
    store.note({"event": "migrate", "from": 1, "to": FORMAT, "tables": rewritten + unchanged, "added": added})
    store.close_private()
    if added:
        note(f"{added} shards that held nothing were added, so that a missing one is a lost one.")
    return Migration(rewritten, unchanged, added)


def _unopened(root: str) -> Store:
    """A store of a root that has no header yet, with the header that it will have."""
    store = Store(root)
    if not store.exists(CONFIG_FILE):
        raise CsmvError(f"'{root}' is not a dataset root: it has no {CONFIG_FILE}.")
    where = f"{root}/{CONFIG_FILE}"
    config = yaml_mapping(decoded(store.read_file(CONFIG_FILE), where), where)
    try:
        name, kind, n_shards = str(config["name"]), str(config["source"]["kind"]), int(config["n_shards"])
    except (KeyError, TypeError, ValueError):
        raise CsmvError(f"{where}: a name, a source with its kind, and n_shards were expected in it.") from None
    key = store.make_key()
    store.header = Header(name, kind, n_shards, key_fingerprint(key))
    return store


def _is_listed(store: Store, name: str) -> bool:
    place = place_of(name)
    assert place is not None
    digest = hashlib.sha256(store.read_file(name)).hexdigest()
    return store.exists(f"{entries_of(*place)}/{digest}.json")


def _rewrite(store: Store, name: str) -> None:
    place = place_of(name)
    assert place is not None
    table, shard = place
    try:
        rows = pq.ParquetFile(io.BytesIO(store.read_file(name))).read()
    except (pa.ArrowException, OSError) as error:
        raise CsmvError(
            f"'{name}' in the root '{store.root}' is damaged ({type(error).__name__}) and can't be migrated: put it "
            "back from a copy, or delete it to have it made anew, and run this again."
        ) from None
    if table.startswith("failures/"):
        rows = _with_fine_reasons(rows)
    if shard is None:
        store.write_split(table.removeprefix("splits/"), rows, made_from="")
    elif table.startswith("features/"):
        rows, spec = upgrade(rows, _media(store, shard))
        store.write(table, shard, rows, spec, made_from=made_from_of_footer(rows.schema.metadata or {}))
    elif table in _OLD_STAGES:
        _move_failures(store, _OLD_STAGES[table], shard, rows)
        store.remove(name)
    else:
        store.write(table, shard, rows, made_from="")


def _with_fine_reasons(rows: pa.Table) -> pa.Table:
    """Failures of format 1 in the vocabulary of this one: the fine reason, its class, a detail without the word."""
    upgraded = []
    for row in rows.to_pylist():
        reason, detail = reason_of_format_1(row["reason"], row["detail"] or "")
        upgraded.append({**row, "reason": str(reason), "class": str(reason.kind), "detail": detail})
    return pa.Table.from_pylist(upgraded, schema=FAILURES.schema)


def _move_failures(store: Store, table: str, shard: int, rows: pa.Table) -> None:
    """Add rows to another stage's failures; rows that are there already stay."""
    before = store.read(table, shard, remake=True)
    recorded = set() if before is None else set(before["key"].to_pylist())
    new = [row for row in rows.to_pylist() if row["key"] not in recorded]
    spec = spec_of(table)
    assert spec is not None
    together = [*([] if before is None else before.to_pylist()), *new]
    names = [field.name for field in spec.schema]
    table_rows = [{name: row.get(name) for name in names} for row in together]
    store.write(table, shard, pa.Table.from_pylist(table_rows, schema=spec.schema), made_from="")


def _media(store: Store, shard: int) -> dict[str, str | None]:
    """video_id -> SHA-256 of its file: features of format 1 went when the file did, so they are of this one."""
    name = f"videos/{shard:04d}.parquet"
    if not store.exists(name):
        return {}
    rows = pq.ParquetFile(io.BytesIO(store.read_file(name))).read(columns=["video_id", "media_sha256"])
    return dict(zip(rows["video_id"].to_pylist(), rows["media_sha256"].to_pylist(), strict=True))


def _fill(store: Store) -> int:
    """Write the shards that a table lacks as empty ones: format 1 left out those that held nothing."""
    added = 0
    for table in ("videos", "comments", "labels"):
        spec = spec_of(table)
        assert spec is not None
        shards_there = {name for name in store.files(table) if place_of(name) is not None}
        for shard in store.shards():
            if shards_there and f"{table}/{shard:04d}.parquet" not in shards_there:
                store.write(table, shard, spec.schema.empty_table(), made_from="")
                added += 1
    sets = {name.rsplit("/", 1)[0] for name in store.files("features") if place_of(name) is not None}
    for table in sorted(sets):
        like = next(
            example for shard in store.shards() if (example := store.read(table, shard, remake=True)) is not None
        )
        for shard in store.shards():
            if not store.exists(f"{table}/{shard:04d}.parquet"):
                rows, spec = upgrade(like.slice(0, 0), {})
                store.write(table, shard, rows, spec, made_from=made_from_of_footer(like.schema.metadata or {}))
                added += 1
    return added


def _write_version(store: Store) -> None:
    """Say format 2 in dataset.yaml; a file that a person wrote or edited keeps every other line, comments too."""
    text = store.read_file(CONFIG_FILE)
    if yaml.safe_dump(yaml.safe_load(text), sort_keys=False, allow_unicode=True).encode() == text:
        # As csmv wrote it: it may go on to write it.
        store.write_file(CONFIG_FILE, signed(DatasetConfig.from_yaml(text.decode(), CONFIG_FILE)).encode())
        return
    new, count = re.subn(rb"^format_version:.*$", f"format_version: {FORMAT}".encode(), text, count=1, flags=re.M)
    if count and new != text:
        store.write_file(CONFIG_FILE, new)
