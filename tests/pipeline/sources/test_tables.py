"""From landing to tables: what anybody is called anywhere in a root is gone from every text of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from csmv.pipeline.config import DatasetConfig, read_config
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
