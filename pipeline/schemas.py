"""The tables of a dataset root: their columns, units, meanings and keys, and the closed vocabularies in them.

Nothing here reads or writes; `csmv.pipeline.store` does.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pyarrow as pa

from csmv.extractors.reasons import MediaFailure
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import CLASSES
from csmv.pipeline.labels import EMOTIONS as EMOTIONS
from csmv.pipeline.labels import OPINIONS as OPINIONS

PARQUET: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 3,
    "version": "2.6",
    "store_schema": True,
    "write_page_checksum": True,
}
"""The settings of every Parquet file: fixed, so that the same table gives the same bytes."""

SPLIT_NAMES = ("train", "dev", "test")


class MediaStatus(StrEnum):
    """Where a video's file stands."""

    PENDING = "pending"  # not looked at yet
    OK = "ok"  # in private/media, verified
    FAILED = "failed"  # see failures/media
    DELETED = "deleted"  # was ok; removed by the retention rule


class CommentKind(StrEnum):
    """What a comment consists of."""

    TEXT = "text"
    STICKER = "sticker"
    PICTURE = "picture"


class FailureClass(StrEnum):
    """What kind of thing went wrong: what a person would do about it. Each has a sentence that says what it means."""

    sentence: str

    def __new__(cls, word: str, sentence: str = "") -> "FailureClass":
        """A member from its line; the default is there for looking one up by its word."""
        member = str.__new__(cls, word)
        member._value_, member.sentence = word, sentence
        return member

    MEDIA = "media", "the file, once it is there, is not a video that can be used"
    WALL = "wall", "the site wants this session to stop; never worked around, tried again another day"
    GONE = "gone", "the site, or the creator, does not give it"
    NETWORK = "network", "something on the way, or an answer that made no sense: may pass"
    INPUT = "input", "what the source says is not what it should be"
    SPACE = "space", "the machine is full"
    WARNING = "warning", "nothing failed, and yet a person should know of it"


