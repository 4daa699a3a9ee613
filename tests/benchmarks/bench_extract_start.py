"""What a whole command on one short video costs: CPU seconds of `csmv features` beside those of `import torch`.

    python tests/benchmarks/bench_extract_start.py [--repeats 3] [--extractors r2plus1d_18 i3d ...] [--before FOLDER]

CPU seconds of the process and of the decoding worker that it starts, the least of the repeats, all in one run: clock
times say nothing on a machine with other work, and CPU seconds of two days can't be compared. Random weights, so that
nothing is downloaded. The clip is one second, which is one window of 16 frames. With --before, a folder that holds an
earlier state of the package `csmv`, its command for the first extractor runs in turn with them, and each command is
compared with that one: at most 0.60 is asked.
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

BEFORE = "before"


def cpu_seconds(command: list[str], **environment: str) -> float:
    """CPU seconds of a command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=variables)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--extractors", nargs="+", default=["r2plus1d_18", "i3d", "resnet50", "videomaev2_s"])
    arguments.add_argument("--before", type=Path, help="a folder that holds an earlier state of the package csmv")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        film = portrait(Path(folder), 1, 1)[0]
        csmv = [sys.executable, "-m", "csmv.flows.cli", "features", str(film), "--weights", "random", "--workers", "1"]
        commands = {"import torch": [sys.executable, "-c", "import torch"]}
        for name in asked.extractors:
            commands[name] = [*csmv, "--extractor", name, "--out"]
        if asked.before:
            commands[BEFORE] = commands[asked.extractors[0]]
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for repeat in range(asked.repeats):
            for name, command in commands.items():
                # A file of its own each time: what is there already is not computed again.
                out = [str(Path(folder) / f"{name}{repeat}.npz")] if command[-1] == "--out" else []
                older = {"PYTHONPATH": str(asked.before.resolve())} if name == BEFORE else {}
                taken[name].append(cpu_seconds([*command, *out], **older))
    least = {name: min(seconds) for name, seconds in taken.items()}
    bases = ["import torch", *([BEFORE] if asked.before else [])]
    print(f"{'':28} {'CPU s':>6} " + " ".join(f"{'of ' + base:>16}" for base in bases))
    for name, seconds in least.items():
        print(f"{name:28} {seconds:6.2f} " + " ".join(f"{seconds / least[base]:16.2f}" for base in bases))


if __name__ == "__main__":
    main()
