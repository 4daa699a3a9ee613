"""Training: one call for every model, from a dataset root to predictions, scores and a checkpoint in that root.

A run that is finished is never trained again; one that was interrupted goes on from its last checkpoint to the very
weights it would have reached. Nothing is written outside `models/<run>/`, and no comment's text is written at all.
"""

import contextlib
import hashlib
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from importlib import metadata
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from csmv.extractors.nearest_names import did_you_mean
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import CLASSES, TASKS
from csmv.pipeline.root import is_safe_id
from csmv.pipeline.store import Store, parquet_bytes
from csmv.pipeline.vccsa.classical import majority, tfidf
from csmv.pipeline.vccsa.data import PARTS, Corpus, load_corpus
from csmv.pipeline.vccsa.inputs import code_of, run_inputs
from csmv.pipeline.vccsa.metrics import both_tasks
from csmv.pipeline.vccsa.run_files import (
    FailedRunError,
    NotFiniteError,
    Overwrite,
    RunConfig,
    clear,
    config_in,
    document_bytes,
    encoder_files,
    features_settings,
    finished_document,
    is_same_encoder,
    last_fingerprint,
    refuse_other_settings,
    refuse_taken,
    require_name,
    run_names,
    why_failed,
)
from csmv.pipeline.vccsa.token_cache import TokenCache
from csmv.pipeline.vccsa.train_config import TrainConfig, default_run_name

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


def train(
    store: Store,
    config: TrainConfig,
    run_name: str | None = None,
    trackers: tuple[str, ...] = (),
    overwrite: Overwrite = "never",
) -> RunResult:
    """Train and score `config` as the run `run_name` of a root; the same call for every model.

    Writes models/<run>/predictions.parquet (dev and test), metrics.json and run.json, and for networks
    best-<k>.safetensors, beside last.safetensors while the run is unfinished. A run whose loss or scores are not finite
    leaves failed.json instead.

    Args:
        store: the root.
        config: the settings.
        run_name: without one the run is called after its model and configuration (`default_run_name`).
        trackers: what else is told of each epoch, if it is installed: tensorboard, wandb, mlflow.
        overwrite: what may be replaced that has this name already.

    Raises:
        CsmvError: the data can't be trained on, or the name is taken.
        FailedRunError: a loss or score was not finite, now or before; the run is marked failed.
    """
    run_name = run_name or default_run_name(config)
    require_name(run_name)
    inputs = run_inputs(store, config)
    document = finished_document(store, run_name)
    failed = why_failed(store, run_name)
    if document is not None and failed is None and _is_made_from(document, inputs, config):
        return _found_finished(store, run_name, document)
    if document is not None and overwrite == "never":
        refuse_other_settings(run_name, document, config)
    if config.is_network and config.optimizer.precision == "fp16":
        _refuse_fp16_without_gpu()
    tokens = TokenCache(store)
    corpus = load_corpus(store, config)
    fingerprint = run_fingerprint(config, corpus)
    if document is not None and failed is None and document.get("result", {}).get("fingerprint") == fingerprint:
        document |= {"inputs": inputs, "code": code_of(config), "encoder_files": encoder_files(config)}
        document |= {"features": features_settings(store, config)}
        if _is_main():
            store.write_file(f"models/{run_name}/run.json", document_bytes(document))
        return _found_finished(store, run_name, document)
    is_anew = refuse_taken(store, run_name, fingerprint, last_fingerprint(store, run_name), overwrite)
    start = time.monotonic()
    rows = np.concatenate([corpus.rows(part) for part in SCORED])
    history: list[dict[str, float]] = []
    parameters, weights, writes = 0, None, True
    record: dict[str, Any] = {"device": {"type": "cpu"}, "processes": 1, "kept": []}
    if not config.is_network:
        probabilities = _classical(corpus, config, rows)
        clear(store, f"models/{run_name}")
    else:
        from csmv.pipeline.vccsa.loop import fit

        try:
            fitted = fit(store, config, corpus, run_name, fingerprint, rows, trackers, is_anew, tokens)
        except NotFiniteError as error:
            if _is_main():
                marked = error.document() | {"fingerprint": fingerprint, "config": config.model_dump(mode="json")}
                store.write_file(f"models/{run_name}/failed.json", document_bytes(marked))
            raise FailedRunError(f"The run '{run_name}' failed and is marked so. {error}") from error
        probabilities, history, parameters = fitted.probabilities, fitted.history, fitted.parameters
        weights, writes = fitted.weights, fitted.is_main
        record = {"device": fitted.device, "processes": fitted.processes, "kept": fitted.kept_files}
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
        record |= {"inputs": inputs, "code": code_of(config), "encoder_files": encoder_files(config)}
        record |= {"versions": versions(), "features": features_settings(store, config)}
        _write(store, config, corpus, rows, probabilities, result, record)
    return result


def run_fingerprint(config: TrainConfig, corpus: Corpus) -> str:
    """SHA-256 of all that decides a run: configuration, data, the encoder's files if they are local, this code."""
    digest = hashlib.sha256(f"{code_of(config)}\n{config.identity}\n{corpus.fingerprint}\n".encode())
    for name, file in encoder_files(config).items():
        digest.update(f"{name} {file['sha256']}".encode())
    return digest.hexdigest()


