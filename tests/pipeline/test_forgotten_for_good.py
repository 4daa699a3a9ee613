"""Forgotten, deleted at the source, built anew, and then come back: nothing of the person stands outside private/."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from csmv.pipeline.collect import collect, forget_again
from csmv.pipeline.config import DatasetConfig, FolderSource, read_config
from csmv.pipeline.landed_names import extract_names
from csmv.pipeline.privacy.audit import audit
from csmv.pipeline.privacy.forget import forget
from csmv.pipeline.pseudonym import KEY_VARIABLE
from csmv.pipeline.sources.base import Reach, Source
from csmv.pipeline.sources.collect_settings import WebSource
from csmv.pipeline.sources.imported import Imported, ImportSource
from csmv.pipeline.sources.landing import Landing, Record, write_records
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.sources.research import ResearchSource
from csmv.pipeline.sources.research_rounds import comments_place, window_place
from csmv.pipeline.sources.tables import write_tables
from csmv.pipeline.sources.visit import COMMENTS
from csmv.pipeline.sources.walls import DONE
from csmv.pipeline.store import Store

HANDLE, NICKNAME, ACCOUNT = "lunarpost77", "Velda Quorn", "6800000000000000001"
ACCOUNTS = {HANDLE: ACCOUNT, "kai.river9": "6800000000000000002", "mona_vex": "6800000000000000003"}
NICKNAMES = {HANDLE: NICKNAME, "kai.river9": "Kai R", "mona_vex": "Mona V"}
THEIRS, OTHERS, LATER = "7300000000000000001", "7300000000000000002", "7300000000000000003"
START, END = date(2026, 1, 1), date(2026, 1, 5)


@dataclass(frozen=True)
class Video:
    """A video as its site has it."""

    id: str
    creator: str
    description: str = "so good"


@dataclass(frozen=True)
class Comment:
    """A comment as its site has it."""

    id: str
    video: str
    author: str
    text: str


class Site:
    """What a source is read from: it offers videos and comments, and a root takes in what is offered."""

    tells_accounts = True
    """Whether it says more of a person than a handle."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.turn = 0

    def section(self) -> object:
        """The source's section of a configuration."""
        raise NotImplementedError

    def offer(self, store: Store, videos: Sequence[Video], comments: Sequence[Comment]) -> None:
        """Offer this, and nothing else."""
        raise NotImplementedError

    def build(self, store: Store) -> Source:
        """Land what is offered, and make the tables of it."""
        source = self.collected(store)
        write_tables(store, source, read_config(store).scrub, store.key())
        return source

    def collected(self, store: Store) -> Source:
        """The source, what it offers landed by itself."""
        source = source_of(read_config(store).source)
        collect(store, source, Reach())
        return source


