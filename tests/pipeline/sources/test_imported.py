"""What other tools collected becomes the same dataset, whichever tool it was; nobody's name leaves `private/`."""

import csv
import io
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from csmv.pipeline.config import DatasetConfig, create_root, read_config
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.import_crawl import ImportedCrawl, import_crawl
from csmv.pipeline.media.media_shard import media_shard
from csmv.pipeline.sources.collect_settings import WebSource
from csmv.pipeline.sources.others_records import FORMATS, format_of
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.store import Store

KEY = "6b" * 32
BEGAN = 1_700_000_000


@pytest.fixture(autouse=True)
def _one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSMV_PSEUDONYM_KEY", KEY)


def items_of(videos: int) -> list[dict[str, Any]]:
    """Videos as the site shapes them; every person is invented."""
    return [
        {
            "id": str(7_300_000_000_000_000_000 + n),
            "desc": f"clip {n} #nba #tag{n % 7}",
            "createTime": BEGAN + 3600 * n,
            "author": {"id": str(6_900_000_000_000_000_000 + n % 50), "uniqueId": f"invented_creator_{n % 50:03d}"},
            "challenges": [{"title": "nba"}, {"title": f"tag{n % 7}"}],
            "stats": {"commentCount": 10, "diggCount": 5 * n, "playCount": 100 * n, "shareCount": n},
        }
        for n in range(videos)
    ]


def comments_of(items: list[dict[str, Any]], each: int) -> list[dict[str, Any]]:
    """Comments in the site's shape; every third answers the one before it."""
    return [
        {
            "cid": str(7_100_000_000_000_000_000 + 1000 * n + k),
            "aweme_id": item["id"],
            "text": f"so good, number {k} 😀",
            "create_time": item["createTime"] + 60 * k,
            "digg_count": k,
            "reply_comment_total": 0,
            "reply_id": str(7_100_000_000_000_000_000 + 1000 * n + k - 1) if k % 3 == 2 else "0",
            "user": {"uid": str(6_800_000_000_000_000_000 + 13 * k), "unique_id": f"invented_viewer_{k:03d}"},
        }
        for n, item in enumerate(items)
        for k in range(each)
    ]


