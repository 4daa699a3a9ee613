"""Opening and decoding one media file, in the calling process: what it is, its frames, their exact times.

Decoders can hang and crash on bad files, so nothing but a decoding worker (extractors/worker.py) calls this. Only
plain files in known container formats are opened: never a playlist that could name other files or addresses.
"""

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, ClassVar, Protocol

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from csmv.extractors.containers import CONTAINERS
from csmv.extractors.decoders import DEFAULT, DecoderName
from csmv.extractors.extractor_errors import MediaError
from csmv.extractors.reasons import MediaFailure
from csmv.extractors.streams import Clock, packets_of, readable, video_stream

Image = NDArray[np.uint8]

MAX_PIXELS = 64_000_000
"""Larger pictures are refused: an 8k frame has 33 million pixels."""


@dataclass(frozen=True)
class Probe:
    """What a file says about its video; width and height as displayed, after rotation."""

    duration_s: float
    width: int
    height: int
    fps: float
    has_audio: bool
    n_frames: int


@dataclass(frozen=True)
class TimedFrame:
    """A decoded frame that is turned into pixels only if it is wanted; `time` in seconds since the file's start."""

    time: Fraction
    duration: Fraction
    picture: Any


class Decoder(Protocol):
    """A source of frames in display order, and of their pixels as uint8 RGB (H, W, 3), upright."""

    def frames(self) -> Iterator[TimedFrame]: ...

    def pixels(self, frame: TimedFrame) -> Image: ...

    def close(self) -> None: ...


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """The file as a container, checked. MediaError says why where it is none."""
    _check_file(path)
    with ExitStack() as stack:
        try:
            container = av.open(
                _named(path, stack),
                metadata_errors="replace",
                options={"protocol_whitelist": "file", "format_whitelist": CONTAINERS},
            )
        except (av.error.FFmpegError, ValueError, OSError) as error:
            raise _unopened(path, error) from None
        with container:
            yield container


def _named(path: Path, stack: ExitStack) -> str:
    """A file as libavformat takes it: with its protocol, since `a:b.mp4` would be one, and in UTF-8."""
    try:
        name = str(path)
        name.encode()
    except UnicodeEncodeError:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="csmv-name-")))
        link = folder / f"file{path.suffix if path.suffix.isascii() else ''}"
        link.symlink_to(path.absolute())
        name = str(link)
    return f"file:{name}"


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise MediaError(MediaFailure.NOT_A_VIDEO, "there is no regular file of that name")
    if path.stat().st_size == 0:
        raise MediaError(MediaFailure.EMPTY_FILE, "the file has no bytes")


def _unopened(path: Path, error: Exception) -> MediaError:
    with path.open("rb") as file:
        head = file.read(16)
    is_video = head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free") or head[:4] in (b"\x1aE\xdf\xa3", b"RIFF")
    if is_video:
        return MediaError(MediaFailure.TRUNCATED, "a container whose index or header is missing or broken")
    return MediaError(MediaFailure.NOT_A_VIDEO, f"no known container ({type(error).__name__})")


def _pictures(container: InputContainer) -> VideoStream:
    stream = video_stream(container)
    _check_size(stream.width or 0, stream.height or 0)
    return stream


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise MediaError(
            MediaFailure.TOO_LARGE, f"{width}x{height} is more than {MAX_PIXELS // 1_000_000} million pixels"
        )


def probe_open(container: InputContainer) -> Probe:
    """What the open file says of itself; decodes one frame, for its rotation, and counts packets where need be."""
    stream = _pictures(container)
    rate = stream.average_rate or stream.guessed_rate or Fraction(0)
    width, height, count, first = stream.width or 0, stream.height or 0, stream.frames, True
    end = Fraction(0)
    for packet in packets_of(container, stream):
        if first:
            frame = next(iter(_decoded(packet) or ()), None)
            if frame is not None:
                is_turned = Orientation.of(frame).transposed
                width, height = (frame.height, frame.width) if is_turned else (frame.width, frame.height)
                first = False
        if not first and stream.frames and stream.duration:
            break
        if packet.size:
            count += 0 if stream.frames else 1
            if packet.pts is not None and packet.time_base:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
    if first:
        raise MediaError(MediaFailure.NO_FRAMES, "the video stream has no decodable frame")
    duration = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else float(end)
    if duration <= 0 and container.duration:
        duration = container.duration / av.time_base
    return Probe(duration, width, height, float(rate), bool(container.streams.audio), count)


