"""`csmv status` as a person and a machine read it, once and again and again."""

import json
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from csmv.flows.status_page import duration, per_second
from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.failures import Failure, record_failures
from csmv.pipeline.schemas import VIDEOS, FailureReason


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root of three videos, one of which failed, with one worker at work and one silent."""
    config = {"name": "seen", "n_shards": 1, "source": {"kind": "web", "hashtags": ["nba"]}}
    store = Dataset.create(str(tmp_path / "mine"), DatasetConfig.model_validate(config)).store
    rows = [
        {"video_id": f"v{number}", "media_status": status, "hashtags": ["nba"], "url": f"https://x/{number}"}
        for number, status in enumerate(("ok", "pending", "failed"))
    ]
    store.write("videos", 0, pa.Table.from_pylist(rows, schema=VIDEOS.schema))
    record_failures(store, "media", 0, [Failure("v2", FailureReason.NO_VIDEO_STREAM)])
    for unit, age_s in (("0000", 0), ("0001", 300)):
        said = {"stage": "media", "unit": unit, "machine": f"machine-{unit}", "process": 7, "run": "media mine 0-1"}
        said |= {"since": datetime.now(UTC).isoformat(), "done": 5, "expected": 9, "seconds": 10.0}
        name = f"private/working/media/{unit}.json"
        store.write_file(name, json.dumps(said).encode())
        os.utime(store.path(name), (time.time() - age_s, time.time() - age_s))
    return tmp_path / "mine"


def test_a_machine_reads_everything_of_a_root_with_failures(csmv_inside: Any, root: Path) -> None:
    told = csmv_inside("status", root, "--json")

    assert told.returncode == 0, told.stderr
    media = next(row for row in json.loads(told.stdout) if row["name"] == "media")
    assert media["failures"] == {"no_video_stream": 1}
    assert media["hashtags"]["nba"] == {"done": 1, "missing": 1, "failures": {"no_video_stream": 1}}
    assert (media["rate"], media["items_left"], media["seconds_left"]) == (0.5, 2, 4.0)
    assert [(one["machine"], one["silent"]) for one in media["working"]] == [
        ("machine-0000", False),
        ("machine-0001", True),
    ]


def test_a_person_reads_who_works_and_how_long_it_takes(csmv_inside: Any, root: Path) -> None:
    told = csmv_inside("status", root).stdout

    assert "machine-0000/7" in told and "media mine 0-1" in told and "5 of 9" in told
    assert "silent since" in told
    assert "2.0 s each" in told and "4 s" in told
    assert "1 no_video_stream" in told


def test_watching_looks_again_until_it_is_interrupted(start_csmv: Any, root: Path) -> None:
    process = start_csmv("status", root, "--watch", "--json")
    seen = ""
    while seen.count('"collect"') < 2:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        seen += line
    process.send_signal(signal.SIGINT)

    assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(40, "40 s"), (720, "12 min"), (12_000, "3 h 20 min"), (187_200, "2 d 4 h")]
)
def test_times_read_as_a_person_says_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_rates_read_as_a_person_says_them() -> None:
    assert (per_second(1234.5), per_second(0.25)) == ("1,234.5/s", "4.0 s each")
