"""A build over several workers of a real Prefect server: divided, resumed, watched, and the same bytes as one process.

A machine here is a worker with all that it started: a kill takes the flow runs along, as a power cut would.
"""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling, Scheduled

from csmv.flows.fan_out import FanOut
from csmv.flows.shards import Dataset
from csmv.pipeline.demo.sandbox import Sandbox, SandboxSettings
from csmv.pipeline.sources.browser import find_chromium
from csmv.pipeline.stage import named
from csmv.pipeline.stages import STAGES
from csmv.pipeline.store import Store

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
    checked = csmv("verify", root, **KEY)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_with_one_worker_that_does_one_thing_at_a_time_a_divided_stage_completes(
    fleet: Fleet, deployed: Path, tmp_path: Path
) -> None:
    fleet.start(pool_of(tmp_path), limit=1)
    run_id = fleet.submit("tables/csmv")

    run = fleet.wait(run_id)

    assert run.state is not None and run.state.is_completed(), (run.state, fleet.states())
    assert [part.name for part in fleet.parts(run_id)] == ["tables many 0", "tables many 1"]
    [shown] = fleet.artifacts("tables-many-parts")
    assert f"`{'█' * 20}` 2 of 2 runs ended" in shown
    assert f"| tables many 1 | Completed | {socket.gethostname()} |" in shown
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
    words = set()
    for line in (source / "comments.jsonl").read_text().splitlines():
        with suppress(ValueError):  # the sample has bad lines too
            row = json.loads(line)
            words |= {str(row[name]) for name in ("text", "author") if len(str(row.get(name) or "")) > 12}
    assert len(words) > 5
    assert_without({*words, KEY["CSMV_PSEUDONYM_KEY"]}, places)


def assert_without(words: set[str], places: list[Path]) -> None:
    """None of the words stands in a file, or in a folder's files."""
    for place in places:
        for path in [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]:
            data = path.read_bytes()
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


@pytest.mark.slow
def test_machines_share_a_crawl_with_one_pace_and_no_secret_and_nobody_is_told(
    fleet: Fleet, csmv: Run, server: Any, tmp_path: Path
) -> None:
    if find_chromium() is None:
        pytest.skip("Chromium is not installed: `make setup` or `apt-get install chromium`")
    interval_s, pool = 0.4, pool_of(tmp_path)
    secrets = planted_secrets(tmp_path)
    with Sandbox(SandboxSettings(hashtags=3, videos=4, comments=3, media_s=0.5)) as sandbox:
        manners = {"interval_s": interval_s, "scroll_pause_s": [0, 0.05], "after_wall_s": 0}
        source = {"kind": "web", "hashtags": list(sandbox.world.tags), "manners": manners}
        described = {"name": "crawl", "n_shards": 3, "source": source}
        config = tmp_path / "crawl.yaml"
        config.write_text(yaml.safe_dump(described))
        root, reach = tmp_path / "crawl", {"proxy": sandbox.proxy, "ca_file": str(sandbox.ca_file)}
        deployed = csmv("deploy", "--root", root, "--config", config, "--pool", pool, PREFECT_API_URL=fleet.url, **KEY)
        assert deployed.returncode == 0, deployed.stderr
        with arguments_of_processes() as arguments:
            machines = [fleet.start(pool, limit=1, **secrets) for _ in range(2)]
            fleet.until(lambda _run: fleet.online(pool) == 2, run_id := fleet.submit("collect/csmv", connection=reach))
            collected = fleet.wait(run_id)
            crawl = sandbox.log()
            media_id = fleet.submit("media/csmv", connection=reach)
            fetched = fleet.wait(media_id)
        log = [entry.at for entry in sandbox.log() if entry.kind != "other"]

        alone = csmv(
            *("collect", "--root", tmp_path / "one", "--config", config, "--proxy", sandbox.proxy),
            *("--ca-file", sandbox.ca_file),
            **KEY,
        )
        assert alone.returncode == 0, alone.stderr
        personal = sandbox.world.personal()

    for run in (collected, fetched):
        assert run.state is not None and run.state.is_completed(), (run.state, fleet.states())
    assert all(b"submitting flow run" in machine.log.read_bytes() for machine in machines), "one did it all"
    visits = [entry.target for entry in crawl if entry.kind == "page" and entry.path.startswith("/@")]
    assert len(visits) == len(set(visits)), "a video was visited by two machines"
    for first in range(len(log)):
        for last in range(first + 1, len(log)):
            assert log[last] - log[first] >= (last - first) * interval_s - 0.35, "faster than the pace of one"
    many, one = (Store.open(str(folder)) for folder in (root, tmp_path / "one"))
    assert many.read_all("comments").equals(one.read_all("comments"))
    assert set(many.read_all("videos")["media_status"].to_pylist()) == {"ok"}
    words = {*secrets.values(), KEY["CSMV_PSEUDONYM_KEY"], "planted-session-value", *personal} - {str(tmp_path)}
    words -= {value for name, value in secrets.items() if name == "CSMV_COOKIES"}
    assert len(arguments) > 20
    assert not [word for word in words if any(word in line for line in arguments)]
    assert_without(words, [server.home, *(machine.log for machine in machines)])


