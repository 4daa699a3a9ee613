"""`csmv collect`, `download` and `sandbox`: sources into a root, media for it, and the stand-in site to try both on."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from csmv.pipeline.errors import CsmvError

if TYPE_CHECKING:
    from rich.table import Table

    from csmv.pipeline.sources.base import LandReport
    from csmv.pipeline.sources.settings import Connection
    from csmv.pipeline.sources.web_visits import Report

commands = typer.Typer()

Root = Annotated[str, typer.Option("--root", help="The dataset root: a folder or an fsspec URL such as s3://bucket/x.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Proxy = Annotated[str | None, typer.Option(help="A proxy, http://HOST:PORT, without a password in it.")]
CaFile = Annotated[Path | None, typer.Option(help="A certificate (PEM) to trust besides the system's.")]
Cookies = Annotated[Path | None, typer.Option(help="A cookie file in Netscape's format; or set CSMV_COOKIES.")]
Interval = Annotated[float | None, typer.Option(help="Seconds between two requests, shared by all workers.")]


@commands.command()
def collect(
    root: Annotated[str | None, typer.Option("--root", help="The dataset root; needed unless --dry-run.")] = None,
    hashtag: Annotated[list[str] | None, typer.Option(help="A hashtag without #; may be given several times.")] = None,
    links: Annotated[Path | None, typer.Option(help="A file of links: xlsx, csv, tsv, txt or jsonl.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what --links holds; nothing is asked.")] = False,
    config: Annotated[Path | None, typer.Option(help="A dataset.yaml; it says everything that options don't.")] = None,
    videos: Annotated[int | None, typer.Option(min=1, help="At most so many videos a hashtag.")] = None,
    comments: Annotated[int | None, typer.Option(min=0, help="At most so many comments a video.")] = None,
    replies: Annotated[bool | None, typer.Option("--replies/--no-replies", help="Open the threads?")] = None,
    since: Annotated[str | None, typer.Option(help="Videos of this day (2026-08-29) or later.")] = None,
    until: Annotated[str | None, typer.Option(help="Videos of this day or earlier.")] = None,
    min_comments: Annotated[int | None, typer.Option(min=0, help="Videos with at least so many comments.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Browsers at once; they share one pace.")] = 1,
    interval: Interval = None,
    proxy: Proxy = None,
    ca_file: CaFile = None,
    browser: Annotated[Path | None, typer.Option(help="Chromium's executable, if it is not found.")] = None,
    profile: Annotated[Path | None, typer.Option(help="A folder for the browser's profile, kept.")] = None,
    cookies: Cookies = None,
    headed: Annotated[bool, typer.Option("--headed", help="Show the browser.")] = False,
    locale: Annotated[str, typer.Option(help="The browser's language.")] = "en-US",
    again: Annotated[bool, typer.Option("--again", help="Read hashtags anew that were read to their end.")] = False,
    shards: Annotated[int, typer.Option(min=1, max=9999, help="Number of shards of a new root.")] = 16,
    replace_source: Annotated[
        bool, typer.Option("--replace-source", help="Let the source of --config take the place of the root's own.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Collect videos and comments by hashtag or from links, politely; run it again to go on where it stopped.

    With a --config of another source, that one is read (with `kind: research` the Research API), and nothing else.
    """

    if dry_run:
        _dry_run(links, as_json)
        return
    if root is None:
        raise CsmvError("Say with --root where the dataset is kept.")
    limits = {"videos": videos, "comments": comments, "replies": replies, "since": since, "until": until}
    limits |= {"min_comments": min_comments}
    # A pace that is asked for holds for this run; a new root keeps it.
    manners = {"interval_s": None if _is_there(root) else interval}
    described = _described(root, config, hashtag or [], links, limits, manners, shards)
    if replace_source:
        _replace_source(root, config, described)
    connection = _connection(proxy, ca_file, browser, profile, cookies, headed, locale)
    collection = {"workers": workers, "links": links, "again": again, "connection": connection, "interval_s": interval}
    report = _collect_here(root, described, collection)
    _tell(root, report, as_json)


