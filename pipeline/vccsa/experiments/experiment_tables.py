"""Tables of any columns, for a page in Markdown and a paper in LaTeX: differences, calibration, hashtags, curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from csmv.pipeline.vccsa.metrics import COLUMNS, HEADINGS, TASKS
from csmv.pipeline.vccsa.result_tables import Row, escaped


@dataclass(frozen=True)
class Table:
    """Cells as text under headings; the first `texts` columns are words, the others numbers."""

    title: str
    headings: Sequence[str]
    cells: Sequence[Sequence[str]]
    texts: int = 1
    note: str = ""

    def markdown(self) -> str:
        """A heading, the note and the table."""
        marks = [" --- |" if number < self.texts else " ---: |" for number in range(len(self.headings))]
        lines = ["| " + " | ".join(self.headings) + " |", "|" + "".join(marks)]
        lines += ["| " + " | ".join(row) + " |" for row in self.cells]
        return f"## {self.title}\n\n" + (f"{self.note}\n\n" if self.note else "") + "\n".join(lines) + "\n"

    def latex(self) -> str:
        """A booktabs tabular after a comment with the title."""
        columns = "l" * self.texts + "r" * (len(self.headings) - self.texts)
        rows = [" & ".join(_in_latex(cell) for cell in row) + r" \\" for row in (self.headings, *self.cells)]
        body = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", rows[0], r"\midrule", *rows[1:], r"\bottomrule"]
        return f"% {self.title}\n" + "\n".join([*body, r"\end{tabular}"]) + "\n"


def percent(value: float | None, spread: float | None = None) -> str:
    """A score in percent, with its spread if there is one."""
    if value is None:
        return "-"
    return f"{100 * value:.2f}" if spread is None else f"{100 * value:.2f} ± {100 * spread:.2f}"


def differences(title: str, comparisons: Sequence[Mapping[str, Any]], note: str = "") -> Table:
    """Of comparisons with one experiment, a row each: differences in points of F1 with 95 % interval and p."""
    cells = []
    for one in comparisons:
        row = [one["label"], one["part"]]
        for task, metric in COLUMNS:
            value = one["tasks"][task][metric.name]
            low, high = (100 * end for end in value["interval_95"])
            row.append(f"{100 * value['difference']:+.2f} [{low:+.2f}, {high:+.2f}] p={value['p']:.3f}")
        cells.append(row)
    return Table(title, ["experiment", "part", *HEADINGS], cells, 2, note)


def calibrations(title: str, evaluations: Sequence[Mapping[str, Any]], note: str = "") -> Table:
    """ECE, NLL and Brier score of each task before and after temperature scaling."""
    cells = []
    for one in evaluations:
        for task in TASKS:
            before, after = one["metrics"][task]["calibration"], one["metrics"][task]["calibration_scaled"]
            temperature = "-" if after["temperature"] is None else f"{after['temperature']:.2f}"
            measures = [f"{before[key]:.4f} -> {after[key]:.4f}" for key in ("ece", "nll", "brier")]
            cells.append([one["run"], one["part"], task, temperature, *measures])
    return Table(title, ["experiment", "part", "task", "T", "ECE", "NLL", "Brier"], cells, 3, note)


def of_hashtags(title: str, rows: Sequence[Row], note: str = "") -> Table:
    """Scores by hashtag."""
    cells = [
        [row["hashtag"], f"{row['videos']:,}", f"{row['comments']:,}"]
        + [percent(row[f"{task}_{metric.name}"]) for task, metric in COLUMNS]
        for row in rows
    ]
    return Table(title, ["hashtag", "videos", "comments", *HEADINGS], cells, 1, note)


def _in_latex(text: str) -> str:
    return escaped(text).replace("±", r"$\pm$").replace("->", r"$\to$")
