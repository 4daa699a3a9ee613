"""On a GPU: what every network, dtype and decoder reaches, how busy the GPU is, and how long a whole corpus takes.

    python tests/benchmarks/bench_extract_gpu.py [--json FILE] [--videos 40] [--batch 32] [--networks ...]
    python tests/benchmarks/bench_extract_gpu.py --small     # the same on the CPU, in less than a minute

Two tables, and all of it as JSON with --json. First each network and dtype on full batches: windows a second,
floating-point operations a second (counted by torch's FlopCounterMode), and their share of what an 8192 x 8192 matrix
product reaches on the same chip in the same dtype in this run. Then whole files end to end with all cores decoding, for
each network, dtype and decoder that can be used here, torchcodec on the GPU (`torchcodec-cuda`) among them where it is
installed, which no run has seen yet: windows a second, the share of wall time in which the network's
kernels ran, the GPU's own figure where nvidia-ml-py is installed, and from the rate the time for CSMV (8,210 videos,
68.83 hours) and for a million videos of the same length, each of which is decoded once.

What is asked of a GPU with 16 cores: videomaev2_g in bfloat16, 40 % of peak or more; the device busy 85 % or more of
wall time; and by `bench_extract.py --device cuda --extractor NAME --dtype bfloat16 --clips 20 --three`, 10 times the
plain baseline or more for each of r2plus1d_18, i3d, videomaev2_s, _b and _g.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from csmv.extractors import create
from csmv.extractors.base import Extractor
from csmv.extractors.decoders import PACKAGES, DecoderName, obstacle
from csmv.extractors.engine import Engine, Settings, cores

sys.path.insert(0, str(Path(__file__).parent))
from bench_decode import portrait

CSMV_VIDEOS, CSMV_HOURS = 8_210, 68.83
MILLION = 1_000_000


def synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def seconds(work: Any, device: str, repeats: int, pick: float = 0.5) -> float:
    """Seconds of one run after two to warm up: the median, or another quantile of the repeats (0: the least)."""
    for _ in range(2 if device.startswith("cuda") else 0):
        work()
    taken = []
    for _ in range(repeats):
        synchronize(device)
        begun = time.perf_counter()
        work()
        synchronize(device)
        taken.append(time.perf_counter() - begun)
    return sorted(taken)[int(len(taken) * pick)]


def peak(dtype: str, device: str) -> float:
    """Operations a second of a large matrix product on random numbers."""
    side = 8192 if device.startswith("cuda") else 1024
    kinds = {"bfloat16": torch.bfloat16, "float16": torch.float16}
    kind = kinds.get(dtype, torch.float32) if device.startswith("cuda") else torch.float32
    torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
    a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
    rate = 2 * side**3 / seconds(lambda: a @ b, device, 10, pick=0)
    torch.backends.cuda.matmul.allow_tf32 = False
    return rate


def onednn_flops(x: Any, weight: Any, *_: Any, out_shape: Any, **__: Any) -> int:
    """Operations of the convolution that networks use on a CPU, which torch's counter does not know."""
    return int(conv_flop_count(x, weight, out_shape))


def flops(network: Extractor, windows: torch.Tensor) -> int:
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mkldnn_convolution: onednn_flops}) as counter:
        network.embed_device(windows[:1])
    return counter.get_total_flops()


def networks_alone(
    names: list[str], dtypes: list[str], device: str, batch: int, repeats: int
) -> list[dict[str, str | float]]:
    """One row a network and dtype, printed as it comes."""
    peaks = {dtype: peak(dtype, device) for dtype in dtypes}
    rows: list[dict[str, str | float]] = []
    print(f"{'network':16} {'dtype':9} {'windows/s':>9} {'TFLOP/s':>8} {'of peak':>8} {'cosine to float32':>18}")
    for name in names:
        reference: torch.Tensor | None = None
        for dtype in dtypes:
            network = create(name, "random", device=device, dtype=dtype)
            plan = network.plan()
            generator = torch.Generator().manual_seed(0)
            pixels = torch.randint(0, 256, (batch, *plan.shape), generator=generator)
            windows = pixels.to(getattr(torch, plan.dtype)).to(device)
            count = flops(network, windows)
            rate = batch / seconds(lambda n=network, w=windows: n.embed_device(w), device, repeats)
            vectors = network.embed_device(windows[:1]).cpu().flatten()
            reference = vectors if reference is None else reference
            cosine = torch.nn.functional.cosine_similarity(vectors, reference, dim=0).item()
            share = rate * count / peaks[dtype]
            print(f"{name:16} {dtype:9} {rate:9.1f} {rate * count / 1e12:8.2f} {share:8.1%} {cosine:18.6f}")
            row = {"network": name, "dtype": dtype, "windows_per_s": rate, "tflops": rate * count / 1e12}
            rows.append(row | {"share_of_peak": share, "peak_tflops": peaks[dtype] / 1e12, "cosine": cosine})
            del network
    return rows


