"""The benchmark for a lent GPU runs on a CPU in small, so that it is known to work when a GPU is there."""

import json
import os
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parent / "bench_extract_gpu.py"


def test_the_gpu_benchmark_runs_in_small_on_a_cpu(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, str(BENCH), "--small", "--networks", "timm:test_resnet", "--json", str(file)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    (alone,), (whole,) = figures["alone"], figures["end_to_end"]
    assert alone["windows_per_s"] > 0
    assert alone["share_of_peak"] > 0
    assert (whole["decoder"], whole["windows"], whole["gpu_utilisation"]) == ("pyav", 1, None)
    assert 0 < whole["network_busy"] <= 1
    # A million videos are as many hours as CSMV's 8,210, each.
    assert abs(whole["million_days"] * 24 / whole["csmv_hours"] - 1e6 / 8210) < 1e-6
    assert "timm:test_resnet" in done.stdout
