"""From landing to tables: what anybody is called anywhere in a root is gone from every text of it."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from csmv.pipeline.config import DatasetConfig, read_config
from csmv.pipeline.known_names import LANDED
from csmv.pipeline.landed_names import PARTS, extract_names, extracted_names, known_names
from csmv.pipeline.privacy.forget import forget
from csmv.pipeline.scrub import EntityRule, ScrubPolicy
from csmv.pipeline.sources.collect_settings import WebSource
from csmv.pipeline.sources.landing import Landing, Record
from csmv.pipeline.sources.tables import TableSummary, write_shard, write_tables
from csmv.pipeline.sources.visit import COMMENTS
from csmv.pipeline.sources.walls import DONE
from csmv.pipeline.sources.web import Web
from csmv.pipeline.store import Store

A, B, C = "7679402590399889401", "7679402590399889402", "7679402590399889403"


@pytest.fixture(autouse=True)
def one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal roots are equal bytes, and their key is part of what they are."""
    monkeypatch.setenv("CSMV_PSEUDONYM_KEY", "one key for all roots of these tests")


def land(store: Store, video: str, creator: str, visit: str, comments: dict[str, str]) -> None:
    """One visit of a video: its page, and comments as author -> text."""
    item = {"id": video, "desc": "a caption", "author": {"uniqueId": creator, "nickname": f"{creator.title()} Exa"}}
    rows = [
        {"cid": f"{video[:15]}{number:04d}", "aweme_id": video, "text": text, "user": {"unique_id": author}}
        for number, (author, text) in enumerate(comments.items())
    ]
    records = [
        Record("/video", json.dumps(item).encode()),
        Record(COMMENTS, json.dumps({"status_code": 0, "comments": rows, "has_more": 0}).encode()),
    ]
    Landing(store).close_video(video, visit, DONE, records)


@pytest.fixture
def root(tmp_path: Path) -> Store:
    store = Store.create(str(tmp_path / "root"), DatasetConfig(name="x", n_shards=4, source=WebSource()))
    land(store, A, "lunarpost77", "20261123T170000000Z-aaaaaa", {"kai.river9": "nice"})
    land(store, B, "mona_vex", "20261123T170100000Z-bbbbbb", {"zz_top_fan": "LunarPost77 and kai.river9 did it first"})
    return store


def tabulate(store: Store, key: SecretStr) -> TableSummary:
    return write_tables(store, Web(WebSource()), read_config(store).scrub, key)


def texts(store: Store) -> dict[str, str]:
    return {row["video_id"]: row["text"] for row in store.read_all("comments").to_pylist()}


def tables(store: Store) -> dict[str, bytes]:
    return {name: store.read_file(name) for name in store.files() if name.startswith(("videos/", "comments/"))}


def test_a_name_of_one_video_is_gone_from_the_comments_of_another(root: Store) -> None:
    tabulate(root, root.key())

    assert texts(root) == {A: "nice", B: "<USERNAME> and <USERNAME> did it first"}


def test_a_name_that_comes_later_is_gone_from_what_was_there_before(root: Store) -> None:
    key = root.key()
    land(root, C, "quietforest5", "20261123T170200000Z-cccccc", {"someone_x": "like TealOtter8 said"})
    tabulate(root, key)
    assert texts(root)[C] == "like TealOtter8 said"

    land(root, A, "lunarpost77", "20261124T170000000Z-dddddd", {"tealotter8": "me again"})
    tabulate(root, key)

    assert texts(root)[C] == "like <USERNAME> said"


def test_neither_order_nor_interruption_changes_a_byte(root: Store, tmp_path: Path) -> None:
    key = root.key()
    twin = Store.create(str(tmp_path / "twin"), read_config(root))
    for name in root.files("private/landing"):
        twin.write_file(name, root.read_file(name))
    tabulate(root, key)
    land(root, C, "quietforest5", "20261123T170200000Z-cccccc", {"mona_vex": "so lunarpost77"})
    land(twin, C, "quietforest5", "20261123T170200000Z-cccccc", {"mona_vex": "so lunarpost77"})
    tabulate(root, key)

    for shard in reversed(twin.shards()):
        write_shard(twin, Web(WebSource()), read_config(twin).scrub, key, shard)

    assert tables(root) == tables(twin)
    assert len(texts(root)) == 3


def test_made_again_only_where_something_came_or_the_policy_changed(root: Store) -> None:
    key = root.key()
    assert tabulate(root, key).videos == 2
    assert tabulate(root, key).videos == 0

    policy = ScrubPolicy(username=EntityRule(enabled=False))
    changed = Store.create(root.root, read_config(root).model_copy(update={"scrub": policy}))
    assert tabulate(changed, key).videos == 2

    assert texts(root)[B] == "LunarPost77 and kai.river9 did it first"


