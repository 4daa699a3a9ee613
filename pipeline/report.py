"""Writes the page about a root: what is in it, what was removed, what failed, and how the models did.

One self-contained HTML file, no external reference. It shows numbers and ids, never a comment.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from csmv.pipeline.errors import parsed_json
from csmv.pipeline.failures import failures_of
from csmv.pipeline.feature_sets import read_footer
from csmv.pipeline.labels import EMOTIONS, OPINIONS, TASKS, labelled, resolve
from csmv.pipeline.schemas import SPLIT_NAMES, MediaStatus
from csmv.pipeline.scrub import Kind
from csmv.pipeline.splits import overlap
from csmv.pipeline.stage import ROOT, DatasetView, RootStage, StageStatus, Tick, digest
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.evaluation import evaluate
from csmv.pipeline.vccsa.metrics import COLUMNS, METRICS, Metric

PATH = "reports/index.html"
SCRUB_MEASURED = Path(__file__).parent / "scrub" / "measured.json"
"""How good the scrub is, as `tests/benchmarks/bench_scrub.py --full` measured it."""
TEMPLATE = "report.html"

MODEL_TITLES = {
    "majority": "Majority class",
    "tfidf": "Text only, TF-IDF",
    "text": "Text only",
    "video": "Video only",
    "early-fusion": "Early fusion",
    "vccsa": "VC-CSA",
    "vccsa-paper": "VC-CSA as released",
}

_EXAMPLES = 3
_BINS = 12
_RESAMPLES = 500

Count = dict[str, Any]
"""What a bar shows: name, count, share of the whole, share of the longest bar."""


def write_report(store: Store, path: str = PATH, progress: Sequence[StageStatus] = ()) -> str:
    """Write the page about `store` to `path` inside it, with how far its stages are; gives its address."""
    made_from = _state(store)
    page = _environment().get_template(TEMPLATE).render(facts(store), progress=progress, made_from=made_from)
    store.write_file(path, page.encode())
    return f"{store.root.rstrip('/')}/{path}"


def facts(store: Store) -> dict[str, Any]:
    """All that the page says, as plain data."""
    videos, comments = store.read_all("videos"), store.read_all("comments")
    labels = labelled(resolve(store.read_all("labels")))
    feature_sets = _features(store)
    runs = _runs(store, {found["name"]: found for found in feature_sets})
    return {
        "name": store.header.name,
        "source": store.header.source,
        "n_shards": store.n_shards,
        "format_version": store.header.format,
        "tiles": _tiles(videos, comments, labels),
        "tables": _tables(store),
        "media": _media(videos),
        "durations": _histogram(videos["duration_s"], "s"),
        "lengths": _histogram(pc.utf8_length(comments["text"]), "characters"),
        "pii": _personal_data(comments),
        "placeholders": _placeholders(comments),
        "scrub": json.loads(SCRUB_MEASURED.read_text(encoding="utf-8")),
        "labels": {task: _counts(labels[task], names) for task, names in TASKS.items()},
        "joint": _joint(labels),
        "features": feature_sets,
        "splits": [_split(store, name) for name in store.split_names()],
        "runs": runs,
        "leaderboards": _leaderboards(runs),
        "failures": _failures(store),
        "imported": _import_report(store),
        "tasks": TASKS,
        "metrics": METRICS,
        "parts": SPLIT_NAMES,
    }


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda number: f"{number:,}"
    environment.filters["percent"] = _percent
    environment.filters["score"] = lambda value: "–" if value is None else f"{100 * value:.1f}"
    environment.filters["words"] = lambda name: str(name).replace("_", " ")
    return environment


def _percent(share: float) -> str:
    if 0 < share < 0.0005:
        return "< 0.1%"
    return f"{share:.1%}" if 0 < share < 1 else f"{share:.0%}"


# ---------------------------------------------------------------------- data


def _tiles(videos: pa.Table, comments: pa.Table, labels: pa.Table) -> list[tuple[str, str, str]]:
    """Number, what it counts, a remark."""
    ok = _status(videos, MediaStatus.OK)
    hours = (pc.sum(videos["duration_s"]).as_py() or 0) / 3600
    length = f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:,.1f} min"
    labelled = labels.num_rows
    cleaned = int(pc.sum(pc.greater(pc.list_value_length(comments["pii"]), 0)).as_py() or 0)
    return [
        (f"{videos.num_rows:,}", "videos", f"{ok:,} with media, {length}" if ok else "no media yet"),
        (f"{comments.num_rows:,}", "comments", f"on {len(comments['video_id'].unique()):,} videos"),
        (f"{labelled:,}", "labelled comments", f"{_share(labelled, comments.num_rows):.1%} of all"),
        (f"{cleaned:,}", "comments cleaned", "of personal data, before they were stored"),
    ]


def _tables(store: Store) -> list[dict[str, Any]]:
    found: Counter[str] = Counter()
    for name in store.files():
        folder, _, file = name.rpartition("/")
        if file.endswith(".parquet") and not folder.startswith(("private", "models", "splits", "release")):
            found[folder] += 1
    return [{"name": name, "rows": _rows(store, name), "shards": shards} for name, shards in sorted(found.items())]


def _rows(store: Store, table: str) -> int:
    shards = (store.read(table, shard) for shard in store.shards())
    return sum(shard.num_rows for shard in shards if shard is not None)


def _media(videos: pa.Table) -> dict[str, Any]:
    known = videos.filter(pc.is_valid(videos["width"]))
    wide = pc.subtract(known["width"], known["height"])
    rates = Counter(round(rate) for rate in known["fps"].to_pylist())
    return {
        "status": _counts(videos["media_status"], [status for status in MediaStatus if _status(videos, status)]),
        "shape": _bars(
            [
                ("portrait", _true(pc.less(wide, 0))),
                ("landscape", _true(pc.greater(wide, 0))),
                ("square", _true(pc.equal(wide, 0))),
            ]
        ),
        "rates": _bars([(f"{rate}", count) for rate, count in sorted(rates.most_common(8))]),
        "sound": _true(known["has_audio"]),
        "known": known.num_rows,
    }


def _personal_data(comments: pa.Table) -> list[Count]:
    kinds = Counter(pc.list_flatten(comments["pii"]).to_pylist())
    return [bar | {"share": _share(bar["count"], comments.num_rows)} for bar in _bars(kinds.most_common())]


def _placeholders(comments: pa.Table) -> int:
    """How many places in all comments hold a placeholder."""
    found = pc.count_substring_regex(comments["text"], rf"<(?:{'|'.join(Kind)})(?::[0-9a-f]{{12}})?>")
    return int(pc.sum(found).as_py() or 0)


def _joint(labels: pa.Table) -> dict[str, Any]:
    pairs = Counter(zip(labels["opinion"].to_pylist(), labels["emotion"].to_pylist(), strict=True))
    cells = [[pairs[opinion, emotion] for emotion in EMOTIONS] for opinion in OPINIONS]
    largest = max((cell for row in cells for cell in row), default=0)
    return {"cells": cells, "largest": largest}


def _histogram(values: pa.ChunkedArray, unit: str) -> dict[str, Any]:
    """Counts in at most twelve bins of equal, round width; what is far out goes into the last."""
    known = [float(value) for value in values.drop_null().to_pylist()]
    if not known:
        return {"bins": [], "unit": unit, "median": None}
    known.sort()
    high = known[int(0.99 * (len(known) - 1))]
    width = _round_up((high or 1) / _BINS)
    counts = Counter(min(int(value // width), _BINS - 1) for value in known)
    last = max(counts)
    bars = _bars([(f"{n * width:g} to {(n + 1) * width:g}", counts[n]) for n in range(min(counts), last + 1)])
    if known[-1] >= (last + 1) * width:
        bars[-1]["name"] = f"{last * width:g} and more"
    return {"bins": bars, "unit": unit, "median": known[len(known) // 2]}


def _round_up(width: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** (len(str(int(width))) - 1) if width >= 1 else 0.1
    return next((power * step for step in (1, 2, 2.5, 5) if power * step >= width), power * 10)


def _features(store: Store) -> list[dict[str, Any]]:
    names = {name.split("/")[1] for name in store.files("features") if name.endswith(".parquet")}
    return [_feature_set(store, name) for name in sorted(names)]


def _feature_set(store: Store, name: str) -> dict[str, Any]:
    table = f"features/{name}"
    videos = vectors = dim = 0
    footers: list[dict[str, str]] = []
    for shard in store.shards():
        found = store.read(table, shard)
        if found is None:
            continue
        videos += found.num_rows
        vectors += int(pc.sum(pc.list_value_length(found["features"])).as_py() or 0)
        dim = found.schema.field("features").type.value_type.list_size
        footers.append(read_footer(store, table, shard) or {})
    first = footers[0] if footers else {}
    return {
        "name": name,
        "videos": videos,
        "vectors": vectors,
        "dim": dim,
        "random": any(footer.get("weights") == "random" for footer in footers),
        "mixed": len({footer.get("weights_sha256") for footer in footers}) > 1,
        **{key: first.get(key, "") for key in ("extractor", "weights", "weights_sha256", "clip_rule", "dtype")},
        "storage": first.get("storage", ""),
        "versions": first.get("versions", ""),
    }


def _split(store: Store, name: str) -> dict[str, Any]:
    table = store.read_split(name)
    parts = {}
    for part in SPLIT_NAMES:
        rows = table.filter(pc.equal(table["split"], part))
        seen = overlap(table, part) if part != "train" else 0
        parts[part] = {
            "comments": rows.num_rows,
            "share": _share(rows.num_rows, table.num_rows),
            "videos": len(rows["video_id"].unique()),
            "seen": seen,
            "seen_share": _share(seen, rows.num_rows),
        }
    return {"name": name, "comments": table.num_rows, "parts": parts}


def _failures(store: Store) -> list[dict[str, Any]]:
    found = []
    for stage, table in failures_of(store).items():
        rows = sorted(table.to_pylist(), key=lambda row: (row["reason"], row["key"]))
        for reason, count in Counter(row["reason"] for row in rows).most_common():
            examples = [row for row in rows if row["reason"] == reason][:_EXAMPLES]
            found.append({"stage": stage, "reason": reason, "count": count, "examples": examples})
    return found


def _import_report(store: Store) -> list[tuple[str, str]]:
    if not store.exists("import_report.json"):
        return []
    report = parsed_json(store.read_file("import_report.json"), "import_report.json")
    return [(name.replace("_", " "), _value(value)) for name, value in report.items()]


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(inner)}" for name, inner in value.items())
    return f"{value:,}" if isinstance(value, int | float) else str(value)


# ---------------------------------------------------------------------- models


def _runs(store: Store, feature_sets: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    names = sorted(path.split("/")[1] for path in store.files("models") if path.endswith("/run.json"))
    return [_run(store, name, feature_sets) for name in names]


def _run(store: Store, name: str, feature_sets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    data = parsed_json(store.read_file(f"models/{name}/run.json"), f"models/{name}/run.json")
    config, result = data["config"], data["result"]
    looks = config["model"] not in ("majority", "tfidf", "text")
    features = list(config["features"]) if looks else []
    return {
        "name": name,
        "model": config["model"],
        "title": MODEL_TITLES.get(config["model"], config["model"]),
        "split": config["split"],
        "seed": config["seed"],
        "features": features,
        "random": any(feature_sets.get(used, {}).get("random", False) for used in features),
        "parameters": result.get("parameters", 0),
        "seconds": result.get("seconds"),
        "metrics": result["metrics"],
        **_judged(store, name),
    }


def _judged(store: Store, run: str) -> dict[str, Any]:
    """What the predictions say beyond the scores: 95 % intervals, and the scores on videos train has and has not seen.

    Both empty where the predictions are gone.
    """
    if not store.exists(f"models/{run}/predictions.parquet"):
        return {"intervals": {}, "seen": {}}
    found = evaluate(store, run, resamples=_RESAMPLES)
    groups = found["by_video_seen_in_train"]
    both = all(group[task].get("n") for group in groups.values() for task in TASKS)
    intervals = {task: found["metrics"][task]["intervals_95"] for task in TASKS}
    return {"intervals": intervals, "seen": groups if both else {}}


def _leaderboards(runs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each split its runs, worst first, so that the eye goes down a staircase."""
    by_split: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        by_split.setdefault(run["split"], []).append(run)
    return [
        {
            "split": split,
            "runs": sorted(found, key=lambda run: (sum(_score(run, task, METRICS[0]) for task in TASKS), run["name"])),
            "best": {
                f"{task}.{metric.name}": max(_score(run, task, metric) for run in found) for task, metric in COLUMNS
            },
        }
        for split, found in sorted(by_split.items())
    ]


