"""Files of links as people have them: any table, sheet, list or dump that names videos, every row accounted for.

Reads xlsx (Strict Open XML too), csv, tsv, txt, json and jsonl. Asks no server: a short link, whose id only TikTok
knows, is handed on as such. Handles in addresses are personal data: only `creators_in`, for the scrub, gives them.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.sources.links_in_text import NO_ADDRESS, NamedVideos, bare_ids_in, videos_in
from csmv.pipeline.sources.text_files import decoded, lines_of
from csmv.pipeline.sources.workbook import read_workbook

MAX_FILE_BYTES = 256 << 20

_LINK_NAMES = frozenset(
    {
        "url",
        "link",
        "href",
        "permalink",
        "address",
        "uri",
        "videourl",
        "videolink",
        "shareurl",
        "sharelink",
        "webvideourl",
        "tiktokurl",
        "tiktoklink",
        "posturl",
        "postlink",
        "webpageurl",
        "weburl",
        "itemurl",
        "pageurl",
    }
)
"""What columns and keys of links are called, in small letters and without spaces, `_` and `-`."""
_ID_NAMES = (
    "itemid",
    "awemeid",
    "videoid",
    "vid",
    "postid",
    "mediaid",
    "tiktokid",
    "idvideo",
    "ids",
    "videoids",
    "id",
    "video",
)
"""What columns and keys of videos' ids are called, those first that can mean nothing else."""
_ID_KEYS = frozenset(_ID_NAMES) - {"video", "ids", "videoids"}
_ACCOUNT_NAMES = frozenset(["uniqueid", "nickname", "secuid", "followercount", "followers", "signature"])
_VIDEO_NAMES = frozenset(["desc", "createtime", "videodescription", "video", "stats", "duration", "body", "caption"])
"""A record with the first and none of the second is an account's, and so is its id."""
_PROSE_NAMES = frozenset(
    {
        "caption",
        "desc",
        "description",
        "text",
        "body",
        "title",
        "comment",
        "comments",
        "content",
        "bio",
        "signature",
        "message",
        "note",
        "notes",
    }
)
_INNER = frozenset(
    {"video", "item", "itemstruct", "iteminfo", "aweme", "awemeinfo", "awemedetail", "post", "data", "node"}
)
"""Objects within a record that are the video, or hold it."""
_OF_OTHERS = frozenset(
    ("author", "user", "creator", "owner", "uploader", "music", "sound", "challenge", "challenges", "hashtags", "stats")
)
"""Objects within a record that are no video, whatever ids they have."""
_DEPTH = 4

ROUNDED = "a number that a program has rounded: its last digits are lost; export the column as text"
NOT_OF_VIDEOS = "a number, in a column that does not say that it holds ids of videos"
_ROUNDED = re.compile(r"[0-9](?:[.,][0-9]+)?[eE]\+?1[4-9]|[0-9]{16,20}[.,]0*")
_DIGITS_OF_A_SPREADSHEET = 15
_ROUNDED_ZEROS = 3
_STEP_OF_FLOATS = 1024
"""Between two whole numbers of 19 digits that a float can hold."""
_DELIMITERS = ",;\t|"
_LINES_LOOKED_AT = 20


@dataclass(frozen=True)
class Reject:
    """A row that gave no id. `row` counts from 1 as an editor shows it; the row's text is left out on purpose."""

    row: int
    reason: str
    sheet: str = ""


@dataclass(frozen=True)
class LinkFile:
    """What a file of links holds: `rows` with anything in them, `ids` in order of first appearance.

    `rows + more == len(ids) + repeats + len(short_links) + len(rejects)`: `more` are the further videos of rows that
    name several. `sheets` are the sheets of a workbook that named any.
    """

    rows: int
    ids: tuple[str, ...]
    repeats: int
    short_links: tuple[str, ...]
    rejects: tuple[Reject, ...]
    id_differs: int = 0
    """Rows whose id column names another video than their link; the link counts."""
    more: int = 0
    sheets: tuple[str, ...] = ()


@dataclass
class _Row:
    """A row: its cells, and the names of their columns where there are any."""

    number: int
    cells: list[str]
    names: Sequence[str] = ()
    sheet: str = ""
    loose: bool = False
    """A line of plain text, in which every number and link counts."""
    record: bool = False
    """It has names of its own, and no heading."""


