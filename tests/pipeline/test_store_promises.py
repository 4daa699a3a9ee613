"""What the store promises of one root, each by its exact answer: names, sentences, digests, history, what is swept."""

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from csmv.pipeline.config import DatasetConfig, FolderSource, PublishedSource, read_config, signed
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import Failure, clear_failures, failure_rows, failures_of, record_failures
from csmv.pipeline.privacy.forgotten import Request, remember
from csmv.pipeline.pseudonym import KEY_VARIABLE
from csmv.pipeline.root import is_safe_id, media_path, shard_of
from csmv.pipeline.schemas import COMMENTS, LABELS, SPLITS, VIDEOS, FailureReason, features_spec
from csmv.pipeline.store import Store

DAY = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make(tmp_path / "root")


def config(**other: Any) -> DatasetConfig:
    return DatasetConfig(**{"name": "test", "n_shards": 4, "source": FolderSource(path="videos")} | other)


def make(folder: Path, **other: Any) -> Store:
    return Store.create(str(folder), config(**other))


def videos(*ids: str, status: str = "pending") -> pa.Table:
    return pa.Table.from_pylist([{"video_id": name, "media_status": status} for name in ids], schema=VIDEOS.schema)


def rows_of(store: Store, shard: int) -> list[tuple[str, str]]:
    rows = store.read("videos", shard)
    assert rows is not None
    return list(zip(rows["video_id"].to_pylist(), rows["media_status"].to_pylist(), strict=True))


def history(store: Store) -> list[dict[str, Any]]:
    return [json.loads(store.read_file(name)) for name in store.files("history")]


def entries(store: Store, folder: str) -> list[str]:
    return store.files(f"manifest/{folder}")


# ---------------------------------------------------------------------- names


def test_shards_and_paths(store: Store) -> None:
    assert store.n_shards == 4
    assert list(store.shards()) == [0, 1, 2, 3]
    assert store.shard_of("a") == shard_of("a", 4) == 2
    # The first 16 digits of `sha256sum`, as a number, modulo n: reckoned with another tool.
    assert [shard_of(name, 1000) for name in ("6815001842360143109", "a", "b", "é")] == [795, 250, 946, 51]
    assert media_path(7, "6815001842360143109") == "private/media/0007/6815001842360143109.mp4"
    assert media_path(12345, "x" * 64).startswith("private/media/12345/xxx")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        *(("a", True), ("7_-", True), ("Z" * 64, True)),
        *(("Z" * 65, False), ("_a", False), ("-", False), ("", False), ("a\n", False), ("a.b", False), ("é", False)),
    ],
)
def test_what_may_become_a_file_name(name: str, safe: bool) -> None:
    assert is_safe_id(name) is safe


# ---------------------------------------------------------------------- roots


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"name": "other"}, "made with name test and can't be used with other"),
        ({"source": PublishedSource()}, "made with source folder and can't be used with published"),
        ({"n_shards": 5}, "made with n_shards 4 and can't be used with 5"),
    ],
)
def test_a_root_belongs_to_one_dataset(store: Store, other: dict[str, Any], sentence: str) -> None:
    before = store.read_file("dataset.yaml")
    with pytest.raises(CsmvError, match=sentence):
        make(Path(store.root), **other)
    assert store.read_file("dataset.yaml") == before


