"""The leakage audit of a split: what train has in common with dev and test, counted, as a document beside the split.

`splits/<name>.leakage.json` holds numbers only, no id and no text. It names a digest of what it was counted from, so
that it is stale once the split or a table has changed, and one of itself, so that damage is noticed.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from csmv.pipeline.errors import CsmvError, parsed_json
from csmv.pipeline.labels import TASKS, labelled, resolve
from csmv.pipeline.release.near_texts import JACCARD, SHINGLE, near_pairs, spoken
from csmv.pipeline.release.near_videos import COSINE, directions, feature_set_of, have_near
from csmv.pipeline.schemas import SPLIT_NAMES
from csmv.pipeline.stage import digest
from csmv.pipeline.store import Store

SUFFIX = ".leakage.json"
_RECIPE = 1
"""Of this module: another number makes audits stale."""
_SEAL = "sha256"
_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
_PIECE = 1 << 14
_PAIRS = (("dev", "train"), ("test", "train"), ("test", "dev"))
"""Which part is held against which."""

Audit = dict[str, Any]
Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def audit_file(split: str) -> str:
    """Where the audit of a split stands in a root."""
    return f"splits/{split}{SUFFIX}"


def is_audit(name: str) -> bool:
    """Whether a file of a root is the audit of a split, by its name."""
    return name.startswith("splits/") and name.endswith(SUFFIX)


def write_leakage(store: Store, split: str) -> Audit:
    """The audit of a split, which is made and written beside it unless the one that is there is current."""
    if not why_stale(store, split):
        return _read(store, split)
    audit = leakage_of(store, split)
    store.write_file(audit_file(split), _sealed(audit))
    return audit


def read_leakage(store: Store, split: str) -> Audit | None:
    """The audit of a split as it was written; None if there is none. Raises CsmvError if it is damaged."""
    name = audit_file(split)
    data = store.read_document(name)
    if data is None:
        return None
    audit = parsed_json(data, name)
    seal = audit.pop(_SEAL, None) if isinstance(audit, dict) else None
    if seal is None or seal != _seal(audit) or audit["split"] != split:
        raise CsmvError(
            f"'{name}' is damaged (its numbers are not those that were written): make it anew with `csmv run splits` "
            "(or `csmv split`)."
        )
    result: Audit = audit
    return result


def why_stale(store: Store, split: str) -> str:
    """Why a split's audit does not speak of what there is, in a sentence; empty if it does."""
    try:
        audit = read_leakage(store, split)
    except CsmvError:
        return "its leakage audit is damaged"
    if audit is None:
        return "its leakage was not audited yet"
    if audit["made_from"] != made_from_now(store, split):
        return "the split, its comments, videos or features have changed since its leakage was audited"
    return ""


def made_from_now(store: Store, split: str) -> str:
    """A digest of all that decides the audit of a split."""
    lines = [f"recipe {_RECIPE}", f"{split} {store.sha256_of(f'splits/{split}', None)}"]
    tables = ["videos", "comments", "labels"]
    if features := feature_set_of(store):
        tables.append(f"features/{features}")
    lines += [f"{name} {sha256}" for table in tables for name, sha256 in sorted(store.states(table).items())]
    return _spelled(digest(*lines))


def take_over(old: Store, new: Store, split: str) -> None:
    """Write the audit of a split that another root has with the same rows, if it is current there."""
    if not why_stale(old, split):
        new.write_file(audit_file(split), _sealed(_read(old, split) | {"made_from": made_from_now(new, split)}))


def current_leakage(store: Store, split: str) -> Audit:
    """The audit of a split as the root is now: the one beside it, or where that is stale or missing a new one.

    Raises:
        CsmvError: there is no such split, or a table is damaged.
    """
    return leakage_of(store, split) if why_stale(store, split) else _read(store, split)


def _read(store: Store, split: str) -> Audit:
    audit = read_leakage(store, split)
    assert audit is not None
    return audit


def leakage_of(store: Store, split: str) -> Audit:
    """Audit a split as the root is now, without writing anything.

    Args:
        store: the root.
        split: the split's name.

    Returns:
        `whole` and `parts`: of the split and of each part comments, videos, creators, authors, labels and dates.
        `shared`: for dev and train, test and train, test and dev, how many comments of the first (`of` those of which
        it can be said) have in the second: their video, its creator, their author; their text, word for word but for
        case and spaces, or else a near one; and, where not the video itself, one with the same file or near features.
        `not_later`: those not later than the second part's last. `repeated`: comments that repeat another's video and
        text to the letter. `left_out`: labelled comments in no part.

    Raises:
        CsmvError: there is no such split, or a table is damaged.
    """
    made_from = made_from_now(store, split)
    rows = _Rows(store, split)
    features = feature_set_of(store)
    near = _near_videos(store, features, rows) if features else None
    shared = [_shared(rows, SPLIT_NAMES.index(part), SPLIT_NAMES.index(other), near) for part, other in _PAIRS]
    return {
        "split": split,
        "made_from": made_from,
        "near_text": {"shingle": SHINGLE, "jaccard": JACCARD},
        "near_video": {"features": features, "cosine": COSINE} if near is not None else None,
        "whole": _part(rows, np.ones(len(rows.part), bool)),
        "left_out": rows.left_out,
        "repeated": rows.repeated,
        "parts": {name: _part(rows, rows.part == number) for number, name in enumerate(SPLIT_NAMES)},
        "shared": shared,
    }


