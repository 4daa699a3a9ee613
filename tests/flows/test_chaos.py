"""A build that nothing goes well for: machines killed at random, a storage that fails, and the server's database lost.

The server keeps its database in PostgreSQL, the root is on an S3 API of which five in a hundred requests fail, and the
workers are killed with all that they started, one after the other, until the build is done.
"""

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient

from csmv.flows.server import is_healthy
from csmv.pipeline.lease import FRESH_S
from csmv.pipeline.store import Store
from csmv.pipeline.verify import verify

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline"))

from counted_s3 import CountedS3
from fleet import KEY, Fleet, describe, published_bytes

Run = Callable[..., "subprocess.CompletedProcess[str]"]

SEED = 1
KILL_EVERY_S = (12.0, 30.0)
"""A flow run takes some ten seconds to begin."""

pytestmark = pytest.mark.timeout(2400)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def binaries() -> Path | None:
    """Where the programs of PostgreSQL's server are."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders and shutil.which("initdb", path=str(folders[-1])) else None


@pytest.fixture
def database() -> Iterator[str]:
    """The address of a PostgreSQL server's database."""
    bin_folder = binaries()
    if bin_folder is None:
        pytest.skip("PostgreSQL's server is not installed: `apt-get install postgresql`")
    folder, port = Path(tempfile.mkdtemp(prefix="csmv-pg-")), free_port()
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    if os.getuid() == 0:  # it refuses to be root
        shutil.chown(folder, user)

    def call(*words: str) -> None:
        as_user: dict[str, Any] = {"user": user} if os.getuid() == 0 else {}
        subprocess.run(words, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=120, **as_user)

    call(str(bin_folder / "initdb"), "--pgdata", str(folder / "data"), "--username", "csmv", "--auth", "trust")
    control = [str(bin_folder / "pg_ctl"), "--pgdata", str(folder / "data")]
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    call(*control, "--log", str(folder / "log"), "--wait", "--options", options, "start")
    yield f"postgresql+asyncpg://csmv@127.0.0.1:{port}/postgres"
    call(*control, "--mode", "immediate", "stop")
    shutil.rmtree(folder)


