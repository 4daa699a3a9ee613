"""The sound of a file as one line of samples that keeps to its timestamps: what is missing in it is silence."""

from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from csmv.extractors.damage import Damage
from csmv.extractors.extractor_errors import MediaError
from csmv.extractors.reasons import MediaFailure
from csmv.extractors.streams import Clock, audio_stream, may_jump, readable

Samples = NDArray[np.float32]

_TOLERANCE = Fraction(1, 50)
"""Seconds by which sound may stray from its timestamps: many containers round those. A packet lasts about as long."""


class _Line:
    """Mono samples at one rate that grow at their end, each piece where its time is."""

    def __init__(self, rate: int, limit: int) -> None:
        self.rate, self.limit = rate, limit
        self.first = Fraction(0)
        self._parts: list[Samples] = []
        self._resampler: Any = None
        self._setup: tuple[Any, ...] = ()
        self._given = Fraction(0)
        self.size = 0

    @property
    def full(self) -> bool:
        return self.size >= self.limit

    def add(self, frame: Any, time: Fraction | None) -> None:
        """Append a decoded frame that is to be heard at `time`, or right after the one before."""
        setup = (frame.format.name, frame.layout.name, frame.sample_rate)
        time = self._given if time is None else time
        if not self._setup:
            self.first = self._given = time
        if setup != self._setup or abs(time - self._given) > _TOLERANCE:
            self._flush()
            self._go_to(time)
            self._resampler = av.AudioResampler(format="flt", layout="mono", rate=self.rate)
            self._setup = setup
            self._given = time
        self._given += Fraction(frame.samples, frame.sample_rate)
        frame.pts = None  # the resampler would look at it
        self._take(self._resampler.resample(frame))

    def finish(self) -> Samples:
        self._flush()
        return np.concatenate([*self._parts, np.zeros(0, np.float32)])[: self.limit]

    def _go_to(self, time: Fraction) -> None:
        """Fill up with silence to a time, or take back what reaches past it."""
        at = max(round((time - self.first) * self.rate), 0)
        if at > self.size:
            self._put(np.zeros(min(at, self.limit) - min(self.size, self.limit), np.float32))
        while at < self.size:
            last = self._parts.pop()
            self.size -= last.size
            if self.size < at:
                self._put(last[: at - self.size])

    def _flush(self) -> None:
        if self._resampler is not None:
            self._take(self._resampler.resample(None))
            self._resampler = None

    def _take(self, pieces: list[Any]) -> None:
        for piece in pieces:
            self._put(piece.to_ndarray().reshape(-1).astype(np.float32, copy=False))

    def _put(self, samples: Samples) -> None:
        self._parts.append(samples)
        self.size += samples.size


def sound(
    container: InputContainer, rate: int, limit_s: float, jumps: "tuple[int, ...]" = ()
) -> tuple[Samples, Fraction, Damage]:
    """The sound of an open file.

    Args:
        container: the file.
        rate: Hz.
        limit_s: seconds after which nothing more is needed.
        jumps: where the pictures' timestamps start again, as `streams.jumps_of` tells: sound stays in step with them.

    Returns:
        Mono float32 samples; the time of the first one in seconds since the file's start; and what was missing.

    Raises:
        MediaError: NO_AUDIO where there is no sound that can be decoded.
    """
    stream = audio_stream(container)
    clock = Clock(container, stream)
    if may_jump(container) and jumps:
        clock.given = jumps
    line = _Line(rate, int(limit_s * rate))
    lost, lost_s = 0, Fraction(0)
    for packet in readable(container, stream):
        if packet.size:
            clock.set(packet)
        frames, is_lost = _heard(packet)
        if is_lost:
            lost += 1
            lost_s += (packet.duration or 0) * clock.base
        for frame in frames:
            line.add(frame, None if frame.pts is None else frame.pts * clock.base)
        if line.full:
            break
    if not line.size:
        raise MediaError(MediaFailure.NO_AUDIO, "the audio stream has no decodable sound")
    samples = line.finish()
    return samples, line.first, Damage(lost, lost_s, max(Fraction(samples.size, rate), lost_s))


def _heard(packet: Any) -> tuple[list[Any], bool]:
    """The frames of a packet, and whether it could not be decoded."""
    try:
        return list(packet.decode()), False
    except (av.error.FFmpegError, ValueError):
        return [], bool(packet.size)
