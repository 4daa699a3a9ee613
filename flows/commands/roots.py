"""`csmv verify` and `csmv migrate`: is a root as it was written, and a root of an older format brought up to date."""

from typing import Annotated

import typer

from csmv.flows.options import AsJson, RootArgument
from csmv.flows.terminal import print_json

commands = typer.Typer()


@commands.command()
def verify(
    root: RootArgument,
    media: Annotated[bool, typer.Option(help="Also read every media file and compare its SHA-256.")] = True,
    as_json: AsJson = False,
) -> None:
    """Check every table, manifest entry and media file of a root; exit code 1 if anything is not as it was written."""
    from csmv.pipeline.dataset import Dataset
    from csmv.pipeline.verify import verify as check

    dataset = Dataset.open(root)
    verified = check(dataset.store, media=media, source=dataset.source)
    if as_json:
        problems = [{"file": problem.file, "what": problem.what} for problem in verified.problems]
        counts = {"tables": verified.tables, "rows": verified.rows, "media": verified.media}
        print_json(counts | {"problems": problems})
    else:
        for problem in verified.problems:
            typer.echo(problem.what)
        verdict = f"{len(verified.problems)} problem(s)" if verified.problems else "all as it was written"
        typer.echo(
            f"{verified.tables:,} tables with {verified.rows:,} rows and {verified.media:,} media files: {verdict}."
        )
    if verified.problems:
        raise typer.Exit(1)


@commands.command()
def migrate(root: RootArgument, as_json: AsJson = False) -> None:
    """Bring a root of an older format up to date, in place; run again if it was interrupted, it goes on."""
    from csmv.pipeline.dataset import Dataset
    from csmv.pipeline.heal import heal_root
    from csmv.pipeline.migrate import migrate as bring_up

    def note(line: str) -> None:
        typer.echo(line, err=True)

    done = bring_up(root, note)
    dataset = Dataset.open(root)
    healed = heal_root(dataset.store, dataset.source, dataset.scrub, note)
    if as_json:
        print_json(vars(done) | {"healed": healed.comments, "lost": healed.lost})
        return
    if done.rewritten + done.kept:
        typer.echo(f"{root} has format 2 now: {done.rewritten} tables rewritten, {done.added} empty shards added.")
    else:
        typer.echo(f"{root} has the newest format already.")
    if healed.comments:
        lost = f"; of {healed.lost} of them nothing but the id told what referred to them" if healed.lost else ""
        typer.echo(f"{healed.comments} comments had ids under a key that is gone, and have their own now{lost}.")
