"""Evaluation of predictions made by hand: every figure has one answer, worked out on paper or from a known law.

The runs are real ones (the majority model on a small root) whose predictions are replaced, so nothing is fitted.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import beta

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import NO_LABEL
from csmv.pipeline.store import Store, parquet_bytes
from csmv.pipeline.vccsa import train
from csmv.pipeline.vccsa.calibration import calibration
from csmv.pipeline.vccsa.evaluation import (
    Predictions,
    bootstrap,
    confusion_by_video,
    evaluate,
    read_predictions,
)
from csmv.pipeline.vccsa.experiments.comparison import compare
from csmv.pipeline.vccsa.metrics import TASKS, both_tasks, headline
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.training import read_run

OPINIONS, EMOTIONS = TASKS["opinion"], TASKS["emotion"]
POSITIVE, NEUTRAL, NEGATIVE = range(3)


@pytest.fixture(scope="module")
def trained(root: Store) -> Store:
    for run in ("one", "two"):
        train(root, TrainConfig(model="majority", seed=5), run)
    return root


def one_hot(number: int, of: int) -> list[float]:
    return [float(k == number) for k in range(of)]


def row(comment: str, video: str, opinion: str | None, answer: int, **other: Any) -> dict[str, Any]:
    """A line of predictions.parquet: the true opinion (the emotion is joy and found, unless `other` says)."""
    return {
        "comment_id": comment,
        "video_id": video,
        "split": "test",
        "video_in_train": False,
        "opinion": opinion,
        "predicted_opinion": OPINIONS[answer],
        "opinion_probabilities": one_hot(answer, 3),
        "emotion": "joy",
        "predicted_emotion": "joy",
        "emotion_probabilities": one_hot(0, 8),
    } | other


def answered(store: Store, run: str, rows: Sequence[dict[str, Any]]) -> None:
    """Let a run have given these answers, and one of dev if none is: right, and as sure as can be."""
    if all(one["split"] != "dev" for one in rows):
        rows = [row("dev", "dev", "positive", POSITIVE, split="dev"), *rows]
    table = pa.Table.from_pylist(rows)
    for task, names in TASKS.items():
        flat = pa.array([value for one in rows for value in one[f"{task}_probabilities"]], pa.float32())
        place = table.schema.get_field_index(f"{task}_probabilities")
        table = table.set_column(place, f"{task}_probabilities", pa.FixedSizeListArray.from_arrays(flat, len(names)))
    store.write_file(read_run(store, run)[1].predictions, parquet_bytes(table))


def of_opinions(videos: Sequence[str], labels: Sequence[int], answers: Sequence[int]) -> Predictions:
    """Predictions whose emotions are all joy and found."""
    n = len(videos)
    return Predictions(
        "run",
        "comment",
        [f"c{k}" for k in range(n)],
        np.array(videos),
        np.zeros(n, dtype=bool),
        {"opinion": np.array(labels), "emotion": np.zeros(n, dtype=np.int64)},
        {"opinion": np.eye(3)[list(answers)], "emotion": np.eye(8)[[0] * n]},
    )


# ---------------------------------------------------------------------- reading


def test_predictions_are_read_as_they_were_written(trained: Store) -> None:
    emotions = [0.25, 0.5, 0.125, 0.125, 0, 0, 0, 0]
    answered(
        trained,
        "one",
        [
            row("c1", "v2", "negative", POSITIVE, video_in_train=True, emotion=None, emotion_probabilities=emotions),
            row("c2", "v1", None, NEUTRAL, emotion="anticipation"),
            row("c3", "v3", "positive", NEUTRAL, split="dev"),
        ],
    )

    found = read_predictions(trained, "one", "test")

    assert (found.run, found.split, found.comment_ids) == ("one", "comment", ["c1", "c2"])
    assert found.videos.tolist() == ["v2", "v1"]
    assert found.seen.tolist() == [True, False]
    assert found.labels["opinion"].tolist() == [NEGATIVE, NO_LABEL]
    assert found.labels["emotion"].tolist() == [NO_LABEL, 7]
    assert found.probabilities["opinion"].tolist() == [[1, 0, 0], [0, 1, 0]]
    assert found.probabilities["emotion"].tolist() == [emotions, one_hot(0, 8)]
    assert found.probabilities["emotion"].dtype == np.float64
    assert read_predictions(trained, "one", "dev").comment_ids == ["c3"]


def test_predictions_of_an_earlier_version_are_refused(trained: Store) -> None:
    old = pa.Table.from_pylist([row("c1", "v1", "positive", POSITIVE)]).drop_columns(["video_in_train"])
    trained.write_file(read_run(trained, "one")[1].predictions, parquet_bytes(old))
    with pytest.raises(CsmvError, match="'one' was trained by an earlier version"):
        read_predictions(trained, "one", "test")


# ---------------------------------------------------------------------- a whole evaluation


MIXED = [
    row("c1", "v1", "positive", POSITIVE, video_in_train=True),
    row("c2", "v1", "positive", NEUTRAL, video_in_train=True),
    row("c3", "v2", "negative", NEGATIVE, emotion="fear"),
    row("c4", "v3", "negative", NEGATIVE, emotion=None),
    row("c5", "v3", None, POSITIVE, opinion_probabilities=[0.9, 0.1, 0]),
]


def test_an_evaluation_says_what_it_is_of(trained: Store) -> None:
    answered(trained, "two", MIXED)

    found = evaluate(trained, "two", resamples=50)

    metrics = found.pop("metrics")
    seen = found.pop("by_video_seen_in_train")
    assert found == {
        "run": "two",
        "model": "majority",
        "split": "comment",
        "part": "test",
        "seed": 5,
        "comments": 5,
        "videos": 3,
        "resamples": 50,
        "data": read_run(trained, "two")[1].counts,
    }
    predictions = read_predictions(trained, "two", "test")
    plain = both_tasks(predictions.labels, predictions.probabilities)
    for task in TASKS:
        assert {key: metrics[task][key] for key in plain[task]} == plain[task]
        assert set(metrics[task]) == {*plain[task], "calibration", "calibration_scaled", "intervals_95"}
    assert metrics["opinion"]["n"] == metrics["emotion"]["n"] == 4
    # The comment without an opinion is not in its calibration: four are as sure as can be, three of them right.
    assert metrics["opinion"]["calibration"] == {
        "ece": 0.25,
        "nll": pytest.approx(-np.log(1e-12) / 4),
        "brier": 2 / 4,
        "bins": [{"count": 4, "confidence": 1, "accuracy": 0.75}],
    }
    assert {task: metrics[task]["intervals_95"] for task in TASKS} == bootstrap(predictions, 50, 3407)
    assert seen == {
        "seen": {
            "opinion": {"n": 2, "micro_f1": 0.5, "macro_f1": pytest.approx(2 / 9)},
            "emotion": {"n": 2, "micro_f1": 1, "macro_f1": pytest.approx(1 / 8)},
        },
        "unseen": {
            "opinion": {"n": 2, "micro_f1": 1, "macro_f1": pytest.approx(1 / 3)},
            "emotion": {"n": 2, "micro_f1": 0.5, "macro_f1": pytest.approx(2 / 24)},
        },
    }


def test_two_thousand_draws_of_the_test_part_unless_asked_otherwise(trained: Store) -> None:
    answered(trained, "two", [row(f"c{k:03d}", f"v{int(k**0.5)}", "positive", k % 3 % 2) for k in range(160)])
    answered(trained, "one", [row(f"c{k:03d}", f"v{int(k**0.5)}", "positive", k % 5 % 2) for k in range(160)])

    found = evaluate(trained, "two")
    assert (found["part"], found["resamples"]) == ("test", 2000)
    assert found == evaluate(trained, "two", "test", 2000, 3407)
    assert found["metrics"] != evaluate(trained, "two", seed=3408)["metrics"]
    compared = compare(trained, "one", "two")
    assert {key: compared[key] for key in ("first", "second", "part", "resamples")} == {
        "first": "one",
        "second": "two",
        "part": "test",
        "resamples": 2000,
    }
    assert compared == compare(trained, "one", "two", "test", 2000, 3407)
    assert compared["tasks"] != compare(trained, "one", "two", seed=3408)["tasks"]


# ---------------------------------------------------------------------- calibration


def test_a_bin_holds_its_lower_edge_and_the_last_one_both() -> None:
    probability = np.array([[0.5, 0.5], [0.625, 0.375], [0.75, 0.25], [0.125, 0.875], [1, 0]])
    found = calibration(np.array([0, 0, 1, 1, 1]), probability, bins=4)
    assert found["bins"] == [
        {"count": 2, "confidence": 0.5625, "accuracy": 1},
        {"count": 3, "confidence": 0.875, "accuracy": pytest.approx(1 / 3)},
    ]
    assert found["ece"] == pytest.approx((2 * 0.4375 + 3 * (0.875 - 1 / 3)) / 5)


def test_there_are_fifteen_bins() -> None:
    # 0.52 and 0.54 lie on two sides of 8/15; 0.61 and 0.65 within 9/15 and 10/15; 0.68 and 0.72 within 10/15 and 11/15.
    sure = np.array([0.52, 0.54, 0.61, 0.65, 0.68, 0.72])
    found = calibration(np.zeros(6, dtype=np.int64), np.stack([sure, 1 - sure], 1))
    assert [one["count"] for one in found["bins"]] == [1, 1, 2, 2]
    assert found["ece"] == pytest.approx((1 - sure).mean())


def test_nothing_to_calibrate() -> None:
    assert calibration(np.zeros(0, dtype=np.int64), np.zeros((0, 3))) == {"ece": 0, "nll": 0, "brier": 0, "bins": []}
    one = calibration(np.array([1]), np.array([[0.75, 0.25]]))
    measures = {"ece": 0.75, "nll": pytest.approx(np.log(4)), "brier": 2 * 0.75**2}
    assert one == measures | {"bins": [{"count": 1, "confidence": 0.75, "accuracy": 0}]}


# ---------------------------------------------------------------------- confusion and F1


def test_confusion_of_each_video_with_rows_the_true_class() -> None:
    found = of_opinions(["b", "a", "b", "a", "c"], [NEGATIVE, POSITIVE, NEGATIVE, NO_LABEL, NO_LABEL], [0, 1, 2, 0, 0])
    assert confusion_by_video(found, "opinion").tolist() == [
        [[0, 1, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0], [1, 0, 1]],
        [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
    ]
    assert confusion_by_video(found, "emotion").sum((1, 2)).tolist() == [2, 2, 1]
    assert confusion_by_video(found, "emotion")[:, 0, 0].tolist() == [2, 2, 1]


def test_f1_of_several_confusions_at_once() -> None:
    confusions = np.array([[[2, 1], [0, 1]], [[0, 3], [0, 0]], [[0, 0], [0, 0]], [[1, 0], [0, 0]]], dtype=float)
    found = headline(confusions)
    assert found["micro_f1"].tolist() == [0.75, 0, 0, 1]
    assert found["macro_f1"] == pytest.approx([(4 / 5 + 2 / 3) / 2, 0, 0, 0.5])
    assert float(headline(confusions[0])["micro_f1"]) == 0.75


# ---------------------------------------------------------------------- intervals


def test_an_interval_is_between_the_quantiles_of_a_known_law() -> None:
    """Fifteen videos of one comment, ten right: the right ones' share of a draw is Beta(10, 5).

    Positive is always true and else neutral is said, so macro F1 is a third of 2 h / (1 + h) with h that share.
    """
    found = of_opinions([f"v{k}" for k in range(15)], [POSITIVE] * 15, [POSITIVE] * 10 + [NEUTRAL] * 5)
    intervals = bootstrap(found, 40_000, 1)
    low, high = beta(10, 5).ppf([0.025, 0.975])
    assert intervals["opinion"]["micro_f1"] == pytest.approx([low, high], abs=0.005)
    expected = [2 * low / (1 + low) / 3, 2 * high / (1 + high) / 3]
    assert intervals["opinion"]["macro_f1"] == pytest.approx(expected, abs=0.005)
    assert intervals["emotion"] == {"micro_f1": [1, 1], "macro_f1": [1 / 8, 1 / 8]}


def test_videos_are_drawn_and_not_comments() -> None:
    """Two videos, one right with one comment, one wrong with three: with u of [0, 1], u / (u + 3 (1 - u)) is right."""
    found = of_opinions(["b", "a", "a", "a"], [POSITIVE] * 4, [POSITIVE, NEUTRAL, NEUTRAL, NEUTRAL])
    drawn = bootstrap(found, 40_000, 1)["opinion"]["micro_f1"]
    assert drawn == pytest.approx([u / (u + 3 * (1 - u)) for u in (0.025, 0.975)], abs=0.01)
    alone = of_opinions(["a"] * 4, [POSITIVE] * 4, [POSITIVE, NEUTRAL, NEUTRAL, NEUTRAL])
    assert bootstrap(alone, 200, 1)["opinion"]["micro_f1"] == [0.25, 0.25]
    assert bootstrap(found, 200, 1) == bootstrap(found, 200, 1)


def test_a_rare_class_is_in_every_draw() -> None:
    """All is right, and one video of forty alone is negative: macro F1 is two thirds whoever is drawn."""
    labels = [POSITIVE] * 39 + [NEGATIVE]
    found = of_opinions([f"v{k}" for k in range(40)], labels, labels)
    assert bootstrap(found, 500, 1)["opinion"]["macro_f1"] == pytest.approx([2 / 3, 2 / 3])


# ---------------------------------------------------------------------- one run against another


def compared(store: Store, first: Sequence[int], second: Sequence[int], **how: Any) -> dict[str, Any]:
    """Two runs' answers to as many positive comments, each on a video of its own."""
    for run, answers in (("one", first), ("two", second)):
        answered(store, run, [row(f"c{k}", f"v{k}", "positive", answer) for k, answer in enumerate(answers)])
    return compare(store, "one", "two", **how)["tasks"]["opinion"]