class _Rows:
    """The rows of a split with what is held against each other, as numbers: equal ones for equal values, -1 for none.

    Attributes:
        part: place in SPLIT_NAMES (N), as all of these.
        video, creator, author, file, text: of each comment.
        near: pairs of near texts, as two arrays of the numbers in `text`.
        day: of each comment, days since 1970; `second`: of each comment's video, seconds.
    """

    def __init__(self, store: Store, split: str) -> None:
        table = store.read_split(split)
        comments = _beside(
            table["comment_id"], store.read_all("comments", ("comment_id", "text", "author", "created_on"))
        )
        videos = _beside(
            table["video_id"], store.read_all("videos", ("video_id", "creator", "created_at", "media_sha256"))
        )
        settled = labelled(resolve(store.read_all("labels")))
        self.part = _numbers(pc.index_in(table["split"], value_set=pa.array(SPLIT_NAMES)))
        self.video_ids, self.video = _codes(table["video_id"])
        self.creator, self.author = _codes(videos["creator"])[1], _codes(comments["author"])[1]
        self.file = _codes(videos["media_sha256"])[1]
        self.day = _numbers(comments["created_on"].cast(pa.int32()))
        self.second = _numbers(videos["created_at"].cast(pa.timestamp("s", "UTC")).cast(pa.int64()))
        labels = _beside(table["comment_id"], settled)
        self.labels = {task: labels[task] for task in TASKS}
        in_split = pc.is_in(settled["comment_id"], value_set=table["comment_id"].combine_chunks())
        self.left_out = settled.num_rows - int(pc.sum(in_split).as_py() or 0)
        self.text, self.texts = _texts(comments["text"])
        self.near = near_pairs(self.texts)
        same = pa.table({"video": table["video_id"], "text": comments["text"]}).filter(pc.is_valid(comments["text"]))
        self.repeated = same.num_rows - same.group_by(["video", "text"]).aggregate([]).num_rows


def _beside(keys: pa.ChunkedArray, table: pa.Table) -> pa.Table:
    """The rows of a table by the values of its first column, in the order of `keys`; nulls where it has none."""
    return table.take(pc.index_in(keys, value_set=table.column(0).combine_chunks()))


def _numbers(column: pa.ChunkedArray) -> Ints:
    numbers: Ints = pc.fill_null(column, -1).to_numpy().astype(np.int64)
    return numbers


def _codes(column: pa.ChunkedArray) -> tuple[pa.Array, Ints]:
    """The different values, sorted, and of each row which it has; -1 where it has none."""
    values = pc.drop_null(pc.unique(column)).sort()
    return values, _numbers(pc.index_in(column, value_set=values))


def _texts(column: pa.ChunkedArray) -> tuple[Ints, list[str]]:
    """Of each row the number of its text as it is compared, -1 for none or an empty one; and these, sorted."""
    pieces = [
        [spoken(text or "") for text in column.slice(start, _PIECE).to_pylist()]
        for start in range(0, len(column), _PIECE)
    ]
    texts = sorted({text for piece in pieces for text in piece} - {""})
    number = {text: place for place, text in enumerate(texts)} | {"": -1}
    return np.array([number[text] for piece in pieces for text in piece], np.int64), texts


def _near_videos(store: Store, features: str, rows: _Rows) -> "tuple[npt.NDArray[np.float32], Flags] | None":
    unit, has = directions(store, features, rows.video_ids)
    return (unit, has) if has.any() else None


def _part(rows: _Rows, here: Flags) -> dict[str, Any]:
    days, seconds = rows.day[here & (rows.day >= 0)], rows.second[here & (rows.second >= 0)]
    return {
        "comments": int(here.sum()),
        "videos": _different(rows.video[here]),
        "creators": _different(rows.creator[here]),
        "authors": _different(rows.author[here]),
        "without_text": int((rows.text[here] < 0).sum()),
        "comments_a_video": _spread(rows.video[here]),
        "labels": {task: _tally(rows.labels[task].filter(pa.array(here)), classes) for task, classes in TASKS.items()},
        "comment_days": _span(days.astype("datetime64[D]")),
        "video_days": _span(seconds.astype("datetime64[s]").astype("datetime64[D]")),
    }