@commands.command()
def download(
    root: Root,
    shortest_side: Annotated[int | None, typer.Option(min=1, help="Pixels of the shorter side.")] = None,
    at_once: Annotated[int | None, typer.Option(min=1, max=32, help="Downloads at once; they share one pace.")] = None,
    quota_gb: Annotated[float | None, typer.Option(min=0, help="Most that private/media may hold.")] = None,
    retention: Annotated[str | None, typer.Option(help="keep, or delete-after-features.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Also what failed for good.")] = False,
    interval: Interval = None,
    proxy: Proxy = None,
    ca_file: CaFile = None,
    cookies: Cookies = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the media of a root's videos, verified; run it again to go on where it stopped."""
    from csmv.flows.here import download_here
    from csmv.pipeline.sources.walls import ENDINGS
    from csmv.pipeline.store import Store

    store = Store.open(root)
    asked = {"shortest_side": shortest_side, "at_once": at_once, "retention": retention}
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if quota_gb is not None:
        changes["quota_bytes"] = int(quota_gb * 1e9)
    connection = _connection(proxy, ca_file, None, None, cookies, False, "en-US")
    report = download_here(root, changes=changes, connection=connection, retry_failed=retry_failed, interval_s=interval)
    # Shards in which nothing is open are not run at all, so what was left alone is all the rest.
    rest = store.read_all("videos").num_rows - report.done - report.failed - report.left
    found = {"done": report.done, "left alone": rest, "bytes": report.bytes, "left": report.left}
    if as_json:
        typer.echo(json.dumps(found | {"stopped": report.stopped, "reasons": report.reasons}, indent=2))
    else:
        typer.echo(f"{report.done} files ({report.bytes / 1e6:.1f} MB) fetched, {rest} left alone.")
        for reason, number in report.reasons.most_common():
            typer.echo(f"  {number:>7}  {reason:<20} {ENDINGS[reason].sentence}")
        if report.left:
            typer.echo(f"{report.left:,} may succeed later: run the same command again.")
    _stop_if(report.stopped)
    if report.left:
        raise typer.Exit(3)


@commands.command()
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The proxy's port on loopback; 0 takes a free one.")] = 0,
    seed: Annotated[int, typer.Option(help="Decides everything in it.")] = 1,
    hashtags: Annotated[int, typer.Option(min=1, help="How many hashtags.")] = 3,
    videos: Annotated[int, typer.Option(min=1, help="Videos under each.")] = 30,
    comments: Annotated[int, typer.Option(min=0, help="Comments of each.")] = 12,
    fault_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of targets that misbehave.")] = 0.0,
    config: Annotated[
        Path | None, typer.Option(help="A YAML file with more settings, single faults among them.")
    ] = None,
) -> None:
    """Run a small TikTok stand-in on loopback until Ctrl-C; everything in it is invented."""
    import yaml

    from csmv.pipeline.demo.sandbox import Sandbox, SandboxSettings
    from csmv.pipeline.validated import parse

    asked: dict[str, Any] = {"seed": seed, "hashtags": hashtags, "videos": videos, "comments": comments}
    asked["fault_rate"] = fault_rate
    if config is not None:
        try:
            asked |= yaml.safe_load(config.read_text("utf-8")) or {}
        except (OSError, yaml.YAMLError, TypeError):
            raise CsmvError(f"'{config}' can't be read as a YAML mapping of sandbox settings.") from None
    site = Sandbox(parse(SandboxSettings, asked, "csmv sandbox"), port)
    reach = f"--proxy {site.proxy} --ca-file {site.ca_file}"
    typer.echo(f"A sandbox TikTok of {len(site.world.videos)} videos is behind {site.proxy}. For example:")
    typer.echo(f"  csmv collect --root try --hashtag {site.world.tags[0]} --interval 0.2 {reach}")
    typer.echo(f"  csmv download --root try --interval 0.2 {reach}")
    typer.echo(f"Truth table and request log: {site.proxy}/status")
    try:
        site.serve_forever()
    except KeyboardInterrupt:
        typer.echo("")
    finally:
        site.close_files()


