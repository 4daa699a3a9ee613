"""Which parts of a text encoder are trained, and how fast: its layers, those that stay still, low-rank additions."""

from typing import Any

from torch import nn

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.vccsa.train_config import TextConfig

_BELOW_ALL_LAYERS = ("embed", "relative")
"""In the names of parameters that every layer builds on: embeddings, and biases of distance that layers share."""


def text_layers(encoder: nn.Module) -> list[nn.Module]:
    """The layers of an encoder, the lowest first.

    Raises:
        CsmvError: they can't be told from the rest, as where all layers share their weights.
    """
    settings = getattr(encoder, "config", None)
    counts = {
        getattr(settings, name, None) for name in ("num_hidden_layers", "num_layers", "n_layers", "encoder_layers")
    }
    for module in encoder.modules():
        if isinstance(module, nn.ModuleList) and len(module) in counts:
            return list(module)
    kind = getattr(settings, "model_type", "tiny")
    raise CsmvError(
        f"text.frozen_layers and text.layer_decay need an encoder with layers of their own, and this one ('{kind}') "
        "has none that can be told apart: leave both out, or take a BERT, RoBERTa, MPNet or DistilBERT."
    )


def layer_heights(encoder: nn.Module, config: TextConfig) -> dict[int, int]:
    """How many steps of `layer_decay` each parameter of an encoder lies below the top, by its `id`.

    The top layer and what comes after the layers are at 0, the layer below at 1, embeddings one below the lowest layer.
    """
    if config.layer_decay == 1:
        return {id(parameter): 0 for parameter in encoder.parameters()}
    layers = text_layers(encoder)
    heights = {
        id(parameter): len(layers) if any(word in name for word in _BELOW_ALL_LAYERS) else 0
        for name, parameter in encoder.named_parameters()
    }
    for below, layer in enumerate(reversed(layers)):
        heights |= {id(parameter): below for parameter in layer.parameters()}
    return heights


def hold_still(encoder: nn.Module, config: TextConfig) -> list[nn.Module]:
    """Take from training what the configuration says; changes the encoder.

    Returns:
        The parts that stay still as a whole, and so need no dropout.

    Raises:
        CsmvError: the encoder has no such parts, or peft is missing.
    """
    if config.frozen:
        encoder.requires_grad_(False)
    if config.lora_rank:
        _add_low_rank(encoder, config)
    if not config.frozen_layers:
        return []
    layers = text_layers(encoder)
    if config.frozen_layers > len(layers):
        raise CsmvError(
            f"text.frozen_layers is {config.frozen_layers}, and the text encoder has {len(layers)} layers: name fewer, "
            "or set text.frozen to train none."
        )
    still = layers[: config.frozen_layers]
    in_layers = {id(module) for layer in layers for module in layer.modules()}
    for name, module in encoder.named_modules():
        if id(module) not in in_layers and any(word in name.rpartition(".")[2] for word in _BELOW_ALL_LAYERS):
            still.append(module)
    for part in still:
        part.requires_grad_(False)
    return still


def _add_low_rank(encoder: nn.Module, config: TextConfig) -> None:
    """Hu et al. 2022, by peft, on the projections to queries and values that peft names for the architecture."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError:
        raise CsmvError("text.lora_rank needs the library peft: install csmv with the extra `lora`.") from None
    kind: Any = getattr(getattr(encoder, "config", None), "model_type", "tiny")
    targets = ["q", "v"] if kind == "mpnet" else None  # which peft does not list
    settings = LoraConfig(r=config.lora_rank, lora_alpha=config.lora_alpha, lora_dropout=0.0, target_modules=targets)
    try:
        inject_adapter_in_model(settings, encoder)
    except ValueError as error:
        raise CsmvError(
            f"text.lora_rank: peft does not know where a '{kind}' encoder has the projections of its attention "
            f"({str(error).splitlines()[0][:120]}): set text.frozen_layers instead, or take a BERT, RoBERTa or MPNet."
        ) from None
