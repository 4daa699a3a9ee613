"""Small real mp4 files for the sandbox, H.264 and H.265: a few are encoded, each video's ends in a box of its own."""

import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from csmv.pipeline.x264 import SAME_BYTES

_RATE = 12
_PATTERNS = 8


@dataclass(frozen=True)
class Rendition:
    """One file of a video as TikTok names it in UrlKey."""

    name: str
    codec: str
    width: int
    height: int

    @property
    def url_key(self) -> str:
        """The ladder's part of UrlKey, for example h264_540p."""
        return f"{'h264' if self.codec == 'h264' else 'bytevc1'}_{self.name}"


RENDITIONS = (
    Rendition("240p", "h264", 240, 426),
    Rendition("360p", "h264", 360, 640),
    Rendition("540p", "h264", 576, 1024),
    Rendition("720p", "h265", 720, 1280),
)


def video_bytes(video_id: str, rendition: Rendition, seconds: float) -> bytes:
    """The file of one video: the same bytes for the same arguments on any processor, other bytes for another id."""
    pattern = int(video_id) % _PATTERNS
    mark = f"sandbox video {video_id}".encode()
    return _encoded(pattern, rendition, seconds) + (8 + len(mark)).to_bytes(4, "big") + b"free" + mark


@lru_cache(maxsize=256)
def _encoded(pattern: int, rendition: Rendition, seconds: float) -> bytes:
    import av

    with tempfile.TemporaryDirectory(prefix="csmv-sandbox-") as folder:
        path = Path(folder) / "video.mp4"
        # faststart puts the index first, so that a file cut short still opens: the harder case for a verifier.
        with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
            if rendition.codec == "h264":
                codec, options = "libx264", SAME_BYTES
            else:
                # x265 gives the same picture anywhere; with `info` it would add which processor it ran on.
                codec, options = "libx265", {"threads": "1", "x265-params": "log-level=none:pools=none:info=0"}
            stream = cast(
                "av.VideoStream", container.add_stream(codec, rate=_RATE, options={"preset": "ultrafast"} | options)
            )
            stream.width, stream.height, stream.pix_fmt = rendition.width, rendition.height, "yuv420p"
            for number in range(max(1, round(seconds * _RATE))):
                frame = av.VideoFrame.from_ndarray(_picture(pattern, rendition, number), format="gray")
                container.mux(stream.encode(frame.reformat(format="yuv420p")))
            container.mux(stream.encode(None))
        return path.read_bytes()


def _picture(pattern: int, rendition: Rendition, number: int) -> npt.NDArray[np.uint8]:
    down, across = np.ogrid[: rendition.height, : rendition.width]
    moved = (down * (pattern + 1) // 4 + across // 2 + number * 7) % 256
    return np.asarray(moved, dtype=np.uint8)
