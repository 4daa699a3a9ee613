"""`csmv reshard`: a root with another number of shards, made of a root that is there and stays as it is.

The new root gets its header last: until then every other command refuses it, and running this again goes on. A video
of new shard k stands in an old shard that is k modulo the greatest common divisor of the two numbers, so that no more
than those are read for it.
"""

import heapq
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from csmv.pipeline.compaction import with_damage, write_rows
from csmv.pipeline.config import DatasetConfig, is_ours, read_config, signed
from csmv.pipeline.dataset_head import MOST
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_arrays import Row, rows_of
from csmv.pipeline.feature_rows import with_media_column
from csmv.pipeline.files import Files
from csmv.pipeline.known_names import LANDING
from csmv.pipeline.landed_names import extract_names
from csmv.pipeline.manifest import HEADER_FILE, Header, place_of
from csmv.pipeline.parts import PARTS, open_part, part_names
from csmv.pipeline.privacy.forgotten import FORGET_KEY, FORMAT_1_FILE, REQUESTS, Forgotten
from csmv.pipeline.progress import track
from csmv.pipeline.pseudonym import KEY_FILE
from csmv.pipeline.release.leakage import is_audit, take_over
from csmv.pipeline.root import CONFIG_FILE, MEDIA
from csmv.pipeline.schemas import FAILURES
from csmv.pipeline.sources.base import Source, resharded_path
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.sources.tables import TABLES, finish_tables, is_current, made_from_now
from csmv.pipeline.store import Store

_MADE_HERE = (
    "manifest/",
    "history/",
    "release/",
    f"{LANDING}/",
    f"{MEDIA}/",
    f"{PARTS}/",
    f"{REQUESTS}/",
    "private/cache/",
    "private/logs/",
    "private/partial/",
    "private/tracking/",
    "private/working/",
    "private/leases/",
)
"""What is not copied as it is: written anew for the new root, or of the old one alone."""


@dataclass(frozen=True)
class Resharding:
    """What a resharding made: tables with all their rows, media files, and other files that were copied."""

    n_shards: int
    tables: int
    rows: int
    media: int
    files: int


def reshard(root: str, to: str, n_shards: int) -> Resharding:
    """Make a root with `n_shards` shards of the root at `root`, which stays as it is.

    Interrupted and run again, it goes on. Tables are equal, byte for byte, to those of a root that had so many shards
    from the start; only where shards of published files become fewer is the order of what landed lost, and the rows are
    equal but not what the footers say they were made from. A release is not taken over.

    Args:
        root: a folder or an fsspec URL.
        to: the new root's; nothing, or a resharding that was interrupted.
        n_shards: how many shards the new root has.

    Raises:
        CsmvError: the number is none, `to` is something else, or a table of the old root is damaged.
    """
    old = Store.open(root)
    if not 1 <= n_shards <= MOST or n_shards == old.n_shards:
        raise CsmvError(
            f"A number of shards from 1 to {MOST} other than the {old.n_shards} that the root has was expected, and "
            f"{n_shards} was given."
        )
    new = _begun(old, to, n_shards)
    config = read_config(old)
    source = source_of(config.source)
    while True:
        gone = Forgotten.of(old)
        _copy_requests(old, new)
        source.reshard(old, new)
        done = _Work(old, new, config, source).all()
        if Forgotten.of(old).digest == gone.digest:
            break
    new.write_file(CONFIG_FILE, _config_text(old, config, n_shards).encode())
    new.create_file(HEADER_FILE, new.header.to_json())
    new.note({"event": "reshard", "from": old.n_shards, "to": n_shards, "root": old.header.root})
    return done


def _begun(old: Store, to: str, n_shards: int) -> Store:
    """The new root, which has a key and no header yet."""
    new = Store(to)
    if Files(old.root).path("x") == new.path("x"):
        raise CsmvError("The new root has to be another folder than the old one, which stays as it is.")
    header = Header(old.header.name, old.header.source, n_shards, old.header.key)
    if new.exists(HEADER_FILE):
        if Store.open(to).header == header:
            raise CsmvError(f"'{to}' has been made already: `csmv verify {to}` checks it.")
        raise CsmvError(f"'{to}' is a root of its own: choose another folder, or delete it.")
    if new.exists(CONFIG_FILE) and new.read_file(CONFIG_FILE) != _config_text(old, read_config(old), n_shards).encode():
        raise CsmvError(f"'{to}' has a {CONFIG_FILE} that is not of this root: choose another folder, or delete it.")
    new.header = header
    if (key := old.read_if_there(KEY_FILE)) is not None:
        new.create_file(KEY_FILE, key)
    new.key()  # another key is refused before anything is written under it
    return new


