"""`csmv collect`, `download` and `sandbox`: sources into a root, media for it, and the stand-in site to try both on."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from csmv.flows.options import AsJson, Connection, Fields, NewRoot, Root, Values, command
from csmv.flows.terminal import print_json, print_table, table
from csmv.pipeline import interrupt
from csmv.pipeline.errors import CsmvError, UnfinishedError, UsageError
from csmv.pipeline.sources.link_files import read_links

if TYPE_CHECKING:
    from rich.table import Table

    from csmv.pipeline.sources.base import LandReport
    from csmv.pipeline.sources.web_visits import Report
    from csmv.pipeline.survival import YearOfVideos

commands = typer.Typer()

SITE = "csmv.pipeline.sources.collect_settings"
LIMITS = ("videos", "comments", "replies", "since", "until", "min_comments")
COLUMNS = ("hashtag", "found", "new", "skipped", "walled", "comments", "unreadable")
BROWSER = ("proxy", "ca_file", "browser", "profile", "cookies", "headed", "locale")


@command(commands, "collect")
def collect(
    *,
    root: Annotated[str | None, typer.Option("--root", help="The dataset root; needed unless --dry-run.")] = None,
    source: Annotated[Values, Fields(f"{SITE}:WebSource", hashtag="hashtags")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what --links holds; nothing is asked.")] = False,
    config: Annotated[Path | None, typer.Option(help="A dataset.yaml; it says everything that options don't.")] = None,
    limits: Annotated[Values, Fields(f"{SITE}:Limits", *LIMITS, base="the configuration's")],
    visit: Annotated[
        Values, Fields(f"{SITE}:RunSettings", "links", "workers", "again", "refresh_after", interval="interval_s")
    ],
    connection: Annotated[Values, Fields(f"{SITE}:Connection", *BROWSER)],
    dataset: NewRoot,
    replace_source: Annotated[
        bool, typer.Option("--replace-source", help="Let the source of --config take the place of the root's own.")
    ] = False,
    reparse: Annotated[
        bool,
        typer.Option("--reparse", help="Make the tables anew from what has landed, without a request, and end there."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Collect videos and comments by hashtag or from links, politely; run it again to go on where it stopped.

    With a --config of another source, that one is read (with `kind: research` the Research API), and nothing else. Of a
    root that was imported, the pages of its videos are read: their description, counts and dates of today.
    """
    if dry_run:
        _dry_run(visit["links"], as_json)
        return
    if root is None:
        raise UsageError("Say with --root where the dataset is kept.")
    if reparse:
        _reparse(root, as_json)
        return
    # A pace that is asked for holds for this run; a new root keeps it.
    manners = {} if _is_there(root) or visit["interval_s"] is None else {"interval_s": visit["interval_s"]}
    asked = {"hashtags": source["hashtags"] or [], "limits": limits, "manners": manners}
    described = _described(root, config, asked, visit["links"], dataset)
    if replace_source:
        _replace_source(root, config, described)
    report = _collect_here(root, described, visit | {"connection": connection})
    _say(root, report, as_json)


