"""A root with another number of shards is the root that would have been made with so many from the start."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from csmv.pipeline.collect import ingest
from csmv.pipeline.compaction import compact
from csmv.pipeline.config import DatasetConfig, create_root, read_config
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_arrays import Row, as_table
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.parts import add_part
from csmv.pipeline.privacy.forget import forget
from csmv.pipeline.reshard import reshard
from csmv.pipeline.root import media_path
from csmv.pipeline.schemas import features_spec
from csmv.pipeline.sources.landing import Landing, Record
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.sources.tables import TableSummary, write_tables
from csmv.pipeline.sources.visit import COMMENTS
from csmv.pipeline.sources.walls import DONE
from csmv.pipeline.splits import SplitConfig, build_split
from csmv.pipeline.store import Store
from csmv.pipeline.verify import verify

VIDEOS = [f"76794025903998894{number:02d}" for number in range(12)]
MFCC = FeatureConfig(extractor="mfcc")

Build = Callable[[Path, int], Store]


@pytest.fixture(autouse=True)
def one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal roots are equal bytes, and their key is part of what they are."""
    monkeypatch.setenv("CSMV_PSEUDONYM_KEY", "one key for all roots of these tests")


def from_web(folder: Path, n_shards: int) -> Store:
    """A root that collected twelve videos, each with comments that name authors of others."""
    config = {"name": "x", "n_shards": n_shards, "source": {"kind": "web", "hashtags": ["nba"]}}
    store = create_root(str(folder), DatasetConfig.model_validate(config))
    for number, video in enumerate(VIDEOS):
        item = {
            "id": video,
            "desc": "a caption",
            "author": {"uniqueId": f"creator{number}x", "nickname": "Velda Quorn"},
        }
        rows = [
            {
                "cid": f"8{number:014d}{comment:04d}",
                "aweme_id": video,
                "text": f"like fan{(number + 1) % 12}x{comment} said",
                "user": {"unique_id": f"fan{number}x{comment}"},
            }
            for comment in range(5)
        ]
        body = json.dumps({"status_code": 0, "comments": rows, "has_more": 0}).encode()
        records = [Record("/video", json.dumps(item).encode()), Record(COMMENTS, body)]
        Landing(store).close_video(video, f"20261123T1700{number:02d}000Z-aaaaaa", DONE, records)
    return finished(store)


