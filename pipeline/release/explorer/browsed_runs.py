"""The finished runs of a root as the explorer shows them, and what each answered about which comment."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import TASKS
from csmv.pipeline.release.explorer.browsed_tables import BrowsedTables
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.corpus_columns import Strings
from csmv.pipeline.vccsa.evaluation import read_predictions
from csmv.pipeline.vccsa.metrics import METRICS
from csmv.pipeline.vccsa.run_files import finished_document, run_names

SCORED_PARTS = {"dev": 1, "test": 2}
"""The parts that a run answers, with their numbers."""


@dataclass(frozen=True)
class BrowsedRun:
    """A finished run: its name, model, split and seed, the feature sets it looks at, and its test scores by task.

    `has_network` says whether it keeps a network that can be asked again, `dev_score` how good it is on dev.
    """

    name: str
    model: str
    split: str
    seed: int
    features: tuple[str, ...]
    scores: dict[str, float | None]
    dev_score: float
    has_network: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for the page."""
        names = ("name", "model", "split", "seed", "features", "scores")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class RunAnswers:
    """What a run answered: comment (rows of the comments), part, and of each task the class and how sure it was.

    Sorted by comment. Comments that the tables do not have any more are left out.
    """

    comment: NDArray[np.int32]
    part: NDArray[np.uint8]
    predicted: dict[str, NDArray[np.uint8]]
    sure: dict[str, NDArray[np.float32]]


def browsed_runs(store: Store) -> list[BrowsedRun]:
    """The finished runs that keep their answers, by name. One whose run.json says too little is left out."""
    runs = []
    for name in run_names(store)[0]:
        try:
            document = finished_document(store, name)
            if document is None or not store.exists(f"models/{name}/predictions.parquet"):
                continue
            config, result = document["config"], document["result"]
            metrics = result["metrics"]
            looks = config["model"] not in ("majority", "tfidf", "text")
            runs.append(
                BrowsedRun(
                    name,
                    str(config["model"]),
                    str(config["split"]),
                    int(config["seed"]),
                    tuple(config.get("features", ())) if looks else (),
                    _scores(metrics.get("test", {})),
                    sum(score or 0.0 for score in _scores(metrics.get("dev", {})).values()),
                    result.get("weights") is not None,
                )
            )
        except (CsmvError, KeyError, TypeError, AttributeError):
            continue
    return runs


def _scores(metrics: dict[str, Any]) -> dict[str, float | None]:
    """The first headline metric of each task."""
    return {task: metrics.get(task, {}).get(METRICS[0].name) for task in TASKS}


def answers_of(store: Store, run: str, tables: BrowsedTables) -> RunAnswers:
    """What a finished run answered about the comments of its dev and test parts.

    Raises:
        CsmvError: the run has no answers that can be read.
    """
    answers = []
    problem: CsmvError | None = None
    for name in SCORED_PARTS:
        try:
            answers.append((name, read_predictions(store, run, name)))
        except CsmvError as error:
            problem = error
    if not answers:
        raise problem or CsmvError(f"The run '{run}' has no answers that can be shown.")
    ids = pa.chunked_array([Strings.of(one.comment_ids).values.cast(pa.string()) for _, one in answers])
    rows = tables.row_of_comments(ids)
    part = np.concatenate([np.full(len(one.comment_ids), SCORED_PARTS[name], np.uint8) for name, one in answers])
    here = np.flatnonzero(rows >= 0)
    order = here[np.argsort(rows[here], kind="stable")]
    values = {task: np.concatenate([one.probabilities[task] for _, one in answers])[order] for task in TASKS}
    return RunAnswers(
        rows[order].astype(np.int32),
        part[order],
        {task: values[task].argmax(1).astype(np.uint8) for task in TASKS},
        {task: values[task].max(1).astype(np.float32) for task in TASKS},
    )
