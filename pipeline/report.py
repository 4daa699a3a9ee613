"""Writes the page about a root: what is in it, what was removed, what failed, and how the models did.

One self-contained HTML file, no external reference. It shows numbers and ids, never a comment.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from csmv.pipeline.errors import CsmvError, parsed_json
from csmv.pipeline.failures import failures_of
from csmv.pipeline.feature_sets import said_by
from csmv.pipeline.labels import EMOTIONS, OPINIONS, TASKS, labelled, resolve
from csmv.pipeline.manifest import place_of
from csmv.pipeline.privacy.review_settings import EXPLORER_PAGE, REVIEW_COUNTS, REVIEW_PAGE
from csmv.pipeline.release.explorer.embedded_data import write_explorer_page
from csmv.pipeline.release.leakage import read_leakage, why_stale
from csmv.pipeline.release.leakage_words import leakage_lines, leakage_table
from csmv.pipeline.report_counts import Count, bars, counts_of, histogram, share_of, tally, true_in
from csmv.pipeline.report_models import leaderboards, runs_of
from csmv.pipeline.report_state import SHOWN, page_state
from csmv.pipeline.schemas import SPLIT_NAMES, FailureClass, FailureReason, MediaStatus
from csmv.pipeline.scrub import Kind
from csmv.pipeline.sources.by_shard import digest_of
from csmv.pipeline.splits import overlap
from csmv.pipeline.stage import ROOT, DatasetView, RootStage, StageStatus, Tick
from csmv.pipeline.store import Store
from csmv.pipeline.survival import YearOfVideos, survival_of, total_of
from csmv.pipeline.vccsa.metrics import METRICS
from csmv.pipeline.vccsa.same_text import OF_COMMENTS, same_text_in

if TYPE_CHECKING:
    from jinja2 import Environment

PATH = "reports/index.html"
SCRUB_MEASURED = Path(__file__).parent / "scrub" / "measured.json"
"""How good the scrub is, as `tests/benchmarks/bench_scrub.py --full` measured it."""
TEMPLATE = "report.html"

_OF_VIDEOS = ("video_id", "created_at", "duration_s", "width", "height", "fps", "has_audio", "media_status")
_OF_COMMENTS = (*OF_COMMENTS, "pii")
_EXAMPLES = 3


def write_report(store: Store, path: str = PATH, progress: Sequence[StageStatus] = (), explorer: str = "") -> str:
    """Write the page about `store` to `path` inside it, with how far its stages are; gives its address.

    `explorer` is the path of the page that one can look around in, which it links to; none if left out.
    """
    with store.remembering():
        made_from = page_state(store)
        page = (
            _environment()
            .get_template(TEMPLATE)
            .render(facts(store), progress=progress, made_from=made_from, explorer=explorer)
        )
    store.write_file(path, page.encode())
    return f"{store.root.rstrip('/')}/{path}"


def facts(store: Store) -> dict[str, Any]:
    """All that the page says, as plain data."""
    videos, comments = store.read_all("videos", _OF_VIDEOS), store.read_all("comments", _OF_COMMENTS)
    all_labels = store.read_all("labels")
    labels = labelled(resolve(all_labels))
    feature_sets = _features(store)
    failures = failures_of(store)
    runs, left_out = runs_of(store, {one["name"]: one for one in feature_sets})
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
        "durations": histogram(videos["duration_s"], "s"),
        "lengths": histogram(pc.utf8_length(comments["text"]), "characters"),
        "pii": _personal_data(comments),
        "placeholders": _placeholders(comments),
        "review": _review(store),
        "review_page": REVIEW_PAGE,
        "scrub": json.loads(SCRUB_MEASURED.read_text(encoding="utf-8")),
        "labels": {task: counts_of(labels[task], names) for task, names in TASKS.items()},
        "joint": _joint(labels),
        "features": feature_sets,
        "splits": [_split(store, name) for name in store.split_names()],
        "runs": runs,
        "runs_left_out": left_out,
        "leaderboards": leaderboards(runs),
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
        (f"{labelled:,}", "labelled comments", f"{share_of(labelled, comments.num_rows):.1%} of all"),
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
    rates = tally(pc.cast(pc.round(measured["fps"]), pa.int64()))
    return {
        "status": counts_of(videos["media_status"], [status for status in MediaStatus if _status(videos, status)]),
        "shape": bars(
            [
                ("portrait", true_in(pc.less(wide, 0))),
                ("landscape", true_in(pc.greater(wide, 0))),
                ("square", true_in(pc.equal(wide, 0))),
            ]
        ),
        "rates": bars([(f"{rate}", count) for rate, count in sorted(rates.most_common(8))]),
        "sound": true_in(measured["has_audio"]),
        "known": measured.num_rows,
    }


def _personal_data(comments: pa.Table) -> list[Count]:
    kinds = tally(pc.list_flatten(comments["pii"]))
    return [bar | {"share": share_of(bar["count"], comments.num_rows)} for bar in bars(kinds.most_common())]


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
            "share": share_of(rows.num_rows, table.num_rows),
            "videos": len(rows["video_id"].unique()),
            "seen": seen,
            "seen_share": share_of(seen, rows.num_rows),
        }
    return {"name": name, "comments": table.num_rows, "parts": parts, "audit": _leakage(store, name)}


def _leakage(store: Store, split: str) -> dict[str, Any] | None:
    """The audit of a split in words and as a table, and why it is stale; None if there is none that can be read."""
    stale = why_stale(store, split)
    try:
        audit = read_leakage(store, split)
    except CsmvError:
        return None
    if audit is None:
        return None
    verdict, *more = leakage_lines(audit)
    return {"stale": stale, "verdict": verdict, "lines": more, **leakage_table(audit)}


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


def _status(videos: pa.Table, status: MediaStatus) -> int:
    return true_in(pc.equal(videos["media_status"], str(status)))


# ---------------------------------------------------------------------- the stage

_MADE_FROM = re.compile(rb'<meta name="made-from" content="([0-9a-f]{64})">')


class ReportStage(RootStage):
    """The page about the root."""

    name = "report"
    summary = "one page: what is in the root, what was removed, what failed, how the models did"
    section = ""
    reads = SHOWN
    writes = (PATH, EXPLORER_PAGE)

    def missing(self, dataset: DatasetView) -> list[str]:
        """The root, unless the page shows it as it is."""
        is_current = dataset.store.exists(PATH) and not self.stale(dataset)
        return [] if is_current else [ROOT]

    def stale(self, dataset: DatasetView) -> dict[str, str]:
        """The root, if the page shows something else than there is."""
        if not dataset.store.exists(PATH):
            return {}
        named = _MADE_FROM.search(dataset.store.read_file(PATH))
        is_current = named is not None and named[1].decode() == page_state(dataset.store)
        return {} if is_current else {ROOT: "the tables or models have changed since the page was written"}

    def run(self, dataset: DatasetView, unit: str, tick: Tick) -> None:
        """Write the page."""
        progress = [status for status in dataset.progress() if status.name != self.name]
        write_report(dataset.store, progress=progress, explorer=write_explorer_page(dataset.store))
        tick(1)
