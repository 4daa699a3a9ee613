"""The yardsticks of VC-CSA's benchmarks are what they say they are, and its data path holds no more over the epochs."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from csmv.pipeline.vccsa.paper import PaperConfig

sys.path.insert(0, str(Path(__file__).parent))

from bench_vccsa_data import anonymous_bytes, batches_of, make_root, rates, side_by_side
from bench_vccsa_moods import table
from bench_vccsa_speed import LENGTH, Straightforward, paper_model, texts
from made_moods import FEATURES, Size
from made_moods import make_root as make_moods

TINY = PaperConfig(
    consensus_Transformer_fdim=16,
    consensus_Transformer_head=4,
    groundAttention_head=4,
    multiview_num=3,
    text_dim=32,
    visual_dim=16,
    visual_length=20,
    visual_out_dim=24,
    visualcnn_dim=24,
    vtalign_ground_dim=16,
)


def tiny_roberta() -> nn.Module:
    from transformers import RobertaConfig, RobertaModel

    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=100,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=600,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return RobertaModel(config)


def test_vccsa_paper_at_longest_plus_one_is_the_released_forward_at_512() -> None:
    paper = paper_model(tiny_roberta(), TINY).eval()
    yardstick = Straightforward(paper_model(tiny_roberta(), TINY)).eval()
    yardstick.p.load_state_dict(paper.state_dict())
    yardstick.p.text_encoder.text_encoder.set_attn_implementation("eager")
    video_mask = (torch.arange(20) < torch.tensor([20, 13, 5, 1])[:, None]).long()
    video = torch.randn(4, 20, 16) * video_mask.unsqueeze(-1)
    long_ids, long_mask = texts([9, 30, 4, 2], LENGTH, 100)
    ids, mask = long_ids[:, :31], long_mask[:, :31]

    with torch.no_grad():
        expected = yardstick(video, video_mask, long_ids, long_mask)
        at_512 = paper(video, video_mask, long_ids, long_mask)
        at_31 = paper(video, video_mask, ids, mask)

    for k in range(2):
        torch.testing.assert_close(at_512[k], expected[k], atol=1e-5, rtol=0)
        torch.testing.assert_close(at_31[k], expected[k], atol=1e-5, rtol=0)


def test_a_sample_is_a_view_of_the_shard_and_the_benchmark_measures_it(tmp_path: Path) -> None:
    store = make_root(tmp_path, videos=12, comments=10, dim=64, npy=12)
    batches = batches_of(store)
    features = batches.corpus.features[0]
    by_shard: dict[int, list[str]] = {}
    for video in batches.videos:
        by_shard.setdefault(store.shard_of(video), []).append(video)
    neighbours = next(videos for videos in by_shard.values() if len(videos) > 1)

    first, second = (features.of(video) for video in neighbours[:2])
    assert first.ctypes.data + first.nbytes == second.ctypes.data  # side by side, as in the shard
    for video in batches.videos:
        np.testing.assert_array_equal(features.of(video), np.load(tmp_path / "npy" / f"{video}.npy"))
    few = side_by_side(batches, 8).of_epoch(0)[0]
    assert len({batches.corpus.video_ids[row] for row in few}) < len(few) / 2
    assert "views" in rates(batches, tmp_path, 64, 32)


def test_memory_does_not_grow_over_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSMV_FEATURE_MEMORY", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    batches = batches_of(make_root(tmp_path, videos=60, comments=10, dim=256, npy=0))
    held = []
    for epoch in range(4):
        for rows in batches.of_epoch(epoch):
            batches.join(rows, True)
        held.append(anonymous_bytes())
    assert held[-1] - held[0] < 8 << 20


def test_made_moods_are_the_same_again_and_hold_what_was_asked(tmp_path: Path) -> None:
    size = Size(videos=12, comments=5, windows=(4, 6), n_shards=2)
    first, second = (make_moods(tmp_path / name, size, seed=3) for name in ("first", "second"))
    for name in ("comments", "labels", f"features/{FEATURES}"):
        assert first.read_all(name).equals(second.read_all(name))
    assert first.read_all("comments").num_rows == first.read_all("labels").num_rows == 60
    lengths = [len(vectors) for vectors in first.read_all(f"features/{FEATURES}").column("features").to_pylist()]
    assert len(lengths) == 12 and set(lengths) <= {4, 5, 6}


def test_the_table_of_settings_has_differences_by_seed(tmp_path: Path) -> None:
    store = make_moods(tmp_path / "root", Size(videos=2, comments=3, windows=(4, 6), n_shards=1))
    for setting, micro in (("vccsa", (0.5, 0.7)), ("text", (0.4, 0.5))):
        for seed, score in enumerate(micro, 1):
            test = {task: {"micro_f1": score, "macro_f1": 0.5} for task in ("opinion", "emotion")}
            document = json.dumps({"metrics": {"test": test}})
            store.write_file(f"models/{setting}-s{seed}/metrics.json", document.encode())
    lines = table(store, ("vccsa", "text"), range(1, 3)).splitlines()
    assert lines[2].startswith("| vccsa | 60.0 ± 14.1 | 50.0 ± 0.0 |")
    assert lines[3].startswith("| text | 45.0 ± 7.1 (-15.0 ± 63.5) | 50.0 ± 0.0 (+0.0 ± 0.0) |")
