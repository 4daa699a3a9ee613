"""An extractor that breaks what it promised is told so in a sentence, and so is whoever asks for what can't be."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from films import make_film
from torch import Tensor, nn

from csmv.extractors import create, extract
from csmv.extractors.base import Extractor
from csmv.extractors.engine import Settings, VideoResult
from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.reasons import MediaFailure
from csmv.extractors.sampling import ClipRule
from csmv.extractors.transforms import Stretch


class Honest(Extractor):
    """Three numbers a window."""

    name = "honest"
    dim = 3
    rule = ClipRule(max_clips=4)
    transform: Any = Stretch((8, 8))
    weightless = True
    granularities: ClassVar[Any] = {"clip": 1}

    def build(self, classes: int) -> nn.Module:
        return nn.Identity()

    def normalise(self, clips: Tensor) -> Tensor:
        return clips

    def forward(self, clips: Tensor) -> Any:
        return clips.mean((2, 3, 4))[:, None]


class GivesMore(Honest):
    def forward(self, clips: Tensor) -> Any:
        return super().forward(clips).repeat(1, 2, 1)


class GivesWider(Honest):
    dim = 4


class GivesFlat(Honest):
    def forward(self, clips: Tensor) -> Any:
        return super().forward(clips)[:, 0]


class GivesOneForAll(Honest):
    def forward(self, clips: Tensor) -> Any:
        return super().forward(clips)[:1] if len(clips) > 1 else super().forward(clips)


class GivesWhole(Honest):
    def forward(self, clips: Tensor) -> Any:
        return super().forward(clips).long()


class GivesAList(Honest):
    def forward(self, clips: Tensor) -> Any:
        return super().forward(clips).tolist()


class DarkIsNothing(Honest):
    """Not a number wherever a window is dark."""

    def forward(self, clips: Tensor) -> Any:
        vectors: Tensor = super().forward(clips)
        return torch.where(vectors < 5, torch.nan, vectors)


class Wide:
    """A transform that promises another size than it gives."""

    size = (8, 8)
    dtype = "float32"

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        return Stretch((8, 9))(frames)


class OfOtherNumbers(Wide):
    def __call__(self, frames: np.ndarray) -> np.ndarray:
        return Stretch((8, 8))(frames).astype(np.float64)


class TransformsWrongly(Honest):
    transform = Wide()


class TransformsToOtherNumbers(Honest):
    transform = OfOtherNumbers()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("films") / "film.mp4", frames=48)


def run(extractor: Extractor, *paths: Path, batch_size: int = 2) -> list[VideoResult]:
    return list(extract(paths, [extractor], settings=Settings(workers=1, batch_size=batch_size)))


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (GivesMore, r"promised vectors of shape \(2, 1, 3\) .* and gave \(2, 2, 3\)"),
        (GivesWider, r"promised vectors of shape \(2, 1, 4\) .* and gave \(2, 1, 3\)"),
        (GivesFlat, r"promised vectors of shape \(2, 1, 3\) .* and gave \(2, 3\)"),
        (GivesOneForAll, r"and gave \(1, 1, 3\)"),
        (GivesWhole, "floating-point vectors, and gave torch.int64"),
        (GivesAList, "should give a tensor, and gave a list"),
        (TransformsWrongly, r"promised frames of float32 \(8, 8, 3\) and gave float32 \(8, 9, 3\)"),
        (TransformsToOtherNumbers, r"and gave float64 \(8, 8, 3\)"),
    ],
)
def test_a_promise_that_is_broken_stops_the_run_with_a_sentence(
    film: Path, broken: type[Extractor], sentence: str
) -> None:
    with pytest.raises(ExtractorError, match=sentence):
        run(broken(), film)


@pytest.mark.parametrize(
    ("attribute", "value", "sentence"),
    [
        ("dim", 0, "how long its vectors are, as `dim`, and says 0"),
        ("dim", "3", "says '3'"),
        ("granularities", {"clip": 0}, "how many vectors a window has"),
        ("granularities", {}, "Honest|honest"),
        ("transform", Stretch((0, 8)), r"its \(height, width\) as `size`, and says \(0, 8\)"),
        ("transform", object(), "as `size`"),
    ],
)
def test_what_can_t_be_is_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, attribute: str, value: Any, sentence: str
) -> None:
    monkeypatch.setattr(Honest, attribute, value)
    with pytest.raises(ExtractorError, match=sentence):
        Honest()


def test_vectors_that_are_no_numbers_cost_only_their_file(film: Path, tmp_path: Path) -> None:
    dark = tmp_path / "dark.mp4"
    import av

    with av.open(str(dark), "w") as out:
        stream: Any = out.add_stream("libx264", rate=24)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(32):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        out.mux(stream.encode(None))
    fine, failed, again = run(DarkIsNothing(), film, dark, film)
    assert fine.features.keys() == again.features.keys() == {"honest"}
    reason, detail = failed.failures["honest"]
    assert reason is MediaFailure.NOT_FINITE and "2 of 2 vectors" in detail and not failed.features


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: extract("film.mp4", ["mfcc"]), r"list of files, and got the one name 'film.mp4': put it into"),
        (lambda: extract(Path("film.mp4"), ["mfcc"]), "list of files"),
        (lambda: extract(["film.mp4"], "mfcc"), "list of extractors, and got the one name 'mfcc'"),
        (lambda: extract(["film.mp4"], [3]), "got a int"),
        (lambda: create("mfcc", device="gpu"), "no device 'gpu': devices are called cpu, cuda"),
        (lambda: create("mfcc", device="mps"), "device 'mps' was asked for, but this machine shows no device"),
        (lambda: create("mfcc", device="xpu"), "device 'xpu' was asked for"),
        (lambda: create("mfcc", device="cuda:99"), "device 'cuda"),
        (lambda: create("mfcc", device="meta"), "device 'meta' was asked for"),
        (lambda: create("mfcc", device=None), "no device 'None'"),
        (lambda: Honest().embed(np.zeros((1, 0, 8, 8, 3), np.uint8)), "was given no frames"),
        (lambda: Honest().embed(np.zeros((0, 16, 8, 8, 3), np.uint8)), "was given no frames"),
        (lambda: Honest().embed(np.full((1, 16, 8, 8, 3), np.nan, np.float32)), "not finite"),
        (lambda: create("mfcc").embed(np.full((1, 10_667), np.inf, np.float32)), "not finite"),
        (lambda: create("mfcc").embed(np.zeros((1, 0), np.float32)), "no sound"),
    ],
)
@pytest.mark.skipif(torch.backends.mps.is_available() or torch.cuda.is_available(), reason="this machine has a GPU")
def test_what_can_t_be_asked_for_is_one_sentence(call: Any, sentence: str) -> None:
    with pytest.raises(ExtractorError, match=sentence):
        call()


@pytest.fixture
def another_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A kind of device that torch says it has: a stand-in, since none but the processor is here."""
    monkeypatch.setattr(torch, "hpu", type("hpu", (), {"is_available": lambda: True, "device_count": lambda: 2}), False)
    yield "hpu"


def test_any_device_that_torch_has_will_do(another_device: str) -> None:
    from csmv.extractors.contract import usable_device

    assert usable_device(f"{another_device}:1").index == 1
    with pytest.raises(ExtractorError, match="this machine has 2 of that kind"):
        usable_device(f"{another_device}:2")
