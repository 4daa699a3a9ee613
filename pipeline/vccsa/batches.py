"""Comments to batches: which ones go together, and the tensors of those that do. Each video stands in a batch once.

Which comments share a batch depends on the seed and the epoch alone, so that a run can go on from any step.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from csmv.pipeline.feature_arrays import Vectors
from csmv.pipeline.vccsa.batch import Batch, Stream
from csmv.pipeline.vccsa.corpus_columns import TokenIds
from csmv.pipeline.vccsa.data import Corpus
from csmv.pipeline.vccsa.paper import pad_length
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.video_features import FeatureSet

Rows = NDArray[np.int64]
BUCKET_BATCHES = 50  # comments are sorted by length among as many as fill this many batches

USUAL_TOKENS = 16
"""Tokens of a comment, about: those of CSMV have 14 in the mean."""


class Batches:
    """The batches of a corpus for one configuration. Token ids are made once, frames are views until joined."""

    def __init__(
        self,
        corpus: Corpus,
        config: TrainConfig,
        ids: TokenIds | Sequence[Sequence[int]],
        pad_id: int,
        padded_rows_are_equal: bool = False,
    ) -> None:
        """ids: the comments' tokens; padded_rows_are_equal: what `csmv.pipeline.vccsa.text` says of the encoder."""
        self.padded_rows_are_equal = padded_rows_are_equal
        self.corpus, self.config, self.pad_id = corpus, config, pad_id
        self.ids = ids if isinstance(ids, TokenIds) else TokenIds.of([ids])
        self.lengths = self.ids.lengths
        self.videos, self.video = corpus.video_ids.distinct()
        self.dims = video_dims(corpus.features, config)
        self.text_vectors: Callable[[Rows, int], torch.Tensor] | None = None
        """Gives the encoder's vectors (B, L, T) of rows, padded to L, if they are known."""

    def of_epoch(self, epoch: int) -> list[Rows]:
        """The train batches of an epoch, shuffled; comments of one video or of like length together if configured."""
        size = self.config.batch_size
        random = np.random.default_rng([self.config.seed, epoch])
        rows = random.permutation(self.corpus.rows("train"))
        rows, lengths = _in_groups(rows, self.video[rows], self.lengths[rows], self.config.comments_per_video)
        if not self.config.bucket_by_length:
            return _cut(rows, size)
        pools = _cut(np.arange(len(rows)), size * BUCKET_BATCHES)
        batches = [
            batch for pool in pools for batch in _cut(rows[pool[np.argsort(lengths[pool], kind="stable")]], size)
        ]
        return [batches[k] for k in random.permutation(len(batches))]

    def for_scoring(self, rows: Rows, size: int | None = None) -> list[Rows]:
        """All of `rows` in batches for a network that learns nothing from them.

        For a model of videos `size` comments a batch (by default 64, or the training's size if that is larger), those
        of one video together, so that its side is computed once. For a model of text alone those of like length, as
        many as have the tokens of `size` usual ones, so that hardly a token is padding.
        """
        size = max(self.config.batch_size, 64) if size is None else size
        if self.dims:
            return _cut(rows[np.lexsort((self.lengths[rows], self.video[rows]))], size)
        return by_length(rows, self.lengths[rows], size * USUAL_TOKENS)

    def join(self, rows: Rows, training: bool) -> Batch:
        """The tensors of a batch."""
        length = self._text_length(rows, training)
        ids = np.full((len(rows), length), self.pad_id, dtype=np.int64)
        for k, row in enumerate(rows):
            ids[k, : self.lengths[row]] = self.ids[row]
        seen = np.arange(length) < self.lengths[rows][:, None]
        videos, video_of = np.unique(self.video[rows], return_inverse=True)
        return Batch(
            ids=torch.from_numpy(ids),
            text_seen=torch.from_numpy(seen),
            streams=self.streams([self.videos[video] for video in videos]),
            video_of=torch.from_numpy(video_of),
            opinion=torch.from_numpy(self.corpus.opinion[rows]),
            emotion=torch.from_numpy(self.corpus.emotion[rows]),
            rows=torch.from_numpy(rows),
            longest=int(self.lengths[rows].max()),
            words=None if self.text_vectors is None else self.text_vectors(rows, length),
        )

    def _text_length(self, rows: Rows, training: bool) -> int:
        config = self.config
        if config.model == "vccsa-paper":
            return pad_length(
                self.lengths[rows].tolist(), config.sizes.paper_text_length, training or not self.padded_rows_are_equal
            )
        if config.model == "vccsa" and not config.switches.variable_lengths:
            return config.text.max_tokens
        return int(self.lengths[rows].max())

    def streams(self, videos: Sequence[str]) -> tuple[Stream, ...]:
        """The frames of these videos, padded with zeros to the longest, or to V where the model needs it."""
        if not self.config.needs_features:
            return ()
        streams = [[features.of(video) for video in videos] for features in self.corpus.features]
        if self.config.combine == "concatenate" and len(streams) > 1:
            streams = [[_side_by_side(sets) for sets in zip(*streams, strict=True)]]
        return tuple(self._stream(frames, dim) for frames, dim in zip(streams, self.dims, strict=True))

    def _stream(self, videos: Sequence[Vectors | None], dim: int) -> Stream:
        most = self.config.sizes.visual_length
        lengths = np.array([0 if frames is None else min(len(frames), most) for frames in videos])
        fixed = self.config.model == "vccsa-paper" or (
            self.config.model == "vccsa" and not self.config.switches.variable_lengths
        )
        longest = most if fixed else max(1, int(lengths.max()))
        joined = torch.empty((len(videos), longest, dim))
        values = joined.numpy()
        for k, frames in enumerate(videos):
            if frames is not None:
                values[k, : lengths[k]] = frames[:most]
            values[k, lengths[k] :] = 0
        return Stream(joined, torch.from_numpy(np.arange(longest) < lengths[:, None]))


