"""The stage `features`: every feature set of the configuration, for every video whose file is in the root."""

from typing import ClassVar

from csmv.extractors.reasons import MediaFailure
from csmv.pipeline.device_processes import end_device_processes
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.feature_sets import disagreement
from csmv.pipeline.features import complete, extract_shard, is_open, missing, outdated
from csmv.pipeline.media.media_settings import MediaSettings
from csmv.pipeline.media.retention import apply_retention
from csmv.pipeline.schemas import FailureReason
from csmv.pipeline.stage import DatasetView, Needs, ShardStage, Tick, shard_name


class FeaturesStage(ShardStage):
    """Clip features of the videos of each shard."""

    name = "features"
    summary = "clip features of every video, on a GPU where there is one"
    section = "features"
    reads = ("videos", "private/media")
    writes = ("features/<set>",)
    failures: ClassVar[tuple[FailureReason, ...]] = (
        *(FailureReason(reason.value) for reason in MediaFailure),
        FailureReason.MISSING_MEDIA,
        FailureReason.PARTLY_DAMAGED,
    )
    failure_tables = ("features",)
    # A shard of features fills a machine: the network uses every core, or the whole GPU.
    needs = Needs(gpu=True, network=True, memory_gb=8)
    everywhere = 16
    timeout_s = 24 * 3600.0
    when_stale = "refuse"

    def is_open(self, dataset: DatasetView, shard: int) -> bool:
        """Whether there is a video to extract, parts of an interrupted run to merge, or rows that no longer count."""
        return any(is_open(dataset.store, shard, config) for config in dataset.entries(self.section, FeatureConfig))

    def why_stale(self, dataset: DatasetView, shard: int) -> str:
        """Made with other weights, numbers or clip rule than are asked for, or from other media files."""
        if why := self._otherwise(dataset, shard):
            return why
        for config in dataset.entries(self.section, FeatureConfig):
            if number := outdated(dataset.store, shard, config):
                return f"{number} video(s) of {config.table} have another media file now"
        return ""

    def items_left(self, dataset: DatasetView, shard: int) -> int:
        """How many videos to extract, by at least one set."""
        configs = dataset.entries(self.section, FeatureConfig)
        return len({video for config in configs for video in missing(dataset.store, shard, config)})

    def refuse_stale(self, dataset: DatasetView) -> None:
        """Raises CsmvError if a shard was made otherwise; vectors of another media file are simply made anew."""
        for shard in dataset.store.shards():
            if why := self._otherwise(dataset, shard):
                raise CsmvError(f"{self.name}, {shard_name(shard)}: {why}")

    def _otherwise(self, dataset: DatasetView, shard: int) -> str:
        configs = dataset.entries(self.section, FeatureConfig)
        return next((why for config in configs if (why := disagreement(dataset.store, shard, config))), "")

    def prepare(self, dataset: DatasetView) -> None:
        """Raises CsmvError if the configuration names no feature set."""
        if not dataset.entries(self.section, FeatureConfig):
            raise CsmvError(
                "There is nothing to extract: dataset.yaml has no features section. Add one, or use `csmv extract`."
            )

    def run(self, dataset: DatasetView, unit: str, tick: Tick) -> None:
        """One shard of every set, each video decoded once for all that lack it; then the retention rule of media."""
        sets = dataset.entries(self.section, FeatureConfig)
        extract_shard(dataset.store, int(unit), *sets, tick=tick)
        if dataset.section("media", MediaSettings).retention == "delete-after-features":
            apply_retention(dataset.store, int(unit), sets)

    def finish(self, dataset: DatasetView) -> None:
        """Write the shards that have nothing to hold as empty ones, so that a missing one is a lost one."""
        end_device_processes()
        for config in dataset.entries(self.section, FeatureConfig):
            complete(dataset.store, config)
