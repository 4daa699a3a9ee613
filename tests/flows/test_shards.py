"""What happens to a stage when a shard fails: to the other shards, to the flow, and to what the exception said."""

import errno
import json
import sqlite3
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import pytest

from csmv.flows.stage_limits import STAGES
from csmv.pipeline.errors import CsmvError

SECRET = "+1 212 555 0123"

SCRIPT = """
import json, sys
from csmv.flows.shards import Dataset
from csmv.flows.stage_flows import FLOWS
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.sources import collect_stages

root, config, kind = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
real, calls = collect_stages.write_shard, []

def write_shard(store, source, policy, key, shard):
    calls.append(shard)
    if shard != 1:
        return real(store, source, policy, key, shard)
    if kind == "unexpected":
        raise ValueError("call me at SECRET")
    raise CsmvError("Shard 1 needs a hand.")

collect_stages.write_shard = write_shard
state = FLOWS["tables"](Dataset(root=root, config=config), return_state=True)
print(json.dumps({"type": state.type.value, "message": state.message, "calls": calls}))
""".replace("SECRET", SECRET)


def tables(server: Any, root: Path, source: Path, kind: str) -> dict[str, Any]:
    config = {"name": "failing", "n_shards": 3, "source": {"kind": "folder", "path": str(source)}}
    command = [sys.executable, "-c", SCRIPT, str(root), json.dumps(config), kind]
    found = subprocess.run(command, env=server.environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    said: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    said["stderr"] = found.stderr
    return said


def test_an_unexpected_failure_costs_its_shard_and_stays_private(server: Any, tiny: Path, tmp_path: Path) -> None:
    said = tables(server, tmp_path / "root", tiny, "unexpected")

    assert said["type"] == "FAILED"
    assert "1 of 3 shards failed" in said["message"] and "ValueError" in said["message"]
    assert sorted(said["calls"]) == [0, 1, 1, 2], "one retry of the shard that failed, none of the others"
    assert {path.name for path in (tmp_path / "root" / "comments").iterdir()} == {"0000.parquet", "0002.parquet"}
    kept = (tmp_path / "root" / "private" / "logs" / "tables-ValueError.txt").read_text()
    assert SECRET in kept
    assert SECRET not in said["message"]
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in server.home.rglob("*") if path.is_file())
    with sqlite3.connect(f"file:{server.home}/prefect.db?mode=ro", uri=True) as connection:
        assert any("ValueError" in message for (message,) in connection.execute("SELECT message FROM log"))


def test_what_can_not_be_kept_in_private_goes_nowhere_else(server: Any, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "root" / "private").mkdir(parents=True)
    (tmp_path / "root" / "private" / "logs").write_text("a file where the folder of logs should be")

    said = tables(server, tmp_path / "root", tiny, "unexpected")

    assert said["type"] == "FAILED"
    assert "unexpected ValueError" in said["message"] and "could not be written" in said["message"]
    assert SECRET not in said["message"] + said["stderr"]
    time.sleep(3)  # Prefect's client sends its logs in the background
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in server.home.rglob("*") if path.is_file())


@pytest.mark.parametrize("raised", ["ours", "theirs", "unexpected"])
def test_nothing_hangs_on_what_a_task_lets_out(raised: str, tmp_path: Path) -> None:
    from csmv.flows.shards import UnexpectedError, discreet

    def fail() -> None:
        try:
            raise ValueError(SECRET)
        except ValueError as error:
            if raised == "ours":
                raise CsmvError("Shard 1 needs a hand.") from error
            if raised == "theirs":
                raise PermissionError(errno.EACCES, "refused", "/data/x") from error
            raise

    with pytest.raises((CsmvError, UnexpectedError)) as let_out, discreet(str(tmp_path), "media"):
        fail()

    assert SECRET not in "".join(traceback.format_exception(let_out.value))
    assert let_out.value.__context__ is None and let_out.value.__cause__ is None


def test_what_a_person_must_put_right_is_not_tried_again(server: Any, tiny: Path, tmp_path: Path) -> None:
    said = tables(server, tmp_path / "root", tiny, "ours")

    assert said["message"] == "tables: 1 of 3 shards failed: Shard 1 needs a hand."
    assert sorted(said["calls"]) == [0, 1, 2]


def test_how_many_at_once_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    [media] = [limits for limits in STAGES if limits.stage == "media"]
    assert media.variable == "CSMV_MEDIA_AT_ONCE"
    monkeypatch.setenv(media.variable, "5")
    assert media.workers() == 5

    monkeypatch.setenv(media.variable, "many")
    with pytest.raises(CsmvError, match="CSMV_MEDIA_AT_ONCE should be a whole number"):
        media.workers()


def test_every_stage_declares_retries_time_and_places() -> None:
    from csmv.flows.stage_flows import FLOWS, TASKS

    assert list(FLOWS) == [limits.stage for limits in STAGES]
    for limits in STAGES:
        task = TASKS[limits.stage]
        assert task.tags == {"csmv", limits.slot}
        assert task.retries == limits.retries
        assert task.timeout_seconds == limits.timeout_s
        assert task.persist_result is False


def test_only_shards_that_exist_can_be_chosen(tmp_path: Path) -> None:
    from csmv.pipeline.config import DatasetConfig
    from csmv.pipeline.dataset import Dataset, chosen_units
    from csmv.pipeline.sources.collect_stages import TablesStage

    config = {"name": "x", "n_shards": 4, "source": {"kind": "folder", "path": "x"}}
    dataset = Dataset.create(str(tmp_path), DatasetConfig.model_validate(config))

    assert chosen_units(TablesStage(), dataset, (3, 1, 3)) == ["0001", "0003"]
    with pytest.raises(CsmvError, match="shards 0 to 3, and shard 9"):
        chosen_units(TablesStage(), dataset, (9,))
