"""Forgetting: by original id, by video, by handle; every file it is in, and never back again."""

import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from forgotten_at_once import SPEC, features_of
from pydantic import SecretStr

from csmv.pipeline.collect import collect, ingest
from csmv.pipeline.config import DatasetConfig, FolderSource, read_config
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import Failure, failures_of, record_failures
from csmv.pipeline.privacy import forget_landing
from csmv.pipeline.privacy.forget import forget, forget_again, settle
from csmv.pipeline.privacy.forget_landing import LandingEraser, Wanted
from csmv.pipeline.privacy.forgotten import Forgotten, Request, remember
from csmv.pipeline.pseudonym import KEY_FILE, KEY_VARIABLE, Pseudonymiser, key_fingerprint, load_key
from csmv.pipeline.root import media_path
from csmv.pipeline.schemas import FailureReason
from csmv.pipeline.scrub.gazetteer import Gazetteer
from csmv.pipeline.sources.base import Reach
from csmv.pipeline.sources.collect_settings import WebSource
from csmv.pipeline.sources.landing import Landing
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.sources.web import Web
from csmv.pipeline.store import Store, parquet_bytes

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
    ingest(store, source_of(source), read_config(store).scrub, store.key())
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
    tables = {name for name in removal.rows if not name.startswith("private/")}
    assert tables == {f"comments/{shard:04d}.parquet", f"labels/{shard:04d}.parquet"}


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


def land(store: Store, name: str, *values: object) -> None:
    """A landing file of records with these bodies; a text is a body as it stands."""
    bodies = [value if isinstance(value, str) else json.dumps(value) for value in values]
    records = [{"path": "/api", "query": {}, "status": 200, "at": "2026-01-01T00:00:00", "body": b} for b in bodies]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    store.write_file(name, zstandard.ZstdCompressor().compress(lines.encode()))


def landed(store: Store, name: str) -> str:
    return zstandard.ZstdDecompressor().stream_reader(store.read_file(name)).read().decode()


def test_landing_forgets_as_well(root: Store) -> None:
    land(
        root,
        LANDED,
        {
            "comments": [
                {"cid": raw(2), "text": "comment 2", "user": {"unique_id": "lunarpost77"}},
                {"cid": raw(9), "text": "comment 9", "user": {"unique_id": "example_viewer_01"}},
            ]
        },
    )
    removal = forget(root, handles=["lunarpost77"])
    assert removal.rows[LANDED] == 1
    assert "lunarpost77" not in landed(root, LANDED)
    assert "example_viewer_01" in landed(root, LANDED)
    assert texts(root) == {"comment 1", "comment 3"}


PERSON = {
    "uid": "6800000000000000001",
    "unique_id": "lunarpost77",
    "nickname": "Velda Quorn 🌸",
    "sec_uid": "MS4wLjABAAAA9f",
}
OTHER = {"uid": "6800000000000000002", "unique_id": "example_viewer_01", "nickname": "Sam"}
REPLY = {
    "cid": raw(9),
    "text": "so true @LunarPost77, ask velda quorn or ＬＵＮＡＲＰＯＳＴ77!",
    "user": OTHER,
    "reply_id": raw(2),
    "reply_to_username": "Velda Quorn 🌸",
    "text_extra": [{"type": 0, "user_id": PERSON["uid"], "sec_uid": PERSON["sec_uid"], "userUniqueId": "lunarpost77"}],
    "share_info": {"url": f"https://m.tiktok.com/v/1.html?comment_author_id={PERSON['uid']}&share_comment_id={raw(2)}"},
}


def test_what_others_wrote_to_and_of_somebody_stays_without_the_name(root: Store) -> None:
    land(root, LANDED, {"comments": [{"cid": raw(2), "text": "mine", "user": PERSON}]}, {"comments": [REPLY]})

    removal = forget(root, handles=["@LunarPost77"])

    left = landed(root, LANDED)
    for trace in ("lunarpost77", "velda", "ＬＵＮＡＲ".casefold(), PERSON["uid"], PERSON["sec_uid"].casefold(), raw(2)):
        assert trace not in left.casefold(), trace
    kept = json.loads(json.loads(left.splitlines()[1])["body"])["comments"][0]
    assert kept["text"] == "so true @<USERNAME>, ask <USERNAME> or <USERNAME>!"
    assert (kept["cid"], kept["user"], kept["reply_id"]) == (raw(9), OTHER, None)
    assert removal.names >= 6


