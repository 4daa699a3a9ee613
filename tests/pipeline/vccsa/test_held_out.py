"""Nothing reads a test label before a run is trained."""

from dataclasses import replace

import numpy as np
import pytest

from csmv.pipeline.labels import NO_LABEL
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa import loop, training
from csmv.pipeline.vccsa.data import Corpus, HeldOutLabels, load_corpus
from csmv.pipeline.vccsa.train_config import TrainConfig

TINY = TrainConfig(features=("synthetic",), epochs=1, batch_size=64).replace(
    {"sizes.visual_dim": 8, "sizes.ground_dim": 4, "sizes.consensus_dim": 4, "sizes.scales": 1, "text.tiny_dim": 8}
)


class TooEarlyError(Exception):
    """A test label was read."""


class Sealed(HeldOutLabels):
    """Test labels that nobody may read."""

    def __init__(self) -> None:
        super().__init__(np.empty(0, np.int64), np.empty(0, np.int64))

    def read(self) -> dict[str, np.ndarray]:
        raise TooEarlyError


def sealed(store: Store, config: TrainConfig) -> Corpus:
    return replace(load_corpus(store, config), held_out=Sealed())


def test_training_is_given_no_test_label(root: Store) -> None:
    corpus = load_corpus(root, TINY)
    test, others = corpus.rows("test"), np.concatenate([corpus.rows(part) for part in ("train", "dev")])
    for task in ("opinion", "emotion"):
        assert (corpus.labels(test)[task] == NO_LABEL).all()
        assert (corpus.scored_labels(test)[task] != NO_LABEL).all()
        assert (corpus.labels(others)[task] == corpus.scored_labels(others)[task]).all()


@pytest.mark.parametrize("model", ["vccsa", "vccsa-paper"])
def test_a_network_is_trained_chosen_and_asked_without_a_test_label(root: Store, model: str) -> None:
    config = TINY.replace({"model": model, "sizes.visual_length": 12, "sizes.paper_text_length": 16})
    corpus = sealed(root, config)
    rows = corpus.rows("test")
    fitted = loop.fit(root, config, corpus, f"sealed-{model}", "none", rows)
    assert fitted.probabilities["emotion"].shape == (len(rows), 8)
    with pytest.raises(TooEarlyError):
        corpus.scored_labels(rows)


@pytest.mark.parametrize("model", ["majority", "tfidf"])
def test_a_classical_model_is_fitted_without_a_test_label(root: Store, model: str) -> None:
    config = TINY.replace({"model": model})
    corpus = sealed(root, config)
    answers = training._classical(corpus, config, corpus.rows("test"))
    assert answers["opinion"].shape == (len(corpus.rows("test")), 3)


def test_the_command_reads_test_labels_when_the_weights_are_there(root: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: HeldOutLabels) -> None:
        raise TooEarlyError

    with monkeypatch.context() as patched:
        patched.setattr(HeldOutLabels, "read", refuse)
        with pytest.raises(TooEarlyError):
            training.train(root, TINY, "unscored")
    assert root.exists("models/unscored/best-1.safetensors")
    assert not root.exists("models/unscored/run.json")
    assert training.train(root, TINY, "unscored").metrics["test"]["opinion"]["n"] > 0
