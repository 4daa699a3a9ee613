"""The audit: it finds what is planted, in every kind of file, and nothing in a root that is clean."""

import gzip
import io
import json
import sqlite3
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from csmv.pipeline.collect import ingest
from csmv.pipeline.config import DatasetConfig, FolderSource, read_config
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.landed_names import known_names
from csmv.pipeline.privacy.audit import KNOWN_ID, KNOWN_NAME, audit
from csmv.pipeline.pseudonym import KEY_VARIABLE
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.store import Store

COMMENTS = [
    {"id": "76794041022283770", "video": "v1", "text": "hi @lunarpost77 call +44 7911 123456", "author": "kai.river9"},
    {"id": "76794041022283771", "video": "v1", "text": "kai.river9 is my friend", "author": "lunarpost77"},
]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "v1.mp4").write_bytes(b"never decoded here")
    (folder / "comments.jsonl").write_text("".join(json.dumps(row) + "\n" for row in COMMENTS))
    (folder / "videos.jsonl").write_text(
        json.dumps({"video": "v1", "description": "with lunarpost77, mail me a@b.com", "creator": "mona_vex"}) + "\n"
    )
    source = FolderSource(path=str(folder))
    store = Store.create(str(tmp_path / "root"), DatasetConfig(name="x", n_shards=2, source=source))
    ingest(store, source_of(source), read_config(store).scrub, store.key())
    page = {
        "comments": [
            {
                "cid": "7679404102228377857",
                "text": "x",
                "user": {"uid": "6800000000000000001", "unique_id": "example_viewer_01", "nickname": "Vera Exa 🌸"},
            }
        ]
    }
    record = {"path": "/api", "query": {}, "status": 200, "at": "2026-01-01T00:00:00", "body": json.dumps(page)}
    data = zstandard.ZstdCompressor().compress(json.dumps(record).encode() + b"\n")
    store.write_file("private/landing/web/videos/0000/v9/x.done.jsonl.zst", data)
    return store


def test_names_and_ids_come_from_landing_and_the_folder(root: Store) -> None:
    known = known_names(root)
    assert known.handles == {"lunarpost77", "kai.river9", "mona_vex", "example_viewer_01"}
    assert known.display_names == {"Vera Exa 🌸"}
    assert {"7679404102228377857", "6800000000000000001", "76794041022283770"} <= known.ids
    assert "lunarpost77" not in repr(known)


def test_a_root_that_was_scrubbed_is_clean(root: Store) -> None:
    found = audit(root)
    assert found.hits == ()
    assert found.files > 3
    assert found.values > 0


def _parquet(**columns: list[str]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def _metadata_parquet() -> bytes:
    sink = io.BytesIO()
    schema = pa.schema([pa.field("x", pa.int64(), metadata={"made_by": "lunarpost77"})])
    pq.write_table(pa.table({"x": [1]}, schema=schema), sink)
    return sink.getvalue()


def _npz() -> bytes:
    sink = io.BytesIO()
    np.savez(sink, lunarpost77=np.zeros(3))
    return sink.getvalue()


def _zip() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("notes.txt", "thanks to lunarpost77")
    return sink.getvalue()


TRACEBACK = """Task run failed:
Traceback (most recent call last):
  File "/opt/csmv/callables/__init__.py", line 404, in call_with_parameters
    return fn(*args, **kwargs)
           ^^^^^^^^^^^^^^^^^^^
  File "/opt/csmv/published.py", line 229, in _land_files
    @cached_property
    raise CsmvError(
csmv.pipeline.errors.CsmvError: nothing is there
"""


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("comments/extra.parquet", _parquet(text=["hello kai.river9"]), KNOWN_NAME),
        ("comments/extra.parquet", _parquet(text=["hello @someone_else"]), "USERNAME"),
        ("comments/extra.parquet", _parquet(comment_id=["7679404102228377857"]), KNOWN_ID),
        ("videos/extra.parquet", _parquet(url=["https://www.tiktok.com/@mona_vex/video/123"]), "URL"),
        ("features/x/extra.parquet", _metadata_parquet(), KNOWN_NAME),
        ("report.html", b"<p>by <b>Vera Exa</b></p>", KNOWN_NAME),
        ("report.html", b"<script>var who = 'lunarpost77'</script>", KNOWN_NAME),
        ("report.html", b"<p>call +44 7911 123456</p>", "PHONE"),
        ("import_report.json", b'{"who": {"6800000000000000001": 1}}', KNOWN_ID),
        ("import_report.json", b'{"ids": [7679404102228377857]}', KNOWN_ID),
        ("logs/run.log", b"done\nfailed for a.person@gmail.com\n", "EMAIL"),
        ("logs/run.log", b"see https://www.tiktok.com/@someone.else\n", "URL"),
        ("logs/run.log", TRACEBACK.encode() + b"of @someone_else\n", "USERNAME"),
        ("logs/run.log", TRACEBACK.replace("args", "lunarpost77").encode(), KNOWN_NAME),
        ("logs/run.log.gz", gzip.compress(b"kai.river9 failed", mtime=0), KNOWN_NAME),
        ("release/features.npz", _npz(), KNOWN_NAME),
        ("release/all.zip", _zip(), KNOWN_NAME),
        ("models/best.bin", b"\0\1\2\3" * 50 + b"lunarpost77" + b"\0\xff" * 50, KNOWN_NAME),
        ("release/lunarpost77.txt", b"nothing", KNOWN_NAME),
    ],
)
def test_what_is_planted_is_found(root: Store, name: str, data: bytes, kind: str) -> None:
    root.write_file(name, data)
    hits = audit(root).hits
    assert kind in {hit.kind for hit in hits if hit.file.startswith(name.removesuffix(".gz"))}
    assert all("lunarpost77" not in hit.place for hit in hits)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("videos/extra.parquet", _parquet(url=["https://www.tiktok.com/@/video/6968866098477403398"])),
        (
            "import_report.json",
            b'{"entries": 117057, "sha": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f"}',
        ),
        (
            "report.html",
            b"<style>a{width:5551234567px}</style><p>2026-11-23 18:25:01, macro-F1 67.51, 107,267 comments</p>",
        ),
        (
            "release/README.md",
            b"Licence: https://creativecommons.org/licenses/by-sa/4.0/, nba_3457_6968866098477403398.mp4",
        ),
        # Names of runs, whose digits happen to be those of phones.
        ("logs/extra.parquet", _parquet(run=["0197c27e-5551-7345-8a30-555123456789"])),
        ("logs/extra.parquet", _parquet(run=["server.artifact.71ae437f-3805-4718-b97c-bfcf082d5aee"])),
        ("logs/run.log", TRACEBACK.encode()),
        ("logs/run.log", b"retry: call logs/x.txt.csmv-5bce98f7-5362-729416ae.tmp should lie in a folder\n"),
        # What programs write of their own variables.
        ("logs/run.log", b"snapshots coalesced: work_pool_id=media_shard, state: dead_lettered\n"),
        # A pseudonym whose digits happen to be those of an account in Ukraine.
        ("videos/extra.parquet", _parquet(creator=["ua43416619a2a03a2a6212d7be973a8e2"])),
    ],
)
def test_what_is_nobodys_is_left_alone(root: Store, name: str, data: bytes) -> None:
    root.write_file(name, data)
    assert audit(root).hits == ()


