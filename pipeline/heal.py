"""Comments whose ids were made under a key that is gone: found from landing, and given their ids under the root's key.

Before keys were made exclusively, two processes that started on a fresh root could each make one, and the comments that
one of them wrote can no longer be found by their original ids. Their rows can be made anew from landing; what refers to
them (labels of annotators, splits, predictions) follows.
"""

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import SecretStr

from csmv.pipeline.annotation_labels import ANNOTATION
from csmv.pipeline.collect import collect
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.manifest import place_of
from csmv.pipeline.pseudonym import Pseudonymiser
from csmv.pipeline.scrub.policy import ScrubPolicy
from csmv.pipeline.sources.base import Reach, Source
from csmv.pipeline.sources.tables import comments_of, write_anew, write_tables
from csmv.pipeline.store import Store, parquet_bytes

_SAME = ("video_id", "text", "created_on", "like_count")
"""By what a comment is known again when its id is another."""


@dataclass
class Healing:
    """What was healed: comments with a new id, and of them those that nothing refers to any more under the old one.

    `lost` comments were told apart by nothing but their id, so what refers to them could not follow.
    """

    comments: int = 0
    lost: int = 0
    files: list[str] = field(default_factory=list)


def heal_root(store: Store, source: Source, policy: ScrubPolicy, note: Callable[[str], None]) -> Healing:
    """Heal a root, and bring its tables up to date with what has landed, as far as its source can still be read.

    Args:
        store: the root.
        source: its source; one that stands on this machine is landed first.
        policy: how texts are scrubbed.
        note: is told what a person should know of.
    """
    key = store.key()
    if not source.online:
        try:
            if source.left(store):
                collect(store, source, Reach())
        except CsmvError as error:
            note(f"The source can't be read, so the ids of comments were not checked against it: {error}")
    if not any(source.state(store, shard) for shard in store.shards()):
        return Healing()
    done = heal(store, source, policy, key)
    write_tables(store, source, policy, key)
    return done


def strangers(store: Store, source: Source, key: SecretStr, shard: int) -> set[str]:
    """Ids in a shard's comments that no comment of landing has under this key; none where nothing has landed."""
    table = store.read_columns("comments", shard, ["comment_id"])
    if table is None or not table.num_rows or not source.state(store, shard):
        return set()
    pseudonyms = Pseudonymiser(key)
    rows = source.rows(store, shard).comments
    comment_ids = {row.id if row.published_id else pseudonyms.comment_id(row.id) for row in rows}
    return set(table["comment_id"].to_pylist()) - comment_ids


def heal(store: Store, source: Source, policy: ScrubPolicy, key: SecretStr) -> Healing:
    """Make the shards anew that hold strangers, and let everything that refers to them follow.

    Can be interrupted and run again: a shard that was made anew holds no strangers any more, and what refers to old ids
    is rewritten before the shard is.
    """
    done = Healing()
    for shard in store.shards():
        strange = strangers(store, source, key, shard)
        if not strange:
            continue
        before = store.read("comments", shard)
        assert before is not None
        now = comments_of(store, source, policy, key, shard)
        renamed = _matched([row for row in before.to_pylist() if row["comment_id"] in strange], now.to_pylist())
        done.comments += len(strange)
        done.lost += len(strange - renamed.keys())
        labels = store.read("labels", shard)
        done.files += _follow(store, renamed)
        write_anew(store, source, policy, key, shard)
        if labels is not None:
            _keep_labels(store, shard, labels, renamed)
    return done


def _matched(old: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Old id -> new id of the comments that are told apart by what they say; the others are left out."""
    by_text: dict[tuple[Any, ...], list[str]] = {}
    for row in new:
        by_text.setdefault(tuple(row[name] for name in _SAME), []).append(row["comment_id"])
    new_ids: dict[str, str] = {}
    seen: dict[tuple[Any, ...], int] = {}
    rows = list(old)
    for row in rows:
        same = tuple(row[name] for name in _SAME)
        seen[same] = seen.get(same, 0) + 1
    for row in rows:
        same = tuple(row[name] for name in _SAME)
        if len(by_text.get(same, ())) == 1 and seen[same] == 1:
            new_ids[row["comment_id"]] = by_text[same][0]
    return new_ids


def _follow(store: Store, renamed: Mapping[str, str]) -> list[str]:
    """Rewrite splits, predictions and annotations that name old ids."""
    changed = []
    for name in store.files():
        place = place_of(name)
        if place is not None and place[1] is None:
            rows = store.read_split(place[0].removeprefix("splits/"))
            if (left := _renamed(rows, renamed)) is not rows:
                store.rewrite(place[0], None, left)
                changed.append(name)
        elif name.startswith(("models/", f"{ANNOTATION}/")) and name.endswith(".parquet"):
            rows = pq.ParquetFile(io.BytesIO(store.read_file(name))).read()
            if "comment_id" in rows.column_names and (left := _renamed(rows, renamed)) is not rows:
                store.write_file(name, parquet_bytes(left))
                changed.append(name)
    return changed


def _keep_labels(store: Store, shard: int, labels: pa.Table, renamed: Mapping[str, str]) -> None:
    """Put back the labels that the source does not bring, such as annotators', under their comments' new ids."""
    now = store.read("labels", shard)
    comments = store.read_columns("comments", shard, ["comment_id"])
    assert now is not None and comments is not None
    labelled = {(row["comment_id"], row["source"]) for row in now.to_pylist()}
    comment_ids = set(comments["comment_id"].to_pylist())
    rows = [row | {"comment_id": renamed.get(row["comment_id"], row["comment_id"])} for row in labels.to_pylist()]
    missing = [
        row for row in rows if row["comment_id"] in comment_ids and (row["comment_id"], row["source"]) not in labelled
    ]
    if missing:
        store.rewrite("labels", shard, pa.Table.from_pylist([*now.to_pylist(), *missing], schema=now.schema))


def _renamed(rows: pa.Table, renamed: Mapping[str, str]) -> pa.Table:
    """`rows` with new ids in place of old ones, sorted by them; the same table if it names none."""
    ids = rows["comment_id"].to_pylist()
    if not renamed.keys() & set(ids):
        return rows
    place = rows.column_names.index("comment_id")
    new = pa.array([renamed.get(one, one) for one in ids], pa.string())
    return rows.set_column(place, rows.schema.field(place), new).sort_by("comment_id")
