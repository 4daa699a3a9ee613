"""`csmv import`, `build`, `split`, `report`: sources into a root, splits over it, and the page about it."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from csmv.pipeline.errors import CsmvError, UnfinishedError

commands = typer.Typer()

Root = Annotated[str, typer.Option("--root", help="The dataset root: a folder or an fsspec URL such as s3://bucket/x.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


@commands.command("import")
def import_(
    annotations: Annotated[Path, typer.Argument(help="lable_data_dict.json.zip or .json, or the folder it is in.")],
    links: Annotated[Path, typer.Option("--links", help="The published workbook CSMV_rawLinks.xlsx.")],
    root: Root,
    shards: Annotated[int, typer.Option(min=1, max=9999, help="Number of shards of a new root.")] = 16,
    replace_source: Annotated[
        bool, typer.Option("--replace-source", help="Let these files take the place of those the root was made from.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read the published CSMV files into a dataset root and count every irregularity in them."""
    from csmv.pipeline.import_published import import_published
    from csmv.pipeline.scrub import ScrubPolicy
    from csmv.pipeline.sources.published import REPORT_FILE

    published = import_published(root, annotations, links, shards, ScrubPolicy(), replace_source=replace_source)
    report = published.report()
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    _show_import(report, published.links.id_differs, len(published.refused))
    typer.echo(f"\nWritten to {root}; the same numbers are in {REPORT_FILE} there.")


Proxy = Annotated[str | None, typer.Option(help="A proxy, http://HOST:PORT, without a password in it.")]
CaFile = Annotated[Path | None, typer.Option(help="A certificate (PEM) to trust besides the system's.")]
Cookies = Annotated[Path | None, typer.Option(help="A cookie file in Netscape's format; or set CSMV_COOKIES.")]
Interval = Annotated[float | None, typer.Option(min=0, help="Seconds between two requests, shared by all workers.")]
Links = Annotated[Path | None, typer.Option(help="A file of links to collect: xlsx, csv, tsv, txt or jsonl.")]


@commands.command("build")
def build(
    config: Annotated[Path, typer.Argument(help="The dataset's configuration, a YAML file.")],
    root: Root,
    links: Links = None,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Browsers at once; they share one pace.")] = 1,
    interval: Interval = None,
    proxy: Proxy = None,
    ca_file: CaFile = None,
    cookies: Cookies = None,
    replace_source: Annotated[
        bool, typer.Option("--replace-source", help="Let another source of the same kind take the root's place.")
    ] = False,
) -> None:
    """Build a dataset from its configuration: every stage, through Prefect. Run again, it resumes.

    A new root keeps the file as it is written, comments too; exit code 3 if a later run may finish it.
    """
    from csmv.flows.here import build_here
    from csmv.flows.server import require_api
    from csmv.pipeline.config import DatasetConfig, create_root
    from csmv.pipeline.failures import failures_of
    from csmv.pipeline.manifest import HEADER_FILE
    from csmv.pipeline.root import CONFIG_FILE
    from csmv.pipeline.sources.settings import Connection
    from csmv.pipeline.store import Store
    from csmv.pipeline.validated import parse

    if not config.is_file():
        raise CsmvError(f"There is no file '{config}'; name the dataset's configuration.")
    try:
        text = config.read_text("utf-8")
    except UnicodeDecodeError:
        raise CsmvError(f"{config}: expected YAML in UTF-8, found something else.") from None
    settings = DatasetConfig.from_yaml(text, str(config))
    if url := os.environ.get("PREFECT_API_URL"):
        require_api(url)  # before a root is made that nothing would be built in
    store = Store(root)
    is_its_own = store.is_local and config.resolve() == Path(store.path(CONFIG_FILE)).resolve()
    if not (is_its_own and store.exists(HEADER_FILE)):
        create_root(root, settings, text, replace_source=replace_source)
    reach = parse(Connection, {"proxy": proxy, "ca_file": ca_file, "cookies": cookies}, "the options")
    try:
        told = build_here(root, connection=reach, interval_s=interval, links=links, workers=workers)
    except UnfinishedError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(3) from None
    failed = {stage: table.num_rows for stage, table in failures_of(Store.open(root)).items()}
    counted = "; ".join(f"{stage}: {rows}" for stage, rows in sorted(failed.items())) or "none"
    typer.echo(f"{told}. Failures: {counted}.")