def test_the_difference_is_the_second_minus_the_first(trained: Store) -> None:
    found = compared(trained, [NEUTRAL] * 4, [POSITIVE] * 3 + [NEUTRAL], resamples=4000)
    assert found["only_one_right"] == {"first": 0, "second": 3}
    micro, macro = found["micro_f1"], found["macro_f1"]
    assert (micro["first"], micro["second"], micro["difference"]) == (0, 0.75, 0.75)
    assert (macro["first"], macro["second"]) == (0, pytest.approx(6 / 7 / 3))
    assert macro["difference"] == macro["second"] - macro["first"]
    # One of four wrong: the share of right ones in a draw is Beta(3, 1), whose quantiles are cube roots.
    low, high = 0.025 ** (1 / 3), 0.975 ** (1 / 3)
    assert micro["interval_95"] == pytest.approx([low, high], abs=0.03)
    back = compared(trained, [POSITIVE] * 3 + [NEUTRAL], [NEUTRAL] * 4, resamples=4000)
    assert back["only_one_right"] == {"first": 3, "second": 0}
    assert back["micro_f1"]["difference"] == -0.75
    assert back["micro_f1"]["interval_95"] == pytest.approx([-high, -low], abs=0.03)


@pytest.mark.parametrize("better", ["first", "second"])
def test_no_number_of_draws_shows_a_chance_of_zero(trained: Store, better: str) -> None:
    answers = {"first": ([POSITIVE] * 5, [NEUTRAL] * 5), "second": ([NEUTRAL] * 5, [POSITIVE] * 5)}[better]
    assert compared(trained, *answers, resamples=99)["micro_f1"]["p"] == 2 * 1 / 100


