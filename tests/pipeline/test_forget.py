"""Forgetting: by original id, by video, by handle; every file it is in, and never back again."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard

from pipeline.config import DatasetConfig, FolderSource
from pipeline.errors import CsmvError
from pipeline.forget import forget
from pipeline.forgotten import Forgotten
from pipeline.pseudonym import KEY_FILE, KEY_VARIABLE, Pseudonymiser, load_key, load_or_create_key
from pipeline.sources.folder import ingest
from pipeline.store import Store, media_path

LANDED = "private/landing/web/videos/0000/v1/x.done.jsonl.zst"


def _comment(number: int, video: str, author: str) -> dict[str, str]:
    return {"id": f"767940410222837{number:04d}", "video": video, "text": f"comment {number}", "author": author}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    folder = tmp_path / "source"
    folder.mkdir()
    for video in ("v1", "v2"):
        (folder / f"{video}.mp4").write_bytes(b"never decoded here")
    rows = [
        _comment(1, "v1", "kai.river9") | {"opinion": "positive", "emotion": "joy"},
        _comment(2, "v1", "lunarpost77") | {"reply_to": "7679404102228370001"},
        _comment(3, "v2", "kai.river9"),
    ]
    (folder / "comments.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "videos.jsonl").write_text(json.dumps({"video": "v2", "creator": "mona_vex"}) + "\n")
    source = FolderSource(path=str(folder))
    store = Store.create(str(tmp_path / "root"), DatasetConfig(name="x", n_shards=2, source=source))
    ingest(store, source, load_or_create_key(store))
    return store


def raw(number: int) -> str:
    return f"767940410222837{number:04d}"


def texts(store: Store) -> set[str]:
    return set(store.read_all("comments")["text"].to_pylist())


def test_a_comment_is_found_by_its_original_id(root: Store) -> None:
    removal = forget(root, comment_ids=[raw(1)])
    assert removal.comments == 1
    assert texts(root) == {"comment 2", "comment 3"}
    assert root.read_all("labels").num_rows == 0
    reply = next(row for row in root.read_all("comments").to_pylist() if row["text"] == "comment 2")
    assert reply["reply_to"] is None
    shard = root.shard_of("v1")
    assert set(removal.rows) == {f"comments/{shard:04d}.parquet", f"labels/{shard:04d}.parquet"}


def test_a_split_and_other_tables_lose_it_too(root: Store) -> None:
    key = load_key(root)
    assert key is not None
    ids = [Pseudonymiser(key).comment_id(raw(n)) for n in (1, 2)]
    root.write_split("mine", pa.table({"comment_id": ids, "video_id": ["v1", "v1"], "split": ["train", "test"]}))
    forget(root, comment_ids=[raw(1)])
    assert root.read_split("mine")["comment_id"].to_pylist() == [ids[1]]


def test_a_video_goes_with_its_comments_and_its_file(root: Store) -> None:
    media = media_path(root.shard_of("v2"), "v2")
    root.write_file(media, b"video")
    removal = forget(root, video_ids=["v2"])
    assert (removal.videos, removal.comments, removal.files) == (1, 1, [media])
    assert not root.exists(media)
    assert root.read_all("videos")["video_id"].to_pylist() == ["v1"]
    forget(root, video_ids=["v1"])
    assert root.read_all("labels").num_rows == 0


def test_all_of_a_handle_goes(root: Store) -> None:
    assert forget(root, handles=["@Kai.River9"]).comments == 2
    assert texts(root) == {"comment 2"}
    removal = forget(root, handles=["mona_vex"])
    assert removal.videos == 1


def test_landing_forgets_as_well(root: Store) -> None:
    page = {
        "comments": [
            {"cid": raw(2), "text": "comment 2", "user": {"unique_id": "lunarpost77"}},
            {"cid": raw(9), "text": "comment 9", "user": {"unique_id": "example_viewer_01"}},
        ]
    }
    record = {"path": "/api", "query": {}, "status": 200, "at": "2026-01-01T00:00:00", "body": json.dumps(page)}
    root.write_file(LANDED, zstandard.ZstdCompressor().compress(json.dumps(record).encode() + b"\n"))
    removal = forget(root, handles=["lunarpost77"])
    assert removal.rows[LANDED] == 1
    left = zstandard.ZstdDecompressor().stream_reader(root.read_file(LANDED)).read().decode()
    assert "lunarpost77" not in left
    assert "example_viewer_01" in left
    assert texts(root) == {"comment 1", "comment 3"}


def test_what_is_forgotten_is_remembered(root: Store) -> None:
    forget(root, comment_ids=[raw(1)])
    forget(root, video_ids=["v2"])
    kept = Forgotten.of(root)
    rows = root.read_all("comments")
    assert kept.videos == {"v2"}
    assert raw(1) in kept.comments  # as it was given, and its pseudonym
    again = pa.table({"comment_id": [*kept.comments, "new"], "video_id": ["v1"] * (len(kept.comments) + 1)})
    assert kept.drop(again)["comment_id"].to_pylist() == ["new"]
    assert rows.num_rows == 1


def test_a_later_run_does_not_bring_it_back(root: Store) -> None:
    forget(root, comment_ids=[raw(1)])
    source = root.config.source
    assert isinstance(source, FolderSource)
    for shard in root.shards():
        root.remove(f"private/ingest/{shard:04d}")
    key = load_key(root)
    assert key is not None
    ingest(root, source, key)
    assert texts(root) == {"comment 2", "comment 3"}
    assert root.read_all("labels").num_rows == 0


def test_forgetting_twice_changes_nothing_more(root: Store) -> None:
    forget(root, comment_ids=[raw(1)])
    before = root.read_file(f"comments/{root.shard_of('v1'):04d}.parquet")
    assert forget(root, comment_ids=[raw(1)]).rows == {}
    assert root.read_file(f"comments/{root.shard_of('v1'):04d}.parquet") == before


def test_without_the_key_it_says_so(root: Store) -> None:
    root.remove(KEY_FILE)
    with pytest.raises(CsmvError, match="key of this root's pseudonyms"):
        forget(root, comment_ids=[raw(1)])
