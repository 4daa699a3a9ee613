"""wav2vec 2.0 (Baevski et al. 2020, arXiv:2006.11477) through transformers: a file, a folder or a Hugging Face id.

Each window's sound is heard by itself, scaled to mean 0 and variance 1 as its feature extractor does; the vector is
the mean of the last layer over time.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2Config, Wav2Vec2Model

from csmv.extractors.audio import AudioExtractor
from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.hf_files import INDEX, WEIGHTS, Repository, files_sha256, repository
from csmv.extractors.registry import register
from csmv.extractors.weights import Loaded, State, Weights, read_checkpoint

DEFAULT = "facebook/wav2vec2-base"
COMMIT = "0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8"
PICKLED = "pytorch_model.bin"
NETWORK = "wav2vec2."
"""Before the keys of the network itself, in files that hold a head as well."""
RENAMED = {
    "conv.weight_g": "conv.parametrizations.weight.original0",
    "conv.weight_v": "conv.parametrizations.weight.original1",
}
"""Ends of keys, as older files have them, of the convolution whose weight is normalised."""


@register
class Wav2Vec2(AudioExtractor):
    """The base model unless `weights` is the directory or id of another."""

    name = "wav2vec2"
    dim = 768
    weights: ClassVar = {
        DEFAULT: Weights(
            url=f"https://huggingface.co/{DEFAULT}/resolve/{COMMIT}/{PICKLED}",
            licence="Apache-2.0",
            source=f"{DEFAULT} on Hugging Face",
            sha256="3249fe98bfc62fcbc26067f724716a6ec49d12c4728a2af1df659013905dff21",
        )
    }

    def build(self, classes: int) -> nn.Module:
        network: nn.Module = Wav2Vec2Model(self._config)
        return network

    def _load(self, weights: str | Path, sha256: str, seed: int) -> Loaded:
        asked = str(weights)
        self._config: Any = Wav2Vec2Config()  # the base model's
        if asked == "random":
            return super()._load(weights, sha256, seed)
        is_a_file = "://" in asked or Path(asked).expanduser().is_file()
        if asked in ("default", DEFAULT) or is_a_file:
            self._config = _without_masking({})
            return super()._load(weights, sha256, seed)
        source = repository(asked)
        self._config = _without_masking(source.config())
        self.dim, self.revision = self._config.hidden_size, source.commit
        files = _files(source)
        digest = files_sha256(files)
        if not digest.startswith(sha256):
            raise ExtractorError(f"The weights of {asked} have sha256 {digest}, but {sha256} was asked for.")
        state: State = {}
        for file in files:
            state |= read_checkpoint(file)
        return Loaded(state, Path(asked).name, digest)

    def translate(self, state: State) -> State:
        """The network's own tensors by their names of today; heads and the vector for masked sound are left out."""
        if any(key.startswith(NETWORK) for key in state):
            state = {key.removeprefix(NETWORK): value for key, value in state.items() if key.startswith(NETWORK)}
        own = self._empty(max(self.classes, 1)).state_dict()
        translated: State = {}
        for key, value in state.items():
            for old, new in RENAMED.items():
                key = key.removesuffix(old) + new if key.endswith(old) else key
            if key in own or key != "masked_spec_embed":
                translated[key] = value
        return translated

    def normalise(self, clips: Tensor) -> Tensor:
        mean = clips.mean(1, keepdim=True)
        variance = clips.var(1, keepdim=True, correction=0)
        return (clips - mean) / torch.sqrt(variance + 1e-7)

    def forward(self, clips: Tensor) -> Tensor:
        dtype = next(self.module.parameters()).dtype
        steps: Tensor = self.module(clips.to(dtype)).last_hidden_state
        return steps.mean(1, keepdim=True)


def _without_masking(settings: dict[str, Any]) -> Wav2Vec2Config:
    """A config by which nothing is masked, as in all use but training, so that no vector for masked sound is needed."""
    kind = settings.get("model_type", "wav2vec2")
    if kind != "wav2vec2":
        raise ExtractorError(f"wav2vec2 takes models whose config.json says 'wav2vec2', and this one says '{kind}'.")
    unmasked = settings | {"mask_time_prob": 0.0, "mask_feature_prob": 0.0}
    config: Wav2Vec2Config = Wav2Vec2Config.from_dict(unmasked)
    return config


def _files(source: Repository) -> list[Path]:
    """The safetensors files; of a folder that has none, its pickled tensors, which are read without running code."""
    pickled = source.folder / PICKLED
    has_others = any((source.folder / name).is_file() for name in (WEIGHTS, INDEX))
    return [pickled] if not source.id and pickled.is_file() and not has_others else source.weights_files()