# ---------------------------------------------------------------------- collect


def _dry_run(links: Path | None, as_json: bool) -> None:
    from csmv.pipeline.sources.links import read_links

    if links is None:
        raise CsmvError("--dry-run says what a file of links holds: name it with --links.")
    found = read_links(links)
    counts = {
        "rows": found.rows,
        "distinct_ids": len(found.ids),
        "repeats": found.repeats,
        "short_links": len(found.short_links),
        "rejects": len(found.rejects),
        "id_column_differs": found.id_differs,
    }
    if as_json:
        rejects = [{"row": reject.row, "reason": reject.reason} for reject in found.rejects]
        typer.echo(json.dumps(counts | {"rejected_rows": rejects}, indent=2))
        return
    for name, number in counts.items():
        typer.echo(f"{name.replace('_', ' '):<18} {number:>9,}")
    for reject in found.rejects[:20]:
        typer.echo(f"  row {reject.row}: {reject.reason}")
    if len(found.rejects) > 20:
        typer.echo(f"  ... and {len(found.rejects) - 20} more; --json lists all.")


def _described(
    root: str,
    config: Path | None,
    hashtags: list[str],
    links: Path | None,
    limits: dict[str, Any],
    manners: dict[str, Any],
    shards: int,
) -> dict[str, Any]:
    """The dataset's configuration: the file's or the root's own, with what the options say laid over it."""
    from csmv.pipeline.config import DatasetConfig, read_config
    from csmv.pipeline.root import CONFIG_FILE
    from csmv.pipeline.sources.registry import SOURCES
    from csmv.pipeline.store import Store

    there = Store(root)
    if config is not None:
        if not config.is_file():
            raise CsmvError(f"The configuration '{config}' is not there.")
        made = DatasetConfig.from_yaml(config.read_text("utf-8"), str(config)).model_dump(mode="json")
    elif there.exists(CONFIG_FILE):
        made = read_config(Store.open(root)).model_dump(mode="json")
    else:
        name = "".join(c if c.isalnum() or c in "._-" else "-" for c in Path(root).name) or "csmv"
        made = {"name": name if name[0].isalnum() else f"x{name}", "n_shards": shards}
        made["source"] = {"kind": "web"}
    source = made["source"]
    if not SOURCES[source["kind"]].takes_targets:
        if hashtags or links is not None:
            raise CsmvError(
                f"The root '{root}' is made from a '{source['kind']}' source, and sources are never mixed in one "
                "dataset: collect into a root of its own."
            )
        return made
    tags = [tag.lstrip("#").casefold() for tag in hashtags]
    source["hashtags"] = list(dict.fromkeys([*source.get("hashtags", ()), *tags]))
    for section, changes in (("limits", limits), ("manners", manners)):
        given = {name: value for name, value in changes.items() if value is not None}
        source[section] = {**source.get(section, {}), **given}
    if not source["hashtags"] and links is None and not there.exists("private/landing/web/links"):
        raise CsmvError("Say what to collect: --hashtag NAME (as often as needed), or --links FILE.")
    return made


def _replace_source(root: str, config: Path | None, described: dict[str, Any]) -> None:
    from csmv.pipeline.config import DatasetConfig, create_root
    from csmv.pipeline.validated import parse

    if config is None:
        raise CsmvError("--replace-source takes the source that a configuration describes: name it with --config.")
    create_root(root, parse(DatasetConfig, described, str(config)), replace_source=True)


def _connection(
    proxy: str | None,
    ca_file: Path | None,
    browser: Path | None,
    profile: Path | None,
    cookies: Path | None,
    headed: bool,
    locale: str,
) -> "Connection":
    from csmv.pipeline.sources.settings import Connection
    from csmv.pipeline.validated import parse

    asked = {"proxy": proxy, "ca_file": ca_file, "browser": browser, "profile": profile}
    return parse(Connection, asked | {"cookies": cookies, "headed": headed, "locale": locale}, "the options")


def _is_there(root: str) -> bool:
    from csmv.pipeline.root import CONFIG_FILE
    from csmv.pipeline.store import Store

    return Store(root).exists(CONFIG_FILE)


