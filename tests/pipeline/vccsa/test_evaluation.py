"""Evaluation from predictions: figures that can be worked out by hand, intervals by video, paired comparison."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score

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
from csmv.pipeline.vccsa.metrics import TASKS, headline, scores
from csmv.pipeline.vccsa.result_tables import latex, markdown, over_seeds, rows_of, write_figures
from csmv.pipeline.vccsa.sweep import TABLE_1, SweepConfig, read_sweep, results, train_point, write_sweep
from csmv.pipeline.vccsa.train_config import TrainConfig


@pytest.fixture(scope="module")
def judged(root: Store) -> Store:
    train(root, TrainConfig(model="majority"), "judge-majority")
    train(root, TrainConfig(model="tfidf"), "judge-tfidf")
    return root


def made_up(n: int = 400, videos: int = 40, right: float = 0.7, seed: int = 0) -> Predictions:
    random = np.random.default_rng(seed)
    labels, probabilities = {}, {}
    for task, names in TASKS.items():
        labels[task] = random.integers(0, len(names), n)
        answer = np.where(random.random(n) < right, labels[task], random.integers(0, len(names), n))
        probabilities[task] = np.eye(len(names))[answer] * 0.9 + 0.1 / len(names)
    names_of_videos = np.array([f"v{k % videos}" for k in range(n)])
    seen = np.zeros(n, dtype=bool)
    return Predictions("x", "s", [f"c{k}" for k in range(n)], names_of_videos, seen, labels, probabilities)


def test_scores_are_the_papers_definitions() -> None:
    label = np.array([0, 0, 1, 1, 2, NO_LABEL])
    predicted = np.array([0, 1, 1, 1, 0, 2])

    found = scores(label, predicted, ("a", "b", "c", "d"))

    assert found["n"] == 5
    assert found["micro_f1"] == found["accuracy"] == pytest.approx(3 / 5)
    assert found["per_class"]["b"]["f1"] == pytest.approx(0.8)
    assert found["macro_f1"] == pytest.approx((0.5 + 0.8 + 0 + 0) / 4)
    assert found["confusion"][2] == [1, 0, 0, 0]


def test_f1_of_confusions_is_scikit_learns() -> None:
    found = made_up()
    for task, names in TASKS.items():
        confusion = confusion_by_video(found, task)
        assert confusion.shape == (40, len(names), len(names))
        f1 = headline(confusion.sum(0))
        predicted = found.probabilities[task].argmax(1)
        for average in ("micro", "macro"):
            expected = f1_score(
                found.labels[task], predicted, average=average, labels=range(len(names)), zero_division=0
            )
            assert f1[f"{average}_f1"] == pytest.approx(expected)


def test_intervals_are_wider_when_the_comments_of_a_video_agree() -> None:
    """The same comments; right and wrong ones spread over videos, or whole videos right and whole videos wrong."""
    spread = made_up(right=0.5)
    right = spread.probabilities["opinion"].argmax(1) == spread.labels["opinion"]
    together = Predictions(
        "x",
        "s",
        spread.comment_ids,
        np.array([f"v{rank // 10}" for rank in np.argsort(np.argsort(~right, kind="stable"))]),
        spread.seen,
        spread.labels,
        spread.probabilities,
    )
    widths = []
    for found in (spread, together):
        low, high = bootstrap(found, 500, 1)["opinion"]["micro_f1"]
        assert low < right.mean() < high
        widths.append(high - low)
    assert widths[1] > 2 * widths[0]


def test_calibration_by_hand() -> None:
    probability = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.35, 0.65]])
    found = calibration(np.array([0, 1, 0, 1]), probability)
    # Two at 0.95, half of them right; two at 0.65, both right.
    assert found["ece"] == pytest.approx((2 * 0.45 + 2 * 0.35) / 4)
    assert [one["count"] for one in found["bins"]] == [2, 2]


def test_evaluation_of_a_run(judged: Store) -> None:
    found = evaluate(judged, "judge-tfidf", resamples=200)

    plain = found["by_video_seen_in_train"]
    low, high = found["metrics"]["opinion"]["intervals_95"]["micro_f1"]
    assert low < found["metrics"]["opinion"]["micro_f1"] < high
    assert plain["seen"]["opinion"]["n"] == found["comments"]
    assert plain["unseen"]["opinion"] == {"n": 0}
    assert found["videos"] == 30
    assert json.loads(json.dumps(found)) == found


def test_predictions_name_their_classes_and_others_are_refused(new_root) -> None:
    store = new_root(videos=9)
    path = train(store, TrainConfig(model="majority"), "named").predictions
    table = pq.read_table(io.BytesIO(store.read_file(path)))
    assert json.loads(table.schema.metadata[b"classes.opinion"]) == ["positive", "neutral", "negative"]
    whole = evaluate(store, "named", resamples=20)

    # Runs by earlier versions name none; they had the classes that there are now.
    store.write_file(path, parquet_bytes(table.replace_schema_metadata(None)))
    assert evaluate(store, "named", resamples=20) == whole

    turned = {**table.schema.metadata, b"classes.opinion": b'["negative", "neutral", "positive"]'}
    store.write_file(path, parquet_bytes(table.replace_schema_metadata(turned)))
    with pytest.raises(CsmvError, match=r"'named'.*opinion.*negative, neutral, positive.*train it again"):
        evaluate(store, "named", resamples=20)


def test_a_task_without_labels_is_left_open(new_root) -> None:
    store = new_root(videos=9)
    for shard in store.shards():
        rows = store.read("labels", shard)
        if rows is not None:
            unknown = [row | {"emotion": None} for row in rows.to_pylist()]
            store.write("labels", shard, pa.Table.from_pylist(unknown, schema=rows.schema))
    train(store, TrainConfig(model="tfidf"), "half")

    found = evaluate(store, "half", resamples=20)

    assert found["metrics"]["emotion"]["n"] == 0
    assert markdown(rows_of([found]), ["run"]).splitlines()[-1].endswith("| - | - |")
    assert over_seeds(rows_of([found]), ["run"])[0]["emotion_macro_f1"] is None
    assert len(write_figures(store, "figures", found)) == 2


def test_seen_videos_are_those_of_the_training_whatever_the_split_is_now(new_root) -> None:
    store = new_root(videos=12)
    train(store, TrainConfig(model="majority"), "before")
    seen = evaluate(store, "before", resamples=20)["by_video_seen_in_train"]
    rows = store.read_split("comment").to_pylist()
    store.write_split("comment", pa.Table.from_pylist([row | {"split": "test"} for row in rows]))

    assert evaluate(store, "before", resamples=20)["by_video_seen_in_train"] == seen
    assert seen["seen"]["opinion"]["n"] > 0


def test_comparison_sees_a_real_difference_and_no_difference(judged: Store) -> None:
    better = compare(judged, "judge-majority", "judge-tfidf", resamples=300)["tasks"]["emotion"]
    same = compare(judged, "judge-tfidf", "judge-tfidf", resamples=300)["tasks"]["emotion"]

    assert better["micro_f1"]["difference"] > 0.1
    assert better["micro_f1"]["interval_95"][0] > 0
    assert better["micro_f1"]["p"] < 0.05
    assert same["micro_f1"]["difference"] == 0
    assert same["micro_f1"]["p"] == 1
    assert same["only_one_right"] == {"first": 0, "second": 0}


def test_runs_on_other_comments_are_not_compared(judged: Store, new_root) -> None:
    other = new_root(videos=12)
    train(other, TrainConfig(model="majority"), "alone")
    for file in ("run.json", "predictions.parquet"):
        judged.write_file(f"models/alone/{file}", other.read_file(f"models/alone/{file}"))
    with pytest.raises(CsmvError, match="did not answer the same test comments"):
        compare(judged, "alone", "judge-tfidf")


def test_a_run_or_part_that_is_not_there(judged: Store) -> None:
    with pytest.raises(CsmvError, match="no finished run 'nobody'"):
        evaluate(judged, "nobody")
    with pytest.raises(CsmvError, match="no predictions for 'train'"):
        read_predictions(judged, "judge-tfidf", "train")


def test_tables_and_figures(judged: Store) -> None:
    evaluations = [evaluate(judged, run, resamples=50) for run in ("judge-majority", "judge-tfidf")]
    rows = rows_of(evaluations)

    text = markdown(rows, ["run"])
    assert text.count("**") == 8
    assert "| judge-tfidf | **" in text
    assert r"\_" not in latex(rows, ["run"])
    assert latex([row | {"run": "a_b"} for row in rows], ["run"]).count(r"a\_b") == 2
    summary = over_seeds([rows[0] | {"seed": 1}, rows[1] | {"seed": 2}], ["split"])
    [entry] = summary
    assert entry["seeds"] == 2
    assert entry["opinion_micro_f1"] == pytest.approx(np.mean([row["opinion_micro_f1"] for row in rows]))
    assert "±" in markdown(summary, ["split"])
    first = [judged.read_file(path) for path in write_figures(judged, "figures", evaluations[1])]
    assert all(figure.startswith(b"<?xml") for figure in first)
    assert first == [judged.read_file(path) for path in write_figures(judged, "figures", evaluations[1])]


def test_a_sweep_goes_on_where_it_was_and_sums_up_over_seeds(judged: Store) -> None:
    sweep = SweepConfig(
        name="regularised", base=TrainConfig(model="video", features=("synthetic",), epochs=1), seeds=(1, 2)
    ).model_copy(update={"grid": {"sizes.visual_dim": (4, 16)}})
    assert write_sweep(judged, sweep) == write_sweep(judged, sweep) == 4
    for number in (0, 1, 2, 3, 0):
        train_point(judged, "regularised", number)

    rows = results(judged, "regularised")

    assert [(row["sizes.visual_dim"], row["seeds"]) for row in rows] == [(4, 2), (16, 2)]
    assert judged.read_file("sweeps/regularised/results.md").decode().count("±") == 16  # dev and test
    with pytest.raises(CsmvError, match="another sweep called"):
        write_sweep(judged, sweep.model_copy(update={"grid": {"sizes.visual_dim": (4, 32)}}))
    assert read_sweep(judged, "regularised") == sweep
    assert write_sweep(judged, sweep.model_copy(update={"seeds": (2, 3)})) == 6
    assert read_sweep(judged, "regularised").seeds == (1, 2, 3)


def test_table_1_is_nine_settings_of_the_paper_model() -> None:
    sweep = SweepConfig(name="t", base=TrainConfig.paper("i3d"), points=TABLE_1, seeds=(1,))
    runs = list(sweep.runs())
    assert len(runs) == len({name for _, _, name in runs}) == 9
    assert {config.sizes.scales for _, config, _ in runs} == {2, 3, 4, 5, 6}
    with pytest.raises(CsmvError, match="scales"):
        list(SweepConfig(name="t", grid={"sizes.scales": (9,)}).runs())
