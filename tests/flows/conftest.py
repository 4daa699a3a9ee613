"""How these tests run `csmv`: as a person does, in a process of its own, with nothing from this one's environment."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from csmv.flows.server import is_healthy
from csmv.pipeline.demo.sandbox import World

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))  # for the modules that several of these tests share

Start = Callable[..., "subprocess.Popen[str]"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Publish = Callable[[Path, World], tuple[Path, Path]]


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """This process's environment without anything of Prefect's or csmv's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "CSMV"))}
    return kept | {"CSMV_PROGRESS": "0", "OMP_NUM_THREADS": "2", "COLUMNS": "120"}


@pytest.fixture(scope="session")
def start_csmv(environment: dict[str, str]) -> Start:
    """Start `csmv` with arguments; keyword arguments in capitals are environment variables, others go to Popen."""

    def start(*arguments: object, **more: Any) -> "subprocess.Popen[str]":
        variables = {name: more.pop(name) for name in list(more) if name.isupper()}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | more
        command = [sys.executable, "-m", "csmv.flows.cli", *map(str, arguments)]
        return subprocess.Popen(command, env=environment | variables, **pipes)

    return start


@pytest.fixture(scope="session")
def csmv(start_csmv: Start) -> Run:
    """Run `csmv` to its end."""

    def run(*arguments: object, **more: Any) -> "subprocess.CompletedProcess[str]":
        process = start_csmv(*arguments, **more)
        try:
            stdout, stderr = process.communicate()
        except BaseException:  # a test that ran out of time leaves nothing running
            process.kill()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    return run


@pytest.fixture
def csmv_inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `csmv` within this process, for what needs no Prefect: the libraries are loaded once for all tests."""
    for name in [name for name in os.environ if name.startswith(("PREFECT", "CSMV"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CSMV_PROGRESS", "0")
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
        from csmv.flows.cli import main

        monkeypatch.setattr(sys, "argv", ["csmv", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(sys.argv, code, said.out, said.err)

    return run


@dataclass
class Server:
    """A Prefect server with its address and the environment of its clients."""

    url: str
    home: Path
    environment: dict[str, str]

    def prefect(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        # A run that nobody takes would be watched for ever.
        found = subprocess.run(
            command, env=self.environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=300
        )
        assert found.returncode == 0, found.stdout + found.stderr
        return found.stdout


@pytest.fixture(scope="session")
def server(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with _serving(environment, tmp_path_factory.mktemp("prefect")) as started:
        yield started


@pytest.fixture(scope="module")
def fresh_server(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose database holds what this module's tests did and nothing else."""
    with _serving(environment, tmp_path_factory.mktemp("prefect")) as started:
        yield started


@contextmanager
def _serving(environment: dict[str, str], home: Path) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    places = {"PREFECT_HOME": str(home), "PREFECT_LOCAL_STORAGE_PATH": str(home / "storage")}
    clients = environment | places | {"DO_NOT_TRACK": "1", "PREFECT_API_URL": url}
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui", "--analytics-off"],
        env=clients
        | {
            "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
            "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_LOOP_SECONDS": "5",  # as docker/compose.yaml has it
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 180
    while not is_healthy(url):
        assert process.poll() is None and time.monotonic() < end, "the Prefect server did not start"
        time.sleep(0.2)
    yield Server(url, home, clients)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    assert not is_healthy(url)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source of three good videos and the sample's bad ones."""
    from csmv.pipeline.demo.sample import make_sample

    return make_sample(tmp_path_factory.mktemp("tiny"), videos=3, comments_each=6).folder


@pytest.fixture(scope="session")
def publish() -> Publish:
    """Write annotations and links of a sandbox's videos, three comments each, in the published files' shapes.

    The function takes a new folder and the sandbox's world, and gives the paths of the annotations and the links.
    """

    def write(folder: Path, world: World) -> tuple[Path, Path]:
        folder.mkdir()
        entries, links = {}, ["No.,ID,URL"]
        for number, video in enumerate(world.videos.values(), 1):
            links.append(f"{number},{video.id}, https://www.tiktok.com/@{video.creator.handle}/video/{video.id}")
            for k in range(3):
                name = f"sandbox_{3 * number + k}_{video.id}.mp4"
                said = {"comment": f"comment {k}", "opinion_label": "positive", "emotion_label": "joy"}
                entries[name] = said | {"video_file_id": f"{video.id}.mp4", "hashtag": "sandbox"}
        (folder / "lable_data_dict.json").write_text(json.dumps(entries))
        for part, k in (("train", 0), ("dev", 1), ("test", 2)):
            (folder / f"{part}_set.json").write_text(json.dumps(list(entries)[k::3]))
        (folder / "opinion_label_map.json").write_text('{"positive": 0, "neutral": 1, "negative": 2}')
        emotions = ["joy", "disgust", "surprise", "sadness", "trust", "fear", "anger", "anticipation"]
        (folder / "emotion_label_map.json").write_text(json.dumps({name: n for n, name in enumerate(emotions)}))
        (folder / "links.csv").write_text("\n".join(links) + "\n")
        return folder / "lable_data_dict.json", folder / "links.csv"

    return write
