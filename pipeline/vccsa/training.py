"""Training: one call for every model, from a dataset root to predictions, scores and a checkpoint in that root.

A run that is finished is never trained again; one that was interrupted goes on from its last checkpoint to the very
weights it would have reached. Nothing is written outside `models/<run>/`, and no comment's text is written at all.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from csmv.pipeline.errors import CsmvError, parsed_json
from csmv.pipeline.labels import CLASSES, TASKS
from csmv.pipeline.root import is_safe_id
from csmv.pipeline.store import Store, parquet_bytes
from csmv.pipeline.vccsa.classical import majority, tfidf
from csmv.pipeline.vccsa.data import PARTS, Corpus, load_corpus
from csmv.pipeline.vccsa.inputs import inputs_of
from csmv.pipeline.vccsa.metrics import both_tasks
from csmv.pipeline.vccsa.train_config import TrainConfig, default_run_name

CODE = 2
"""Counts up when a change here makes equal configurations give other results; older runs are then trained anew."""

SCORED = ("dev", "test")


@dataclass(frozen=True)
class RunResult:
    """What a run left in `models/<run>/`.

    metrics: part -> task -> scores (see `csmv.pipeline.vccsa.metrics`); counts: part -> what was irregular in the data;
    history: an entry an epoch; weights: the file of the best epoch's network, None for a model without one; `trained`
    is False if the run was found finished.
    """

    run: str
    model: str
    metrics: dict[str, dict[str, dict[str, Any]]]
    counts: dict[str, dict[str, int]]
    history: list[dict[str, float]]
    seconds: float
    parameters: int
    predictions: str
    fingerprint: str
    weights: str | None = None
    trained: bool = True


def train(store: Store, config: TrainConfig, run_name: str | None = None, trackers: tuple[str, ...] = ()) -> RunResult:
    """Train and score `config` as the run `run_name` of a root; the same call for every model.

    Without a name the run is called after its model and configuration (`default_run_name`).

    Writes models/<run>/predictions.parquet (dev and test), metrics.json and run.json, and for networks
    best-<k>.safetensors and last.safetensors. `trackers` names what else is told of each epoch, if it is installed:
    tensorboard, wandb, mlflow. Raises CsmvError where the data can't be trained on.
    """
    run_name = run_name or default_run_name(config)
    if not is_safe_id(run_name):
        raise CsmvError(f"A run's name is 1 to 64 letters, digits, - and _; '{run_name[:80]}' is not.")
    inputs = run_inputs(store, config)
    if (finished := _finished(store, run_name, inputs=inputs)) is not None:
        return finished
    corpus = load_corpus(store, config)
    fingerprint = run_fingerprint(config, corpus)
    if (finished := _finished(store, run_name, fingerprint=fingerprint)) is not None:
        _record_inputs(store, run_name, inputs)
        return finished
    start = time.monotonic()
    rows = np.concatenate([corpus.rows(part) for part in SCORED])
    history: list[dict[str, float]] = []
    parameters, weights, writes = 0, None, True
    if config.model in ("majority", "tfidf"):
        from csmv.pipeline.vccsa.checkpoints import clear

        clear(store, f"models/{run_name}")
        probabilities = _classical(corpus, config, rows)
    else:
        from csmv.pipeline.vccsa.loop import fit

        fitted = fit(store, config, corpus, run_name, fingerprint, rows, trackers)
        probabilities, history, parameters = fitted.probabilities, fitted.history, fitted.parameters
        weights, writes = fitted.weights, fitted.is_main
    result = RunResult(
        run=run_name,
        model=config.model,
        metrics=_metrics(corpus, rows, probabilities),
        counts=corpus.counts,
        history=history,
        seconds=round(time.monotonic() - start, 2),
        parameters=parameters,
        predictions=f"models/{run_name}/predictions.parquet",
        fingerprint=fingerprint,
        weights=weights,
    )
    if writes:
        _write(store, config, corpus, rows, probabilities, result, inputs)
    return result


def run_fingerprint(config: TrainConfig, corpus: Corpus) -> str:
    """SHA-256 of all that decides a run: configuration, data, the encoder's files if they are local, this code."""
    digest = hashlib.sha256(f"{CODE}\n{config.model_dump_json()}\n{corpus.fingerprint}\n".encode())
    for line in _encoder_files(config):
        digest.update(line.encode())
    return digest.hexdigest()


