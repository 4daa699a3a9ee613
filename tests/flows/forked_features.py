"""Runs `csmv features` in a forked child, as often as asked: libraries load once.

Reads a command's arguments as JSON a line, answers with the child's process id, and when the child ends with its exit
code, or `killed`. Each child leads a process group of its own. Its extractor, `traced`, notes every window that it
computes in the file that TRACE names: the first digits of its film's grey.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from csmv.extractors import engine  # noqa: F401
from csmv.extractors.base import Extractor
from csmv.extractors.registry import register
from csmv.extractors.transforms import ResizeThenCrop
from csmv.flows.cli import main as csmv
from csmv.pipeline import loose_files  # noqa: F401

SECONDS = 0.03


@register
class Traced(Extractor):
    """The mean grey of a window, computed slowly."""

    name = "traced"
    dim = 1
    weightless = True
    transform = ResizeThenCrop(resize=(36, 36), size=(32, 32))
    granularities: ClassVar = {"clip": 1}

    def build(self, classes: int) -> nn.Module:
        return nn.Identity()

    def normalise(self, clips: Tensor) -> Tensor:
        return clips

    def forward(self, clips: Tensor) -> Tensor:
        grey = clips.mean((1, 2, 3, 4))
        time.sleep(SECONDS)
        with Path(os.environ["TRACE"]).open("a") as trace:
            trace.writelines(f"{round(value / 40)}\n" for value in grey.tolist())
        return grey[:, None, None]


def main() -> None:
    torch.set_num_threads(1)  # before the fork: a pool of threads does not survive one
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            os.environ["TRACE"], *arguments = json.loads(line)
            sys.argv = ["csmv", *arguments]
            try:
                csmv()
            except SystemExit as end:
                os._exit(int(end.code or 0))
            except BaseException:
                os._exit(99)
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print("killed" if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)


if __name__ == "__main__":
    main()
