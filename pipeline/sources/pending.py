"""What is left to collect in a root: hashtags not read to their end, videos listed or linked that are not settled.

Landing alone tells; nothing is asked of the site. What ended for a limit is left again once the limit is higher.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.sources.answer_fields import read
from csmv.pipeline.sources.base import Part
from csmv.pipeline.sources.collect_settings import Limits, Manners
from csmv.pipeline.sources.landing import Landing, Record, Visit, latest, new_visit
from csmv.pipeline.sources.responses import CommentList, Item, ItemList, comments_in, items_in, landed_list
from csmv.pipeline.sources.visit import COMMENTS, REPLIES
from csmv.pipeline.sources.walls import Done, Verdict
from csmv.pipeline.sources.web_visits import Report, Target
from csmv.pipeline.store import Store


def pending_hashtags(
    store: Store, hashtags: Sequence[str], limits: Limits, manners: Manners, *, again: bool = False
) -> list[str]:
    """The hashtags not read to their end or as far as the limits ask for, or all of them `again`."""
    landing = Landing(store)
    tags = plain(hashtags)
    if again:
        return tags
    visits = ((tag, latest(landing.tag_visits(tag))) for tag in tags)
    return [
        tag
        for tag, visit in visits
        if visit is None
        or not visit.outcome.final
        or (visit.outcome is Done.ENOUGH and _asks_further(landing, tag, limits, manners))
    ]


def _asks_further(landing: Landing, tag: str, limits: Limits, manners: Manners) -> bool:
    """Whether the limits ask for more of a hashtag's list than has landed of it."""
    if limits.videos is None:
        return True
    taken = sum(
        limits.admit(item.day, item.stats.comments) and item.refusal(honour_creators=manners.honour_creators) is None
        for _, item in _listed(landing, tag)
    )
    return taken < limits.videos


def pending_videos(
    store: Store,
    hashtags: Sequence[str],
    limits: Limits,
    manners: Manners,
    report: Report | None = None,
    part: Part | None = None,
    refresh_before: datetime | None = None,
) -> list[Target]:
    """The videos that were listed or linked, are wanted, and are not settled yet.

    Items that the list itself shows to be refused are none of them. With a `report`, they are settled in landing and
    counted there, without opening their pages; so are, as skipped, those that the limits leave out.

    Args:
        store: The root.
        hashtags: Those of the source.
        limits: How much is wanted.
        manners: Whether creators' settings are heeded.
        report: Where skipped items are counted.
        part: Whose share is counted; left out, everybody's.
        refresh_before: Videos that were there when they were last visited, before this, are visited again.
    """
    landing = Landing(store)
    # What was to be forgotten is not asked for again.
    visits = landing.video_visits()
    forgotten = set(Forgotten.of(store).videos)
    old = (
        set() if refresh_before is None else {video for video, seen in visits.items() if _is_old(seen, refresh_before)}
    )
    settled = forgotten | (_settled(landing, visits, limits) - old)
    targets: dict[str, Target] = {}
    left_out: dict[str, str] = {}
    for tag in plain(hashtags):
        taken_on = 0
        for raw, item in _listed(landing, tag):
            refusal = item.refusal(honour_creators=manners.honour_creators)
            if limits.videos is not None and taken_on >= limits.videos:
                left_out.setdefault(item.id, tag)
                continue
            if refusal is not None:
                if item.id not in settled:
                    if report is not None:
                        record = Record("/listed", json.dumps(raw, ensure_ascii=False).encode("utf-8", "surrogatepass"))
                        landing.close_video(item.id, new_visit(), refusal, [record])
                        _count_refused(report, tag, refusal)
                    settled.add(item.id)
                continue
            if not limits.admit(item.day, item.stats.comments):
                left_out.setdefault(item.id, tag)
                continue
            taken_on += 1
            if item.id not in settled:
                targets.setdefault(item.id, Target(item.id, tag))
    for video_id in (*landing.links(), *sorted(old - forgotten)):
        if video_id not in settled:
            targets.setdefault(video_id, Target(video_id))
    if report is not None:
        for video_id, tag in left_out.items():
            if video_id not in targets and video_id not in settled and (part is None or part.has(video_id)):
                report.tally(tag).skipped += 1
    return list(targets.values())


def _is_old(visits: list[Visit], before: datetime) -> bool:
    last = latest(visits)
    return last is not None and isinstance(last.outcome, Done) and last.when < before


def _settled(landing: Landing, visits: Mapping[str, list[Visit]], limits: Limits) -> set[str]:
    """The videos that need no further visit under these limits."""
    last = ((video_id, latest(seen)) for video_id, seen in visits.items())
    return {
        video_id
        for video_id, visit in last
        if visit is not None and visit.outcome.final and not _reaches_further(landing, video_id, visit, limits)
    }


def _reaches_further(landing: Landing, video_id: str, visit: Visit, limits: Limits) -> bool:
    """Whether a visit that ended for a limit would go further by the limits of now."""
    if visit.outcome not in (Done.ENOUGH, Done.LEFT_OUT):
        return False
    cids: set[str] = set()
    item: Item | None = None
    for record in landing.read(visit.name):
        if record.path == "/video":
            item = read(Item, json.loads(record.body)).value
        elif record.path in (COMMENTS, REPLIES):
            answer = landed_list(CommentList, record.body)
            cids |= {comment.cid for comment in comments_in(answer, video_id).values} if answer else set()
    if visit.outcome is Done.LEFT_OUT:
        return item is None or limits.admit(item.day, item.stats.comments)
    return limits.comments is None or len(cids) < limits.comments


def plain(hashtags: Sequence[str]) -> list[str]:
    """Hashtags without #, in small letters, each once."""
    return list(dict.fromkeys(tag.lstrip("#").casefold() for tag in hashtags))


def _count_refused(report: Report, tag: str, refusal: Verdict) -> None:
    report.tally(tag).skipped += 1
    report.outcomes[str(refusal.outcome)] += 1


def _listed(landing: Landing, tag: str) -> Iterator[tuple[dict[str, Any], Item]]:
    """The items of a hashtag, each once."""
    seen: set[str] = set()
    for record in landing.tag_pages(tag):
        answer = landed_list(ItemList, record.body)
        for raw, item in items_in(answer).rows if answer else []:
            if item.id not in seen:
                seen.add(item.id)
                yield raw, item
