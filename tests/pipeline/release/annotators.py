"""Annotators whose mistakes are planted, and what follows from them: kappas without a single draw."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def planted_confusions(seed: int, annotators: int, classes: int, right: float) -> tuple[Matrix, Matrix]:
    """Shares of the classes (K,), and of each annotator the probability of an answer given the truth (A, K, K)."""
    draws = np.random.default_rng(seed)
    prior = draws.dirichlet(np.full(classes, 5.0))
    confusions = np.stack([draws.dirichlet(np.ones(classes), size=classes) for _ in range(annotators)])
    shares = np.linspace(right, right - 0.15, annotators)[:, None, None]
    return prior, shares * np.eye(classes) + (1 - shares) * confusions


def answers_of(truth: NDArray[np.int64], confusion: Matrix, seed: int) -> NDArray[np.int64]:
    """What an annotator with this confusion says of items of these classes."""
    levels = np.cumsum(confusion, axis=1)[truth]
    draws = np.random.default_rng(seed).random(len(truth))
    return (draws[:, None] > levels).sum(axis=1).clip(0, len(confusion) - 1)


def kappa_of(joint: Matrix) -> float:
    """Cohen's kappa of two annotators whose answers have this joint distribution (K, K)."""
    joint = joint / joint.sum()
    expected = joint.sum(axis=1) @ joint.sum(axis=0)
    return float((np.trace(joint) - expected) / (1 - expected))


def joint_of(prior: Matrix, one: Matrix, other: Matrix) -> Matrix:
    """The joint distribution of two annotators' answers."""
    return one.T @ (prior[:, None] * other)


def fleiss_of(prior: Matrix, confusions: Matrix) -> float:
    """Fleiss' kappa, to which Krippendorff's alpha comes close with many items."""
    pairs = [(one, other) for one in range(len(confusions)) for other in range(one)]
    observed = np.mean([np.trace(joint_of(prior, confusions[one], confusions[other])) for one, other in pairs])
    shares = np.mean([prior @ confusion for confusion in confusions], axis=0)
    return float((observed - shares @ shares) / (1 - shares @ shares))


def decided_of(prior: Matrix, confusions: Matrix, sure: float | None) -> tuple[float, float]:
    """Kappa of what is decided with the truth, and the share that is tied, over all patterns of answers.

    By majority; with `sure`, by who knows prior and confusions and decides where a class is as likely as that.
    """
    classes = len(prior)
    joint, tied = np.zeros((classes, classes)), 0.0
    for answers in product(range(classes), repeat=len(confusions)):
        truth = prior * np.prod(
            [confusion[:, said] for confusion, said in zip(confusions, answers, strict=True)], axis=0
        )
        scores = np.bincount(answers, minlength=classes) if sure is None else truth / truth.sum()
        best = int(scores.argmax())
        if (scores == scores[best]).sum() > 1 if sure is None else scores[best] < sure:
            tied += truth.sum()
        else:
            joint[:, best] += truth
    return kappa_of(joint), float(tied)
