"""The audit of a large clean root: it finds nobody, and one who is planted there."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bench_scale import COMMENTS_A_VIDEO, make_folder

from csmv.pipeline.collect import ingest
from csmv.pipeline.config import DatasetConfig, FolderSource, read_config
from csmv.pipeline.privacy.audit import KNOWN_NAME, audit
from csmv.pipeline.pseudonym import KEY_VARIABLE
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.store import Store

COMMENTS = 100_000


@pytest.mark.slow
def test_in_a_clean_root_of_a_hundred_thousand_comments_nobody_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    make_folder(tmp_path / "source", COMMENTS, round(COMMENTS / COMMENTS_A_VIDEO))
    source = FolderSource(path=str(tmp_path / "source"))
    store = Store.create(str(tmp_path / "root"), DatasetConfig(name="x", n_shards=16, source=source))
    ingest(store, source_of(source), read_config(store).scrub, store.key())
    assert store.read_all("comments").num_rows == COMMENTS

    one, two = (audit(store, jobs=jobs) for jobs in (1, 2))
    assert one == two
    assert (one.hits, one.unread) == ((), ())
    assert one.values > 5 * COMMENTS
    assert one.known > COMMENTS

    store.write_file("reports/notes.txt", b"thanks to account.7_x")
    hits = audit(store).hits
    assert {hit.file for hit in hits} == {"reports/notes.txt"}
    assert KNOWN_NAME in {hit.kind for hit in hits}
