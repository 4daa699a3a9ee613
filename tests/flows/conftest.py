"""How these tests run `csmv`: as a person does, in a process of its own, with nothing from this one's environment."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

Start = Callable[..., "subprocess.Popen[str]"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """This process's environment without anything of Prefect's or csmv's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "CSMV"))}
    return kept | {"CSMV_PROGRESS": "0", "OMP_NUM_THREADS": "2", "COLUMNS": "120", "PYTHONPATH": str(REPOSITORY)}


@pytest.fixture(scope="session")
def start_csmv(environment: dict[str, str]) -> Start:
    """Start `csmv` with arguments; keyword arguments in capitals are environment variables, others go to Popen."""

    def start(*arguments: object, **more: Any) -> "subprocess.Popen[str]":
        variables = {name: more.pop(name) for name in list(more) if name.isupper()}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | more
        command = [sys.executable, "-m", "flows.cli", *map(str, arguments)]
        return subprocess.Popen(command, env=environment | variables, **pipes)

    return start


@pytest.fixture(scope="session")
def csmv(start_csmv: Start) -> Run:
    """Run `csmv` to its end."""

    def run(*arguments: object, **more: Any) -> "subprocess.CompletedProcess[str]":
        process = start_csmv(*arguments, **more)
        stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    return run
