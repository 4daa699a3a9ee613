"""`csmv demo`: the whole pipeline on sample data made on the spot, through Prefect, with a report at the end."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.store import Store

commands = typer.Typer()

SPLIT = "video"
FEATURES = "r2plus1d_18"
ROWS = {"majority": "majority class", "text": "text only", "vccsa": "VC-CSA (text and video)"}
"""The models of the closing table, by their names in a configuration."""


@commands.command()
def demo(
    root: Annotated[Path, typer.Option(help="Where to keep everything; run again with it, the demo resumes.")] = Path(
        "csmv-demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Decides the sample data and all that is drawn from chance.")] = 3407,
    videos: Annotated[int, typer.Option(min=4, max=500, help="Sample videos; fewer are quicker and teach less.")] = 36,
) -> None:
    """Make sample videos and comments, and take them all the way to a trained and evaluated model and a report."""
    from rich.console import Console

    from pipeline.report import PATH
    from pipeline.store import Store

    started = time.monotonic()
    say = Console(stderr=True, highlight=False).print
    say(f"Sample videos and comments, then every stage through Prefect, into {root}")
    _build(root, seed, videos)
    store = Store.open(str(root))
    Console().print(results(store))
    typer.echo(f"Report: {(root / PATH).resolve()}")
    say(f"Done in {time.monotonic() - started:.0f} s.")


def configuration(folder: Path, seed: int) -> dict[str, Any]:
    """The demo's dataset.yaml. Features come from a network with random weights: they need no download."""
    return {
        "name": "csmv-demo",
        "n_shards": 4,
        "source": {"kind": "folder", "path": str(folder)},
        "features": [{"extractor": FEATURES, "weights": "random"}],
        "splits": [{"kind": "video", "name": SPLIT, "seed": seed}],
        "train": [{"model": model, "split": SPLIT, "features": [FEATURES], "seed": seed} for model in ROWS],
    }


def results(store: "Store") -> "Table":
    """The closing table: what each model scores on the test videos, none of which it has seen."""
    from rich.table import Table

    from pipeline.vccsa.training import default_run_name, read_run

    table = Table(title="Test videos, none of them seen in training (F1)")
    for column in ("", "opinion micro", "opinion macro", "emotion micro", "emotion macro"):
        table.add_column(column, justify="right" if column else "left")
    for config in store.config.train:
        _, result = read_run(store, default_run_name(config))
        test = result.metrics["test"]
        table.add_row(ROWS[config.model], *_percentages(test))
    return table


def _percentages(metrics: dict[str, dict[str, Any]]) -> Iterable[str]:
    for task in ("opinion", "emotion"):
        for average in ("micro", "macro"):
            yield f"{metrics[task][f'{average}_f1']:.1%}"


def _build(root: Path, seed: int, videos: int) -> None:

    from flows.here import build_here
    from pipeline.sample import make_sample

    folder = root / "private" / "sample"
    make_sample(folder, seed, videos)
    build_here(str(root), configuration(folder, seed))
