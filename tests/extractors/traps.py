"""A transform that does to a decoding worker what bad files do to decoders."""

import ctypes
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np

from csmv.extractors.transforms import Frames, Stretch


@dataclass(frozen=True)
class Trap:
    """A transform that hangs, dies or eats memory in the worker when it sees a picture of a certain height."""

    hang: int = 34
    die: int = 36
    swallow: int = 38
    size: tuple[int, int] = (8, 8)
    dtype: Literal["float32"] = "float32"

    def __call__(self, frames: Frames) -> Frames:
        height = frames.shape[-3]
        if height == self.hang:
            time.sleep(1000)
        if height == self.die:
            ctypes.string_at(0)  # a segmentation fault, as decoders have them
        if height == self.swallow:
            np.ones(1 << 40, np.uint8)
        return Stretch(self.size)(frames)


@dataclass(frozen=True)
class SlowToLoad(Stretch):
    """A transform that a worker takes seconds to load, as everything does on a busy machine."""

    seconds: float = 3.0

    def __setstate__(self, state: dict[str, object]) -> None:
        time.sleep(self.seconds)
        self.__dict__.update(state)
