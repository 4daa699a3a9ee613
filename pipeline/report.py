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
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from csmv.pipeline.errors import CsmvError, parsed_json
from csmv.pipeline.failures import failures_of
from csmv.pipeline.feature_sets import read_footer, said_by
from csmv.pipeline.labels import EMOTIONS, OPINIONS, TASKS, labelled, resolve
from csmv.pipeline.manifest import place_of
from csmv.pipeline.privacy.review_settings import REVIEW_COUNTS, REVIEW_PAGE
from csmv.pipeline.schemas import SPLIT_NAMES, FailureClass, FailureReason, MediaStatus
from csmv.pipeline.scrub import Kind
from csmv.pipeline.sources.by_shard import digest_of
from csmv.pipeline.splits import overlap
from csmv.pipeline.stage import ROOT, DatasetView, RootStage, StageStatus, Tick, digest
from csmv.pipeline.store import Store
from csmv.pipeline.survival import YearOfVideos, survival_of, total_of
from csmv.pipeline.vccsa.evaluation import evaluate
from csmv.pipeline.vccsa.metrics import METRICS
from csmv.pipeline.vccsa.run_files import ZERO_SHOT, finished_document, run_names
from csmv.pipeline.vccsa.same_text import OF_COMMENTS, same_text_in

if TYPE_CHECKING:
    from jinja2 import Environment

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

_OF_VIDEOS = ("video_id", "created_at", "duration_s", "width", "height", "fps", "has_audio", "media_status")
_OF_COMMENTS = (*OF_COMMENTS, "pii")
_EXAMPLES = 3
_BINS = 12
_RESAMPLES = 500

Count = dict[str, Any]
"""What a bar shows: name, count, share of the whole, share of the longest bar."""


def write_report(store: Store, path: str = PATH, progress: Sequence[StageStatus] = ()) -> str:
    """Write the page about `store` to `path` inside it, with how far its stages are; gives its address."""
    with store.remembering():
        made_from = _state(store)
        page = _environment().get_template(TEMPLATE).render(facts(store), progress=progress, made_from=made_from)
    store.write_file(path, page.encode())
    return f"{store.root.rstrip('/')}/{path}"


def facts(store: Store) -> dict[str, Any]:
    """All that the page says, as plain data."""
    videos, comments = store.read_all("videos", _OF_VIDEOS), store.read_all("comments", _OF_COMMENTS)
    all_labels = store.read_all("labels")
    labels = labelled(resolve(all_labels))
    feature_sets = _features(store)
    failures = failures_of(store)
    runs, left_out = _runs(store, {one["name"]: one for one in feature_sets})
    rows = {"videos": videos.num_rows, "comments": comments.num_rows, "labels": all_labels.num_rows}
    rows |= {f"features/{one['name']}": one["videos"] for one in feature_sets}
    rows |= {f"failures/{stage}": table.num_rows for stage, table in failures.items()}
    return {
        "name": store.header.name,
        "source": store.header.source,
        "n_shards": store.n_shards,
        "format_version": store.header.format,
        "tiles": _tiles(videos, comments, labels),
        "tables": _tables(store, rows),
        "media": _media(videos),
        "durations": _histogram(videos["duration_s"], "s"),
        "lengths": _histogram(pc.utf8_length(comments["text"]), "characters"),
        "pii": _personal_data(comments),
        "placeholders": _placeholders(comments),
        "review": _review(store),
        "review_page": REVIEW_PAGE,
        "scrub": json.loads(SCRUB_MEASURED.read_text(encoding="utf-8")),
        "labels": {task: _counts(labels[task], names) for task, names in TASKS.items()},
        "joint": _joint(labels),
        "features": feature_sets,
        "splits": [_split(store, name) for name in store.split_names()],
        "runs": runs,
        "runs_left_out": left_out,
        "leaderboards": _leaderboards(runs),
        "by_text": same_text_in(comments, labels) if runs else {},
        "failures": _failures(failures),
        "survival": _survival(videos, failures),
        "imported": _import_report(store),
        "tasks": TASKS,
        "metrics": METRICS,
        "parts": SPLIT_NAMES,
    }


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

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


