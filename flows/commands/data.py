"""`csmv import`, `build`, `split`, `report`: sources into a root, splits over it, and the page about it."""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from csmv.flows.options import (
    AsJson,
    Connection,
    Fields,
    NewRoot,
    Root,
    RootArgument,
    Running,
    Values,
    Visit,
    command,
    one_value_each,
    usage,
)
from csmv.flows.terminal import print_json, print_table
from csmv.pipeline.errors import UnfinishedError, UsageError
from csmv.pipeline.release.leakage_words import leakage_lines

commands = typer.Typer()

_LOOK_AGAIN_S = 10


@command(commands, "import")
def import_(
    *,
    files: Annotated[
        list[Path],
        typer.Argument(
            help="With --links lable_data_dict.json.zip, .json or its folder; else a release, or files of other tools."
        ),
    ],
    links: Annotated[
        Path | None, typer.Option("--links", help="The published workbook CSMV_rawLinks.xlsx, for published files.")
    ] = None,
    root: Root,
    crawl: Annotated[Values, Fields("csmv.pipeline.sources.imported:ImportSource", "format", "media")],
    mix: Annotated[
        bool, typer.Option("--mix", help="Add another tool's crawl to a root that was collected from the site.")
    ] = False,
    dataset: NewRoot,
    replace_source: Annotated[
        bool, typer.Option("--replace-source", help="Let these files take the place of those the root was made from.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read the published CSMV files, a release, or what other tools collected, into a dataset root.

    Says what could not be used. Other tools' files are NDJSON of Zeeschuimer, CSV or NDJSON of 4CAT, dumps of
    TikTok-Api, info.json of yt-dlp, and JSON of TikTok's Research API; more of them can be added later.
    """
    if links is None and len(files) == 1 and _import_release(root, files[0], dataset, as_json):
        return
    if links is None:
        _import_crawl(root, files, crawl, dataset, mix, as_json)
        return
    if len(files) != 1 or mix or crawl["media"] or crawl["format"] not in (None, "auto"):
        raise UsageError("With --links, name one file or folder of annotations, and no --format, --media or --mix.")
    [annotations] = files
    from csmv.pipeline.import_published import import_published
    from csmv.pipeline.sources.published import REPORT_FILE

    published = import_published(root, annotations, links, dataset.get("n_shards"), replace_source=replace_source)
    report = published.report()
    if as_json:
        print_json(report)
        return
    _show_import(report, published.links.id_differs, len(published.refused))
    typer.echo(f"\nWritten to {root}; the same numbers are in {REPORT_FILE} there.")


def _import_release(root: str, folder: Path, dataset: Values, as_json: bool) -> bool:
    """Import a release, if it is one."""
    from csmv.pipeline.import_release import import_release
    from csmv.pipeline.release.release_folder import is_release

    if not folder.is_dir() or not is_release(str(folder)):
        return False
    done = import_release(root, str(folder), dataset.get("n_shards"))
    if as_json:
        print_json({"release": done.about.name, "version": done.about.version} | done.rows)
    else:
        rows = ", ".join(f"{count:,} {name}" for name, count in done.rows.items())
        typer.echo(f"{root} has {done.about.name} {done.about.version}: {rows}.")
    return True


def _import_crawl(root: str, files: list[Path], crawl: Values, dataset: Values, mix: bool, as_json: bool) -> None:
    from csmv.pipeline.import_crawl import import_crawl

    done = import_crawl(root, files, dict(crawl), dataset.get("n_shards"), mix=mix)
    report = done.report
    if as_json:
        counts = {"read_videos": report.videos, "read_comments": report.comments, "rejected": report.rejected}
        print_json({"videos": done.videos, "comments": done.comments} | counts)
        return
    typer.echo(f"{report.videos:,} videos and {report.comments:,} comments were read.")
    typer.echo(f"{root} has {done.videos:,} videos and {done.comments:,} comments.")
    if report.rejected:
        typer.echo(f"{report.rejected.total():,} records could not be used (failures/collect):")
        for why, number in report.rejected.most_common(10):
            typer.echo(f"  {number:>7,}  {why}")


@command(commands, "build")
def build(
    *,
    config: Annotated[Path, typer.Argument(help="The dataset's configuration, a YAML file.")],
    root: Root,
    visit: Visit,
    connection: Connection,
    running: Running,
    replace_source: Annotated[
        bool, typer.Option("--replace-source", help="Let another source of the same kind take the root's place.")
    ] = False,
) -> None:
    """Build a dataset from its configuration: every stage, through Prefect. Run again, it resumes.

    A new root keeps the file as it is written, comments too; exit code 3 if a later run may finish it.
    """
    import pyarrow.compute as pc

    from csmv.flows.here import build_here
    from csmv.flows.server import require_api
    from csmv.pipeline.config import DatasetConfig, create_root
    from csmv.pipeline.failures import failures_of
    from csmv.pipeline.manifest import HEADER_FILE
    from csmv.pipeline.root import CONFIG_FILE
    from csmv.pipeline.schemas import FailureClass
    from csmv.pipeline.store import Store
    from csmv.pipeline.validated import read_text

    text = read_text(config)
    settings = DatasetConfig.from_yaml(text, str(config))
    if url := os.environ.get("PREFECT_API_URL"):
        require_api(url)  # before a root is made that nothing would be built in
    store = Store(root)
    is_its_own = store.is_local and config.resolve() == Path(store.path(CONFIG_FILE)).resolve()
    if not (is_its_own and store.exists(HEADER_FILE)):
        create_root(root, settings, text, replace_source=replace_source)
    built = build_here(root, connection=connection, **visit, **running)
    failed = {
        stage: pc.sum(pc.not_equal(table["class"], str(FailureClass.WARNING))).as_py()
        for stage, table in failures_of(Store.open(root)).items()
    }
    counted = "; ".join(f"{stage}: {rows}" for stage, rows in sorted(failed.items()) if rows) or "none"
    typer.echo(f"{built}. Failures: {counted}.")


@command(commands, "run")
def run(
    *,
    stage: Annotated[
        str,
        typer.Argument(help="The stage: collect, tables, media, features, splits, train, zeroshot, report, release."),
    ],
    root: Root,
    shards: Annotated[str | None, typer.Option(help="Only these shards: 3, or 0-7, or 1,4,9.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="field=value of the stage's section, for this run.")
    ] = None,
    visit: Visit,
    connection: Connection,
    running: Running,
    as_json: AsJson = False,
) -> None:
    """Run one stage of a root, through Prefect: what is missing in it, and no more. Exit code 3 if some is left."""
    from csmv.flows.here import stage_here
    from csmv.pipeline.stage import named
    from csmv.pipeline.stages import STAGES
    from csmv.pipeline.store import Store

    with usage():
        named(STAGES, stage)
    numbers, section = _shards(shards), one_value_each(changes) or None
    Store.open(root)
    report = stage_here(root, stage, shards=numbers, changes=section, connection=connection, **visit, **running)
    if as_json:
        print_json({"counts": report.counts, "reasons": report.reasons, "stopped": report.stopped})
    else:
        counts = ", ".join(f"{number:,} {what}" for what, number in report.counts.items() if number)
        typer.echo(f"{stage}: {counts or 'done'}")
    if report.stopped:
        raise UnfinishedError(f"{stage} is not finished: {report.stopped}. Run the same command again later.")


@commands.command("status")
def status(
    root: RootArgument,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every ten seconds, until Ctrl-C.")] = False,
) -> None:
    """How far each stage and hashtag of a root is, what is stale and why, how long it will take, who works on what."""
    from csmv.flows.status_page import print_overview, stage_rows
    from csmv.pipeline.dataset import Dataset

    try:
        while True:
            overview = Dataset.open(root).overview()
            if as_json:
                print_json(stage_rows(overview))
            else:
                print_overview(overview, root, clear=watch)
            if not watch:
                return
            time.sleep(_LOOK_AGAIN_S)
    except KeyboardInterrupt:
        if not watch:
            raise


def _shards(text: str | None) -> list[int] | None:
    """The shards that an option names, such as 3, 0-7 or 1,4,9."""
    if text is None:
        return None
    shards: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or not (last or first).isdigit():
            raise UsageError(f"--shards takes numbers such as 3, 0-7 or 1,4,9, and got '{text[:40]}'.")
        shards += range(int(first), int(last or first) + 1)
    return shards


@command(commands, "split")
def split(
    *,
    root: Root,
    section: Annotated[
        Values, Fields("csmv.pipeline.split_config:SplitConfig", "kind", "name", "seed", "ratios", "ignore_hashtags")
    ],
    as_json: AsJson = False,
) -> None:
    """Build a split over the labelled comments of a root, audit it, and show what train has seen of dev and test."""
    from csmv.pipeline.config import record_section
    from csmv.pipeline.dataset import Dataset
    from csmv.pipeline.release.leakage import write_leakage
    from csmv.pipeline.split_config import SplitConfig
    from csmv.pipeline.splits import build_split, summary
    from csmv.pipeline.validated import parse

    with usage():
        config = parse(SplitConfig, section, "csmv split")
    store = Dataset.open(root).store
    build_split(store, config)
    record_section(store, "splits", config)
    audit = write_leakage(store, config.title)
    rows = summary(store.split_names(), store)
    if as_json:
        print_json([row | ({"leakage": audit} if row["split"] == config.title else {}) for row in rows])
        return
    print_table(
        ["split", "train", "dev", "test", "dev, video in train", "test, video in train"],
        [
            [str(row["split"]), *(f"{row[part]:,}" for part in ("train", "dev", "test", "dev_seen", "test_seen"))]
            for row in rows
        ],
        "Splits",
    )
    for line in leakage_lines(audit):
        typer.echo(line)


@commands.command("report")
def report(
    root: Root,
    figures: Annotated[
        bool, typer.Option("--figures", help="Also draw the figures of a paper's supplement, as PDF and PNG.")
    ] = False,
) -> None:
    """Write the report of a root, an HTML page, and beside it one to look around in, which holds all scrubbed comments.

    Each is one self-contained file. With --figures, a paper's figures and their numbers as well."""
    from csmv.pipeline.dataset import Dataset
    from csmv.pipeline.release.explorer.embedded_data import write_explorer_page
    from csmv.pipeline.report import write_report

    dataset = Dataset.open(root)
    if figures:
        from csmv.pipeline.release.dataset_figures import FOLDER, write_figures

        drawn = write_figures(dataset.store)
        typer.echo(f"{len(drawn)} files in {dataset.store.path(FOLDER)}")
    progress = [row for row in dataset.status() if row.name != "report"]
    explorer = write_explorer_page(dataset.store)
    typer.echo(write_report(dataset.store, progress=progress, explorer=explorer))


@commands.command("explore")
def explore(
    root: RootArgument,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where the page is on this machine; 0 for any that is free.")
    ] = 8750,
) -> None:
    """Look around in a root with a browser: comments, videos, models side by side. Until Ctrl-C; nothing is written.

    Only this machine can reach it, and only scrubbed tables are read.
    """
    from csmv.pipeline.release.explorer.explorer_server import ExplorerServer
    from csmv.pipeline.store import Store

    server = ExplorerServer(Store.open(root), port)
    typer.echo(f"{server.url} shows {root}, until Ctrl-C.")
    with suppress(KeyboardInterrupt):
        server.serve_forever()
    server.server_close()


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
    print_table(["what", "count"], rows, "Published CSMV")
