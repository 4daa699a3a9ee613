"""A build over several workers of a real Prefect server: divided, resumed, watched, and the same bytes as one process.

A machine here is a worker with all that it started: a kill takes the flow runs along, as a power cut would.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling, Scheduled

from csmv.flows.fan_out import FanOut
from csmv.flows.shards import Dataset
from csmv.pipeline.stage import named
from csmv.pipeline.stages import STAGES
from csmv.pipeline.store import Store
from csmv.pipeline.verify import verify

sys.path.insert(0, str(Path(__file__).parent))

from fleet import KEY, Fleet, describe, published_bytes

Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.timeout(1800)
"""Every run of a flow is a process that loads Prefect first."""


@pytest.fixture
def fleet(server: Any, tmp_path: Path) -> Iterator[Fleet]:
    with SyncPrefectClient(server.url) as client:
        running = Fleet(server.url, server.environment, tmp_path, client)
        try:
            yield running
        finally:
            for machine in running.machines:
                machine.stop()


@pytest.fixture
def deployed(fleet: Fleet, csmv: Run, tiny: Path, tmp_path: Path) -> Path:
    """A root that is not built yet, as what the deployments are about; each test has pools of its own."""
    root = tmp_path / "many"
    found = csmv(
        "deploy", "--root", root, "--config", describe(tmp_path, tiny), "--pool", pool_of(tmp_path), "--json",
        PREFECT_API_URL=fleet.url, **KEY,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)
    return root


def pool_of(folder: Path) -> str:
    return f"pool-{folder.name[:30]}".rstrip("-_").replace("_", "-")


def same_as_one_process(csmv: Run, folder: Path, root: Path) -> None:
    """Whether a root holds what a build in one process makes, to the byte."""
    alone = folder / "one"
    found = csmv("build", folder / "dataset.yaml", "--root", alone, **KEY)
    assert found.returncode == 0, found.stderr
    many = Store.open(str(root))
    assert published_bytes(many) == published_bytes(Store.open(str(alone)))
    assert verify(many).problems == ()


def test_with_one_worker_that_does_one_thing_at_a_time_a_divided_stage_completes(
    fleet: Fleet, deployed: Path, tmp_path: Path
) -> None:
    fleet.start(pool_of(tmp_path), limit=1)
    run_id = fleet.submit("tables/csmv")

    run = fleet.wait(run_id)

    assert run.state is not None and run.state.is_completed(), (run.state, fleet.states())
    assert [part.name for part in fleet.parts(run_id)] == ["tables many 0", "tables many 1"]
    assert Store.open(str(deployed)).read_all("videos").num_rows > 3


@pytest.mark.slow
def test_a_divided_build_makes_the_bytes_of_one_process_and_a_second_one_is_told_who_builds(
    fleet: Fleet, deployed: Path, csmv: Run, tiny: Path, server: Any, tmp_path: Path
) -> None:
    pool = pool_of(tmp_path)
    machines = [fleet.start(pool, limit=1) for _ in range(2)]
    run_id = fleet.submit("build-dataset/csmv")
    first = fleet.until(lambda run: run.state_name == "Waiting", run_id)
    refused = fleet.wait(fleet.submit("build-dataset/csmv"))
    here = csmv("build", tmp_path / "dataset.yaml", "--root", deployed, PREFECT_API_URL=fleet.url, **KEY)

    run = fleet.wait(run_id)

    assert refused.state is not None and refused.state.is_failed() and here.returncode == 1
    for message in (refused.state.message or "", here.stderr):
        assert f"is being built by the run '{first.name}' ({run_id})" in message
    assert run.state is not None and run.state.is_completed(), (run.state, fleet.states())
    names = {part.name for part in fleet.parts(run_id)}
    assert {"collect many all 0 of 1", "features many 0", "features many 1"} <= names
    assert any(name.startswith("train many majority") for name in names)
    assert all(b"submitting flow run" in machine.log.read_bytes() for machine in machines)
    same_as_one_process(csmv, tmp_path, deployed)
    assert_nothing_private(tiny, [server.home, *(machine.log for machine in machines)])
    before = len(fleet.parts(run_id))
    fleet.client.set_flow_run_state(run_id, Scheduled(), force=True)  # as the button "Retry" does
    fleet.until(lambda run: run.state is not None and not run.state.is_final(), run_id)
    again = fleet.wait(run_id)
    assert again.state is not None and again.state.is_completed(), again.state
    assert len(fleet.parts(run_id)) == before


def assert_nothing_private(source: Path, places: list[Path]) -> None:
    """Neither the key nor a comment or its author stands in the server's database or in a worker's log."""
    rows = [json.loads(line) for line in (source / "comments.jsonl").read_text().splitlines() if line.startswith("{")]
    words = {str(row[name]) for row in rows for name in ("text", "author") if len(str(row.get(name) or "")) > 12}
    assert len(words) > 5
    for place in places:
        for path in [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]:
            data = path.read_bytes()
            assert KEY["CSMV_PSEUDONYM_KEY"].encode() not in data, path
            assert not [word for word in words if word.encode() in data], path


@pytest.mark.slow
def test_the_shards_of_a_machine_that_is_gone_are_done_by_another(
    fleet: Fleet, deployed: Path, csmv: Run, tmp_path: Path
) -> None:
    gone = fleet.start(pool_of(tmp_path), limit=1)
    run_id = fleet.submit("tables/csmv")
    fleet.until(lambda _run: any(part.state_name == "Running" for part in fleet.parts(run_id)), run_id)
    [lost] = [part for part in fleet.parts(run_id) if part.state_name == "Running"]
    gone.kill()
    killed = datetime.now(UTC)
    fleet.start(pool_of(tmp_path), limit=1)

    run = fleet.wait(run_id)

    assert run.state is not None and run.state.is_completed(), (run.state, fleet.states())
    states = fleet.client.read_flow_run_states(lost.id)
    print(f"\nkilled at {killed:%X}; " + ", ".join(f"{one.name} at {one.timestamp:%X}" for one in states))
    assert any(one.name == "Again" for one in states)
    assert Store.open(str(deployed)).read_all("videos").num_rows > 3


@pytest.mark.slow
def test_a_run_that_dies_again_and_again_fails_and_names_its_shards_and_machine(
    fleet: Fleet, deployed: Path, tmp_path: Path
) -> None:
    fleet.start(pool_of(tmp_path), limit=1)
    run_id = fleet.submit("tables/csmv", shards=[0, 1], stages_run="here", restarts=1)
    for _ in range(2):
        fleet.until(lambda run: run.state_name == "Running" and len(machines_noted(run)) == run.run_count, run_id)
        kill_processes_of(run_id)
        fleet.until(lambda run: run.state_name != "Running", run_id)

    # Crashed is an end too, for as long as the server takes to schedule it again.
    run = fleet.until(lambda run: run.state is not None and run.state.is_failed(), run_id)

    assert run.state is not None and run.state.is_failed(), fleet.states()
    message = run.state.message or ""
    assert "tables of many, shards 0-1: its process has died 2 times on " in message
    assert socket.gethostname() in message


def machines_noted(run: FlowRun) -> list[str]:
    """The labels that a run writes when it begins, one a time."""
    return [label for label in run.labels if label.startswith("csmv.machine.")]


def kill_processes_of(run_id: UUID) -> None:
    """The processes that do a flow run, by its id in their environment."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(run_id) in process.environ().values():
                process.kill()