def test_a_log_that_is_not_there_is_one_sentence(root: Store, tmp_path: Path) -> None:
    with pytest.raises(CsmvError, match="is not there"):
        audit(root, [tmp_path / "nowhere"])


def test_a_database_outside_the_root_is_searched_too(root: Store, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "prefect.db") as database:
        database.execute("create table log (message text)")
        database.execute("insert into log values ('task failed for example_viewer_01 on shard 3')")
    hits = audit(root, [tmp_path / "prefect.db"]).hits
    assert {(hit.place, hit.kind) for hit in hits} == {("table log, column message", KNOWN_NAME), ("bytes", KNOWN_NAME)}


def _cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def _encrypted_zip() -> bytes:
    data = bytearray(_zip())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + place] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("comments/extra.parquet", _cut(_parquet(text=["hello kai.river9"] * 100))),
        ("comments/extra.parquet", b"no table at all"),
        ("release/all.zip", _cut(_zip())),
        ("release/all.zip", _encrypted_zip()),
        ("release/features.npz", _cut(_npz())),
        ("release/x.npy", b"\x93NUMPY\x01\x00garbage"),
        ("release/x.txt.gz", _cut(gzip.compress(b"one line\n" * 1000))),
        ("release/x.txt.zst", _cut(zstandard.ZstdCompressor().compress(bytes(range(256)) * 50))),
        ("release/x.db", b"SQLite format 3\0" + b"\x10\x00" + b"\x07" * 500),
        ("release/x.7z", b"7z\xbc\xaf\x27\x1c" + b"\0" * 50),
        ("release/x.tar", b"x".ljust(100, b"\0") + b"0" * 157 + b"ustar\x0000" + b"7" * 400),
    ],
)
def test_what_can_not_be_opened_is_named(root: Store, name: str, data: bytes) -> None:
    root.write_file(name, data)
    unread = audit(root).unread
    assert unread and all(one.file.startswith(name.removesuffix(".gz").removesuffix(".zst")) for one in unread)


def test_what_can_be_read_of_a_damaged_file_is_searched(root: Store) -> None:
    root.write_file("comments/extra.parquet", b"PAR1" + b"\0" * 20 + b"hello lunarpost77 \0\0")
    assert {hit.kind for hit in audit(root).hits} == {KNOWN_NAME}


def test_the_log_beside_a_database_is_read_with_it(root: Store, tmp_path: Path) -> None:
    """What a running Prefect wrote last stands in the log alone, and reading it changes neither."""
    path = tmp_path / "prefect.db"
    database = sqlite3.connect(path)
    database.execute("pragma journal_mode = wal")
    database.execute("pragma wal_autocheckpoint = 0")
    database.execute("create table log (message text)")
    database.execute("insert into log values (?)", ['{"to": "a.person\\u0040gmail.com"}'])
    database.commit()
    before = {file.name: file.read_bytes() for file in tmp_path.glob("prefect.db*")}
    try:
        found = audit(root, [path])
    finally:
        database.close()
    assert before["prefect.db"] != before["prefect.db-wal"] and len(before["prefect.db"]) < 8192
    assert [(hit.place, hit.kind) for hit in found.hits] == [("table log, column message", "EMAIL")]
    assert found.unread == ()


def test_folders_above_one_that_is_searched_are_no_ones_business(root: Store, tmp_path: Path) -> None:
    logs = tmp_path / "lunarpost77" / "logs"
    logs.mkdir(parents=True)
    (logs / "run.log").write_text("done")
    assert audit(root, [logs]).hits == ()
    (logs / "kai.river9.log").write_text("done")
    assert [hit.place for hit in audit(root, [logs]).hits] == ["its name"]
