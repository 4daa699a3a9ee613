"""Searches everything a root would publish for personal data. Says where and of what kind, never what.

Every file outside `private/` is read: the values and metadata of Parquet files, text, JSON, HTML, names of arrays,
archives, and the printable part of everything else. It is looked through for each name and id that the private part
knows, and for whatever the recognisers of the root's own policy find.
"""

import gzip
import html
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from csmv.pipeline.config import read_config
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.known_names import KnownNames
from csmv.pipeline.landed_names import known_names
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.processes import Processes, default_jobs, may_start_processes
from csmv.pipeline.progress import track
from csmv.pipeline.scrub.gazetteer import Gazetteer
from csmv.pipeline.scrub.policy import EntityRule, Kind, ScrubPolicy
from csmv.pipeline.scrub.scrubber import Scrubber
from csmv.pipeline.store import Store

PRIVATE = "private/"
KNOWN_NAME, KNOWN_ID = "KNOWN_NAME", "KNOWN_ID"

_CANONICAL = re.compile(r"https://www\.tiktok\.com/@/video/[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
_PROFILE = re.compile(
    r"(?:tiktok\.com/@[\w.]|(?:instagram|facebook|snapchat|twitter|x|threads|vk)\.(?:com|net)/[\w@]|t\.me/\w|wa\.me/\d|"
    r"(?:vm|vt)\.tiktok\.com/\w|tiktokcdn|linktr\.ee/\w|discord\.gg/\w)",
    re.I,
)
# An id, a hash or a time is no text; recognisers would only read phone numbers into it.
_STRUCTURAL = re.compile(
    r"[cu]?[0-9a-f]{32,128}|[\w.-]*\d{15,20}(?:\.mp4)?"
    r"|(?:19|20)\d\d-\d\d-\d\d(?:[T ][\d:.]{5,15}(?:Z|[+-][\d:]{4,6})?)?",
    re.I,
)
_PSEUDONYM = re.compile(r"[cu][0-9a-f]{32}")
"""By chance, the digits of some could be read as an account's number."""
_ID = re.compile(r"[\w.-]{8,}")
_WORDS = re.compile(rb"[\x20-\x7e\xc2-\xf4\x80-\xbf]{6,}")
_TAG = re.compile(r"<(?:script|style|svg)\b.*?</(?:script|style|svg)>|<!--.*?-->|<[^>]{0,4000}>", re.S | re.I)
_SHORTEST_IN_BINARY = 6
_CHUNK = 1 << 20
_WORTH_IT = 8 << 20
"""Bytes of files from which processes are started to search them: each takes a second or two to begin."""
_STRUCTURED_COLUMNS = frozenset(
    ("comment_id", "video_id", "reply_to", "url", "media_sha256", "key", "reason", "source")
)
_PSEUDONYM_COLUMNS = frozenset(("author", "creator"))

_Place = tuple[str, str, str]
"""File, place in it, kind."""
_FileResult = tuple[int, Counter[_Place]]


@dataclass(frozen=True)
class Hit:
    """Something personal outside `private/`: the file, the place in it, the kind, and how often it is there."""

    file: str
    place: str
    kind: str
    count: int


@dataclass(frozen=True)
class Audit:
    """What was read and what was found in it."""

    files: int
    values: int
    known: int
    hits: tuple[Hit, ...]


def audit(store: Store, also: Iterable[Path] = (), jobs: int | None = None) -> Audit:
    """Search a root, and the files and folders in `also` (logs, a Prefect database), for personal data.

    Time grows with the size of the files, not with the number of names known.

    Args:
        store: The root.
        also: What is searched besides.
        jobs: Processes that search; left out, one for each core, or what CSMV_JOBS says. The result is the same. A
            small root is searched in this process.

    Raises:
        CsmvError: one of `also` is not there.
    """
    known, policy = known_names(store), read_config(store).scrub
    sizes: dict[str | Path, int] = {
        name: listed.size for name, listed in store.listing().items() if not name.startswith(PRIVATE)
    }
    sizes |= {path: path.stat().st_size for given in also for path in _files_below(given)}
    # The largest first, so that no process is left with one of them at the end.
    files = sorted(sizes, key=lambda file: (-sizes[file], str(file)))
    jobs = (
        (default_jobs() if jobs is None else jobs) if sum(sizes.values()) > _WORTH_IT and may_start_processes() else 1
    )
    values, hits = 0, Counter[_Place]()
    with ExitStack() as stack:
        tick = stack.enter_context(track("audit", len(files)))
        results: Iterable[_FileResult]
        if jobs == 1:
            search = _Search(known, policy, Forgotten.of(store))
            results = (_searched(search, store, file) for file in files)
        else:
            processes = stack.enter_context(Processes(jobs, _set_up, store.root, known, policy))
            results = (result for _, result in processes.map(_searched_here, files))
        for count, places in results:
            values += count
            hits.update(places)
            tick(1)
    by_file = tuple(Hit(*place, count) for place, count in sorted(hits.items()))
    return Audit(len(files), values, len(known.names) + len(known.ids), by_file)


_search: "tuple[_Search, Store]"
"""Of a process that searches."""


def _set_up(root: str, known: KnownNames, policy: ScrubPolicy) -> None:
    global _search
    store = Store.open(root)
    _search = _Search(known, policy, Forgotten.of(store)), store


def _searched_here(file: str | Path) -> "_FileResult":
    return _searched(*_search, file)


def _searched(search: "_Search", store: Store, file: str | Path) -> "_FileResult":
    """How many values a file has, and what was found where in it."""
    search.file(str(file), store.read_file(file) if isinstance(file, str) else file.read_bytes())
    return search.results()


def files_holding(store: Store, gone: Forgotten, names: Iterable[str], also: Iterable[Path] = ()) -> list[str]:
    """Which of these files of a root, and of the files and folders in `also`, hold a name or id that is forgotten.

    Raises:
        CsmvError: one of `also` is not there.
    """
    search = _Search(KnownNames(), ScrubPolicy(), gone)
    for name in names:
        search.file(name, store.read_file(name))
    for path in (path for given in also for path in _files_below(given)):
        search.file(str(path), path.read_bytes())
    return sorted({file for file, _, kind in search.results()[1] if kind in (KNOWN_NAME, KNOWN_ID)})


def _files_below(path: Path) -> list[Path]:
    if not path.exists():
        raise CsmvError(f"'{path}' was to be searched too and is not there.")
    return sorted(inner for inner in path.rglob("*") if inner.is_file()) if path.is_dir() else [path]


class _Search:
    """Everything that is looked for, and what has been found."""

    def __init__(self, known: KnownNames, policy: ScrubPolicy, gone: Forgotten) -> None:
        self._gone = gone
        self._gazetteer = Gazetteer(known.names)
        self._known_names = known.names
        self._ids = known.ids
        self._scrubber = Scrubber(_placeholders(policy))
        self._found = Counter[_Place]()
        self.values = 0

    @cached_property
    def _long_names(self) -> Gazetteer:
        """Made for the first binary file: most processes meet none, and there may be millions of names."""
        return Gazetteer(name for name in self._known_names if len(name) >= _SHORTEST_IN_BINARY)

    def results(self) -> "_FileResult":
        """How many values were searched since this was last asked, and what was found."""
        results = self.values, self._found
        self.values, self._found = 0, Counter()
        return results

    def file(self, name: str, data: bytes) -> None:
        """Search one file, by what it is."""
        self._known(name, "its name", name.rsplit("/", 1)[-1])
        suffix = "." + name.rsplit(".", 1)[-1].lower() if "." in name.rsplit("/", 1)[-1] else ""
        if data[:4] == b"PAR1":
            self._parquet(name, data)
        elif data[:4] == b"\x28\xb5\x2f\xfd":
            self.file(name.removesuffix(".zst"), zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read())
        elif data[:2] == b"\x1f\x8b":
            self.file(name.removesuffix(".gz"), gzip.decompress(data))
        elif data[:4] == b"PK\x03\x04":
            self._archive(name, data)
        elif suffix in (".html", ".htm", ".svg", ".xml"):
            self._page(name, data.decode("utf-8", "replace"))
        elif suffix in (".json", ".jsonl", ".ndjson", ".jsonld"):
            self._json(name, data.decode("utf-8", "replace"))
        elif _is_text(data):
            for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
                self._document(name, f"line {number}", line)
        else:
            self._binary(name, data)

    # ------------------------------------------------------------------ kinds of file

    def _parquet(self, name: str, data: bytes) -> None:
        file = pq.ParquetFile(io.BytesIO(data))
        metadata = dict(file.schema_arrow.metadata or {})
        for index in range(len(file.schema_arrow)):
            metadata |= file.schema_arrow.field(index).metadata or {}
        for key, value in metadata.items():
            if key != b"ARROW:schema":
                for part in (key, value):
                    self._document(name, "metadata", part.decode("utf-8", "replace"))
        for column in file.schema_arrow.names:
            if _holds_text(file.schema_arrow.field(column).type):
                for batch in file.iter_batches(columns=[column]):
                    # Classes, languages and ids stand in many rows, and are looked at once.
                    for value, rows in Counter(_texts(batch.column(0))).items():
                        self._value(name, column, value, rows)

    def _value(self, name: str, column: str, value: str, rows: int) -> None:
        self._known(name, f"column {column}", value, rows)
        if column in _STRUCTURED_COLUMNS:
            if column == "url" and not _CANONICAL.fullmatch(value):
                self._found[name, f"column {column}", Kind.URL] += rows
            return
        if column in _PSEUDONYM_COLUMNS and _PSEUDONYM.fullmatch(value):
            return
        for span in self._scrubber.scrub([value])[0].spans:
            self._found[name, f"column {column}", span.kind] += rows

    def _archive(self, name: str, data: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                self.file(f"{name}!{member}", archive.read(member))

    def _page(self, name: str, text: str) -> None:
        for number, line in enumerate(html.unescape(_TAG.sub("\n", text)).splitlines(), start=1):
            if line.strip():
                self._document(name, f"text line {number}", line)
        # What is in tags and scripts is searched for what is known; recognisers would stumble over every number.
        for number, line in enumerate(text.splitlines(), start=1):
            self._known(name, f"line {number}", line)

    def _json(self, name: str, text: str) -> None:
        try:
            values = [json.loads(text)]
        except ValueError:
            values = []
            for line in text.splitlines():
                try:
                    values.append(json.loads(line))
                except ValueError:
                    values.append(line)
        for value in values:
            for place, found in _leaves(value):
                if isinstance(found, int):
                    self._known(name, place, str(found))
                else:
                    self._document(name, place, found)

    def _binary(self, name: str, data: bytes) -> None:
        for start in range(0, len(data), _CHUNK):
            # Neighbouring pieces overlap, so that nothing is cut in two.
            for word in _WORDS.findall(data, start, start + _CHUNK + 256):
                text = word.decode("utf-8", "ignore")
                self.values += 1
                long_names = self._long_names.count(text) + self._gone.traces.count(text, _SHORTEST_IN_BINARY)
                self._count(name, "bytes", KNOWN_NAME, long_names)
                self._count(name, "bytes", KNOWN_ID, self._ids_in(text))

    # ------------------------------------------------------------------ what is looked for

    def _known(self, name: str, place: str, text: str, times: int = 1) -> None:
        self.values += times
        self._count(name, place, KNOWN_NAME, times * (self._gazetteer.count(text) + self._gone.traces.count(text)))
        self._count(name, place, KNOWN_ID, times * self._ids_in(text))

    def _ids_in(self, text: str) -> int:
        if not self._ids and not self._gone.digest:
            return 0
        return sum(word in self._ids or self._gone.is_forgotten_id(word) for word in _ID.findall(text))

    def _count(self, name: str, place: str, kind: str, times: int) -> None:
        if times:
            self._found[name, place, kind] += times

    def _document(self, name: str, place: str, text: str) -> None:
        self._known(name, place, text)
        if not text or _STRUCTURAL.fullmatch(text):
            return
        for span in self._scrubber.scrub([text])[0].spans:
            found = text[span.start : span.end]
            # Documents of ours link to licences and papers; only links to persons count there.
            if span.kind == Kind.URL and (not _PROFILE.search(found) or _CANONICAL.match(found)):
                continue
            self._found[name, place, span.kind] += 1


def _placeholders(policy: ScrubPolicy) -> ScrubPolicy:
    """The kinds of a policy, without keys or models: an audit only counts."""
    rules = {
        kind.lower(): EntityRule(enabled=policy.rule(kind).enabled, threshold=policy.threshold_of(kind))
        for kind in Kind
    }
    off = EntityRule(enabled=False)
    return ScrubPolicy(**{**rules, "person": off, "location": off})


def _holds_text(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _holds_text(kind.value_type)
    if pa.types.is_dictionary(kind):
        return _holds_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind))


def _texts(column: pa.Array) -> Iterator[str]:
    for value in column.to_pylist():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, bytes):
                yield part.decode("utf-8", "replace")
            elif isinstance(part, str):
                yield part


def _leaves(value: Any) -> Iterator[tuple[str, str | int]]:
    """The strings and whole numbers of a JSON value, and whether each is a key; a path might itself be personal."""
    stack = [value]
    while stack:
        here = stack.pop()
        if isinstance(here, dict):
            yield from (("a key", str(key)) for key in here)
            stack.extend(here.values())
        elif isinstance(here, list):
            stack.extend(here)
        elif isinstance(here, str) or (isinstance(here, int) and not isinstance(here, bool)):
            yield "a value", here


def _is_text(data: bytes) -> bool:
    head = data[:4096]
    return b"\0" not in head and sum(byte < 9 for byte in head) == 0