def test_creating_again_keeps_the_root_and_takes_the_new_configuration(store: Store) -> None:
    store.write("videos", 0, videos("a"))
    header = store.read_file("manifest/root.json")

    again = make(Path(store.root), source=FolderSource(path="elsewhere"))

    assert read_config(again).source == FolderSource(path="elsewhere")
    assert read_config(Store.open(store.root)) == read_config(again)
    assert again.read_file("dataset.yaml") == read_config(again).to_yaml().encode()
    assert again.read_file("manifest/root.json") == header
    assert rows_of(again, 0) == [("a", "pending")]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: x\nformat_version: 1\n", "has format 1, and this csmv reads format 2: `csmv migrate"),
        ("format_version: 1  \nname: x\n", "has format 1"),
        ("format_version: 10\nname: x\n", r"has format version '10' and no manifest/root\.json"),
        ("name: x\nformat_version: 3\n", r"version '3' .*: use the csmv that made it, or build the root anew\.$"),
        ("name: x\n", r"has no format version and no manifest/root\.json"),
        ("x: format_version: 1\n", "has no format version"),
    ],
)
def test_a_root_without_a_header_says_what_it_is(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "dataset.yaml").write_text(text)
    with pytest.raises(CsmvError, match=sentence):
        Store.open(str(tmp_path))


def test_a_root_whose_migration_was_interrupted_is_to_be_migrated_again(tmp_path: Path) -> None:
    # All of format 2 but the header, which a migration writes last.
    (tmp_path / "dataset.yaml").write_text(signed(config()))
    with pytest.raises(CsmvError, match=rf"`csmv migrate {tmp_path}` .* in place, and can be run again if .*ed\.$"):
        Store.open(str(tmp_path))


def test_a_root_of_format_1_is_not_made_over(tmp_path: Path) -> None:
    (tmp_path / "dataset.yaml").write_text("format_version: 1\nname: test\n")
    with pytest.raises(CsmvError, match=f"`csmv migrate {tmp_path}`"):
        make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["dataset.yaml"]


def test_a_key_file_is_read_as_it_stands_and_a_damaged_one_is_another_key(store: Store) -> None:
    key = store.key()
    store.write_file("private/pseudonym.key", f"  {key.get_secret_value()}\n\n".encode())
    assert store.key() == key
    store.write_file("private/pseudonym.key", b"\xff\xfe" + key.get_secret_value().encode())
    with pytest.raises(CsmvError, match=r"The key in private/pseudonym\.key is not the one .* right one there\.$"):
        store.key()


def test_a_root_that_is_being_made_keeps_the_key_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "pseudonym.key").write_bytes(b" a key of another year \n")
    assert make(tmp_path).key().get_secret_value() == "a key of another year"
    monkeypatch.setenv("CSMV_PSEUDONYM_KEY", "e" * 40)
    with pytest.raises(CsmvError, match=r"The key in CSMV_PSEUDONYM_KEY is not the one .* or unset CSMV_PSEUDONYM_KEY"):
        Store.open(str(tmp_path)).key()
    assert make(tmp_path / "other").key().get_secret_value() == "e" * 40
    assert not (tmp_path / "other" / "private" / "pseudonym.key").exists()


def test_any_bytes_of_a_key_file_are_one_key_while_a_root_is_made_and_afterwards(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "pseudonym.key").write_bytes("ein Schlüssel von früher".encode("latin-1"))
    root = make(tmp_path)
    assert Store.open(str(tmp_path)).key() == root.key()


# ---------------------------------------------------------------------- reading

READERS: dict[str, Callable[[Store], Any]] = {
    "read": lambda store: store.read("videos", 1),
    "read_columns": lambda store: store.read_columns("videos", 1, ["video_id"]),
    "footer": lambda store: store.footer("videos", 1),
}


@pytest.fixture(params=list(READERS))
def reader(request: pytest.FixtureRequest) -> Callable[[Store], Any]:
    return READERS[request.param]


def test_a_shard_that_was_never_written_is_none(store: Store, reader: Callable[[Store], Any]) -> None:
    assert reader(store) is None
    assert store.made_from("videos", 1) is None


def test_a_lost_shard_is_an_error_to_all_but_the_stage_that_makes_it(
    store: Store, reader: Callable[[Store], Any]
) -> None:
    store.write("videos", 1, videos("a"))
    store.remove("videos/0001.parquet")
    remake = r"make it anew with `csmv run tables`, then `csmv run media`"
    with pytest.raises(CsmvError, match=rf"'videos/0001\.parquet' should be in the root.*{remake}"):
        reader(store)
    assert store.read("videos", 1, remake=True) is None
    assert store.read_columns("videos", 1, ["video_id"], remake=True) is None
    assert store.footer("videos", 1, remake=True) is None
    assert store.made_from("videos", 1) is None


@pytest.mark.parametrize(
    ("table", "remake"),
    [
        ("comments", "`csmv run tables`"),
        ("labels", "`csmv run tables`"),
        ("features/toy", r"`csmv run features` \(or `csmv extract`\)"),
        ("splits/x", r"`csmv run splits` \(or `csmv split`\)"),
        ("failures/media", "the stage that it is about"),
    ],
)
def test_how_a_lost_shard_is_made_anew(store: Store, table: str, remake: str) -> None:
    shard = None if table.startswith("splits") else 2
    folder = f"manifest/{table}" + ("" if shard is None else "/0002")
    store.write("videos", 0, videos("a"))
    [entry] = entries(store, "videos/0000")
    store.write_file(f"{folder}/{'0' * 64}.json", store.read_file(entry))
    with pytest.raises(CsmvError, match=f"make it anew with {remake}"), store.open_table(table, shard):
        pass


def test_what_is_wrong_with_a_shard(store: Store, reader: Callable[[Store], Any]) -> None:
    store.write("videos", 1, videos("a", "b"))
    path = Path(store.path("videos/0001.parquet"))
    sound = path.read_bytes()
    for left in (0, 3, 11, 12, 100, len(sound) - 1):
        path.write_bytes(sound[:left])
        with pytest.raises(CsmvError, match="is cut short or no Parquet file: put it back from a copy, or delete it"):
            reader(store)
    store.remove("videos/0001.parquet")
    store.write("videos", 1, videos("c"))
    [new] = [name for name in entries(store, "videos/0001") if json.loads(store.read_file(name))["rows"] == 1]
    store.remove(new)
    with pytest.raises(CsmvError, match="is not what was written there"):
        reader(store)
    path.write_bytes(sound)
    reader(store)


def test_a_changed_byte_of_a_page(store: Store) -> None:
    store.write("videos", 1, videos("a", "b"))
    path = Path(store.path("videos/0001.parquet"))
    sound = bytearray(path.read_bytes())
    sound[20] ^= 1
    path.write_bytes(sound)
    for reading in (READERS["read"], READERS["read_columns"]):
        with pytest.raises(CsmvError, match=r"is damaged \(its bytes are not what was written\)"):
            reading(store)
    # The footer is as it was, and is all that is asked for here.
    assert READERS["footer"](store) is not None


def test_a_shard_of_another_root_table_or_number(store: Store, tmp_path: Path, reader: Callable[[Store], Any]) -> None:
    other = make(tmp_path / "other")
    other.write("videos", 1, videos("a"))
    store.write("videos", 2, videos("a"))
    store.write_split("x", pa.table({"comment_id": ["c"], "video_id": ["a"], "split": ["test"]}))
    store.write("failures/media", 1, store.read_all("failures/media"))
    for data, sentence in [
        (other.read_file("videos/0001.parquet"), "made for another root"),
        (store.read_file("videos/0002.parquet"), "made for shard '2'"),
        (store.read_file("splits/x.parquet"), "made for table 'splits/x'"),
        (store.read_file("failures/media/0001.parquet"), "made for table 'failures/media'"),
    ]:
        store.write_file("videos/0001.parquet", data)
        with pytest.raises(CsmvError, match=f"{sentence}: put the right file back from a copy, or delete it and make"):
            reader(store)


@pytest.mark.parametrize("metadata", [None, {b"csmv.root": b"\xff\xfe"}, {b"\xff": b"\xff"}])
def test_a_shard_that_another_tool_wrote(
    store: Store, reader: Callable[[Store], Any], metadata: dict[bytes, bytes] | None
) -> None:
    Path(store.path("videos")).mkdir()
    pq.write_table(pa.table({"video_id": ["a"]}).replace_schema_metadata(metadata), store.path("videos/0001.parquet"))
    with pytest.raises(CsmvError, match="made for another root: put the right file back"):
        reader(store)


def test_a_damaged_manifest_entry_hides_no_sound_shard(store: Store, reader: Callable[[Store], Any]) -> None:
    store.write("videos", 1, videos("a"))
    for number, damaged in enumerate((b"{", b"[]", b"{}", b'{"table": "videos"}')):
        store.write_file(f"manifest/videos/0001/{number:064d}.json", damaged)
    assert reader(store) is not None


def test_a_footer_is_read_without_the_rest_of_its_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = videos(*(str(n) for n in range(1000)))
    column = rows.schema.get_field_index("description")
    texts = pa.array([os.urandom(500).hex() for _ in range(1000)])
    store.write("videos", 1, rows.set_column(column, rows.schema.field(column), texts))
    whole = len(store.read_file("videos/0001.parquet"))
    lengths = []
    cat_file = store.fs.cat_file

    def counted(path: str, **limits: Any) -> bytes:
        data = bytes(cat_file(path, **limits))
        lengths.append(len(data) if path.endswith(".parquet") else 0)
        return data

    monkeypatch.setattr(store.fs, "cat_file", counted)
    assert store.made_from("videos", 1) == ""
    assert 0 < sum(lengths) <= 1 << 16 < whole // 4


def test_a_footer_that_claims_to_be_longer_than_its_file_is_damage(
    store: Store, reader: Callable[[Store], Any]
) -> None:
    for claimed in (1 << 15, 1 << 20, (1 << 32) - 1):
        store.write_file("videos/0001.parquet", b"PAR1" + b"x" * (1 << 17) + claimed.to_bytes(4, "little") + b"PAR1")
        with pytest.raises(CsmvError, match=r"'videos/0001\.parquet' .* is cut short or no Parquet file"):
            reader(store)


def test_a_folder_where_a_file_should_be(store: Store, reader: Callable[[Store], Any]) -> None:
    Path(store.path("videos/0001.parquet")).mkdir(parents=True)
    with pytest.raises(CsmvError, match=r"'videos/0001\.parquet' .*should be a table's file and is a folder: move it"):
        reader(store)


def test_some_columns_are_those_asked_for_that_are_there(store: Store) -> None:
    store.write("videos", 1, videos("b", "a"))
    columns = store.read_columns("videos", 1, ["media_status", "video_id", "no_such_column"])
    assert columns is not None
    assert columns.to_pydict() == {"media_status": ["pending"] * 2, "video_id": ["a", "b"]}
    assert not [key for key in columns.schema.metadata or {} if key.startswith(b"csmv.")]
    whole = store.read("videos", 1)
    assert whole is not None
    assert not [key for key in whole.schema.metadata or {} if key.startswith(b"csmv.")]


def test_a_footer_of_more_than_64_kib_is_read_whole(store: Store) -> None:
    spec = features_spec(1, "float32", {"extractor": "toy", "note": "x" * 200_000})
    store.write("features/toy", 0, pa.table({"video_id": ["a"], "features": [[[1.0]]]}), spec, made_from="m")
    footer = store.footer("features/toy", 0)
    assert footer is not None
    assert footer[b"note"] == b"x" * 200_000
    assert store.made_from("features/toy", 0) == "m"


# ---------------------------------------------------------------------- all shards


def test_all_shards_of_a_table_in_order(store: Store) -> None:
    for shard in (3, 1, 0, 2):
        store.write("videos", shard, videos(f"v{shard}", f"w{shard}"))
    assert store.read_all("videos")["video_id"].to_pylist() == ["v0", "w0", "v1", "w1", "v2", "w2", "v3", "w3"]


@pytest.mark.parametrize("table", ["videos", "comments", "labels"])
def test_some_shards_alone_are_no_dataset(store: Store, table: str) -> None:
    spec = {"videos": VIDEOS, "comments": COMMENTS, "labels": LABELS}[table]
    assert store.read_all(table) == spec.schema.empty_table()
    for shard in (0, 1, 3):
        store.write(table, shard, spec.schema.empty_table())
    with pytest.raises(CsmvError, match=f"'{table}' .* has 3 of its 4 shards: .*Run `csmv run tables` first"):
        store.read_all(table)
    store.write(table, 2, spec.schema.empty_table())
    assert store.read_all(table).num_rows == 0


def test_features_may_be_there_for_some_shards_and_must_be_for_one(store: Store) -> None:
    with pytest.raises(CsmvError, match="has no table 'features/toy' yet; make it with `csmv extract`"):
        store.read_all("features/toy")
    rows = pa.table({"video_id": ["a"], "features": [[[1.0]]]})
    with pytest.raises(CsmvError, match="Writing 'features/toy' needs the spec of its features"):
        store.write("features/toy", 2, rows)
    store.write("features/toy", 2, rows, features_spec(1))
    assert store.read_all("features/toy")["video_id"].to_pylist() == ["a"]


def test_shards_with_and_without_a_column_that_came_later_are_read_together(store: Store) -> None:
    old = pa.table({"video_id": ["b"], "features": [[[1.0]]]})
    store.rewrite("features/toy", 0, old)
    store.rewrite("features/toy", 1, old.append_column("media_sha256", pa.array(["s"])))
    assert store.read_all("features/toy")["media_sha256"].to_pylist() == [None, "s"]


# ---------------------------------------------------------------------- what a shard was made from


def test_what_a_shard_was_made_from_is_kept_until_told_anew(store: Store) -> None:
    store.write("videos", 1, videos("a"))
    assert store.made_from("videos", 1) == ""
    store.write("videos", 1, videos("a", "b"), made_from="one")
    assert store.made_from("videos", 1) == "one"
    store.write("videos", 1, videos("a"))
    assert store.made_from("videos", 1) == "one"
    store.rewrite("videos", 1, videos("c"))
    assert (store.made_from("videos", 1), rows_of(store, 1)) == ("one", [("c", "pending")])
    store.write("videos", 1, videos("c"), made_from="two")
    assert store.made_from("videos", 1) == "two"
    store.write("videos", 1, videos("c"), made_from="")
    assert store.made_from("videos", 1) == ""


def test_a_rewritten_shard_of_features_is_sorted_and_keeps_its_footer(store: Store) -> None:
    rows = pa.table({"video_id": ["a", "b", "c"], "features": [[[1.0]], [[2.0]], [[3.0]]]})
    store.write("features/toy", 2, rows, features_spec(1, "float32", {"extractor": "toy"}), made_from="m")
    written = store.read("features/toy", 2)
    assert written is not None
    store.rewrite("features/toy", 2, written.take([2, 0]))
    left = store.read("features/toy", 2)
    assert left is not None
    assert left["video_id"].to_pylist() == ["a", "c"]
    assert (left.schema.metadata[b"extractor"], store.made_from("features/toy", 2)) == (b"toy", "m")
    with pytest.raises(CsmvError, match="repeat a key"):
        store.rewrite("features/toy", 2, written.take([0, 0]))


def test_a_shard_whose_entry_was_lost_is_listed_again_by_writing_it(store: Store) -> None:
    store.write("videos", 1, videos("a"))
    [entry] = entries(store, "videos/0001")
    store.remove(entry)
    with pytest.raises(CsmvError, match="is not what was written there"):
        store.read("videos", 1)
    store.write("videos", 1, videos("a"), made_from="")
    assert (entries(store, "videos/0001"), rows_of(store, 1)) == ([entry], [("a", "pending")])


def test_what_was_forgotten_is_not_written_whoever_writes_it(store: Store) -> None:
    remember(store, Request(videos=frozenset({"a"})))
    store.write("videos", 1, videos("a", "b"))
    assert rows_of(store, 1) == [("b", "pending")]
    store.rewrite("videos", 1, videos("c", "a"))
    assert rows_of(store, 1) == [("c", "pending")]
    record_failures(store, "media", 1, [Failure("a", FailureReason.NETWORK), Failure("d", FailureReason.NETWORK)])
    assert failures_of(store)["media"]["key"].to_pylist() == ["d"]


def test_a_request_that_comes_while_a_shard_is_written_is_kept_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file = store.write_file

    def asked_meanwhile(relative: str, data: bytes) -> None:
        remember(store, Request(videos=frozenset({"a"})))
        write_file(relative, data)

    monkeypatch.setattr(store, "write_file", asked_meanwhile)
    store.write("videos", 1, videos("a", "b"))
    assert rows_of(store, 1) == [("b", "pending")]


def test_every_page_has_a_checksum_that_any_reader_can_check(store: Store) -> None:
    store.write("videos", 1, videos("a", "b"))
    with store.writing_table("videos", 2, VIDEOS.schema) as writer:
        writer.write_table(videos("a", "b"))
    for shard in (1, 2):
        data = bytearray(store.read_file(f"videos/{shard:04d}.parquet"))
        with pq.ParquetFile(pa.BufferReader(bytes(data)), page_checksum_verification=True) as file:
            assert file.read().num_rows == 2
            column = file.metadata.row_group(0).column(0)
            end = column.dictionary_page_offset + column.total_compressed_size
            assert {file.metadata.row_group(0).column(n).compression for n in range(3)} == {"ZSTD"}
        data[end - 1] ^= 1
        with pytest.raises(OSError, match="CRC"):
            pq.ParquetFile(pa.BufferReader(bytes(data)), page_checksum_verification=True).read(columns=["video_id"])


def test_a_large_shard_can_be_read_in_pieces(store: Store) -> None:
    store.write("videos", 1, videos(*(f"{n:05d}" for n in range((1 << 16) + 1))))
    with store.open_table("videos", 1) as file:
        assert file is not None
        assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [1 << 16, 1]


def test_splits_are_replaced_listed_and_say_what_they_were_made_from(store: Store) -> None:
    rows = {"comment_id": ["c2", "c1"], "video_id": ["a", "a"]}
    with pytest.raises(CsmvError, match=r"no split 'mine' \(built so far: none\); build it with `csmv split`"):
        store.read_split("mine")
    store.write_split("mine", pa.table(rows | {"split": ["test", "train"]}), made_from="s1")
    store.write_split("a1", pa.table(rows | {"split": ["dev", "dev"]}))
    assert store.split_names() == ["a1", "mine"]
    assert store.read_split("mine").to_pylist() == [
        {"comment_id": "c1", "video_id": "a", "split": "train"},
        {"comment_id": "c2", "video_id": "a", "split": "test"},
    ]
    assert (store.made_from("splits/mine", None), store.made_from("splits/a1", None)) == ("s1", "")
    store.write_split("mine", pa.table(rows | {"split": ["dev", "dev"]}), made_from="s2")
    assert store.read_split("mine")["split"].to_pylist() == ["dev", "dev"]
    store.rewrite("splits/mine", None, SPLITS.schema.empty_table())
    assert (store.read_split("mine").num_rows, store.made_from("splits/mine", None)) == (0, "s2")
    with pytest.raises(CsmvError, match=r"letters, digits, - and _; '\.\./x' is not"):
        store.write_split("../x", pa.table(rows | {"split": ["dev", "dev"]}))


def test_a_table_written_piece_by_piece_is_as_one_written_whole(store: Store) -> None:
    with store.writing_table("videos", 1, VIDEOS.schema, made_from="m") as writer:
        writer.write_table(videos("a"))
        writer.write_table(videos("b"))
    assert rows_of(store, 1) == [("a", "pending"), ("b", "pending")]
    assert store.made_from("videos", 1) == "m"
    assert len(entries(store, "videos/0001")) == 1
    [line] = history(store)
    assert (line["table"], line["shard"], line["rows"], line["made_from"]) == ("videos", 1, 2, "m")
    with store.writing_table("videos", 2, VIDEOS.schema) as writer:
        writer.write_table(videos("c"))
    assert store.made_from("videos", 2) == ""


def test_a_table_whose_writing_fails_half_way_is_as_it_was(store: Store) -> None:
    store.write("videos", 1, videos("a"))
    before = store.files()
    with pytest.raises(ZeroDivisionError), store.writing_table("videos", 1, VIDEOS.schema) as writer:
        writer.write_table(videos("b"))
        raise ZeroDivisionError
    assert (store.files(), rows_of(store, 1)) == (before, [("a", "pending")])


# ---------------------------------------------------------------------- history


def test_a_line_of_history_for_each_change(store: Store) -> None:
    before = datetime.now(UTC)
    store.write("videos", 1, videos("a", "b"), made_from="m")
    store.write("videos", 1, videos("b", "a"), made_from="m")  # the same again
    record_failures(store, "media", 1, [Failure("a", FailureReason.NETWORK)])
    [line] = history(store)
    [entry] = entries(store, "videos/0001")
    assert before <= datetime.fromisoformat(line.pop("at")) <= datetime.now(UTC)
    assert line == {
        "event": "write",
        "table": "videos",
        "shard": 1,
        "rows": 2,
        "sha256": Path(entry).stem,
        "made_from": "m",
    }
    [name] = store.files("history")
    assert name.split("/")[1] == f"{before:%Y%m%d}"
    store.note({"event": "forget", "rows": 3})
    assert history(store)[1].items() >= {"event": "forget", "rows": 3}.items()


# ---------------------------------------------------------------------- sweeping


def make_older(store: Store, name: str, hours: float) -> None:
    moment = time.time() - hours * 3600
    os.utime(store.path(name), (moment, moment))


def test_superseded_entries_go_after_an_hour_and_the_current_one_never(store: Store) -> None:
    for status in ("pending", "available", "missing"):
        store.write("videos", 1, videos("a", status=status))
    by_status = {json.loads(store.read_file(name))["sha256"]: name for name in entries(store, "videos/0001")}
    assert len(by_status) == 3
    assert store.sweep() == 0
    assert len(entries(store, "videos/0001")) == 3, "all are young"
    for name in by_status.values():
        make_older(store, name, 0.9)
    store.sweep()
    assert len(entries(store, "videos/0001")) == 3
    for name in by_status.values():
        make_older(store, name, 1.1)
    store.sweep()
    assert len(entries(store, "videos/0001")) == 1
    assert rows_of(store, 1) == [("a", "missing")]
    assert store.exists("manifest/root.json")


def test_entries_stay_where_the_shard_is_lost_or_damaged(store: Store) -> None:
    for shard in (1, 2, 3):
        for status in ("pending", "available"):
            store.write("videos", shard, videos("a", status=status))
        for name in entries(store, f"videos/{shard:04d}"):
            make_older(store, name, 2)
    store.remove("videos/0001.parquet")
    store.write_file("videos/0002.parquet", b"not Parquet")
    store.sweep()
    assert [len(entries(store, f"videos/{shard:04d}")) for shard in (1, 2, 3)] == [2, 2, 1]


def test_another_machines_half_written_file_is_swept_after_a_day_alone(store: Store) -> None:
    half = "videos/0000.parquet.csmv-ffffffff-1-00000000.tmp"
    store.write("videos", 0, videos("a"))
    Path(store.path(half)).write_bytes(b"half")
    make_older(store, half, 23.9)
    assert store.sweep() == 0
    make_older(store, half, 24.1)
    assert store.sweep() == 1
    assert not Path(store.path(half)).exists()
    assert rows_of(store, 0) == [("a", "pending")]


# ---------------------------------------------------------------------- failures


def test_failures_take_the_last_reason_and_count_attempts(store: Store) -> None:
    record_failures(store, "media", 2, [])
    assert not store.files("failures")
    record_failures(
        store, "media", 2, [Failure("b", FailureReason.NETWORK, "x"), Failure("a", FailureReason.TRUNCATED)], DAY
    )
    later = DAY.replace(day=3)
    record_failures(store, "media", 2, [Failure("b", FailureReason.NO_SPACE, "y")], later)
    rows = {row["key"]: row for row in failures_of(store)["media"].to_pylist()}
    assert list(rows) == ["a", "b"]
    assert (rows["a"]["attempts"], rows["a"]["reason"], rows["a"]["at"]) == (1, "truncated", DAY.replace(microsecond=0))
    assert (rows["b"]["attempts"], rows["b"]["reason"], rows["b"]["detail"]) == (2, "no_space", "y")
    assert rows["b"]["at"] == later.replace(microsecond=0)
    assert (rows["a"]["class"], rows["b"]["class"]) == ("media", "space")
    assert rows["a"]["detail"] == FailureReason.TRUNCATED.sentence != ""


def test_failures_of_several_shards_and_stages(store: Store) -> None:
    for stage, shard, key in (("media", 0, "a"), ("media", 3, "b"), ("features", 1, "c")):
        record_failures(store, stage, shard, [Failure(key, FailureReason.NETWORK)], DAY)
    by_stage = failures_of(store)
    assert {stage: rows["key"].to_pylist() for stage, rows in by_stage.items()} == {
        "features": ["c"],
        "media": ["a", "b"],
    }
    unchanged = store.read_file("failures/media/0000.parquet")
    clear_failures(store, "media", 0, ["b", "c"])
    assert store.read_file("failures/media/0000.parquet") == unchanged
    clear_failures(store, "media", 1, ["a"])
    assert not store.exists("failures/media/0001.parquet")
    clear_failures(store, "media", 0, iter(["a"]))
    clear_failures(store, "features", 1, ["c", "c"])
    assert {stage: rows["key"].to_pylist() for stage, rows in failures_of(store).items()} == {"media": ["b"]}
    record_failures(store, "media", 0, [Failure("a", FailureReason.NETWORK)])
    assert failures_of(store)["media"]["attempts"].to_pylist() == [1, 1]


def test_a_lost_shard_of_failures_begins_anew(store: Store) -> None:
    record_failures(store, "media", 0, [Failure("a", FailureReason.NETWORK), Failure("b", FailureReason.NETWORK)])
    store.remove("failures/media/0000.parquet")
    record_failures(store, "media", 0, [Failure("a", FailureReason.NETWORK)])
    assert failures_of(store)["media"].select(["key", "attempts"]).to_pylist() == [{"key": "a", "attempts": 1}]


def test_a_lost_shard_of_failures_is_there_again_when_nothing_fails_any_more(store: Store) -> None:
    record_failures(store, "media", 0, [Failure("a", FailureReason.NETWORK)])
    store.remove("failures/media/0000.parquet")
    assert failure_rows(store, "media", 0) == []
    clear_failures(store, "media", 0, ["a"])
    rows = store.read("failures/media", 0)
    assert rows is not None and rows.num_rows == 0


def test_other_rows_of_the_same_size_are_other_rows(store: Store) -> None:
    store.write("videos", 0, videos("a"))
    size = len(store.read_file("videos/0000.parquet"))
    store.write("videos", 0, videos("b"))
    assert len(store.read_file("videos/0000.parquet")) == size
    assert rows_of(store, 0) == [("b", "pending")]
    store.write("videos", 0, videos("a"))  # what was there before, and is still listed
    assert rows_of(store, 0) == [("a", "pending")]


def test_one_piece_is_the_same_bytes_as_the_whole(store: Store) -> None:
    store.write("videos", 0, videos("a"), made_from="m")
    whole = store.read_file("videos/0000.parquet")
    store.remove("videos/0000.parquet")
    with store.writing_table("videos", 0, VIDEOS.schema, made_from="m") as writer:
        writer.write_table(videos("a"))
    assert store.read_file("videos/0000.parquet") == whole
