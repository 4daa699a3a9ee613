"""Splits keep to their ratios, balance the classes, and a video-disjoint one is disjoint."""

import random
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import DatasetConfig, FolderSource
from pipeline.errors import CsmvError
from pipeline.schemas import COMMENTS, LABELS
from pipeline.splits import SplitConfig, build_split, by_comment, by_video, overlap, summary
from pipeline.store import Store


def comments(videos: int, seed: int = 0) -> pa.Table:
    draw = random.Random(seed)
    rows = []
    for video in range(videos):
        for _ in range(draw.randint(2, 20)):
            kind = draw.choices(["neutral/joy", "positive/trust", "negative/anger", "negative/fear"], [45, 42, 10, 3])[
                0
            ]
            rows.append({"comment_id": f"c{len(rows):05d}", "video_id": f"v{video:04d}", "class": kind})
    return pa.Table.from_pylist(rows)


def shares(rows: pa.Table, parts: list[str]) -> dict[str, dict[str, float]]:
    """For each class, the share of it in each part."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, part in zip(rows["class"].to_pylist(), parts, strict=True):
        counts[kind][part] += 1
    return {kind: {part: n / sum(c.values()) for part, n in c.items()} for kind, c in counts.items()}


@pytest.mark.parametrize("make", [by_comment, by_video])
def test_every_class_is_spread_in_the_ratios(make) -> None:
    rows = comments(400)
    parts = make(rows, SplitConfig(kind="comment"))
    for kind, share in shares(rows, parts).items():
        for part, wanted in {"train": 0.7, "dev": 0.1, "test": 0.2}.items():
            assert share[part] == pytest.approx(wanted, abs=0.015), (kind, part)


def test_no_video_stands_in_two_parts() -> None:
    rows = comments(100)
    parts = by_video(rows, SplitConfig(kind="video"))
    of_video = defaultdict(set)
    for video, part in zip(rows["video_id"].to_pylist(), parts, strict=True):
        of_video[video].add(part)
    assert all(len(found) == 1 for found in of_video.values())


@settings(max_examples=40, deadline=None)
@given(videos=st.integers(3, 30), seed=st.integers(0, 99), data_seed=st.integers(0, 99))
def test_with_few_videos_no_part_is_empty(videos: int, seed: int, data_seed: int) -> None:
    parts = by_video(comments(videos, data_seed), SplitConfig(kind="video", seed=seed))
    assert set(parts) == {"train", "dev", "test"}


@pytest.mark.parametrize("make", [by_comment, by_video])
def test_the_seed_decides_and_the_order_of_rows_does_not(make) -> None:
    rows = comments(60)
    config = SplitConfig(kind="comment", seed=1)
    first = dict(zip(rows["comment_id"].to_pylist(), make(rows, config), strict=True))
    mixed = rows.take(random.Random(5).sample(range(rows.num_rows), rows.num_rows))
    assert dict(zip(mixed["comment_id"].to_pylist(), make(mixed, config), strict=True)) == first
    other = dict(zip(rows["comment_id"].to_pylist(), make(rows, SplitConfig(kind="comment", seed=2)), strict=True))
    assert other != first


def test_a_part_without_a_share_stays_empty() -> None:
    rows = comments(30)
    assert set(by_video(rows, SplitConfig(kind="video", ratios=(8, 0, 2)))) == {"train", "test"}
    with pytest.raises(ValueError, match="ratios"):
        SplitConfig(kind="video", ratios=(0, 1, 1))


def test_built_splits_are_written_and_their_leak_is_counted(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), DatasetConfig(name="t", n_shards=2, source=FolderSource(path="x")))
    with pytest.raises(CsmvError, match="labelled comments"):
        build_split(store, SplitConfig(kind="video"))
    rows = comments(40)
    by_shard: dict[int, list[dict[str, str]]] = defaultdict(list)
    for row in rows.to_pylist():
        by_shard[store.shard_of(row["video_id"])].append(row)
    for shard, members in by_shard.items():
        texts = [{"comment_id": row["comment_id"], "video_id": row["video_id"], "text": "x"} for row in members]
        labels = [
            dict(zip(("opinion", "emotion"), row["class"].split("/"), strict=True))
            | {"comment_id": row["comment_id"], "source": source}
            for row in members
            for source in ("a1", "adjudicated")
        ]
        store.write("comments", shard, pa.Table.from_pylist(texts, schema=COMMENTS.schema))
        store.write("labels", shard, pa.Table.from_pylist(labels, schema=LABELS.schema))
    video = build_split(store, SplitConfig(kind="video"))
    comment = build_split(store, SplitConfig(kind="comment", name="mixed"))
    assert video.num_rows == comment.num_rows == rows.num_rows
    assert overlap(video, "test") == 0
    assert overlap(comment, "test") > 0.9 * comment["split"].to_pylist().count("test")
    assert {row["split"]: row["test_seen"] for row in summary(["mixed", "video"], store)}["video"] == 0
    first = store.read_file("splits/video.parquet")
    build_split(store, SplitConfig(kind="video"))
    assert store.read_file("splits/video.parquet") == first
    with pytest.raises(CsmvError, match=r"no split 'published' \(built so far: mixed, video\)"):
        build_split(store, SplitConfig(kind="published"))
