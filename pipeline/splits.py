"""Splits into train, dev and test: the published one, by comment, by time, and so that groups stay together.

Rows come out the same for the same comments and seed, whatever their order.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.hashtag_groups import refuse_joined, with_groups
from csmv.pipeline.labels import labelled, resolve
from csmv.pipeline.schemas import SPLIT_NAMES, SPLITS
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.split_groups import with_creators, with_times
from csmv.pipeline.stage import digest
from csmv.pipeline.store import Store

_ROWS_AT_ONCE = 1 << 16
_GROUPS = {"video": "video_id", "creator": "group", "hashtag": "group"}
"""The column whose values stay together, by kind of split."""


def build_split(store: Store, config: SplitConfig) -> pa.Table:
    """Build one split over the labelled comments of a root, write it to `splits/<name>`, and give its rows.

    A `published` split was written by the import; here it is only checked to be there.
    """
    if config.kind == "published":
        return store.read_split("published")
    rows = labelled_comments(store)
    if rows.num_rows == 0:
        raise CsmvError("A split needs labelled comments, and this root has none: add labels first.")
    rows = with_what_decides(store, rows, config)
    if config.kind == "comment":
        parts = by_comment(rows, config)
    elif config.kind == "time":
        parts = by_time(rows, config)
    else:
        parts = by_group(rows, _GROUPS[config.kind], config)
    if config.kind == "hashtag":
        refuse_joined(store, rows, parts, config)
    table = pa.table(
        {"comment_id": rows["comment_id"], "video_id": rows["video_id"], "split": parts},
        schema=SPLITS.schema,
    )
    store.write_split(config.title, table, made_from=made_from(rows, config))
    return store.read_split(config.title)


def labelled_comments(store: Store) -> pa.Table:
    """comment_id, video_id, class of every comment with at least one label, sorted by comment_id.

    class is "opinion/emotion", with "-" for a missing one. Where several sources label a comment,
    `csmv.pipeline.labels.resolve` says which label counts.
    """
    labels = labelled(resolve(store.read_all("labels")))
    comments = store.read_all("comments", ["comment_id", "video_id"])
    rows = labels.join(comments, keys="comment_id", join_type="inner").sort_by("comment_id")
    opinion, emotion = (pc.fill_null(rows[task], "-") for task in ("opinion", "emotion"))
    kinds = pc.binary_join_element_wise(opinion, emotion, "/")
    return pa.table({"comment_id": rows["comment_id"], "video_id": rows["video_id"], "class": kinds})


def by_comment(rows: pa.Table, config: SplitConfig) -> pa.Array:
    """The part of each row: within each class, comments in seeded order are dealt out in the ratios.

    Largest remainders go where the whole is furthest behind, so that the totals keep to the ratios too.
    """
    shares = np.array(config.ratios) / sum(config.ratios)
    draws = _draws(config.seed, rows["comment_id"])
    kinds, kind_of = _codes(rows["class"])
    parts = np.zeros(rows.num_rows, np.int8)
    given = np.zeros(3)
    dealt = 0
    for kind in range(len(kinds)):
        members = np.flatnonzero(kind_of == kind)
        ordered = members[np.argsort(draws[members], kind="stable")]
        dealt += len(ordered)
        counts = np.floor(len(ordered) * shares).astype(int)
        while counts.sum() < len(ordered):
            behind = np.where(shares > 0, dealt * shares - (given + counts), -np.inf)
            counts[int(np.argmax(behind))] += 1
        given += counts
        parts[ordered] = np.repeat(np.arange(3, dtype=np.int8), counts)
    return _named(parts)


def by_video(rows: pa.Table, config: SplitConfig) -> pa.Array:
    """The part of each row, all comments of a video in one part (`by_group`)."""
    return by_group(rows, "video_id", config)


def by_group(rows: pa.Table, group: str, config: SplitConfig) -> pa.Array:
    """The part of each row, all rows with one value of the column `group` in one part, classes balanced well.

    Stratification for groups: videos (or other groups) that bring the rarest classes first (as Sechidis et al. 2011 do
    with labels), in seeded order among equals; each goes to the part that would be least ahead of its share in the
    classes that the video brings and in size. Half of the video itself counts as there already (Sainte-Laguë's rule for
    seats), so that neither large nor small parts are favoured.
    """
    shares = np.array(config.ratios) / sum(config.ratios)
    videos, video_of = _codes(rows[group])
    kinds, kind_of = _codes(rows["class"])
    cells = np.bincount(video_of.astype(np.int64) * len(kinds) + kind_of, minlength=len(videos) * len(kinds))
    counts = cells.reshape(len(videos), len(kinds)).astype(np.float64)
    totals = counts.sum(axis=0)
    given = np.zeros((len(SPLIT_NAMES), len(kinds)))
    rarest = np.where(counts > 0, totals, np.inf).min(axis=1)
    part_of = np.zeros(len(videos), np.int8)
    for video in np.lexsort((_draws(config.seed, videos), rarest)):
        brought = counts[video] / totals
        with np.errstate(divide="ignore"):
            ahead_in_classes = ((given + counts[video] / 2) / totals) @ brought / brought.sum() / shares
            ahead_in_size = (given.sum(axis=1) + counts[video].sum() / 2) / rows.num_rows / shares
        chosen = int(np.argmin(ahead_in_classes + ahead_in_size))
        part_of[video] = chosen
        given[chosen] += counts[video]
    _fill_empty(part_of, counts.sum(axis=1), shares)
    return _named(part_of[video_of])


def by_time(rows: pa.Table, config: SplitConfig) -> pa.Array:
    """The part of each row, the oldest in train and the newest in test, by the column `time` of its video.

    The two cuts lie where the parts' comments come nearest to the ratios. Videos of one moment stay together, so that
    each part begins after the one before has ended. Neither labels nor the seed have a part in it.

    Raises:
        CsmvError: there are fewer different times than parts with a share.
    """
    times, time_of = _codes(rows["time"])
    wanted = rows.num_rows * np.cumsum(config.ratios) / sum(config.ratios)
    dev, test = (int(ratio > 0) for ratio in config.ratios[1:])
    if len(times) < 1 + dev + test:
        raise CsmvError(
            f"All labelled comments with a date are on videos of {len(times)} different time(s), and a split by time "
            f"needs one for each of its {1 + dev + test} parts."
        )
    before = np.concatenate([[0], np.cumsum(np.bincount(time_of, minlength=len(times)))])
    first = 1 + _nearest(before[1 : len(times) - dev - test + 1], wanted[0])
    second = first + dev + _nearest(before[first + dev : len(times) - test + 1], wanted[1]) if dev else first
    second = second if test else len(times)
    return _named(np.searchsorted([first, second], time_of, side="right").astype(np.int8))


def _nearest(numbers: npt.NDArray[np.int64], wanted: float) -> int:
    """The place of the number that is nearest, the first of two."""
    return int(np.argmin(np.abs(numbers - wanted)))


def _fill_empty(
    part_of: npt.NDArray[np.int8], sizes_of: npt.NDArray[np.float64], shares: npt.NDArray[np.float64]
) -> None:
    """With few videos a part with a share may get none: give it the smallest video of the part that has most."""
    for part, share in enumerate(shares):
        sizes = np.bincount(part_of, minlength=len(SPLIT_NAMES))
        if share > 0 and sizes[part] == 0 and sizes.max() > 1:
            members = np.flatnonzero(part_of == int(np.argmax(sizes)))
            part_of[members[np.argmin(sizes_of[members])]] = part


def _codes(column: pa.ChunkedArray) -> tuple[pa.Array, npt.NDArray[np.int32]]:
    """The distinct values of a column in order, and of each row which it has."""
    values = pc.unique(column).sort()
    codes: npt.NDArray[np.int32] = pc.index_in(column, value_set=values).to_numpy().astype(np.int32)
    return values, codes


def _named(parts: npt.NDArray[np.int8]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(parts), pa.array(SPLIT_NAMES)).cast(pa.string())


def overlap(split: pa.Table, part: str) -> int:
    """How many comments of `part` are on a video that is also in train."""
    train = split.filter(pc.equal(split["split"], "train"))["video_id"].unique()
    chosen = split.filter(pc.equal(split["split"], part))
    return int(pc.sum(pc.is_in(chosen["video_id"], value_set=train)).as_py() or 0)


def summary(splits: Sequence[str], store: Store) -> list[dict[str, str | int]]:
    """For each split its name, comments and videos a part, and how much of dev and test train has seen."""
    rows: list[dict[str, str | int]] = []
    for name in splits:
        table = store.read_split(name)
        sizes = Counter({one["values"]: one["counts"] for one in pc.value_counts(table["split"]).to_pylist()})
        rows.append(
            {"split": name}
            | {part: sizes[part] for part in SPLIT_NAMES}
            | {f"{part}_seen": overlap(table, part) for part in ("dev", "test")}
        )
    return rows


def _draws(seed: int, keys: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Of each key a number that stands for chance: the same for the same seed, whatever else is in the table."""
    draws = np.empty(len(keys), np.uint64)
    for start in range(0, len(keys), _ROWS_AT_ONCE):
        for at, key in enumerate(keys.slice(start, _ROWS_AT_ONCE).to_pylist(), start):
            draws[at] = int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8], "big")
    return draws


def made_from(rows: pa.Table, config: SplitConfig) -> str:
    """The digest that a split records of what it was built from."""
    return digest(config.identity, rows)


def with_what_decides(store: Store, rows: pa.Table, config: SplitConfig) -> pa.Table:
    """Labelled comments, with the column `group` or `time` where the kind of split goes by one."""
    if config.kind == "hashtag":
        return with_groups(store, rows, config.ignore_hashtags)
    if config.kind == "creator":
        return with_creators(store, rows)
    return with_times(store, rows) if config.kind == "time" else rows


def require_labels(store: Store, what: str) -> None:
    """Raises CsmvError, which begins with `what` needs them, if a root has no labels."""
    if not store.has_rows("labels"):
        raise CsmvError(
            f"{what} needs labelled comments, and the root '{store.root}' has none: its source brings no labels. "
            "Take splits and train out of the configuration, or add labels first."
        )
