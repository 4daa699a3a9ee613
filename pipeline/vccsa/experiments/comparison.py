"""An experiment over its seeds and videos, and one experiment against another on the same comments."""

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmv.pipeline.labels import NO_LABEL
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.evaluation import Predictions, confusion_by_video
from csmv.pipeline.vccsa.experiments.experiment import Experiment, named_experiment, refuse_other_comments
from csmv.pipeline.vccsa.metrics import TASKS, headline
from csmv.pipeline.vccsa.resampling import (
    RESAMPLES,
    interval,
    mean_over_seeds,
    seed_weights,
    two_sided,
    weighted_confusions,
)

BySeed = NDArray[np.float64]
"""Numbers of comments (videos, seeds, K, K) by video, run and cell of the confusion matrix."""


def over_seeds_and_videos(
    answers: Sequence[Predictions], resamples: int = RESAMPLES, seed: int = 3407
) -> dict[str, dict[str, dict[str, Any]]]:
    """Of each task and headline metric: mean and sample standard deviation over seeds, and a 95 % interval.

    The interval is of the mean over seeds, under draws of videos and of seeds (`csmv.pipeline.vccsa.resampling`).
    """
    random = np.random.default_rng(seed)
    by_seed = [_by_seed(answers, task) for task in TASKS]
    drawn = weighted_confusions(by_seed, resamples, random)
    weights = seed_weights(len(answers), resamples, random)
    summary: dict[str, dict[str, dict[str, Any]]] = {}
    for task, confusions, draws in zip(TASKS, by_seed, drawn, strict=True):
        scores, drawn_scores = headline(confusions.sum(0)), headline(draws)
        summary[task] = {
            name: _mean_and_spread(scores[name])
            | {"interval_95": interval(mean_over_seeds(drawn_scores[name], scores[name], weights))}
            for name in scores
        }
    return summary


def compare(
    store: Store, first: str, second: str, part: str = "test", resamples: int = RESAMPLES, seed: int = 3407
) -> dict[str, Any]:
    """`second` minus `first` on the same comments, of two runs or experiments: 95 % intervals and a two-sided p.

    Both meet every draw of videos together, so what is hard for both cancels; where they have the same seeds, they
    meet the draws of those together too. Of single runs only videos are drawn.

    Raises:
        CsmvError: there is none of a name, or they did not answer the same comments with the same labels.
    """
    one, other = named_experiment(store, first), named_experiment(store, second)
    return compare_experiments(store, one, other, part, resamples, seed)


def compare_experiments(
    store: Store, first: Experiment, second: Experiment, part: str, resamples: int = RESAMPLES, seed: int = 3407
) -> dict[str, Any]:
    """`compare`, of experiments."""
    a, b = first.predictions(store, part), second.predictions(store, part)
    refuse_other_comments(a[0], b[0], part)
    are_paired = list(first.runs) == list(second.runs)
    tasks = paired(a, b, are_paired, resamples, seed)
    if len(a) == len(b) == 1:
        for task in TASKS:
            tasks[task]["only_one_right"] = _only_one_right(a[0], b[0], task)
    return {
        "first": first.name,
        "second": second.name,
        "part": part,
        "resamples": resamples,
        "videos": len(set(a[0].videos.tolist())),
        "seeds": {"first": list(first.runs), "second": list(second.runs), "paired": are_paired},
        "tasks": tasks,
    }


def paired(
    a: Sequence[Predictions], b: Sequence[Predictions], are_paired: bool, resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Of each task and headline metric: both means over seeds and the difference b - a with interval and p.

    Args:
        a, b: the predictions of each run, on the same comments in the same order.
        are_paired: whether the nth runs of both have the same seed.
        resamples: draws of videos and seeds.
        seed: decides the draws.
    """
    random = np.random.default_rng(seed)
    by_seed = [_by_seed(answers, task) for task in TASKS for answers in (a, b)]
    drawn = iter(weighted_confusions(by_seed, resamples, random))
    of_a = seed_weights(len(a), resamples, random)
    of_b = of_a if are_paired else seed_weights(len(b), resamples, random)
    whole = iter(by_seed)
    tasks: dict[str, dict[str, Any]] = {}
    for task in TASKS:
        scores_a, scores_b = headline(next(whole).sum(0)), headline(next(whole).sum(0))
        drawn_a, drawn_b = headline(next(drawn)), headline(next(drawn))
        tasks[task] = {}
        for name in scores_a:
            if are_paired:
                differences = mean_over_seeds(drawn_b[name] - drawn_a[name], scores_b[name] - scores_a[name], of_a)
            else:
                differences = mean_over_seeds(drawn_b[name], scores_b[name], of_b)
                differences = differences - mean_over_seeds(drawn_a[name], scores_a[name], of_a)
            one, two = _mean_and_spread(scores_a[name]), _mean_and_spread(scores_b[name])
            tasks[task][name] = {
                "first": one["mean"],
                "first_spread": one["spread"],
                "second": two["mean"],
                "second_spread": two["spread"],
                "difference": two["mean"] - one["mean"],
                "interval_95": interval(differences),
                "p": two_sided(differences),
            }
    return tasks


def _by_seed(answers: Sequence[Predictions], task: str) -> BySeed:
    return np.stack([confusion_by_video(one, task) for one in answers], axis=1)


def _mean_and_spread(scores: NDArray[np.float64]) -> dict[str, Any]:
    """Of scores (seeds): mean and sample standard deviation, which is None of one."""
    values = scores.tolist()
    return {"mean": statistics.fmean(values), "spread": statistics.stdev(values) if len(values) > 1 else None}


def _only_one_right(a: Predictions, b: Predictions, task: str) -> dict[str, int]:
    labelled = a.labels[task] != NO_LABEL
    right = [(p.probabilities[task].argmax(1) == p.labels[task])[labelled] for p in (a, b)]
    return {"first": int((right[0] & ~right[1]).sum()), "second": int((right[1] & ~right[0]).sum())}
