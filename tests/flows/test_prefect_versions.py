"""The oldest and the newest Prefect that csmv takes, each with the fastapi that pip chooses for it, and one with the
other. Both come from the package index, into environments over this one."""

import re
import signal
import socket
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from csmv.flows.server import is_healthy

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def required() -> str:
    """What csmv asks of Prefect, as pip reads it."""
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [line] = [line for line in extras["flows"] if line.startswith("prefect")]
    return str(line)


@pytest.fixture(scope="module")
def layers(new_layer: Callable[[], Any], built_wheel: Path) -> dict[str, Any]:
    """An environment with the oldest Prefect, and one with the newest."""
    oldest = re.search(r">=([\d.]+)", required())
    assert oldest
    made: dict[str, Any] = {}
    for age, asked in (("oldest", f"prefect=={oldest[1]}"), ("newest", required())):
        layer = new_layer()
        layer.install("--upgrade", "--upgrade-strategy", "eager", asked, "fastapi", index=True)
        layer.install(built_wheel)
        made[age] = layer
        print(age, layer.run(layer.python, "-m", "prefect", "version").stdout.split("\n")[0])
    return made


@pytest.fixture
def described(tiny: Path, tmp_path: Path) -> Path:
    path = tmp_path / "dataset.yaml"
    source = {"kind": "folder", "path": str(tiny)}
    path.write_text(yaml.safe_dump({"name": "few", "n_shards": 2, "source": source, "splits": [{"kind": "comment"}]}))
    return path


@contextmanager
def serving(layer: Any, home: Path) -> Iterator[str]:
    """A server of that environment's Prefect; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    command = [layer.python, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui", "--analytics-off"]
    settings = {"PREFECT_HOME": str(home), "PREFECT_API_BLOCKS_REGISTER_ON_START": "false", "DO_NOT_TRACK": "1"}
    process = subprocess.Popen(command, env={"PATH": "/usr/bin:/bin"} | settings, stdout=-3, stderr=-3)
    end = time.monotonic() + 180
    while not is_healthy(url):
        assert process.poll() is None and time.monotonic() < end, "the Prefect server did not start"
        time.sleep(0.2)
    try:
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@pytest.mark.parametrize("age", ["oldest", "newest"])
def test_each_builds_by_itself(layers: dict[str, Any], described: Path, tmp_path: Path, age: str) -> None:
    layer = layers[age]
    built = layer.run(layer.csmv, "build", described, "--root", tmp_path / "root", cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    assert built.stderr == "", "starting and stopping its server is silent"
    assert (tmp_path / "root" / "reports" / "index.html").is_file()


@pytest.mark.parametrize(("client", "server"), [("oldest", "newest"), ("newest", "oldest")])
def test_one_works_with_a_server_of_the_other(
    layers: dict[str, Any], described: Path, tmp_path: Path, client: str, server: str
) -> None:
    layer = layers[client]
    with serving(layers[server], tmp_path / "home") as url:
        command = (layer.csmv, "build", described, "--root", tmp_path / "root")
        built = layer.run(*command, cwd=tmp_path, environment={"PREFECT_API_URL": url})
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "root" / "reports" / "index.html").is_file()


@pytest.mark.parametrize(("client", "server"), [("oldest", "newest"), ("newest", "oldest")])
def test_a_build_on_workers_of_one_passes_with_a_server_of_the_other(
    layers: dict[str, Any], described: Path, tmp_path: Path, client: str, server: str
) -> None:
    layer = layers[client]
    with serving(layers[server], tmp_path / "home") as url:
        variables = {"PREFECT_API_URL": url, "PREFECT_HOME": str(tmp_path / "client"), "DO_NOT_TRACK": "1"}
        words = ("deploy", "--root", tmp_path / "root", "--config", described, "--pool", "mixed")
        deployed = layer.run(layer.csmv, *words, cwd=tmp_path, environment=variables)
        assert deployed.returncode == 0, deployed.stderr
        command = [layer.python, "-m", "prefect", "worker", "start", "--pool", "mixed", "--type", "process"]
        kept = {"PATH": "/usr/bin:/bin", "CSMV_PROGRESS": "0", "OMP_NUM_THREADS": "1"} | variables
        worker = subprocess.Popen([*command, "--limit", "1"], env=kept, stdout=-3, stderr=-3)
        try:
            run = ("deployment", "run", "build-dataset/csmv", "--watch")
            done = layer.run(layer.python, "-m", "prefect", *run, cwd=tmp_path, environment=variables, timeout=900)
        finally:
            worker.terminate()
            worker.wait(60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "root" / "reports" / "index.html").is_file()
