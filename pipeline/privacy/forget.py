"""Takes a comment, a video, or all of a person out of a root, and remembers not to let them in again.

Finds them by the ids and handles of the platform, which only the private part knows. Rewrites every file it touches,
landing included, and says what it removed; it never says what that was.
"""

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.known_names import LANDED, LANDING
from csmv.pipeline.privacy.audit import files_holding
from csmv.pipeline.privacy.forget_landing import LandingEraser, Wanted, returned, wanted
from csmv.pipeline.privacy.forgotten import FORGET_KEY, FORMAT_1_FILE, REQUESTS, Forgotten, Request, remember, settling
from csmv.pipeline.privacy.hidden_ids import HIDDEN_IDS, HiddenIds
from csmv.pipeline.privacy.review_settings import EXPLORER_PAGE, REVIEW_COUNTS, REVIEWS
from csmv.pipeline.privacy.traces import SHORTEST_ID
from csmv.pipeline.progress import track
from csmv.pipeline.pseudonym import KEY_FILE, Pseudonymiser, key_fingerprint, load_key
from csmv.pipeline.schemas import TableSpec, spec_of
from csmv.pipeline.store import parquet_bytes

if TYPE_CHECKING:
    from csmv.pipeline.sources.base import Source
    from csmv.pipeline.store import Store

CACHE = "private/cache/"
PARTS = "private/parts/"
MEDIA = "private/media/"
WORDS = "private/policy/"
_TABLES = ("videos/", "comments/", "labels/", "features/", "failures/")
_NOT_SEARCHED = (f"{LANDING}/", f"{REQUESTS}/", MEDIA, PARTS, FORGET_KEY, FORMAT_1_FILE, KEY_FILE, HIDDEN_IDS)
"""Private files that were rewritten, that hold digests, or that hold pictures and sound."""
_PASSES = 4
"""How often a root is gone through while other writers, who know nothing of requests, still change it."""


@dataclass
class Removal:
    """What a `forget` removed: comments, videos, names and ids in what others wrote, rows by file, and whole files.

    `left` says, a sentence each, what holds something of it and is not its to rewrite: reports, logs, releases, models,
    the source's own folder.
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
    *,
    even_unknown: bool = False,
    also: Iterable[Path] = (),
    source: "Source | None" = None,
) -> Removal:
    """Remove comments by their original ids, videos by theirs, and everything that a handle wrote or published.

    A comment's id may also be the id in the table, as published CSMV data has it. Killed half-way and run again, it
    finishes.

    Args:
        store: the root.
        comment_ids: ids of comments.
        video_ids: ids of videos.
        handles: accounts, with or without @.
        even_unknown: remember, too, what is not in the root now and may come later.
        also: files and folders outside the root, such as logs, to be searched for what is left.
        source: the root's source, whose own lists are looked through, too.

    Raises:
        CsmvError: something of the request is not known here (nothing is forgotten then), comments are to be found by
            original ids and the key of the pseudonyms is gone, or one of `also` is not there.
    """
    also = list(also)
    _refuse_absent(also)
    store.sweep()  # what killed processes left half-written may hold anything
    ids = HiddenIds(store)
    asked = Wanted(set(comment_ids), set(map(ids.public_before, video_ids)), set(handles))
    what = wanted(store, asked.comments, asked.videos, asked.handles)
    pseudonyms = _pseudonyms(store, set() if even_unknown else what.comments)
    if not even_unknown:
        _refuse_unknown(store, asked, what, pseudonyms)
    comments = what.comments | {pseudonyms.comment_id(raw) for raw in what.comments if pseudonyms}
    for video in sorted(what.videos):
        comments |= _comments_on(store, video)
    key = load_key(store)
    # Remembered first: whatever is killed after this, a later run of any stage will not bring them back.
    remember(
        store,
        Request(
            comments=frozenset(comments),
            videos=frozenset(what.videos),
            raw_comments=frozenset(what.comments),
            accounts=frozenset(what.accounts),
            mentions=frozenset(one for one in what.mentions | what.videos if len(one) >= SHORTEST_ID),
            handles=frozenset(what.handles),
            names=frozenset(what.names),
            pseudonym_key=key_fingerprint(key) if key else "",
        ),
    )
    removal = Removal()
    _remove(store, what.texts, removal)
    removal.left = _left(store, also, source)
    return removal


def forget_again(store: "Store") -> Removal | None:
    """Forget what was forgotten before and has landed since: a new video or comment of the person, an old one re-read.

    For whoever lands something. The tables refuse it by themselves; this takes it out of the raw pages, too, and
    remembers the new ids, so that a collector does not go for them again.

    Returns:
        What was removed; None where nothing had come back.
    """
    gone = Forgotten.of(store)
    if not gone.digest:
        return None
    handles, comments = returned(store, gone)
    if not handles and not comments:
        return None
    return forget(store, comment_ids=comments, handles=handles, even_unknown=True)


def settle(store: "Store", table: str, shard: int) -> None:
    """Take out of a shard what was forgotten while it was being written, for writers that don't ask as they write."""
    _from_table(store, f"{table}/{shard:04d}.parquet", Removal())


