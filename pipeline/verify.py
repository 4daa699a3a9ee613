"""Checks everything that a root says of itself: every table against the manifest, every row's place, every media file.

Reads all of it and changes nothing. What it finds is named by file, with what to do.
"""

import hashlib
import json
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from csmv.pipeline.config import read_config
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.files import PRIVATE
from csmv.pipeline.heal import strangers
from csmv.pipeline.manifest import HEADER_FILE, Entry, place_of, table_file
from csmv.pipeline.policy_words import ALLOW_FILE, DENY_FILE
from csmv.pipeline.progress import track
from csmv.pipeline.release.leakage import SUFFIX, is_audit, read_leakage
from csmv.pipeline.root import MEDIA, media_path
from csmv.pipeline.schemas import MediaStatus, spec_of
from csmv.pipeline.scrub.policy import ScrubPolicy
from csmv.pipeline.scrub.word_lists import WordLists
from csmv.pipeline.sources.base import Source
from csmv.pipeline.store import Store

_CHUNK = 16 << 20


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be: the file, and a sentence that says what is wrong and what to do."""

    file: str
    what: str


@dataclass(frozen=True)
class Verification:
    """What was read, and what is wrong with it."""

    tables: int
    rows: int
    media: int
    problems: tuple[Problem, ...]


def verify(store: Store, *, media: bool = True, source: Source | None = None) -> Verification:
    """Check a whole root.

    Args:
        store: the root; that it opens says that its header is in order.
        media: also read every media file and compare its SHA-256.
        source: the root's source, to check that comments' ids are what its key gives for what has landed.
    """
    problems: list[Problem] = [*_key(store), *_access(store)]
    names = [name for name in store.files() if not name.startswith(f"{PRIVATE}/")]
    tables = [name for name in names if place_of(name) is not None]
    rows = 0
    with track("verify", len(tables)) as tick:
        for name in tables:
            damage, count = _table(store, name)
            problems += damage
            rows += count
            tick(1)
    problems += _manifest(store, names)
    problems += _begun(store, tables)
    problems += _documents(store, names)
    problems += _words(store)
    problems += _strangers(store, source) if source is not None else ()
    checked, damage = _media(store) if media else (0, [])
    return Verification(len(tables), rows, checked, tuple(problems + damage))


def _key(store: Store) -> Iterator[Problem]:
    try:
        store.key()
    except CsmvError as error:
        yield Problem("private/pseudonym.key", str(error))


def _access(store: Store) -> Iterator[Problem]:
    """Whether others may read what is private; only a local disk tells."""
    folder = Path(store.path(PRIVATE))
    if store.is_local and folder.is_dir() and stat.S_IMODE(folder.stat().st_mode) & 0o007:
        yield Problem(PRIVATE, f"'{PRIVATE}' may be read by everybody on this machine: `chmod 700` it.")


def _table(store: Store, name: str) -> tuple[list[Problem], int]:
    place = place_of(name)
    assert place is not None
    table, shard = place
    try:
        with store.open_table(table, shard) as file:
            assert file is not None
            return [Problem(name, what) for what in _rows(store, table, shard, file)], file.metadata.num_rows
    except CsmvError as error:
        return [Problem(name, str(error))], 0


def _rows(store: Store, table: str, shard: int | None, file: pq.ParquetFile) -> Iterator[str]:
    """What is wrong with the rows of a file whose bytes are as they were written."""
    spec = spec_of(table)
    key = ("video_id",) if spec is None else spec.key
    columns = [name for name in dict.fromkeys((*key, "video_id")) if name in file.schema_arrow.names]
    rows = file.read(columns=columns)
    repeated = rows.num_rows - rows.select(list(key)).group_by(list(key)).aggregate([]).num_rows
    if repeated:
        yield f"'{table_file(table, shard)}' has {repeated} row(s) that repeat a key ({', '.join(key)})."
    ordered = rows.sort_by([(name, "ascending") for name in key])
    if not ordered.select(list(key)).equals(rows.select(list(key))):
        yield f"'{table_file(table, shard)}' is not sorted by {', '.join(key)}."
    if shard is not None and "video_id" in columns:
        videos = pc.unique(rows["video_id"]).to_pylist()
        strange = sum(store.shard_of(video) != shard for video in videos if video is not None)
        if strange:
            yield f"'{table_file(table, shard)}' has {strange} video(s) that belong into other shards."


def _manifest(store: Store, names: list[str]) -> Iterator[Problem]:
    """Entries that can't be read, and files that are listed and not there."""
    files = set(names)
    wanted: dict[str, str] = {}
    for name in names:
        if not name.startswith("manifest/") or name == HEADER_FILE:
            continue
        try:
            entry = Entry(**json.loads(store.read_file(name)))
            right = entry.file == name and entry.root == store.header.root
        except (ValueError, TypeError, CsmvError):
            right = False
        if not right:
            yield Problem(name, f"'{name}' is a damaged manifest entry: put it back from a copy of the root.")
            continue
        file = table_file(entry.table, entry.shard)
        if file not in files:
            wanted[file] = entry.table
    for file, table in sorted(wanted.items()):
        place = place_of(file)
        try:
            store.read(table, place[1] or 0) if place and place[1] is not None else store.read_split(table[7:])
        except CsmvError as error:
            yield Problem(file, str(error))


