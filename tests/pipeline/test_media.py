"""The media stage: good files come in with their properties, bad ones cost only themselves, a kill costs nothing."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import SecretStr

from csmv.pipeline.collect import ingest
from csmv.pipeline.config import DatasetConfig, FolderSource, read_config
from csmv.pipeline.demo.sample import Sample, make_sample
from csmv.pipeline.demo.sample.films import SIZES
from csmv.pipeline.media.media_settings import MediaSettings
from csmv.pipeline.media.media_shard import MediaReport, media_shard, open_videos
from csmv.pipeline.schemas import VIDEOS
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.store import Store

KEY = SecretStr("a key that is long enough")
GOOD = 5
BROKEN = {
    "sample-06": "empty_file",
    "sample-07": "truncated",
    "sample-08": "not_a_video",
    "sample-09": "no_video_stream",
    "sample-10": "missing_file",
}


@pytest.fixture(autouse=True)
def one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal roots are equal bytes, and their key is part of what they are."""
    monkeypatch.setenv("CSMV_PSEUDONYM_KEY", "one key for all roots of these tests")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample(tmp_path_factory.mktemp("media") / "sample", videos=GOOD, comments_each=2)


@pytest.fixture
def store(sample: Sample, tmp_path: Path) -> Iterator[Store]:
    yield ingested(tmp_path / "root", sample.folder)


def ingested(root: Path, folder: Path) -> Store:
    source = FolderSource(path=str(folder))
    made = Store.create(str(root), DatasetConfig(name="test", n_shards=1, source=source))
    ingest(made, source_of(source), read_config(made).scrub, KEY)
    return made


def fetch(store: Store, settings: MediaSettings | None = None, **options: Any) -> MediaReport:
    return media_shard(store, 0, source_of(read_config(store).source), settings, **options)


def counts(report: MediaReport) -> tuple[int, int, int]:
    return report.done, report.skipped, report.failed


def videos(store: Store) -> dict[str, dict[str, Any]]:
    return {row["video_id"]: row for row in store.read_all("videos").to_pylist()}


def failures(store: Store) -> dict[str, tuple[str, int]]:
    return {row["key"]: (row["reason"], row["attempts"]) for row in store.read_all("failures/media").to_pylist()}


def final_bytes(root: Path) -> dict[str, bytes]:
    paths = [*(root / "private" / "media").rglob("*.*"), *(root / "videos").glob("*")]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def test_good_files_come_in_and_bad_ones_cost_only_themselves(store: Store, sample: Sample) -> None:
    assert counts(fetch(store)) == (GOOD, 0, len(BROKEN))

    assert failures(store) == {name: (reason, 1) for name, reason in BROKEN.items()}
    rows = videos(store)
    for name in sample.moods:
        original = (sample.folder / f"{name}.mp4").read_bytes()
        assert store.read_file(f"private/media/0000/{name}.mp4") == original
        assert rows[name]["media_status"] == "ok"
        assert rows[name]["media_sha256"] == hashlib.sha256(original).hexdigest()
        assert rows[name]["has_audio"] is True
        assert 0.7 < rows[name]["duration_s"] < 1.7
        assert (rows[name]["width"], rows[name]["height"]) in SIZES
    assert {rows[name]["media_status"] for name in BROKEN} == {"failed"}
    assert {rows[name]["width"] for name in BROKEN} == {None}
    assert len(store.files("private/media")) == GOOD


def test_a_second_run_looks_at_nothing_again(store: Store) -> None:
    fetch(store)
    before = final_bytes(Path(store.root))

    assert counts(fetch(store)) == (0, GOOD + len(BROKEN), 0)
    assert final_bytes(Path(store.root)) == before
    assert {attempts for _, attempts in failures(store).values()} == {1}


