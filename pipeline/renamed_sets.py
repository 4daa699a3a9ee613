"""Gives feature sets made before their extractor changed its preprocessing the name under which the old way goes on.

Nothing is lost if it is interrupted: what a set had under its old name goes last, and running this again goes on.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from csmv.pipeline.config import rename_features
from csmv.pipeline.errors import CsmvError, parsed_json
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.feature_sets import made_from_of_footer, made_with, moved_to, set_footer
from csmv.pipeline.parts import PARTS, add_part, open_part, part_names
from csmv.pipeline.progress import track
from csmv.pipeline.root import CONFIG_FILE
from csmv.pipeline.schemas import TableSpec
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.inputs import run_inputs
from csmv.pipeline.vccsa.run_files import config_in, document_bytes
from csmv.pipeline.vccsa.train_config import TrainConfig


def rename_moved_sets(store: Store, note: Callable[[str], None] = lambda _line: None) -> list[str]:
    """Rename every feature set of a root whose extractor does otherwise now; the vectors stay as they are.

    Trained runs and the configuration follow, but for a dataset.yaml that a person wrote.

    Args:
        store: the root.
        note: is told what a person has to do.

    Returns:
        The names that the sets have now, sorted.

    Raises:
        CsmvError: a set of the new name is there already and holds other vectors.
    """
    moved: dict[str, FeatureConfig] = {}
    for name in _set_names(store):
        if moved_to(set_footer(store, name)):
            asked = made_with(store, name)
            assert asked is not None
            moved[name] = asked
    if not moved:
        return []
    with track("migrate", len(moved) * len(list(store.shards()))) as tick:
        for name, asked in moved.items():
            for shard in store.shards():
                _copy_shard(store, name, asked, shard)
                tick(1)
    runs = _runs_to_rename(store, moved)
    is_whole = rename_features(store, moved)
    for path, document, config, was_current in runs:
        document["config"] = config.model_dump(mode="json")
        if was_current:
            document["inputs"] = run_inputs(store, config)
        store.write_file(path, document_bytes(document))
    for name in moved:
        _remove(store, name)
    for name, asked in sorted(moved.items()):
        store.note({"event": "rename", "from": f"features/{name}", "to": asked.table})
        if not is_whole:
            note(
                f"features/{name} is {asked.table} now, and {CONFIG_FILE} was written by a person: to go on with it, "
                f"write `extractor: '{asked.extractor}'` under features and `{asked.name}` under train."
            )
    return sorted(asked.name for asked in moved.values())


def _set_names(store: Store) -> list[str]:
    folders = [*store.files("features"), *(name.removeprefix(f"{PARTS}/") for name in store.files(f"{PARTS}/features"))]
    return sorted({name.split("/")[1] for name in folders})


def _copy_shard(store: Store, name: str, asked: FeatureConfig, shard: int) -> None:
    """What the set has of a shard, under its new name too."""
    old = f"features/{name}"
    rows = store.read(old, shard, remake=True)
    if rows is not None:
        renamed = _named(rows, asked)
        existing = store.read(asked.table, shard, remake=True)
        if existing is not None and existing.num_rows and not existing.equals(renamed.select(existing.column_names)):
            raise CsmvError(
                f"{old} would become {asked.table}, which is there already with other vectors (shard {shard}): delete "
                "one of the two, and run this again."
            )
        spec = TableSpec(renamed.schema, key=("video_id",))
        store.write(asked.table, shard, renamed, spec, made_from=made_from_of_footer(renamed.schema.metadata))
    for part in part_names(store, old, shard):
        with open_part(store, part) as file:
            if file is not None:
                add_part(store, asked.table, shard, _named(file.read(), asked))
    failures = store.read(f"failures/{old}", shard, remake=True)
    if failures is not None:
        store.write(f"failures/{asked.table}", shard, failures)


def _named(rows: pa.Table, asked: FeatureConfig) -> pa.Table:
    metadata = {**(rows.schema.metadata or {}), b"extractor": asked.extractor.encode()}
    return rows.replace_schema_metadata(metadata)


def _runs_to_rename(
    store: Store, moved: Mapping[str, FeatureConfig]
) -> list[tuple[str, dict[str, Any], TrainConfig, bool]]:
    """The runs trained on such a set: run.json, what it says, its new configuration, whether it was current."""
    runs = []
    for path in (path for path in store.files("models") if path.endswith("/run.json")):
        document = dict(parsed_json(store.read_file(path), path))
        config = config_in(document, path.split("/")[1])
        if isinstance(config, TrainConfig) and set(config.features) & set(moved):
            names = tuple(moved[name].name if name in moved else name for name in config.features)
            is_current = document.get("inputs") == run_inputs(store, config)
            runs.append((path, document, config.replace({"features": names}), is_current))
    return runs


def _remove(store: Store, name: str) -> None:
    """Delete a set: its unfinished parts, its failures, its shards, and last what lists them."""
    old = f"features/{name}"
    for folder in (f"{PARTS}/{old}", f"failures/{old}", f"manifest/failures/{old}", old, f"manifest/{old}"):
        for file in store.files(folder):
            store.remove(file)