@commands.command("run")
def run(
    stage: Annotated[str, typer.Argument(help="The stage: collect, tables, media, features, splits, train, report.")],
    root: Root,
    shards: Annotated[str | None, typer.Option(help="Only these shards: 3, or 0-7, or 1,4,9.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="field=value of the stage's section, for this run.")
    ] = None,
    links: Links = None,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Browsers at once, for collect.")] = 1,
    interval: Interval = None,
    proxy: Proxy = None,
    ca_file: CaFile = None,
    cookies: Cookies = None,
    as_json: AsJson = False,
) -> None:
    """Run one stage of a root, through Prefect: what is missing in it, and no more. Exit code 3 if some is left."""
    from csmv.flows.here import stage_here
    from csmv.pipeline.sources.settings import Connection
    from csmv.pipeline.stage import named
    from csmv.pipeline.stages import STAGES
    from csmv.pipeline.store import Store
    from csmv.pipeline.validated import parse

    named(STAGES, stage)
    Store.open(root)
    reach = parse(Connection, {"proxy": proxy, "ca_file": ca_file, "cookies": cookies}, "the options")
    report = stage_here(
        root,
        stage,
        shards=_shards(shards),
        changes=_changes(changes),
        connection=reach,
        interval_s=interval,
        links=links,
        workers=workers,
    )
    if as_json:
        told = {"counts": report.counts, "reasons": report.reasons, "stopped": report.stopped}
        typer.echo(json.dumps(told, indent=2))
    else:
        counts = ", ".join(f"{number:,} {what}" for what, number in report.counts.items() if number)
        typer.echo(f"{stage}: {counts or 'done'}")
    if report.stopped:
        typer.echo(f"{stage} is not finished: {report.stopped}.", err=True)
        raise typer.Exit(3)


@commands.command("status")
def status(
    root: Annotated[str, typer.Argument(help="The dataset root: a folder or an fsspec URL.")],
    as_json: AsJson = False,
) -> None:
    """How far each stage of a root is: units done and missing, what is stale and why, failures by reason."""

    from csmv.pipeline.dataset import Dataset

    rows = Dataset.open(root).status()
    if as_json:
        typer.echo(json.dumps([asdict(row) | {"done": row.done} for row in rows], indent=2))
        return
    _table(
        f"Stages of {root}",
        ["stage", "by", "done", "missing", "stale", "failures"],
        [
            [
                row.name,
                row.unit,
                f"{row.done:,} of {row.units:,}",
                f"{row.missing:,}",
                f"{len(row.stale):,}",
                f"{row.failures.total():,}",
            ]
            for row in rows
        ],
    )
    for row in rows:
        for unit, why in list(row.stale.items())[:3]:
            typer.echo(f"{row.name} {unit} is stale: {why}")
        if row.failures:
            told = ", ".join(f"{count:,} {reason}" for reason, count in row.failures.most_common())
            typer.echo(f"{row.name} failures: {told}")
        if row.note:
            typer.echo(f"{row.name}: {row.note}")


def _shards(text: str | None) -> list[int] | None:
    """The shards that an option names, such as 3, 0-7 or 1,4,9."""

    if text is None:
        return None
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or not (last or first).isdigit():
            raise CsmvError(f"--shards takes numbers such as 3, 0-7 or 1,4,9, and got '{text[:40]}'.")
        found += range(int(first), int(last or first) + 1)
    return found


def _changes(settings: list[str] | None) -> dict[str, object] | None:
    import yaml

    found = {}
    for setting in settings or ():
        field, equals, value = setting.partition("=")
        if not equals:
            raise CsmvError(f"--set takes field=value, and got '{setting[:40]}'.")
        found[field] = yaml.safe_load(value)
    return found or None


@commands.command("split")
def split(
    root: Root,
    kind: Annotated[str, typer.Option(help="comment: 7:1:2 over comments; video: no video in two parts.")] = "video",
    name: Annotated[str | None, typer.Option(help="The split's name; the kind if not given.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides who goes where.")] = 3407,
    ratios: Annotated[str, typer.Option(help="Shares of train:dev:test.")] = "7:1:2",
    as_json: AsJson = False,
) -> None:
    """Build a split over the labelled comments of a root, and show what train has seen of dev and test."""
    from csmv.pipeline.config import record_section
    from csmv.pipeline.dataset import Dataset
    from csmv.pipeline.splits import SplitConfig, build_split, summary
    from csmv.pipeline.validated import parse

    asked = {"kind": kind, "name": name, "seed": seed, "ratios": ratios.split(":")}
    config = parse(SplitConfig, asked, "csmv split")
    store = Dataset.open(root).store
    build_split(store, config)
    record_section(store, "splits", config)
    rows = summary(store.split_names(), store)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    _table(
        "Splits",
        ["split", "train", "dev", "test", "dev, video in train", "test, video in train"],
        [
            [str(row["split"]), *(f"{row[part]:,}" for part in ("train", "dev", "test", "dev_seen", "test_seen"))]
            for row in rows
        ],
    )


@commands.command("report")
def report(root: Root) -> None:
    """Write the report of a root: one self-contained HTML page."""
    from csmv.pipeline.dataset import Dataset
    from csmv.pipeline.report import write_report

    dataset = Dataset.open(root)
    progress = [row for row in dataset.status() if row.name != "report"]
    typer.echo(write_report(dataset.store, progress=progress))


def _show_import(report: dict[str, object], id_differs: int, refused: int) -> None:
    comments = report["comments"]
    assert isinstance(comments, dict)
    total = sum(comments.values())

    def share(part: str) -> str:
        seen = report[f"{part}_comments_with_video_in_train"]
        assert isinstance(seen, int)
        return f"{seen:,} of {comments[part]:,} ({seen / max(comments[part], 1):.2%})"

    rows = [
        ("entries in the label dictionary", f"{report['entries']:,}"),
        ("distinct videos among them", f"{report['entry_videos']:,}"),
        ("comments in train / dev / test", " / ".join(f"{comments[p]:,}" for p in comments) + f" = {total:,}"),
        ("videos in the splits", f"{report['split_videos']:,}"),
        ("rows of links", f"{report['link_rows']:,}"),
        ("distinct videos linked", f"{report['linked_videos']:,}"),
        ("links that repeat an earlier video", f"{report['repeated_links']:,}"),
        ("rows whose ID column names another video than their link", f"{id_differs:,}"),
        ("split videos without a link", f"{report['split_videos_without_link']:,}"),
        ("comments in the splits with a missing label", f"{report['null_labels_in_splits']:,}"),
        ("entries in no split", f"{report['entries_outside_splits']:,}"),
        ("repeated (video, comment) pairs in the splits", f"{report['repeated_pairs_in_splits']:,}"),
        ("test comments whose video is in train", share("test")),
        ("dev comments whose video is in train", share("dev")),
        ("entries refused (see failures/tables)", f"{refused:,}"),
    ]
    _table("Published CSMV", ["what", "count"], [list(row) for row in rows])


def _table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
