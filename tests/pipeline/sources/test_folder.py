"""A folder becomes tables without personal data; a bad row costs only itself; killed and run again, the bytes agree."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import SecretStr

from csmv.pipeline import collect
from csmv.pipeline.config import DatasetConfig, FolderSource, read_config
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.pseudonym import Pseudonymiser
from csmv.pipeline.schemas import VIDEOS
from csmv.pipeline.sources.base import Part, Reach
from csmv.pipeline.sources.folder import Folder
from csmv.pipeline.sources.tables import TableSummary, write_shard
from csmv.pipeline.store import Store

KEY = SecretStr("a key that is long enough")

GOOD: dict[str, Any] = {
    "id": "71",
    "video": "v1",
    "text": "so good @tall.tree_88, mail me at tall@example.org",
    "like_count": 3,
    "reply_to": None,
    "created_on": "2024-05-31",
    "author": "@mirelo.vance_83",
    "opinion": "positive",
    "emotion": "joy",
}


@pytest.fixture(autouse=True)
def one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal roots are equal bytes, and their key is part of what they are."""
    monkeypatch.setenv("CSMV_PSEUDONYM_KEY", "one key for all roots of these tests")


def make_folder(
    folder: Path, comments: Iterable[dict[str, Any] | bytes], videos: list[dict[str, Any]] | None = None
) -> FolderSource:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("v1.mp4", "v2.mov", "v3.mp4"):
        (folder / name).write_bytes(b"not looked at here")
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in comments]
    (folder / "comments.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    if videos is not None:
        (folder / "videos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in videos))
    return FolderSource(path=str(folder))


def make_store(root: Path, source: FolderSource, shards: int = 2) -> Store:
    return Store.create(str(root), DatasetConfig(name="test", n_shards=shards, source=source))


def ingest(store: Store, source: FolderSource) -> TableSummary:
    return collect.ingest(store, Folder(source), read_config(store).scrub, KEY)


def table_bytes(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for table in ("videos", "comments", "labels")
        for path in sorted((root / table).glob("*.parquet"))
    }


def failures(store: Store) -> dict[str, tuple[str, str]]:
    return {row["key"]: (row["reason"], row["detail"]) for row in store.read_all("failures/tables").to_pylist()}


def test_a_comment_becomes_a_row_without_personal_data(tmp_path: Path) -> None:
    reply = GOOD | {"id": "72", "video": "v2", "text": "mirelo.vance_83 is right", "reply_to": "71", "author": None}
    source = make_folder(tmp_path / "in", [GOOD, reply | {"opinion": None, "emotion": None}])
    store = make_store(tmp_path / "root", source)

    summary = ingest(store, source)

    assert summary == TableSummary(videos=3, comments=2, labels=1, failures=0, reused=0)
    rows = {row["video_id"]: row for row in store.read_all("comments").to_pylist()}
    pseudonym = Pseudonymiser(KEY).comment_id("71")
    assert rows["v1"]["comment_id"] == pseudonym == rows["v2"]["reply_to"]
    assert rows["v1"]["text"] == "so good <USERNAME>, mail me at <EMAIL>"
    assert rows["v1"]["pii"] == ["EMAIL", "USERNAME"]
    assert rows["v1"]["like_count"] == 3
    assert rows["v1"]["created_on"].isoformat() == "2024-05-31"
    assert rows["v2"]["text"] == "<USERNAME> is right"
    assert store.read_all("labels").to_pylist() == [
        {"comment_id": pseudonym, "opinion": "positive", "emotion": "joy", "source": "published"}
    ]


def test_what_is_known_of_a_video_is_scrubbed_too(tmp_path: Path) -> None:
    about = {
        "video": "v1",
        "creator": "@dune_walker.7",
        "description": "by dune_walker.7, write to dune@example.org",
        "hashtags": ["#Sea", "sea", "dune_walker.7"],
        "created_at": "2024-03-01T12:00:00+02:00",
        "comment_count": 9,
    }
    source = make_folder(tmp_path / "in", [GOOD], [about, {"video": "not-here"}])
    store = make_store(tmp_path / "root", source)

    ingest(store, source)

    rows = {row["video_id"]: row for row in store.read_all("videos").to_pylist()}
    assert sorted(rows) == ["not-here", "v1", "v2", "v3"]
    assert rows["v1"]["description"] == "by <USERNAME>, write to <EMAIL>"
    assert rows["v1"]["hashtags"] == ["sea"]
    assert rows["v1"]["created_at"].isoformat() == "2024-03-01T10:00:00+00:00"
    assert {row["media_status"] for row in rows.values()} == {"pending"}


BAD_ROWS: dict[str, tuple[dict[str, Any] | bytes, str, str]] = {
    "not JSON": (b'{"id": "secret.person99", "text": ', "bad_row", "not JSON"),
    "not text": (b'{"id": "9", "video": "v1", "text": "\xff\xfe secret.person99"}', "bad_row", "not JSON"),
    "half a character": (b'{"id": "9", "video": "v1", "text": "secret.person99 \\ud800"}', "bad_row", "not JSON"),
    "not an object": (b'["secret.person99"]', "bad_row", "not a JSON object"),
    "no text": ({"id": "secret.person99", "video": "v1"}, "bad_row", "'text' is missing"),
    "blank text": (GOOD | {"id": "9", "text": "  \n "}, "bad_row", "'text' is blank"),
    "unknown opinion": (GOOD | {"id": "9", "opinion": "secret.person99"}, "bad_row", "'opinion'"),
    "unknown emotion": (GOOD | {"id": "9", "emotion": "secret.person99"}, "bad_row", "'emotion'"),
    "likes below none": (GOOD | {"id": "9", "like_count": -1}, "bad_row", "'like_count'"),
    "too many likes": (GOOD | {"id": "9", "like_count": 2**70}, "bad_row", "'like_count'"),
    "no day": (GOOD | {"id": "9", "created_on": "secret.person99"}, "bad_row", "'created_on'"),
    "no id": (GOOD | {"id": ""}, "bad_row", "'id'"),
    "unknown video": (GOOD | {"id": "9", "video": "secret-person99"}, "unknown_video", "no such video"),
    "unsafe video id": (GOOD | {"id": "9", "video": "../secret.person99"}, "unsafe_id", "'video'"),
    "repeated id": (GOOD | {"text": "secret.person99"}, "duplicate", "stands above"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_costs_only_itself_and_is_never_quoted(tmp_path: Path, name: str) -> None:
    row, reason, detail = BAD_ROWS[name]
    source = make_folder(tmp_path / "in", [GOOD, row, GOOD | {"id": "73", "video": "v3"}])
    store = make_store(tmp_path / "root", source)

    summary = ingest(store, source)

    assert (summary.comments, summary.failures) == (2, 1)
    found_reason, found_detail = failures(store)["comments.jsonl:2"]
    assert found_reason == reason
    assert detail in found_detail
    assert "secret" not in found_detail


def test_video_files_that_can_not_be_named_or_come_twice(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "in", [GOOD], [{"video": "v1"}, {"video": "v1"}, {"video": "a/b"}])
    (tmp_path / "in" / "secret person.mp4").write_bytes(b"")
    (tmp_path / "in" / "v1.webm").write_bytes(b"")
    store = make_store(tmp_path / "root", source)

    assert ingest(store, source).videos == 3
    found = {key: reason for key, (reason, _) in failures(store).items()}
    assert found == {
        "file 1 by name": "unsafe_id",
        "v1.webm": "duplicate",
        "videos.jsonl:2": "duplicate",
        "videos.jsonl:3": "unsafe_id",
    }


def test_a_second_ingest_does_nothing_and_keeps_what_the_media_stage_knows(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "in", [GOOD, b"{}"])
    store = make_store(tmp_path / "root", source, shards=1)
    ingest(store, source)
    videos = store.read("videos", 0)
    assert videos is not None
    rows = [row | {"width": 160, "media_status": "ok", "media_sha256": "ab"} for row in videos.to_pylist()]
    store.write("videos", 0, pa.Table.from_pylist(rows, schema=VIDEOS.schema))
    before = store.read("videos", 0)

    assert ingest(store, source).reused == 1
    make_folder(tmp_path / "in", [GOOD, GOOD | {"id": "99"}])
    assert ingest(store, source) == TableSummary(videos=3, comments=2, labels=2, failures=0, reused=0)

    assert store.read("videos", 0) == before
    assert failures(store) == {}


def test_shards_do_not_depend_on_who_makes_them_or_in_what_order(tmp_path: Path) -> None:
    rows = [GOOD | {"id": str(number), "video": f"v{number % 3 + 1}"} for number in range(9)]
    source = make_folder(tmp_path / "in", rows)
    one, other = (make_store(tmp_path / name, source, shards=3) for name in ("one", "other"))

    ingest(one, source)
    Folder(source).land(other, Reach(), Part())
    for shard in (2, 0, 1, 0):
        write_shard(other, Folder(source), read_config(other).scrub, KEY, shard)

    assert table_bytes(tmp_path / "one") == table_bytes(tmp_path / "other")
    assert sum(table.num_rows for shard in range(3) if (table := one.read("comments", shard)) is not None) == 9


KILLED = """
import os, signal, sys
from pydantic import SecretStr
from csmv.pipeline.config import read_config
from csmv.pipeline.store import Store
from csmv.pipeline.collect import ingest
from csmv.pipeline.sources.registry import source_of
writes = int(sys.argv[2])
commit = os.replace
def counted(self, *arguments):
    global writes
    if writes == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    writes -= 1
    return commit(self, *arguments)
import pathlib
pathlib.Path.replace = counted
store = Store.open(sys.argv[1])
ingest(store, source_of(read_config(store).source), read_config(store).scrub, SecretStr(sys.argv[3]))
"""


def test_killed_before_any_commit_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    rows = [GOOD | {"id": str(number), "video": f"v{number % 3 + 1}"} for number in range(6)]
    source = make_folder(tmp_path / "in", [*rows, b"{}"])
    whole = make_store(tmp_path / "whole", source)
    ingest(whole, source)
    wanted = table_bytes(tmp_path / "whole")

    for writes in (1, 4):
        store = make_store(tmp_path / f"killed{writes}", source)
        command = [sys.executable, "-c", KILLED, store.root, str(writes), KEY.get_secret_value()]
        assert subprocess.run(command, check=False).returncode == -9
        assert table_bytes(Path(store.root)) != wanted
        store.sweep()
        ingest(store, source)
        assert table_bytes(Path(store.root)) == wanted
        assert failures(store) == failures(whole)
        assert not list(Path(store.root).rglob("*.tmp"))


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "in", [GOOD])
    store = make_store(tmp_path / "root", source)
    for wrong in (
        FolderSource(path=str(tmp_path / "elsewhere")),
        source.model_copy(update={"comments": "other.jsonl"}),
        source.model_copy(update={"videos": "other.jsonl"}),
    ):
        with pytest.raises(CsmvError, match="is not there"):
            ingest(store, wrong)
