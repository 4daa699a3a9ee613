"""Each decoder gives PyAV's windows at PyAV's times, or says in a sentence that it does not read the file."""

import subprocess
import sys
import types
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from films import make_film

from csmv.extractors import create, extract
from csmv.extractors.cutting import Plan, cut, windows_of
from csmv.extractors.decode import DECODERS, opened
from csmv.extractors.decoders import PACKAGES, DecoderName, decoder_named, obstacle
from csmv.extractors.engine import Engine, Settings
from csmv.extractors.extractor_errors import ExtractorError, MediaError
from csmv.extractors.reasons import MediaFailure
from csmv.extractors.sampling import ClipRule

MOST = 1
"""By how many levels of 255 one pixel of 8-bit video may differ; 0 was measured, on every file here."""
B_FRAMES = {"preset": "medium", "bf": "3", "crf": "18", "b_strategy": "0"}
SMALL = "timm:test_resnet"
"""A network of pictures that takes no time."""
JITTER = [0, 33, 40, 99, 130, 400, 433, 500, 501, 600, 640, 700, 733, 766, 800, 840, 870, 900, 950, 1000]


@dataclass(frozen=True)
class AsIs:
    """No preprocessing, for frames that have this size already."""

    size: tuple[int, int]
    dtype: Literal["uint8"] = "uint8"

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        return frames


@pytest.fixture(params=["decord", "torchcodec"])
def decoder(request: pytest.FixtureRequest) -> DecoderName:
    """Every decoder but the default, where it is installed."""
    name: DecoderName = request.param
    if why := obstacle(name):
        pytest.skip(f"{name}: {why}")
    return name


def times(path: Path, decoder: DecoderName) -> list[tuple[Fraction, Fraction]]:
    with opened(path) as container:
        return [(frame.time, frame.duration) for frame in DECODERS[decoder](container).frames()]


def assert_same(path: Path, decoder: DecoderName, size: tuple[int, int]) -> None:
    """The same windows by the clip rule, from frames at the same times; `size` as width and height."""
    plan = Plan(ClipRule(step=8), AsIs(size[::-1]))
    wanted = np.stack(list(windows_of(path, plan))).astype(int)
    found = np.stack(list(windows_of(path, plan, decoder))).astype(int)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= MOST
    assert times(path, decoder) == times(path, "pyav")


def limit_of(path: Path, decoder: DecoderName) -> str:
    with pytest.raises(MediaError) as refused:
        list(windows_of(path, Plan(ClipRule(), AsIs((64, 128))), decoder))
    assert refused.value.reason is MediaFailure.DECODER_LIMIT
    return refused.value.detail


LARGE = [pytest.param(size, marks=pytest.mark.slow) for size in ((322, 242), (576, 1024))]


@pytest.mark.parametrize("size", [(64, 64), (130, 70), *LARGE], ids=str)
def test_sizes(size: tuple[int, int], decoder: DecoderName, tmp_path: Path) -> None:
    assert_same(make_film(tmp_path / "f.mp4", frames=40, rate=30, size=size, options=B_FRAMES), decoder, size)


RATES = (Fraction(24000, 1001), Fraction(25), Fraction(60))
CONTAINERS = ("mp4", "mkv", "mov")
RATES_AND_CONTAINERS = [
    # Each rate and each container once; all pairs among the slow ones.
    pytest.param(rate, container, marks=() if column == row else pytest.mark.slow)
    for row, rate in enumerate(RATES)
    for column, container in enumerate(CONTAINERS)
]


@pytest.mark.parametrize(("rate", "container"), RATES_AND_CONTAINERS, ids=str)
def test_constant_rates(rate: Fraction, container: str, decoder: DecoderName, tmp_path: Path) -> None:
    path = make_film(tmp_path / f"f.{container}", frames=61, rate=rate, size=(128, 64), options=B_FRAMES)
    assert_same(path, decoder, (128, 64))


