"""The tables of a dataset root: their columns, units, meanings and keys, and the closed vocabularies in them.

Nothing here reads or writes; `pipeline.store` does.
"""

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from extractors.reasons import MediaFailure
from pipeline.errors import CsmvError
from pipeline.labels import CLASSES
from pipeline.labels import EMOTIONS as EMOTIONS
from pipeline.labels import OPINIONS as OPINIONS

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


class FailureReason(StrEnum):
    """Every reason that may stand in a failures table: what is wrong with a media file, and what else can go wrong."""

    # Of media files: the extractors' own words (extractors.reasons says what each means).
    EMPTY_FILE = MediaFailure.EMPTY_FILE.value
    NOT_A_VIDEO = MediaFailure.NOT_A_VIDEO.value
    TRUNCATED = MediaFailure.TRUNCATED.value
    NO_VIDEO_STREAM = MediaFailure.NO_VIDEO_STREAM.value
    NO_FRAMES = MediaFailure.NO_FRAMES.value
    DECODER_CRASHED = MediaFailure.DECODER_CRASHED.value
    DECODE_TIMEOUT = MediaFailure.DECODE_TIMEOUT.value
    TOO_LARGE = MediaFailure.TOO_LARGE.value
    UNSUPPORTED_CODEC = MediaFailure.UNSUPPORTED_CODEC.value
    NO_AUDIO = MediaFailure.NO_AUDIO.value

    MISSING_FILE = "missing_file"  # the source names a file that is not there
    MISSING_MEDIA = "missing_media"  # the media stage has no usable file for this video
    UNSAFE_ID = "unsafe_id"  # an id that may not become a file name
    BAD_ROW = "bad_row"  # a row of the source that is not what the format says
    UNKNOWN_VIDEO = "unknown_video"  # a comment on a video that the source does not have
    DUPLICATE = "duplicate"  # a second row with the same key
    NO_SPACE = "no_space"  # the disk is full
    WALLED = "walled"  # a login, captcha or block page; never worked around
    UNAVAILABLE = "unavailable"  # deleted, private, region-locked
    REFUSED = "refused"  # the creator or robots.txt disallows it
    NETWORK = "network"  # the request failed and may succeed later


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
            _field("detail", pa.string(), "a sentence without personal data"),
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
