"""`vccsa`, the default model: the idea of VC-CSA with what goes wrong in the released code put right.

A comment's words and the video's frames agree on a consensus at several temporal scales; the consensus points at
frames; each word picks among the scales; the fused words give opinion and emotion. What differs from `vccsa-paper`,
each a switch of `csmv.pipeline.vccsa.train_config.Switches`, and why:

- standardised: features are brought to mean 0 and spread 1 over the train videos (kept with the weights). Pooled
  network features share a large constant part that hides what tells videos apart.
- masked_convolutions: frames after a video's end are zero before every scale, as beyond the last of V frames. In the
  released code a padded frame becomes the projection's bias and leaks inwards.
- masked_grounding: attention over frames stops at the video's end. Unmasked, up to 95 % of it fell on padding.
- frame_weights: `mixture` averages the heads with learnt shares and `recurrent` reads them in order, both for any
  number of frames and summing to 1; `lstm` is the released one, whose hidden size is the frame count V.
- scaled_mixing: scores between words and scales are divided by sqrt(G), as in attention, so that softmax starts flat.
- residual: fusion and final attention add to the encoder's words, normalised, instead of replacing them.
- pooling: `masked-max` and `masked-mean` see real words only; `max` also sees padded rows, which won 9-47 % of dims.
- variable_lengths: a batch is as long as its longest text and video, not 512 tokens and V frames.
- fused_attention: attention weights nobody reads are never written to memory.
- loss: on logits. `focal` is the released weighting without its floor at p near 0; class_balance weighs classes by
  how rare they are in train, where the released weights are constant.

With all of them as released, the arithmetic is `vccsa-paper`'s. With the defaults nothing depends on padding or on
what else is in a batch.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csmv.pipeline.labels import NO_LABEL
from csmv.pipeline.vccsa.attention import (
    grounding_weights,
    masked_softmax,
    rows_attention,
    rows_weights,
)
from csmv.pipeline.vccsa.batch import Batch, Prediction, Stream
from csmv.pipeline.vccsa.paper import Consensus, ScaleMixing
from csmv.pipeline.vccsa.text import TextTower, dim_of
from csmv.pipeline.vccsa.train_config import Sizes, Switches


class Standardise(nn.Module):
    """(x - mean) / spread by dimension; both come from the train videos and are kept with the weights."""

    mean: Tensor
    spread: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("spread", torch.ones(dim))

    def forward(self, stream: Stream) -> Tensor:
        """frames (U, V, Dv) -> the same shape, zero after each video's end."""
        return (stream.frames.to(self.mean.dtype) - self.mean) / self.spread * stream.seen.unsqueeze(-1)


class VisualStream(nn.Module):
    """One feature set at S temporal scales, and where in it a consensus points."""

    def __init__(self, dim_in: int, text_dim: int, sizes: Sizes, switches: Switches) -> None:
        super().__init__()
        visual, width, heads = sizes.visual_dim, sizes.consensus_dim, sizes.ground_heads
        self.switches, self.visual_length = switches, sizes.visual_length
        self.standardise = Standardise(dim_in) if switches.standardised else None
        self.projection = nn.Linear(dim_in, visual)
        self.convolutions = nn.ModuleList(nn.Conv1d(visual, visual, 3, padding=1) for _ in range(sizes.scales))
        self.consensus = nn.ModuleList(
            Consensus(visual, text_dim, width, sizes.consensus_heads, sizes.consensus_layers)
            for _ in range(sizes.scales)
        )
        self.grounding = nn.MultiheadAttention(width, heads, kdim=visual, vdim=visual, batch_first=True)
        # Only the grounding's weights are used; what makes its values can't learn.
        for unused in (self.grounding.v_proj_weight, *self.grounding.out_proj.parameters()):
            if unused is not None:  # packed with the others where both are of one width
                unused.requires_grad_(False)
        self.frame_weights = _frame_weights(switches.frame_weights, heads, sizes.visual_length)

    def scales(self, stream: Stream) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """The video's side, which no comment changes: Z (U, V, D) and its consensus view (U, V, C), by scale."""
        stream = self._padded(stream)
        frames = stream.frames if self.standardise is None else self.standardise(stream)
        real = stream.seen.unsqueeze(-1)
        z = self.projection(frames)
        scaled: list[Tensor] = []
        for convolution in self.convolutions:
            if self.switches.masked_convolutions:
                z = z * real
            z = torch.relu(convolution(z.transpose(1, 2))).transpose(1, 2)
            scaled.append(z)
        views = [torch.relu(cast(Consensus, c).visualLinear(z)) for c, z in zip(self.consensus, scaled, strict=True)]
        return scaled, views, stream.seen

    def forward(
        self, stream: Stream, video_of: Tensor, text: Tensor, text_seen: Tensor, tokens: Tensor, dropout: float
    ) -> tuple[Tensor, Tensor]:
        """text (B, L, T), tokens (N, C) -> what each scale points at (B, S, D) and the frame weights (S, B, V)."""
        scales, views, seen = self.scales(stream)
        seen = seen[video_of]
        grounded, weights = [], []
        for z, view, module in zip(scales, views, self.consensus, strict=True):
            consensus = cast(Consensus, module)
            frames = z[video_of]
            words = torch.relu(consensus.textLinear(text))
            u, _ = consensus(view[video_of], seen, words, text_seen, tokens, dropout)
            alpha = grounding_weights(self.grounding, u, frames, seen if self.switches.masked_grounding else None)
            alpha = F.dropout(alpha, dropout) if dropout else alpha
            w = self.frame_weights(alpha.mean(1), seen)
            grounded.append((w.unsqueeze(1) @ frames).squeeze(1))
            weights.append(w)
        return torch.stack(grounded, 1), torch.stack(weights)

    def _padded(self, stream: Stream) -> Stream:
        """The released frame weights exist for exactly V frames."""
        if self.switches.frame_weights != "lstm":
            return stream
        more = self.visual_length - stream.seen.shape[1]
        return Stream(F.pad(stream.frames, (0, 0, 0, more)), F.pad(stream.seen, (0, more)))


