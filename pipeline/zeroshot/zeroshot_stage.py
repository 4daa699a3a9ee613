"""The stage `zeroshot`: every zero-shot model of the configuration, asked about dev and test, with its scores."""

from typing import ClassVar

from csmv.extractors.reasons import MediaFailure
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.schemas import FailureReason
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import require_labels
from csmv.pipeline.stage import DatasetView, Needs, Stage, Tick, Unit, UnitReport
from csmv.pipeline.vccsa.run_files import finished_document
from csmv.pipeline.zeroshot.endpoint import require_leave
from csmv.pipeline.zeroshot.zeroshot_config import ZeroShotConfig, zeroshot_run_name
from csmv.pipeline.zeroshot.zeroshot_run import data_fingerprint, zero_shot, zeroshot_inputs


class ZeroShotStage(Stage):
    """Every zero-shot run of the configuration."""

    name = "zeroshot"
    summary = "multimodal language models asked about dev and test without training, to compare with"
    section = "zeroshot"
    unit = Unit.ENTRY
    reads = ("videos", "comments", "labels", "splits/<name>", "private/media")
    writes = ("models/<run>",)
    failures: ClassVar[tuple[FailureReason, ...]] = (
        *(FailureReason(reason.value) for reason in MediaFailure),
        FailureReason.MISSING_MEDIA,
    )
    failure_tables = ("zeroshot",)
    # A GPU for local models; an endpoint has its own.
    needs = Needs(gpu=True, network=True, memory_gb=4)
    retries = 0
    timeout_s = 7 * 24 * 3600.0

    def units(self, dataset: DatasetView) -> list[str]:
        """The runs' names."""
        return [zeroshot_run_name(config) for config in self._entries(dataset)]

    def missing(self, dataset: DatasetView) -> list[str]:
        """Runs that are not finished, or were asked about other data."""
        stale = self.stale(dataset)
        return [unit for unit in self.units(dataset) if unit in stale or not self._is_finished(dataset, unit)]

    def stale(self, dataset: DatasetView) -> dict[str, str]:
        """Finished runs whose split, comments, labels or videos have changed since."""
        changed = {}
        for config in self._entries(dataset):
            run = zeroshot_run_name(config)
            document = finished_document(dataset.store, run)
            if document is None or document.get("inputs") == zeroshot_inputs(dataset.store, config):
                continue
            # Something was written since: whether it says something else, only reading it tells.
            if document.get("fingerprint") != data_fingerprint(dataset.store, config):
                changed[run] = "its split, comments, labels or videos have changed since it was asked"
        return changed

    def prepare(self, dataset: DatasetView) -> None:
        """Raises CsmvError where a run could not begin: no labels, no such split, no leave to send pictures."""
        entries = self._entries(dataset)
        if not entries:
            raise CsmvError("There is no model to ask: dataset.yaml has no zeroshot section. Use `csmv zeroshot`.")
        require_labels(dataset.store, "Asking models")
        splits = {*dataset.store.split_names(), *(one.title for one in dataset.entries("splits", SplitConfig))}
        for config in entries:
            if config.split not in splits:
                raise CsmvError(
                    f"Asking '{config.model}' needs the split '{config.split}', which is neither in the root nor in "
                    "dataset.yaml's splits: add it there."
                )
            if not self._is_finished(dataset, zeroshot_run_name(config)):
                require_leave(config)

    def run(self, dataset: DatasetView, unit: str, tick: Tick) -> UnitReport:
        """One model, asked what it has not answered yet."""
        [config] = [config for config in self._entries(dataset) if zeroshot_run_name(config) == unit]
        result = zero_shot(dataset.store, config, tick)
        report = UnitReport()
        report.counts.update(comments=result.asked, requests=result.usage.requests)
        if result.stopped:
            report.stopped = f"{result.left:,} comments have no answer yet: {result.stopped}"
        return report

    def _entries(self, dataset: DatasetView) -> tuple[ZeroShotConfig, ...]:
        return dataset.entries(self.section, ZeroShotConfig)

    def _is_finished(self, dataset: DatasetView, run: str) -> bool:
        return dataset.store.exists(f"models/{run}/run.json")
