"""Takes a comment, a video, or all of a person out of a root, and remembers not to let them in again.

Finds them by the ids and handles of the platform, which only the private part knows. Rewrites every file it touches,
landing included, and says what it removed; it never says what that was.
"""

import io
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard

from pipeline.errors import CsmvError
from pipeline.forgotten import Forgotten
from pipeline.known_names import LANDING, folder_rows, landing_values
from pipeline.progress import track
from pipeline.pseudonym import Pseudonymiser, load_key
from pipeline.store import media_path, parquet_bytes

if TYPE_CHECKING:
    from pipeline.store import Store

_HANDLE_KEYS = ("uniqueId", "unique_id")


@dataclass
class Removal:
    """What a `forget` removed: comments and videos by number, rows by file, and whole files."""

    comments: int = 0
    videos: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)


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
    raw_comments, videos = set(comment_ids), set(video_ids)
    for handle in handles:
        theirs, published = _of_handle(store, handle.strip().lstrip("@").casefold())
        raw_comments |= theirs
        videos |= published
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
    return _remove(store, raw_comments, Forgotten(frozenset(comments), frozenset(videos)))


def _comments_on(store: "Store", video: str) -> set[str]:
    # Labels know only the comment, so a video's comments are forgotten by name.
    rows = store.read("comments", store.shard_of(video))
    return set() if rows is None else set(rows.filter(pc.equal(rows["video_id"], video))["comment_id"].to_pylist())


def _remove(store: "Store", raw_comments: set[str], gone: Forgotten) -> Removal:
    # Remembered first: whatever is killed after this, a later run of any stage will not bring them back.
    gone.keep(store)
    removal = Removal()
    names = store.files()
    with track("forget", len(names)) as tick:
        for name in names:
            if name.startswith(LANDING):
                _from_landing(store, name, raw_comments, gone, removal)
            elif name.endswith(".parquet"):
                _from_table(store, name, gone, removal)
            tick(1)
    for video in sorted(gone.videos):
        media = media_path(store.shard_of(video), video)
        if store.exists(media):
            store.remove(media)
            removal.files.append(media)
    return removal


def _from_table(store: "Store", name: str, gone: Forgotten, removal: Removal) -> None:
    table = pq.ParquetFile(io.BytesIO(store.read_file(name))).read()
    left = gone.drop(table)
    if left.equals(table):
        return
    removed = table.num_rows - left.num_rows
    if name.startswith("comments/"):
        removal.comments += removed
    if name.startswith("videos/"):
        removal.videos += removed
    removal.rows[name] = removed
    store.write_file(name, parquet_bytes(left))


def _from_landing(store: "Store", name: str, raw_comments: set[str], gone: Forgotten, removal: Removal) -> None:
    if gone.videos.intersection(name.split("/")):
        store.remove(name)
        removal.files.append(name)
        return
    data = store.read_file(name)
    packed = name.endswith((".zst", ".zstd"))
    text = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read() if packed else data
    lines: list[bytes] = []
    counted: Counter[str] = Counter()
    for line in text.split(b"\n"):
        try:
            value = json.loads(line)
        except ValueError:
            lines.append(line)
            continue
        lines.append(line if not _prune(value, raw_comments, gone.videos, counted) else _line(value))
    if not counted:
        return
    rewritten = b"\n".join(lines)
    store.write_file(name, zstandard.ZstdCompressor(level=6).compress(rewritten) if packed else rewritten)
    removal.rows[name] = counted["removed"]


def _line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _prune(value: Any, comments: set[str], videos: frozenset[str], counted: Counter[str]) -> bool:
    """Cut the comments and videos out of a landing record, in place; whether there were any."""
    before = counted["removed"]
    stack = [value]
    while stack:
        here = stack.pop()
        if isinstance(here, dict):
            body = here.get("body")
            if isinstance(body, str) and "path" in here:
                here["body"] = _pruned_body(body, comments, videos, counted)
            stack.extend(here.values())
        elif isinstance(here, list):
            kept = [item for item in here if not _is_one_of(item, comments, videos)]
            counted["removed"] += len(here) - len(kept)
            here[:] = kept
            stack.extend(kept)
    return counted["removed"] > before


def _pruned_body(body: str, comments: set[str], videos: frozenset[str], counted: Counter[str]) -> str:
    try:
        inner = json.loads(body)
    except ValueError:
        return body
    return json.dumps(inner, ensure_ascii=False) if _prune(inner, comments, videos, counted) else body


def _is_one_of(item: Any, comments: set[str], videos: frozenset[str]) -> bool:
    if not isinstance(item, dict):
        return False
    if str(item.get("cid", "")) in comments or ("text" in item and str(item.get("id", "")) in comments):
        return True
    return "author" in item and str(item.get("id", "")) in videos


def _of_handle(store: "Store", handle: str) -> tuple[set[str], set[str]]:
    """The original ids of the comments that a handle wrote, and of the videos it published."""
    comments: set[str] = set()
    videos: set[str] = set()
    for name in store.files(LANDING):
        for value in landing_values(store.read_file(name), name):
            _collect(value, handle, comments, videos)
    for row in folder_rows(store):
        if str(row.get("author") or "").strip().lstrip("@").casefold() == handle:
            comments.add(str(row["id"]))
        if str(row.get("creator") or "").strip().lstrip("@").casefold() == handle:
            videos.add(str(row["video"]))
    return comments, videos


def _collect(value: Any, handle: str, comments: set[str], videos: set[str]) -> None:
    stack = [value]
    while stack:
        here = stack.pop()
        if isinstance(here, dict):
            if "cid" in here and _is_by(here.get("user"), handle):
                comments.add(str(here["cid"]))
            elif "id" in here and _is_by(here.get("author"), handle):
                videos.add(str(here["id"]))
            stack.extend(here.values())
        elif isinstance(here, list):
            stack.extend(here)


def _is_by(person: Any, handle: str) -> bool:
    if isinstance(person, str):
        return person.casefold() == handle
    return isinstance(person, dict) and any(str(person.get(key, "")).casefold() == handle for key in _HANDLE_KEYS)


def _has_ids(store: "Store", ids: set[str]) -> bool:
    found = store.read_all("comments")["comment_id"]
    return bool(pc.any(pc.is_in(found, value_set=pa.array(sorted(ids), pa.string()))).as_py())
