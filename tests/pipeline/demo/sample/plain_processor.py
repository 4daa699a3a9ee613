"""Makes films as a plain processor would: without the vector code of FFmpeg, x264, NumPy and the C library.

Run as: python plain_processor.py plain|here FOLDER, where `here` makes them as this processor does.
"""

import ctypes
import os
import re
import sys
from pathlib import Path

ENVIRONMENT = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4,-AVX512F",
}


def make_films(folder: Path, *, plain: bool) -> None:
    """The sample's files and two of the sandbox's; `plain`: as the plainest processor makes them."""
    from csmv.pipeline import x264
    from csmv.pipeline.demo.sample import make_sample
    from csmv.pipeline.demo.sandbox.media import RENDITIONS, video_bytes

    if plain:
        _forget_vector_instructions()
        x264.SAME_BYTES["x264-params"] = re.sub("asm=[^:]*", "asm=0", x264.SAME_BYTES["x264-params"])
    make_sample(folder, videos=5, comments_each=12)
    for rendition in RENDITIONS[::3]:
        (folder / f"sandbox-{rendition.name}.mp4").write_bytes(video_bytes("7679401525248000003", rendition, 0.5))


def _forget_vector_instructions() -> None:
    """Tell the libavutil that PyAV has loaded to use C code alone."""
    import av.codec  # noqa: F401

    (loaded,) = set(re.findall(r"\S*/libavutil\S*", Path("/proc/self/maps").read_text()))
    ctypes.CDLL(loaded).av_force_cpu_flags(0)


if __name__ == "__main__":
    if sys.argv[1] == "plain" and any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ENVIRONMENT)  # read as a process starts
    make_films(Path(sys.argv[2]), plain=sys.argv[1] == "plain")