class FailureReason(StrEnum):
    """Every reason that may stand in a failures table. A reason is one line here, and nothing elsewhere.

    A line says the word, its class, what it means in a few words, and `final` where trying again brings nothing as long
    as the source, the settings and the file are the same.
    """

    _value_: str
    kind: FailureClass
    sentence: str
    final: bool

    def __new__(
        cls, word: str, kind: FailureClass | None = None, sentence: str = "", final: bool = False
    ) -> "FailureReason":
        """A member from its line of the table; the defaults are there for looking one up by its word."""
        if kind is None or not sentence:
            raise TypeError(f"the reason '{word}' needs its class and a sentence")
        member = str.__new__(cls, word)
        member._value_, member.kind, member.sentence, member.final = str(word), kind, sentence, final
        return member

    @property
    def wall(self) -> bool:
        """Whether the site wants this session to stop."""
        return self.kind is FailureClass.WALL

    # Of media files: the extractors' own words (csmv.extractors.reasons).
    EMPTY_FILE = MediaFailure.EMPTY_FILE, FailureClass.MEDIA, "the file has no bytes", True
    NOT_A_VIDEO = MediaFailure.NOT_A_VIDEO, FailureClass.MEDIA, "the file is no video", True
    TRUNCATED = MediaFailure.TRUNCATED, FailureClass.MEDIA, "the file is cut short", True
    DAMAGED = MediaFailure.DAMAGED, FailureClass.MEDIA, "too much of the file can't be decoded", True
    PARTLY_DAMAGED = (
        "partly_damaged",
        FailureClass.WARNING,
        "part of the file can't be decoded; its features are of the rest",
        True,
    )
    NO_VIDEO_STREAM = MediaFailure.NO_VIDEO_STREAM, FailureClass.MEDIA, "the file has no video stream", True
    NO_FRAMES = MediaFailure.NO_FRAMES, FailureClass.MEDIA, "the video stream has no frame", True
    DECODER_CRASHED = MediaFailure.DECODER_CRASHED, FailureClass.MEDIA, "decoding the file failed"
    DECODE_TIMEOUT = MediaFailure.DECODE_TIMEOUT, FailureClass.MEDIA, "decoding the file took too long"
    TOO_LARGE = MediaFailure.TOO_LARGE, FailureClass.MEDIA, "decoding needs more memory than a worker may use", True
    UNSUPPORTED_CODEC = MediaFailure.UNSUPPORTED_CODEC, FailureClass.MEDIA, "the codec is not supported", True
    DECODER_LIMIT = MediaFailure.DECODER_LIMIT, FailureClass.MEDIA, "the chosen decoder does not read the file", True
    NO_AUDIO = MediaFailure.NO_AUDIO, FailureClass.MEDIA, "the file has no audio stream", True
    NOT_FINITE = MediaFailure.NOT_FINITE, FailureClass.MEDIA, "its vectors hold numbers that are not finite", True
    MISSING_MEDIA = "missing_media", FailureClass.MEDIA, "the root has no usable file of this video", True

    GONE = "gone", FailureClass.GONE, "deleted", True
    WITHHELD = "withheld", FailureClass.GONE, "withheld here, under review, or shown to its creator only", True
    PRIVATE = "private", FailureClass.GONE, "a private post or account", True
    AGE_GATE = "age_gate", FailureClass.GONE, "shown after a login only, for its content", True
    UNAVAILABLE = "unavailable", FailureClass.GONE, "not available", True
    NOT_FOUND = "not_found", FailureClass.GONE, "there is no such page", True
    SLIDESHOW = "slideshow", FailureClass.GONE, "pictures, not a video", True
    ADVERTISEMENT = "advertisement", FailureClass.GONE, "an advertisement", True
    NOT_PUBLIC = "not_public", FailureClass.GONE, "not meant for everybody", True
    DOWNLOAD_DISALLOWED = "download_disallowed", FailureClass.GONE, "the creator disallows downloads", True
    COMMENTS_OFF = (
        "comments_off",
        FailureClass.GONE,
        "its comments are switched off, which is not the same as none",
        True,
    )
    INDEXING_DISALLOWED = "indexing_disallowed", FailureClass.GONE, "kept out of search engines", True

    CAPTCHA = "captcha", FailureClass.WALL, "a captcha was asked for"
    LOGIN_REQUIRED = "login_required", FailureClass.WALL, "a login was asked for"
    CHALLENGE = "challenge", FailureClass.WALL, "a browser challenge was set"
    EMPTY_RESPONSE = "empty_response", FailureClass.WALL, "an empty answer, which is a refusal"
    RATE_LIMITED = "rate_limited", FailureClass.WALL, "too many requests"
    FORBIDDEN = "forbidden", FailureClass.WALL, "access was refused (HTTP 403)"
    ERROR_PANEL = "error_panel", FailureClass.WALL, "the page kept saying that something went wrong"

    STALLED = "stalled", FailureClass.NETWORK, "the list stopped loading before its end"
    UNREADABLE = "unreadable", FailureClass.NETWORK, "the answer was not what it should be"
    OVERSIZED = "oversized", FailureClass.NETWORK, "the answer was larger than any real one"
    REFUSED_PARAMETERS = "refused_parameters", FailureClass.NETWORK, "the site refused the request's parameters"
    SERVER_ERROR = "server_error", FailureClass.NETWORK, "the server failed"
    NETWORK = "network", FailureClass.NETWORK, "the connection failed"

    MISSING_FILE = "missing_file", FailureClass.INPUT, "the source has no file of this video", True
    UNSAFE_ID = "unsafe_id", FailureClass.INPUT, "the id may not become a file name or an address", True
    BAD_ROW = "bad_row", FailureClass.INPUT, "the row is not what the format says", True
    UNKNOWN_VIDEO = "unknown_video", FailureClass.INPUT, "the source has no such video", True
    UNKNOWN_COMMENT = "unknown_comment", FailureClass.INPUT, "the root has no such comment", True
    DUPLICATE = "duplicate", FailureClass.INPUT, "another row has the same key", True
    WRONG_ID = "wrong_id", FailureClass.INPUT, "the page was about another video", True
    REDIRECT_LOOP = "redirect_loop", FailureClass.INPUT, "the short link leads in circles", True
    REFUSED_ADDRESS = "refused_address", FailureClass.INPUT, "the short link leads to no TikTok address", True

    NO_SPACE = "no_space", FailureClass.SPACE, "the disk is full"

    # Coarse words of roots of format 1, where the fine one stands in the detail (`reason_of_format_1`). Never recorded.
    WALLED = "walled", FailureClass.WALL, "a login, captcha or block page"
    REFUSED = "refused", FailureClass.GONE, "the creator or robots.txt disallows it", True


