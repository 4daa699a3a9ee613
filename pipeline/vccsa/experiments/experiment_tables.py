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


_PUBLISHED = (
    ("InternVL, 40B", "best of four by opinion", {"opinion": (56.53, 52.04)}),
    ("GLM-4V, 9B", "best of four by emotion", {"emotion": (33.55, 27.16)}),
)
"""The paper's zero-shot models as far as it states them: name, what it is best in, micro and macro F1 in percent."""


def unanswered(title: str, evaluations: Sequence[Mapping[str, Any]]) -> Table:
    """Of models that may give no answer, the share of comments that they left without a class."""
    cells = []
    for one in evaluations:
        metrics = [one["metrics"][task] for task in TASKS]
        shares = [f"{100 * scores['unanswered'] / max(scores['n'], 1):.2f}" for scores in metrics]
        cells.append([one["run"], one["part"], f"{one['comments']:,}", *shares])
    note = "In percent. Such a comment counts as wrong: it is missed in its class and charged to no other."
    return Table(title, ["experiment", "part", "comments", *TASKS], cells, 2, note)


def published_zero_shot(split: str) -> Table:
    """The dataset paper's zero-shot models, to stand beside one's own."""
    cells = [
        [model, what, *(cell for task in TASKS for cell in _cells(scores.get(task)))]
        for model, what, scores in _PUBLISHED
    ]
    note = (
        "As the dataset's paper states them (supplement B.2: LLaVA, GLM-4V, ShareGPT4Video and InternVL, each asked "
        "without training, of which it names the best). They are of the published test comments and of prompts and "
        "frames of its own, so only a run on the split `published` compares, and that roughly."
    )
    return Table(f"{split}: zero-shot models of the paper", ["model", "", *HEADINGS], cells, 2, note)


def _cells(scores: tuple[float, ...] | None) -> Sequence[str]:
    return ("-", "-") if scores is None else [f"{value:.2f}" for value in scores]


def _in_latex(text: str) -> str:
    return escaped(text).replace("±", r"$\pm$").replace("->", r"$\to$")