@command(commands, "download")
def download(
    *,
    root: Root,
    media: Annotated[
        Values,
        Fields(
            "csmv.pipeline.media.media_settings:MediaSettings",
            *("shortest_side", "at_once", "retention"),
            quota_gb="quota_bytes",
            base="the root's",
        ),
    ],
    visit: Annotated[Values, Fields(f"{SITE}:RunSettings", "retry_failed", "sample", interval="interval_s")],
    connection: Connection,
    as_json: AsJson = False,
) -> None:
    """Fetch the media of a root's videos, verified; run it again to go on where it stopped.

    Says before it begins how long it will take. `--sample 50` first tells how many of a list's videos are still there.
    """
    from csmv.flows.here import download_here
    from csmv.pipeline.progress import together
    from csmv.pipeline.sources.walls import ENDINGS
    from csmv.pipeline.store import Store
    from csmv.pipeline.survival import as_json as of_year
    from csmv.pipeline.survival import survival

    store = Store.open(root)
    plan = _plan(root, media, visit)
    if plan.sentence:
        typer.echo(plan.sentence, err=True)
    with interruptible(), together("media", "videos' files", plan.videos):
        report = download_here(root, changes=media, connection=connection, **visit)
    years = survival(store)
    # Shards in which nothing is open are not run at all, so what was left alone is all the rest.
    rest = store.read_all("videos").num_rows - report.done - report.failed - report.left
    counts = {"done": report.done, "left alone": rest, "bytes": report.bytes, "left": report.left}
    if as_json:
        of_years = {"years": [of_year(year) for year in years]}
        print_json(counts | {"stopped": report.stopped, "reasons": report.reasons} | of_years)
    else:
        typer.echo(f"{report.done} files ({report.bytes / 1e6:.1f} MB) fetched, {rest} left alone.")
        for reason, number in report.reasons.most_common():
            typer.echo(f"  {number:>7}  {reason:<20} {ENDINGS[reason].sentence}")
        _say_survival(years, plan)
    _end_if_unfinished(root, report.stopped, {"videos": report.left})
    if report.failed and not report.done and not rest:
        raise UnfinishedError(
            f"None of {report.failed:,} files could be fetched: {report.reasons.most_common(1)[0][0]} is why for most. "
            "Run it again later with --retry-failed."
        )


@command(commands, "sandbox")
def sandbox(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The proxy's port on loopback; 0 takes a free one.")] = 0,
    world: Annotated[
        Values,
        Fields(
            "csmv.pipeline.demo.sandbox.world:SandboxSettings",
            *("seed", "hashtags", "videos", "comments", "fault_rate"),
        ),
    ],
    config: Annotated[
        Path | None, typer.Option(help="A YAML file with more settings, single faults among them.")
    ] = None,
) -> None:
    """Run a small TikTok stand-in on loopback until Ctrl-C; everything in it is invented."""
    from csmv.pipeline.demo.sandbox import Sandbox, SandboxSettings
    from csmv.pipeline.validated import parse, read_text, yaml_mapping

    settings = world | (yaml_mapping(read_text(config), str(config)) if config else {})
    site = Sandbox(parse(SandboxSettings, settings, str(config or "csmv sandbox")), port)
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


# ---------------------------------------------------------------------- download


@dataclass(frozen=True)
class _Plan:
    """What a download is about to do: so many videos, of a source that is asked over the network or not."""

    videos: int
    online: bool
    interval_s: float
    all_videos: int
    sampled: bool

    @property
    def sentence(self) -> str:
        """How much it is and how long it takes at least; empty where there is nothing to wait for."""
        if not self.online or not self.videos:
            return ""
        least = f", {_REQUESTS} requests each, one every {self.interval_s:g} s: at least {self.time(self.videos)}."
        more = "" if self.sampled or self.videos <= _MANY else " `--sample 50` first tells how many are still there."
        return f"{self.videos:,} videos to fetch{least}{more}"

    def time(self, videos: int) -> str:
        """What so many videos take at this pace, in words."""
        from csmv.flows.status_page import duration

        return duration(videos * _REQUESTS * self.interval_s)


_REQUESTS = 2
"""Of a video: its page and its file."""
_MANY = 500


def _plan(root: str, changes: dict[str, Any], visit: dict[str, Any]) -> _Plan:
    from csmv.pipeline.dataset import Dataset
    from csmv.pipeline.media.media_settings import MediaSettings
    from csmv.pipeline.media.media_shard import manners_of, open_videos

    dataset = Dataset.open(root, changes=changes, changed="media")
    store, source = dataset.store, dataset.source
    asked = {"retry_failed": visit["retry_failed"] or False, "sample": visit["sample"]}
    videos = sum(len(open_videos(store, shard, source, **asked)) for shard in store.shards())
    every = sum(len(open_videos(store, shard, source)) for shard in store.shards()) if asked["sample"] else videos
    interval_s = visit["interval_s"]
    if interval_s is None:
        interval_s = manners_of(dataset.section("media", MediaSettings), source).interval_s
    return _Plan(videos, not source.has_files, interval_s, every, asked["sample"] is not None)


