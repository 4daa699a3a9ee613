"""How these tests run `csmv`: as a person does, in a process of its own, with nothing from this one's environment."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(**more: str) -> dict[str, str]:
    """This process's environment without anything of Prefect's or csmv's, and `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "CSMV"))}
    return kept | {"CSMV_PROGRESS": "0", "OMP_NUM_THREADS": "2", "COLUMNS": "120"} | more


def csmv_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "flows.cli", *arguments]


@pytest.fixture(scope="session")
def csmv() -> Run:
    """Run `csmv` with arguments and wait for it; keyword arguments are environment variables."""

    def run(*arguments: str, cwd: Path = REPOSITORY, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            csmv_command(*map(str, arguments)), cwd=cwd, env=environment(**more), capture_output=True, text=True
        )

    return run
