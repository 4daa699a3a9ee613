"""How x264 is told to give the same bytes at every run and on every processor of a kind."""

import platform

SAME_BYTES = {
    # More threads may give other bytes from run to run.
    "threads": "1",
    # Left alone, x264 picks other algorithms by processor, and its AVX-512 code gave other bytes at each run. SSE2,
    # which every x86-64 processor has, takes half the time of plain C and gives the same bytes.
    "x264-params": f"cpu-independent=1:asm={'sse2' if platform.machine() in {'x86_64', 'AMD64'} else 0}",
}
"""Options of PyAV's or FFmpeg's `libx264`."""
