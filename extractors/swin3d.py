"""Video Swin (Liu et al. 2022, arXiv:2106.13230), tiny and base: torchvision's networks with its weights.

Windows are what they were trained on: 32 frames, 15 a second (every other one of 30). `clip` is the last norm averaged
over time, height and width, which is what reaches the classifier; `temporal` is it averaged over height and width: one
row per 2 frames.
"""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.video import swin3d_b, swin3d_t

from csmv.extractors.base import Extractor, headed, standardised
from csmv.extractors.frames import IMAGENET_MEAN, IMAGENET_STD
from csmv.extractors.registry import register
from csmv.extractors.sampling import ClipRule
from csmv.extractors.transforms import ShortSideThenCrop
from csmv.extractors.weights import RandomRule, Weights

LICENCE = "BSD-3-Clause (torchvision), Apache-2.0 (SwinTransformer/Video-Swin-Transformer)"


class Swin3D(Extractor):
    """What the sizes share."""

    rule = ClipRule(fps=15, frames=32, step=32)
    transform = ShortSideThenCrop(short=256, size=(224, 224))
    granularities: ClassVar = {"clip": 1, "temporal": 16}
    frames_a_window: ClassVar = (1, 1024)
    frames_a_vector = 2
    head = "head."
    classes = 400
    random_rule = RandomRule(gain=2.0, centre=0.0)

    def folded(self, module: nn.Module) -> nn.Module:
        return module  # it has no batch norms

    def normalise(self, clips: Tensor) -> Tensor:
        return standardised(clips, IMAGENET_MEAN, IMAGENET_STD)

    def _maps(self, clips: Tensor) -> Tensor:
        """(B, T / 2, 7, 7, dim) after the last norm."""
        net: Any = self.module
        maps: Tensor = net.norm(net.features(net.patch_embed(clips)))
        return maps

    def forward(self, clips: Tensor) -> Tensor:
        maps = self._maps(clips)
        return maps.mean((2, 3)) if self.granularity == "temporal" else maps.mean((1, 2, 3))[:, None]

    @torch.inference_mode()
    def logits(self, clips: Tensor | np.ndarray[Any, Any]) -> Tensor:
        batch = torch.as_tensor(clips).to(self.device)
        scores: Tensor = self.module.get_submodule("head")(self._maps(self.prepared(batch)).mean((1, 2, 3)))
        return scores.float().cpu()


@register
class Swin3DT(Swin3D):
    """torchvision's swin3d_t, in windows of 32 frames at 15 a second, as it was trained."""

    name = "swin3d_t"
    dim = 768
    weights: ClassVar = {
        "kinetics400": Weights(
            url="https://download.pytorch.org/models/swin3d_t-7615ae03.pth",
            sha256="7615ae03",
            licence=f"{LICENCE}; trained on ImageNet-1k and Kinetics-400",
            source="torchvision Swin3D_T_Weights.KINETICS400_V1",
        )
    }

    def build(self, classes: int) -> nn.Module:
        return headed(swin3d_t(weights=None, num_classes=max(classes, 1)), classes, "head")


@register
class Swin3DB(Swin3D):
    """torchvision's swin3d_b, in windows of 32 frames at 15 a second, as it was trained."""

    name = "swin3d_b"
    dim = 1024
    weights: ClassVar = {
        "kinetics400": Weights(
            url="https://download.pytorch.org/models/swin3d_b_1k-24f7c7c6.pth",
            sha256="24f7c7c6",
            licence=f"{LICENCE}; trained on ImageNet-1k and Kinetics-400",
            source="torchvision Swin3D_B_Weights.KINETICS400_V1",
        ),
        "kinetics400_imagenet22k": Weights(
            url="https://download.pytorch.org/models/swin3d_b_22k-7c6ae6fa.pth",
            sha256="7c6ae6fa",
            licence=f"{LICENCE}; trained on ImageNet-22k and Kinetics-400",
            source="torchvision Swin3D_B_Weights.KINETICS400_IMAGENET22K_V1",
        ),
    }

    def build(self, classes: int) -> nn.Module:
        return headed(swin3d_b(weights=None, num_classes=max(classes, 1)), classes, "head")
