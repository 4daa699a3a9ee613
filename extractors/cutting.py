"""One file into the windows that the asked-for plans need: decoded once, each plan's own rate, size and overlap.

Streams: it holds a window's frames a plan, never a whole video. It knows no network and no process.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from csmv.extractors.decode import (
    DECODERS,
    Decoder,
    Probe,
    TimedFrame,
    is_cut_short,
    opened,
    packet_times,
    probe_open,
    sound,
)
from csmv.extractors.decoders import DEFAULT, DecoderName
from csmv.extractors.extractor_errors import MediaError
from csmv.extractors.reasons import MediaFailure
from csmv.extractors.sampling import ClipRule, FpsFilter, nearest
from csmv.extractors.transforms import FrameTransform

Window = NDArray[Any]


@dataclass(frozen=True)
class Plan:
    """What one or more extractors want of a file: `transform` for frames, or sound at `rate` Hz."""

    rule: ClipRule
    transform: FrameTransform | None = None
    rate: int = 0

    @property
    def kind(self) -> Literal["video", "audio"]:
        return "video" if self.transform else "audio"

    @property
    def shape(self) -> tuple[int, ...]:
        if self.transform:
            return (self.rule.frames, *self.transform.size, 3)
        return (samples_of(self.rule, self.rate),)

    @property
    def dtype(self) -> str:
        return self.transform.dtype if self.transform else "float32"

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


def samples_of(rule: ClipRule, rate: int) -> int:
    """Samples of sound that lie under one window of frames."""
    return round(Fraction(rule.frames, rule.fps) * rate)


class FrameCutter:
    """Collects one plan's sampled frames and hands out each window as soon as it is full."""

    def __init__(self, plan: Plan, emit: Callable[[int, Window], None]) -> None:
        self.plan, self._emit = plan, emit
        self._fps = FpsFilter(plan.rule.fps)
        self._frames: deque[NDArray[Any]] = deque(maxlen=plan.rule.frames)
        self._sampled = 0
        self.windows = 0
        self._held: TimedFrame | None = None

    @property
    def full(self) -> bool:
        return self.windows >= self.plan.rule.max_clips

    def push(self, frame: TimedFrame, show: Callable[[TimedFrame], NDArray[Any]]) -> None:
        """Take the next decoded frame; `show` gives a frame's pixels."""
        copies = self._fps.push(frame.time)
        if self._held is not None and copies:
            self._take(self._held, copies, show)
        self._held = frame

    def finish(self, show: Callable[[TimedFrame], NDArray[Any]]) -> None:
        """End of the stream: the last frame's copies, and the only window if it is not full."""
        if self._held is None:
            return
        self._take(self._held, self._fps.finish(self._held.duration), show)
        if not self._sampled and not self.full:
            self._take(self._held, 1, show)  # a video too short for even one step of the rate still shows a frame
        if self.windows == 0 and self._frames:
            padding = [self._frames[-1]] * (self.plan.rule.frames - len(self._frames))
            self._send([*self._frames, *padding])

    def _take(self, frame: TimedFrame, copies: int, show: Callable[[TimedFrame], NDArray[Any]]) -> None:
        assert self.plan.transform is not None
        small: NDArray[Any] | None = None
        for _ in range(copies):
            if self.full:
                return
            if small is None and self._needed():
                small = self.plan.transform(show(frame))
            if small is not None:
                self._frames.append(small)
            self._sampled += 1
            if self._sampled == self.windows * self.plan.rule.step + self.plan.rule.frames:
                self._send(list(self._frames))

    def _needed(self) -> bool:
        """Whether the next sampled frame is in any window; not so between windows when step is above frames."""
        return self._sampled >= self.windows * self.plan.rule.step

    def _send(self, frames: list[NDArray[Any]]) -> None:
        self._emit(self.windows, np.stack(frames))
        self.windows += 1


@dataclass(frozen=True)
class Seen:
    """When the picture begins and ends, in seconds since the file's start: sound is cut to the same windows."""

    origin: Fraction
    end: Fraction

    def frames(self, fps: int) -> int:
        return nearest(self.end * fps) - nearest(self.origin * fps)


@dataclass(frozen=True)
class Cut:
    """How a file went: windows given for each plan, plans it had nothing for, and how long decoding it took."""

    windows: tuple[int, ...]
    failures: dict[int, tuple[MediaFailure, str]]
    seconds: float = field(default=0.0, compare=False)
    """Of a decoding process, without what it waited for whoever takes the windows."""


