"""Kill -9 at random moments of one stage after the other: what is there in the end is what would have been."""

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
from typing import Any

import pytest

from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.demo.sample import make_sample
from csmv.pipeline.failures import failures_of
from csmv.pipeline.store import Store
from csmv.pipeline.verify import verify

MAKES = {
    "tables": {"videos", "comments", "labels"},
    "media": {"private/media"},
    "features": {"features"},
    "splits": {"splits"},
}
"""The stages that are killed, in order, and the folders of what each makes."""
COMPARED = sorted(set().union(*MAKES.values()))


@dataclass
class Stages:
    """The process that forks a child for every run of a stage."""

    process: "subprocess.Popen[str]"

    def run(self, stage: str, root: Path) -> float:
        """Run a stage to its end; gives the seconds that it took."""
        self._start(stage, root)
        began = time.monotonic()
        assert self._outcome() == "done"
        return time.monotonic() - began

    def killed(self, stage: str, root: Path, after_s: float) -> bool:
        """Run a stage and kill it after a time; gives whether it was killed, which it is not if it ended before."""
        pid = self._start(stage, root)
        time.sleep(after_s)
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        outcome = self._outcome()
        assert outcome in ("done", "killed")
        return outcome == "killed"

    def _start(self, stage: str, root: Path) -> int:
        assert self.process.stdin and self.process.stdout
        print(stage, root, file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def _outcome(self) -> str:
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


@dataclass
class Undisturbed:
    """A stage that nobody disturbed: the root before and after it, and how long it took."""

    before: Path
    after: Path
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(stages: Stages, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Undisturbed]:
    """Every stage after the one before it, each on a copy of what that one left."""
    folder = tmp_path_factory.mktemp("undisturbed")
    sample = make_sample(folder / "sample", videos=6, comments_each=6).folder
    config = {
        "name": "killed",
        "n_shards": 3,
        "source": {"kind": "folder", "path": str(sample)},
        "features": [{"extractor": "timm:test_resnet", "weights": "random", "workers": 1}],
        "splits": [{"kind": "video"}, {"kind": "comment"}],
    }
    root = folder / "new"
    Store.create(str(root), DatasetConfig.model_validate(config))
    whole = {}
    for stage in ("collect", *MAKES):
        after = shutil.copytree(root, folder / stage)
        whole[stage] = Undisturbed(root, after, stages.run(stage, after))
        root = after
    return whole


def contents(root: Path) -> dict[str, bytes]:
    """The bytes of every table but failures, which say when; media too, as they are private tables of a kind."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for folder in COMPARED
        for path in sorted((root / folder).rglob("*"))
        if path.is_file()
    }


def files(root: Path) -> set[str]:
    """What is there, but for the history and superseded manifest entries, which are swept after an hour."""
    names = (str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    return {name for name in names if not name.startswith(("history/", "manifest/"))}


def failures(root: Path) -> list[tuple[str, dict[str, Any]]]:
    """Every recorded failure, but for when it was."""
    tables = failures_of(Store.open(str(root))).items()
    return [(stage, row | {"at": None}) for stage, table in sorted(tables) for row in table.to_pylist()]


@pytest.mark.parametrize("stage", MAKES)
@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_a_killed_stage_ends_in_the_same_bytes(
    stages: Stages, undisturbed: dict[str, Undisturbed], tmp_path: Path, stage: str, kills: int
) -> None:
    whole = undisturbed[stage]
    expected, expected_failures = contents(whole.after), failures(whole.after)
    assert MAKES[stage] <= {folder for folder in COMPARED for name in expected if name.startswith(f"{folder}/")}
    assert expected.keys() > contents(whole.before).keys()
    chance = random.Random(f"{stage} {kills}")

    began, landed, roots = time.monotonic(), 0, 0
    while landed < kills:
        roots += 1
        root = shutil.copytree(whole.before, tmp_path / f"killed-{roots}")
        # A moment after the stage's end kills nothing: then the root is finished, and the next one has its turn.
        while landed < kills and stages.killed(stage, root, chance.uniform(0, whole.seconds)):
            landed += 1
        stages.run(stage, root)

        assert contents(root) == expected
        assert failures(root) == expected_failures
        assert files(root) == files(whole.after), "something was left behind"
        assert verify(Store.open(str(root))).problems == ()
    took = f"{time.monotonic() - began:.0f} s, undisturbed {whole.seconds:.2f} s"
    print(f"{stage}: {landed} kills, {roots} roots, {took}")


@pytest.mark.parametrize("stage", ["tables", "media"])
def test_killed_just_before_its_first_failures_are_there_it_ends_in_the_same(
    undisturbed: dict[str, Undisturbed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    whole = undisturbed[stage]
    root = shutil.copytree(whole.before, tmp_path / "root")
    write_file = Store.write_file

    def killed(store: Store, relative: str, data: bytes) -> None:
        if relative.startswith(f"failures/{stage}/"):
            raise KeyboardInterrupt
        write_file(store, relative, data)

    monkeypatch.setattr(Store, "write_file", killed)
    with pytest.raises(KeyboardInterrupt):
        Dataset.open(str(root)).run(stage)
    monkeypatch.undo()
    assert list((root / "manifest" / "failures" / stage).rglob("*.json")), "they are listed, and not there"
    Dataset.open(str(root)).run(stage)

    assert contents(root) == contents(whole.after)
    assert failures(root) == failures(whole.after)
    assert verify(Store.open(str(root))).problems == ()
