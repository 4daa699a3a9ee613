"""Searches everything a root would publish for personal data. Says where and of what kind, never what.

Every file outside `private/` is read, whatever it is (see `csmv.pipeline.privacy.contents`), and looked through for
each name and id that the private part knows, and for whatever the recognisers of the root's own policy find. A file
that can't be opened whole is named, so that nobody takes silence for an answer.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from csmv.pipeline.config import read_config
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.known_names import KnownNames
from csmv.pipeline.landed_names import known_names
from csmv.pipeline.policy_words import words_of
from csmv.pipeline.privacy.contents import read_pieces
from csmv.pipeline.privacy.encodings import is_coded, readings
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.privacy.names_in_ids import NamesInIds
from csmv.pipeline.privacy.pieces import Look, Piece, Unread
from csmv.pipeline.processes import Processes, default_jobs, may_start_processes
from csmv.pipeline.progress import track
from csmv.pipeline.scrub.gazetteer import Gazetteer
from csmv.pipeline.scrub.policy import Kind, ScrubPolicy
from csmv.pipeline.scrub.scrubber import Scrubber, Span
from csmv.pipeline.scrub.spared import AllowList
from csmv.pipeline.scrub.word_lists import WordLists
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
    r"[cuv]?[0-9a-f]{32,128}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[\w.-]*\d{15,20}(?:\.mp4)?"
    r"|(?:19|20)\d\d-\d\d-\d\d(?:[T ][\d:.]{5,15}(?:Z|[+-][\d:]{4,6})?)?",
    re.I,
)
_UUID = re.compile(
    r"(?<![0-9a-f])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9a-f])|\.csmv-[0-9a-f]{8}-\d+-[0-9a-f]{8}\.tmp\b",
    re.I,
)
"""And the name of a file of ours that is being written."""
_PSEUDONYM = re.compile(r"[cu][0-9a-f]{32}")
"""By chance, the digits of some could be read as an account's number."""
_LINKED_DATA = frozenset(
    (
        *("@base", "@container", "@context", "@graph", "@id", "@import", "@included", "@index", "@json", "@language"),
        *("@list", "@nest", "@none", "@prefix", "@propagate", "@protected", "@reverse", "@set", "@type", "@value"),
        *("@version", "@vocab"),
        *("cr:Field", "cr:FileObject", "cr:FileSet", "cr:RecordSet", "cr:arrayShape", "cr:citeAs", "cr:column"),
        *("cr:data", "cr:dataType", "cr:equivalentProperty", "cr:examples", "cr:extract", "cr:field", "cr:fileObject"),
        *("cr:fileProperty", "cr:fileSet", "cr:format", "cr:includes", "cr:isArray", "cr:isLiveDataset", "cr:jsonPath"),
        *("cr:key", "cr:md5", "cr:parentField", "cr:path", "cr:recordSet", "cr:references", "cr:regex", "cr:repeated"),
        *("cr:replace", "cr:samplingRate", "cr:separator", "cr:source", "cr:subField", "cr:transform"),
        *("sc:Boolean", "sc:Dataset", "sc:Date", "sc:Float", "sc:Integer", "sc:Text"),
    )
)
"""Keys of JSON-LD and terms of Croissant and schema.org, which are neither mentions nor credits."""
_ID = re.compile(r"[\w.-]{8,}")
_BARE_ID = re.compile(r"[cuv]?[0-9a-f]{32,128}|\d{1,20}")
"""In which nothing but a known id can be."""
_JOINED = re.compile(r"[@+./:]")
"""One of these is in whatever of a person an id's column could hold by itself."""
_DIGIT = re.compile(r"\d")
_DIGITS = re.compile(r"\d{8,}")
_ID_JOINTS = "._-"
_SHORTEST_ID = 8
_SHORTEST_IN_BYTES = 6
_WORTH_IT = 8 << 20
"""Bytes of files from which processes are started to search them: each takes a second or two to begin."""
_BY_SHAPE = "HandleRecognizer/looks like a handle"
"""The rule for `name: some_name`, which in logs and pages is how programs write their variables: `id=work_pool_id`."""
_STRUCTURED_COLUMNS = frozenset(("comment_id", "video_id", "reply_to", "media_sha256", "key", "reason", "source"))
_TEXT_COLUMNS = frozenset(("text", "description", "hashtags"))
_PSEUDONYM_COLUMNS = frozenset(("author", "creator"))
_ODD_COLUMNS = frozenset(("url",))
"""Of which it is told what they may hold, not what they may not."""
_READ_BY_RECOGNISERS = (Look.CELL, Look.PROSE, Look.LABEL)
_Place = tuple[str, str, str]
"""File, place in it, kind."""
_File = tuple[str | Path, str, str]
"""A file of the root, or one outside; what it is called in findings; the part of its name that is searched."""


