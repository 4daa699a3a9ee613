"""TikTok's public pages, read by a real browser: hashtag pages and lists of links into landing, landing into rows.

How pages are visited stands in `web_visits`, what is left to visit in `pending`, what a visit leaves in `landing`.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from csmv.pipeline.failures import Failure, clear_failures, record_failures
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.schemas import FailureClass, FailureReason
from csmv.pipeline.sources.answer_fields import read
from csmv.pipeline.sources.base import CommentRow, Part, Reach, Rows, Source, VideoRow, repeated_comments
from csmv.pipeline.sources.by_shard import digest_of
from csmv.pipeline.sources.collect_settings import Manners, WebSource
from csmv.pipeline.sources.item_rows import comment_row, video_row
from csmv.pipeline.sources.landing import WEB, Landing, Record, Visit, latest, verdict_of
from csmv.pipeline.sources.last_rows import LastRows
from csmv.pipeline.sources.link_files import Reject, read_links
from csmv.pipeline.sources.pacing import Pacer, Paused
from csmv.pipeline.sources.pending import pending_hashtags, pending_videos, plain
from csmv.pipeline.sources.plain_http import check_robots, resolve_short_links
from csmv.pipeline.sources.responses import (
    Comment,
    CommentList,
    Item,
    ItemList,
    comments_in,
    items_in,
    landed_list,
    read_list,
    read_video_page,
)
from csmv.pipeline.sources.visit import COMMENTS, REPLIES
from csmv.pipeline.sources.walls import DONE, HOPELESS, Done, Ending, Outcome, Verdict
from csmv.pipeline.sources.web_visits import STAGE, UNREADABLE, Collector, Report, Target, settle_items
from csmv.pipeline.store import Store
from csmv.pipeline.validated import Validated

NAMED = "/named"
"""A record that holds no more of a video than its id, which comments from elsewhere name."""

BACKOFF_S: dict[Outcome, float] = {
    Outcome.SERVER_ERROR: 60.0,
    Outcome.NETWORK: 30.0,
    Outcome.STALLED: 120.0,
}
"""What is tried again in the same run, and after how long. Walls never are."""


class Web(Source):
    """Videos and comments that a browser reads from the public pages."""

    kind: ClassVar[str] = "web"
    section_class: ClassVar[type[Validated]] = WebSource
    grows: ClassVar[tuple[str, ...]] = ("hashtags",)
    takes_targets: ClassVar[bool] = True
    section: WebSource

    @property
    def online(self) -> bool:
        """It asks the site."""
        return True

    def expected_videos(self, links: Path | None = None) -> int:
        """As many as the limits allow of each hashtag, and those of the links."""
        listed = len(read_links(links).ids) if links is not None else 0
        return len(self.section.hashtags) * (self.section.limits.videos or 0) + listed

    # ------------------------------------------------------------------ landing

    def prepare(self, store: Store, reach: Reach) -> None:
        """What robots.txt says, and the ids of a file of links.

        Raises:
            CsmvError: robots.txt forbids a collection or can't be read, or the file of links can't.
        """
        pacer = reach.pace(store, self.section.manners)
        if self.section.manners.obey_robots:
            try:
                check_robots(reach.connection, pacer, reach.with_interval(self.section.manners))
            except Paused:
                return  # nothing is asked in this run; its parts say why
        landing = Landing(store)
        if reach.links is not None:
            listed = read_links(reach.links)
            landing.add_links(listed.ids, _name_of(listed.ids))
            if listed.short_links:
                landing.add_short_links(listed.short_links, _name_of(listed.short_links))
            _say(store, _rejected(listed.rejects))
        self._resolve(store, landing, reach, pacer)

    def _resolve(self, store: Store, landing: Landing, reach: Reach, pacer: Pacer) -> None:
        """Where the short links that are left lead to; after several walls or failures in a row the rest is left."""
        in_a_row = 0
        with suppress(Paused):
            for link, end in resolve_short_links(landing.short_links(), reach.connection, pacer):
                verdict = DONE if isinstance(end, str) else end
                if isinstance(end, str):
                    landing.add_links([end], _name_of([end]))
                landing.close_short_link(link, verdict)
                key = f"links:{link.rstrip('/').rsplit('/', 1)[-1]}"
                _say(store, {key: verdict.failure(key)})
                in_a_row = in_a_row + 1 if verdict.outcome.wall or verdict.outcome in HOPELESS else 0
                if in_a_row >= self.section.manners.walls_in_a_row:
                    break

    def parts(self, workers: int) -> Sequence[Sequence[Part]]:
        """One worker reads the hashtags and then the videos they led to in one browser; several wait for each other."""
        if workers == 1:
            return [[Part()]]
        return [[Part(number, workers, step) for number in range(workers)] for step in ("hashtags", "videos")]

    def land(self, store: Store, reach: Reach, part: Part) -> Report:
        """One worker's share of the hashtags, of the videos, or of both, in a browser of its own."""
        manners, limits = self.section.manners, self.section.limits
        collector = Collector(
            store, limits, manners, reach.connection, reach.pace(store, self.section.manners), reach.watch
        )
        only = {Outcome(name) for name in part.only}
        began = datetime.now(UTC)

        def tags() -> list[str]:
            pending_tags = [
                tag for tag in self.pending_hashtags(store, again=reach.again and not only) if part.has(tag)
            ]
            return [tag for tag in pending_tags if not only or _last(Landing(store).tag_visits(tag)) in only]

        def targets() -> list[Target]:
            pending = self.pending_videos(store, collector.report if not only else None, part, began=began, reach=reach)
            own_targets = [target for target in pending if part.has(target.video_id)]
            visits = Landing(store).video_visits() if only else {}
            return [
                target for target in own_targets if not only or _last(visits.get(target.video_id, [])) in {None, *only}
            ]

        work = tags if part.step != "videos" else list, targets if part.step != "hashtags" else list
        report = asyncio.run(collector.run(*work))
        pauses = {str(one): min(pause_s, manners.after_wall_s) for one, pause_s in BACKOFF_S.items()}
        report.passing = {one: pause_s for one, pause_s in pauses.items() if report.outcomes[one]}
        report.landed = sum(tally.new for tally in report.tallies.values())
        return report

    @property
    def hashtags(self) -> tuple[str, ...]:
        """As the section says."""
        return tuple(plain(self.section.hashtags))

    def open_hashtags(self, store: Store) -> list[str]:
        """The hashtags not read to their end yet."""
        return self.pending_hashtags(store)

    def left(self, store: Store) -> int:
        """How many hashtags, short links and videos are not settled."""
        return sum(self.remaining(store).values())

    def remaining(self, store: Store) -> dict[str, int]:
        """The same, by what they are."""
        return {
            "hashtags": len(self.pending_hashtags(store)),
            "short links": len(Landing(store).short_links()),
            "videos": len(self.pending_videos(store)),
        }

    def pending_hashtags(self, store: Store, *, again: bool = False) -> list[str]:
        """The hashtags not read to their end yet, or all of them `again`."""
        return pending_hashtags(store, self.section.hashtags, self.section.limits, self.section.manners, again=again)

    def pending_videos(
        self,
        store: Store,
        report: Report | None = None,
        part: Part | None = None,
        *,
        began: datetime | None = None,
        reach: Reach | None = None,
    ) -> list[Target]:
        """The videos that are wanted and not settled yet; see `csmv.pipeline.sources.pending`.

        With a `reach` that asks for a refresh, also those whose last visit is so much older than `began`.
        """
        section, days = self.section, reach.refresh_after if reach is not None else None
        before = began - timedelta(days=days) if began is not None and days is not None else None
        return pending_videos(store, section.hashtags, section.limits, section.manners, report, part, before)

    @property
    def manners(self) -> Manners:
        """As the section says."""
        return self.section.manners

    # ------------------------------------------------------------------ rows

    def state(self, store: Store, shard: int) -> str:
        """A digest of what the shard's visits saw, however many they were."""
        return _LAST_ROWS.digest(self._at(store, shard), lambda: _rows(store, shard, self.section))

    def reread(self, store: Store) -> None:
        """Forget the rows at hand, and count anew the items of its lists that can't be read."""
        _LAST_ROWS.forget()
        landing = Landing(store)
        for tag in self.hashtags:
            pages = [landed_list(ItemList, record.body) for record in landing.last_pages(tag)]
            lists = [items_in(page) for page in pages if page is not None]
            problems = sum((items.told for items in lists), Counter[str]())
            elements = sum(len(items.problems) for items in lists)
            settle_items(store, tag, elements, problems, sum(items.unsafe for items in lists))

    def glance(self, store: Store, shard: int) -> str:
        """A digest of the names of the shard's visits."""
        return digest_of(self._at(store, shard)[1:])

    def rows(self, store: Store, shard: int) -> Rows:
        """The videos that were read and may be kept, the comments under them, and how the other visits ended."""
        return _LAST_ROWS.rows(self._at(store, shard), lambda: _rows(store, shard, self.section))

    def _at(self, store: Store, shard: int) -> tuple[str, ...]:
        visits = digest_of(store.files(f"{WEB}/videos/{shard:04d}"))
        limits = self.section.limits.model_dump_json(exclude={"videos", "replies"})
        honours = str(self.section.manners.honour_creators)
        return store.root, str(shard), visits, Forgotten.of(store).digest, limits, honours, self.section.gone


