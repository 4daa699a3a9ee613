"""Fixtures that every test may use."""

import signal
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of published data and golden outputs that stands beside the checkout."""
    folder = Path(__file__).resolve().parent.parent.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the shared folder with published data and golden outputs is not beside this checkout")
    return folder


def pytest_configure() -> None:
    """Let Ctrl-C reach the programs that tests start, even where the tests themselves were started in the background.

    A shell starts background jobs with SIGINT ignored, and what they start inherits that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
