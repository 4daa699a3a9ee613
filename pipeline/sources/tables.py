"""The one writer: rows of any source, scrubbed and under pseudonyms, into videos, comments, labels and failures.

Handles and ids of persons end here. What a shard was made from stands in its footers as a keyed digest, so that a shard
is made again exactly when its rows, the policy, the names that are known, or what was forgotten has changed.
"""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
from pydantic import SecretStr

from csmv.pipeline.annotation_labels import write_labels
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import Failure, clear_failures, failure_rows, record_failures
from csmv.pipeline.landed_names import extract_names
from csmv.pipeline.policy_words import words_of
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.progress import track
from csmv.pipeline.pseudonym import Pseudonymiser, key_fingerprint
from csmv.pipeline.schemas import COMMENTS, LABELS, VIDEOS, MediaStatus
from csmv.pipeline.scrub.model_files import state_of
from csmv.pipeline.scrub.policy import Kind, ScrubPolicy
from csmv.pipeline.scrub_pool import ScrubPool
from csmv.pipeline.sources.base import CommentRow, LabelRow, Person, Rows, Source, VideoRow
from csmv.pipeline.sources.by_shard import digest_of
from csmv.pipeline.sources.media_columns import MEDIA_COLUMNS, keep_media_columns
from csmv.pipeline.sources.scrubbed_texts import (
    ScrubbedTexts,
    Scrubbing,
    keep,
    keep_glance,
    recorded,
    scrubbing_of,
    sweep_name_sets,
    texts_of,
)
from csmv.pipeline.store import Store

STAGE = "tables"
TABLES = ("comments", "labels", "videos")
"""What is written of a shard, in this order: the videos are its last word."""
SPLIT = "published"

_RECIPE = 1
"""Of this module: another number makes every table anew."""
_MOST = 2**63 - 1


@dataclass(frozen=True)
class TableSummary:
    """How much was written; `reused` counts shards that were up to date already, `scrubbed` texts that were read."""

    videos: int = 0
    comments: int = 0
    labels: int = 0
    failures: int = 0
    reused: int = 0
    scrubbed: int = field(default=0, compare=False)

    def __add__(self, other: "TableSummary") -> "TableSummary":
        return TableSummary(**{name: value + getattr(other, name) for name, value in vars(self).items()})


def write_tables(store: Store, source: Source, policy: ScrubPolicy, key: SecretStr) -> TableSummary:
    """Bring every shard up to date, and the published split where the source brings one."""
    extract_names(store)
    total = TableSummary()
    with track("comments and videos", store.n_shards) as tick:
        for shard in store.shards():
            total += write_shard(store, source, policy, key, shard)
            tick(1)
    finish_tables(store, source)
    return total


def finish_tables(store: Store, source: Source) -> None:
    """What comes once, after the last shard."""
    close_scrubbers()
    sweep_name_sets(store)
    write_published_split(store, source)


def write_shard(store: Store, source: Source, policy: ScrubPolicy, key: SecretStr, shard: int) -> TableSummary:
    """Write one shard's videos, comments, labels and failures, unless they are there and made from the same.

    Killed at any moment and run again, it ends in the same bytes; what the media stage found out about a video stays.
    Names are those that were last read out of landing (`csmv.pipeline.landed_names.extract_names`).

    Args:
        store: The root.
        source: Where the rows come from; it has landed.
        policy: How texts are scrubbed.
        key: What pseudonyms are made with.
        shard: The shard.

    Returns:
        How much was written.

    Raises:
        CsmvError: nothing has landed, or a landing file is damaged.
    """
    made_from = _made_from(store, source, policy, key, shard)
    if _is_made_from(store, shard, made_from):
        keep_glance(store, shard, _glance(store, source, policy, key, shard), made_from)
        return TableSummary(reused=1)
    return _write(store, source, policy, key, shard, made_from)


def write_reread(store: Store, source: Source, policy: ScrubPolicy, key: SecretStr, shard: int) -> TableSummary:
    """As `write_shard`, for what landing gives when it is read anew, though nothing of it has changed since."""
    made_from = _made_from_rows(store, source, policy, key, shard)
    if _is_made_from(store, shard, made_from):
        keep_glance(store, shard, _glance(store, source, policy, key, shard), made_from)
        return TableSummary(reused=1)
    return _write(store, source, policy, key, shard, made_from)


