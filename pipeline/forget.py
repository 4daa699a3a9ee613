"""Takes a comment, a video, or all of a person out of a root, and remembers not to let them in again.

Finds them by the ids and handles of the platform, which only the private part knows. Rewrites every file it touches,
landing included, and says what it removed; it never says what that was.
"""

import io
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.audit import files_holding
from pipeline.errors import CsmvError
from pipeline.forget_landing import LandingEraser, Wanted, wanted
from pipeline.forgotten import Forgotten
from pipeline.known_names import LANDING, KnownNames
from pipeline.manifest import place_of
from pipeline.progress import track
from pipeline.pseudonym import Pseudonymiser, load_key
from pipeline.store import media_path, parquet_bytes

if TYPE_CHECKING:
    from pipeline.store import Store


@dataclass
class Removal:
    """What a `forget` removed: comments, videos, names and ids in what others wrote, rows by file, and whole files.

    `left` are files that hold a forgotten name or id and are not its to rewrite: reports, logs, releases, models.
    """

    comments: int = 0
    videos: int = 0
    names: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def forget(
    store: "Store",
    comment_ids: Iterable[str] = (),
    video_ids: Iterable[str] = (),
    handles: Iterable[str] = (),
) -> Removal:
    """Remove comments by their original ids, videos by theirs, and everything that a handle wrote or published.

    A comment's id may also be the id in the table, as published CSMV data has it. Killed half-way and run again, it
    finishes. Raises CsmvError if comments are to be found by original ids and the key of the pseudonyms is gone.
    """
    what = wanted(store, comment_ids, video_ids, handles)
    raw_comments, videos = what.comments, what.videos
    comments = set(raw_comments)
    key = load_key(store)
    if key is not None:
        pseudonyms = Pseudonymiser(key)
        comments |= {pseudonyms.comment_id(raw) for raw in raw_comments}
    elif raw_comments and not _has_ids(store, raw_comments):
        raise CsmvError(
            "The key of this root's pseudonyms is not in private/ nor in CSMV_PSEUDONYM_KEY, "
            "so a comment can't be found by its original id."
        )
    for video in videos:
        comments |= _comments_on(store, video)
    return _remove(store, what, Forgotten(frozenset(comments), frozenset(videos)))


def _comments_on(store: "Store", video: str) -> set[str]:
    # Labels know only the comment, so a video's comments are forgotten by name.
    rows = store.read("comments", store.shard_of(video))
    return set() if rows is None else set(rows.filter(pc.equal(rows["video_id"], video))["comment_id"].to_pylist())


def _remove(store: "Store", what: Wanted, gone: Forgotten) -> Removal:
    # Remembered first: whatever is killed after this, a later run of any stage will not bring them back.
    gone.keep(store)
    # All that was ever forgotten: one that was killed half-way no longer finds in landing what it had removed there.
    gone = Forgotten.of(store)
    removal, eraser = Removal(), LandingEraser(what)
    names = store.files()
    with track("forget", len(names)) as tick:
        for name in names:
            if name.startswith(LANDING):
                _from_landing(store, name, eraser, removal)
            elif name.endswith(".parquet"):
                _from_table(store, name, gone, eraser, removal)
            tick(1)
    for video in sorted(gone.videos):
        media = media_path(store.shard_of(video), video)
        if store.exists(media):
            store.remove(media)
            removal.files.append(media)
    known = KnownNames(set(what.handles), set(what.names), what.comments | what.person_ids)
    removal.left = files_holding(store, known)
    return removal


def _from_table(store: "Store", name: str, gone: Forgotten, eraser: LandingEraser, removal: Removal) -> None:
    place = place_of(name)
    with store.open_table(*place) if place else nullcontext(pq.ParquetFile(io.BytesIO(store.read_file(name)))) as file:
        assert file is not None
        table = file.read()
    left = gone.drop(table)
    removed = table.num_rows - left.num_rows
    eraser.blotted = 0
    for column in ("text", "description"):
        if column in left.column_names and name.startswith(("comments/", "videos/")):
            left = _without_names(left, column, eraser)
    if left.equals(table):
        return
    if name.startswith("comments/"):
        removal.comments += removed
    if name.startswith("videos/"):
        removal.videos += removed
    removal.names += eraser.blotted
    removal.rows[name] = removed
    if place:
        store.rewrite(*place, left)
    else:
        store.write_file(name, parquet_bytes(left))


def _without_names(table: pa.Table, column: str, eraser: LandingEraser) -> pa.Table:
    """A table whose texts no longer name who is forgotten. Others may have, before anybody's name was known."""
    texts = [text if text is None else eraser.text(text) for text in table[column].to_pylist()]
    place = table.column_names.index(column)
    return table.set_column(place, table.schema.field(place), pa.array(texts, table.schema.field(place).type))


def _from_landing(store: "Store", name: str, eraser: LandingEraser, removal: Removal) -> None:
    data = store.read_file(name)
    left = eraser.erase(name, data)
    if left is None:
        store.remove(name)
        removal.files.append(name)
    elif left is not data:
        store.write_file(name, left)
        removal.rows[name] = eraser.removed
        removal.names += eraser.blotted


def _has_ids(store: "Store", ids: set[str]) -> bool:
    found = store.read_all("comments")["comment_id"]
    return bool(pc.any(pc.is_in(found, value_set=pa.array(sorted(ids), pa.string()))).as_py())
