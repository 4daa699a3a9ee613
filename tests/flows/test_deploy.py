"""A real `prefect server` and a real process worker on loopback: what is deployed runs to its end."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml

from flows.server import is_healthy

Run = Callable[..., "subprocess.CompletedProcess[str]"]

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOYMENTS = {f"{flow}/csmv" for flow in ("build-dataset", "ingest", "media", "features", "splits", "train", "report")}


@dataclass
class Server:
    """A Prefect server with its address and the environment of its clients."""

    url: str
    environment: dict[str, str]

    def prefect(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        found = subprocess.run(command, env=self.environment, cwd=REPOSITORY, capture_output=True, text=True)
        assert found.returncode == 0, found.stdout + found.stderr
        return found.stdout


@pytest.fixture(scope="module")
def server(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("prefect")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    clients = environment | {"PREFECT_HOME": str(home), "DO_NOT_TRACK": "1", "PREFECT_API_URL": url}
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui"],
        env=clients | {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_API_BLOCKS_REGISTER_ON_START": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 180
    while not is_healthy(url):
        assert process.poll() is None and time.monotonic() < end, "the Prefect server did not start"
        time.sleep(0.2)
    yield Server(url, clients)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    assert not is_healthy(url)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source of three good videos and the sample's bad ones."""
    from pipeline.sample import make_sample

    return make_sample(tmp_path_factory.mktemp("tiny"), videos=3, comments_each=6).folder


@pytest.fixture(scope="module")
def deployed(server: Server, csmv: Run, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every flow deployed, with a root to build as what runs are about."""
    folder = tmp_path_factory.mktemp("deployed")
    configuration = folder / "dataset.yaml"
    configuration.write_text(
        yaml.safe_dump(
            {
                "name": "tiny",
                "n_shards": 2,
                "source": {"kind": "folder", "path": str(tiny)},
                "features": [{"extractor": "r2plus1d_18", "weights": "random", "max_clips": 1}],
                "splits": [{"kind": "comment"}],
                "train": [{"model": "majority", "split": "comment"}],
            }
        )
    )
    found = csmv("deploy", "--root", folder / "root", "--config", configuration, "--json", PREFECT_API_URL=server.url)
    assert found.returncode == 0, found.stderr
    assert {row["deployment"] for row in json.loads(found.stdout)} == DEPLOYMENTS
    return folder / "root"


def test_limits_of_every_stage_are_declared_and_stay_as_somebody_set_them(
    server: Server, csmv: Run, deployed: Path
) -> None:
    def limits() -> dict[str, int]:
        listed = json.loads(server.prefect("gcl", "ls", "--output", "json"))
        return {limit["name"]: limit["limit"] for limit in listed}

    assert {"csmv-ingest", "csmv-media", "csmv-features", "csmv-splits", "csmv-train", "csmv-report"} <= set(limits())
    server.prefect("gcl", "update", "csmv-media", "--limit", "3")

    assert csmv("deploy", "--root", deployed, PREFECT_API_URL=server.url).returncode == 0
    assert limits()["csmv-media"] == 3


def test_prefect_yaml_names_the_same_deployments(server: Server, deployed: Path) -> None:
    described = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]

    from flows.build import build_dataset
    from flows.deploy import FLOWS

    entrypoints = {
        Path(entry["entrypoint"].split(":")[0]).stem + "." + entry["entrypoint"].split(":")[1] for entry in described
    }
    assert entrypoints == {f"{flow.fn.__module__.split('.')[-1]}.{flow.fn.__name__}" for flow in FLOWS}
    assert build_dataset in FLOWS


def test_a_deployed_run_completes_on_a_worker(server: Server, deployed: Path) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", "csmv", "--type", "process"],
        env=server.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        told = server.prefect("deployment", "run", "build-dataset/csmv", "--watch")
    finally:
        worker.terminate()
        output, _ = worker.communicate(timeout=60)

    assert "Completed" in told, told + output
    assert (deployed / "reports" / "index.html").is_file()
    assert list((deployed / "features" / "r2plus1d_18").glob("*.parquet"))
    assert not psutil.pid_exists(worker.pid)
