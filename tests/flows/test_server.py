"""The Prefect server of a run: a real one, started and stopped, and gone when its starter is killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from csmv.flows import server
from csmv.pipeline.errors import CsmvError

SCRIPT = """
import sys, time
from pathlib import Path
from csmv.flows.server import prefect_api
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

    stdout, stderr = process.communicate(timeout=240)

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


HTML = """
import http.server
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>true</html>")
    def log_message(self, *arguments):
        pass
site = http.server.HTTPServer(("127.0.0.1", 0), Page)
print(site.server_port, flush=True)
site.serve_forever()
"""


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:9/api", "nothing answers there (connection refused)"),
        ("http://me:geheim@127.0.0.1:9/api", "nothing answers there"),
        ("http://nosuch.invalid/api", "nothing answers there"),
        ("http://127.0.0.1:{html}/api", "what answers there is no Prefect API"),
        ("http://127.0.0.1:{silent}/api", "nothing answers there within 5 s"),
        ("http://[::1/api", "no Prefect API"),
        ("http://host:port/api", "no Prefect API"),
        ("garbage", "that is no address of a server"),
        ("file:///etc/passwd", "that is no address of a server"),
    ],
)
def test_an_address_that_is_no_prefect_api_is_said_at_once(
    url: str, expected: str, tmp_path: Path, csmv_inside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = subprocess.Popen([sys.executable, "-c", HTML], stdout=subprocess.PIPE, text=True)
    (tmp_path / "dataset.yaml").write_text("name: x\nsource: {kind: folder, path: x}\n")
    with site, socket.create_server(("127.0.0.1", 0)) as silent:
        assert site.stdout
        places = {"{html}": site.stdout.readline().strip(), "{silent}": str(silent.getsockname()[1])}
        for name, port in places.items():
            url = url.replace(name, port)
        monkeypatch.setenv("PREFECT_API_URL", url)
        began = time.monotonic()

        found = csmv_inside("build", tmp_path / "dataset.yaml", "--root", tmp_path / "root")

        site.kill()
    assert found.returncode == 1
    assert found.stderr.startswith("csmv: PREFECT_API_URL is ") and found.stderr.count("\n") == 1
    assert expected in found.stderr and "geheim" not in found.stderr
    assert time.monotonic() - began < 20
    assert not (tmp_path / "root").exists(), "checked before anything else"


def test_a_second_run_on_the_same_root_says_who_is_there(
    tmp_path: Path, environment: dict[str, str], start_csmv: Any
) -> None:
    home = tmp_path / "root" / "private" / "prefect"
    first = start(home, environment, 120)
    assert first.stdout and first.stdout.readline()
    (tmp_path / "dataset.yaml").write_text("name: x\nsource: {kind: folder, path: x}\n")

    second = start_csmv("build", tmp_path / "dataset.yaml", "--root", tmp_path / "root")
    _, said = second.communicate(timeout=60)

    assert second.returncode == 1
    assert said.startswith(f"csmv: '{tmp_path}/root' is being worked on by process {first.pid} on ")
    assert said.count("\n") == 1

    first.kill()
    first.communicate()
    third = start(home, environment, 0)
    stdout, stderr = third.communicate(timeout=240)
    assert third.returncode == 0 and stdout.split()[1] == "6", stderr


def test_a_server_that_dies_in_the_middle_ends_csmv_within_seconds(
    tmp_path: Path, tiny: Path, environment: dict[str, str], start_csmv: Any
) -> None:
    (tmp_path / "dataset.yaml").write_text(
        f"name: x\nn_shards: 2\nsource: {{kind: folder, path: {tiny}}}\n"
        "features: [{extractor: 'timm:test_resnet', weights: random}]\n"
    )
    running = start_csmv("build", tmp_path / "dataset.yaml", "--root", tmp_path / "root")
    while not list((tmp_path / "root").glob("videos/*.parquet")):
        assert running.poll() is None, running.communicate()
        time.sleep(0.1)
    processes = psutil.Process(running.pid).children(recursive=True)
    servers = [process for process in processes if "csmv.flows.server" in process.cmdline()]
    assert len(servers) == 1

    servers[0].kill()
    began = time.monotonic()
    _, said = running.communicate(timeout=60)

    assert time.monotonic() - began < 10
    assert running.returncode == 1
    assert said.startswith("csmv: The Prefect server of this run stopped in the middle of it")
    assert f"{tmp_path}/root/private/prefect/server.log" in said
    assert said.count("\n") == 1
    assert not psutil.wait_procs(processes, timeout=10)[1]


DIES = """
import sys, time
from pathlib import Path
import psutil
from csmv.flows.server import ServerDied, prefect_api
try:
    with prefect_api(Path(sys.argv[1])):
        from prefect import flow

        @flow
        def waits():
            psutil.Process().children()[0].kill()
            time.sleep(100)

        waits()
except ServerDied as error:
    print("told:", error, error.__context__ is None or error.__suppress_context__)
"""


def test_a_server_that_dies_under_a_program_of_somebody_else_is_an_exception(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    began = time.monotonic()
    command = [sys.executable, "-c", DIES, str(tmp_path / "prefect")]

    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)

    assert "told: The Prefect server of this run stopped in the middle of it" in found.stdout, found.stderr
    assert found.stdout.strip().endswith("True")
    assert time.monotonic() - began < 100


def test_one_that_can_not_start_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setitem(server.SERVER_SETTINGS, "PREFECT_LOGGING_SERVER_LEVEL", "NO_SUCH_LEVEL")
    began = time.monotonic()

    with pytest.raises(CsmvError, match=r"stopped while starting.*server\.log"), server.prefect_api(tmp_path):
        pass

    assert time.monotonic() - began < 60
    assert "PREFECT_API_URL" not in os.environ
