"""Scores of predicted opinions and emotions, as the paper computes them: a class is the largest probability.

`METRICS` is the list of headline metrics. Scores, intervals, comparisons, the training history, the choice of the best
epoch, tables and the report are derived from it: adding a metric is adding to the list.

Every class counts in the macro means, one that was never predicted with 0; comments without that label do not count.

A model that may give no answer has a column more than there are classes, the last, which is never right: a comment that
it left unanswered counts as wrong, is missed in its class, and is charged to no other class.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmv.pipeline.labels import NO_LABEL
from csmv.pipeline.labels import TASKS as TASKS

Floats = NDArray[np.float32] | NDArray[np.float64]
Ints = NDArray[np.int64]
Confusion = NDArray[np.float64]
"""Numbers of comments (..., K, K): rows the true class, columns the predicted one; (..., K, K + 1) if the last column
counts those that were left unanswered."""


@dataclass(frozen=True)
class Metric:
    """A number that sums up a confusion matrix, between 0 and 1, larger being better.

    Args:
        name: in results, tables and as a column.
        short: in headings, and how `select_by` and people call it.
        title: in the report.
        of: of confusion matrices, one number each (...).
    """

    name: str
    short: str
    title: str
    of: Callable[[Confusion], NDArray[np.float64]]


def micro_f1(confusion: Confusion) -> NDArray[np.float64]:
    """Micro F1; with one label a comment it is accuracy. 0 where there is no comment."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1).sum(-1)
    share: NDArray[np.float64] = right / np.maximum(confusion.sum((-2, -1)), 1)
    return share


def macro_f1(confusion: Confusion) -> NDArray[np.float64]:
    """Mean F1 over classes; a class without a true or predicted comment counts 0."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    true_and_predicted = confusion.sum(-1) + confusion.sum(-2)[..., : confusion.shape[-2]]
    each = np.divide(2 * right, true_and_predicted, out=np.zeros_like(right), where=true_and_predicted > 0)
    mean: NDArray[np.float64] = each.mean(-1)
    return mean


METRICS: tuple[Metric, ...] = (
    Metric("micro_f1", "micro", "micro-F1", micro_f1),
    Metric("macro_f1", "macro", "macro-F1", macro_f1),
)

COLUMNS: tuple[tuple[str, Metric], ...] = tuple((task, metric) for task in TASKS for metric in METRICS)
"""The columns of every table of results."""

HEADINGS: tuple[str, ...] = tuple(f"{task} {metric.short}" for task, metric in COLUMNS)


def headline(confusion: Confusion) -> dict[str, NDArray[np.float64]]:
    """Each of METRICS, by name, of confusion matrices."""
    return {metric.name: metric.of(confusion) for metric in METRICS}


def in_row(metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[float | None]:
    """The numbers of COLUMNS; None where no comment has that label."""
    return (metrics.get(task, {}).get(metric.name) for task, metric in COLUMNS)


def confusion_of(label: Ints, predicted: Ints, classes: int) -> Confusion:
    """The confusion matrix (K, K) of class numbers (N); (K, K + 1) if some are K, which stands for no answer."""
    columns = classes + int((predicted == classes).any())
    cells = np.bincount(label * columns + predicted, minlength=classes * columns)
    return cells.reshape(classes, columns).astype(np.float64)


def scores(label: Ints, predicted: Ints, classes: Sequence[str]) -> dict[str, Any]:
    """METRICS, macro precision and recall, accuracy, each class and the confusion matrix (rows: true class).

    label and predicted (N) are class numbers; a predicted number after the last class stands for no answer, which is
    wrong and stands in no cell of the confusion matrix. With one label a comment and all classes listed, micro
    precision, recall, F1 and accuracy are one number.
    """
    labelled = label != NO_LABEL
    label, predicted = label[labelled], predicted[labelled]
    if not len(label):
        return {"n": 0}
    confusion = confusion_of(label, predicted, len(classes))
    right, support, named = np.diagonal(confusion), confusion.sum(1), confusion.sum(0)[: len(classes)]
    precision, recall = _share(right, named), _share(right, support)
    f1 = _share(2 * right, support + named)
    return {
        "n": len(label),
        "accuracy": float((label == predicted).mean()),
        **{name: float(value) for name, value in headline(confusion).items()},
        "macro_precision": float(precision.mean()),
        "macro_recall": float(recall.mean()),
        "per_class": {
            name: {
                "precision": float(precision[k]),
                "recall": float(recall[k]),
                "f1": float(f1[k]),
                "support": int(support[k]),
            }
            for k, name in enumerate(classes)
        },
        "confusion": confusion[:, : len(classes)].astype(int).tolist(),
    }


def _share(part: Confusion, whole: Confusion) -> Confusion:
    """`part` of `whole`, class by class; 0 where there is none."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def both_tasks(labels: Mapping[str, Ints], probabilities: Mapping[str, Floats]) -> dict[str, dict[str, Any]]:
    """`scores` of opinion and emotion: labels (N) and probabilities (N, K) by task.

    Of probabilities (N, K + 1), whose last column stands for no answer, also `unanswered`: how many of the labelled
    comments were left so.
    """
    metrics = {}
    for task, names in TASKS.items():
        label, predicted = labels[task], probabilities[task].argmax(1)
        metrics[task] = scores(label, predicted, names)
        if probabilities[task].shape[1] > len(names):
            metrics[task]["unanswered"] = int((predicted[label != NO_LABEL] == len(names)).sum())
    return metrics


def task_sum(metrics: Mapping[str, Mapping[str, Any]], short: str) -> float:
    """A metric of both tasks added up, by which the best epoch is chosen. `short` is its short name."""
    [name] = [metric.name for metric in METRICS if metric.short == short]
    return float(sum(metrics[task].get(name, 0.0) for task in TASKS))