@pytest.mark.parametrize(
    "page",
    [
        '<html><a href="/@lunarpost77">me</a>',
        "<script>{'user':'lunarpost77'}</script>",
        "<p>by lunar&#112;ost77</p>",
        "see %40lunarpost77",
        '{"broken": "\\u006cunarpost77',
        f"<i data-cid={raw(2)}>",
        "<p>a long text that only this person wrote</p>",
    ],
)
def test_a_page_that_is_no_json_goes_if_it_holds_any_of_it(root: Store, page: str) -> None:
    wrote = {"cid": raw(2), "text": "a long text that only this person wrote", "user": {"unique_id": "lunarpost77"}}
    land(root, LANDED, {"comments": [wrote]}, page, "<p>of somebody else</p>")
    root.write_file("private/landing/pages/v3.html", page.encode())
    root.write_file("private/landing/pages/v4.html", b"<p>of somebody else</p>")

    removal = forget(root, handles=["lunarpost77"])

    assert removal.files == ["private/landing/pages/v3.html"]
    assert root.exists("private/landing/pages/v4.html")
    left = [json.loads(line)["body"] for line in landed(root, LANDED).splitlines()]
    assert left == ['{"comments": []}', "<p>of somebody else</p>"]


def test_a_video_kept_in_the_pages_of_others_goes(root: Store) -> None:
    tag = "private/landing/web/tags/0123456789abcdef/x.0001.page.jsonl.zst"
    mine, other = (
        {"id": f"767940259039988940{n}", "desc": "x", "author": {"uniqueId": who}}
        for n, who in enumerate(("mona_vex", "b_c"))
    )
    land(root, tag, {"itemList": [mine, other]}, mine, [mine["id"], other["id"]])
    links = "private/landing/published/creators.jsonl"
    root.write_file(links, b'{"id": "77", "author": "mona_vex"}\n{"id": "78", "author": "b_c"}\n')

    forget(root, handles=["mona_vex"])

    left = [json.loads(json.loads(line)["body"]) for line in landed(root, tag).splitlines()]
    assert left == [{"itemList": [other]}, [other["id"]]]
    assert root.read_file(links) == b'{"id": "78", "author": "b_c"}\n'
    assert {mine["id"], "77"} <= Forgotten.of(root).videos


def test_a_forgotten_video_is_not_collected_again(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "root"), DatasetConfig(name="x", n_shards=2, source=WebSource()))
    store.key()
    video = "7679402590399889401"
    Landing(store).add_links([video], "first")
    assert [target.video_id for target in Web(WebSource()).pending_videos(store)] == [video]

    forget(store, video_ids=[video])
    Landing(store).add_links([video], "again")

    assert Web(WebSource()).pending_videos(store) == []


def test_a_name_that_is_an_ordinary_word_takes_no_one_elses_words(root: Store) -> None:
    land(root, LANDED, {"comments": [{"cid": raw(9), "text": "i love you @love", "user": OTHER}]})
    forget(root, handles=["love"])
    assert "i love you @<USERNAME>" in landed(root, LANDED)


def test_tables_lose_the_name_where_others_wrote_it(root: Store) -> None:
    shard = root.shard_of("v1")
    rows = root.read("comments", shard)
    place = rows.column_names.index("text")
    told = pa.array(["as KAI.river9 said"] * rows.num_rows)
    root.write("comments", shard, rows.set_column(place, "text", told))

    forget(root, handles=["kai.river9"])

    assert texts(root) == {"as <USERNAME> said"}
    assert "kai" not in "".join(texts(root)).casefold()


def test_a_text_without_a_name_stays_byte_for_byte(root: Store) -> None:
    eraser = LandingEraser(remember(root, Request(handles=frozenset({"kai.river9"}))))
    assert eraser.text(r"caf\u00e9 \ud83d stays") == r"caf\u00e9 \ud83d stays"
    assert eraser.text(r"caf\u00e9 \ud83d of KAI.river9") == "café \N{REPLACEMENT CHARACTER} of <USERNAME>"