@dataclass
class _FileResult:
    """Of one file: how many values it has, what was found where in it, and what of it could not be searched."""

    values: int = 0
    places: Counter[_Place] = field(default_factory=Counter)
    unread: set[Unread] = field(default_factory=set)


@dataclass(frozen=True)
class Hit:
    """Something personal outside `private/`: the file, the place in it, the kind, and how often it is there."""

    file: str
    place: str
    kind: str
    count: int


@dataclass(frozen=True)
class Audit:
    """What was read and what was found in it; `unread` is what could not be searched, and why."""

    files: int
    values: int
    known: int
    hits: tuple[Hit, ...]
    unread: tuple[Unread, ...] = ()


def audit(store: Store, also: Iterable[Path] = (), jobs: int | None = None, *, leave_out: str | None = None) -> Audit:
    """Search a root, and the files and folders in `also` (logs, a Prefect database), for personal data.

    Time grows with the size of the files, not with the number of names known.

    Args:
        store: The root.
        also: What is searched besides; of a database, the log beside it too.
        jobs: Processes that search; left out, one for each core, or what CSMV_JOBS says. The result is the same. A
            small root is searched in this process.
        leave_out: What files of the root begin with that are not searched, because something new takes their place.

    Raises:
        CsmvError: one of `also` is not there.
    """
    known, policy = known_names(store), read_config(store).scrub
    words = words_of(store, policy)
    sizes: dict[_File, int] = {
        (name, name, name): listed.size
        for name, listed in store.listing().items()
        if not name.startswith(PRIVATE) and (leave_out is None or not name.startswith(leave_out))
    }
    sizes |= {file: Path(file[0]).stat().st_size for file in _files_below(also)}
    # The largest first, so that no process is left with one of them at the end.
    files = sorted(sizes, key=lambda file: (-sizes[file], file[1]))
    jobs = (
        (default_jobs() if jobs is None else jobs) if sum(sizes.values()) > _WORTH_IT and may_start_processes() else 1
    )
    total = _FileResult()
    with ExitStack() as stack:
        tick = stack.enter_context(track("audit", len(files)))
        results: Iterable[_FileResult]
        if jobs == 1:
            search = _Search(known, policy, Forgotten.of(store), words)
            results = (_searched(search, store, file) for file in files)
        else:
            processes = stack.enter_context(Processes(jobs, _set_up, store.root, known, policy, words))
            results = (result for _, result in processes.map(_searched_here, files))
        for result in results:
            total.values += result.values
            total.places.update(result.places)
            total.unread |= result.unread
            tick(1)
    hits = tuple(Hit(*place, count) for place, count in sorted(total.places.items()))
    return Audit(len(files), total.values, len(known.names) + len(known.ids), hits, tuple(_sorted(total.unread)))


_search: "tuple[_Search, Store]"
"""Of a process that searches."""


def _set_up(root: str, known: KnownNames, policy: ScrubPolicy, words: WordLists) -> None:
    global _search
    store = Store.open(root)
    _search = _Search(known, policy, Forgotten.of(store), words), store


def _searched_here(file: _File) -> _FileResult:
    return _searched(*_search, file)


def _searched(search: "_Search", store: Store, file: _File) -> _FileResult:
    """What is in a file."""
    place, name, path = file

    def beside(suffix: str) -> bytes | None:
        if isinstance(place, str):
            return store.read_if_there(place + suffix)
        other = place.with_name(place.name + suffix)
        return other.read_bytes() if other.is_file() else None

    search.file(name, path, store.read_file(place) if isinstance(place, str) else place.read_bytes(), beside)
    return search.results()


