"""Any image model of timm on single frames, as `timm:NAME`, and CLIP's image tower as `clip`.

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
from csmv.extractors.registry import register
from csmv.extractors.transforms import PillowShortSide
from csmv.extractors.weights import State, Weights

CLIP = "vit_base_patch32_clip_224.openai"


def _empty(model: str, **options: Any) -> Any:
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
    empty = _empty(model)
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


@register
class Clip(TimmFrames):
    """CLIP ViT-B/32's image embedding (Radford et al. 2021, arXiv:2103.00020), 512 numbers."""

    name = "clip"
    model = CLIP
    dim = 512
    classes = 512
    transform = PillowShortSide(short=224, size=(224, 224), filter="bicubic")
    mean = (0.48145466, 0.4578275, 0.40821073)
    std = (0.26862954, 0.26130258, 0.27577711)
    weights: ClassVar = {
        "openai": Weights(
            url=f"https://huggingface.co/timm/{CLIP}/resolve/main/model.safetensors",
            licence="MIT (openai/CLIP)",
            source=f"timm/{CLIP} on Hugging Face, converted from openai/CLIP ViT-B/32",
        )
    }

    def translate(self, state: State) -> State:
        """open_clip's and OpenAI's own layout too: the image tower is under `visual.`."""
        if not any(key.startswith("visual.") for key in state):
            return state
        from timm.models.vision_transformer import checkpoint_filter_fn

        converted: State = checkpoint_filter_fn(dict(state), _empty(self.model, num_classes=512))
        return converted

    def pictures(self, images: Tensor) -> Tensor:
        vectors: Tensor = self.module(images)  # its head is CLIP's projection
        return vectors

    def logits(self, clips: Tensor | np.ndarray[Any, Any]) -> Tensor:
        raise ExtractorError(f"{self.name} has no classifier: its last layer is a projection.")
