"""What the report says of models: finished runs with their scores, and the leaderboard of each split."""

from collections.abc import Iterable, Mapping
from typing import Any

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import TASKS
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.evaluation import evaluate
from csmv.pipeline.vccsa.metrics import METRICS
from csmv.pipeline.vccsa.run_files import ZERO_SHOT, finished_document, run_names

_RESAMPLES = 500

MODEL_TITLES = {
    "majority": "Majority class",
    "tfidf": "Text only, TF-IDF",
    "text": "Text only",
    "video": "Video only",
    "early-fusion": "Early fusion",
    "vccsa": "VC-CSA",
    "vccsa-paper": "VC-CSA as released",
}


def runs_of(store: Store, feature_sets: Mapping[str, Mapping[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The finished runs, and of each that has no scores or can't be read a sentence."""
    names, left_out = run_names(store)
    runs = []
    for name in names:
        try:
            runs.append(_run(store, name, feature_sets))
        except CsmvError as error:
            left_out[name] = str(error)
        except (KeyError, TypeError, AttributeError):
            left_out[name] = "its run.json says neither how it was trained nor what it scored."
    return runs, left_out


def _run(store: Store, name: str, feature_sets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    data = finished_document(store, name) or {}
    config, result = data["config"], data["result"]
    is_zero_shot = data.get("kind") == ZERO_SHOT
    looks = not is_zero_shot and config["model"] not in ("majority", "tfidf", "text")
    features = list(config["features"]) if looks else []
    title = f"{config['model']}, zero-shot" if is_zero_shot else config["model"]
    return {
        "name": name,
        "model": config["model"],
        "title": MODEL_TITLES.get(title, title),
        "pictures": config["frames"] if is_zero_shot else 0,
        "split": config["split"],
        "seed": config["seed"],
        "features": features,
        "random": any(feature_sets.get(feature, {}).get("random", False) for feature in features),
        "parameters": result.get("parameters", 0),
        "seconds": None if is_zero_shot else result.get("seconds"),
        "metrics": result["metrics"],
        **_judged(store, name),
    }


def _judged(store: Store, run: str) -> dict[str, Any]:
    """What the predictions say beyond the scores: 95 % intervals, and the scores on videos train has and has not seen.

    Both empty where the predictions are gone.
    """
    if not store.exists(f"models/{run}/predictions.parquet"):
        return {"intervals": {}, "seen": {}}
    judged = evaluate(store, run, resamples=_RESAMPLES)
    groups = judged["by_video_seen_in_train"]
    both = all(group[task].get("n") for group in groups.values() for task in TASKS)
    intervals = {task: judged["metrics"][task]["intervals_95"] for task in TASKS}
    return {"intervals": intervals, "seen": groups if both else {}}


def leaderboards(runs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each split its runs, worst first, so that the eye goes down a staircase, and the one that dev chooses.

    What test says orders and chooses nothing.
    """
    by_split: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        by_split.setdefault(run["split"], []).append(run)
    return [
        {
            "split": split,
            "runs": sorted(rows, key=_by_dev),
            "chosen": max(rows, key=_by_dev)["name"],
        }
        for split, rows in sorted(by_split.items())
    ]


def _by_dev(run: Mapping[str, Any]) -> tuple[float, str]:
    """Both tasks' scores on dev in the first of METRICS, and the name."""
    scores = run["metrics"].get("dev", {})
    return sum(float(scores.get(task, {}).get(METRICS[0].name, 0.0)) for task in TASKS), run["name"]
