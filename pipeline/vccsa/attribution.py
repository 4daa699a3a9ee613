"""The video's part in a run's scores: the same network asked again, with other vectors in place of the videos' own.

Nothing is trained. The texts, labels and weights stay; what the network sees of the videos of the part is changed:

- zeroed: every number is 0, each video keeps its number of vectors;
- shuffled: the vectors of all videos are dealt anew by chance, each video keeps its number of vectors;
- wrong video: each video has all vectors of one other video, drawn by chance.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmv.pipeline.errors import CsmvError, parsed_json
from csmv.pipeline.feature_arrays import Vectors
from csmv.pipeline.progress import track
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.data import Corpus, load_corpus
from csmv.pipeline.vccsa.evaluation import Predictions
from csmv.pipeline.vccsa.experiments.comparison import paired
from csmv.pipeline.vccsa.metrics import METRICS, both_tasks
from csmv.pipeline.vccsa.resampling import RESAMPLES
from csmv.pipeline.vccsa.trained import TrainedRun, read_run_of_network
from csmv.pipeline.vccsa.video_features import FeatureSet

OWN = "its own video"
Features = tuple[FeatureSet, ...]


def attribution(
    store: Store, run: str, part: str = "test", resamples: int = RESAMPLES, seed: int = 3407
) -> dict[str, Any]:
    """Scores of a run with its videos' own vectors and with others, and the differences with 95 % intervals by video.

    Args:
        store: the root.
        run: a finished run of a network that looks at videos.
        part: dev or test.
        resamples: draws of videos for the intervals.
        seed: of the draws, and of what is dealt by chance.

    Returns:
        run, part, comments, videos, seed, resamples; `scores`: name -> task -> metric; `differences`: name -> task ->
        metric -> what `csmv.pipeline.vccsa.experiments.comparison.paired` says, other vectors minus the video's own.

    Raises:
        CsmvError: the run has no network or looks at no video, its data have changed, or the part has one video.
    """
    config, _ = read_run_of_network(store, run)
    if not config.needs_features:
        raise CsmvError(f"Run '{run}' ('{config.model}') looks at no video: choose a run whose model does.")
    corpus = load_corpus(store, config)
    _refuse_changed(store, run, corpus)
    trained = TrainedRun(store, run, corpus.features)
    rows = corpus.rows(part)
    answers: dict[str, Predictions] = {}
    choices = _other_vectors(corpus, rows, seed)
    with track(f"attribution {run}", len(choices)) as tick:
        for name, features in choices.items():
            answers[name] = _asked(trained, corpus, rows, part, features)
            tick(1)
    own = answers.pop(OWN)
    return {
        "run": run,
        "part": part,
        "comments": len(rows),
        "videos": len(set(own.videos.tolist())),
        "seed": seed,
        "resamples": resamples,
        "scores": {name: _scores(one) for name, one in [(OWN, own), *answers.items()]},
        "differences": {name: paired([own], [one], True, resamples, seed) for name, one in answers.items()},
    }


def _refuse_changed(store: Store, run: str, corpus: Corpus) -> None:
    path = f"models/{run}/run.json"
    if parsed_json(store.read_file(path), path).get("data_fingerprint") != corpus.fingerprint:
        raise CsmvError(
            f"The split, comments, labels or features of run '{run}' have changed since it was trained, so that its "
            "scores would be of other data: train it again."
        )


def _asked(trained: TrainedRun, corpus: Corpus, rows: NDArray[np.int64], part: str, features: Features) -> Predictions:
    batches = trained.batches(corpus.texts.take(rows), corpus.video_ids.take(rows), features)
    answers = trained.answer(batches, batches.for_scoring(np.arange(len(rows))))
    return Predictions(
        run=trained.run,
        split=trained.config.split,
        comment_ids=corpus.comment_ids.take(rows),
        videos=np.array(list(corpus.video_ids.take(rows))),
        seen=np.zeros(len(rows), bool),
        labels=corpus.scored_labels(rows),
        probabilities={task: values.astype(np.float64) for task, values in answers.items()},
    )


def _scores(answers: Predictions) -> dict[str, dict[str, float | None]]:
    """By task and metric; None where no comment has that label."""
    scores = both_tasks(answers.labels, answers.probabilities)
    return {task: {metric.name: one.get(metric.name) for metric in METRICS} for task, one in scores.items()}


def _other_vectors(corpus: Corpus, rows: NDArray[np.int64], seed: int) -> dict[str, Features]:
    """By name, the feature sets that stand in for the corpus's own, as far as the videos of `rows` go."""
    videos, _ = corpus.video_ids.take(rows).distinct()
    videos = [video for video in videos if all(one.of(video) is not None for one in corpus.features)]
    if len(videos) < 2:
        raise CsmvError("Another video's vectors need at least two videos with vectors in the part: choose another.")
    order = np.random.default_rng(seed).permutation(len(videos))
    other = {videos[a]: videos[b] for a, b in zip(order, np.roll(order, 1), strict=True)}
    return {
        OWN: corpus.features,
        "zeroed": tuple(_zeroed(one, videos) for one in corpus.features),
        "shuffled": tuple(_shuffled(one, videos, seed) for one in corpus.features),
        "wrong video": tuple(
            FeatureSet(one.name, one.dim, {video: one.videos[other[video]] for video in videos}, "")
            for one in corpus.features
        ),
    }


def _zeroed(features: FeatureSet, videos: list[str]) -> FeatureSet:
    zero = np.zeros((1, features.dim), np.float32)
    shapes = {video: features.videos[video].shape for video in videos}
    views = {video: np.broadcast_to(zero, shape) for video, shape in shapes.items()}
    return FeatureSet(features.name, features.dim, views, "")


def _shuffled(features: FeatureSet, videos: list[str], seed: int) -> FeatureSet:
    vectors = [features.videos[video] for video in videos]
    ends = np.cumsum([len(one) for one in vectors])
    dealt = np.random.default_rng([seed, 1]).permutation(int(ends[-1]))
    places = dict(zip(videos, np.split(dealt, ends[:-1]), strict=True))
    return _Dealt(features.name, features.dim, {}, "", vectors, ends, places)


@dataclass(frozen=True)
class _Dealt(FeatureSet):
    """A feature set whose videos have vectors of each other; a video's are put together when they are asked for."""

    vectors: list[Vectors] = field(default_factory=list)
    ends: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    places: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    def of(self, video_id: str) -> Vectors | None:
        """As many vectors as the video has of its own."""
        places = self.places.get(video_id)
        if places is None:
            return None
        owner = np.searchsorted(self.ends, places, side="right")
        within = places - self.ends[owner] + np.array([len(self.vectors[one]) for one in owner])
        return np.stack([self.vectors[a][b] for a, b in zip(owner, within, strict=True)])