# ---------------------------------------------------------------------- what is asked


def _pseudonyms(store: "Store", raw_comments: set[str]) -> Pseudonymiser | None:
    key = load_key(store)
    if key is not None:
        return Pseudonymiser(key)
    if raw_comments and not _has_ids(store, raw_comments):
        raise CsmvError(
            "The key of this root's pseudonyms is not in private/ nor in CSMV_PSEUDONYM_KEY, "
            "so a comment can't be found by its original id."
        )
    return None


def _refuse_unknown(store: "Store", asked: Wanted, what: Wanted, pseudonyms: Pseudonymiser | None) -> None:
    before = Forgotten.of(store)
    in_tables = _ids_in_tables(store, "comment_id", ("comments/", "labels/")) if asked.comments - what.known else set()
    videos = _ids_in_tables(store, "video_id", ("videos/", "comments/")) if asked.videos - what.known else set()
    unknown = 0
    for comment in asked.comments - what.known:
        names = {comment, pseudonyms.comment_id(comment)} if pseudonyms else {comment}
        unknown += not (names & in_tables or before.is_forgotten_comment(comment))
    for video in asked.videos - what.known - videos:
        has_media = store.files(MEDIA.rstrip("/")) if unknown == 0 else []
        in_media = any(_stem(name) == video for name in has_media)
        unknown += not (in_media or before.is_forgotten_video(video))
    for handle in asked.handles:
        unknown += not (what.knows_handle(handle) or before.is_forgotten_person(handle))
    if not unknown:
        return
    total = len(asked.comments) + len(asked.videos) + len(asked.handles)
    which = "What is to be forgotten is" if total == 1 else f"{unknown} of the {total} ids and handles given are"
    raise CsmvError(
        f"{which} not known in the root '{store.root}', so nothing was forgotten: check the spelling (the ids of "
        "comments and videos and a handle have an option each), or add --even-unknown to keep out what may come."
    )


def _refuse_absent(paths: Iterable[Path]) -> None:
    for path in paths:
        if not path.exists():
            raise CsmvError(f"'{path}' was to be searched too and is not there.")


