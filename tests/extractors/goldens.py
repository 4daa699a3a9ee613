"""The golden arrays' inputs, files and measures."""

import json
from pathlib import Path
from typing import Any

import numpy as np


def golden_frames(k: int, t: int, size: int) -> np.ndarray:
    """Input k of the golden arrays: uint8 (t, size, size, 3)."""
    z, y, x, c = np.ogrid[0:t, 0:size, 0:size, 0:3]
    angle = 0.05 * (c + 1) * x + 0.07 * y + 0.3 * z + k
    return np.floor(127.5 + 127.5 * np.sin(angle)).astype(np.uint8)


class Golden:
    """One network's golden arrays and checks; `part` is `vit_s` and so on where a folder holds several."""

    def __init__(self, folder: Path, part: str = "") -> None:
        checks = json.loads((folder / "checks.json").read_text())
        self.checks: dict[str, Any] = checks[part] if part else checks
        prefix = f"{part}_" if part else ""
        with np.load(folder / "golden.npz") as arrays:
            self.arrays = {k.removeprefix(prefix): arrays[k] for k in arrays.files if k.startswith(prefix)}
        keys = json.loads((folder / f"keys{'_' + part if part else ''}.json").read_text())
        self.keys: dict[str, tuple[list[int], str]] = keys


def relative_l2(found: np.ndarray, wanted: np.ndarray) -> float:
    """||found - wanted|| / ||wanted||."""
    difference = found.astype(np.float64).reshape(-1) - wanted.astype(np.float64).reshape(-1)
    return float(np.linalg.norm(difference) / np.linalg.norm(wanted))


def cosine(found: np.ndarray, wanted: np.ndarray) -> float:
    a, b = found.astype(np.float64).reshape(-1), wanted.astype(np.float64).reshape(-1)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
