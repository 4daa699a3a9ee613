"""VC-CSA, which reads a comment together with the video it answers: networks, data, training, evaluation.

Importing the package is cheap; torch is loaded with the first name that needs it.
"""

from typing import TYPE_CHECKING, Any

from pipeline.vccsa.config import TrainConfig

if TYPE_CHECKING:
    from pipeline.vccsa.paper import build_paper

__all__ = ["TrainConfig", "build_paper"]


def __getattr__(name: str) -> Any:
    if name != "build_paper":
        raise AttributeError(f"module 'pipeline.vccsa' has no attribute '{name}'")
    from pipeline.vccsa.paper import build_paper

    return build_paper
