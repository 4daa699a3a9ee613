"""Evaluations as tables in Markdown, LaTeX and JSON, and as figures: the same numbers for a terminal and a paper."""

import io
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.metrics import COLUMNS, HEADINGS, TASKS

Row = dict[str, Any]


def rows_of(evaluations: Iterable[Mapping[str, Any]]) -> list[Row]:
    """One row an evaluated run: name, model, split, seed, and the metrics of both tasks with their intervals."""
    rows = []
    for one in evaluations:
        row: Row = {key: one[key] for key in ("run", "model", "split", "part", "seed")}
        for task, metric in COLUMNS:
            # None where no comment of the part has that label.
            row[f"{task}_{metric.name}"] = one["metrics"][task].get(metric.name)
            if metric.name + "_spread" in one["metrics"][task]:
                row[f"{task}_{metric.name}_spread"] = one["metrics"][task][metric.name + "_spread"]
            row[f"{task}_{metric.name}_interval"] = one["metrics"][task]["intervals_95"][metric.name]
            row[f"{task}_ece"] = one["metrics"][task]["calibration"]["ece"]
        rows.append(row)
    return rows


def over_seeds(rows: Iterable[Row], by: Sequence[str]) -> list[Row]:
    """Mean and spread (sample standard deviation) over runs that agree in the fields `by`."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(json.dumps(row[field]) for field in by), []).append(row)
    means = []
    for members in groups.values():
        entry: Row = {field: members[0][field] for field in by} | {"seeds": len(members)}
        for task, metric in COLUMNS:
            scores = [member[f"{task}_{metric.name}"] for member in members]
            values = [score for score in scores if score is not None]
            entry[f"{task}_{metric.name}"] = statistics.fmean(values) if values else None
            entry[f"{task}_{metric.name}_spread"] = statistics.stdev(values) if len(values) > 1 else None
        means.append(entry)
    return means


def beside(summaries: Mapping[str, Sequence[Row]], by: Sequence[str]) -> list[Row]:
    """The summaries of several parts as one: a row has the fields `by`, and each number under its part's name."""
    joined: dict[tuple[str, ...], Row] = {}
    for part, rows in summaries.items():
        for row in rows:
            fields = {field: row[field] for field in (*by, "seeds")}
            entry = joined.setdefault(tuple(json.dumps(row[field]) for field in by), fields)
            entry |= {f"{part}_{key}": value for key, value in row.items() if key not in fields}
    return list(joined.values())


def markdown(rows: Sequence[Row], by: Sequence[str], parts: Sequence[str] = ("",)) -> str:
    """A table with the fields `by` and the metrics of both tasks in percent.

    `parts` are those of `beside`. The best number of a column is bold, or, where one row is chosen, that row's numbers.
    """
    columns, bold = _columns(parts), _bold(rows, parts)
    headings = [heading for heading, _ in columns]
    lines = ["| " + " | ".join([*by, *headings]) + " |", "|" + " --- |" * len(by) + " ---: |" * len(headings)]
    for number, row in enumerate(rows):
        cells = [_cell(row, key, (number, key) in bold, "**", "**", "±") for _, key in columns]
        lines.append("| " + " | ".join([*(_plain(row[field]) for field in by), *cells]) + " |")
    return "\n".join(lines) + "\n"


