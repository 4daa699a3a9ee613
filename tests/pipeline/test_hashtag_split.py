"""Splits by hashtag: no hashtag in two parts, and a sentence where hashtags join everything."""

from pathlib import Path

import pyarrow as pa
import pytest

from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.hashtag_groups import joined
from csmv.pipeline.schemas import COMMENTS, LABELS, VIDEOS
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split
from csmv.pipeline.store import Store

SPLIT = SplitConfig(kind="hashtag", ratios=(6, 2, 2))


def make_store(folder: Path, hashtags: dict[str, list[str]]) -> Store:
    """Three labelled comments on each video."""
    source = {"kind": "folder", "path": "nowhere"}
    store = Store.create(str(folder), DatasetConfig.model_validate({"name": "tags", "n_shards": 1, "source": source}))
    write_videos(store, hashtags)
    comments = [
        {field.name: None for field in COMMENTS.schema}
        | {"comment_id": f"{video}c{k}", "video_id": video, "text": "so good", "pii": [], "like_count": 0}
        for video in hashtags
        for k in range(3)
    ]
    opinions = ("positive", "neutral", "negative")
    labels = [
        {"comment_id": one["comment_id"], "opinion": opinions[k % 3], "emotion": "joy", "source": "published"}
        for k, one in enumerate(comments)
    ]
    store.write("comments", 0, pa.Table.from_pylist(comments, schema=COMMENTS.schema))
    store.write("labels", 0, pa.Table.from_pylist(labels, schema=LABELS.schema))
    return store


def write_videos(store: Store, hashtags: dict[str, list[str]]) -> None:
    blank = {field.name: None for field in VIDEOS.schema} | {"url": "", "media_status": "pending"}
    rows = [blank | {"video_id": video, "hashtags": tags} for video, tags in hashtags.items()]
    store.write("videos", 0, pa.Table.from_pylist(rows, schema=VIDEOS.schema))


def test_videos_are_joined_by_way_of_others() -> None:
    tags = {"a": ["nba"], "b": ["NBA", "food"], "c": ["food"], "d": [], "e": ["fyp"], "f": ["fyp"]}
    assert joined("abcdef", tags) == {"a": "a", "b": "a", "c": "a", "d": "d", "e": "e", "f": "e"}
    assert joined("abcdef", tags, frozenset({"fyp", "food"})) == {"a": "a", "b": "a"} | {k: k for k in "cdef"}


def test_no_hashtag_is_in_two_parts(tmp_path: Path) -> None:
    tags = {f"v{k:02d}": [f"tag{k % 10}"] for k in range(30)}
    store = make_store(tmp_path / "root", tags)

    rows = build_split(store, SPLIT).to_pylist()

    parts = {
        tag: {row["split"] for row in rows if tags[row["video_id"]] == [tag]} for tag in map("tag{}".format, range(10))
    }
    assert all(len(several) == 1 for several in parts.values())
    assert sorted(next(iter(several)) for several in parts.values()) == ["dev"] * 2 + ["test"] * 2 + ["train"] * 6
    assert rows == build_split(store, SPLIT).to_pylist()


def test_a_hashtag_of_all_videos_is_named_and_can_be_ignored(tmp_path: Path) -> None:
    tags = {f"v{k:02d}": ["FYP", f"tag{k % 5}"] for k in range(20)}
    store = make_store(tmp_path / "root", tags)

    with pytest.raises(CsmvError, match=r"into 1 group.*nothing for dev and test.*fyp \(20\).*--ignore-hashtags"):
        build_split(store, SPLIT)
    assert not store.split_names()
    rows = build_split(store, SplitConfig(kind="hashtag", ratios=(6, 2, 2), ignore_hashtags=("fyp",))).to_pylist()
    assert {row["split"] for row in rows} == {"train", "dev", "test"}


def test_splits_of_earlier_settings_are_not_stale() -> None:
    assert "ignore_hashtags" not in SplitConfig(kind="video").identity
    assert "fyp" in SplitConfig(kind="hashtag", ignore_hashtags=("fyp",)).identity
    with pytest.raises(ValueError, match="for the kind hashtag"):
        SplitConfig(kind="video", ignore_hashtags=("fyp",))
