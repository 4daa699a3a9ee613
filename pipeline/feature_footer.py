"""What a feature set says of how it was made; knows no root, so that features of loose files start without one."""

from typing import TYPE_CHECKING

from csmv.extractors.decoders import DEFAULT, DecoderName, decoder_version
from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.registry import extractor_class
from csmv.pipeline.feature_config import FeatureConfig

if TYPE_CHECKING:
    from csmv.extractors.base import Extractor

PREPROCESSING = "preprocessing"
"""In a footer: what was done with frames before the network, said by extractors that once did otherwise."""

COMPILED, YES, NO = "compiled", "yes", "no"
"""In a footer: whether torch.compile made the network's kernels; left out where it did not."""


def footer(config: FeatureConfig, network: "Extractor") -> dict[str, str]:
    """What a shard's footer says of how its numbers were made."""
    import av
    import torch

    metadata = {
        "extractor": config.extractor,
        "weights": network.weights_origin,
        "weights_sha256": network.weights_sha256,
        "clip_rule": str(network.rule),
        "max_clips": str(network.rule.max_clips),
        "dtype": config.dtype,
        "granularity": config.granularity,
        "storage": config.storage,
        "device": network.device.type,
        "versions": f"torch {torch.__version__.split('+')[0]}, av {av.__version__}",
    }
    if (decoder := decoder_used(config)) != DEFAULT:  # left out for the default, so that old footers say the same
        metadata |= {"decoder": decoder, "versions": f"{metadata['versions']}, {decoder_version(decoder)}"}
    if network.revision:
        metadata["weights_revision"] = network.revision
    if network.compiled:
        metadata[COMPILED] = YES
    if network.predecessor:
        metadata[PREPROCESSING] = repr(network.transform)
    if network.device.type == "cpu":
        # The order of summation, so the last digits, hangs on it.
        metadata["cpu_threads"] = str(torch.get_num_threads())
    if network.deviation is not None:
        metadata["deviation_from_float32"] = str(network.deviation)
    return metadata


def decoder_used(config: FeatureConfig) -> DecoderName:
    """The decoder that decides a set's numbers: the default for a set of sound, which no other decodes."""
    if config.decoder == DEFAULT:
        return DEFAULT
    try:
        return DEFAULT if extractor_class(config.extractor).kind == "audio" else config.decoder
    except ExtractorError:  # a plugin that this machine lacks
        return config.decoder
