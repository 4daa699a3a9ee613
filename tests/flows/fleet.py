"""Machines of a Prefect server, for tests and benchmarks: workers that can be killed with all that they started."""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import FlowRun, WorkerStatus

from csmv.flows.parents import children
from csmv.pipeline.failures import failures_of
from csmv.pipeline.store import Store

KEY = {"CSMV_PSEUDONYM_KEY": "6b" * 32}
"""Of roots whose bytes are compared."""


@dataclass
class Machine:
    """A worker and what it started."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def kill(self) -> None:
        """Everything at once, and without a word."""
        with suppress(psutil.NoSuchProcess):
            worker = psutil.Process(self.process.pid)
            worker.suspend()  # so that it starts nothing meanwhile
            for process in (*worker.children(recursive=True), worker):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        self.process.wait(30)

    def stop(self) -> None:
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        self.kill()


@dataclass
class Fleet:
    """Machines of one server, and the runs that they do."""

    url: str
    environment: dict[str, str]
    folder: Path
    client: SyncPrefectClient
    machines: list[Machine] = field(default_factory=list)

    def start(self, pool: str, limit: int | None = 1, **more: str) -> Machine:
        """One more machine for a pool."""
        log = self.folder / f"worker-{len(self.machines)}.log"
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"]
        command += [] if limit is None else ["--limit", str(limit)]
        variables = self.environment | KEY | {"PREFECT_WORKER_QUERY_SECONDS": "2"} | more
        with log.open("wb") as messages:
            process = subprocess.Popen(command, env=variables, stdout=messages, stderr=messages)
        machine = Machine(process, log)
        self.machines.append(machine)
        return machine

    def submit(self, deployment: str, **dataset: Any) -> UUID:
        """Start a run as `prefect deployment run` does, on a root that need not be there yet; gives its id."""
        found = self.client.read_deployment_by_name(deployment)
        described = self.client.read_deployment_by_name("build-dataset/csmv").parameters["dataset"].get("config")
        parameters = {"dataset": found.parameters.get("dataset", {}) | {"config": described} | dataset}
        return self.client.create_flow_run_from_deployment(found.id, parameters=parameters).id

    def run(self, run_id: UUID) -> FlowRun:
        return self.client.read_flow_run(run_id)

    def wait(self, run_id: UUID, timeout_s: float = 1500) -> FlowRun:
        """A run at its end."""
        return self.until(lambda run: run.state is not None and run.state.is_final(), run_id, timeout_s)

    def until(self, condition: Callable[[FlowRun], bool], run_id: UUID, timeout_s: float = 600) -> FlowRun:
        """A run once a condition holds."""
        end = time.monotonic() + timeout_s
        while not condition(run := self.run(run_id)):
            assert time.monotonic() < end, f"{run.name} is still {run.state}: {self.states()}"
            time.sleep(0.5)
        return run

    def states(self) -> list[str]:
        return [f"{run.name}: {run.state!r}" for run in self.client.read_flow_runs(limit=50)]

    def online(self, pool: str) -> int:
        """How many workers of a pool the server counts as there."""
        return sum(worker.status == WorkerStatus.ONLINE for worker in self.client.read_workers_for_work_pool(pool))

    def artifacts(self, key: str) -> list[str]:
        """The texts of the artifacts of a key."""
        sought = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
        return [str(one.data) for one in self.client.read_artifacts(artifact_filter=sought)]

    def parts(self, run_id: UUID) -> list[FlowRun]:
        return children(self.client, run_id)


def describe(folder: Path, source: Path, n_shards: int = 2, **more: Any) -> Path:
    """A configuration of everything but training on vectors."""
    described = {"name": "trial", "n_shards": n_shards, "source": {"kind": "folder", "path": str(source)}}
    described |= {"features": [{"extractor": "timm:test_resnet", "weights": "random"}]}
    described |= {"splits": [{"kind": "comment"}], "train": [{"model": "majority", "split": "comment"}]}
    (folder / "dataset.yaml").write_text(yaml.safe_dump(described | more))
    return folder / "dataset.yaml"


def published_bytes(store: Store) -> dict[str, bytes]:
    """Every table of a root; of failures, which say when something failed, all but that."""
    names = [name for name in store.files() if name.endswith(".parquet") and not name.startswith("private/")]
    tables = {name: store.read_file(name) for name in names if not name.startswith("failures/")}
    for table, rows in failures_of(store).items():
        failed = rows.select(["key", "reason", "detail"]).sort_by([("key", "ascending"), ("reason", "ascending")])
        tables[f"failures/{table}"] = repr(failed.to_pylist()).encode()
    return tables
