"""Any image model of timm on single frames, as `timm:NAME`.

Preprocessing, weights and dim come from timm's own description of the model; nothing is downloaded to learn them.
"""

from typing import Any, ClassVar, Literal

import numpy as np
import timm
import torch
from timm.data.config import resolve_data_config
from torch import Tensor, nn

from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.frames import FrameExtractor
from csmv.extractors.transforms import PillowShortSide
from csmv.extractors.weights import Weights


def empty_model(model: str, **options: Any) -> Any:
    """timm's model without memory for its weights. ExtractorError where there is none of that name."""
    try:
        with torch.device("meta"):
            return timm.create_model(model, pretrained=False, **options)
    except (RuntimeError, ValueError) as error:
        near = timm.list_models(f"*{model.split('.')[0].split('_')[0]}*")[:3]
        hint = f" Perhaps {', '.join(near)}?" if near else ""
        raise ExtractorError(f"timm cannot make a model '{model}' ({error}).{hint}") from None


def preprocessing(config: dict[str, Any]) -> PillowShortSide:
    """timm's evaluation transform: shorter side to size / crop_pct, centre crop."""
    size = config["input_size"][-1]
    kind: Literal["bilinear", "bicubic"] = "bilinear" if config["interpolation"] == "bilinear" else "bicubic"
    return PillowShortSide(short=int(size / config["crop_pct"]), size=(size, size), filter=kind)


def published(model: Any) -> dict[str, Weights]:
    """Where timm keeps the weights of a model; empty where it has none."""
    config = model.pretrained_cfg
    if hub := config.get("hf_hub_id"):
        url = f"https://huggingface.co/{hub}/resolve/main/{config.get('hf_hub_filename') or 'model.safetensors'}"
    elif not (url := config.get("url")):
        return {}
    tag = config.get("tag") or "default"
    return {tag: Weights(url, config.get("license") or "see source", f"timm {timm.__version__}, {tag}")}


class TimmFrames(FrameExtractor):
    """One timm model; subclasses are made by `timm_extractor`."""

    model: ClassVar[str]

    def build(self, classes: int) -> nn.Module:
        network: nn.Module = timm.create_model(self.model, pretrained=False, num_classes=classes)
        return network

    def folded(self, module: nn.Module) -> nn.Module:
        return module  # timm's norms have their activation inside

    def pictures(self, images: Tensor) -> Tensor:
        net: Any = self.module
        vectors: Tensor = net.forward_head(net.forward_features(images), pre_logits=True)
        return vectors

    @torch.inference_mode()
    def logits(self, clips: Tensor | np.ndarray[Any, Any]) -> Tensor:
        batch = self.prepared(torch.as_tensor(clips).to(self.device))
        scores: Tensor = self.module(batch.transpose(1, 2).flatten(0, 1))
        return scores.view(len(batch), -1, scores.shape[1]).float().mean(1).cpu()


def timm_extractor(model: str) -> type[TimmFrames]:
    """The extractor class of a timm model by name, its tag included if it has one."""
    empty = empty_model(model)
    config: dict[str, Any] = resolve_data_config(model=empty)  # type: ignore[no-untyped-call]
    with torch.device("meta"), torch.no_grad():
        image = torch.empty(1, *config["input_size"])
        width = empty.forward_head(empty.forward_features(image), pre_logits=True).shape[-1]
    classifier = empty.pretrained_cfg.get("classifier") or "head"
    return type(
        "TimmModel",
        (TimmFrames,),
        {
            "__doc__": f"timm's {model}.",
            "name": f"timm:{model}",
            "model": model,
            "dim": int(width),
            "classes": int(empty.num_classes),
            "head": f"{classifier}." if isinstance(classifier, str) else "",
            "transform": preprocessing(config),
            "mean": tuple(config["mean"]),
            "std": tuple(config["std"]),
            "weights": published(empty),
        },
    )
