"""Runs a stage of a root in a forked child, as often as asked: libraries and networks load once.

Reads a stage and a root a line, answers with the child's process id, and when the child ends with `done`, `killed` or
`failed`. Each child leads a process group of its own, so that whoever kills it takes its decoding workers along.
"""

import os
import sys
import traceback
from functools import cache

import torch

from csmv.extractors import engine  # noqa: F401
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.features import load
from csmv.pipeline.scrub import Scrubber, ScrubPolicy


@cache
def warm(policy: ScrubPolicy, features: tuple[FeatureConfig, ...]) -> None:
    """Load what the stages need before their work begins, so that children find it and kills fall into the work."""
    Scrubber(policy, names=("good morning",)).scrub(["good morning @someone, call +44 20 7946 0958"])
    for config in features:
        load(config)


def run_stage(root: str, stage: str) -> None:
    dataset = Dataset.open(root)
    dataset.store.sweep()
    dataset.run(stage)


def main() -> None:
    torch.set_num_threads(1)  # before the fork: a pool of threads does not survive one
    for line in sys.stdin:
        stage, root = line.strip().split(" ", 1)
        config = Dataset.open(root).config
        warm(config.scrub, config.features)
        child = os.fork()
        if child == 0:
            os.setsid()
            try:
                run_stage(root, stage)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print("done" if status == 0 else "killed" if os.WIFSIGNALED(status) else "failed", flush=True)


if __name__ == "__main__":
    main()
