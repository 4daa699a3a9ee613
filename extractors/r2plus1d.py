"""R(2+1)D-18 (Tran et al. 2018, arXiv:1711.11248): torchvision's network with its Kinetics-400 weights.

`clip` is what reaches the classifier, `temporal` is layer4 averaged over height and width: one row per 8 frames.
"""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from csmv.extractors.base import Extractor, standardised
from csmv.extractors.registry import register
from csmv.extractors.transforms import ResizeThenCrop
from csmv.extractors.video_resnet import BLOCKS_18, VideoResNet
from csmv.extractors.weights import Weights

MEAN = (0.43216, 0.394666, 0.37645)
STD = (0.22803, 0.22145, 0.216989)


class R2Plus1D(Extractor):
    """What torchvision-shaped video ResNets share: trunk, preset, pooling."""

    dim = 512
    transform = ResizeThenCrop(resize=(128, 171), size=(112, 112))
    granularities: ClassVar = {"clip": 1, "temporal": 2}
    frames_a_window: ClassVar = (1, 1024)
    frames_a_vector = 8
    head = "fc."
    channels_last = True

    def normalise(self, clips: Tensor) -> Tensor:
        return standardised(clips, MEAN, STD)

    def _trunk(self, clips: Tensor) -> Tensor:
        net = self.module
        x: Tensor = net.get_submodule("stem")(clips)
        for layer in ("layer1", "layer2", "layer3", "layer4"):
            x = net.get_submodule(layer)(x)
        return x  # (B, 512, ceil(T/8), 7, 7)

    def forward(self, clips: Tensor) -> Tensor:
        maps = self._trunk(clips)
        if self.granularity == "temporal":
            return maps.mean((3, 4)).transpose(1, 2)
        return maps.mean((2, 3, 4))[:, None]

    @torch.inference_mode()
    def logits(self, clips: Tensor | np.ndarray) -> Tensor:
        batch = torch.as_tensor(clips).to(self.device)
        pooled = self._trunk(self.prepared(batch)).mean((2, 3, 4))
        scores: Tensor = self.module.get_submodule("fc")(pooled)
        return scores.float().cpu()


@register
class R2Plus1D18(R2Plus1D):
    """torchvision's r2plus1d_18."""

    name = "r2plus1d_18"
    classes = 400
    weights: ClassVar = {
        "kinetics400": Weights(
            url="https://download.pytorch.org/models/r2plus1d_18-91a641e6.pth",
            sha256="91a641e6",
            licence="BSD-3-Clause (torchvision); trained on Kinetics-400",
            source="torchvision R2Plus1D_18_Weights.KINETICS400_V1",
        )
    }

    def build(self, classes: int) -> nn.Module:
        return VideoResNet(BLOCKS_18, classes)
