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

from csmv.extractors.damage import Damage
from csmv.extractors.decode import (
    DECODERS,
    Decoder,
    Probe,
    TimedFrame,
    is_cut_short,
    opened,
    packet_times,
    probe_open,
)
from csmv.extractors.decoders import DEFAULT, DecoderName
from csmv.extractors.extractor_errors import MediaError
from csmv.extractors.reasons import MediaFailure
from csmv.extractors.sampling import ClipRule, FpsFilter, nearest
from csmv.extractors.sound import sound
from csmv.extractors.streams import jumps_of, may_jump, start_of
from csmv.extractors.transforms import FrameTransform, check_frame

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
        self.lost = 0
        """Pictures that could not be decoded before this had all it wanted."""

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
                check_frame(self.plan.transform, small)
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
    """When the picture begins and ends, in seconds since the file's start: sound is cut to the same windows.

    `declared` is where a file that is cut short says that it ends; of any other it is `end`.
    """

    origin: Fraction
    end: Fraction
    declared: Fraction

    def frames(self, fps: int) -> int:
        return nearest(self.end * fps) - nearest(self.origin * fps)

    def wanted(self, rule: ClipRule) -> Fraction:
        """Seconds of the file that the rule would look at if nothing were missing."""
        return min(self.declared - self.origin, Fraction(rule.max_frames, rule.fps))

    def missing(self, rule: ClipRule) -> Fraction:
        """Seconds of those that the file ends too early for."""
        return max(self.wanted(rule) - (self.end - self.origin), Fraction(0))


@dataclass(frozen=True)
class Cut:
    """How a file went: windows given for each plan, plans it had nothing for, and how long decoding it took."""

    windows: tuple[int, ...]
    failures: dict[int, tuple[MediaFailure, str]]
    damage: dict[int, Damage] = field(default_factory=dict)
    """Of the plans whose windows lack something that could not be decoded."""
    seconds: float = field(default=0.0, compare=False)
    """Of a decoding process, without what it waited for whoever takes the windows."""


def cut(
    path: Path,
    plans: tuple[Plan, ...],
    emit: Callable[[int, int, Window], None],
    *,
    decoder: DecoderName = "pyav",
    threads: int = 1,
    max_damage: float = 1.0,
    tick: Callable[[], None] = lambda: None,
) -> Cut:
    """Decode `path` once and call emit(plan number, window number, window) for every window of every plan.

    Every plan gets what it would get alone. `tick` is called at every decoded frame. MediaError where the file gives
    nothing at all; what only some plans cannot have (sound in a silent video) is in the result's failures, as is a plan
    of whose stretch of the file more than `max_damage` (0 to 1) is missing.
    """
    failures: dict[int, tuple[MediaFailure, str]] = {}
    damage: dict[int, Damage] = {}
    cutters = {n: FrameCutter(plan, partial(emit, n)) for n, plan in enumerate(plans) if plan.kind == "video"}
    audio = [n for n, plan in enumerate(plans) if plan.kind == "audio"]
    # Reading the packets apart costs little, but is rarely needed.
    seen = _look(path) if audio or is_cut_short(path) else None
    if cutters:
        try:
            rate = _cut_frames(path, list(cutters.values()), decoder, threads, tick)
            if any(cutter.lost for cutter in cutters.values()):
                seen = seen or _look(path)
            if seen is not None:
                damage |= {n: _damage(cutter, rate, seen) for n, cutter in cutters.items()}
        except MediaError as error:
            if not audio or error.reason is not MediaFailure.NO_VIDEO_STREAM:
                raise
            failures |= dict.fromkeys(cutters, (error.reason, error.detail))
    counts = [cutters[n].windows if n in cutters else 0 for n in range(len(plans))]
    for n in audio:
        try:
            counts[n], damage[n] = _cut_sound(path, plans[n], partial(emit, n), seen)
        except MediaError as error:
            if not any(counts):
                raise
            failures[n] = (error.reason, error.detail)
    for n, lost in damage.items():
        if lost.share > max_damage:
            is_short = seen is not None and seen.missing(plans[n].rule) > 0
            failures[n] = (MediaFailure.TRUNCATED if is_short else MediaFailure.DAMAGED, str(lost))
    if failures.keys() == set(range(len(plans))):
        raise MediaError(*failures[0])
    return Cut(tuple(counts), failures, {n: lost for n, lost in damage.items() if lost and n not in failures})


