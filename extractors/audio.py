"""Sound under the same windows as the frames: what audio extractors share, and MFCC.

16 kHz mono; a window of 16 frames at 24 fps is 10,667 samples. Sound that ends before the picture is silence.
"""

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from csmv.extractors.base import Extractor
from csmv.extractors.contract import check_finite
from csmv.extractors.cutting import Plan, samples_of
from csmv.extractors.extractor_errors import ExtractorError, UnknownChoiceError
from csmv.extractors.registry import register
from csmv.extractors.sampling import ClipRule

RATE = 16_000
LEAST = 400
"""Samples that every extractor of sound needs at once, 25 ms."""


class AudioExtractor(Extractor):
    """A subclass maps (B, samples) to (B, N, D); `embed` takes sound instead of frames."""

    kind: ClassVar[Literal["clip", "frame", "audio"]] = "audio"

    frames_a_window: ClassVar = (1, 100_000)

    @classmethod
    def check_rule(cls, rule: ClipRule) -> None:
        super().check_rule(rule)
        if samples_of(rule, RATE) < LEAST:
            raise UnknownChoiceError(
                f"{cls.name} takes windows of at least {LEAST / RATE * 1000:g} ms of sound, and {rule.frames} frames "
                f"at {rule.fps} fps are {rule.frames / rule.fps * 1000:.0f}."
            )

    def plan(self) -> Plan:
        return Plan(self.rule, None, RATE)

    def check(self, batch: Tensor) -> None:
        if batch.ndim != 2 or batch.dtype != torch.float32:
            need = samples_of(self.rule, RATE)
            raise ExtractorError(
                f"{self.name} takes float32 sound at {RATE} Hz of shape (B, {need}), "
                f"not {batch.dtype} of {tuple(batch.shape)}."
            )
        if 0 in batch.shape:
            raise ExtractorError(f"{self.name} was given no sound: a batch of shape {tuple(batch.shape)}.")
        check_finite(self.name, batch)

    def normalise(self, clips: Tensor) -> Tensor:
        return clips

    def vectors(self, batch: Tensor) -> Tensor:
        return self.forward(self.normalise(batch))


def mel_filters(bins: int, filters: int, low: float, high: float) -> Tensor:
    """(bins, filters) triangles, evenly spaced in HTK mel (2595 log10(1 + f/700)), peak 1."""

    def mel(hertz: float) -> float:
        return 2595 * math.log10(1 + hertz / 700)

    corners = torch.linspace(mel(low), mel(high), filters + 2, dtype=torch.float64)
    hertz = 700 * (10 ** (corners / 2595) - 1)
    at = torch.linspace(0, RATE / 2, bins, dtype=torch.float64)[:, None]
    rising = (at - hertz[:-2]) / (hertz[1:-1] - hertz[:-2])
    falling = (hertz[2:] - at) / (hertz[2:] - hertz[1:-1])
    return torch.clamp(torch.minimum(rising, falling), min=0).float()


def cosines(inputs: int, outputs: int) -> Tensor:
    """(inputs, outputs): the orthonormal DCT-II."""
    n = torch.arange(inputs, dtype=torch.float64)[:, None]
    k = torch.arange(outputs, dtype=torch.float64)
    table = torch.cos(math.pi / inputs * (n + 0.5) * k) * math.sqrt(2 / inputs)
    table[:, 0] /= math.sqrt(2)
    return table.float()


class Cepstrum(nn.Module):
    """(B, samples) to (B, steps, 20): 25 ms Hann windows every 10 ms, power, 40 mel bands, log, DCT."""

    window: Tensor
    mel: Tensor
    dct: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(400), persistent=False)
        self.register_buffer("mel", mel_filters(257, 40, 20, RATE / 2), persistent=False)
        self.register_buffer("dct", cosines(40, 20), persistent=False)

    def forward(self, sound: Tensor) -> Tensor:
        pieces = sound.unfold(1, 400, 160) * self.window
        power = torch.fft.rfft(pieces, 512).abs().square()
        return torch.log(power @ self.mel + 1e-10) @ self.dct


@register
class Mfcc(AudioExtractor):
    """20 mel-frequency cepstral coefficients: their mean and standard deviation over the window."""

    name = "mfcc"
    dim = 40
    weightless = True

    def build(self, classes: int) -> nn.Module:
        return Cepstrum()

    def forward(self, clips: Tensor) -> Tensor:
        steps = self.module(clips)
        return torch.cat([steps.mean(1), steps.std(1, correction=0)], 1)[:, None]
