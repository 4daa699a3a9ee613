"""The pages of videos that a dataset has from elsewhere: what the site says of each today, read by a browser.

Kept in landing as the web source keeps its visits, without comments. A video's newest page counts.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from csmv.pipeline.failures import Failure
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.sources.answer_fields import read
from csmv.pipeline.sources.base import Part, Reach, Rows, VideoRow
from csmv.pipeline.sources.by_shard import digest_of
from csmv.pipeline.sources.collect_settings import Limits, Manners
from csmv.pipeline.sources.item_rows import video_row
from csmv.pipeline.sources.landing import WEB, Landing, Record, latest, verdict_of
from csmv.pipeline.sources.last_rows import digest_of_rows
from csmv.pipeline.sources.pacing import Pacer
from csmv.pipeline.sources.responses import Item, read_video_page
from csmv.pipeline.sources.web_visits import UNREADABLE, Collector, Report, Target
from csmv.pipeline.store import Store

_NO_COMMENTS = Limits(comments=0)


@dataclass(frozen=True)
class Page:
    """What the visits of a video's page came to: its item, if one was ever had, and why the last one gave none."""

    item: Item | None
    failure: Failure | None


def pending_pages(store: Store, videos: Iterable[str]) -> list[str]:
    """The videos whose page has not been read, or may be read another day."""
    settled = set(Forgotten.of(store).videos) | {
        video
        for video, visits in Landing(store).video_visits().items()
        if (last := latest(visits)) is not None and last.outcome.final
    }
    return [video for video in videos if video not in settled and video.isdigit()]


def land_pages(
    store: Store,
    reach: Reach,
    part: Part,
    manners: Manners,
    pacer: Pacer,
    videos: Callable[[], Iterable[str]],
) -> Report:
    """Read the pages of one worker's share of the videos, one request each.

    Args:
        store: the root.
        reach: how this machine reaches the site.
        part: the share.
        manners: how politely.
        pacer: the pace that all workers share.
        videos: gives the ids of all videos that are wanted.
    """
    collector = Collector(store, _NO_COMMENTS, manners, reach.connection, pacer, reach.watch)

    def targets() -> list[Target]:
        return [Target(video) for video in pending_pages(store, videos()) if part.has(video)]

    report = asyncio.run(collector.run(list, targets))
    report.landed = sum(tally.new for tally in report.tallies.values())
    return report


def pages_of(store: Store, shard: int) -> dict[str, Page]:
    """The pages of a shard's videos."""
    landing = Landing(store)
    pages: dict[str, Page] = {}
    for video, visits in sorted(landing.video_visits(shard).items()):
        last = latest(visits)
        assert last is not None
        failure = verdict_of(landing.read(last.name)).failure(video)
        item: Item | None = None
        for visit in visits:
            for record in landing.read(visit.name):
                if (told := _item_of(record, video)) is not None:
                    item = told
                    if record.path == UNREADABLE and visit.name == last.name:
                        failure = None  # the parser reads it by now
        pages[video] = Page(item, failure)
    return pages


def _item_of(record: Record, video: str) -> Item | None:
    if record.path == UNREADABLE:
        return read_video_page(record.body, video)[1]
    item = read(Item, json.loads(record.body)).value if record.path == "/video" else None
    return item if item is not None and item.id == video else None


def glance_at_pages(store: Store, shard: int) -> str:
    """What decides `state_of_pages`, told without reading one."""
    return digest_of(store.files(f"{WEB}/videos/{shard:04d}"))


def state_of_pages(pages: Mapping[str, Page]) -> str:
    """A digest of what the pages say, however often they were read."""
    videos = [video_row(page.item) for page in pages.values() if page.item is not None]
    return digest_of_rows(Rows(videos, failures=failures_of_pages(pages)))


def failures_of_pages(pages: Mapping[str, Page]) -> list[Failure]:
    """Why pages gave no item, in the order of the videos."""
    return [page.failure for page in pages.values() if page.failure is not None]


def with_page(row: VideoRow, page: Page | None) -> VideoRow:
    """A video's row with what its page says; its hashtags stay those that it has in the dataset."""
    if page is None or page.item is None:
        return row
    read = video_row(page.item)
    return replace(read, hashtags=row.hashtags or read.hashtags)
