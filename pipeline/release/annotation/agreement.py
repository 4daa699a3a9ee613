"""How far annotators agree beyond chance: Cohen's and Fleiss' kappa, Krippendorff's alpha. Arrays in, numbers out.

Ratings are an array (N comments, A annotators) of class numbers, with MISSING where an annotator said nothing.

Sources: Cohen, "A coefficient of agreement for nominal scales" (1960); Fleiss, "Measuring nominal scale agreement among
many raters" (1971); Krippendorff, "Content Analysis" (4th edition, 2018), chapter 12, for nominal data.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MISSING = -1

Ratings = NDArray[np.int64]


def cohen_kappa(one: Ratings, other: Ratings, classes: int) -> float | None:
    """Cohen's kappa of two annotators over the items that both rated.

    Args:
        one: class numbers (N,), MISSING where there is none.
        other: the same of the other annotator.
        classes: how many classes there are.

    Returns:
        Kappa, 1 for perfect agreement and 0 for chance; None without a common item, or where chance alone agrees fully.
    """
    table = confusion(one, other, classes)
    total = table.sum()
    if not total:
        return None
    observed = np.trace(table) / total
    expected = float(table.sum(axis=1) @ table.sum(axis=0)) / total**2
    return _beyond_chance(float(observed), expected)


def fleiss_kappa(ratings: Ratings, classes: int) -> float | None:
    """Fleiss' kappa over the items with at least two ratings.

    Where items have different numbers of ratings, each item's agreement is that of its own pairs, and chance that of
    all ratings together; with equal numbers it is Fleiss' own formula.
    """
    counts = counts_of(ratings, classes)
    counts = counts[counts.sum(axis=1) >= 2]
    if not len(counts):
        return None
    sizes = counts.sum(axis=1)
    observed = (((counts**2).sum(axis=1) - sizes) / (sizes * (sizes - 1))).mean()
    shares = counts.sum(axis=0) / counts.sum()
    return _beyond_chance(float(observed), float(shares @ shares))


def krippendorff_alpha(ratings: Ratings, classes: int) -> float | None:
    """Krippendorff's alpha for nominal data, items with fewer than two ratings left out."""
    counts = counts_of(ratings, classes)
    counts = counts[counts.sum(axis=1) >= 2].astype(np.float64)
    if not len(counts):
        return None
    # Coincidences: each item's ordered pairs of ratings, weighted so that an item counts as often as it was rated.
    weights = 1 / (counts.sum(axis=1) - 1)
    coincidences = (counts.T * weights) @ counts - np.diag(counts.T @ weights)
    totals = coincidences.sum(axis=1)
    whole = totals.sum()
    expected = 1 - (totals @ (totals - 1)) / (whole * (whole - 1))
    if not expected:
        return None
    return float(1 - (1 - np.trace(coincidences) / whole) / expected)


def confusion(gold: Ratings, chosen: Ratings, classes: int) -> NDArray[np.int64]:
    """How often each gold class (rows) was given each class (columns), over items that have both: (K, K)."""
    both = (gold != MISSING) & (chosen != MISSING)
    cells = np.bincount(gold[both] * classes + chosen[both], minlength=classes**2)
    return cells.reshape(classes, classes)


def counts_of(ratings: Ratings, classes: int) -> NDArray[np.int64]:
    """How many annotators gave each item each class: (N, K)."""
    counts = np.zeros((len(ratings), classes), np.int64)
    for column in ratings.T:
        rated = np.flatnonzero(column != MISSING)
        counts[rated, column[rated]] += 1
    return counts


def wilson_upper(right: int, total: int) -> float:
    """The upper end of the 95 % interval of a share (Wilson, 1927)."""
    z, share = 1.96, right / total
    middle = share + z**2 / (2 * total)
    return float((middle + z * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))) / (1 + z**2 / total))


def longest_run(answers: Sequence[object]) -> tuple[int, object]:
    """How long the longest run of equal answers is, and of which."""
    longest, best, length = 0, None, 0
    for at, answer in enumerate(answers):
        length = length + 1 if at and answers[at - 1] == answer else 1
        if length > longest:
            longest, best = length, answer
    return longest, best


def _beyond_chance(observed: float, expected: float) -> float | None:
    return None if expected >= 1 else (observed - expected) / (1 - expected)
