"""What a paper's supplement counts about a dataset, as plain numbers: labels, lengths, yield, personal data, coverage.

Everything is counted from the tables; the figures of `csmv.pipeline.release.dataset_figures` draw these numbers.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from csmv.pipeline.failures import failures_of
from csmv.pipeline.labels import EMOTIONS, OPINIONS, TASKS, labelled, resolve
from csmv.pipeline.schemas import SPLIT_NAMES, FailureReason
from csmv.pipeline.store import Store
from csmv.pipeline.survival import as_json, survival_of

OF_VIDEOS = ("video_id", "hashtags", "created_at", "duration_s", "language", "media_status")
OF_COMMENTS = ("comment_id", "video_id", "text", "pii", "language")
NO_HASHTAG = "(none)"
NO_LANGUAGE = "(unknown)"
DURATION_STEP_S = 5
LENGTH_STEP = 10
"""Widths of the bins of durations, in seconds, and of the lengths of comments, in characters."""

Numbers = dict[str, Any]


def dataset_statistics(store: Store) -> Numbers:
    """All numbers of the figures, by name; JSON can hold them.

    Returns:
        `videos`, `comments`, `labelled` and `hours`; `hashtags` (videos, comments and labelled comments of each);
        `opinion`, `emotion` and `joint`; `comments_per_video`, `duration_s` and `comment_length` (histograms);
        `splits` (comments, videos, labels and comments per video of each, and the size of its parts); `collection`
        (yield by year), `failures` (by stage and reason), `pii` (comments by kind), `features` (videos by set) and
        `languages` (of comments and of videos).

    Raises:
        CsmvError: a table is damaged, lost or only begun.
    """
    with store.remembering():
        videos, comments = store.read_all("videos", OF_VIDEOS), store.read_all("comments", OF_COMMENTS)
        settled = labelled(resolve(store.read_all("labels")))
        failures = failures_of(store)
        return {
            "name": store.header.name,
            "videos": videos.num_rows,
            "comments": comments.num_rows,
            "labelled": settled.num_rows,
            "hours": _rounded((pc.sum(videos["duration_s"]).as_py() or 0.0) / 3600),
            "hashtags": _hashtags(videos, comments, settled),
            **{task: _shares(_tally(settled[task]), names) for task, names in TASKS.items()},
            "joint": _joint(settled),
            "comments_per_video": _comments_per_video(comments["video_id"]),
            "duration_s": _histogram(videos["duration_s"], DURATION_STEP_S),
            "comment_length": _histogram(pc.utf8_length(comments["text"]), LENGTH_STEP),
            "splits": {name: _split(store.read_split(name), settled) for name in store.split_names()},
            "collection": [as_json(year) for year in survival_of(videos, failures)],
            "failures": _failures(failures),
            "pii": _personal_data(comments),
            "features": _coverage(store, videos.num_rows),
            "languages": {"comments": _languages(comments), "videos": _languages(videos)},
        }


def _hashtags(videos: pa.Table, comments: pa.Table, settled: pa.Table) -> list[Numbers]:
    """Videos, comments and labelled comments of each hashtag, the one with most comments first.

    A video with several counts for each of them. A comment on a video that is in no table counts under NO_HASHTAG.
    """
    on_video = _tally(comments["video_id"])
    has_label = pc.is_in(comments["comment_id"], value_set=settled["comment_id"].combine_chunks())
    labelled_on_video = _tally(comments["video_id"].filter(has_label))
    counts: dict[str, Counter[str]] = {}
    rows = zip(videos["video_id"].to_pylist(), videos["hashtags"].to_pylist(), strict=True)
    for video, hashtags in rows:
        one = {"videos": 1, "comments": on_video[video], "labelled": labelled_on_video[video]}
        for hashtag in hashtags or [NO_HASHTAG]:
            counts.setdefault(hashtag, Counter()).update(one)
    in_table = pc.is_in(comments["video_id"], value_set=videos["video_id"].combine_chunks())
    if loose := comments.num_rows - int(pc.sum(in_table).as_py() or 0):
        with_label = int(pc.sum(pc.and_(has_label, pc.invert(in_table))).as_py() or 0)
        counts.setdefault(NO_HASHTAG, Counter()).update({"comments": loose, "labelled": with_label})
    ordered = sorted(counts.items(), key=lambda one: (-one[1]["comments"], -one[1]["videos"], one[0]))
    return [
        {"hashtag": hashtag, **{what: count[what] for what in ("videos", "comments", "labelled")}}
        for hashtag, count in ordered
    ]


def _joint(settled: pa.Table) -> list[list[int]]:
    """Labelled comments by opinion (rows) and emotion (columns), in the order of the published numbers."""
    grouped = settled.select(["opinion", "emotion"]).group_by(["opinion", "emotion"]).aggregate([([], "count_all")])
    pairs = Counter({(row["opinion"], row["emotion"]): row["count_all"] for row in grouped.to_pylist()})
    return [[pairs[opinion, emotion] for emotion in EMOTIONS] for opinion in OPINIONS]


def _comments_per_video(video_ids: pa.ChunkedArray) -> Numbers:
    """How many videos have so many comments, of the videos that have any."""
    counts = np.array(sorted(_tally(video_ids).values()), np.int64)
    sizes, videos = np.unique(counts, return_counts=True)
    return {
        "videos": {str(size): number for size, number in zip(sizes.tolist(), videos.tolist(), strict=True)},
        **_summary(counts),
    }


def _split(rows: pa.Table, settled: pa.Table) -> Numbers:
    """The same of the comments of one split."""
    inside = settled.filter(pc.is_in(settled["comment_id"], value_set=rows["comment_id"].combine_chunks()))
    parts = _tally(rows["split"])
    return {
        "comments": rows.num_rows,
        "videos": len(pc.unique(rows["video_id"])),
        "parts": {part: parts[part] for part in SPLIT_NAMES},
        **{task: _shares(_tally(inside[task]), names) for task, names in TASKS.items()},
        "comments_per_video": _comments_per_video(rows["video_id"]),
    }


def _histogram(values: pa.ChunkedArray, step: int) -> Numbers:
    """Counts in bins of `step`: bin k holds values from k * step up to, and without, (k + 1) * step."""
    numbers = values.drop_null().to_numpy().astype(np.float64)
    numbers = np.sort(numbers[np.isfinite(numbers)])
    counts = np.bincount((np.maximum(numbers, 0) // step).astype(np.int64)).tolist() if len(numbers) else []
    return {"step": step, "counts": counts, **_summary(numbers)}


def _summary(numbers: np.ndarray[Any, Any]) -> Numbers:
    if not len(numbers):
        return {"n": 0, "mean": None, "median": None, "smallest": None, "largest": None}
    return {
        "n": len(numbers),
        "mean": _rounded(float(numbers.mean())),
        "median": _rounded(float(np.median(numbers))),
        "smallest": _rounded(float(numbers[0])),
        "largest": _rounded(float(numbers[-1])),
    }


def _rounded(number: float) -> float:
    """Without digits that sums in another order would change."""
    return round(number, 6)


def _failures(failures: Mapping[str, pa.Table]) -> list[Numbers]:
    lines = []
    for stage, table in sorted(failures.items()):
        counts = sorted(_tally(table["reason"]).items(), key=lambda one: (-one[1], one[0]))
        for reason, count in counts:
            kind = str(FailureReason(reason).kind)
            lines.append({"stage": stage, "reason": reason, "class": kind, "count": count})
    return lines


def _personal_data(comments: pa.Table) -> list[Numbers]:
    """Comments out of which each kind of personal data was taken, and their share of all comments."""
    kinds = sorted(_tally(pc.list_flatten(comments["pii"])).items(), key=lambda one: (-one[1], one[0]))
    return [
        {"kind": kind, "comments": count, "share": _rounded(count / max(comments.num_rows, 1))} for kind, count in kinds
    ]


def _coverage(store: Store, videos: int) -> list[Numbers]:
    """How many videos have vectors in each feature set, by the footers alone."""
    names = sorted({name.split("/")[1] for name in store.files("features") if name.endswith(".parquet")})
    lines = []
    for name in names:
        having = store.num_rows(f"features/{name}")
        lines.append({"set": name, "videos": having, "of": videos, "share": _rounded(having / max(videos, 1))})
    return lines


def _languages(rows: pa.Table) -> list[Numbers]:
    counts = Counter({code or NO_LANGUAGE: count for code, count in _tally(rows["language"]).items()})
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return [{"language": code, "count": count} for code, count in ordered]


def _shares(tally: Mapping[Any, int], names: Iterable[str]) -> list[Numbers]:
    """Comments with each class in its order, and their share of those that have one."""
    counts = {name: tally.get(name, 0) for name in names}
    total = sum(counts.values())
    return [
        {"name": name, "comments": count, "share": _rounded(count / max(total, 1))} for name, count in counts.items()
    ]


def _tally(column: pa.Array | pa.ChunkedArray) -> Counter[Any]:
    return Counter({one["values"]: one["counts"] for one in pc.value_counts(column).to_pylist()})
