"""What a training run is made from, told from the manifest alone: equal before and after means that nothing changed."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from csmv.pipeline.parts import PARTS
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.stage import digest
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.train_config import TrainConfig

CODE = 2
"""Counts up when a change of training makes equal configurations give other results; older runs are trained anew."""


def code_of(config: TrainConfig) -> str:
    """CODE, and what has changed since for some configurations alone, whose older runs are trained anew."""
    has_changed = config.text.frozen and config.model in ("text", "early-fusion", "vccsa")
    return f"{CODE} frozen encoders without dropout" if has_changed else str(CODE)


def run_inputs(store: Store, config: TrainConfig) -> str:
    """What training depends on but for an encoder's files, so that a finished run is known before anything is read.

    An encoder's files are not part of it: run.json lists them, to be compared without reading them.
    """
    return _with_code(config, inputs_of(store, config))


def is_of_this_code(document: Mapping[str, Any], config: TrainConfig, inputs: Iterable[str]) -> bool:
    """Whether a finished run was trained by code that gives the results of this one.

    Args:
        document: its run.json. Runs of earlier versions have no `code` there; their `inputs` are a digest of it.
        config: its configuration.
        inputs: `inputs_of` of when it was trained, and of now.
    """
    if "code" in document:
        return bool(document["code"] == code_of(config))
    return "inputs" not in document or document["inputs"] in [_with_code(config, one) for one in inputs]


def _with_code(config: TrainConfig, inputs: str) -> str:
    return hashlib.sha256("\n".join([code_of(config), inputs]).encode()).hexdigest()


def inputs_of(store: Store, config: TrainConfig) -> str:
    """A digest of a run's configuration and of the files it reads, without reading one of them.

    Equal digests mean equal inputs. Unequal ones say little: a shard may have been written anew with the same rows.
    """
    sets = [f"features/{name}" for name in config.features] if config.needs_features else []
    lines = [config.identity, str(_split_states(store, config.split))]
    lines += [str(sorted(store.states(table).items())) for table in ("comments", "labels", *sets)]
    parts = [name for table in sets for name in store.files(f"{PARTS}/{table}")]
    if parts:  # rows of parts are read without those that were forgotten since
        lines += [*parts, Forgotten.of(store).digest]
    return digest(*lines)


def _split_states(store: Store, split: str) -> list[str]:
    listed = [name for name in store.files(f"manifest/splits/{split}") if name.endswith(".json")]
    return listed if len(listed) == 1 else [str(store.sha256_of(f"splits/{split}", None))]
