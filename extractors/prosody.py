"""How something is said: pitch by pYIN, loudness and zero crossings of each window of sound, by librosa.

Mauch and Dixon 2014, "pYIN: a fundamental frequency estimator using probabilistic threshold distributions" (ICASSP).
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from csmv.extractors.audio import RATE, AudioExtractor
from csmv.extractors.registry import register

LOWEST_HZ, HIGHEST_HZ = 65.0, 1000.0
"""Where a voice's pitch is looked for: a deep man's to a child's shout."""
FRAME, HOP = 1024, 160
"""Samples of a frame (64 ms: four periods of the lowest pitch) and from one to the next (10 ms)."""

FIELDS = (
    *("f0_mean_hz", "f0_std_hz", "voiced_share"),
    *("rms_mean", "rms_std", "zero_crossings_mean", "zero_crossings_std"),
)


def prosody(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """The seven numbers of `FIELDS` of mono sound at 16 kHz; without a voiced frame F0's two are 0."""
    import librosa

    frames: dict[str, Any] = {"frame_length": FRAME, "hop_length": HOP}
    f0, voiced, _ = librosa.pyin(sound, fmin=LOWEST_HZ, fmax=HIGHEST_HZ, sr=RATE, fill_na=np.nan, **frames)
    pitch = f0[voiced] if voiced.any() else np.zeros(1)
    loudness = librosa.feature.rms(y=sound, **frames)
    crossings = librosa.feature.zero_crossing_rate(sound, **frames)
    values = [pitch.mean(), pitch.std(), voiced.mean()]
    values += [loudness.mean(), loudness.std(), crossings.mean(), crossings.std()]
    return np.array(values, np.float32)


@register
class Prosody(AudioExtractor):
    """Pitch (pYIN), share of voiced frames, energy and zero crossings: means and standard deviations, 7 numbers."""

    name = "prosody"
    dim = len(FIELDS)
    weightless = True

    def __init__(self, *weights: Any, **options: Any) -> None:
        import librosa  # noqa: F401  # told before any file is decoded

        super().__init__(*weights, **options)

    def build(self, classes: int) -> nn.Module:
        return nn.Identity()

    def forward(self, clips: Tensor) -> Tensor:
        rows = [prosody(sound) for sound in clips.float().cpu().numpy()]
        return torch.from_numpy(np.stack(rows)).to(clips.device)[:, None]
