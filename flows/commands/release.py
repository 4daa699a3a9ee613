"""`csmv release` and `csmv merge`: what may be published of a root, and one release of two."""

from dataclasses import asdict
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
            "doi",
            "homepage",
            "citation",
            split="splits",
            format="formats",
            author="authors",
            base="the root's",
        ),
    ],
    out: Annotated[str | None, typer.Option("--out", help="A folder or URL; left out, release/ in the root.")] = None,
    push: Annotated[
        str | None, typer.Option("--push", help="Where to send it: hf:ORG/NAME, s3://BUCKET/PREFIX or zenodo.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --push: send it, instead of saying what would be sent.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make what may be published of a root: tables, splits and features with checksums, or say why it may not be.

    Refused are random weights, stale or damaged tables, personal data, raw media, and data without a licence.
    """
    from csmv.pipeline.config import record_release
    from csmv.pipeline.dataset import Dataset
    from csmv.pipeline.release.make_release import make_release
    from csmv.pipeline.release.push_release import push_release, require_target
    from csmv.pipeline.release.release_config import ReleaseConfig
    from csmv.pipeline.validated import parse

    if push is not None:
        require_target(push)
    dataset = Dataset.open(root)
    before = dataset.config.release or ReleaseConfig()
    with usage():
        config = parse(ReleaseConfig, before.model_dump() | section, "csmv release")
    made = make_release(dataset, config, out)
    # The number and the day are of this release alone.
    lasting = {"version": before.version, "day": before.day}
    record_release(dataset.store, config.model_copy(update=lasting))

    def with_doi(doi: str) -> None:
        """Make the release anew with its DOI, and remember that."""
        named = config.model_copy(update={"doi": doi, "version": made.about.version})
        make_release(dataset, named, out)
        record_release(dataset.store, named.model_copy(update=lasting))

    if push is not None:
        pushed = push_release(made.address, push, send=yes, with_doi=with_doi)
    if as_json:
        told = {"release": made.address, "version": made.about.version, "files": made.files} | made.about.rows
        print_json(told if push is None else told | {"pushed": asdict(pushed)})
        return
    rows = ", ".join(f"{count:,} {name}" for name, count in made.about.rows.items())
    typer.echo(f"{made.address} is version {made.about.version} of {made.about.name}: {rows}.")
    typer.echo(f"`csmv verify {made.address}` checks it, here or wherever it is copied to.")
    if made.open_questions:
        typer.echo(f"{made.open_questions} questions of its DATASHEET.md wait for a person to answer them.")
    if push is not None:
        what = f"{pushed.files:,} files, {pushed.size / 1e6:,.1f} MB"
        doi = f" Its DOI is {pushed.doi}." if pushed.doi else ""
        if pushed.was_sent:
            typer.echo(f"Sent to {push}: {what}.{doi}")
        else:
            typer.echo(f"Nothing was sent. With --yes, {what} would go to {push}. {pushed.needs}".rstrip())


@commands.command("merge")
def merge(
    first: Annotated[str, typer.Argument(help="The release whose rows stand where both have one.")],
    second: Annotated[str, typer.Argument(help="The other release.")],
    out: Annotated[str, typer.Option("--out", help="A folder or URL for the new release.")],
    name: Annotated[str | None, typer.Option(help="Name of the new dataset; left out, the first's.")] = None,
    license_name: Annotated[
        str | None, typer.Option("--license", help="Needed where the two have different ones.")
    ] = None,
    version: Annotated[str, typer.Option(help="Version of the new release.")] = "1.0.0",
    as_json: AsJson = False,
) -> None:
    """Make one release of two: rows by their keys, splits that both have, feature sets made the same way."""
    from csmv.pipeline.release.merge_releases import merge_releases

    done = merge_releases(first, second, out, name=name, license_name=license_name, version=version)
    if as_json:
        counts = {"shared": done.shared, "differing": done.differing, "repeated_comments": done.repeated}
        print_json({"release": done.address, "rows": done.about.rows, "left_out": done.left_out} | counts)
        return
    rows = ", ".join(f"{count:,} {table}" for table, count in done.about.rows.items())
    typer.echo(f"{done.address} is version {done.about.version} of {done.about.name}: {rows}.")
    for table, count in done.shared.items():
        if count:
            typer.echo(f"{count:,} {table} are in both; {done.differing[table]:,} differ, and the first's stand.")
    if done.repeated:
        typer.echo(f"{done.repeated:,} comments of the second repeat a text of the first below the same video.")
    if done.left_out:
        typer.echo(f"Splits that only one of the two has are left out: {', '.join(done.left_out)}.")
