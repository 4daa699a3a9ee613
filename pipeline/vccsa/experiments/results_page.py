"""One page of all experiments of a root: tables in Markdown, LaTeX and JSON, and figures.

For each split: every experiment on dev and test side by side, the one that dev chooses, the others against it,
calibration, hashtags, and learning curves where runs differ by their share of the train videos. Numbers and names only,
never a comment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.experiments.comparison import compare_experiments
from csmv.pipeline.vccsa.experiments.experiment import Experiment, called, experiment_name
from csmv.pipeline.vccsa.experiments.experiment_tables import (
    Table,
    calibrations,
    differences,
    of_hashtags,
    percent,
    published_zero_shot,
    unanswered,
)
from csmv.pipeline.vccsa.experiments.figures import write_curve, write_differences, write_reliability
from csmv.pipeline.vccsa.experiments.hashtags import by_hashtag
from csmv.pipeline.vccsa.experiments.summary import evaluate_experiment
from csmv.pipeline.vccsa.metrics import COLUMNS, TASKS
from csmv.pipeline.vccsa.resampling import RESAMPLES
from csmv.pipeline.vccsa.result_tables import Row, beside, latex, markdown, rows_of
from csmv.pipeline.vccsa.run_files import document_bytes, run_names
from csmv.pipeline.vccsa.sweep import dev_score
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.training import SCORED

FOLDER = "reports"
_BY = ["experiment", "model", "seeds"]


@dataclass
class SplitResults:
    """What a split's experiments came to.

    rows: dev and test side by side, the row that dev chooses marked `chosen`; comparisons: of each other experiment
    with that one; curves: label -> rows by share of the train videos; hashtags: of the chosen one, on test; left_out:
    experiment -> why it has no numbers or no comparison; zero_shot: the experiments whose models were not trained.
    """

    split: str
    chosen: Experiment
    rows: list[Row]
    evaluations: dict[str, dict[str, dict[str, Any]]]
    comparisons: list[dict[str, Any]] = field(default_factory=list)
    hashtags: list[Row] = field(default_factory=list)
    curves: dict[str, list[Row]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    zero_shot: set[str] = field(default_factory=set)


def write_results(store: Store, resamples: int = RESAMPLES, draw: bool = True) -> dict[str, Any]:
    """Write reports/results.md, .tex and .json and the figures under reports/results/; gives what the JSON says.

    Args:
        store: the root.
        resamples: draws of videos and seeds for each interval.
        draw: whether to draw the figures.

    Raises:
        CsmvError: the root has no finished run.
    """
    by_split: dict[str, list[Experiment]] = {}
    for one in called(store):
        by_split.setdefault(one.config.split, []).append(one)
    if not by_split:
        raise CsmvError(f"The root '{store.root}' has no finished run to show; train one with `csmv train`.")
    _, failed = run_names(store)
    pages, texts, drawings, data = [], [], [], {}
    for split, members in sorted(by_split.items()):
        results = split_results(store, split, members, resamples)
        figures = _figures(store, results) if draw else []
        tables = _tables(results)
        pages.append(_markdown(results, tables, figures))
        texts += [f"% Split {split}\n{latex(results.rows, _BY, SCORED)}", *(table.latex() for table in tables)]
        drawings += figures
        data[split] = _as_data(results)
    document = {"splits": data, "failed": failed, "resamples": resamples, "figures": drawings}
    lost = "".join(f"- {run}: {reason}\n" for run, reason in failed.items())
    page = "# Results\n\n" + "\n".join(pages) + (f"\n## Runs without scores\n\n{lost}" if lost else "")
    store.write_file(f"{FOLDER}/results.md", page.encode())
    store.write_file(f"{FOLDER}/results.tex", "\n".join(texts).encode())
    store.write_file(f"{FOLDER}/results.json", document_bytes(document))
    return document


def split_results(store: Store, split: str, members: Sequence[Experiment], resamples: int) -> SplitResults:
    """What the experiments of one split came to.

    Raises:
        CsmvError: none of them can be judged.
    """
    evaluations: dict[str, dict[str, dict[str, Any]]] = {}
    left_out = {}
    for one in members:
        try:
            evaluations[one.name] = {part: evaluate_experiment(store, one, part, resamples) for part in SCORED}
        except CsmvError as error:
            left_out[one.name] = str(error)
    if not evaluations:
        raise CsmvError(f"No experiment on the split '{split}' can be judged. {next(iter(left_out.values()))}")
    judged = {one.name: one for one in members if one.name in evaluations}
    rows = _rows(judged, evaluations)
    chosen = judged[next(row["experiment"] for row in rows if row["chosen"])]
    zero_shot = {name for name, one in judged.items() if not isinstance(one.config, TrainConfig)}
    results = SplitResults(split, chosen, rows, evaluations, left_out=left_out, zero_shot=zero_shot)
    for one in judged.values():
        try:
            if one is not chosen:
                compared = compare_experiments(store, chosen, one, "test", resamples)
                results.comparisons.append({"label": one.name} | compared)
        except CsmvError as error:
            left_out[one.name] = str(error)
    results.hashtags = by_hashtag(store, chosen.predictions(store, "test"))
    results.curves = _curves(judged, rows)
    return results


def _rows(judged: Mapping[str, Experiment], evaluations: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Dev and test side by side, the best on dev first and chosen."""
    sides: dict[str, list[Row]] = {part: [] for part in SCORED}
    for name, of_part in evaluations.items():
        for part in SCORED:
            [row] = rows_of([of_part[part]])
            sides[part].append(row | {"experiment": name, "seeds": len(judged[name].runs)})
    rows = beside(sides, ["experiment", "model"])
    scores = {row["experiment"]: dev_score(row, judged[row["experiment"]].config.select_by) for row in rows}
    rows.sort(key=lambda row: (-scores[row["experiment"]], row["experiment"]))
    return [row | {"chosen": number == 0} for number, row in enumerate(rows)]


