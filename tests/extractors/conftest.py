"""Fixtures of the extractor tests; films.py and goldens.py beside this file hold what they are made of."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from films import make_film
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