def test_p_of_runs_that_are_right_at_different_places(trained: Store) -> None:
    """Of three videos the second run is right on two, the first on one: it is behind where that one weighs over half.

    Of three evenly drawn shares one is over half with probability (1/2)^2; p is twice that. On four videos of which
    each run has two, as many draws are on one side of 0 as on the other: p is 1 but for chance. Of equal answers all
    draws are at 0, on both sides.
    """
    first, second = [NEUTRAL, NEUTRAL, POSITIVE], [POSITIVE, POSITIVE, NEUTRAL]
    found = compared(trained, first, second, resamples=20_000)
    assert found["micro_f1"]["p"] == pytest.approx(1 / 2, abs=0.015)
    assert found["only_one_right"] == {"first": 1, "second": 2}
    assert compared(trained, second, first, resamples=20_000)["micro_f1"]["p"] == pytest.approx(1 / 2, abs=0.015)
    even = compared(trained, [POSITIVE, POSITIVE, NEUTRAL, NEUTRAL], [NEUTRAL, NEUTRAL, POSITIVE, POSITIVE])
    assert even["micro_f1"]["difference"] == 0
    assert even["micro_f1"]["p"] == pytest.approx(1, abs=0.06)
    same = compared(trained, first, first, resamples=10)
    assert same["micro_f1"]["p"] == 1
    assert same["micro_f1"]["interval_95"] == [0, 0]


