"""What a split by creator keeps together, and by what a split by time puts videos in order."""

import pyarrow as pa
import pyarrow.compute as pc

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.store import Store

_DAY_S = 24 * 3600


def with_creators(store: Store, rows: pa.Table) -> pa.Table:
    """Rows with video_id, and beside it `group`: the smallest video_id of all videos in them by this one's creator.

    So no pseudonym, and with it no key, has a part in what comes of it. A video whose creator is unknown is a group of
    its own.

    Raises:
        CsmvError: the creator of no video is known.
    """
    videos = store.read_all("videos", ["video_id", "creator"])
    videos = videos.filter(pc.is_in(videos["video_id"], value_set=pc.unique(rows["video_id"])))
    videos = videos.filter(pc.is_valid(videos["creator"]))
    if not videos.num_rows:
        raise CsmvError(
            "A split by creator needs to know who published the videos, and the root knows it of none: `csmv collect` "
            "reads it from their pages. `--kind video` does without."
        )
    first = videos.group_by("creator").aggregate([("video_id", "min")])
    leader = first["video_id_min"].take(pc.index_in(videos["creator"], value_set=first["creator"].combine_chunks()))
    at = pc.index_in(rows["video_id"], value_set=videos["video_id"].combine_chunks())
    return rows.append_column("group", pc.coalesce(leader.take(at), rows["video_id"]))


def with_times(store: Store, rows: pa.Table) -> pa.Table:
    """Rows with video_id, and beside it `time`: when the video was published, in seconds since 1970.

    Where that is unknown, the day of the video's earliest comment stands for it; rows of videos with neither are left
    out, because they could lie on either side of any moment.

    Raises:
        CsmvError: no video has a date.
    """
    videos = store.read_all("videos", ["video_id", "created_at"])
    seconds = videos["created_at"].cast(pa.timestamp("s", "UTC")).cast(pa.int64())  # Parquet has no seconds
    published = seconds.take(_place(rows, videos))
    comments = store.read_all("comments", ["video_id", "created_on"])
    days = comments.group_by("video_id").aggregate([("created_on", "min")])
    first = days["created_on_min"].cast(pa.int32()).cast(pa.int64()).take(_place(rows, days))
    rows = rows.append_column("time", pc.coalesce(published, pc.multiply(first, _DAY_S)))
    rows = rows.filter(pc.is_valid(rows["time"]))
    if not rows.num_rows:
        raise CsmvError(
            "A split by time needs dates, and the root has none, neither of videos nor of comments: `csmv collect` "
            "reads them from the videos' pages. `--kind video` does without."
        )
    return rows


def _place(rows: pa.Table, videos: pa.Table) -> pa.ChunkedArray:
    """Where the video of each row stands in a table."""
    return pc.index_in(rows["video_id"], value_set=videos["video_id"].combine_chunks())
