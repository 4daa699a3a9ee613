"""`csmv errors` and `attribution`: what a model has of the video, comment by comment and in its scores."""

from typing import Annotated, Any, Literal

import typer

from csmv.flows.options import AsJson, Root
from csmv.flows.terminal import print_json, print_table

commands = typer.Typer()

Part = Annotated[Literal["dev", "test"], typer.Option(help="The part that is looked at.")]


@commands.command()
def errors(
    run: Annotated[str, typer.Argument(help="A finished run, by name.")],
    root: Root,
    against: Annotated[str, typer.Option(help="The run it is compared with, such as one of text alone.")],
    part: Part = "test",
    most: Annotated[int, typer.Option(min=1, help="Comments shown of each list; all are counted.")] = 200,
    as_json: AsJson = False,
) -> None:
    """A page of the comments that another run had wrong and this one right, and the other way, as scrubbed.

    One self-contained HTML file, in models/RUN/evaluation/.
    """
    from csmv.pipeline.store import Store
    from csmv.pipeline.vccsa.error_page import errors as errors_of
    from csmv.pipeline.vccsa.error_page import write_errors

    store = Store.open(root)
    tasks = errors_of(store, run, against, part, most)
    path = write_errors(store, run, against, part, tasks, most)
    counts = [
        {
            "task": one.task,
            "comments": one.comments,
            "both_right": one.both_right,
            "both_wrong": one.both_wrong,
            "turned_right": one.turned_right,
            "turned_wrong": one.turned_wrong,
        }
        for one in tasks
    ]
    if as_json:
        print_json({"page": store.path(path), "tasks": counts})
        return
    columns = [*counts[0]]
    print_table([name.replace("_", " ") for name in columns], [[f"{one[name]}" for name in columns] for one in counts])
    typer.echo(f"Page: {store.path(path)}")


@commands.command()
def attribution(
    runs: Annotated[list[str], typer.Argument(help="Finished runs of models that look at videos, by name.")],
    root: Root,
    part: Part = "test",
    resamples: Annotated[int, typer.Option(min=10, help="Draws of videos for the intervals.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Decides what is dealt and drawn by chance.")] = 3407,
    as_json: AsJson = False,
) -> None:
    """The video's part in a run's scores: asked again with vectors zeroed, shuffled, and of a wrong video.

    Zeroed: every number is 0. Shuffled: the vectors of the part's videos are dealt anew by chance. Wrong video: each
    video has all vectors of another. Scores, and differences with 95 % intervals by video, also in
    models/RUN/evaluation/.
    """
    from csmv.pipeline.store import Store
    from csmv.pipeline.vccsa.attribution import attribution as attribution_of
    from csmv.pipeline.vccsa.run_files import document_bytes

    store = Store.open(root)
    results = []
    for run in runs:
        one = attribution_of(store, run, part, resamples, seed)
        store.write_file(f"models/{run}/evaluation/{part}-attribution.json", document_bytes(one))
        results.append(one)
    if as_json:
        print_json(results)
        return
    for one in results:
        _print_attribution(one)


def _print_attribution(one: dict[str, Any]) -> None:
    from csmv.pipeline.vccsa.metrics import COLUMNS, HEADINGS

    rows = []
    for name, scores in one["scores"].items():
        cells = []
        for task, metric in COLUMNS:
            value = scores[task][metric.name]
            text = "-" if value is None else f"{100 * value:.2f}"
            if name in one["differences"]:
                moved = one["differences"][name][task][metric.name]
                low, high = moved["interval_95"]
                text += f" ({100 * moved['difference']:+.2f} [{100 * low:+.1f}, {100 * high:+.1f}])"
            cells.append(text)
        rows.append([name, *cells])
    print_table([f"{one['run']}, {one['part']}", *HEADINGS], rows)
