"""The video residual networks of Tran et al. 2018 (arXiv:1711.11248), keys and numbers as in torchvision's.

Written out because importing torchvision takes longer than a short film: tests compare the two.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

BLOCKS_18 = (2, 2, 2, 2)
BLOCKS_34 = (3, 4, 6, 3)
_WIDTHS = (64, 128, 256, 512)

Convolution = Callable[[int, int, int, int], nn.Module]
"""Makes a convolution of (channels in, channels out, middle width, stride)."""


class Conv2Plus1D(nn.Sequential):
    """A convolution over height and width, then one over time, with batch norm and ReLU between them."""

    def __init__(self, inside: int, outside: int, middle: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv3d(inside, middle, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
            nn.Conv3d(middle, outside, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
        )


def conv_3d(inside: int, outside: int, _middle: int, stride: int) -> nn.Conv3d:
    """A convolution over time, height and width together."""
    return nn.Conv3d(inside, outside, 3, stride, 1, bias=False)


def conv_of_frames(inside: int, outside: int, _middle: int, stride: int) -> nn.Conv3d:
    """A convolution over height and width; time is left as it is."""
    return nn.Conv3d(inside, outside, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)


class Block(nn.Module):
    """Two such convolutions and a shortcut; the middle widths keep the number of weights of a full 3D convolution."""

    def __init__(self, inside: int, outside: int, stride: int, convolution: Convolution) -> None:
        super().__init__()
        middle = (inside * outside * 27) // (inside * 9 + 3 * outside)
        self.conv1 = nn.Sequential(
            convolution(inside, outside, middle, stride), nn.BatchNorm3d(outside), nn.ReLU(inplace=True)
        )
        self.conv2 = nn.Sequential(convolution(outside, outside, middle, 1), nn.BatchNorm3d(outside))
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or inside != outside:
            strides = (1, stride, stride) if convolution is conv_of_frames else (stride,) * 3
            self.downsample = nn.Sequential(nn.Conv3d(inside, outside, 1, strides, bias=False), nn.BatchNorm3d(outside))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        # In place, as the ReLU is: fresh memory costs some per cent of a window's time.
        result: Tensor = self.relu(self.conv2(self.conv1(x)).add_(shortcut))
        return result


def stem_2_plus_1d() -> nn.Sequential:
    """The first layers of R(2+1)D."""
    return nn.Sequential(
        nn.Conv3d(3, 45, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
        nn.BatchNorm3d(45),
        nn.ReLU(inplace=True),
        nn.Conv3d(45, 64, (3, 1, 1), padding=(1, 0, 0), bias=False),
        nn.BatchNorm3d(64),
        nn.ReLU(inplace=True),
    )


def stem_3d() -> nn.Sequential:
    """The first layers of R3D and MC3."""
    return nn.Sequential(
        nn.Conv3d(3, 64, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False), nn.BatchNorm3d(64), nn.ReLU(inplace=True)
    )


class VideoResNet(nn.Module):
    """The trunk, and the classifier `fc`, an identity where `classes` is 0.

    Args:
        blocks: how many blocks each of the four stages has.
        classes: of the classifier.
        stem: the first layers; R(2+1)D's by default.
        convolutions: what each stage convolves with; R(2+1)D's by default.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        classes: int,
        *,
        stem: nn.Sequential | None = None,
        convolutions: Sequence[Convolution] = (Conv2Plus1D,) * 4,
    ) -> None:
        super().__init__()
        self.stem = stem or stem_2_plus_1d()
        before = 64
        for number, (count, width, one) in enumerate(zip(blocks, _WIDTHS, convolutions, strict=True), 1):
            stride = 1 if number == 1 else 2
            layer = [Block(before, width, stride, one), *(Block(width, width, 1, one) for _ in range(count - 1))]
            self.add_module(f"layer{number}", nn.Sequential(*layer))
            before = width
        self.fc: nn.Module = nn.Linear(512, classes) if classes else nn.Identity()
