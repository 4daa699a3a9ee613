"""Draws, sounds and encodes the short videos of the sample data.

The same seed gives the same bytes with the same versions of PyAV and NumPy, whichever vector instructions a processor
has. Between instruction sets these differ, and are avoided: NumPy's single-precision sine (pictures are drawn in double
precision), FFmpeg's scaler (RGB becomes YUV by integers here), its AAC encoder (sound is MP3), and x264 left alone.

Four moods differ in colour, texture and motion, so that even a network with random weights can tell them apart.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from csmv.pipeline.x264 import SAME_BYTES

MOODS = ("party", "calm", "gloom", "menace")

SIZES = ((160, 284), (320, 180), (240, 240), (176, 312), (180, 240), (284, 160))
"""Width and height; portrait comes first and most, as on the platform."""

RATES: tuple[int | None, ...] = (30, 24, 60, 25, None)
"""Frames a second; None for frames at uneven times, as phones record them."""

SOUND_RATE = 22050
_CLOCK = 600  # ticks a second: a whole number of ticks for 24, 25, 30 and 60 frames a second

Image = NDArray[np.float32]
Painter = Callable[[float], Image]


@dataclass(frozen=True)
class Film:
    """One video to be made: its mood, size in pixels, frames a second (None: uneven) and length in seconds."""

    video_id: str
    mood: str
    width: int
    height: int
    rate: int | None
    seconds: float
    seed: int


def plan_films(count: int, seed: int) -> list[Film]:
    """`count` films: moods in turn, sizes and rates spread evenly over them, each of one window of features or two."""
    chance = random.Random(f"films:{seed}")
    order = [MOODS[number % len(MOODS)] for number in range(count)]
    chance.shuffle(order)
    films = []
    for number, mood in enumerate(order):
        width, height = SIZES[chance.randrange(len(SIZES))] if number % 2 else SIZES[0]
        films.append(
            Film(
                video_id=f"sample-{number + 1:02d}",
                mood=mood,
                width=width,
                height=height,
                rate=RATES[number % len(RATES)],
                seconds=chance.choice((0.8, 0.9, 1.1, 1.3, 1.6)),
                seed=chance.randrange(2**31),
            )
        )
    return films


def make_film(film: Film, path: Path) -> None:
    """Encode one film as H.264 with MP3 sound in an MP4 file."""
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact", "movflags": "+faststart"}) as out:
        options = {"preset": "veryfast", "crf": "27", "flags": "+bitexact"} | SAME_BYTES
        picture = out.add_stream("libx264", rate=film.rate or 30, options=options)
        picture.width, picture.height, picture.pix_fmt = film.width, film.height, "yuv420p"
        picture.codec_context.time_base = Fraction(1, _CLOCK)
        sound = _sound_stream(out)
        paint = PAINTERS[film.mood](film)
        for tick in _ticks(film):
            frame = av.VideoFrame.from_ndarray(_yuv420(_pixels(paint(tick / _CLOCK))), format="yuv420p")
            frame.pts, frame.time_base = tick, Fraction(1, _CLOCK)
            out.mux(picture.encode(frame))
        out.mux(picture.encode(None))
        _add_sound(out, sound, _melody(film.mood, film.seconds, film.seed))


def make_sound_only(seconds: float, seed: int, path: Path) -> None:
    """An MP4 file with sound and no picture."""
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as out:
        sound = _sound_stream(out)
        _add_sound(out, sound, _melody("calm", seconds, seed))


def _ticks(film: Film) -> Iterator[int]:
    """When the frames are shown, in clock ticks."""
    chance = random.Random(film.seed)
    end, tick = int(film.seconds * _CLOCK), 0
    while tick < end:
        yield tick
        tick += chance.choice((20, 20, 25, 30, 40)) if film.rate is None else _CLOCK // film.rate


def _pixels(image: Image) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8))


def _yuv420(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB (H, W, 3) of even height and width as the planes of yuv420p (H * 3 / 2, W): BT.601, limited range."""
    height, width, _ = pixels.shape
    red, green, blue = np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.uint16)
    planes = np.empty(height * width * 3 // 2, np.uint8)
    planes[: height * width] = (((66 * red + 129 * green + 25 * blue + 128) >> 8) + 16).ravel()  # at most 56,228 >> 8
    r, g, b = (_fours(channel) for channel in (red, green, blue))
    for chroma, weighted in enumerate((112 * b - 38 * r - 74 * g, 112 * r - 94 * g - 18 * b)):
        start = height * width * (4 + chroma) // 4
        planes[start : start + height * width // 4] = (((weighted + 512) >> 10) + 128).ravel()
    return planes.reshape(height * 3 // 2, width)


def _fours(channel: NDArray[np.uint16]) -> NDArray[np.int32]:
    """Sums of squares of two by two pixels."""
    rows = channel[::2] + channel[1::2]
    return (rows[:, ::2] + rows[:, 1::2]).astype(np.int32)


# ---------------------------------------------------------------------- moods


def _grid(film: Film) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y of every pixel, in heights of the picture, so that forms look the same at every size."""
    y, x = np.mgrid[0 : film.height, 0 : film.width].astype(np.float64) / film.height
    return x, y


def _colour(red: NDArray[Any], green: NDArray[Any], blue: NDArray[Any]) -> Image:
    """One picture of three channels, each broadcast to the whole."""
    planes = np.broadcast_arrays(red, green, blue)
    image = np.empty((*planes[0].shape, 3), np.float32)
    for channel, plane in enumerate(planes):
        image[..., channel] = plane
    return image


def _party(film: Film) -> Painter:
    """Bright and warm, with confetti flying about."""
    chance = np.random.default_rng(film.seed)
    x, y = _grid(film)
    wide = film.width / film.height
    start, speed = chance.random((22, 2)) * (wide, 1), chance.uniform(-0.9, 0.9, (22, 2))
    radius = chance.uniform(0.03, 0.07, 22)
    colours = np.array([(255, 60, 120), (40, 210, 255), (120, 255, 80), (255, 255, 255), (180, 70, 255)])
    colour = colours[chance.integers(0, len(colours), 22)].astype(np.float32)
    base = _colour(0 * x + 255, 170 + 60 * y, 50 + 60 * x) + chance.uniform(-12, 12, 3).astype(np.float32)

    def paint(t: float) -> Image:
        image = base * np.float32(0.94 + 0.06 * math.sin(9 * t))
        for (px, py), r, c in zip(_bounce(start + speed * t, (wide, 1.0)), radius, colour, strict=True):
            box = tuple(slice(max(int((at - r) * film.height), 0), int((at + r) * film.height) + 2) for at in (py, px))
            image[box][(x[box] - px) ** 2 + (y[box] - py) ** 2 < r * r] = c
        return image

    return paint


def _bounce(place: NDArray[np.float64], bounds: tuple[float, float]) -> NDArray[np.float64]:
    folded = np.mod(place / np.array(bounds), 2)
    result: NDArray[np.float64] = np.where(folded > 1, 2 - folded, folded) * np.array(bounds)
    return result


def _calm(film: Film) -> Painter:
    """Soft blue and green waves that hardly move."""
    chance = np.random.default_rng(film.seed)
    x, y = _grid(film)
    (high, wide), tint = chance.uniform(0, 6, 2), chance.uniform(-12, 12, 3)
    down, across = y[:, :1], x[:1]

    def paint(t: float) -> Image:
        wave = np.sin(6 * down + high + 0.6 * t)
        swell = np.sin(4 * across + wide + 0.4 * t) * np.sin(3 * down - 0.5 * t)
        return _colour(70 + tint[0] + 18 * swell, 160 + tint[1] + 35 * wave, 175 + tint[2] + 30 * swell)

    return paint


def _gloom(film: Film) -> Painter:
    """Dark and grey, with thin rain."""
    chance = np.random.default_rng(film.seed)
    x, y = _grid(film)
    slant, drops = chance.uniform(0.1, 0.3), chance.uniform(0, 1, 64)
    columns = (np.floor((x + slant * y) * 26).astype(int)) % 64
    base = 46 + 14 * y + chance.uniform(-6, 6)

    def paint(t: float) -> Image:
        fall = np.mod(y * 1.6 - 1.1 * t + drops[columns], 1)
        grey = base + np.where(fall < 0.16, 62, 0) + 4 * math.sin(t)
        return _colour(grey, grey + 2, grey + 7)

    return paint


def _menace(film: Film) -> Painter:
    """Hard red and black spikes that turn and flicker."""
    chance = np.random.default_rng(film.seed)
    x, y = _grid(film)
    cx, cy = chance.uniform(0.3, 0.7) * film.width / film.height, chance.uniform(0.35, 0.65)
    angle, distance = np.arctan2(y - cy, x - cx), np.hypot(x - cx, y - cy)
    spikes, turn = int(chance.integers(7, 12)), chance.choice((-2.6, 2.6))
    red = chance.uniform(190, 245)

    def paint(t: float) -> Image:
        blade = np.sin(spikes * angle + turn * t + 9 * distance) > 0.1
        light = 1.0 if int(t * 7) % 3 else 0.55
        return _colour(blade * red * light + 12, blade * 14.0, blade * 22.0)

    return paint


PAINTERS: dict[str, Callable[[Film], Painter]] = {
    "party": _party,
    "calm": _calm,
    "gloom": _gloom,
    "menace": _menace,
}


# ---------------------------------------------------------------------- sound

_CHORDS = {"party": (523.3, 659.3, 784.0), "calm": (261.6, 392.0), "gloom": (110.0, 130.8), "menace": (69.3, 73.4)}
_PULSES = {"party": 6.0, "calm": 0.5, "gloom": 0.8, "menace": 4.0}


def _melody(mood: str, seconds: float, seed: int) -> NDArray[np.int16]:
    t = np.arange(int(seconds * SOUND_RATE)) / SOUND_RATE
    detune = 1 + (seed % 11 - 5) / 200
    tone = sum(np.sin(2 * np.pi * pitch * detune * t) for pitch in _CHORDS[mood])
    loudness = 0.12 * (0.6 + 0.4 * np.sin(2 * np.pi * _PULSES[mood] * t))
    return np.asarray(np.rint(32_767 * tone * loudness), dtype=np.int16)


def _sound_stream(out: av.container.OutputContainer) -> av.AudioStream:
    stream = out.add_stream("libmp3lame", rate=SOUND_RATE, options={"flags": "+bitexact"})
    stream.bit_rate, stream.layout, stream.format = 32_000, "mono", "s16p"
    return stream


def _add_sound(out: av.container.OutputContainer, stream: av.AudioStream, samples: NDArray[np.int16]) -> None:
    for start in range(0, len(samples), 1024):
        chunk = samples[start : start + 1024].reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(chunk), format="s16p", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))