def _curves(judged: Mapping[str, Experiment], rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The experiments that differ by nothing but their share of the train videos, if there are two or more shares."""
    curves: dict[str, list[Row]] = {}
    for row in rows:
        config = judged[row["experiment"]].config
        if not isinstance(config, TrainConfig):  # nothing was learnt
            continue
        label = experiment_name(config.replace({"train_fraction": 1.0}))
        curves.setdefault(label, []).append(row | {"train_fraction": config.train_fraction})
    several = {label: some for label, some in sorted(curves.items()) if len(some) > 1}
    return {label: sorted(some, key=lambda row: row["train_fraction"]) for label, some in several.items()}


def _tables(results: SplitResults) -> list[Table]:
    name = results.chosen.name
    tables = []
    if results.comparisons:
        note = f"Against {name}, on the same test comments: points of F1, 95 % interval over videos and seeds, "
        note += "two-sided p, not corrected for the number of comparisons."
        tables.append(differences(f"{results.split}: differences from what dev chose", results.comparisons, note))
    note = "One temperature for each task and run, fitted on dev; on dev itself it is the fit and proves nothing."
    evaluated = [one for of_part in results.evaluations.values() for one in (of_part["dev"], of_part["test"])]
    tables.append(calibrations(f"{results.split}: calibration", evaluated, note))
    if results.zero_shot:
        of_zero_shot = [one for one in evaluated if one["run"] in results.zero_shot]
        tables += [unanswered(f"{results.split}: without an answer", of_zero_shot), published_zero_shot(results.split)]
    if results.curves:
        tables.append(_curve_table(results))
    if results.hashtags:
        note = f"{name} on the test comments of each hashtag; a video counts under each of its hashtags."
        tables.append(of_hashtags(f"{results.split}: by hashtag", results.hashtags, note))
    return tables


def _curve_table(results: SplitResults) -> Table:
    cells = []
    for label, rows in results.curves.items():
        for row in rows:
            for part in SCORED:
                keys = [f"{part}_{task}_{metric.name}" for task, metric in COLUMNS]
                numbers = [percent(row.get(key), row.get(f"{key}_spread")) for key in keys]
                cells.append([label, part, f"{row['train_fraction']:g}", *numbers])
    headings = ["experiment", "part", "share of train", *(f"{task} {metric.short}" for task, metric in COLUMNS)]
    note = "Shares of the train videos; of each seed the smaller are parts of the larger."
    return Table(f"{results.split}: learning curve", headings, cells, 2, note)


def _figures(store: Store, results: SplitResults) -> list[str]:
    folder = f"{FOLDER}/results/{results.split}"
    on_test = results.evaluations[results.chosen.name]["test"]
    written = []
    if any(on_test["metrics"][task]["n"] for task in TASKS):
        written += write_reliability(store, f"{folder}-reliability", on_test)
    if results.comparisons:
        written += write_differences(store, f"{folder}-differences", results.comparisons, results.chosen.name)
    if results.curves:
        written += write_curve(store, f"{folder}-learning-curve", results.curves)
    return written


def _markdown(results: SplitResults, tables: Sequence[Table], figures: Sequence[str]) -> str:
    note = "F1 in percent, mean and standard deviation over seeds. Bold: what dev chooses; test has no part in it."
    parts = [f"## {results.split}\n\n{note}\n\n{markdown(results.rows, _BY, SCORED)}"]
    parts += [table.markdown() for table in tables]
    pictures = [path.removeprefix(f"{FOLDER}/") for path in figures if path.endswith(".png")]
    parts += [f"![{path.rpartition('/')[2].removesuffix('.png')}]({path})\n" for path in pictures]
    if results.left_out:
        lines = "".join(f"- {name}: {reason}\n" for name, reason in results.left_out.items())
        parts.append(f"Left out on this split:\n\n{lines}")
    return "\n".join(parts)


def _as_data(results: SplitResults) -> dict[str, Any]:
    return {
        "chosen": results.chosen.name,
        "runs": {name: of_part["test"].get("runs", name) for name, of_part in results.evaluations.items()},
        "rows": results.rows,
        "comparisons": results.comparisons,
        "calibration": {
            name: {
                part: {
                    task: {key: one["metrics"][task][key] for key in ("calibration", "calibration_scaled")}
                    for task in TASKS
                }
                for part, one in of_part.items()
            }
            for name, of_part in results.evaluations.items()
        },
        "by_hashtag": results.hashtags,
        "learning_curves": results.curves,
        "left_out": results.left_out,
    }
