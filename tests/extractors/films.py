"""Videos with known content, made by real encoders."""

import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from csmv.pipeline.x264 import SAME_BYTES


def picture(number: int, width: int, height: int) -> np.ndarray:
    """A frame that tells its own number: 16 black or white blocks, bit by bit, over a moving gradient."""
    y, x = np.mgrid[0:height, 0:width]
    grey = (x * 2 + y + number * 9) % 256
    image = np.stack([grey, np.roll(grey, 40, 1), 255 - grey], -1).astype(np.uint8)
    for bit in range(16):
        left, right = bit * width // 16, (bit + 1) * width // 16
        image[: height // 4, left:right] = 235 if number >> bit & 1 else 20
    return image


def number_in(image: np.ndarray) -> int:
    """The number that `picture` wrote into a frame, read back after any coding and scaling."""
    height, width = image.shape[:2]
    row = image[height // 16 : height // 5, :, :].mean((0, 2))
    bits = [row[int((bit + 0.3) * width / 16) : int((bit + 0.7) * width / 16) + 1].mean() > 128 for bit in range(16)]
    return sum(1 << bit for bit, on in enumerate(bits) if on)


def make_film(
    path: Path,
    *,
    frames: int = 48,
    rate: Fraction | int = 24,
    size: tuple[int, int] = (64, 64),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    ticks: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    sound: bool = False,
    options: dict[str, str] | None = None,
    rotate: int = 0,
) -> Path:
    """A film whose frames are `picture(0), picture(1), ...`; `ticks` are its timestamps in `time_base`."""
    width, height = size
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        own = {"preset": "ultrafast", "crf": "18"} if codec == "libx264" else {}
        stream.options = (SAME_BYTES if codec == "libx264" else {}) | (options or own)
        base = time_base or 1 / Fraction(rate)
        stream.codec_context.time_base = base
        if rotate:
            stream.set_display_rotation(rotate)
        track: Any = out.add_stream("aac", rate=16_000, layout="mono") if sound else None
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, width, height), format="rgb24")
            frame.pts = ticks[number] if ticks is not None else number
            frame.time_base = base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if track is not None:
            _add_tone(out, track, float(frames / Fraction(rate)))
    return path


def _add_tone(out: Any, track: Any, seconds: float) -> None:
    samples = (0.3 * np.sin(np.arange(int(seconds * 16_000)) * 2 * np.pi * 440 / 16_000)).astype(np.float32)
    for at in range(0, len(samples), 1024):
        piece = samples[at : at + 1024]
        frame = av.AudioFrame.from_ndarray(piece[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16_000, at, Fraction(1, 16_000)
        out.mux(track.encode(frame))
    out.mux(track.encode(None))


def make_still(path: Path, seconds: int) -> Path:
    """A 1080p film at 2 frames a second, ten seconds of it coded and then repeated."""
    once = path.with_name("ten.mp4")
    if not once.exists():
        make_film(once, frames=20, rate=2, size=(1920, 1080), options={"preset": "ultrafast", "crf": "35"})
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-stream_loop", str(seconds // 10 - 1)]
    subprocess.run([*command, "-i", str(once), "-c", "copy", str(path)], check=True)
    return path
