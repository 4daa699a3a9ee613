"""`csmv release`: what may be published of a root."""

from typing import Annotated

import typer

from csmv.flows.options import AsJson, Fields, Root, Values, command, usage
from csmv.flows.terminal import print_json

commands = typer.Typer()


@command(commands, "release")
def release(
    *,
    root: Root,
    section: Annotated[
        Values,
        Fields(
            "csmv.pipeline.release.release_config:ReleaseConfig",
            "license",
            "title",
            "version",
            "day",
            "features",
            "main_split",
            split="splits",
            format="formats",
            base="the root's",
        ),
    ],
    out: Annotated[str | None, typer.Option("--out", help="A folder or URL; left out, release/ in the root.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make what may be published of a root: tables, splits and features with checksums, or say why it may not be.

    Refused are random weights, stale or damaged tables, personal data, raw media, and data without a licence.
    """
    from csmv.pipeline.config import record_release
    from csmv.pipeline.dataset import Dataset
    from csmv.pipeline.release.make_release import make_release
    from csmv.pipeline.release.release_config import ReleaseConfig
    from csmv.pipeline.validated import parse

    dataset = Dataset.open(root)
    before = dataset.config.release or ReleaseConfig()
    with usage():
        config = parse(ReleaseConfig, before.model_dump() | section, "csmv release")
    made = make_release(dataset, config, out)
    # The number and the day are of this release alone.
    record_release(dataset.store, config.model_copy(update={"version": before.version, "day": before.day}))
    if as_json:
        print_json({"release": made.address, "version": made.about.version, "files": made.files} | made.about.rows)
        return
    rows = ", ".join(f"{count:,} {name}" for name, count in made.about.rows.items())
    typer.echo(f"{made.address} is version {made.about.version} of {made.about.name}: {rows}.")
    typer.echo(f"`csmv verify {made.address}` checks it, here or wherever it is copied to.")
    if made.open_questions:
        typer.echo(f"{made.open_questions} questions of its DATASHEET.md wait for a person to answer them.")
