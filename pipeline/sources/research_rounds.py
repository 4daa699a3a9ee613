"""What the Research API's landing holds: each list of videos (a window of dates) or of comments (a video) in rounds,
one for each time that it was asked for anew, named by the day it began.

The newest round that came to its end tells what there is: what only older ones have, the service has let go of.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from csmv.pipeline.root import is_safe_id
from csmv.pipeline.sources.answer_fields import Elements, read_all
from csmv.pipeline.sources.landing import read_records
from csmv.pipeline.sources.research_api import ResearchComment, ResearchList, ResearchVideo
from csmv.pipeline.store import Store

LANDING = "private/landing/research"

Searched = tuple[date, date, int]
"""The first and the last day of a search, and how many days a window has."""


@dataclass(frozen=True)
class Round:
    """One round of a list: its folder and the files in it, in order."""

    folder: str
    names: tuple[str, ...]

    @property
    def began(self) -> date:
        """The day of its first request, UTC."""
        return datetime.strptime(self.folder.rsplit("/", 1)[-1], "%Y%m%d").replace(tzinfo=UTC).date()

    @property
    def ended(self) -> bool:
        """Whether it came to its end: one that stopped loading before the service said so has not."""
        return not self.names[-1].endswith((".more.jsonl.zst", ".stalled.jsonl.zst"))

    @property
    def halved(self) -> bool:
        """Whether its window was too deep, so that two shorter ones stand for it."""
        return self.names[-1].endswith(".halved.jsonl.zst")


def window_place(start: date, end: date) -> str:
    """The folder of a window's rounds."""
    return f"{LANDING}/videos/{start:%Y%m%d}-{end:%Y%m%d}"


def comments_place(store: Store, video_id: str) -> str:
    """The folder of the rounds of a video's comments."""
    return f"{LANDING}/comments/{store.shard_of(video_id):04d}/{video_id}"


def windows(start: date, end: date, days: int) -> list[tuple[date, date]]:
    """Windows of at most `days` days from start to end. Neighbours share their border day: whether the service counts
    the last day or not, none is lost, and repeats fall together by their ids.
    """
    spans = []
    at = start
    while True:
        until = min(at + timedelta(days=days), end)
        spans.append((at, until))
        if until >= end:
            return spans
        at = until


def halves(start: date, end: date) -> tuple[tuple[date, date], tuple[date, date]]:
    """The two windows that stand for one that is too deep."""
    middle = start + (end - start) // 2
    return (start, middle), (middle, end)


def rounds_of(store: Store, place: str) -> list[Round]:
    """The rounds below a folder, oldest first."""
    files: dict[str, list[str]] = defaultdict(list)
    for name in store.files(place):
        files[name.rsplit("/", 1)[0]].append(name)
    return sorted((Round(folder, tuple(names)) for folder, names in files.items()), key=lambda r: (r.began, r.folder))


def believed(store: Store, rounds: Sequence[Round], rows: str) -> list[Round]:
    """The rounds of one list that ended, but for those that brought nothing where an older one had something: the
    service is known to answer so by mistake.
    """
    standing_rounds: list[Round] = []
    had_some = False
    for one in rounds:
        if one.ended and (one.halved or any(True for _ in _rows(store, one, rows)) or not had_some):
            standing_rounds.append(one)
        had_some = had_some or any(True for _ in _rows(store, one, rows))
    return standing_rounds


def research_videos(store: Store, searched: Searched) -> tuple[dict[str, ResearchVideo], set[str]]:
    """Every video that the service gives, the newest answer about each, and the ids of those it let go of."""
    videos: dict[str, ResearchVideo] = {}
    for one in rounds_of(store, f"{LANDING}/videos"):
        videos.update(_videos(store, one))
    gone = vanished(store, searched)
    return {video_id: video for video_id, video in videos.items() if video_id not in gone}, gone


def research_comments(store: Store, video_id: str) -> Elements[ResearchComment]:
    """The comments of a video by the newest round that ended, or by the first while none has, in the service's order.

    Those that the service says are another video's give no row.
    """
    rounds = rounds_of(store, comments_place(store, video_id))
    rows = [
        row for one in (believed(store, rounds, "comments") or rounds)[-1:] for row in _rows(store, one, "comments")
    ]

    def check(comment: ResearchComment) -> str:
        is_here = comment.video_id is None or str(comment.video_id) == video_id
        return "" if is_here else "`comments[].video_id` is another video's"

    return read_all(ResearchComment, rows, "comments[]", check)


def unread_videos(store: Store) -> Counter[str]:
    """Rows of videos that give none, by what is wrong with them; of each list's newest round."""
    lists: dict[str, Round] = {}
    for one in rounds_of(store, f"{LANDING}/videos"):
        lists[one.folder.rsplit("/", 1)[0]] = one
    return sum((_lost(store, one) for one in lists.values()), Counter[str]())


def vanished(store: Store, searched: Searched) -> set[str]:
    """The videos that older rounds have and the newest of their window and its neighbours have not."""
    standing, replaced = _standing(store, searched)
    still_listed = {video_id for one in standing for video_id in _videos(store, one)}
    return {video_id for one in replaced for video_id in _videos(store, one)} - still_listed


def _standing(store: Store, searched: Searched) -> tuple[list[Round], list[Round]]:
    """The rounds that tell what there is, and those that they stand instead of."""
    standing: list[Round] = []
    replaced: list[Round] = []
    left = windows(*searched)
    while left:
        window = left.pop()
        rounds = believed(store, rounds_of(store, window_place(*window)), "videos")
        if not rounds:
            continue
        if _lost(store, rounds[-1]):
            # Whose row could not be read has not gone.
            standing += rounds
            continue
        standing.append(rounds[-1])
        replaced += rounds[:-1]
        if rounds[-1].halved:
            left += halves(*window)
        else:
            for half in _below(*window):
                replaced += rounds_of(store, window_place(*half))
    return standing, replaced


def _below(start: date, end: date) -> Iterator[tuple[date, date]]:
    """The windows that once may have stood for this one."""
    if (end - start).days >= 2:
        for half in halves(start, end):
            yield half
            yield from _below(*half)


def _videos(store: Store, one: Round) -> dict[str, ResearchVideo]:
    videos = read_all(ResearchVideo, list(_rows(store, one, "videos")), "videos[]").values
    return {str(video.id): video for video in videos if is_safe_id(str(video.id))}


def _lost(store: Store, one: Round) -> Counter[str]:
    """The rows of a round that give no video, by what is wrong with them."""
    return read_all(ResearchVideo, list(_rows(store, one, "videos")), "videos[]").lost


def _rows(store: Store, one: Round, rows: str) -> Iterator[object]:
    for name in one.names:
        for record in read_records(store, name):
            yield from ResearchList.of(json.loads(record.body), rows).rows
