"""A real `prefect server` and a real process worker on loopback: what is deployed runs to its end."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

Run = Callable[..., "subprocess.CompletedProcess[str]"]

REPOSITORY = Path(__file__).resolve().parents[2]
STAGES = ("ingest", "media", "features", "splits", "train", "report")
DEPLOYMENTS = {f"{flow}/csmv" for flow in ("build-dataset", *STAGES, "collect", "download", "sweep")}


@pytest.fixture(scope="module")
def deployed(server: Any, csmv: Run, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every flow deployed, with a root to build as what runs are about."""
    folder = tmp_path_factory.mktemp("deployed")
    configuration = folder / "dataset.yaml"
    configuration.write_text(
        yaml.safe_dump(
            {
                "name": "tiny",
                "n_shards": 2,
                "source": {"kind": "folder", "path": str(tiny)},
                "features": [{"extractor": "timm:test_resnet", "weights": "random"}],
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
    server: Any, csmv: Run, deployed: Path
) -> None:
    def limits() -> dict[str, int]:
        listed = json.loads(server.prefect("gcl", "ls", "--output", "json"))
        return {limit["name"]: limit["limit"] for limit in listed}

    assert {"csmv-ingest", "csmv-media", "csmv-features", "csmv-splits", "csmv-train", "csmv-report"} <= set(limits())
    server.prefect("gcl", "update", "csmv-media", "--limit", "3")

    configuration = deployed.parent / "dataset.yaml"
    again = csmv("deploy", "--root", deployed, "--config", configuration, PREFECT_API_URL=server.url)
    assert again.returncode == 0, again.stderr
    assert limits()["csmv-media"] == 3


def test_prefect_yaml_names_the_same_deployments(server: Any, deployed: Path) -> None:
    described = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]

    from flows.build import build_dataset
    from flows.deploy import FLOWS

    entrypoints = {
        Path(entry["entrypoint"].split(":")[0]).stem + "." + entry["entrypoint"].split(":")[1] for entry in described
    }
    assert entrypoints == {f"{flow.fn.__module__.split('.')[-1]}.{flow.fn.__name__}" for flow in FLOWS}
    assert build_dataset in FLOWS


def test_a_deployed_run_completes_on_a_worker(server: Any, deployed: Path) -> None:
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
    assert list((deployed / "features" / "timm-test_resnet").glob("*.parquet"))
    assert not psutil.pid_exists(worker.pid)
