"""Small films with sound, made by real encoders."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from csmv.pipeline.x264 import SAME_BYTES


def film(path: Path, frames: int = 48) -> Path:
    """A grey film with a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as out:
        picture: Any = out.add_stream("libx264", rate=24, options={"preset": "ultrafast"} | SAME_BYTES)
        picture.width = picture.height = 32
        picture.pix_fmt = "yuv420p"
        sound: Any = out.add_stream("aac", rate=16_000, layout="mono")
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            out.mux(picture.encode(frame))
        out.mux(picture.encode(None))
        for at in range(0, frames * 16_000 // 24, 1024):
            tone = (0.3 * np.sin(np.arange(at, at + 1024) / 7)).astype(np.float32)[None]
            piece = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = 16_000, at, Fraction(1, 16_000)
            out.mux(sound.encode(piece))
        out.mux(sound.encode(None))
    return path


def grey_film(path: Path, grey: int, frames: int) -> Path:
    """A film of one grey, without sound."""
    with av.open(str(path), "w", format="mp4") as out:
        picture: Any = out.add_stream("libx264", rate=24, options={"preset": "ultrafast"} | SAME_BYTES)
        picture.width = picture.height = 32
        picture.pix_fmt = "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), grey, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            out.mux(picture.encode(frame))
        out.mux(picture.encode(None))
    return path
