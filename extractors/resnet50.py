"""ResNet-50 on single frames (He et al. 2015, arXiv:1512.03385): torchvision's ImageNet weights, pooled features."""

from typing import ClassVar

from torch import Tensor, nn
from torchvision.models import resnet50

from extractors.frames import FrameExtractor
from extractors.r2plus1d import headed
from extractors.registry import register
from extractors.transforms import PillowShortSide
from extractors.weights import Weights


@register
class ResNet50(FrameExtractor):
    """torchvision's resnet50, what reaches the classifier."""

    name = "resnet50"
    dim = 2048
    classes = 1000
    head = "fc."
    transform = PillowShortSide(short=232, size=(224, 224), filter="bilinear")
    weights: ClassVar = {
        "imagenet1k_v2": Weights(
            url="https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
            sha256="11ad3fa6",
            licence="BSD-3-Clause (torchvision); trained on ImageNet-1k",
            source="torchvision ResNet50_Weights.IMAGENET1K_V2",
        )
    }

    def build(self, classes: int) -> nn.Module:
        return headed(resnet50(weights=None, num_classes=max(classes, 1)), classes)

    def folded(self, module: nn.Module) -> nn.Module:
        module = super().folded(module)
        module.fc = nn.Identity()  # its input is the feature
        return module

    def pictures(self, images: Tensor) -> Tensor:
        vectors: Tensor = self.module(images)
        return vectors
