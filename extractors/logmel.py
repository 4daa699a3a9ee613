"""The log-mel spectrogram that VGGish takes (Hershey et al. 2017, arXiv:1609.09430; AudioSet's published parameters).

16 kHz mono; periodic Hann windows of 25 ms every 10 ms, magnitudes of 512 points, 64 bands from 125 to 7,500 Hz whose
triangles are straight in mel, log(sum + 0.01). An example is 96 such steps, 0.96 s, and the next begins right after it.
"""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from csmv.extractors.audio import RATE, AudioExtractor
from csmv.extractors.base import Granularity
from csmv.extractors.cutting import samples_of
from csmv.extractors.extractor_errors import UnknownChoiceError
from csmv.extractors.registry import register
from csmv.extractors.sampling import ClipRule

WINDOW, HOP, POINTS = 400, 160, 512
"""Samples of a step (25 ms) and from one to the next (10 ms), and the length of its Fourier transform."""
STEPS, BANDS = 96, 64
LOWEST_HZ, HIGHEST_HZ = 125.0, 7500.0
OFFSET = 0.01


def mel_triangles() -> Tensor:
    """(257, 64): each frequency's share in each band, rising and falling in a straight line over mel; 0 Hz in none."""

    lowest, highest = (1127 * math.log1p(hertz / 700) for hertz in (LOWEST_HZ, HIGHEST_HZ))
    edges = torch.linspace(lowest, highest, BANDS + 2, dtype=torch.float64)
    hertz = torch.linspace(0, RATE / 2, POINTS // 2 + 1, dtype=torch.float64)
    at = 1127 * torch.log1p(hertz / 700)[:, None]
    rising = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - at) / (edges[2:] - edges[1:-1])
    shares = torch.clamp(torch.minimum(rising, falling), min=0)
    shares[0] = 0
    return shares.float()


class LogMelSpectrogram(nn.Module):
    """(B, samples) to (B, steps, 64), a step wherever 25 ms are full."""

    window: Tensor
    mel: Tensor

    def __init__(self) -> None:
        super().__init__()
        turn = torch.arange(WINDOW, dtype=torch.float64) * (2 * math.pi / WINDOW)
        self.register_buffer("window", (0.5 - 0.5 * torch.cos(turn)).float(), persistent=False)
        self.register_buffer("mel", mel_triangles(), persistent=False)

    def forward(self, sound: Tensor) -> Tensor:
        pieces = sound.unfold(1, WINDOW, HOP) * self.window
        return torch.log(torch.fft.rfft(pieces, POINTS).abs() @ self.mel + OFFSET)


@register
class LogMel(AudioExtractor):
    """VGGish's input, 96 steps of 64 log-mel bands every 0.96 s: one vector, step by step, or 96 as `temporal`."""

    name = "logmel"
    dim = STEPS * BANDS
    weightless = True
    granularities: ClassVar = {"clip": 1, "temporal": STEPS}
    # 15,600 samples, which 96 steps need, every 15,360.
    rule = ClipRule(fps=200, frames=195, step=192)

    def __init__(self, *weights: Any, granularity: Granularity = "clip", **options: Any) -> None:
        self.dim = BANDS if granularity == "temporal" else STEPS * BANDS
        super().__init__(*weights, granularity=granularity, **options)

    @classmethod
    def check_rule(cls, rule: ClipRule) -> None:
        """Raises UnknownChoiceError if windows of that rule do not have 96 steps."""
        if 1 + (samples_of(rule, RATE) - WINDOW) // HOP != STEPS:
            raise UnknownChoiceError(
                f"{cls.name} takes windows of {STEPS} steps, 0.975 s of sound, such as {cls.rule.frames} frames at "
                f"{cls.rule.fps} fps, and {rule.frames} frames at {rule.fps} fps are {rule.frames / rule.fps:.3f} s."
            )

    def build(self, classes: int) -> nn.Module:
        return LogMelSpectrogram()

    def forward(self, clips: Tensor) -> Tensor:
        steps: Tensor = self.module(clips)[:, :STEPS]
        return steps if self.granularity == "temporal" else steps.flatten(1)[:, None]
