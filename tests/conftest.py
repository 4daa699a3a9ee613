"""Fixtures that every test may use."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

PeakMemory = Callable[..., tuple[int, str]]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of published data and golden outputs that stands beside the checkout."""
    folder = Path(__file__).resolve().parent.parent.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the shared folder with published data and golden outputs is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def peak_memory() -> PeakMemory:
    """Run Python with the given arguments; gives the bytes that it and its children held at most, and what it printed.

    Asked of each process while it runs, because what getrusage tells of a process includes what its parent held when
    it was started: here that is all of pytest. For the same reason a process's last answer counts and not its largest:
    the kernel's maximum never falls while a program runs, but a child between fork and exec, which takes long on a busy
    machine, still answers with its parent's. The sum of each process's own maximum is an upper bound.
    """

    def measure(*arguments: str) -> tuple[int, str]:
        peaks: dict[int, int] = {}
        started = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
        watched = psutil.Process(started.pid)
        while started.poll() is None:
            for process in [watched, *_children(watched)]:
                # A process that has ended, but is not yet waited for, has no answer.
                peaks[process.pid] = _largest_resident(process.pid) or peaks.get(process.pid, 0)
            time.sleep(0.02)
        printed = started.stdout.read() if started.stdout else ""
        assert started.returncode == 0
        return sum(peaks.values()), printed

    return measure


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _largest_resident(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return 1024 * int(found[1]) if found else 0


def pytest_configure() -> None:
    """Let Ctrl-C reach the programs that tests start, even where the tests themselves were started in the background.

    A shell starts background jobs with SIGINT ignored, and what they start inherits that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