def test_comments_without_a_label_are_on_no_side(trained: Store) -> None:
    answered(trained, "one", [row("c1", "v1", "positive", POSITIVE), row("c2", "v1", None, POSITIVE)])
    answered(trained, "two", [row("c1", "v1", "positive", NEUTRAL), row("c2", "v1", None, NEUTRAL)])
    tasks = compare(trained, "one", "two", resamples=10)["tasks"]
    assert tasks["opinion"]["only_one_right"] == {"first": 1, "second": 0}
    assert tasks["emotion"]["only_one_right"] == {"first": 0, "second": 0}


@pytest.mark.parametrize(
    "other",
    [
        row("c2", "v2", "positive", POSITIVE),
        row("c1", "v1", "negative", POSITIVE),
        row("c1", "v1", "positive", POSITIVE, emotion="fear"),
        row("c1", "v1", None, POSITIVE),
    ],
)
def test_runs_on_other_comments_or_labels_are_not_compared(trained: Store, other: dict[str, Any]) -> None:
    answered(trained, "one", [row("c1", "v1", "positive", POSITIVE)])
    answered(trained, "two", [other])
    with pytest.raises(CsmvError, match=r"'one' and 'two' did not answer the same test comments \(1 and 1\)"):
        compare(trained, "one", "two")
