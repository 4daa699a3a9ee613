"""A feature shard holds every video that gives features, in the same bytes whatever was resumed."""

import json
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

from csmv.extractors import registry
from csmv.extractors.base import Extractor
from csmv.extractors.sampling import ClipRule
from csmv.extractors.transforms import EnlargeThenCrop, Stretch
from csmv.pipeline import compaction, feature_footer, feature_sets, renamed_sets
from csmv.pipeline import features as stage
from csmv.pipeline.config import DatasetConfig, FolderSource, read_config, record_section
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import failures_of
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.feature_sets import made_with, read_footer
from csmv.pipeline.features import extract_shard
from csmv.pipeline.parts import part_names
from csmv.pipeline.progress import Meter, metered
from csmv.pipeline.renamed_sets import rename_moved_sets
from csmv.pipeline.root import media_path
from csmv.pipeline.schemas import VIDEOS, TableSpec
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.inputs import run_inputs
from csmv.pipeline.vccsa.run_files import document_bytes
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.video_features import load_features
from csmv.pipeline.verify import verify
from csmv.pipeline.x264 import SAME_BYTES


class Tiny(Extractor):
    """A network small enough to run hundreds of times: mean colour through one linear layer."""

    name = "tiny"
    dim = 5
    rule = ClipRule()
    transform = Stretch((8, 8))
    granularities: ClassVar = {"clip": 1, "temporal": 2}

    def build(self, classes: int) -> nn.Module:
        return nn.Sequential(nn.Linear(3 * 8 * 8, 5))

    def normalise(self, clips: Tensor) -> Tensor:
        return clips / 255

    def forward(self, clips: Tensor) -> Tensor:
        halves = clips.unflatten(2, (2, 8)).mean(3)  # (B, 3, 2, 8, 8)
        rows: Tensor = self.module(halves.permute(0, 2, 1, 3, 4).flatten(2))
        return rows if self.granularity == "temporal" else rows.mean(1, keepdim=True)


TINY = FeatureConfig(extractor="tiny", weights="random", workers=1)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CSMV_PSEUDONYM_KEY", "one key, so that equal roots are equal bytes")
    monkeypatch.setitem(registry._classes, "tiny", Tiny)
    stage.load.cache_clear()
    yield
    stage.load.cache_clear()