def files_holding(
    store: Store, gone: Forgotten, names: Iterable[str], also: Iterable[Path] = ()
) -> tuple[list[str], list[Unread]]:
    """Which of these files of a root, and of the files and folders in `also`, hold a name or id that is forgotten.

    Returns:
        Those files, and what could not be searched.

    Raises:
        CsmvError: one of `also` is not there.
    """
    search = _Search(KnownNames(), ScrubPolicy(), gone, WordLists())
    holding: set[str] = set()
    unread: set[Unread] = set()
    for file in [*((name, name, name) for name in names), *_files_below(also)]:
        result = _searched(search, store, file)
        holding |= {name for name, _, kind in result.places if kind in (KNOWN_NAME, KNOWN_ID)}
        unread |= result.unread
    return sorted(holding), _sorted(unread)


def _sorted(unread: Iterable[Unread]) -> list[Unread]:
    return sorted(unread, key=lambda one: (one.file, one.why))


def _files_below(also: Iterable[Path]) -> list[_File]:
    files: list[_File] = []
    for given in also:
        if not given.exists():
            raise CsmvError(f"'{given}' was to be searched too and is not there.")
        inner = sorted(path for path in given.rglob("*") if path.is_file()) if given.is_dir() else [given]
        # The folders above the one given are not looked at: they may be the user's own.
        files += [(path, str(path), path.relative_to(given.parent).as_posix()) for path in inner]
    return files


