"""Scores of a few comments, worked out by hand; precision and recall differ, and so do the two tasks."""

from pathlib import Path

import numpy as np
import pytest

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import NO_LABEL
from csmv.pipeline.vccsa import metrics
from csmv.pipeline.vccsa.metrics import (
    HEADINGS,
    METRICS,
    TASKS,
    both_tasks,
    confusion_of,
    headline,
    in_row,
    scores,
    task_sum,
)
from csmv.pipeline.vccsa.train_config import TrainConfig

# Of three a two are found and one is called b; of two b one is found and one is called c; the d is called a.
LABEL = np.array([0, 0, 0, 1, 1, 3])
PREDICTED = np.array([0, 0, 1, 1, 2, 0])
CLASSES = ("a", "b", "c", "d")


def test_every_score_of_six_comments() -> None:
    assert scores(LABEL, PREDICTED, CLASSES) == {
        "n": 6,
        "accuracy": pytest.approx(3 / 6),
        "micro_f1": pytest.approx(3 / 6),
        "macro_f1": pytest.approx((2 / 3 + 1 / 2 + 0 + 0) / 4),
        "macro_precision": pytest.approx((2 / 3 + 1 / 2 + 0 + 0) / 4),
        "macro_recall": pytest.approx((2 / 3 + 1 / 2 + 0 + 0) / 4),
        "per_class": {
            "a": {
                "precision": pytest.approx(2 / 3),
                "recall": pytest.approx(2 / 3),
                "f1": pytest.approx(2 / 3),
                "support": 3,
            },
            "b": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2},
            "c": {"precision": 0, "recall": 0, "f1": 0, "support": 0},
            "d": {"precision": 0, "recall": 0, "f1": 0, "support": 1},
        },
        "confusion": [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]],
    }


