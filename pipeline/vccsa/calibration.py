"""Whether a run is as often right as it is sure, before and after one temperature for each task that dev chooses."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15

Probabilities = NDArray[np.float64]
Labels = NDArray[np.int64]

_LEAST = 1e-12
"""A probability of zero counts as this, so that its logarithm is finite."""
_STEPS = 50
_SHARPEST, _FLATTEST = 1e-2, 1e2


def calibration(label: Labels, probability: Probabilities, bins: int = BINS) -> dict[str, Any]:
    """Expected calibration error, negative log-likelihood and Brier score, and the bins of a reliability diagram.

    ECE is over equal-width bins of the largest probability (Guo et al., ICML 2017); each bin says how many, how sure
    and how often right. Brier's score is the squared distance to the one-hot label, between 0 and 2 (Brier, 1950).

    Args:
        label: class numbers (N).
        probability: (N, K), rows adding up to 1.
        bins: how many.
    """
    sure, right = probability.max(1), probability.argmax(1) == label
    of = np.minimum((sure * bins).astype(int), bins - 1)
    count = np.bincount(of, minlength=bins)
    some = np.maximum(count, 1)
    confidence = np.bincount(of, sure, bins) / some
    accuracy = np.bincount(of, right.astype(float), bins) / some
    filled = [
        {"count": int(n), "confidence": float(c), "accuracy": float(a)}
        for n, c, a in zip(count, confidence, accuracy, strict=True)
        if n
    ]
    n = max(len(label), 1)
    return {
        "ece": float((count * np.abs(accuracy - confidence)).sum() / n),
        "nll": negative_log_likelihood(label, probability),
        "brier": float(((probability - np.eye(probability.shape[1])[label]) ** 2).sum() / n),
        "bins": filled,
    }


def negative_log_likelihood(label: Labels, probability: Probabilities) -> float:
    """The mean of -log p of the true class, in nats."""
    of_true = probability[np.arange(len(label)), label]
    return float(np.log(1 / np.maximum(of_true, _LEAST)).sum() / max(len(label), 1))


def at_temperature(probability: Probabilities, temperature: float) -> Probabilities:
    """softmax(log p / T), (N, K): the classes keep their order, T above 1 makes them less sure."""
    scaled = np.log(np.maximum(probability, _LEAST)) / temperature
    powers = np.exp(scaled - scaled.max(1, keepdims=True))
    shares: Probabilities = powers / powers.sum(1, keepdims=True)
    return shares


def fitted_temperature(label: Labels, probability: Probabilities) -> float | None:
    """The temperature of the least negative log-likelihood (Guo et al., ICML 2017), between 0.01 and 100.

    None without a labelled comment. In 1/T the likelihood is convex, so its slope, mean over comments of
    E[log p] - log p of the true class, crosses zero once: halving finds it, to the same number everywhere.
    """
    if not len(label):
        return None
    logits = np.log(np.maximum(probability, _LEAST))
    of_true = logits[np.arange(len(label)), label].mean()
    low, high = _SHARPEST, _FLATTEST
    for _ in range(_STEPS):
        middle = float(np.sqrt(low * high))
        expected = (at_temperature(probability, middle) * logits).sum(1).mean()
        # The hotter, the smaller the expectation: above the true class's, it is still too sure of others.
        low, high = (middle, high) if expected > of_true else (low, middle)
    return float(np.sqrt(low * high))