def write_anew(store: Store, source: Source, policy: ScrubPolicy, key: SecretStr, shard: int) -> TableSummary:
    """Write a shard whatever it was made from before; otherwise as `write_shard`."""
    return _write(store, source, policy, key, shard, _made_from(store, source, policy, key, shard))


def comments_of(store: Store, source: Source, policy: ScrubPolicy, key: SecretStr, shard: int) -> pa.Table:
    """A shard's comments as they would be written now; nothing is written."""
    forgotten = Forgotten.of(store)
    rows = _remembered(source.rows(store, shard), forgotten)
    texts = texts_of(store, shard, *_scrubs(store, source, policy, key, forgotten))
    return _Writer(texts, Pseudonymiser(key), forgotten).comments(rows.comments)


def texts_before_scrubbing(store: Store, source: Source, shard: int) -> list[tuple[str, str | None]]:
    """A shard's comments and descriptions raw, without what was forgotten, with their languages."""
    forgotten = Forgotten.of(store)
    rows = _remembered(source.rows(store, shard), forgotten)
    texts = [(row.text, row.language) for row in rows.comments]
    texts += [(row.description, row.language) for row in rows.videos if row.description]
    cleaned = forgotten.clean([text.replace("\0", "") for text, _ in texts])
    return [(text, language) for (text, _), (_, language) in zip(cleaned, texts, strict=True)]


def _write(
    store: Store, source: Source, policy: ScrubPolicy, key: SecretStr, shard: int, made_from: str
) -> TableSummary:
    forgotten = Forgotten.of(store)
    glance = _glance(store, source, policy, key, shard)
    rows = _remembered(source.rows(store, shard), forgotten)
    scrubber, scrubbing, names = _scrubs(store, source, policy, key, forgotten)
    texts = texts_of(store, shard, scrubber, scrubbing, names)
    writer = _Writer(texts, Pseudonymiser(key), forgotten)
    videos = keep_media_columns(store.read("videos", shard, remake=True), writer.videos(rows.videos))
    comments = writer.comments(rows.comments)
    store.write("comments", shard, comments, made_from=made_from)
    write_labels(store, shard, writer.labels(rows.labels, rows.comments), comments["comment_id"], made_from)
    _settle_failures(store, shard, rows.failures)
    keep(store, shard, texts, scrubbing, names, glance, made_from, forgotten)
    store.write("videos", shard, videos, made_from=made_from)
    return TableSummary(
        len(rows.videos), len(rows.comments), len(rows.labels), len(rows.failures), scrubbed=texts.scrubbed
    )


def is_current(store: Store, source: Source, policy: ScrubPolicy, key: SecretStr, shard: int) -> bool:
    """Whether `write_shard` would have nothing to do."""
    return _is_made_from(store, shard, _made_from(store, source, policy, key, shard))


def made_from_now(store: Store, source: Source, policy: ScrubPolicy, key: SecretStr, shard: int) -> str:
    """The digest that a shard's tables have once they are up to date."""
    return _made_from(store, source, policy, key, shard)


def write_published_split(store: Store, source: Source) -> None:
    """Write the split that a source brings, if it brings one; comments that the tables don't have are left out."""
    pieces = []
    for shard in store.shards():
        part_of = source.split_of(store, shard)
        if part_of:
            comments = store.read_columns("comments", shard, ["comment_id", "video_id"])
            if comments is None:
                raise CsmvError(
                    f"The comments of shard {shard:04d} have not been written: run `csmv run tables` first."
                )
            parts = pa.array(map(part_of.get, comments["comment_id"].to_pylist()), pa.string())
            pieces.append(comments.append_column("split", parts).filter(parts.is_valid()))
    if not pieces:
        return
    made_from = digest_of([store.made_from("comments", shard) for shard in store.shards()])
    store.write_split(SPLIT, pa.concat_tables(pieces), made_from=made_from)


# ---------------------------------------------------------------------- what a shard is made from


def _made_from(store: Store, source: Source, policy: ScrubPolicy, key: SecretStr, shard: int) -> str:
    glance = _glance(store, source, policy, key, shard)
    last = recorded(store, shard)
    if last is not None and last.glance == glance:
        return last.made_from
    return _made_from_rows(store, source, policy, key, shard)


