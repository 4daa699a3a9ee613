"""What an extractor is: a name, a dim, a clip rule, weights, a frame transform, and a forward pass.

Subclass `Extractor`, fill in the class attributes, write `build` and `forward`, register it. The base class loads
weights, sets precision and checks shapes; it never decodes or batches (the engine does).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from csmv.extractors.contract import check_declared, check_finite, usable_device
from csmv.extractors.cutting import Plan
from csmv.extractors.extractor_errors import ExtractorError, UnknownChoiceError
from csmv.extractors.precision import (
    DTYPES,
    Deviation,
    Dtype,
    compiled,
    compute_dtype,
    fold_batch_norms,
    matmul_mode,
    prepare,
    require_compiler,
    specimen,
)
from csmv.extractors.sampling import CSMV_RULE, ClipRule
from csmv.extractors.transforms import Frames, FrameTransform
from csmv.extractors.weights import (
    Loaded,
    RandomRule,
    State,
    Weights,
    card_of_weights,
    fetched,
    file_sha256,
    is_counter,
    load_strictly,
    random_state,
    read_checkpoint,
    state_sha256,
    without_initialisation,
    without_prefix,
)

Granularity = Literal["clip", "temporal"]


def standardised(clips: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Frames (B, 3, T, H, W) of 0..255 to (x / 255 - mean) / std, a channel each."""
    centre, spread = (clips.new_tensor(values).view(3, 1, 1, 1) for values in (mean, std))
    return (clips / 255 - centre) / spread


def headed(network: nn.Module, classes: int, classifier: str = "fc") -> nn.Module:
    """A torchvision network, without its last layer (at `classifier`) where a weights file has none."""
    if not classes:
        network.set_submodule(classifier, nn.Identity())
    return network


