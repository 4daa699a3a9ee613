"""`csmv import`, `build`, `split`, `report`: sources into a root, splits over it, and the page about it."""

import json
from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer()

Root = Annotated[str, typer.Option("--root", help="The dataset root: a folder or an fsspec URL such as s3://bucket/x.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


@commands.command("import")
def import_(
    annotations: Annotated[Path, typer.Argument(help="lable_data_dict.json.zip or .json, or the folder it is in.")],
    links: Annotated[Path, typer.Option("--links", help="The published workbook CSMV_rawLinks.xlsx.")],
    root: Root,
    shards: Annotated[int, typer.Option(min=1, max=9999, help="Number of shards of a new root.")] = 16,
    as_json: AsJson = False,
) -> None:
    """Read the published CSMV files into a dataset root and count every irregularity in them."""
    from pipeline.import_published import import_published
    from pipeline.scrub import ScrubPolicy
    from pipeline.sources.published import REPORT_FILE

    published = import_published(root, annotations, links, shards, ScrubPolicy())
    report = published.report()
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    _show_import(report, published.links.id_differs, len(published.refused))
    typer.echo(f"\nWritten to {root}; the same numbers are in {REPORT_FILE} there.")


@commands.command("build")
def build(
    config: Annotated[Path, typer.Argument(help="The dataset's configuration, a YAML file.")],
    root: Root,
) -> None:
    """Build a dataset from its configuration: every stage, through Prefect. Run again, it resumes."""
    from flows.here import build_here
    from pipeline.config import DatasetConfig
    from pipeline.errors import CsmvError
    from pipeline.store import Store

    if not config.is_file():
        raise CsmvError(f"There is no file '{config}'; name the dataset's configuration.")
    try:
        text = config.read_text()
    except UnicodeDecodeError:
        raise CsmvError(f"{config}: expected YAML in UTF-8, found something else.") from None
    settings = DatasetConfig.from_yaml(text, str(config))
    build_here(root, settings.model_dump(mode="json"))
    failed = {stage: table.num_rows for stage, table in Store.open(root).failures().items()}
    told = "; ".join(f"{stage}: {rows}" for stage, rows in sorted(failed.items())) or "none"
    typer.echo(f"Built {root}; failures: {told}.")


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
    from pipeline.config import record_section
    from pipeline.splits import SplitConfig, build_split, summary
    from pipeline.store import Store
    from pipeline.validated import parse

    asked = {"kind": kind, "name": name, "seed": seed, "ratios": ratios.split(":")}
    config = parse(SplitConfig, asked, "csmv split")
    store = Store.open(root)
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
    from pipeline.report import write_report
    from pipeline.store import Store

    typer.echo(write_report(Store.open(root)))


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
