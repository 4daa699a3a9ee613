"""Splits by creator and by time: nobody and no moment in two parts, whatever the key; and what is unknown."""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from csmv.pipeline.config import DatasetConfig, FolderSource
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.pseudonym import Pseudonymiser
from csmv.pipeline.release.leakage import leakage_of
from csmv.pipeline.schemas import COMMENTS, LABELS, VIDEOS
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split, by_time
from csmv.pipeline.store import Store

START = datetime(2024, 1, 1, tzinfo=UTC)


def make_store(folder: Path, videos: list[dict[str, Any]], day_of: dict[str, date] | None = None) -> Store:
    """A root with three labelled comments on each video, whose pseudonyms come from the root's own key."""
    store = Store.create(str(folder), DatasetConfig(name="g", n_shards=1, source=FolderSource(path="nowhere")))
    name = Pseudonymiser(store.key())
    videos = [
        {"media_status": "ok"} | row | {"creator": row.get("creator") and name.user_id(row["creator"])}
        for row in videos
    ]
    comments = [
        {
            "comment_id": name.comment_id(f"{row['video_id']}-{n}"),
            "video_id": row["video_id"],
            "text": "so good",
            "created_on": (day_of or {}).get(row["video_id"]),
        }
        for row in videos
        for n in range(3)
    ]
    labels = [
        {"comment_id": row["comment_id"], "opinion": ["positive", "negative"][n % 2], "emotion": "joy", "source": "a"}
        for n, row in enumerate(comments)
    ]
    for table, rows, spec in (("videos", videos, VIDEOS), ("comments", comments, COMMENTS), ("labels", labels, LABELS)):
        store.write(table, 0, pa.Table.from_pylist(rows, schema=spec.schema))
    return store


def part_of(split: pa.Table) -> dict[str, str]:
    """Video -> its part, which is one."""
    parts = defaultdict(set)
    for row in split.to_pylist():
        parts[row["video_id"]].add(row["split"])
    return {video: next(iter(several)) for video, several in parts.items() if len(several) == 1}


# ---------------------------------------------------------------------- by creator


def test_no_creator_is_in_two_parts_and_the_key_does_not_decide_who_goes_where(tmp_path: Path) -> None:
    videos = [{"video_id": f"v{n:02d}", "creator": f"maker{n * 7 % 10}" if n < 40 else None} for n in range(44)]
    config = SplitConfig(kind="creator", ratios=(6, 2, 2))
    stores = [make_store(tmp_path / name, videos) for name in ("one", "other")]
    parts = [part_of(build_split(store, config)) for store in stores]

    assert stores[0].header.key != stores[1].header.key
    assert stores[0].read_all("videos")["creator"] != stores[1].read_all("videos")["creator"]
    assert parts[0] == parts[1]
    assert len(parts[0]) == 44
    of_creator = defaultdict(set)
    for video in videos[:40]:
        of_creator[video["creator"]].add(parts[0][video["video_id"]])
    assert all(len(several) == 1 for several in of_creator.values())
    counts = Counter(parts[0].values())
    assert abs(counts["train"] - 26) <= 4 and counts["dev"] and counts["test"]
    assert [one["creator"]["comments"] for one in leakage_of(stores[0], "creator")["shared"]] == [0, 0, 0]
    assert part_of(build_split(stores[0], SplitConfig(kind="creator", ratios=(6, 2, 2), seed=2))) != parts[0]


def test_a_root_that_knows_no_creator_is_not_split_by_creator(tmp_path: Path) -> None:
    store = make_store(tmp_path / "root", [{"video_id": "v1"}, {"video_id": "v2"}])
    with pytest.raises(CsmvError, match=r"who published the videos, and the root knows it of none: `csmv collect`"):
        build_split(store, SplitConfig(kind="creator"))
    assert not store.split_names()


# ---------------------------------------------------------------------- by time


def test_train_is_oldest_and_test_newest_and_one_moment_is_not_cut_in_two(tmp_path: Path) -> None:
    # Ten moments of two videos each, but for the seventh, which has four: it ends at 80 %, and 60 % is nearer to 70.
    moments = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 6, 6, 7, 7, 8, 8]
    videos = [
        {"video_id": f"v{(n * 7) % 20:02d}", "created_at": START + timedelta(hours=moment)}
        for n, moment in enumerate(moments)
    ]
    store = make_store(tmp_path / "root", videos)
    parts = part_of(build_split(store, SplitConfig(kind="time")))

    by_moment = {moment: parts[video["video_id"]] for video, moment in zip(videos, moments, strict=True)}
    assert [by_moment[moment] for moment in range(9)] == ["train"] * 6 + ["dev"] + ["test"] * 2
    not_later = [one["not_later"]["videos"] for one in leakage_of(store, "time")["shared"]]
    assert [one["comments"] for one in not_later] == [0, 0, 0] and not_later[1]["of"] == 12
    assert part_of(build_split(store, SplitConfig(kind="time", seed=2))) == parts


def test_the_first_comment_stands_for_a_video_without_a_date_and_no_date_is_left_out(tmp_path: Path) -> None:
    videos: list[dict[str, Any]] = [
        {"video_id": f"v{n}", "created_at": START + timedelta(days=n) if n < 8 else None} for n in range(11)
    ]
    store = make_store(
        tmp_path / "root", videos, {"v8": date(2023, 6, 1), "v9": date(2024, 5, 1), "v0": date(2025, 1, 1)}
    )
    parts = part_of(build_split(store, SplitConfig(kind="time")))

    assert (parts["v8"], parts["v9"], parts["v0"]) == ("train", "test", "train")
    assert "v10" not in parts
    assert leakage_of(store, "time")["left_out"] == 3
    with pytest.raises(CsmvError, match="needs dates, and the root has none"):
        build_split(make_store(tmp_path / "undated", [{"video_id": "v1"}]), SplitConfig(kind="time"))


def test_each_part_with_a_share_gets_a_moment_or_the_split_is_refused() -> None:
    def rows(*times: int) -> pa.Table:
        return pa.table({"time": pa.array(times, pa.int64())})

    assert by_time(rows(3, 1, 2), SplitConfig(kind="time")).to_pylist() == ["test", "train", "dev"]
    assert by_time(rows(1, 1, 1, 1, 2, 3), SplitConfig(kind="time")).to_pylist() == ["train"] * 4 + ["dev", "test"]
    assert by_time(rows(1, 2), SplitConfig(kind="time", ratios=(9, 0, 1))).to_pylist() == ["train", "test"]
    assert by_time(rows(1, 2), SplitConfig(kind="time", ratios=(1, 9, 0))).to_pylist() == ["train", "dev"]
    assert by_time(rows(1, 2), SplitConfig(kind="time", ratios=(1, 0, 0))).to_pylist() == ["train", "train"]
    with pytest.raises(CsmvError, match=r"videos of 2 different time\(s\).*one for each of its 3 parts"):
        by_time(rows(1, 2, 2), SplitConfig(kind="time"))