def test_what_it_can_not_clean_is_named(root: Store, tmp_path: Path) -> None:
    root.write_file("logs/run.log", b"failed for Kai.River9\n")
    root.write_file("logs/other.log", b"failed for somebody\n")
    root.write_file("private/logs/tables-KeyError.txt", f"in {raw(3)}\n".encode())
    root.write_file("models/first/run.json", b"{}")
    root.write_file("release/README.md", b"a release")
    (tmp_path / "worker.log").write_text("took kai.river9 in")

    source = source_of(read_config(root).source)
    left = forget(root, handles=["kai.river9"], also=[tmp_path / "worker.log"], source=source).left

    holding = [sentence.split(" ", 1)[0] for sentence in left if "still holds a name or an id" in sentence]
    assert holding == [str(tmp_path / "worker.log"), "logs/run.log", "private/logs/tables-KeyError.txt"]
    assert "models/first was trained before this and can't be cleaned: train it again, or delete it." in left
    assert any(sentence.startswith("release/ was made before this") for sentence in left)
    assert any("2 rows of its lists are of it or name it" in sentence for sentence in left)
    assert len(left) == 6
    assert "kai" not in "".join(left).casefold()


def test_killed_half_way_it_finishes(root: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "private/landing/web/videos/0000/v9/x.done.jsonl.zst"
    land(root, name, {"comments": [{"cid": raw(3), "text": "only landing knows whose", "user": PERSON}]})
    written, real = [], Store.write_file

    def dies_after_landing(store: Store, relative: str, data: bytes) -> None:
        real(store, relative, data)
        written.append(relative)
        if relative == name:
            raise KeyboardInterrupt

    monkeypatch.setattr(Store, "files", lambda store, prefix="": sorted(_files(store, prefix), reverse=True))
    monkeypatch.setattr(Store, "write_file", dies_after_landing)
    with pytest.raises(KeyboardInterrupt):
        forget(root, handles=["lunarpost77"])
    monkeypatch.setattr(Store, "write_file", real)
    assert "comment 3" in texts(root)

    forget(root, handles=["lunarpost77"])

    assert "comment 3" not in texts(root)


_files = Store.files


def test_killed_before_a_page_is_reached_it_still_knows_what_the_page_holds(
    root: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrote = {"cid": raw(2), "text": "a long text that only this person wrote", "user": {"unique_id": "lunarpost77"}}
    land(root, LANDED, {"comments": [wrote]})
    page = "private/landing/z.html"
    root.write_file(page, b"<p>a long text that only this person wrote</p>")
    real = Store.write_file

    def dies_after_landing(store: Store, relative: str, data: bytes) -> None:
        real(store, relative, data)
        if relative == LANDED:
            raise KeyboardInterrupt

    monkeypatch.setattr(Store, "write_file", dies_after_landing)
    with pytest.raises(KeyboardInterrupt):
        forget(root, handles=["lunarpost77"])
    monkeypatch.setattr(Store, "write_file", real)

    forget(root, handles=["lunarpost77"])

    assert not root.exists(page)


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
    source = read_config(root).source
    assert isinstance(source, FolderSource)
    for shard in root.shards():
        root.remove(f"comments/{shard:04d}.parquet")
    key = load_key(root)
    assert key is not None
    ingest(root, source_of(source), read_config(root).scrub, key)
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


# ---------------------------------------------------------------------- what comes later


def build_again(root: Store, comments: list[dict[str, str]]) -> None:
    """Ingest a folder whose list of comments is another one."""
    source = read_config(root).source
    assert isinstance(source, FolderSource)
    (Path(source.path) / "comments.jsonl").write_text("".join(json.dumps(row) + "\n" for row in comments))
    key = load_key(root)
    assert key is not None
    ingest(root, source_of(source), read_config(root).scrub, key)


def test_the_rows_deleted_from_the_folder_the_name_stays_away(root: Store) -> None:
    forget(root, handles=["kai.river9"])
    told = _comment(2, "v1", "lunarpost77") | {"text": f"as kai.river9 said in {raw(1)}", "reply_to": raw(1)}

    build_again(root, [told])

    assert texts(root) == {"as <USERNAME> said in 0"}
    row = root.read_all("comments").to_pylist()[0]
    assert row["reply_to"] is None
    assert row["pii"] == ["USERNAME"]


def test_what_a_forgotten_account_writes_later_stays_out(root: Store) -> None:
    forget(root, handles=["kai.river9", "mona_vex"])
    source = read_config(root).source
    assert isinstance(source, FolderSource)
    (Path(source.path) / "v3.mp4").write_bytes(b"a new video")
    with (Path(source.path) / "videos.jsonl").open("a") as file:
        file.write(json.dumps({"video": "v3", "creator": "@Mona_Vex"}) + "\n")

    build_again(
        root,
        [
            _comment(2, "v1", "lunarpost77"),
            _comment(7, "v1", "@KAI.river9"),
            _comment(8, "v3", "lunarpost77"),
            _comment(9, "v1", "kai.river99"),
        ],
    )

    assert texts(root) == {"comment 2", "comment 9"}
    assert root.read_all("videos")["video_id"].to_pylist() == ["v1"]


def test_what_lands_of_a_forgotten_person_leaves_landing_as_well(root: Store) -> None:
    forget(root, handles=["lunarpost77"])
    land(
        root,
        LANDED,
        {
            "comments": [
                {
                    "cid": raw(8),
                    "text": "a new one",
                    "user": {"unique_id": "LunarPost77", "uid": "6800000000000000001"},
                },
                {"cid": raw(9), "text": "hello @lunarpost77", "user": {"unique_id": "example_viewer_01"}},
            ]
        },
    )
    source = source_of(read_config(root).source)

    collect(root, source, Reach())

    assert "unarPost77" not in landed(root, LANDED)
    assert "lunarpost77" not in landed(root, LANDED)
    assert "example_viewer_01" in landed(root, LANDED)
    gone = Forgotten.of(root)
    assert gone.is_forgotten_comment(raw(8))
    assert gone.is_forgotten_person("6800000000000000001")
    before = root.read_file(LANDED)
    assert forget_again(root) is None
    assert root.read_file(LANDED) == before


def test_the_account_counts_under_any_handle(root: Store) -> None:
    renamed = PERSON | {"unique_id": "new_lunar_9", "nickname": "Velda"}
    land(root, LANDED, {"comments": [{"cid": raw(2), "text": "mine", "user": PERSON}]})
    land(root, LANDED.replace("v1", "v2"), {"comments": [{"cid": raw(3), "text": "mine too", "user": renamed}]})

    forget(root, handles=["lunarpost77"])

    assert texts(root) == {"comment 1"}
    gone = Forgotten.of(root)
    assert gone.is_forgotten_person("somebody_new", PERSON["uid"])
    assert gone.is_forgotten_person("@New_Lunar_9")
    assert not gone.is_forgotten_person("Velda Quorn 🌸", "", None)
    assert not gone.is_forgotten_person(OTHER["unique_id"], OTHER["uid"])


def test_a_healed_key_changes_nothing_for_raw_ids(root: Store) -> None:
    forget(root, comment_ids=[raw(1)])
    request = json.loads(root.read_file(root.files("private/forgotten")[0]))
    key = load_key(root)
    assert key is not None
    assert request["pseudonym_key"] == key_fingerprint(key)

    other = Pseudonymiser(SecretStr("another key, as long as needed"))
    gone = Forgotten.of(root)
    assert not gone.is_forgotten_comment(other.comment_id(raw(1)))
    assert gone.is_forgotten_comment(raw(1))
    assert gone.is_forgotten_comment(Pseudonymiser(key).comment_id(raw(1)))


def test_a_request_names_nobody(root: Store) -> None:
    land(root, LANDED, {"comments": [{"cid": raw(2), "text": "mine", "user": PERSON}]})
    forget(root, handles=["lunarpost77"])

    kept = b"".join(root.read_file(name) for name in root.files("private/forgotten")).decode().casefold()
    assert '"handle"' in kept
    for name in ("lunarpost", "velda", PERSON["uid"], PERSON["sec_uid"].casefold()):
        assert name not in kept
    assert Path(root.path("private/forget.key")).stat().st_mode & 0o777 == 0o600


def test_a_damaged_request_is_noticed(root: Store) -> None:
    forget(root, comment_ids=[raw(1)])
    name = root.files("private/forgotten")[0]
    root.write_file(name, root.read_file(name).replace(b"format", b"formal"))
    elsewhere = Path(root.root).rename(Path(root.root).with_name("moved"))
    with pytest.raises(CsmvError, match="is a request to forget and is damaged"):
        Forgotten.of(Store(str(elsewhere)))


def test_without_the_key_of_the_requests_nothing_goes_on(root: Store) -> None:
    forget(root, comment_ids=[raw(1)])
    root.remove("private/forget.key")
    with pytest.raises(CsmvError, match="put it back from a copy"):
        forget(root, comment_ids=[raw(2)])


def test_what_was_forgotten_in_format_1_stays_forgotten(root: Store) -> None:
    key = load_key(root)
    assert key is not None
    first = Pseudonymiser(key).comment_id(raw(1))
    root.write_file("private/forgotten.json", json.dumps({"comments": [first], "videos": ["v2"]}).encode())
    forget(root, comment_ids=[raw(2)])

    build_again(root, [_comment(n, f"v{2 - n % 2}", "x") for n in range(1, 4)] + [_comment(4, "v2", "x")])

    assert Forgotten.of(root).videos == {"v2"}
    assert texts(root) == {"comment 3"}


# ---------------------------------------------------------------------- what is not known


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"handles": ["nobody.here"]}, "What is to be forgotten is not known"),
        ({"comment_ids": ["7679404102220000000"]}, "What is to be forgotten is not known"),
        ({"video_ids": ["7679404102220000000"]}, "What is to be forgotten is not known"),
        ({"handles": ["comment"]}, "What is to be forgotten is not known"),
        ({"handles": ["kai.river9", "nobody.here"], "video_ids": ["v1", "v9"]}, "2 of the 4 ids and handles given"),
    ],
)
def test_what_is_unknown_is_an_error_and_nothing_is_done(root: Store, asked: dict[str, list[str]], told: str) -> None:
    before = {name: root.read_file(name) for name in root.files()}
    with pytest.raises(CsmvError, match=told) as error:
        forget(root, **asked)  # type: ignore[arg-type]
    assert "nobody" not in str(error.value)
    assert {name: root.read_file(name) for name in root.files()} == before