def _config_text(old: Store, config: DatasetConfig, n_shards: int) -> str:
    """dataset.yaml with the new number; of a file that a person wrote, every other line stays."""
    text = old.read_file(CONFIG_FILE).decode()
    if is_ours(text):
        written = DatasetConfig.from_yaml(text, CONFIG_FILE)
        return signed(written.model_copy(update={"n_shards": n_shards}))
    changed, count = re.subn(r"^n_shards:.*$", f"n_shards: {n_shards}", text, count=1, flags=re.M)
    changed = changed if count else f"n_shards: {n_shards}\n{text}"
    if DatasetConfig.from_yaml(changed, CONFIG_FILE).n_shards != n_shards:
        raise CsmvError(f"{old.root}/{CONFIG_FILE}: put n_shards on a line of its own, and run this again.")
    return changed


def _copy_requests(old: Store, new: Store) -> None:
    names = [name for name in (FORGET_KEY, FORMAT_1_FILE) if old.exists(name)]
    for name in [*names, *old.files(REQUESTS)]:
        new.create_file(name, old.read_file(name))


class _Work:
    """What is made in the new root, one thing after the other."""

    def __init__(self, old: Store, new: Store, config: DatasetConfig, source: Source) -> None:
        self.old, self.new, self.config, self.source = old, new, config, source
        self.step = math.gcd(old.n_shards, new.n_shards)
        self.tables = self.rows = 0

    def all(self) -> Resharding:
        """Everything but the header and the configuration."""
        extract_names(self.new)
        with track("reshard", self.new.n_shards) as tick:
            for shard in self.new.shards():
                self._tables(shard)
                tick(1)
        self._failures()
        names = self.old.files()
        sets = {name.rsplit("/", 2)[-2] for name in names if name.startswith("features/")}
        sets |= {name.split("/")[3] for name in names if name.startswith(f"{PARTS}/features/")}
        for name in sorted(sets):
            for shard in self.new.shards():
                self._features(f"features/{name}", shard)
        for name in self.old.split_names():
            rows = self.old.read_split(name)
            self.new.write_split(name, rows, made_from=self.old.made_from(f"splits/{name}", None) or "")
            self._count(rows.num_rows)
        if all(self.new.made_from("comments", shard) is not None for shard in self.new.shards()):
            finish_tables(self.new, self.source)
        for name in self.old.split_names():
            take_over(self.old, self.new, name)
        media = self._media()
        return Resharding(self.new.n_shards, self.tables, self.rows, media, self._other_files(names))

    def _from(self, shard: int) -> list[int]:
        """The old shards in which videos of a new one may stand."""
        return list(range(shard % self.step, self.old.n_shards, self.step))

    def _tables(self, shard: int) -> None:
        parts = self._from(shard)
        videos = {part: self._videos_of(part) for part in parts}
        made_from = self._made_from(shard, parts)
        for table in TABLES:
            tables = [self.old.read(table, part) for part in parts]
            if any(rows is None for rows in tables):
                continue  # never written, or not all of it: the tables stage writes it
            mine = [
                self._labels_here(rows, part, videos[part], shard) if table == "labels" else self._here(rows, shard)
                for part, rows in zip(parts, tables, strict=True)
                if rows is not None
            ]
            whole = pa.concat_tables([rows.replace_schema_metadata(mine[0].schema.metadata) for rows in mine])
            self.new.write(table, shard, whole, made_from=made_from)
            self._count(whole.num_rows)

    def _made_from(self, shard: int, parts: Sequence[int]) -> str:
        """What the tables stage would write there, if the old shards are as it would write them now."""
        key, policy = self.old.key(), self.config.scrub
        if not all(is_current(self.old, self.source, policy, key, part) for part in parts):
            return ""
        return made_from_now(self.new, self.source, policy, key, shard)

    def _videos_of(self, part: int) -> pa.Table | None:
        """comment_id and video_id of an old shard's comments."""
        return self.old.read_columns("comments", part, ["comment_id", "video_id"])

    def _here(self, rows: pa.Table, shard: int) -> pa.Table:
        """The rows of videos of a new shard."""
        return rows.filter(pc.is_in(rows["video_id"], value_set=self._ids_here(rows["video_id"], shard)))

    def _ids_here(self, ids: pa.ChunkedArray, shard: int) -> pa.Array:
        here = [one for one in pc.unique(ids).to_pylist() if self.new.shard_of(one) == shard]
        return pa.array(here, pa.string())

    def _labels_here(self, rows: pa.Table, part: int, comments: pa.Table | None, shard: int) -> pa.Table:
        """Labels go with their comments; those of comments that are gone, with the shard of the same remainder."""
        if comments is None:
            return rows if shard == part % self.new.n_shards else rows.slice(0, 0)
        mine = pc.is_in(rows["comment_id"], value_set=self._here(comments, shard)["comment_id"].combine_chunks())
        if shard == part % self.new.n_shards:
            mine = pc.or_(mine, pc.invert(pc.is_in(rows["comment_id"], value_set=comments["comment_id"])))
        return rows.filter(mine)

    def _failures(self) -> None:
        """Failures go with the video or comment that they are about; others, by their key."""
        stages = {place[0] for name in self.old.files("failures") if (place := place_of(name)) is not None}
        places = self._places() if "failures/tables" in stages else {}
        for table in sorted(stages):
            parts: list[pa.Table] = []
            shards: list[int] = []
            for part in self.old.shards():
                rows = self.old.read(table, part)
                if rows is not None:
                    parts.append(rows)
                    shards += [places.get(key, self.new.shard_of(key)) for key in rows["key"].to_pylist()]
            whole = pa.concat_tables(parts).replace_schema_metadata(FAILURES.schema.metadata)
            for shard in sorted(set(shards)):
                rows = whole.filter(pc.equal(pa.array(shards, pa.int32()), shard))
                self.new.write(table, shard, rows, made_from="")
                self._count(rows.num_rows)

    def _places(self) -> dict[str, int]:
        """The new shards of what the source says failed, which may stand with a video that its key does not name."""
        shards = self.new.shards() if any(self.source.state(self.new, shard) for shard in self.new.shards()) else ()
        return {failure.key: shard for shard in shards for failure in self.source.rows(self.new, shard).failures}

    def _features(self, table: str, shard: int) -> None:
        with ExitStack() as stack:
            opened: list[pq.ParquetFile | None] = []
            for part in self._from(shard):
                opened.append(stack.enter_context(self.old.open_table(table, part, remake=True)))
                opened += [stack.enter_context(open_part(self.old, name)) for name in part_names(self.old, table, part)]
            sources = [file for file in opened if file is not None]
            if sources:
                gone = Forgotten.of(self.new).videos
                rows = heapq.merge(*(self._rows_here(file, shard, gone) for file in sources), key=lambda row: row.video)
                schema = with_damage(self.new, table, shard, with_media_column(sources[0].schema_arrow))
                write_rows(self.new, table, shard, rows, schema)
                metadata = self.new.file_metadata(table, shard)
                self._count(0 if metadata is None else metadata.num_rows)

    def _rows_here(self, file: pq.ParquetFile, shard: int, gone: Iterable[str]) -> Iterator[Row]:
        for number in range(file.num_row_groups):
            for row in rows_of(file.read_row_group(number)):
                if self.new.shard_of(row.video) == shard and row.video not in gone:
                    yield row

    def _media(self) -> int:
        theirs, ours = self.old.listing(MEDIA), self.new.listing(MEDIA)
        places: Mapping[str, str] = {name: resharded_path(name, self.old, self.new) for name in theirs}
        for name, place in places.items():
            if place not in ours or ours[place].size != theirs[name].size:
                self.new.take(self.old, name, place)
        return len(places)

    def _other_files(self, names: Iterable[str]) -> int:
        """Models, reports, word lists and everything else that speaks of no shard."""
        count = 0
        for name in names:
            is_own = place_of(name) is not None or is_audit(name) or name.startswith(_MADE_HERE)
            if is_own or name in (CONFIG_FILE, KEY_FILE, FORGET_KEY, FORMAT_1_FILE):
                continue
            self.new.write_file(name, self.old.read_file(name))
            count += 1
        return count

    def _count(self, rows: int) -> None:
        self.tables += 1
        self.rows += rows
