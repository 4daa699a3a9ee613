"""`csmv demo`: the whole way through Prefect: a crawl of the sandbox, then sample data made on the spot to a report."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from csmv.flows.terminal import table
from csmv.pipeline.errors import CsmvError, UnfinishedError

if TYPE_CHECKING:
    from rich.table import Table

    from csmv.pipeline.store import Store

commands = typer.Typer()

SPLIT = "video"
FEATURES = "r2plus1d_18"
ROWS = {"majority": "majority class", "text": "text only", "vccsa": "VC-CSA"}
"""The models of the closing table, by their names in a configuration."""


@commands.command()
def demo(
    root: Annotated[Path, typer.Option(help="Where to keep everything; run again with it, the demo resumes.")] = Path(
        "csmv-demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Decides the sample data and all that is drawn from chance.")] = 3407,
    videos: Annotated[int, typer.Option(min=4, max=500, help="Sample videos; fewer are quicker and teach less.")] = 36,
) -> None:
    """Crawl a sandbox site; then sample videos and comments all the way to a trained, evaluated model and a report."""
    from rich.console import Console

    from csmv.flows.here import build_here, prefect_here
    from csmv.pipeline.demo.sample import make_sample
    from csmv.pipeline.report import PATH
    from csmv.pipeline.store import Store

    started = time.monotonic()
    say = Console(stderr=True, highlight=False).print
    with prefect_here(str(root)):
        say(f"A sandbox TikTok on this machine, crawled with Chromium, into {crawl_root(root)}")
        obstacle = _crawl(crawl_root(root), seed)
        say(f"Sample videos and comments, then every stage through Prefect, into {root}")
        folder = root / "private" / "sample"
        make_sample(folder, seed, videos)
        build_here(str(root), configuration(folder, seed))
    Console().print(results(Store.open(str(root))))
    typer.echo(f"Report: {(root / PATH).resolve()}")
    say(f"Done in {time.monotonic() - started:.0f} s.")
    if obstacle:
        raise UnfinishedError(
            f"The crawl did not succeed: {obstacle} Then run the same command again: it does the rest."
        )


def crawl_root(root: Path) -> Path:
    """Where the demo's crawl goes: a dataset of its own beside `root`, since sources are never mixed in one."""
    return root.with_name(f"{root.name}-crawl")


def _crawl(root: Path, seed: int) -> str:
    """Crawl the sandbox and say what came of it. Gives what kept it from that, such as a browser that is missing."""
    from csmv.flows.commands.collect import followed
    from csmv.flows.demo_crawl import crawl_sandbox

    try:
        with followed() as watch:
            crawl = crawl_sandbox(str(root), seed, watch)
    except CsmvError as error:
        typer.echo(f"The crawl did not succeed, and the rest goes on without it. {error}")
        return str(error)
    missing = ", ".join(f"{count} {reason}" for reason, count in sorted(crawl.reasons.items()))
    typer.echo(f"Crawled {crawl.videos} videos, {crawl.comments} comments, {crawl.media} media files; not: {missing}.")
    return ""


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
    from csmv.pipeline.config import read_config
    from csmv.pipeline.vccsa.metrics import HEADINGS, in_row
    from csmv.pipeline.vccsa.train_config import default_run_name
    from csmv.pipeline.vccsa.training import read_run

    rows = []
    for config in read_config(store).train:
        _, result = read_run(store, default_run_name(config))
        scores = ("-" if value is None else f"{value:.1%}" for value in in_row(result.metrics["test"]))
        rows.append([ROWS[config.model], *scores])
    return table(["", *HEADINGS], rows, "Test videos, none of them seen in training (F1)")
