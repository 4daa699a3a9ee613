"""What is left to collect in a root: hashtags not read to their end, videos listed or linked that are not settled.

Landing alone tells; nothing is asked of the site.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.sources.collect_settings import Limits, Manners
from csmv.pipeline.sources.landing import Landing, Record, latest, new_visit
from csmv.pipeline.sources.responses import Item, ItemList, items_in, read_list
from csmv.pipeline.sources.walls import Verdict
from csmv.pipeline.sources.web_visits import Report, Target
from csmv.pipeline.store import Store


def pending_hashtags(store: Store, hashtags: Sequence[str], *, again: bool = False) -> list[str]:
    """The hashtags not read to their end yet, or all of them `again`."""
    landing = Landing(store)
    tags = plain(hashtags)
    if again:
        return tags
    visits = ((tag, latest(landing.tag_visits(tag))) for tag in tags)
    return [tag for tag, visit in visits if visit is None or not visit.outcome.final]


def pending_videos(
    store: Store, hashtags: Sequence[str], limits: Limits, manners: Manners, report: Report | None = None
) -> list[Target]:
    """The videos that were listed or linked, are wanted, and are not settled yet.

    Items that the list itself shows to be refused are none of them. With a `report`, they are settled in landing and
    counted there, without opening their pages.
    """
    landing = Landing(store)
    # What was to be forgotten is not asked for again.
    settled = set(Forgotten.of(store).videos) | {
        video_id
        for video_id, visits in landing.video_visits().items()
        if (last := latest(visits)) is not None and last.outcome.final
    }
    targets: dict[str, Target] = {}
    for tag in plain(hashtags):
        taken_on = 0
        for raw, item in _listed(landing, tag):
            if limits.videos is not None and taken_on >= limits.videos:
                break
            refusal = item.refusal(honour_creators=manners.honour_creators)
            if refusal is not None:
                if item.id not in settled:
                    if report is not None:
                        record = Record("/listed", json.dumps(raw, ensure_ascii=False).encode("utf-8", "surrogatepass"))
                        landing.close_video(item.id, new_visit(), refusal, [record])
                        _count_refused(report, tag, refusal)
                    settled.add(item.id)
                continue
            if not wanted(item, limits):
                continue
            taken_on += 1
            if item.id not in settled:
                targets.setdefault(item.id, Target(item.id, tag))
    for video_id in landing.links():
        if video_id not in settled:
            targets.setdefault(video_id, Target(video_id))
    return list(targets.values())


def plain(hashtags: Sequence[str]) -> list[str]:
    """Hashtags without #, in small letters, each once."""
    return list(dict.fromkeys(tag.lstrip("#").casefold() for tag in hashtags))


def wanted(item: Item, limits: Limits) -> bool:
    """Whether the limits of a collection let an item in."""
    if item.stats.comments < limits.min_comments:
        return False
    day = item.published.date() if item.published else None
    if day is None:
        return limits.since is None and limits.until is None
    return (limits.since is None or day >= limits.since) and (limits.until is None or day <= limits.until)


def _count_refused(report: Report, tag: str, refusal: Verdict) -> None:
    report.tally(tag).skipped += 1
    report.outcomes[str(refusal.outcome)] += 1


def _listed(landing: Landing, tag: str) -> Iterator[tuple[dict[str, Any], Item]]:
    """The items of a hashtag, each once."""
    seen: set[str] = set()
    for record in landing.tag_pages(tag):
        answer, _ = read_list(ItemList, record.body)
        for raw, item in items_in(answer)[0] if answer else []:
            if item.id not in seen:
                seen.add(item.id)
                yield raw, item
