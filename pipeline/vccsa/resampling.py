"""Draws of videos and of seeds, from which intervals and p-values come.

Comments of one video are not independent, so videos are drawn, not comments. Each draw weighs the videos with a
Dirichlet(1, ..., 1), the Bayesian bootstrap (Rubin, Annals of Statistics 9, 1981): no video ever weighs nothing, so a
rare class does not vanish from a draw and pull macro-F1 to one side, as it does where videos are drawn with
replacement. Of n seeds n - 1 are drawn with replacement, which makes the variance of their mean unbiased (Rao and Wu,
JASA 83, 1988); drawing n of 3 would understate it by a third. What a seed and a video do together, most of it the
noise of single answers, is in the draws of videos already; drawing seeds as well would count it twice more (Owen and
Eckles, Annals of Applied Statistics 6, 2012), so seeds are drawn by their own share of the variance only.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
_DRAWN_AT_ONCE = 1 << 22

Draws = NDArray[np.float64]


def video_weights(videos: int, resamples: int, random: np.random.Generator) -> Iterator[Draws]:
    """Weights (draws, videos) with mean 1 in every draw, a few draws at a time."""
    most = max(1, _DRAWN_AT_ONCE // videos)
    for start in range(0, resamples, most):
        drawn = random.standard_exponential((min(most, resamples - start), videos))
        yield drawn / drawn.mean(1, keepdims=True)


def seed_weights(seeds: int, resamples: int, random: np.random.Generator) -> Draws:
    """Weights (resamples, seeds) that add up to 1 in every draw; a single seed always weighs 1."""
    if seeds == 1:
        return np.ones((resamples, 1))
    return random.multinomial(seeds - 1, np.full(seeds, 1 / seeds), size=resamples) / (seeds - 1)


def mean_over_seeds(drawn: Draws, scores: NDArray[np.float64], weights: Draws) -> Draws:
    """Means over seeds (resamples) under draws of videos and of seeds.

    How far seeds differ is split by moments, as in an analysis of variance: of the sample variance of the scores, what
    draws of videos make of it by themselves is the share that seeds and videos have together. Three seeds say little
    of how far seeds differ: the draws are stretched about their mean as Student's t is beside the normal law, with
    Satterthwaite's degrees of freedom (Biometrics Bulletin 2, 1946), so that few seeds give wide intervals. What is
    guessed from few numbers is more than the variance that is left as the seeds' own: all of it where seeds differ
    much, and none where draws of videos explain it; between the two it is counted by the root of the seeds' part.

    Args:
        drawn: of each draw of videos, each seed's score (resamples, seeds).
        scores: each seed's score on all videos (seeds).
        weights: of `seed_weights` (resamples, seeds).
    """
    seeds = len(scores)
    if seeds == 1:
        return drawn[:, 0]
    together, total = (drawn - scores).var(1, ddof=1).mean(), scores.var(ddof=1)
    share = np.sqrt(max(0.0, 1 - together / total)) if total > 0 else 0.0
    means: Draws = (drawn * (1 / seeds + share * (weights - 1 / seeds))).sum(1)
    stretch = _stretch(means.var(), share * total / seeds, seeds) if share else 1.0
    stretched: Draws = means.mean() + (means - means.mean()) * stretch
    return stretched


def _stretch(total: float, guessed: float, seeds: int) -> float:
    """How much wider the middle 95 % of Student's t are than the normal law's.

    Args:
        total: a variance.
        guessed: the term of it that is guessed from `seeds` numbers.
        seeds: how many.
    """
    from scipy.stats import norm, t

    freedom = (seeds - 1) * (total / guessed) ** 2
    return float(t.ppf(0.975, max(freedom, seeds - 1)) / norm.ppf(0.975))


def weighted_confusions(
    by_video: Sequence[NDArray[np.float64]], resamples: int, random: np.random.Generator
) -> list[NDArray[np.float64]]:
    """Of each (videos, ..., K, K) the weighted sums (resamples, ..., K, K), under the same draws of videos for all."""
    sums: list[list[NDArray[np.float64]]] = [[] for _ in by_video]
    videos = len(by_video[0])
    for weights in video_weights(videos, resamples, random):
        for pieces, confusions in zip(sums, by_video, strict=True):
            pieces.append((weights @ confusions.reshape(videos, -1)).reshape(-1, *confusions.shape[1:]))
    return [np.concatenate(pieces) for pieces in sums]


def interval(values: Draws) -> list[float]:
    """The middle 95 % of drawn values."""
    low, high = np.percentile(values, [2.5, 97.5])
    return [float(low), float(high)]


def two_sided(differences: Draws) -> float:
    """Twice the share of draws on the rarer side of zero, ties on both sides; at most 1.

    One is added to both counts: no finite number of draws shows a chance of zero (Davison and Hinkley 1997, 4.2).
    """
    n = len(differences)
    return float(min(1.0, 2 * min((differences <= 0).sum() + 1, (differences >= 0).sum() + 1) / (n + 1)))
