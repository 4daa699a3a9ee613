"""`csmv extract`, `split`, `train` and `predict` one after the other, as the README shows them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from csmv.extractors import create
from csmv.extractors.weights import file_sha256, random_state
from csmv.pipeline.config import DatasetConfig, FolderSource, read_config, record_section
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.demo.sample.films import Film, make_film
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.features import load
from csmv.pipeline.own_weights import located
from csmv.pipeline.root import media_path
from csmv.pipeline.schemas import COMMENTS, LABELS, VIDEOS
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.store import Store

Run = Callable[..., "subprocess.CompletedProcess[str]"]

EXTRACTOR = "timm:test_resnet"
WORDS = {"positive": "love it", "neutral": "which song", "negative": "so bad"}
SMALL = ("--set", "epochs=1", "--set", "sizes.visual_dim=16", "--set", "text.tiny_dim=16", "--set", "sizes.scales=2")
PLAIN = DatasetConfig(name="t", n_shards=2, source=FolderSource(path="x"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    make_film(Film("film", "party", 160, 284, 24, 2.0, 1), path)
    return path


@pytest.fixture
def root(film: Path, tmp_path: Path) -> str:
    """Six videos with three comments each, and nothing yet made of them."""
    store = Store.create(str(tmp_path / "root"), PLAIN)
    tables: dict[int, list[dict[str, Any]]] = {shard: [] for shard in store.shards()}
    for number in range(6):
        tables[store.shard_of(f"v{number}")].append({"video_id": f"v{number}", "media_status": "ok"})
    for shard, videos in tables.items():
        comments = [
            {"comment_id": f"{row['video_id']}-{opinion}", "video_id": row["video_id"], "text": text}
            for row in videos
            for opinion, text in WORDS.items()
        ]
        labels = [
            {"comment_id": row["comment_id"], "opinion": opinion, "emotion": "joy", "source": "published"}
            for row in comments
            for opinion in [row["comment_id"].partition("-")[2]]
        ]
        store.write("videos", shard, pa.Table.from_pylist(videos, schema=VIDEOS.schema))
        store.write("comments", shard, pa.Table.from_pylist(comments, schema=COMMENTS.schema))
        store.write("labels", shard, pa.Table.from_pylist(labels, schema=LABELS.schema))
        for row in videos:
            target = Path(store.path(media_path(shard, row["video_id"])))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(film, target)
    return store.root


def answers(csmv: Run, root: str, film: Path, run: str) -> Any:
    asked = csmv("predict", film, "--comment", "love it", "--root", root, "--run", run, "--json")
    assert asked.returncode == 0, asked.stderr
    return json.loads(asked.stdout)


def test_commands_in_a_row_need_no_configuration_written_by_hand(
    csmv_inside: Run, root: str, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    csmv = csmv_inside
    for command in (
        ("extract", "--root", root, "--extractor", EXTRACTOR, "--weights", "random", "--workers", 1),
        ("split", "--root", root, "--kind", "video"),
        ("train", "--root", root, "--model", "vccsa", "--features", "timm-test_resnet", "--split", "video", *SMALL),
    ):
        done = csmv(*command)
        assert done.returncode == 0, done.stderr
    [run] = {name.split("/")[1] for name in Store.open(root).files("models")}
    [answer] = answers(csmv, root, film, run)
    assert len(answer["windows"]) == 3

    # What the commands did stands in the configuration, once however often they run.
    config = read_config(Store.open(root))
    assert config.features == (FeatureConfig(extractor=EXTRACTOR, weights="random", workers=1),)
    assert config.splits == (SplitConfig(kind="video"),)
    assert [(one.model, one.features) for one in config.train] == [("vccsa", ("timm-test_resnet",))]
    assert csmv("split", "--root", root, "--kind", "video").returncode == 0
    assert "was finished already" in csmv("train", "--root", root).stdout
    assert read_config(Store.open(root)) == config

    # Without it, the shards' own footers say how the features were made.
    Store.create(root, PLAIN)
    assert answers(csmv, root, film, run) == [answer]

    # A new video is decoded as the set's videos are.
    by_decord = FeatureConfig(extractor=EXTRACTOR, weights="random", decoder="decord")
    record_section(Store.open(root), "features", by_decord)
    with monkeypatch.context() as hidden:
        hidden.setitem(sys.modules, "decord", None)
        lacking = csmv("predict", film, "--comment", "love it", "--root", root, "--run", run)
    assert lacking.returncode == 1
    assert "The decoder 'decord' cannot be used here (not installed)" in lacking.stderr

    # Other weights would give vectors of the same width that the model has never seen.
    network = create(EXTRACTOR, "random")
    torch.save(random_state(network.build(network.classes), network.random_rule, seed=1), tmp_path / "other.pt")
    record_section(Store.open(root), "features", FeatureConfig(extractor=EXTRACTOR, weights=str(tmp_path / "other.pt")))
    refused = csmv("predict", film, "--comment", "love it", "--root", root, "--run", run)
    assert refused.returncode == 1
    (tmp_path / "other.pt").unlink()
    load.cache_clear()
    missing = csmv("predict", film, "--comment", "love it", "--root", root, "--run", run)
    assert missing.returncode == 1
    assert "There is no weights file" in missing.stderr
    assert "under features in dataset.yaml" in missing.stderr
    assert "are not those that features/timm-test_resnet was made with" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_run_with_a_name_of_its_own_is_not_trained_again_under_another(csmv_inside: Run, root: str) -> None:
    assert csmv_inside("split", "--root", root).returncode == 0
    done = csmv_inside("train", "--root", root, "--model", "majority", "--split", "video", "--run", "mine")
    assert done.returncode == 0, done.stderr
    assert read_config(Store.open(root)).train == ()


def test_a_local_weights_file_is_published_by_name_and_digest_and_found_again(
    csmv_inside: Run, root: str, film: Path, tmp_path: Path
) -> None:
    network = create(EXTRACTOR, "random")
    own = tmp_path / "at home" / "own.pt"
    own.parent.mkdir()
    torch.save(random_state(network.build(network.classes), network.random_rule, seed=1), own)
    extract = ("extract", "--root", root, "--extractor", EXTRACTOR, "--workers", 1, "--weights")
    assert csmv_inside(*extract, own).returncode == 0

    [config] = read_config(Store.open(root)).features
    assert (config.weights, config.sha256) == ("own.pt", file_sha256(own))
    texts = [path.read_bytes() for path in Path(root).rglob("*") if path.is_file() and "private" not in path.parts]
    assert not any(b"at home" in text for text in texts)

    # The next stage of the same machine finds the file by what private/ keeps.
    shard = Path(root, "features", "timm-test_resnet", "0000.parquet")
    vectors = pq.read_table(shard)["features"]
    shutil.rmtree(shard.parent)
    load.cache_clear()
    Dataset.open(root).run("features")
    assert pq.read_table(shard)["features"] == vectors

    # Elsewhere it is named, and what to do about it.
    own.rename(tmp_path / "moved.pt")
    load.cache_clear()
    with pytest.raises(CsmvError, match=r"weights file own\.pt .* does not lie where it was"):
        load(located(Store.open(root), config))
    assert csmv_inside(*extract, tmp_path / "moved.pt").returncode == 0