def shoot(path: Path, frames: int, tone: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=24, options={"preset": "ultrafast"} | SAME_BYTES)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            image = np.full((32, 32, 3), (tone * 37 + number * 5) % 256, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def make_root(folder: Path, lengths: list[int]) -> Store:
    """A root of one shard with videos v00, v01, ... of so many frames."""
    store = Store.create(str(folder), DatasetConfig(name="t", n_shards=1, source=FolderSource(path="x")))
    rows = [{"video_id": f"v{n:02d}", "media_status": "ok"} for n in range(len(lengths))]
    store.write("videos", 0, pa.Table.from_pylist(rows, schema=VIDEOS.schema))
    for n, frames in enumerate(lengths):
        shoot(folder / media_path(0, f"v{n:02d}"), frames, n)
    return store


def shard_bytes(store: Store, name: str = "tiny") -> bytes:
    return store.read_file(f"features/{name}/0000.parquet")


def test_the_meter_counts_what_was_decoded_and_what_could_not_be(tmp_path: Path) -> None:
    store = make_root(tmp_path, [5, 16, 40])
    Path(store.path(media_path(0, "v01"))).write_bytes(b"no film")
    meter = Meter()

    with metered(meter):
        extract_shard(store, 0, TINY)

    reading = meter.read()
    assert (reading.items, reading.expected) == (3, 3)
    sizes = sum(path.stat().st_size for path in tmp_path.rglob("*.mp4"))
    assert reading.amounts.items() >= {"videos": 3, "windows": 3, "bytes": sizes}.items()
    assert reading.amounts["decode_seconds"] > 0
    assert sum(reading.reasons.values()) == 1


def test_a_row_a_video_with_a_vector_a_window(tmp_path: Path) -> None:
    store = make_root(tmp_path, [5, 16, 40])
    extract_shard(store, 0, TINY)
    found = load_features(store, "tiny").videos
    assert {video: vectors.shape for video, vectors in found.items()} == {
        "v00": (1, 5),
        "v01": (1, 5),
        "v02": (2, 5),
    }
    assert not found["v02"].flags.owndata


def test_the_footer_says_how_the_numbers_were_made(tmp_path: Path) -> None:
    store = make_root(tmp_path, [16])
    extract_shard(store, 0, TINY)
    footer = read_footer(store, "features/tiny", 0)
    assert footer is not None
    assert footer["extractor"] == "tiny"
    assert footer["weights"] == "random"
    assert len(footer["weights_sha256"]) == 64
    assert footer["clip_rule"] == "24 fps, 16 frames, step 16, at most 180"
    assert footer["dtype"] == "float32"
    assert footer["cpu_threads"] == str(torch.get_num_threads())
    assert "deviation_from_float32" not in footer


def test_a_set_can_be_made_again_from_what_its_footer_says(tmp_path: Path) -> None:
    store = make_root(tmp_path, [16])
    changes = {"granularity": "temporal", "dtype": "bfloat16", "storage": "float16", "max_clips": 7}
    asked = TINY.model_copy(update=changes)
    extract_shard(store, 0, asked)
    assert made_with(store, "tiny_temporal") == asked.model_copy(update={"workers": 0})
    assert made_with(store, "never_made") is None


def test_footers_of_earlier_versions_hold_the_most_windows_in_the_rule(tmp_path: Path) -> None:
    store = make_root(tmp_path, [16])
    extract_shard(store, 0, TINY.model_copy(update={"max_clips": 7}))
    table = store.read("features/tiny", 0)
    kept = {key: value for key, value in table.schema.metadata.items() if key != b"max_clips"}
    store.rewrite("features/tiny", 0, table.replace_schema_metadata(kept))
    found = made_with(store, "tiny")
    assert found is not None
    assert found.max_clips == 7


def test_weights_that_were_downloaded_are_found_again_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSMV_CACHE", str(tmp_path / "cache"))
    weights = tmp_path / "cache" / "weights" / "tiny.pt"
    weights.parent.mkdir(parents=True)
    torch.save({"0.weight": torch.ones(5, 192), "0.bias": torch.zeros(5)}, weights)
    store = make_root(tmp_path / "root", [16])
    extract_shard(store, 0, TINY.model_copy(update={"weights": str(weights)}))
    found = made_with(store, "tiny")
    assert found is not None
    assert found.weights == str(weights)


def test_the_footer_says_how_far_another_dtype_is_from_float32(tmp_path: Path) -> None:
    store = make_root(tmp_path, [16, 16])
    coarse = TINY.model_copy(update={"dtype": "bfloat16"})
    extract_shard(store, 0, coarse)
    footer = read_footer(store, "features/tiny", 0)
    assert footer is not None
    said = re.fullmatch(r"relative L2 (.+), cosine (.+)", footer["deviation_from_float32"])
    assert said is not None
    assert 1e-4 < float(said[1]) < 2e-2  # bfloat16 has 8 bits
    assert 0.999 < float(said[2]) <= 1
    # Measured on a fixed window, so a shard made in two goes has the same bytes.
    whole = shard_bytes(store)
    hidden = tmp_path / media_path(0, "v00")
    (tmp_path / "features/tiny/0000.parquet").unlink()
    hidden.rename(hidden.with_suffix(".later"))
    extract_shard(store, 0, coarse)
    hidden.with_suffix(".later").rename(hidden)
    stage.load.cache_clear()
    extract_shard(store, 0, coarse)
    assert shard_bytes(store) == whole


@pytest.mark.parametrize("batch_size", [1, 4])
def test_bytes_do_not_depend_on_what_was_resumed(tmp_path: Path, batch_size: int) -> None:
    lengths = [20, 33, 50, 16, 70, 90]
    config = TINY.model_copy(update={"batch_size": batch_size})
    whole = make_root(tmp_path / "whole", lengths)
    extract_shard(whole, 0, config)
    pieces = make_root(tmp_path / "pieces", lengths)
    hidden = {n: tmp_path / "pieces" / media_path(0, f"v{n:02d}") for n in (0, 2, 5)}
    for path in hidden.values():
        path.rename(path.with_suffix(".later"))
    extract_shard(pieces, 0, config)
    assert shard_bytes(pieces) != shard_bytes(whole)
    for path in hidden.values():
        path.with_suffix(".later").rename(path)
    extract_shard(pieces, 0, config)
    assert shard_bytes(pieces) == shard_bytes(whole)


def test_bytes_do_not_depend_on_when_it_was_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = [20, 33, 50]
    at_once, often = make_root(tmp_path / "a", lengths), make_root(tmp_path / "b", lengths)
    monkeypatch.setattr(compaction, "GROUP_ROWS", 2)
    extract_shard(at_once, 0, TINY)
    monkeypatch.setattr(stage, "COMMIT_BYTES", 1)
    extract_shard(often, 0, TINY)
    assert shard_bytes(at_once) == shard_bytes(often)
    with pq.ParquetFile(tmp_path / "b" / "features/tiny/0000.parquet") as file:
        assert file.num_row_groups == 2


def test_nothing_is_done_twice(tmp_path: Path) -> None:
    store = make_root(tmp_path, [16, 20])
    done: list[int] = []
    extract_shard(store, 0, TINY, tick=done.append)
    extract_shard(store, 0, TINY, tick=done.append)
    assert sum(done) == 2


def test_a_bad_file_costs_only_itself_and_is_tried_again_once_it_is_another(tmp_path: Path) -> None:
    store = make_root(tmp_path, [16, 20, 24])
    bad = tmp_path / media_path(0, "v01")
    good = bad.read_bytes()
    bad.write_bytes(b"")
    earlier = time.time() - 5  # a failure is dated by the second, so a file of the same second might be a newer one
    os.utime(bad, (earlier, earlier))
    ticks: list[int] = []
    extract_shard(store, 0, TINY, tick=ticks.append)
    assert sorted(load_features(store, "tiny").videos) == ["v00", "v02"]
    failures = store.read("failures/features/tiny", 0)
    assert failures is not None
    assert [(row["key"], row["reason"], row["attempts"]) for row in failures.to_pylist()] == [("v01", "empty_file", 1)]
    extract_shard(store, 0, TINY, tick=ticks.append)
    assert sum(ticks) == 3
    bad.write_bytes(good)
    later = time.time() + 5
    os.utime(bad, (later, later))
    extract_shard(store, 0, TINY)
    assert sorted(load_features(store, "tiny").videos) == ["v00", "v01", "v02"]
    assert failures_of(store) == {}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"dtype": "bfloat16"}, "dtype"),
        ({"storage": "float16"}, "storage"),
        ({"weights": "default"}, "weights"),
        ({"sha256": "00"}, "weights_sha256"),
    ],
)
def test_a_shard_made_otherwise_is_never_mixed_with_new_rows(tmp_path: Path, change: dict[str, str], word: str) -> None:
    store = make_root(tmp_path, [16])
    extract_shard(store, 0, TINY)
    with pytest.raises(CsmvError, match=word):
        extract_shard(store, 0, TINY.model_copy(update=change))


