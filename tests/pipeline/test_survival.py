"""What is left of a root's videos, by year: years from ids, fates from tables, and what a sample says of all."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.failures import Failure, record_failures
from csmv.pipeline.media.media_shard import sample_of
from csmv.pipeline.schemas import VIDEOS, FailureReason, MediaStatus
from csmv.pipeline.sources.collect_settings import WebSource
from csmv.pipeline.store import Store
from csmv.pipeline.survival import share_between, survival, total_of


def id_of(year: int, number: int) -> str:
    return str((int(datetime(year, 6, 1, tzinfo=UTC).timestamp()) << 32) + number)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.create(str(tmp_path), DatasetConfig(name="few", n_shards=2, source=WebSource(hashtags=("x",))))
    videos = {id_of(2020, n): MediaStatus.OK for n in range(3)}
    videos |= {id_of(2020, 3): MediaStatus.FAILED, id_of(2020, 4): MediaStatus.DELETED}
    videos |= {id_of(2022, 5): MediaStatus.PENDING, "clip": MediaStatus.OK}
    for shard in made.shards():
        rows = [
            {"video_id": video, "hashtags": [], "media_status": str(status)}
            for video, status in sorted(videos.items())
            if made.shard_of(video) == shard
        ]
        made.write("videos", shard, pa.Table.from_pylist(rows, schema=VIDEOS.schema))
    return made


def test_a_year_counts_its_videos_and_why_some_are_not_there(store: Store) -> None:
    linked, private = id_of(2019, 6), id_of(2020, 3)
    record_failures(store, "collect", store.shard_of(linked), [Failure(linked, FailureReason.GONE)])
    record_failures(store, "collect", store.shard_of(private), [Failure(private, FailureReason.NETWORK)])
    record_failures(store, "media", store.shard_of(private), [Failure(private, FailureReason.PRIVATE)])
    record_failures(store, "collect", 0, [Failure("tag:x", FailureReason.CAPTCHA)])

    years = {one.year: one for one in survival(store)}

    assert list(years) == [2019, 2020, 2022, None]
    assert (years[2019].videos, years[2019].fetched, years[2019].reasons) == (1, 0, {"gone": 1})
    assert (years[2020].videos, years[2020].fetched, years[2020].reasons) == (5, 4, {"private": 1})
    assert (years[2022].videos, years[2022].pending) == (1, 1)
    assert (years[None].videos, years[None].fetched) == (1, 1)
    total = total_of(years.values())
    assert (total.videos, total.fetched, total.pending, total.lost) == (8, 5, 1, 2)


def test_the_table_says_the_year_where_it_knows_better(store: Store) -> None:
    [shard] = [shard for shard in store.shards() if "clip" in store.read("videos", shard)["video_id"].to_pylist()]  # type: ignore[index]
    rows = store.read("videos", shard)
    assert rows is not None
    made = [datetime(2017, 1, 1, tzinfo=UTC) if video == "clip" else None for video in rows["video_id"].to_pylist()]
    at = rows.column_names.index("created_at")
    store.rewrite(
        "videos", shard, rows.set_column(at, rows.schema.field(at), pa.array(made, rows.schema.field(at).type))
    )

    assert [one.year for one in survival(store)] == [2017, 2020, 2022]


def test_a_sample_is_the_same_videos_each_time_and_part_of_a_larger_one() -> None:
    shards = {shard: [id_of(2021, n) for n in range(shard, 400, 4)] for shard in range(4)}

    def drawn(sample: int) -> set[str]:
        return {video for shard, videos in shards.items() for video in sample_of(videos, sample, shard, 4)}

    assert [len(drawn(sample)) for sample in (1, 5, 50, 1000)] == [1, 5, 50, 400]
    assert drawn(5) <= drawn(50)
    assert all(sample_of(reversed(videos), 50, shard, 4) <= drawn(50) for shard, videos in shards.items())


def test_what_a_sample_says_of_all() -> None:
    low, high = share_between(31, 50)
    assert low == pytest.approx(0.4815, abs=1e-3) and high == pytest.approx(0.7414, abs=1e-3)
    assert share_between(0, 10)[0] == 0 and share_between(10, 10)[1] == 1
