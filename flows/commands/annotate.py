"""`csmv annotate`: comments out to annotators, their labels back, how far they agree, and what counts."""

from pathlib import Path
from typing import Annotated, Any

import typer

from csmv.flows.options import AsJson, Fields, Root, Values, command, usage
from csmv.flows.terminal import print_json, print_table
from csmv.pipeline.errors import UsageError

commands = typer.Typer()
annotate = typer.Typer(
    help="Labels from annotators: comments out as tasks, answers back, agreement, what counts.", no_args_is_help=True
)
commands.add_typer(annotate, name="annotate")

_CONFIG = "csmv.pipeline.release.annotation.annotation_config"


@command(annotate, "export")
def annotate_export(
    *,
    root: Root,
    section: Annotated[
        Values,
        Fields(
            f"{_CONFIG}:BatchConfig",
            *("name", "fewest", "most", "comments", "each", "overlap", "annotators", "gold", "seed", "media"),
            "signed_hours",
            hashtag="hashtags",
            language="languages",
            kind="kinds",
        ),
    ],
    gold_file: Annotated[
        Path | None, typer.Option(help="CSV of an expert's labels (comment_id, opinion, emotion): the gold items.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the tasks; a folder a batch below it.")] = Path("annotation"),
    as_json: AsJson = False,
) -> None:
    """Draw comments for annotators: Label Studio tasks, a list an annotator, and the labelling configuration.

    Only scrubbed texts leave, with ids and the video's address. A video's comments stand together in a list.
    """
    from csmv.pipeline.release.annotation.annotation_batch import draw_batch
    from csmv.pipeline.release.annotation.annotation_config import BatchConfig
    from csmv.pipeline.release.annotation.expert_labels import read_expert_labels
    from csmv.pipeline.release.annotation.labelling_tasks import write_tasks
    from csmv.pipeline.store import Store
    from csmv.pipeline.validated import parse

    with usage():
        config = parse(BatchConfig, section, "csmv annotate export")
    store = Store.open(root)
    expert = None if gold_file is None else read_expert_labels(gold_file)
    exported = write_tasks(store, draw_batch(store, config, expert), out / config.name)
    if as_json:
        print_json(vars(exported))
        return
    lists = ", ".join(f"{count:,}" for count in exported.tasks)
    typer.echo(f"{exported.comments:,} comments, {exported.gold:,} of them gold, in lists of {lists} tasks.")
    if exported.without_media:
        typer.echo(f"{exported.without_media:,} comments are left out: their video's file is not in the root.")
    typer.echo(f"{exported.folder}: a file of tasks a list, and labelling.xml; or `csmv annotate push`.")


@annotate.command("import")
def annotate_import(
    files: Annotated[list[Path], typer.Argument(help="Label Studio's JSON exports, or CSV files.")],
    root: Root,
    batch: Annotated[str | None, typer.Option(help="The batch of answers that name none.")] = None,
    as_json: AsJson = False,
) -> None:
    """Take labels in: annotators' names become pseudonyms; rows of no use are recorded, and cost only themselves.

    A newer export of the same annotator and batch takes the place of the older one.
    """
    from csmv.pipeline.release.annotation.import_annotations import import_files
    from csmv.pipeline.store import Store

    _tell(import_files(Store.open(root), files, batch), as_json)


def _tell(report: Any, as_json: bool) -> None:
    """What an import took in."""
    if as_json:
        print_json(vars(report) | {"rows": report.rows})
        return
    print_table(["annotator", "labels"], [[who, f"{count:,}"] for who, count in report.labels.items()], "Imported")
    for count, what in (
        (report.replaced, "labels of an earlier import were replaced"),
        (report.skipped, "tasks were skipped by their annotator"),
        (report.repeated, "answers repeat an annotator's own: the last one counts"),
    ):
        if count:
            typer.echo(f"{count:,} {what}.")
    for problem, count in sorted(report.problems.items()):
        typer.echo(f"{count:,} not taken: {problem} (failures/annotate).")
    for who in report.older:
        typer.echo(f"{who}: the root has newer labels than this file, and keeps them.")
    for batch in report.stale:
        typer.echo(f"{batch} was adjudicated before this: `csmv annotate adjudicate --batch {batch}` does it again.")


_Url = Annotated[
    str | None,
    typer.Option(help="Label Studio's address; left out, LABEL_STUDIO_URL. The token: LABEL_STUDIO_API_KEY."),
]
_BatchName = Annotated[str, typer.Option("--batch", help="The batch's name.")]


@annotate.command("push")
def annotate_push(root: Root, batch: _BatchName = "batch-1", url: _Url = None, as_json: AsJson = False) -> None:
    """Put an exported batch into a running Label Studio: a project an annotator. Run again, it adds what is missing."""
    from csmv.pipeline.release.annotation.annotation_batch import read_batch
    from csmv.pipeline.release.annotation.label_studio import LabelStudio
    from csmv.pipeline.store import Store

    store = Store.open(root)
    drawn = read_batch(store, batch)
    pushed = LabelStudio(url).push(store, drawn)
    if as_json:
        print_json(vars(pushed))
        return
    typer.echo(f"{pushed.tasks:,} tasks are new in the projects {', '.join(map(str, pushed.projects.values()))}.")
    if pushed.without_media:
        typer.echo(f"{pushed.without_media:,} comments are left out: their video's file is not in the root.")


