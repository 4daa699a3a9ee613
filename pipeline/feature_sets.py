"""Feature sets: how one is asked for, what its shards' footers say of how it was made, and whether the two agree."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from csmv.extractors.decoders import DEFAULT
from csmv.extractors.registry import predecessor_of
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.feature_footer import COMPILED, NO, PREPROCESSING, YES, decoder_used
from csmv.pipeline.manifest import without_identity
from csmv.pipeline.own_weights import last_path
from csmv.pipeline.parts import open_part, part_names
from csmv.pipeline.store import Store
from csmv.pipeline.validated import parse

_DECIDES = ("extractor", "weights_sha256", "clip_rule", "granularity", "dtype", "storage")
"""What of a footer decides the numbers: the rest (threads, versions, device) moves their last digits only."""

_SOMETIMES = ("decoder", PREPROCESSING, COMPILED)
"""The same, said by some footers only: older ones without them keep their digest."""


def made_from_of_footer(metadata: Mapping[bytes, bytes]) -> str:
    """The digest of the settings that a set's shards are made with."""
    names = (*_DECIDES, *(name for name in _SOMETIMES if name.encode() in metadata))
    deciding = {key: metadata.get(key.encode(), b"").decode() for key in names}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def vectors_of(footer: Mapping[str, str]) -> dict[str, str]:
    """What of a feature set's footer says which vectors these are, under whatever name its extractor goes."""
    return {key: footer[key] for key in ("weights_sha256", "clip_rule", "granularity") if key in footer}


def read_footer(store: Store, table: str, shard: int) -> dict[str, str] | None:
    """The metadata of a feature shard, or of one of its parts; None where there is neither."""
    metadata = store.footer(table, shard, remake=True)
    for name in part_names(store, table, shard) if metadata is None else ():
        with open_part(store, name) as file:
            metadata = None if file is None else file.schema_arrow.metadata
        if metadata is not None:
            break
    return None if metadata is None else said_by(metadata)


def said_by(metadata: Mapping[bytes, bytes]) -> dict[str, str]:
    """What the metadata of a feature shard say of how it was made."""
    return {key.decode(): value.decode() for key, value in without_identity(dict(metadata)).items()}


def moved_to(metadata: Mapping[str, str]) -> str:
    """The extractor to which a shard belongs now that the one it names does otherwise; empty if it does as it did."""
    return "" if PREPROCESSING in metadata else predecessor_of(metadata.get("extractor", ""))


def refuse_moved(store: Store, table: str, metadata: Mapping[str, str]) -> None:
    """Raises CsmvError if a feature set's footer is of before its extractor's preprocessing changed."""
    if extractor := moved_to(metadata):
        raise CsmvError(
            f"{table} was made by '{metadata['extractor']}' as it was before its preprocessing changed, which is "
            f"'{extractor}' now: `csmv migrate {store.root}` gives the set that name, and '{metadata['extractor']}' "
            "can be extracted anew."
        )


def set_footer(store: Store, name: str) -> dict[str, str]:
    """The metadata of the feature set `name`, from its first shard; empty where there is none."""
    footers = (read_footer(store, f"features/{name}", shard) for shard in store.shards())
    return next((metadata for metadata in footers if metadata is not None), {})


def made_with(store: Store, name: str) -> FeatureConfig | None:
    """How the feature set `name` of a root was made, as its shards' footers say; None where they don't.

    A weights file is looked for where it was used last, then by its name: here, and among the downloaded weights.

    Raises:
        CsmvError: the footer says something that no feature set can be made with.
    """
    metadata = set_footer(store, name)
    if "extractor" not in metadata:
        return None
    names = ("extractor", "granularity", "dtype", "storage", "decoder")
    asked: dict[str, Any] = {key: metadata[key] for key in names if key in metadata}
    asked["compile"] = metadata.get(COMPILED) == YES
    asked["extractor"] = moved_to(metadata) or metadata["extractor"]
    asked |= {"device": metadata.get("device", "cpu"), "weights": _weights_named(store, metadata)}
    # Footers by earlier versions have the number only inside the rule.
    most = re.search(r"at most (\d+)", metadata.get("clip_rule", ""))
    if number := metadata.get("max_clips", most[1] if most else ""):
        asked["max_clips"] = number
    return parse(FeatureConfig, asked, f"The footers of features/{name}")


def _weights_named(store: Store, metadata: dict[str, str]) -> str:
    """What to ask an extractor for, so that it loads the weights that a footer speaks of."""
    from csmv.extractors.weights import cache_dir

    origin = metadata.get("weights", "default")
    if origin == "none":
        return "default"
    last = last_path(store, metadata.get("weights_sha256", ""))
    if last is not None and last.name == origin and last.is_file():
        return str(last)
    downloaded = cache_dir() / origin
    return str(downloaded) if not Path(origin).exists() and downloaded.is_file() else origin


def disagreement(store: Store, shard: int, config: FeatureConfig) -> str:
    """How a shard that is there was made otherwise than is asked for, in a sentence; empty if it was not."""
    try:
        check_settings(store, shard, config)
        if "max_clips" in (metadata := read_footer(store, config.table, shard) or {}):
            _compare(config, shard, metadata, {"max_clips": str(config.max_clips)})
    except CsmvError as error:
        return str(error)
    return ""


def check_settings(store: Store, shard: int, config: FeatureConfig) -> None:
    """What is asked for, as far as that needs no network, against a shard that is there.

    Raises:
        CsmvError: the shard was made otherwise.
    """
    metadata = read_footer(store, config.table, shard)
    if metadata is None:
        return
    refuse_moved(store, config.table, metadata)
    metadata = {"decoder": DEFAULT, COMPILED: NO} | metadata
    asked = {"extractor": config.extractor, "dtype": config.dtype, "storage": config.storage}
    asked["decoder"] = decoder_used(config)
    asked[COMPILED] = YES if config.compile else NO
    if config.weights in ("random", "default") and metadata.get("weights") != "none":
        asked["weights"] = config.weights
    _compare(config, shard, metadata, asked)
    if config.sha256 and not metadata.get("weights_sha256", "").startswith(config.sha256):
        _compare(config, shard, metadata, {"weights_sha256": config.sha256})


def check_weights(store: Store, shard: int, config: FeatureConfig, asked: dict[str, str]) -> None:
    """What a loaded network says of itself, against a shard that is there. Raises CsmvError if they differ."""
    metadata = read_footer(store, config.table, shard)
    if metadata is not None:
        names = ["weights_sha256", "clip_rule", "granularity", "device"]
        names += [name for name in (PREPROCESSING,) if name in asked]
        _compare(config, shard, metadata, {name: asked[name] for name in names})


def _compare(config: FeatureConfig, shard: int, metadata: dict[str, str], asked: dict[str, str]) -> None:
    for key, value in asked.items():
        if metadata.get(key) != value:
            raise CsmvError(
                f"{config.table}, shard {shard}, was made with {key} '{metadata.get(key)}', and '{value}' is asked "
                f"for: ask for the same, or delete {config.table} to make it anew."
            )
