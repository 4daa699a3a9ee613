"""A trained run that answers: its network and tokenizer are loaded once, and asked about any comments."""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from csmv.pipeline.errors import CsmvError, parsed_json
from csmv.pipeline.labels import NO_LABEL
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.batches import Batches, Rows
from csmv.pipeline.vccsa.checkpoints import kept_encoder, load_weights
from csmv.pipeline.vccsa.corpus_columns import Strings
from csmv.pipeline.vccsa.data import Corpus
from csmv.pipeline.vccsa.networks import assemble, tokens_of
from csmv.pipeline.vccsa.run_files import refuse_other_vectors
from csmv.pipeline.vccsa.text import Tokenizer
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.training import read_run
from csmv.pipeline.vccsa.video_features import FeatureSet, load_features


class TrainedRun:
    """The best network of a run, in evaluation mode, on a GPU if there is one.

    Args:
        store: the root.
        run: the run's name.
        features: the vectors of the videos that it will be asked about; without them, those of the root.

    Attributes:
        weights_sha256: of the file of its weights.
        features: what it sees of videos.
        caution: what to bear in mind of its answers, a sentence; None where there is nothing.

    Raises:
        CsmvError: there is no such run, it has no network, or the vectors are not such as it learnt from.
    """

    def __init__(self, store: Store, run: str, features: tuple[FeatureSet, ...] | None = None) -> None:
        self.run = run
        self.config, result = read_run_of_network(store, run)
        weights = str(result)
        self.features = root_features(store, self.config) if features is None else features
        _refuse_other_vectors(store, run, self.config, self.features)
        self.caution = caution(run, self.config)
        with kept_encoder(store, f"models/{run}") as encoder_folder:
            nobody = corpus_of(Strings.of([]), Strings.of([]), self.features)
            network, batches, tokenizer = assemble(self.config, nobody, encoder_folder)
        load_weights(store, weights, network)
        self.weights_sha256 = hashlib.sha256(store.read_file(weights)).hexdigest()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network: nn.Module = network.to(self.device).eval()
        self._tokenizer: Tokenizer | None = tokenizer
        self._pad_id, self._padded_rows_are_equal = batches.pad_id, batches.padded_rows_are_equal

    def batches(self, texts: Strings, videos: Strings, features: tuple[FeatureSet, ...] | None = None) -> Batches:
        """Comments (N) on videos (N), to be joined into batches; `features` stand in for the run's own."""
        corpus = corpus_of(texts, videos, self.features if features is None else features)
        ids = tokens_of(self.config, texts, self._tokenizer)
        return Batches(corpus, self.config, ids, self._pad_id, self._padded_rows_are_equal)

    def answer(self, batches: Batches, groups: list[Rows]) -> dict[str, NDArray[np.float32]]:
        """Probabilities (N, K) of both tasks, by row; `groups` are the rows that go through the network together."""
        count = len(batches.corpus.texts)
        answers = {"opinion": np.zeros((count, 3), np.float32), "emotion": np.zeros((count, 8), np.float32)}
        with torch.inference_mode():
            for rows in groups:
                predicted = self.network(batches.join(rows, training=False).to(self.device))
                answers["opinion"][rows] = predicted.opinion.float().cpu().numpy()
                answers["emotion"][rows] = predicted.emotion.float().cpu().numpy()
        return answers


def read_run_of_network(store: Store, run: str) -> tuple[TrainConfig, str]:
    """A finished run's configuration and the file of its weights. Raises CsmvError if it has none."""
    config, result = read_run(store, run)
    if result.weights is None or not isinstance(config, TrainConfig):
        raise CsmvError(f"Run '{run}' ('{config.model}') keeps no weights to ask; choose a run of a network.")
    return config, result.weights


def root_features(store: Store, config: TrainConfig) -> tuple[FeatureSet, ...]:
    """The root's vectors that a configuration's model looks at."""
    return tuple(load_features(store, name) for name in config.features) if config.needs_features else ()


def corpus_of(texts: Strings, videos: Strings, features: tuple[FeatureSet, ...]) -> Corpus:
    """Comments (N) that nobody has labelled, as a corpus."""
    unlabelled = np.full(len(texts), NO_LABEL)
    return Corpus(
        comment_ids=Strings.of(str(row) for row in range(len(texts))),
        video_ids=videos,
        texts=texts,
        opinion=unlabelled,
        emotion=unlabelled,
        part=np.full(len(texts), 2, np.int8),
        features=features,
        counts={},
        fingerprint="",
    )


_LEARNT_FROM = {"none": "zeros in place of every video's vectors", "shuffled": "the vectors of other videos"}


def caution(run: str, config: TrainConfig) -> str | None:
    """Why a run's answers about videos are not what they seem; None where they are."""
    if config.video not in _LEARNT_FROM:
        return None
    return (
        f"The run '{run}' was trained with {_LEARNT_FROM[config.video]} (video={config.video}), as a control: it never "
        "learnt from the videos' own, which it is asked with here."
    )


def _refuse_other_vectors(store: Store, run: str, config: TrainConfig, features: tuple[FeatureSet, ...]) -> None:
    document = dict(parsed_json(store.read_file(f"models/{run}/run.json"), f"models/{run}/run.json"))
    trained, now = document["video_dims"], [feature_set.dim for feature_set in features]
    if now != trained:
        raise CsmvError(
            f"Run '{run}' was trained on vectors of {trained} numbers, and there are now ones of {now}: bring back the "
            "features it was trained with, or train again."
        )
    refuse_other_vectors(store, run, document, config)
