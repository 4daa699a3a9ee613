"""The engine's promises: order, independence of company, bounded memory, and files that hang or kill their worker."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import psutil
import pytest
import torch
from films import make_film
from torch import Tensor, nn
from traps import SlowToLoad, Trap

from csmv.extractors import create, extract
from csmv.extractors.base import Extractor
from csmv.extractors.engine import Engine, Settings
from csmv.extractors.extractor_errors import ExtractorError, MediaError
from csmv.extractors.packing import Batch, Runner, Ticket
from csmv.extractors.pool import probe
from csmv.extractors.reasons import MediaFailure
from csmv.extractors.sampling import ClipRule
from csmv.extractors.transforms import Stretch
from csmv.extractors.worker import Limits


class Small(Extractor):
    """A convolution and a linear layer."""

    name = "small"
    dim = 6
    transform: Any = Trap()
    granularities: ClassVar = {"clip": 1}

    def build(self, classes: int) -> nn.Module:
        return nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 6 * 6, 6))

    def normalise(self, clips: Tensor) -> Tensor:
        return clips / 255

    def forward(self, clips: Tensor) -> Tensor:
        vectors: Tensor = self.module(clips)
        return vectors[:, None]


class Slow(Small):
    """Eight frames a window, more windows, another size: a second plan beside Small's."""

    name = "slow"
    rule = ClipRule(frames=8, step=4, max_clips=9)
    transform: Any = Stretch((8, 8))

    def build(self, classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8 * 8, 6))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six films of different lengths."""
    folder = tmp_path_factory.mktemp("films")
    return [
        make_film(folder / f"{n}.mp4", frames=frames, rate=24, sound=n == 0)
        for n, frames in enumerate([40, 5, 100, 16, 64, 33])
    ]


def run(paths: list[Path], networks: dict[str, Extractor], **how: Any) -> list[Any]:
    with Engine(networks, Settings(**{"workers": 2, **how})) as engine:
        return list(engine.run(paths))


def test_results_come_in_order_with_a_vector_a_window(films: list[Path]) -> None:
    results = run(films, {"small": Small("random")}, batch_size=4)
    assert [result.path for result in results] == films
    assert [result.features["small"].shape for result in results] == [(n, 6) for n in (2, 1, 6, 1, 4, 2)]


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_a_windows_numbers_do_not_depend_on_its_company(films: list[Path], batch_size: int) -> None:
    network = {"small": Small("random")}
    together = run(films, network, batch_size=batch_size)
    for order in ([3], [5, 1], [4, 2, 0]):
        for at, result in zip(order, run([films[n] for n in order], network, batch_size=batch_size), strict=True):
            np.testing.assert_array_equal(result.features["small"], together[at].features["small"])


def test_real_networks_do_not_depend_on_company_either(films: list[Path]) -> None:
    network = {"r2plus1d_18": create("r2plus1d_18", "random")}
    alone = run(films[3:4], network)[0].features["r2plus1d_18"]
    after_another = run([films[1], films[3]], network)[1].features["r2plus1d_18"]
    np.testing.assert_array_equal(alone, after_another)


def test_several_extractors_in_one_pass_give_what_each_gives_alone(films: list[Path]) -> None:
    small, slow, mfcc = Small("random"), Slow("random"), create("mfcc")
    together = run(films[:3], {"small": small, "slow": slow, "mfcc": mfcc})
    for name, network in (("small", small), ("slow", slow)):
        for result, alone in zip(together, run(films[:3], {name: network}), strict=True):
            np.testing.assert_array_equal(result.features[name], alone.features[name])
    assert together[0].features["mfcc"].shape == (2, 40)
    assert together[1].failures == {"mfcc": (MediaFailure.NO_AUDIO, "the file has no audio stream")}
    assert "small" in together[1].features


@pytest.mark.parametrize(
    ("height", "reason"),
    [(34, MediaFailure.DECODE_TIMEOUT), (36, MediaFailure.DECODER_CRASHED), (38, MediaFailure.TOO_LARGE)],
)
def test_a_file_that_hangs_or_kills_its_worker_costs_only_itself(
    height: int, reason: MediaFailure, films: list[Path], tmp_path: Path
) -> None:
    bad = make_film(tmp_path / "bad.mp4", size=(64, height))
    network = {"small": Small("random")}
    wanted = run(films[:3], network)
    results = run([films[0], bad, films[1], bad, films[2]], network, limits=Limits(silent_seconds=5))
    assert [result.failures["small"][0] for result in results[1::2]] == [reason, reason]
    for result, good in zip(results[::2], wanted, strict=True):
        np.testing.assert_array_equal(result.features["small"], good.features["small"])


def test_a_worker_stopped_from_outside_is_replaced(films: list[Path]) -> None:
    with Engine({"small": Small("random")}, Settings(workers=1, limits=Limits(silent_seconds=3))) as engine:

        def paths() -> Iterator[Path]:
            yield films[0]
            os.kill(engine._pool._workers[0].popen.pid, signal.SIGSTOP)
            yield films[1]
            yield films[0]

        results = list(engine.run(paths()))
    assert results[1].failures["small"][0] is MediaFailure.DECODE_TIMEOUT
    assert [result.features["small"].shape for result in results[::2]] == [(2, 6), (2, 6)]


def test_a_worker_that_starts_slowly_does_not_cost_its_file(films: list[Path]) -> None:
    slow_to_load = Small("random")
    slow_to_load.transform = SlowToLoad((8, 8))
    (result,) = run(films[:1], {"small": slow_to_load}, workers=1, limits=Limits(silent_seconds=2))
    assert result.features["small"].shape == (2, 6)


def test_workers_are_recycled(films: list[Path]) -> None:
    with Engine({"small": Small("random")}, Settings(workers=1, limits=Limits(files=2))) as engine:
        first = engine._pool._workers[0].popen.pid
        assert len(list(engine.run(films[:4]))) == 4
        assert engine._pool._workers[0].popen.pid != first


def test_a_file_may_take_so_long_and_no_longer(tmp_path: Path) -> None:
    long = make_film(tmp_path / "long.mp4", frames=600, size=(320, 240))
    result = run([long], {"small": Small("random")}, limits=Limits(seconds=0.05))[0]
    assert result.failures["small"][0] is MediaFailure.DECODE_TIMEOUT


def test_memory_running_out_halves_the_work_and_goes_on() -> None:
    network = Small("random")
    windows = torch.rand(8, 16, 8, 8, 3) * 255
    wanted = network.embed(windows).numpy()
    sizes: list[int] = []

    def embed_device(batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return Small.embed_device(network, batch)

    network.embed_device = embed_device  # type: ignore[method-assign]
    runner = Runner({0: [("small", network)]}, torch.device("cpu"))
    batch = Batch(0, windows, [Ticket(0, at) for at in range(8)])
    ((_, vectors),) = list(runner.submit(batch))
    np.testing.assert_allclose(vectors["small"], wanted, rtol=1e-5, atol=1e-6)
    assert sizes == [8, 4, 2, 2, 2, 2]
    list(runner.submit(batch))
    assert sizes[6:] == [2, 2, 2, 2]  # it remembers


def test_leaving_early_ends_the_workers(films: list[Path]) -> None:
    engine = Engine({"small": Small("random")}, Settings(workers=2))
    pids = [worker.popen.pid for worker in engine._pool._workers]
    results = engine.run(films * 5)
    next(results)
    results.close()
    engine.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_workers_leave_when_their_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import time\nfrom csmv.extractors.pool import DecodePool\n"
        "pool = DecodePool((), 2)\nprint(*[w.popen.pid for w in pool._workers], flush=True)\ntime.sleep(100)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 30
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_transform_that_workers_cannot_import_is_a_mistake_not_a_bad_file(films: list[Path]) -> None:
    @dataclass(frozen=True)
    class Homeless(Stretch):
        """Known to nobody outside this function."""

    network = Small("random")
    network.transform = Homeless((8, 8))
    with pytest.raises(ExtractorError, match="importable"):
        run(films[:1], {"small": network})


def test_what_cannot_be_had_is_one_sentence(films: list[Path]) -> None:
    with pytest.raises(ExtractorError, match="did you mean 'i3d'"):
        list(extract(films[:1], ["i3e"]))
    with pytest.raises(ExtractorError, match="At least one"):
        list(extract(films[:1], []))


def test_probing_says_why_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(MediaError) as caught:
        probe(tmp_path / "empty.mp4")
    assert caught.value.reason is MediaFailure.EMPTY_FILE
    fifo = tmp_path / "fifo.mp4"
    os.mkfifo(fifo)
    with pytest.raises(MediaError, match="no regular file"):
        probe(fifo)


PEAK = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from test_engine import Colour8, run_quietly
run_quietly(Path(sys.argv[1]))
"""


