"""Scores of predicted opinions and emotions, as the paper computes them: a class is the largest probability.

Every class counts in the macro means, one that was never predicted with 0; comments without that label do not count.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from pipeline.labels import TASKS as TASKS
from pipeline.vccsa.batch import NO_LABEL

Floats = NDArray[np.float32] | NDArray[np.float64]
Ints = NDArray[np.int64]


def scores(label: Ints, predicted: Ints, classes: Sequence[str]) -> dict[str, Any]:
    """Micro and macro precision, recall and F1, accuracy, each class and the confusion matrix (rows: true class).

    label and predicted (N) are class numbers. With one label a comment and all classes listed, micro precision,
    recall, F1 and accuracy are one number.
    """
    known = label != NO_LABEL
    label, predicted = label[known], predicted[known]
    numbers = list(range(len(classes)))
    if not len(label):
        return {"n": 0}
    each = precision_recall_fscore_support(label, predicted, labels=numbers, zero_division=0)
    micro, macro = (
        precision_recall_fscore_support(label, predicted, labels=numbers, average=average, zero_division=0)
        for average in ("micro", "macro")
    )
    return {
        "n": len(label),
        "accuracy": float((label == predicted).mean()),
        "micro_f1": float(micro[2]),
        "macro_f1": float(macro[2]),
        "macro_precision": float(macro[0]),
        "macro_recall": float(macro[1]),
        "per_class": {
            name: {
                "precision": float(each[0][k]),
                "recall": float(each[1][k]),
                "f1": float(each[2][k]),
                "support": int(each[3][k]),
            }
            for k, name in enumerate(classes)
        },
        "confusion": confusion_matrix(label, predicted, labels=numbers).tolist(),
    }


def both_tasks(labels: Mapping[str, Ints], probabilities: Mapping[str, Floats]) -> dict[str, dict[str, Any]]:
    """`scores` of opinion and emotion: labels (N) and probabilities (N, K) by task."""
    return {task: scores(labels[task], probabilities[task].argmax(1), TASKS[task]) for task in TASKS}


def f1_sum(metrics: Mapping[str, Mapping[str, Any]], average: str) -> float:
    """The two tasks' F1 added up, by which the best epoch is chosen. `average` is micro or macro."""
    return float(sum(metrics[task].get(f"{average}_f1", 0.0) for task in TASKS))
