"""The first part of `csmv demo`: a few invented videos and comments, crawled from the sandbox site by a real Chromium.

The same collector, downloader and Prefect flows as for the real site; only the proxy and the certificate are others.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from csmv.pipeline.collect import reasons
from csmv.pipeline.config import read_config
from csmv.pipeline.demo.sandbox import Sandbox, SandboxSettings, World
from csmv.pipeline.demo.sandbox.faults import Fault
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.media.media_shard import open_videos
from csmv.pipeline.root import CONFIG_FILE
from csmv.pipeline.sources.collect_settings import Connection, Limits, Manners, WebSource
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.store import Store

if TYPE_CHECKING:
    from csmv.pipeline.sources.web_visits import Watch

MANNERS = Manners(interval_s=0, scroll_pause_s=(0, 0.05), list_timeout_s=4, after_wall_s=0)
"""Hurried: the site stands on this machine and serves nobody else."""

FAULTS = (Fault.VIDEO_PRIVATE, Fault.MEDIA_EXPIRED, Fault.VIDEO_SERVER_ERROR, Fault.COMMENTS_OFF)
"""What strikes the first videos, one each: a crawl in which nothing goes wrong would show little."""


@dataclass(frozen=True)
class Crawl:
    """What a crawl left in its root: rows, media files, and the reasons of what is missing."""

    videos: int
    comments: int
    media: int
    reasons: Counter[str]


def settings(seed: int) -> SandboxSettings:
    """The sandbox of the demo: two hashtags of four videos, with a few faults."""
    size = {"seed": seed, "hashtags": 2, "videos": 4, "comments": 6}
    ids = World(SandboxSettings.model_validate(size)).videos
    faults = {f"{fault.place}:{video_id}": fault for video_id, fault in zip(ids, FAULTS, strict=False)}
    return SandboxSettings.model_validate(size | {"faults": faults})


def crawl_sandbox(root: str, seed: int, watch: "Watch | None" = None) -> Crawl:
    """Collect and download everything that the demo's sandbox has, into a root of its own. Resumes.

    Raises CsmvError if there is no browser, or something is left to do in the end.
    """
    from csmv.flows.here import collect_here, download_here

    source = WebSource(hashtags=tuple(World(settings(seed)).tags), limits=Limits(), manners=MANNERS)
    config = {"name": "csmv-demo-crawl", "n_shards": 2, "source": source.model_dump(mode="json")}
    if not _is_done(root):
        with Sandbox(settings(seed)) as site:
            connection = Connection(proxy=site.proxy, ca_file=site.ca_file)
            collect_here(root, watch, config=config, connection=connection)
            download_here(root, connection=connection)
    if not _is_done(root):
        raise CsmvError(f"The crawl of the sandbox into '{root}' left something undone: run the same command again.")
    return _summary(Store.open(root))


def _is_done(root: str) -> bool:
    store = Store(root)
    if not store.exists(CONFIG_FILE):
        return False
    store = Store.open(root)
    return (
        not source_of(read_config(store).source).left(store)
        and store.read_all("videos").num_rows > 0
        and not any(open_videos(store, shard, source_of(read_config(store).source)) for shard in store.shards())
    )


def _summary(store: Store) -> Crawl:
    media = [path for path in store.files("private/media") if Path(path).suffix == ".mp4"]
    return Crawl(store.read_all("videos").num_rows, store.read_all("comments").num_rows, len(media), reasons(store))
