"""Any video or image model of Hugging Face transformers, as `hf:ID` or `hf:FOLDER`.

Video: VideoMAE, TimeSformer, ViViT, V-JEPA 2; images: ViT, DeiT, BEiT, DINOv2, CLIP, SigLIP, Swin and others that have
a classifier. Network, frames, size and preprocessing are what the repository's config.json and preprocessor_config.json
say; only safetensors are read, and no code of a repository is run. The vector is what the model's classifier takes, or
for a model without one what `POOLING` says.
"""

import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import transformers
from PIL import Image
from torch import Tensor, nn

from csmv.extractors.base import Extractor
from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.frames import FrameExtractor
from csmv.extractors.hf_files import Repository, files_sha256, repository
from csmv.extractors.sampling import ClipRule
from csmv.extractors.transforms import PillowResize
from csmv.extractors.weights import Loaded

FRAMES = {"videomae": "num_frames", "timesformer": "num_frames", "vivit": "num_frames", "vjepa2": "frames_per_clip"}
"""Types of video models, and where their config says how many frames they take."""

OURS = "videomaev2"
"""In the name of models that need code of their repository and are extractors of csmv's own."""

PROCESSORS = ("VideoMAE", "Timesformer", "Vivit", "VJEPA2", "ViT", "DeiT", "Beit", "Bit", "CLIP", "Siglip")
"""Processors whose steps are resizing, cutting out the centre, scaling and normalising, on whole grey levels."""


def first_token(output: Any) -> Tensor:
    """the class token after the last layer's norm"""
    vector: Tensor = output.last_hidden_state[:, 0]
    return vector


def mean_of_tokens(output: Any) -> Tensor:
    """the mean of the last layer's tokens"""
    vector: Tensor = output.last_hidden_state.mean(1)
    return vector


def pooled(output: Any) -> Tensor:
    """what the model's own pooling gives"""
    vector: Tensor = output.pooler_output
    return vector.flatten(1)


def projected(output: Any) -> Tensor:
    """the image embedding that is compared with a text's"""
    vector: Tensor = output.image_embeds
    return vector


def before_classifier(output: Any) -> Tensor:
    """what the model's classifier takes"""
    vector: Tensor = output.logits  # its last layer does nothing here
    return vector


Pool = Callable[[Any], Tensor]

POOLING: dict[str, tuple[str, Pool]] = {
    "videomae": ("VideoMAEModel", mean_of_tokens),
    "timesformer": ("TimesformerModel", first_token),
    "vivit": ("VivitModel", first_token),
    "vjepa2": ("VJEPA2Model", mean_of_tokens),
    "vit": ("ViTModel", first_token),
    "vit_msn": ("ViTMSNModel", first_token),
    "deit": ("DeiTModel", first_token),
    "dinov2": ("Dinov2Model", first_token),
    "dinov2_with_registers": ("Dinov2WithRegistersModel", first_token),
    "swin": ("SwinModel", pooled),
    "swinv2": ("Swinv2Model", pooled),
    "clip": ("CLIPVisionModelWithProjection", projected),
    "clip_vision_model": ("CLIPVisionModelWithProjection", projected),
    "siglip": ("SiglipVisionModel", pooled),
    "siglip_vision_model": ("SiglipVisionModel", pooled),
}
"""Type of a model without a classifier -> its class in transformers, and the vector."""


@dataclass(frozen=True)
class Scaling:
    """Values 0..255 to (x * factor - offset - mean) / std."""

    factor: float
    offset: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, clips: Tensor) -> Tensor:
        mean, std = (clips.new_tensor(values).view(3, 1, 1, 1) for values in (self.mean, self.std))
        return (clips * self.factor - self.offset - mean) / std


