"""Fixtures of the extractor tests; films.py and goldens.py beside this file hold what they are made of."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from films import make_film, make_still
from goldens import Golden

Film = Callable[..., Path]


@pytest.fixture
def film(tmp_path: Path) -> Film:
    """Makes a film in the test's folder: film("name.mp4", frames=..., rate=..., ...)."""

    def make(name: str, **how: Any) -> Path:
        return make_film(tmp_path / name, **how)

    return make


@pytest.fixture
def golden(shared: Path) -> Callable[..., Golden]:
    """Golden arrays by folder (and part)."""
    return lambda folder, part="": Golden(shared / "golden" / folder, part)


@pytest.fixture
def still() -> Callable[[Path, int], Path]:
    """Makes a 1080p film of so many seconds that costs little to code: still(path, seconds).

    Ten seconds are coded once and repeated by copying packets, so ten minutes take a second to make.
    """
    return make_still