def _score(run: Mapping[str, Any], task: str, metric: Metric) -> float:
    return float(run["metrics"].get("test", {}).get(task, {}).get(metric.name, 0.0))


# ---------------------------------------------------------------------- counting


def _counts(column: pa.ChunkedArray, names: Iterable[str]) -> list[Count]:
    """How often each of `names` stands in a column, and how often nothing does."""
    found = Counter(column.to_pylist())
    missing = [("none settled", found[None])] if found[None] else []
    return _bars([*((str(name), found[str(name)]) for name in names), *missing])


def _bars(counts: Iterable[tuple[str, int]]) -> list[Count]:
    rows = list(counts)
    whole, longest = sum(count for _, count in rows), max((count for _, count in rows), default=0)
    return [
        {"name": name, "count": count, "share": _share(count, whole), "length": _share(count, longest)}
        for name, count in rows
    ]


def _status(videos: pa.Table, status: MediaStatus) -> int:
    return _true(pc.equal(videos["media_status"], str(status)))


def _true(flags: pa.ChunkedArray) -> int:
    return int(pc.sum(flags).as_py() or 0)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


# ---------------------------------------------------------------------- the stage

_MADE_FROM = re.compile(rb'<meta name="made-from" content="([0-9a-f]{64})">')
_SHOWN = ("videos", "comments", "labels", "splits", "failures", "features", "models")
"""The folders of a root that the page speaks of."""


