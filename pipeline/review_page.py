"""Writes the page by which a person judges a scrub: what it removes by rule, what it nearly did, and what it leaves.

The page shows personal data. Of a root it lies in `private/`; anywhere else its owner alone may read it.
"""

import hashlib
import json
import os
import re
import secrets
import shlex
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csmv.pipeline.config import read_config
from csmv.pipeline.errors import CsmvError, UsageError
from csmv.pipeline.files import PRIVATE
from csmv.pipeline.manifest import HEADER_FILE
from csmv.pipeline.privacy.review import NEARLY_FROM, Group, Of, Part, Review, Told, likeliest_names, review
from csmv.pipeline.privacy.review_settings import REVIEW_COUNTS, REVIEW_PAGE, REVIEWS, ReviewSettings
from csmv.pipeline.progress import track
from csmv.pipeline.pseudonym import load_key
from csmv.pipeline.scrub.policy import StreamSettings
from csmv.pipeline.scrub_stream import StreamSummary, placed_texts
from csmv.pipeline.sources.base import Source
from csmv.pipeline.sources.by_shard import digest_of
from csmv.pipeline.sources.tables import made_from_now, texts_before_scrubbing
from csmv.pipeline.store import Store
from csmv.pipeline.stream_policy import stream_pool

if TYPE_CHECKING:
    from jinja2 import Template

STREAM_PAGE = f"{REVIEWS}/stream.html"
TEMPLATE = "review.html"

_MARK = b'<meta name="generator" content="csmv scrub --review">'
_SUFFIXES = (".html", ".htm")
_MOST_SPARED = 40
# A page may hold half a character, and what moves or hides the text around it.
_UNSHOWN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Reviewed:
    """Where the page is, what was reviewed, and what there is to say of a stream's rows."""

    path: str
    is_shared: bool
    review: Review
    stream: StreamSummary = field(default_factory=StreamSummary)

    def sentence(self) -> str:
        """For the person at the terminal."""
        review = self.review
        who = "the group of its folder" if self.is_shared else "you alone"
        return (
            f"{review.texts:,} texts, {review.touched:,} with personal data. The page is {self.path}: it shows "
            f"personal data, and {who} can read it."
        )

    @property
    def bad(self) -> int:
        """Rows that could not be read as asked."""
        return self.stream.bad

    def about_bad_rows(self) -> str:
        """What became of the rows that could not be read as asked."""
        return (
            f"{self.bad:,} of {self.stream.lines:,} {self.stream.noun}s could not be read as asked, and were reviewed "
            "whole or left out, as --bad-rows says: correct them, or say with --field or --format what they hold."
        )

    def counts(self) -> dict[str, Any]:
        """What was counted, without a text or a name."""
        rules = [
            {"part": str(of.part), "kind": of.kind, "rule": of.rule, "findings": group.findings, "texts": group.texts}
            for part in (Part.REMOVED, Part.NEARLY, Part.LEFT)
            for of, group in self.review.of(part)
        ]
        return {"page": self.path, "texts": self.review.texts, "touched": self.review.touched, "rules": rules}


def review_stream(settings: StreamSettings, sampling: ReviewSettings, file: Path | None, page: str) -> Reviewed:
    """Write the page about the texts of `file`, or of standard input.

    Args:
        settings: how the texts are read and scrubbed.
        sampling: how many are shown.
        file: None for standard input.
        page: where the page goes; "" for the root's own place.

    Raises:
        UsageError: there is neither a place nor a root.
        CsmvError: the page may not lie there, or the texts can't be read.
    """
    root = None if settings.root is None else Store.open(settings.root)
    place = _place(page, root, STREAM_PAGE)
    rows = StreamSummary()
    with stream_pool(settings) as pool, track("review", None) as tick:
        texts = ((one.text, None) for one in placed_texts(settings, file, rows))
        gathered = review(_ticked(texts, tick), pool, sampling)
    shown = "standard input" if file is None or str(file) == "-" else file.name
    return replace(place.write(gathered, shown, settings.root), stream=rows)


def review_root(
    store: Store, source: Source, settings: StreamSettings, sampling: ReviewSettings, page: str
) -> Reviewed:
    """Write the page about the comments and descriptions of a root as they landed, before they were scrubbed.

    Args:
        store: the root.
        source: where its rows come from.
        settings: the policy, names and processes to scrub with.
        sampling: how many texts are shown.
        page: where in its `private/` the page goes; "" for `REVIEW_PAGE`.

    Raises:
        CsmvError: the page may not lie there, nothing has landed, or a landing file is damaged.
    """
    place = _place(page, store, REVIEW_PAGE)
    if place.store is None or place.store.root.rstrip("/") != store.root.rstrip("/"):
        raise CsmvError(
            f"The page about a root shows its raw comments and lies in its own {PRIVATE}/: leave the path out, or give "
            f"{PRIVATE}/review/NAME.html."
        )
    policy = read_config(store).scrub
    with stream_pool(settings) as pool, track("review", None) as tick:
        texts = (told for shard in store.shards() for told in texts_before_scrubbing(store, source, shard))
        gathered = review(_ticked(texts, tick), pool, sampling)
    reviewed = place.write(gathered, store.header.name, store.root)
    if settings.policy is None and settings.names is None:
        key = load_key(store)
        made_from = [made_from_now(store, source, policy, key, shard) for shard in store.shards()] if key else []
        counts = reviewed.counts() | {"page": place.path, "made_from": digest_of(made_from)}
        store.write_file(REVIEW_COUNTS, (json.dumps(counts, indent=1) + "\n").encode())
    return reviewed