def _different(codes: Ints) -> int:
    return len(np.unique(codes[codes >= 0]))


def _spread(codes: Ints) -> dict[str, float] | None:
    counts = np.bincount(codes) if len(codes) else np.empty(0, np.int64)
    counts = counts[counts > 0]
    if not len(counts):
        return None
    return {"least": int(counts.min()), "mean": round(float(counts.mean()), 2), "most": int(counts.max())}


def _tally(column: pa.ChunkedArray, classes: Sequence[str]) -> dict[str, int]:
    """Comments of each class, and of none."""
    counts = {one["values"]: one["counts"] for one in pc.value_counts(column).to_pylist()}
    return {name: int(counts.get(name, 0)) for name in classes} | {"none": int(counts.get(None, 0))}


def _span(days: npt.NDArray[np.datetime64]) -> dict[str, Any] | None:
    """First and last day, and how many comments they are known of."""
    return {"first": str(days.min()), "last": str(days.max()), "of": len(days)} if len(days) else None


def _shared(rows: _Rows, part: int, other: int, near: "tuple[npt.NDArray[np.float32], Flags] | None") -> dict[str, Any]:
    """What one part shares with another."""
    here, there = rows.part == part, rows.part == other
    has_video = _has(rows.video, there)
    strange = here & ~has_video[rows.video]
    return {
        "part": SPLIT_NAMES[part],
        "other": SPLIT_NAMES[other],
        "video": _common(rows.video, here, has_video),
        "creator": _common(rows.creator, here, _has(rows.creator, there)),
        "author": _common(rows.author, here, _has(rows.author, there)),
        "text": _common(rows.text, here, _has(rows.text, there)),
        "near_text": _common(rows.text, here, _near_but_not_same(rows, there)),
        "file": _common(rows.file, here, _has(rows.file, there), strange),
        "near_video": None if near is None else _near(rows, here, strange, has_video, *near),
        "not_later": {"comments": _not_later(rows.day, here, there), "videos": _not_later(rows.second, here, there)},
    }


def _has(codes: Ints, there: Flags) -> Flags:
    """Of each value whether it is in a part."""
    has = np.zeros(int(codes.max(initial=-1)) + 1, bool)
    has[codes[there & (codes >= 0)]] = True
    return has


def _common(codes: Ints, here: Flags, in_other: Flags, counted: Flags | None = None) -> dict[str, int]:
    """Comments of a part whose value the other has, of those that have one; and how many such values there are."""
    valid = here & (codes >= 0)
    hits = valid.copy()
    hits[valid] = in_other[codes[valid]]
    if counted is not None:
        hits &= counted
    return {"comments": int(hits.sum()), "of": int(valid.sum()), "values": len(np.unique(codes[hits]))}


def _near_but_not_same(rows: _Rows, there: Flags) -> Flags:
    """Of each text whether a part has a near one and not the same."""
    has = _has(rows.text, there)
    near = np.zeros(len(has), bool)
    left, right = rows.near
    near[left] |= has[right]
    near[right] |= has[left]
    return near & ~has


def _near(
    rows: _Rows, here: Flags, strange: Flags, has_video: Flags, unit: npt.NDArray[np.float32], has: Flags
) -> dict[str, int]:
    these = np.unique(rows.video[strange & has[rows.video]])
    near = np.zeros(len(has), bool)
    near[these] = have_near(unit, these, np.flatnonzero(has_video & has))
    hits = strange & near[rows.video]
    return {
        "comments": int(hits.sum()),
        "of": int((here & has[rows.video]).sum()),
        "values": int(near.sum()),
    }


def _not_later(times: Ints, here: Flags, there: Flags) -> dict[str, int]:
    """Comments of a part that are not later than the other part's last, of those with a date; none of none there."""
    dated, theirs = times[here & (times >= 0)], times[there & (times >= 0)]
    last = theirs.max(initial=-1)
    return {"comments": int((dated <= last).sum()), "of": len(dated) if len(theirs) else 0}


# ---------------------------------------------------------------------- the document


def _sealed(audit: Mapping[str, Any]) -> bytes:
    return (json.dumps({**audit, _SEAL: _seal(audit)}, indent=1) + "\n").encode()


def _seal(audit: Any) -> str:
    return _spelled(hashlib.sha256(json.dumps(audit).encode()).hexdigest())


def _spelled(hexadecimal: str) -> str:
    """A digest in the letters a to p, one for each hexadecimal digit: no run of digits, which may read as a number."""
    return hexadecimal.translate(_LETTERS)
