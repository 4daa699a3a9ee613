"""The tables of a root as the explorer shows them: scrubbed comments with their settled labels, videos, failures.

Everything is read through the store, which checks it against the manifest. Nothing of `private/` is opened, and no
column of accounts (creator, author) is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from csmv.pipeline.failures import failures_of
from csmv.pipeline.labels import TASKS, resolve
from csmv.pipeline.schemas import SPLIT_NAMES
from csmv.pipeline.store import Store

OF_VIDEOS = (
    *("video_id", "hashtags", "description", "created_at", "duration_s", "language", "media_status"),
    *("comment_count", "like_count", "play_count"),
)
OF_COMMENTS = ("comment_id", "video_id", "text", "like_count", "created_on", "language")
NOTHING = 255
"""The number of a class or part that a comment does not have."""


@dataclass(frozen=True)
class BrowsedTables:
    """What there is to look at.

    Attributes:
        name: of the dataset.
        videos: one row a video, by id: `OF_VIDEOS`, and `year` in place of `created_at`. Videos that only comments
            name have a row too.
        comments: one row a comment, by video and id: comment_id, `video` (its row in `videos`), text, `opinion` and
            `emotion` (class numbers, NOTHING without a label), like_count, `created_on` (text), language.
        parts: split -> part number of each comment (train 0, dev 1, test 2, NOTHING), as uint8.
        failures: stage, key, reason, detail, attempts, and `video` (the row in `videos` that the key names, or null).
    """

    name: str
    videos: pa.Table
    comments: pa.Table
    parts: dict[str, NDArray[np.uint8]]
    failures: pa.Table

    def row_of_comments(self, comment_ids: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
        """The row of each comment by its id; -1 for one that the tables do not have any more."""
        return _index_in(comment_ids, self.comments["comment_id"])


def read_tables(store: Store) -> BrowsedTables:
    """All that is shown but the answers of models.

    Raises:
        CsmvError: a table is damaged, lost or only begun.
    """
    with store.remembering():
        comments = store.read_all("comments", OF_COMMENTS)
        videos = _videos(store.read_all("videos", OF_VIDEOS), comments)
        comments = comments.append_column("video", pa.array(_index_in(comments["video_id"], videos["video_id"])))
        comments = comments.sort_by([("video", "ascending"), ("comment_id", "ascending")])
        settled = resolve(store.read_all("labels"))
        at = _index_in(comments["comment_id"], settled["comment_id"])
        columns = {
            "comment_id": comments["comment_id"],
            "video": comments["video"].cast(pa.int32()),
            "text": comments["text"],
            **{task: pa.array(_numbers(settled[task], names, at)) for task, names in TASKS.items()},
            "like_count": comments["like_count"],
            "created_on": comments["created_on"].cast(pa.string()),
            "language": comments["language"],
        }
        parts = {}
        for name in store.split_names():
            split = store.read_split(name)
            parts[name] = _numbers(split["split"], SPLIT_NAMES, _index_in(comments["comment_id"], split["comment_id"]))
        return BrowsedTables(store.header.name, videos, pa.table(columns), parts, _failures(store, videos["video_id"]))


def _videos(videos: pa.Table, comments: pa.Table) -> pa.Table:
    """The videos by id, those that only comments name among them."""
    mentioned = pc.unique(comments["video_id"])
    missing = mentioned.filter(pc.invert(pc.is_in(mentioned, value_set=videos["video_id"].combine_chunks())))
    if len(missing):
        more = {
            field.name: missing if field.name == "video_id" else pa.nulls(len(missing), field.type)
            for field in videos.schema
        }
        videos = pa.concat_tables([videos, pa.table(more, schema=videos.schema)])
    place = videos.column_names.index("created_at")
    return videos.set_column(place, "year", pc.year(videos["created_at"])).sort_by("video_id").combine_chunks()


def _failures(store: Store, video_ids: pa.ChunkedArray) -> pa.Table:
    tables = []
    for stage, rows in sorted(failures_of(store).items()):
        at = _index_in(rows["key"], video_ids)
        tables.append(
            pa.table(
                {
                    "stage": pa.array([stage] * rows.num_rows, pa.string()),
                    **{name: rows[name] for name in ("key", "reason", "detail", "attempts")},
                    "video": pa.array(at.astype(np.int32), mask=at < 0),
                }
            )
        )
    names = {"stage": pa.string(), "key": pa.string(), "reason": pa.string(), "detail": pa.string()}
    empty = pa.schema({**names, "attempts": pa.int32(), "video": pa.int32()}).empty_table()
    joined: pa.Table = pa.concat_tables(tables) if tables else empty
    return joined


def _index_in(values: pa.Array | pa.ChunkedArray, among: pa.ChunkedArray) -> NDArray[np.int64]:
    """The place of each value among others; -1 where it is none of them."""
    places = pc.index_in(values, value_set=among.combine_chunks())
    numbers: NDArray[np.int64] = pc.fill_null(places, -1).to_numpy().astype(np.int64)
    return numbers


def _numbers(column: pa.ChunkedArray, names: Sequence[str], at: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The class number of the row `at` of a column of class names; NOTHING for no row and no class."""
    numbers = pc.fill_null(pc.index_in(column, value_set=pa.array(names)), NOTHING).to_numpy().astype(np.uint8)
    if not len(numbers):
        return np.full(len(at), NOTHING, np.uint8)
    chosen: NDArray[np.uint8] = np.where(at < 0, np.uint8(NOTHING), numbers[at])
    return chosen


def facets(tables: BrowsedTables) -> dict[str, Any]:
    """What one can choose from, and how much there is of it, as plain data."""
    of_hashtag = _comments_by_hashtag(tables)
    reasons = tables.failures.group_by(["stage", "reason"]).aggregate([([], "count_all")]).to_pylist()
    return {
        "name": tables.name,
        "videos": tables.videos.num_rows,
        "comments": tables.comments.num_rows,
        "tasks": {task: list(names) for task, names in TASKS.items()},
        "parts": list(SPLIT_NAMES),
        "hashtags": of_hashtag,
        "splits": [
            {"name": name, "counts": np.bincount(numbers, minlength=NOTHING + 1)[: len(SPLIT_NAMES)].tolist()}
            for name, numbers in tables.parts.items()
        ],
        "labels": {
            task: np.bincount(tables.comments[task].to_numpy(), minlength=NOTHING + 1)[: len(names)].tolist()
            for task, names in TASKS.items()
        },
        "failures": sorted(
            ({"stage": row["stage"], "reason": row["reason"], "count": row["count_all"]} for row in reasons),
            key=lambda row: (-row["count"], row["stage"], row["reason"]),
        ),
    }


def _comments_by_hashtag(tables: BrowsedTables) -> list[list[Any]]:
    """[hashtag, comments] by the number of comments."""
    on_video = np.bincount(tables.comments["video"].to_numpy(), minlength=tables.videos.num_rows)
    counts: dict[str, int] = {}
    for hashtags, number in zip(tables.videos["hashtags"].to_pylist(), on_video.tolist(), strict=True):
        for hashtag in hashtags or ():
            counts[hashtag] = counts.get(hashtag, 0) + number
    return [[name, count] for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))]
