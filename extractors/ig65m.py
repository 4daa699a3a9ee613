"""R(2+1)D-34 trained on 65 million public videos (Ghadiyaram et al. 2019, arXiv:1905.00561), as ported to PyTorch.

torchvision's R(2+1)D with four differences: 34 layers; the second convolution pair of the first block of stages 2 to
4 has its middle width from its own input; batch norm eps 1e-3; 359, 400 or 487 classes. Preprocessing is torchvision's
preset for R(2+1)D-18.
"""

from typing import ClassVar

from torch import nn

from csmv.extractors.r2plus1d import R2Plus1D
from csmv.extractors.registry import register
from csmv.extractors.video_resnet import BLOCKS_34, Conv2Plus1D, VideoResNet
from csmv.extractors.weights import Weights

_HOME = "https://github.com/moabitcoin/ig65m-pytorch/releases/download/v1.0.0"


def _published(name: str, digits: str) -> dict[str, Weights]:
    return {
        "default": Weights(
            url=f"{_HOME}/{name}-{digits}.pth",
            sha256=digits,
            licence="MIT (moabitcoin/ig65m-pytorch); original weights by Facebook AI, VMZ",
            source=f"moabitcoin/ig65m-pytorch v1.0.0, {name}",
        )
    }


class R2Plus1D34(R2Plus1D):
    """What the four published files share."""

    classes = 400

    def build(self, classes: int) -> nn.Module:
        network = VideoResNet(BLOCKS_34, classes)
        for stage, width in (("layer2", 128), ("layer3", 256), ("layer4", 512)):
            # The original computes the middle width for each pair's own input, torchvision once for the block.
            second = network.get_submodule(f"{stage}.0.conv2")
            second._modules["0"] = Conv2Plus1D(width, width, width * 9 // 4)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.eps = 1e-3
        return network


@register
class Ig65mKinetics32(R2Plus1D34):
    """Fine-tuned on Kinetics-400 with clips of 32 frames."""

    name = "r2plus1d_34_ig65m_kinetics32"
    weights: ClassVar = _published("r2plus1d_34_clip32_ft_kinetics_from_ig65m", "ade133f1")


@register
class Ig65mKinetics8(R2Plus1D34):
    """Fine-tuned on Kinetics-400 with clips of 8 frames."""

    name = "r2plus1d_34_ig65m_kinetics8"
    weights: ClassVar = _published("r2plus1d_34_clip8_ft_kinetics_from_ig65m", "0aa0550b")


@register
class Ig65m32(R2Plus1D34):
    """IG-65M alone, clips of 32 frames."""

    name = "r2plus1d_34_ig65m32"
    classes = 359
    weights: ClassVar = _published("r2plus1d_34_clip32_ig65m_from_scratch", "449a7af9")


@register
class Ig65m8(R2Plus1D34):
    """IG-65M alone, clips of 8 frames."""

    name = "r2plus1d_34_ig65m8"
    classes = 487
    weights: ClassVar = _published("r2plus1d_34_clip8_ig65m_from_scratch", "9bae36ae")
