"""A frozen encoder reads each text once, without dropout, and what it made of it stands in for it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from csmv.pipeline.store import Store
from csmv.pipeline.vccsa import loop, train
from csmv.pipeline.vccsa.data import load_corpus
from csmv.pipeline.vccsa.networks import assemble, frozen_tower
from csmv.pipeline.vccsa.text import TinyEncoder
from csmv.pipeline.vccsa.text_vectors import TextVectors
from csmv.pipeline.vccsa.train_config import TrainConfig

FROZEN = TrainConfig(features=("synthetic",), epochs=2, batch_size=16, seed=1, model="text").replace(
    {
        "text.frozen": True,
        "text.tiny_dim": 16,
        "text.tiny_vocabulary": 64,
        "sizes.visual_dim": 16,
        "sizes.ground_dim": 8,
        "sizes.consensus_dim": 8,
        "sizes.scales": 2,
        "sizes.visual_length": 12,
    }
)
CPU = torch.device("cpu")


@pytest.mark.parametrize("model", ["text", "early-fusion", "vccsa"])
def test_stored_vectors_stand_in_for_the_encoder(root: Store, model: str) -> None:
    config = FROZEN.replace({"model": model})
    corpus = load_corpus(root, config)
    network, batches, _ = assemble(config, corpus)
    network.eval()
    rows = corpus.rows("train")[:40]
    tower = frozen_tower(network, config)
    assert tower is not None

    with torch.inference_mode():
        computed = network(batches.join(rows, training=True))
        batches.text_vectors = TextVectors.of(tower, batches, CPU).padded
        looked_up = network(batches.join(rows, training=True))

    for task in ("opinion", "emotion"):
        torch.testing.assert_close(getattr(looked_up, task), getattr(computed, task), atol=1e-6, rtol=0)


def test_a_frozen_encoder_reads_each_text_once_and_drops_nothing(root: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, bool]] = []
    forward = TinyEncoder.forward

    def counted(self: TinyEncoder, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
        read.append((len(input_ids), self.training))
        return forward(self, input_ids, attention_mask)

    monkeypatch.setattr(TinyEncoder, "forward", counted)
    corpus = load_corpus(root, FROZEN)
    _, batches, _ = loop.prepare(FROZEN, corpus)
    train(root, FROZEN, "read-once")
    assert sum(texts for texts, _ in read) == len({ids.tobytes() for ids in batches.ids}) < len(corpus.texts)
    assert not any(is_training for _, is_training in read)


def test_where_padding_is_read_a_frozen_encoder_runs_in_every_batch(root: Store) -> None:
    config = FROZEN.replace({"switches.pooling": "max"})
    network, _, _ = assemble(config, load_corpus(root, config))
    assert frozen_tower(network, config) is None
    assert not network.train().text_encoder.text_encoder.training


def test_many_vectors_lie_in_a_file_and_are_the_same(
    root: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    corpus = load_corpus(root, FROZEN)
    network, batches, _ = assemble(FROZEN, corpus)
    tower = frozen_tower(network, FROZEN)
    assert tower is not None
    rows = np.arange(50)
    in_memory = TextVectors.of(tower, batches, CPU)
    monkeypatch.setenv("CSMV_FEATURE_MEMORY", "1000")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    mapped = TextVectors.of(tower, batches, CPU)

    assert isinstance(mapped._vectors, np.memmap)
    assert torch.equal(mapped.padded(rows, 20), in_memory.padded(rows, 20))
    assert not list((tmp_path / "csmv").iterdir())
