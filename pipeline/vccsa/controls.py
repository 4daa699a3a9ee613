"""What a controlled run sees otherwise: fewer train videos, or a video that is not the comment's own.

Everything is drawn from ids and a seed, so that equal runs see the same whatever order the rows come in.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from csmv.pipeline.feature_arrays import Vectors
from csmv.pipeline.vccsa.corpus_columns import Strings
from csmv.pipeline.vccsa.video_features import FeatureSet


def within_fraction(video_ids: Strings, is_train: NDArray[np.bool_], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Which comments (N) stay when training sees only this share of its videos, rounded up; dev and test stay whole.

    The subsets of one seed are nested: a larger fraction has all the videos of a smaller one.
    """
    if fraction >= 1:
        return np.ones(len(video_ids), dtype=bool)
    videos, video = video_ids.distinct()
    in_train = np.unique(video[is_train])
    order = in_train[np.argsort(_draws([videos[number] for number in in_train], f"fraction:{seed}"), kind="stable")]
    chosen = order[: ceil(fraction * len(order))]
    stays: NDArray[np.bool_] = ~is_train | np.isin(video, chosen)
    return stays


def without_video(features: FeatureSet) -> FeatureSet:
    """Every video as one and the same zero vector, so that not even its length says anything."""
    nothing: Vectors = np.zeros((1, features.dim), np.float32)
    return replace(features, videos=dict.fromkeys(features.videos, nothing))


def with_shuffled_videos(features: FeatureSet, video_ids: Strings, part: NDArray[np.int8], seed: int) -> FeatureSet:
    """Every video with the vectors of another one, which the same parts of the split have.

    Videos are shuffled among those that occur in the same parts, so that no vectors move from test to train. Where
    only one video has its combination of parts, it is shuffled with the largest group. A video without vectors has
    none still. Nothing changes where one video has vectors. On a split that has the same videos in train and test, the
    other vectors still tell one video from another, and a model may learn those by heart: judge on videos unseen.
    """
    videos, video = video_ids.distinct()
    parts = np.zeros(len(videos), np.int64)
    np.bitwise_or.at(parts, video, 1 << part.astype(np.int64))
    here = np.array([number for number, name in enumerate(videos) if features.of(name) is not None], np.int64)
    order = here[np.argsort(_draws([videos[number] for number in here], f"shuffled:{seed}"), kind="stable")]
    shuffled = dict(features.videos)
    for group in _groups(order, parts[order]):
        for number, other in zip(group, np.roll(group, 1), strict=True):
            shuffled[videos[number]] = features.videos[videos[other]]
    return replace(features, videos=shuffled)


def _groups(order: NDArray[np.int64], key: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The numbers of `order` by key, those that are alone with the largest group."""
    groups = sorted((order[key == one] for one in np.unique(key)), key=len, reverse=True)
    alone = [group for group in groups[1:] if len(group) == 1]
    return [np.concatenate([groups[0], *alone]), *(group for group in groups[1:] if len(group) > 1)] if groups else []


def _draws(names: Sequence[str], what: str) -> NDArray[np.uint64]:
    """Of each name a number that stands for chance, whatever other names there are."""
    digests = (hashlib.sha256(f"{what}:{name}".encode()).digest() for name in names)
    return np.array([int.from_bytes(one[:8], "big") for one in digests], np.uint64)