def test_other_weights_of_the_same_name_are_noticed(tmp_path: Path) -> None:
    store = make_root(tmp_path / "root", [16, 16])
    for number in (1, 2):
        torch.save(
            {"0.weight": torch.full((5, 192), float(number)), "0.bias": torch.zeros(5)}, tmp_path / f"{number}.pt"
        )
    path = tmp_path / "w.pt"
    (tmp_path / "1.pt").rename(path)
    config = TINY.model_copy(update={"weights": str(path)})
    hidden = tmp_path / "root" / media_path(0, "v01")
    hidden.rename(hidden.with_suffix(".later"))
    extract_shard(store, 0, config)
    hidden.with_suffix(".later").rename(hidden)
    (tmp_path / "2.pt").rename(path)
    stage.load.cache_clear()
    with pytest.raises(CsmvError, match="weights_sha256"):
        extract_shard(store, 0, config)


def test_two_sets_share_one_pass_and_granularities_have_their_own_place(tmp_path: Path) -> None:
    store = make_root(tmp_path, [16, 40])
    temporal = TINY.model_copy(update={"granularity": "temporal", "storage": "float16"})
    done: list[int] = []
    extract_shard(store, 0, TINY, temporal, tick=done.append)
    assert sum(done) == 2
    clip, rows = load_features(store, "tiny").videos, load_features(store, "tiny_temporal").videos
    assert rows["v01"].shape == (4, 5)
    assert rows["v01"].dtype == np.float16
    np.testing.assert_allclose(rows["v01"].reshape(2, 2, 5).mean(1), clip["v01"], atol=2e-3)


