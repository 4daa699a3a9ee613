"""MViTv2-S (Li et al. 2022, arXiv:2112.01526): torchvision's network with its Kinetics-400 weights.

`clip` is the class token after the last norm, which is what reaches the classifier; `temporal` is the tokens of the
picture averaged over height and width: one row per 2 frames.
"""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.video import mvit_v2_s

from csmv.extractors.base import Extractor, headed, standardised
from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.registry import register
from csmv.extractors.transforms import ShortSideThenCrop
from csmv.extractors.weights import RandomRule, Weights


@register
class MViTv2S(Extractor):
    """torchvision's mvit_v2_s."""

    name = "mvit_v2_s"
    dim = 768
    transform = ShortSideThenCrop(short=256, size=(224, 224))
    granularities: ClassVar = {"clip": 1, "temporal": 8}
    head = "head.1."
    classes = 400
    random_rule = RandomRule(gain=2.0, centre=0.0)
    weights: ClassVar = {
        "kinetics400": Weights(
            url="https://download.pytorch.org/models/mvit_v2_s-ae3be167.pth",
            sha256="ae3be167",
            licence="BSD-3-Clause (torchvision), Apache-2.0 (facebookresearch/SlowFast); trained on Kinetics-400",
            source="torchvision MViT_V2_S_Weights.KINETICS400_V1",
        )
    }

    def build(self, classes: int) -> nn.Module:
        return headed(mvit_v2_s(weights=None, num_classes=max(classes, 1)), classes, "head.1")

    def folded(self, module: nn.Module) -> nn.Module:
        return module  # it has no batch norms

    def normalise(self, clips: Tensor) -> Tensor:
        return standardised(clips, (0.45,) * 3, (0.225,) * 3)

    def _tokens(self, clips: Tensor) -> Tensor:
        """The class token, then the tokens of the picture, time slowest, of 7x7 a step: (B, 1 + 8 * 49, 768)."""
        net: Any = self.module
        tokens = net.pos_encoding(net.conv_proj(clips).flatten(2).transpose(1, 2))
        size = (net.pos_encoding.temporal_size, *net.pos_encoding.spatial_size)
        for block in net.blocks:
            tokens, size = block(tokens, size)
        normed: Tensor = net.norm(tokens)
        return normed

    def forward(self, clips: Tensor) -> Tensor:
        tokens = self._tokens(clips)
        if self.granularity == "temporal":
            return tokens[:, 1:].reshape(len(tokens), self.granularities["temporal"], -1, self.dim).mean(2)
        return tokens[:, :1]

    @torch.inference_mode()
    def logits(self, clips: Tensor | np.ndarray[Any, Any]) -> Tensor:
        batch = torch.as_tensor(clips).to(self.device)
        scores: Tensor = self.module.get_submodule("head")(self._tokens(self.prepared(batch))[:, 0])
        return scores.float().cpu()

    def check(self, batch: Tensor) -> None:
        super().check(batch)
        if batch.shape[1] != self.rule.frames:
            raise ExtractorError(f"{self.name} takes {self.rule.frames} frames a clip, not {batch.shape[1]}.")