_LAST_ROWS = LastRows()


def _rows(store: Store, shard: int, section: WebSource) -> Rows:
    landing, limits = Landing(store), section.limits
    videos: list[VideoRow] = []
    comments: dict[str, CommentRow] = {}
    failures: list[Failure] = []
    for video_id, visits in sorted(landing.video_visits(shard).items()):
        verdict = _verdict(landing, visits)
        seen = _see(landing, video_id, visits, section.manners.honour_creators)
        failure = verdict.failure(video_id)
        was_there = any(isinstance(visit.outcome, Done) for visit in visits)
        is_gone = failure is not None and failure.reason.kind is FailureClass.GONE
        if failure is not None and is_gone and was_there:
            failure = replace(failure, detail=f"{failure.detail}; {_dates(visits)}")
        refused = seen.item.refusal(honour_creators=section.manners.honour_creators) if seen.item is not None else None
        if failure is None and refused is not None:
            failure = refused.failure(video_id)
        if failure is not None and not (verdict.outcome is Outcome.UNREADABLE and seen.mended):
            failures.append(failure)
        has_row = _may_keep(verdict) or (is_gone and was_there and section.gone == "keep")
        # What its newest item refuses has no row, whichever visit came last and whatever becomes of what is gone.
        if seen.item is None or not seen.usable or not has_row or refused is not None:
            continue
        if not limits.admit(seen.item.day, seen.item.stats.comments):
            continue
        videos.append(video_row(seen.item))
        failures += seen.failures(video_id)
        if seen.item.comment_status != 0:
            failures.append(Failure(f"{video_id}:comments", FailureReason.COMMENTS_OFF))
        shown = seen.first(limits.comments)
        if repeated := shown.keys() & comments.keys():
            failures.append(repeated_comments(video_id, len(repeated)))
        comments |= {cid: comment_row(seen.item, shown[cid]) for cid in sorted(shown.keys() - repeated)}
    return Rows(videos, list(comments.values()), (), failures)


