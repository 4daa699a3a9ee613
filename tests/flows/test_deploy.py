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
STAGES = ("collect", "tables", "media", "features", "splits", "train", "report")
DEPLOYMENTS = {f"{flow}/csmv" for flow in ("build-dataset", *STAGES, "download", "sweep")}


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

    assert {f"csmv-{stage}" for stage in STAGES} <= set(limits())
    server.prefect("gcl", "update", "csmv-media", "--limit", "3")

    configuration = deployed.parent / "dataset.yaml"
    again = csmv("deploy", "--root", deployed, "--config", configuration, PREFECT_API_URL=server.url)
    assert again.returncode == 0, again.stderr
    assert limits()["csmv-media"] == 3


def test_what_is_made_from_the_list_of_stages_is_as_it_should_be() -> None:
    from csmv.flows.generated import generated

    for path, text in generated(REPOSITORY).items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `python -m csmv.flows.generated`"


def test_prefect_finds_every_flow_that_prefect_yaml_names() -> None:
    from prefect.flows import load_flow_from_entrypoint

    described = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]
    assert {f"{entry['flow_name']}/{entry['name']}" for entry in described} == DEPLOYMENTS
    for entry in described:
        found = load_flow_from_entrypoint(f"{REPOSITORY}/{entry['entrypoint']}")
        assert found.name == {"download": "media"}.get(entry["flow_name"], entry["flow_name"])


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