@annotate.command("pull")
def annotate_pull(root: Root, batch: _BatchName = "batch-1", url: _Url = None, as_json: AsJson = False) -> None:
    """Fetch a batch's labels from a running Label Studio, and take them in as `import` does."""
    from csmv.pipeline.release.annotation.annotation_batch import read_batch
    from csmv.pipeline.release.annotation.import_annotations import import_answers
    from csmv.pipeline.release.annotation.label_studio import LabelStudio
    from csmv.pipeline.store import Store

    store = Store.open(root)
    drawn = read_batch(store, batch)
    answers = LabelStudio(url).pull(store, drawn)
    _tell(import_answers(store, answers, batch), as_json)


@annotate.command("agreement")
def annotate_agreement(
    root: Root,
    batch: _BatchName = "batch-1",
    wage: Annotated[float | None, typer.Option(min=0, help="What an annotator's hour costs, in any currency.")] = None,
    as_json: AsJson = False,
) -> None:
    """How far annotators agree, how they do on gold items, who looks careless, what a label took and cost.

    Everything is in reports/annotation-BATCH.json, too.
    """
    from csmv.pipeline.release.annotation.agreement_report import agreement_report
    from csmv.pipeline.store import Store

    report = agreement_report(Store.open(root), batch, wage)
    if as_json:
        print_json(report)
        return
    measures = ("mean_cohen_kappa", "fleiss_kappa", "krippendorff_alpha")
    rows = [[task, *(_number(values[name]) for name in measures)] for task, values in report["agreement"].items()]
    about = f"{report['labels']:,} labels of {report['comments']:,} comments"
    print_table(["task", "Cohen's kappa (mean)", "Fleiss' kappa", "Krippendorff's alpha"], rows, about)
    people = [
        [who, f"{one['labels']:,}", *_accuracies(one["gold"]), _number(one["seconds"]["median"], 1)]
        for who, one in report["annotators"].items()
    ]
    tasks = [f"gold {task}s right" for task in report["agreement"]]
    print_table(["annotator", "labels", *tasks, "seconds a label"], people, f"{report['gold_items']:,} gold items")
    for who, doubts in report["suspicious"].items():
        typer.echo(f"Look at {who}: {'; '.join(doubts)}.")
    effort = report["effort"]
    if effort["hours"] is not None:
        cost = "" if effort["cost"] is None else f"; {effort['cost']:,.2f} in all, {effort['cost_a_label']:.3f} a label"
        typer.echo(f"{effort['hours']:.1f} hours, {effort['seconds_a_label']:.1f} s a label{cost}.")


@annotate.command("adjudicate")
def annotate_adjudicate(
    root: Root,
    batch: _BatchName = "batch-1",
    method: Annotated[str, typer.Option(help="majority, or dawid-skene.")] = "majority",
    decisions: Annotated[
        Path | None, typer.Option(help="CSV of an expert's decisions: the file of ties, filled in.")
    ] = None,
    ties: Annotated[Path | None, typer.Option(help="Where ties are listed; left out, BATCH-ties.csv here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Decide between annotators, and write the labels that count. Ties are listed for an expert to fill in.

    Comments with one label are left as they are. An expert's decisions stand, whatever is run again.
    """
    from csmv.pipeline.release.annotation.adjudicate import Method, adjudicate, write_ties
    from csmv.pipeline.release.annotation.expert_labels import read_expert_labels
    from csmv.pipeline.store import Store

    if method not in list(Method):
        raise UsageError(f"--method takes {' or '.join(Method)}; '{method[:40]}' is neither.")
    store = Store.open(root)
    expert = None if decisions is None else read_expert_labels(decisions)
    report = adjudicate(store, batch, Method(method), expert)
    path = ties or Path(f"{batch}-ties.csv")
    if report.ties:
        write_ties(store, batch, report.ties, path)
    if as_json:
        print_json(vars(report))
        return
    settled = ", ".join(f"{count:,} {task}s" for task, count in report.settled.items())
    typer.echo(f"Of {report.comments:,} comments, adjudicated: {settled}; {report.by_expert:,} comments by an expert.")
    if report.single:
        typer.echo(f"{report.single:,} comments have one label, which stands as it is.")
    if report.unknown:
        typer.echo(f"{report.unknown:,} decisions are of comments that the root does not have, and were left out.")
    if report.ties:
        typer.echo(f"{len(report.ties):,} comments are tied: fill in {path}, then run this with --decisions {path}.")


def _accuracies(gold: dict[str, Any]) -> list[str]:
    return [_number(of_task["accuracy"]) for of_task in gold.values()]


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