def _collect_here(root: str, described: dict[str, Any], collection: dict[str, Any]) -> "LandReport":
    from csmv.flows.here import collect_here

    with followed() as watch:
        return collect_here(root, watch, config=described, **collection)


@contextmanager
def followed() -> Iterator[Any]:
    """A live table on a terminal: per hashtag what was found, is new, was skipped, met a wall; rate and time."""
    from rich.console import Console
    from rich.live import Live

    from csmv.pipeline.progress import watched
    from csmv.pipeline.sources.web_visits import Report

    reports: dict[int, Report] = {}  # each worker's of each phase
    began = time.monotonic()

    def merged() -> Report:
        total = Report()
        for report in list(reports.values()):
            total.merge(report)
        return total

    if not watched():
        yield lambda _target, _report: None
        return
    with Live(
        "Starting Prefect, asking for robots.txt ...", console=Console(stderr=True), refresh_per_second=2
    ) as live:

        def watch(_target: str, report: Report) -> None:
            reports[id(report)] = report
            live.update(_table(merged(), time.monotonic() - began))

        yield watch


def _table(report: "Report", seconds: float) -> "Table":
    from rich.table import Table

    pace = report.visits / seconds if seconds else 0.0
    minutes = report.left / pace / 60 if pace else 0.0
    hint = f"{pace * 60:.0f} pages a minute" + (f", about {minutes:.0f} min left" if minutes else "")
    caption = report.waiting if seconds else None
    table = Table(
        title=f"{report.visits} visits, {report.left} videos left, {hint}" if seconds else None, caption=caption
    )
    for column in ("hashtag", "found", "new", "skipped", "walled", "comments"):
        table.add_column(column, justify="left" if column == "hashtag" else "right")
    for name, tally in report.tallies.items():
        table.add_row(name, *(f"{number:,}" for number in vars(tally).values()))
    return table


def _tell(root: str, report: "LandReport", as_json: bool) -> None:
    from csmv.pipeline.sources.web_visits import Report

    if isinstance(report, Report):
        _tell_visits(report, as_json)
    else:
        _tell_landed(root, report, as_json)
    _stop_if(report.stopped)


def _tell_visits(report: "Report", as_json: bool) -> None:
    from rich.console import Console

    from csmv.pipeline.sources.walls import ENDINGS

    if as_json:
        tallies = {name: vars(tally) for name, tally in report.tallies.items()}
        found = {"hashtags": tallies, "outcomes": report.outcomes, "left": report.left, "stopped": report.stopped}
        typer.echo(json.dumps(found, indent=2))
        return
    Console().print(_table(report, 0))
    for outcome, number in report.outcomes.most_common():
        typer.echo(f"  {number:>7,}  {outcome:<20} {ENDINGS[outcome].sentence}".rstrip())
    settled = "Everything is settled."
    typer.echo(f"{report.left:,} left: run the same command again later." if report.left else settled)


def _tell_landed(root: str, report: "LandReport", as_json: bool) -> None:
    from csmv.pipeline.store import Store

    store = Store.open(root)
    rows = {table: store.read_all(table).num_rows for table in ("videos", "comments")}
    if as_json:
        typer.echo(json.dumps(rows | vars(report), indent=2, default=str))
        return
    typer.echo(f"{rows['videos']:,} videos and {rows['comments']:,} comments.")
    told = {
        "requests were sent": "requests",
        "windows end too recently for the service to have all of them: left for a later run": "unsettled_windows",
        "windows or lists of comments were too old and were asked for again": "refreshed",
        "videos are no longer given by the service: out of the tables": "vanished",
        "windows did not come to their end": "stalled_windows",
        "left: run the same command again later": "left",
    }
    for text, name in told.items():
        if number := getattr(report, name, 0):
            typer.echo(f"  {number:>7,}  {text}")


def _stop_if(stopped: str) -> None:
    """A run that ended early is no success for the shell."""
    if stopped:
        typer.echo(f"Ended early: {stopped}.", err=True)
        raise typer.Exit(3)
