"""The stage that builds the splits of the configuration and audits what each of them leaks."""

import pyarrow as pa

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.release.leakage import SUFFIX, audit_file, why_stale, write_leakage
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split, labelled_comments, made_from, require_labels, with_what_decides
from csmv.pipeline.stage import DatasetView, Stage, Tick, Unit
from csmv.pipeline.store import Store

_CHANGED = "the labelled comments or its settings have changed since it was built"


class SplitsStage(Stage):
    """Every split of the configuration, each with the audit of what it leaks beside it."""

    name = "splits"
    summary = "train, dev and test parts over the labelled comments"
    section = "splits"
    unit = Unit.ENTRY
    reads = ("comments", "labels", "videos", "features/<set>")
    writes = ("splits/<name>", f"splits/<name>{SUFFIX}")

    def units(self, dataset: DatasetView) -> list[str]:
        """The splits' names."""
        return [config.title for config in self._entries(dataset)]

    def missing(self, dataset: DatasetView) -> list[str]:
        """Splits that have not been built or audited, or from other labels, settings or tables than there are now."""
        with dataset.store.remembering():
            dataset.store.files()  # one listing instead of one for each folder
            stale = self.stale(dataset)
            audited = {unit for unit in dataset.store.split_names() if dataset.store.exists(audit_file(unit))}
        return [unit for unit in self.units(dataset) if unit not in audited or unit in stale]

    def stale(self, dataset: DatasetView) -> dict[str, str]:
        """Splits over other labelled comments, or with other settings, than there are now, or with a stale audit."""
        store = dataset.store
        names = set(store.split_names())
        built = [one for one in self._entries(dataset) if one.title in names]
        audited = [one.title for one in built if store.exists(audit_file(one.title))]
        stale = {name: why for name in audited if (why := why_stale(store, name))}
        made = [one for one in built if one.kind != "published"]
        rows = labelled_comments(store) if made else None
        return stale | {one.title: _CHANGED for one in made if not _is_current(store, rows, one)}

    def prepare(self, dataset: DatasetView) -> None:
        """Raises CsmvError if no split is asked for, or there is nothing to split."""
        if not self._entries(dataset):
            raise CsmvError("There is nothing to split: dataset.yaml has no splits section. Use `csmv split`.")
        if any(config.kind != "published" for config in self._entries(dataset)):
            require_labels(dataset.store, "A split")

    def run(self, dataset: DatasetView, unit: str, tick: Tick) -> None:
        """One split, as far as it is not as it should be, and its audit."""
        store = dataset.store
        [config] = [config for config in self._entries(dataset) if config.title == unit]
        is_built = unit in store.split_names() and config.kind != "published"
        if not is_built or not _is_current(store, labelled_comments(store), config):
            build_split(store, config)
        write_leakage(store, config.title)
        tick(1)

    def _entries(self, dataset: DatasetView) -> tuple[SplitConfig, ...]:
        return dataset.entries(self.section, SplitConfig)


def _is_current(store: Store, rows: pa.Table, config: SplitConfig) -> bool:
    """Whether a split was built from the labelled comments and with the settings that there are now."""
    try:
        rows = with_what_decides(store, rows, config)
    except CsmvError:  # nothing left to split by: building it says so
        return False
    return store.made_from(f"splits/{config.title}", None) == made_from(rows, config)