def read_links(path: Path | str) -> LinkFile:
    """The links in a file, by its ending: .xlsx, .csv, .tsv, .txt, .json, .jsonl or .ndjson.

    In tables the columns that hold addresses of videos win, those first that are called so; captions count only where
    nothing else does. A bare number is an id where its column says so, or where there are no names. A first row without
    any is a heading.

    Raises:
        CsmvError: the file is not there, too large, or not what its ending says.
    """
    tally = _Tally()
    for table in _tables_of(Path(path)):
        for row, columns in _with_columns(table):
            tally.take(row, _named_in(row, columns))
    return tally.result()


def creators_in(path: Path | str) -> dict[str, str]:
    """Video id -> its creator's handle, as the addresses in a file of links have it. Personal: for `private/` only."""
    creators: dict[str, str] = {}
    for table in _tables_of(Path(path)):
        for row in table:
            for cell in row.cells:
                creators.update(videos_in(cell).handles)
    return creators


# ---------------------------------------------------------------------- rows


@dataclass
class _Tally:
    """What has been counted so far."""

    rows: int = 0
    ids: dict[str, None] = field(default_factory=dict)
    shorts: dict[str, None] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    repeats: int = 0
    differs: int = 0
    more: int = 0
    sheets: dict[str, None] = field(default_factory=dict)

    def take(self, row: _Row, found: "_Found") -> None:
        """Count a row."""
        self.rows += 1
        self.differs += found.differs
        named = found.videos
        if not named:
            self.rejects.append(Reject(row.number, named.why or NO_ADDRESS, row.sheet))
            return
        # A short link beside a link in one record is the same video's.
        shorts = named.short_links if row.loose or not named.ids else {}
        for seen, keys in ((self.ids, named.ids), (self.shorts, shorts)):
            for key in keys:
                self.repeats += key in seen
                seen.setdefault(key)
        self.more += len(named.ids) + len(shorts) - 1
        if row.sheet:
            self.sheets.setdefault(row.sheet)

    def result(self) -> LinkFile:
        """All of it."""
        parts = (self.rows, tuple(self.ids), self.repeats, tuple(self.shorts), tuple(self.rejects), self.differs)
        return LinkFile(*parts, more=self.more, sheets=tuple(self.sheets))


@dataclass
class _Found:
    """What a row names, and whether its id column says another video than its link."""

    videos: NamedVideos
    differs: bool = False


@dataclass(frozen=True)
class _Columns:
    """Which columns of a table, or keys of a record, hold what: links in the order in which they are asked; ids."""

    links: tuple[tuple[int, ...], ...]
    ids: tuple[int, ...]
    rounded: frozenset[int] = frozenset()


def _with_columns(rows: Iterable[_Row]) -> Iterator[tuple[_Row, _Columns]]:
    """The rows of a table without its heading, each with what its columns hold."""
    table = [row for row in rows if any(cell.strip() for cell in row.cells)]
    if table and table[0].number == 1 and not table[0].record and _is_heading(table[0]):
        names = [] if table[0].loose else [_plain_name(cell) for cell in table[0].cells]
        table = table[1:]
        for row in table:
            row.names = names
    if table and table[0].record:
        for row in table:  # records, each with keys of its own
            yield row, _columns_of([row], row.names, alone=False)
        return
    columns = _columns_of(table, table[0].names if table else ())
    for row in table:
        yield row, columns


def _is_heading(row: _Row) -> bool:
    return not any(
        "://" in cell or "tiktok.com" in cell.casefold() or bare_ids_in(cell) or _ROUNDED.fullmatch(cell.strip())
        for cell in row.cells
    )


def _plain_name(text: str) -> str:
    return re.sub(r"[\s_-]", "", text.casefold())


def _columns_of(rows: Sequence[_Row], names: Sequence[str], *, alone: bool = True) -> _Columns:
    """What the columns of rows hold. `alone`: where only one has anything in it, its numbers are ids."""
    width = max((len(row.cells) for row in rows), default=0)
    called, plain, prose = [], [], []
    for column in range(width):
        cells = [row.cells[column] for row in rows if column < len(row.cells) and row.cells[column].strip()]
        yielding = [cell for cell in cells if videos_in(cell)]
        name = names[column] if column < len(names) else ""
        if not yielding:
            continue
        if name in _LINK_NAMES:
            called.append(column)
        elif name not in _PROSE_NAMES and 2 * sum(map(_is_only_addresses, yielding)) > len(yielding):
            plain.append(column)
        else:
            prose.append(column)
    links = (tuple(called), tuple(plain)) if called or plain else (tuple(prose),)
    # A bare number among links is an id as they are.
    ids = tuple(dict.fromkeys([*_id_columns(rows, names, width, alone=alone), *called, *plain]))
    return _Columns(links, ids, frozenset(column for column in ids if _is_rounded(rows, column)))