def _ids_in_tables(store: "Store", column: str, tables: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    for name in store.files():
        if name.startswith(tables) and name.endswith(".parquet"):
            table, shard = _place(name)
            rows = store.read(table, shard)
            found.update(rows[column].to_pylist() if rows is not None else ())
    return found


def _comments_on(store: "Store", video: str) -> set[str]:
    # Labels know only the comment, so a video's comments are forgotten by name.
    rows = store.read("comments", store.shard_of(video))
    return set() if rows is None else set(rows.filter(pc.equal(rows["video_id"], video))["comment_id"].to_pylist())


def _has_ids(store: "Store", ids: set[str]) -> bool:
    comment_ids = store.read_all("comments")["comment_id"]
    return bool(pc.any(pc.is_in(comment_ids, value_set=pa.array(sorted(ids), pa.string()))).as_py())


# ---------------------------------------------------------------------- removing


def _remove(store: "Store", texts: Iterable[str], removal: Removal) -> None:
    """Go through the root until nothing of what is forgotten is left in what is there.

    All that was ever forgotten goes: a run that was killed no longer finds in landing what it had removed there.
    """
    texts = sorted(texts)
    names = store.files()
    if texts:
        for name in names:
            if name.startswith(f"{LANDING}/"):
                _from_landing(store, name, texts, removal, pages=True)
    seen: set[str] = set()
    with track("forget", len(names)) as tick:
        for turn in range(_PASSES):
            changed = False
            for name in names:
                changed |= _from_file(store, name, texts, removal)
                if turn == 0:
                    tick(1)
            seen |= set(names)
            # Others may have written since: what is new is looked at, and every table once more.
            names = [name for name in store.files() if name not in seen or _is_shared_table(name)]
            if turn and not changed and seen.issuperset(names):
                return


def _is_shared_table(name: str) -> bool:
    return name.endswith(".parquet") and not name.startswith(f"{LANDING}/")


def _from_file(store: "Store", name: str, texts: list[str], removal: Removal) -> bool:
    """Whether there was something to remove from a file, or the whole file."""
    if not store.exists(name):  # its writer has dropped it since
        return False
    if name.startswith(f"{LANDING}/"):
        return _from_landing(store, name, texts, removal)
    is_private = name.startswith("private/")
    if name.startswith((CACHE, f"{REVIEWS}/", REVIEW_COUNTS, EXPLORER_PAGE)) or (
        is_private and Forgotten.of(store).is_forgotten_video(_stem(name))
    ):
        store.remove(name)
        if not name.startswith(f"{LANDED}/"):
            removal.files.append(name)
        return True
    if name.startswith((*_TABLES, "splits/")) and name.endswith(".parquet"):
        return _from_table(store, name, removal)
    if name.endswith(".parquet"):
        return _from_other_parquet(store, name, removal)
    return False


def _stem(name: str) -> str:
    return name.rsplit("/", 1)[-1].split(".", 1)[0]


def _place(name: str) -> tuple[str, int]:
    table, _, file = name.rpartition("/")
    return table, int(file.removesuffix(".parquet"))


def _from_table(store: "Store", name: str, removal: Removal) -> bool:
    changed = False
    for gone in settling(store):
        # Read before the rows: if another writer comes between, the shard says less than it holds, and is made again.
        made_from = _made_from(store, name)
        rows = _read(store, name)
        if rows is None:
            break
        dropped = gone.drop(rows)
        left, blotted = gone.cleaned(dropped)
        if left is rows:
            break
        again = _read(store, name)
        if again is None or not again.equals(rows):
            # Somebody wrote in the meantime; they have asked what is forgotten after this request came.
            rows = again if again is not None else rows
            dropped = gone.drop(rows)
            left, blotted = gone.cleaned(dropped)
        _write(store, name, left, made_from)
        changed = True
        removed = rows.num_rows - dropped.num_rows
        removal.comments += removed if name.startswith("comments/") else 0
        removal.videos += removed if name.startswith("videos/") else 0
        removal.names += blotted
        removal.rows[name] = removal.rows.get(name, 0) + removed
    return changed


def _made_from(store: "Store", name: str) -> str:
    if name.startswith("splits/"):
        return store.made_from(name.removesuffix(".parquet"), None) or ""
    return store.made_from(*_place(name)) or ""


def _read(store: "Store", name: str) -> pa.Table | None:
    if not store.exists(name):
        return None
    if name.startswith("splits/"):
        return store.read_split(_stem(name))
    return store.read(*_place(name))


def _write(store: "Store", name: str, rows: pa.Table, made_from: str) -> None:
    if name.startswith("splits/"):
        store.write_split(_stem(name), rows, made_from=made_from)
        return
    table, shard = _place(name)
    spec = spec_of(table) or TableSpec(rows.schema, ("video_id",))
    store.write(table, shard, rows, spec, made_from=made_from)


def _from_other_parquet(store: "Store", name: str, removal: Removal) -> bool:
    """Predictions, parts of features, releases: files that no table's schema speaks of."""
    changed = False
    for gone in settling(store):
        try:
            rows = pq.ParquetFile(io.BytesIO(store.read_file(name))).read()
        except pa.ArrowInvalid:
            break  # no Parquet file; the search for what is left reads it as whatever it is
        dropped = gone.drop(rows)
        left, blotted = gone.cleaned(dropped)
        if left is rows:
            break
        changed = True
        removal.names += blotted
        removal.rows[name] = removal.rows.get(name, 0) + rows.num_rows - dropped.num_rows
        data = parquet_bytes(left)
        if name.startswith(PARTS):
            # A part is named by its bytes.
            folder = name.rpartition("/")[0]
            if left.num_rows:
                store.create_file(f"{folder}/{hashlib.sha256(data).hexdigest()}.parquet", data)
            store.remove(name)
            break
        store.write_file(name, data)
    return changed


def _from_landing(store: "Store", name: str, texts: list[str], removal: Removal, *, pages: bool = False) -> bool:
    changed = False
    for gone in settling(store):
        if not store.exists(name):
            break
        data = store.read_file(name)
        eraser = LandingEraser(gone, texts)
        left = eraser.erase_pages(name, data) if pages else eraser.erase(name, data)
        if left is data:
            break
        changed = True
        removal.names += eraser.blotted
        if left is None:
            store.remove(name)
            removal.files.append(name)
            break
        store.write_file(name, left)
        removal.rows[name] = removal.rows.get(name, 0) + eraser.removed
    return changed


# ---------------------------------------------------------------------- what is left


def _left(store: "Store", also: Iterable[Path], source: "Source | None") -> list[str]:
    gone = Forgotten.of(store)
    names = [name for name in store.files() if not name.startswith(_NOT_SEARCHED)]
    holding, unread = files_holding(store, gone, names, also)
    left = [f"{name} still holds a name or an id of it: {_what_to_do(name)}." for name in holding]
    left += [f"{one.file} could not be searched for it ({one.why}): look into it, or delete it." for one in unread]
    runs = sorted({name.split("/")[1] for name in names if name.startswith("models/") and name.count("/") > 1})
    left += [
        f"models/{run} was trained before this and can't be cleaned: train it again, or delete it." for run in runs
    ]
    if any(name.startswith("release/") for name in names):
        left.append("release/ was made before this: make it again, and ask those who have a copy to delete it.")
    ids = HiddenIds(store)
    rows = sum(_is_theirs(row, gone, ids) for row in (source.own_rows(store) if source else ()))
    if rows:
        left.append(
            f"The source's own folder is not the root's to clean, and {rows:,} rows of its lists are of it or name it: "
            "delete them there, and the videos that go with them."
        )
    return left


def _what_to_do(name: str) -> str:
    """With a file of the root, or outside of it, that still holds something of who was forgotten."""
    if name.startswith(WORDS):
        return "take the line out, and then the list as it is, with `csmv words --root ROOT`"
    return "make it again, or delete it"


def _is_theirs(row: dict[str, object], gone: Forgotten, ids: HiddenIds) -> bool:
    people = (str(row.get(key) or "") for key in ("author", "creator"))
    texts = [str(row.get(key) or "") for key in ("text", "description")]
    return (
        gone.is_forgotten_person(*people)
        or gone.is_forgotten_video(ids.public_before(str(row.get("video", ""))))
        or ("text" in row and gone.is_forgotten_comment(str(row.get("id", ""))))
        or any(count for _, count in gone.clean(texts))
    )