def _tables(store: Store, rows: Mapping[str, int]) -> list[dict[str, Any]]:
    """Every table with its rows, which were counted already, and the number of its shards."""
    shards: Counter[str] = Counter()
    for folder in ("videos", "comments", "labels", "features", "failures"):
        shards.update(name.rpartition("/")[0] for name in store.files(folder) if place_of(name) is not None)
    return [{"name": name, "rows": rows.get(name, 0), "shards": count} for name, count in sorted(shards.items())]


def _media(videos: pa.Table) -> dict[str, Any]:
    measured = videos.filter(pc.is_valid(videos["width"]))
    wide = pc.subtract(measured["width"], measured["height"])
    rates = _tally(pc.cast(pc.round(measured["fps"]), pa.int64()))
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
        "sound": _true(measured["has_audio"]),
        "known": measured.num_rows,
    }


def _personal_data(comments: pa.Table) -> list[Count]:
    kinds = _tally(pc.list_flatten(comments["pii"]))
    return [bar | {"share": _share(bar["count"], comments.num_rows)} for bar in _bars(kinds.most_common())]


def _placeholders(comments: pa.Table) -> int:
    """How many places in all comments hold a placeholder."""
    places = pc.count_substring_regex(comments["text"], rf"<(?:{'|'.join(Kind)})(?::[0-9a-f]{{12}})?>")
    return int(pc.sum(places).as_py() or 0)


def _review(store: Store) -> dict[str, Any] | None:
    """What the last review of the scrub counted, and whether the comments are those that it was about."""
    data = store.read_if_there(REVIEW_COUNTS)
    if data is None:
        return None
    review: dict[str, Any] = parsed_json(data, REVIEW_COUNTS)
    made_from = digest_of([store.made_from("comments", shard) for shard in store.shards()])
    return review | {"is_current": review["made_from"] == made_from}


def _joint(labels: pa.Table) -> dict[str, Any]:
    counted = labels.select(["opinion", "emotion"]).group_by(["opinion", "emotion"]).aggregate([([], "count_all")])
    pairs = Counter({(row["opinion"], row["emotion"]): row["count_all"] for row in counted.to_pylist()})
    cells = [[pairs[opinion, emotion] for emotion in EMOTIONS] for opinion in OPINIONS]
    largest = max((cell for row in cells for cell in row), default=0)
    return {"cells": cells, "largest": largest}