def test_what_is_unknown_can_be_kept_out(root: Store) -> None:
    forget(root, comment_ids=[raw(7)], video_ids=["v3"], handles=["nobody.here"], even_unknown=True)
    build_again(root, [_comment(2, "v1", "a"), _comment(7, "v1", "b"), _comment(8, "v1", "@Nobody.Here")])
    assert texts(root) == {"comment 2"}
    assert Forgotten.of(root).is_forgotten_video("v3")


def test_an_account_that_is_only_mentioned_is_known(root: Store) -> None:
    land(root, LANDED, {"comments": [{"cid": raw(9), "text": "ask @far.away77", "user": OTHER}]})
    assert forget(root, handles=["far.away77"]).names == 1
    assert "far.away77" not in landed(root, LANDED)


# ---------------------------------------------------------------------- everything else in a root


def test_predictions_parts_caches_and_failures_lose_it(root: Store) -> None:
    key = load_key(root)
    assert key is not None
    ids = [Pseudonymiser(key).comment_id(raw(n)) for n in (1, 3)]
    predictions = pa.table({"comment_id": ids, "video_id": ["v1", "v2"], "split": ["dev", "dev"]})
    predictions = predictions.replace_schema_metadata({"classes": "positive, neutral, negative"})
    root.write_file("models/first/predictions.parquet", parquet_bytes(predictions))
    part = parquet_bytes(features_of(["v1", "v2"]))
    folder = f"private/parts/features/i3d/{root.shard_of('v2'):04d}"
    root.write_file(f"{folder}/{hashlib.sha256(part).hexdigest()}.parquet", part)
    root.write_file("private/cache/texts/0001.npy", b"vectors")
    root.write_file("private/partial/0000/v2.mp4.part", b"half a video")
    shard = root.shard_of("v2")
    record_failures(root, "media", shard, [Failure("v2", FailureReason.NETWORK), Failure("v9", FailureReason.NETWORK)])
    features = features_of(["v2", "v9"]).replace_schema_metadata({"extractor": "i3d"})
    root.write("features/i3d", shard, features, SPEC, made_from="these settings")

    removal = forget(root, video_ids=["v2"])

    left = pq.ParquetFile(io.BytesIO(root.read_file("models/first/predictions.parquet"))).read()
    assert left["comment_id"].to_pylist() == ids[:1]
    assert left.schema.metadata == predictions.schema.metadata
    (name,) = root.files(folder)
    data = root.read_file(name)
    assert name == f"{folder}/{hashlib.sha256(data).hexdigest()}.parquet"
    assert pq.ParquetFile(io.BytesIO(data)).read()["video_id"].to_pylist() == ["v1"]
    assert set(removal.files) >= {"private/cache/texts/0001.npy", "private/partial/0000/v2.mp4.part"}
    assert failures_of(root)["media"]["key"].to_pylist() == ["v9"]
    kept = root.read("features/i3d", shard)
    assert kept["video_id"].to_pylist() == ["v9"]
    assert kept.schema.metadata[b"extractor"] == b"i3d"
    assert root.made_from("features/i3d", shard) == "these settings"


