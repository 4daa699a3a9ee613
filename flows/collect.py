"""`collect` and `download`: Prefect arranges the workers and holds the one rate limit that all of them share.

The limit is a global concurrency limit with decay, so ten workers on ten machines are as polite as one. Walls are never
retried; what may pass is, once, after a pause of its class.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.sync import rate_limit
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import Field

from flows.limits import PACE, declare_pace
from flows.shards import Dataset
from flows.shards import _discreet as discreet
from pipeline.collect import collect as land
from pipeline.errors import CsmvError
from pipeline.media.retention import apply_retention
from pipeline.media.settings import MediaSettings
from pipeline.media.stage import MediaReport, manners_of, media_shard
from pipeline.sources.base import LandReport, Part, Reach
from pipeline.sources.pacing import Pacer, interval_for
from pipeline.sources.registry import source_of
from pipeline.sources.settings import Connection, Manners
from pipeline.sources.tables import write_published_split, write_shard
from pipeline.sources.web_visits import Report, Watch
from pipeline.store import Store

watchers: list[Watch] = []
"""Who follows the runs of this process; set by the command line, empty on a worker."""


class Collection(Dataset):
    """What to collect, in how many browsers at once, and how this machine reaches the site."""

    workers: int = Field(default=1, ge=1, le=32, description="browsers at once; the pace is shared by all")
    connection: Connection = Connection()
    links: Path | None = Field(default=None, description="a file of links, besides the hashtags")
    again: bool = Field(default=False, description="read hashtags anew that were read to their end")


class Download(Dataset):
    """Which files to fetch, and how this machine reaches them."""

    media: MediaSettings | None = Field(default=None, description="left out, the root's own section")
    connection: Connection = Connection()
    retry_failed: bool = False


class SharedPace:
    """A turn from the Prefect server: for all workers of all machines together.

    One caller of a process asks at a time, and not before it can be granted: the server counts every refusal as news
    and starts the wait over.
    """

    _lock = threading.Lock()
    _granted = 0.0

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s

    def __call__(self) -> None:
        """Wait for this caller's turn."""
        with SharedPace._lock:
            since = time.monotonic() - SharedPace._granted
            time.sleep(max(0.0, self.interval_s * 1.01 - since))
            rate_limit(PACE, strict=True)
            SharedPace._granted = time.monotonic()


_ONCE: dict[str, Any] = {"retries": 0, "persist_result": False, "cache_policy": NO_CACHE}


@task(name="collect-part", task_run_name="{step}-{number}-of-{of}", tags=["csmv", "csmv-web"], **_ONCE)
def collect_share(
    root: str, step: str, number: int, of: int, connection: Connection, again: bool, only: list[str]
) -> LandReport:
    """One worker's share of what a source lands."""
    with discreet(root, "collect"):
        store = Store.open(root)
        reach = Reach(connection, _paced(connection), again=again, watch=_tell_watchers)
        return source_of(store.config.source).land(store, reach, Part(number, of, step, tuple(only)))


@task(name="tabulate-shard", task_run_name="tables-{shard:04d}", tags=["csmv"], **_ONCE)
def tables_of(root: str, shard: int) -> None:
    """One shard of landing into tables, scrubbed."""
    with discreet(root, "tables"):
        store = Store.open(root)
        write_shard(store, source_of(store.config.source), store.config.scrub, store.key(), shard)


@task(name="download-shard", task_run_name="media-{shard:04d}", tags=["csmv", "csmv-web"], **_ONCE)
def media_of(root: str, shard: int, media: MediaSettings, connection: Connection, retry_failed: bool) -> MediaReport:
    """One shard's media, verified."""
    with discreet(root, "download"):
        store = Store.open(root)
        reach = Reach(connection, _paced(connection))
        source = source_of(store.config.source)
        report = media_shard(store, shard, source, media, reach, retry_failed=retry_failed)
        if media.retention == "delete-after-features" and store.config.features:
            apply_retention(store, shard, store.config.features)
        return report


_THREADS: TaskRunner[PrefectFuture[Any]] = ThreadPoolTaskRunner(max_workers=32)  # type: ignore[assignment]


@flow(name="collect", persist_result=False, task_runner=_THREADS)
def collect(dataset: Collection) -> LandReport:
    """Whatever the source brings into landing and tables. Resumes; walls end targets, several the run."""
    store = dataset.open()
    source = source_of(store.config.source)
    if source.manners is not None:
        declare_pace(source.manners, dataset.connection)
    reach = Reach(dataset.connection, _paced(dataset.connection), dataset.links, dataset.again)

    def run_parts(parts: Sequence[Part]) -> list[LandReport]:
        return _results(
            [
                collect_share.submit(
                    dataset.root,
                    part.step,
                    part.number,
                    part.of,
                    dataset.connection,
                    dataset.again,
                    list(part.only),
                )
                for part in parts
            ]
        )

    report = land(store, source, reach, run_parts, workers=dataset.workers)
    for future in [tables_of.submit(dataset.root, shard) for shard in dataset.chosen(store)]:
        future.result()
    write_published_split(store, source)
    return report


@flow(name="download", persist_result=False, task_runner=_THREADS)
def download(dataset: Download) -> MediaReport:
    """Media for the videos of a root, one shard after the other; each fetches a few files at once."""
    store = dataset.open()
    store.sweep()
    media = dataset.media or store.config.media
    declare_pace(manners_of(media, source_of(store.config.source)), dataset.connection)
    total = MediaReport()
    for shard in dataset.chosen(store):
        run = media_of.submit(dataset.root, shard, media, dataset.connection, dataset.retry_failed)
        total.merge(run.result())
        if total.stopped:
            break
    return total


def _results(runs: list[PrefectFuture[LandReport]]) -> list[LandReport]:
    """The reports of parts that run at the same time; all have ended before a problem of one is told."""
    reports: list[LandReport] = []
    problems: list[CsmvError] = []
    for run in runs:
        try:
            reports.append(run.result())
        except CsmvError as error:
            problems.append(error)
    if problems:
        raise problems[0]
    return reports


def _paced(connection: Connection) -> Callable[[Store, Manners], Pacer]:
    return lambda store, manners: _pacer(store, manners, connection)


def _pacer(store: Store, manners: Manners, connection: Connection) -> Pacer:
    return Pacer(store, SharedPace(interval_for(manners, connection)), manners.longest_wait_s)


def _tell_watchers(target: str, report: Report) -> None:
    for watcher in list(watchers):
        with suppress(Exception):
            watcher(target, report)
