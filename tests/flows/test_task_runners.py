"""Where units run: threads, a Dask cluster and a Ray cluster give the same bytes, and let out as little."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from csmv.flows.stage_limits import STAGES, TaskRunning
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.validated import parse

SECRET = "+1 212 555 0123"

ADDRESSES = {
    "dask": ("tcp://127.0.0.1:8786", "ray://127.0.0.1:10001"),
    "ray": ("ray://127.0.0.1:10001", "tcp://127.0.0.1:8786"),
}

PROBES = '''
"""A flow of three tasks as csmv's stages have them: one fails, another's process dies once, all say what they see."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.orchestration import get_client

from csmv.flows.limits import declare_limits
from csmv.flows.shards import Dataset, limits_of, run_all, stage_task, threads
from csmv.flows.task_runners import units_on
from csmv.pipeline.stage import UnitReport


@stage_task("tables", "probe-{number}")
def probe(dataset: Dataset, number: int) -> UnitReport:
    with get_client(sync_client=True) as client:
        slots = client.read_global_concurrency_limit_by_name("csmv-tables").active_slots
    file = Path(dataset.root, f"probe-{number}")
    first = not file.exists()
    with file.open("a") as lines:
        lines.write(f"{slots}\\n")
    if number == 2 and first:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 1:
        raise ValueError("call me at SECRET")
    return UnitReport()


@flow(name="probe", task_runner=threads("tables"), persist_result=False)
def probes(dataset: Dataset) -> Any:
    with units_on(dataset, limits_of("tables")):
        return run_all("tables", [probe.submit(dataset, number) for number in range(3)], "probes")


if __name__ == "__main__":
    with get_client(sync_client=True) as client:
        declare_limits(client)
    state = probes(Dataset.model_validate_json(sys.argv[1]), return_state=True)
    print(json.dumps({"type": state.type.value, "message": state.message, "run": str(state.state_details.flow_run_id)}))
