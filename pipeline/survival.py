"""What is left of the videos that a dataset names: by the year in which each was published, and by what became of it.

A video that its source has in no table, such as a link to a page that is gone, counts too. The year is the table's, or
else the one in the id: the upper 32 bits of TikTok's ids are the second since 1970 in which a video was made.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from csmv.pipeline.schemas import FAILURES, FailureClass, FailureReason, MediaStatus, reasons_of
from csmv.pipeline.store import Store

_VIDEO_ID = r"^[0-9]{15,19}$"
_SECONDS_IN_ID = 32
_YEARS = (2014, 2100)
"""TikTok's forerunner began in 2014; what lies outside is no time."""
OF_VIDEOS = ("video_id", "created_at", "media_status")
_OURS = ("tables", "collect", "media")
_OF_VIDEOS = (FailureClass.GONE, FailureClass.WALL, FailureClass.NETWORK, FailureClass.MEDIA, FailureClass.SPACE)
"""What happens to videos; a row of the other classes may be about a comment, whose ids look the same."""
_TRIED_AGAIN = (FailureClass.WALL, FailureClass.NETWORK, FailureClass.SPACE)


@dataclass
class YearOfVideos:
    """The videos of a year.

    `year` is None where nothing tells it. Of `videos`, `fetched` have or had their file, `pending` were not tried, and
    the rest are in `reasons`.
    """

    year: int | None
    videos: int = 0
    fetched: int = 0
    pending: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def lost(self) -> int:
        """Those that no later run will have."""
        return sum(count for reason, count in self.reasons.items() if FailureReason(reason).kind not in _TRIED_AGAIN)


def survival(store: Store) -> list[YearOfVideos]:
    """What became of a root's videos, a row a year in order, those without a year last."""
    failures = {stage: store.read_all(f"failures/{stage}", ["key", "reason"]) for stage in _OURS}
    return survival_of(store.read_all("videos", OF_VIDEOS), failures)


def survival_of(videos: pa.Table, failures: Mapping[str, pa.Table]) -> list[YearOfVideos]:
    """As `survival`, of tables that are at hand.

    Args:
        videos: the videos, with the columns `OF_VIDEOS`.
        failures: stage -> its failures.
    """
    years: dict[int | None, YearOfVideos] = {}
    counted = _outcomes(videos, failures).group_by(["year", "status", "reason"]).aggregate([([], "count_all")])
    for row in counted.to_pylist():
        _count(years.setdefault(row["year"], YearOfVideos(row["year"])), row)
    return sorted(years.values(), key=lambda one: (one.year is None, one.year or 0))


def total_of(years: Iterable[YearOfVideos]) -> YearOfVideos:
    """All years in one."""
    total = YearOfVideos(None)
    for one in years:
        total.videos += one.videos
        total.fetched += one.fetched
        total.pending += one.pending
        total.reasons.update(one.reasons)
    return total


def share_between(hits: int, drawn: int, z: float = 1.96) -> tuple[float, float]:
    """Between which shares the truth lies where so many of a random sample were hits.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.

    Args:
        hits: how many of the sample.
        drawn: how large the sample is; at least 1.
        z: standard normal quantile; 1.96 for 95 %.
    """
    share, spread = hits / drawn, z * z / drawn
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * (share * (1 - share) / drawn + spread / (4 * drawn)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def as_json(one: YearOfVideos) -> dict[str, Any]:
    """A year for a machine to read."""
    counts = {"videos": one.videos, "fetched": one.fetched, "pending": one.pending}
    return {"year": one.year} | counts | {"reasons": dict(one.reasons.most_common())}


def _count(year: YearOfVideos, row: Mapping[str, Any]) -> None:
    number, status = row["count_all"], row["status"]
    year.videos += number
    if status in (MediaStatus.OK, MediaStatus.DELETED):
        year.fetched += number
    elif row["reason"] is not None:
        year.reasons[row["reason"]] += number
    else:
        year.pending += number


def _outcomes(videos: pa.Table, by_stage: Mapping[str, pa.Table]) -> pa.Table:
    """(year, status, reason) of each video, once."""
    columns = ["key", "reason"]
    tables = [by_stage[stage].select(columns) for stage in _OURS if stage in by_stage]
    failures = pa.concat_tables(tables or [FAILURES.schema.empty_table().select(columns)])
    reasons = pa.array([str(reason) for reason in reasons_of(*_OF_VIDEOS)])
    about_videos = pc.and_(
        pc.match_substring_regex(failures["key"], _VIDEO_ID), pc.is_in(failures["reason"], value_set=reasons)
    )
    failures = failures.filter(about_videos)
    # Of a video that failed at several, the file's reason is the last word.
    failures = failures.group_by("key", use_threads=False).aggregate([("reason", "last")])
    failures = pa.table({"video_id": failures["key"], "reason": failures["reason_last"]})
    joined = videos.select(OF_VIDEOS).join(failures, "video_id", join_type="full outer")
    years = pc.coalesce(pc.year(joined["created_at"]), _years_in(joined["video_id"]))
    return pa.table({"year": years, "status": joined["media_status"], "reason": joined["reason"]})


def _years_in(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """The year that stands in each id; null where there is none."""
    numbers = pc.cast(pc.if_else(pc.match_substring_regex(ids, _VIDEO_ID), ids, None), pa.int64())
    seconds = pc.shift_right(numbers, _SECONDS_IN_ID)
    first, end = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in _YEARS)
    believable = pc.and_(pc.greater_equal(seconds, first), pc.less(seconds, end))
    return pc.year(pc.cast(pc.if_else(believable, seconds, None), pa.timestamp("s")))