def end_to_end(
    name: str, dtype: str, decoder: DecoderName, device: str, films: list[Path], batch: int
) -> dict[str, Any]:
    """A row of the second table, printed."""
    network = create(name, "random", device=device, dtype=dtype)
    busy, gpu = _Busy(network, device), _Utilisation(device)
    begun = time.perf_counter()
    with Engine({name: network}, Settings(batch_size=batch, workers=cores(), decoder=decoder)) as engine:
        results = list(engine.run(films))
    wall = time.perf_counter() - begun
    used = gpu.mean()
    if failed := [result.failures for result in results if result.failures]:
        raise SystemExit(f"{name} with {decoder}: {failed[0]}")
    windows = sum(len(result.features[name]) for result in results)
    rate = windows / wall
    csmv_windows = CSMV_HOURS * 3600 * network.rule.fps / network.rule.step
    hours = csmv_windows / rate / 3600
    million = hours * MILLION / CSMV_VIDEOS / 24
    row = {"network": name, "dtype": dtype, "decoder": decoder, "windows": windows, "windows_per_s": rate}
    row |= {"network_busy": busy.seconds() / wall, "gpu_utilisation": used, "csmv_hours": hours}
    row |= {"million_days": million, "cores": cores(), "videos": len(films)}
    shown = "-" if used is None else f"{used:.0%}"
    of_network = f"{name:16} {dtype:9} {decoder:16} {rate:9.1f} {row['network_busy']:8.0%}"
    print(f"{of_network} {shown:>8} {hours:9.1f} {million:9.1f}")
    return row


class _Utilisation:
    """The GPU's own figure of how busy it is, asked ten times a second; None where it can't be asked."""

    def __init__(self, device: str) -> None:
        self._seen: list[int] = []
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        if not device.startswith("cuda"):
            return
        try:
            import pynvml  # type: ignore[import-not-found,unused-ignore]

            pynvml.nvmlInit()
            uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
            handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        except Exception as error:
            print(f"(the GPU's own figure is left out: {type(error).__name__})")
            return

        def watch() -> None:
            while not self._ended.wait(0.1):
                self._seen.append(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)

        self._thread = threading.Thread(target=watch, daemon=True)
        self._thread.start()

    def mean(self) -> float | None:
        """End the watch; the mean share of time."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        return sum(self._seen) / len(self._seen) / 100 if self._seen else None


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
    arguments.add_argument("--small", action="store_true", help="on the CPU, so little that it takes under a minute")
    arguments.add_argument("--json", type=Path, help="write both tables there")
    arguments.add_argument("--device")
    arguments.add_argument("--videos", type=int)
    arguments.add_argument("--seconds", type=float)
    arguments.add_argument("--batch", type=int)
    arguments.add_argument("--repeats", type=int)
    arguments.add_argument("--networks", nargs="+")
    arguments.add_argument("--dtypes", nargs="+")
    arguments.add_argument("--decoders", nargs="+", choices=list(PACKAGES))
    asked = arguments.parse_args()
    gpu = torch.cuda.is_available() and not asked.small
    device = asked.device or ("cuda" if gpu else "cpu")
    networks = ["r2plus1d_18", "i3d", "resnet50", "videomaev2_s", "videomaev2_b", "videomaev2_g"]
    names = asked.networks or (networks if gpu else ["r2plus1d_18"])
    dtypes = asked.dtypes or (["float32", "tf32", "float16", "bfloat16"] if gpu else ["float32"])
    usable = [name for name in PACKAGES if not obstacle(name)]
    decoders = asked.decoders or (usable if gpu else ["pyav"])
    batch = asked.batch or (32 if gpu else 1)
    alone = networks_alone(names, dtypes, device, batch, asked.repeats or (10 if gpu else 1))
    print(
        f"\n{'network':16} {'dtype':9} {'decoder':16} {'windows/s':>9} {'busy':>8} {'GPU':>8} {'CSMV h':>9} "
        f"{'million d':>9}"
    )
    with tempfile.TemporaryDirectory() as folder:
        films = portrait(Path(folder), asked.videos or (40 if gpu else 1), asked.seconds or (20 if gpu else 1))
        whole = [
            end_to_end(name, dtype, decoder, device, films, batch)
            for name in names
            for dtype in dtypes
            for decoder in decoders
        ]
    chip = torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"
    if asked.json:
        said = {"device": chip, "torch": torch.__version__, "alone": alone, "end_to_end": whole}
        asked.json.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
