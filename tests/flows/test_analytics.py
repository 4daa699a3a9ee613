"""Nothing is sent to Prefect's makers: not by the servers that are started here, nor by the flows.

Prefect's libraries send through the proxy that the environment names; here that is a listener on loopback, which writes
down who was asked for. Each test has a twin that shows that the listener would notice.
"""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from csmv.flows.server import is_healthy

REPOSITORY = Path(__file__).resolve().parents[2]
MAKERS = "sens-o-matic.prefect.io:443"
LOOK_FOR_S = 8
"""How long nothing may come after a server answers; it would report at once when it starts."""
WAIT_FOR_S = 120
"""How long what has to come may take, on a busy machine."""

EMBEDDED = """
import sys
from pathlib import Path
from csmv.flows import server
if sys.argv[2] == "on":
    server.SERVER_SETTINGS["PREFECT_SERVER_ANALYTICS_ENABLED"] = "true"
with server.prefect_api(Path(sys.argv[1])):
    print("up", flush=True)
    sys.stdin.read()
"""

CLIENT = """
import sys
from pathlib import Path
from csmv.flows.server import prefect_api
with prefect_api(Path(sys.argv[1])):
    from prefect._internal.analytics import is_telemetry_enabled
    print(is_telemetry_enabled())
"""


@dataclass
class Proxy:
    """Listens where a proxy would, and notes the hosts that it is asked to connect to."""

    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    asked: list[str] = field(default_factory=list)

    def listen(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                line = connection.recv(4096).decode("latin-1").splitlines()[0]
                self.asked.append(line.split()[1])
                connection.sendall(b"HTTP/1.1 503 Not here\r\nContent-Length: 0\r\n\r\n")

    def watch(self, analytics: str) -> None:
        """Wait until somebody was asked for, if somebody should be; else for as long as it would have taken."""
        end = time.monotonic() + (WAIT_FOR_S if analytics == "on" else LOOK_FOR_S)
        while time.monotonic() < end and not (analytics == "on" and self.asked):
            time.sleep(0.1)
        assert set(self.asked) == (set() if analytics == "off" else {MAKERS})

    def environment(self) -> dict[str, str]:
        address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        return {"HTTPS_PROXY": address, "HTTP_PROXY": address, "NO_PROXY": "127.0.0.1,localhost"}


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    proxy = Proxy()
    thread = threading.Thread(target=proxy.listen, daemon=True)
    thread.start()
    yield proxy
    proxy.listener.shutdown(socket.SHUT_RDWR)
    proxy.listener.close()
    thread.join(10)


def compose_command(port: int) -> list[str]:
    """The server's command in docker/compose.yaml, on a port of loopback."""
    command = yaml.safe_load((REPOSITORY / "docker" / "compose.yaml").read_text())["services"]["prefect"]["command"]
    assert command[:3] == ["prefect", "server", "start"]
    options = ["127.0.0.1" if word == "0.0.0.0" else word for word in command[3:]]
    return [sys.executable, "-m", "prefect", "server", "start", *options, "--port", str(port), "--no-ui"]


@contextmanager
def running_server(command: list[str], port: int, environment: dict[str, str], home: Path) -> Iterator[None]:
    settings = {"PREFECT_HOME": str(home), "PREFECT_API_BLOCKS_REGISTER_ON_START": "false"}
    # The image sets these; the command has to hold by itself.
    settings |= {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    process = subprocess.Popen(
        command, env=environment | settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 180
        while not is_healthy(f"http://127.0.0.1:{port}/api"):
            assert process.poll() is None and time.monotonic() < end, "the Prefect server did not start"
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("analytics", ["off", "on"])
def test_a_server_of_our_own_reports_to_nobody(
    analytics: str, proxy: Proxy, tmp_path: Path, environment: dict[str, str]
) -> None:
    command = [sys.executable, "-c", EMBEDDED, str(tmp_path / "prefect"), analytics]
    process = subprocess.Popen(
        command, env=environment | proxy.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        proxy.watch(analytics)
    finally:
        process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize("analytics", ["off", "on"])
def test_the_compose_file_starts_a_server_that_reports_to_nobody(
    analytics: str, proxy: Proxy, tmp_path: Path, environment: dict[str, str]
) -> None:
    port = free_port()
    command = compose_command(port)
    if analytics == "on":
        command[command.index("--analytics-off")] = "--analytics-on"

    with running_server(command, port, environment | proxy.environment(), tmp_path):
        proxy.watch(analytics)


def test_flows_on_a_server_of_somebody_else_report_to_nobody(
    server: Any, tmp_path: Path, environment: dict[str, str]
) -> None:
    from prefect._internal.analytics.ci_detection import CI_ENV_VARS

    silent_anyway = {"DO_NOT_TRACK", *CI_ENV_VARS}
    bare = {name: value for name, value in environment.items() if name not in silent_anyway}
    command = [sys.executable, "-c", CLIENT, str(tmp_path)]

    told = subprocess.check_output(command, env=bare | {"PREFECT_API_URL": server.url}, text=True)

    assert told.split() == ["False"]