def planted_secrets(folder: Path) -> dict[str, str]:
    """Variables of a worker that hold secrets, and a file of cookies that one of them names."""
    cookies = folder / "cookies.txt"
    fields = (".tiktok.com", "TRUE", "/", "TRUE", "2000000000", "sessionid", "planted-session-value")
    cookies.write_text("# Netscape HTTP Cookie File\n" + "\t".join(fields) + "\n")
    cookies.chmod(0o600)
    names = ("CSMV_RESEARCH_KEY", "CSMV_RESEARCH_SECRET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return {"CSMV_COOKIES": str(cookies)} | {name: f"planted-{name.lower().replace('_', '-')}" for name in names}


@contextmanager
def arguments_of_processes() -> Iterator[set[str]]:
    """Every command line that this machine's processes have during the block, as anybody on it can see them."""
    lines: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            for process in psutil.process_iter():
                with suppress(psutil.Error):
                    lines.add(" ".join(process.cmdline()))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield lines
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_the_points_of_a_sweep_are_runs_of_their_own(fleet: Fleet, deployed: Path, csmv: Run, tmp_path: Path) -> None:
    found = csmv("build", tmp_path / "dataset.yaml", "--root", deployed, **KEY)
    assert found.returncode == 0, found.stderr
    fleet.start(pool_of(tmp_path), limit=1)
    sweep = {"name": "priors", "base": {"model": "majority", "split": "comment"}, "seeds": [1, 2, 3]}

    run_id = fleet.submit("sweep/csmv", root=str(deployed), sweep=sweep, stages_run="on-workers", config=None)
    run = fleet.wait(run_id)

    assert run.state is not None and run.state.is_completed(), (run.state, fleet.states())
    assert len(fleet.parts(run_id)) == 3
    store = Store.open(str(deployed))
    assert "sweeps/priors/results.json" in store.files("sweeps/priors")
    assert sum(name.startswith("models/priors-") and name.endswith("run.json") for name in store.files("models")) == 3


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
@pytest.mark.parametrize("left", [0, 1], ids=["no machine is left", "one is left"])
def test_a_cancelled_build_ends_with_all_its_parts_within_a_minute_also_where_the_machine_is_gone(
    fleet: Fleet, deployed: Path, tmp_path: Path, left: int
) -> None:
    gone = fleet.start(pool_of(tmp_path), limit=1)
    run_id = fleet.submit("tables/csmv")
    fleet.until(lambda _run: any(part.state_name == "Running" for part in fleet.parts(run_id)), run_id)
    gone.kill()
    for _ in range(left):
        fleet.start(pool_of(tmp_path), limit=1)
    fleet.client.set_flow_run_state(run_id, Cancelling())
    began = time.monotonic()

    def all_ended(run: FlowRun) -> bool:
        return all(one.state is not None and one.state.is_final() for one in (run, *fleet.parts(run_id)))

    run = fleet.until(all_ended, run_id)

    print(f"\nall ended after {time.monotonic() - began:.0f} s")
    for one in (run, *fleet.parts(run_id)):
        states = fleet.client.read_flow_run_states(one.id)
        print(f"{one.name}: " + ", ".join(f"{state.name} at {state.timestamp:%X}" for state in states))
    assert {one.state_name for one in (run, *fleet.parts(run_id))} == {"Cancelled"}


def test_without_a_worker_the_waiting_run_says_what_to_start(fleet: Fleet, deployed: Path, tmp_path: Path) -> None:
    pool = pool_of(tmp_path)
    run = fleet.run(fleet.submit("tables/csmv"))
    fan_out = FanOut(run, Dataset(root=str(deployed)), fleet.client)
    fan_out._say(named(STAGES, "tables"), [run], 2)
    command = f"`prefect worker start --pool {pool} --limit 1`"
    assert fan_out.waits_for == f"tables: 1 of 2 runs ended; no worker serves the work pool {pool}: {command}"