def _id_columns(rows: Sequence[_Row], names: Sequence[str], width: int, *, alone: bool) -> tuple[int, ...]:
    """The columns in which a bare number is an id, in the order in which they are asked."""
    if not names:
        return tuple(range(width))
    of_account = _ACCOUNT_NAMES & {*names} and not _VIDEO_NAMES & {*names}
    by_name = [names.index(name) for name in _ID_NAMES if name in names and not (of_account and name == "id")]
    filled = {n for row in rows for n, cell in enumerate(row.cells) if cell.strip()}
    return tuple(by_name) or (tuple(filled) if alone and len(filled) == 1 else ())


def _is_only_addresses(cell: str) -> bool:
    return all("://" in word or "tiktok" in word.casefold() for word in re.split(r"[\s,;]+", cell) if word)


def _is_rounded(rows: Sequence[_Row], column: int) -> bool:
    """Whether every number of a column ends as programs leave it that keep fifteen digits, or floats."""
    cells = [row.cells[column] for row in rows if column < len(row.cells)]
    numbers = [number for cell in cells for number in bare_ids_in(cell) if len(number) > _DIGITS_OF_A_SPREADSHEET]
    return are_rounded(numbers)


def are_rounded(numbers: Sequence[str]) -> bool:
    """Whether numbers of more than fifteen digits have all lost their last ones; one alone may end in zeros."""
    if not numbers:
        return False
    if all(not number[_DIGITS_OF_A_SPREADSHEET:].strip("0") for number in numbers):
        return True
    if len(set(numbers)) < 2:
        return False
    return all(number.endswith("0" * _ROUNDED_ZEROS) for number in numbers) or all(
        int(number) % _STEP_OF_FLOATS == 0 for number in numbers
    )


def _named_in(row: _Row, columns: _Columns) -> _Found:
    """What a row names."""
    cells = dict(enumerate(row.cells))
    linked = NamedVideos()
    for tier in columns.links:
        for column in tier:
            _add(linked, videos_in(cells.get(column, "")))
        if linked:
            break
    if row.loose and linked:
        return _Found(linked)
    stated = {column: bare_ids_in(cells.get(column, "")) for column in columns.ids}
    if linked:
        numbers = {number for numbers in stated.values() for number in numbers}
        return _Found(linked, bool(linked.ids and numbers) and not numbers & linked.ids.keys())
    for column in columns.ids:
        if _ROUNDED.fullmatch(cells.get(column, "").strip()) or (stated[column] and column in columns.rounded):
            return _Found(NamedVideos(why=ROUNDED))
        if stated[column]:
            return _Found(NamedVideos(ids=dict.fromkeys(stated[column])))
    return _Found(NamedVideos(why=_why(row)))


def _why(row: _Row) -> str:
    """Why a row names no video: what its links are, or else that there is none."""
    reasons = [videos_in(cell).why for cell in row.cells if cell.strip()]
    telling = [reason for reason in reasons if reason not in ("", NO_ADDRESS)]
    if telling:
        return telling[0]
    numbers = any(bare_ids_in(cell) or _ROUNDED.fullmatch(cell.strip()) for cell in row.cells)
    return NOT_OF_VIDEOS if numbers else NO_ADDRESS


def _add(to: NamedVideos, more: NamedVideos) -> None:
    to.ids.update(more.ids)
    to.short_links.update(more.short_links)
    to.why = to.why or more.why


# ---------------------------------------------------------------------- files