def _histogram(values: pa.ChunkedArray, unit: str) -> dict[str, Any]:
    """Counts in at most twelve bins of equal, round width; what is far out goes into the last."""
    numbers = np.sort(values.drop_null().to_numpy().astype(np.float64))
    if not len(numbers):
        return {"bins": [], "unit": unit, "median": None}
    high = float(numbers[int(0.99 * (len(numbers) - 1))])
    width = _round_up((high or 1) / _BINS)
    bins, sizes = np.unique(np.minimum(numbers // width, _BINS - 1).astype(int), return_counts=True)
    counts = Counter(dict(zip(bins.tolist(), sizes.tolist(), strict=True)))
    last = max(counts)
    bars = _bars([(f"{n * width:g} to {(n + 1) * width:g}", counts[n]) for n in range(min(counts), last + 1)])
    if numbers[-1] >= (last + 1) * width:
        bars[-1]["name"] = f"{last * width:g} and more"
    return {"bins": bars, "unit": unit, "median": float(numbers[len(numbers) // 2])}


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
        metadata = store.file_metadata(table, shard)
        if metadata is None:
            continue
        schema = metadata.schema.to_arrow_schema()
        dim = schema.field("features").type.value_type.list_size
        videos += metadata.num_rows
        vectors += _numbers(metadata, "features") // dim
        footers.append(said_by(schema.metadata or {}))
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


def _numbers(metadata: pq.FileMetaData, column: str) -> int:
    """How many numbers the lists of a column hold, by the statistics of its parts."""
    total = 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for number in range(metadata.num_columns):
            chunk = row_group.column(number)
            if chunk.path_in_schema.split(".", 1)[0] == column:
                total += chunk.num_values if chunk.statistics is None else chunk.statistics.num_values
    return total


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


def _failures(failures: Mapping[str, pa.Table]) -> list[dict[str, Any]]:
    lines = []
    for stage, table in failures.items():
        rows = sorted(table.to_pylist(), key=lambda row: (row["reason"], row["key"]))
        for reason, count in Counter(row["reason"] for row in rows).most_common():
            examples = [row for row in rows if row["reason"] == reason][:_EXAMPLES]
            lines.append({"stage": stage, "reason": reason, "count": count, "examples": examples})
    return lines


def _survival(videos: pa.Table, failures: Mapping[str, pa.Table]) -> list[YearOfVideos]:
    """What is left of the videos by year, where some are not there any more."""
    years = survival_of(videos, failures)
    gone = any(FailureReason(reason).kind is FailureClass.GONE for reason in total_of(years).reasons)
    return years if gone else []


def _import_report(store: Store) -> list[tuple[str, str]]:
    data = store.read_if_there("import_report.json")
    if data is None:
        return []
    report = parsed_json(data, "import_report.json")
    return [(name.replace("_", " "), _value(value)) for name, value in report.items()]


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(inner)}" for name, inner in value.items())
    return f"{value:,}" if isinstance(value, int | float) else str(value)


# ---------------------------------------------------------------------- models


def _runs(store: Store, feature_sets: Mapping[str, Mapping[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, str]]:
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


def _leaderboards(runs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
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


# ---------------------------------------------------------------------- counting


def _counts(column: pa.ChunkedArray, names: Iterable[str]) -> list[Count]:
    """How often each of `names` stands in a column, and how often nothing does."""
    tally = _tally(column)
    missing = [("none settled", tally[None])] if tally[None] else []
    return _bars([*((str(name), tally[str(name)]) for name in names), *missing])


def _tally(column: pa.Array | pa.ChunkedArray) -> Counter[Any]:
    """How often each value stands in a column, in the order in which they first do."""
    return Counter({one["values"]: one["counts"] for one in pc.value_counts(column).to_pylist()})


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

_END_OF_PREDICTIONS = 1 << 16
"""Bytes at the end of a run's predictions, with the sums and sizes of their columns, that tell one from another."""
_MADE_FROM = re.compile(rb'<meta name="made-from" content="([0-9a-f]{64})">')
_SHOWN = ("videos", "comments", "labels", "splits", "failures", "features", "models")
"""The folders of a root that the page speaks of."""


def _state(store: Store) -> str:
    """A digest of everything that the page shows; of features and models what says how they were made."""
    lines = []
    states = {
        name: sha256 for table in ("videos", "comments", "labels") for name, sha256 in store.states(table).items()
    }
    for name in (name for folder in _SHOWN for name in store.files(folder)):
        table, _, file = name.rpartition("/")
        if table.startswith("features/"):
            lines.append(f"{name} {read_footer(store, table, int(file[:4]))}")
        elif table.startswith("failures/"):
            rows = store.read(table, int(file[:4]))
            # The page gives no times.
            lines.append(f"{name} {digest('' if rows is None else rows.drop_columns(['at']))}")
        elif name in states:
            lines.append(f"{name} {states[name]}")
        elif table == "splits":
            lines.append(f"{name} {store.sha256_of(name.removesuffix('.parquet'), None)}")
        elif name.endswith("/predictions.parquet"):
            end = store.read_end(name, _END_OF_PREDICTIONS) or b""
            lines.append(f"{name} {hashlib.sha256(end).hexdigest()}")
        elif name.endswith((".parquet", ".json")):
            lines.append(f"{name} {hashlib.sha256(store.read_file(name)).hexdigest()}")
    counts = store.read_if_there(REVIEW_COUNTS)
    if counts is not None:
        lines.append(f"{REVIEW_COUNTS} {hashlib.sha256(counts).hexdigest()}")
    return digest(*lines)


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
        named = _MADE_FROM.search(dataset.store.read_file(PATH))
        is_current = named is not None and named[1].decode() == _state(dataset.store)
        return {} if is_current else {ROOT: "the tables or models have changed since the page was written"}

    def run(self, dataset: DatasetView, unit: str, tick: Tick) -> None:
        """Write the page."""
        progress = [status for status in dataset.progress() if status.name != self.name]
        write_report(dataset.store, progress=progress)
        tick(1)
