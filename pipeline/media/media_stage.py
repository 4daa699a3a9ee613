"""The stage `media`: every video's file into the root's private folder, verified."""

from collections import Counter
from typing import ClassVar

from csmv.pipeline.media.media_settings import MediaSettings
from csmv.pipeline.media.media_shard import manners_of, media_shard, open_videos
from csmv.pipeline.schemas import FailureClass, FailureReason, reasons_of
from csmv.pipeline.sources.plain_http import PAGE, check_robots
from csmv.pipeline.stage import DatasetView, Needs, ShardStage, Tick, UnitReport


class MediaStage(ShardStage):
    """The files of the videos of each shard, from the source's folder or from the site."""

    name = "media"
    summary = "the video files, got, verified and kept in the private folder"
    section = "media"
    reads = ("videos",)
    writes = ("private/media", "videos")
    failures: ClassVar[tuple[FailureReason, ...]] = (
        *reasons_of(FailureClass.MEDIA, FailureClass.GONE, FailureClass.WALL, FailureClass.NETWORK, FailureClass.SPACE),
        FailureReason.MISSING_FILE,
        FailureReason.UNSAFE_ID,
    )
    failure_tables = ("media",)
    # Media shards wait for disks and networks more than for cores.
    needs = Needs(network=True, site=True)
    at_once = 2
    everywhere = 8
    retries = 2
    timeout_s = 6 * 3600.0

    def is_open(self, dataset: DatasetView, shard: int) -> bool:
        """Whether a video's file is still to be got, or has been replaced at the source."""
        return self.items_left(dataset, shard) > 0

    def items_left(self, dataset: DatasetView, shard: int) -> int:
        """How many videos' files."""
        return len(
            open_videos(
                dataset.store,
                shard,
                dataset.source,
                retry_failed=dataset.retry_failed,
                sample=dataset.reach.sample,
            )
        )

    def depends_on(self, dataset: DatasetView) -> tuple[str, ...] | None:
        """Nothing else, unless the source has files of its own, which may be replaced at any time."""
        asked = dataset.retry_failed or dataset.reach.sample is not None
        return None if dataset.source.has_files or asked else ()

    def prepare(self, dataset: DatasetView) -> None:
        """What robots.txt says, where files are to be downloaded.

        Raises:
            CsmvError: it forbids the videos' pages, or can't be read.
        """
        source = dataset.source
        manners = manners_of(dataset.section(self.section, MediaSettings), source)
        if source.has_files or not manners.obey_robots or not self.missing(dataset):
            return
        reach = dataset.reach
        pacer = reach.pace(dataset.store, manners)
        check_robots(reach.connection, pacer, reach.with_interval(manners), (PAGE,))

    def run(self, dataset: DatasetView, unit: str, tick: Tick) -> UnitReport:
        """One shard's files."""
        settings = dataset.section(self.section, MediaSettings)
        report = media_shard(
            dataset.store,
            int(unit),
            dataset.source,
            settings,
            dataset.reach,
            retry_failed=dataset.retry_failed,
        )
        tick(1)
        counts = Counter({"done": report.done, "skipped": report.skipped, "left": report.left, "bytes": report.bytes})
        stopped = report.stopped or (f"{report.left:,} videos are left" if report.left else "")
        return UnitReport(counts, Counter(report.reasons), stopped, [report])