def latex(rows: Sequence[Row], by: Sequence[str], parts: Sequence[str] = ("",)) -> str:
    """The same as a booktabs tabular."""
    columns, bold = _columns(parts), _bold(rows, parts)
    headings = [heading for heading, _ in columns]
    lines = [
        r"\begin{tabular}{" + "l" * len(by) + "r" * len(headings) + "}",
        r"\toprule",
        " & ".join(escaped(name) for name in [*by, *headings]) + r" \\",
        r"\midrule",
    ]
    for number, row in enumerate(rows):
        cells = [_cell(row, key, (number, key) in bold, r"\textbf{", "}", r"$\pm$") for _, key in columns]
        lines.append(" & ".join([*(escaped(_plain(row[field])) for field in by), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def as_json(rows: Sequence[Row]) -> str:
    """The same, unrounded."""
    return json.dumps(rows, indent=2, allow_nan=False) + "\n"


def write_tables(
    store: Store,
    folder: str,
    rows: Sequence[Row],
    by: Sequence[str],
    name: str = "results",
    parts: Sequence[str] = ("",),
) -> None:
    """<name>.md, .tex and .json in a folder of the root."""
    texts = {"md": markdown(rows, by, parts), "tex": latex(rows, by, parts), "json": as_json(rows)}
    for suffix, text in texts.items():
        store.write_file(f"{folder}/{name}.{suffix}", text.encode())


def write_figures(store: Store, folder: str, evaluation: Mapping[str, Any]) -> list[str]:
    """Confusion matrices and reliability diagrams of an evaluation, as SVG files in a folder of the root."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "csmv"  # the same figure is the same bytes
    written = []
    for task, names in TASKS.items():
        metrics = evaluation["metrics"][task]
        if not metrics["n"]:
            continue
        for kind, draw in (("confusion", _draw_confusion), ("reliability", _draw_reliability)):
            path = f"{folder}/{evaluation['part']}-{kind}-{task}.svg"
            store.write_file(path, draw(metrics, names, f"{task}, {evaluation['part']}"))
            written.append(path)
    return written


def _draw_confusion(metrics: Mapping[str, Any], names: Sequence[str], title: str) -> bytes:
    from matplotlib.figure import Figure

    counts = metrics["confusion"]
    shares = [[count / max(sum(row), 1) for count in row] for row in counts]
    side = 2.2 + 0.55 * len(names)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            shade = "white" if shares[i][j] > 0.5 else "black"
            axes.text(j, i, f"{shares[i][j]:.0%}\n{count}", ha="center", va="center", fontsize=7, color=shade)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    return _svg(figure)


def _draw_reliability(metrics: Mapping[str, Any], names: Sequence[str], title: str) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), layout="constrained")
    draw_reliability(figure.subplots(), metrics, title)
    return _svg(figure)


def draw_reliability(axes: Any, metrics: Mapping[str, Any], title: str) -> None:
    """How often right against how sure, of a task as it is and at the temperature that dev chose; larger dots, more."""
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for name, label in (("calibration", "as it is"), ("calibration_scaled", "scaled")):
        bins, ece = metrics[name]["bins"], metrics[name]["ece"]
        total = max(sum(one["count"] for one in bins), 1)
        sizes = [4 + 200 * one["count"] / total for one in bins]
        at = [one["confidence"] for one in bins], [one["accuracy"] for one in bins]
        axes.scatter(*at, s=sizes, alpha=0.7, label=f"{label}: ECE {ece:.3f}")
    axes.legend(loc="upper left", fontsize=7, markerscale=0.5)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="how sure", ylabel="how often right", title=title)


def _svg(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _columns(parts: Sequence[str]) -> list[tuple[str, str]]:
    """Heading and key of each column of numbers."""
    return [
        (f"{part} {heading}".strip(), f"{part}_{task}_{metric.name}".strip("_"))
        for part in parts
        for heading, (task, metric) in zip(HEADINGS, COLUMNS, strict=True)
    ]


def _bold(rows: Sequence[Row], parts: Sequence[str]) -> set[tuple[int, str]]:
    """The places, as the number of the row and the key of the column, that are bold."""
    places = set()
    is_chosen = any(row.get("chosen") for row in rows)
    for _, key in _columns(parts):
        best = max((row[key] for row in rows if row.get(key) is not None), default=None)
        for number, row in enumerate(rows):
            if row.get("chosen") if is_chosen else best is not None and row.get(key) == best:
                places.add((number, key))
    return places


def _cell(row: Row, key: str, is_bold: bool, before: str, after: str, plus_minus: str) -> str:
    value = row.get(key)
    if value is None:
        return "-"
    text = f"{100 * value:.2f}"
    spread = row.get(f"{key}_spread")
    text = text if spread is None else f"{text} {plus_minus} {100 * spread:.2f}"
    return f"{before}{text}{after}" if is_bold else text


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def escaped(text: str) -> str:
    """Text as LaTeX shows it."""
    return "".join("\\" + sign if sign in "_&%#${}" else sign for sign in text)
