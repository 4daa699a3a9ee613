"""Sixty hostile or odd files: each gives features or a reason, none a crash, a hang or a disturbed neighbour."""

import random
import struct
import subprocess
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import imageio_ffmpeg
import numpy as np
import pytest
from films import make_film
from torch import Tensor, nn

from csmv.extractors.base import Extractor
from csmv.extractors.decode import is_cut_short
from csmv.extractors.engine import Engine, Settings, VideoResult
from csmv.extractors.pool import probe_many
from csmv.extractors.reasons import MediaFailure
from csmv.extractors.sampling import ClipRule
from csmv.extractors.transforms import Stretch
from csmv.extractors.worker import Limits


class Colour(Extractor):
    """Mean colour of a window: a network whose answer shows whether pixels arrived."""

    name = "colour"
    dim = 3
    rule = ClipRule(max_clips=4)
    transform = Stretch((8, 8))
    weightless = True
    granularities: ClassVar = {"clip": 1}

    def build(self, classes: int) -> nn.Module:
        return nn.Identity()

    def normalise(self, clips: Tensor) -> Tensor:
        return clips

    def forward(self, clips: Tensor) -> Tensor:
        return clips.mean((2, 3, 4))[:, None]


def ffmpeg(*arguments: str | Path) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def source(size: str = "64x64", rate: str = "30", seconds: str = "1") -> list[str]:
    return ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}"]


def patched(data: bytes, tag: bytes, at: int, new: bytes) -> bytes:
    """`data` with `new` written `at` bytes behind the first `tag`."""
    where = data.index(tag) + len(tag) + at
    return data[:where] + new + data[where + len(new) :]


Maker = Callable[[Path, Path, Path], None]
"""Writes one file; gets its path, a good MP4 with its index at the end, and one with it in front."""