class FolderSite(Site):
    tells_accounts = False

    def section(self) -> object:
        return FolderSource(path=str(self.folder))

    def offer(self, store: Store, videos: Sequence[Video], comments: Sequence[Comment]) -> None:
        for film in self.folder.glob("*.mp4"):
            film.unlink()
        for video in videos:
            (self.folder / f"{self.name_of(video)}.mp4").write_bytes(b"never decoded here")
        names = {video.id: self.name_of(video) for video in videos}
        rows = [
            {"video": names[one.id], "creator": one.creator, "description": one.description, "hashtags": ["nba"]}
            for one in videos
        ]
        self.write("videos.jsonl", rows)
        self.write(
            "comments.jsonl",
            [{"id": one.id, "video": names[one.video], "author": one.author, "text": one.text} for one in comments],
        )

    def name_of(self, video: Video) -> str:
        """People name files by who is in them."""
        return f"{video.creator.replace('.', '_')}_{video.id[-1]}"

    def write(self, name: str, rows: list[dict[str, object]]) -> None:
        (self.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def _user(handle: str) -> dict[str, str]:
    return {"uid": ACCOUNTS[handle], "unique_id": handle, "nickname": NICKNAMES[handle]}


def _item(video: Video) -> dict[str, object]:
    author = {"id": ACCOUNTS[video.creator], "uniqueId": video.creator, "nickname": NICKNAMES[video.creator]}
    return {"id": video.id, "desc": video.description, "createTime": 1_700_000_000, "author": author}


def _remark(comment: Comment) -> dict[str, object]:
    user = _user(comment.author)
    return {
        "cid": comment.id,
        "aweme_id": comment.video,
        "text": comment.text,
        "create_time": 1_700_000_100,
        "user": user,
    }


class WebSite(Site):
    def section(self) -> object:
        return WebSource()

    def offer(self, store: Store, videos: Sequence[Video], comments: Sequence[Comment]) -> None:
        self.turn += 1
        for video in videos:
            rows = [_remark(one) for one in comments if one.video == video.id]
            records = [
                Record("/video", json.dumps(_item(video)).encode()),
                Record(COMMENTS, json.dumps({"status_code": 0, "comments": rows, "has_more": 0}).encode()),
            ]
            Landing(store).close_video(video.id, f"2026112{self.turn}T170000000Z-aaaaaa", DONE, records)

    def collected(self, store: Store) -> Source:
        forget_again(store)
        extract_names(store)
        return source_of(read_config(store).source)


class ResearchSite(WebSite):
    """It names the creators of videos and no author of a comment."""

    tells_accounts = False

    def section(self) -> object:
        return ResearchSource(hashtags=("nba",), start=START, end=END)

    def offer(self, store: Store, videos: Sequence[Video], comments: Sequence[Comment]) -> None:
        self.turn += 1
        rows = [{"id": int(one.id), "username": one.creator, "video_description": one.description} for one in videos]
        self.land(store, window_place(START, END), "videos", rows)
        for video in videos:
            remarks = [
                {"id": int(one.id), "video_id": int(video.id), "text": one.text}
                for one in comments
                if one.video == video.id and one.author != HANDLE
            ]
            self.land(store, comments_place(store, video.id), "comments", remarks)

    def land(self, store: Store, place: str, name: str, rows: Sequence[object]) -> None:
        body = json.dumps({name: rows, "has_more": False, "cursor": len(rows)})
        write_records(store, f"{place}/2026020{self.turn}/00000.end.jsonl.zst", [Record("/v2", body.encode())])


class ImportSite(Site):
    def section(self) -> object:
        return ImportSource()

    def offer(self, store: Store, videos: Sequence[Video], comments: Sequence[Comment]) -> None:
        self.turn += 1
        records = [*map(_item, videos), *map(_remark, comments)]
        lines = (json.dumps({"source_platform": "tiktok.com", "item_id": "1", "data": one}) + "\n" for one in records)
        self.file.write_text("".join(lines))

    @property
    def file(self) -> Path:
        return self.folder / f"{self.turn}.ndjson"

    def collected(self, store: Store) -> Source:
        source = Imported(ImportSource(paths=(str(self.file),)))
        collect(store, source, Reach())
        return source


SITES: dict[str, type[Site]] = {
    "folder": FolderSite,
    "web": WebSite,
    "research": ResearchSite,
    "import": ImportSite,
}


def cid(number: int) -> str:
    return f"76794041022283{number:05d}"


@pytest.mark.parametrize("kind", SITES)
def test_nothing_of_somebody_forgotten_comes_back(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    folder = tmp_path / "source"
    folder.mkdir()
    site = SITES[kind](folder)
    config = DatasetConfig.model_validate({"name": "x", "n_shards": 3, "source": site.section()})
    store = Store.create(str(tmp_path / "root"), config)
    videos = [Video(THEIRS, HANDLE), Video(OTHERS, "mona_vex", f"with @{HANDLE}")]
    comments = [
        Comment(cid(1), OTHERS, HANDLE, "the first of mine"),
        Comment(cid(2), OTHERS, "kai.river9", f"as {HANDLE} said"),
        Comment(cid(3), THEIRS, "kai.river9", "under a video of theirs"),
    ]
    site.offer(store, videos, comments)
    site.build(store)
    assert store.read_all("videos").num_rows == 2

    forget(store, handles=[f"@{HANDLE}"], source=source_of(read_config(store).source))
    assert_nothing_of_them(store)

    # Deleted at the source, too, and built anew.
    site.offer(store, videos[1:], comments[1:2])
    site.build(store)
    assert_nothing_of_them(store)
    assert store.read_all("comments").num_rows == 1

    # The person comes back, and is spoken of.
    told = f" or {NICKNAME}, {ACCOUNT}" if site.tells_accounts else ""
    more = [
        Comment(cid(7), OTHERS, HANDLE, "here I am again"),
        Comment(cid(8), OTHERS, "kai.river9", f"@{HANDLE} is back, see {HANDLE}{told}"),
        Comment(cid(9), LATER, "kai.river9", "under a new video of theirs"),
    ]
    site.offer(store, [videos[1], Video(LATER, HANDLE, f"by {HANDLE}")], [comments[1], *more])
    site.build(store)
    assert_nothing_of_them(store)
    texts = store.read_all("comments")["text"].to_pylist()
    assert len(texts) == 2
    assert store.read_all("videos").num_rows == 1


def assert_nothing_of_them(store: Store) -> None:
    """The audit finds nothing, and neither does a plain look at every byte and every value."""
    found = audit(store)
    assert (found.hits, found.unread) == ((), ())
    words = (HANDLE, NICKNAME, ACCOUNT)
    texts = ("mine", "here I am again", "a video of theirs", "a new video of theirs")
    for name in store.files():
        if name.startswith("private/"):
            continue
        data = store.read_file(name)
        said = name + data.decode("utf-8", "replace")
        if name.endswith(".parquet"):
            said += json.dumps(pq.read_table(Path(store.root) / name).to_pylist(), default=str, ensure_ascii=False)
        assert [word for word in (*words, *texts) if word.lower() in said.lower()] == [], name
