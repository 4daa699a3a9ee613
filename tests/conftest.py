"""Fixtures that every test may use."""

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

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


@dataclass(frozen=True)
class Layer:
    """An environment of its own that borrows every library of this one: nothing heavy is installed twice."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def csmv(self) -> Path:
        return self.folder / "bin" / "csmv"

    @property
    def site(self) -> Path:
        """Where its own packages are."""
        [site] = self.folder.glob("lib/python*/site-packages")
        return site

    def install(self, *what: str | Path, index: bool = False) -> None:
        """`pip install`, of files; from the package index only where `index` says so."""
        command = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet"]
        command += [
            "--disable-pip-version-check",
            *([] if index else ["--no-deps", "--no-index", "--ignore-installed"]),
        ]
        done = subprocess.run([*command, *map(str, what)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def hide(self, *modules: str) -> None:
        """Make it as if these modules were not installed."""
        (self.site / "hidden.py").write_text(
            "import sys\n\n"
            "class Hidden:\n"
            "    @staticmethod\n"
            "    def find_spec(name, path=None, target=None):\n"
            f"        if name.partition('.')[0] in {set(modules)!r}:\n"
            "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n\n"
            "sys.meta_path.insert(0, Hidden)\n"
        )
        (self.site / "hidden.pth").write_text("import hidden\n")

    def run(self, *command: object, **more: Any) -> "subprocess.CompletedProcess[str]":
        """A command with nothing of this process's settings of Python, Prefect or csmv."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "CSMV", "PYTHON"))}
        kept |= {"CSMV_PROGRESS": "0", "OMP_NUM_THREADS": "1"} | more.pop("environment", {})
        return subprocess.run([str(part) for part in command], env=kept, capture_output=True, text=True, **more)


@pytest.fixture(scope="session")
def new_layer(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Layer]:
    """Makes an environment over this one. What this one has in editable form is not seen there."""

    def make() -> Layer:
        layer = Layer(tmp_path_factory.mktemp("layer"))
        venv.create(layer.folder, symlinks=True)
        (layer.site / "below.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
        return layer

    return make


@pytest.fixture(scope="session")
def built_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `make wheel` builds, from what git knows of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.check_output(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=REPOSITORY, text=True)
    for name in filter(None, listed.split("\0")):
        if (REPOSITORY / name).is_file() and not name.startswith("tests/"):
            (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, folder / "tree" / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--wheel-dir", str(folder), str(folder / "tree")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [wheel] = folder.glob("csmv-*.whl")
    return wheel


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their argument: two processes must agree on each test's name, and archives hold the time of day."""
    return argname if isinstance(val, bytes) else None


_HEAVY = re.compile(
    r"\b(torch|transformers|prefect|chromium|playwright|sandbox|s3|moto|subprocess|films|encoder|csmv|csmv_inside|wheel"
    r"|environment|peak_memory|train|shared)\b(?!\.(?:pipeline|extractors|flows))",
    re.I,
)
"""Words of test modules that start programs, browsers, servers or networks, or read hours of data."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--fast`: only what needs neither a browser, Prefect, PyTorch nor another program."""
    parser.addoption("--fast", action="store_true", help="only modules of tests that start nothing heavy")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Whether to leave a module out: one that names something heavy, if only fast tests are asked for."""
    if not config.getoption("--fast") or not collection_path.name.startswith("test_"):
        return None
    return True if _HEAVY.search(_code_of(collection_path)) else None


def _code_of(module: Path) -> str:
    """A module's imports, and the names of the fixtures and functions in it: no docstrings, no data."""
    words: list[str] = []
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            words += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            words += [node.module or "", *(alias.name for alias in node.names)]
        elif isinstance(node, ast.arg):
            words.append(node.arg)
    return " ".join(words)
