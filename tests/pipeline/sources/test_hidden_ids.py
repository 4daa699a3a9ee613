"""A video that is named after somebody has a pseudonym for an id, wherever its id stands, and keeps it."""

import json
from pathlib import Path
from typing import Any

import pytest

from csmv.pipeline.collect import ingest
from csmv.pipeline.config import DatasetConfig, FolderSource, read_config
from csmv.pipeline.privacy.audit import audit
from csmv.pipeline.privacy.forget import forget
from csmv.pipeline.privacy.hidden_ids import HIDDEN_IDS
from csmv.pipeline.privacy.names_in_ids import NamesInIds
from csmv.pipeline.pseudonym import KEY_FILE, KEY_VARIABLE, Pseudonymiser
from csmv.pipeline.reshard import reshard
from csmv.pipeline.sources.folder import Folder
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.store import Store

HANDLE, DOTTED = "kayla_rose22", "kai.river9"
FILMS = ("kayla_rose22_1.mp4", "kayla_rose22_1.mov", "duet-Kai-River9.mp4", "clip7.mp4", "6968866098477403398.mp4")


def comment(number: int, video: str, author: str) -> dict[str, Any]:
    row = {"id": f"76794041022283{number:05d}", "video": video, "text": f"comment {number}", "author": author}
    return row | {"opinion": "positive"}


def write_lists(folder: Path, *comments: dict[str, Any]) -> None:
    (folder / "comments.jsonl").write_text("".join(json.dumps(row) + "\n" for row in comments))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    path = tmp_path / "source"
    path.mkdir()
    for name in FILMS:
        (path / name).write_bytes(name.encode())
    write_lists(
        path,
        comment(1, "kayla_rose22_1", DOTTED),
        comment(2, "duet-Kai-River9", HANDLE),
        comment(3, "clip7", HANDLE),
        comment(4, "6968866098477403398", "somebody.else5"),
    )
    return path


def built(folder: Path, root: Path, shards: int = 4) -> Store:
    source = FolderSource(path=str(folder))
    store = Store.create(str(root), DatasetConfig(name="x", n_shards=shards, source=source))
    build(store)
    return store


def build(store: Store) -> None:
    config = read_config(store)
    ingest(store, source_of(config.source), config.scrub, store.key())


def video_ids(store: Store) -> set[str]:
    return set(store.read_all("videos")["video_id"].to_pylist())


def pseudonym(store: Store, name: str) -> str:
    return Pseudonymiser(store.key()).video_id(name)


def test_ids_that_hold_a_handle_are_pseudonyms_everywhere(folder: Path, tmp_path: Path) -> None:
    store = built(folder, tmp_path / "root")
    rose, river = (pseudonym(store, name) for name in ("kayla_rose22_1", "duet-Kai-River9"))
    assert video_ids(store) == {rose, river, "clip7", "6968866098477403398"}
    assert set(store.read_all("comments")["video_id"].to_pylist()) == video_ids(store)
    assert store.read_all("labels").num_rows == 4
    for table in ("videos", "comments"):
        for shard in store.shards():
            rows = store.read(table, shard)
            assert rows is not None
            assert all(store.shard_of(one) == shard for one in rows["video_id"].to_pylist())
    assert set(store.read_all("failures/tables")["key"].to_pylist()) == {f"{rose}.mov"}
    found = audit(store)
    assert (found.hits, found.unread) == ((), ())


def test_its_file_is_found_by_the_pseudonym(folder: Path, tmp_path: Path) -> None:
    store = built(folder, tmp_path / "root")
    source = source_of(read_config(store).source)
    files = {source.file(store, video) for video in video_ids(store)}
    assert files == {folder / name for name in FILMS if not name.endswith(".mov")}
    assert source.file(store, pseudonym(store, "no such film")) is None


def test_what_was_hidden_stays_so_whatever_becomes_of_the_lists(folder: Path, tmp_path: Path) -> None:
    store = built(folder, tmp_path / "root")
    before = video_ids(store)
    write_lists(folder, comment(3, "clip7", "somebody.else5"))
    build(store)
    assert video_ids(store) == before