def _state(store: Store) -> str:
    """A digest of everything that the page shows; of features and models what says how they were made."""
    told = []
    for name in (name for folder in _SHOWN for name in store.files(folder)):
        table, _, file = name.rpartition("/")
        if table.startswith("features/"):
            told.append(f"{name} {read_footer(store, table, int(file[:4]))}")
        elif table.startswith("failures/"):
            rows = store.read(table, int(file[:4]))
            told.append(
                f"{name} {digest('' if rows is None else rows.drop_columns(['at']))}"
            )  # the page gives no times
        elif name.endswith((".parquet", ".json")):
            told.append(f"{name} {hashlib.sha256(store.read_file(name)).hexdigest()}")
    return digest(*told)


class ReportStage(RootStage):
    """The page about the root."""

    name = "report"
    summary = "one page: what is in the root, what was removed, what failed, how the models did"
    section = ""
    reads = _SHOWN
    writes = (PATH,)

    def missing(self, dataset: DatasetView) -> list[str]:
        """The root, unless the page shows it as it is."""
        is_current = dataset.store.exists(PATH) and not self.stale(dataset)
        return [] if is_current else [ROOT]

    def stale(self, dataset: DatasetView) -> dict[str, str]:
        """The root, if the page shows something else than there is."""
        if not dataset.store.exists(PATH):
            return {}
        found = _MADE_FROM.search(dataset.store.read_file(PATH))
        is_current = found is not None and found[1].decode() == _state(dataset.store)
        return {} if is_current else {ROOT: "the tables or models have changed since the page was written"}

    def run(self, dataset: DatasetView, unit: str, tick: Tick) -> None:
        """Write the page."""
        progress = [status for status in dataset.progress() if status.name != self.name]
        write_report(dataset.store, progress=progress)
        tick(1)
