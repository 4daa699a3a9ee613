"""`csmv train`, `evaluate`, `predict` and `sweep`: models on a root, judged, asked, and compared over settings."""

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from csmv.flows.options import AsJson, Fields, Root, Values, command, one_value_each, set_values, usage
from csmv.flows.terminal import print_json, print_table
from csmv.pipeline.errors import UsageError

if TYPE_CHECKING:
    from csmv.pipeline.vccsa.train_config import TrainConfig

commands = typer.Typer()

SECTION = "csmv.pipeline.vccsa.train_config:TrainConfig"
BASE = "the configuration's"
"""Where values come from that no option gives: --config's, --paper's or the root's."""

Settings = Annotated[
    list[str] | None, typer.Option("--set", help="field=value, such as sizes.scales=2 or text.encoder=roberta-base.")
]
Config = Annotated[Path | None, typer.Option(help="A YAML file with a train section's fields.")]


@command(commands, "train")
def train(
    *,
    root: Root,
    section: Annotated[Values, Fields(SECTION, "model", "split", "features", "seed", repeated=("seed",), base=BASE)],
    config: Config = None,
    paper: Annotated[str | None, typer.Option(help="The paper's recipe for i3d, r21d or videomaev2.")] = None,
    settings: Settings = None,
    run: Annotated[str | None, typer.Option(help="The run's name, if there is only one.")] = None,
    log: Annotated[list[str] | None, typer.Option("--log", help="tensorboard, wandb or mlflow, if installed.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another or failed run of that name.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model, or without --model and --config all that dataset.yaml lists; finished runs are not repeated.

    With several seeds, each is a run.
    """
    from csmv.pipeline.config import record_section
    from csmv.pipeline.store import Store
    from csmv.pipeline.vccsa.run_files import FailedRunError
    from csmv.pipeline.vccsa.training import train as train_run

    model, seeds = section.pop("model", None), section.pop("seed", [])
    changes = one_value_each(settings) | section
    base = base_configs(root, model, config, paper)
    store = Store.open(root)
    with usage():
        configs = [
            one.replace(changes | chosen) for one in base for chosen in [{"seed": seed} for seed in seeds] or [{}]
        ]
    if run and len(configs) > 1:
        raise UsageError(f"--run names one run and {len(configs)} were asked for; leave it out.")
    results, failed = [], []
    for one in configs:
        try:
            results.append(train_run(store, one, run, tuple(log or ()), "always" if overwrite else "never"))
        except FailedRunError as error:
            failed.append(error)
    if failed and not results:
        raise failed[0]
    if os.environ.get("RANK", "0") != "0":
        return  # one of several processes that trained together tells what came of it
    if run is None:  # a name of one's own has no place in a section: the run would be trained again under another
        for one in configs:
            record_section(store, "train", one)
    for one_failed in failed:
        typer.echo(str(one_failed), err=True)
    if as_json:
        print_json([_summary(result) for result in results])
    else:
        _print_trained(results)
        for name in _experiments_of(configs) if run is None else ():
            typer.echo(f"All seeds together: csmv evaluate {name} --root {root}")
    if failed:
        raise typer.Exit(1)


def _experiments_of(configs: list["TrainConfig"]) -> list[str]:
    """The experiments of which there is more than one seed."""
    from csmv.pipeline.vccsa.experiments.experiment import experiment_name

    return [name for name, count in Counter(map(experiment_name, configs)).items() if count > 1]


def _print_trained(results: list[Any]) -> None:
    from csmv.pipeline.vccsa.metrics import HEADINGS

    for result in results:
        state = "trained" if result.trained else "was finished already"
        typer.echo(f"{result.run} {state} ({result.seconds:.0f} s, {result.parameters:,} parameters)")
        for part, counts in result.counts.items():
            typer.echo(f"  {part}: " + ", ".join(f"{n:,} {what.replace('_', ' ')}" for what, n in counts.items()))
    print_table(["run", "model", *HEADINGS], [[r.run, r.model, *_percentages(r.metrics["test"])] for r in results])


@commands.command()
def evaluate(
    runs: Annotated[
        list[str], typer.Argument(help="Finished runs by name, experiments (all seeds of one), or SWEEP/POINT.")
    ],
    root: Root,
    part: Annotated[Literal["dev", "test"], typer.Option(help="The part that is scored.")] = "test",
    against: Annotated[
        str | None, typer.Option(help="A run or experiment that each is compared with, comment by comment.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=10, help="Draws of videos and seeds for the intervals.")] = 2000,
    figures: Annotated[bool, typer.Option(help="Also draw confusion matrices and reliability diagrams.")] = True,
    as_json: AsJson = False,
) -> None:
    """Scores, calibration, intervals by video, seen against unseen videos; into models/<run>/evaluation/.

    Of an experiment, the runs that differ by nothing but their seed: means, spreads, intervals by video and seed; into
    reports/experiments/<name>/. Beside them, how far the text alone can go: what the same text is labelled under
    different videos.
    """
    from csmv.pipeline.store import Store
    from csmv.pipeline.vccsa.experiments.comparison import compare
    from csmv.pipeline.vccsa.experiments.experiment import named_experiment
    from csmv.pipeline.vccsa.experiments.summary import evaluate_experiment
    from csmv.pipeline.vccsa.metrics import HEADINGS, METRICS
    from csmv.pipeline.vccsa.result_tables import rows_of, write_figures, write_tables
    from csmv.pipeline.vccsa.run_files import FailedRunError, document_bytes
    from csmv.pipeline.vccsa.same_text import same_text_of, sentence

    store = Store.open(root)
    by_text = same_text_of(store)
    evaluations, failed = [], []
    for run in runs:
        try:
            experiment = named_experiment(store, run)
            one = evaluate_experiment(store, experiment, part, resamples)
        except FailedRunError as error:
            failed.append(error)
            continue
        if against:
            one["compared"] = compare(store, against, run, part, resamples)
        one["same_text"] = by_text
        folder = experiment.folder
        one["folder"] = folder
        store.write_file(f"{folder}/{part}.json", document_bytes(one))
        write_tables(store, folder, rows_of([one]), _RUN, f"{part}-results")
        if figures:
            write_figures(store, folder, one)
        evaluations.append(one)
    if not evaluations:
        raise failed[0]
    for one_failed in failed:
        typer.echo(f"Left out: {one_failed}", err=True)
    if len(evaluations) > 1:
        write_tables(store, "reports", rows_of(evaluations), _RUN, f"runs-{part}")
    if as_json:
        print_json(evaluations)
        return
    seen = [f"{which} {METRICS[0].short}" for which in ("seen", "unseen")]
    print_table(["run", *HEADINGS, "ECE", *seen], [_evaluated(one) for one in evaluations])
    if said := sentence(by_text):
        typer.echo(said)
    for one in evaluations:
        if against:
            _print_comparison(one["compared"])
        typer.echo(f"Everything about {one['run']}: {root}/{one['folder']}/")
    if len(evaluations) > 1:
        typer.echo(f"All of them in one table: {root}/reports/runs-{part}.md, .tex and .json")


@commands.command()
def predict(
    root: Root,
    run: Annotated[str, typer.Option(help="The trained run to ask.")],
    video: Annotated[Path | None, typer.Argument(help="A video file; without one, many comments are asked of.")] = None,
    comment: Annotated[list[str] | None, typer.Option("--comment", help="A comment on VIDEO; may be repeated.")] = None,
    html: Annotated[Path | None, typer.Option(help="With VIDEO: a page with the frames that weighed most.")] = None,
    comments: Annotated[
        Path | None,
        typer.Option(help="JSON lines with text, video_id, comment_id; by default the root's unlabelled comments."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the table of many comments goes.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Comments at a time, of many.")] = 256,
    as_json: AsJson = False,
) -> None:
    """Opinion and emotion of comments on a video file, or of many comments on the root's videos, into Parquet.

    Of a video file, also the seconds that weighed most. Many comments are those of --comments, whose table is by
    default beside it, or the root's unlabelled ones, in models/RUN/unlabelled.parquet.
    """
    if video is None:
        if comment or html:
            raise UsageError("--comment and --html are about a video file: name one, or leave them out.")
        _predict_many(root, run, comments, out, batch_size, as_json)
        return
    if comments or out:
        raise UsageError(
            "--comments and --out are about the root's videos: leave out the video file, or leave out these."
        )
    if not comment:
        raise UsageError("A video file needs at least one --comment to ask about.")
    _predict_one(root, run, video, comment, html, as_json)


def _predict_one(root: str, run: str, video: Path, comments: list[str], html: Path | None, as_json: bool) -> None:
    from csmv.pipeline.store import Store
    from csmv.pipeline.vccsa.predict import predict as ask
    from csmv.pipeline.vccsa.predict import write_page
    from csmv.pipeline.vccsa.trained import caution, read_run_of_network

    store = Store.open(root)
    answers = ask(store, run, video, comments)
    if said := caution(run, read_run_of_network(store, run)[0]):
        typer.echo(said, err=True)
    if html:
        write_page(html, video, answers)
    if as_json:
        print_json([answer.as_dict() for answer in answers])
        return
    for answer in answers:
        typer.echo(answer.sentence())
    if html:
        typer.echo(f"Page: {html.resolve()}")


def _predict_many(root: str, run: str, comments: Path | None, out: Path | None, batch_size: int, as_json: bool) -> None:
    from csmv.pipeline.store import Store
    from csmv.pipeline.vccsa.predict_table import CommentsOfFile, UnlabelledComments, predict_table

    store = Store.open(root)
    asked = UnlabelledComments(store) if comments is None else CommentsOfFile(comments)
    out = comments.with_suffix(".predictions.parquet") if comments and not out else out
    predicted = predict_table(store, run, asked, out, batch_size)
    if predicted.caution:
        typer.echo(predicted.caution, err=True)
    if as_json:
        print_json(vars(predicted))
        return
    typer.echo(f"{predicted.answered:,} of {predicted.rows:,} comments have an answer: {predicted.path}")
    if predicted.reasons:
        why = ", ".join(f"{count:,} {reason}" for reason, count in predicted.reasons.items())
        typer.echo(f"The others have none ({why}); the column reason says which.")


@command(commands, "sweep")
def sweep(
    *,
    root: Root,
    name: Annotated[str, typer.Option(help="The sweep's name; with the same name it goes on where it was.")],
    section: Annotated[Values, Fields(SECTION, "model", base=BASE)],
    config: Config = None,
    values: Annotated[
        list[str] | None, typer.Option("--set", help="field=v1,v2,...; several such fields are crossed.")
    ] = None,
    table1: Annotated[bool, typer.Option("--table1", help="The paper's scales, tokens and layers.")] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each setting, with seeds 1, 2, ...")] = 3,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another sweep of that name, and its other or failed runs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train over a grid of settings and seeds through Prefect; means and spreads on dev, which chooses, and test.

    The same name with more --seeds adds the runs of those.
    """
    from csmv.flows.here import sweep_here
    from csmv.pipeline.store import Store
    from csmv.pipeline.validated import parse
    from csmv.pipeline.vccsa.sweep import SWEEP_NAME, TABLE_1, SweepConfig, failed_runs, write_sweep
    from csmv.pipeline.vccsa.sweep import results as results_of
    from csmv.pipeline.vccsa.train_config import TrainConfig

    grid = {field: tuple(several) for field, several in set_values(values).items()}
    if not SWEEP_NAME.fullmatch(name):
        raise UsageError(f"A sweep's name is 1 to 40 letters, digits, - and _; '{name[:80]}' is not.")
    [base] = base_configs(root, section.get("model") or (None if config else TrainConfig().model), config, None)
    store = Store.open(root)
    settings = {
        "name": name,
        "base": base,
        "grid": grid,
        "points": TABLE_1 if table1 else (),
        "seeds": tuple(range(1, seeds + 1)),
    }
    with usage():
        asked = parse(SweepConfig, settings, "sweep")
        list(asked.runs())
    write_sweep(store, asked, "always" if overwrite else "never")
    sweep_here(root, name, overwrite)
    rows = results_of(store, name)
    for run, reason in failed_runs(store, name).items():
        typer.echo(f"Left out: the run '{run}' failed: {reason}", err=True)
    if as_json:
        print_json(rows)
        return
    from csmv.pipeline.vccsa.result_tables import markdown
    from csmv.pipeline.vccsa.training import SCORED

    fields = [key for key in rows[0] if key.startswith(tuple(grid)) or key in TABLE_1[0]] if (grid or table1) else []
    typer.echo(markdown(rows, [*(fields or ["model"]), "seeds"], SCORED))
    typer.echo("Chosen by dev: the row in bold. What test says of the others has no part in it.")
    typer.echo(f"Tables: {root}/sweeps/{name}/results.md, .tex and .json")


def base_configs(root: str, model: str | None, config: Path | None, paper: str | None) -> list["TrainConfig"]:
    """The configurations to start from: a file's, the paper's, a plain one of a model, or the dataset's own."""
    from csmv.pipeline.config import read_config
    from csmv.pipeline.store import Store
    from csmv.pipeline.validated import parse, read_text, yaml_mapping
    from csmv.pipeline.vccsa.train_config import TrainConfig

    if config is not None and paper is not None:
        raise UsageError("--config and --paper are two places to start from; give one of them, and --set what differs.")
    if config is not None:
        data = yaml_mapping(read_text(config), str(config))
        return [parse(TrainConfig, data | ({"model": model} if model else {}), str(config))]
    if paper is not None:
        with usage():
            return [TrainConfig.paper(paper).replace({"model": model} if model else {})]
    store = Store.open(root)
    if model is not None:
        listed = [one.features for one in read_config(store).train if one.needs_features]
        defaults: dict[str, Any] = {"features": listed[0]} if listed else {}
        names = store.split_names()
        if names and TrainConfig().split not in names:
            defaults["split"] = names[0]
        return [TrainConfig().replace({**defaults, "model": model})]
    if not read_config(store).train:
        raise UsageError("dataset.yaml lists no training run; say which model with --model.")
    return list(read_config(store).train)


_RUN = ["run", "model", "split", "part"]


def _percentages(metrics: dict[str, Any]) -> list[str]:
    from csmv.pipeline.vccsa.metrics import in_row

    return ["-" if value is None else f"{100 * value:.2f}" for value in in_row(metrics)]


def _summary(result: Any) -> dict[str, Any]:
    return {
        "run": result.run,
        "model": result.model,
        "trained": result.trained,
        "seconds": result.seconds,
        "parameters": result.parameters,
        "counts": result.counts,
        "metrics": result.metrics,
        "predictions": result.predictions,
    }


def _evaluated(one: dict[str, Any]) -> list[str]:
    from csmv.pipeline.vccsa.metrics import COLUMNS, METRICS

    metrics = one["metrics"]
    cells = []
    for task, metric in COLUMNS:
        low, high = metrics[task]["intervals_95"][metric.name]
        value, spread = metrics[task].get(metric.name), metrics[task].get(f"{metric.name}_spread")
        over = "" if spread is None else f" ± {100 * spread:.2f}"
        cells.append("-" if value is None else f"{100 * value:.2f}{over} [{100 * low:.1f}, {100 * high:.1f}]")
    ece = " / ".join(f"{metrics[task]['calibration']['ece']:.3f}" for task in ("opinion", "emotion"))
    short = []
    for name in ("seen", "unseen"):
        metrics = one["by_video_seen_in_train"][name]
        values = [metrics[task].get(METRICS[0].name) for task in ("opinion", "emotion")]
        short.append(" / ".join("-" if value is None else f"{100 * value:.2f}" for value in values))
    return [one["run"], *cells, ece, *short]


def _print_comparison(comparison: dict[str, Any]) -> None:
    from csmv.pipeline.vccsa.metrics import COLUMNS

    rows = [
        [
            f"{task} {metric.short}",
            f"{100 * one['first']:.2f}",
            f"{100 * one['second']:.2f}",
            f"{100 * one['difference']:+.2f}",
            f"[{100 * one['interval_95'][0]:+.2f}, {100 * one['interval_95'][1]:+.2f}]",
            f"{one['p']:.4f}",
        ]
        for task, metric in COLUMNS
        for one in (comparison["tasks"][task][metric.name],)
    ]
    print_table(["", comparison["first"], comparison["second"], "difference", "95 %", "p"], rows)
