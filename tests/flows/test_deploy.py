"""A real `prefect server` and a real process worker on loopback: what is deployed runs to its end."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State

from csmv.pipeline.demo.sandbox import Sandbox, SandboxSettings
from csmv.pipeline.demo.sandbox.research_sandbox import CLIENT_KEY, CLIENT_SECRET
from csmv.pipeline.sources.browser import find_chromium
from csmv.pipeline.store import Store
from csmv.pipeline.verify import verify

Run = Callable[..., "subprocess.CompletedProcess[str]"]

REPOSITORY = Path(__file__).resolve().parents[2]
STAGES = ("collect", "tables", "media", "features", "splits", "train", "zeroshot", "report", "release")
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
    words = ("deploy", "--root", folder / "root", "--config", configuration, "--one-process", "--json")
    found = csmv(*words, PREFECT_API_URL=server.url)
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
    again = csmv("deploy", "--root", deployed, "--config", configuration, "--one-process", PREFECT_API_URL=server.url)
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
        found = load_flow_from_entrypoint(entry["entrypoint"])
        assert found.name == {"download": "media"}.get(entry["flow_name"], entry["flow_name"])


@dataclass
class Runs:
    """Runs of `build-dataset/csmv` on the worker, started as Prefect's own client starts them."""

    client: SyncPrefectClient
    connection: dict[str, str]

    def build(self, root: Path, source: dict[str, Any], stages_run: str = "here", **more: Any) -> "State[Any]":
        """Build a root from nothing, by a configuration with `more` in it; gives the run's last state."""
        config = {"name": "trial", "n_shards": 2, "source": source} | more
        reach = {"connection": self.connection, "interval_s": 0.05}
        dataset = {"root": str(root), "config": config, "stages_run": stages_run} | reach
        deployment = self.client.read_deployment_by_name("build-dataset/csmv")
        run = self.client.create_flow_run_from_deployment(deployment.id, parameters={"dataset": dataset})
        end = time.monotonic() + 300
        while run.state is None or not run.state.is_final():
            assert time.monotonic() < end, f"the run is still {run.state}"
            time.sleep(0.2)
            run = self.client.read_flow_run(run.id)
        return run.state


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(SandboxSettings(hashtags=1, videos=2, comments=2, media_s=0.5)) as running:
        yield running


@pytest.fixture(scope="module")
def worker(server: Any, deployed: Path) -> Iterator["subprocess.Popen[str]"]:
    """A worker of the pool, with the Research API's keys in its environment, as a person would start it."""
    keys = {"CSMV_RESEARCH_KEY": CLIENT_KEY, "CSMV_RESEARCH_SECRET": CLIENT_SECRET}
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", "csmv", "--type", "process"],
        env=server.environment | keys | {"PREFECT_WORKER_QUERY_SECONDS": "0.5"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield process
    process.terminate()
    process.wait(60)
    assert not psutil.pid_exists(process.pid)


@pytest.fixture(scope="module")
def runs(server: Any, worker: "subprocess.Popen[str]", sandbox: Sandbox) -> Iterator[Runs]:
    with SyncPrefectClient(server.url) as client:
        yield Runs(client, {"proxy": sandbox.proxy, "ca_file": str(sandbox.ca_file)})


FEATURES = [{"extractor": "timm:test_resnet", "weights": "random"}]


def require_built(root: Path, sandbox: Sandbox, comments: int) -> None:
    """Every video of the sandbox with its file and features, so many comments, and a report of it all."""
    store = Store.open(str(root))
    videos = store.read_all("videos")
    assert set(videos["video_id"].to_pylist()) == set(sandbox.world.videos)
    assert set(videos["media_status"].to_pylist()) == {"ok"}
    assert store.read_all("comments").num_rows == comments
    assert store.read_all("features/timm-test_resnet").num_rows == videos.num_rows
    assert (root / "reports" / "index.html").is_file()
    assert verify(store).problems == ()


def test_a_deployed_run_completes_on_a_worker(server: Any, worker: "subprocess.Popen[str]", deployed: Path) -> None:
    told = server.prefect("deployment", "run", "build-dataset/csmv", "--watch", "--watch-interval", "1")

    assert "Completed" in told
    assert (deployed / "reports" / "index.html").is_file()
    assert list((deployed / "features" / "timm-test_resnet").glob("*.parquet"))


@pytest.mark.slow
def test_a_deployed_run_builds_a_web_root(runs: Runs, sandbox: Sandbox, tmp_path: Path) -> None:
    if find_chromium() is None:
        pytest.skip("Chromium is not installed: `make system` or `apt-get install chromium`")
    manners = {"scroll_pause_s": [0, 0.05], "after_wall_s": 0}
    source = {"kind": "web", "hashtags": sandbox.world.tags, "manners": manners}

    state = runs.build(tmp_path / "root", source, features=FEATURES)

    assert state.is_completed(), state.message
    require_built(tmp_path / "root", sandbox, sum(map(len, sandbox.world.truth().collected.values())))


@pytest.mark.slow
def test_a_deployed_run_builds_a_research_root(runs: Runs, sandbox: Sandbox, tmp_path: Path) -> None:
    days = {"start": "2026-08-28", "end": "2026-09-06", "refresh_days": None}
    source = {"kind": "research", "hashtags": sandbox.world.tags} | days

    state = runs.build(tmp_path / "root", source, features=FEATURES)

    assert state.is_completed(), state.message
    require_built(tmp_path / "root", sandbox, sum(map(len, sandbox.world.truth().collected.values())))


@pytest.mark.slow
@pytest.mark.parametrize("stages_run", ["here", "on-workers"])
def test_a_deployed_run_builds_a_published_root(
    runs: Runs, publish: Any, sandbox: Sandbox, tmp_path: Path, stages_run: str
) -> None:
    annotations, links = publish(tmp_path / "published", sandbox.world)
    source = {"kind": "published", "annotations": str(annotations), "links": str(links)}
    train = [{"model": "majority", "split": "published"}]
    config: dict[str, Any] = {"features": FEATURES, "splits": [{"kind": "published"}], "train": train}

    state = runs.build(tmp_path / "root", source, stages_run, **config)

    assert state.is_completed(), state.message
    require_built(tmp_path / "root", sandbox, 3 * len(sandbox.world.videos))
    assert Store.open(str(tmp_path / "root")).read_split("published").num_rows == 3 * len(sandbox.world.videos)


def test_a_deployed_run_without_the_file_of_links_fails_and_names_it(
    runs: Runs, publish: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    annotations, links = publish(tmp_path / "published", sandbox.world)
    links.unlink()
    source = {"kind": "published", "annotations": str(annotations), "links": str(links)}

    state = runs.build(tmp_path / "root", source, features=FEATURES)

    assert state.is_failed()
    assert str(links) in (state.message or "")
    assert not (tmp_path / "root" / "reports").exists()


def test_a_wait_of_an_automation_is_renewed_by_what_begins_it() -> None:
    """The server opens one window a run: an event that only begins one is lost while another's window is open."""
    from prefect.events.schemas.automations import Posture

    from csmv.flows.automations import automations

    waits = [one.trigger for one in automations() if one.trigger.posture == Posture.Proactive]

    assert len(waits) == 4
    assert all(wait.after and wait.after <= wait.expect for wait in waits)