def test_a_hashtag_that_is_the_name_goes(root: Store) -> None:
    shard = root.shard_of("v1")
    rows = root.read("videos", shard)
    tags = pa.array([["dance", "kai_river9"]] * rows.num_rows, pa.list_(pa.string()))
    root.write("videos", shard, rows.set_column(rows.column_names.index("hashtags"), "hashtags", tags))
    forget(root, handles=["kai_river9"], even_unknown=True)
    assert root.read("videos", shard)["hashtags"].to_pylist()[0] == ["dance"]


def test_what_lands_while_a_shard_is_written_is_settled_after(root: Store) -> None:
    key = load_key(root)
    assert key is not None
    shard = root.shard_of("v1")
    relative = f"comments/{shard:04d}.parquet"
    before = root.read_file(relative)
    forget(root, comment_ids=[raw(1)])
    root.write_file(relative, before)  # by a writer that does not ask

    settle(root, "comments", shard)

    assert "comment 1" not in texts(root)


# ---------------------------------------------------------------------- names known by digest only

NAMES = (
    "kai.river9",
    "Velda Quorn 🌸",
    "love",
    "Sunny Day",
    "John Smith",
    "Łukasz_99",
    "小红书的猫",
    "the",
    "ab",
    "Ｋａｉ",
)
TEXTS = (
    *("as KAI.river9 said", "kai.river99 is another", "kai river9", "kai.river9kai.river9", "velda   quorn!", "Velda"),
    *("i love you @love", "sunny day", "what a Sunny Day", "john smith john", "lukasz_99, ŁUKASZ_99", "say kai"),
    *("我是小红书的猫呢", "the end", "ab", "K\u200bai.river9", "<NOBODY> kai", "", "\ud83d kai.river9", "John\nSmith"),
)


