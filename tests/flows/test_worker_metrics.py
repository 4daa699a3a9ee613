"""Counters of short and killed processes, added up by a real exporter: nothing is lost, counted twice, or falls."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csmv.flows import worker_metrics as metrics
from csmv.flows.worker_metrics import ENDED_AFTER_S, Key, ProcessMetrics, measured, of_process, read_all
from csmv.pipeline.progress import Reading

VIDEOS: Key = ("videos", (("dataset", "mine"), ("stage", "media")))

WORKER = """
import sys, time
from pathlib import Path
from csmv.flows.worker_metrics import ProcessMetrics
metrics = ProcessMetrics(Path(sys.argv[1]))
for _ in range(100):
    metrics.add("videos", 1, stage="media", dataset="mine")
    metrics.write()
print("counted", flush=True)
time.sleep(float(sys.argv[2]))
"""


def test_nothing_is_counted_where_nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(metrics.DIRECTORY, raising=False)
    assert of_process() is None
    with measured("media", "mine") as watch:
        watch(Reading(1, None, {"videos": 1}))


def test_processes_that_end_and_are_killed_are_added_up(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    killed = [subprocess.Popen([*command, "60"], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    ended = subprocess.Popen([*command, "0"], stdout=subprocess.PIPE, text=True)
    for process in (*killed, ended):
        assert process.stdout and process.stdout.readline() == "counted\n"
    for process in killed:
        process.kill()
    for process in (*killed, ended):
        process.wait(20)

    assert read_all(tmp_path)[0][VIDEOS] == 300
    later = time.time() + ENDED_AFTER_S + 60
    assert read_all(tmp_path, later)[0][VIDEOS] == 300
    assert list(tmp_path.glob("process-*")) == [], "the folder stays small"
    assert read_all(tmp_path, later)[0][VIDEOS] == 300


def test_a_process_that_was_only_slow_is_not_counted_twice(tmp_path: Path) -> None:
    process = ProcessMetrics(tmp_path)
    process.add("videos", 5, stage="media", dataset="mine")
    process.write()
    later = time.time() + ENDED_AFTER_S + 60
    assert read_all(tmp_path, later)[0][VIDEOS] == 5

    process.add("videos", 2, stage="media", dataset="mine")
    process.write()
    assert read_all(tmp_path)[0][VIDEOS] == 7
    process.add("videos", 1, stage="media", dataset="mine")
    process.write()
    assert read_all(tmp_path)[0][VIDEOS] == 8


def test_an_exporter_that_was_killed_after_it_took_a_file_takes_it_once(tmp_path: Path) -> None:
    process = ProcessMetrics(tmp_path)
    process.add("videos", 5, stage="media", dataset="mine")
    process.write()
    kept = (tmp_path / process.name).read_bytes()
    later = time.time() + ENDED_AFTER_S + 60
    read_all(tmp_path, later)
    (tmp_path / process.name).write_bytes(kept)  # as if it had been killed before it removed it

    assert read_all(tmp_path, later)[0][VIDEOS] == 5
    assert read_all(tmp_path, later)[0][VIDEOS] == 5
    assert not (tmp_path / process.name).exists()


def test_a_unit_counts_what_it_did_and_how_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(metrics.DIRECTORY, str(tmp_path))
    with measured("features", "mine") as watch:
        watch(Reading(2, 4, {"videos": 2, "windows": 30, "strange": 1}, Counter(no_audio=1), 2.0))
        during = read_all(tmp_path)
        watch(Reading(4, 4, {"videos": 4, "windows": 50}, Counter(no_audio=1, timeout=2), 5.0))
    with pytest.raises(ValueError), measured("features", "mine"):
        raise ValueError

    counters, gauges = read_all(tmp_path)
    own = (("dataset", "mine"), ("stage", "features"))
    assert during[1] == {("working", own): 1}
    assert gauges == {("working", own): 0}
    assert (counters["videos", own], counters["windows", own], counters["unit_seconds", own]) == (4, 50, 5.0)
    assert counters["failures", (*own[:1], ("reason", "timeout"), *own[1:])] == 2
    assert counters["units", (own[0], ("outcome", "done"), own[1])] == 1
    assert counters["units", (own[0], ("outcome", "failed"), own[1])] == 1
    assert not any(name == "strange" for name, _ in counters)


def test_what_is_old_says_nothing_of_now(tmp_path: Path) -> None:
    process = ProcessMetrics(tmp_path)
    process.work(1, stage="media", dataset="mine")
    process.write()

    assert read_all(tmp_path)[1] == {("working", VIDEOS[1]): 1}
    assert read_all(tmp_path, time.time() + 60)[1] == {}


@pytest.fixture
def exporter(start_csmv: Any, tmp_path: Path) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    process = start_csmv("metrics", "--port", 0, CSMV_METRICS_DIR=str(tmp_path))
    line = process.stdout.readline()
    assert line.startswith("http://127.0.0.1:"), line + process.stderr.read()
    yield process, line.split()[0]
    if process.poll() is None:
        process.kill()
        process.wait()


def test_the_exporter_serves_the_sum_until_it_is_interrupted(
    exporter: "tuple[subprocess.Popen[str], str]", tmp_path: Path
) -> None:
    process, url = exporter
    for _ in range(2):
        one = ProcessMetrics(tmp_path)
        one.add("videos", 5, stage="media", dataset="mine")
        one.add("failures", 1, stage="media", dataset="mine", reason="timeout")
        one.work(1, stage="media", dataset="mine")
        one.write()
    (tmp_path / "process-damaged.json").write_text("{")

    text = urllib.request.urlopen(url, timeout=10).read().decode()

    assert 'csmv_videos_total{dataset="mine",stage="media"} 10.0' in text
    assert 'csmv_failures_total{dataset="mine",reason="timeout",stage="media"} 2.0' in text
    assert 'csmv_working{dataset="mine",stage="media"} 2.0' in text
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_where_no_worker_has_counted_yet_it_says_what_to_set(
    exporter: "tuple[subprocess.Popen[str], str]", tmp_path: Path
) -> None:
    process, _ = exporter
    assert f"Nothing is there yet: start the workers with CSMV_METRICS_DIR={tmp_path}" in process.stderr.readline()  # type: ignore[union-attr]


def test_a_port_that_is_taken_is_a_sentence(
    exporter: "tuple[subprocess.Popen[str], str]", csmv: Any, tmp_path: Path
) -> None:
    port = exporter[1].split(":")[2].split("/")[0]
    refused = csmv("metrics", "--port", port, "--folder", tmp_path)
    assert refused.returncode == 1
    assert f"127.0.0.1:{port} can't be served" in refused.stderr


def test_without_a_folder_it_says_which(csmv_inside: Any) -> None:
    refused = csmv_inside("metrics")
    assert (refused.returncode, "CSMV_METRICS_DIR" in refused.stderr) == (2, True)


def test_files_hold_counts_and_nothing_else(tmp_path: Path) -> None:
    process = ProcessMetrics(tmp_path)
    process.add("videos", 5, stage="media", dataset="mine")
    process.write()
    said = json.loads((tmp_path / process.name).read_text())
    assert said == {"counters": [["videos", [["dataset", "mine"], ["stage", "media"]], 5]], "gauges": []}
    assert str(os.getpid()) in process.name
