"""Videos and comments from TikTok's public pages, by letting a real browser read them: hashtag pages are scrolled,
video pages opened, comments unfolded, and the answers that the pages got are kept in landing.

Never forges or repeats a request, solves nothing, and takes an empty answer for what it is: a refusal.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from urllib.parse import quote

from csmv.pipeline.failures import Failure, clear_failures, record_failures
from csmv.pipeline.schemas import FailureReason
from csmv.pipeline.sources.base import LandReport
from csmv.pipeline.sources.browser import browser_context
from csmv.pipeline.sources.collect_settings import Connection, Limits, Manners
from csmv.pipeline.sources.landing import Landing, Record, new_visit
from csmv.pipeline.sources.pacing import Pacer, Paused
from csmv.pipeline.sources.responses import (
    CommentList,
    ItemList,
    comments_in,
    items_in,
    read_hydration,
    read_json,
    read_list,
    read_video_page,
)
from csmv.pipeline.sources.video_links import canonical_url
from csmv.pipeline.sources.visit import COMMENTS, DETAIL, ITEMS, REPLIES, Capture, Tab, Visit
from csmv.pipeline.sources.walls import DONE, Outcome, Verdict
from csmv.pipeline.store import Store

STAGE = "collect"
LINKS = "links"
"""Under which name videos are counted that no hashtag led to."""

_GRID = "[data-e2e='challenge-item-list']"
_COMMENT_ICON = "[data-e2e='comment-icon']"
_COMMENT = "[data-e2e='comment-level-1']"
_MORE_REPLIES = "[data-e2e='view-more-1']"
_BARREN_PAGES = 3
"""Pages without anything new that are taken for the end of a list that never says so."""
_IDLE_ANSWERS = 20
"""Answers in a row without anything new after which a page that goes on and on is left."""

_KEPT_OF_UNREADABLE = 64 << 10


@dataclass
class Tally:
    """How far a hashtag is. `skipped` are items that limits or their creators leave out."""

    found: int = 0
    new: int = 0
    skipped: int = 0
    walled: int = 0
    comments: int = 0


@dataclass
class Report(LandReport):
    """What a run did: tallies by hashtag ("links" for the rest), visits by outcome, and why it ended early, if so.

    `left` videos are still to be visited, as far as is known; `waiting` says what it is pausing for just now.
    """

    tallies: dict[str, Tally] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    visits: int = 0
    waiting: str = ""

    def tally(self, name: str) -> Tally:
        """The tally of a hashtag, begun if need be."""
        return self.tallies.setdefault(name, Tally())

    def merge(self, other: "Report") -> None:
        """Add another worker's report."""
        super().merge(other)
        for name, theirs in other.tallies.items():
            mine = self.tally(name)
            for key, value in vars(theirs).items():
                setattr(mine, key, getattr(mine, key) + value)
        self.outcomes.update(other.outcomes)
        self.visits += other.visits
        self.left += other.left
        self.waiting = self.waiting or other.waiting


@dataclass(frozen=True)
class Target:
    """A video to visit and the hashtag that led to it."""

    video_id: str
    tag: str = LINKS


class _Stop(Exception):
    """The run has to end; the text says why."""


Watch = Callable[[str, Report], None]


