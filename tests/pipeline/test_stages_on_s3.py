"""The stages on an S3 API: the same source gives, byte for byte, the tables of a local root."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from csmv.pipeline.collect import ingest
from csmv.pipeline.config import DatasetConfig, FolderSource, read_config
from csmv.pipeline.demo.sample import make_sample
from csmv.pipeline.failures import failures_of
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.features import extract_shard
from csmv.pipeline.media.media_shard import media_shard
from csmv.pipeline.report import write_report
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split
from csmv.pipeline.store import Store

KEY = SecretStr("a key that is long enough")
SPLITS = (SplitConfig(kind="video"), SplitConfig(kind="comment"))
# Sound needs no network, so that this tests where tables are kept and not how fast a network is.
FEATURES = FeatureConfig(extractor="mfcc")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> FolderSource:
    return FolderSource(
        path=str(make_sample(tmp_path_factory.mktemp("s3") / "sample", videos=5, comments_each=6).folder)
    )


def build(root: str, source: FolderSource) -> Store:
    store = Store.create(root, DatasetConfig(name="test", n_shards=2, source=source, splits=SPLITS))
    ingest(store, source_of(source), read_config(store).scrub, KEY)
    for shard in store.shards():
        media_shard(store, shard, source_of(source))
        extract_shard(store, shard, FEATURES)
    for split in SPLITS:
        build_split(store, split)
    write_report(store)
    return store


def test_a_dataset_built_on_s3_has_the_bytes_of_a_local_one(
    source: FolderSource, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSMV_PSEUDONYM_KEY", KEY.get_secret_value())
    local = build(str(tmp_path / "root"), source)
    remote = build(f"{s3_bucket}/stages", source)

    # The first three say when something failed or was written, the last is known by when its sources were.
    apart = ("failures/", "manifest/", "history/", "private/cache/")
    tables = [name for name in local.files() if not name.startswith(apart)]
    assert [name for name in remote.files() if not name.startswith(apart)] == tables
    assert {name.split("/")[0] for name in tables} >= {"videos", "comments", "labels", "features", "splits", "private"}
    for name in tables:
        assert remote.read_file(name) == local.read_file(name), name
    for stage, rows in failures_of(local).items():
        kept = ["key", "reason", "detail", "attempts"]
        assert failures_of(remote)[stage].select(kept).sort_by("key") == rows.select(kept).sort_by("key")