class _Search:
    """Everything that is looked for, and what has been found."""

    def __init__(self, known: KnownNames, policy: ScrubPolicy, gone: Forgotten, words: WordLists) -> None:
        self._gone = gone
        self._names = AllowList(words.allow).without(known.names)
        self._names_in_ids = NamesInIds(self._names, gone.traces)
        self._ids = known.ids
        self._ids_have_digits = all(_DIGIT.search(one) for one in known.ids)
        self._scrubber = Scrubber(policy.counting(), words=words)
        # Most texts hold nothing, and one look for everything at once says so.
        self._all_at_once = Scrubber(policy.counting(), names=self._names, words=words)
        self._gazetteer = self._all_at_once.gazetteer or Gazetteer(self._names)
        self._looks_for_names = not self._names or self._all_at_once.gazetteer is not None
        self._found = _FileResult()

    @cached_property
    def _long_names(self) -> Gazetteer:
        """Made for the first binary file: most processes meet none, and there may be millions of names."""
        return Gazetteer(name for name in self._names if len(name) >= _SHORTEST_IN_BYTES)

    def results(self) -> "_FileResult":
        """What was searched and found since this was last asked."""
        results, self._found = self._found, _FileResult()
        return results

    def file(self, name: str, path: str, data: bytes, beside: Callable[[str], bytes | None] = lambda _: None) -> None:
        """Search one file, by what it is.

        Args:
            name: What it is called in findings.
            path: The part of its name that is searched.
            data: Its bytes.
            beside: Reads the file whose name is this one's and something more.
        """
        self._piece(Piece(name, "its name", path, Look.LABEL))
        for piece in read_pieces(name, data, self._is_personal, beside):
            if isinstance(piece, Unread):
                self._found.unread.add(piece)
            elif self._is_clean(piece):
                self._found.values += piece.times
            else:
                self._piece(piece)

    def _is_personal(self, text: str) -> bool:
        return bool(self._in(Piece("", "", text, Look.LABEL)))

    def _is_clean(self, piece: Piece) -> bool:
        """Whether a text certainly holds nothing; False says nothing."""
        text = piece.text
        if piece.column not in _TEXT_COLUMNS and piece.look in _READ_BY_RECOGNISERS and _BARE_ID.fullmatch(text):
            return not self._ids_in(text) and not (self._gone.digest and self._gone.traces.count(text))
        return (
            piece.look in _READ_BY_RECOGNISERS
            and self._looks_for_names
            and not is_coded(text)
            and piece.column not in _ODD_COLUMNS
            and not self._may_be_found(piece)
            and not (self._gone.digest and self._gone.traces.count(text))
            and not self._ids_in(text)
            and not (piece.column not in _TEXT_COLUMNS and self._names_in_ids.count(text))
        )

    def _may_be_found(self, piece: Piece) -> bool:
        if piece.column in _STRUCTURED_COLUMNS and _JOINED.search(piece.text) is None:
            return self._gazetteer.count(piece.text) > 0
        return self._all_at_once.holds(piece.text)

    def _piece(self, piece: Piece) -> None:
        self._found.values += piece.times
        for kind, count in self._in(piece).items():
            self._found.places[piece.file, piece.place, kind] += count * piece.times

    def _in(self, piece: Piece) -> Counter[str]:
        """How often what is in a text, in the reading that shows the most of it."""
        counts = Counter[str]()
        for text in readings(piece.text):
            counts |= self._known(piece, text)
            counts |= self._recognized(piece, text)
        return counts

    # ------------------------------------------------------------------ what is known

    def _known(self, piece: Piece, text: str) -> Counter[str]:
        in_bytes = piece.look is Look.BYTES
        names = (self._long_names if in_bytes else self._gazetteer).count(text)
        names += self._gone.traces.count(text, _SHORTEST_IN_BYTES if in_bytes else 0)
        # A text of a table is held to what the scrub takes out of one.
        if piece.column not in _TEXT_COLUMNS:
            shortest = {"shortest": _SHORTEST_IN_BYTES} if in_bytes else {}
            names = max(names, self._names_in_ids.count(text, **shortest))
        return +Counter({KNOWN_NAME: names, KNOWN_ID: self._ids_in(text)})

    def _ids_in(self, text: str) -> int:
        if not self._ids and not self._gone.digest:
            return 0
        if self._ids_have_digits and not self._gone.digest and _DIGIT.search(text) is None:
            return 0
        return sum(self._is_id(word) for word in _ID.findall(text))

    def _is_id(self, word: str) -> bool:
        if word in self._ids or (self._gone.digest and self._gone.is_forgotten_id(word)):
            return True
        if word.isalpha():
            return False
        parts = set(_DIGITS.findall(word))
        for joint in _ID_JOINTS:
            if joint in word:
                parts.update(part for part in word.split(joint) if len(part) >= _SHORTEST_ID)
        return any(part in self._ids or self._gone.is_forgotten_id(part) for part in parts)

    # ------------------------------------------------------------------ what recognisers find

    def _recognized(self, piece: Piece, text: str) -> Counter[str]:
        if piece.look in (Look.BARE, Look.BYTES):
            return Counter()
        if piece.look is Look.CELL:
            return self._in_cell(piece.column, text)
        if _STRUCTURAL.fullmatch(text) or text in _LINKED_DATA:
            return Counter()
        spans = self._find(text)
        if piece.look is Look.LABEL:
            spans = tuple(span for span in spans if _is_plain_in_label(span, text))
        spans = tuple(span for span in spans if span.recognizer != _BY_SHAPE)
        # Documents of ours link to licences and papers; only links to persons count there.
        return Counter(span.kind for span in spans if span.kind != Kind.URL or _leads_to_person(span, text))

    def _find(self, text: str) -> tuple[Span, ...]:
        """What the recognisers find, but for what stands in a UUID: some could read its digits as a number."""
        spans = self._scrubber.find([text])[0]
        uuids = [match.span() for match in _UUID.finditer(text)] if spans else []
        return tuple(span for span in spans if not any(a <= span.start and span.end <= b for a, b in uuids))

    def _in_cell(self, column: str, text: str) -> Counter[str]:
        if column == "url":
            return Counter() if _CANONICAL.fullmatch(text) else Counter({Kind.URL.value: 1})
        if column in _PSEUDONYM_COLUMNS and _PSEUDONYM.fullmatch(text):
            return Counter()
        if column in _STRUCTURED_COLUMNS and _JOINED.search(text) is None:
            return Counter()
        spans = self._find(text)
        if column in _STRUCTURED_COLUMNS:
            spans = tuple(span for span in spans if _is_plain_in_label(span, text))
        elif column not in _TEXT_COLUMNS and _STRUCTURAL.fullmatch(text):
            return Counter()
        return Counter(span.kind for span in spans)


def _is_plain_in_label(span: Span, text: str) -> bool:
    """Whether a finding in an id, a key or a name counts: numbers there are seldom anybody's."""
    words = text[span.start : span.end]
    if span.kind == Kind.PHONE:
        return words.startswith("+")
    return span.kind in (Kind.EMAIL, Kind.URL) or (span.kind == Kind.USERNAME and "@" in words)


def _leads_to_person(span: Span, text: str) -> bool:
    link = text[span.start : span.end]
    return _PROFILE.search(link) is not None and _CANONICAL.match(link) is None
