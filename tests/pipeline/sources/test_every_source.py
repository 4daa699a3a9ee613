"""What every registered source promises, whatever it reads: one small contract, tried on a small sample of each."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from csmv.pipeline.collect import collect
from csmv.pipeline.config import DatasetConfig, read_config
from csmv.pipeline.demo.sandbox import Sandbox, SandboxSettings
from csmv.pipeline.demo.sandbox.research_sandbox import CLIENT_KEY, CLIENT_SECRET
from csmv.pipeline.release.release_folder import TABLES as RELEASED
from csmv.pipeline.release.release_folder import About, content_of, local_sums
from csmv.pipeline.release.release_tables import write
from csmv.pipeline.schemas import COMMENTS, LABELS, VIDEOS
from csmv.pipeline.scrub import EntityRule, ScrubPolicy
from csmv.pipeline.sources.base import Reach
from csmv.pipeline.sources.browser import find_chromium
from csmv.pipeline.sources.collect_settings import Connection, Limits, Manners, WebSource
from csmv.pipeline.sources.folder import FolderSource
from csmv.pipeline.sources.imported import ImportSource
from csmv.pipeline.sources.published import PublishedSource
from csmv.pipeline.sources.registry import SOURCES, source_of
from csmv.pipeline.sources.released import ReleasedSource
from csmv.pipeline.sources.research import ResearchSource
from csmv.pipeline.sources.research_api import KEY_VARIABLE, SECRET_VARIABLE
from csmv.pipeline.sources.tables import TABLES, is_current, write_shard, write_tables
from csmv.pipeline.sources.ytdlp import YtdlpSource
from csmv.pipeline.store import Store

HANDLE = "mirelo.vance_83"


@dataclass
class Sample:
    """A source's section, how it is reached, the videos that it has, and whom its tables must not name."""

    section: Any
    videos: set[str]
    personal: list[str]
    reach: Reach = field(default_factory=Reach)