def read_run(store: Store, run_name: str) -> tuple[RunConfig, RunResult]:
    """A finished run.

    Raises:
        CsmvError: there is none of that name, or its run.json is none that this version reads.
        FailedRunError: it failed.
    """
    document = finished_document(store, run_name) if is_safe_id(run_name) else None
    if is_safe_id(run_name) and (reason := why_failed(store, run_name)) is not None:
        raise FailedRunError(f"The run '{run_name}' failed and has no scores: {reason}")
    if document is None:
        hint = did_you_mean(run_name[:80], run_names(store)[0], "its finished runs are")
        raise CsmvError(f"The root '{store.root}' has no finished run '{run_name[:80]}': {hint}")
    return config_in(document, run_name), _result_in(document, run_name)


def _result_in(document: Mapping[str, Any], run_name: str) -> RunResult:
    stated = document.get("result")
    names = {field.name: field.default is MISSING for field in fields(RunResult)}
    unknown = sorted(set(stated) - set(names)) if isinstance(stated, dict) else ["result"]
    lacking = sorted(name for name, needed in names.items() if needed and name not in (stated or {}))
    if unknown or lacking:
        what = f"an unknown field '{unknown[0]}'" if unknown else f"no field '{lacking[0]}'"
        raise CsmvError(
            f"models/{run_name}/run.json has {what} under result: it was written by another version of csmv; use that "
            "version, or train the run again with --overwrite."
        )
    return RunResult(**{**document["result"], "trained": False})


def _is_made_from(document: Mapping[str, Any], inputs: str, config: TrainConfig) -> bool:
    """Whether a finished run was made from these inputs; runs of earlier versions name none."""
    if document.get("inputs") != inputs:
        return False
    return config.text.encoder == "tiny" or is_same_encoder(document.get("encoder_files", {}), config)


def _found_finished(store: Store, run_name: str, document: Mapping[str, Any]) -> RunResult:
    """The result; a checkpoint that a process left which ended just then is removed."""
    result = _result_in(document, run_name)
    if _is_main():
        _remove_unfinished(store, run_name)
    return result


def _remove_unfinished(store: Store, run_name: str) -> None:
    """What says that a run is unfinished or failed, once it is finished."""
    for name in ("last.safetensors", "failed.json"):
        if store.exists(path := f"models/{run_name}/{name}"):
            store.remove(path)


def _is_main() -> bool:
    """Whether this process is the one that writes, if several train together."""
    return os.environ.get("RANK", "0") == "0"


def _refuse_fp16_without_gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        raise CsmvError(
            "optimizer.precision fp16 needs a GPU, and this machine has none that torch can use: take bf16 or fp32."
        )


def versions() -> dict[str, str]:
    """Of what decides a run's numbers, by name, as far as it is installed."""
    versions = {"python": platform.python_version()}
    for package in ("csmv", "torch", "transformers", "tokenizers", "accelerate", "numpy", "scikit-learn"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


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
            corpus.scored_labels(rows[here]), {task: values[here] for task, values in probabilities.items()}
        )
    return metrics


def _write(
    store: Store,
    config: TrainConfig,
    corpus: Corpus,
    rows: NDArray[np.int64],
    probabilities: Mapping[str, NDArray[np.float64]],
    result: RunResult,
    record: Mapping[str, Any],
) -> None:
    folder = f"models/{result.run}"
    store.write_file(result.predictions, parquet_bytes(predictions_table(corpus, rows, probabilities)))
    store.write_file(f"{folder}/metrics.json", document_bytes({"model": result.model, "metrics": result.metrics}))
    description = {
        "config": config.model_dump(mode="json"),
        "data_fingerprint": corpus.fingerprint,
        "split": config.split,
        "classes": {task: list(names) for task, names in TASKS.items()},
        "video_dims": [one.dim for one in corpus.features],
        "result": asdict(result),
        **record,
    }
    # A run is finished when this file is there.
    store.write_file(f"{folder}/run.json", document_bytes(description))
    _remove_unfinished(store, result.run)


def predictions_table(
    corpus: Corpus, rows: NDArray[np.int64], probabilities: Mapping[str, NDArray[np.float64]]
) -> pa.Table:
    """comment_id, video_id, split, video_in_train, and for each task the label, the predicted class, all probabilities.

    Sorted by comment_id; a label that nobody gave is null; video_in_train says whether train has that video. The
    schema's metadata name the classes of each task in the order of the probabilities. Where `probabilities` have a
    column more than there are classes, and it is the largest, the predicted class is null: there was no answer.
    """
    _, video = corpus.video_ids.distinct()
    columns: dict[str, Any] = {
        "comment_id": corpus.comment_ids.take(rows).values.cast(pa.string()),
        "video_id": corpus.video_ids.take(rows).values.cast(pa.string()),
        "split": pa.array(PARTS).take(pa.array(corpus.part[rows])),
        "video_in_train": np.isin(video[rows], video[corpus.rows("train")]),
    }
    labels = corpus.scored_labels(rows)
    for task, names in TASKS.items():
        values = probabilities[task]
        truth = labels[task]
        columns[task] = pa.array(names).take(pa.array(truth, mask=truth < 0))
        predicted = values.argmax(1)
        columns[f"predicted_{task}"] = pa.array(names).take(pa.array(predicted, mask=predicted >= len(names)))
        flat = pa.array(values[:, : len(names)].astype(np.float32).ravel())
        columns[f"{task}_probabilities"] = pa.FixedSizeListArray.from_arrays(flat, len(names))
    return pa.table(columns, metadata=dict(CLASSES)).sort_by("comment_id")
