"""S3D (Xie et al. 2018, arXiv:1712.04851): torchvision's network with its Kinetics-400 weights.

Windows are what it was trained on: 64 frames, 15 a second. `clip` is what reaches the classifier, averaged over time as
its scores are; `temporal` is the last block averaged over height and width: one row per 8 frames.
"""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.video import s3d

from csmv.extractors.base import Extractor, headed, standardised
from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.r2plus1d import MEAN, STD
from csmv.extractors.registry import register
from csmv.extractors.sampling import ClipRule
from csmv.extractors.transforms import ResizeThenCrop
from csmv.extractors.weights import Weights

FEWEST = 13
"""Frames of the shortest clip that its pooling leaves anything of."""


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
        return headed(s3d(weights=None, num_classes=max(classes, 1)), classes, "classifier.1")

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