def cut(
    path: Path,
    plans: tuple[Plan, ...],
    emit: Callable[[int, int, Window], None],
    *,
    decoder: DecoderName = "pyav",
    threads: int = 1,
    tick: Callable[[], None] = lambda: None,
) -> Cut:
    """Decode `path` once and call emit(plan number, window number, window) for every window of every plan.

    `tick` is called at every decoded frame. MediaError where the file gives nothing at all; what only some plans
    cannot have (sound in a silent video) is in the result's failures.
    """
    failures: dict[int, tuple[MediaFailure, str]] = {}
    cutters = {n: FrameCutter(plan, partial(emit, n)) for n, plan in enumerate(plans) if plan.kind == "video"}
    audio = [n for n, plan in enumerate(plans) if plan.kind == "audio"]
    seen: Seen | None = None
    if cutters:
        try:
            seen = _cut_frames(path, list(cutters.values()), decoder, threads, tick)
        except MediaError as error:
            if not audio or error.reason is not MediaFailure.NO_VIDEO_STREAM:
                raise
            failures |= dict.fromkeys(cutters, (error.reason, error.detail))
    elif audio:
        seen = _look(path)
    counts = [cutters[n].windows if n in cutters else 0 for n in range(len(plans))]
    for n in audio:
        try:
            counts[n] = _cut_sound(path, plans[n], partial(emit, n), seen)
        except MediaError as error:
            if not any(counts):
                raise
            failures[n] = (error.reason, error.detail)
    return Cut(tuple(counts), failures)


def _cut_frames(
    path: Path, cutters: list[FrameCutter], decoder: DecoderName, threads: int, tick: Callable[[], None]
) -> Seen:
    """Feed every cutter, until all have what they want."""
    with opened(path) as container:
        source = DECODERS[decoder](container, threads)
        show = _once(source)
        origin: Fraction | None = None
        end = Fraction(0)
        complete = True
        for frame in source.frames():
            tick()
            for cutter in cutters:
                if not cutter.full:
                    cutter.push(frame, show)
            origin = frame.time if origin is None else origin
            end = frame.time + frame.duration
            if all(cutter.full for cutter in cutters):
                complete = False
                break
        for cutter in cutters:
            cutter.finish(show)
        if not any(cutter.windows for cutter in cutters):
            _nothing(path)
        if complete and is_cut_short(path) and (source.packets < source.stream.frames or not source.stream.frames):
            raise MediaError(MediaFailure.TRUNCATED, "the file ends before its container says it does")
        source.close()
        return Seen(origin or Fraction(0), end)


def _look(path: Path) -> Seen | None:
    """When the picture is shown, from timestamps alone; None where there is no picture."""
    with opened(path) as container:
        try:
            stamps = list(packet_times(container))
        except MediaError:
            return None
    if not stamps:
        return None
    return Seen(stamps[0][0], stamps[-1][0] + stamps[-1][1])


def _nothing(path: Path) -> None:
    if is_cut_short(path):
        raise MediaError(MediaFailure.TRUNCATED, "the file ends before its first frame is complete")
    raise MediaError(MediaFailure.NO_FRAMES, "the video stream has no decodable frame")


def _once(source: Decoder) -> Callable[[TimedFrame], NDArray[Any]]:
    """`source.pixels` that remembers its last answer, since every plan asks for the same frame in turn."""
    last: list[Any] = [None, None]

    def show(frame: TimedFrame) -> NDArray[Any]:
        if last[0] is not frame:
            last[:] = [frame, source.pixels(frame)]
        pixels: NDArray[Any] = last[1]
        return pixels

    return show


def _cut_sound(path: Path, plan: Plan, emit: Callable[[int, Window], None], seen: Seen | None) -> int:
    """Windows of sound under the windows of frames; by the sound's own length where there is no picture."""
    rule, need = plan.rule, samples_of(plan.rule, plan.rate)
    origin = seen.origin if seen else Fraction(0)
    with opened(path) as container:
        heard, first = sound(container, plan.rate, float(origin) + rule.max_frames / rule.fps + 1)
    if seen is None:
        seen = Seen(origin, first + Fraction(heard.size, plan.rate))
    count = rule.count(max(seen.frames(rule.fps), 1))
    begin = Fraction(nearest(origin * rule.fps), rule.fps)
    for number in range(count):
        at = round((begin + Fraction(number * rule.step, rule.fps) - first) * plan.rate)
        piece = heard[max(at, 0) : max(at + need, 0)]
        before = min(max(-at, 0), need)
        window = np.zeros(need, np.float32)
        window[before : before + piece.size] = piece[: need - before]
        emit(number, window)
    return count


def probe_file(path: Path) -> Probe:
    """`decode.probe_open` of a path."""
    with opened(path) as container:
        return probe_open(container)


def windows_of(path: Path, plan: Plan, decoder: DecoderName = DEFAULT) -> Iterator[Window]:
    """All windows of one plan in this process, for tests and tools; holds them all."""
    windows: list[Window] = []
    cut(path, (plan,), lambda _plan, _number, window: windows.append(window), decoder=decoder)
    yield from windows
