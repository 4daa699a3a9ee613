"""Figures of experiments as PNG and PDF, the same bytes for the same numbers: curves, reliability, differences."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.metrics import COLUMNS, TASKS
from csmv.pipeline.vccsa.result_tables import Row, draw_reliability

FORMATS: dict[str, dict[str, None]] = {"png": {"Software": None}, "pdf": {"CreationDate": None}}
"""Of each kind of file the metadata that would differ from day to day or version to version."""


def write_curve(store: Store, path: str, curves: Mapping[str, Sequence[Row]]) -> list[str]:
    """Scores on test and dev against the share of the train videos; a line a configuration, bars the spread on test.

    Args:
        store: the root.
        path: of the files, without their ending.
        curves: label -> rows with `train_fraction` and the numbers of `csmv.pipeline.vccsa.result_tables.beside`.

    Returns:
        The files' names.
    """
    figure = _figure(4 * len(COLUMNS), 3.6)
    for axes, (task, metric) in zip(figure.subplots(1, len(COLUMNS)), COLUMNS, strict=True):
        for number, (label, rows) in enumerate(curves.items()):
            for part, style in (("test", "-"), ("dev", ":")):
                key = f"{part}_{task}_{metric.name}"
                drawn = [row for row in rows if row.get(key) is not None]
                axes.errorbar(
                    [row["train_fraction"] for row in drawn],
                    [100 * row[key] for row in drawn],
                    [100 * (row.get(f"{key}_spread") or 0) for row in drawn] if part == "test" else None,
                    fmt=f"o{style}",
                    color=f"C{number}",
                    markersize=4,
                    capsize=2,
                    label=f"{label}, {part}",
                )
        axes.set(xlabel="share of the train videos", ylabel="F1, %", title=f"{task} {metric.title}", xscale="log")
        shares = sorted({row["train_fraction"] for rows in curves.values() for row in rows})
        axes.set_xticks(shares, [f"{share:g}" for share in shares])
        axes.set_xticks([], minor=True)
        axes.legend(fontsize=6)
    return _write(store, path, figure)


def write_reliability(store: Store, path: str, evaluation: Mapping[str, Any]) -> list[str]:
    """How often right against how sure, a diagram for each task that has labels, before and after scaling."""
    tasks = [task for task in TASKS if evaluation["metrics"][task]["n"]]
    figure = _figure(4 * len(tasks), 4)
    for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        draw_reliability(axes, evaluation["metrics"][task], f"{task}, {evaluation['part']}")
    return _write(store, path, figure)


def write_differences(store: Store, path: str, comparisons: Sequence[Mapping[str, Any]], against: str) -> list[str]:
    """Differences from one experiment with their 95 % intervals, a line an experiment."""
    figure = _figure(4 * len(COLUMNS), 1.2 + 0.3 * len(comparisons))
    labels = [one["label"] for one in comparisons]
    for number, (axes, (task, metric)) in enumerate(
        zip(figure.subplots(1, len(COLUMNS), sharey=True), COLUMNS, strict=True)
    ):
        values = [one["tasks"][task][metric.name] for one in comparisons]
        for place, value in enumerate(values):
            low, high = (100 * end for end in value["interval_95"])
            axes.plot([low, high], [place, place], color="C0", linewidth=1.5)
            axes.plot(100 * value["difference"], place, "o", color="C0", markersize=4)
        axes.axvline(0, color="grey", linewidth=0.8)
        axes.set(xlabel="points of F1", title=f"{task} {metric.title}")
        if number == 0:
            axes.set_yticks(range(len(labels)), labels, fontsize=7)
            axes.invert_yaxis()
    figure.suptitle(f"against {against}", fontsize=9)
    return _write(store, path, figure)


def _figure(width: float, height: float) -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _write(store: Store, path: str, figure: Any) -> list[str]:
    written = []
    for kind, metadata in FORMATS.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata, dpi=150)
        store.write_file(f"{path}.{kind}", buffer.getvalue())
        written.append(f"{path}.{kind}")
    return written
