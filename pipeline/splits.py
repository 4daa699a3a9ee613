"""Splits into train, dev and test: the published one, by comment, and by video so that no video is in two parts.

Rows come out the same for the same comments and seed, whatever their order.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import labelled, resolve
from csmv.pipeline.schemas import SPLIT_NAMES, SPLITS
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.stage import DatasetView, Stage, Tick, Unit, digest
from csmv.pipeline.store import Store


def build_split(store: Store, config: SplitConfig) -> pa.Table:
    """Build one split over the labelled comments of a root, write it to `splits/<name>`, and give its rows.

    A `published` split was written by the import; here it is only checked to be there.
    """
    if config.kind == "published":
        return store.read_split("published")
    rows = labelled_comments(store)
    if rows.num_rows == 0:
        raise CsmvError("A split needs labelled comments, and this root has none: add labels first.")
    parts = by_comment(rows, config) if config.kind == "comment" else by_video(rows, config)
    table = pa.table(
        {"comment_id": rows["comment_id"], "video_id": rows["video_id"], "split": pa.array(parts)},
        schema=SPLITS.schema,
    )
    store.write_split(config.title, table, made_from=_made_from(rows, config))
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


def by_comment(rows: pa.Table, config: SplitConfig) -> list[str]:
    """The part of each row: within each class, comments in seeded order are dealt out in the ratios.

    Largest remainders go where the whole is furthest behind, so that the totals keep to the ratios too.
    """
    shares = np.array(config.ratios) / sum(config.ratios)
    members: dict[str, list[int]] = defaultdict(list)
    ids = rows["comment_id"].to_pylist()
    for index, kind in enumerate(rows["class"].to_pylist()):
        members[kind].append(index)
    parts = [""] * rows.num_rows
    given = np.zeros(3)
    dealt = 0
    for kind in sorted(members):
        ordered = sorted(members[kind], key=lambda index: _draw(config.seed, ids[index]))
        dealt += len(ordered)
        counts = np.floor(len(ordered) * shares).astype(int)
        while counts.sum() < len(ordered):
            behind = np.where(shares > 0, dealt * shares - (given + counts), -np.inf)
            counts[int(np.argmax(behind))] += 1
        given += counts
        names = [name for name, count in zip(SPLIT_NAMES, counts, strict=True) for _ in range(count)]
        for index, name in zip(ordered, names, strict=True):
            parts[index] = name
    return parts


def by_video(rows: pa.Table, config: SplitConfig) -> list[str]:
    """The part of each row, all comments of a video in one part, classes balanced as well as can be.

    Stratification for groups: videos that bring the rarest classes first (as Sechidis et al. 2011 do with labels),
    in seeded order among equals; each goes to the part that would be least ahead of its share in the classes that
    the video brings and in size. Half of the video itself counts as there already (Sainte-Laguë's rule for seats),
    so that neither large nor small parts are favoured.
    """
    shares = np.array(config.ratios) / sum(config.ratios)
    videos = rows["video_id"].to_pylist()
    kinds = rows["class"].to_pylist()
    order = sorted(set(kinds))
    column = {kind: number for number, kind in enumerate(order)}
    counts: dict[str, npt.NDArray[np.float64]] = {video: np.zeros(len(order)) for video in sorted(set(videos))}
    for video, kind in zip(videos, kinds, strict=True):
        counts[video][column[kind]] += 1
    totals = sum(counts.values(), np.zeros(len(order)))
    given = np.zeros((len(SPLIT_NAMES), len(order)))

    def place_in_line(video: str) -> tuple[float, int]:
        return (float(totals[counts[video] > 0].min()), _draw(config.seed, video))

    part_of: dict[str, str] = {}
    for video in sorted(counts, key=place_in_line):
        brought = counts[video] / totals
        with np.errstate(divide="ignore"):
            ahead_in_classes = ((given + counts[video] / 2) / totals) @ brought / brought.sum() / shares
            ahead_in_size = (given.sum(axis=1) + counts[video].sum() / 2) / len(videos) / shares
        chosen = int(np.argmin(ahead_in_classes + ahead_in_size))
        part_of[video] = SPLIT_NAMES[chosen]
        given[chosen] += counts[video]
    _fill_empty(part_of, counts, shares)
    return [part_of[video] for video in videos]


def _fill_empty(
    part_of: dict[str, str], counts: dict[str, npt.NDArray[np.float64]], shares: npt.NDArray[np.float64]
) -> None:
    """With few videos a part with a share may get none: give it the smallest video of the part that has most."""
    for name, share in zip(SPLIT_NAMES, shares, strict=True):
        sizes = Counter(part_of.values())
        if share > 0 and sizes[name] == 0 and max(sizes.values()) > 1:
            largest = max(SPLIT_NAMES, key=lambda part: sizes[part])
            moved = min((video for video in part_of if part_of[video] == largest), key=lambda v: (counts[v].sum(), v))
            part_of[moved] = name


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


def _draw(seed: int, key: str) -> int:
    """A number that stands for chance: the same for the same seed and key, whatever else is in the table."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8], "big")


def _made_from(rows: pa.Table, config: SplitConfig) -> str:
    return digest(config.model_dump_json(), rows)


class SplitsStage(Stage):
    """Every split of the configuration."""

    name = "splits"
    summary = "train, dev and test parts over the labelled comments"
    section = "splits"
    unit = Unit.ENTRY
    reads = ("comments", "labels")
    writes = ("splits/<name>",)

    def units(self, dataset: DatasetView) -> list[str]:
        """The splits' names."""
        return [config.title for config in self._entries(dataset)]

    def missing(self, dataset: DatasetView) -> list[str]:
        """Splits that have not been built, or were built over other labels or with other settings."""
        built, stale = set(dataset.store.split_names()), self.stale(dataset)
        return [unit for unit in self.units(dataset) if unit not in built or unit in stale]

    def stale(self, dataset: DatasetView) -> dict[str, str]:
        """Splits over other labelled comments, or with other settings, than there are now."""
        names = set(dataset.store.split_names())
        built = [one for one in self._entries(dataset) if one.title in names and one.kind != "published"]
        if not built:
            return {}
        rows = labelled_comments(dataset.store)
        return {
            config.title: "the labelled comments or its settings have changed since it was built"
            for config in built
            if dataset.store.made_from(f"splits/{config.title}", None) != _made_from(rows, config)
        }

    def prepare(self, dataset: DatasetView) -> None:
        """Raises CsmvError if no split is asked for, or there is nothing to split."""
        if not self._entries(dataset):
            raise CsmvError("There is nothing to split: dataset.yaml has no splits section. Use `csmv split`.")
        if any(config.kind != "published" for config in self._entries(dataset)):
            require_labels(dataset.store, "A split")

    def run(self, dataset: DatasetView, unit: str, tick: Tick) -> None:
        """One split."""
        [config] = [config for config in self._entries(dataset) if config.title == unit]
        build_split(dataset.store, config)
        tick(1)

    def _entries(self, dataset: DatasetView) -> tuple[SplitConfig, ...]:
        return dataset.entries(self.section, SplitConfig)


def require_labels(store: Store, what: str) -> None:
    """Raises CsmvError, which begins with `what` needs them, if a root has no labels."""
    if not store.has_rows("labels"):
        raise CsmvError(
            f"{what} needs labelled comments, and the root '{store.root}' has none: its source brings no labels. "
            "Take splits and train out of the configuration, or add labels first."
        )
