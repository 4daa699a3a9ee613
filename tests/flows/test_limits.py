"""First starts at the same time on a server that knows nothing yet: every one of them succeeds."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

AT_ONCE = 4
ROUNDS = 5

STARTER = """
import sys, traceback
from prefect.client.orchestration import get_client
from csmv.flows.limits import declare_limits, declare_pace, ensure_pool
from csmv.pipeline.sources.collect_settings import Connection, Manners

with get_client(sync_client=True) as client:
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            declare_limits(client)
            declare_pace(Manners(), Connection())
            ensure_pool(client, line.strip())
            print("ok", flush=True)
        except Exception as error:
            print(f"{type(error).__name__}: {error}".replace(chr(10), " "), flush=True)
"""


@pytest.fixture(scope="module")
def starters(server: Any) -> "Iterator[list[subprocess.Popen[str]]]":
    """Processes that have loaded Prefect and declare everything for each line they are given."""
    command = [sys.executable, "-c", STARTER]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    command, env=server.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for _ in range(AT_ONCE)
        ]
        for process in processes:
            assert process.stdout and process.stdout.readline() == "ready\n"
        yield processes
        for process in processes:
            assert process.stdin
            process.stdin.close()


def asked(server: Any, method: str, what: str, **more: Any) -> httpx.Response:
    """A request to the server, again while its database is busy with other processes, as Prefect's own client does."""
    end = time.monotonic() + 60
    while (answer := httpx.request(method, f"{server.url}/v2/concurrency_limits/{what}", **more)).status_code == 503:
        assert time.monotonic() < end, "the server has been busy for a minute"
        time.sleep(0.5)
    return answer.raise_for_status()


def limits(server: Any) -> set[str]:
    return {limit["name"] for limit in asked(server, "POST", "filter", json={"limit": 200}).json()}


def forget_all(server: Any) -> None:
    for name in limits(server):
        asked(server, "DELETE", name)
    assert limits(server) == set()


def test_first_starts_at_the_same_time_all_succeed(server: Any, starters: "list[subprocess.Popen[str]]") -> None:
    for number in range(ROUNDS):
        forget_all(server)

        for process in starters:
            assert process.stdin
            print(f"pool-{number}", file=process.stdin, flush=True)
        answers = [process.stdout.readline().strip() for process in starters if process.stdout]

        assert answers == ["ok"] * AT_ONCE
        assert {"csmv-media", "csmv-features", "csmv-web-pace"} <= limits(server)


def test_two_deployments_at_the_same_time_both_succeed(server: Any, start_csmv: Any, tmp_path: Path) -> None:
    forget_all(server)

    running = [
        start_csmv("deploy", "--pool", "two-at-once", "--root", tmp_path / "root", PREFECT_API_URL=server.url)
        for _ in range(2)
    ]
    ends = [(process.communicate(timeout=300)[1], process.returncode) for process in running]

    assert ends == [("", 0)] * 2
    assert "csmv-features" in limits(server)
