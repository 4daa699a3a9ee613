"""What a training run is made from, told from the manifest alone: equal before and after means that nothing changed."""

from csmv.pipeline.parts import PARTS
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.stage import digest
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.train_config import TrainConfig


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
