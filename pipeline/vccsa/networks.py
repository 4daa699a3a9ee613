"""From a configuration to the network it names, every one taking a Batch and giving a Prediction."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import NO_LABEL
from csmv.pipeline.vccsa.baselines import EarlyFusion, TextOnly, VideoOnly
from csmv.pipeline.vccsa.batch import Batch, Prediction
from csmv.pipeline.vccsa.batches import Batches, train_statistics
from csmv.pipeline.vccsa.corpus_columns import Strings, TokenIds
from csmv.pipeline.vccsa.data import Corpus
from csmv.pipeline.vccsa.encoder_parts import hold_still, layer_heights
from csmv.pipeline.vccsa.model import Heads, Standardise, Vccsa
from csmv.pipeline.vccsa.paper import PaperConfig, PaperVccsa
from csmv.pipeline.vccsa.text import TextTower, Tokenizer, dim_of, load_encoder, padded_rows_are_equal
from csmv.pipeline.vccsa.token_cache import TokenCache, encoded
from csmv.pipeline.vccsa.train_config import TrainConfig


class PaperNetwork(nn.Module):
    """`vccsa-paper` under the common loop: one-hot labels and the released loss on probabilities."""

    def __init__(self, paper: PaperVccsa) -> None:
        super().__init__()
        self.paper = paper

    def forward(self, batch: Batch) -> Prediction:
        """A missing label is all ones, as in the released loader: its loss sums over all classes."""
        stream = batch.streams[0]
        opinion, emotion, weights = self.paper(
            stream.frames, stream.seen.long(), batch.ids, batch.text_seen.long(), batch.video_of, batch.longest
        )
        opinion, emotion = opinion.float(), emotion.float()
        loss = self.paper.opinion_loss(opinion, _one_hot(batch.opinion, opinion.shape[1]))
        loss = loss + self.paper.emotion_loss(emotion, _one_hot(batch.emotion, emotion.shape[1]))
        return Prediction(opinion, emotion, loss, weights)

    def begin_epoch(self, epoch: int) -> None:
        """Training mode, but for the text encoder in the first epoch: the released loop first sets it after that."""
        self.train()
        if epoch == 0 and self.paper.text_encoder is not None:
            self.paper.text_encoder.eval()


def _one_hot(label: Tensor, classes: int) -> Tensor:
    hot = torch.nn.functional.one_hot(label.clamp(min=0), classes).float()
    return torch.where((label == NO_LABEL).unsqueeze(1), torch.ones_like(hot), hot)


class Assembled(NamedTuple):
    """A network, a corpus in batches for it, and the tokenizer that read the texts, if any were read."""

    network: nn.Module
    batches: Batches
    tokenizer: Tokenizer | None


def assemble(
    config: TrainConfig, corpus: Corpus, encoder_folder: Path | None = None, tokens: TokenCache | None = None
) -> Assembled:
    """The network of a configuration before training; for the folder see `csmv.pipeline.vccsa.text.load_encoder`."""
    if config.model == "video":
        batches = Batches(corpus, config, tokens_of(config, corpus.texts, None), 0)
        return Assembled(build_network(config, None, batches.dims), batches, None)
    encoder, tokenizer = load_encoder(config.text, _most_tokens(config), encoder_folder)
    ids = tokens_of(config, corpus.texts, tokenizer, tokens)
    batches = Batches(corpus, config, ids, tokenizer.pad_id, padded_rows_are_equal(encoder))
    return Assembled(build_network(config, encoder, batches.dims), batches, tokenizer)


def tokens_of(
    config: TrainConfig, texts: Strings, tokenizer: Tokenizer | None, cache: TokenCache | None = None
) -> TokenIds:
    """The texts as the model of a configuration reads them; one that reads none has no tokenizer."""
    if tokenizer is None:
        return TokenIds(np.zeros(len(texts), np.int32), np.ones(len(texts), np.int64))
    if cache is not None:
        return cache.encode(tokenizer, texts, _most_tokens(config))
    return encoded(tokenizer, texts, _most_tokens(config))


def _most_tokens(config: TrainConfig) -> int:
    return config.sizes.paper_text_length if config.model == "vccsa-paper" else config.text.max_tokens


def build_network(config: TrainConfig, encoder: nn.Module | None, video_dims: Sequence[int]) -> nn.Module:
    """The network of `config.model`. Raises CsmvError if sizes don't fit the encoder."""
    sizes, switches = config.sizes, config.switches
    if config.model == "video":
        return VideoOnly(video_dims, sizes, switches)
    if encoder is None:
        raise ValueError(f"model '{config.model}' reads text and needs an encoder")
    dim = dim_of(encoder)
    if dim % sizes.text_heads:
        raise CsmvError(f"The text encoder's width {dim} is not a multiple of text_heads {sizes.text_heads}.")
    still = hold_still(encoder, config.text)
    if config.model == "vccsa-paper":
        return PaperNetwork(PaperVccsa(paper_sizes(config, dim, video_dims[0]), encoder, still))
    tower = TextTower(encoder, config.text.frozen, still)
    if config.model == "text":
        return TextOnly(tower, sizes, switches)
    if config.model == "early-fusion":
        return EarlyFusion(tower, video_dims, sizes, switches)
    return Vccsa(tower, video_dims, sizes, switches)