def _decoded(packet: Any) -> list[VideoFrame] | None:
    """Frames of a packet; None of a damaged one, after which ffmpeg's own command goes on."""
    try:
        return [frame for frame in packet.decode() if isinstance(frame, VideoFrame)]
    except av.error.MemoryError:
        raise MediaError(MediaFailure.TOO_LARGE, "decoding needs more memory than a worker may use") from None
    except (av.error.DecoderNotFoundError, av.error.PatchWelcomeError):
        raise MediaError(MediaFailure.UNSUPPORTED_CODEC, "the decoder does not know this kind of stream") from None
    except (av.error.FFmpegError, ValueError):
        return None if packet.size else []


def packet_times(container: InputContainer) -> Iterator[tuple[Fraction, Fraction]]:
    """(time, duration) of each frame in display order, in seconds since the file's start, without decoding."""
    stream = _pictures(container)
    timed = _timed_packets(container, stream)
    yield from sorted((time, duration) for packet, time, duration in timed if packet.pts is not None)


def _timed_packets(container: InputContainer, stream: VideoStream) -> Iterator[tuple[Any, Fraction, Fraction]]:
    """(packet, time, duration) of each packet that holds a frame to be shown, in the file's order."""
    base = stream.time_base or Fraction(1, 90_000)
    for packet in packets_of(container, stream):
        if packet.size and not packet.is_discard:
            yield packet, (packet.pts or 0) * base, (packet.duration or 0) * base


class Stamps:
    """A frame's best timestamp: its own, or its packet's decoding time where own ones go backwards more often.

    libavcodec's `best_effort_timestamp`, which ffmpeg's command uses and PyAV does not show.
    """

    def __init__(self, *, trust_pts: bool = True) -> None:
        self._trust_pts = trust_pts
        self._last: dict[str, float] = {"pts": float("-inf"), "dts": float("-inf")}
        self._faults = {"pts": 0, "dts": 0}

    def best(self, pts: int | None, dts: int | None) -> int | None:
        """The timestamp of the next frame in display order; None where it has neither."""
        for name, value, other in (("dts", dts, pts), ("pts", pts, dts)):
            if value is not None:
                self._faults[name] += value <= self._last[name]
                self._last[name] = value
            elif other is not None:
                self._last[name] = other
        if not self._trust_pts:
            return dts  # None at the very end, where the frame before says when this one is
        if pts is not None and (dts is None or self._faults["pts"] <= self._faults["dts"]):
            return pts
        return dts


@dataclass(frozen=True)
class Orientation:
    """How a picture is turned to be shown: first along its diagonal, then from side to side, then upside down."""

    transposed: bool = False
    flipped_x: bool = False
    flipped_y: bool = False

    @classmethod
    def of(cls, picture: VideoFrame) -> "Orientation":
        """As the frame's display matrix says; an angle that is no quarter turn counts as the nearest one.

        The matrix is nine 32-bit numbers (a b u, c d v, x y w), by which pixel (x, y) is shown at (ax + cy, bx + dy).
        """
        looked_up: Any = picture.side_data
        matrix = looked_up.get(Type.DISPLAYMATRIX)
        if matrix is None:
            return _UPRIGHT
        a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(True, c < 0, b < 0)
        return cls(False, a < 0, d < 0)

    @property
    def mirrored(self) -> bool:
        """Whether writing in the picture reads from right to left."""
        return (self.transposed + self.flipped_x + self.flipped_y) % 2 == 1

    def show(self, pixels: Image) -> Image:
        """`pixels` (H, W, 3) as they are shown."""
        if self.transposed:
            pixels = pixels.transpose(1, 0, 2)
        return pixels[:: -1 if self.flipped_y else 1, :: -1 if self.flipped_x else 1]


_UPRIGHT = Orientation()


