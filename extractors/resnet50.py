"""ResNet-50 on single frames (He et al. 2015, arXiv:1512.03385): torchvision's ImageNet weights, pooled features."""

from typing import ClassVar

from torch import nn
from torchvision.models import resnet50
from torchvision.models.resnet import Bottleneck

from csmv.extractors.base import headed
from csmv.extractors.frames import FrameExtractor
from csmv.extractors.precision import fold_pair
from csmv.extractors.registry import register
from csmv.extractors.transforms import PillowShortSide
from csmv.extractors.weights import Weights


@register
class ResNet50(FrameExtractor):
    """torchvision's resnet50, what reaches the classifier."""

    name = "resnet50"
    dim = 2048
    classes = 1000
    head = "fc."
    channels_last = True
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
        module = super().folded(module)  # those of the shortcuts
        for block in [module, *(one for one in module.modules() if isinstance(one, Bottleneck))]:
            for number in ("1", "2", "3"):
                if hasattr(block, f"bn{number}"):
                    fold_pair(block, f"conv{number}", f"bn{number}")
        module.fc = nn.Identity()  # its input is the feature
        return module
