"""`csmv scrub`, `audit`, `forget`: text without personal data, the search for what is left, and deletion on request."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from csmv.flows.options import AsJson, Fields, Root, RootArgument, Values, command
from csmv.flows.terminal import print_json, print_table
from csmv.pipeline.errors import UnfinishedError, UsageError

if TYPE_CHECKING:
    from csmv.pipeline.scrub.policy import StreamSettings
    from csmv.pipeline.scrub_pool import ScrubPool

commands = typer.Typer()

STREAM = "csmv.pipeline.scrub.policy:StreamSettings"
REVIEW = "csmv.pipeline.privacy.review_settings:ReviewSettings"
COMPARE = "csmv.pipeline.scrub.policy:CompareSettings"


@command(commands, "scrub", alone=("--review",))
def scrub(
    *,
    file: Annotated[Path | None, typer.Argument(help="Lines, JSONL or JSON; standard input if not given or -.")] = None,
    settings: Annotated[
        Values,
        Fields(
            STREAM, "field", "bad_rows", "policy", "names", "show_spared", "language", "root", "jobs", format="form"
        ),
    ],
    compared: Annotated[Values, Fields(COMPARE, "compare", "framework")],
    explain: Annotated[
        bool, typer.Option("--explain", help="Say on standard error what was found where, by whom, how surely.")
    ] = False,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="Say with --explain or --compare what was found, too: personal data.")
    ] = False,
    review: Annotated[
        str | None,
        typer.Option(
            metavar="[PAGE]",
            help="Write no scrubbed text, but a page to judge the scrub by, which shows personal data: what is removed "
            "by rule, what nearly was, what is left. With --root and no FILE, of the root's own comments; then, or "
            "with any root, PAGE may be left out.",
        ),
    ] = None,
    sampling: Annotated[Values, Fields(REVIEW, "samples", "seed")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line: text, kinds and spans.")] = False,
) -> None:
    """Scrub lines, JSONL or JSON to standard output, in the order given, everything else byte for byte as it was.

    Exit code 0 if every row was as asked; 3 if some were not, which standard error names and --bad-rows decides on.
    """
    from csmv.pipeline.scrub.policy import StreamSettings

    if show_values and not explain and not compared["compare"]:
        raise UsageError("--show-values says what --explain or --compare found: give one of them.")
    if compared["framework"] and not compared["compare"]:
        raise UsageError("--framework says what reads the model of --compare: give both.")
    if compared["compare"] and (explain or review is not None):
        raise UsageError("--compare lists findings in place of --explain and --review: give one of them.")
    if compared["compare"]:
        _compare(StreamSettings(**settings), file, compared, as_json=as_json, show_values=show_values)
        return
    if review is not None:
        _review(StreamSettings(**settings), sampling, file, review, as_json=as_json)
        return
    from csmv.pipeline.scrub_stream import scrub_stream

    stream = StreamSettings(**settings)
    summary = scrub_stream(stream, file, _pool(stream), explain=explain, as_json=as_json, show_values=show_values)
    typer.echo(summary.sentence(), err=True)
    if summary.bad:
        raise UnfinishedError(summary.about_bad_rows())


def _compare(
    stream: "StreamSettings", file: Path | None, compared: Values, *, as_json: bool, show_values: bool
) -> None:
    from csmv.pipeline.scrub.policy import CompareSettings
    from csmv.pipeline.scrub_compare import WHO, compare

    result = compare(_pool(stream), stream, file, CompareSettings(**compared), as_json=as_json, show_values=show_values)
    if as_json:
        typer.echo(json.dumps(result.as_json()))
    else:
        print_table(["kind", *(who.replace("_", " ") for who in WHO)], result.rows())
        for sentence in result.sentences():
            typer.echo(sentence)
    if result.bad:
        raise UnfinishedError(result.about_bad_rows())


def _pool(stream: "StreamSettings") -> "ScrubPool":
    from csmv.pipeline.scrub.policy import ScrubPolicy
    from csmv.pipeline.scrub_pool import ScrubPool

    if stream.root is None and stream.policy is None and stream.names is None:
        # What reads roots and policies takes longer to load than a line takes to scrub.
        return ScrubPool(ScrubPolicy(), jobs=stream.jobs)
    from csmv.pipeline.stream_policy import stream_pool

    return stream_pool(stream)


def _review(settings: "StreamSettings", sampling: Values, file: Path | None, page: str, *, as_json: bool) -> None:
    from csmv.pipeline.dataset import Dataset
    from csmv.pipeline.privacy.review_settings import ReviewSettings
    from csmv.pipeline.review_page import review_root, review_stream

    if settings.root is not None and file is None:
        dataset = Dataset.open(settings.root)
        reviewed = review_root(dataset.store, dataset.source, settings, ReviewSettings(**sampling), page)
    else:
        reviewed = review_stream(settings, ReviewSettings(**sampling), file, page)
    if as_json:
        print_json(reviewed.counts())
    typer.echo(reviewed.sentence(), err=True)
    if reviewed.bad:
        raise UnfinishedError(reviewed.about_bad_rows())


@commands.command("words")
def words(
    root: Root,
    allow: Annotated[
        list[Path] | None, typer.Option(help="Words to leave in texts, one a line. May be given again.")
    ] = None,
    deny: Annotated[
        list[Path] | None, typer.Option(help="Words to remove from texts, one a line. May be given again.")
    ] = None,
    from_: Annotated[
        list[Path] | None, typer.Option("--from", help="Decisions of a review: JSON with lists allow and deny.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Say which denied words stay as ordinary words.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put words on a root's allow and deny lists, private/policy; its configuration gets only their digests.

    Without a file, the lists are taken as they are now. A word that is allowed leaves the deny list, and the other way
    round. Tables that were scrubbed with other lists are stale: `csmv run tables` makes them anew.
    """
    from csmv.pipeline.store import Store
    from csmv.pipeline.word_choices import Choices, put_words, read_choices, read_words

    choices = Choices(
        tuple(word for path in allow or () for word in read_words(path)),
        tuple(word for path in deny or () for word in read_words(path)),
    )
    for path in from_ or ():
        choices += read_choices(path)
    listed = put_words(Store.open(root), choices)
    if as_json:
        counts = {name: asdict(one) | {"ordinary": len(one.ordinary)} for name, one in listed.items()}
        print_json(counts | ({"spared": listed["deny"].ordinary} if show and "deny" in listed else {}))
        return
    for name, one in listed.items():
        moved = f", {one.moved:,} went over to the other list" if one.moved else ""
        typer.echo(f"{name}: {one.words:,} words, {one.new:,} of them new{moved}.")
        if one.ordinary:
            which = f": {', '.join(one.ordinary)}" if show else "; --show says which"
            typer.echo(
                f"{len(one.ordinary):,} of them are ordinary words and stay in texts{which}. A ! at the "
                "beginning of its line removes one all the same."
            )
    if not listed:
        typer.echo("The root has no lists of words.")


