"""CPU seconds that a one-line `csmv scrub` takes, beside importing Presidio alone, in the same run.

    python -m tests.benchmarks.bench_scrub_start [--times 5]

Prints the least of each, their ratio, and the least of an empty Python: the machine may be busy, and CPU seconds grow
with that too.
"""

import argparse
import os
import subprocess
import sys

COMMANDS = {
    "csmv scrub": [sys.executable, "-m", "csmv.flows.cli", "scrub"],
    "import presidio_analyzer": [sys.executable, "-c", "import presidio_analyzer"],
    "empty Python": [sys.executable, "-c", "pass"],
}


def cpu_seconds(command: list[str]) -> float:
    """User and system seconds of a process that scrubs a line, and of those that it started."""
    before = os.times()
    subprocess.run(command, input=b"hi @x\n", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    """Measure in turns, so that a busy minute meets all alike."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    times = parser.parse_args().times
    seconds = {name: min(taken) for name, *taken in zip(COMMANDS, *_rounds(times), strict=True)}
    for name, least in seconds.items():
        print(f"{name}: {least:.2f} CPU seconds, the least of {times}")
    print(f"ratio: {seconds['csmv scrub'] / seconds['import presidio_analyzer']:.2f}")


def _rounds(times: int) -> list[list[float]]:
    return [[cpu_seconds(command) for command in COMMANDS.values()] for _ in range(times)]


if __name__ == "__main__":
    main()
