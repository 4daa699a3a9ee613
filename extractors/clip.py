"""CLIP's image tower as `clip` (Radford et al. 2021, arXiv:2103.00020): ViT-B/32, keys and numbers as in timm's.

Written out because importing timm takes longer than a short film: tests compare the two.
"""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.frames import FrameExtractor
from csmv.extractors.registry import register
from csmv.extractors.transforms import PillowShortSide
from csmv.extractors.videomae import Mlp
from csmv.extractors.weights import State, Weights

CLIP = "vit_base_patch32_clip_quickgelu_224.openai"
"""timm's name of it."""
FILE = "vit_base_patch32_clip_224.openai"
"""timm's name of the same weights' file, under which the activation is another."""
COMMIT = "a6f597a30f7b82c51704746581f9a4e41421e878"

WIDTH, DEPTH, HEADS, PATCH, SIDE = 768, 12, 12, 32, 7


class QuickGelu(nn.Module):
    """x * sigmoid(1.702 x), with which OpenAI trained these weights."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Attention(nn.Module):
    """Multi-head attention, all of it with a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, tokens, WIDTH))
        return out


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(WIDTH), Attention()
        self.norm2, self.mlp = nn.LayerNorm(WIDTH), Mlp(WIDTH, 4 * WIDTH)
        self.mlp.act = QuickGelu()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Patches(nn.Module):
    """Non-overlapping patches to tokens, row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        tokens: Tensor = self.proj(images).flatten(2).transpose(1, 2)
        return tokens


class ImageTower(nn.Module):
    """(N, 3, 224, 224) to the projected class token (N, classes); to the token itself where `classes` is 0."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + SIDE**2, WIDTH))
        self.patch_embed = Patches()
        self.norm_pre = nn.LayerNorm(WIDTH)
        self.blocks = nn.Sequential(*[Block() for _ in range(DEPTH)])
        self.norm = nn.LayerNorm(WIDTH)
        self.head: nn.Module = nn.Linear(WIDTH, classes) if classes else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patch_embed(images)
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], 1) + self.pos_embed
        tokens = self.norm(self.blocks(self.norm_pre(tokens)))
        projected: Tensor = self.head(tokens[:, 0])
        return projected


@register
class Clip(FrameExtractor):
    """CLIP ViT-B/32's image embedding (Radford et al. 2021, arXiv:2103.00020), 512 numbers."""

    name = "clip"
    dim = 512
    classes = 512
    transform = PillowShortSide(short=224, size=(224, 224), filter="bicubic")
    mean = (0.48145466, 0.4578275, 0.40821073)
    std = (0.26862954, 0.26130258, 0.27577711)
    weights: ClassVar = {
        "openai": Weights(
            url=f"https://huggingface.co/timm/{FILE}/resolve/{COMMIT}/model.safetensors",
            licence="MIT (openai/CLIP)",
            source=f"timm/{FILE} on Hugging Face, converted from openai/CLIP ViT-B/32",
        )
    }

    def build(self, classes: int) -> nn.Module:
        return ImageTower(classes)

    def folded(self, module: nn.Module) -> nn.Module:
        return module  # it has no batch norms

    def translate(self, state: State) -> State:
        """open_clip's and OpenAI's own layout too: the image tower is under `visual.`."""
        if not any(key.startswith("visual.") for key in state):
            return state
        from timm.models.vision_transformer import checkpoint_filter_fn

        from csmv.extractors.timm_frames import empty_model

        converted: State = checkpoint_filter_fn(dict(state), empty_model(CLIP, num_classes=512))
        return converted

    def logits(self, clips: Tensor | np.ndarray[Any, Any]) -> Tensor:
        raise ExtractorError(f"{self.name} has no classifier: its last layer is a projection.")