def _tables_of(path: Path) -> Iterator[Iterable[_Row]]:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise CsmvError(f"'{path.name}': a file of links ends in {', '.join(_READERS)}; found '{path.suffix}'.")
    if not path.is_file():
        raise CsmvError(f"There is no file '{path}'; name the file that holds the links.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise CsmvError(f"'{path.name}' is larger than {MAX_FILE_BYTES >> 20} MiB: split it into smaller files.")
    return reader(path)


def _txt_tables(path: Path) -> Iterator[Iterable[_Row]]:
    yield [
        _Row(number, [line], loose=True)
        for number, line in enumerate(lines_of(decoded(path)), start=1)
        if not line.lstrip().startswith("#")
    ]


def _csv_tables(path: Path) -> Iterator[Iterable[_Row]]:
    text = decoded(path)
    yield _csv_rows(path, text, _delimiter_of(text))


def _delimiter_of(text: str) -> str:
    """What parts the cells: what the first line has most of, or what gives the most lines the same number of cells."""
    head = text[: text.find("\n")] if "\n" in text else text
    first = max(_DELIMITERS, key=head[:4096].count)
    if head.count(first):
        return first
    lines = lines_of(text)[:_LINES_LOOKED_AT]
    return max(_DELIMITERS, key=lambda one: sum(one in line for line in lines))


def _csv_rows(path: Path, text: str, delimiter: str) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(text.replace("\r\n", "\n").replace("\r", "\n")), delimiter=delimiter)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise CsmvError(f"'{path.name}' is not CSV from line {reader.line_num} on ({error}).") from None
        yield _Row(reader.line_num, row)


def _workbook_tables(path: Path) -> Iterator[Iterable[_Row]]:
    sheets: dict[str, list[_Row]] = {}
    for sheet, number, cells in read_workbook(path):
        sheets.setdefault(sheet, []).append(_Row(number, cells, sheet=sheet))
    yield from sheets.values()


def _jsonl_tables(path: Path) -> Iterator[Iterable[_Row]]:
    yield _jsonl_rows(decoded(path))


def _jsonl_rows(text: str) -> Iterator[_Row]:
    for number, line in enumerate(lines_of(text), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, parse_float=str)
            for record in list(_records_in(value)) or [None]:
                yield _record(number, record)
        except (ValueError, RecursionError):
            yield _Row(number, ["not JSON"], ["line"], record=True)


def _json_tables(path: Path) -> Iterator[Iterable[_Row]]:
    """One document: a list of records, or objects with lists of them somewhere within."""
    text = decoded(path)
    try:
        document = json.loads(text, parse_float=str)
    except (ValueError, RecursionError):
        yield _jsonl_rows(text)  # lines of JSON under the other name
        return
    yield [_record(number, value) for number, value in enumerate(_records_in(document), start=1)]


def _records_in(value: object, depth: int = 0) -> Iterator[object]:
    """The records in a document: in lists, in objects that wrap them, or by their ids."""
    if isinstance(value, list):
        for one in value:
            if isinstance(one, list) and depth < _DEPTH:
                yield from _records_in(one, depth + 1)
            else:
                yield one
    elif isinstance(value, dict):
        if value and all(bare_ids_in(str(key)) for key in value):
            yield from ({"video_id": key} for key in value)
            return
        inner = [
            one
            for key, one in value.items()
            if isinstance(one, list | dict) and _plain_name(str(key)) not in _OF_OTHERS
        ]
        own = [cell for one in value.values() if not isinstance(one, list) and (cell := _cell(one))]
        is_record = any(map(videos_in, own)) or not _ID_KEYS.isdisjoint(map(_plain_name, map(str, value)))
        if not inner or is_record or depth >= 2 * _DEPTH:
            yield value
            return
        for one in inner:
            yield from _records_in(one, depth + 1)
    else:
        yield value


def _record(number: int, value: object) -> _Row:
    """A record as a row: its keys are the names of its cells."""
    if not isinstance(value, dict):
        return _Row(number, [_cell(value) or "nothing"], ["videoid"], record=True)
    names, cells = [], []
    for name, cell in _cells_of(value):
        names.append(name)
        cells.append(cell)
    return _Row(number, cells or ["{}"], names or ["record"], record=True)


def _cells_of(record: dict[str, object], within: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    inner: list[tuple[str, dict[str, object]]] = []
    for key, value in record.items():
        name = _plain_name(str(key))
        if isinstance(value, dict):
            if name in _INNER and depth < _DEPTH:
                inner.append((name, value))
        elif cell := _cell(value):
            # The id of an object that is the video is the video's.
            yield ("videoid" if within and name == "id" else name), cell
    for name, value in inner:
        yield from _cells_of(value, name, depth + 1)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return "\n".join(str(one) for one in value if isinstance(one, str | int) and not isinstance(one, bool))
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


_READERS: dict[str, Callable[[Path], Iterator[Iterable[_Row]]]] = {
    ".xlsx": _workbook_tables,
    ".csv": _csv_tables,
    ".tsv": _csv_tables,
    ".txt": _txt_tables,
    ".json": _json_tables,
    ".jsonl": _jsonl_tables,
    ".ndjson": _jsonl_tables,
}
