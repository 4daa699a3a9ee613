"""Kill -9 of csmv features at any moment: nothing that was computed is lost beyond the file at hand."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from tone_films import grey_film

FILMS, WINDOWS = 5, 3


@dataclass
class Runs:
    """The process that forks a child for every run."""

    process: "subprocess.Popen[str]"

    def start(self, trace: Path, *arguments: str | Path) -> int:
        assert self.process.stdin and self.process.stdout
        print(json.dumps([str(trace), *map(str, arguments)]), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def outcome(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def run(self, trace: Path, *arguments: str | Path) -> str:
        self.start(trace, *arguments)
        return self.outcome()


@pytest.fixture(scope="module")
def runs(environment: dict[str, str]) -> Iterator[Runs]:
    command = [sys.executable, str(Path(__file__).with_name("forked_features.py"))]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        yield Runs(process)
        assert process.stdin
        process.stdin.close()


def ready(trace: Path, windows: int) -> None:
    """Wait until so many windows were computed."""
    until = time.monotonic() + 60
    while sum(traced(trace).values()) < windows and time.monotonic() < until:
        time.sleep(0.002)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for number in range(1, FILMS + 1):
        grey_film(folder / f"film{number}.mp4", 40 * number, 16 * WINDOWS)
    return folder


def traced(trace: Path) -> Counter[str]:
    """Film -> windows of it that were computed."""
    return Counter(trace.read_text().split()) if trace.exists() else Counter()


def contents(out: Path) -> dict[str, bytes]:
    """What a run left: the file and its record, or all files of the folder."""
    paths = sorted(out.rglob("*")) if out.is_dir() else [out, out.with_name(f"{out.name}.json")]
    return {str(path.relative_to(out.parent)): path.read_bytes() for path in paths if path.is_file()}


SLOW = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    ("name", "kills"),
    [("f.npz", 2), *(pytest.param(name, 10, marks=SLOW) for name in ("f.npz", "f.parquet", "folder"))],
)
def test_a_killed_run_goes_on_and_loses_the_file_at_hand_at_most(
    runs: Runs, films: Path, tmp_path: Path, name: str, kills: int
) -> None:
    command = ("features", films, "-e", "traced", "--workers", "1", "--out")
    whole = tmp_path / "whole" / name
    whole.parent.mkdir()
    assert runs.run(tmp_path / "trace", *command, whole) == "0"
    assert traced(tmp_path / "trace") == {str(number): WINDOWS for number in range(1, FILMS + 1)}
    chance = random.Random(f"{name} {kills}")
    total = FILMS * WINDOWS
    for number in range(kills):
        # From before the first window until after the last, while all is put together.
        after = round(number * total / max(kills - 1, 1)) if kills > 2 else chance.randrange(1, total)
        folder, trace = tmp_path / f"{number}", tmp_path / f"trace{number}"
        folder.mkdir()
        child = runs.start(trace, *command, folder / name)
        ready(trace, after)
        time.sleep(chance.random() * 0.06)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        assert runs.outcome() in ("killed", "0")
        began = {film for film, windows in traced(trace).items() if windows}
        assert runs.run(trace, *command, folder / name) == "0"
        assert contents(folder / name) == contents(whole)
        assert {path.name for path in folder.iterdir()} == {path.name for path in whole.parent.iterdir()}
        again = {film: count - WINDOWS for film, count in traced(trace).items() if count > WINDOWS}
        assert again.keys() <= began
        assert len(again) <= 1, f"killed after {after} windows, and computed again: {again}"


def test_ctrl_c_in_a_terminal_keeps_what_is_done(runs: Runs, films: Path, tmp_path: Path) -> None:
    """It reaches the decoding processes too, whose deaths must not count as failures of their files."""
    trace, out = tmp_path / "trace", tmp_path / "folder"
    command = ("features", films, "-e", "traced", "--workers", "2", "--out", out)
    child = runs.start(trace, *command)
    ready(trace, 2 * WINDOWS + 1)
    os.killpg(child, signal.SIGINT)
    assert runs.outcome() == "3"
    lines = (out / "manifest.part.jsonl").read_text().splitlines()
    assert 1 <= len(lines) < FILMS
    assert all(not json.loads(line)[1]["failures"] for line in lines)
    assert runs.run(trace, *command) == "0"
    assert len(json.loads((out / "manifest.json").read_text())["videos"]) == FILMS
    assert sum(traced(trace).values()) <= FILMS * WINDOWS + 2 * WINDOWS