def _made_from_rows(store: Store, source: Source, policy: ScrubPolicy, key: SecretStr, shard: int) -> str:
    """The digest by the rows themselves, whatever was known of them before."""
    # Keyed, because it would else let anybody test a guess at the names or at a raw row.
    names = hashlib.sha256("\n".join(_names(store, source)).encode("utf-8", "surrogatepass")).hexdigest()
    parts = [_RECIPE, state_of(policy), source.state(store, shard), names, Forgotten.of(store).digest]
    secret = key.get_secret_value().encode("utf-8", "surrogatepass")
    return hmac.new(secret, json.dumps(parts).encode(), hashlib.sha256).hexdigest()


def _glance(store: Store, source: Source, policy: ScrubPolicy, key: SecretStr, shard: int) -> str:
    """What decides `_made_from`, told without reading landing or names: equal glances, equal digests."""
    seen = [source.glance(store, shard), source.names_state(store), Forgotten.of(store).digest]
    parts = [_RECIPE, state_of(policy), key_fingerprint(key), *seen]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _is_made_from(store: Store, shard: int, made_from: str) -> bool:
    return all(store.made_from(table, shard) == made_from for table in TABLES)


_LOCK = threading.RLock()
_names_of: dict[tuple[str, ...], tuple[str, ...]] = {}
_scrubber_of: dict[tuple[object, ...], "ScrubPool"] = {}
"""Of the root at hand only: its names are read, and its scrubber is made, once a process and not once a shard."""


def _names(store: Store, source: Source) -> tuple[str, ...]:
    at = (store.root, source.kind, source.names_state(store), Forgotten.of(store).digest)
    with _LOCK:
        if at not in _names_of:
            names = tuple(source.names(store).names)
            _names_of.clear()
            _names_of[at] = names
        return _names_of[at]


def _scrubber(store: Store, source: Source, policy: ScrubPolicy, key: SecretStr) -> ScrubPool:
    words = words_of(store, policy)
    at = (policy, key, _names(store, source), words)
    with _LOCK:
        if at not in _scrubber_of:
            close_scrubbers()
            _scrubber_of[at] = ScrubPool(policy, key, at[2], words=words)
        return _scrubber_of[at]


def close_scrubbers() -> None:
    """End the processes that scrub, if there are any."""
    with _LOCK:
        for pool in _scrubber_of.values():
            pool.close()
        _scrubber_of.clear()


def _scrubs(
    store: Store, source: Source, policy: ScrubPolicy, key: SecretStr, forgotten: Forgotten
) -> tuple["ScrubPool", Scrubbing, tuple[str, ...]]:
    """The scrubber of a root, what tells it from another, and the names it knows."""
    names = _names(store, source)
    return _scrubber(store, source, policy, key), scrubbing_of(policy, names, forgotten, key_fingerprint(key)), names


# ---------------------------------------------------------------------- rows


def _remembered(rows: Rows, forgotten: Forgotten) -> Rows:
    """Rows without those of forgotten persons and without what was forgotten by its id."""
    videos = [
        video
        for video in rows.videos
        if not (forgotten.is_forgotten_video(video.video_id) or _is_forgotten(video.creator, forgotten))
    ]
    gone = {video.video_id for video in rows.videos} - {video.video_id for video in videos}
    comments = [
        comment
        for comment in rows.comments
        if not (
            comment.video_id in gone
            or forgotten.is_forgotten_comment(comment.id)
            or _is_forgotten(comment.author, forgotten)
        )
    ]
    ids = {comment.id for comment in comments}
    return Rows(videos, comments, [label for label in rows.labels if label.comment in ids], rows.failures)


def _is_forgotten(person: Person | None, forgotten: Forgotten) -> bool:
    return person is not None and bool(person.values) and forgotten.is_forgotten_person(*person.values)


