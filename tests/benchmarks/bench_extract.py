"""Feature extraction against what today's tools do, and three extractors in one pass against one at a time.

    python tests/benchmarks/bench_extract.py [--clips 20] [--seconds 20] [--device cpu] [--extractor i3d] [--three ...]

(a) The plain baseline does what public extraction scripts do: ffmpeg re-encodes each video to 24 fps, the whole video
is read into memory and preprocessed as float, and the network runs window by window in float32. The same weights are
in both. Features are compared with those of the baseline with a lossless intermediate file (x264 -qp 0), since today's
re-encoding changes the pixels themselves; how much that changes the features is printed too.
(c) Three extractors in one pass against the sum of what the networks alone compute. CPU seconds are those of this
process and its children: on a machine with other work they are the steadier measure; OMP_WAIT_POLICY=PASSIVE keeps
threads that wait for a core from counting.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import torch
from torchvision.models.video import R2Plus1D_18_Weights, r2plus1d_18

from csmv.extractors import create
from csmv.extractors.base import Extractor
from csmv.extractors.engine import Engine, Settings
from csmv.extractors.weights import random_state

sys.path.insert(0, str(Path(__file__).parent))
from bench_decode import portrait

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def frames_of(path: Path) -> np.ndarray:
    """Every frame of a video, as one array: what the baseline holds in memory."""
    import av

    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def plain_network(device: str) -> Callable[[np.ndarray], np.ndarray]:
    """torchvision's network with its preset, window by window."""
    network = r2plus1d_18(weights=None).eval()
    network.load_state_dict(random_state(network, create("r2plus1d_18", "random").random_rule))
    network.fc = torch.nn.Identity()
    network.to(device)
    preset = R2Plus1D_18_Weights.KINETICS400_V1.transforms()

    @torch.inference_mode()
    def embed(frames: np.ndarray) -> np.ndarray:
        video = preset(torch.from_numpy(frames).permute(0, 3, 1, 2))  # (3, T, 112, 112)
        windows = [video[:, at : at + 16] for at in range(0, video.shape[1] - 15, 16)][:180]
        return torch.cat([network(window[None].to(device)).cpu() for window in windows]).numpy()

    return embed


def plain_extractor(network: Extractor) -> Callable[[np.ndarray], np.ndarray]:
    """The same for any clip extractor: whole video preprocessed, then window by window."""

    def embed(frames: np.ndarray) -> np.ndarray:
        video = network.preprocess(frames)
        windows = [video[at : at + 16] for at in range(0, len(video) - 15, 16)][:180]
        return np.concatenate([network.embed(window[None])[0].numpy() for window in windows])

    return embed


def baseline(films: list[Path], embed: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
    """Re-encode, read whole, embed, one video after the other."""
    results = []
    for film in films:
        with tempfile.TemporaryDirectory() as folder:
            recoded = Path(folder) / "24.mp4"
            command = [FFMPEG, "-y", "-v", "error", "-i", str(film), "-filter:v", "fps=fps=24", str(recoded)]
            subprocess.run(command, check=True)
            results.append(embed(frames_of(recoded)))
    return results


def exact(film: Path, embed: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The plain network on frames that ffmpeg sampled without coding them again."""
    with tempfile.TemporaryDirectory() as folder:
        lossless = Path(folder) / "24.mkv"
        command = [FFMPEG, "-y", "-v", "error", "-i", str(film), "-filter:v", "fps=fps=24", "-an"]
        subprocess.run([*command, "-c:v", "libx264", "-qp", "0", "-preset", "ultrafast", str(lossless)], check=True)
        return embed(frames_of(lossless))


def engine(films: list[Path], networks: dict[str, Extractor], settings: Settings | None = None) -> list[Any]:
    with Engine(networks, settings) as running:
        return list(running.run(films))


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """(result, wall seconds, CPU seconds with children)."""
    before, begun = cpu_seconds(), time.perf_counter()
    result = work()
    return result, time.perf_counter() - begun, cpu_seconds() - before


def cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def against_baseline(films: list[Path], name: str, device: str, dtype: Any) -> None:
    network = create(name, "random", device=device, dtype=dtype)
    same = name == "r2plus1d_18"
    plain = plain_network(device) if same else plain_extractor(create(name, "random", device=device))
    engine(films[:1], {name: network})  # once before, so that neither pays for the first use of anything
    theirs, wall_theirs, cpu_theirs = timed(lambda: baseline(films, plain))
    ours, wall_ours, cpu_ours = timed(lambda: engine(films, {name: network}))
    windows = sum(len(result.features[name]) for result in ours)
    print(f"(a) {name} in {dtype} on {device}, {len(films)} portrait videos, {windows} windows")
    print(f"    plain baseline {wall_theirs:8.1f} s wall {cpu_theirs:8.1f} s CPU")
    print(f"    engine         {wall_ours:8.1f} s wall {cpu_ours:8.1f} s CPU")
    print(f"    ratio          {wall_theirs / wall_ours:8.2f} wall   {cpu_theirs / cpu_ours:8.2f} CPU   (asked: 1.5)")
    found = ours[0].features[name]
    lossless, coded = relative(found, exact(films[0], plain)), relative(found, theirs[0])
    print(f"    relative L2 to the baseline with a lossless intermediate file: {lossless:.1e}   (asked: 1e-3)")
    print(f"    relative L2 to the baseline, whose frames were coded again:    {coded:.1e}")


def three_in_one(films: list[Path], names: list[str], device: str) -> None:
    networks = {name: create(name, "random", device=device) for name in names}
    compute, alone = np.zeros(2), np.zeros(2)  # seconds of wall and of CPU
    windows = 0
    for name, network in networks.items():
        batch = torch.zeros((1, *network.plan().shape), dtype=getattr(torch, network.plan().dtype))
        network.embed(batch)
        results, *taken = timed(lambda n=network, k=name: engine(films, {k: n}))
        alone += taken
        windows = sum(len(result.features[name]) for result in results)
        _, *taken = timed(lambda n=network, b=batch, w=windows: [n.embed(b) for _ in range(w)])
        compute += taken
    _, *together = timed(lambda: engine(films, networks))
    print(f"(c) {', '.join(names)} on {device}, {windows} windows, seconds of wall and of CPU")
    print(f"    compute alone, summed  {compute[0]:8.1f} {compute[1]:8.1f}")
    print(f"    one pass each, summed  {alone[0]:8.1f} {alone[1]:8.1f}")
    print(f"    one pass for all       {together[0]:8.1f} {together[1]:8.1f}")
    ratios = np.array(together) / compute
    print(f"    of the compute         {ratios[0]:8.2f} {ratios[1]:8.2f}   (asked: 1.05)")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--clips", type=int, default=2)
    arguments.add_argument("--seconds", type=float, default=4)
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--extractor", default="r2plus1d_18")
    arguments.add_argument("--dtype", default="float32", help="of the engine; the baseline is always float32")
    arguments.add_argument(
        "--three", nargs="*", default=["r2plus1d_18", "i3d", "resnet50"], help="names for (c); none to leave it out"
    )
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        films = portrait(Path(folder), asked.clips, asked.seconds)
        against_baseline(films, asked.extractor, asked.device, asked.dtype)
        if asked.three:
            three_in_one(films[:1], asked.three, asked.device)


if __name__ == "__main__":
    main()