def test_a_digest_finds_what_the_scrubbers_list_of_names_finds(root: Store) -> None:
    gazetteer = Gazetteer(NAMES)
    gone = remember(root, Request(names=frozenset(NAMES)))
    for text in TEXTS:
        assert gone.traces.count(text) == gazetteer.count(text), text
    assert sum(map(gazetteer.count, TEXTS)) == 9


def test_a_handle_that_is_a_word_goes_behind_an_at_only(root: Store) -> None:
    gone = remember(root, Request(handles=frozenset({"the", "love"})))
    assert gone.clean(["the love of @The, @love.", "@lovely @love.me @thé"]) == [
        ("the love of @<USERNAME>, @<USERNAME>.", 2),
        ("@lovely @love.me @<USERNAME>", 1),
    ]


def test_a_cleaned_text_stays_as_it_is(root: Store) -> None:
    gone = remember(root, Request(handles=frozenset({"username", "kai.river9", "user_name"})))
    once = gone.clean(["@username user_name kai.river9 <USERNAME:0123456789ab>"])[0][0]
    assert once == "@<USERNAME> <USERNAME> <USERNAME> <USERNAME:0123456789ab>"
    assert gone.clean([once]) == [(once, 0)]


def test_where_nothing_is_forgotten_nothing_is_touched(root: Store) -> None:
    rows = root.read("comments", 0)
    gone = Forgotten.of(root)
    assert gone.digest == ""
    assert gone.applied(rows) is rows
    assert gone.clean(["a"]) == [("a", 0)]


