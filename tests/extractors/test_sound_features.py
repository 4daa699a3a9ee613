"""The log-mel spectrogram of VGGish by its published description, and prosody against librosa itself."""

import sys
import tomllib
from pathlib import Path

import librosa
import numpy as np
import pytest
from films import make_film
from numpy.typing import NDArray

from csmv.extractors import create, logmel, prosody
from csmv.extractors.audio import RATE
from csmv.extractors.cutting import cut, samples_of
from csmv.extractors.engine import extract
from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.registry import card_of
from csmv.extractors.sampling import ClipRule

REPOSITORY = Path(__file__).resolve().parents[2]

PUBLISHED = {
    "sample_rate": 16_000,
    "stft_window_s": 0.025,
    "stft_hop_s": 0.010,
    "bands": 64,
    "frames": 96,
    "mel_min_hz": 125,
    "mel_max_hz": 7500,
    "log_offset": 0.01,
    "example_hop_s": 0.96,
}
"""AudioSet's `vggish_params`."""


def vggish_examples(sound: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 96, 64) as VGGish's own preparation is described, of the whole sound at once and one frequency at a time."""
    size, hop = (round(PUBLISHED[key] * PUBLISHED["sample_rate"]) for key in ("stft_window_s", "stft_hop_s"))
    points = 2 ** int(np.ceil(np.log2(size)))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    steps = 1 + (len(sound) - size) // hop
    magnitudes = np.stack([np.abs(np.fft.rfft(sound[n * hop : n * hop + size] * hann, points)) for n in range(steps)])

    def mel(hertz: float) -> float:
        return 1127.0 * np.log(1.0 + hertz / 700.0)

    bands = PUBLISHED["bands"]
    edges = np.linspace(mel(PUBLISHED["mel_min_hz"]), mel(PUBLISHED["mel_max_hz"]), bands + 2)
    table = np.zeros((points // 2 + 1, bands))
    for line in range(1, points // 2 + 1):  # 0 Hz is in no band
        at = mel(line * PUBLISHED["sample_rate"] / points)
        for band in range(bands):
            low, middle, high = edges[band : band + 3]
            table[line, band] = max(0.0, min((at - low) / (middle - low), (high - at) / (high - middle)))
    logs = np.log(magnitudes @ table + PUBLISHED["log_offset"])
    frames = PUBLISHED["frames"]
    return np.stack([logs[n : n + frames] for n in range(0, len(logs) - frames + 1, frames)])


def test_logmel_is_what_vggish_hears() -> None:
    clock = np.arange(5 * RATE) / RATE
    sound = 0.3 * np.sin(2 * np.pi * 300 * clock * (1 + clock)) + np.random.default_rng(0).normal(0, 0.05, 5 * RATE)
    wanted = vggish_examples(sound)
    rule = logmel.LogMel.rule
    need, step = samples_of(rule, RATE), rule.step * RATE // rule.fps
    assert wanted.shape == (5, 96, 64)
    assert rule.count(5 * rule.fps) == 5
    assert step == PUBLISHED["example_hop_s"] * RATE
    windows = np.stack([sound[n * step : n * step + need] for n in range(5)]).astype(np.float32)
    found = create("logmel").embed(windows).numpy()
    np.testing.assert_allclose(found.reshape(5, 96, 64), wanted, atol=1e-4)
    rows = create("logmel", granularity="temporal").embed(windows).numpy()
    np.testing.assert_array_equal(rows.reshape(found.shape), found)


def test_its_bands_are_those_of_transformers() -> None:
    from transformers.audio_utils import mel_filter_bank

    wanted = mel_filter_bank(
        257, 64, 125.0, 7500.0, RATE, norm=None, mel_scale="kaldi", triangularize_in_mel_space=True
    )
    np.testing.assert_allclose(logmel.mel_triangles().numpy(), wanted, atol=1e-6)


def test_a_windows_96_steps_follow_those_of_the_window_before(tmp_path: Path) -> None:
    """Across windows nothing is left out and nothing comes twice."""
    film = make_film(tmp_path / "f.mp4", frames=80, rate=24, sound=True)
    (result,) = extract([film], ["logmel"])
    features = result.features["logmel"]
    assert features.shape == (3, 96 * 64)
    heard: list[NDArray[np.float32]] = []
    cut(film, (create("logmel").plan(),), lambda _plan, _number, window: heard.append(window.copy()))
    step = 15_360
    line = np.concatenate([heard[0][:step], heard[1][:step], heard[2]]).astype(np.float64)
    np.testing.assert_allclose(features.reshape(3, 96, 64), vggish_examples(line), atol=1e-3)


def test_a_rule_with_other_steps_is_refused() -> None:
    with pytest.raises(ExtractorError, match=r"96 steps, 0\.975 s"):
        logmel.LogMel.check_rule(ClipRule())


def voice(hertz: float) -> NDArray[np.float32]:
    clock = np.arange(10_667) / RATE
    tone = sum(np.sin(2 * np.pi * hertz * k * clock) / k for k in range(1, 6))
    return (0.2 * tone).astype(np.float32)


def test_prosody_is_librosas() -> None:
    sounds = np.stack([voice(120), voice(260), np.random.default_rng(1).normal(0, 0.1, 10_667).astype(np.float32)])
    found = create("prosody").embed(sounds).numpy()[:, 0]
    for sound, row in zip(sounds, found, strict=True):
        f0, voiced, _ = librosa.pyin(sound, fmin=65.0, fmax=1000.0, sr=RATE, frame_length=1024, hop_length=160)
        energy = librosa.feature.rms(y=sound, frame_length=1024, hop_length=160)
        crossings = librosa.feature.zero_crossing_rate(sound, frame_length=1024, hop_length=160)
        pitch = [np.nanmean(f0), np.nanstd(f0)] if voiced.any() else [0, 0]
        wanted = [*pitch, voiced.mean(), energy.mean(), energy.std(), crossings.mean(), crossings.std()]
        np.testing.assert_allclose(row, wanted, rtol=1e-6, atol=1e-6)
    share = prosody.FIELDS.index("voiced_share")
    assert found[0, 0] == pytest.approx(120, abs=1)
    assert found[1, 0] == pytest.approx(260, abs=2)
    assert found[0, share] > 0.9 > 0.1 > found[2, share]


def test_prosody_of_silence_is_zeros() -> None:
    found = create("prosody").embed(np.zeros((1, 10_667), np.float32)).numpy()
    np.testing.assert_array_equal(found, np.zeros((1, 1, 7), np.float32))


def test_prosody_without_librosa_is_told_as_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "librosa", None)
    assert card_of("prosody")["dim"] == 7  # its card needs no librosa
    with pytest.raises(ModuleNotFoundError) as caught:
        create("prosody")
    assert caught.value.name == "librosa"
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert any(one.startswith("librosa") for one in extras["prosody"])  # which the command's error then names
