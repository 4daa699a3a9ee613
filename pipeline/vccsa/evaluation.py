"""Judging finished runs from their predictions alone: scores, calibration, intervals, and one run against another.

Comments of one video are not independent, so intervals come from drawing videos, not comments. Nothing is trained.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import NO_LABEL, named_classes
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.corpus_columns import Strings
from csmv.pipeline.vccsa.metrics import METRICS, TASKS, both_tasks, headline
from csmv.pipeline.vccsa.run_files import FailedRunError
from csmv.pipeline.vccsa.training import read_run

RESAMPLES = 2000
BINS = 15
_DRAWN_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Predictions:
    """A part's predictions of one run, by comment_id: labels (N) and probabilities (N, K) by task, videos (N).

    seen (N): whether the run's train part holds another comment of the same video.
    """

    run: str
    split: str
    comment_ids: Sequence[str]
    videos: NDArray[np.str_]
    seen: NDArray[np.bool_]
    labels: dict[str, NDArray[np.int64]]
    probabilities: dict[str, NDArray[np.float64]]

    def where(self, chosen: NDArray[np.bool_]) -> "Predictions":
        """The chosen comments only."""
        return Predictions(
            self.run,
            self.split,
            Strings.of(self.comment_ids).take(np.flatnonzero(chosen)),
            self.videos[chosen],
            self.seen[chosen],
            {task: values[chosen] for task, values in self.labels.items()},
            {task: values[chosen] for task, values in self.probabilities.items()},
        )


def read_predictions(store: Store, run: str, part: str) -> Predictions:
    """What a finished run answered for dev or test.

    Raises CsmvError if there is no such run or part, or if the run was trained for other classes than there are now.
    """
    config, result = read_run(store, run)
    table = pq.read_table(io.BytesIO(store.read_file(result.predictions)), filters=[("split", "=", part)])
    if "video_in_train" not in table.column_names:
        raise CsmvError(f"Run '{run}' was trained by an earlier version, which kept less; train it again.")
    for task, names in named_classes(table.schema).items():
        if names != TASKS[task]:
            raise CsmvError(
                f"Run '{run}' answers with the {task} classes {', '.join(names)}, and here they are "
                f"{', '.join(TASKS[task])}: train it again."
            )
    if not table.num_rows:
        raise CsmvError(f"Run '{run}' has no predictions for '{part}'; there are some for dev and test.")
    labels, probabilities = {}, {}
    for task, names in TASKS.items():
        numbers = pc.fill_null(pc.index_in(table.column(task).cast(pa.string()), value_set=pa.array(names)), NO_LABEL)
        labels[task] = numbers.to_numpy().astype(np.int64)
        flat = table.column(f"{task}_probabilities").combine_chunks().flatten()
        probabilities[task] = flat.to_numpy(zero_copy_only=False).reshape(-1, len(names)).astype(np.float64)
        if not np.isfinite(probabilities[task]).all():
            raise FailedRunError(
                f"The run '{run}' failed and has no scores: its answers are not finite numbers. Train it again."
            )
    videos = np.array(table.column("video_id").to_pylist())
    seen = table.column("video_in_train").to_numpy()
    comment_ids = Strings.large(table.column("comment_id"))
    return Predictions(run, config.split, comment_ids, videos, seen, labels, probabilities)


def evaluate(
    store: Store, run: str, part: str = "test", resamples: int = RESAMPLES, seed: int = 3407
) -> dict[str, Any]:
    """Everything about a run on a part: scores, calibration, 95 % intervals by video, seen against unseen videos.

    Seen: the run was trained on another comment of the same video.
    """
    predictions = read_predictions(store, run, part)
    metrics: dict[str, dict[str, Any]] = both_tasks(predictions.labels, predictions.probabilities)
    intervals = bootstrap(predictions, resamples, seed)
    for task in TASKS:
        labelled = predictions.labels[task] != NO_LABEL
        metrics[task]["calibration"] = calibration(
            predictions.labels[task][labelled], predictions.probabilities[task][labelled]
        )
        metrics[task]["intervals_95"] = intervals[task]
    config, result = read_run(store, run)
    return {
        "run": run,
        "model": config.model,
        "split": config.split,
        "part": part,
        "seed": config.seed,
        "comments": len(predictions.comment_ids),
        "videos": len(set(predictions.videos.tolist())),
        "resamples": resamples,
        "metrics": metrics,
        "by_video_seen_in_train": _seen_and_unseen(predictions),
        "data": result.counts,
    }


def _seen_and_unseen(predictions: Predictions) -> dict[str, dict[str, dict[str, Any]]]:
    short: dict[str, dict[str, dict[str, Any]]] = {}
    for name, chosen in (("seen", predictions.seen), ("unseen", ~predictions.seen)):
        part = predictions.where(chosen)
        metrics = both_tasks(part.labels, part.probabilities)
        short[name] = {
            task: {key: metrics[task][key] for key in ("n", *(one.name for one in METRICS)) if key in metrics[task]}
            for task in TASKS
        }
    return short


# ---------------------------------------------------------------- calibration


def calibration(label: NDArray[np.int64], probability: NDArray[np.float64], bins: int = BINS) -> dict[str, Any]:
    """Expected calibration error over equal-width bins of the largest probability (Guo et al., ICML 2017).

    Also the bins themselves: how many, how sure, how often right.
    """
    sure, right = probability.max(1), probability.argmax(1) == label
    of = np.minimum((sure * bins).astype(int), bins - 1)
    count = np.bincount(of, minlength=bins)
    some = np.maximum(count, 1)
    confidence = np.bincount(of, sure, bins) / some
    accuracy = np.bincount(of, right.astype(float), bins) / some
    ece = float((count * np.abs(accuracy - confidence)).sum() / max(count.sum(), 1))
    filled = [
        {"count": int(n), "confidence": float(c), "accuracy": float(a)}
        for n, c, a in zip(count, confidence, accuracy, strict=True)
        if n
    ]
    return {"ece": ece, "bins": filled}


# ---------------------------------------------------------------- intervals


def confusion_by_video(predictions: Predictions, task: str) -> NDArray[np.float64]:
    """One confusion matrix a video: (videos, K, K), rows the true class."""
    classes = len(TASKS[task])
    _, video = np.unique(predictions.videos, return_inverse=True)
    labelled = predictions.labels[task] != NO_LABEL
    label, predicted = predictions.labels[task][labelled], predictions.probabilities[task].argmax(1)[labelled]
    cell = (video[labelled] * classes + label) * classes + predicted
    counts = np.bincount(cell, minlength=(video.max() + 1) * classes * classes)
    return counts.reshape(-1, classes, classes).astype(np.float64)


def bootstrap(predictions: Predictions, resamples: int, seed: int) -> dict[str, dict[str, list[float]]]:
    """95 % percentile intervals of the headline metrics over draws of as many videos, with replacement."""
    drawn = _resampled([confusion_by_video(predictions, task) for task in TASKS], resamples, seed)
    intervals = {}
    for task, confusions in zip(TASKS, drawn, strict=True):
        drawn_metrics = headline(confusions)
        intervals[task] = {name: _interval(values) for name, values in drawn_metrics.items()}
    return intervals


def compare(
    store: Store, first: str, second: str, part: str = "test", resamples: int = RESAMPLES, seed: int = 3407
) -> dict[str, Any]:
    """`second` minus `first` on the same comments: differences with 95 % intervals and a two-sided p.

    Both runs meet every draw of videos together, so what is hard for both cancels. Raises CsmvError if the runs did
    not answer the same comments with the same labels.
    """
    a, b = read_predictions(store, first, part), read_predictions(store, second, part)
    same = a.comment_ids == b.comment_ids and all((a.labels[task] == b.labels[task]).all() for task in TASKS)
    if not same:
        raise CsmvError(
            f"'{first}' and '{second}' did not answer the same {part} comments ({len(a.comment_ids)} and "
            f"{len(b.comment_ids)}); a paired comparison needs two runs on one split of one state of the data."
        )
    by_video = {task: [confusion_by_video(run, task) for run in (a, b)] for task in TASKS}
    drawn = iter(_resampled([one for pair in by_video.values() for one in pair], resamples, seed))
    tasks: dict[str, Any] = {}
    for task in TASKS:
        one, two = by_video[task]
        whole = {name: float(value) for name, value in headline(two.sum(0)).items()}
        base = {name: float(value) for name, value in headline(one.sum(0)).items()}
        drawn_one, drawn_two = headline(next(drawn)), headline(next(drawn))
        tasks[task] = {}
        for name in whole:
            differences = drawn_two[name] - drawn_one[name]
            tasks[task][name] = {
                "first": base[name],
                "second": whole[name],
                "difference": whole[name] - base[name],
                "interval_95": _interval(differences),
                "p": _two_sided(differences),
            }
        tasks[task]["only_one_right"] = _only_one_right(a, b, task)
    return {"first": first, "second": second, "part": part, "resamples": resamples, "tasks": tasks}


def _only_one_right(a: Predictions, b: Predictions, task: str) -> dict[str, int]:
    labelled = a.labels[task] != NO_LABEL
    right = [(p.probabilities[task].argmax(1) == p.labels[task])[labelled] for p in (a, b)]
    return {"first": int((right[0] & ~right[1]).sum()), "second": int((right[1] & ~right[0]).sum())}


def _resampled(by_video: Sequence[NDArray[np.float64]], resamples: int, seed: int) -> list[NDArray[np.float64]]:
    """Confusion matrices (resamples, K, K) of draws of as many videos, the same draws for each of (videos, K, K).

    A few draws at a time: all of them at once would be as many numbers as resamples times videos.
    """
    videos = len(by_video[0])
    random, even = np.random.default_rng(seed), np.full(videos, 1 / videos)
    most = max(1, _DRAWN_AT_ONCE // videos)
    sums: list[list[NDArray[np.float64]]] = [[] for _ in by_video]
    for start in range(0, resamples, most):
        drawn = random.multinomial(videos, even, size=min(most, resamples - start)).astype(np.float64)
        for pieces, confusions in zip(sums, by_video, strict=True):
            pieces.append((drawn @ confusions.reshape(videos, -1)).reshape(-1, *confusions.shape[1:]))
    return [np.concatenate(pieces) for pieces in sums]


def _interval(values: NDArray[np.float64]) -> list[float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return [float(low), float(high)]


def _two_sided(differences: NDArray[np.float64]) -> float:
    # One is added on both sides: no finite number of draws shows a chance of zero.
    n = len(differences)
    return float(min(1.0, 2 * min((differences <= 0).sum() + 1, (differences >= 0).sum() + 1) / (n + 1)))
