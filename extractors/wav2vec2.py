"""wav2vec 2.0 (Baevski et al. 2020, arXiv:2006.11477) through transformers: a directory or a Hugging Face id.

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
from csmv.extractors.registry import register
from csmv.extractors.weights import Loaded, Weights, file_sha256, random_state, state_sha256

DEFAULT = "facebook/wav2vec2-base"
FILES = ("model.safetensors", "pytorch_model.bin")


@register
class Wav2Vec2(AudioExtractor):
    """The base model unless `weights` is the directory or id of another."""

    name = "wav2vec2"
    dim = 768
    weights: ClassVar = {
        DEFAULT: Weights(
            url=f"https://huggingface.co/{DEFAULT}/resolve/main/pytorch_model.bin",
            licence="Apache-2.0",
            source=f"{DEFAULT} on Hugging Face",
        )
    }

    def build(self, classes: int) -> nn.Module:
        network: nn.Module = Wav2Vec2Model(self._config)
        return network

    def _load(self, weights: str | Path, sha256: str, seed: int) -> Loaded:
        self._config: Any = Wav2Vec2Config()
        if str(weights) == "random":
            state = random_state(self.build(0), self.random_rule, seed)
            return Loaded(state, "random", state_sha256(state))
        source = DEFAULT if str(weights) == "default" else str(weights)
        try:
            network = Wav2Vec2Model.from_pretrained(source)
        except (OSError, ValueError) as error:
            url = f"https://huggingface.co/{source}"
            raise ExtractorError(
                f"wav2vec2 could not be loaded from '{source}' ({type(error).__name__}): put the files of {url} "
                "(config.json and weights) into a directory and give that with --weights."
            ) from None
        self._config, self.dim = network.config, network.config.hidden_size
        state = dict(network.state_dict())
        checkpoint = next((Path(source) / name for name in FILES if (Path(source) / name).is_file()), None)
        digest = file_sha256(checkpoint) if checkpoint else state_sha256(state)
        if not digest.startswith(sha256):
            raise ExtractorError(f"The weights of {source} have sha256 {digest}, but {sha256} was asked for.")
        return Loaded(state, "default" if source == DEFAULT else Path(source).name, digest)

    def normalise(self, clips: Tensor) -> Tensor:
        mean = clips.mean(1, keepdim=True)
        variance = clips.var(1, keepdim=True, correction=0)
        return (clips - mean) / torch.sqrt(variance + 1e-7)

    def forward(self, clips: Tensor) -> Tensor:
        dtype = next(self.module.parameters()).dtype
        steps: Tensor = self.module(clips.to(dtype)).last_hidden_state
        return steps.mean(1, keepdim=True)
