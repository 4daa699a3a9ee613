"""A configuration says what is wrong with it in one sentence, and comes back from YAML as it went in."""

from pathlib import Path

import pytest

from csmv.pipeline.config import DatasetConfig, FolderSource, read_config, record_section
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.train_config import TrainConfig

GOOD = """
name: mine
source: {kind: folder, path: videos}
splits:
  - {kind: video, seed: 7}
"""


def test_yaml_and_back() -> None:
    config = DatasetConfig.from_yaml(GOOD, "dataset.yaml")
    assert config == DatasetConfig(
        name="mine", source=FolderSource(path="videos"), splits=(SplitConfig(kind="video", seed=7),)
    )
    assert DatasetConfig.from_yaml(config.to_yaml(), "dataset.yaml") == config
    assert len(config.fingerprint()) == 64


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: x\nsource: {kind: folder, path: v}\nn_shard: 4", r"unknown key 'n_shard'.*did you mean 'n_shards'"),
        ("name: x\nsource: {kind: folder, pth: v}", r"unknown key 'source.folder.pth'.*did you mean 'path'"),
        ("name: x\nsource: {kind: folder, path: v}\nsplits: [{kind: video, sed: 1}]", r"did you mean 'seed'"),
        ("name: x\nsource: {kind: folder, path: v}\nqqqqqq: 4", r"unknown key 'qqqqqq'.*known keys are .*n_shards"),
        ("name: x\nsource: {kind: folder, path: v}\nn_shards: many", r"dataset\.yaml: n_shards: .*integer"),
        ("name: x\nsource: {kind: ftp}", r"source"),
        ("source: {kind: folder, path: v}", r"name: field required"),
        ("name: ../x\nsource: {kind: folder, path: v}", r"name: "),
        ("name: [1", r"not YAML at line"),
        ("- 1", r"expected a mapping.*found list"),
        ("format_version: 0\nname: x", r"format version 0|format version '0'"),
    ],
)
def test_every_mistake_is_one_sentence(text: str, says: str) -> None:
    with pytest.raises(CsmvError, match=says) as caught:
        DatasetConfig.from_yaml(text, "dataset.yaml")
    assert "\n" not in str(caught.value)


def test_a_section_is_recorded_once_and_replaces_the_one_of_its_name(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), DatasetConfig(name="t", n_shards=1, source=FolderSource(path="x")))
    record_section(store, "splits", SplitConfig(kind="video"))
    record_section(store, "splits", SplitConfig(kind="comment", name="mixed"))
    record_section(store, "splits", SplitConfig(kind="video", seed=7))
    record_section(store, "features", FeatureConfig(extractor="i3d"))
    record_section(store, "features", FeatureConfig(extractor="i3d", granularity="temporal"))
    record_section(store, "train", TrainConfig(model="text"))
    record_section(store, "train", TrainConfig(model="text"))
    record_section(store, "train", TrainConfig(model="text", seed=1))

    config = read_config(Store.open(str(tmp_path)))
    assert config == read_config(store)
    assert config.splits == (SplitConfig(kind="video", seed=7), SplitConfig(kind="comment", name="mixed"))
    assert [one.name for one in config.features] == ["i3d", "i3d_temporal"]
    assert [one.seed for one in config.train] == [3407, 1]
