"""The stage `train`: every training run of the configuration, each with its evaluation on dev and test."""

import json
from importlib import import_module
from typing import Any

from csmv.pipeline.errors import CsmvError, parsed_json
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.feature_sets import read_footer
from csmv.pipeline.labels import resolve
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import require_labels
from csmv.pipeline.stage import DatasetView, Needs, Stage, Tick, Unit, digest
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.inputs import code_of, inputs_of, is_of_this_code
from csmv.pipeline.vccsa.run_files import finished_document, why_failed
from csmv.pipeline.vccsa.train_config import TrainConfig, default_run_name


class TrainStage(Stage):
    """Every training run of the configuration."""

    name = "train"
    summary = "models of the labelled comments, trained and scored on dev and test"
    section = "train"
    unit = Unit.ENTRY
    reads = ("comments", "labels", "splits/<name>", "features/<set>")
    writes = ("models/<run>",)
    needs = Needs(gpu=True, network=True, memory_gb=8)
    retries = 0
    timeout_s = 7 * 24 * 3600.0

    def units(self, dataset: DatasetView) -> list[str]:
        """The runs' names."""
        return [default_run_name(config) for config in self._entries(dataset)]

    def missing(self, dataset: DatasetView) -> list[str]:
        """Runs that are not finished, or were trained on other data."""
        stale = self.stale(dataset)
        return [unit for unit in self.units(dataset) if unit in stale or _recorded(dataset.store, unit) is None]

    def stale(self, dataset: DatasetView) -> dict[str, str]:
        """Finished runs of earlier training code, or whose split, comments, labels or features have changed since."""
        changed = {}
        data = None
        for config in self._entries(dataset):
            run = default_run_name(config)
            recorded, document = _recorded(dataset.store, run), finished_document(dataset.store, run)
            if recorded is None or document is None:
                continue
            inputs = inputs_of(dataset.store, config)
            if not is_of_this_code(document, config, (recorded.get("inputs", ""), inputs)):
                changed[run] = "it was trained by an earlier version of csmv, and this one would train it otherwise"
            if run in changed or recorded.get("inputs") == inputs:
                continue
            # Something was written since: whether it says something else, only reading it tells.
            data = data or _labelled_texts(dataset.store)
            if recorded["made_from"] != _made_from(dataset.store, config, data):
                changed[run] = "its split, comments, labels or features have changed since it was trained"
        return changed

    def code(self, dataset: DatasetView) -> str:
        """The training code's numbers."""
        return "".join(sorted({f"/{code_of(config)}" for config in self._entries(dataset)}))

    def note(self, dataset: DatasetView) -> str:
        """Which runs failed, since they are missing and stay so until something changes."""
        failed = [unit for unit in self.units(dataset) if why_failed(dataset.store, unit) is not None]
        if not failed:
            return ""
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        return f"{failed[0]}{more} failed, since its numbers were not finite; models/<run>/failed.json says where"

    def prepare(self, dataset: DatasetView) -> None:
        """Raises CsmvError where a run could not begin: no labels, no such split, no such features."""
        entries = self._entries(dataset)
        if not entries:
            raise CsmvError("There is nothing to train: dataset.yaml has no train section. Use `csmv train`.")
        require_labels(dataset.store, "Training")
        splits = {*dataset.store.split_names(), *(one.title for one in dataset.entries("splits", SplitConfig))}
        sets = {name.split("/")[1] for name in dataset.store.files("features") if name.count("/") > 1}
        sets |= {one.name for one in dataset.entries("features", FeatureConfig)}
        for config in entries:
            if config.split not in splits:
                raise CsmvError(
                    f"Training '{config.model}' needs the split '{config.split}', which is neither in the root nor in "
                    "dataset.yaml's splits: add it there."
                )
            lacking = [name for name in config.features if config.needs_features and name not in sets]
            if lacking:
                raise CsmvError(
                    f"Training '{config.model}' needs the feature set '{lacking[0]}', which is neither in the root nor "
                    "in dataset.yaml's features: add it there."
                )

    def run(self, dataset: DatasetView, unit: str, tick: Tick) -> None:
        """One training run."""
        [config] = [config for config in self._entries(dataset) if default_run_name(config) == unit]
        inputs = inputs_of(dataset.store, config)
        made_from = _made_from(dataset.store, config, _labelled_texts(dataset.store))
        # By name, because it loads torch, which `csmv status` has no use for.
        import_module("csmv.pipeline.vccsa.training").train(dataset.store, config, overwrite="changed")
        dataset.store.write_file(_record(unit), json.dumps({"made_from": made_from, "inputs": inputs}).encode())
        tick(1)

    def _entries(self, dataset: DatasetView) -> tuple[TrainConfig, ...]:
        return dataset.entries(self.section, TrainConfig)


def _record(run: str) -> str:
    return f"models/{run}/made_from.json"


def _recorded(store: Store, run: str) -> dict[str, Any] | None:
    """What a finished run was made from; None while it is not finished."""
    data = store.read_if_there(_record(run))
    if data is None or not store.exists(f"models/{run}/run.json"):
        return None
    return dict(parsed_json(data, _record(run)))


def _labelled_texts(store: Store) -> str:
    comments = store.read_all("comments", ["comment_id", "video_id", "text"]).sort_by("comment_id")
    return digest(comments, resolve(store.read_all("labels")))


def _made_from(store: Store, config: TrainConfig, data: str) -> str:
    """A digest of what decides a run, without reading a vector: features by the videos they have and their footers."""
    sets = config.features if config.needs_features else ()
    lines = [config.identity, data]
    if config.split in store.split_names():
        lines.append(digest(store.read_split(config.split)))
    for table in (f"features/{name}" for name in sets):
        for shard in store.shards():
            footer = read_footer(store, table, shard)
            if footer is not None:
                lines += [table, str(sorted(footer.items())), digest(_videos(store, table, shard))]
    return digest(*lines)


def _videos(store: Store, table: str, shard: int) -> Any:
    return store.read_columns(table, shard, ["video_id", "media_sha256"])