@dataclass
class Collector:
    """Visits hashtags and videos one after the other in one browser. `watch` is called after every visit."""

    store: Store
    limits: Limits
    manners: Manners
    connection: Connection
    pacer: Pacer
    watch: Watch = lambda _target, _report: None
    report: Report = field(default_factory=Report)
    _walls: int = 0

    def __post_init__(self) -> None:
        self.landing = Landing(self.store)

    async def run(self, tags: Callable[[], Sequence[str]], targets: Callable[[], Sequence[Target]]) -> Report:
        """Visit hashtag pages and keep their lists, then video pages and keep their items and comments.

        What to visit is asked for when its turn comes; the one browser starts with the first of it.
        """
        try:
            async with AsyncExitStack() as stack:
                tab: Tab | None = None

                async def open_tab() -> Tab:
                    nonlocal tab
                    tab = tab or Tab(await stack.enter_async_context(browser_context(self.connection)))
                    return tab

                for tag in tags():
                    await self._hashtag(await open_tab(), tag)
                waiting = targets()
                self.report.left = len(waiting)
                for target in waiting:
                    self.report.tally(target.tag).found += target.tag == LINKS
                    await self._video(await open_tab(), target)
        except Paused as paused:
            self.report.stopped = str(paused)
        except _Stop as stop:
            self.report.stopped = str(stop)
        return self.report

    async def _settle(self, target: str, verdict: Verdict) -> None:
        """Count an outcome; after a wall wait, after several in a row stop the run."""
        self.report.visits += 1
        self.report.outcomes[str(verdict.outcome)] += 1
        self.watch(target, self.report)
        shaky = verdict.outcome.wall or verdict.outcome is Outcome.UNREADABLE
        self._walls = self._walls + 1 if shaky else 0
        if self._walls >= self.manners.walls_in_a_row:
            raise _Stop(f"{self._walls} walls or unreadable answers in a row, the last one: {verdict.outcome.sentence}")
        if verdict.outcome.wall:
            pause_s = max(self.manners.after_wall_s, verdict.retry_after_s or 0)
            self.report.waiting = f"pausing {pause_s:.0f} s after a wall: {verdict.outcome.sentence}"
            self.watch(target, self.report)
            await asyncio.sleep(self.manners.after_wall_s)
            self.report.waiting = ""

    def _visit(self, tab: Tab) -> Visit:
        return Visit(tab, self.pacer, self.manners)

    async def _open(self, visit: Visit, url: str) -> Capture:
        """Open a page; a server error gets one more try after a pause."""
        capture = await visit.open(url)
        if capture.verdict is not None and capture.verdict.outcome is Outcome.SERVER_ERROR:
            await visit.rest()
            capture = await visit.open(url)
        return capture

    async def _answer(self, visit: Visit, timeout_s: float) -> Capture | Verdict | None:
        """The next list answer, a wall that became visible, or None in time."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while loop.time() < end:
            capture = await visit.next(min(1.0, max(0.05, end - loop.time())))
            if capture is not None:
                return capture
            verdict = await visit.look()
            if verdict is not None:
                return verdict
        return None

    # ------------------------------------------------------------------ hashtags

    async def _hashtag(self, tab: Tab, tag: str) -> None:
        name = new_visit()
        reading = _TagReading(self, tag, name)
        async with self._visit(tab) as visit:
            verdict = await self._read_hashtag(visit, reading)
        self.landing.close_tag(tag, name, verdict)
        shard, key = self.store.shard_of(f"tag:{tag}"), f"tag:{tag}"
        failure = verdict.failure(key)
        if failure is not None:
            record_failures(self.store, STAGE, shard, [failure])
        else:
            clear_failures(self.store, STAGE, shard, [key])
        if verdict.outcome.wall:
            self.report.tally(tag).walled += 1
        await self._settle(key, verdict)

    async def _read_hashtag(self, visit: Visit, reading: "_TagReading") -> Verdict:
        page = await self._open(visit, f"https://www.tiktok.com/tag/{quote(reading.tag, safe='')}")
        verdict = page.verdict or _tag_page_verdict(page.record.body)
        timeout, quiet = self.manners.page_timeout_s, 0
        while verdict is None:
            answer = await self._answer(visit, timeout)
            timeout = self.manners.list_timeout_s
            if isinstance(answer, Verdict):
                return answer
            if answer is None:
                quiet += 1
                if quiet > self.manners.stall_scrolls:
                    return Verdict(Outcome.STALLED)
            else:
                quiet = 0
                verdict = answer.verdict or reading.absorb(answer.record)
            if verdict is None:
                verdict = await visit.look()
            if verdict is None:
                await visit.scroll(_GRID, nudge_up=quiet > 0)
        return verdict

    # ------------------------------------------------------------------ videos

    async def _video(self, tab: Tab, target: Target) -> None:
        name, records = new_visit(), list[Record]()
        async with self._visit(tab) as visit:
            verdict, comments = await self._read_video(visit, target.video_id, records)
        self.landing.close_video(target.video_id, name, verdict, records)
        self.report.left -= 1
        tally = self.report.tally(target.tag)
        tally.new += verdict is DONE
        tally.walled += verdict.outcome.wall
        tally.skipped += verdict.outcome.final and verdict is not DONE
        tally.comments += comments
        await self._settle(target.video_id, verdict)

    async def _read_video(self, visit: Visit, video_id: str, records: list[Record]) -> tuple[Verdict, int]:
        page = await self._open(visit, canonical_url(video_id))
        if page.verdict is not None:
            return page.verdict, 0
        raw, item, verdict = read_video_page(page.record.body, video_id)
        if item is None:
            if verdict.outcome is Outcome.UNREADABLE:
                records.append(Record("/unreadable", page.record.body[:_KEPT_OF_UNREADABLE]))
            return verdict, 0
        records.append(Record("/video", json.dumps(raw, ensure_ascii=False).encode("utf-8", "surrogatepass")))
        refusal = item.refusal(honour_creators=self.manners.honour_creators)
        if refusal is not None:
            return refusal, 0
        if item.comment_status != 0 or self.limits.comments == 0:
            return DONE, 0
        thread = _Thread(self.limits.comments, records)
        verdict = await self._read_comments(visit, thread)
        if verdict is DONE and self.limits.replies and not thread.full:
            verdict = await self._read_replies(visit, thread)
        return verdict, len(thread.cids)

    async def _read_comments(self, visit: Visit, thread: "_Thread") -> Verdict:
        blocked = await visit.look()
        if blocked is not None:
            return blocked
        if not await visit.click(_COMMENT_ICON):
            blocked = await visit.look()
            if blocked is not None:
                return blocked
            if not await visit.click(_COMMENT_ICON):
                return Verdict(Outcome.STALLED, note="the comments could not be opened")
        timeout, quiet = self.manners.page_timeout_s, 0
        while thread.more and not thread.full:
            answer = await self._answer(visit, timeout)
            timeout = self.manners.list_timeout_s
            if isinstance(answer, Verdict):
                return answer
            quiet = quiet + 1 if answer is None else 0
            if quiet > self.manners.stall_scrolls:
                return Verdict(Outcome.STALLED)
            verdict = None if answer is None else answer.verdict or thread.absorb(answer.record)
            if verdict is not None:
                return verdict
            if thread.more and not thread.full:
                await visit.scroll(_COMMENT, nudge_up=quiet > 0)
        return DONE

    async def _read_replies(self, visit: Visit, thread: "_Thread") -> Verdict:
        quiet = 0
        while thread.waiting and not thread.full and thread.idle < _IDLE_ANSWERS:
            blocked = await visit.look()
            if blocked is not None:
                return blocked
            left = await visit.count(_MORE_REPLIES)
            if left:
                await visit.click(_MORE_REPLIES)
            # Without a click, too: an answer to the one before may have come late.
            answer = await self._answer(visit, self.manners.list_timeout_s)
            if isinstance(answer, Verdict):
                return answer
            if answer is None and left == 0:
                return DONE  # announced, and yet the page offers them to nobody
            quiet = quiet + 1 if answer is None else 0
            if quiet > self.manners.stall_scrolls:
                return Verdict(Outcome.STALLED, note="replies")
            verdict = None if answer is None else answer.verdict or thread.absorb(answer.record)
            if verdict is not None:
                return verdict
        return DONE


@dataclass
class _TagReading:
    """What a visit of a hashtag has seen so far."""

    collector: Collector
    tag: str
    visit: str
    pages: int = 0
    barren: int = 0
    seen: set[str] = field(default_factory=set)

    def absorb(self, record: Record) -> Verdict | None:
        """Keep an answer; a verdict if the visit ends with it."""
        if record.path == DETAIL:
            verdict = read_json(record.body)[1]
            return None if verdict is DONE else verdict
        if record.path != ITEMS:
            return None
        answer, verdict = read_list(ItemList, record.body)
        if answer is None:
            return verdict
        self.collector.landing.add_page(self.tag, self.visit, self.pages, record)
        self.pages += 1
        items, unusable = items_in(answer)
        self._tell_unusable(unusable)
        fresh = {item.id for _, item in items} - self.seen
        self.seen |= fresh
        tally = self.collector.report.tally(self.tag)
        tally.found += len(fresh)
        self.collector.watch(f"tag:{self.tag}", self.collector.report)
        self.barren = 0 if fresh else self.barren + 1
        limit = self.collector.limits.videos
        enough = limit is not None and len(self.seen) >= limit
        return DONE if not answer.more or enough or self.barren >= _BARREN_PAGES else None

    def _tell_unusable(self, number: int) -> None:
        if number:
            key = f"tag:{self.tag}:items"
            text = f"{number} listed item(s) have no usable id or fields of another kind"
            store = self.collector.store
            record_failures(store, STAGE, store.shard_of(key), [Failure(key, FailureReason.UNSAFE_ID, text)])


@dataclass
class _Thread:
    """The comments of a video, as far as they have come; `waiting` are those whose announced replies have not all.

    `idle` counts the answers in a row that brought nothing new.
    """

    limit: int | None
    records: list[Record]
    more: bool = True
    idle: int = 0
    cids: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    _barren: Counter[str] = field(default_factory=Counter)

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return self.limit is not None and len(self.cids) >= self.limit

    def absorb(self, record: Record) -> Verdict | None:
        """Keep an answer; a verdict if the visit ends with it."""
        if record.path not in (COMMENTS, REPLIES):
            return None
        answer, verdict = read_list(CommentList, record.body)
        if answer is None:
            return verdict
        self.records.append(record)
        comments = comments_in(answer)
        fresh = {comment.cid for comment in comments} - self.cids
        self.cids |= fresh
        self.idle = 0 if fresh else self.idle + 1
        root = record.query.get("comment_id", "") if record.path == REPLIES else ""
        self._barren[root] = 0 if fresh else self._barren[root] + 1
        more = answer.more and self._barren[root] < _BARREN_PAGES
        if record.path == COMMENTS:
            self.waiting |= {comment.cid for comment in comments if comment.replies and comment.cid in fresh}
            self.more = more
        elif not more:
            self.waiting.discard(root)
        return None


def _tag_page_verdict(page: bytes) -> Verdict | None:
    """What a hashtag's page itself says; a page without data may still fill itself, so that is no verdict."""
    scope, verdict = read_hydration(page)
    if verdict is not DONE:
        return None if verdict.outcome is Outcome.UNREADABLE else verdict
    detail = scope.get("webapp.challenge-detail")
    if not isinstance(detail, dict):
        return None
    said = read_json(json.dumps({"statusCode": detail.get("statusCode")}).encode())[1]
    return None if said is DONE else said