class PyAvDecoder:
    """FFmpeg 8 through PyAV, front to back, one frame in memory."""

    def __init__(self, container: InputContainer, threads: int = 1) -> None:
        self.container, self.stream = container, _pictures(container)
        self.stream.codec_context.thread_count = threads
        self.stream.thread_type = "AUTO" if threads > 1 else "NONE"
        self.packets = 0
        self._frames = 0
        self._errors = 0
        self._clean = (0, 0)
        self._turned: tuple[int, Orientation] | None = None
        self._reformatter = VideoReformatter()

    @property
    def lost(self) -> int:
        """Pictures of the packets read so far that could not be decoded; 0 while nothing went wrong."""
        if not self._errors:
            return 0
        packets, pictures = self._clean
        # Two packets may be one picture (fields), and a few pictures are held back until their time.
        each = 0.5 if packets >= 30 and pictures < 0.6 * packets else 1.0
        return max(self._errors, round(self.packets * each) - self._frames)

    def frames(self) -> Iterator[TimedFrame]:
        """Frames in display order with the times ffmpeg's filters would see."""
        base = self.stream.time_base or Fraction(1, 90_000)
        step = 1 / (self.stream.average_rate or Fraction(24))
        expected = Fraction(0)
        # AVI keeps no display times, and what libavformat makes up for B-frames goes backwards: only dts is usable.
        stamps = Stamps(trust_pts="avi" not in self.container.format.name)
        for frame in self._decode_all():
            stamp = stamps.best(frame.pts, frame.dts)
            time = stamp * base if stamp is not None else expected
            duration = frame.duration * base if frame.duration else step
            expected = time + duration
            yield TimedFrame(time, duration, frame)

    def _decode_all(self) -> Iterator[VideoFrame]:
        clock = Clock(self.container, self.stream)
        for packet in readable(self.container, self.stream):
            if packet.size:
                clock.set(packet)
                self.packets += not packet.is_discard
            decoded = _decoded(packet)
            if decoded is None:
                self._errors += 1
                self._clean = self._clean if self._errors > 1 else (self.packets, self._frames)
            for frame in decoded or ():
                self._frames += 1
                _check_size(frame.width, frame.height)
                yield frame

    def pixels(self, frame: TimedFrame) -> Image:
        """RGB of a frame, turned upright as its display matrix says."""
        picture = frame.picture
        rgb: Any = self._reformatter.reformat(picture, format="rgb24", threads=1).to_ndarray()
        return self._orientation(picture).show(rgb)

    def _orientation(self, picture: VideoFrame) -> Orientation:
        """The frame's, looked up where its angle is another than before: a look keeps the frame for a while."""
        if self._turned is None or picture.rotation != self._turned[0]:
            self._turned = (picture.rotation, Orientation.of(picture))
        return self._turned[1]

    def close(self) -> None:
        """Nothing: the container belongs to the caller."""


class IndexedDecoder(ABC):
    """Base of the decoders that open the file anew and give a frame by its number.

    They show no exact times, so when each frame is shown comes from the packets, read by PyAV: windows and their times
    are PyAV's. A file whose frames they do not number like PyAV is refused before its first frame.

    Raises:
        MediaError: DECODER_LIMIT where this decoder does not read the file, or reads it in another way than PyAV.
    """

    name: ClassVar[DecoderName]

    def __init__(self, container: InputContainer, threads: int = 1) -> None:
        self.container, self.stream = container, _pictures(container)
        self.lost = 0
        self._shown = self._times()
        self.packets = len(self._shown)
        try:
            count = self._open(threads) if self._shown else 0
        except MemoryError:
            raise
        except Exception as error:
            raise self._limit(f"does not open the video ({type(error).__name__})") from None
        if count != len(self._shown):
            raise self._limit(f"counts {count} frames where the file shows {len(self._shown)}")

    @abstractmethod
    def _open(self, threads: int) -> int:
        """Open the file; how many frames it has."""

    @abstractmethod
    def _read(self, number: int) -> Image:
        """The pixels of a frame; whatever the library raises."""

    def frames(self) -> Iterator[TimedFrame]:
        """Frames in display order with the times that PyAV would give them."""
        for number, (time, duration) in enumerate(self._shown):
            yield TimedFrame(time, duration, number)

    def pixels(self, frame: TimedFrame) -> Image:
        """RGB of a frame, turned upright by the library."""
        try:
            pixels = self._read(frame.picture)
        except MemoryError:
            raise
        except Exception as error:
            raise self._limit(f"could not decode frame {frame.picture} ({type(error).__name__})") from None
        if sorted(pixels.shape[:2]) != sorted((self.stream.height, self.stream.width)):
            raise self._limit("gives pictures of another size than the video has")
        return pixels

    def close(self) -> None:  # noqa: B027  (it has nothing to close)
        """Nothing: the file is closed with the decoder."""

    def _times(self) -> list[tuple[Fraction, Fraction]]:
        """(time, duration) of each frame in display order, where the packets alone tell them."""
        usual = 1 / (self.stream.average_rate or Fraction(24))
        self._refuse_other_streams()
        self._refuse_mirrored()
        try:
            packets = list(_timed_packets(self.container, self.stream))
        except av.error.FFmpegError:
            raise self._limit("takes display times from packets, and this file's are damaged") from None
        # What libavformat makes up for B-frames in AVI, which keeps no display times, is not to be trusted.
        is_avi = "avi" in self.container.format.name
        if any(packet.pts is None or (is_avi and packet.pts != packet.dts) for packet, *_ in packets):
            raise self._limit("takes display times from packets, and this file's do not hold them")
        shown = sorted((time, duration or usual) for _, time, duration in packets)
        if any(one[0] == next_one[0] for one, next_one in pairwise(shown)):
            raise self._limit("takes display times from packets, and two of this file's are equal")
        return shown

    def _refuse_other_streams(self) -> None:
        """Of several video streams PyAV takes ffmpeg's, and the libraries what they like."""
        pictures = av.stream.Disposition.attached_pic
        if sum(not stream.disposition & pictures for stream in self.container.streams.video) > 1:
            raise self._limit("may take another of the file's video streams")

    def _refuse_mirrored(self) -> None:
        """The libraries turn pictures by quarter turns, and do not mirror them."""
        try:
            with av.open(self.container.name, options=dict(self.container.options)) as again:
                first = next(again.decode(again.streams[self.stream.index]), None)
        except (av.error.FFmpegError, ValueError, OSError):
            return  # what PyAV can't decode either is told when the library tries
        if isinstance(first, VideoFrame) and Orientation.of(first).mirrored:
            raise self._limit("does not mirror pictures, and this file's are shown mirrored")

    def _limit(self, what: str) -> MediaError:
        return MediaError(MediaFailure.DECODER_LIMIT, f"{self.name} {what}; the decoder {DEFAULT} may read it")