@pytest.mark.parametrize(
    "person",
    [
        {"author": "plainauthor7"},
        {"user": {"nickname": "✨ Velda Quorn ✨"}},
        {"reply_to_username": "plainauthor7"},
        {"textExtra": [{"type": 0, "userUniqueId": "plainauthor7"}]},
    ],
)
def test_names_are_known_wherever_a_page_has_them(root: Store, person: dict[str, Any]) -> None:
    page = json.dumps(person).encode()
    Landing(root).close_video(C, "20261123T170300000Z-eeeeee", DONE, [Record("/listed", page)])
    land(root, A, "lunarpost77", "20261124T170000000Z-dddddd", {"x_y": "by plainauthor7 or velda quorn!"})
    tabulate(root, root.key())

    assert "<USERNAME>" in texts(root)[A]


def rebuilt(root: Store, folder: Path, key: SecretStr) -> dict[str, bytes]:
    """The tables of a new root that gets all of `root`'s landing, and what it was asked to forget, at once."""
    whole = Store.create(str(folder), read_config(root))
    for name in root.files("private"):
        if name.startswith(("private/landing/", "private/forgotten", "private/forget.key")):
            whole.write_file(name, root.read_file(name))
    tabulate(whole, key)
    return tables(whole)


def test_a_new_name_is_looked_for_in_texts_and_only_what_holds_it_is_scrubbed_again(
    root: Store, tmp_path: Path
) -> None:
    key = root.key()
    many = {f"writer{number}q": f"comment {number} for @someone{number}" for number in range(50)}
    land(root, C, "quietforest5", "20261123T170200000Z-cccccc", many | {"someone_x": "like TealOtter8 said"})
    tabulate(root, key)

    land(root, A, "lunarpost77", "20261124T170000000Z-dddddd", {"tealotter8": "me again"})
    night = tabulate(root, key)

    assert "like <USERNAME> said" in root.read_all("comments")["text"].to_pylist()
    assert night.comments == 53
    assert night.scrubbed == 2, "the new comment, and the one that holds the new name"
    assert tables(root) == rebuilt(root, tmp_path / "whole", key)


@pytest.mark.parametrize("operator", ["placeholder", "remove", "hash"])
def test_names_that_come_and_go_leave_the_tables_of_a_root_built_at_once(
    root: Store, tmp_path: Path, operator: str
) -> None:
    rule = EntityRule(operator=operator)
    policy = ScrubPolicy(username=rule, email=rule, phone=rule, url=rule)
    root = Store.create(root.root, read_config(root).model_copy(update={"scrub": policy}))
    key = root.key()
    # What is cut brings together, or lays bare, what is a name later.
    held = {
        "w1q": "kai@lunarpost77.river9 x",
        "w2q": "mail kai.river9@mail.com TealOtter8@mail.com now",
        "w3q": "teal@lunarpost77otter8",
        "w4q": "teal@lunarpost77 otter8 and tealotter8x",
        "w5q": "call +1 415 555 2671tealotter8 or https://x.com/tealotter8",
        "w6q": "Velda @mona_vex Quorn, velda quorn",
    }
    land(root, C, "quietforest5", "20261123T170200000Z-cccccc", held)
    tabulate(root, key)

    land(root, A, "lunarpost77", "20261124T170000000Z-dddddd", {"tealotter8": "me again", "teal": "x", "otter8": "y"})
    land(root, "7679402590399889404", "velda quorn", "20261124T170100000Z-eeeeee", {"zz9": "hi"})
    tabulate(root, key)
    assert tables(root) == rebuilt(root, tmp_path / "came", key)

    gone = next(name for name in root.files("private/landing") if "20261124T170000000Z" in name)
    root.remove(gone)
    tabulate(root, key)
    assert tables(root) == rebuilt(root, tmp_path / "went", key)

    forget(root, handles=["mona_vex"])
    tabulate(root, key)
    assert tables(root) == rebuilt(root, tmp_path / "forgotten", key)


def test_names_are_read_out_of_a_landing_file_once(root: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert extract_names(root) == 2
    land(root, C, "quietforest5", "20261123T170200000Z-cccccc", {"tealotter8": "me"})
    assert extract_names(root) == 1

    names = extracted_names(root)

    assert extract_names(root) == 0
    assert names == known_names(root)
    assert {"kai.river9", "tealotter8", "quietforest5"} <= names.handles


def test_parts_of_names_that_are_damaged_or_of_files_that_are_gone_are_of_no_account(root: Store) -> None:
    extract_names(root)
    [part] = root.files(PARTS)
    root.write_file(part, root.read_file(part)[:-9])
    assert "kai.river9" in extracted_names(root).handles

    assert extract_names(root) == 2
    root.remove(next(name for name in root.files("private/landing") if f"/{A}/" in name))
    extract_names(root)

    assert "kai.river9" not in extracted_names(root).handles
    assert not any(
        b"kai.river9" in pq.read_table(root.path(name))["handles"].to_string().encode() for name in root.files(PARTS)
    )


def test_a_request_to_forget_leaves_nothing_of_names_in_caches(root: Store) -> None:
    tabulate(root, root.key())
    assert root.files(LANDED)

    forget(root, handles=["kai.river9"], even_unknown=True)
    assert not root.files(LANDED)
    tabulate(root, root.key())

    assert root.files(LANDED)
    assert "kai.river9" not in extracted_names(root).handles