class Colour8(Slow):
    """Every window of a video however long."""

    name = "colour8"
    rule = ClipRule(frames=16, step=16, max_clips=10_000)

    def build(self, classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 8 * 8, 6))


def run_quietly(path: Path) -> None:
    (result,) = run([path], {"colour8": Colour8("random")}, workers=1)
    assert result.features


def test_a_long_video_takes_no_more_memory_than_a_short_one(
    tmp_path: Path, still: Callable[[Path, int], Path], peak_memory: Callable[..., tuple[int, str]]
) -> None:
    code = PEAK.format(folder=str(Path(__file__).parent))
    short, long = (
        peak_memory("-c", code, str(still(tmp_path / f"{seconds}.mp4", seconds)))[0] for seconds in (10, 600)
    )
    assert long - short < 200e6


def test_a_network_is_compiled_only_where_a_compiler_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ExtractorError, match=r"needs a C\+\+ compiler, .* leave --compile out"):
        create("timm:test_resnet", "random", compile=True)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ExtractorError, match="there is no no-such-compiler"):
        create("timm:test_resnet", "random", compile=True)
    assert not create("timm:test_resnet", "random").compiled


@pytest.mark.slow
def test_a_compiled_network_gives_the_same_within_rounding() -> None:
    plain = create("timm:test_resnet", "random")
    network = create("timm:test_resnet", "random", compile=True, measure=True)
    assert network.deviation is not None
    print(network.deviation)
    assert 0 <= network.deviation.relative_l2 < 1e-4
    clip = np.full((1, 16, *network.transform.size, 3), 90, np.uint8)
    assert torch.allclose(network.embed(clip), plain.embed(clip), rtol=1e-3, atol=1e-3)