class DecordDecoder(IndexedDecoder):
    """decord 0.6, with the FFmpeg 4 that it brings: no AV1, and no edit list that hides frames."""

    name = "decord"

    def _open(self, threads: int) -> int:
        import decord

        self._reader = decord.VideoReader(self.container.name, num_threads=threads)
        return len(self._reader)

    def _read(self, number: int) -> Image:
        pixels: Image = self._reader[number].asnumpy()
        return pixels


class TorchCodecDecoder(IndexedDecoder):
    """torchcodec, with the FFmpeg of the machine."""

    name: ClassVar[DecoderName] = "torchcodec"
    device: ClassVar[str] = "cpu"

    def _open(self, threads: int) -> int:
        from torchcodec.decoders import VideoDecoder

        self._decoder = VideoDecoder(
            self.container.name, dimension_order="NHWC", num_ffmpeg_threads=threads, device=self.device
        )
        return len(self._decoder)

    def _read(self, number: int) -> Image:
        pixels: Image = self._decoder[number].cpu().numpy()
        return pixels


class TorchCodecCudaDecoder(TorchCodecDecoder):
    """torchcodec on the first NVIDIA GPU, whose decoder and colour conversion are its own: other values than PyAV's.

    Never run on a GPU so far; how far its pixels are from PyAV's has not been measured.
    """

    name = "torchcodec-cuda"
    device: ClassVar[str] = "cuda"


DECODERS: dict[DecoderName, type[PyAvDecoder] | type[IndexedDecoder]] = {
    "pyav": PyAvDecoder,
    "decord": DecordDecoder,
    "torchcodec": TorchCodecDecoder,
    "torchcodec-cuda": TorchCodecCudaDecoder,
}


def is_cut_short(path: Path) -> bool:
    """Whether a container's own outermost sizes reach past the end of the file (MP4, Matroska, AVI; else no)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        if head[:4] == b"RIFF":
            return int(struct.unpack("<I", head[4:8])[0]) + 8 > size
        if head[:4] == b"\x1aE\xdf\xa3":
            return _matroska_end(file) > size
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return _boxes_end(file, size) > size
    return False


def _boxes_end(file: BinaryIO, size: int) -> int:
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return size + 1
        length = int(struct.unpack(">I", head[:4])[0])
        if length == 1 and len(head) == 16:
            length = int(struct.unpack(">Q", head[8:])[0])
        if length == 0:
            return size
        if length < 8:
            return size  # not a box: something else after the end, which players ignore too
        at += length
    return at


def _matroska_end(file: BinaryIO) -> int:
    """End of the first Segment as it declares it; 0 where it declares none (a live recording)."""
    file.seek(4)
    header, has_size = _vint(file)
    file.seek(header if has_size else 0, 1)
    if file.read(4) != b"\x18S\x80g":
        return 0
    length, has_size = _vint(file)
    return file.tell() + length if has_size else 0


def _vint(file: BinaryIO) -> tuple[int, bool]:
    """(value, whether it is known) of an EBML variable-length number."""
    first = file.read(1)
    if not first or not first[0]:
        return 0, False
    width = 9 - first[0].bit_length()
    value = first[0] & ((1 << (8 - width)) - 1)
    for byte in file.read(width - 1):
        value = value << 8 | byte
    return value, value != (1 << 7 * width) - 1
