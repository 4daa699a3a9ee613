"""From landing to tables: each video's visits become its row, its scrubbed comments under pseudonyms, and its failure.

Everything is made anew whenever anything is added, with the names in all of landing, so the tables depend on what was
seen and not on how often collection was interrupted or on who made them. Handles and ids of persons end here.
"""

import hashlib
import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import SecretStr

from pipeline.known_names import LANDING, known_names
from pipeline.progress import track
from pipeline.pseudonym import Pseudonymiser
from pipeline.schemas import COMMENTS, VIDEOS, MediaStatus
from pipeline.sources.landing import Landing, Record, Visit, latest, verdict_of
from pipeline.sources.links import canonical_url
from pipeline.sources.media_columns import MEDIA_COLUMNS
from pipeline.sources.responses import Comment, CommentList, Item, comments_in, parsed, read_list
from pipeline.sources.visit import COMMENTS as COMMENT_LIST
from pipeline.sources.visit import REPLIES as REPLY_LIST
from pipeline.sources.walls import Outcome, Verdict
from pipeline.sources.web import STAGE
from pipeline.store import Store

if TYPE_CHECKING:
    from pipeline.scrub import Scrubber

_NOT_MEASURED = dict.fromkeys(MEDIA_COLUMNS) | {"media_status": str(MediaStatus.PENDING)}
TABULATED = f"{LANDING}/tabulated"
"""Of each shard, what its tables were made from."""


@dataclass(frozen=True)
class CommentSeen:
    """A comment as a source gave it; personal until scrubbed."""

    id: str
    text: str
    likes: int
    created: int
    reply_to: str | None

    @property
    def day(self) -> date | None:
        """The day it was written, if the number is believable."""
        return datetime.fromtimestamp(self.created, UTC).date() if 0 < self.created < 1 << 33 else None


@dataclass
class VideoSeen:
    """A video as its visits saw it; personal until scrubbed."""

    video_id: str
    caption: str = ""
    hashtags: list[str] = field(default_factory=list)
    published: datetime | None = None
    comment_count: int | None = None
    comments: dict[str, CommentSeen] = field(default_factory=dict)
    usable: bool = False


@dataclass(frozen=True)
class TableSummary:
    """How much of a root's landing went into tables."""

    videos: int = 0
    comments: int = 0
    failures: int = 0

    def __add__(self, other: "TableSummary") -> "TableSummary":
        return TableSummary(**{name: value + getattr(other, name) for name, value in vars(self).items()})


def tabulate(store: Store, key: SecretStr) -> TableSummary:
    """Bring the tables of every shard up to date with the web source's landing."""
    total, state = TableSummary(), landing_state(store)
    with track("landing to tables", store.n_shards) as tick:
        for shard in store.shards():
            total += tabulate_shard(store, key, shard, state)
            tick(1)
    return total


def landing_state(store: Store) -> str:
    """A digest of what decides the tables of a whole root: which files landed, the policy, this version of csmv.

    It is the same however often and by how many the tables are made, and names nobody.
    """
    landed = [name for name in store.files(LANDING) if not name.startswith(TABULATED)]
    parts = [version("csmv"), store.config.scrub.model_dump_json(), *landed]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def tabulate_shard(store: Store, key: SecretStr, shard: int, state: str) -> TableSummary:
    """Bring one shard's videos, comments and failures up to date, unless `landing_state` is what they were made from.

    A name that is new may stand in any text, so new landing makes every table anew.
    """
    before, done = _tabulated(store, shard)
    landing = Landing(store)
    visits = {} if before == state else landing.video_visits(shard)
    if not visits:
        return TableSummary()
    seen = [_see(landing, video_id, visits_of) for video_id, visits_of in sorted(visits.items())]
    verdicts = {video_id: _verdict(landing, visits_of) for video_id, visits_of in visits.items()}
    usable = [video for video in seen if video.usable and _may_keep(verdicts[video.video_id])]
    write_videos(store, key, shard, usable, set(visits), state)
    news = {video_id for video_id, visits_of in visits.items() if not {visit.began for visit in visits_of} <= done}
    failures = [row for video_id in sorted(news) if (row := verdicts[video_id].failure(video_id))]
    store.record_failures(STAGE, shard, failures)
    store.clear_failures(STAGE, shard, news - {row.key for row in failures})
    began = sorted(visit.began for visits_of in visits.values() for visit in visits_of)
    store.write_file(_marker(shard), json.dumps({"state": state, "visits": began}).encode())
    return TableSummary(len(usable), sum(len(video.comments) for video in usable), len(failures))


