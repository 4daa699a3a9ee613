"""`csmv doctor` looks at this machine as it is, and fails only where something required is missing."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from csmv.flows import doctor

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_everything_is_looked_for_and_each_gap_says_how_to_fill_it(csmv: Run) -> None:
    found = csmv("doctor", "--json", PREFECT_API_URL="http://127.0.0.1:9/api", PATH="/nowhere")

    findings = {finding["name"]: finding for finding in json.loads(found.stdout)}
    assert found.returncode == 0
    assert {"torch", "decord", "presidio-analyzer", "video codecs", "disk space", "weights cache"} <= set(findings)
    assert findings["Chromium"]["present"] is False and "apt-get" in findings["Chromium"]["how"]
    assert findings["Prefect API"]["found"] == "no Prefect API answers at http://127.0.0.1:9/api"
    assert all(finding["how"] and finding["needed"] for finding in findings.values())


def test_for_a_person_every_absence_comes_with_a_way(csmv: Run) -> None:
    found = csmv("doctor")

    assert found.returncode == 0
    lines = found.stdout.splitlines()
    absent = [number for number, line in enumerate(lines) if line.startswith(("absent", "MISSING"))]
    assert absent and all(lines[number + 1].strip().startswith("for ") for number in absent)


def test_a_required_thing_that_is_missing_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "LEAST_DISK_GB", 1e9)

    disk = next(finding for finding in doctor.examine(tmp_path / "not" / "yet") if finding.name == "disk space")

    assert disk.required and not disk.present
    assert str(tmp_path) in disk.found