def video_dims(features: Sequence[FeatureSet], config: TrainConfig) -> list[int]:
    """Width of each visual stream."""
    dims = [feature_set.dim for feature_set in features]
    return [sum(dims)] if dims and config.combine == "concatenate" else dims


def train_statistics(batches: Batches) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Mean and spread of every dimension of each stream over the frames of the train videos, each video once."""
    rows = batches.corpus.rows("train")
    videos = [batches.videos[video] for video in np.unique(batches.video[rows])]
    sums = [np.zeros((3, dim)) for dim in batches.dims]
    for start in range(0, len(videos), 64):
        for stream, total in zip(batches.streams(videos[start : start + 64]), sums, strict=True):
            frames = stream.frames[stream.seen].double().numpy()
            total += np.stack([np.full(frames.shape[1], len(frames)), frames.sum(0), (frames**2).sum(0)])
    statistics = []
    for count, total, squares in sums:
        mean = total / np.maximum(count, 1)
        variance = np.maximum(squares / np.maximum(count, 1) - mean**2, 0)
        # A dimension that never moves says nothing; it is left at zero rather than blown up.
        spread = np.where(variance > 1e-10 * (1 + mean**2), np.sqrt(variance), 1.0)
        statistics.append((torch.from_numpy(mean).float(), torch.from_numpy(spread).float()))
    return statistics


def _side_by_side(sets: Sequence[Vectors | None]) -> Vectors | None:
    """One vector a moment out of several sets; where their rates differ, the nearest in time of each."""
    present = [frames for frames in sets if frames is not None]
    if len(present) < len(sets):
        return None
    length = len(present[0])
    return np.concatenate([frames[np.arange(length) * len(frames) // length] for frames in present], axis=1)


def _in_groups(rows: Rows, video: Rows, lengths: Rows, most: int) -> tuple[Rows, Rows]:
    """Shuffled rows (N) with up to `most` of each video side by side, and for each row the longest text beside it.

    A group stands where the first of its rows stood, so the groups are as shuffled as the rows were.
    """
    if most == 1:
        return rows, lengths
    by_video = np.argsort(video, kind="stable")
    starts = np.flatnonzero(np.diff(video[by_video], prepend=-1))
    nth = np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))
    first = np.flatnonzero(nth % most == 0)  # where a group starts, in by_video's order
    sizes = np.diff(first, append=len(rows))
    longest = np.repeat(np.maximum.reduceat(lengths[by_video], first), sizes)
    order = np.argsort(np.repeat(by_video[first], sizes), kind="stable")
    return rows[by_video][order], longest[order]


def by_length(rows: Rows, lengths: Rows, tokens: int) -> list[Rows]:
    """Rows (N) of texts of these lengths from the shortest on, in batches of at most `tokens` with padding.

    A text that is longer than that is a batch by itself.
    """
    order = np.argsort(lengths, kind="stable")
    ascending, batches, start = lengths[order], [], 0
    while start < len(order):
        most = ascending[start : start + tokens] * np.arange(1, min(tokens, len(order) - start) + 1)
        end = start + max(1, int(np.searchsorted(most, tokens, side="right")))
        batches.append(rows[order[start:end]])
        start = end
    return batches


def _cut(rows: Rows, size: int) -> list[Rows]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