def _say_survival(years: "list[YearOfVideos]", plan: _Plan) -> None:
    """By year what became of the videos, where some are gone; after a sample, what that says of the rest."""
    from csmv.pipeline.survival import share_between, total_of

    total = total_of(years)
    if total.reasons:
        rows = [
            (
                *(str(one.year or "unknown"), f"{one.videos:,}", f"{one.fetched:,}", f"{one.pending:,}"),
                ", ".join(f"{count:,} {reason}" for reason, count in one.reasons.most_common()),
            )
            for one in [*years, *([total] if len(years) > 1 else [])]
        ]
        if len(years) > 1:
            rows[-1] = ("all", *rows[-1][1:])
        print_table(
            ("year", "videos", "fetched", "not tried", "not there, by reason"), rows, "What is left of the videos"
        )
    tried = total.fetched + total.lost
    if plan.sampled and tried:
        low, high = share_between(total.fetched, tried)
        typer.echo(
            f"Of {tried:,} videos tried {total.fetched:,} are still there, {total.fetched / tried:.0%} "
            f"({low:.0%} to {high:.0%} of all, at 95 %). The {total.pending:,} that were not tried take at least "
            f"{plan.time(total.pending)}: `csmv download` without --sample."
        )


# ---------------------------------------------------------------------- collect


def _dry_run(links: Path | None, as_json: bool) -> None:
    if links is None:
        raise UsageError("--dry-run says what a file of links holds: name it with --links.")
    listed = read_links(links)
    counts = {
        "rows": listed.rows,
        "distinct_ids": len(listed.ids),
        "repeats": listed.repeats,
        "short_links": len(listed.short_links),
        "further_in_a_row": listed.more,
        "rejects": len(listed.rejects),
        "id_column_differs": listed.id_differs,
    }
    if as_json:
        rejects = [vars(reject) for reject in listed.rejects]
        print_json(counts | {"sheets": listed.sheets, "rejected_rows": rejects})
        return
    for name, number in counts.items():
        typer.echo(f"{name.replace('_', ' '):<18} {number:>9,}")
    if listed.sheets:
        typer.echo(f"{'from the sheets':<18} {', '.join(listed.sheets)}")
    for reject in listed.rejects[:20]:
        where = f" of the sheet {reject.sheet}" if reject.sheet else ""
        typer.echo(f"  row {reject.row}{where}: {reject.reason}")
    if len(listed.rejects) > 20:
        typer.echo(f"  ... and {len(listed.rejects) - 20} more; --json lists all.")


def _reparse(root: str, as_json: bool) -> None:
    from csmv.pipeline.collect import unread
    from csmv.pipeline.config import read_config
    from csmv.pipeline.sources.registry import source_of
    from csmv.pipeline.sources.reparse import reparse
    from csmv.pipeline.store import Store

    store = Store.open(root)
    config = read_config(store)
    source = source_of(config.source)
    written = reparse(store, source, config.scrub, store.key())
    rows = {table: store.read_all(table).num_rows for table in ("videos", "comments")}
    left, unreadable = source.remaining(store), unread(store)
    if as_json:
        totals = {"shards_written": store.n_shards - written.reused, "left": left, "unreadable": unreadable}
        print_json(rows | totals)
    else:
        typer.echo(
            f"{rows['videos']:,} videos and {rows['comments']:,} comments; {store.n_shards - written.reused} of "
            f"{store.n_shards} shards came out otherwise than before."
        )
    _end_if_unfinished(root, "", left, unreadable)