_COARSE = (FailureReason.WALLED, FailureReason.REFUSED)


def reasons_of(*classes: FailureClass) -> tuple[FailureReason, ...]:
    """Every reason of these classes that is still recorded: how a stage says which failures it can record."""
    return tuple(reason for reason in FailureReason if reason.kind in classes and reason not in _COARSE)


def reason_of_format_1(reason: str, detail: str) -> tuple[FailureReason, str]:
    """What a failure of a root of format 1 is in this vocabulary, and its detail without the word in front.

    There `reason` was coarse (walled, unavailable, refused, network, ...), and `detail` began with the fine word and a
    colon where collection or download had met it.

    Args:
        reason: the row's reason.
        detail: its detail; may be empty.

    Returns:
        The reason and the detail as this version would record them.
    """
    word, colon, sentence = detail.partition(": ")
    if word == MediaFailure.TOO_LARGE and sentence.startswith(FailureReason.OVERSIZED.sentence):
        word = FailureReason.OVERSIZED
    if colon and word in set(FailureReason):
        return FailureReason(word), sentence
    return FailureReason(reason), detail


@dataclass(frozen=True)
class TableSpec:
    """A table's schema and the columns that name a row."""

    schema: pa.Schema
    key: tuple[str, ...]

    def conform(self, table: pa.Table) -> pa.Table:
        """`table` with this spec's columns, in order, cast, sorted by key.

        Raises CsmvError if a column is missing or a key stands twice.
        """
        absent = [field for field in self.schema if field.name not in table.column_names]
        missing = [field.name for field in absent if not field.nullable]
        if missing:
            raise CsmvError(f"A table lacks the column(s) {', '.join(missing)} that its schema has.")
        for field in absent:  # written before the column was thought of
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        metadata = {**(self.schema.metadata or {}), **(table.schema.metadata or {})} or None
        table = table.select(self.schema.names).cast(self.schema.with_metadata(metadata))
        table = table.sort_by([(name, "ascending") for name in self.key]).combine_chunks()
        distinct = table.select(self.key).group_by(list(self.key)).aggregate([]).num_rows
        if distinct != table.num_rows:
            raise CsmvError(
                f"{table.num_rows - distinct} row(s) repeat a key ({', '.join(self.key)}) that must be unique."
            )
        return table


def _field(name: str, kind: pa.DataType, meaning: str, *, unit: str = "", nullable: bool = True) -> pa.Field:
    metadata = {"meaning": meaning} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, nullable=nullable, metadata=metadata)


VIDEOS = TableSpec(
    pa.schema(
        [
            _field("video_id", pa.string(), "the platform's id of the video", nullable=False),
            _field("url", pa.string(), "canonical address, without the creator's handle"),
            _field("hashtags", pa.list_(pa.string()), "hashtags without #, sorted"),
            _field("description", pa.string(), "the creator's text, scrubbed"),
            _field("created_at", pa.timestamp("s", tz="UTC"), "when the video was published", unit="s, UTC"),
            _field("duration_s", pa.float64(), "length of the video stream", unit="s"),
            _field("width", pa.int32(), "as displayed, after rotation", unit="px"),
            _field("height", pa.int32(), "as displayed, after rotation", unit="px"),
            _field("fps", pa.float64(), "average frame rate", unit="1/s"),
            _field("has_audio", pa.bool_(), "whether the file has an audio stream"),
            _field("comment_count", pa.int64(), "comments as the platform counted them", unit="comments"),
            _field("like_count", pa.int64(), "likes at collection time", unit="likes"),
            _field("play_count", pa.int64(), "how often it was played, at collection time", unit="plays"),
            _field("share_count", pa.int64(), "how often it was shared, at collection time", unit="shares"),
            _field("language", pa.string(), "language of the creator's text, as the platform guesses it"),
            _field("creator", pa.string(), "keyed pseudonym of the account that published it"),
            _field("media_status", pa.string(), "one of " + ", ".join(MediaStatus), nullable=False),
            _field("media_sha256", pa.string(), "SHA-256 of the media file, hexadecimal"),
        ]
    ),
    key=("video_id",),
)

