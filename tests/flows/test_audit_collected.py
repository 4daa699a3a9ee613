"""A root collected from the sandbox by a real browser, built and reported, holds nobody: no table, log or database."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.audit import KNOWN_ID, KNOWN_NAME, audit
from pipeline.known_names import known_names
from pipeline.report import write_report
from pipeline.sandbox import Sandbox, SandboxSettings
from pipeline.sources.browser import find_chromium
from pipeline.store import Store


@dataclass
class Collected:
    """A root, what its collection said, and the names and ids that the sandbox planted."""

    store: Store
    said: Path
    planted: set[str]

    @property
    def prefect(self) -> Path:
        return Path(self.store.root) / "private" / "prefect"


@pytest.fixture(scope="module")
def collected(csmv: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collected]:
    if find_chromium() is None:
        pytest.skip("Chromium is not installed: `make set-up` or `apt-get install chromium`")
    folder = tmp_path_factory.mktemp("collected")
    with Sandbox(SandboxSettings(hashtags=1, videos=3, comments=7, media_s=0.5)) as sandbox:
        manners = {"interval_s": 0, "scroll_pause_s": [0, 0.01], "list_timeout_s": 3, "stall_scrolls": 2}
        source = {"kind": "web", "hashtags": sandbox.world.tags, "manners": manners}
        config = folder / "trial.yaml"
        config.write_text(yaml.safe_dump({"name": "trial", "n_shards": 2, "source": source}))
        reach = ["--proxy", sandbox.proxy, "--ca-file", sandbox.ca_file]
        done = csmv("collect", "--root", folder / "root", "--config", config, *reach)
        assert done.returncode == 0, done.stderr
        planted = sandbox.world.personal()
        assert len(sandbox.world.videos) == 3
    said = folder / "said.log"
    said.write_text(done.stdout + done.stderr)
    store = Store.open(str(folder / "root"))
    write_report(store)
    yield Collected(store, said, planted)


def test_the_audit_knows_everybody_and_finds_nobody(collected: Collected) -> None:
    known = known_names(collected.store)
    everything = known.handles | known.display_names | known.ids
    persons = {one for one in collected.planted if "@" not in one and not one.startswith("+")}
    seen = b"".join(landed(collected.store)).decode()
    assert {one for one in persons if one in seen} <= everything
    assert len(known.handles) > 10

    found = audit(collected.store, [collected.said, collected.prefect])

    assert found.hits == ()
    assert collected.store.read_all("comments").num_rows == 21
    assert "reports/index.html" in collected.store.files()


def test_no_planted_name_is_in_any_file_or_row(collected: Collected) -> None:
    database = collected.prefect / "prefect.db"
    places = {"what was said": collected.said.read_text(), "Prefect's rows": "\n".join(every_row(database))}
    for path in collected.prefect.rglob("*"):
        places[path.name] = path.read_bytes().decode("latin-1") if path.is_file() else ""
    for table in ("videos", "comments"):
        places[table] = str(collected.store.read_all(table).to_pylist())
    places["report"] = collected.store.read_file("reports/index.html").decode()

    assert "tables-0000" in places["Prefect's rows"], "the database is not the one that the run used"
    for place, text in places.items():
        assert not [name for name in collected.planted if name in text], place


def test_a_name_in_a_log_is_found(collected: Collected, tmp_path: Path) -> None:
    handle = min(known_names(collected.store).handles)
    uid = min(one for one in known_names(collected.store).ids if one.isdigit())
    (tmp_path / "run.log").write_text(f"nothing here\nfailed for {handle} ({uid})\n")

    assert {hit.kind for hit in audit(collected.store, [tmp_path]).hits} >= {KNOWN_NAME, KNOWN_ID}


def landed(store: Store) -> Iterator[bytes]:
    import zstandard

    for name in store.files("private/landing"):
        if name.endswith(".zst"):
            yield zstandard.ZstdDecompressor().stream_reader(store.read_file(name)).read()


def every_row(database: Path) -> Iterator[str]:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                yield str(row)
