"""The two neighbours of R(2+1)D-18 (Tran et al. 2018, arXiv:1711.11248) in torchvision, with Kinetics-400 weights.

R3D-18 convolves space and time together throughout. MC3-18 does so in its stem and first stage; the others see single
frames, so time is never shortened. Trunk, preset and pooling are R(2+1)D-18's.
"""

from typing import ClassVar

from torch import nn

from csmv.extractors.r2plus1d import R2Plus1D
from csmv.extractors.registry import register
from csmv.extractors.video_resnet import BLOCKS_18, VideoResNet, conv_3d, conv_of_frames, stem_3d
from csmv.extractors.weights import Weights


@register
class R3D18(R2Plus1D):
    """torchvision's r3d_18."""

    name = "r3d_18"
    classes = 400
    weights: ClassVar = {
        "kinetics400": Weights(
            url="https://download.pytorch.org/models/r3d_18-b3b3357e.pth",
            sha256="b3b3357e",
            licence="BSD-3-Clause (torchvision); trained on Kinetics-400",
            source="torchvision R3D_18_Weights.KINETICS400_V1",
        )
    }

    def build(self, classes: int) -> nn.Module:
        return VideoResNet(BLOCKS_18, classes, stem=stem_3d(), convolutions=(conv_3d,) * 4)


@register
class MC318(R2Plus1D):
    """torchvision's mc3_18, whose `temporal` rows are one a frame."""

    name = "mc3_18"
    classes = 400
    granularities: ClassVar = {"clip": 1, "temporal": 16}
    frames_a_vector = 1
    weights: ClassVar = {
        "kinetics400": Weights(
            url="https://download.pytorch.org/models/mc3_18-a90a0ba3.pth",
            sha256="a90a0ba3",
            licence="BSD-3-Clause (torchvision); trained on Kinetics-400",
            source="torchvision MC3_18_Weights.KINETICS400_V1",
        )
    }

    def build(self, classes: int) -> nn.Module:
        convolutions = (conv_3d, conv_of_frames, conv_of_frames, conv_of_frames)
        return VideoResNet(BLOCKS_18, classes, stem=stem_3d(), convolutions=convolutions)
