"""Kill -9 at random moments of tables, media and features: what is there in the end is what it would have been."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.demo.sample import make_sample
from csmv.pipeline.failures import failures_of
from csmv.pipeline.store import Store
from csmv.pipeline.verify import verify

KILLS = 20
COMPARED = ("videos", "comments", "labels", "features", "splits")


@dataclass
class Stages:
    """The process that forks a child for every run of the stages."""

    process: "subprocess.Popen[str]"

    def start(self, root: Path) -> int:
        assert self.process.stdin and self.process.stdout
        print(root, file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def outcome(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


@pytest.fixture(scope="module")
def stages(environment: dict[str, str]) -> Iterator[Stages]:
    script = Path(__file__).with_name("forked_stages.py")
    command = [sys.executable, str(script)]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Stages(process)
        assert process.stdin
        process.stdin.close()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("sample"), videos=4, comments_each=4).folder


def new_root(path: Path, sample: Path) -> Path:
    config = DatasetConfig.model_validate(
        {
            "name": "killed",
            "n_shards": 2,
            "source": {"kind": "folder", "path": str(sample)},
            "features": [{"extractor": "timm:test_resnet", "weights": "random", "workers": 1}],
            "splits": [{"kind": "video"}, {"kind": "comment"}],
        }
    )
    Store.create(str(path), config)
    return path


def contents(root: Path) -> dict[str, bytes]:
    """The bytes of every table but failures, which say when; media too, as they are private tables of a kind."""
    folders = (*COMPARED, "private/media")
    return {
        str(path.relative_to(root)): path.read_bytes()
        for folder in folders
        for path in sorted((root / folder).rglob("*"))
        if path.is_file()
    }


def files(root: Path) -> set[str]:
    """What is there, but for the history and superseded manifest entries, which are swept after an hour."""
    names = (str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    return {name for name in names if not name.startswith(("history/", "manifest/"))}


def reasons(root: Path) -> dict[tuple[str, str], str]:
    return {
        (stage, row["key"]): row["reason"]
        for stage, table in failures_of(Store.open(str(root))).items()
        for row in table.to_pylist()
    }


def test_killed_twenty_times_it_ends_in_the_same_bytes(stages: Stages, sample: Path, tmp_path: Path) -> None:
    fresh = new_root(tmp_path / "fresh", sample)
    whole = shutil.copytree(fresh, tmp_path / "whole")
    began = time.monotonic()
    stages.start(whole)
    assert stages.outcome() == "done"
    duration = time.monotonic() - began
    expected, expected_reasons = contents(whole), reasons(whole)
    assert {Path(name).parts[0] for name in expected} == {*COMPARED, "private"}
    chance = random.Random(20)

    kills = roots = 0
    while kills < KILLS:
        roots += 1
        root = shutil.copytree(fresh, tmp_path / f"killed-{roots}")
        outcome = ""
        while outcome != "done":
            pid = stages.start(root)
            if kills < KILLS:
                time.sleep(chance.uniform(0, 0.5 * duration))
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            outcome = stages.outcome()
            assert outcome in ("done", "killed")
            kills += outcome == "killed"

        assert contents(root) == expected
        assert reasons(root) == expected_reasons
        assert files(root) == files(whole), "something was left behind"
        assert verify(Store.open(str(root))).problems == ()
    assert kills == KILLS
