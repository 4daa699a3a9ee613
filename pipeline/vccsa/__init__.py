"""VC-CSA, which reads a comment together with the video it answers: networks, data, training, evaluation.

Importing the package is cheap; torch is loaded with the first name that needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from csmv.pipeline.vccsa.train_config import TrainConfig

if TYPE_CHECKING:
    from csmv.pipeline.vccsa.paper import build_paper
    from csmv.pipeline.vccsa.training import RunResult, train

__all__ = ["RunResult", "TrainConfig", "build_paper", "train"]

_HOMES = {"build_paper": "paper", "train": "training", "RunResult": "training"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'csmv.pipeline.vccsa' has no attribute '{name}'")

    return getattr(import_module(f"csmv.pipeline.vccsa.{_HOMES[name]}"), name)
