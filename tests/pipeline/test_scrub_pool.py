"""What many processes scrub and search is what one does, to the byte."""

import json
from pathlib import Path

import pytest

from csmv.pipeline import scrub_pool
from csmv.pipeline.collect import ingest
from csmv.pipeline.config import DatasetConfig, FolderSource, read_config
from csmv.pipeline.privacy import audit as audit_module
from csmv.pipeline.privacy.audit import audit
from csmv.pipeline.processes import JOBS_VARIABLE, Processes
from csmv.pipeline.pseudonym import KEY_VARIABLE
from csmv.pipeline.scrub import Scrubber, ScrubPolicy
from csmv.pipeline.scrub_pool import ScrubPool
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.store import Store

TEXTS = [f"{n} so good @user_number_{n}" if n % 3 else f"plain {n}, lunarpost77" for n in range(40)]


@pytest.fixture(autouse=True)
def in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "one key for all roots of these tests")
    monkeypatch.setattr(scrub_pool, "_AT_ONCE", 7)
    monkeypatch.setattr(scrub_pool, "_WORTH_IT", 10)
    monkeypatch.setattr(audit_module, "_WORTH_IT", 0)


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many processes each pool that was started has."""
    started: list[int] = []
    begin = Processes.__init__

    def counted(self: Processes, jobs: int, *rest: object) -> None:
        started.append(jobs)
        begin(self, jobs, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Processes, "__init__", counted)
    return started


def make_root(folder: Path) -> Store:
    source = folder / "source"
    source.mkdir(parents=True)
    rows = [{"id": f"c{n}", "video": f"v{n % 5}", "text": text, "author": "kai.river9"} for n, text in enumerate(TEXTS)]
    for video in range(5):
        (source / f"v{video}.mp4").write_bytes(b"never decoded here")
    (source / "comments.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    section = FolderSource(path=str(source))
    store = Store.create(str(folder / "root"), DatasetConfig(name="x", n_shards=2, source=section))
    ingest(store, source_of(section), read_config(store).scrub, store.key())
    return store


def test_a_pool_scrubs_as_a_scrubber_does(pools: list[int]) -> None:
    names = ["lunarpost77"]
    with ScrubPool(ScrubPolicy(), names=names, jobs=2) as pool:
        assert pool.scrub(TEXTS) == Scrubber(ScrubPolicy(), names=names).scrub(TEXTS)
    assert pools == [2]


def test_a_few_long_texts_are_worth_processes_too(monkeypatch: pytest.MonkeyPatch, pools: list[int]) -> None:
    monkeypatch.setattr(scrub_pool, "_AT_ONCE", 2)
    monkeypatch.setattr(scrub_pool, "_WORTH_IT", 100)
    long = "so good @user_number_1 and more of it\n" * 1_500
    for texts, started in ((["short"] * 40, []), ([long] * 4, [2])):
        with ScrubPool(ScrubPolicy(), jobs=2) as pool:
            scrubbed = [result.text for result in pool.scrub(texts)]
        assert scrubbed == [text.replace("@user_number_1", "<USERNAME>") for text in texts]
        assert pools == started


def test_tables_and_audit_are_the_same_by_any_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pools: list[int]
) -> None:
    bytes_of = {}
    for jobs in ("1", "2"):
        monkeypatch.setenv(JOBS_VARIABLE, jobs)
        store = make_root(tmp_path / jobs)
        names = [name for name in store.files() if name.startswith(("videos/", "comments/"))]
        bytes_of[jobs] = {name: store.read_file(name) for name in names}
    assert bytes_of["1"] == bytes_of["2"]
    assert pools == [2]
    (tmp_path / "run.log").write_text("kai.river9 wrote, mail me at a@b.com\n")
    store.write_file("logs/run.log", b"failed for kai.river9\n")
    searched = [audit(store, [tmp_path / "run.log"], jobs) for jobs in (1, 2)]
    assert searched[0] == searched[1]
    assert {hit.file for hit in searched[1].hits} == {"logs/run.log", str(tmp_path / "run.log")}
    assert pools == [2, 2]
