"""The page of all experiments: what dev chooses, figures, curves, hashtags, and the same bytes twice."""

import json

import numpy as np
import pyarrow as pa
import pytest

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.schemas import VIDEOS
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa import train
from csmv.pipeline.vccsa.experiments.ablation import ablation
from csmv.pipeline.vccsa.experiments.experiment import experiment_name, experiments
from csmv.pipeline.vccsa.experiments.hashtags import by_hashtag
from csmv.pipeline.vccsa.experiments.results_page import write_results
from csmv.pipeline.vccsa.metrics import scores
from csmv.pipeline.vccsa.sweep import train_point, write_sweep
from csmv.pipeline.vccsa.train_config import TrainConfig

TAGS = (["nba", "fyp"], ["food"], [])


def tag_videos(store: Store) -> None:
    """Every third video has the hashtags nba and fyp, every third food, the others none."""
    for shard in store.shards():
        comments = store.read("comments", shard)
        if comments is not None:
            ids = sorted(set(comments["video_id"].to_pylist()))
            rows = [{"video_id": video, "hashtags": TAGS[int(video[1:]) % 3]} for video in ids]
            blank = {field.name: None for field in VIDEOS.schema} | {"url": "", "media_status": "pending"}
            store.write("videos", shard, pa.Table.from_pylist([blank | row for row in rows], schema=VIDEOS.schema))


@pytest.fixture
def store(new_root) -> Store:
    store = new_root(videos=12, comments=30)
    tag_videos(store)
    for seed in (0, 1):
        train(store, TrainConfig(model="majority", seed=seed))
    sweep = ablation(store, "curve", TrainConfig(model="tfidf"), (0, 1), (0.25, 1.0))
    for number in range(write_sweep(store, sweep)):
        train_point(store, sweep.name, number)
    return store


def test_the_page_shows_dev_and_test_and_what_dev_chooses(store: Store) -> None:
    document = write_results(store, resamples=50, draw=False)

    split = document["splits"]["comment"]
    floor = experiment_name(TrainConfig(model="majority"))
    assert {row["experiment"] for row in split["rows"]} == {floor, "curve/0.25", "curve/1"}
    on_dev = {row["experiment"]: row["dev_opinion_micro_f1"] + row["dev_emotion_micro_f1"] for row in split["rows"]}
    assert split["chosen"] == max(on_dev, key=lambda name: on_dev[name])
    assert [row["chosen"] for row in split["rows"]] == [True, False, False]
    [curve] = split["learning_curves"].values()
    assert [row["train_fraction"] for row in curve] == [0.25, 1.0]
    assert {one["label"] for one in split["comparisons"]} == on_dev.keys() - {split["chosen"]}

    page = store.read_file("reports/results.md").decode()
    assert "dev opinion micro" in page and "test opinion micro" in page
    for title in ("differences", "calibration", "learning curve", "by hashtag"):
        assert f"## comment: {title}" in page
    assert store.read_file("reports/results.tex").decode().count(r"\begin{tabular}") == 5
    assert json.loads(store.read_file("reports/results.json")) == json.loads(json.dumps(document))
    assert document["figures"] == []


@pytest.mark.slow
def test_figures_are_on_the_page_and_the_same_bytes_twice(store: Store) -> None:
    figures = write_results(store, resamples=50)["figures"]

    kinds = ("reliability", "differences", "learning-curve")
    assert {f"reports/results/comment-{kind}.{end}" for kind in kinds for end in ("png", "pdf")} == set(figures)
    page = store.read_file("reports/results.md").decode()
    for figure in figures:
        assert store.read_file(figure)[:4] in (b"\x89PNG", b"%PDF")
        assert figure.endswith(".pdf") or f"({figure.removeprefix('reports/')})" in page
    before = {path: store.read_file(path) for path in store.files("reports")}
    write_results(store, resamples=50)
    assert {path: store.read_file(path) for path in store.files("reports")} == before


def test_scores_by_hashtag_are_those_of_its_videos_comments(store: Store) -> None:
    one = experiments(store)[experiment_name(TrainConfig(model="tfidf"))]
    answers = one.predictions(store, "test")

    rows = {row["hashtag"]: row for row in by_hashtag(store, answers, least=1)}

    assert rows.keys() == {"nba", "fyp", "food"}
    chosen = np.array([int(video[1:]) % 3 == 1 for video in answers[0].videos])
    assert rows["food"]["videos"] == 4 and rows["food"]["comments"] == chosen.sum()
    by_hand = [
        scores(part.labels["emotion"], part.probabilities["emotion"].argmax(1), list("abcdefgh"))["macro_f1"]
        for part in (answer.where(chosen) for answer in answers)
    ]
    assert rows["food"]["emotion_macro_f1"] == pytest.approx(np.mean(by_hand))
    assert by_hashtag(store, answers, least=10_000) == []


def test_a_root_without_runs_has_no_page(new_root) -> None:
    with pytest.raises(CsmvError, match="no finished run to show"):
        write_results(new_root(videos=3))