COMMENTS = TableSpec(
    pa.schema(
        [
            _field("comment_id", pa.string(), "keyed pseudonym, or the published CSMV data id", nullable=False),
            _field("video_id", pa.string(), "the video commented on", nullable=False),
            _field("text", pa.string(), "the comment, scrubbed", nullable=False),
            _field("pii", pa.list_(pa.string()), "kinds of personal data that were removed, sorted"),
            _field("like_count", pa.int64(), "likes at collection time", unit="likes"),
            _field("reply_to", pa.string(), "comment_id of the comment replied to"),
            _field("created_on", pa.date32(), "day of the comment", unit="day, UTC"),
            _field("language", pa.string(), "language of the text, as the platform guesses it"),
            _field("author", pa.string(), "keyed pseudonym of the account that wrote it"),
            _field("by_creator", pa.bool_(), "whether the video's creator wrote it"),
            _field("pinned", pa.bool_(), "whether the creator pinned it"),
            _field("kind", pa.string(), "one of " + ", ".join(CommentKind)),
        ]
    ),
    key=("comment_id",),
)

LABELS = TableSpec(
    pa.schema(
        [
            _field("comment_id", pa.string(), "the comment labelled", nullable=False),
            _field("opinion", pa.string(), "one of " + ", ".join(OPINIONS) + "; null where none was given"),
            _field("emotion", pa.string(), "one of " + ", ".join(EMOTIONS) + "; null where none was given"),
            _field("source", pa.string(), "published, an annotator's pseudonym, or adjudicated", nullable=False),
        ],
        metadata=dict(CLASSES),
    ),
    key=("comment_id", "source"),
)

SPLITS = TableSpec(
    pa.schema(
        [
            _field("comment_id", pa.string(), "the comment", nullable=False),
            _field("video_id", pa.string(), "its video", nullable=False),
            _field("split", pa.string(), "one of " + ", ".join(SPLIT_NAMES), nullable=False),
        ]
    ),
    key=("comment_id",),
)

FAILURES = TableSpec(
    pa.schema(
        [
            _field("key", pa.string(), "what failed: a video_id, comment_id or row name", nullable=False),
            _field("reason", pa.string(), "from the closed vocabulary FailureReason", nullable=False),
            _field("class", pa.string(), "one of " + ", ".join(FailureClass)),
            _field("detail", pa.string(), "a sentence without personal data; never parsed"),
            _field("attempts", pa.int32(), "how often it was tried", unit="attempts", nullable=False),
            _field("at", pa.timestamp("s", tz="UTC"), "when it failed last", unit="s, UTC", nullable=False),
        ]
    ),
    key=("key",),
)


def features_spec(dim: int, dtype: str = "float32", metadata: dict[str, str] | None = None) -> TableSpec:
    """The features table of an extractor: one row a video, T vectors of `dim` numbers each.

    `dtype` is the storage type, float32 or float16; `metadata` (extractor, weights' SHA-256, clip rule, dtype,
    versions) goes into the file's footer.
    """
    number = {"float32": pa.float32(), "float16": pa.float16()}.get(dtype)
    if number is None:
        raise CsmvError(f"Features are stored as float32 or float16, not as {dtype}.")
    vectors = pa.list_(pa.list_(pa.field("item", number, nullable=False), dim))
    schema = pa.schema(
        [
            _field("video_id", pa.string(), "the video", nullable=False),
            _field("features", vectors, "T vectors in time order", nullable=False),
            _field("media_sha256", pa.string(), "SHA-256 of the file that the vectors were made from, hexadecimal"),
        ],
        metadata=metadata,
    )
    return TableSpec(schema, key=("video_id",))


def spec_of(table: str) -> TableSpec | None:
    """The spec of a table by its name in the root; None for features, whose schema each file states itself."""
    if table.startswith("features/"):
        return None
    name = table.split("/", 1)[0]
    specs = {"videos": VIDEOS, "comments": COMMENTS, "labels": LABELS, "splits": SPLITS, "failures": FAILURES}
    if name not in specs:
        raise CsmvError(f"There is no table '{table}'; the tables are {', '.join(specs)} and features/<extractor>.")
    return specs[name]