def _described(
    root: str, config: Path | None, asked: dict[str, Any], links: Path | None, dataset: Values
) -> dict[str, Any]:
    """The dataset's configuration: the file's or the root's own, with what the options say laid over it."""
    from csmv.pipeline.config import DatasetConfig, read_config
    from csmv.pipeline.manifest import HEADER_FILE
    from csmv.pipeline.root import CONFIG_FILE, name_for, shards_for
    from csmv.pipeline.sources.registry import SOURCES
    from csmv.pipeline.store import Store
    from csmv.pipeline.validated import parse, read_text

    store = Store(root)
    if config is not None:
        settings = DatasetConfig.from_yaml(read_text(config), str(config))
        chosen = "n_shards" in settings.model_fields_set
        described = settings.model_dump(mode="json", exclude=set() if chosen else {"n_shards"})
    elif store.exists(CONFIG_FILE):
        described = read_config(Store.open(root)).model_dump(mode="json")
    else:
        described = {"name": name_for(root), **dataset}
        described["source"] = {"kind": "web"}
    source = described["source"]
    kind = SOURCES[source["kind"]]
    if not kind.takes_targets:
        if asked["hashtags"] or links is not None:
            raise CsmvError(
                f"The root '{root}' is made from a '{source['kind']}' source, and sources are never mixed in one "
                "dataset: collect into a root of its own."
            )
        if "metadata" in kind.section_class.model_fields:
            # What there is to collect for it: what the pages of its videos say today.
            source["metadata"] = True
        return described
    tags = [tag.lstrip("#").casefold() for tag in asked["hashtags"]]
    source["hashtags"] = list(dict.fromkeys([*source.get("hashtags", ()), *tags]))
    for section in ("limits", "manners"):
        source[section] = source.get(section, {}) | asked[section]
    if not source["hashtags"] and links is None and not store.exists("private/landing/web/links"):
        raise UsageError("Say what to collect: --hashtag NAME (as often as needed), or --links FILE.")
    if "n_shards" not in described and not store.exists(HEADER_FILE):
        expected = kind(parse(kind.section_class, source, "source")).expected_videos(links)
        described["n_shards"] = shards_for(expected)
    return described


def _replace_source(root: str, config: Path | None, described: dict[str, Any]) -> None:
    from csmv.pipeline.config import DatasetConfig, create_root
    from csmv.pipeline.validated import parse

    if config is None:
        raise UsageError("--replace-source takes the source that a configuration describes: name it with --config.")
    create_root(root, parse(DatasetConfig, described, str(config)), replace_source=True)


def _is_there(root: str) -> bool:
    from csmv.pipeline.root import CONFIG_FILE
    from csmv.pipeline.store import Store

    return Store(root).exists(CONFIG_FILE)