def test_precision_is_of_what_was_predicted_and_recall_of_what_was_true() -> None:
    found = scores(np.array([0, 0, 0, 0, 1]), np.array([0, 1, 1, 1, 1]), ("a", "b"))
    assert found["per_class"]["a"] == {"precision": 1, "recall": 0.25, "f1": pytest.approx(0.4), "support": 4}
    assert found["per_class"]["b"] == {"precision": 0.25, "recall": 1, "f1": pytest.approx(0.4), "support": 1}
    assert found["macro_precision"] == pytest.approx(0.625)
    assert found["macro_recall"] == pytest.approx(0.625)
    found = scores(np.array([0, 0, 1, 2]), np.array([0, 0, 0, 2]), ("a", "b", "c"))
    assert found["macro_precision"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert found["macro_recall"] == pytest.approx((1 + 0 + 1) / 3)
    assert found["macro_f1"] == pytest.approx((0.8 + 0 + 1) / 3)
    assert found["micro_f1"] == found["accuracy"] == pytest.approx(3 / 4)


def test_comments_without_a_label_do_not_count() -> None:
    label = np.array([0, NO_LABEL, 1, NO_LABEL])
    assert scores(label, np.array([0, 1, 0, 0]), ("a", "b")) == scores(np.array([0, 1]), np.array([0, 0]), ("a", "b"))
    assert scores(label[[1, 3]], np.array([0, 1]), ("a", "b")) == {"n": 0}
    assert scores(np.array([], dtype=np.int64), np.array([], dtype=np.int64), ("a", "b")) == {"n": 0}


def test_one_comment_is_enough() -> None:
    found = scores(np.array([1]), np.array([1]), ("a", "b"))
    assert (found["n"], found["accuracy"], found["macro_f1"]) == (1, 1, 0.5)


def test_a_class_that_nobody_predicted_scores_0_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    found = scores(np.array([0, 1]), np.array([0, 0]), ("a", "b", "c"))
    assert found["per_class"]["b"]["precision"] == found["per_class"]["c"]["recall"] == 0
    assert not recwarn.list


def test_the_tasks_are_scored_apart_by_their_likeliest_class() -> None:
    labels = {"opinion": np.array([0, 2]), "emotion": np.array([7, NO_LABEL])}
    probabilities = {
        "opinion": np.array([[0.5, 0.4, 0.1], [0.1, 0.6, 0.3]]),
        "emotion": np.array([[0.1] * 7 + [0.3], [0.3] + [0.1] * 7]),
    }
    found = both_tasks(labels, probabilities)
    assert found["opinion"] == scores(np.array([0, 2]), np.array([0, 1]), TASKS["opinion"])
    assert found["emotion"] == scores(np.array([7]), np.array([7]), TASKS["emotion"])


def test_the_classes_are_in_the_order_of_the_published_numbers() -> None:
    assert TASKS == {
        "opinion": ("positive", "neutral", "negative"),
        "emotion": ("joy", "disgust", "surprise", "sadness", "trust", "fear", "anger", "anticipation"),
    }


def test_the_best_epoch_is_chosen_by_the_f1_of_both_tasks_together() -> None:
    metrics = {"opinion": {"micro_f1": 0.5, "macro_f1": 0.25}, "emotion": {"micro_f1": 0.125, "macro_f1": 0.0625}}
    assert task_sum(metrics, "micro") == 0.625
    assert task_sum(metrics, "macro") == 0.3125
    assert task_sum(metrics | {"emotion": {"n": 0}}, "micro") == 0.5


def test_a_metric_stands_in_one_place() -> None:
    """Tables, intervals, history, report and commands go through METRICS, so that adding to it is all."""
    names = [metric.name for metric in METRICS]
    folder = Path(metrics.__file__).parents[2]
    sources = [
        path for top in ("pipeline", "flows") for kind in ("py", "html") for path in folder.glob(f"{top}/**/*.{kind}")
    ]
    assert len(sources) > 100
    naming = {str(path.relative_to(folder)) for path in sources if any(name in path.read_text() for name in names)}
    assert naming == {"pipeline/vccsa/metrics.py"}


def test_what_chooses_the_best_epoch_is_a_metric() -> None:
    assert [TrainConfig(select_by=name).select_by for name in ("micro", "macro", "last")] == ["micro", "macro", "last"]
    with pytest.raises(CsmvError, match="expected one of micro, macro, last, found 'median'"):
        TrainConfig().replace({"select_by": "median"})


def test_the_columns_of_every_table() -> None:
    assert HEADINGS == ("opinion micro", "opinion macro", "emotion micro", "emotion macro")
    assert [(metric.name, metric.short, metric.title) for metric in METRICS] == [
        ("micro_f1", "micro", "micro-F1"),
        ("macro_f1", "macro", "macro-F1"),
    ]


def test_a_row_of_results_leaves_open_what_has_no_label() -> None:
    given = {"opinion": {"macro_f1": 0.25, "micro_f1": 0.5}, "emotion": {"n": 0}}
    assert list(in_row(given)) == [0.5, 0.25, None, None]
    assert list(in_row({})) == [None] * 4


def test_several_confusions_at_once_are_each_by_itself() -> None:
    """Not symmetric, more of them than classes, one with a single comment and one with none."""
    confusions = np.array([[[3, 1], [2, 4]], [[0, 5], [0, 5]], [[1, 0], [0, 0]], [[0, 0], [0, 0]]], dtype=float)
    both = headline(confusions)
    assert both["micro_f1"].tolist() == [0.7, 0.5, 1, 0]
    expected = [(6 / 9 + 8 / 11) / 2, (0 + 10 / 15) / 2, 0.5, 0]
    assert both["macro_f1"].tolist() == pytest.approx(expected)
    for number, confusion in enumerate(confusions):
        assert {name: float(value) for name, value in headline(confusion).items()} == pytest.approx(
            {name: values[number] for name, values in both.items()}
        )


def test_a_confusion_has_a_row_for_each_true_class() -> None:
    assert confusion_of(np.array([0, 0, 2]), np.array([1, 1, 0]), 3).tolist() == [[0, 2, 0], [0, 0, 0], [1, 0, 0]]


def test_a_comment_without_an_answer_is_wrong_in_its_class_and_charged_to_no_other() -> None:
    # Of two positive one is found, the neutral is left unanswered, the negative is called positive.
    labels = {"opinion": np.array([0, 0, 1, 2, NO_LABEL]), "emotion": np.array([0, 0, 0, 0, 0])}
    opinion = np.eye(4)[[0, 3, 3, 0, 3]]
    emotion = np.eye(9)[[0, 0, 0, 0, 0]]

    found = both_tasks(labels, {"opinion": opinion, "emotion": emotion})

    assert found["opinion"]["micro_f1"] == pytest.approx(1 / 4)
    assert found["opinion"]["macro_f1"] == pytest.approx((2 * 1 / (2 + 2) + 0 + 0) / 3)
    assert found["opinion"]["macro_precision"] == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert found["opinion"]["macro_recall"] == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert (found["opinion"]["n"], found["opinion"]["unanswered"]) == (4, 2)
    assert found["opinion"]["confusion"] == [[1, 0, 0], [0, 0, 0], [1, 0, 0]]
    assert (found["emotion"]["micro_f1"], found["emotion"]["unanswered"]) == (1, 0)
    wide = confusion_of(np.array([0, 0, 1, 2]), np.array([0, 3, 3, 0]), 3)
    assert {name: float(values) for name, values in headline(wide).items()} == {
        metric.name: pytest.approx(found["opinion"][metric.name]) for metric in METRICS
    }
