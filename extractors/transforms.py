"""Preprocessing of decoded frames down to the size a network takes, in plain numpy, exactly as the originals do it.

A transform maps uint8 frames (..., H, W, 3) to (..., h, w, 3): whole grey levels (uint8) where the original rounds
after resizing, float32 on the same 0..255 scale where it does not. It never scales or normalises values: that is
the extractor's, on its own device. Transforms run inside decoding workers, so this module never imports torch.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from csmv.extractors.extractor_errors import ExtractorError

Frames = NDArray[Any]
Size = tuple[int, int]


@runtime_checkable
class FrameTransform(Protocol):
    """Anything that maps uint8 (..., H, W, 3) to `size`; must be importable by name, since workers import it."""

    @property
    def size(self) -> Size: ...

    @property
    def dtype(self) -> Literal["uint8", "float32"]: ...

    def __call__(self, frames: Frames) -> Frames: ...


def check_frame(transform: FrameTransform, frame: Any) -> None:
    """Raises ExtractorError unless a transform gave one frame (h, w, 3) as it promised."""
    wanted, kind = (*transform.size, 3), transform.dtype
    if not isinstance(frame, np.ndarray) or frame.shape != wanted or frame.dtype != kind:
        gave = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else f"a {type(frame).__name__}"
        raise ExtractorError(
            f"The transform {type(transform).__name__} promised frames of {kind} {wanted} and gave {gave}: mend its "
            "`size`, `dtype` or `__call__`."
        )


@lru_cache(maxsize=256)
def _taps(source: int, target: int, scale: float, first: int, count: int) -> tuple[NDArray[Any], ...]:
    """The two source positions and weights of target positions first..first+count, half-pixel centres, float32."""
    centre = np.arange(first, first + count) + 0.5
    at = np.maximum((centre * np.float64(np.float32(scale)) - 0.5).astype(np.float32), np.float32(0))
    low = np.minimum(at.astype(np.int64), source - 1)
    high = np.minimum(low + 1, source - 1)
    weight = np.clip(at - low.astype(np.float32), 0, 1).astype(np.float32)
    return low, high, weight


def bilinear(
    frames: Frames, height: int, width: int, *, box: tuple[int, int, int, int] | None = None, scale: float = 0.0
) -> NDArray[np.float32]:
    """Bilinear resize (half-pixel centres, no antialiasing) of (..., H, W, 3), of which `box` is computed.

    `box` is (top, left, h, w) in the resized picture; only the source pixels it needs are read. `scale` replaces
    H/height and W/width where the original gives the step itself. Arithmetic as torch's upsample_bilinear2d:
    float32, along width first.
    """
    top, left, h, w = box or (0, 0, height, width)
    source_h, source_w = frames.shape[-3:-1]
    step_y = scale or float(np.float32(source_h) / np.float32(height))
    step_x = scale or float(np.float32(source_w) / np.float32(width))
    y0, y1, wy = _taps(source_h, height, step_y, top, h)
    x0, x1, wx = _taps(source_w, width, step_x, left, w)
    wx, wy = wx[:, None], wy[:, None, None]
    one = np.float32(1)

    def along_width(rows: NDArray[Any]) -> NDArray[np.float32]:
        picked = frames[..., rows, :, :]
        low = picked[..., x0, :].astype(np.float32)
        high = picked[..., x1, :].astype(np.float32)
        mixed: NDArray[np.float32] = low * (one - wx) + high * wx
        return mixed

    result: NDArray[np.float32] = along_width(y0) * (one - wy) + along_width(y1) * wy
    return result


def round_half_even(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Whole grey levels, halves to the even one, as torch.round and Python do."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def centre_offset(size: int, crop: int) -> int:
    """Where a centre crop begins: round((size - crop) / 2), halves to even."""
    return round((size - crop) / 2)


@dataclass(frozen=True)
class ResizeThenCrop:
    """torchvision's video preset: resize to exactly `resize` whatever the aspect, whole grey levels, centre crop."""

    resize: Size
    size: Size
    dtype: Literal["uint8"] = "uint8"

    def __call__(self, frames: Frames) -> Frames:
        (height, width), (h, w) = self.resize, self.size
        box = (centre_offset(height, h), centre_offset(width, w), h, w)
        return round_half_even(bilinear(frames, height, width, box=box))


