"""Which decoded frames become the 24 fps clip windows of CSMV.

Frames are chosen exactly as ffmpeg's `fps=24` filter chooses them (libavfilter/vf_fps.c, `round=near`,
`eof_action=round`, no `start_time`): from timestamps alone, so pixels are never touched here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ClipRule:
    """How a video is cut: `frames` frames at `fps` a window, a window every `step` frames, at most `max_clips`.

    Windows do not overlap in CSMV's rule (step equals frames). A last window that is not full is dropped, except
    where it is the only one: then its last frame is repeated until it is full.
    """

    fps: int = 24
    frames: int = 16
    step: int = 16
    max_clips: int = 180

    def __post_init__(self) -> None:
        if min(self.fps, self.frames, self.step, self.max_clips) < 1:
            raise ValueError(f"a clip rule's numbers must all be at least 1, not {self}")

    @property
    def max_frames(self) -> int:
        """Sampled frames after which nothing more of a video is needed."""
        return (self.max_clips - 1) * self.step + self.frames

    def count(self, sampled: int) -> int:
        """Windows in a video that has `sampled` sampled frames (0 only for 0 frames)."""
        if sampled <= 0:
            return 0
        full = (sampled - self.frames) // self.step + 1
        return min(max(full, 1), self.max_clips)

    def windows(self, sampled: int) -> NDArray[np.int64]:
        """(N, frames) positions into the sampled frames; positions past the end repeat the last frame."""
        starts = np.arange(self.count(sampled), dtype=np.int64)[:, None] * self.step
        positions: NDArray[np.int64] = np.minimum(starts + np.arange(self.frames), max(sampled - 1, 0))
        return positions

    def __str__(self) -> str:
        return f"{self.fps} fps, {self.frames} frames, step {self.step}, at most {self.max_clips}"


CSMV_RULE = ClipRule()


def vector_spans(rule: ClipRule, per_window: int, count: int) -> list[tuple[float, float]]:
    """Start and end in seconds of each of `count` vectors, of which each window gives `per_window`, in order.

    Counted from the video's first frame.
    """
    length = Fraction(rule.frames, per_window)
    starts = [k // per_window * rule.step + k % per_window * length for k in range(count)]
    return [(float(start / Fraction(rule.fps)), float((start + length) / Fraction(rule.fps))) for start in starts]


def nearest(value: Fraction) -> int:
    """Nearest integer, halves away from zero: AV_ROUND_NEAR_INF."""
    whole = (abs(value) * 2 + 1).__floor__() // 2
    return whole if value >= 0 else -whole


class FpsFilter:
    """ffmpeg's fps filter over a stream of timestamps, one frame of look-ahead.

    `push(time)` says how often the frame *before* this one is shown, `finish(duration)` how often the last one is.
    Times are exact seconds since the container's start.
    """

    def __init__(self, fps: int = 24) -> None:
        self._fps = fps
        self._held: int | None = None
        self._held_time = Fraction(0)
        self._next = 0

    def push(self, time: Fraction) -> int:
        """Take the next frame, shown first at `time`; the number of copies of the previous frame."""
        pts = nearest(time * self._fps)
        copies = 0
        if self._held is None:
            self._next = pts
        elif pts > self._next:
            copies = pts - self._next
            self._next = pts
        self._held, self._held_time = pts, time
        return copies

    def finish(self, duration: Fraction) -> int:
        """End the stream, the last frame lasting `duration` seconds; the number of copies of that frame."""
        if self._held is None:
            return 0
        end = nearest((self._held_time + duration) * self._fps)
        return max(end - self._next, 0)


def sample_stream(times: Iterable[Fraction], last_duration: Fraction, fps: int = 24) -> Iterator[tuple[int, int]]:
    """(frame number, copies) for each frame that is shown at all, in order."""
    chosen, number = FpsFilter(fps), -1
    for number, time in enumerate(times):
        copies = chosen.push(time)
        if copies:
            yield number - 1, copies
    copies = chosen.finish(last_duration)
    if copies:
        yield number, copies


def sample_indices(
    pts: Iterable[int], time_base: Fraction, last_duration: int, fps: int = 24, start: Fraction = Fraction(0)
) -> NDArray[np.int64]:
    """Decoded-frame number of each frame that `fps=<fps>` puts out.

    `pts` and `last_duration` (how long the last frame is shown) are in units of `time_base` seconds; `start` is the
    container's start time in seconds, which ffmpeg subtracts before it filters.
    """
    times = (p * time_base - start for p in pts)
    runs = list(sample_stream(times, last_duration * time_base, fps))
    numbers = np.array([n for n, _ in runs], dtype=np.int64)
    return np.repeat(numbers, [c for _, c in runs])
