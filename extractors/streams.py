"""Which streams of a file count, and when their packets are shown: as ffmpeg's command decides both.

Source: the stream selection and timestamp chapters of ffmpeg's manual, and what the command does with the same files.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from csmv.extractors.extractor_errors import MediaError
from csmv.extractors.reasons import MediaFailure
from csmv.extractors.sampling import nearest

MICROSECONDS = 1_000_000
_PROBED_BYTES = 5_000_000
"""ffmpeg looks so far into a file to learn what its streams are."""
_DEFAULT_WEIGHS = 5_000_000
_SEEN_WEIGHS = 100_000_000
"""In the pixels or channels of a stream: what ffmpeg adds where it is marked as default, or has packets at all."""
_JUMP = 10 * MICROSECONDS
_BACK = MICROSECONDS // 10
_ABSURD = 108_000 * MICROSECONDS
"""A timestamp further off than these starts a new count, where a format allows that, or is not believed."""

Stream = TypeVar("Stream", VideoStream, AudioStream)


def video_stream(container: InputContainer) -> VideoStream:
    """The stream ffmpeg would choose: of those with packets the default one, or the largest.

    Raises:
        MediaError: there is none, or none that can be decoded.
    """
    pictures = av.stream.Disposition.attached_pic
    streams = [one for one in container.streams.video if not one.disposition & pictures]
    if not streams:
        raise MediaError(MediaFailure.NO_VIDEO_STREAM, "the file has no video stream")
    usable = [one for one in streams if one.codec_context is not None]
    if not usable:
        raise MediaError(MediaFailure.UNSUPPORTED_CODEC, "no decoder here knows the video's codec")
    return _best(container, usable, [(one.width or 0) * (one.height or 0) for one in usable])


def audio_stream(container: InputContainer) -> AudioStream:
    """The stream of sound ffmpeg would choose: the default one, or the one with most channels. MediaError if none."""
    usable = [one for one in container.streams.audio if one.codec_context is not None]
    if not usable:
        raise MediaError(MediaFailure.NO_AUDIO, "the file has no audio stream")
    return _best(container, usable, [one.codec_context.channels or 0 for one in usable])


def _best(container: InputContainer, streams: Sequence[Stream], sizes: Sequence[int]) -> Stream:
    if len(streams) == 1:
        return streams[0]
    seen = _seen(container, {one.index for one in streams})
    default = av.stream.Disposition.default

    def score(at: int) -> int:
        one = streams[at]
        return sizes[at] + _SEEN_WEIGHS * (one.index in seen) + _DEFAULT_WEIGHS * bool(one.disposition & default)

    return streams[max(range(len(streams)), key=lambda at: (score(at), -at))]


def _seen(container: InputContainer, wanted: set[int]) -> set[int]:
    """Which streams have a packet in the first part of the file; read from a second opening of it."""
    seen: set[int] = set()
    size = 0
    try:
        with av.open(container.file or container.name, options=dict(container.options)) as again:
            for packet in again.demux():
                if packet.size and packet.stream is not None:
                    seen.add(packet.stream.index)
                    size += packet.size
                if size > _PROBED_BYTES or wanted <= seen:
                    break
    except (av.error.FFmpegError, ValueError, OSError):
        pass  # what was seen until then counts
    return seen & wanted


def start_of(container: InputContainer) -> Fraction:
    """The time in seconds that counts as 0, which ffmpeg subtracts from every timestamp.

    It is the container's start; in formats whose timestamps may jump (MPEG-TS, MPEG-PS) the start of the pictures, or
    of the sound where there are none.
    """
    start = container.start_time or 0
    if may_jump(container):
        begun = (_start(one) for choose in (video_stream, audio_stream) if (one := _chosen(container, choose)))
        start = next((one for one in begun if one is not None), start)
    return Fraction(start, MICROSECONDS)


def _chosen(container: InputContainer, choose: Any) -> VideoStream | AudioStream | None:
    try:
        chosen: VideoStream | AudioStream = choose(container)
    except MediaError:
        return None
    return chosen


def _start(stream: VideoStream | AudioStream) -> int | None:
    if stream.start_time is None or stream.time_base is None:
        return None
    return nearest(stream.start_time * stream.time_base * MICROSECONDS)


def may_jump(container: InputContainer) -> bool:
    """Whether the container's format lets timestamps start again anywhere, as joined transport streams do."""
    return bool(av.format.Flags(container.format.flags) & av.format.Flags.ts_discont)