class HfModel(Extractor):
    """What the models share; `hf_extractor` makes their classes."""

    repository: ClassVar[Repository]
    network_class: ClassVar[Any]
    config: ClassVar[Any]
    pool: ClassVar[Pool]
    scaling: ClassVar[Scaling]
    _classifier: nn.Module | None = None
    _network: nn.Module | None = None

    @classmethod
    def card(cls) -> dict[str, Any]:
        """What there is to know before use: whose vector it is, too, and the revision."""
        of_model = {"vector": str(cls.pool.__doc__), "network": cls.network_class.__name__}
        return super().card() | of_model | ({"revision": cls.repository.commit} if cls.repository.commit else {})

    def build(self, classes: int) -> nn.Module:
        network: nn.Module = self.network_class._from_config(self.config, **_arguments(self.network_class))
        return network

    def folded(self, module: nn.Module) -> nn.Module:
        if type(self).pool is before_classifier:
            self._classifier = module.get_submodule("classifier")
            module.set_submodule("classifier", nn.Identity())
        return module

    def _load(self, weights: str | Path, sha256: str, seed: int) -> Loaded:
        if str(weights) == "random":
            return super()._load(weights, sha256, seed)
        if str(weights) != "default":
            raise ExtractorError(
                f"{self.name} takes the weights of its own repository, 'default' or 'random', not '{weights}': other "
                "weights and their config.json, in a folder, are an extractor of their own, hf:FOLDER."
            )
        files = self.repository.weights_files()
        digest = files_sha256(files)
        if not digest.startswith(sha256):
            raise ExtractorError(f"The weights of {self.name} have sha256 {digest}, but {sha256} was asked for.")
        self._network = _pretrained(self.name, self.network_class, self.config, files[0].parent)
        self.revision = self.repository.commit
        return Loaded({}, "default", digest)

    def _filled(self, loaded: Loaded) -> nn.Module:
        network, self._network = self._network, None
        return super()._filled(loaded) if network is None else network

    def normalise(self, clips: Tensor) -> Tensor:
        return self.scaling(clips)

    def _outputs(self, inputs: Tensor) -> Tensor:
        further = {"skip_predictor": True} if self.network_class.__name__ == "VJEPA2Model" else {}
        output = self.module(**{self.network_class.main_input_name: inputs}, **further)
        return type(self).pool(output)

    @torch.inference_mode()
    def logits(self, clips: Tensor | np.ndarray[Any, Any]) -> Tensor:
        if self._classifier is None:
            return super().logits(clips)
        vectors = self.forward(self.prepared(torch.as_tensor(clips).to(self.device)))
        scores: Tensor = self._classifier.to(vectors.device, vectors.dtype)(vectors)
        return scores.float().mean(1).cpu()

    @property
    def class_names(self) -> list[str]:
        """The classifier's classes, in order."""
        return [str(self.config.id2label[number]) for number in sorted(self.config.id2label)]


class HfVideo(HfModel):
    """A model of windows of frames."""

    def forward(self, clips: Tensor) -> Tensor:
        return self._outputs(clips.transpose(1, 2))[:, None]

    def check(self, batch: Tensor) -> None:
        super().check(batch)
        if batch.shape[1] != self.rule.frames:
            raise ExtractorError(f"{self.name} takes {self.rule.frames} frames a clip, not {batch.shape[1]}.")


class HfImages(HfModel, FrameExtractor):
    """A model of single pictures."""

    def pictures(self, images: Tensor) -> Tensor:
        return self._outputs(images)


@lru_cache(maxsize=32)
def hf_extractor(asked: str) -> type[HfModel]:
    """The extractor class of a repository's id, with @revision if it has one, or of a folder.

    Raises:
        ExtractorError: there is no such model, it needs code of its own, or is of a kind that is not known here.
    """
    if OURS in asked.lower():
        raise _needs_code(asked)
    asked_repository = repository(asked)
    said = asked_repository.config()
    kind, architecture = str(said.get("model_type", "")), next(iter(said.get("architectures") or ()), "")
    if OURS in kind.lower() or (kind not in transformers.CONFIG_MAPPING and said.get("auto_map")):
        raise _needs_code(asked)
    network_class, pool = _network_of(asked, kind, str(architecture))
    try:
        config = network_class.config_class.from_pretrained(asked_repository.folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise ExtractorError(f"The config.json of hf:{asked} can't be used ({_line(error)}).") from None
    transform, scaling = _preprocessing(asked, kind, asked_repository.folder)
    frames = int(getattr(config, FRAMES[kind])) if kind in FRAMES else 0
    members = {
        "__doc__": f"{network_class.__name__} of {asked_repository.name}.",
        "name": f"hf:{asked_repository.name}",
        "repository": asked_repository,
        "network_class": network_class,
        "config": config,
        "pool": staticmethod(pool),
        "scaling": scaling,
        "transform": transform,
        "dim": _width(asked, network_class, config, pool, (frames, *transform.size)),
        "classes": int(config.num_labels) if pool is before_classifier else 0,
    }
    if frames:
        members["rule"] = ClipRule(frames=frames, step=frames)
    return type("HfNetwork", (HfVideo if frames else HfImages,), members)


def _needs_code(asked: str) -> ExtractorError:
    if OURS in asked.lower():
        return ExtractorError(
            f"hf:{asked} needs code of its repository, which is never run: csmv's own videomaev2_b, videomaev2_s and "
            "videomaev2_g are these networks."
        )
    return ExtractorError(f"hf:{asked} needs code of its repository (trust_remote_code), which is never run here.")


def _network_of(asked: str, kind: str, architecture: str) -> tuple[Any, Pool]:
    """transformers' class for a repository, and how its vector comes about."""
    named = getattr(transformers, architecture, None)
    if architecture.endswith(("ForVideoClassification", "ForImageClassification")) and named is not None:
        if architecture.endswith("ForImageClassification") or kind in FRAMES:
            return named, before_classifier
    elif kind in POOLING:
        name, pool = POOLING[kind]
        return getattr(transformers, name), pool
    raise ExtractorError(
        f"hf:{asked} is a '{kind or 'model without a type'}' ({architecture or 'no architecture'}), and no vector of "
        f"such a model is known here: there are {', '.join(POOLING)}, and image models with a classifier."
    )


def _arguments(network_class: Any) -> dict[str, Any]:
    """Without the pooling layer that many checkpoints lack, which would be random."""
    takes = inspect.signature(network_class.__init__).parameters
    return {"dtype": torch.float32} | ({"add_pooling_layer": False} if "add_pooling_layer" in takes else {})


def _width(asked: str, network_class: Any, config: Any, pool: Pool, shape: tuple[int, int, int]) -> int:
    """The length of the vectors, from a forward pass without numbers; checks that size and frames fit, too."""
    frames, height, width = shape
    try:
        with torch.device("meta"), torch.no_grad():
            network = network_class._from_config(config, **_arguments(network_class)).eval()
            if pool is before_classifier:
                if not isinstance(getattr(network, "classifier", None), nn.Linear):
                    raise ValueError("its classifier is not one linear layer")
                network.classifier = nn.Identity()
            pictures = torch.empty((1, frames, 3, height, width) if frames else (1, 3, height, width))
            further = {"skip_predictor": True} if network_class.__name__ == "VJEPA2Model" else {}
            return int(pool(network(**{network_class.main_input_name: pictures}, **further)).shape[-1])
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise ExtractorError(
            f"hf:{asked} can't take {f'{frames} frames' if frames else 'pictures'} of {height}x{width}, which its "
            f"settings ask for ({_line(error)})."
        ) from None


def _pretrained(name: str, network_class: Any, config: Any, folder: Path) -> nn.Module:
    """The network with the safetensors of a folder. ExtractorError if any of its weights is not among them."""
    shown = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity(logging.ERROR)  # what is left over is told, if at all, by the error below
    try:
        network, loading = network_class.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below
            **_arguments(network_class),
        )
    except Exception as error:
        raise ExtractorError(f"The weights of {name} could not be loaded ({_line(error)}).") from error
    finally:
        transformers.logging.set_verbosity(shown)
    missing, wrong = sorted(loading["missing_keys"]), sorted(map(str, loading["mismatched_keys"]))
    if missing or wrong:
        raise ExtractorError(
            f"The weights of {name} do not fit its config.json: {len(missing)} keys missing, {len(wrong)} of another "
            f"shape, the first being '{(missing or wrong)[0]}'."
        )
    module: nn.Module = network
    return module


