"""A configuration says what is wrong with it in one sentence, and comes back from YAML as it went in."""

import pytest

from pipeline.config import DatasetConfig, FolderSource
from pipeline.errors import CsmvError
from pipeline.splits import SplitConfig

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