class Clock:
    """Gives the packets of one stream their times since the file's start, closing jumps of the timestamps.

    Where the format lets timestamps start again, one that is 10 seconds off, or goes back by more than a tenth, begins
    a new count that follows on the frame before. Elsewhere one that is 30 hours off is taken for unknown.
    """

    def __init__(self, container: InputContainer, stream: VideoStream | AudioStream) -> None:
        self.base = stream.time_base or Fraction(1, 90_000)
        self.jumps: list[int] = []
        """The offset in microseconds from each jump on, as they came."""
        self.given: Sequence[int] | None = None
        """Offsets to take in place of its own: another stream's, which this one stays in step with."""
        self._shift = nearest(-start_of(container) / self.base)
        self._may_jump = may_jump(container)
        rate = stream.average_rate if isinstance(stream, VideoStream) else None
        self._usual = round(MICROSECONDS / rate) if rate else 0
        self._offset = 0
        self._last: int | None = None
        self._next: int | None = None

    def set(self, packet: Any) -> None:
        """Change the packet's timestamps to what they are since the file's start."""
        self._move(packet, self._shift + nearest(self._offset / (MICROSECONDS * self.base)))
        if packet.dts is not None:
            self._look(packet)
        self._go_on(packet)

    def _look(self, packet: Any) -> None:
        at = self._microseconds(packet.dts)
        if self._next is None:
            return
        off = at - self._next
        if self._may_jump:
            assert self._last is not None
            if abs(off) > _JUMP or at + _BACK < self._last:
                self._jump(packet, off)
            return
        if abs(off) > _ABSURD:
            packet.dts = None
        if packet.pts is not None and abs(self._microseconds(packet.pts) - self._next) > _ABSURD:
            packet.pts = None

    def _jump(self, packet: Any, off: int) -> None:
        number = len(self.jumps)
        offset = self._offset - off
        if self.given is not None and number < len(self.given):
            offset = self.given[number]
        self._move(packet, nearest((offset - self._offset) / (MICROSECONDS * self.base)))
        self._offset = offset
        self.jumps.append(offset)

    def _go_on(self, packet: Any) -> None:
        """Note when the packet is decoded, and when the next one should be."""
        if packet.dts is not None:
            self._last = self._microseconds(packet.dts)
        elif self._next is not None:
            self._last = self._next
        elif packet.pts is not None:
            self._last = self._microseconds(packet.pts)
        else:
            return
        lasts = self._microseconds(packet.duration) if packet.duration else self._usual
        self._next = self._last + lasts

    def _microseconds(self, ticks: int) -> int:
        return nearest(ticks * self.base * MICROSECONDS)

    def _move(self, packet: Any, ticks: int) -> None:
        if ticks:
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks


def readable(container: InputContainer, stream: VideoStream | AudioStream) -> Iterator[Any]:
    """The stream's packets as they are, ending with an empty one, or early where the container is damaged."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            return
        if packet is None:
            return
        yield packet


def packets_of(container: InputContainer, stream: VideoStream | AudioStream) -> Iterator[Any]:
    """The stream's packets in the file's order with their times since the file's start, ending with an empty one."""
    clock = Clock(container, stream)
    for packet in container.demux(stream):
        if packet.size:
            clock.set(packet)
        yield packet


def jumps_of(container: InputContainer) -> Sequence[int]:
    """The offsets from each jump of the pictures' timestamps on, in microseconds; reads the whole file."""
    chosen = _chosen(container, video_stream)
    if chosen is None:
        return ()
    clock = Clock(container, chosen)
    for packet in readable(container, chosen):
        if packet.size:
            clock.set(packet)
    return clock.jumps
