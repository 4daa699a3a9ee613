"""Videos and comments from TikTok's public pages, by letting a real browser read them: hashtag pages are scrolled,
video pages opened, comments unfolded, and the answers that the pages got are kept in landing.

Never forges or repeats a request, solves nothing, and takes an empty answer for what it is: a refusal.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from csmv.pipeline import interrupt
from csmv.pipeline.failures import Failure, clear_failures, record_failures
from csmv.pipeline.schemas import FailureReason
from csmv.pipeline.sources.answer_fields import IN_A_ROW, Streak
from csmv.pipeline.sources.base import LandReport
from csmv.pipeline.sources.browser import browser_context
from csmv.pipeline.sources.collect_settings import Connection, Limits, Manners
from csmv.pipeline.sources.landing import Landing, Record, new_visit
from csmv.pipeline.sources.pacing import Interrupted, Pacer, Paused
from csmv.pipeline.sources.responses import (
    CommentList,
    Item,
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
from csmv.pipeline.sources.walls import DONE, ENOUGH, HOPELESS, LEFT_OUT, Done, Outcome, Verdict
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
_LOOK_EVERY_S = 0.25
_CLOSING_S = 5.0
"""How long a browser may take to close when the run is interrupted."""
_IDLE_ANSWERS = 20
"""Answers in a row without anything new after which a page that goes on and on is left."""

UNREADABLE = "/unreadable"
"""Before the path under which an answer landed that could not be read; a page has no path after it."""
MENDING = "update csmv; `csmv collect --root ROOT --reparse` then reads anew what has landed"
"""What to do about a site that has changed."""


@dataclass
class Tally:
    """How far a hashtag is.

    `skipped` are items that limits or their creators leave out, `unreadable` items and comments that are not what they
    should be.
    """

    found: int = 0
    new: int = 0
    skipped: int = 0
    walled: int = 0
    comments: int = 0
    unreadable: int = 0


@dataclass
class Report(LandReport):
    """What a run did: tallies by hashtag ("links" for the rest), visits by outcome, and why it ended early, if so.

    `left` videos are still to be visited, as far as is known; `waiting` says what it is pausing for just now; `silent`
    videos declare comments, and none came.
    """

    tallies: dict[str, Tally] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    visits: int = 0
    waiting: str = ""
    silent: int = 0
    shapes: Counter[str] = field(default_factory=Counter)
    """What was unreadable, by the sentence that names its field."""

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
        self.waiting = self.waiting or other.waiting
        self.silent += other.silent
        self.shapes.update(other.shapes)


@dataclass(frozen=True)
class Target:
    """A video to visit and the hashtag that led to it."""

    video_id: str
    tag: str = LINKS


class _Stop(Exception):
    """The run has to end; the text says why."""


@dataclass(frozen=True)
class _Visited:
    """A video whose visit has ended and is not yet closed in landing."""

    target: Target
    name: str
    verdict: Verdict
    records: list[Record]
    comments: int = 0


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
    _shaky: list[Verdict] = field(default_factory=list)
    _silent: list[_Visited] = field(default_factory=list)
    """Videos in a row that declare comments and gave none: done, unless there are too many of them."""

    def __post_init__(self) -> None:
        self.landing = Landing(self.store)
        self._pages, self.items, self.comments = Streak(), Streak(), Streak()

    async def run(self, tags: Callable[[], Sequence[str]], targets: Callable[[], Sequence[Target]]) -> Report:
        """Visit hashtag pages and keep their lists, then video pages and keep their items and comments.

        What to visit is asked for when its turn comes; the one browser starts with the first of it.
        """
        try:
            await _unless_interrupted(self._run(tags, targets))
        except Paused as paused:
            self.report.stopped = str(paused)
        except _Stop as stop:
            self.report.stopped = str(stop)
        self._close_silent()
        return self.report

    async def _run(self, tags: Callable[[], Sequence[str]], targets: Callable[[], Sequence[Target]]) -> None:
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

    async def _settle(self, target: str, verdict: Verdict) -> None:
        """Count an outcome; after a wall wait, after several in a row or a list of another shape stop the run."""
        self._count(target, verdict)
        if verdict.changed:
            self.report.shapes[verdict.note] += 1
        changed = verdict.note if verdict.changed == "list" else self._changed_page(verdict)
        if changed:
            raise _Stop(f"the site's answers have changed: {changed}. To go on, {MENDING}")
        shaky = verdict.outcome.wall or verdict.outcome in HOPELESS
        self._shaky = [*self._shaky, verdict] if shaky else []
        if len(self._shaky) >= self.manners.walls_in_a_row:
            refused = all(one.outcome.wall or one.outcome is Outcome.UNREADABLE for one in self._shaky)
            what = "walls or unreadable answers" if refused else "visits without an answer that can be used"
            raise _Stop(f"{len(self._shaky)} {what} in a row, the last one: {verdict.outcome.sentence}")
        if verdict.outcome.wall:
            pause_s = max(self.manners.after_wall_s, verdict.retry_after_s or 0)
            self.report.waiting = f"pausing {pause_s:.0f} s after a wall: {verdict.outcome.sentence}"
            self.watch(target, self.report)
            await asyncio.sleep(self.manners.after_wall_s)
            self.report.waiting = ""

    def _count(self, target: str, verdict: Verdict) -> None:
        self.report.visits += 1
        done = verdict.outcome is Done.ENOUGH
        self.report.outcomes[str(Done.DONE if done else verdict.outcome)] += 1
        self.watch(target, self.report)

    def _changed_page(self, verdict: Verdict) -> str:
        """What has changed, where several pages in a row were of another shape; walls and losses tell nothing of it."""
        if verdict.changed or isinstance(verdict.outcome, Done) or verdict.outcome.final:
            return self._pages.feed([verdict.note if verdict.changed else ""])
        return ""

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
        settle_items(self.store, tag, reading.elements, reading.problems, reading.unsafe)
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
            verdict, item, thread = await self._read_video(visit, target, records)
        visited = _Visited(target, name, verdict, records, len(thread.cids) if thread else 0)
        declared = max(item.stats.comments or 0, thread.total) if item is not None and thread is not None else 0
        if verdict is DONE and declared and not visited.comments:
            self._silent.append(visited)
            if len(self._silent) < IN_A_ROW:
                return
            self._stop_for_silence()
        if visited.comments:
            self._close_silent()
        self._close(visited)
        await self._settle(target.video_id, verdict)

    def _close(self, visited: _Visited) -> None:
        """Keep a visit in landing, and count it."""
        target, verdict = visited.target, visited.verdict
        self.landing.close_video(target.video_id, visited.name, verdict, visited.records)
        self.report.left -= 1
        tally = self.report.tally(target.tag)
        tally.new += verdict.outcome in (Done.DONE, Done.ENOUGH)
        tally.walled += verdict.outcome.wall
        tally.skipped += verdict.outcome.final and verdict.outcome not in (Done.DONE, Done.ENOUGH)
        tally.unreadable += bool(verdict.changed)
        tally.comments += visited.comments

    def _close_silent(self) -> None:
        """Close the videos that gave none of their comments, which are too few to mean anything."""
        for visited in self._silent:
            self._close(visited)
            self._count(visited.target.video_id, visited.verdict)
        self.report.silent += len(self._silent)
        self._silent = []

    def _stop_for_silence(self) -> None:
        problem = f"{len(self._silent)} videos in a row declare comments, and none were received"
        verdict = Verdict(Outcome.UNREADABLE, note="`comments` is empty though comments are declared", changed="item")
        for visited in self._silent:
            self._close(replace(visited, verdict=verdict))
            self._count(visited.target.video_id, verdict)
        self.report.shapes[verdict.note] += len(self._silent)
        self._silent = []
        raise _Stop(f"{problem}: the site's answers may have changed. If it goes on, {MENDING}")

    async def _read_video(
        self, visit: Visit, target: Target, records: list[Record]
    ) -> "tuple[Verdict, Item | None, _Thread | None]":
        page = await self._open(visit, canonical_url(target.video_id))
        if page.verdict is not None:
            return page.verdict, None, None
        raw, item, verdict = read_video_page(page.record.body, target.video_id)
        if verdict.outcome is Outcome.UNREADABLE:
            # Whole, so that it can be read once csmv has been mended.
            records.append(Record(UNREADABLE, page.record.body))
        if item is None or verdict is not DONE:
            return verdict, item, None
        records.append(Record("/video", json.dumps(raw, ensure_ascii=False).encode("utf-8", "surrogatepass")))
        refusal = item.refusal(honour_creators=self.manners.honour_creators)
        if refusal is not None:
            return refusal, item, None
        if not self.limits.admit(item.day, item.stats.comments):
            return LEFT_OUT, item, None
        if item.comment_status != 0:
            return DONE, item, None
        if self.limits.comments == 0:
            return ENOUGH, item, None
        thread = _Thread(self, target, records)
        verdict = await self._read_comments(visit, thread)
        if verdict is DONE and self.limits.replies and not thread.full:
            verdict = await self._read_replies(visit, thread)
        more = thread.full and (thread.more or bool(thread.waiting))
        return ENOUGH if verdict is DONE and more else verdict, item, thread

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


async def _unless_interrupted(work: Coroutine[Any, Any, None]) -> None:
    """Do it to its end, or drop it where it is when the run is to end. Raises Interrupted then."""
    running = asyncio.ensure_future(work)
    while not running.done():
        await asyncio.wait([running], timeout=_LOOK_EVERY_S)
        if interrupt.is_asked() and not running.done():
            running.cancel()
            await asyncio.wait([running], timeout=_CLOSING_S)
            break
    if interrupt.is_asked():
        if running.done() and not running.cancelled():
            running.exception()  # whatever the browser said when Ctrl-C reached it, too
        raise Interrupted
    running.result()


@dataclass
class _TagReading:
    """What a visit of a hashtag has seen so far."""

    collector: Collector
    tag: str
    visit: str
    pages: int = 0
    barren: int = 0
    taken: int = 0
    """Items that the limits let in and that may be collected."""
    seen: set[str] = field(default_factory=set)
    elements: int = 0
    unsafe: int = 0
    problems: Counter[str] = field(default_factory=Counter)

    def absorb(self, record: Record) -> Verdict | None:
        """Keep an answer; a verdict if the visit ends with it."""
        if record.path == DETAIL:
            verdict = read_json(record.body)[1]
            return None if verdict is DONE else verdict
        if record.path != ITEMS:
            return None
        answer, verdict = read_list(ItemList, record.body, first=self.pages == 0)
        if answer is None and verdict.outcome is not Outcome.UNREADABLE:
            return verdict
        # What can't be read is kept as well, so that it can be once csmv has been mended.
        self.collector.landing.add_page(self.tag, self.visit, self.pages, record)
        if answer is None:
            return verdict
        self.pages += 1
        return self._take(answer)

    def _take(self, answer: ItemList) -> Verdict | None:
        items, report = items_in(answer), self.collector.report
        self.elements += len(items.problems)
        self.unsafe += items.unsafe
        self.problems += items.told
        report.shapes += items.told
        report.tally(self.tag).unreadable += items.told.total()
        fresh = {item.id: item for item in items.values if item.id not in self.seen}
        self.seen |= fresh.keys()
        report.tally(self.tag).found += len(fresh)
        self.collector.watch(f"tag:{self.tag}", report)
        changed = self.collector.items.feed(items.problems)
        if changed:
            return Verdict(Outcome.UNREADABLE, note=changed, changed="list")
        limits, honours = self.collector.limits, self.collector.manners.honour_creators
        self.taken += sum(
            limits.admit(item.day, item.stats.comments) and item.refusal(honour_creators=honours) is None
            for item in fresh.values()
        )
        if not answer.more:
            return DONE
        if limits.videos is not None and self.taken >= limits.videos:
            return ENOUGH
        self.barren = 0 if fresh else self.barren + 1
        if self.barren < _BARREN_PAGES:
            return None
        # A list that repeats itself has come to its end; one that never held anything has not begun.
        return DONE if self.seen else Verdict(Outcome.STALLED, note="`itemList` is empty, and `hasMore` says more")


def settle_items(store: Store, tag: str, elements: int, problems: Counter[str], unsafe: int) -> None:
    """Say in `failures/` how many of a hashtag's listed items could not be read, and why; or that all could."""
    key = f"tag:{tag}:items"
    shard = store.shard_of(key)
    if not problems:
        clear_failures(store, STAGE, shard, [key])
        return
    number = problems.total()
    text = f"{number} of {elements} listed items are not what they should be: {problems.most_common(1)[0][0]}"
    reason = FailureReason.UNSAFE_ID if unsafe == number else FailureReason.UNREADABLE
    record_failures(store, STAGE, shard, [Failure(key, reason, text)])


