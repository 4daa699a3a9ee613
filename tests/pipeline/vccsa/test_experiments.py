"""Seeds as one experiment: what belongs together, and differences whose truth is planted."""

from collections.abc import Callable

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import norm

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa import train
from csmv.pipeline.vccsa.evaluation import Predictions
from csmv.pipeline.vccsa.experiments.comparison import compare, over_seeds_and_videos, paired
from csmv.pipeline.vccsa.experiments.experiment import experiment_name, experiments, named_experiment
from csmv.pipeline.vccsa.metrics import TASKS
from csmv.pipeline.vccsa.resampling import seed_weights, video_weights
from csmv.pipeline.vccsa.sweep import SweepConfig, train_point, write_sweep
from csmv.pipeline.vccsa.train_config import TrainConfig

MICRO = "micro_f1"
MACRO = "macro_f1"
SHARES = {"opinion": (0.46, 0.36, 0.18), "emotion": (0.32, 0.2, 0.15, 0.12, 0.08, 0.06, 0.04, 0.03)}
"""How often a made-up comment has each class."""


@pytest.fixture(scope="module")
def seeded(root_maker: Callable[..., Store], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A root that holds majority and TF-IDF, two and three seeds of each, and no other run."""
    root = root_maker(tmp_path_factory.mktemp("seeded") / "data")
    for seed in (1, 2):
        train(root, TrainConfig(model="majority", seed=seed), f"floor-{seed}")
    for seed in (1, 2, 3):
        train(root, TrainConfig(model="tfidf", seed=seed), f"words-{seed}")
    return root


def name_of(model: str) -> str:
    return experiment_name(TrainConfig(model=model))


def test_runs_that_differ_by_their_seed_are_one_experiment(seeded: Store) -> None:
    assert experiments(seeded)[name_of("majority")].runs == {1: "floor-1", 2: "floor-2"}
    assert named_experiment(seeded, name_of("tfidf")).runs == {seed: f"words-{seed}" for seed in (1, 2, 3)}
    assert named_experiment(seeded, "words-2").runs == {2: "words-2"}
    assert experiment_name(TrainConfig(seed=1)) == experiment_name(TrainConfig(seed=2))
    assert experiment_name(TrainConfig(epochs=1)) != experiment_name(TrainConfig(epochs=2))


def test_a_point_of_a_sweep_is_an_experiment_by_its_label(seeded: Store) -> None:
    sweep = SweepConfig(
        name="pair", points=({"model": "majority"}, {"model": "tfidf"}), labels=("a", "b"), seeds=(1, 2)
    )
    write_sweep(seeded, sweep)
    for number in range(3):
        train_point(seeded, "pair", number)
    assert list(named_experiment(seeded, "pair/a").runs) == [1, 2]
    assert list(named_experiment(seeded, "pair/b").runs) == [1]
    with pytest.raises(CsmvError, match="its points are a, b"):
        named_experiment(seeded, "pair/c")
    with pytest.raises(CsmvError, match=r"no finished run 'nobody'.*experiments"):
        named_experiment(seeded, "nobody")
    with pytest.raises(ValidationError, match="a label of its own"):
        SweepConfig.model_validate(sweep.model_dump() | {"labels": ["a", "a"]})


def test_experiments_are_compared_over_seeds_and_videos(seeded: Store) -> None:
    compared = compare(seeded, name_of("majority"), name_of("tfidf"), resamples=300)
    opinion = compared["tasks"]["opinion"][MICRO]

    assert compared["seeds"] == {"first": [1, 2], "second": [1, 2, 3], "paired": False}
    assert opinion["interval_95"][0] > 0 and opinion["p"] < 0.05
    assert opinion["difference"] == pytest.approx(opinion["second"] - opinion["first"])
    assert opinion["first_spread"] == 0
    assert compared == compare(seeded, name_of("majority"), name_of("tfidf"), resamples=300)
    same = compare(seeded, name_of("tfidf"), name_of("tfidf"), resamples=50)
    assert same["seeds"]["paired"]
    assert same["tasks"]["opinion"][MICRO]["interval_95"] == [0, 0]


def test_n_minus_one_seeds_are_drawn() -> None:
    random = np.random.default_rng(0)
    weights = seed_weights(3, 50_000, random)
    assert np.allclose(weights.sum(1), 1)
    scores = np.array([0.5, 0.6, 0.9])
    # The variance of a mean of three: s^2 / 3, with s the sample standard deviation.
    assert (weights @ scores).var() == pytest.approx(scores.var(ddof=1) / 3, rel=0.02)
    assert (seed_weights(1, 5, random) == 1).all()


def test_every_video_weighs_something_in_every_draw() -> None:
    weights = np.concatenate(list(video_weights(50, 2000, np.random.default_rng(0))))
    assert weights.shape == (2000, 50)
    assert (weights > 0).all()
    assert np.allclose(weights.mean(1), 1)
    assert weights.var() == pytest.approx(50 / 51 * 49 / 50, rel=0.05)  # of a Dirichlet, times its 50


# ---------------------------------------------------------------- planted truths


def answers(
    videos: int, seeds: int, better: float, random: np.random.Generator, spread: float = 0.02, comments: int = 8
) -> tuple[list[Predictions], list[Predictions]]:
    """Two experiments on the same comments; the second is right more often by `better`, on every video and seed.

    How hard a video is, and how good a seed (by `spread`), is drawn: the comments of a video hang together. Wrong
    answers are the next class, so the expected difference of micro-F1 is `better`.
    """
    n = videos * comments
    video = np.repeat(np.arange(videos), comments)
    hard = random.uniform(-0.25, 0.25, videos)[video]
    classes = {task: len(names) for task, names in TASKS.items()}
    labels = {task: random.choice(k, n, p=SHARES[task]) for task, k in classes.items()}
    names, seen = np.array([f"v{k:04d}" for k in video]), np.zeros(n, dtype=bool)
    ids = [f"c{k}" for k in range(n)]
    runs: tuple[list[Predictions], list[Predictions]] = ([], [])
    for which, gain in enumerate((0.0, better)):
        for _ in range(seeds):
            luck = random.normal(0, spread)
            probabilities = {}
            for task, k in classes.items():
                is_right = random.random(n) < 0.5 + hard + gain + luck
                probabilities[task] = np.eye(k)[np.where(is_right, labels[task], (labels[task] + 1) % k)]
            runs[which].append(Predictions("x", "s", ids, names, seen, labels, probabilities))
    return runs


def test_a_planted_difference_is_in_its_interval_and_none_is_not_claimed() -> None:
    random = np.random.default_rng(3)
    worse, better = answers(80, 3, 0.1, random)
    micro = paired(worse, better, True, 500, 1)["emotion"][MICRO]
    low, high = micro["interval_95"]
    assert 0 < low < 0.1 < high
    assert micro["p"] < 0.05
    summary = over_seeds_and_videos(worse, 500, 1)["emotion"][MICRO]
    assert summary["interval_95"][0] < summary["mean"] < summary["interval_95"][1]
    assert summary["spread"] > 0


def planted_macro(gain: float, spread: float) -> float:
    """The expected difference of the emotions' macro-F1 between runs that are right half of the time and with `gain`.

    A class has as many false answers as the class before it has wrong ones. Averaged over how good seeds are.
    """
    share = np.array(SHARES["emotion"])
    luck = spread * norm.ppf((np.arange(1000) + 0.5) / 1000)

    def macro(right: np.ndarray) -> float:
        right = right[:, None]
        return float(np.mean(2 * right * share / (2 * right * share + (1 - right) * (share + np.roll(share, 1)))))

    return macro(0.5 + gain + luck) - macro(0.5 + luck)


@pytest.mark.slow
@pytest.mark.parametrize(("videos", "seeds", "spread"), [(60, 1, 0.0), (60, 3, 0.0), (60, 3, 0.02), (60, 5, 0.04)])
def test_the_interval_holds_the_truth_as_often_as_it_says(videos: int, seeds: int, spread: float) -> None:
    """400 worlds with a planted difference: 95 % intervals that hold it, and a p of no difference below 0.05.

    Of a single seed the interval speaks of these two runs alone, so there the seeds have no luck.
    """
    random = np.random.default_rng(11)
    worlds, asked = 400, (("opinion", MICRO, 0.05), ("emotion", MACRO, planted_macro(0.05, spread)))
    covered, claimed = {MICRO: 0, MACRO: 0}, {MICRO: 0, MACRO: 0}
    for _ in range(worlds):
        planted, equal = (paired(*answers(videos, seeds, gain, random, spread), True, 400, 1) for gain in (0.05, 0.0))
        for task, metric, truth in asked:
            low, high = planted[task][metric]["interval_95"]
            covered[metric] += low <= truth <= high
            claimed[metric] += equal[task][metric]["p"] < 0.05
    for metric in (MICRO, MACRO):
        print(
            f"\n{videos} videos, {seeds} seeds of spread {spread}, {metric}: "
            f"coverage {covered[metric] / worlds:.3f}, false claims {claimed[metric] / worlds:.3f}"
        )
    for metric in (MICRO, MACRO):
        assert 0.91 <= covered[metric] / worlds <= 0.99
        assert claimed[metric] / worlds <= 0.09
