"""Still pictures of a video, evenly spaced over its length, as JPEG: what a model that looks at pictures is shown."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from csmv.extractors.decode import PyAvDecoder, TimedFrame, opened, packet_times
from csmv.extractors.extractor_errors import MediaError
from csmv.extractors.reasons import MediaFailure


@dataclass(frozen=True)
class StillsRule:
    """How many pictures of a video, their longer side in pixels at most, and JPEG's quality (1 to 95)."""

    count: int = 8
    side: int = 512
    quality: int = 85


def stills(path: Path, rule: StillsRule, tick: Callable[[], None] = lambda: None) -> list[bytes]:
    """The frames shown in the middle of each of `rule.count` equal stretches of the video, upright, in order of time.

    Every stretch gives one, so a video of fewer frames gives some of them twice.

    Args:
        path: the file.
        rule: how many, and their size.
        tick: is called at every decoded frame.

    Returns:
        JPEG files; the same bytes for the same file, rule and versions.

    Raises:
        MediaError: the file gives no picture.
    """
    with opened(path) as container:
        times = list(packet_times(container))
    if not times:  # packets of some containers say no time; their frames' is told by the decoder
        with opened(path) as container:
            times = [(frame.time, frame.duration) for frame in PyAvDecoder(container).frames()]
    if not times:
        raise MediaError(MediaFailure.NO_FRAMES, "the video stream has no decodable frame")
    begin, end = times[0][0], max(time + duration for time, duration in times)
    wanted = [begin + (end - begin) * Fraction(2 * k + 1, 2 * rule.count) for k in range(rule.count)]
    pictures: list[bytes] = []
    with opened(path) as container:
        decoder = PyAvDecoder(container)
        before: TimedFrame | None = None
        for frame in decoder.frames():
            tick()
            # A frame is shown until the next one comes, so what was wanted before this one is the one before it.
            due = sum(time < frame.time for time in wanted[len(pictures) :])
            if due:
                pictures += [_jpeg(decoder.pixels(before or frame), rule)] * due
            if len(pictures) == rule.count:
                return pictures
            before = frame
        if before is None:
            raise MediaError(MediaFailure.NO_FRAMES, "the video stream has no decodable frame")
        return pictures + [_jpeg(decoder.pixels(before), rule)] * (rule.count - len(pictures))


def _jpeg(pixels: NDArray[np.uint8], rule: StillsRule) -> bytes:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((rule.side, rule.side))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=rule.quality)
    return buffer.getvalue()
