"""What goes into a network and what comes out, the same for every model under the one training loop."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Stream:
    """One feature set of the videos of a batch, each video once: frames (U, V, Dv), seen (U, V) bool."""

    frames: Tensor
    seen: Tensor


@dataclass(frozen=True)
class Batch:
    """B comments on U videos.

    ids, text_seen (B, L), real tokens first; video_of (B), the comment's video among the U; opinion, emotion (B),
    class numbers or NO_LABEL; rows (B), the samples' places in their corpus; longest, most real tokens of a comment
    (None: to be counted); words (B, L, T), what a frozen encoder makes of the tokens (None: to be computed).
    """

    ids: Tensor
    text_seen: Tensor
    streams: tuple[Stream, ...]
    video_of: Tensor
    opinion: Tensor
    emotion: Tensor
    rows: Tensor
    longest: int | None = None
    words: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device. What is pinned is copied while the device computes."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=tensor.is_pinned()))

    def pinned(self) -> "Batch":
        """The batch in memory that a GPU copies from by itself."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        changed: dict[str, Any] = {name: change(getattr(self, name)) for name in _PLAIN}
        streams = tuple(Stream(change(stream.frames), change(stream.seen)) for stream in self.streams)
        return replace(self, streams=streams, words=None if self.words is None else change(self.words), **changed)


_PLAIN = ("ids", "text_seen", "video_of", "opinion", "emotion", "rows")


class Prediction(NamedTuple):
    """Probabilities (B, 3) and (B, 8), the scalar loss, and frame weights (views, B, V) where the model has any."""

    opinion: Tensor
    emotion: Tensor
    loss: Tensor
    frame_weights: Tensor | None = None