def _ticked(texts: Iterable[Told], tick: Any) -> Iterator[Told]:
    for told in texts:
        tick(1)
        yield told


# ---------------------------------------------------------------------- where


@dataclass(frozen=True)
class _Place:
    """Where a page goes: a file of a root's `private/`, or a file outside of all roots."""

    path: str
    store: Store | None

    def write(self, gathered: Review, about: str, root: str | None) -> Reviewed:
        data = page_of(gathered, about, root).encode()
        if self.store is not None:
            self.store.write_file(self.path, data)
            address = f"{self.store.root.rstrip('/')}/{self.path}"
            return Reviewed(address, os.environ.get("CSMV_PRIVATE_GROUP", "0") == "1", gathered)
        _write_for_owner(Path(self.path), data)
        return Reviewed(self.path, False, gathered)


def _place(page: str, root: Store | None, default: str) -> _Place:
    if not page:
        if root is None:
            raise UsageError("Where should the page go? Give it a path, as in --review page.html, or a root.")
        return _Place(default, root)
    if not page.lower().endswith(_SUFFIXES):
        raise CsmvError(f"The page of a review is a file such as page.html, and '{page}' was given: see --help.")
    if root is not None and page.startswith(f"{PRIVATE}/"):
        place = _Place(page, root)
    else:
        place = _local_place(Path(page).expanduser().resolve())
    before = place.store.read_if_there(place.path) if place.store else _read_if_there(Path(place.path))
    if before is not None and _MARK not in before[:2000]:
        raise CsmvError(f"'{page}' is there and is no page of a review: give another path, or move it away.")
    return place


def _local_place(path: Path) -> _Place:
    if not path.parent.is_dir():
        raise CsmvError(f"The folder '{path.parent}' is not there: make it, or give another path.")
    folder = next((folder for folder in path.parents if (folder / HEADER_FILE).is_file()), None)
    if folder is None:
        return _Place(str(path), None)
    inside = path.relative_to(folder)
    if inside.parts[0] != PRIVATE:
        raise CsmvError(
            f"The page shows personal data, and '{inside}' is in what the root '{folder}' may publish: "
            f"give a path in its {PRIVATE}/, or outside of it."
        )
    return _Place(inside.as_posix(), Store.open(str(folder)))


def _read_if_there(path: Path) -> bytes | None:
    if path.is_dir():
        raise CsmvError(f"'{path}' is a folder: give the path of a file.")
    return path.read_bytes() if path.exists() else None


def _write_for_owner(path: Path, data: bytes) -> None:
    """Commit a file that its owner alone may read, from its first byte on."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


# ---------------------------------------------------------------------- the page


def page_of(gathered: Review, about: str, root: str | None) -> str:
    """The page as HTML: it asks for nothing outside itself, and no text in it can become markup or a script."""
    template, style, script = _template()
    spared = likeliest_names(gathered.of(Part.SPARED))
    place = shlex.quote(root) if root else "ROOT"
    page: str = template.render(
        about=about,
        review=gathered,
        removed=_numbered("removed", gathered.of(Part.REMOVED)),
        nearly=_numbered("nearly", gathered.of(Part.NEARLY)),
        nearly_from=NEARLY_FROM,
        left=_numbered("left", sorted(gathered.of(Part.LEFT), key=lambda one: -one[1].texts)),
        spared=_numbered("spared", spared[:_MOST_SPARED]),
        spared_names=len(spared),
        spared_more=len(spared[_MOST_SPARED:]),
        command=f"csmv words --root {place} --from decisions.json",
        again=f"csmv run tables --root {place}",
        style=style,
        script=script,
        policy=_content_policy(style, script),
    )
    return page.lstrip()


def _numbered(beginning: str, groups: Iterable[tuple[Of, Group]]) -> list[tuple[str, Of, Group]]:
    """Each group with the id that its place on the page has."""
    return [(f"{beginning}-{number}", of, group) for number, (of, group) in enumerate(groups, 1)]


def _content_policy(style: str, script: str) -> str:
    """Only the page's own style and script, known by their digests, and a download that the script makes."""
    digests = [b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    own = "style-src 'sha256-{}'; script-src 'sha256-{}'".format(*digests)
    return f"default-src 'none'; {own}; base-uri 'none'; form-action 'none'"


@cache
def _template() -> "tuple[Template, str, str]":
    """The page's template, its style and its script."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters["count"] = lambda number: f"{number:,}"
    style, script = ((folder / f"review.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return environment.get_template(TEMPLATE), style, script


def _shown(value: object) -> object:
    return _UNSHOWN.sub("\ufffd", value) if type(value) is str else value
