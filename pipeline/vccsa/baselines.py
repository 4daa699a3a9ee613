"""What VC-CSA has to beat: the comment alone, the video alone, and the two joined without any exchange.

Majority and TF-IDF have no network; they are in `csmv.pipeline.vccsa.classical`.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from csmv.pipeline.vccsa.batch import Batch, Prediction
from csmv.pipeline.vccsa.model import Heads, Reader, Standardise
from csmv.pipeline.vccsa.text import TextTower, dim_of
from csmv.pipeline.vccsa.train_config import Sizes, Switches


class TextOnly(nn.Module):
    """`vccsa` with its video taken away: encoder, final attention, pooling, heads."""

    def __init__(self, tower: TextTower, sizes: Sizes, switches: Switches) -> None:
        super().__init__()
        dim = dim_of(tower.text_encoder)
        self.sizes = sizes
        self.text_encoder = tower
        self.reader = Reader(dim, sizes, switches)
        self.heads = Heads(dim, sizes.dropout, switches.loss)

    def forward(self, batch: Batch) -> Prediction:
        """Looks at the words only."""
        text = self.text_encoder.words(batch)
        feature = self.reader(text, batch.text_seen, self.sizes.dropout if self.training else 0.0)
        return cast(Prediction, self.heads(feature, batch))


class VideoPool(nn.Module):
    """A video's feature sets to one vector: standardised, projected, averaged over its real frames."""

    def __init__(self, video_dims: Sequence[int], dim: int) -> None:
        super().__init__()
        self.standardise = nn.ModuleList(Standardise(width) for width in video_dims)
        self.projections = nn.ModuleList(nn.Linear(width, dim) for width in video_dims)

    def forward(self, batch: Batch) -> Tensor:
        """-> (B, feature sets x dim); zeros for a video without a vector."""
        pooled = []
        for stream, standardise, projection in zip(batch.streams, self.standardise, self.projections, strict=True):
            real = stream.seen.unsqueeze(-1)
            frames = torch.relu(projection(standardise(stream))) * real
            pooled.append(frames.sum(1) / real.sum(1).clamp(min=1))
        return torch.cat(pooled, -1)[batch.video_of]


class VideoOnly(nn.Module):
    """The video without the comment: every comment of a video gets the same answer."""

    def __init__(self, video_dims: Sequence[int], sizes: Sizes, switches: Switches) -> None:
        super().__init__()
        self.pool = VideoPool(video_dims, sizes.visual_dim)
        width = sizes.visual_dim * len(video_dims)
        self.hidden = nn.Sequential(nn.Dropout(sizes.dropout), nn.Linear(width, sizes.visual_dim), nn.ReLU())
        self.heads = Heads(sizes.visual_dim, sizes.dropout, switches.loss)

    def forward(self, batch: Batch) -> Prediction:
        """Looks at the frames only."""
        return cast(Prediction, self.heads(self.hidden(self.pool(batch)), batch))


class EarlyFusion(nn.Module):
    """Mean word and mean frame side by side, then one hidden layer: fusion without consensus or grounding."""

    def __init__(self, tower: TextTower, video_dims: Sequence[int], sizes: Sizes, switches: Switches) -> None:
        super().__init__()
        dim = dim_of(tower.text_encoder)
        self.text_encoder = tower
        self.pool = VideoPool(video_dims, sizes.visual_dim)
        width = dim + sizes.visual_dim * len(video_dims)
        self.hidden = nn.Sequential(nn.Dropout(sizes.dropout), nn.Linear(width, dim), nn.ReLU())
        self.heads = Heads(dim, sizes.dropout, switches.loss)

    def forward(self, batch: Batch) -> Prediction:
        """Looks at both, joined once."""
        real = batch.text_seen.unsqueeze(-1)
        words = (self.text_encoder.words(batch) * real).sum(1) / real.sum(1)
        return cast(Prediction, self.heads(self.hidden(torch.cat([words, self.pool(batch)], -1)), batch))