@dataclass
class _Thread:
    """The comments of a video, as far as they have come; `waiting` are those whose announced replies have not all.

    `idle` counts the answers in a row that brought nothing new, `total` is what the list itself declares.
    """

    collector: Collector
    target: Target
    records: list[Record]
    more: bool = True
    idle: int = 0
    total: int = 0
    cids: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    _barren: Counter[str] = field(default_factory=Counter)

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        limit = self.collector.limits.comments
        return limit is not None and len(self.cids) >= limit

    def absorb(self, record: Record) -> Verdict | None:
        """Keep an answer; a verdict if the visit ends with it."""
        if record.path not in (COMMENTS, REPLIES):
            return None
        answer, verdict = read_list(CommentList, record.body)
        if answer is None:
            if verdict.outcome is Outcome.UNREADABLE:
                self.records.append(replace(record, path=UNREADABLE + record.path))
            return verdict
        self.records.append(record)
        comments, report = comments_in(answer, self.target.video_id), self.collector.report
        report.tally(self.target.tag).unreadable += comments.told.total()
        report.shapes += comments.told
        changed = self.collector.comments.feed(comments.problems)
        if changed:
            return Verdict(Outcome.UNREADABLE, note=changed, changed="list")
        if record.path == COMMENTS:
            self.total = max(self.total, answer.total)
        fresh = {comment.cid for comment in comments.values} - self.cids
        self.cids |= fresh
        self.idle = 0 if fresh else self.idle + 1
        root = record.query.get("comment_id", "") if record.path == REPLIES else ""
        self._barren[root] = 0 if fresh else self._barren[root] + 1
        more = answer.more and self._barren[root] < _BARREN_PAGES
        if record.path == COMMENTS:
            self.waiting |= {comment.cid for comment in comments.values if comment.replies and comment.cid in fresh}
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