def _cut_frames(
    path: Path, cutters: list[FrameCutter], decoder: DecoderName, threads: int, tick: Callable[[], None]
) -> Fraction:
    """Feed every cutter, until all have what they want; the pictures a second that the file says it has."""
    with opened(path) as container:
        source = DECODERS[decoder](container, threads)
        show = _once(source)
        waiting = cutters
        for frame in source.frames():
            tick()
            for cutter in waiting:
                cutter.push(frame, show)
                cutter.lost = source.lost
            waiting = [cutter for cutter in waiting if not cutter.full]
            if not waiting:
                break
        for cutter in waiting:
            cutter.finish(show)
            cutter.lost = source.lost
        if not any(cutter.windows for cutter in cutters):
            _nothing(path)
        source.close()
        return source.stream.average_rate or Fraction(24)


def _damage(cutter: FrameCutter, rate: Fraction, seen: Seen) -> Damage:
    wanted, missing = seen.wanted(cutter.plan.rule), seen.missing(cutter.plan.rule)
    return Damage(cutter.lost + round(missing * rate), cutter.lost / rate + missing, wanted)


def _look(path: Path) -> Seen | None:
    """When the picture is shown, from its first frame and the other packets' times; None where there is no picture.

    The same whatever is asked of the file, so that sound has the same windows with pictures or without.
    """
    with opened(path) as container:
        try:
            stamps = list(packet_times(container))
        except MediaError:
            return None
        if not stamps:
            return None
        length = Fraction(container.duration or 0, 1_000_000) + Fraction(container.start_time or 0, 1_000_000)
        length -= start_of(container)
    origin = _first_shown(path, stamps[0][0])
    end = max(time + duration for time, duration in stamps)
    return Seen(origin, end, max(end, length) if is_cut_short(path) else end)


def _first_shown(path: Path, otherwise: Fraction) -> Fraction:
    """When the first frame is shown that can be decoded: a stream may begin in the middle of a group of pictures."""
    with opened(path) as container:
        first = next(iter(DECODERS[DEFAULT](container).frames()), None)
        return otherwise if first is None else first.time


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


def _cut_sound(path: Path, plan: Plan, emit: Callable[[int, Window], None], seen: Seen | None) -> tuple[int, Damage]:
    """Windows of sound under the windows of frames; by the sound's own length where there is no picture."""
    rule, need = plan.rule, samples_of(plan.rule, plan.rate)
    origin = seen.origin if seen else Fraction(0)
    with opened(path) as container:
        jumps = tuple(jumps_of(container)) if may_jump(container) else ()
    with opened(path) as container:
        limit = float(origin) + rule.max_frames / rule.fps + 1
        heard, first, damage = sound(container, plan.rate, limit, jumps)
    if seen is None:
        seen = Seen(origin, *[first + Fraction(heard.size, plan.rate)] * 2)
    count = rule.count(max(seen.frames(rule.fps), 1))
    begin = Fraction(nearest(origin * rule.fps), rule.fps)
    for number in range(count):
        at = round((begin + Fraction(number * rule.step, rule.fps) - first) * plan.rate)
        piece = heard[max(at, 0) : max(at + need, 0)]
        before = min(max(-at, 0), need)
        window = np.zeros(need, np.float32)
        window[before : before + piece.size] = piece[: need - before]
        emit(number, window)
    missing = seen.missing(rule)
    return count, Damage(damage.frames, damage.seconds + missing, max(seen.wanted(rule), damage.of_seconds))


def probe_file(path: Path) -> Probe:
    """`decode.probe_open` of a path."""
    with opened(path) as container:
        return probe_open(container)


def windows_of(path: Path, plan: Plan, decoder: DecoderName = DEFAULT) -> Iterator[Window]:
    """All windows of one plan in this process, for tests and tools; holds them all."""
    windows: list[Window] = []
    cut(path, (plan,), lambda _plan, _number, window: windows.append(window), decoder=decoder)
    yield from windows