def jsonl(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def folder(path: Path, _stack: ExitStack) -> Sample:
    names = [f"v{number}" for number in range(6)]
    for name in names:
        (path / f"{name}.mp4").write_bytes(b"not looked at here")
    comments = [
        {"id": f"70{number}", "video": name, "text": f"as {HANDLE} said", "author": HANDLE, "opinion": "positive"}
        for number, name in enumerate(names)
    ]
    (path / "comments.jsonl").write_text(jsonl(*comments))
    (path / "videos.jsonl").write_text(jsonl({"video": "v0", "creator": HANDLE, "description": f"by {HANDLE}"}))
    return Sample(FolderSource(path=str(path)), set(names), [HANDLE])


def published(path: Path, _stack: ExitStack) -> Sample:
    videos = [f"69688660984774033{number}" for number in range(10, 16)]
    entries = {
        f"nba_{number}_{video}.mp4": {
            "video_file_id": f"{video}.mp4",
            "comment": f"so {HANDLE} again",
            "opinion_label": "positive",
            "emotion_label": "joy",
            "hashtag": "nba",
        }
        for number, video in enumerate(videos)
    }
    (path / "lable_data_dict.json").write_text(json.dumps(entries))
    for number, part in enumerate(("train", "dev", "test")):
        (path / f"{part}_set.json").write_text(json.dumps(list(entries)[number::3]))
    (path / "opinion_label_map.json").write_text('{"positive": 0, "neutral": 1, "negative": 2}')
    emotions = ["joy", "disgust", "surprise", "sadness", "trust", "fear", "anger", "anticipation"]
    (path / "emotion_label_map.json").write_text(json.dumps({name: n for n, name in enumerate(emotions)}))
    (path / "links.csv").write_text(f"No.,URL\n1,https://www.tiktok.com/@{HANDLE}/video/{videos[0]}\n")
    return Sample(PublishedSource(annotations=str(path), links=str(path / "links.csv")), set(videos), [HANDLE])


def sandboxed(stack: ExitStack, hashtags: int) -> tuple[Sandbox, Reach]:
    site = stack.enter_context(Sandbox(SandboxSettings(hashtags=hashtags, videos=4, comments=2)))
    return site, Reach(Connection(proxy=site.proxy, ca_file=site.ca_file))


def web(_path: Path, stack: ExitStack) -> Sample:
    if find_chromium() is None:
        pytest.skip("Chromium is not installed: `make set-up` or `apt-get install chromium`")
    site, reach = sandboxed(stack, 1)
    manners = Manners(interval_s=0, scroll_pause_s=(0, 0.01), list_timeout_s=1.5, after_wall_s=0)
    section = WebSource(hashtags=tuple(site.world.tags), limits=Limits(videos=None, comments=None), manners=manners)
    return Sample(section, set(site.world.truth().collected), list(site.world.personal()), reach)


def research(_path: Path, stack: ExitStack) -> Sample:
    site, reach = sandboxed(stack, 2)
    section = ResearchSource(hashtags=tuple(site.world.tags), start=date(2026, 8, 28), end=date(2026, 9, 6))
    return Sample(section, set(site.world.videos), list(site.world.personal()), reach)


def ytdlp(path: Path, _stack: ExitStack) -> Sample:
    for number in range(6):
        comments = [
            {
                "id": f"Ugx{number}",
                "parent": "root",
                "text": f"@{HANDLE} again",
                "author": HANDLE,
                "author_id": "UC0001",
            },
            {"id": f"Ugx{number}.a", "parent": f"Ugx{number}", "text": "yes", "author": "@other.one5"},
        ]
        about = {
            "id": f"-vid{number}",
            "extractor_key": "Youtube",
            "title": f"by {HANDLE}",
            "uploader_id": f"@{HANDLE}",
        }
        secret = {"cookies": "session=1", "http_headers": {"Cookie": "x"}}
        (path / f"clip {number}.info.json").write_text(json.dumps(about | secret | {"comments": comments}))
    return Sample(YtdlpSource(path=str(path)), {f"youtube--vid{n}" for n in range(6)}, [HANDLE, "other.one5"])


def of_another_tool(path: Path, _stack: ExitStack) -> Sample:
    videos = [f"730000000000000000{number}" for number in range(6)]
    author = {"id": "6900000000000000001", "uniqueId": HANDLE}
    items = [{"id": one, "desc": f"by {HANDLE}", "createTime": 1_700_000_000, "author": author} for one in videos]
    remarks = [
        {"cid": f"71000000000000000{n:02d}", "aweme_id": one, "text": f"@{HANDLE} again", "create_time": 1_700_000_100}
        | {"user": {"uid": "6900000000000000002", "unique_id": "other.one5"}}
        for n, one in enumerate(videos)
    ]
    records = ({"source_platform": "tiktok.com", "item_id": "1", "data": data} for data in (*items, *remarks))
    (path / "kept.ndjson").write_text(jsonl(*records))
    return Sample(ImportSource(paths=(str(path / "kept.ndjson"),)), set(videos), [HANDLE, "other.one5"])


def released(path: Path, _stack: ExitStack) -> Sample:
    videos = [f"740000000000000000{number}" for number in range(6)]
    tables = {
        VIDEOS: [{"video_id": one, "creator": f"u{'0' * 32}", "media_status": "ok"} for one in videos],
        COMMENTS: [
            {"comment_id": f"c{n}", "video_id": one, "text": f"so @{HANDLE} again", "pii": ["EMAIL"]}
            for n, one in enumerate(videos)
        ],
        LABELS: [{"comment_id": f"c{n}", "opinion": "positive", "source": "published"} for n in range(len(videos))],
    }
    for name, (spec, rows) in zip(RELEASED, tables.items(), strict=True):
        write(path / f"{name}.parquet", pa.Table.from_pylist(rows, schema=spec.schema))
    counts = dict.fromkeys(RELEASED, len(videos))
    about = About("x", "1.0.0", "CC-BY-4.0", content_of(local_sums(path)), "", rows=counts)
    (path / "release.json").write_bytes(about.to_json())
    return Sample(ReleasedSource(path=str(path)), set(videos), [HANDLE])


SAMPLES: dict[str, Callable[[Path, ExitStack], Sample]] = {
    "folder": folder,
    "published": published,
    "web": web,
    "research": research,
    "ytdlp": ytdlp,
    "import": of_another_tool,
    "released": released,
}


@pytest.fixture(params=list(SOURCES))
def sample(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sample]:
    """A small sample of every source in the registry: a source without one has to be given one here."""
    monkeypatch.setenv(KEY_VARIABLE, CLIENT_KEY)
    monkeypatch.setenv(SECRET_VARIABLE, CLIENT_SECRET)
    monkeypatch.setenv("CSMV_PSEUDONYM_KEY", "one key for all roots of these tests")
    inputs = tmp_path / "in"
    inputs.mkdir()
    with ExitStack() as stack:
        yield SAMPLES[request.param](inputs, stack)


def landed(root: Path, sample: Sample) -> Store:
    store = Store.create(str(root), DatasetConfig(name="x", n_shards=3, source=sample.section))
    assert collect(store, source_of(sample.section), sample.reach).left == 0
    return store


def bytes_of(store: Store, *prefixes: str) -> dict[str, bytes]:
    return {name: store.read_file(name) for name in store.files() if name.startswith(prefixes)}


WRITE_AND_DIE = """
import os, pathlib, signal, sys
from csmv.pipeline.config import read_config
from csmv.pipeline.sources.ytdlp import YtdlpSource
from csmv.pipeline.store import Store
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.sources.tables import write_tables
writes = int(sys.argv[2])
commit = pathlib.Path.replace
def counted(self, target):
    global writes
    if "csmv-" in self.name and pathlib.Path(target).suffix == ".parquet":
        if writes == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        writes -= 1
    return commit(self, target)
pathlib.Path.replace = counted
store = Store.open(sys.argv[1])
write_tables(store, source_of(read_config(store).source), read_config(store).scrub, store.key())
"""


def test_a_source_keeps_the_contract(sample: Sample, tmp_path: Path) -> None:
    source = source_of(sample.section)
    store = landed(tmp_path / "root", sample)

    # Landing again brings nothing new and changes nothing.
    landing = bytes_of(store, source.landing)
    again = collect(store, source, sample.reach)
    assert (again.landed, again.left) == (0, 0)
    assert bytes_of(store, source.landing) == landing and landing

    # The shards together have every video once, each where it belongs, with its own comments and labels.
    rows = [source.rows(store, shard) for shard in store.shards()]
    assert sorted(video.video_id for one in rows for video in one.videos) == sorted(sample.videos)
    for shard, one in enumerate(rows):
        here = {video.video_id for video in one.videos}
        assert all(store.shard_of(video) == shard for video in here)
        assert {comment.video_id for comment in one.comments} <= here
        assert {label.comment for label in one.labels} <= {comment.id for comment in one.comments}
    assert any(one.comments for one in rows)

    # Written once, a shard is left alone until something that decides it changes.
    key, policy = store.key(), read_config(store).scrub
    assert not any(is_current(store, source, policy, key, shard) for shard in store.shards())
    written = write_tables(store, source, policy, key)
    assert (written.videos, written.reused) == (len(sample.videos), 0)
    before = bytes_of(store, "")
    assert all(write_shard(store, source, policy, key, shard).reused for shard in store.shards())
    assert write_tables(store, source, policy, key).reused == 3
    assert bytes_of(store, "") == before
    changed = ScrubPolicy(email=EntityRule(enabled=False))
    assert not any(is_current(store, source, changed, key, shard) for shard in store.shards())
    assert all(is_current(store, source, policy, key, shard) for shard in store.shards())

    # Nobody is named.
    text = json.dumps([store.read_all(table).to_pylist() for table in TABLES], default=str, ensure_ascii=False)
    assert [name for name in sample.personal if name in text] == []


@pytest.mark.parametrize("writes", [1, 5])
def test_killed_between_tables_and_run_again_the_bytes_are_the_same(
    sample: Sample, tmp_path: Path, writes: int
) -> None:
    whole = landed(tmp_path / "whole", sample)
    twin = Store.create(str(tmp_path / "twin"), read_config(whole))
    source = source_of(sample.section)
    for name, data in bytes_of(whole, source.landing).items():
        twin.write_file(name, data)
    write_tables(whole, source, read_config(whole).scrub, whole.key())

    died = subprocess.run([sys.executable, "-c", WRITE_AND_DIE, twin.root, str(writes)], env=os.environ, check=False)
    assert died.returncode == -9
    assert bytes_of(twin, *TABLES) != bytes_of(whole, *TABLES)
    twin.sweep()
    write_tables(twin, source, read_config(twin).scrub, twin.key())

    assert bytes_of(twin, *TABLES, "splits/") == bytes_of(whole, *TABLES, "splits/")
