"""`csmv verify`, `migrate` and `reshard`: is a root as it was written; an older format; another number of shards."""

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
    """Check every table, manifest entry and media file of a root, or every file of a release that somebody got.

    Exit code 1 if anything is not as it was written.
    """
    from csmv.pipeline.dataset import Dataset
    from csmv.pipeline.release.release_folder import is_release
    from csmv.pipeline.verify import verify as check

    if is_release(root):
        _verify_release(root, as_json)
        return

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


def _verify_release(address: str, as_json: bool) -> None:
    from csmv.pipeline.release.verify_release import verify_release

    verified = verify_release(address)
    about = verified.about
    if as_json:
        problems = [{"file": file, "what": what} for file, what in verified.problems]
        counts = {"release": about.name, "version": about.version, "files": verified.files, "rows": verified.rows}
        print_json(counts | {"problems": problems})
    else:
        for _, what in verified.problems:
            typer.echo(what)
        verdict = f"{len(verified.problems)} problem(s)" if verified.problems else "all as it was released"
        typer.echo(f"{about.name} {about.version}, {verified.files:,} files with {verified.rows:,} rows: {verdict}.")
    if verified.problems:
        raise typer.Exit(1)


@commands.command()
def migrate(root: RootArgument, as_json: AsJson = False) -> None:
    """Bring a root of an older format up to date, in place; run again if it was interrupted, it goes on."""
    from csmv.pipeline.dataset import Dataset
    from csmv.pipeline.heal import heal_root
    from csmv.pipeline.migrate import migrate as bring_up
    from csmv.pipeline.renamed_sets import rename_moved_sets

    def note(line: str) -> None:
        typer.echo(line, err=True)

    done = bring_up(root, note)
    dataset = Dataset.open(root)
    renamed = rename_moved_sets(dataset.store, note)
    healed = heal_root(dataset.store, dataset.source, dataset.scrub, note)
    if as_json:
        print_json(vars(done) | {"renamed": renamed, "healed": healed.comments, "lost": healed.lost})
        return
    for name in renamed:
        typer.echo(f"features/{name}: the name of this set now, since its extractor's own name stands for another way.")
    if done.rewritten + done.kept:
        typer.echo(f"{root} has format 2 now: {done.rewritten} tables rewritten, {done.added} empty shards added.")
    else:
        typer.echo(f"{root} has the newest format already.")
    if healed.comments:
        lost = f"; of {healed.lost} of them nothing but the id told what referred to them" if healed.lost else ""
        typer.echo(f"{healed.comments} comments had ids under a key that is gone, and have their own now{lost}.")


@commands.command()
def reshard(
    root: RootArgument,
    to: Annotated[str, typer.Option("--to", help="The new root: a folder that is not there yet, or an fsspec URL.")],
    shards: Annotated[int, typer.Option("--shards", min=1, max=9999, help="How many shards the new root has.")],
    as_json: AsJson = False,
) -> None:
    """Make a root with another number of shards of a root, which stays as it is; run again if interrupted, it goes on.

    On one disk the new root's media files are the old one's, and take no more room. A release has to be made anew.
    """
    from csmv.pipeline.reshard import reshard as make

    done = make(root, to, shards)
    if as_json:
        print_json(vars(done))
        return
    typer.echo(
        f"{to} has {shards} shards: {done.tables:,} tables with {done.rows:,} rows, {done.media:,} media files and "
        f"{done.files:,} other files. `csmv verify {to}` checks it."
    )