def write_videos(
    store: Store, key: SecretStr, shard: int, seen: Sequence[VideoSeen], instead_of: set[str], state: str
) -> None:
    """Put videos and their comments, scrubbed, in place of the rows that a shard has of the videos `instead_of`."""
    scrubber = _scrubber(store.root, key, state)
    pseudonyms = Pseudonymiser(key)
    comments: list[dict[str, Any]] = []
    videos: list[dict[str, Any]] = []
    before = {row["video_id"]: row for row in _rows(store.read("videos", shard))}
    for video in seen:
        comments += _comment_rows(video, scrubber, pseudonyms)
        kept = before.get(video.video_id, _NOT_MEASURED)
        videos.append(_video_row(video, scrubber) | {name: kept[name] for name in MEDIA_COLUMNS})
    others = [row for row in before.values() if row["video_id"] not in instead_of]
    store.write("comments", shard, _replaced(store.read("comments", shard), comments, instead_of))
    store.write("videos", shard, pa.Table.from_pylist([*others, *videos], schema=VIDEOS.schema))


_ONE_AT_A_TIME = threading.Lock()


def _scrubber(root: str, key: SecretStr, state: str) -> "Scrubber":
    with _ONE_AT_A_TIME:
        return _knowing_all(root, key, state)


@lru_cache(maxsize=1)
def _knowing_all(root: str, key: SecretStr, _state: str) -> "Scrubber":
    """A scrubber that knows every name in a root's landing, which is read whole for it: once for all shards."""
    from pipeline.scrub import Scrubber  # loads Presidio

    store = Store.open(root)
    return Scrubber(store.config.scrub, key=key, names=known_names(store).names)


def _comment_rows(video: VideoSeen, scrubber: "Scrubber", pseudonyms: Pseudonymiser) -> list[dict[str, Any]]:
    seen = [video.comments[cid] for cid in sorted(video.comments)]
    texts = scrubber.scrub([comment.text.replace("\0", "") for comment in seen])
    return [
        {
            "comment_id": pseudonyms.comment_id(comment.id),
            "video_id": video.video_id,
            "text": text.text,
            "pii": sorted(set(map(str, text.kinds))),
            "like_count": comment.likes,
            "reply_to": pseudonyms.comment_id(comment.reply_to) if comment.reply_to else None,
            "created_on": comment.day,
        }
        for comment, text in zip(seen, texts, strict=True)
    ]


def _video_row(video: VideoSeen, scrubber: "Scrubber") -> dict[str, Any]:
    caption = scrubber.scrub([video.caption.replace("\0", "")])[0]
    tags = [tag for tag, found in zip(video.hashtags, scrubber.scrub(video.hashtags), strict=True) if not found.kinds]
    return {
        "video_id": video.video_id,
        "url": canonical_url(video.video_id),
        "hashtags": tags,
        "description": caption.text or None,
        "created_at": video.published,
        "comment_count": video.comment_count,
    }


def _replaced(table: pa.Table | None, rows: list[dict[str, Any]], videos: set[str]) -> pa.Table:
    """A shard's comments with those of some videos replaced."""
    kept = [row for row in _rows(table) if row["video_id"] not in videos]
    return pa.Table.from_pylist([*kept, *rows], schema=COMMENTS.schema)


def _rows(table: pa.Table | None) -> list[dict[str, Any]]:
    return [] if table is None else table.to_pylist()


# ---------------------------------------------------------------------- what visits saw


def _see(landing: Landing, video_id: str, visits: Iterable[Visit]) -> VideoSeen:
    """All that the visits of a video saw; later visits count more."""
    video = VideoSeen(video_id)
    for visit in visits:
        for record in landing.read(visit.name):
            _absorb(video, record)
    return video


def _absorb(video: VideoSeen, record: Record) -> None:
    if record.path in ("/video", "/listed"):
        item = parsed(Item, json.loads(record.body))
        if item is None or item.id != video.video_id:
            return
        video.caption, video.hashtags, video.published = item.caption, item.hashtags, item.published
        video.comment_count = item.stats.comments
        video.usable |= record.path == "/video"
    elif record.path in (COMMENT_LIST, REPLY_LIST):
        answer, _ = read_list(CommentList, record.body)
        for comment in comments_in(answer) if answer else []:
            if comment.video_id in ("", video.video_id):
                video.comments[comment.cid] = _seen(comment)


def _seen(comment: Comment) -> CommentSeen:
    reply_to = comment.reply_id if comment.reply_id not in ("", "0") else None
    return CommentSeen(comment.cid, comment.text, comment.likes, comment.created, reply_to)


def _may_keep(verdict: Verdict) -> bool:
    """What is refused or gone for good has no row; what was walled keeps what was had so far."""
    return not verdict.meaning.final or verdict.outcome is Outcome.DONE


def _verdict(landing: Landing, visits: list[Visit]) -> Verdict:
    last = latest(visits)
    assert last is not None
    return verdict_of(landing.read(last.name))


def _tabulated(store: Store, shard: int) -> tuple[str, set[str]]:
    """The state of the landing that a shard's tables were made from, and the visits that are in them."""
    kept = json.loads(store.read_file(_marker(shard))) if store.exists(_marker(shard)) else {}
    if isinstance(kept, list):  # as it was written when a video's own names were all that was known
        return "", set(kept)
    return kept.get("state", ""), set(kept.get("visits", ()))


def _marker(shard: int) -> str:
    return f"{TABULATED}/{shard:04d}.json"