class HeadMixture(nn.Module):
    """One weight a frame: the heads' attention averaged with learnt shares. Sums to 1 over a video's frames."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.zeros(heads))

    def forward(self, alpha: Tensor, seen: Tensor) -> Tensor:
        """alpha (B, H, V) -> (B, V)."""
        return torch.einsum("h,bhv->bv", self.share.softmax(0), alpha)


class RecurrentWeights(nn.Module):
    """One weight a frame from the heads' attention read in time order: an LSTM of a fixed width, a score a frame.

    It runs forwards only, so what pads the end of a video can't reach its frames.
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(heads, 2 * heads, batch_first=True)
        self.score = nn.Linear(2 * heads, 1)

    def forward(self, alpha: Tensor, seen: Tensor) -> Tensor:
        """alpha (B, H, V) -> (B, V)."""
        # Attention is about 1/V a frame; brought to about 1 so that long videos are not read as silence.
        level = seen.sum(1).clamp(min=1)[:, None, None]
        return masked_softmax(self.score(self.lstm((alpha * level).transpose(1, 2))[0]).squeeze(-1), seen)


class ReleasedWeights(nn.Module):
    """The released code's frame weights: ReLU of the final cell state of an LSTM of hidden size V."""

    def __init__(self, heads: int, visual_length: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(heads, visual_length, batch_first=True)

    def forward(self, alpha: Tensor, seen: Tensor) -> Tensor:
        """alpha (B, H, V) -> (B, V)."""
        return torch.relu(self.lstm(alpha.transpose(1, 2))[1][1][0])


def _frame_weights(kind: str, heads: int, visual_length: int) -> nn.Module:
    if kind == "lstm":
        return ReleasedWeights(heads, visual_length)
    return HeadMixture(heads) if kind == "mixture" else RecurrentWeights(heads)


class Reader(nn.Module):
    """The final text attention and pooling: words (B, L, T) -> one feature (B, T)."""

    def __init__(self, dim: int, sizes: Sizes, switches: Switches) -> None:
        super().__init__()
        self.switches = switches
        self.attention = nn.MultiheadAttention(dim, sizes.text_heads, batch_first=True)
        self.norm = nn.LayerNorm(dim) if switches.residual else None

    def forward(self, words: Tensor, seen: Tensor, dropout: float) -> Tensor:
        """seen (B, L): which words are real; the others are keys to nobody."""
        if self.switches.fused_attention:
            read = rows_attention(self.attention, words, words, seen, dropout)
        else:
            read = _written_attention(self.attention, words, seen, dropout)
        if self.norm is not None:
            read = self.norm(words + read)
        real = seen.unsqueeze(-1)
        if self.switches.pooling == "masked-mean":
            return (read * real).sum(1) / real.sum(1)
        if self.switches.pooling == "masked-max":
            read = read.masked_fill(~real, torch.finfo(read.dtype).min)
        return read.max(1).values


def _written_attention(holder: nn.MultiheadAttention, rows: Tensor, seen: Tensor, dropout: float) -> Tensor:
    weights = F.dropout(rows_weights(holder, rows, rows, seen), dropout)
    value = F.linear(rows, holder.in_proj_weight.chunk(3)[2], holder.in_proj_bias.chunk(3)[2])
    mixed = weights @ torch.unflatten(value, -1, (holder.num_heads, -1)).transpose(1, 2)
    return cast(Tensor, holder.out_proj(mixed.transpose(1, 2).flatten(2)))


class Heads(nn.Module):
    """A feature (B, T) to opinion and emotion: logits, probabilities and the loss on logits."""

    class_weights_opinion: Tensor
    class_weights_emotion: Tensor

    def __init__(self, dim: int, dropout: float, loss: str, classes: tuple[int, int] = (3, 8)) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.opinion = nn.Linear(dim, classes[0])
        self.emotion = nn.Linear(dim, classes[1])
        self.focal = loss == "focal"
        self.register_buffer("class_weights_opinion", torch.ones(classes[0]))
        self.register_buffer("class_weights_emotion", torch.ones(classes[1]))

    def forward(self, feature: Tensor, batch: Batch, frame_weights: Tensor | None = None) -> Prediction:
        """Probabilities and the two tasks' summed loss, each a mean over the comments that have that label."""
        feature = self.dropout(feature)
        opinion, emotion = self.opinion(feature).float(), self.emotion(feature).float()
        loss = self._loss(opinion, batch.opinion, self.class_weights_opinion)
        loss = loss + self._loss(emotion, batch.emotion, self.class_weights_emotion)
        return Prediction(opinion.softmax(-1), emotion.softmax(-1), loss, frame_weights)

    def _loss(self, logits: Tensor, label: Tensor, weights: Tensor) -> Tensor:
        has_label = label != NO_LABEL
        safe = label.clamp(min=0)
        log = logits.log_softmax(-1).gather(1, safe[:, None]).squeeze(1)
        each = -log * weights[safe]
        if self.focal:
            each = each * (1 - log.exp()) ** 2
        return (each * has_label).sum() / has_label.sum().clamp(min=1)


class Vccsa(nn.Module):
    """The default model; see the module's docstring for what it does otherwise than the released code."""

    def __init__(self, tower: TextTower, video_dims: Sequence[int], sizes: Sizes, switches: Switches) -> None:
        super().__init__()
        text_dim = dim_of(tower.text_encoder)
        self.sizes, self.switches = sizes, switches
        self.text_encoder = tower
        self.consensus_token = nn.Parameter(torch.rand(sizes.consensus_tokens, sizes.consensus_dim))
        self.streams = nn.ModuleList(VisualStream(dim, text_dim, sizes, switches) for dim in video_dims)
        self.mixing = ScaleMixing(text_dim, sizes.visual_dim, sizes.ground_dim)
        self.fusion = nn.Linear(text_dim + sizes.visual_dim, text_dim)
        self.fusion_norm = nn.LayerNorm(text_dim) if switches.residual else None
        self.reader = Reader(text_dim, sizes, switches)
        self.heads = Heads(text_dim, sizes.dropout, switches.loss)

    def forward(self, batch: Batch) -> Prediction:
        """Frame weights come as (streams x scales, B, V), padded with zeros to the longest stream."""
        dropout = self.sizes.dropout if self.training else 0.0
        text = self.text_encoder.words(batch)  # B, L, T
        grounded_views = [
            stream(videos, batch.video_of, text, batch.text_seen, self.consensus_token, dropout)
            for stream, videos in zip(self.streams, batch.streams, strict=True)
        ]
        grounded = torch.cat([scales for scales, _ in grounded_views], 1)  # B, views, D
        longest = max(weights.shape[-1] for _, weights in grounded_views)
        weights = torch.cat([F.pad(w, (0, longest - w.shape[-1])) for _, w in grounded_views])
        mixed = self._mix(text, grounded) * batch.text_seen.unsqueeze(-1)
        fused = torch.relu(self.fusion(torch.cat([text, mixed], -1)))
        if self.fusion_norm is not None:
            fused = self.fusion_norm(text + fused)
        return cast(Prediction, self.heads(self.reader(fused, batch.text_seen, dropout), batch, weights))

    def _mix(self, text: Tensor, scales: Tensor) -> Tensor:
        query = self.mixing.ffn_text(text)
        if self.switches.scaled_mixing:
            query = query / math.sqrt(query.shape[-1])
        return cast(Tensor, (query @ self.mixing.ffn_visual(scales).transpose(1, 2)).softmax(-1) @ scales)