@commands.command("audit")
def audit_(
    root: RootArgument,
    also: Annotated[
        list[Path] | None, typer.Option(help="A file or folder outside the root, such as logs or Prefect's database.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that search; left out, one for each core, or what CSMV_JOBS says."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search everything outside private/ for personal data; exit code 1 if there is any, or a file can't be read."""
    from csmv.pipeline.privacy.audit import audit
    from csmv.pipeline.store import Store

    result = audit(Store.open(root), also or [], jobs)
    if as_json:
        hits, unread = ([asdict(one) for one in some] for some in (result.hits, result.unread))
        counts = {"files": result.files, "values": result.values, "known": result.known}
        print_json({**counts, "hits": hits, "unread": unread})
    else:
        for hit in result.hits:
            typer.echo(f"{hit.file}: {hit.place}: {hit.kind} x {hit.count}")
        for one in result.unread:
            typer.echo(f"{one.file}: could not be searched: {one.why}")
        typer.echo(
            f"{result.files:,} files with {result.values:,} values searched for {result.known:,} known names and ids: "
            + (f"{sum(hit.count for hit in result.hits):,} hits." if result.hits else "nothing personal found.")
            + (f" {len(result.unread):,} could not be searched whole: open or delete them." if result.unread else "")
        )
    if result.hits or result.unread:
        raise typer.Exit(1)


@commands.command("forget")
def forget_(
    root: Root,
    comment_id: Annotated[list[str] | None, typer.Option(help="The platform's id of a comment.")] = None,
    video_id: Annotated[list[str] | None, typer.Option(help="The platform's id of a video.")] = None,
    handle: Annotated[list[str] | None, typer.Option(help="All that this account wrote or published.")] = None,
    even_unknown: Annotated[
        bool, typer.Option("--even-unknown", help="Keep out, too, what is not in the root now and may come later.")
    ] = False,
    also: Annotated[
        list[Path] | None, typer.Option(help="A file or folder outside the root, such as logs, to search for the name.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove comments, videos, or all of an account from a root, private part included, for good."""
    from csmv.pipeline.dataset import Dataset
    from csmv.pipeline.privacy.forget import forget

    if not (comment_id or video_id or handle):
        raise UsageError("Say what to forget: --comment-id, --video-id or --handle, each as often as needed.")
    dataset = Dataset.open(root)
    removal = forget(
        dataset.store,
        comment_id or (),
        video_id or (),
        handle or (),
        even_unknown=even_unknown,
        also=also or (),
        source=dataset.source,
    )
    if as_json:
        print_json(vars(removal))
        return
    for name, count in sorted(removal.rows.items()):
        typer.echo(f"{name}: {count} removed")
    for name in removal.files:
        typer.echo(f"{name}: deleted")
    typer.echo(_forgotten(removal.comments, removal.videos, removal.names, len(removal.rows) + len(removal.files)))
    for sentence in removal.left:
        typer.echo(sentence)


def _forgotten(comments: int, videos: int, names: int, files: int) -> str:
    if comments or videos:
        named = f", and {names:,} mentions in what others wrote" if names else ""
        return f"Forgotten: {comments:,} comments and {videos:,} videos{named}."
    if names:
        return f"Forgotten: {names:,} mentions in what others wrote. The tables had nothing more of it."
    if files:
        return "Forgotten. The tables had nothing of it; other files had."
    return "Remembered: the root holds nothing of it now, and takes nothing of it in."