@dataclass(frozen=True)
class _Writer:
    """Makes tables of rows: nothing of a person but a pseudonym leaves it."""

    texts: ScrubbedTexts
    pseudonyms: Pseudonymiser
    forgotten: Forgotten

    def videos(self, rows: Sequence[VideoRow]) -> pa.Table:
        nothing = [None] * len(rows)
        languages = [row.language for row in rows]
        return _table(
            VIDEOS.schema,
            video_id=[row.video_id for row in rows],
            url=[row.url for row in rows],
            hashtags=[self._hashtags(row.hashtags) for row in rows],
            description=[text or None for text, _ in self._clean([row.description for row in rows], languages)],
            created_at=[_whole_seconds(row.created_at) for row in rows],
            comment_count=[_count(row.comment_count) for row in rows],
            like_count=[_count(row.like_count) for row in rows],
            play_count=[_count(row.play_count) for row in rows],
            share_count=[_count(row.share_count) for row in rows],
            language=languages,
            creator=[self._person(row.creator) for row in rows],
            **dict.fromkeys(MEDIA_COLUMNS, nothing) | {"media_status": [str(MediaStatus.PENDING)] * len(rows)},
        )

    def comments(self, rows: Sequence[CommentRow]) -> pa.Table:
        languages = [row.language for row in rows]
        texts = self._clean([row.text for row in rows], languages)
        return _table(
            COMMENTS.schema,
            comment_id=[self._comment_id(row, row.id) for row in rows],
            video_id=[row.video_id for row in rows],
            text=[text for text, _ in texts],
            pii=[sorted({*kinds, *row.removed}) for row, (_, kinds) in zip(rows, texts, strict=True)],
            like_count=[_count(row.like_count) for row in rows],
            reply_to=[None if row.reply_to is None else self._comment_id(row, row.reply_to) for row in rows],
            created_on=[row.created_on for row in rows],
            language=languages,
            author=[self._person(row.author) for row in rows],
            by_creator=[row.by_creator for row in rows],
            pinned=[row.pinned for row in rows],
            kind=[row.kind for row in rows],
        )

    def labels(self, rows: Sequence[LabelRow], comments: Iterable[CommentRow]) -> pa.Table:
        ids = {comment.id: self._comment_id(comment, comment.id) for comment in comments}
        return _table(
            LABELS.schema,
            comment_id=[ids[row.comment] for row in rows],
            opinion=[row.opinion for row in rows],
            emotion=[row.emotion for row in rows],
            source=[row.source for row in rows],
        )

    def _comment_id(self, row: CommentRow, raw: str) -> str:
        return raw if row.published_id else self.pseudonyms.comment_id(raw)

    def _person(self, person: Person | None) -> str | None:
        return self.pseudonyms.user_id(person.key) if person is not None and person.key else None

    def _clean(
        self, texts: Sequence[str], languages: Sequence[str | None] | None = None
    ) -> list[tuple[str, list[str]]]:
        """Texts scrubbed and without the names of who was forgotten, each with the kinds that were removed."""
        scrubbed = self.texts.scrub([text.replace("\0", "") for text in texts], languages)
        cleaned = self.forgotten.clean([text for text, _ in scrubbed])
        return [
            (text, sorted({*kinds, *([str(Kind.USERNAME)] if names else [])}))
            for (_, kinds), (text, names) in zip(scrubbed, cleaned, strict=True)
        ]

    def _hashtags(self, tags: Sequence[str]) -> list[str]:
        """Hashtags without #, in small letters, sorted; one that holds personal data is left out."""
        bare = sorted({tag.replace("\0", "").strip().lstrip("#").casefold() for tag in tags} - {""})
        return [tag for tag, (_, kinds) in zip(bare, self._clean(bare), strict=True) if not kinds]


def _table(schema: pa.Schema, **columns: list[Any]) -> pa.Table:
    return pa.table([pa.array(columns[field.name], field.type) for field in schema], schema=schema)


def _count(number: int | None) -> int | None:
    """A number that a column can hold; what a site says beyond that is no count."""
    return number if number is not None and 0 <= number <= _MOST else None


def _whole_seconds(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(microsecond=0)


def _settle_failures(store: Store, shard: int, wanted: Iterable[Failure]) -> None:
    """Make failures/tables say exactly `wanted`; a row that says so already keeps its date and attempts."""
    now = {failure.key: failure for failure in wanted}
    said = {row["key"]: (row["reason"], row["detail"]) for row in failure_rows(store, STAGE, shard)}
    clear_failures(store, STAGE, shard, said.keys() - now.keys())
    news = [failure for failure in now.values() if said.get(failure.key) != (str(failure.reason), failure.detail)]
    record_failures(store, STAGE, shard, news)