def extract_in_a_process(root: str) -> None:
    registry._classes["tiny"] = Tiny
    torch.set_num_threads(1)
    extract_shard(Store.open(root), 0, TINY)


def test_two_processes_that_extract_one_shard_write_every_video_once(tmp_path: Path) -> None:
    lengths = [40, 20, 33, 50, 16, 70]
    whole = make_root(tmp_path / "whole", lengths)
    pair = make_root(tmp_path / "pair", lengths)
    context = multiprocessing.get_context("spawn")
    for store, count in ((whole, 1), (pair, 3)):
        processes = [context.Process(target=extract_in_a_process, args=(store.root,)) for _ in range(count)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            assert process.exitcode == 0

    assert pair.read("features/tiny", 0)["video_id"].to_pylist() == [f"v{n:02d}" for n in range(6)]
    assert shard_bytes(pair) == shard_bytes(whole)
    assert not part_names(pair, "features/tiny", 0)


def test_rows_of_an_interrupted_run_are_read_and_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_root(tmp_path, [16, 40, 20])
    with monkeypatch.context() as patch:
        patch.setattr(stage, "compact", lambda *_: None)
        extract_shard(store, 0, TINY)
    assert not store.exists("features/tiny/0000.parquet")
    assert sorted(load_features(store, "tiny").videos) == ["v00", "v01", "v02"]
    done: list[int] = []
    extract_shard(store, 0, TINY, tick=done.append)
    assert (done, part_names(store, "features/tiny", 0)) == ([], [])
    assert store.read("features/tiny", 0).num_rows == 3


def test_a_damaged_part_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_root(tmp_path, [16, 40])
    with monkeypatch.context() as patch:
        patch.setattr(stage, "compact", lambda *_: None)
        extract_shard(store, 0, TINY)
    [name] = part_names(store, "features/tiny", 0)
    data = bytearray(store.read_file(name))
    data[len(data) // 2] ^= 1
    store.write_file(name, bytes(data))
    done: list[int] = []
    extract_shard(store, 0, TINY, tick=done.append)
    assert sum(done) == 2
    assert sorted(load_features(store, "tiny").videos) == ["v00", "v01"]


def test_another_media_file_gives_other_features(tmp_path: Path) -> None:
    store = make_root(tmp_path, [16, 40])

    def tell(**shas: str) -> None:
        rows = [{"video_id": video, "media_status": "ok", "media_sha256": sha} for video, sha in shas.items()]
        store.write("videos", 0, pa.Table.from_pylist(rows, schema=VIDEOS.schema))

    tell(v00="a" * 64, v01="b" * 64)
    extract_shard(store, 0, TINY)
    before = dict(load_features(store, "tiny").videos)
    shoot(tmp_path / media_path(0, "v01"), 64, 9)
    assert stage.missing(store, 0, TINY) == []
    tell(v00="a" * 64, v01="c" * 64)
    assert stage.missing(store, 0, TINY) == ["v01"]
    extract_shard(store, 0, TINY)
    after = load_features(store, "tiny").videos
    assert np.array_equal(after["v00"], before["v00"])
    assert len(after["v01"]) == 4
    assert store.read("features/tiny", 0)["media_sha256"].to_pylist() == ["a" * 64, "c" * 64]
    tell(v00="a" * 64)
    extract_shard(store, 0, TINY)
    assert sorted(load_features(store, "tiny").videos) == ["v00"]


def test_a_file_that_was_deleted_before_the_set_was_asked_for_is_told(tmp_path: Path) -> None:
    store = make_root(tmp_path, [16, 40])
    rows = store.read("videos", 0).to_pylist()
    rows[1]["media_status"] = "deleted"
    store.write("videos", 0, pa.Table.from_pylist(rows, schema=VIDEOS.schema))
    store.remove(media_path(0, "v01"))
    extract_shard(store, 0, TINY)
    assert [(row["key"], row["reason"]) for row in failures_of(store)["features/tiny"].to_pylist()] == [
        ("v01", "missing_media")
    ]


def test_shards_without_videos_are_written_too(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), DatasetConfig(name="t", n_shards=2, source=FolderSource(path="x")))
    video = next(name for name in map(str, range(99)) if store.shard_of(name) == 1)
    store.write("videos", 0, VIDEOS.schema.empty_table())
    row = {"video_id": video, "media_status": "ok"}
    store.write("videos", 1, pa.Table.from_pylist([row], schema=VIDEOS.schema))
    shoot(tmp_path / media_path(1, video), 16, 1)
    for shard in (0, 1):
        extract_shard(store, shard, TINY)
    stage.complete(store, TINY)
    assert [store.read("features/tiny", shard).num_rows for shard in (0, 1)] == [0, 1]
    store.remove("features/tiny/0000.parquet")
    with pytest.raises(CsmvError, match="should be in the root"):
        store.read("features/tiny", 0)


def test_an_unknown_extractor_is_one_sentence_that_names_the_nearest(tmp_path: Path) -> None:
    store = make_root(tmp_path, [16])
    with pytest.raises(CsmvError, match="did you mean 'tiny'"):
        extract_shard(store, 0, FeatureConfig(extractor="tinny", weights="random"))


def test_the_default_decoder_leaves_footers_and_digests_as_they_were(tmp_path: Path) -> None:
    store = make_root(tmp_path, [16])
    extract_shard(store, 0, TINY)
    footer = feature_sets.read_footer(store, "features/tiny", 0)
    assert footer is not None and "decoder" not in footer
    made_before = "50a4d84dcedb3d0414bbb11dc8f0e4f93ca0fe69aa8a74f814a9cc0638daf723"
    assert feature_sets.made_from_of_footer({b"extractor": b"tiny", b"dtype": b"float32"}) == made_before
    other = feature_sets.made_from_of_footer({b"extractor": b"tiny", b"dtype": b"float32", b"decoder": b"decord"})
    assert other != made_before


def test_another_decoder_is_recorded_and_never_mixed_with_the_default(tmp_path: Path) -> None:
    pytest.importorskip("decord")
    by_decord = TINY.model_copy(update={"decoder": "decord"})
    store = make_root(tmp_path / "decord", [5, 40])
    extract_shard(store, 0, by_decord)
    footer = feature_sets.read_footer(store, "features/tiny", 0)
    assert footer is not None
    assert footer["decoder"] == "decord"
    assert ", decord " in footer["versions"]
    assert made_with(store, "tiny") == by_decord.model_copy(update={"workers": 0})
    assert feature_sets.disagreement(store, 0, by_decord) == ""
    with pytest.raises(CsmvError, match="made with decoder 'decord', and 'pyav' is asked for"):
        extract_shard(store, 0, TINY)

    plain = make_root(tmp_path / "pyav", [5, 40])
    extract_shard(plain, 0, TINY)
    assert "made with decoder 'pyav', and 'decord' is asked for" in feature_sets.disagreement(plain, 0, by_decord)
    for video, vectors in load_features(plain, "tiny").videos.items():
        np.testing.assert_allclose(load_features(store, "tiny").videos[video], vectors, atol=0.01)


def test_a_set_of_sound_is_the_same_whatever_decoder_is_chosen(tmp_path: Path) -> None:
    pytest.importorskip("decord")
    sound = FeatureConfig(extractor="mfcc", workers=1)
    store = make_root(tmp_path, [16])
    extract_shard(store, 0, sound)
    silent = store.read("failures/features/mfcc", 0)["reason"].to_pylist()
    assert silent == ["no_audio"]
    network = stage.load(sound)
    chosen = sound.model_copy(update={"decoder": "decord"})
    assert feature_footer.footer(chosen, network) == stage.footer(sound, network)


def test_what_another_decoder_did_not_read_the_default_tries(tmp_path: Path) -> None:
    pytest.importorskip("decord")
    by_decord = TINY.model_copy(update={"decoder": "decord"})
    store = make_root(tmp_path, [16])
    film = tmp_path / media_path(0, "v00")
    with av.open(str(film), "w", format="avi") as out:  # which keeps no display times
        stream: Any = out.add_stream("libx264", rate=24, options={"bf": "3", "b_strategy": "0"} | SAME_BYTES)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    earlier = time.time() - 100  # failures are dated to the second
    os.utime(film, (earlier, earlier))

    extract_shard(store, 0, by_decord)
    [failure] = store.read("failures/features/tiny", 0).to_pylist()
    assert (failure["reason"], failure["detail"].split(";")[1]) == ("decoder_limit", " the decoder pyav may read it")
    assert stage.missing(store, 0, by_decord) == []

    assert stage.missing(store, 0, TINY) == ["v00"]
    extract_shard(store, 0, TINY)
    assert set(load_features(store, "tiny").videos) == {"v00"}
    assert store.read("failures/features/tiny", 0).num_rows == 0


def test_a_decoder_that_is_not_installed_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    store = make_root(tmp_path, [16])
    with pytest.raises(CsmvError, match=r"'decord' cannot be used here \(not installed\): .pip install decord"):
        extract_shard(store, 0, TINY.model_copy(update={"decoder": "decord"}))
    assert not store.files("features")


# ---------------------------------------------------------------------- damage


def overwrite(path: Path, numbers: range) -> None:
    """Overwrite the pictures of these numbers."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for number, packet in enumerate(container.demux(container.streams.video[0])):
            if number in numbers and packet.pos is not None:
                data[packet.pos + 5 : packet.pos + packet.size] = bytes(packet.size - 5)
    path.write_bytes(data)


def test_damage_is_told_and_too_much_of_it_is_a_failure(tmp_path: Path) -> None:
    store = make_root(tmp_path, [60, 60, 60])
    overwrite(tmp_path / media_path(0, "v01"), range(20, 22))
    overwrite(tmp_path / media_path(0, "v02"), range(20, 40))
    for path in tmp_path.rglob("*.mp4"):
        os.utime(path, (1, 1))  # a file that is newer than its failure is tried again
    extract_shard(store, 0, TINY)

    rows = {row["key"]: row for row in failures_of(store)["features/tiny"].to_pylist()}
    assert {key: (row["reason"], row["class"]) for key, row in rows.items()} == {
        "v01": ("partly_damaged", "warning"),
        "v02": ("damaged", "media"),
    }
    assert "frames, 0.0" in rows["v01"]["detail"] and "of 2.50 seconds" in rows["v01"]["detail"]
    assert load_features(store, "tiny").videos.keys() == {"v00", "v01"}
    footer = read_footer(store, "features/tiny", 0)
    assert footer is not None and footer["damaged_videos"] == "1"
    assert stage.missing(store, 0, TINY) == []

    extract_shard(store, 0, TINY.model_copy(update={"max_damage": 0.5}))
    assert load_features(store, "tiny").videos.keys() == {"v00", "v01", "v02"}
    footer = read_footer(store, "features/tiny", 0)
    assert footer is not None and footer["damaged_videos"] == "2"


# ---------------------------------------------------------------------- an extractor that changed its preprocessing


class TinyOfOld(Tiny):
    """Under this name what `tiny` did goes on."""

    name = "tiny:of-old"


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A root with the set `tiny`, whose extractor has learnt another preprocessing since; and a run trained on it."""
    store = make_root(tmp_path, [20, 40])
    extract_shard(store, 0, TINY)
    record_section(store, "features", TINY)
    run = TrainConfig(model="vccsa", features=("tiny",))
    record_section(store, "train", run)
    document = {"config": run.model_dump(mode="json"), "inputs": run_inputs(store, run)}
    store.write_file("models/first/run.json", document_bytes(document))

    monkeypatch.setitem(registry._classes, "tiny:of-old", TinyOfOld)
    monkeypatch.setattr(Tiny, "predecessor", "tiny:of-old")
    monkeypatch.setattr(TinyOfOld, "predecessor", "", raising=False)
    monkeypatch.setattr(TinyOfOld, "transform", Tiny.transform, raising=False)
    monkeypatch.setattr(Tiny, "transform", EnlargeThenCrop(10, (8, 8)))
    stage.load.cache_clear()
    return store


def test_a_set_of_before_the_preprocessing_changed_is_never_extended(changed: Store) -> None:
    before = shard_bytes(changed)
    with pytest.raises(CsmvError, match=r"which is 'tiny:of-old' now: `csmv migrate .*` gives the set that name"):
        extract_shard(changed, 0, TINY)
    assert shard_bytes(changed) == before
    asked = made_with(changed, "tiny")
    assert asked is not None and asked.extractor == "tiny:of-old"  # a new video gets vectors made as they were


@pytest.mark.parametrize("interrupted", [False, True])
def test_the_set_takes_its_new_name_and_what_speaks_of_it_follows(
    changed: Store, monkeypatch: pytest.MonkeyPatch, interrupted: bool
) -> None:
    vectors = load_features(changed, "tiny").videos
    if interrupted:
        with monkeypatch.context() as once:
            once.setattr(renamed_sets, "_remove", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                rename_moved_sets(changed)

    assert rename_moved_sets(changed) == ["tiny-of-old"]

    assert not changed.files("features/tiny") and not changed.files("manifest/features/tiny")
    there = load_features(changed, "tiny-of-old").videos
    assert {video: rows.tobytes() for video, rows in there.items()} == {v: r.tobytes() for v, r in vectors.items()}
    assert not [problem for problem in verify(changed).problems if "features/" in problem.file]
    config = read_config(changed)
    assert [one.extractor for one in config.features] == ["tiny:of-old"]
    assert [one.features for one in config.train] == [("tiny-of-old",)]
    document = json.loads(changed.read_file("models/first/run.json"))
    run = TrainConfig.model_validate(document["config"])
    assert run.features == ("tiny-of-old",) and document["inputs"] == run_inputs(changed, run)
    assert rename_moved_sets(changed) == []


def test_after_that_both_ways_go_on_under_their_own_names(changed: Store) -> None:
    rename_moved_sets(changed)
    old = TINY.model_copy(update={"extractor": "tiny:of-old"})
    extract_shard(changed, 0, old)
    extract_shard(changed, 0, TINY)
    footer = read_footer(changed, "features/tiny", 0)
    assert footer is not None and footer["preprocessing"] == repr(EnlargeThenCrop(10, (8, 8)))
    assert "preprocessing" not in (read_footer(changed, "features/tiny-of-old", 0) or {})
    extract_shard(changed, 0, TINY)  # what says how it was made is known as its own
    assert changed.made_from("features/tiny", 0) != changed.made_from("features/tiny-of-old", 0)


def test_a_configuration_that_a_person_wrote_stays_and_is_told(changed: Store) -> None:
    text = f"# mine\n{read_config(changed).to_yaml()}"
    changed.write_file("dataset.yaml", text.encode())
    told: list[str] = []
    rename_moved_sets(changed, told.append)
    assert changed.read_file("dataset.yaml").decode() == text
    assert len(told) == 1 and "write `extractor: 'tiny:of-old'` under features" in told[0]


def test_another_set_of_the_new_name_is_not_written_over(changed: Store) -> None:
    rows = changed.read("features/tiny", 0)
    assert rows is not None
    changed.write("features/tiny-of-old", 0, rows.slice(0, 1), TableSpec(rows.schema, key=("video_id",)))
    with pytest.raises(CsmvError, match="is there already with other vectors"):
        rename_moved_sets(changed)
    assert changed.files("features/tiny")