def lines(records: list[Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def zeeschuimer(folder: Path, items: list[Any], comments: list[Any]) -> list[Path]:
    def wrapped(platform: str, record: Any, key: str) -> dict[str, Any]:
        return {"nr": 1, "source_platform": platform, "item_id": record[key], "data": record}

    (folder / "v.ndjson").write_text(lines([wrapped("tiktok.com", item, "id") for item in items]))
    (folder / "c.ndjson").write_text(lines([wrapped("tiktok-comments", one, "cid") for one in comments]))
    return [folder / "v.ndjson", folder / "c.ndjson"]


def fourcat(folder: Path, items: list[Any], comments: list[Any]) -> list[Path]:
    meta = {"__import_meta": {"source_platform": "tiktok.com"}}
    (folder / "4cat.ndjson").write_text(lines([record | meta for record in (*items, *comments)]))
    return [folder / "4cat.ndjson"]


def tiktok_api(folder: Path, items: list[Any], comments: list[Any]) -> list[Path]:
    (folder / "videos.json").write_text(json.dumps(items, indent=1))
    (folder / "comments.json").write_text(json.dumps({"comments": comments}))
    return [folder / "videos.json", folder / "comments.json"]


def fourcat_csv(folder: Path, items: list[Any], comments: list[Any]) -> list[Path]:
    def written(name: str, rows: list[dict[str, Any]]) -> Path:
        out = io.StringIO()
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        (folder / name).write_text(out.getvalue())
        return folder / name

    def moment(seconds: int) -> str:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")

    videos = [
        {
            "id": item["id"],
            "thread_id": item["id"],
            "author": item["author"]["uniqueId"],
            "author_id": item["author"]["id"],
            "body": item["desc"],
            "timestamp": moment(item["createTime"]),
            "tiktok_url": f"https://tiktok.com/@x/video/{item['id']}",
            "likes": item["stats"]["diggCount"],
            "comments": item["stats"]["commentCount"],
            "shares": item["stats"]["shareCount"],
            "plays": item["stats"]["playCount"],
        }
        for item in items
    ]
    remarks = [
        {
            "id": one["cid"],
            "thread_id": one["aweme_id"],
            "author": one["user"]["unique_id"],
            "author_id": one["user"]["uid"],
            "body": one["text"],
            "timestamp": moment(one["create_time"]),
            "post_url": f"https://www.tiktok.com/@x/video/{one['aweme_id']}",
            "likes": one["digg_count"],
            "replies": 0,
            "parent_id": "" if one["reply_id"] == "0" else one["reply_id"],
        }
        for one in comments
    ]
    return [written("videos.csv", videos), written("comments.csv", remarks)]


def ytdlp(folder: Path, items: list[Any], comments: list[Any]) -> list[Path]:
    under: dict[str, list[Any]] = {}
    for one in comments:
        under.setdefault(one["aweme_id"], []).append(one)
    infos = [
        {
            "id": item["id"],
            "extractor_key": "TikTok",
            "description": item["desc"],
            "timestamp": item["createTime"],
            "uploader": item["author"]["uniqueId"],
            "uploader_id": item["author"]["id"],
            "like_count": item["stats"]["diggCount"],
            "view_count": item["stats"]["playCount"],
            "comment_count": item["stats"]["commentCount"],
            "repost_count": item["stats"]["shareCount"],
            "comments": [
                {
                    "id": one["cid"],
                    "parent": "root" if one["reply_id"] == "0" else one["reply_id"],
                    "text": one["text"],
                    "author": one["user"]["unique_id"],
                    "author_id": one["user"]["uid"],
                    "like_count": one["digg_count"],
                    "timestamp": one["create_time"],
                }
                for one in under[item["id"]]
            ],
        }
        for item in items
    ]
    (folder / "first.info.json").write_text(json.dumps(infos[0], indent=2))
    (folder / "rest.jsonl").write_text(lines(infos[1:]))
    return [folder / "first.info.json", folder / "rest.jsonl"]


def research(folder: Path, items: list[Any], comments: list[Any]) -> list[Path]:
    videos = [
        {
            "id": int(item["id"]),
            "video_description": item["desc"],
            "create_time": item["createTime"],
            "username": item["author"]["uniqueId"],
            "hashtag_names": [tag["title"] for tag in item["challenges"]],
            "like_count": item["stats"]["diggCount"],
            "view_count": item["stats"]["playCount"],
            "comment_count": item["stats"]["commentCount"],
            "share_count": item["stats"]["shareCount"],
        }
        for item in items
    ]
    remarks = [
        {
            "id": int(one["cid"]),
            "video_id": int(one["aweme_id"]),
            "text": one["text"],
            "create_time": one["create_time"],
            "like_count": one["digg_count"],
            "parent_comment_id": int(one["aweme_id"] if one["reply_id"] == "0" else one["reply_id"]),
        }
        for one in comments
    ]
    (folder / "videos.json").write_text(json.dumps({"data": {"videos": videos, "has_more": False}, "error": {}}))
    (folder / "comments.json").write_text(json.dumps({"data": {"comments": remarks}}))
    return [folder / "videos.json", folder / "comments.json"]


TOOLS: dict[str, Callable[[Path, list[Any], list[Any]], list[Path]]] = {
    "zeeschuimer": zeeschuimer,
    "4cat": fourcat,
    "tiktok-api": tiktok_api,
    "4cat csv": fourcat_csv,
    "yt-dlp": ytdlp,
    "research-api": research,
}
OF_VIDEOS = ("video_id", "url", "description", "hashtags", "created_at", "comment_count", "like_count", "play_count")
OF_COMMENTS = ("comment_id", "video_id", "text", "like_count", "reply_to", "created_on", "kind")


def imported(folder: Path, tool: str, items: list[Any], comments: list[Any]) -> tuple[ImportedCrawl, Store]:
    place = folder / tool.replace(" ", "-")
    place.mkdir()
    root = str(folder / f"{place.name}-root")
    return import_crawl(root, TOOLS[tool](place, items, comments), {}, 3), Store.open(root)


@pytest.mark.parametrize("size", [(20, 5), pytest.param((500, 10), marks=pytest.mark.slow)], ids=str)
def test_every_tools_files_are_the_same_dataset(tmp_path: Path, size: tuple[int, int]) -> None:
    items = items_of(size[0])
    comments = comments_of(items, size[1])
    planted = [one["author"]["uniqueId"] for one in items] + [one["user"]["unique_id"] for one in comments]
    tables: dict[str, Any] = {}
    for tool in TOOLS:
        done, store = imported(tmp_path, tool, items, comments)
        assert (done.videos, done.comments, done.report.rejected) == (len(items), len(comments), {}), tool
        videos, rows = store.read_all("videos"), store.read_all("comments")
        tables[tool] = (videos.select(OF_VIDEOS), rows.select(OF_COMMENTS))
        if tool != "research-api":  # which names no commenter, and no creator's number
            tables[f"{tool}, people"] = (videos.select(["creator"]), rows.select(["author"]))
        for name in store.files():
            if not name.startswith("private/"):
                data = store.read_file(name)
                assert not [one for one in set(planted) if one.encode() in data], name
    for what, table in tables.items():
        first = tables["zeeschuimer, people" if what.endswith("people") else "zeeschuimer"]
        assert table[0].equals(first[0]) and table[1].equals(first[1]), what


@pytest.mark.parametrize("tool", list(TOOLS))
def test_the_format_is_found_from_the_content(tmp_path: Path, tool: str) -> None:
    items = items_of(3)
    found = {format_of(path) for path in TOOLS[tool](tmp_path, items, comments_of(items, 2))}
    assert found == {tool.removesuffix(" csv")}
    assert found <= set(FORMATS)


def test_more_files_are_added_and_what_cannot_be_used_is_told(tmp_path: Path) -> None:
    items = items_of(4)
    comments = comments_of(items, 3)
    root = str(tmp_path / "root")
    videos, remarks = zeeschuimer(tmp_path, items[:2], comments)
    done = import_crawl(root, [remarks], {}, 2)
    assert (done.videos, done.comments) == (4, 12), "videos that only their comments name"
    assert import_crawl(root, [videos], {}, None).videos == 4
    assert Store.open(root).read_all("videos")["description"].to_pylist().count(None) == 2
    broken = items[3] | {"id": "no id"}
    good = {"data": items[2], "source_platform": "tiktok.com", "item_id": "1"}
    records = [{"data": broken, "source_platform": "x"}, {"x": 1}, good]
    (tmp_path / "more.ndjson").write_text("{broken\n" + lines(records))
    done = import_crawl(root, [tmp_path / "more.ndjson"], {"format": "zeeschuimer"}, None)
    assert done.report.videos == 1 and done.report.rejected.total() == 3
    assert Store.open(root).read_all("failures/collect").num_rows == 3
    again = import_crawl(root, [tmp_path / "more.ndjson", videos], {}, None)
    assert again.report.landed == 0, "a file is read once"
    (tmp_path / "text.json").write_text('{"nothing": "here"}')
    with pytest.raises(CsmvError, match="nothing in it looks like a video or a comment of zeeschuimer, 4cat"):
        import_crawl(root, [tmp_path / "text.json"], {}, None)


@pytest.mark.parametrize("mark", ["privateItem", "secret", "forFriend"])
@pytest.mark.parametrize("order", ["videos first", "comments first"])
def test_what_is_not_public_has_no_row_whichever_file_comes_first(tmp_path: Path, mark: str, order: str) -> None:
    items = items_of(3)
    items[1] |= {mark: True}
    files = zeeschuimer(tmp_path, items, comments_of(items, 2))
    root = str(tmp_path / "root")
    for path in files if order == "videos first" else reversed(files):
        import_crawl(root, [path], {}, 2)
    store = Store.open(root)
    assert sorted(store.read_all("videos")["video_id"].to_pylist()) == [items[0]["id"], items[2]["id"]]
    assert items[1]["id"] not in store.read_all("comments")["video_id"].to_pylist()
    failures = {row["key"]: row["reason"] for row in store.read_all("failures/tables").to_pylist()}
    assert failures[items[1]["id"]] == "not_public"


def test_files_in_other_encodings_and_shapes_lose_nothing(tmp_path: Path) -> None:
    items = items_of(2)
    comments = comments_of(items, 2)
    [videos, remarks] = zeeschuimer(tmp_path, items, comments)
    videos.write_bytes(videos.read_text().encode("utf-16"))
    whole = items[0] | {"comments": comments[:2]}
    (tmp_path / "nested.json").write_text(json.dumps([{"video": items[1], "comments": comments[2:]}, whole]))
    for number, files in enumerate(([videos, remarks], [tmp_path / "nested.json"])):
        done = import_crawl(str(tmp_path / f"root{number}"), files, {}, 2)
        assert (done.videos, done.comments) == (2, 4), files
        described = Store.open(str(tmp_path / f"root{number}")).read_all("videos")["description"].to_pylist()
        assert sorted(described) == ["clip 0 #nba #tag0", "clip 1 #nba #tag1"]


@pytest.mark.parametrize("wanted", ["auto", "zeeschuimer"])
def test_a_file_that_gives_nothing_leaves_no_trace_in_the_root(tmp_path: Path, wanted: str) -> None:
    items = items_of(2)
    root = str(tmp_path / "root")
    good = zeeschuimer(tmp_path, items, comments_of(items, 1))
    import_crawl(root, good, {}, 1)
    (tmp_path / "bad.json").write_text('{"nothing": "here"}')
    with pytest.raises(CsmvError):
        import_crawl(root, [tmp_path / "bad.json"], {"format": wanted}, None)
    store = Store.open(root)
    source = source_of(read_config(store).source)
    assert len(source.section.files) == 2
    assert source.left(store) == 0
    with pytest.raises(CsmvError):
        import_crawl(str(tmp_path / "new"), [tmp_path / "bad.json"], {"format": wanted}, None)
    assert not (tmp_path / "new").exists()


def test_a_table_whose_ids_were_rounded_is_refused(tmp_path: Path) -> None:
    items = items_of(2)
    for row in (comments := comments_of(items, 3)):
        row["cid"] = row["cid"][:15] + "0000"
    files = fourcat_csv(tmp_path, items, comments)
    with pytest.raises(CsmvError, match="has rounded the numbers of the column 'id'"):
        import_crawl(str(tmp_path / "root"), files, {}, 2)


def test_a_crawl_and_an_import_mix_only_where_it_is_asked_for(tmp_path: Path) -> None:
    items = items_of(2)
    files = zeeschuimer(tmp_path, items, comments_of(items, 2))
    root = str(tmp_path / "root")
    create_root(root, DatasetConfig(name="root", n_shards=2, source=WebSource(hashtags=("nba",))))
    with pytest.raises(CsmvError, match="never mixed in one dataset: import into a root of its own, or say --mix"):
        import_crawl(root, files, {}, None)
    assert import_crawl(root, files, {}, None, mix=True).comments == 4
    assert len(read_config(Store.open(root)).source.mixed_with) == 2  # type: ignore[union-attr]


def test_media_that_lie_in_a_folder_are_taken_in(tmp_path: Path, shared_film: Path) -> None:
    items = items_of(2)
    media = tmp_path / "media"
    media.mkdir()
    (media / f"{items[0]['id']}.mp4").write_bytes(shared_film.read_bytes())
    root = str(tmp_path / "root")
    import_crawl(root, zeeschuimer(tmp_path, items, comments_of(items, 1)), {"media": str(media)}, 1)
    store = Store.open(root)
    report = media_shard(store, 0, source_of(read_config(store).source))
    assert (report.done, dict(report.reasons)) == (1, {"missing_file": 1})


@pytest.fixture(scope="session")
def shared_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from csmv.pipeline.demo.sample import make_sample

    return make_sample(tmp_path_factory.mktemp("film"), videos=1, comments_each=1).folder / "sample-01.mp4"


@pytest.mark.slow
def test_killed_at_twenty_moments_the_tables_are_the_same(tmp_path: Path) -> None:
    items = items_of(150)
    files = zeeschuimer(tmp_path, items, comments_of(items, 10))
    import_crawl(str(tmp_path / "whole"), files, {}, 3)
    tables = ("videos", "comments")
    whole = {table: Store.open(str(tmp_path / "whole")).read_all(table) for table in tables}
    draw = random.Random(1)
    root = tmp_path / "killed"
    command = [sys.executable, "-m", "csmv.flows.cli", "import", *map(str, files), "--root", str(root), "--shards", "3"]
    for _ in range(20):
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(0.3, 4.0))
        run.send_signal(signal.SIGKILL)
        run.wait()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    store = Store.open(str(root))
    assert all(store.read_all(table).equals(rows) for table, rows in whole.items())