@pytest.mark.parametrize("start", [0, 400])
def test_variable_rates_and_late_starts_are_timed_by_the_packets(
    start: int, decoder: DecoderName, tmp_path: Path
) -> None:
    ticks = [start + tick for tick in JITTER]
    path = make_film(
        tmp_path / "f.mp4", frames=20, rate=30, size=(128, 64), ticks=ticks, time_base=Fraction(1, 1000), sound=True
    )
    assert_same(path, decoder, (128, 64))


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_rotated_ones_are_upright(turn: int, decoder: DecoderName, tmp_path: Path) -> None:
    path = make_film(tmp_path / "f.mp4", frames=20, rate=30, size=(128, 64), rotate=turn)
    assert_same(path, decoder, (128, 64) if turn == 180 else (64, 128))


@pytest.mark.parametrize("codec", ["libx265", "libvpx-vp9"])
def test_other_codecs(codec: str, decoder: DecoderName, tmp_path: Path) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {"qscale": "2"}
    path = make_film(tmp_path / "f.mkv", frames=30, rate=25, size=(128, 64), codec=codec, options=options)
    assert_same(path, decoder, (128, 64))


def test_ten_bits_are_converted_otherwise_but_shown_at_the_same_times(decoder: DecoderName, tmp_path: Path) -> None:
    options = {"x265-params": "log-level=none"}
    path = make_film(
        tmp_path / "f.mp4",
        frames=30,
        rate=25,
        size=(128, 64),
        codec="libx265",
        pix_fmt="yuv420p10le",
        options=options,
    )
    plan = Plan(ClipRule(), AsIs((64, 128)))
    wanted = np.stack(list(windows_of(path, plan))).astype(int)
    found = np.stack(list(windows_of(path, plan, decoder))).astype(int)
    assert np.abs(found - wanted).mean() < 4  # levels of 255; measured: decord 2.6, torchcodec 1.7
    assert times(path, decoder) == times(path, "pyav")


def test_avi_with_b_frames_tells_no_times(decoder: DecoderName, tmp_path: Path) -> None:
    path = make_film(tmp_path / "f.avi", frames=40, rate=25, size=(128, 64), options=B_FRAMES)
    assert limit_of(path, decoder) == (
        f"{decoder} takes display times from packets, and this file's do not hold them; the decoder pyav may read it"
    )


def test_frames_that_an_edit_list_hides_are_never_shown(decoder: DecoderName, tmp_path: Path) -> None:
    whole = make_film(tmp_path / "whole.mp4", frames=60, rate=30, size=(128, 64))
    path = tmp_path / "edited.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-ss", "0.37", "-i", str(whole), "-c", "copy", str(path)]
    subprocess.run(command, check=True)
    if decoder == "decord":
        assert "counts 60 frames where the file shows" in limit_of(path, decoder)
    else:
        assert_same(path, decoder, (128, 64))


def test_what_cannot_be_read_is_a_reason_and_leaves_its_neighbours_alone(decoder: DecoderName, tmp_path: Path) -> None:
    good = make_film(tmp_path / "good.mp4", frames=40, rate=24)
    cut_short, hole, transport = (tmp_path / name for name in ("cut.mp4", "hole.mp4", "b.ts"))
    data = good.read_bytes()
    cut_short.write_bytes(data[: len(data) // 2])
    middle = len(data) // 3
    hole.write_bytes(data[:middle] + bytes(2000) + data[middle + 2000 :])
    make_film(transport, frames=40, rate=25, options=B_FRAMES)

    settings = Settings(workers=1, decoder=decoder)
    by_default = list(extract([good], [SMALL], weights="random", settings=Settings(workers=1)))
    results = list(extract([cut_short, hole, transport, good], [SMALL], weights="random", settings=settings))

    assert set(results[0].failures) == set(results[2].failures) == {SMALL}
    assert results[2].failures[SMALL][0] is MediaFailure.DECODER_LIMIT
    np.testing.assert_allclose(results[3].features[SMALL], by_default[0].features[SMALL], rtol=1e-4)


def test_sound_is_the_same_whatever_decodes_the_pictures(decoder: DecoderName, tmp_path: Path) -> None:
    path = make_film(tmp_path / "f.mp4", frames=60, rate=30, sound=True)
    rule = ClipRule()
    heard: dict[DecoderName, list[Any]] = {"pyav": [], decoder: []}
    for name, windows in heard.items():
        plans = (Plan(rule, AsIs((64, 64))), Plan(rule, rate=16_000))
        cut(path, plans, lambda at, _n, window, windows=windows: windows.append(window) if at else None, decoder=name)  # type: ignore[misc]
    np.testing.assert_array_equal(heard[decoder], heard["pyav"])


def test_each_name_has_a_package_and_a_class() -> None:
    assert set(PACKAGES) == set(DECODERS) == set(get_args(DecoderName))


@pytest.mark.parametrize(("name", "package"), [("decord", "decord"), ("torchcodec", r"'csmv\[torchcodec\]'")])
def test_one_that_is_not_installed_is_a_sentence(
    name: DecoderName, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, PACKAGES[name].module, None)
    network = create("mfcc")
    with pytest.raises(
        ExtractorError, match=rf"'{name}' cannot be used here \(not installed\): `pip install {package}`"
    ):
        Engine({"mfcc": network}, Settings(workers=1, decoder=name))
    with pytest.raises(ExtractorError, match="or choose pyav"):
        decoder_named(name)


def test_one_whose_libraries_are_missing_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "torchcodec").mkdir()
    (tmp_path / "torchcodec" / "__init__.py").touch()
    (tmp_path / "torchcodec" / "decoders.py").write_text("raise RuntimeError('Could not load libtorchcodec.\\nMore')")
    for module in ("torchcodec", "torchcodec.decoders"):
        monkeypatch.setitem(sys.modules, module, None)  # so that what was there, or nothing, is put back
        del sys.modules[module]
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ExtractorError, match=r"\(it cannot be loaded: Could not load libtorchcodec\): .*FFmpeg"):
        decoder_named("torchcodec")


