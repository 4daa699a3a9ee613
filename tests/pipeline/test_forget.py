"""Forgetting: by original id, by video, by handle; every file it is in, and never back again."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard

from pipeline.collect import ingest
from pipeline.config import DatasetConfig, FolderSource
from pipeline.errors import CsmvError
from pipeline.forget import forget
from pipeline.forget_landing import LandingEraser, Wanted
from pipeline.forgotten import Forgotten
from pipeline.pseudonym import KEY_FILE, KEY_VARIABLE, Pseudonymiser, load_key, load_or_create_key
from pipeline.sources.landing import Landing
from pipeline.sources.registry import source_of
from pipeline.sources.web import Web, WebSource
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
    ingest(store, source_of(source), store.config.scrub, load_or_create_key(store))
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
    load_or_create_key(store)
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


def test_a_text_without_a_name_stays_byte_for_byte() -> None:
    eraser = LandingEraser(Wanted(handles={"kai.river9"}))
    assert eraser.text(r"caf\u00e9 \ud83d stays") == r"caf\u00e9 \ud83d stays"
    assert eraser.text(r"caf\u00e9 \ud83d of KAI.river9") == "café \N{REPLACEMENT CHARACTER} of <USERNAME>"


def test_files_that_it_can_not_rewrite_are_named(root: Store) -> None:
    root.write_file("logs/run.log", b"failed for Kai.River9\n")
    root.write_file("logs/other.log", b"failed for somebody\n")

    assert forget(root, handles=["kai.river9"]).left == ["logs/run.log"]


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
        root.remove(f"comments/{shard:04d}.parquet")
    key = load_key(root)
    assert key is not None
    ingest(root, source_of(source), root.config.scrub, key)
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
