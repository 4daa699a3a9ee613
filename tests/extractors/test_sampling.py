"""Frames are chosen exactly as the real ffmpeg's `fps=24` filter chooses them, told by the number in each frame."""

import random
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import imageio_ffmpeg
import numpy as np
import pytest
from films import make_film, number_in

from csmv.extractors.cutting import Plan, cut, windows_of
from csmv.extractors.decode import opened, packet_times
from csmv.extractors.sampling import ClipRule, sample_indices

EVERY_FRAME = ClipRule(fps=24, frames=1, step=1, max_clips=100_000)
WIDTH, HEIGHT = 128, 64


@dataclass(frozen=True)
class AsIs:
    """No preprocessing, for frames that have this size already."""

    size: tuple[int, int] = (HEIGHT, WIDTH)
    dtype: Literal["uint8"] = "uint8"

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        return frames


def ours(path: Path, decoder: Any = "pyav") -> list[int]:
    numbers: list[int] = []
    cut(
        path, (Plan(EVERY_FRAME, AsIs()),), lambda _p, _n, window: numbers.append(number_in(window[0])), decoder=decoder
    )
    return numbers


def ffmpegs(path: Path) -> list[int]:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-vf", "fps=24"]
    command += ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return [number_in(image) for image in np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)]


def film(path: Path, **how: Any) -> Path:
    return make_film(path, size=(WIDTH, HEIGHT), **how)


def jittered(seed: int, count: int, start: int = 0) -> list[int]:
    """Timestamps in milliseconds as a phone writes them: mostly 33 apart, some late, a pause now and then."""
    chance = random.Random(seed)
    ticks = [start]
    while len(ticks) < count:
        ticks.append(ticks[-1] + chance.choice([33, 33, 33, 34, 1, 7, 20, 41, 42, 60, 125, 400]))
    return ticks


MS = Fraction(1, 1000)
RATES = [
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(50),
    Fraction(60000, 1001),
    Fraction(60),
    Fraction(15),
    Fraction(12),
    Fraction(7),
    Fraction(120),
    Fraction(16),  # these three have frames that are due at an exact half
    Fraction(48),
    Fraction(96),
]
B_FRAMES = {"preset": "medium", "bf": "3", "crf": "18", "b_strategy": "0"}


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_constant_rates(rate: Fraction, container: str, tmp_path: Path) -> None:
    path = film(tmp_path / f"film.{container}", frames=61, rate=rate)
    wanted = ffmpegs(path)
    assert len(set(wanted)) > 10
    assert ours(path) == wanted


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_variable_rates(seed: int, container: str, tmp_path: Path) -> None:
    path = film(tmp_path / f"film.{container}", frames=50, rate=30, ticks=jittered(seed, 50), time_base=MS)
    assert ours(path) == ffmpegs(path)


@pytest.mark.parametrize("start", [21, 400, 1500])
@pytest.mark.parametrize("container", ["mp4", "mkv", "mov"])
def test_start_offsets(start: int, container: str, tmp_path: Path) -> None:
    path = film(tmp_path / f"f.{container}", frames=40, rate=30, ticks=jittered(3, 40, start), time_base=MS)
    assert ours(path) == ffmpegs(path)


@pytest.mark.parametrize("start", [0, 300])
def test_sound_that_begins_before_the_picture_moves_the_origin(start: int, tmp_path: Path) -> None:
    ticks = [start + n * 40 for n in range(40)]
    path = film(tmp_path / "f.mp4", frames=40, rate=25, ticks=ticks, time_base=MS, sound=True)
    assert ours(path) == ffmpegs(path)


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001)], ids=str)
@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "avi"])
def test_b_frames_in_every_container(rate: Fraction, container: str, tmp_path: Path) -> None:
    path = film(tmp_path / f"film.{container}", frames=50, rate=rate, options=B_FRAMES)
    assert ours(path) == ffmpegs(path)


@pytest.mark.parametrize(("codec", "container"), [("libvpx-vp9", "webm"), ("mpeg4", "avi"), ("libx265", "mp4")])
def test_other_codecs(codec: str, container: str, tmp_path: Path) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {"qscale": "2"}
    path = film(tmp_path / f"film.{container}", frames=30, rate=25, codec=codec, options=options)
    assert ours(path) == ffmpegs(path)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_ones(frames: int, tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", frames=frames, rate=25)
    wanted = ffmpegs(path)
    assert wanted
    assert ours(path) == wanted


def test_a_frame_too_short_for_ffmpeg_is_still_shown_once(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", frames=1, rate=60)
    assert ffmpegs(path) == []
    assert ours(path) == [0]


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_rotated_ones_are_upright(turn: int, tmp_path: Path) -> None:
    path = make_film(tmp_path / "film.mp4", frames=20, rate=30, size=(128, 64), rotate=turn)
    height, width = (64, 128) if turn == 180 else (128, 64)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-vf", "fps=24"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], check=True, capture_output=True).stdout
    wanted = np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)
    found = [window[0] for window in windows_of(path, Plan(EVERY_FRAME, AsIs((height, width))))]
    assert len(found) == len(wanted)
    assert np.abs(np.stack(found).astype(int) - wanted).mean() < 3


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30), Fraction(60)], ids=str)
def test_decord_gives_the_same_frames(rate: Fraction, tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", frames=61, rate=rate, options=B_FRAMES)
    assert ours(path, "decord") == ours(path, "pyav")


def test_indices_alone_say_the_same(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mkv", frames=50, rate=30, ticks=jittered(11, 50), time_base=MS)
    with opened(path) as container:
        times = list(packet_times(container))
    pts = [int(time * 1000) for time, _ in times]
    found = sample_indices(pts, MS, int(times[-1][1] * 1000))
    assert found.tolist() == ffmpegs(path)


def test_windows_are_full_except_for_the_only_one() -> None:
    rule = ClipRule()
    assert rule.count(0) == 0
    assert rule.windows(5).tolist() == [[0, 1, 2, 3, 4] + [4] * 11]
    assert rule.windows(16).tolist() == [list(range(16))]
    assert rule.windows(47).shape == (2, 16)
    assert rule.windows(48)[2, 0] == 32
    assert rule.windows(10**6).shape == (180, 16)


def test_cutting_gives_the_windows_of_the_rule(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", frames=70, rate=24)
    rule = ClipRule(frames=16, step=4, max_clips=10)
    found = [[number_in(frame) for frame in window] for window in windows_of(path, Plan(rule, AsIs()))]
    assert found == rule.windows(70).tolist()
    apart = ClipRule(frames=4, step=10, max_clips=5)
    found = [[number_in(frame) for frame in window] for window in windows_of(path, Plan(apart, AsIs()))]
    assert found == apart.windows(70).tolist()
