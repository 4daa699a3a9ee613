"""`Dataset.open(root)`: a dataset root in Python, its tables, its stages and how far each of them is.

dataset = Dataset.open("roots/mine")
dataset.comments().to_pandas()
dataset.features("i3d")["7401234567890123456"]   # (T, D)
dataset.run("features")
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa

from csmv.pipeline.config import DatasetConfig, create_root, read_config
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_arrays import Vectors
from csmv.pipeline.progress import track
from csmv.pipeline.release.leakage import current_leakage
from csmv.pipeline.scrub import ScrubPolicy
from csmv.pipeline.scrub.model_files import state_of
from csmv.pipeline.sources.base import Reach, Source
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.stage import Section, Stage, StageStatus, Unit, UnitReport, named, shard_name
from csmv.pipeline.stages import STAGES
from csmv.pipeline.status import Overview, look
from csmv.pipeline.store import Store
from csmv.pipeline.validated import parse
from csmv.pipeline.vccsa.video_features import load_features
from csmv.pipeline.work import do_unit, sweep_work


class Dataset:
    """A dataset root with its configuration: what the stages work on, and the public Python API.

    Args:
        store: the root's files and tables.
        config: its configuration.
        reach: how this machine reaches the outside, where a stage has to.
        workers: how many share the landing of a source.
        retry_failed: try once more what failed for good.
        changes: field -> value, laid over the section of the stage that is run; `sizes.scales` names an inner field.
        changed: the section that `changes` are for.
    """

    def __init__(
        self,
        store: Store,
        config: DatasetConfig,
        *,
        reach: Reach | None = None,
        workers: int = 1,
        retry_failed: bool = False,
        changes: Mapping[str, Any] | None = None,
        changed: str = "",
    ) -> None:
        self.store = store
        self.config = config
        self.reach = reach or Reach()
        self.workers = workers
        self.retry_failed = retry_failed
        self._changes = dict(changes or {})
        self._changed = changed

    @classmethod
    def open(cls, root: str, **more: Any) -> "Dataset":
        """The dataset at `root`, a folder or an fsspec URL; `more` as for the class.

        Raises:
            CsmvError: there is none, or it can't be trusted.
        """
        store = Store.open(root)
        return cls(store, read_config(store), **more)

    @classmethod
    def create(
        cls, root: str, config: DatasetConfig, text: str | None = None, *, replace_source: bool = False, **more: Any
    ) -> "Dataset":
        """The dataset at `root`, made by `config` or checked to be that: see `csmv.pipeline.config.create_root`."""
        store = create_root(root, config, text, replace_source=replace_source)
        return cls(store, read_config(store), **more)

    # ------------------------------------------------------------------ tables

    def videos(self) -> pa.Table:
        """The videos table. Raises CsmvError if a shard is damaged or lost, as all of these do."""
        return self.store.read_all("videos")

    def comments(self) -> pa.Table:
        """The comments table, scrubbed."""
        return self.store.read_all("comments")

    def labels(self) -> pa.Table:
        """The labels table: one row a comment and source of labels."""
        return self.store.read_all("labels")

    def features(self, name: str) -> Mapping[str, Vectors]:
        """(T, D) arrays by video id of a feature set such as `i3d`."""
        return load_features(self.store, name).videos

    def split(self, name: str) -> pa.Table:
        """A split: comment_id, video_id, and train, dev or test."""
        return self.store.read_split(name)

    def leakage(self, name: str) -> dict[str, Any]:
        """What a split's train part has in common with dev and test: see `csmv.pipeline.release.leakage.leakage_of`."""
        return current_leakage(self.store, name)

    # ------------------------------------------------------------------ stages

    def run(self, stage: str, shards: Sequence[int] | None = None) -> UnitReport:
        """Do what is missing of a stage in this process, without Prefect; gives its counts.

        Args:
            stage: its name, such as `features`.
            shards: only these, for a stage that works by shard.

        Raises:
            CsmvError: something that a person has to put right is missing, or a unit failed.
        """
        chosen = named(STAGES, stage)
        chosen.prepare(self)
        chosen.refuse_stale(self)
        sweep_work(self.store, stage)
        units = chosen_units(chosen, self, shards)
        total = UnitReport()
        for unit in units:
            with track(f"{chosen.name} {unit}", None) as tick:
                total.merge(do_unit(chosen, self, unit, tick))
            if total.stopped:
                return total
        if shards is None:
            chosen.finish(self)
        return total

    def status(self) -> list[StageStatus]:
        """How far each stage is: units done and missing, what is stale and why, failures by reason."""
        return self.overview().stages

    def overview(self) -> Overview:
        """How far each stage is, of each hashtag too, and who works on what."""
        # The files of a scrub's models decide what is stale, too, and lie outside the root.
        models = state_of(self.scrub)
        settings = [self.config.model_dump_json(), models, self._changed, self._changes, self.retry_failed]
        return look(self, STAGES, json.dumps(settings, default=str))

    # ------------------------------------------------------------------ what stages see

    @cached_property
    def source(self) -> Source:
        """Where the dataset comes from."""
        return source_of(self.config.source)

    @property
    def scrub(self) -> ScrubPolicy:
        """What is taken out of texts."""
        return self.config.scrub

    def section(self, name: str, kind: type[Section]) -> Section:
        """A section that stands once, with what this run changes laid over it."""
        section: Section = self._with_changes(name, kind, getattr(self.config, name))
        return section

    def entries(self, name: str, kind: type[Section]) -> tuple[Section, ...]:
        """The entries of a section that is a list, with what this run changes laid over each."""
        return tuple(self._with_changes(name, kind, entry) for entry in getattr(self.config, name))

    def progress(self) -> list[StageStatus]:
        """`status`, for the report."""
        return self.status()

    def _with_changes(self, name: str, kind: type[Section], section: Any) -> Any:
        if name != self._changed or not self._changes:
            return section
        data = section.model_dump() if section is not None else {}
        for path, value in self._changes.items():
            *outer, last = path.split(".")
            inner: Any = data
            for part in outer:
                inner = inner.get(part) if isinstance(inner, dict) else None
            if not isinstance(inner, dict):
                raise CsmvError(f"{name}: there is no field '{path}'.")
            inner[last] = value
        return parse(kind, data, name)


def chosen_units(
    stage: Stage, dataset: Dataset, shards: Sequence[int] | None, units: Sequence[str] | None = None
) -> list[str]:
    """The units still to do, of these shards only where the stage works by shard, else of these units only.

    A part of a target is no unit of its own, so it is done whenever it is asked for.

    Raises:
        CsmvError: a shard was named that the root does not have.
    """
    if units is not None and stage.unit is Unit.TARGET:
        return list(units)
    missing = stage.missing(dataset)
    if units is not None and stage.unit is not Unit.SHARD:
        return [unit for unit in missing if unit in units]
    if shards is None or stage.unit is not Unit.SHARD:
        return missing
    strange = sorted(set(shards) - set(dataset.store.shards()))
    if strange:
        last = dataset.store.n_shards - 1
        raise CsmvError(f"The root has the shards 0 to {last}, and shard {strange[0]} was asked for.")
    asked = {shard_name(shard) for shard in shards}
    return [unit for unit in missing if unit in asked]
