"""On a GPU: clips a second and share of the measured peak of every network and dtype, and how busy the GPU is.

    python tests/benchmarks/bench_extract_gpu.py [--device cuda] [--videos 40] [--batch 32] [--networks ...]

(d) For each network and dtype on full batches: clips a second, floating-point operations a second (counted by
torch's FlopCounterMode), and their share of what an 8192 x 8192 matrix product reaches on the same chip in the same
dtype. Then whole files end to end with all cores decoding: share of wall time in which the GPU computed, and from
that the time for all of CSMV (8,210 videos). On a CPU the same runs in small, to show that the script works.

The figures to have from a GPU, with 16 cores, and what is asked of them:

    bench_extract_gpu.py                                            videomaev2_g in bfloat16: 40 % of peak or more
    bench_extract_gpu.py --dtypes bfloat16 --videos 200             device busy 85 % or more of wall time
    bench_extract.py --device cuda --extractor NAME --dtype bfloat16 --clips 20 --three
                                                                    10 times the plain baseline or more, for each of
                                                                    r2plus1d_18, i3d, videomaev2_s, _b and _g
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from bench_decode import portrait
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from csmv.extractors import create
from csmv.extractors.base import Extractor
from csmv.extractors.engine import Engine, Settings, cores

CSMV_VIDEOS, CSMV_WINDOWS = 8_210, 34.0
"""Videos of CSMV, and windows of an average one: about 23 seconds at 24 fps."""


def synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def seconds(work: Any, device: str, repeats: int) -> float:
    """Median seconds of one run after two to warm up."""
    for _ in range(2 if device.startswith("cuda") else 0):
        work()
    taken = []
    for _ in range(repeats):
        synchronize(device)
        begun = time.perf_counter()
        work()
        synchronize(device)
        taken.append(time.perf_counter() - begun)
    return sorted(taken)[len(taken) // 2]


def peak(dtype: str, device: str) -> float:
    """Operations a second of a large matrix product on random numbers."""
    side = 8192 if device.startswith("cuda") else 1024
    kinds = {"bfloat16": torch.bfloat16, "float16": torch.float16}
    kind = kinds.get(dtype, torch.float32) if device.startswith("cuda") else torch.float32
    torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
    a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
    rate = 2 * side**3 / seconds(lambda: a @ b, device, 10)
    torch.backends.cuda.matmul.allow_tf32 = False
    return rate


def onednn_flops(x: Any, weight: Any, *_: Any, out_shape: Any, **__: Any) -> int:
    """Operations of the convolution that networks use on a CPU, which torch's counter does not know."""
    return int(conv_flop_count(x, weight, out_shape))


def flops(network: Extractor, windows: torch.Tensor) -> int:
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mkldnn_convolution: onednn_flops}) as counter:
        network.embed_device(windows[:1])
    return counter.get_total_flops()


def networks_alone(names: list[str], dtypes: list[str], device: str, batch: int, repeats: int) -> None:
    peaks = {dtype: peak(dtype, device) for dtype in dtypes}
    reference: dict[str, torch.Tensor] = {}
    print(f"{'network':16} {'dtype':9} {'clips/s':>9} {'TFLOP/s':>8} {'of peak':>8} {'cosine to float32':>18}")
    for name in names:
        for dtype in dtypes:
            network = create(name, "random", device=device, dtype=dtype)
            plan = network.plan()
            kind = getattr(torch, plan.dtype)
            generator = torch.Generator().manual_seed(0)
            windows = torch.randint(0, 256, (batch, *plan.shape), generator=generator).to(kind).to(device)
            count = flops(network, windows)
            taken = seconds(lambda n=network, w=windows: n.embed_device(w), device, repeats)
            vectors = network.embed_device(windows[:1]).cpu().flatten()
            reference.setdefault(name, vectors)
            cosine = torch.nn.functional.cosine_similarity(vectors, reference[name], dim=0).item()
            rate = batch / taken
            share = rate * count / peaks[dtype]
            print(f"{name:16} {dtype:9} {rate:9.1f} {rate * count / 1e12:8.2f} {share:8.1%} {cosine:18.6f}")
            del network


def end_to_end(name: str, dtype: str, device: str, films: list[Path], batch: int) -> None:
    network = create(name, "random", device=device, dtype=dtype)
    busy = _Busy(network, device)
    begun = time.perf_counter()
    with Engine({name: network}, Settings(batch_size=batch, workers=cores())) as engine:
        results = list(engine.run(films))
    wall = time.perf_counter() - begun
    windows = sum(len(result.features[name]) for result in results)
    whole = CSMV_VIDEOS * CSMV_WINDOWS / (windows / wall) / 3600
    print(
        f"{name} {dtype} end to end: {len(films)} videos, {windows / wall:.1f} windows/s, device busy "
        f"{busy.seconds() / wall:.0%} of wall time with {cores()} cores; all of CSMV: about {whole:.1f} h"
    )


class _Busy:
    """Time in which a network's kernels ran: events around each batch on a GPU, the clock on a CPU."""

    def __init__(self, network: Extractor, device: str) -> None:
        self._cuda = device.startswith("cuda")
        self._spans: list[tuple[Any, Any]] = []
        embed = network.embed_device

        def watched(batch: torch.Tensor) -> torch.Tensor:
            before = self._now()
            result = embed(batch)
            self._spans.append((before, self._now()))
            return result

        network.embed_device = watched  # type: ignore[method-assign]

    def _now(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self) -> float:
        if not self._cuda:
            return sum(after - before for before, after in self._spans)
        torch.cuda.synchronize()
        return sum(before.elapsed_time(after) for before, after in self._spans) / 1000


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    gpu = torch.cuda.is_available()
    arguments.add_argument("--device", default="cuda" if gpu else "cpu")
    arguments.add_argument("--videos", type=int, default=40 if gpu else 1)
    arguments.add_argument("--seconds", type=float, default=20 if gpu else 2)
    arguments.add_argument("--batch", type=int, default=32 if gpu else 1)
    arguments.add_argument("--repeats", type=int, default=10 if gpu else 1)
    all_networks = ["r2plus1d_18", "i3d", "videomaev2_s", "videomaev2_b", "videomaev2_g"]
    arguments.add_argument("--networks", nargs="+", default=all_networks if gpu else ["r2plus1d_18"])
    arguments.add_argument(
        "--dtypes", nargs="+", default=["float32", "tf32", "float16", "bfloat16"] if gpu else ["float32"]
    )
    asked = arguments.parse_args()
    networks_alone(asked.networks, asked.dtypes, asked.device, asked.batch, asked.repeats)
    with tempfile.TemporaryDirectory() as folder:
        films = portrait(Path(folder), asked.videos, asked.seconds)
        for name in asked.networks:
            end_to_end(name, asked.dtypes[-1], asked.device, films, asked.batch)


if __name__ == "__main__":
    main()
