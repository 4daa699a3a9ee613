"""What a frozen encoder makes of a corpus's texts, computed once: it is the same in every epoch.

Vectors are looked up by tokens, so that equal texts are encoded once. They are held in memory, or, where they are too
many, in a file that has no name and vanishes with the process: nothing of a comment stays behind.
"""

import os

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from csmv.pipeline.progress import track
from csmv.pipeline.vccsa.batches import USUAL_TOKENS, Batches, by_length
from csmv.pipeline.vccsa.text import TextTower
from csmv.pipeline.vccsa.video_features import IN_MEMORY_BYTES, unnamed_file

_TOKENS = 64 * USUAL_TOKENS


class TextVectors:
    """One vector a token (M, T) of the distinct texts, end to end, and where each row's begin (N)."""

    def __init__(self, vectors: NDArray[np.float32], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
        self._vectors, self._starts, self._lengths = vectors, starts, lengths

    @classmethod
    def of(cls, tower: TextTower, batches: Batches, device: torch.device) -> "TextVectors":
        """The vectors of all texts; the same bytes whatever the order or number of equal ones."""
        texts = [ids.tobytes() for ids in batches.ids]
        distinct, place = np.unique(np.array(texts, object), return_inverse=True)
        lengths = np.array([len(text) for text in distinct], np.int64) // np.dtype(np.int32).itemsize
        starts = np.cumsum(lengths) - lengths
        tower.eval()
        vectors = np.empty((0, 0), np.float32)
        with torch.inference_mode(), track("encode texts", len(distinct)) as tick:
            for rows in by_length(np.arange(len(distinct)), lengths, _TOKENS):
                ids = np.full((len(rows), lengths[rows].max()), batches.pad_id, np.int64)
                for k, row in enumerate(rows):
                    ids[k, : lengths[row]] = np.frombuffer(distinct[row], np.int32)
                seen = torch.from_numpy(np.arange(ids.shape[1]) < lengths[rows][:, None])
                words = tower(torch.from_numpy(ids).to(device), seen.to(device), ids.shape[1]).float().cpu().numpy()
                if not vectors.size:
                    vectors = _room(int(lengths.sum()), words.shape[2])
                for k, row in enumerate(rows):
                    vectors[starts[row] : starts[row] + lengths[row]] = words[k, : lengths[row]]
                tick(len(rows))
        return cls(vectors, starts[place], lengths[place])

    def padded(self, rows: NDArray[np.int64], length: int) -> Tensor:
        """The vectors of some rows (B, length, T), zeros after each text's end."""
        joined = torch.zeros((len(rows), length, self._vectors.shape[1]))
        values = joined.numpy()
        for k, row in enumerate(rows):
            start, count = self._starts[row], self._lengths[row]
            values[k, :count] = self._vectors[start : start + count]
        return joined


def _room(tokens: int, dim: int) -> NDArray[np.float32]:
    budget = int(os.environ.get("CSMV_FEATURE_MEMORY", IN_MEMORY_BYTES))
    if tokens * dim * np.dtype(np.float32).itemsize <= budget:
        return np.empty((tokens, dim), np.float32)
    return np.memmap(unnamed_file(), np.float32, "w+", shape=(tokens, dim))