def _line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:200]}" if text else type(error).__name__


def _preprocessing(asked: str, kind: str, folder: Path) -> tuple[PillowResize, Scaling]:
    """What the repository's processor does, as a transform and a scaling."""
    of_video = kind == "vjepa2" or (kind in FRAMES and (folder / "video_preprocessor_config.json").is_file())
    auto: Any = transformers.AutoVideoProcessor if of_video else transformers.AutoImageProcessor
    further = {} if of_video else {"backend": "pil"}
    try:
        processor = auto.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **further)
    except Exception as error:
        raise ExtractorError(f"hf:{asked} has no preprocessor_config.json that can be used ({_line(error)}).") from None
    family = type(processor).__name__.removesuffix("Pil").removesuffix("Fast")
    if family.removesuffix("ImageProcessor").removesuffix("VideoProcessor") not in PROCESSORS:
        raise ExtractorError(
            f"hf:{asked} has a {family}, whose steps are not known here: there are those of {', '.join(PROCESSORS)}."
        )
    return _transform(asked, processor), _scaling(processor)


def _transform(asked: str, processor: Any) -> PillowResize:
    size, crop = _sides(processor.size), _sides(getattr(processor, "crop_size", None))
    to = (size["height"], size["width"]) if size.get("height") else size.get("shortest_edge")
    cut = (crop["height"], crop["width"]) if getattr(processor, "do_center_crop", False) and crop else None
    final = cut or (to if isinstance(to, tuple) else None)
    if not processor.do_resize or to is None or final is None or size.get("longest_edge"):
        raise ExtractorError(
            f"hf:{asked} should resize pictures to one size, and its settings are size {size}, crop_size {crop}."
        )
    smallest = to if isinstance(to, tuple) else (to, to)
    if any(side > whole for side, whole in zip(final, smallest, strict=True)):
        raise ExtractorError(
            f"hf:{asked} cuts {final[0]}x{final[1]} out of smaller pictures, {smallest[0]}x{smallest[1]}."
        )
    return PillowResize(to=to, size=final, filter=Image.Resampling(int(processor.resample)).name.lower())  # type: ignore[arg-type]


def _sides(size: Any) -> dict[str, int]:
    if size is None:
        return {}
    if isinstance(size, int):
        return {"height": size, "width": size}
    items = (
        size
        if isinstance(size, Mapping)
        else {k: getattr(size, k, None) for k in ("height", "width", "shortest_edge", "longest_edge")}
    )
    return {key: int(value) for key, value in items.items() if value}


def _scaling(processor: Any) -> Scaling:
    of_vivit = type(processor).__name__ == "VivitVideoProcessor"
    mean, std = (tuple(map(float, getattr(processor, key) or ())) for key in ("image_mean", "image_std"))
    return Scaling(
        factor=float(processor.rescale_factor) if processor.do_rescale else 1.0,
        offset=1.0 if processor.do_rescale and getattr(processor, "offset", of_vivit) else 0.0,
        mean=mean if processor.do_normalize else (0.0,) * 3,
        std=std if processor.do_normalize else (1.0,) * 3,
    )
