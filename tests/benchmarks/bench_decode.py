"""Decoding alone: frames a second of each way to get 24 fps RGB frames out of portrait videos, and why PyAV is used.

    python tests/benchmarks/bench_decode.py [--clips 2] [--seconds 5]

Ways: decord with one and two threads, full size and resized by itself; PyAV with one and two threads, full size and
with our exact resize of only the pixels a network needs; torchcodec where it can be loaded. Ratios are to decord with
one thread at full size, which is what today's tools use. CPU seconds stand beside wall seconds, since other work on the
machine does not change those.

torchcodec brings no FFmpeg of its own, but those that PyAV brings will do: in a folder, link each of PyAV's
`av.libs/libavcodec-HASH.so.62.x` and its six neighbours as `libavcodec.so.62` and so on, and start this with
LD_LIBRARY_PATH naming that folder and `av.libs`.
"""

import argparse
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from csmv.extractors.cutting import Plan, cut
from csmv.extractors.sampling import ClipRule, sample_stream
from csmv.extractors.transforms import ResizeThenCrop


def portrait(folder: Path, clips: int, seconds: float) -> list[Path]:
    """576x1024 films at 30 fps with noise and movement, so that they are as hard to decode as phone footage."""
    made = []
    for number in range(clips):
        path = folder / f"{number}.mp4"
        picture = f"testsrc2=size=576x1024:rate=30:duration={seconds},noise=alls=12:allf=t,hue=h={number * 40}"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-f", "lavfi", "-i", picture]
        sound = ["-f", "lavfi", "-i", f"sine=duration={seconds}", "-c:a", "aac", "-shortest"]
        command += [*sound, "-c:v", "libx264", "-preset", "fast", "-b:v", "1500k", "-pix_fmt", "yuv420p", str(path)]
        subprocess.run(command, check=True)
        made.append(path)
    return made


def with_pyav(threads: int, resized: bool) -> Callable[[Path], int]:
    """One pass, as the engine does it: choose while decoding."""

    def run(path: Path) -> int:
        windows = []
        transform = ResizeThenCrop((128, 171), (112, 112)) if resized else Whole()
        plan = Plan(ClipRule(frames=1, step=1, max_clips=10**6), transform)
        cut(path, (plan,), lambda _p, at, _w: windows.append(at), threads=threads)
        return len(windows)

    return run


class Whole:
    """No preprocessing."""

    size, dtype = (1024, 576), "uint8"

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        return frames


def with_decord(threads: int, size: tuple[int, int] | None) -> Callable[[Path], int]:
    def run(path: Path) -> int:
        import decord

        width, height = size or (-1, -1)
        reader = decord.VideoReader(str(path), num_threads=threads, width=width, height=height)
        steps = (Fraction(n, 30) for n in range(len(reader)))
        wanted = [number for number, _ in sample_stream(steps, Fraction(1, 30))]
        for number in wanted:
            reader[number].asnumpy()
        return len(wanted)

    return run


def with_torchcodec(threads: int) -> Callable[[Path], int]:
    from torchcodec.decoders import VideoDecoder

    def run(path: Path) -> int:
        decoder = VideoDecoder(str(path), num_ffmpeg_threads=threads)
        steps = (Fraction(n, 30) for n in range(len(decoder)))
        wanted = {number for number, _ in sample_stream(steps, Fraction(1, 30))}
        return sum(1 for number, frame in enumerate(decoder) if number in wanted and frame is not None)

    return run


def ways(film: Path) -> dict[str, Callable[[Path], int]]:
    """Each way by its name; torchcodec's is among them if it can open `film`."""
    found = {
        "decord, 1 thread": with_decord(1, None),
        "decord, 2 threads": with_decord(2, None),
        "decord, 1 thread, its own resize to 171x128 (not the original's pixels)": with_decord(1, (171, 128)),
        "PyAV, 1 thread": with_pyav(1, False),
        "PyAV, 2 threads": with_pyav(2, False),
        "PyAV, 1 thread, exact resize and crop to 112x112": with_pyav(1, True),
    }
    try:
        torchcodec = with_torchcodec(1)
        torchcodec(film)  # it looks for FFmpeg's libraries only now
        found["torchcodec, 1 thread"] = torchcodec
    except (ImportError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        print(f"torchcodec is left out, not installed or without FFmpeg's libraries: {type(error).__name__}: {reason}")
    return found


def measure(run: Callable[[Path], int], films: list[Path]) -> tuple[float, float, int]:
    """(wall seconds, CPU seconds, frames)."""
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    frames = sum(run(film) for film in films)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, cpu, frames


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--clips", type=int, default=2)
    arguments.add_argument("--seconds", type=float, default=5)
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        films = portrait(Path(folder), asked.clips, asked.seconds)
        rows = {name: measure(run, films) for name, run in ways(films[0]).items()}
    base = rows["decord, 1 thread"]
    print(f"{'':72} {'frames/s':>9} {'wall':>6} {'CPU ms/frame':>13} {'ratio':>6}")
    for name, (wall, cpu, frames) in rows.items():
        ratio = (base[1] / base[2]) / (cpu / frames)
        print(f"{name:72} {frames / wall:9.0f} {wall:6.1f} {1000 * cpu / frames:13.2f} {ratio:6.2f}")
    print(
        "PyAV is the default: FFmpeg 8 knows AV1, 10-bit HEVC and the rest, it streams front to back in constant\n"
        "memory and shows exact timestamps; decord 0.6 (FFmpeg 4, last released in 2021) reads the index twice and\n"
        "gives times in float32; torchcodec needs FFmpeg libraries of the right version on the machine. CPU a frame\n"
        "is the same within a sixth for all of them, so speed does not decide. Two threads in one decoder only help\n"
        "while cores are idle, and here every core has a decoding worker or the network."
    )


if __name__ == "__main__":
    main()
