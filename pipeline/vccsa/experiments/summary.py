"""An experiment as one row: means and spreads over its seeds, in the shape in which a single run is judged."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from csmv.pipeline.labels import NO_LABEL
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.calibration import at_temperature, calibration
from csmv.pipeline.vccsa.evaluation import Predictions, evaluate
from csmv.pipeline.vccsa.experiments.comparison import over_seeds_and_videos
from csmv.pipeline.vccsa.experiments.experiment import Experiment
from csmv.pipeline.vccsa.metrics import METRICS, TASKS
from csmv.pipeline.vccsa.resampling import RESAMPLES

_MEASURES = ("ece", "nll", "brier")


def evaluate_experiment(
    store: Store, experiment: Experiment, part: str = "test", resamples: int = RESAMPLES, seed: int = 3407
) -> dict[str, Any]:
    """What `csmv.pipeline.vccsa.evaluation.evaluate` says of a run, of an experiment; of a single run it is the same.

    Scores and measures of calibration are means over seeds, beside sample standard deviations (`..._spread`); intervals
    are over draws of videos and seeds; temperatures have a geometric mean; the confusion matrices are added up, and the
    bins of a reliability diagram are of all seeds' answers together.
    """
    if len(experiment.runs) == 1:
        [run] = experiment.runs.values()
        return evaluate(store, run, part, resamples, seed) | {"run": experiment.name}
    answers = experiment.predictions(store, part)
    runs = [evaluate(store, run, part, resamples=10, seed=seed) for run in experiment.runs.values()]
    scores = over_seeds_and_videos(answers, resamples, seed)
    metrics = {}
    for task in TASKS:
        of_runs = [run["metrics"][task] for run in runs]
        metrics[task] = _scores(of_runs, scores[task]) | _calibrated(of_runs, answers, task)
    seen = [run["by_video_seen_in_train"] for run in runs]
    return {key: runs[0][key] for key in ("model", "split", "part", "comments", "videos", "data")} | {
        "run": experiment.name,
        "runs": list(experiment.runs.values()),
        "seed": list(experiment.runs),
        "resamples": resamples,
        "metrics": metrics,
        "by_video_seen_in_train": {
            which: {task: _means([one[which][task] for one in seen]) for task in TASKS} for which in ("seen", "unseen")
        },
    }


def _scores(of_runs: Sequence[Mapping[str, Any]], scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Of a task: what is judged by comments, its mean and its spread over runs."""
    n = of_runs[0]["n"]
    intervals = {name: one["interval_95"] for name, one in scores.items()}
    if not n:
        return {"n": 0, "intervals_95": intervals}
    means = {name: one["mean"] for name, one in scores.items()}
    spreads = {f"{name}_spread": one["spread"] for name, one in scores.items()}
    confusion = np.sum([run["confusion"] for run in of_runs], axis=0).tolist()
    unanswered = {}
    if all("unanswered" in run for run in of_runs):
        unanswered = {"unanswered": statistics.fmean(run["unanswered"] for run in of_runs)}
    return {"n": n, **means, **spreads, **unanswered, "confusion": confusion, "intervals_95": intervals}


def _calibrated(of_runs: Sequence[Mapping[str, Any]], answers: Sequence[Predictions], task: str) -> dict[str, Any]:
    temperatures = [run["calibration_scaled"]["temperature"] for run in of_runs]
    labels, plain, scaled = [], [], []
    for one, temperature in zip(answers, temperatures, strict=True):
        chosen = one.labels[task] != NO_LABEL
        labels.append(one.labels[task][chosen])
        plain.append(one.probabilities[task][chosen])
        scaled.append(plain[-1] if temperature is None else at_temperature(plain[-1], temperature))
    bins = {
        name: calibration(np.concatenate(labels), np.concatenate(several))["bins"]
        for name, several in (("calibration", plain), ("calibration_scaled", scaled))
    }
    measures = {name: _means([{key: run[name][key] for key in _MEASURES} for run in of_runs]) for name in bins}
    fitted = [temperature for temperature in temperatures if temperature is not None]
    measures["calibration_scaled"]["temperature"] = statistics.geometric_mean(fitted) if fitted else None
    return {name: measures[name] | {"bins": bins[name]} for name in bins}


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of each number; a count that is the same in all rows stays a count."""
    keys = [key for key in ("n", *(metric.name for metric in METRICS), *_MEASURES) if all(key in row for row in rows)]
    return {key: rows[0][key] if key == "n" else statistics.fmean(row[key] for row in rows) for key in keys}
