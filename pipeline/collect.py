"""The collection stage: hashtags or links into landing by way of a browser, landing into tables.

A run does what is left to do, one part of the targets in each worker, and can be stopped at any moment. It never falls
back from the public pages to the Research API or the other way round.
"""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.errors import CsmvError
from pipeline.pseudonym import load_or_create_key
from pipeline.schemas import FailureReason
from pipeline.sources.landing import Landing, Visit, latest
from pipeline.sources.links import LinkFile, read_links
from pipeline.sources.pacing import Interval, Pacer, Turn, interval_for
from pipeline.sources.pending import pending_hashtags, pending_videos
from pipeline.sources.plain_http import check_robots, resolve_short_links
from pipeline.sources.settings import Connection, WebSource
from pipeline.sources.tables import TableSummary, tabulate
from pipeline.sources.walls import Outcome, Verdict
from pipeline.sources.web import STAGE, Collector, Report, Target, Watch
from pipeline.store import Failure, Store

Phase = Literal["hashtags", "videos", "all"]
"""`all` reads the hashtags and then the videos that they led to, in one browser: for a run of one worker."""

BACKOFF_S: dict[Outcome, float] = {
    Outcome.SERVER_ERROR: 60.0,
    Outcome.NETWORK: 30.0,
    Outcome.STALLED: 120.0,
}
"""What is tried again in the same run, and after how long. Walls never are."""


@dataclass(frozen=True)
class Part:
    """The share of one worker: targets whose hash falls to `number` of `of`."""

    number: int = 0
    of: int = 1

    def has(self, target: str) -> bool:
        """Whether a target is in this share."""
        digest = hashlib.sha256(target.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number


def web_source(store: Store) -> WebSource:
    """The root's source. Raises CsmvError if it is another than the public pages: sources are never mixed."""
    source = store.config.source
    if source.kind != "web":
        raise CsmvError(
            f"The root '{store.root}' is made from a '{source.kind}' source, and sources are never mixed in one "
            "dataset: collect into a root of its own."
        )
    return source


def pacer_for(store: Store, source: WebSource, connection: Connection, turn: Turn | None = None) -> Pacer:
    """The pace of a run: `turn` if it is shared with other processes, else an interval of this one."""
    own = turn or Interval(interval_for(source.manners, connection))
    return Pacer(store, own, source.manners.longest_wait_s)


def prepare(store: Store, connection: Connection, pacer: Pacer, links: Path | None = None) -> LinkFile | None:
    """Before the first page: what robots.txt says, and the ids of a file of links."""
    source = web_source(store)
    store.sweep()
    if source.manners.obey_robots:
        check_robots(connection, pacer)
    if links is None:
        return None
    found = read_links(links)
    resolved = resolve_short_links(found.short_links, connection, pacer)
    ids = [*found.ids, *(name for name in resolved.values() if isinstance(name, str))]
    name = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
    Landing(store).add_links(ids, name)
    _settle_links(store, found, resolved)
    return found


def _settle_links(store: Store, found: LinkFile, resolved: dict[str, str | Verdict]) -> None:
    """Say in `failures/` which rows of a file gave no video."""
    rejected = [Failure(f"links:row {row.row}", FailureReason.BAD_ROW, row.reason) for row in found.rejects]
    for link, verdict in resolved.items():
        failure = None if isinstance(verdict, str) else verdict.failure(f"links:{link.rstrip('/').rsplit('/', 1)[-1]}")
        if failure is not None:
            rejected.append(failure)
    by_shard: dict[int, list[Failure]] = {}
    for failure in rejected:
        by_shard.setdefault(store.shard_of(failure.key), []).append(failure)
    for shard, failures in by_shard.items():
        store.record_failures(STAGE, shard, failures)


def collect_part(
    store: Store,
    phase: Phase,
    connection: Connection,
    pacer: Pacer,
    part: Part = Part(),
    *,
    again: bool = False,
    only: Sequence[Outcome] = (),
    watch: Watch | None = None,
) -> Report:
    """One worker's share of a phase, in a browser of its own.

    `only` takes up targets that ended in these outcomes, and what the hashtags among them led to.
    """
    source = web_source(store)
    collector = Collector(store, source, connection, pacer)
    if watch is not None:
        collector.watch = watch

    def tags() -> list[str]:
        found = [tag for tag in pending_hashtags(store, source, again=again) if part.has(tag)]
        return [tag for tag in found if not only or _last(Landing(store).tag_visits(tag)) in only]

    def targets() -> list[Target]:
        found = [target for target in pending_videos(store, source, collector.report) if part.has(target.video_id)]
        visits = Landing(store).video_visits() if only else {}
        return [target for target in found if not only or _last(visits.get(target.video_id, [])) in (None, *only)]

    return asyncio.run(collector.run(tags if phase != "videos" else list, targets if phase != "hashtags" else list))


def collect(
    store: Store,
    connection: Connection,
    pacer: Pacer,
    *,
    links: Path | None = None,
    again: bool = False,
    watch: Watch | None = None,
    backoff: Callable[[float], None] = time.sleep,
) -> tuple[Report, TableSummary]:
    """A whole run in this process with one browser: hashtags, videos, what may pass once more, tables."""
    prepare(store, connection, pacer, links)
    report = collect_part(store, "all", connection, pacer, again=again, watch=watch)
    retried = [outcome for outcome in BACKOFF_S if report.outcomes[str(outcome)]]
    if retried and not report.stopped:
        backoff(max(BACKOFF_S[outcome] for outcome in retried))
        report.merge(collect_part(store, "all", connection, pacer, only=retried, watch=watch))
    return report, tabulate(store, load_or_create_key(store))


def left_to_do(store: Store) -> int:
    """How many hashtags and videos are not settled."""
    source = web_source(store)
    return len(pending_hashtags(store, source)) + len(pending_videos(store, source))


def reasons(store: Store) -> Counter[str]:
    """Failures of collection and download by the word that begins their detail."""
    found: Counter[str] = Counter()
    for stage in (STAGE, "media"):
        for row in store.read_all(f"failures/{stage}").to_pylist():
            found[(row["detail"] or row["reason"]).split(":", 1)[0]] += 1
    return found


def _last(visits: list[Visit]) -> Outcome | None:
    visit = latest(visits)
    return visit.outcome if visit else None
