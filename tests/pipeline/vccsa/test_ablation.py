"""Lists of experiments: what a preset asks for, that it goes on where it was, and that differences are real ones."""

import json

import numpy as np
import pytest

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.experiments.ablation import ablation, ablation_results
from csmv.pipeline.vccsa.experiments.presets import points
from csmv.pipeline.vccsa.sweep import SweepConfig, failed_runs, train_point, write_sweep
from csmv.pipeline.vccsa.train_config import Switches, TrainConfig

BASE = TrainConfig(features=("synthetic",)).replace(
    {"epochs": 1, "sizes.visual_dim": 8, "sizes.ground_dim": 8, "sizes.consensus_dim": 8, "sizes.scales": 1}
    | {"text.tiny_dim": 8, "text.tiny_vocabulary": 64}
)


def trained(store: Store, sweep: SweepConfig) -> SweepConfig:
    for number in range(write_sweep(store, sweep)):
        train_point(store, sweep.name, number)
    return sweep


def test_the_papers_table_is_compared_with_the_setting_that_it_chose(root: Store) -> None:
    table = points("paper", TrainConfig.paper("i3d"), root)
    assert len(table) == 9
    assert next(iter(table.values())) == {
        "sizes.scales": 4,
        "sizes.consensus_tokens": 1,
        "sizes.consensus_layers": 1,
    }


def test_switches_are_turned_one_by_one(root: Store) -> None:
    changed = points("switches", BASE, root)
    assert changed["base"] == {}
    assert changed["without-residual"] == {"switches.residual": False}
    assert changed["pooling=max"] == {"switches.pooling": "max"}
    assert all(len(fields) == 1 for label, fields in changed.items() if label != "base")
    turned = {field.removeprefix("switches.") for fields in changed.values() for field in fields}
    assert turned == set(Switches.model_fields) - {"variable_lengths", "fused_attention"}
    for fields in changed.values():
        BASE.replace(fields)
    with pytest.raises(CsmvError, match="changes vccsa, and the base is 'text'"):
        points("switches", TrainConfig(model="text"), root)


def test_feature_sets_are_tried_alone_and_together(new_root, write_features) -> None:
    store = new_root(videos=9)
    with pytest.raises(CsmvError, match="has synthetic: make more"):
        points("features", BASE, store)
    for shard in store.shards():
        rows = store.read("features/synthetic", shard)
        if rows is not None:
            write_features(
                store, "second", shard, {video: np.ones((1, 2), np.float32) for video in rows["video_id"].to_pylist()}
            )
    assert list(points("features", BASE, store)) == ["second", "synthetic", "all", "all-streams"]


def test_a_curve_begins_with_the_whole_and_fractions_cross_other_lists(root: Store) -> None:
    curve = points("curve", BASE, root)
    assert [fields["train_fraction"] for fields in curve.values()] == [1.0, 0.5, 0.25, 0.1]
    crossed = points("controls", BASE, root, (1.0, 0.5))
    assert crossed["shuffled-video@0.5"] == {"video": "shuffled", "train_fraction": 0.5}
    assert next(iter(crossed)) == "own-video@1"
    names = [run for _, _, run in ablation(root, "controls", BASE, (0, 1), (1.0, 0.5)).runs()]
    assert len(set(names)) == 4 * 2 * 2


def test_an_ablation_goes_on_where_it_was_and_compares_with_its_first_point(new_root) -> None:
    store = new_root(videos=9, comments=8)
    base = TrainConfig(model="majority")
    both = ({}, {"model": "tfidf"})
    sweep = trained(store, SweepConfig(name="words", base=base, points=both, labels=("floor", "words"), seeds=(0, 1)))
    runs = {name: store.read_file(name) for name in store.files("models")}
    rows, comparisons = ablation_results(store, "words", resamples=50)

    assert [(row["point"], row["seeds"]) for row in rows] == [("floor", 2), ("words", 2)]
    assert [(one["label"], one["part"]) for one in comparisons] == [("words", "dev"), ("words", "test")]
    trained(store, sweep)
    assert {name: store.read_file(name) for name in store.files("models")} == runs
    written = json.loads(store.read_file("sweeps/words/differences.json"))
    assert written == json.loads(json.dumps(comparisons))
    assert "| words | test |" in store.read_file("sweeps/words/differences.md").decode()
    assert r"\toprule" in store.read_file("sweeps/words/differences.tex").decode()


@pytest.mark.slow
def test_a_run_that_diverges_costs_only_itself(new_root) -> None:
    store = new_root(videos=9, comments=8)
    base = BASE.replace({"model": "video", "optimizer.clip_norm": None})
    three = ({}, {"optimizer.learning_rate": 1e30}, {"model": "majority"})
    labels = ("base", "diverges", "floor")
    trained(store, SweepConfig(name="rates", base=base, points=three, labels=labels, seeds=(0, 1)))

    rows, comparisons = ablation_results(store, "rates", resamples=50)

    assert [(row["point"], row["seeds"]) for row in rows] == [("base", 2), ("floor", 2)]
    assert {one["label"] for one in comparisons} == {"floor"}
    assert {run.rpartition("-s")[2] for run in failed_runs(store, "rates")} == {"0", "1"}


@pytest.mark.slow
def test_controls_show_that_the_video_is_used(new_root) -> None:
    """Half of the labels of this root hang on the video: without it, or with another one, they are guessed."""
    store = new_root(videos=45, comments=16)
    build_split(store, SplitConfig(kind="video"))
    base = TrainConfig(features=("synthetic",), split="video").replace(
        {"epochs": 10, "sizes.visual_dim": 32, "sizes.scales": 1, "optimizer.learning_rate": 5e-3}
    )
    trained(store, ablation(store, "controls", base, (0, 1)))

    _, comparisons = ablation_results(store, "controls", resamples=500)

    on_test = {one["label"]: one["tasks"]["opinion"]["micro_f1"] for one in comparisons if one["part"] == "test"}
    assert set(on_test) == {"no-video", "shuffled-video", "text-only"}
    for label, one in on_test.items():
        assert one["interval_95"][1] < 0, label
        assert one["p"] < 0.05, label