def _dates(visits: Sequence[Visit]) -> str:
    """When a video that is gone was last there, and when it was found to be gone."""
    days_there = [visit.when for visit in visits if isinstance(visit.outcome, Done)]
    after = [visit.when for visit in visits if visit.when > days_there[-1]]
    return f"last there on {days_there[-1]:%Y-%m-%d}, gone on {after[0] if after else days_there[-1]:%Y-%m-%d}"


def _last(visits: list[Visit]) -> Ending | None:
    visit = latest(visits)
    return visit.outcome if visit else None


def _rejected(rejects: Sequence[Reject]) -> dict[str, Failure]:
    """A failure a row that gave no video, by a key that says where it stands and not what a sheet is called."""
    sheets = list(dict.fromkeys(row.sheet for row in rejects))
    places = {sheet: f"sheet {number} row" if len(sheets) > 1 else "row" for number, sheet in enumerate(sheets, 1)}
    return {f"links:{places[row.sheet]} {row.row}": Failure("", FailureReason.BAD_ROW, row.reason) for row in rejects}


def _name_of(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def _say(store: Store, failures: Mapping[str, Failure | None]) -> None:
    """Say in `failures/` which rows and short links of a file gave no video; None is one that did."""
    for key, failure in failures.items():
        shard = store.shard_of(key)
        if failure is None:
            clear_failures(store, STAGE, shard, [key])
        else:
            record_failures(store, STAGE, shard, [replace(failure, key=key)])


# ---------------------------------------------------------------------- what visits saw


@dataclass
class _Seen:
    """A video as its visits saw it, the last word of each; personal."""

    honours: bool = True
    """Whether creators' settings are heeded."""
    item: Item | None = None
    comments: dict[str, Comment] = field(default_factory=dict)
    usable: bool = False
    mended: bool = False
    """Whether what its last visit could not read can be read now."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Comments that give no row, by the sentence that names their field, of the last visit that had any."""

    def first(self, limit: int | None) -> dict[str, Comment]:
        """So many of the comments, in the order in which the site gave them."""
        return dict(list(self.comments.items())[:limit])

    def failures(self, video_id: str) -> list[Failure]:
        """The one row about comments that give none."""
        if not self.dropped:
            return []
        number, sentence = self.dropped.total(), self.dropped.most_common(1)[0][0]
        text = f"{number} of {number + len(self.comments)} comments could not be read: {sentence}"
        return [Failure(f"{video_id}:comments", FailureReason.UNREADABLE, text)]


def _see(landing: Landing, video_id: str, visits: Iterable[Visit], honours: bool) -> _Seen:
    """All that the visits of a video saw; later visits count more."""
    seen = _Seen(honours)
    for visit in visits:
        seen.dropped = Counter()
        readable = [_absorb(seen, video_id, record) for record in landing.read(visit.name)]
        unreadable = [is_readable for is_readable in readable if is_readable is not None]
        seen.mended = bool(unreadable) and all(unreadable)
    return seen


def _absorb(seen: _Seen, video_id: str, record: Record) -> bool | None:
    """Take in a record; whether it can be read now, if it landed as unreadable."""
    if record.path == UNREADABLE:
        # An item that is odd still may be one whose marks of privacy can't be read: it waits until all of it can.
        _, item, verdict = read_video_page(record.body, video_id)
        if item is not None and verdict is DONE:
            seen.item, seen.usable = item, item.refusal(honour_creators=seen.honours) is None
        return verdict is DONE
    if record.path == NAMED:
        if seen.item is None:
            seen.item, seen.usable = read(Item, json.loads(record.body)).value, True
        return None
    if record.path in ("/video", "/listed"):
        item = read(Item, json.loads(record.body)).value
        if item is not None and item.id == video_id:
            seen.item = item
            seen.usable |= record.path == "/video"
        return None
    path = record.path.removeprefix(UNREADABLE)
    if path not in (COMMENTS, REPLIES):
        return None
    answer = landed_list(CommentList, record.body)
    if answer is not None:
        comments = comments_in(answer, video_id)
        seen.comments.update({comment.cid: comment for comment in comments.values})
        seen.dropped += comments.lost
    return None if path == record.path else read_list(CommentList, record.body)[1] is DONE


def _may_keep(verdict: Verdict) -> bool:
    """What is refused or gone for good has no row; what was walled keeps what was had so far."""
    return not verdict.outcome.final or verdict.outcome in (Done.DONE, Done.ENOUGH, Done.LEFT_OUT)


def _verdict(landing: Landing, visits: list[Visit]) -> Verdict:
    last = latest(visits)
    assert last is not None
    return verdict_of(landing.read(last.name))
