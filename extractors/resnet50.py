"""ResNet-50 on single frames (He et al. 2015, arXiv:1512.03385): torchvision's ImageNet weights, pooled features."""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from csmv.extractors.frames import FrameExtractor
from csmv.extractors.precision import fold_pair
from csmv.extractors.registry import register
from csmv.extractors.transforms import PillowShortSide
from csmv.extractors.weights import Weights

AT_ONCE = 4
"""Pictures that go through the network together on a CPU: what all of a window put out would not stay in its caches."""


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with batch norms, and a shortcut; the 3x3 one has the stride."""

    def __init__(self, inside: int, width: int, stride: int, *, projected: bool) -> None:
        super().__init__()
        outside = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(inside, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outside, 1, bias=False), nn.BatchNorm2d(outside)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if projected:
            self.downsample = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        result: Tensor = self.relu(self.bn3(self.conv3(x)).add_(shortcut))
        return result


class ResNet(nn.Module):
    """The network of 50 layers, keys and numbers as in torchvision's, whose import takes longer than a short film.

    `fc` is an identity where `classes` is 0.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        inside = 64
        for number, (count, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 1):
            stride = 1 if number == 1 else 2
            blocks = [Bottleneck(inside, width, stride, projected=True)]
            blocks += [Bottleneck(4 * width, width, 1, projected=False) for _ in range(count - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            inside = 4 * width
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc: nn.Module = nn.Linear(inside, classes) if classes else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        scores: Tensor = self.fc(self.avgpool(x).flatten(1))
        return scores


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
        return ResNet(classes)

    def folded(self, module: nn.Module) -> nn.Module:
        module = super().folded(module)  # those of the shortcuts
        for block in [module, *(one for one in module.modules() if isinstance(one, Bottleneck))]:
            for number in ("1", "2", "3"):
                if hasattr(block, f"bn{number}"):
                    fold_pair(block, f"conv{number}", f"bn{number}")
        self._classifier: nn.Module = module.get_submodule("fc")
        module.fc = nn.Identity()  # its input is the feature
        return module

    def pictures(self, images: Tensor) -> Tensor:
        if images.device.type != "cpu":
            return super().pictures(images)
        return torch.cat([self.module(part) for part in torch.split(images, AT_ONCE)])

    @torch.inference_mode()
    def logits(self, clips: Tensor | np.ndarray[Any, Any]) -> Tensor:
        vectors = self.forward(self.prepared(torch.as_tensor(clips).to(self.device)))
        scores: Tensor = self._classifier.to(vectors.device, vectors.dtype)(vectors)
        return scores.float().mean(1).cpu()
