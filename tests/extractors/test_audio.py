"""Sound is cut under the same windows as the frames, and MFCC and wav2vec 2.0 are what others compute."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from films import make_film
from scipy.fft import dct

from csmv.extractors import create
from csmv.extractors.audio import RATE, cosines, mel_filters
from csmv.extractors.cutting import Plan, cut, samples_of
from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.sampling import ClipRule
from csmv.extractors.transforms import Stretch

SOUND, PICTURE = Plan(ClipRule(), None, RATE), Plan(ClipRule(), Stretch((8, 8)))


def windows(path: Path, *plans: Plan) -> list[list[np.ndarray]]:
    kept: list[list[np.ndarray]] = [[] for _ in plans]
    cut(path, plans, lambda plan, _number, window: kept[plan].append(window.copy()))
    return kept


def test_a_window_of_sound_lies_under_each_window_of_frames(tmp_path: Path) -> None:
    path = make_film(tmp_path / "f.mp4", frames=100, rate=25, sound=True)
    frames, sound = windows(path, PICTURE, SOUND)
    assert len(frames) == len(sound) == 6
    assert {window.shape for window in sound} == {(samples_of(ClipRule(), RATE),)} == {(10_667,)}
    (alone,) = windows(path, SOUND)
    np.testing.assert_array_equal(np.stack(alone), np.stack(sound))
    for window in sound[1:]:
        spectrum = np.abs(np.fft.rfft(window * np.hanning(len(window))))
        assert spectrum.argmax() * RATE / len(window) == pytest.approx(440, abs=2)


def test_sound_that_ends_early_is_silence(tmp_path: Path) -> None:
    path = make_film(tmp_path / "f.mp4", frames=96, rate=24, sound=True)
    import subprocess

    import imageio_ffmpeg

    short = tmp_path / "short.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-af", "atrim=end=1", "-c:v", "copy"]
    subprocess.run([*command, str(short)], check=True)
    frames, sound = windows(short, PICTURE, SOUND)
    assert len(frames) == len(sound) == 6
    assert np.abs(sound[0]).max() > 0.1
    assert np.abs(sound[-1]).max() == 0


def test_mfcc_is_the_textbooks() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 10_667)).astype(np.float32)
    found = create("mfcc").embed(noise).numpy()
    steps = 1 + (10_667 - 400) // 160
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    pieces = np.stack([noise[:, n * 160 : n * 160 + 400] for n in range(steps)], 1) * hann
    power = np.abs(np.fft.rfft(pieces, 512)) ** 2
    mel = np.log(power @ mel_filters(257, 40, 20, RATE / 2).numpy().astype(np.float64) + 1e-10)
    cepstrum = dct(mel, type=2, norm="ortho", axis=-1)[..., :20]
    wanted = np.concatenate([cepstrum.mean(1), cepstrum.std(1)], 1)
    assert found.shape == (2, 1, 40)
    np.testing.assert_allclose(found[:, 0], wanted, rtol=1e-3, atol=1e-3)


def test_mel_filters_are_those_of_transformers() -> None:
    from transformers.audio_utils import mel_filter_bank

    wanted = mel_filter_bank(257, 40, 20.0, RATE / 2, RATE, norm=None, mel_scale="htk")
    np.testing.assert_allclose(mel_filters(257, 40, 20, RATE / 2).numpy(), wanted, atol=1e-5)
    np.testing.assert_allclose(cosines(40, 40).T @ cosines(40, 40), torch.eye(40), atol=1e-6)


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SMALL |= {"conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "codevector_dim": 16, "proj_codevector_dim": 16}


def heard_by_transformers(network: Any, sound: np.ndarray) -> np.ndarray:
    from transformers import Wav2Vec2FeatureExtractor

    values = Wav2Vec2FeatureExtractor(do_normalize=True)(sound[0], sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        vector: np.ndarray = network(values.input_values).last_hidden_state.mean(1).numpy()
    return vector


@pytest.mark.parametrize("layout", ["safetensors", "pickled, with a head, under older names"])
def test_wav2vec2_loads_a_folder_and_hears_what_transformers_hears(tmp_path: Path, layout: str) -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining

    torch.manual_seed(0)
    whole = Wav2Vec2ForPreTraining(Wav2Vec2Config(**SMALL)).eval()
    (whole.wav2vec2 if layout == "safetensors" else whole.config).save_pretrained(tmp_path)
    if layout != "safetensors":
        old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
        state = whole.state_dict()
        for now, before in old.items():
            state = {key.replace(now, before): value for key, value in state.items()}
        torch.save(state, tmp_path / "pytorch_model.bin")
    ours = create("wav2vec2", tmp_path)
    assert (ours.dim, len(ours.weights_sha256)) == (32, 64)
    sound = np.random.default_rng(1).normal(0, 0.2, (1, 10_667)).astype(np.float32)
    wanted = heard_by_transformers(whole.wav2vec2, sound)
    np.testing.assert_allclose(ours.embed(sound).numpy()[:, 0], wanted, atol=1e-5)


class Runs:
    """Would run code when unpickled."""

    def __reduce__(self) -> object:
        return (Path.touch, (Path("ran"),))


def test_wav2vec2_never_runs_what_a_folder_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "wav2vec2"}')
    torch.save({"a": Runs()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ExtractorError, match="plain tensors"):
        create("wav2vec2", tmp_path)
    assert not (tmp_path / "ran").exists()
    (tmp_path / "config.json").write_text('{"model_type": "hubert"}')
    with pytest.raises(ExtractorError, match="this one says 'hubert'"):
        create("wav2vec2", tmp_path)


def test_frames_are_not_sound() -> None:
    with pytest.raises(ExtractorError, match="sound at 16000 Hz"):
        create("mfcc").embed(np.zeros((1, 16, 8, 8, 3), np.uint8))
