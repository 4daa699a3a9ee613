"""csmv extract, csmv features and csmv extractors, as a person uses them."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tone_films import film

from csmv.flows.cli import main
from csmv.pipeline.config import DatasetConfig, FolderSource, read_config, record_section
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.root import media_path
from csmv.pipeline.schemas import VIDEOS
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.video_features import load_features

MFCC = ("-e", "mfcc", "--workers", "1")
"""The extractor that needs neither weights nor time."""


def csmv(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "csmv.flows.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("films")
    return [film(folder / "one.mp4"), film(folder / "two.mp4", 20)]


def test_loose_files_to_npz_parquet_and_npy(films: list[Path], tmp_path: Path) -> None:
    done = csmv("features", *films, *MFCC, "--out", tmp_path / "f.npz", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"one": {"mfcc": [3, 40]}, "two": {"mfcc": [1, 40]}}
    with np.load(tmp_path / "f.npz") as arrays:
        kept = {name: arrays[name] for name in arrays.files}
    assert csmv("features", *films, *MFCC, "--out", tmp_path / "f.parquet").returncode == 0
    table = pq.read_table(tmp_path / "f.parquet")
    assert table["video_id"].to_pylist() == ["one", "two"]
    np.testing.assert_array_equal(np.array(table["features"][0].as_py(), np.float32), kept["one"])
    assert table.schema.metadata[b"extractor"] == b"mfcc"
    assert csmv("features", films[0], *MFCC, "--out", tmp_path / "f.npy").returncode == 0
    np.testing.assert_array_equal(np.load(tmp_path / "f.npy"), kept["one"])


def test_another_decoder_is_named_in_what_it_made(films: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("decord")
    asked = ("-e", "resnet50", "--weights", "random", "--workers", "1", "--decoder", "decord")
    done = csmv("features", *films, *asked, "--out", tmp_path / "f.parquet")
    assert done.returncode == 0, done.stderr
    assert pq.read_schema(tmp_path / "f.parquet").metadata[b"decoder"] == b"decord"


def test_a_bad_file_is_named_and_the_others_are_kept(films: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    done = csmv("features", films[0], bad, *MFCC, "--out", tmp_path / "f.npz")
    assert done.returncode == 1
    assert "bad: no mfcc features: not_a_video" in done.stderr
    assert "Traceback" not in done.stderr
    with np.load(tmp_path / "f.npz") as arrays:
        assert arrays.files == ["one", "one/start"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["-e", "i3e", "--out", "f.npz"], 2, "did you mean 'i3d'"),
        (["-e", "mfcc", "--granularity", "temporal", "--out", "f.npz"], 2, "no granularity 'temporal'"),
        (["-e", "mfcc", "--out", "f.txt"], 2, "must end in .npz, .npy or .parquet"),
        (["-e", "mfcc", "--out", "nowhere/f.npz"], 1, "is not there"),
        (["-e", "mfcc", "--out", "f.npy", "-e", "clip"], 2, "one video by one extractor"),
        (["-e", "i3d", "--weights", "no/such.pt", "--out", "f.npz"], 1, "no weights file"),
        (["-e", "mfcc", "--device", "cuda", "--out", "f.npz"], 1, "no usable GPU"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str],
    code: int,
    sentence: str,
    films: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["csmv", "features", str(films[0]), *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == code
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


IDS = ["v1", "v2", "v3"]


def make_root(folder: Path) -> Store:
    """A root of two shards with three films."""
    store = Store.create(str(folder), DatasetConfig(name="t", n_shards=2, source=FolderSource(path="x")))
    for shard in store.shards():
        rows = [{"video_id": v, "media_status": "ok"} for v in IDS if store.shard_of(v) == shard]
        assert rows  # each shard has something to do
        store.write("videos", shard, pa.Table.from_pylist(rows, schema=VIDEOS.schema))
    for video in IDS:
        film(folder / media_path(store.shard_of(video), video))
    return store


def test_a_root_gets_features_once(tmp_path: Path) -> None:
    store = make_root(tmp_path)
    done = csmv("extract", "--root", tmp_path, *MFCC, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"mfcc": {"videos": 3, "failed": {}}}
    assert {video: vectors.shape for video, vectors in load_features(store, "mfcc").videos.items()} == dict.fromkeys(
        IDS, (3, 40)
    )
    before = {name: store.read_file(name) for name in store.files("features")}
    assert csmv("extract", "--root", tmp_path, *MFCC).returncode == 0
    assert {name: store.read_file(name) for name in store.files("features")} == before


def test_a_root_remembers_the_decoder_that_was_chosen(tmp_path: Path) -> None:
    pytest.importorskip("decord")
    store = make_root(tmp_path)
    for _ in range(2):  # the second finds what the first made to be as asked for
        done = csmv("extract", "--root", tmp_path, *MFCC, "--decoder", "decord", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"mfcc": {"videos": 3, "failed": {}}}
    assert [one.decoder for one in read_config(store).features] == ["decord"]
    unknown = csmv("extract", "--root", tmp_path, *MFCC, "--decoder", "ffmpeg")
    assert unknown.returncode == 2
    assert "'pyav', 'decord', 'torchcodec'" in " ".join(unknown.stderr.replace("│", " ").split())


def test_a_process_a_device_gives_the_same_bytes_and_reports_the_deviation(tmp_path: Path) -> None:
    one = make_root(tmp_path / "one")
    two = Store.open(str(shutil.copytree(tmp_path / "one", tmp_path / "two")))
    asked = (*MFCC, "--dtype", "float16")
    alone = csmv("extract", "--root", tmp_path / "one", *asked)
    assert alone.returncode == 0, alone.stderr
    assert re.search(r"mfcc: deviation from float32: relative L2 \S+, cosine \d\.\d+", alone.stdout)
    shared = csmv("extract", "--root", tmp_path / "two", *asked, "--device", "cpu,cpu", "--json")
    assert shared.returncode == 0, shared.stderr
    assert json.loads(shared.stdout)["mfcc"]["videos"] == 3
    names = one.files("features")
    assert len(names) == 2
    assert two.files("features") == names
    assert [two.read_file(name) for name in names] == [one.read_file(name) for name in names]


def test_a_dataset_that_names_several_devices_has_a_process_for_each(tmp_path: Path) -> None:
    make_root(tmp_path / "one")
    (tmp_path / "one" / media_path(Store.open(str(tmp_path / "one")).shard_of("v2"), "v2")).write_bytes(b"no video")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    tables: list[dict[str, bytes]] = []
    reasons: list[list[str]] = []
    for root, device in (("one", "cpu"), ("two", "cpu,cpu")):
        store = Store.open(str(tmp_path / root))
        record_section(store, "features", FeatureConfig(extractor="mfcc", device=device, workers=1))
        report = Dataset.open(store.root).run("features")
        assert (report.counts["videos"], report.reasons) == (3, {"not_a_video": 1})
        tables.append({name: store.read_file(name) for name in store.files("features")})
        reasons.append(store.read_all("failures/features/mfcc")["reason"].to_pylist())
    assert len(tables[0]) == 2
    assert tables[0] == tables[1]
    assert reasons[0] == reasons[1] == ["not_a_video"]


def test_a_device_that_fails_is_named_and_the_other_does_its_share(tmp_path: Path) -> None:
    store = make_root(tmp_path)
    done = csmv("extract", "--root", tmp_path, *MFCC, "--device", "cpu,cuda:7")
    assert done.returncode == 1
    assert "The process on cuda:7 failed: " in done.stderr
    assert "Traceback" not in done.stderr
    assert len(store.files("features")) == 1


def test_the_list_and_the_cards(tmp_path: Path) -> None:
    listed = csmv("extractors", "--json")
    names = {card["name"] for card in json.loads(listed.stdout)}
    assert {"i3d", "r2plus1d_18", "videomaev2_g", "videomae_b", "resnet50", "clip", "mfcc", "wav2vec2"} <= names
    card = csmv("extractors", "r2plus1d_18")
    assert "https://download.pytorch.org/models/r2plus1d_18-91a641e6.pth" in card.stdout
    assert "ResizeThenCrop(resize=(128, 171), size=(112, 112)" in card.stdout
