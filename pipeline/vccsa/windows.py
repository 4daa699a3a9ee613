"""What share of a model's attention each window of a video has: frame weights of all views and streams as one row."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Span = tuple[float, float]
"""Start and end of a window, in seconds."""


def window_shares(weights: NDArray[np.float64], spans: Sequence[Sequence[Span]]) -> NDArray[np.float64]:
    """The share of each window of the first visual stream in what one comment looks at.

    Views of a stream are averaged. Streams count alike, and what a stream gives its vectors goes to the first stream's
    windows at the same time.

    Args:
        weights: frame weights (views of all streams, V) of one comment.
        spans: when each vector of each visual stream is.

    Returns:
        Shares (windows) that sum to 1, or zeros where the comment looks at nothing.
    """
    streams = weights.reshape(len(spans), -1, weights.shape[-1]).mean(1)
    share = np.zeros(len(spans[0]))
    for weight, own in zip(streams, spans, strict=True):
        given = weight[: len(own)] / max(weight[: len(own)].sum(), 1e-12)
        share += (given if own is spans[0] else _overlap(spans[0], own) @ given) / len(spans)
    return share


def _overlap(windows: Sequence[Span], spans: Sequence[Span]) -> NDArray[np.float64]:
    """Which share of each span falls into each window (windows, spans); the nearest window's where none does."""
    (start, end), (begin, stop) = np.array(windows).T[:, :, None], np.array(spans).T[:, None, :]
    common = np.clip(np.minimum(end, stop) - np.maximum(start, begin), 0, None)
    alone = common.sum(0) == 0
    nearest = np.abs((start + end) - (begin + stop)).argmin(0)
    common[nearest[alone], np.flatnonzero(alone)] = 1
    shares: NDArray[np.float64] = common / common.sum(0)
    return shares