def from_folder(folder: Path, n_shards: int) -> Store:
    """A root of a folder, some of whose lines are of no use."""
    films = folder.parent / "films"
    films.mkdir(exist_ok=True)
    for video in VIDEOS:
        (films / f"{video}.mp4").write_bytes(b"film")
    lines = [
        {
            "id": f"c{number}",
            "video": VIDEOS[number % 12],
            "text": f"thanks fan{number - 1}x",
            "author": f"fan{number}x",
            "opinion": ("positive", "negative")[number % 2],
            "emotion": "joy",
        }
        for number in range(40)
    ]
    useless = [lines[3], {"id": "z", "video": "1", "text": "x"}, {"id": "y"}]
    (films / "comments.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*lines, *useless]))
    config = {
        "name": "x",
        "n_shards": n_shards,
        "source": {"kind": "folder", "path": str(films)},
        "splits": [SplitConfig(kind="video").model_dump()],
    }
    store = create_root(str(folder), DatasetConfig.model_validate(config))
    return finished(store)


def bring_up(store: Store) -> TableSummary:
    """Land what stands on this machine, and write the tables."""
    config = read_config(store)
    source = source_of(config.source)
    if not source.online:
        return ingest(store, source, config.scrub, store.key())
    return write_tables(store, source, config.scrub, store.key())


def finished(store: Store) -> Store:
    """With tables, features in a shard and a part, media, a split where there are labels, and a run."""
    bring_up(store)
    spec = features_spec(4, "float32", {"extractor": "mfcc", "weights": "none", "dtype": "float32"})
    for number, video in enumerate(VIDEOS):
        shard = store.shard_of(video)
        vectors = np.full((1 + number % 3, 4), number, np.float32)
        add_part(store, MFCC.table, shard, as_table([Row(video, vectors, None)], spec.schema))
        store.write_file(media_path(shard, video), video.encode())
    for shard in store.shards():
        compact(store, shard, MFCC)
    if store.has_rows("labels"):
        build_split(store, SplitConfig(kind="video"))
    store.write_file("models/run/run.json", b"{}")
    return store


def published(store: Store) -> dict[str, bytes]:
    """Every table but failures, which say when they were met."""
    tables = ("videos/", "comments/", "labels/", "features/", "splits/")
    return {name: store.read_file(name) for name in store.files() if name.startswith(tables)}


def failures(store: Store) -> list[tuple[int, str, str]]:
    return [
        (shard, row["key"], row["reason"])
        for shard in store.shards()
        for row in (store.read("failures/tables", shard) or pa.table({"key": []})).to_pylist()
    ]


@pytest.mark.parametrize("build", [from_web, from_folder])
@pytest.mark.parametrize(("before", "after"), [(2, 4), (6, 4)])
def test_its_tables_are_those_of_a_root_that_had_so_many_shards_from_the_start(
    tmp_path: Path, build: Build, before: int, after: int
) -> None:
    old, whole = build(tmp_path / "old", before), build(tmp_path / "whole", after)

    done = reshard(old.root, str(tmp_path / "new"), after)

    new = Store.open(str(tmp_path / "new"))
    assert read_config(new) == read_config(whole)
    assert new.header == whole.header
    assert published(new).keys() == published(whole).keys()
    different = [name for name, data in published(new).items() if data != published(whole)[name]]
    assert different == []
    assert failures(new) == failures(whole)
    assert (done.media, new.read_file("models/run/run.json")) == (12, b"{}")
    for video in VIDEOS:
        assert new.read_file(media_path(new.shard_of(video), video)) == video.encode()
    config = read_config(new)
    assert verify(new, source=source_of(config.source)).problems == ()
    assert bring_up(new).reused == after, "nothing is stale in the new root"


def test_interrupted_anywhere_it_goes_on_and_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, to = from_folder(tmp_path / "old", 2), str(tmp_path / "new")
    reshard(old.root, str(tmp_path / "twin"), 4)
    writes = 0
    commit = Store._commit

    def dying(*arguments: object) -> None:
        nonlocal writes
        writes += 1
        if writes % 7 == 0:
            raise KeyboardInterrupt
        commit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "_commit", dying)
    with pytest.raises(KeyboardInterrupt):
        reshard(old.root, to, 4)
    with pytest.raises(CsmvError, match="not a dataset root"):
        Store.open(to)
    monkeypatch.undo()
    monkeypatch.setenv("CSMV_PSEUDONYM_KEY", "one key for all roots of these tests")

    reshard(old.root, to, 4)

    assert published(Store.open(to)) == published(Store.open(str(tmp_path / "twin")))


def test_what_was_forgotten_in_the_old_root_is_not_in_the_new_one(tmp_path: Path) -> None:
    old = from_folder(tmp_path / "old", 2)
    forget(old, video_ids=[VIDEOS[0]], handles=["fan7x"])

    reshard(old.root, str(tmp_path / "new"), 4)

    new = Store.open(str(tmp_path / "new"))
    assert new.read_all("comments").num_rows == old.read_all("comments").num_rows < 40
    assert VIDEOS[0] not in new.read_all("videos")["video_id"].to_pylist()
    assert not any(VIDEOS[0] in name for name in new.files())
    assert "fan7x" not in str([new.read_file(name) for name in new.files()])


def test_it_refuses_what_is_there_and_numbers_that_are_none(tmp_path: Path) -> None:
    old, other = from_folder(tmp_path / "old", 2), from_web(tmp_path / "other", 2)
    with pytest.raises(CsmvError, match="other than the 2"):
        reshard(old.root, str(tmp_path / "new"), 2)
    with pytest.raises(CsmvError, match="a root of its own"):
        reshard(old.root, other.root, 4)
    with pytest.raises(CsmvError, match="another folder than the old one"):
        reshard(old.root, old.root, 4)