def frozen_tower(network: nn.Module, config: TrainConfig) -> TextTower | None:
    """The text encoder of a network in which a text's vectors never change, and in which nobody reads padded ones."""
    if config.model == "vccsa-paper" or config.switches.pooling == "max":
        return None
    towers = [module for module in network.modules() if isinstance(module, TextTower) and module.is_frozen]
    return next((one for one in towers if not any(p.requires_grad for p in one.parameters())), None)


def paper_sizes(config: TrainConfig, text_dim: int, video_dim: int) -> PaperConfig:
    """The same sizes under the authors' names."""
    sizes = config.sizes
    return PaperConfig(
        text_len=sizes.paper_text_length,
        visual_length=sizes.visual_length,
        visual_dim=video_dim,
        visual_out_dim=sizes.visual_dim,
        visualcnn_dim=sizes.visual_dim,
        vtalign_ground_dim=sizes.ground_dim,
        text_dim=text_dim,
        multiview_num=sizes.scales,
        consensus_Transformer_head=sizes.consensus_heads,
        consensus_Transformer_fdim=sizes.consensus_dim,
        final_Transformer_head=sizes.text_heads,
        dropout=sizes.dropout,
        groundAttention_head=sizes.ground_heads,
        consensus_layer_num=sizes.consensus_layers,
        consensus_token_num=sizes.consensus_tokens,
    )


def fit_to_data(network: nn.Module, batches: Batches) -> None:
    """Set what is counted rather than learnt: features' mean and spread, and class weights, over train only."""
    layers = [module for module in network.modules() if isinstance(module, Standardise)]
    if layers:
        for layer, (mean, spread) in zip(layers, train_statistics(batches), strict=True):
            layer.mean.copy_(mean)
            layer.spread.copy_(spread)
    rows = batches.corpus.rows("train")
    for heads in (module for module in network.modules() if isinstance(module, Heads)):
        balance = batches.config.switches.class_balance
        heads.class_weights_opinion.copy_(class_weights(batches.corpus.opinion[rows], 3, balance))
        heads.class_weights_emotion.copy_(class_weights(batches.corpus.emotion[rows], 8, balance))


def class_weights(label: np.ndarray, classes: int, balance: str) -> Tensor:
    """A weight for each class whose mean over the labelled comments is 1; a class that never occurs weighs 1.

    `effective` is the effective number of samples with beta 0.999 (Cui et al., CVPR 2019).
    """
    counts = np.bincount(label[label != NO_LABEL], minlength=classes).astype(np.float64)
    some = np.maximum(counts, 1)
    weight = {
        "none": np.ones(classes),
        "inverse": 1 / some,
        "sqrt-inverse": some**-0.5,
        "fourth-root-inverse": some**-0.25,
        "effective": (1 - 0.999) / (1 - 0.999**some),
    }[balance]
    weight = weight * (counts.sum() / max((weight * counts).sum(), 1e-12))
    return torch.from_numpy(np.where(counts > 0, weight, 1.0)).float()


def parameter_groups(network: nn.Module, config: TrainConfig) -> list[dict[str, object]]:
    """Trainable parameters by rate and decay: the text encoder at its own rate, all else at the common one.

    With `text.layer_decay` each layer of the encoder has a rate of its own (Howard and Ruder 2018, "discriminative
    fine-tuning"); without `optimizer.decay_biases_and_norms` what is a vector or a single number is not decayed.
    """
    pretrained = config.text.encoder != "tiny"
    rate = config.optimizer.learning_rate
    text_rate = config.text.learning_rate or (3e-5 if pretrained else rate)
    rates: dict[int, float] = {}
    for tower in (module for module in network.modules() if isinstance(module, TextTower)):
        heights = layer_heights(tower.text_encoder, config.text)
        rates |= {number: text_rate * config.text.layer_decay**below for number, below in heights.items()}
    groups: dict[tuple[bool, float, bool], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            decays = config.optimizer.decay_biases_and_norms or parameter.ndim > 1
            of_text = id(parameter) in rates
            key = (of_text, -rates.get(id(parameter), rate), not decays)
            groups.setdefault(key, []).append(parameter)
    return [
        {"params": chosen, "lr": -rate, "base_lr": -rate} | ({"weight_decay": 0.0} if without else {})
        for (_, rate, without), chosen in sorted(groups.items(), key=lambda group: group[0])
    ]
