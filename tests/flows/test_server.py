"""The Prefect server of a run: a real one, started and stopped, and gone when its starter is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows import server
from pipeline.errors import CsmvError

SCRIPT = """
import sys, time
from pathlib import Path
from flows.server import prefect_api
with prefect_api(Path(sys.argv[1])) as url:
    from prefect import flow, task

    @task
    def double(number):
        return 2 * number

    @flow
    def doubles():
        return sum(future.result() for future in [double.submit(number) for number in range(3)])

    print(url, doubles(), flush=True)
    time.sleep(float(sys.argv[2]))
"""


def start(home: Path, environment: dict[str, str], seconds: float) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", SCRIPT, str(home), str(seconds)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_it_serves_silently_keeps_to_its_home_and_stops(tmp_path: Path, environment: dict[str, str]) -> None:
    home = tmp_path / "user"
    home.mkdir()
    process = start(tmp_path / "prefect", environment | {"HOME": str(home)}, 0)

    stdout, stderr = process.communicate(timeout=120)

    url, answer = stdout.split()
    assert process.returncode == 0
    assert stderr == ""
    assert answer == "6"
    assert (tmp_path / "prefect" / "prefect.db").is_file()
    assert not (home / ".prefect").exists()
    assert not server.is_healthy(url)


def test_it_goes_when_its_starter_is_killed(tmp_path: Path, environment: dict[str, str]) -> None:
    process = start(tmp_path / "prefect", environment, 60)
    assert process.stdout
    url = process.stdout.readline().split()[0]
    children = psutil.Process(process.pid).children()
    assert server.is_healthy(url) and len(children) == 1

    os.kill(process.pid, signal.SIGKILL)
    process.communicate()

    psutil.wait_procs(children, timeout=20)
    assert not children[0].is_running() or children[0].status() == psutil.STATUS_ZOMBIE
    assert not server.is_healthy(url)


def test_one_that_can_not_start_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setitem(server.SERVER_SETTINGS, "PREFECT_LOGGING_SERVER_LEVEL", "NO_SUCH_LEVEL")
    began = time.monotonic()

    with pytest.raises(CsmvError, match=r"stopped while starting.*server\.log"), server.prefect_api(tmp_path):
        pass

    assert time.monotonic() - began < 60
    assert "PREFECT_API_URL" not in os.environ
