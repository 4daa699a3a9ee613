"""Rows of videos and comments as the site's own answers describe them."""

from datetime import UTC, date, datetime

from csmv.pipeline.sources.base import CommentRow, Person, VideoRow
from csmv.pipeline.sources.responses import Account, Comment, Item
from csmv.pipeline.sources.video_links import canonical_url


def video_row(item: Item) -> VideoRow:
    """The row of a video as its page or a list describes it."""
    return VideoRow(
        item.id,
        url=canonical_url(item.id),
        description=item.caption,
        hashtags=tuple(item.hashtags),
        created_at=item.published,
        comment_count=item.stats.comments,
        like_count=item.stats.likes,
        play_count=item.stats.plays,
        share_count=item.stats.shares,
        language=item.language,
        creator=person_of(item.author),
    )


def comment_row(item: Item, comment: Comment) -> CommentRow:
    """The row of a comment under a video."""
    return CommentRow(
        comment.cid,
        item.id,
        comment.text,
        like_count=comment.likes,
        reply_to=comment.reply_id if comment.reply_id not in ("", "0") else None,
        created_on=_day(comment.created),
        language=comment.language,
        author=person_of(comment.user),
        by_creator=comment.is_by(item.author),
        pinned=comment.pinned,
        kind=str(comment.kind),
    )


def person_of(account: Account) -> Person | None:
    """Whoever an account belongs to; None where it says nothing."""
    ids = tuple(value for value in (account.id, account.sec_id) if value)
    if not ids and not account.handle:
        return None
    return Person(account.handle, (account.name,) if account.name else (), ids)


def _day(created: int) -> date | None:
    """The day it was written, if the number is believable."""
    return datetime.fromtimestamp(created, UTC).date() if 0 < created < 1 << 33 else None
