"""Other clip rules than an extractor's own: who takes them, how many vectors come out, and when each begins."""

from pathlib import Path

import numpy as np
import pytest
from films import make_film

from csmv.extractors import create
from csmv.extractors.engine import Engine, Settings
from csmv.extractors.extractor_errors import UnknownChoiceError
from csmv.extractors.sampling import ClipRule, vector_spans


@pytest.mark.parametrize(
    ("name", "granularity", "frames", "vectors"),
    [
        pytest.param("i3d", "clip", 24, 1, marks=pytest.mark.slow),
        pytest.param("i3d", "temporal", 9, 2, marks=pytest.mark.slow),
        pytest.param("r2plus1d_18", "clip", 8, 1, marks=pytest.mark.slow),
        ("r2plus1d_18", "temporal", 12, 2),
        ("timm:test_resnet", "temporal", 5, 5),
        ("mfcc", "clip", 2, 1),
    ],
)
def test_windows_of_other_lengths(name: str, granularity: str, frames: int, vectors: int, film: Path) -> None:
    rule = ClipRule(fps=12, frames=frames, step=10, max_clips=2)
    network = create(name, "random", granularity=granularity, rule=rule)
    assert network.vectors_per_window == vectors
    with Engine({name: network}, Settings(workers=1)) as engine:
        (result,) = engine.run([film])
    assert result.features[name].shape[0] == rule.count(24) * vectors
    starts = [start for start, _ in vector_spans(rule, vectors, rule.count(24) * vectors)]
    assert starts[::vectors] == [10 / 12 * window for window in range(rule.count(24))]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds with sound."""
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4", frames=48, rate=24, sound=True)


@pytest.mark.parametrize(
    ("name", "rule", "sentence"),
    [
        ("videomae_b", ClipRule(frames=32), "videomae_b takes 16 frames a window, not 32"),
        ("i3d", ClipRule(frames=8), "i3d takes 9 to 1024 frames a window, not 8"),
        (
            "mfcc",
            ClipRule(frames=1, fps=60),
            "at least 25 ms of sound, and 1 frames at 60 fps are 17",
        ),
    ],
)
def test_who_can_not_says_so_before_anything_is_loaded(name: str, rule: ClipRule, sentence: str) -> None:
    with pytest.raises(UnknownChoiceError, match=sentence):
        create(name, "no/such/file", rule=rule)


@pytest.mark.slow
def test_one_vector_of_a_long_window_of_i3d_is_the_mean_of_its_parts() -> None:
    clips = np.random.default_rng(1).integers(0, 255, (1, 24, 224, 224, 3), dtype=np.uint8)
    own = create("i3d", "random").embed(clips)
    long = create("i3d", "random", rule=ClipRule(frames=24)).embed(clips)
    assert own.shape == (1, 2, 1024)
    np.testing.assert_allclose(long[:, 0], own.mean(1), rtol=1e-5, atol=1e-7)


def test_results_come_as_they_are_done(tmp_path: Path, film: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    with Engine({"mfcc": create("mfcc")}, Settings(workers=2)) as engine:
        done = dict(engine.run_as_done([film, bad, film]))
    assert sorted(done) == [0, 1, 2]
    assert done[1].failures
    np.testing.assert_array_equal(done[0].features["mfcc"], done[2].features["mfcc"])