def run_inputs(store: Store, config: TrainConfig) -> str:
    """The same of what the manifest says of the data, so that a finished run is known before any of it is read."""
    lines = [str(CODE), inputs_of(store, config), *_encoder_files(config)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _encoder_files(config: TrainConfig) -> Iterator[str]:
    """Name and SHA-256 of each file of an encoder that is a folder of this machine."""
    folder = Path(config.text.encoder)
    if config.text.encoder == "tiny" or not folder.is_dir():
        return
    for file in sorted(folder.iterdir()):
        if file.is_file():
            with file.open("rb") as content:
                yield f"{file.name} {hashlib.file_digest(content, 'sha256').hexdigest()}"


def read_run(store: Store, run_name: str) -> tuple[TrainConfig, RunResult]:
    """A finished run. Raises CsmvError if there is none of that name."""
    document = _document(store, run_name) if is_safe_id(run_name) else None
    if document is None:
        raise CsmvError(f"The root '{store.root}' has no finished run '{run_name[:80]}'; train it with `csmv train`.")
    return TrainConfig.model_validate(document["config"]), _result_in(document)


def _document(store: Store, run_name: str) -> dict[str, Any] | None:
    """A run's run.json; None while the run is not finished."""
    path = f"models/{run_name}/run.json"
    data = store.read_if_there(path)
    return None if data is None else dict(parsed_json(data, path))


def _result_in(document: Mapping[str, Any]) -> RunResult:
    return RunResult(**{**document["result"], "trained": False})


def _finished(store: Store, run_name: str, *, inputs: str = "", fingerprint: str = "") -> RunResult | None:
    """A finished run that was made from these inputs, or has this fingerprint; runs of earlier versions name none."""
    document = _document(store, run_name)
    if document is None:
        return None
    result = _result_in(document)
    is_same = document.get("inputs") == inputs if inputs else result.fingerprint == fingerprint
    return result if is_same else None


def _record_inputs(store: Store, run_name: str, inputs: str) -> None:
    """Write down that a finished run is what these inputs give, so that the next call need not read them."""
    document = _document(store, run_name)
    if document is not None and os.environ.get("RANK", "0") == "0":
        store.write_file(f"models/{run_name}/run.json", document_bytes(document | {"inputs": inputs}))


def _classical(corpus: Corpus, config: TrainConfig, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    train = corpus.rows("train")
    labels = corpus.labels(train)
    if config.model == "majority":
        return majority(labels, len(rows))
    return tfidf(corpus.texts.take(train), labels, corpus.texts.take(rows), config.seed)


def _metrics(
    corpus: Corpus, rows: NDArray[np.int64], probabilities: Mapping[str, NDArray[np.float64]]
) -> dict[str, dict[str, dict[str, Any]]]:
    metrics = {}
    for part in SCORED:
        here = corpus.part[rows] == PARTS.index(part)
        metrics[part] = both_tasks(
            corpus.labels(rows[here]), {task: values[here] for task, values in probabilities.items()}
        )
    return metrics


def _write(
    store: Store,
    config: TrainConfig,
    corpus: Corpus,
    rows: NDArray[np.int64],
    probabilities: Mapping[str, NDArray[np.float64]],
    result: RunResult,
    inputs: str,
) -> None:
    folder = f"models/{result.run}"
    store.write_file(result.predictions, parquet_bytes(predictions_table(corpus, rows, probabilities)))
    store.write_file(f"{folder}/metrics.json", document_bytes({"model": result.model, "metrics": result.metrics}))
    description = {
        "config": config.model_dump(mode="json"),
        "data_fingerprint": corpus.fingerprint,
        "inputs": inputs,
        "split": config.split,
        "classes": {task: list(names) for task, names in TASKS.items()},
        "video_dims": [one.dim for one in corpus.features],
        "result": asdict(result),
    }
    # Last: a run is finished when this file is there.
    store.write_file(f"{folder}/run.json", document_bytes(description))


def predictions_table(
    corpus: Corpus, rows: NDArray[np.int64], probabilities: Mapping[str, NDArray[np.float64]]
) -> pa.Table:
    """comment_id, video_id, split, video_in_train, and for each task the label, the predicted class, all probabilities.

    Sorted by comment_id; a label that nobody gave is null; video_in_train says whether training saw that video. The
    schema's metadata name the classes of each task in the order of the probabilities.
    """
    _, video = corpus.video_ids.distinct()
    columns: dict[str, Any] = {
        "comment_id": corpus.comment_ids.take(rows).values.cast(pa.string()),
        "video_id": corpus.video_ids.take(rows).values.cast(pa.string()),
        "split": pa.array(PARTS).take(pa.array(corpus.part[rows])),
        "video_in_train": np.isin(video[rows], video[corpus.rows("train")]),
    }
    for task, names in TASKS.items():
        values = probabilities[task]
        truth = corpus.labels(rows)[task]
        columns[task] = pa.array(names).take(pa.array(truth, mask=truth < 0))
        columns[f"predicted_{task}"] = pa.array(names).take(pa.array(values.argmax(1)))
        flat = pa.array(values.astype(np.float32).ravel())
        columns[f"{task}_probabilities"] = pa.FixedSizeListArray.from_arrays(flat, len(names))
    return pa.table(columns, metadata=dict(CLASSES)).sort_by("comment_id")


def document_bytes(data: object) -> bytes:
    """What stands in a run's JSON files: the same bytes for the same data."""
    return (json.dumps(data, indent=2, sort_keys=True) + "\n").encode()