def test_decoding_on_a_gpu_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "torchcodec").mkdir()
    (tmp_path / "torchcodec" / "__init__.py").touch()
    (tmp_path / "torchcodec" / "decoders.py").touch()
    for module in ("torchcodec", "torchcodec.decoders"):
        monkeypatch.setitem(sys.modules, module, None)
        del sys.modules[module]
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert decoder_named("torchcodec") == "torchcodec"
    with pytest.raises(ExtractorError, match=r"\(PyTorch sees no NVIDIA GPU\): an NVIDIA GPU, .*; or choose pyav"):
        decoder_named("torchcodec-cuda")


def test_decoding_on_a_gpu_asks_torchcodec_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a stand-in for torchcodec, since there is no GPU here: its frames are what it is asked for."""
    film = make_film(tmp_path / "f.mp4", frames=20)
    asked: list[dict[str, object]] = []

    class VideoDecoder:
        def __init__(self, name: str, **options: object) -> None:
            asked.append(options)

        def __len__(self) -> int:
            return 20

        def __getitem__(self, number: int) -> torch.Tensor:
            return torch.full((64, 64, 3), number, dtype=torch.uint8)

    decoders = types.ModuleType("torchcodec.decoders")
    monkeypatch.setattr(decoders, "VideoDecoder", VideoDecoder, raising=False)
    monkeypatch.setitem(sys.modules, "torchcodec", types.ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", decoders)
    with opened(film) as container:
        decoder = DECODERS["torchcodec-cuda"](container)
        levels = [int(decoder.pixels(frame)[0, 0, 0]) for frame in decoder.frames()]
    assert levels == list(range(20))
    assert asked[0]["device"] == "cuda"


def test_an_unknown_one_is_a_sentence() -> None:
    with pytest.raises(ExtractorError, match="no decoder 'ffmpeg': choose one of pyav, decord, torchcodec"):
        decoder_named("ffmpeg")


def test_the_default_works_where_no_other_can_be_imported(tmp_path: Path) -> None:
    film = make_film(tmp_path / "f.mp4", frames=20)
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in ("decord", "torchcodec"):
        (hidden / f"{name}.py").write_text(f"raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')")
    script = (
        f"import sys; sys.path.insert(0, {str(hidden)!r})\n"
        "import csmv.flows.doctor, csmv.pipeline.features, csmv.pipeline.vccsa.predict\n"
        "from csmv.extractors import extract\n"
        "from csmv.extractors.engine import Settings\n"
        f"[result] = extract([{str(film)!r}], [{SMALL!r}], weights='random', settings=Settings(workers=1))\n"
        f"print(result.features[{SMALL!r}].shape, 'decord' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0].endswith("False")