def test_what_a_forgotten_name_is_in_is_hidden_too(folder: Path, tmp_path: Path) -> None:
    (folder / "by_vera.exa8.txt").touch()
    (folder / "with-vera_exa8.mp4").write_bytes(b"nobody of that name is in the lists")
    store = built(folder, tmp_path / "root")
    assert "with-vera_exa8" in video_ids(store)
    forget(store, handles=["vera.exa8"], even_unknown=True)
    assert audit(store).hits
    build(store)
    assert pseudonym(store, "with-vera_exa8") in video_ids(store)
    assert audit(store).hits == ()


def test_a_hidden_video_is_forgotten_by_the_name_of_its_file(folder: Path, tmp_path: Path) -> None:
    store = built(folder, tmp_path / "root")
    removal = forget(store, video_ids=["kayla_rose22_1"], source=source_of(read_config(store).source))
    assert (removal.videos, removal.comments) == (1, 1)
    assert any("rows of its lists are of it" in sentence for sentence in removal.left)
    write_lists(folder, comment(5, "kayla_rose22_1", "somebody.else5"))
    build(store)
    assert pseudonym(store, "kayla_rose22_1") not in video_ids(store)
    assert store.read_all("comments").num_rows == 0


def test_a_root_that_began_with_names_in_its_ids_goes_on_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = built(folder, tmp_path / "old")
    mark = f"{Folder(FolderSource(path='x')).landing}/landed.json"
    with monkeypatch.context() as patch:
        patch.setattr("csmv.pipeline.sources.folder._RECIPE", 1)
        before = built(folder, tmp_path / "before")
    assert "kayla_rose22_1" in video_ids(before)
    assert json.loads(before.read_file(mark))["inputs"].keys() == {"recipe", "films", "n_shards", "files"}
    tables = {
        name: before.read_file(name)
        for name in before.files()
        if name.endswith(".parquet") and not name.startswith("private/")
    }

    build(before)
    assert {name: before.read_file(name) for name in tables} == tables
    before.remove(mark)
    build(before)
    assert {name: before.read_file(name) for name in tables} == tables
    assert {hit.place for hit in audit(before).hits} >= {"column video_id", "column key"}
    assert video_ids(old) != video_ids(before)


def test_another_number_of_shards_changes_no_id(folder: Path, tmp_path: Path) -> None:
    store = built(folder, tmp_path / "root")
    reshard(store.root, str(tmp_path / "new"), 2)
    new = Store.open(str(tmp_path / "new"))
    assert video_ids(new) == video_ids(store)
    build(new)
    assert video_ids(new) == video_ids(store)


def test_the_list_of_hidden_ids_names_nobody(folder: Path, tmp_path: Path) -> None:
    store = built(folder, tmp_path / "root")
    text = store.read_file(HIDDEN_IDS).decode()
    assert len(json.loads(text)) == 2
    assert "kayla" not in text and "river" not in text


def test_the_same_key_gives_the_same_ids(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = built(folder, tmp_path / "one")
    monkeypatch.setenv(KEY_VARIABLE, first.read_file(KEY_FILE).decode().strip())
    second = built(folder, tmp_path / "two")
    assert video_ids(first) == video_ids(second)


@pytest.mark.parametrize(
    ("text", "is_held"),
    [
        ("kayla_rose22", True),
        ("kayla_rose22_1", True),
        ("kayla-rose22-1", True),
        ("1_kayla_rose22", True),
        ("KaylaRose22_clip", True),
        ("clipKaylaRose22", True),
        ("kayla_rose220001", True),
        ("x.kai_river9.y", True),
        ("vera-exa-02", True),
        ("kayla", False),
        ("kayla_rose", False),
        ("rose22", False),
        ("akayla_rose22", False),
        ("kai_river", False),
        ("kai_river91", True),
        ("love_story_3", False),
        ("6968866098477403398", False),
        ("v00112233445566778899aabbccddeeff", False),
    ],
)
def test_a_name_in_an_id_is_told_from_a_part_of_a_word(text: str, is_held: bool) -> None:
    names = NamesInIds([HANDLE, DOTTED, "Vera Exa", "love", "22", "Sunny Day"])
    assert names.holds(text) is is_held
