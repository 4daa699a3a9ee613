"""Judging finished runs from their predictions alone: scores, calibration and intervals.

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
from csmv.pipeline.vccsa.calibration import at_temperature, calibration, fitted_temperature
from csmv.pipeline.vccsa.corpus_columns import Strings
from csmv.pipeline.vccsa.metrics import METRICS, TASKS, both_tasks, headline
from csmv.pipeline.vccsa.resampling import RESAMPLES, interval, weighted_confusions
from csmv.pipeline.vccsa.run_files import FailedRunError
from csmv.pipeline.vccsa.training import read_run
from csmv.pipeline.zeroshot.zeroshot_config import ZeroShotConfig


@dataclass(frozen=True)
class Predictions:
    """A part's predictions of one run, by comment_id: labels (N) and probabilities (N, K) by task, videos (N).

    seen (N): whether the split's train part holds another comment of the same video. Of a zero-shot model the
    probabilities are (N, K + 1), the last column being 1 where it gave no answer.
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
        if isinstance(config, ZeroShotConfig):
            no_answer = table.column(f"predicted_{task}").is_null().to_numpy().astype(np.float64)
            probabilities[task] = np.column_stack([probabilities[task], no_answer])
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

    Seen: the run was trained on another comment of the same video. `calibration_scaled` is the calibration after the
    temperature that fits the run's dev answers best; on dev itself it is the fit and proves nothing.
    """
    predictions = read_predictions(store, run, part)
    dev = predictions if part == "dev" else read_predictions(store, run, "dev")
    metrics: dict[str, dict[str, Any]] = both_tasks(predictions.labels, predictions.probabilities)
    intervals = bootstrap(predictions, resamples, seed)
    for task in TASKS:
        metrics[task] |= _calibrated(predictions, dev, task)
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


def _calibrated(predictions: Predictions, dev: Predictions, task: str) -> dict[str, Any]:
    """The calibration of a task as it is, and with the temperature that dev chooses."""
    label, probability = _labelled(predictions, task)
    temperature = fitted_temperature(*_labelled(dev, task))
    scaled = probability if temperature is None else at_temperature(probability, temperature)
    return {
        "calibration": calibration(label, probability),
        "calibration_scaled": {"temperature": temperature, **calibration(label, scaled)},
    }


def _labelled(predictions: Predictions, task: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    chosen = predictions.labels[task] != NO_LABEL
    return predictions.labels[task][chosen], predictions.probabilities[task][chosen]


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


# ---------------------------------------------------------------- intervals


def confusion_by_video(predictions: Predictions, task: str) -> NDArray[np.float64]:
    """One confusion matrix a video: (videos, K, K), rows the true class; (videos, K, K + 1) of a zero-shot model."""
    classes, columns = len(TASKS[task]), predictions.probabilities[task].shape[1]
    _, video = np.unique(predictions.videos, return_inverse=True)
    labelled = predictions.labels[task] != NO_LABEL
    label, predicted = predictions.labels[task][labelled], predictions.probabilities[task].argmax(1)[labelled]
    cell = (video[labelled] * classes + label) * columns + predicted
    counts = np.bincount(cell, minlength=(video.max() + 1) * classes * columns)
    return counts.reshape(-1, classes, columns).astype(np.float64)


def bootstrap(predictions: Predictions, resamples: int, seed: int) -> dict[str, dict[str, list[float]]]:
    """95 % intervals of the headline metrics over draws of videos (see `csmv.pipeline.vccsa.resampling`)."""
    by_video = [confusion_by_video(predictions, task) for task in TASKS]
    drawn = weighted_confusions(by_video, resamples, np.random.default_rng(seed))
    return {
        task: {name: interval(values) for name, values in headline(confusions).items()}
        for task, confusions in zip(TASKS, drawn, strict=True)
    }
