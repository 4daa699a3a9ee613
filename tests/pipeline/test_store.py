"""The store keeps whole files or none, in equal bytes, and says clearly what is wrong with a root."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from csmv.pipeline.config import DatasetConfig, FolderSource
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import Failure, clear_failures, failures_of, record_failures
from csmv.pipeline.root import media_path, shard_of
from csmv.pipeline.schemas import COMMENTS, VIDEOS, FailureReason, features_spec
from csmv.pipeline.store import Store


def config(n_shards: int = 4) -> DatasetConfig:
    return DatasetConfig(name="test", n_shards=n_shards, source=FolderSource(path="videos"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(str(tmp_path / "root"), config())


def videos(*ids: str) -> pa.Table:
    return pa.Table.from_pylist([{"video_id": name, "media_status": "pending"} for name in ids], schema=VIDEOS.schema)


def test_a_table_comes_back_sorted_with_units_and_meanings(store: Store) -> None:
    store.write("videos", 1, videos("b", "a"))
    back = store.read("videos", 1)
    assert back is not None
    assert back["video_id"].to_pylist() == ["a", "b"]
    assert back.schema.field("duration_s").metadata[b"unit"] == b"s"
    assert all(b"meaning" in field.metadata for field in back.schema)


def test_equal_rows_in_any_order_are_equal_bytes(store: Store) -> None:
    store.write("videos", 0, videos("a", "b", "c"))
    first = store.read_file("videos/0000.parquet")
    store.write("videos", 0, videos("c", "a", "b"))
    assert store.read_file("videos/0000.parquet") == first


def test_a_repeated_key_is_refused_and_the_old_shard_stays(store: Store) -> None:
    store.write("videos", 0, videos("a"))
    with pytest.raises(CsmvError, match="repeat a key"):
        store.write("videos", 0, videos("b", "b"))
    assert store.read("videos", 0)["video_id"].to_pylist() == ["a"]


def test_a_block_that_fails_leaves_neither_file_nor_temporary(store: Store, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), store.writing("private/media/0000/x.mp4") as file:
        file.write(b"half")
        raise RuntimeError
    names = sorted(path.name for path in (tmp_path / "root").rglob("*") if path.is_file())
    assert names == ["dataset.yaml", "pseudonym.key", "root.json"]


def test_sweep_removes_what_a_killed_process_left_and_spares_what_a_living_one_writes(store: Store) -> None:
    program = (
        "import os, signal, sys\n"
        "from csmv.pipeline.store import Store\n"
        "with Store.open(sys.argv[1]).writing('private/media/0000/x.mp4') as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, store.root], check=False)
    with store.writing("private/media/0000/y.mp4") as file:
        file.write(b"whole")
        assert store.sweep() == 1
    assert store.files("private/media") == ["private/media/0000/y.mp4"]
    assert not list(Path(store.root).rglob("*.tmp"))


def test_failures_count_attempts_and_are_forgotten_when_done(store: Store) -> None:
    day = datetime(2026, 1, 2, tzinfo=UTC)
    record_failures(
        store, "media", 2, [Failure("v1", FailureReason.TRUNCATED), Failure("v2", FailureReason.NETWORK)], day
    )
    record_failures(store, "media", 2, [Failure("v1", FailureReason.EMPTY_FILE, "0 bytes")], day)
    rows = {row["key"]: row for row in failures_of(store)["media"].to_pylist()}
    assert (rows["v1"]["attempts"], rows["v1"]["reason"], rows["v1"]["detail"]) == (2, "empty_file", "0 bytes")
    clear_failures(store, "media", 2, ["v1", "v2"])
    assert failures_of(store) == {}


def test_features_keep_their_metadata_and_width(store: Store) -> None:
    spec = features_spec(2, "float16", {"extractor": "toy"})
    rows = pa.Table.from_pylist([{"video_id": "a", "features": [[0.5, 1.0], [2.0, 3.0]]}], schema=spec.schema)
    store.write("features/toy", 0, rows, spec)
    back = store.read("features/toy", 0)
    assert back.schema.metadata[b"extractor"] == b"toy"
    assert back.schema.field("features").type == pa.list_(pa.list_(pa.field("item", pa.float16(), nullable=False), 2))
    with pytest.raises(CsmvError, match="float32 or float16"):
        features_spec(2, "int8")


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a//b", "a/../../b", ".", "a\\b"])
def test_paths_outside_the_root_are_refused(store: Store, path: str) -> None:
    with pytest.raises(CsmvError, match="inside a root"):
        store.write_file(path, b"")


@pytest.mark.parametrize("name", ["../../x", "a/b", "", "a" * 65, "-a", "a.mp4", "ａ"])
def test_an_unsafe_id_never_becomes_a_file_name(name: str) -> None:
    with pytest.raises(CsmvError, match="file name"):
        media_path(0, name)


def test_the_shard_of_a_video_is_documented_and_never_changes() -> None:
    # The first eight bytes of SHA-256, big-endian, modulo n: reckoned once with another tool.
    assert [shard_of(name, 16) for name in ("6815001842360143109", "a", "b")] == [11, 10, 10]


def test_a_root_that_is_none_or_of_another_version_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CsmvError, match=r"not a dataset root.*csmv import"):
        Store.open(str(tmp_path))
    (tmp_path / "dataset.yaml").write_text("format_version: 99\nname: x\n")
    with pytest.raises(CsmvError, match=r"format version '99'"):
        Store.open(str(tmp_path))


def test_the_number_of_shards_is_fixed(store: Store) -> None:
    with pytest.raises(CsmvError, match="n_shards 4"):
        Store.create(store.root, config(8))


def test_a_damaged_shard_names_the_file(store: Store) -> None:
    store.write_file("videos/0000.parquet", b"not parquet")
    with pytest.raises(CsmvError, match=r"videos/0000\.parquet"):
        store.read("videos", 0)


# ---------------------------------------------------------------------- an S3 API


def test_a_root_on_s3_has_the_bytes_of_a_local_one(
    tmp_path: Path, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSMV_PSEUDONYM_KEY", "the same key for both roots")
    store = Store.create(str(tmp_path / "root"), config())
    remote = Store.create(f"{s3_bucket}/root", config())
    comments = pa.Table.from_pylist(
        [{"comment_id": "c1", "video_id": "a", "text": "wow"}, {"comment_id": "c0", "video_id": "b", "text": "no"}],
        schema=COMMENTS.schema,
    )
    for place in (store, remote):
        place.write("videos", 0, videos("b", "a"))
        place.write("comments", 0, comments)
        record_failures(place, "media", 0, [Failure("a", FailureReason.NETWORK)], datetime(2026, 1, 2, tzinfo=UTC))
        with place.writing("private/media/0000/a.mp4") as file:
            file.write(b"x" * 100)
    names = [name for name in store.files() if not name.startswith("history/")]
    assert [name for name in remote.files() if not name.startswith("history/")] == names
    for name in names:
        assert remote.read_file(name) == store.read_file(name), name
    assert remote.read("comments", 0).equals(store.read("comments", 0))
    with remote.local_file("private/media/0000/a.mp4") as copy:
        assert copy.read_bytes() == b"x" * 100
    assert not copy.exists()
    clear_failures(remote, "media", 0, ["a"])
    assert failures_of(remote) == {}


def test_parquet_of_the_store_is_readable_by_any_reader(store: Store) -> None:
    store.write("videos", 0, videos("a"))
    assert pq.read_table(Path(store.root) / "videos" / "0000.parquet").num_rows == 1
