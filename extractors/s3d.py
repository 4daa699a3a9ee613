"""S3D (Xie et al. 2018, arXiv:1712.04851): torchvision's network with its Kinetics-400 weights.

The layers are written out, since importing torchvision takes longer than a short film: tests compare the two.

Windows are what it was trained on: 64 frames, 15 a second. `clip` is what reaches the classifier, averaged over time as
its scores are; `temporal` is the last block averaged over height and width: one row per 8 frames.
"""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from csmv.extractors.base import Extractor, standardised
from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.i3d import BRANCHES, Triple
from csmv.extractors.r2plus1d import MEAN, STD
from csmv.extractors.registry import register
from csmv.extractors.sampling import ClipRule
from csmv.extractors.transforms import ResizeThenCrop
from csmv.extractors.weights import Weights

FEWEST = 13
"""Frames of the shortest clip that its pooling leaves anything of."""


def _unit(inside: int, outside: int, kernel: Triple = (1, 1, 1), stride: Triple = (1, 1, 1)) -> nn.Sequential:
    """Convolution that keeps the size where the stride is 1, batch norm (eps 1e-3), ReLU."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    conv = nn.Conv3d(inside, outside, kernel, stride, padding, bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(outside, eps=1e-3, momentum=1e-3), nn.ReLU(inplace=True))


def _separable(inside: int, outside: int, side: int, stride: int = 1) -> nn.Sequential:
    """A unit over height and width, then one over time."""
    return nn.Sequential(
        _unit(inside, outside, (1, side, side), (1, stride, stride)),
        _unit(outside, outside, (side, 1, 1), (stride, 1, 1)),
    )


class SeparableInception(nn.Module):
    """Four branches side by side: 1; 1 then a separable 3; the same again; max pooling then 1."""

    def __init__(self, inside: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        b0, b1_middle, b1, b2_middle, b2, b3 = widths
        self.branch0 = _unit(inside, b0)
        self.branch1 = nn.Sequential(_unit(inside, b1_middle), _separable(b1_middle, b1, 3))
        self.branch2 = nn.Sequential(_unit(inside, b2_middle), _separable(b2_middle, b2, 3))
        self.branch3 = nn.Sequential(nn.MaxPool3d(3, 1, 1), _unit(inside, b3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch0(x), self.branch1(x), self.branch2(x), self.branch3(x)], 1)


class SeparableNetwork(nn.Module):
    """The trunk `features` (widths as I3D's), and the classifier, an identity in its place where `classes` is 0."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [_separable(3, 64, 7, 2), nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))]
        layers += [_unit(64, 64), _separable(64, 192, 3), nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))]
        for name, (inside, widths) in BRANCHES.items():
            layers += [nn.MaxPool3d(3, 2, 1)] if name == "Mixed_4b" else []
            layers += [nn.MaxPool3d(2, 2)] if name == "Mixed_5b" else []
            layers.append(SeparableInception(inside, widths))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AvgPool3d((2, 7, 7), 1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Conv3d(1024, classes, 1) if classes else nn.Identity())


@register
class S3D(Extractor):
    """torchvision's s3d, in windows of 64 frames at 15 a second, as it was trained."""

    name = "s3d"
    dim = 1024
    rule = ClipRule(fps=15, frames=64, step=64)
    transform = ResizeThenCrop(resize=(256, 256), size=(224, 224))
    granularities: ClassVar = {"clip": 1, "temporal": 8}
    frames_a_window: ClassVar = (FEWEST, 1024)
    head = "classifier.1."
    classes = 400
    channels_last = True
    weights: ClassVar = {
        "kinetics400": Weights(
            url="https://download.pytorch.org/models/s3d-d76dad2f.pth",
            sha256="d76dad2f",
            licence="BSD-3-Clause (torchvision); trained on Kinetics-400",
            source="torchvision S3D_Weights.KINETICS400_V1",
        )
    }

    @property
    def vectors_per_window(self) -> int:
        # Two strides round up, the third down.
        return -(-self.rule.frames // 4) // 2 if self.granularity == "temporal" else 1

    def build(self, classes: int) -> nn.Module:
        return SeparableNetwork(classes)

    def normalise(self, clips: Tensor) -> Tensor:
        return standardised(clips, MEAN, STD)

    def forward(self, clips: Tensor) -> Tensor:
        maps: Tensor = self.module.get_submodule("features")(clips)  # (B, 1024, T / 8, 7, 7)
        if self.granularity == "temporal":
            return maps.mean((3, 4)).transpose(1, 2)
        return self._pooled(maps)[:, None]

    def _pooled(self, maps: Tensor) -> Tensor:
        # Neighbours in time are averaged in pairs before the mean, so the first and last rows count half.
        vectors: Tensor = self.module.get_submodule("avgpool")(maps).mean((2, 3, 4))
        return vectors

    @torch.inference_mode()
    def logits(self, clips: Tensor | np.ndarray[Any, Any]) -> Tensor:
        batch = torch.as_tensor(clips).to(self.device)
        pooled = self._pooled(self.module.get_submodule("features")(self.prepared(batch)))
        scores: Tensor = self.module.get_submodule("classifier")(pooled[..., None, None, None])
        return scores.flatten(1).float().cpu()

    def check(self, batch: Tensor) -> None:
        super().check(batch)
        if batch.shape[1] < FEWEST:
            raise ExtractorError(f"{self.name} takes at least {FEWEST} frames a clip, not {batch.shape[1]}.")
