"""What a network's own classifier says of a file: to check that weights and preprocessing fit together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from csmv.extractors.base import Extractor
from csmv.extractors.cutting import cut
from csmv.extractors.decoders import DEFAULT, DecoderName
from csmv.extractors.extractor_errors import ExtractorError


@dataclass(frozen=True)
class Prediction:
    """One class of a file: its number, its name where one is known, and its probability, the mean over windows."""

    number: int
    name: str
    probability: float

    def __str__(self) -> str:
        return f"{self.probability:6.1%} {self.name or f'class {self.number}'}"


def predictions(extractor: Extractor, path: Path, *, most: int = 5, decoder: DecoderName = DEFAULT) -> list[Prediction]:
    """The likeliest classes of a file, the likeliest first.

    Args:
        extractor: loaded, with a classifier.
        path: the file.
        most: how many classes.
        decoder: what decodes it.

    Raises:
        ExtractorError: the extractor or its weights have no classifier.
        MediaError: the file gives nothing.
    """
    if not extractor.classes:
        raise ExtractorError(
            f"{extractor.name} has no classifier, or its weights came without one: nothing to predict."
        )
    seen: list[torch.Tensor] = []

    def take(_plan: int, _number: int, window: np.ndarray) -> None:
        seen.append(extractor.logits(window[None]).double().softmax(1)[0])

    cut(path, (extractor.plan(),), take, decoder=decoder)
    likely = torch.stack(seen).mean(0)
    names = class_names(extractor, len(likely))
    best = likely.argsort(descending=True, stable=True)[:most].tolist()
    return [Prediction(number, names[number] if names else "", float(likely[number])) for number in best]


def class_names(extractor: Extractor, classes: int) -> Sequence[str]:
    """Names of a classifier's classes, in order; empty where none are known.

    Those of hf: models are in their config; of 400 classes, Kinetics-400's in torchvision's order, of 1,000 ImageNet's.
    """
    own = list(getattr(extractor, "class_names", ()))
    if len(own) == classes:
        return own
    if classes == 400:
        from torchvision.models.video import R3D_18_Weights

        kinetics: list[str] = R3D_18_Weights.KINETICS400_V1.meta["categories"]
        return kinetics
    if classes == 1000:
        from torchvision.models import ResNet50_Weights

        imagenet: list[str] = ResNet50_Weights.IMAGENET1K_V2.meta["categories"]
        return imagenet
    return ()