# ---------------------------------------------------------------------- several processes at once


def start(task: str, *arguments: object) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "CSMV_PROGRESS": "0"}
    command = [sys.executable, str(Path(__file__).with_name("forgotten_at_once.py")), task, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def tell(process: "subprocess.Popen[str]") -> None:
    assert process.stdin
    print(file=process.stdin, flush=True)


def heard(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_requests_at_the_same_time_are_all_kept(root: Store) -> None:
    handles = [f"person.number{n}" for n in range(4)]
    processes = [start("remember_when_told", root.root, handle) for handle in handles]
    assert [heard(process) for process in processes] == ["ready"] * 4
    for process in processes:
        tell(process)
    assert [process.wait(300) for process in processes] == [0] * 4

    gone = Forgotten.of(root)
    assert all(gone.is_forgotten_person(handle) for handle in handles), "a request was lost, or another key made it"
    assert len(root.files("private/forgotten")) == 4


def many_comments(root: Store, each: int) -> list[str]:
    """Add comments to the folder source and ingest them; gives their raw ids, of v1 and v2 in turn."""
    source = read_config(root).source
    assert isinstance(source, FolderSource)
    ids = [f"76794041022299{number:05d}" for number in range(2 * each)]
    rows = [{"id": one, "video": f"v{1 + n % 2}", "text": f"comment {one}"} for n, one in enumerate(ids)]
    with (Path(source.path) / "comments.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    key = load_key(root)
    assert key is not None
    ingest(root, source_of(source), read_config(root).scrub, key)
    return ids


def test_forgetting_in_several_processes_forgets_all(root: Store) -> None:
    ids = many_comments(root, 3)
    processes = [start("forget_each", root.root, *ids[n::3]) for n in range(3)]
    assert [process.wait(300) for process in processes] == [0, 0, 0]

    assert texts(root) == {"comment 1", "comment 2", "comment 3"}
    gone = Forgotten.of(root)
    assert all(gone.is_forgotten_comment(one) for one in ids)


def test_forgetting_beside_a_writer_leaves_nothing(root: Store, tmp_path: Path) -> None:
    ids = many_comments(root, 3)
    media = media_path(root.shard_of("v2"), "v2")
    root.write_file(media, b"video")
    done = tmp_path / "done"
    writer = start("write_in_a_loop", root.root, done)
    assert heard(writer) == "wrote"

    forget(root, video_ids=["v2"])
    for one in [*ids[::2], raw(2)]:
        forget(root, comment_ids=[one])
    done.touch()
    assert writer.stdout and writer.stdout.read().count("wrote") > 5
    assert writer.wait(300) == 0

    assert texts(root) == {"comment 1"}
    assert root.read_all("features/i3d")["video_id"].to_pylist() == ["v1"]
    assert not root.exists(media)


@pytest.mark.parametrize("task", ["write_slowly", "forget_slowly"])
def test_a_write_that_began_before_a_request_brings_nothing_back(root: Store, task: str) -> None:
    slow = start(task, root.root, root.shard_of("v1") if task == "write_slowly" else raw(2))
    assert heard(slow) == "about to write"
    forget(root, comment_ids=[raw(1)])
    assert "comment 1" not in texts(root)
    tell(slow)
    assert slow.wait(300) == 0
    assert texts(root) == {"comment 2", "comment 3"} - ({"comment 2"} if task == "forget_slowly" else set())


def test_another_process_on_s3_knows_of_a_request_at_once(s3_bucket: str) -> None:
    root = f"{s3_bucket}/forgotten"
    watcher = start("watch", root, "kai.river9")
    tell(watcher)
    assert heard(watcher) == "False"

    remember(Store(root), Request(handles=frozenset({"kai.river9"})))
    tell(watcher)
    assert heard(watcher) == "True"
    watcher.communicate()

    key = Store(root).read_file("private/forget.key")
    assert not Store(root).create_file("private/forget.key", b"another")
    assert Store(root).read_file("private/forget.key") == key


# ---------------------------------------------------------------------- killed

KILLS = 20
SAID = "a long text that only this person wrote"


def full_root(root: Store) -> None:
    """Put something of everything into a root, and of one person into most of it."""
    key = load_key(root)
    assert key is not None
    mine = {"cid": raw(2), "text": SAID, "user": PERSON}
    for number in range(4):
        page = {"comments": [mine, REPLY | {"cid": raw(20 + number)}]}
        land(root, LANDED.replace("v1", f"w{number}"), page, "<p>of somebody else</p>", f"<p>{SAID}</p>")
        root.write_file(f"private/landing/pages/a{number}.html", f"<p>{SAID}, page {number}</p>".encode())
        root.write_file(f"private/landing/pages/z{number}.html", f"<p>{SAID}, page {number}</p>".encode())
    ids = [Pseudonymiser(key).comment_id(raw(n)) for n in (1, 2, 3)]
    split = pa.table({"comment_id": ids, "video_id": ["v1", "v1", "v2"], "split": ["train", "dev", "test"]})
    root.write_split("mine", split)
    for run in ("first", "second"):
        root.write_file(f"models/{run}/predictions.parquet", parquet_bytes(split))
    for video in ("v1", "v2"):
        shard = root.shard_of(video)
        root.write("features/i3d", shard, features_of([video]), SPEC)
        root.write_file(media_path(shard, video), b"video")
    for n in range(3):
        root.write_file(f"private/cache/{n}.npy", b"cached")
    # The key is made now, and is then the same for all copies.
    forget(root, handles=["somebody.else.entirely"], even_unknown=True)


def contents(root: Path) -> dict[str, bytes]:
    """The bytes of every file, but of what says when and by how many."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.relative_to(root).parts[0] not in ("history", "manifest")
    }


def test_killed_twenty_times_it_ends_in_the_same_bytes(root: Store, tmp_path: Path) -> None:
    full_root(root)
    forgetter = start("fork_forgets", "lunarpost77", "mona_vex")

    def fork(copy: Path) -> int:
        assert forgetter.stdin
        print(copy, file=forgetter.stdin, flush=True)
        return int(heard(forgetter))

    whole = shutil.copytree(root.root, tmp_path / "whole")
    fork(whole)
    began = time.monotonic()
    assert heard(forgetter) == "done"
    duration = time.monotonic() - began
    expected = contents(whole)
    assert not any(b"lunarpost77" in data or SAID.encode() in data for data in expected.values())
    chance = random.Random(20)

    kills = copies = 0
    while kills < KILLS:
        copies += 1
        copy = shutil.copytree(root.root, tmp_path / f"killed-{copies}")
        outcome = ""
        while outcome != "done":
            pid = fork(copy)
            if kills < KILLS:
                time.sleep(chance.uniform(0, duration))
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            outcome = heard(forgetter)
            assert outcome in ("done", "killed")
            kills += outcome == "killed"

        assert contents(copy) == expected
    forgetter.communicate()


@pytest.mark.parametrize(("body", "met"), [({"author": "somebody"}, True), ({"somebody": "else"}, False)])
def test_a_handle_that_stands_in_a_body_of_escaped_json_is_one_that_was_met(body: dict[str, str], met: bool) -> None:
    asked = Wanted(handles={"somebody"})
    record = json.dumps({"path": "/x", "body": json.dumps(body)})

    forget_landing._Asked(asked).look("private/landing/web/visit.jsonl", record.encode())

    assert asked.known == ({"somebody"} if met else set())