@pytest.mark.slow
def test_a_cancelled_build_ends_with_all_its_parts_within_a_minute_also_where_the_machine_is_gone(
    fleet: Fleet, deployed: Path, tmp_path: Path
) -> None:
    gone = fleet.start(pool_of(tmp_path), limit=1)
    run_id = fleet.submit("tables/csmv")
    fleet.until(lambda _run: any(part.state_name == "Running" for part in fleet.parts(run_id)), run_id)
    gone.kill()
    fleet.client.set_flow_run_state(run_id, Cancelling())
    began = time.monotonic()

    def all_ended(run: FlowRun) -> bool:
        return all(one.state is not None and one.state.is_final() for one in (run, *fleet.parts(run_id)))

    run = fleet.until(all_ended, run_id)

    print(f"\nall ended after {time.monotonic() - began:.0f} s")
    assert {one.state_name for one in (run, *fleet.parts(run_id))} == {"Cancelled"}


def test_without_a_worker_the_waiting_run_says_what_to_start(fleet: Fleet, deployed: Path, tmp_path: Path) -> None:
    pool = pool_of(tmp_path)
    run = fleet.run(fleet.submit("tables/csmv"))
    fan_out = FanOut(run, Dataset(root=str(deployed)), fleet.client)
    fan_out._say(named(STAGES, "tables"), [run], 2)
    command = f"`prefect worker start --pool {pool} --limit 1`"
    assert fan_out.waits_for == f"tables: 1 of 2 runs ended; no worker serves the work pool {pool}: {command}"
