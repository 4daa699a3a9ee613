"""Fixtures for the tests of releases."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from release_roots import build_root, release


@pytest.fixture(scope="session")
def built_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The place of a root that no test changes: `folder` and `root`."""
    place = tmp_path_factory.mktemp("releasable")
    build_root(place)
    return place


@pytest.fixture
def root(built_root: Path, tmp_path: Path) -> str:
    """A copy to change, its folder still where the root says it is."""
    shutil.copytree(built_root / "root", tmp_path / "root")
    return str(tmp_path / "root")


@pytest.fixture(scope="session")
def released(built_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release that no test changes, in its root."""
    place = tmp_path_factory.mktemp("released")
    shutil.copytree(built_root / "root", place / "root")
    release(str(place / "root"))
    return place / "root" / "release"
