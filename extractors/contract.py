"""What an extractor promises, checked where it could break it: one sentence for whoever wrote it.

Knows nothing of files and batches.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from csmv.extractors.extractor_errors import ExtractorError


def usable_device(device: "str | torch.device") -> torch.device:
    """The device of that name, if torch says that this machine has it.

    Raises:
        ExtractorError: there is no such device, in torch or here.
    """
    try:
        asked = torch.device(device)
    except (RuntimeError, TypeError, ValueError):
        raise ExtractorError(
            f"There is no device '{str(device)[:40]}': devices are called cpu, cuda, cuda:1, mps, xpu and so on."
        ) from None
    if asked.type == "cpu":
        return asked
    backend = getattr(torch, asked.type, None) or getattr(torch.backends, asked.type, None)
    has_it = getattr(backend, "is_available", None)
    if asked.type == "meta" or has_it is None or not has_it():
        kind = "usable GPU" if asked.type == "cuda" else "device of that kind"
        raise ExtractorError(f"device '{asked.type}' was asked for, but this machine shows no {kind}: try 'cpu'.")
    count = getattr(backend, "device_count", lambda: 1)()
    if asked.index is not None and asked.index >= count:
        raise ExtractorError(f"device '{asked}' was asked for, and this machine has {count} of that kind, from 0 on.")
    return asked


def check_declared(name: str, dim: Any, granularities: Any, size: Any, dtype: Any) -> None:
    """Raises ExtractorError if what an extractor says of itself can't be.

    Args:
        name: its name.
        dim: the length of its vectors.
        granularities: vectors a window by granularity.
        size: height and width that its transform gives; None for sound.
        dtype: of its transform's frames; None for sound.
    """
    if not isinstance(dim, int) or isinstance(dim, bool) or dim < 1:
        raise ExtractorError(f"The extractor '{name}' should say how long its vectors are, as `dim`, and says {dim!r}.")
    is_counts = isinstance(granularities, Mapping) and granularities
    if not is_counts or not all(isinstance(count, int) and count > 0 for count in granularities.values()):
        raise ExtractorError(
            f"The extractor '{name}' should say how many vectors a window has, such as {{'clip': 1}}, and says "
            f"{granularities!r}."
        )
    if size is None:
        return
    try:
        height, width = size
        is_size = all(isinstance(side, int) and side > 0 for side in (height, width))
    except (TypeError, ValueError):
        is_size = False
    if not is_size:
        raise ExtractorError(f"The transform of '{name}' should say its (height, width) as `size`, and says {size!r}.")
    if dtype not in ("uint8", "float32"):
        raise ExtractorError(f"The transform of '{name}' gives uint8 or float32 frames, not {dtype!r}.")


def check_vectors(name: str, vectors: Any, windows: int, count: int, dim: int) -> None:
    """Raises ExtractorError unless a forward pass gave what was promised.

    Args:
        name: the extractor.
        vectors: what came out of it.
        windows: how many went in.
        count: vectors a window that it says it has.
        dim: their length.
    """
    if not isinstance(vectors, Tensor):
        raise ExtractorError(f"The extractor '{name}' should give a tensor, and gave a {type(vectors).__name__}.")
    wanted = (windows, count, dim)
    if tuple(vectors.shape) != wanted:
        raise ExtractorError(
            f"The extractor '{name}' promised vectors of shape {wanted} (windows, vectors a window, dim) and gave "
            f"{tuple(vectors.shape)}: mend its `forward`, `granularities` or `dim`."
        )
    if not vectors.is_floating_point():
        raise ExtractorError(f"The extractor '{name}' should give floating-point vectors, and gave {vectors.dtype}.")


def check_finite(name: str, batch: Tensor) -> None:
    """Raises ExtractorError if numbers that are to go into an extractor are not finite."""
    if batch.is_floating_point() and not bool(batch.isfinite().all()):
        raise ExtractorError(f"{name} was given frames or sound with numbers that are not finite (NaN or infinite).")