class Extractor(ABC):
    """One network that turns windows of frames (or of sound) into vectors; ready for use once constructed."""

    name: ClassVar[str]
    dim: int
    kind: ClassVar[Literal["clip", "frame", "audio"]] = "clip"
    rule: ClipRule = CSMV_RULE
    weights: ClassVar[Mapping[str, Weights]] = {}
    """Published files by short name; the first is the default."""
    transform: FrameTransform
    granularities: ClassVar[Mapping[str, int]] = {"clip": 1}
    """Vectors a window for each granularity."""
    head: ClassVar[str | tuple[str, ...]] = ""
    """Prefix (or prefixes) of the classifier's keys: features do not depend on it, so its size follows the file's."""
    classes: int = 0
    """Classes of the default head; files with another number are taken too."""
    random_rule: ClassVar[RandomRule] = RandomRule()
    frames_a_window: ClassVar[tuple[int, int] | None] = None
    """The fewest and the most frames that a window may have; None where only its own rule's number will do."""
    frames_a_vector: ClassVar[int] = 0
    """Of `temporal`, where the vectors grow with the window: how many frames each of them is of."""
    weightless: ClassVar[bool] = False
    """Whether there is nothing to load: a fixed computation."""
    revision: str = ""
    """Of weights that lie in a repository: which state of it they were taken from."""
    predecessor: ClassVar[str] = ""
    """The extractor that still does what this one did before its preprocessing changed. Shards of this one say how
    they were made, so that older ones are known, which belong to the predecessor."""
    channels_last: ClassVar[bool] = False
    """Whether the network runs faster in channels-last memory (convolutional ones)."""

    def __init__(
        self,
        weights: str | Path = "default",
        *,
        granularity: Granularity = "clip",
        device: str | torch.device = "cpu",
        dtype: Dtype = "float32",
        sha256: str = "",
        seed: int = 0,
        max_clips: int | None = None,
        rule: ClipRule | None = None,
        compile: bool = False,
        measure: bool = False,
    ) -> None:
        if rule is not None:
            self.check_rule(rule)
            self.rule = rule
        if max_clips is not None:
            self.rule = replace(self.rule, max_clips=max_clips)
        if granularity not in self.granularities:
            granularities = ", ".join(self.granularities)
            raise UnknownChoiceError(f"{self.name} has no granularity '{granularity}': it has {granularities}.")
        if dtype not in DTYPES:
            raise UnknownChoiceError(f"There is no dtype '{dtype}': choose one of {', '.join(DTYPES)}.")
        self.granularity, self.device = granularity, usable_device(device)
        shape = getattr(self, "transform", None)
        check_declared(
            self.name,
            getattr(self, "dim", None),
            self.granularities,
            None if shape is None else getattr(shape, "size", "nothing"),
            getattr(shape, "dtype", None),
        )
        self._templates: dict[int, nn.Module] = {}
        loaded = self._load(weights, sha256, seed)
        self.weights_origin, self.weights_sha256 = loaded.origin, loaded.sha256
        module = self.folded(self._filled(loaded).eval().requires_grad_(False))
        self._run: Callable[[Tensor], Tensor] = self.vectors
        self.deviation: Deviation | None = None
        self.compiled = compile
        if compile:
            require_compiler(self.device)
        if measure and (compile or dtype != "float32"):
            self.deviation = self._set_measured(module, dtype)
        else:
            self._set(module, dtype)
            self._compile()

    def _set(self, module: nn.Module, dtype: Dtype) -> None:
        self.dtype = dtype
        self.module = prepare(module, self.device, dtype, channels_last=self.channels_last)

    def _set_measured(self, module: nn.Module, dtype: Dtype) -> Deviation:
        sample = specimen(self.plan().shape)
        self._set(module, "float32")
        wanted = self.embed(sample)
        self._set(module, dtype)
        self._compile()
        return Deviation.between(self.embed(sample), wanted)

    def _compile(self) -> None:
        """Have `vectors` compiled when it is first called, if that was asked for."""
        if self.compiled:
            self._run = compiled(self.vectors)

    # -- what a subclass writes -------------------------------------------------------------------------------

    @abstractmethod
    def build(self, classes: int) -> nn.Module:
        """The network with random contents, its keys those of the published file; `classes` sizes the head."""

    @abstractmethod
    def forward(self, clips: Tensor) -> Tensor:
        """Normalised clips (B, 3, T, H, W) to vectors (B, N, D), N as `granularities` says for 16 frames."""

    @abstractmethod
    def normalise(self, clips: Tensor) -> Tensor:
        """Frames (B, 3, T, H, W) of values 0..255, float32, to the range the network was trained on."""

    def translate(self, state: State) -> State:
        """A published file's keys to this network's, for files whose layout is another; nothing by default."""
        return state

    def folded(self, module: nn.Module) -> nn.Module:
        """The network with its batch norms folded into the convolutions before them."""
        fold_batch_norms(module)
        return module

    # -- what everybody uses ----------------------------------------------------------------------------------

    @torch.inference_mode()
    def embed(self, clips: Tensor | np.ndarray[Any, Any]) -> Tensor:
        """Clips (B, T, H, W, 3), uint8 or float32 on the same 0..255 scale, to float32 vectors (B, N, D) on the CPU.

        H and W are the network's own size (`transform.size`); T is `rule.frames`, or more where the network can.
        """
        batch = clips if isinstance(clips, Tensor) else torch.from_numpy(np.ascontiguousarray(clips))
        self.check(batch)
        result: Tensor = self.embed_device(batch.to(self.device, non_blocking=True))
        return result.cpu()

    @torch.inference_mode()
    def embed_device(self, batch: Tensor) -> Tensor:
        """`embed` for a batch that is on the device already; float32 result on the device, nothing waited for."""
        with matmul_mode(self.dtype):
            result: Tensor = self._run(batch)
            return result.float() if isinstance(result, Tensor) and result.is_floating_point() else result

    def vectors(self, batch: Tensor) -> Tensor:
        """(B, T, H, W, 3) of 0..255 on the device to (B, N, D)."""
        return self.forward(self.prepared(batch))

    def prepared(self, batch: Tensor) -> Tensor:
        """(B, T, H, W, 3) of 0..255 to normalised (B, 3, T, H, W) in the network's dtype and memory format."""
        clips = self.normalise(batch.permute(0, 4, 1, 2, 3).float()).to(compute_dtype(self.device, self.dtype))
        if self.channels_last:
            return clips.contiguous(memory_format=torch.channels_last_3d)
        return clips.contiguous()

    @torch.inference_mode()
    def logits(self, clips: Tensor | np.ndarray[Any, Any]) -> Tensor:
        """Class scores (B, classes) of the classifier that came with the weights, for checking them."""
        raise ExtractorError(f"{self.name} has no classifier.")

    def check(self, batch: Tensor) -> None:
        """ExtractorError unless `batch` is what `embed` takes."""
        size = self.transform.size
        if 0 in batch.shape:
            raise ExtractorError(f"{self.name} was given no frames: a batch of shape {tuple(batch.shape)}.")
        if batch.ndim != 5 or tuple(batch.shape[2:]) != (*size, 3):
            raise ExtractorError(
                f"{self.name} takes clips of shape (B, T, {size[0]}, {size[1]}, 3), not {tuple(batch.shape)}."
            )
        if batch.dtype not in (torch.uint8, torch.float32):
            raise ExtractorError(f"{self.name} takes uint8 frames (or float32 of 0..255), not {batch.dtype}.")
        check_finite(self.name, batch)

    def plan(self) -> Plan:
        """What decoding has to deliver: extractors with equal plans share their windows."""
        return Plan(self.rule, self.transform)

    def preprocess(self, frames: Frames) -> Frames:
        """Decoded uint8 frames (T, H, W, 3) of any size to the network's own size."""
        return self.transform(frames)

    @property
    def vectors_per_window(self) -> int:
        if self.granularity == "temporal" and self.frames_a_vector:
            return -(-self.rule.frames // self.frames_a_vector)
        return self.granularities[self.granularity]

    @classmethod
    def check_rule(cls, rule: ClipRule) -> None:
        """Raises UnknownChoiceError if a video can't be cut for this extractor by `rule`."""
        fewest, most = cls.frames_a_window or (cls.rule.frames, cls.rule.frames)
        if not fewest <= rule.frames <= most:
            can = f"{fewest} frames a window" if fewest == most else f"{fewest} to {most} frames a window"
            raise UnknownChoiceError(f"{cls.name} takes {can}, not {rule.frames}.")

    @classmethod
    def card(cls) -> dict[str, Any]:
        """What there is to know before use, as plain data."""
        size = getattr(cls, "transform", None)
        return {
            "name": cls.name,
            "about": (cls.__doc__ or "").strip().splitlines()[0] if cls.__doc__ else "",
            "kind": cls.kind,
            "dim": cls.dim,
            "clip rule": str(cls.rule),
            "vectors a window": dict(cls.granularities),
            "input": "sound, 16 kHz mono" if size is None else f"{size.size[0]}x{size.size[1]}",
            "preprocessing": "none" if size is None else repr(size),
            **({"predecessor": cls.predecessor} if cls.predecessor else {}),
            "weights": {key: card_of_weights(value) for key, value in cls.weights.items()},
        }

    # -- weights ----------------------------------------------------------------------------------------------

    @classmethod
    def default_weights(cls) -> Weights | None:
        return next(iter(cls.weights.values()), None)

    def _load(self, weights: str | Path, sha256: str, seed: int) -> Loaded:
        text = str(weights)
        if self.weightless:
            return Loaded({}, "none", state_sha256({}))
        if text == "random":
            made = self.random_state(seed)
            return Loaded(made, "random", state_sha256(made))
        if text == "default" and not self.weights:
            raise ExtractorError(f"{self.name} has no published weights of its own: give a path or URL with --weights.")
        published = next(iter(self.weights.values())) if text == "default" else self.weights.get(text)
        if published is None and text.startswith(("https://", "http://", "file://")):
            published = Weights(text, "unknown", text, sha256, anybodys=True)
        files = [published, *published.beside] if published else []
        self.revision = "+".join(dict.fromkeys(file.revision for file in files if file.revision))
        if files:
            parts = [(file.prefix, *fetched(file)) for file in files]
            state: State = {}
            for prefix, path, _ in parts:
                state |= self._part(read_checkpoint(path), prefix)
        else:
            own = Path(text).expanduser()
            state = read_checkpoint(own)
            parts = [("", own, file_sha256(own))]
        digest = "+".join(part_digest for _, _, part_digest in parts)
        name = " + ".join(path.name for _, path, _ in parts)
        if not digest.startswith(sha256):
            raise ExtractorError(f"{name} has sha256 {digest}, but {sha256} was asked for.")
        return Loaded(state, text if text in ("default", *self.weights) else name, digest)

    def _part(self, state: State, prefix: str) -> State:
        """A file's tensors by the names that they have in the whole network."""
        if not prefix:
            return state
        wanted = [key for key in self._empty(max(self.classes, 1)).state_dict() if key.startswith(prefix)]
        own = without_prefix(state, [key.removeprefix(prefix) for key in wanted])
        return {f"{prefix}{key}": value for key, value in own.items()}

    def random_state(self, seed: int) -> State:
        """Random weights of this network, the same for the same seed."""
        network = self._empty(self.classes)
        if not all(value.is_floating_point() or is_counter(key) for key, value in network.state_dict().items()):
            with without_initialisation():  # it has integers that say how it is wired
                network = self.build(self.classes)
        return random_state(network, self.random_rule, seed)

    def _empty(self, classes: int) -> nn.Module:
        """The network without any memory for its weights: their names and shapes."""
        if classes not in self._templates:
            with torch.device("meta"), without_initialisation():
                self._templates[classes] = self.build(classes)
        return self._templates[classes]

    def _filled(self, loaded: Loaded) -> nn.Module:
        wanted = list(self._empty(max(self.classes, 1)).state_dict())
        state = without_prefix(self.translate(without_prefix(loaded.state, wanted)), wanted)
        classes = self.classes
        if self.head:
            heads = {key: value for key, value in state.items() if key.startswith(self.head)}
            classes = next((v.shape[0] for v in heads.values() if v.ndim >= 2), 0)
        with without_initialisation():
            module = self.build(classes)
        load_strictly(module, state, loaded.origin)
        self.classes = classes
        return module
