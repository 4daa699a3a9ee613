"""What the server shows of runs: names that a person can read, and one line a unit, on a real server."""

import json
import re
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from prefect.states import Failed

from csmv.flows import seeing
from csmv.flows.run_names import run_name
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.progress import Meter
from csmv.pipeline.stage import UnitReport
from csmv.pipeline.status import MEMORY

BUILD = """
import json, sys, threading, time
from pathlib import Path
from csmv.flows import seeing
from csmv.pipeline import work

seeing._SHOW_EVERY_S = 0.5
work.FIRST_AFTER_S = work.EVERY_S = 0.1
kept = Path(sys.argv[3])

def keep():
    while True:
        for path in Path(sys.argv[1]).glob("private/working/*/*.json"):
            try:
                (kept / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
            except FileNotFoundError:
                pass
        time.sleep(0.02)

threading.Thread(target=keep, daemon=True).start()
from csmv.flows.build import Build, build_dataset
state = build_dataset(Build(root=sys.argv[1], config=json.loads(sys.argv[2])), return_state=True)
print(state.type.value)
from prefect.logging.handlers import APILogHandler
APILogHandler().flush()
"""


def rows(server: Any, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"file:{server.home}/prefect.db?mode=ro", uri=True) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize(
    ("units", "text"),
    [((), ""), (("3",), " 3"), (("0", "1", "2", "3"), " 0-3"), (("0", "1", "5", "6", "9"), " 0-1,5-6,9")],
)
def test_runs_are_called_by_stage_root_and_shards(units: tuple[str, ...], text: str) -> None:
    assert run_name("features", "s3://bucket/mine/", units) == f"features mine{text}"


SECRETS = {
    "CSMV_PSEUDONYM_KEY": "planted-pseudonym-key-0123456789abcdef",
    "CSMV_RESEARCH_SECRET": "planted-research-secret",
    "AWS_SECRET_ACCESS_KEY": "planted-s3-secret",
    "CSMV_COOKIES": "/nowhere/planted-cookies.txt",
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where copies of the files of units are kept, and the counts of the process."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def built(server: Any, tiny: Path, kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dataset, built with the server watching, of films some of which can't be read, and with secrets about."""
    root = tmp_path_factory.mktemp("seen") / "mine"
    config = {"name": "seen", "n_shards": 2, "source": {"kind": "folder", "path": str(tiny)}}
    config |= {"splits": [{"kind": "comment"}]}
    command = [sys.executable, "-c", BUILD, str(root), json.dumps(config), str(kept)]
    environment = server.environment | SECRETS | {"CSMV_METRICS_DIR": str(kept / "counts")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["COMPLETED"], done.stdout + done.stderr
    time.sleep(1)
    return root


def test_runs_have_names_that_a_person_can_read(server: Any, built: Path) -> None:
    flows = {name for (name,) in rows(server, "SELECT name FROM flow_run")}
    tasks = {name for (name,) in rows(server, "SELECT name FROM task_run")}

    assert {"build mine", "tables mine", "media mine", "splits mine", "report mine"} <= flows
    assert {"tables 0000", "tables 0001", "media 0000", "media 0001", "splits comment", "report root"} <= tasks


def test_a_line_a_unit_counts_what_came_of_it(server: Any, built: Path) -> None:
    lines = [message for (message,) in rows(server, "SELECT message FROM log WHERE level = 20")]

    for stage in ("tables", "media"):
        said = [one for one in lines if one.startswith(f"{stage} 000")]
        assert sorted(one.split(":")[0] for one in said) == [f"{stage} 0000", f"{stage} 0001"], said
        assert all(" s" in one for one in said)
    assert any("videos" in one and "comments" in one for one in lines if one.startswith("tables"))
    assert any("; failures: " in one for one in lines if one.startswith("media"))


def test_every_stage_leaves_a_page_with_its_counts_and_failures(server: Any, built: Path) -> None:
    pages = dict(rows(server, "SELECT key, data FROM artifact WHERE type = 'markdown' AND key LIKE '%-mine'"))

    assert {"tables-mine", "media-mine", "splits-mine", "report-mine"} <= set(pages)
    assert "| units | 2 |" in pages["tables-mine"] and "| comments |" in pages["tables-mine"]
    assert "| failure | count |" in pages["media-mine"]
    assert f"{built}/reports/index.html" in pages["report-mine"]


def test_progress_reaches_the_server_while_a_stage_runs(server: Any, built: Path) -> None:
    bars = dict(rows(server, "SELECT key, data FROM artifact WHERE type = 'progress' AND key LIKE '%-mine-progress'"))

    assert "tables-mine-progress" in bars
    assert float(bars["tables-mine-progress"]) == 100.0


def test_nothing_that_is_seen_names_anybody_or_tells_a_secret(
    server: Any, built: Path, kept: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSMV_PSEUDONYM_KEY", SECRETS["CSMV_PSEUDONYM_KEY"])
    Dataset.open(str(built)).overview()
    lists = "".join((tiny / name).read_text() for name in ("comments.jsonl", "videos.jsonl"))
    names = set(re.findall(r'"(?:author|creator|id)": "([^"]{8,})"', lists)) | set(re.findall(r"\S+@\S+\.\w+", lists))
    places = {
        "files of units": b"".join(path.read_bytes() for path in kept.glob("*.json")),
        "metrics": b"".join(path.read_bytes() for path in (kept / "counts").iterdir()),
        "status": (built / MEMORY).read_bytes(),
        "database": b"".join(path.read_bytes() for path in server.home.glob("prefect.db*")),
    }

    for stage in (b"tables", b"media"):
        assert all(stage in content for content in places.values()), "nothing was looked at"
    assert len(names) > 10 and any("@" in name for name in names)
    told = [
        (place, name)
        for place, content in places.items()
        for name in (*names, *SECRETS.values())
        if name.encode() in content
    ]
    assert told == []


@pytest.mark.parametrize("units", [0, 4])
def test_a_bar_counts_units_that_ended_and_parts_of_those_at_work(units: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run = seeing.Shown("media", "mine", units)
    meter = Meter()
    meter.expect(10)
    meter.add(5, Counter(), {})
    monkeypatch.setitem(seeing._meters, "", [meter])

    run.unit_ended()

    assert run.fraction() == (1.5 / 4 if units else 1.0)


def test_a_failed_stage_says_why_on_its_page() -> None:
    state = Failed(message="media: 1 of 4 shards failed: No room.")

    text = seeing.page("media", "s3://bucket/mine/", 4, UnitReport(), 1.25, state)

    assert "Failed: media: 1 of 4 shards failed: No room." in text
    assert "| seconds | 1.2 |" in text
    assert "`s3://bucket/mine/reports/index.html`" in text
