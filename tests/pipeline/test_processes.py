"""Processes for plain Python: order, failures, and that they are gone with their parent however it ends."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.processes import JOBS_VARIABLE, Processes, default_jobs

# As a person's own script may be: without `if __name__ == "__main__"`.
SCRIPT = """
import time
from csmv.pipeline.processes import Processes
with Processes(2, time.sleep, 0) as processes:
    for _ in processes.map(time.sleep, [0.1, 0.1]):
        pass
    print("READY", flush=True)
    for _ in processes.map(time.sleep, [60] * 4):
        pass
"""


def test_results_come_in_order_and_an_error_after_what_was_before_it() -> None:
    results = []
    with Processes(2, time.sleep, 0) as processes:
        assert list(processes.map(math.sqrt, [9, 4, 1])) == [(9, 3.0), (4, 2.0), (1, 1.0)]
        with pytest.raises(ValueError, match="math domain error"):
            list(processes.map(math.sqrt, [4, -1, 9]))

        def items() -> Iterator[float]:
            yield from (4, 9)
            raise CsmvError("line 3 is no number")

        with pytest.raises(CsmvError, match="line 3"):
            for item, root in processes.map(math.sqrt, items()):
                results.append((item, root))
        assert results == [(4, 2.0), (9, 3.0)]
        with pytest.raises(CsmvError, match="was killed") as raised:
            list(processes.map(os._exit, [9]))
    assert raised.value.__suppress_context__


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_processes_are_gone_with_their_parent(number: signal.Signals, tmp_path: Path) -> None:
    with (tmp_path / "err").open("wb") as errors:
        parent = subprocess.Popen(
            [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )
        assert parent.stdout is not None
        with parent.stdout:
            assert parent.stdout.readline() == b"READY\n"
            children = psutil.Process(parent.pid).children(recursive=True)
            assert len(children) >= 2
            if number == signal.SIGINT:  # as Ctrl-C: to every process of the terminal
                os.killpg(parent.pid, number)
            else:
                parent.kill()
            parent.wait(30)
    _, alive = psutil.wait_procs(children, timeout=15)
    assert not alive
    told = (tmp_path / "err").read_text()
    assert told.count("Traceback") == (number == signal.SIGINT), told  # the script's own


def test_how_many_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(JOBS_VARIABLE, raising=False)
    assert default_jobs() >= 1
    monkeypatch.setenv(JOBS_VARIABLE, "3")
    assert default_jobs() == 3
    monkeypatch.setenv(JOBS_VARIABLE, "all")
    with pytest.raises(CsmvError, match="CSMV_JOBS should be a whole number"):
        default_jobs()
