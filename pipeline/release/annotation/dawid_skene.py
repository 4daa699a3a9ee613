"""What a comment's class is most likely to be, from annotators of unknown reliability.

Source: Dawid and Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm" (Applied
Statistics 28, 1979): an item's true class and each annotator's confusion matrix are estimated in turn.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csmv.pipeline.release.annotation.agreement import MISSING, Ratings, counts_of

_SMOOTHING = 0.1
"""Answers that every annotator is taken to have given of each kind, so that a class never seen is not impossible."""
_MOST_STEPS = 200
_CLOSE = 1e-6


@dataclass(frozen=True)
class Estimate:
    """What the annotators' answers say together.

    Args:
        posterior: probability of each class of each item (N, K).
        confusion: of each annotator, the probability of an answer given the true class (A, K, K).
        prior: share of each class (K,).
        steps: how many rounds it took.
    """

    posterior: NDArray[np.float64]
    confusion: NDArray[np.float64]
    prior: NDArray[np.float64]
    steps: int


def dawid_skene(ratings: Ratings, classes: int) -> Estimate:
    """Estimate true classes and confusions by expectation maximization, from the shares of votes on.

    Args:
        ratings: class numbers (N items, A annotators), MISSING where there is none; every item has at least one.
        classes: how many classes there are.
    """
    counts = counts_of(ratings, classes)
    posterior = counts / counts.sum(axis=1, keepdims=True)
    rated = [np.flatnonzero(column != MISSING) for column in ratings.T]
    confusion = np.zeros((ratings.shape[1], classes, classes))
    prior = np.full(classes, 1 / classes)
    steps = 0
    while steps < _MOST_STEPS:
        steps += 1
        prior = (posterior.sum(axis=0) + _SMOOTHING) / (len(ratings) + classes * _SMOOTHING)
        for one, items in enumerate(rated):
            answers = np.eye(classes)[ratings[items, one]]
            given = posterior[items].T @ answers + _SMOOTHING
            confusion[one] = given / given.sum(axis=1, keepdims=True)
        scores = np.tile(np.log(prior), (len(ratings), 1))
        for one, items in enumerate(rated):
            scores[items] += np.log(confusion[one])[:, ratings[items, one]].T
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        before, posterior = posterior, scores / scores.sum(axis=1, keepdims=True)
        if np.abs(posterior - before).max() < _CLOSE:
            break
    return Estimate(posterior, confusion, prior, steps)
