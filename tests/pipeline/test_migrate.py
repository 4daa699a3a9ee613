"""A root of format 1 is refused with the command that helps, and that command loses nothing, interrupted or not."""

import random
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from csmv.pipeline.config import is_ours, read_config
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import failures_of
from csmv.pipeline.manifest import HEADER_FILE
from csmv.pipeline.migrate import migrate
from csmv.pipeline.pseudonym import KEY_VARIABLE
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.video_features import load_features
from csmv.pipeline.verify import verify

DATA = Path(__file__).resolve().parents[1] / "data"
TIMES = ("history/", "failures/", "manifest/failures/")
"""Failures say when something failed; a migration keeps that."""


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    with tarfile.open(DATA / "format1.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "root"


def contents(root: Path) -> dict[str, bytes]:
    names = (str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    return {name: (root / name).read_bytes() for name in sorted(names) if not name.startswith("history/")}


def test_a_root_of_format_1_is_refused_with_the_command_that_helps(old: Path) -> None:
    with pytest.raises(CsmvError, match=rf"format 1, .* `csmv migrate {old}`"):
        Store.open(str(old))


def test_rows_and_everything_else_stay_and_integrity_comes(old: Path) -> None:
    config = (old / "dataset.yaml").read_text()
    (old / "dataset.yaml").write_text(f"# mine\n{config}")
    migrate(str(old))

    store = Store.open(str(old))
    counts = {table: store.read_all(table).num_rows for table in ("videos", "comments", "labels", "features/mfcc")}
    assert counts == {"videos": 9, "comments": 33, "labels": 23, "features/mfcc": 4}
    assert {len(vectors) for vectors in load_features(store, "mfcc").videos.values()} == {2, 3}
    rows = store.read_all("features/mfcc").to_pylist()
    shas = {row["video_id"]: row["media_sha256"] for row in store.read_all("videos").to_pylist()}
    assert all(row["media_sha256"] == shas[row["video_id"]] for row in rows)
    assert set(failures_of(store)) == {"media", "tables"}
    assert store.read_split("video").num_rows == 23
    assert verify(store).problems == ()
    assert (old / "dataset.yaml").read_text() == f"# mine\n{config.replace('format_version: 1', 'format_version: 2')}"
    assert not (old / "private" / "ingest").exists() or not list((old / "private" / "ingest").iterdir())


def test_a_configuration_that_csmv_wrote_is_its_own_still(old: Path) -> None:
    migrate(str(old))
    assert is_ours((old / "dataset.yaml").read_text())
    assert read_config(Store.open(str(old))).splits[0].kind == "video"


def test_a_second_migration_changes_nothing(old: Path) -> None:
    migrate(str(old))
    before = contents(old)
    assert migrate(str(old)).rewritten == 0
    assert contents(old) == before


def test_a_shard_that_held_nothing_is_added(old: Path) -> None:
    (old / "labels" / "0001.parquet").unlink()
    assert migrate(str(old)).added == 1
    assert Store.open(str(old)).read("labels", 1).num_rows == 0  # type: ignore[union-attr]


def test_a_damaged_table_stops_the_migration_and_is_named(old: Path) -> None:
    (old / "comments" / "0001.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(CsmvError, match=r"comments/0001\.parquet.* is damaged"):
        migrate(str(old))
    assert not (old / HEADER_FILE).exists()


FORKED = """
import os, signal, sys, time
from csmv.pipeline.migrate import migrate
for line in sys.stdin:
    root, after = line.split()
    child = os.fork()
    if child == 0:
        migrate(root)
        os._exit(0)
    if float(after) >= 0:
        time.sleep(float(after))
        os.kill(child, signal.SIGKILL)
    print("killed" if os.WIFSIGNALED(os.waitpid(child, 0)[1]) else "done", flush=True)
"""


@pytest.mark.parametrize("times", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_again_and_again_it_ends_in_the_same_bytes(old: Path, tmp_path: Path, times: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FORKED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def run(root: Path, after: float = -1) -> str:
            assert process.stdin and process.stdout
            print(root, after, file=process.stdin, flush=True)
            return process.stdout.readline().strip()

        whole = shutil.copytree(old, tmp_path / "whole")
        began = time.monotonic()
        assert run(whole) == "done"
        duration, expected = time.monotonic() - began, contents(whole)
        chance, kills, roots = random.Random(2), 0, 0
        while kills < times:
            roots += 1
            root = shutil.copytree(old, tmp_path / f"killed{roots}")
            while (outcome := run(root, chance.uniform(0, 0.8 * duration) if kills < times else -1)) != "done":
                assert outcome == "killed"
                kills += 1
            Store.open(str(root)).sweep()
            assert contents(root) == expected
        assert process.stdin
        process.stdin.close()