def _truncated(tenth: int, front: bool) -> Maker:
    def make(path: Path, good: Path, fast: Path) -> None:
        data = (fast if front else good).read_bytes()
        path.write_bytes(data[: len(data) * tenth // 10])

    return make


def _flipped(seed: int) -> Maker:
    def make(path: Path, good: Path, _fast: Path) -> None:
        data, chance = bytearray(good.read_bytes()), random.Random(seed)
        for _ in range(40):
            data[chance.randrange(32, len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)

    return make


def _bytes(make_bytes: Callable[[bytes], bytes]) -> Maker:
    return lambda path, good, _fast: path.write_bytes(make_bytes(good.read_bytes())) and None


def _encoded(*options: str, **how: str) -> Maker:
    return lambda path, _good, _fast: ffmpeg(*source(**how), *options, path)


def _tone(path: Path, *_: Path) -> None:
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        out.writeframes((8000 * np.sin(np.arange(16_000) / 6)).astype("<i2").tobytes())


def _edited(path: Path, good: Path, _fast: Path) -> None:
    ffmpeg("-ss", "0.37", "-i", good, "-c", "copy", path)


def _cover_art(path: Path, *_: Path) -> None:
    picture = path.with_suffix(".png")
    ffmpeg(*source(seconds="0.04"), "-frames:v", "1", picture)
    sound = ["-f", "lavfi", "-i", "sine=duration=1"]
    ffmpeg(*sound, "-i", picture, "-map", "0", "-map", "1", "-disposition:v:0", "attached_pic", "-c:v", "copy", path)
    picture.unlink()


X264 = ("-c:v", "libx264", "-preset", "ultrafast")
FINE = "features"
"""What a corpus entry must come to; None where either features or a reason will do."""

CORPUS: dict[str, tuple[Maker, object]] = {
    **{f"cut{n}.mp4": (_truncated(n, False), MediaFailure.TRUNCATED) for n in range(1, 10)},
    **{f"fastcut{n}.mp4": (_truncated(n, True), MediaFailure.TRUNCATED) for n in range(1, 10)},
    **{f"flips{n}.mp4": (_flipped(n), None) for n in range(8)},
    "empty.mp4": (_bytes(lambda _: b""), MediaFailure.EMPTY_FILE),
    "onebyte.mp4": (_bytes(lambda _: b"\0"), MediaFailure.NOT_A_VIDEO),
    "text.mp4": (_bytes(lambda _: b"hello world\n" * 500), MediaFailure.NOT_A_VIDEO),
    "zeros.mp4": (_bytes(lambda _: bytes(100_000)), MediaFailure.NOT_A_VIDEO),
    "noise.mp4": (_bytes(lambda _: random.Random(1).randbytes(100_000)), MediaFailure.NOT_A_VIDEO),
    "html.mp4": (_bytes(lambda _: b"<!doctype html><html><body>Not found</body></html>"), MediaFailure.NOT_A_VIDEO),
    "playlist.mp4": (_bytes(lambda _: b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"), MediaFailure.NOT_A_VIDEO),
    "concat.mp4": (_bytes(lambda _: b"ffconcat version 1.0\nfile /etc/passwd\n"), MediaFailure.NOT_A_VIDEO),
    "wronghead.mp4": (_bytes(lambda good: b"RIFF" + good[4:]), None),
    "noftyp.mp4": (_bytes(lambda good: good[struct.unpack(">I", good[:4])[0] :]), None),
    "trailing.mp4": (_bytes(lambda good: good + random.Random(2).randbytes(5000)), FINE),
    "hugesize.mp4": (
        _bytes(lambda good: patched(good, b"avc1", 24, struct.pack(">HH", 65535, 65535))),
        None,
    ),
    "noduration.mp4": (_bytes(lambda good: patched(good, b"mvhd", 16, bytes(4))), FINE),
    "zerotimescale.mp4": (_bytes(lambda good: patched(good, b"mdhd", 12, bytes(4))), None),
    "hugecounts.mp4": (_bytes(lambda good: patched(good, b"stsz", 8, b"\x7f\xff\xff\xff")), None),
    "sound.wav": (_tone, MediaFailure.NO_VIDEO_STREAM),
    "coverart.mp3": (_cover_art, MediaFailure.NO_VIDEO_STREAM),
    "edited.mp4": (_edited, FINE),
    "1x1.mkv": (_encoded("-vf", "scale=1:1", "-c:v", "ffv1", "-pix_fmt", "bgr0"), None),
    "2x2.mp4": (_encoded("-vf", "scale=2:2", *X264, "-pix_fmt", "yuv420p"), FINE),
    "odd.mp4": (_encoded("-vf", "scale=63:41", *X264, "-pix_fmt", "yuv444p"), FINE),
    "wide.mp4": (_encoded("-vf", "scale=1024:2", *X264, "-pix_fmt", "yuv420p"), FINE),
    "8k.mp4": (_encoded(*X264, "-pix_fmt", "yuv420p", size="7680x4320", rate="2"), FINE),
    "1fps.mp4": (_encoded(*X264, rate="1", seconds="3"), FINE),
    "240fps.mp4": (_encoded(*X264, rate="240", seconds="0.5"), FINE),
    "10bit.mp4": (_encoded(*X264, "-pix_fmt", "yuv420p10le"), FINE),
    "hdr.mp4": (
        _encoded(*X264, "-pix_fmt", "yuv420p10le", "-color_trc", "smpte2084", "-colorspace", "bt2020nc"),
        FINE,
    ),
    "fullrange.mp4": (_encoded(*X264, "-pix_fmt", "yuvj420p"), FINE),
    "grey.mp4": (_encoded(*X264, "-pix_fmt", "gray"), FINE),
    "vp9.webm": (_encoded("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"), FINE),
    "vp8.webm": (_encoded("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"), FINE),
    "av1.mp4": (_encoded("-c:v", "libsvtav1", "-preset", "12", "-pix_fmt", "yuv420p"), FINE),
    "hevc.mp4": (_encoded("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"), FINE),
    "mjpeg.avi": (_encoded("-c:v", "mjpeg"), FINE),
    "mpeg4.avi": (_encoded("-c:v", "mpeg4"), FINE),
    "stream.ts": (_encoded(*X264, "-pix_fmt", "yuv420p"), FINE),
    "raw.h264": (_encoded(*X264, "-pix_fmt", "yuv420p"), FINE),
    "moving.gif": (_encoded(), FINE),
    "fragments.mp4": (_encoded(*X264, "-movflags", "frag_keyframe+empty_moov", "-g", "5"), FINE),
    "live.mkv": (_encoded(*X264, "-f", "matroska", "-live", "1"), FINE),
    "noframes.mp4": (_encoded(*X264, "-frames:v", "0"), None),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("corpus")
    good = make_film(folder / "good.mp4", frames=40, rate=30, sound=True)
    fast = folder / "fast.mp4"
    ffmpeg("-i", good, "-c", "copy", "-movflags", "+faststart", fast)
    files = {"good.mp4": good}
    for name, (make, _) in CORPUS.items():
        make(folder / name, good, fast)
        files[name] = folder / name
    return files


@pytest.fixture(scope="module")
def results(corpus: dict[str, Path]) -> dict[str, VideoResult]:
    """Every file in one pass, a good one between any two."""
    order: list[tuple[str, Path]] = []
    for at, (name, path) in enumerate(corpus.items()):
        order += [(f"good{at}", corpus["good.mp4"]), (name, path)]
    limits = Limits(seconds=60, silent_seconds=60)
    with Engine({"colour": Colour()}, Settings(max_damage=0.1, workers=2, batch_size=4, limits=limits)) as engine:
        given = list(engine.run(path for _, path in order))
    assert len(given) == len(order)
    return {name: result for (name, _), result in zip(order, given, strict=True)}


def test_the_corpus_is_as_large_as_it_should_be(corpus: dict[str, Path]) -> None:
    assert len(corpus) >= 60
    assert all(path.exists() for path in corpus.values())


@pytest.mark.parametrize("name", CORPUS)
def test_each_gives_features_or_a_reason(name: str, results: dict[str, VideoResult]) -> None:
    result, wanted = results[name], CORPUS[name][1]
    if "colour" in result.failures:
        reason, detail = result.failures["colour"]
        assert wanted in (None, reason), detail
        assert "/" not in detail  # no path
        assert reason is not MediaFailure.DECODE_TIMEOUT
        return
    assert wanted in (None, FINE)
    assert result.features["colour"].shape[1] == 3
    assert np.isfinite(result.features["colour"]).all()


def test_good_neighbours_are_unaffected(results: dict[str, VideoResult]) -> None:
    wanted = results["good.mp4"].features["colour"]
    assert wanted.shape == (2, 3)
    for name, result in results.items():
        if name.startswith("good"):
            np.testing.assert_array_equal(result.features["colour"], wanted)


def test_probing_survives_all_of_them(corpus: dict[str, Path]) -> None:
    found = dict(probe_many(corpus.values(), time_limit_s=60))
    assert sorted(found) == list(range(len(corpus)))
    by_name = dict(zip(corpus, (found[at] for at in sorted(found)), strict=True))
    good = by_name["good.mp4"].unwrap()
    assert (good.width, good.height, good.n_frames, good.fps, good.has_audio) == (64, 64, 40, 30.0, True)
    assert good.duration_s == pytest.approx(40 / 30, abs=0.02)
    assert by_name["8k.mp4"].unwrap().width == 7680
    assert by_name["noduration.mp4"].unwrap().duration_s == pytest.approx(40 / 30, abs=0.02)
    assert by_name["empty.mp4"].error is not None


def test_a_cut_matroska_file_is_told_from_a_whole_one(tmp_path: Path) -> None:
    whole = make_film(tmp_path / "whole.mkv", frames=40, rate=Fraction(30))
    assert not is_cut_short(whole)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[:-500])
    assert is_cut_short(cut)
