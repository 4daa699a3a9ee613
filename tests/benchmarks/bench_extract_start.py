"""What a whole command on one short video costs: CPU seconds of `csmv features` beside those of `import torch`.

    python tests/benchmarks/bench_extract_start.py [--repeats 3] [--extractors r2plus1d_18 i3d resnet50 videomaev2_s]

CPU seconds of the process and of the decoding worker that it starts, the least of the repeats, all in one run: clock
times say nothing on a machine with other work, and CPU seconds of two days can't be compared. Random weights, so that
nothing is downloaded. The clip is one second, which is one window of 16 frames.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from bench_decode import portrait


def cpu_seconds(command: list[str]) -> float:
    """CPU seconds of a command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--extractors", nargs="+", default=["r2plus1d_18", "i3d", "resnet50", "videomaev2_s"])
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        film = portrait(Path(folder), 1, 1)[0]
        csmv = [sys.executable, "-m", "csmv.flows.cli", "features", str(film), "--weights", "random", "--workers", "1"]
        commands = {"import torch": [sys.executable, "-c", "import torch"]}
        for name in asked.extractors:
            commands[name] = [*csmv, "--extractor", name, "--out"]
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for repeat in range(asked.repeats):
            for name, command in commands.items():
                # A file of its own each time: what is there already is not computed again.
                out = [str(Path(folder) / f"{name}{repeat}.npz")] if command[-1] == "--out" else []
                taken[name].append(cpu_seconds([*command, *out]))
    least = {name: min(seconds) for name, seconds in taken.items()}
    print(f"{'':16} {'CPU s':>6} {'of import torch':>16}")
    for name, seconds in least.items():
        print(f"{name:16} {seconds:6.2f} {seconds / least['import torch']:16.2f}")


if __name__ == "__main__":
    main()
