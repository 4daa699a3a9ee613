"""The plain video transformer that VideoMAE and VideoMAEv2 share (Wang et al. 2023, arXiv:2303.16727).

Tubelets of 2 frames, fixed sine-cosine positions over time and space, pre-norm blocks, mean over tokens, fc_norm.
Only the network and its published layouts; which sizes exist is in videomaev2.py and videomae_b.py.
"""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from csmv.extractors.base import Extractor
from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.transforms import FrameTransform, Stretch
from csmv.extractors.weights import RandomRule, State

EPS = 1e-6
TUBELET = 2


def positions(tokens: int, width: int) -> Tensor:
    """(1, tokens, width) float32: sin for even channels, cos for odd ones, one running number over time and space."""
    channel = np.arange(width)
    angle = np.arange(tokens)[:, None] / np.power(10000.0, 2 * (channel // 2) / width)
    table = np.where(channel % 2 == 0, np.sin(angle), np.cos(angle))
    return torch.from_numpy(table.astype(np.float32))[None]


class Attention(nn.Module):
    """Multi-head attention whose query and value have a bias and whose key has none."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv = functional.linear(x, self.qkv.weight, bias)
        q, k, v = qkv.view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(q, k, v)  # scaled by 1/sqrt(head width)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return out


class Mlp(nn.Module):
    """Two layers with a GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.act: nn.Module = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); GELU is the exact one."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, eps=EPS), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, eps=EPS), Mlp(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Tubelets(nn.Module):
    """Non-overlapping tubelets to tokens, time slowest."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        size = (TUBELET, patch, patch)
        self.proj = nn.Conv3d(3, width, size, size)

    def forward(self, clips: Tensor) -> Tensor:
        tokens: Tensor = self.proj(clips).flatten(2).transpose(1, 2)
        return tokens


class VideoTransformer(nn.Module):
    """(B, 3, 16, 224, 224) to the last block's tokens (B, 8 * side * side, width)."""

    positions: Tensor

    def __init__(self, width: int, depth: int, heads: int, hidden: int, patch: int, classes: int) -> None:
        super().__init__()
        self.side = 224 // patch
        self.patch_embed = Tubelets(width, patch)
        self.blocks = nn.Sequential(*[Block(width, heads, hidden) for _ in range(depth)])
        self.fc_norm = nn.LayerNorm(width, eps=EPS)
        if classes:
            self.head = nn.Linear(width, classes)
        self.register_buffer("positions", positions(8 * self.side**2, width), persistent=False)

    def forward(self, clips: Tensor) -> Tensor:
        tokens: Tensor = self.blocks(self.patch_embed(clips) + self.positions)
        return tokens


class VideoMAEBase(Extractor):
    """What the sizes share; a subclass gives width, depth, heads, hidden width and patch."""

    depth: ClassVar[int]
    heads: ClassVar[int]
    hidden: ClassVar[int]
    patch: ClassVar[int] = 16
    transform: FrameTransform = Stretch((224, 224))
    granularities: ClassVar = {"clip": 1, "temporal": 8}
    head = "head."
    random_rule = RandomRule(gain=2.0, centre=0.0)

    def build(self, classes: int) -> nn.Module:
        return VideoTransformer(self.dim, self.depth, self.heads, self.hidden, self.patch, classes)

    def normalise(self, clips: Tensor) -> Tensor:
        return clips / 255

    def forward(self, clips: Tensor) -> Tensor:
        tokens = self.module(clips)
        if self.granularity == "temporal":
            rows: Tensor = tokens.unflatten(1, (8, -1)).mean(2)  # before fc_norm
            return rows
        return self._normed(tokens)[:, None]

    def _normed(self, tokens: Tensor) -> Tensor:
        vector: Tensor = self.module.get_submodule("fc_norm")(tokens.mean(1))
        return vector

    @torch.inference_mode()
    def logits(self, clips: Tensor | np.ndarray[Any, Any]) -> Tensor:
        batch = torch.as_tensor(clips).to(self.device)
        vector = self._normed(self.module(self.prepared(batch)))
        scores: Tensor = self.module.get_submodule("head")(vector)
        return scores.float().cpu()

    def check(self, batch: Tensor) -> None:
        super().check(batch)
        if batch.shape[1] != self.rule.frames:
            raise ExtractorError(f"{self.name} takes {self.rule.frames} frames a clip, not {batch.shape[1]}.")


_TRANSFORMERS_NAMES = {
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "attention.output.dense": "attn.proj",
    "attention.attention.q_bias": "attn.q_bias",
    "attention.attention.v_bias": "attn.v_bias",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "encoder.layer": "blocks",
    "classifier": "head",
}


def from_transformers(state: State) -> State:
    """The layout of Hugging Face `transformers`' VideoMAE (separate q, k, v) to the original one."""
    if not any("attention.attention.query" in key for key in state):
        return state
    renamed: State = {}
    for key, value in state.items():
        name = key.removeprefix("videomae.")
        for theirs, ours in _TRANSFORMERS_NAMES.items():
            name = name.replace(theirs, ours)
        renamed[name] = value
    result: State = {}
    for key, value in renamed.items():
        if key.endswith("attention.attention.query.weight"):
            stem = key.removesuffix("query.weight")
            parts = [renamed[f"{stem}{one}.weight"] for one in ("query", "key", "value")]
            result[key.replace("attention.attention.query", "attn.qkv")] = torch.cat(parts)
        elif ".attention.attention." not in key:
            result[key] = value
    return result