@dataclass(frozen=True)
class ShortSideThenCrop:
    """torchvision's other video preset: shorter side to `short`, no antialiasing, whole grey levels, centre crop."""

    short: int
    size: Size
    dtype: Literal["uint8"] = "uint8"

    def __call__(self, frames: Frames) -> Frames:
        height, width = frames.shape[-3:-1]
        if height <= width:
            height, width = self.short, int(self.short * width / height)
        else:
            height, width = int(self.short * height / width), self.short
        return ResizeThenCrop((height, width), self.size)(frames)


@dataclass(frozen=True)
class Stretch:
    """Resize straight to `size` whatever the aspect, bilinear without rounding (VideoMAEv2's extraction script)."""

    size: Size
    dtype: Literal["float32"] = "float32"

    def __call__(self, frames: Frames) -> Frames:
        return bilinear(frames, *self.size)


@dataclass(frozen=True)
class EnlargeThenCrop:
    """I3D's script: enlarge only where a side is under `shortest` (to it), never shrink; then centre crop."""

    shortest: int
    size: Size
    dtype: Literal["uint8"] = "uint8"

    def __call__(self, frames: Frames) -> Frames:
        height, width = frames.shape[-3:-1]
        h, w = self.size
        short = min(height, width)
        if short >= self.shortest:
            top, left = centre_offset(height, h), centre_offset(width, w)
            return np.ascontiguousarray(frames[..., top : top + h, left : left + w, :])
        factor = self.shortest / short
        height, width = round(height * factor), round(width * factor)
        box = (centre_offset(height, h), centre_offset(width, w), h, w)
        return round_half_even(bilinear(frames, height, width, box=box, scale=1 / factor))


@dataclass(frozen=True)
class PillowShortSide:
    """Pillow's antialiased resize of the shorter side to `short`, then centre crop: image models' own preprocessing."""

    short: int
    size: Size
    filter: Literal["bilinear", "bicubic"] = "bilinear"
    dtype: Literal["uint8"] = "uint8"

    def __call__(self, frames: Frames) -> Frames:
        flat = frames.reshape(-1, *frames.shape[-3:])
        out = np.stack([self._one(frame) for frame in flat])
        return out.reshape(*frames.shape[:-3], *out.shape[1:])

    def _one(self, frame: Frames) -> Frames:
        height, width = frame.shape[:2]
        if height <= width:
            resized = (max(int(self.short * width / height), self.size[1]), self.short)
        else:
            resized = (self.short, max(int(self.short * height / width), self.size[0]))
        kind = Image.Resampling[self.filter.upper()]
        small = np.asarray(Image.fromarray(np.ascontiguousarray(frame)).resize(resized, kind))
        h, w = self.size
        top, left = centre_offset(small.shape[0], h), centre_offset(small.shape[1], w)
        return small[top : top + h, left : left + w]


@dataclass(frozen=True)
class PillowResize:
    """Pillow's antialiased resize, of the shorter side or to a whole size, then the centre, as transformers' do it.

    Their centre lies half a pixel higher and further left than torchvision's where it can't be exact.
    """

    to: int | Size
    """The shorter side, or height and width whatever the aspect."""
    size: Size
    filter: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = "bilinear"
    dtype: Literal["uint8"] = "uint8"

    def __call__(self, frames: Frames) -> Frames:
        flat = frames.reshape(-1, *frames.shape[-3:])
        out = np.stack([self._one(frame) for frame in flat])
        return out.reshape(*frames.shape[:-3], *out.shape[1:])

    def _one(self, frame: Frames) -> Frames:
        height, width = frame.shape[:2]
        if isinstance(self.to, tuple):
            tall, wide = self.to
        else:
            short, long = min(height, width), max(height, width)
            along = int(self.to * long / short)
            tall, wide = (self.to, along) if height <= width else (along, self.to)
        kind = Image.Resampling[self.filter.upper()]
        small = np.asarray(Image.fromarray(np.ascontiguousarray(frame)).resize((wide, tall), kind))
        h, w = self.size
        top, left = (tall - h) // 2, (wide - w) // 2
        return small[top : top + h, left : left + w]
