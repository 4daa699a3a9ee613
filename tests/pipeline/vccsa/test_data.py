"""What a root holds becomes what training sees: irregular rows are counted, wrong ones stop it."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from accelerate import Accelerator

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import NO_LABEL
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.batches import USUAL_TOKENS, Batches, train_statistics
from csmv.pipeline.vccsa.data import load_corpus
from csmv.pipeline.vccsa.loop import answer
from csmv.pipeline.vccsa.networks import assemble
from csmv.pipeline.vccsa.text import HashTokenizer
from csmv.pipeline.vccsa.train_config import TrainConfig

CONFIG = TrainConfig(features=("synthetic",))


def change(store: Store, table: str, comment_id: str, **values: str | None) -> None:
    for shard in store.shards():
        rows = store.read(table, shard)
        if rows is not None and comment_id in rows.column("comment_id").to_pylist():
            data = [row | values if row["comment_id"] == comment_id else row for row in rows.to_pylist()]
            store.write(table, shard, pa.Table.from_pylist(data, schema=rows.schema))


def part_of(store: Store, comment_id: str) -> str:
    rows = store.read_split("comment")
    return rows.filter(pc.equal(rows.column("comment_id"), comment_id)).column("split")[0].as_py()


def first_of(store: Store, part: str) -> str:
    rows = store.read_split("comment")
    return rows.filter(pc.equal(rows.column("split"), part)).column("comment_id")[0].as_py()


def test_a_clean_root_has_nothing_to_report(root: Store) -> None:
    corpus = load_corpus(root, CONFIG)

    assert {part: set(found) for part, found in corpus.counts.items()} == {
        part: {"comments"} for part in ("train", "dev", "test")
    }
    assert sum(found["comments"] for found in corpus.counts.values()) == len(corpus.texts) == 30 * 16


def test_missing_labels_are_counted_and_masked_or_dropped(new_root) -> None:
    store = new_root()
    half, none = first_of(store, "train"), first_of(store, "test")
    change(store, "labels", half, opinion=None)
    change(store, "labels", none, opinion=None, emotion=None)

    corpus = load_corpus(store, CONFIG)

    assert corpus.counts["train"]["without_opinion"] == 1
    assert corpus.opinion[corpus.comment_ids.index(half)] == NO_LABEL
    assert corpus.counts["test"]["without_any_label"] == 1
    assert none not in corpus.comment_ids


def test_several_labellers_are_settled(new_root) -> None:
    store = new_root()
    chosen = first_of(store, "train")
    shard = next(
        k
        for k in store.shards()
        if (rows := store.read("labels", k)) is not None and chosen in rows.column("comment_id").to_pylist()
    )
    rows = store.read("labels", shard)
    kept = [row for row in rows.to_pylist() if row["comment_id"] != chosen]

    def labelled(*votes: tuple[str, str | None]) -> int:
        new = [{"comment_id": chosen, "source": who, "opinion": what, "emotion": "joy"} for who, what in votes]
        store.write("labels", shard, pa.Table.from_pylist(kept + new, schema=rows.schema))
        corpus = load_corpus(store, CONFIG)
        return int(corpus.opinion[corpus.comment_ids.index(chosen)])

    assert labelled(("a", "neutral"), ("b", "neutral"), ("c", "negative")) == 1
    assert labelled(("a", "neutral"), ("b", "negative")) == NO_LABEL
    assert labelled(("a", "neutral"), ("b", "neutral"), ("adjudicated", "negative")) == 2
    assert labelled(("published", "positive"), ("b", "neutral")) == 0


def test_videos_without_features_or_windows_are_counted_and_stay(new_root, write_features) -> None:
    store = new_root()
    shard = next(k for k in store.shards() if store.read("features/synthetic", k) is not None)
    rows = store.read("features/synthetic", shard).to_pylist()
    videos = {row["video_id"]: np.array(row["features"], dtype=np.float32) for row in rows}
    gone, empty, *_ = videos
    del videos[gone]
    videos[empty] = np.zeros((0, 32), dtype=np.float32)
    write_features(store, "synthetic", shard, videos)

    corpus = load_corpus(store, CONFIG)

    assert sum(found["without_features"] for found in corpus.counts.values() if "without_features" in found) == 32
    assert sum(found["comments"] for found in corpus.counts.values()) == 30 * 16
    batches = Batches(corpus, CONFIG, HashTokenizer(64).encode(corpus.texts, 16), 0)
    rows = np.array([k for k, video in enumerate(corpus.video_ids) if video in (gone, empty)])
    assert not batches.join(rows, training=False).streams[0].seen.any()


def test_features_missing_for_most_stop_training(new_root) -> None:
    store = new_root()
    for shard in store.shards():
        rows = store.read("features/synthetic", shard)
        if rows is not None and shard:
            store.rewrite("features/synthetic", shard, rows.slice(0, 0))
    with pytest.raises(CsmvError, match=r"of \d+ train comments have no vectors"):
        load_corpus(store, CONFIG)


def test_shards_of_different_widths_stop_training(new_root, write_features) -> None:
    store = new_root()
    shard = max(k for k in store.shards() if store.read("features/synthetic", k) is not None)
    ids = store.read("features/synthetic", shard).column("video_id").to_pylist()
    write_features(store, "synthetic", shard, {video: np.zeros((2, 16), dtype=np.float32) for video in ids})
    with pytest.raises(CsmvError, match="32 numbers in one shard and 16"):
        load_corpus(store, CONFIG)


def test_a_number_that_is_none_stops_training_and_names_the_video(new_root, write_features) -> None:
    store = new_root()
    shard = next(k for k in store.shards() if store.read("features/synthetic", k) is not None)
    rows = store.read("features/synthetic", shard).to_pylist()
    videos = {row["video_id"]: np.array(row["features"], dtype=np.float32) for row in rows}
    bad = list(videos)[-1]
    videos[bad][1, 3] = np.nan
    write_features(store, "synthetic", shard, videos)
    with pytest.raises(CsmvError, match=f"NaN or infinity for video {bad}"):
        load_corpus(store, CONFIG)


def test_absent_features_say_how_to_make_them(root: Store) -> None:
    with pytest.raises(CsmvError, match="csmv extract --extractor i3d"):
        load_corpus(root, CONFIG.replace({"features": ("i3d",)}))
    assert load_corpus(root, CONFIG.replace({"features": ("i3d",), "model": "text"})).features == ()


def test_ids_that_the_root_does_not_have_are_counted(new_root) -> None:
    store = new_root()
    rows = store.read_split("comment").to_pylist()
    store.write_split("comment", pa.Table.from_pylist([*rows, {"comment_id": "zz", "video_id": "1", "split": "test"}]))
    corpus = load_corpus(store, CONFIG)
    assert corpus.counts["test"]["unknown_to_the_root"] == 1


def test_a_split_of_other_data_or_with_an_empty_part_stops_training(new_root) -> None:
    store = new_root()
    rows = store.read_split("comment").to_pylist()
    store.write_split("comment", pa.Table.from_pylist([row | {"comment_id": f"x{k}"} for k, row in enumerate(rows)]))
    with pytest.raises(CsmvError, match="no labelled comment in train"):
        load_corpus(store, CONFIG)
    moved = [rows[0] | {"video_id": "1"}, *rows[1:]]
    store.write_split("comment", pa.Table.from_pylist(moved))
    with pytest.raises(CsmvError, match="under another video"):
        load_corpus(store, CONFIG)


def test_anything_a_model_could_see_changes_the_fingerprint(new_root) -> None:
    store = new_root()
    seen = {load_corpus(store, CONFIG).fingerprint}
    chosen = first_of(store, "train")
    for table, values in (("comments", {"text": "other words"}), ("labels", {"opinion": None})):
        change(store, table, chosen, **values)
        seen.add(load_corpus(store, CONFIG).fingerprint)
    assert len(seen) == 3


def test_frames_are_views_of_what_was_read(root: Store) -> None:
    corpus = load_corpus(root, CONFIG)
    assert all(not frames.flags.owndata for frames in corpus.features[0].videos.values())


def test_large_sets_are_mapped_from_disk_and_equal(root: Store, monkeypatch, tmp_path) -> None:
    in_memory = load_corpus(root, CONFIG).features[0]
    monkeypatch.setenv("CSMV_FEATURE_MEMORY", "4000")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    mapped = load_corpus(root, CONFIG).features[0]

    assert mapped.fingerprint == in_memory.fingerprint
    assert any(isinstance(frames, np.memmap) for frames in mapped.videos.values())
    for video, frames in in_memory.videos.items():
        np.testing.assert_array_equal(frames, mapped.videos[video])
    assert not list((tmp_path / "csmv").iterdir())


def test_batches_hold_each_comment_once_and_each_video_once(root: Store) -> None:
    corpus = load_corpus(root, CONFIG)
    batches = Batches(corpus, CONFIG, HashTokenizer(64).encode(corpus.texts, 16), 0)
    epoch = batches.of_epoch(3)

    assert sorted(np.concatenate(epoch)) == sorted(corpus.rows("train"))
    assert any((a != b).any() for a, b in zip(epoch, batches.of_epoch(4), strict=True) if len(a) == len(b))
    batch = batches.join(epoch[0], training=True)
    videos = {corpus.video_ids[row] for row in epoch[0]}
    assert batch.streams[0].frames.shape[0] == len(videos)
    for k, row in enumerate(epoch[0]):
        frames = corpus.features[0].of(corpus.video_ids[row])
        np.testing.assert_array_equal(batch.streams[0].frames[batch.video_of[k], : len(frames)].numpy(), frames)


@pytest.mark.parametrize("bucketed", [True, False])
def test_comments_of_a_video_share_batches_when_asked(root: Store, bucketed: bool) -> None:
    corpus = load_corpus(root, CONFIG)

    def epoch(together: int) -> list[np.ndarray]:
        config = CONFIG.replace({"comments_per_video": together, "batch_size": 12, "bucket_by_length": bucketed})
        batches = Batches(corpus, config, HashTokenizer(64).encode(corpus.texts, 16), 0)
        return batches.of_epoch(2)

    alone, four = epoch(1), epoch(4)

    assert sorted(np.concatenate(four)) == sorted(corpus.rows("train"))
    assert sorted(map(len, four)) == sorted(map(len, alone))
    videos = [
        np.mean([len({corpus.video_ids[row] for row in batch}) for batch in batches]) for batches in (alone, four)
    ]
    assert videos[1] < 0.55 * videos[0], videos
    assert all((a == b).all() for a, b in zip(four, epoch(4), strict=True))


def test_the_released_model_is_evaluated_at_full_length_unless_padded_rows_are_equal(root: Store) -> None:
    config = CONFIG.replace({"model": "vccsa-paper", "sizes.paper_text_length": 40})
    corpus = load_corpus(root, config)
    ids = HashTokenizer(64).encode(corpus.texts, 16)
    rows = np.arange(4)

    for equal, length in ((False, 40), (True, max(len(ids[row]) for row in rows) + 1)):
        batches = Batches(corpus, config, ids, 0, padded_rows_are_equal=equal)
        assert batches.join(rows, training=False).ids.shape[1] == length
        assert batches.join(rows, training=True).ids.shape[1] == 40


def test_videos_longer_than_what_is_used_are_counted(root: Store) -> None:
    counts = load_corpus(root, CONFIG.replace({"sizes.visual_length": 8})).counts
    assert 0 < counts["train"]["with_cut_video"] < counts["train"]["comments"]


def test_sets_of_different_rates_are_aligned_or_kept_apart(new_root, write_features) -> None:
    store = new_root()
    for shard in store.shards():
        rows = store.read("features/synthetic", shard)
        if rows is not None:
            write_features(
                store,
                "doubled",
                shard,
                {row["video_id"]: np.repeat(row["features"], 2, axis=0)[:, :8] for row in rows.to_pylist()},
            )
    both = {"features": ("synthetic", "doubled")}
    for combine, dims in (("concatenate", [40]), ("streams", [32, 8])):
        config = CONFIG.replace({**both, "combine": combine})
        corpus = load_corpus(store, config)
        batches = Batches(corpus, config, HashTokenizer(64).encode(corpus.texts, 16), 0)
        batch = batches.join(batches.of_epoch(0)[0], training=True)
        assert batches.dims == dims == [stream.frames.shape[2] for stream in batch.streams]
        if combine == "concatenate":
            frames = batch.streams[0].frames
            torch_equal = (frames[..., :8] == frames[..., 32:]).all()
            assert torch_equal
        else:
            assert (batch.streams[1].seen.sum(1) == 2 * batch.streams[0].seen.sum(1)).all()


def test_statistics_are_those_of_the_train_videos(root: Store) -> None:
    corpus = load_corpus(root, CONFIG)
    batches = Batches(corpus, CONFIG, HashTokenizer(64).encode(corpus.texts, 16), 0)
    [(mean, spread)] = train_statistics(batches)
    frames = np.concatenate([corpus.features[0].of(v) for v in {corpus.video_ids[k] for k in corpus.rows("train")}])
    np.testing.assert_allclose(mean, frames.mean(0), rtol=1e-5)
    np.testing.assert_allclose(spread, frames.std(0), rtol=1e-3)


def test_texts_are_scored_among_texts_of_like_length(root: Store) -> None:
    config = CONFIG.replace({"model": "text"})
    corpus = load_corpus(root, config)
    lengths = np.random.default_rng(0).geometric(0.08, len(corpus.texts)).clip(1, 128)
    batches = Batches(corpus, config, [[1] * length for length in lengths], 0)
    rows = corpus.rows("train")

    scored = batches.for_scoring(rows, size=8)

    assert sorted(np.concatenate(scored)) == sorted(rows)
    padded = [len(batch) * lengths[batch].max() for batch in scored]
    assert all(size <= 8 * USUAL_TOKENS or len(batch) == 1 for size, batch in zip(padded, scored, strict=True))
    assert sum(padded) < 1.2 * lengths[rows].sum()
    assert [lengths[batch].max() for batch in scored] == sorted(lengths[batch].max() for batch in scored)


def test_the_video_of_some_comments_stands_in_one_scoring_batch(root: Store) -> None:
    corpus = load_corpus(root, CONFIG)
    batches = Batches(corpus, CONFIG, HashTokenizer(64).encode(corpus.texts, 16), 0)
    scored = np.concatenate(batches.for_scoring(corpus.rows("train"), size=8))
    assert sorted(scored) == sorted(corpus.rows("train"))
    assert (np.diff(batches.video[scored]) >= 0).all()


def test_scores_do_not_depend_on_which_texts_share_a_batch(root: Store) -> None:
    config = CONFIG.replace({"model": "text", "text.tiny_dim": 16, "text.tiny_vocabulary": 64})
    corpus = load_corpus(root, config)
    network, batches, _ = assemble(config, corpus)
    rows = corpus.rows("dev")
    by_length = answer(network, batches, rows, Accelerator(cpu=True))

    with torch.inference_mode():
        unsorted = [network(batches.join(rows[start : start + 5], training=False)) for start in range(0, len(rows), 5)]

    assert any((some[:-1] > some[1:]).any() for some in batches.for_scoring(rows))
    for task, probabilities in by_length.items():
        expected = torch.cat([getattr(predicted, task) for predicted in unsorted])
        np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-6)