'''.replace("SECRET", SECRET)


def test_an_address_is_one_of_the_cluster_that_is_asked_for() -> None:
    for kind, (right, wrong) in ADDRESSES.items():
        assert parse(TaskRunning, {"task_runner": kind, "cluster": right}, "x").cluster == right
        with pytest.raises(CsmvError, match=f"for task_runner {kind}"):
            parse(TaskRunning, {"task_runner": kind, "cluster": wrong}, "x")
    with pytest.raises(CsmvError, match="should be left out"):
        parse(TaskRunning, {"cluster": "tcp://127.0.0.1:8786"}, "x")


@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_a_missing_extra_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from csmv.flows.task_runners import units_on

    monkeypatch.setitem(sys.modules, f"prefect_{kind}", None)

    with (
        pytest.raises(CsmvError, match=rf"pip install 'csmv\[{kind}\]'"),
        units_on(TaskRunning.model_validate({"task_runner": kind}), STAGES[0]),
    ):
        pass


# ---------------------------------------------------------------------- clusters


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def cluster_environment(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a cluster's processes, which know no Prefect server, and of their clients."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "probes.py").write_text(PROBES)
    path = os.pathsep.join(filter(None, [str(folder), environment.get("PYTHONPATH", "")]))
    own = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    return environment | own | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a token of sixteen letters or more"}


def started(command: list[str], log: Path, mark: str, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    with log.open("wb") as messages:
        process = subprocess.Popen(command, env=environment, stdout=messages, stderr=messages)
    end = time.monotonic() + 120
    while mark not in log.read_text(errors="replace"):
        assert process.poll() is None and time.monotonic() < end, log.read_text(errors="replace")
        time.sleep(0.2)
    return process


def stop(process: "subprocess.Popen[bytes]") -> None:
    family = [process, *psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(signal.SIGTERM)
    psutil.wait_procs(family[1:], timeout=20)
    for one in family[1:]:
        if one.is_running():
            one.kill()
    process.wait(20)


@pytest.fixture(scope="module")
def dask_address(cluster_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("dask")
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    dask = [sys.executable, "-m", "dask"]
    where = ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    scheduler = started([*dask, "scheduler", *where], folder / "scheduler.log", "Scheduler at", cluster_environment)
    two = ["worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder)]
    workers = started([*dask, *two], folder / "workers.log", "Registered to", cluster_environment)
    yield address
    stop(workers)
    stop(scheduler)
    assert SECRET not in "".join(log.read_text() for log in folder.glob("*.log"))


@pytest.fixture(scope="module")
def ray_address(cluster_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = Path("/tmp") / f"csmv-ray-{os.getpid()}"  # a socket's path has little room
    port = free_port()
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus", "2"]
    command += ["--node-ip-address", "127.0.0.1", "--include-dashboard", "false", "--temp-dir", str(folder)]
    command += ["--port", str(free_port()), "--ray-client-server-port", str(port)]
    command += ["--min-worker-port", "20000", "--max-worker-port", "20999"]
    log = tmp_path_factory.mktemp("ray") / "ray.log"
    head = started(command, log, "Ray runtime started", cluster_environment)
    yield f"ray://127.0.0.1:{port}"
    stop(head)
    logs = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert logs and SECRET.encode() not in b"".join(path.read_bytes() for path in logs)
    shutil.rmtree(folder)


@pytest.fixture(scope="module", params=["dask", "dask, its own", "ray", "ray, its own"])
def where(request: pytest.FixtureRequest) -> dict[str, str]:
    """A cluster that runs already, by its address, or one that the flow starts and stops."""
    kind, _, own = request.param.partition(", ")
    address = {} if own else {"cluster": request.getfixturevalue(f"{kind}_address")}
    return {"task_runner": kind} | address


@pytest.fixture(scope="module")
def with_media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of three shards, each with videos whose features are missing."""
    from csmv.pipeline import Dataset
    from csmv.pipeline.config import DatasetConfig
    from csmv.pipeline.demo.sample import make_sample

    folder = tmp_path_factory.mktemp("clusters")
    source = {"kind": "folder", "path": str(make_sample(folder / "sample", videos=6, comments_each=2).folder)}
    features = [{"extractor": "timm:test_resnet", "weights": "random"}]
    config = {"name": "clusters", "n_shards": 3, "source": source, "features": features}
    dataset = Dataset.create(str(folder / "root"), DatasetConfig.model_validate(config))
    for stage in ("collect", "tables", "media"):
        dataset.run(stage)
    assert len(list((folder / "root" / "private" / "media").iterdir())) == 3
    return folder / "root"


def feature_bytes(root: Path) -> dict[str, bytes]:
    files = [path for part in ("features", "failures") for path in (root / part).rglob("*.parquet")]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def by_threads(with_media: Path, tmp_path_factory: pytest.TempPathFactory, server: Any, csmv: Any) -> dict[str, bytes]:
    root = tmp_path_factory.mktemp("threads") / "root"
    shutil.copytree(with_media, root)
    done = csmv("run", "features", "--root", root, PREFECT_API_URL=server.url, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    written = feature_bytes(root)
    assert len([name for name in written if name.startswith("features/timm-test_resnet/")]) == 3
    return written


@pytest.mark.slow
def test_features_are_the_same_bytes_on_a_cluster(
    where: dict[str, str],
    with_media: Path,
    by_threads: dict[str, bytes],
    cluster_environment: dict[str, str],
    server: Any,
    csmv: Any,
    tmp_path: Path,
) -> None:
    shutil.copytree(with_media, tmp_path / "root")
    options = [option for name, value in where.items() for option in (f"--{name.replace('_', '-')}", value)]

    here = cluster_environment | {"PREFECT_API_URL": server.url}
    variables = {name: value for name, value in here.items() if name.isupper()}
    done = csmv("run", "features", "--root", tmp_path / "root", *options, **variables)

    assert done.returncode == 0, done.stderr
    assert feature_bytes(tmp_path / "root") == by_threads


@pytest.mark.slow
def test_a_task_on_a_cluster_has_slot_and_retries_keeps_its_secret_and_may_die(
    where: dict[str, str], cluster_environment: dict[str, str], server: Any, tmp_path: Path
) -> None:
    dataset = json.dumps({"root": str(tmp_path)} | where)
    here = server.environment | {name: cluster_environment[name] for name in ("PYTHONPATH", "RAY_AUTH_MODE")}
    here |= {"RAY_AUTH_TOKEN": cluster_environment["RAY_AUTH_TOKEN"]}

    done = subprocess.run([sys.executable, "-m", "probes", dataset], env=here, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["type"] == "FAILED"
    assert "1 of 3 probes failed: tables stopped on an unexpected ValueError" in said["message"]
    slots = {path.name: list(map(int, path.read_text().split())) for path in tmp_path.glob("probe-*")}
    # A process that dies takes what it holds of others with it, which is done again.
    assert len(slots["probe-0"]) >= 1 and len(slots["probe-1"]) >= 2 and len(slots["probe-2"]) >= 2
    assert min(min(seen) for seen in slots.values()) >= 1, "the server knows of no slot that is held"
    assert SECRET in (tmp_path / "private" / "logs" / "tables-ValueError.txt").read_text()
    assert SECRET not in done.stdout + done.stderr
    time.sleep(3)  # Prefect's client sends its logs in the background
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in server.home.rglob("*") if path.is_file())
    assert _states(server, said["run"]) == ["COMPLETED", "COMPLETED", "FAILED"]


def _states(server: Any, run: str) -> list[str]:
    """In which states the server has the tasks of a flow run."""
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import FlowRunFilter

    with SyncPrefectClient(server.url) as client:
        runs = client.read_task_runs(flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [run]}}))
    return sorted(one.state.type.value for one in runs if one.state)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_a_cluster_that_does_not_answer_is_named(
    kind: str, with_media: Path, server: Any, csmv: Any, tmp_path: Path
) -> None:
    shutil.copytree(with_media, tmp_path / "root")
    address = f"{ADDRESSES[kind][0].rpartition(':')[0]}:{free_port()}"
    fast = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "2s", "PREFECT_API_URL": server.url}

    done = csmv("run", "features", "--root", tmp_path / "root", "--task-runner", kind, "--cluster", address, **fast)

    assert done.returncode == 1
    assert f"answers at {address}" in done.stderr and "Traceback" not in done.stderr