@contextmanager
def prefect_server(environment: dict[str, str], home: Path, database: str, port: int) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}/api"
    variables = {"PREFECT_HOME": str(home), "PREFECT_API_DATABASE_CONNECTION_URL": database, "DO_NOT_TRACK": "1"}
    variables |= {"PREFECT_API_BLOCKS_REGISTER_ON_START": "false", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui", "--analytics-off"]
    process = subprocess.Popen(
        command, env=environment | variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 180
        while not is_healthy(url):
            assert process.poll() is None and time.monotonic() < end, "the Prefect server did not start"
            time.sleep(0.2)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@pytest.fixture
def storage() -> Iterator[CountedS3]:
    """An S3 API of which one request in twenty fails."""
    boto3 = pytest.importorskip("boto3")
    server = CountedS3()
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=server.url, **keys).create_bucket(Bucket="csmv")
    server.fails = 0.05
    yield server
    server.stop()


class Killer:
    """Kills one machine after the other, each replaced by a new one, until it is told to stop."""

    def __init__(self, fleet: Fleet, pool: str, storage: CountedS3) -> None:
        self.kills = 0
        self._fleet, self._pool, self._storage = fleet, pool, storage
        self._over = threading.Event()
        self._random = random.Random(SEED)
        self._alive = [self._start() for _ in range(3)]
        self._thread = threading.Thread(target=self._kill)

    def _start(self) -> Any:
        return self._fleet.start(self._pool, limit=1, **self._storage.environment)

    def __enter__(self) -> "Killer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _kill(self) -> None:
        while not self._over.wait(self._random.uniform(*KILL_EVERY_S)):
            self._alive.pop(self._random.randrange(len(self._alive))).kill()
            self.kills += 1
            self._alive.append(self._start())


@pytest.mark.slow
@pytest.mark.long
def test_machines_die_and_storage_fails_and_the_tables_are_those_of_one_process(
    environment: dict[str, str],
    csmv: Run,
    tiny: Path,
    tmp_path: Path,
    database: str,
    storage: CountedS3,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (storage.environment | KEY).items():
        monkeypatch.setenv(name, value)
    config = describe(tmp_path, tiny, n_shards=4)
    alone = csmv("build", config, "--root", tmp_path / "alone", **KEY)
    assert alone.returncode == 0, alone.stderr
    with prefect_server(environment, tmp_path / "server", database, free_port()) as url:
        clients = environment | storage.environment | {"PREFECT_API_URL": url, "DO_NOT_TRACK": "1"}
        clients |= {"PREFECT_HOME": str(tmp_path / "client")}
        words = ("deploy", "--root", "s3://csmv/chaos", "--config", config, "--pool", "chaos")
        deployed = csmv(*words, PREFECT_API_URL=url, **storage.environment, **KEY)
        assert deployed.returncode == 0, deployed.stderr
        with SyncPrefectClient(url) as client:
            fleet = Fleet(url, clients, tmp_path, client)
            try:
                with Killer(fleet, "chaos", storage) as killer:
                    run = fleet.wait(fleet.submit("build-dataset/csmv", restarts=1000), timeout_s=1800)
            finally:
                for machine in fleet.machines:
                    machine.stop()
            states = [one.state for one in client.read_flow_runs(limit=200)]
    storage.fails = 0.0

    print(
        f"\n{killer.kills} machines were killed, {storage.failed} of {sum(storage.requests.values())} requests failed"
    )
    assert run.state is not None and run.state.is_completed(), run.state
    assert all(state is not None and state.is_final() for state in states)
    many, one = Store("s3://csmv/chaos"), Store(str(tmp_path / "alone"))
    assert published_bytes(many) == published_bytes(one)
    assert verify(many).problems == ()


@pytest.mark.slow
def test_with_the_database_of_the_server_lost_a_new_one_goes_on_where_the_root_is(
    environment: dict[str, str], csmv: Run, tiny: Path, tmp_path: Path
) -> None:
    config = describe(tmp_path, tiny)
    alone = csmv("build", config, "--root", tmp_path / "alone", **KEY)
    assert alone.returncode == 0, alone.stderr
    videos = tmp_path / "many" / "videos"
    for number in (1, 2):
        home = tmp_path / f"server-{number}"
        database = f"sqlite+aiosqlite:///{tmp_path}/server-{number}.db"
        with prefect_server(environment, home, database, free_port()) as url:
            clients = environment | {"PREFECT_API_URL": url, "DO_NOT_TRACK": "1", "PREFECT_HOME": str(tmp_path / "c")}
            words = ("deploy", "--root", tmp_path / "many", "--config", config, "--pool", "lost")
            assert csmv(*words, PREFECT_API_URL=url, **KEY).returncode == 0
            with SyncPrefectClient(url) as client:
                fleet = Fleet(url, clients, tmp_path / f"server-{number}", client)
                try:
                    fleet.start("lost")
                    run_id = fleet.submit("build-dataset/csmv")
                    if number == 1:
                        fleet.until(lambda _run: videos.is_dir() and any(videos.glob("*.parquet")), run_id)
                        continue
                    run = fleet.wait(run_id)
                    if run.state is not None and not run.state.is_completed():
                        assert "is being built by" in (run.state.message or "")
                        time.sleep(FRESH_S + 5)
                        run = fleet.wait(fleet.submit("build-dataset/csmv"))
                finally:
                    for machine in fleet.machines:
                        machine.stop()

    assert run.state is not None and run.state.is_completed(), run.state
    assert published_bytes(Store(str(tmp_path / "many"))) == published_bytes(Store(str(tmp_path / "alone")))