def _collect_here(root: str, described: dict[str, Any], collection: dict[str, Any]) -> "LandReport":
    from csmv.flows.here import collect_here

    with followed() as watch, interruptible():
        return collect_here(root, watch, config=described, **collection)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end what runs in the block in order."""
    with interrupt.ending_in_order(lambda: typer.echo("Ending what is under way ...", err=True)):
        yield


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
    pace = report.visits / seconds if seconds else 0.0
    minutes = report.left / pace / 60 if pace else 0.0
    hint = f"{pace * 60:.0f} pages a minute" + (f", about {minutes:.0f} min left" if minutes else "")
    caption = report.waiting if seconds else ""
    title = f"{report.visits} visits, {report.left} videos left, {hint}" if seconds else ""
    rows = [(name, *(f"{number:,}" for number in vars(tally).values())) for name, tally in report.tallies.items()]
    return table(COLUMNS, rows, title, caption)


def _say(root: str, report: "LandReport", as_json: bool) -> None:
    from csmv.pipeline.collect import unread
    from csmv.pipeline.sources.web_visits import Report
    from csmv.pipeline.store import Store

    unreadable = unread(Store.open(root))
    if isinstance(report, Report):
        _say_visits(report, unreadable, as_json)
    else:
        _say_landed(root, report, as_json)
    shapes = getattr(report, "shapes", {})
    _end_if_unfinished(root, report.stopped, _remaining(root, report.left), unreadable or sorted(shapes))


def _say_visits(report: "Report", unreadable: list[str], as_json: bool) -> None:
    from rich.console import Console

    from csmv.pipeline.sources.walls import ENDINGS

    if as_json:
        tallies = {name: vars(tally) for name, tally in report.tallies.items()}
        counts = {"outcomes": report.outcomes, "left": report.left, "stopped": report.stopped}
        shapes = {"unreadable": unreadable, "shapes": report.shapes, "silent": report.silent}
        print_json({"hashtags": tallies} | counts | shapes)
        return
    Console().print(_table(report, 0))
    for outcome, number in report.outcomes.most_common():
        typer.echo(f"  {number:>7,}  {outcome:<20} {ENDINGS[outcome].sentence}".rstrip())
    for shape, number in report.shapes.most_common():
        typer.echo(f"  {number:>7,}  unreadable           {shape}")
    if report.silent:
        typer.echo(f"  {report.silent:>7,}  videos declare comments, and none were received")
    if not report.left and not report.stopped and not unreadable and not report.shapes:
        typer.echo("Everything is settled.")


def _say_landed(root: str, report: "LandReport", as_json: bool) -> None:
    from csmv.pipeline.store import Store

    store = Store.open(root)
    rows = {table: store.read_all(table).num_rows for table in ("videos", "comments")}
    if as_json:
        print_json(rows | vars(report))
        return
    typer.echo(f"{rows['videos']:,} videos and {rows['comments']:,} comments.")
    notes = {
        "requests were sent": "requests",
        "windows end too recently for the service to have all of them: left for a later run": "unsettled_windows",
        "windows or lists of comments were too old and were asked for again": "refreshed",
        "videos are no longer given by the service: out of the tables": "vanished",
        "windows did not come to their end": "stalled_windows",
    }
    for text, name in notes.items():
        if number := getattr(report, name, 0):
            typer.echo(f"  {number:>7,}  {text}")


def _remaining(root: str, left: int) -> dict[str, int]:
    """What the `left` targets of a root's collection are."""
    from csmv.pipeline.config import read_config
    from csmv.pipeline.sources.registry import source_of
    from csmv.pipeline.store import Store

    if not left:
        return {}
    store = Store.open(root)
    remaining = source_of(read_config(store).source).remaining(store)
    return remaining if sum(remaining.values()) == left else {"targets": left}


def _end_if_unfinished(root: str, stopped: str, left: Mapping[str, int], unreadable: Sequence[str] = ()) -> None:
    """A run that ended early, left something or could not read something is no success for the shell.

    Raises:
        UnfinishedError: it is one of these; the sentence says how to go on.
    """
    number = sum(left.values())
    if not stopped and not number and not unreadable:
        return
    words = [f"Ended early: {stopped}." if stopped else f"{number:,} may succeed later." if number else ""]
    if number or stopped:
        words.append("Run the same command again later to go on.")
    if number:
        words.append(f"Left: {', '.join(_counted(name, many) for name, many in left.items() if many)}.")
    if unreadable:
        more = f" (and {len(unreadable) - 1:,} more)" if len(unreadable) > 1 else ""
        words.append(
            f"Not everything that came could be read: {unreadable[0]}{more}. Once csmv has been mended, "
            f"`csmv collect --root {root} --reparse` makes the rows of it."
        )
    raise UnfinishedError(" ".join(filter(None, words)))


def _counted(name: str, number: int) -> str:
    return f"{number:,} {name if number > 1 else name.removesuffix('s')}"