def test_failed_files_are_tried_again_when_asked_or_when_they_change(sample: Sample, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for path in sample.folder.iterdir():
        (folder / path.name).symlink_to(path)
    store = ingested(tmp_path / "root", folder)
    fetch(store)

    assert counts(fetch(store, retry_failed=True)) == (0, GOOD, len(BROKEN))
    assert failures(store)["sample-06"] == ("empty_file", 2)

    for name in ("sample-06", "sample-10"):
        (folder / f"{name}.mp4").unlink(missing_ok=True)
        (folder / f"{name}.mp4").write_bytes((sample.folder / "sample-01.mp4").read_bytes())
    assert counts(fetch(store)) == (2, GOOD + 3, 0)
    assert sorted(failures(store)) == ["sample-07", "sample-08", "sample-09"]


def test_a_file_that_was_replaced_at_the_source_is_taken_again(sample: Sample, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("sample-01.mp4", "sample-02.mp4", "comments.jsonl"):
        (folder / name).write_bytes((sample.folder / name).read_bytes())
    store = ingested(tmp_path / "root", folder)
    fetch(store)
    other = (folder / "sample-02.mp4").read_bytes()
    (folder / "sample-01.mp4").write_bytes(other)

    assert counts(fetch(store)) == (1, 1, 0)
    assert videos(store)["sample-01"]["media_sha256"] == hashlib.sha256(other).hexdigest()


def test_a_file_of_the_same_size_that_was_replaced_is_taken_again(sample: Sample, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("sample-01.mp4", "comments.jsonl"):
        (folder / name).write_bytes((sample.folder / name).read_bytes())
    store = ingested(tmp_path / "root", folder)
    fetch(store)
    film = bytearray((folder / "sample-01.mp4").read_bytes())
    at = film.index(b"mvhd") + 8  # the second of creation, which changes nothing that is seen
    film[at] ^= 1
    (folder / "sample-01.mp4").write_bytes(film)

    assert open_videos(store, 0, source_of(read_config(store).source)) == ["sample-01"]
    assert counts(fetch(store)) == (1, 0, 0)
    assert videos(store)["sample-01"]["media_sha256"] == hashlib.sha256(film).hexdigest()
    (folder / "sample-01.mp4").touch()
    assert open_videos(store, 0, source_of(read_config(store).source)) == [], "newer, and the same bytes"


def test_a_quota_ends_the_run_and_a_larger_one_goes_on(store: Store, sample: Sample) -> None:
    sizes = [(sample.folder / f"{name}.mp4").stat().st_size for name in sorted(sample.moods)]

    report = fetch(store, MediaSettings(quota_bytes=sizes[0] + 1))

    assert report.stopped == "the disk quota is used up"
    assert report.done < GOOD and report.left == GOOD + len(BROKEN) - report.done - report.failed
    rest = fetch(store)
    assert (report.done + rest.done, rest.stopped, rest.left) == (GOOD, "", 0)


def test_a_root_that_cannot_be_written_is_no_fault_of_the_files(store: Store) -> None:
    (Path(store.root) / "private" / "media").mkdir(parents=True)
    (Path(store.root) / "private" / "media" / "0000").write_text("a file where a folder should be")

    with pytest.raises(OSError):
        fetch(store)
    assert failures(store).keys() <= BROKEN.keys()


def test_a_lost_file_is_fetched_again_and_a_deleted_one_is_not(store: Store) -> None:
    fetch(store)
    store.remove("private/media/0000/sample-01.mp4")
    assert fetch(store).done == 1

    rows = videos(store)
    rows["sample-01"]["media_status"] = "deleted"

    store.write("videos", 0, pa.Table.from_pylist(list(rows.values()), schema=VIDEOS.schema))
    store.remove("private/media/0000/sample-01.mp4")
    assert counts(fetch(store)) == (0, GOOD + len(BROKEN), 0)


def test_a_file_that_hangs_its_reader_costs_only_itself(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("sample-01.mp4", "comments.jsonl"):
        (folder / name).write_bytes((sample.folder / name).read_bytes())
    (folder / "hangs.mp4").write_bytes(b"HANG")
    (folder / "dies.mp4").write_bytes(b"DIE")
    store = ingested(tmp_path / "root", folder)
    # The worker is a fresh interpreter; this makes its reader hang or die on two files, as decoders do on some.
    (tmp_path / "sitecustomize.py").write_text(STUBBORN_READER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    assert counts(fetch(store, MediaSettings(decode_timeout_s=3))) == (1, 0, 2)
    assert failures(store) == {"hangs": ("decode_timeout", 1), "dies": ("decoder_crashed", 1)}


STUBBORN_READER = """
import os, time
import pathlib
plain = pathlib.Path.open
def stubborn(self, *arguments, **options):
    if self.suffix == ".mp4":
        with plain(self, "rb") as file:
            head = file.read(4)
        if head == b"HANG":
            time.sleep(600)
        if head[:3] == b"DIE":
            os.abort()
    return plain(self, *arguments, **options)
pathlib.Path.open = stubborn
"""

KILLED = """
import sys
from csmv.pipeline.config import read_config
from csmv.pipeline.media.media_shard import media_shard
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.store import Store
store = Store.open(sys.argv[1])
print("begun", flush=True)
media_shard(store, 0, source_of(read_config(store).source))
"""


def test_killed_at_any_moment_it_ends_in_the_same_bytes(sample: Sample, tmp_path: Path) -> None:
    whole = ingested(tmp_path / "whole", sample.folder)
    fetch(whole)
    wanted = final_bytes(tmp_path / "whole")
    store = ingested(tmp_path / "killed", sample.folder)
    chance, kills = random.Random(1), 0
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", KILLED, store.root], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0.1, 1.0))
        os.kill(process.pid, signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills > 0

    fetch(store)
    store.sweep()

    assert final_bytes(tmp_path / "killed") == wanted
    assert {name: reason for name, (reason, _) in failures(store).items()} == BROKEN
    assert not list(Path(store.root).rglob("*.tmp"))