def _begun(store: Store, tables: list[str]) -> Iterator[Problem]:
    """Tables of which only some shards are there."""
    shards = Counter(name.split("/")[0] for name in tables)
    for table in ("videos", "comments", "labels"):
        if 0 < shards[table] < store.n_shards:
            what = f"'{table}' has {shards[table]} of its {store.n_shards} shards: run `csmv run tables`."
            yield Problem(table, what)


def _documents(store: Store, names: list[str]) -> Iterator[Problem]:
    """JSON documents and predictions of runs that can't be read any more."""
    for name in names:
        if name.startswith("manifest/"):
            continue
        try:
            if is_audit(name):
                yield from _audit_of_split(store, name)
            elif name.endswith(".json"):
                json.loads(store.read_file(name))
            elif name.startswith("models/") and name.endswith(".parquet"):
                data = pa.BufferReader(store.read_file(name))
                pq.ParquetFile(data, page_checksum_verification=True).read()
        except (ValueError, pa.ArrowException, OSError):
            yield Problem(name, f"'{name}' is damaged: put it back from a copy, or delete it and make it anew.")


def _audit_of_split(store: Store, name: str) -> Iterator[Problem]:
    """A leakage audit whose numbers are not those that were written, or that speaks of a split that is not there."""
    split = name.removeprefix("splits/").removesuffix(SUFFIX)
    try:
        read_leakage(store, split)
    except CsmvError as error:
        yield Problem(name, str(error))
    if split not in store.split_names():
        yield Problem(name, f"'{name}' is about a split that is not there: build it anew, or delete this file.")


def _words(store: Store) -> Iterator[Problem]:
    """Lists of allowed and denied words that are others than the configuration has, so that no text can be scrubbed."""
    try:
        policy = read_config(store).scrub
    except CsmvError:
        return  # a root that one writes to by hand, without a configuration; opening it says what is wrong with one
    for name, file in (("allow", ALLOW_FILE), ("deny", DENY_FILE)):
        if getattr(policy, name) is None:
            continue
        try:
            WordLists.of_files(**{name: store.read_if_there(file)}).require(
                ScrubPolicy(**{name: getattr(policy, name)})
            )
        except CsmvError as error:
            yield Problem(file, str(error))


def _strangers(store: Store, source: Source) -> Iterator[Problem]:
    """Comments whose ids were made under another key than the root's: nobody could find them by their original ids."""
    for shard in store.shards():
        try:
            number = len(strangers(store, source, store.key(), shard))
        except CsmvError:
            continue  # named above, or landing is damaged, which reading it tells
        if number:
            name = table_file("comments", shard)
            what = f"'{name}' has {number} comment(s) whose ids no key of this root gives: `csmv migrate` heals them."
            yield Problem(name, what)


def _media(store: Store) -> tuple[int, list[Problem]]:
    """Every media file against the SHA-256 in `videos`."""
    wanted: dict[str, str] = {}
    for shard in store.shards():
        try:
            rows = store.read_columns("videos", shard, ["video_id", "media_status", "media_sha256"])
        except CsmvError:
            continue  # named above
        for row in [] if rows is None else rows.to_pylist():
            if row["media_status"] == MediaStatus.OK:
                wanted[media_path(shard, row["video_id"])] = row["media_sha256"]
    problems = []
    files = store.listing(MEDIA)
    with track("verify media", len(wanted)) as tick:
        for name, sha256 in wanted.items():
            if name not in files:
                problems.append(Problem(name, f"'{name}' is gone: `csmv run media` gets it again."))
            elif _sha256(store, name, files[name].size) != sha256:
                problems.append(
                    Problem(name, f"'{name}' is not the file that was kept: delete it, then run `csmv run media`.")
                )
            tick(1)
    return len(wanted), problems


def _sha256(store: Store, name: str, size: int) -> str:
    digest = hashlib.sha256()
    for start in range(0, size, _CHUNK):
        digest.update(store.fs.cat_file(store.path(name), start=start, end=min(start + _CHUNK, size)))
    return digest.hexdigest()
