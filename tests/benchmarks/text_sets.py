"""Reads folders of text as people have them: lines, CSV, TSV, JSON, JSONL and Parquet, plain or gzipped, any encoding.

A folder is one set of texts. A file `about.json` in it says what it is; all of its keys may be left out:

    {"name": "...", "language": "...", "source": "...", "licence": "...",
     "column": "text", "encoding": "cp1251", "files": "*.csv", "mask": "@user @url"}

`mask` is what the makers of a set put in place of names and links, with blanks between: it is told apart from what was
found. A folder with sets below it, each with an `about.json`, is as many sets.
"""

import codecs
import csv
import gzip
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from csmv.pipeline.errors import CsmvError

ABOUT = "about.json"
_KEYS = ("name", "language", "source", "licence", "column", "encoding", "files", "mask")
_LINES = (".txt", ".text", ".lines", "")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LOOKED_AT = 500
"""Rows that are looked at to guess which column holds the text."""
_DAMAGED = 0.001
"""Share of characters that may be broken in a file that is still read as UTF-8."""


@dataclass(frozen=True)
class TextSet:
    """Some files of text, and what is known of them."""

    name: str
    files: tuple[Path, ...]
    about: dict[str, str] = field(default_factory=dict)
    skipped: tuple[Path, ...] = ()
    """Files that are of no kind that is read here."""

    def texts(self, column: str | None = None, encoding: str | None = None) -> Iterator[str]:
        """Every text that is not blank, file by file.

        Args:
            column: of tables and records, by its name or its number from 1; guessed if neither this nor `about` has it.
            encoding: of the files; found out if neither this nor `about` has it.

        Raises:
            CsmvError: a file can't be read so, or has no such column.
        """
        for file in self.files:
            for text in texts_of(file, column or self.about.get("column"), encoding or self.about.get("encoding")):
                if text.strip():
                    yield text


def text_sets(paths: Sequence[Path]) -> list[TextSet]:
    """The sets of text in these folders and files; a file is a set of its own.

    Raises:
        CsmvError: a path is not there, holds no text, or its `about.json` is not as it should be.
    """
    sets = []
    for path in paths:
        if path.is_file():
            sets.append(TextSet(path.name, (path,)))
            continue
        if not path.is_dir():
            raise CsmvError(f"'{path}' is neither a folder nor a file: name a folder with text in it.")
        homes = sorted({about.parent for about in path.rglob(ABOUT)}) or [path]
        sets += [_set_in(home) for home in homes]
    return sets


def _set_in(folder: Path) -> TextSet:
    about = _about(folder)
    everything = sorted(
        file
        for file in folder.rglob(about.pop("files", "*"))
        if file.is_file() and file.name != ABOUT and not any(part.startswith(".") for part in file.parts[1:])
    )
    files = tuple(file for file in everything if _form(file) is not None)
    if not files:
        raise CsmvError(
            f"'{folder}' holds no text: expected .txt, .csv, .tsv, .json, .jsonl or .parquet, or .gz of it."
        )
    return TextSet(about.pop("name", folder.name), files, about, tuple(set(everything) - set(files)))


def _about(folder: Path) -> dict[str, str]:
    file = folder / ABOUT
    if not file.is_file():
        return {}
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        about = None
    if not isinstance(about, dict) or not all(key in _KEYS and isinstance(about[key], str) for key in about):
        raise CsmvError(f"'{file}' should be a JSON object of texts, with keys out of {', '.join(_KEYS)}.")
    return about


def _form(file: Path) -> str | None:
    """How a file's name says that it is to be read: lines, csv, tsv, jsonl, json, parquet; None if it isn't."""
    name = file.name.lower().removesuffix(".gz")
    suffix = Path(name).suffix
    if suffix in _LINES:
        return "lines"
    forms = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json"}
    return forms.get(suffix, "parquet" if suffix in (".parquet", ".pq") else None)


def texts_of(file: Path, column: str | None = None, encoding: str | None = None) -> Iterator[str]:
    """The texts of one file, as `TextSet.texts` gives them."""
    data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    form = _form(file)
    if form == "parquet":
        yield from _parquet(data, column, file)
        return
    text = decoded(data, encoding, file)
    if form in ("csv", "tsv"):
        yield from _table(text, form, column, file)
    elif form in ("jsonl", "json"):
        yield from _records(text, form, column, file)
    else:
        # Not splitlines(), to which a form feed and U+2028 in a text end a line.
        yield from (line.removesuffix("\r") for line in text.split("\n"))


def decoded(data: bytes, encoding: str | None, file: Path) -> str:
    """These bytes as text: by the encoding given, their byte order mark, as UTF-8, or by what they look like.

    Raises:
        CsmvError: they aren't text of that encoding, or look like none.
    """
    if encoding is None:
        encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is not None:
        try:
            return data.decode(encoding)
        except (UnicodeError, LookupError):
            raise CsmvError(f"'{file}' can't be read as {encoding}: name its encoding with --encoding.") from None
    text = data.decode("utf-8", "replace")
    if text.count("�") <= _DAMAGED * len(text):
        return text
    from charset_normalizer import from_bytes

    best = from_bytes(data[: 1 << 18]).best()
    if best is None:
        raise CsmvError(f"'{file}' looks like text of no encoding: name it with --encoding.")
    return data.decode(best.encoding, "replace")


# ---------------------------------------------------------------------- tables


def _table(text: str, form: str, column: str | None, file: Path) -> Iterator[str]:
    csv.field_size_limit(1 << 30)
    mark = "\t" if form == "tsv" else _delimiter(text)
    # Tables made by programs of the field seldom quote what is parted by tabs, and hold stray quotation marks.
    plain = mark == "\t" and len({line.count("\t") for line in text.split("\n") if line.strip()}) == 1
    quoting = csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=mark, quoting=quoting) if row]
    if not rows:
        return
    number, header = _column(rows, column, file)
    yield from (row[number] for row in rows[header:] if len(row) > number)


def _delimiter(text: str) -> str:
    """What parts the cells: the sign that most lines have the same number of, more than none."""
    lines = [line for line in text[: 1 << 16].split("\n")[:100] if line.strip()]
    share = {}
    for mark in ",\t;|":
        number, lines_with = Counter(line.count(mark) for line in lines).most_common(1)[0] if lines else (0, 0)
        share[mark] = lines_with if number else sum(mark in line for line in lines) / 2
    return max(share, key=lambda mark: share[mark]) if any(share.values()) else ","


def _column(rows: list[list[str]], column: str | None, file: Path) -> tuple[int, int]:
    """Which column holds the text, and how many rows stand above it."""
    names = [name.strip().lstrip("\ufeff") for name in rows[0]]
    if column is not None and column in names:
        return names.index(column), 1
    if column is not None and not column.isdigit():
        raise CsmvError(f"'{file}' has no column '{column}'; it has {', '.join(names)[:200]}. Name one with --column.")
    width = max(map(len, rows[:_LOOKED_AT]))
    if column is not None and not 1 <= int(column) <= width:
        raise CsmvError(f"'{file}' has {width} columns, and no column {column}.")
    number = int(column) - 1 if column is not None else _most_text(rows, width)
    return number, int(_is_title(rows, number))


def _most_text(rows: list[list[str]], width: int) -> int:
    sizes = [
        sum(_letters(row[number]) for row in rows[1 : _LOOKED_AT + 1] if len(row) > number) for number in range(width)
    ]
    return sizes.index(max(sizes))


def _letters(text: str) -> int:
    return 0 if re.match(r"https?://\S+$", text) else sum(char.isalpha() for char in text)


def _is_title(rows: list[list[str]], number: int) -> bool:
    """Whether the first row names the columns: a word above cells that are longer, or no number above numbers."""
    title = rows[0][number] if len(rows[0]) > number else ""
    below = [row[number] for row in rows[1:_LOOKED_AT] if len(row) > number]
    if re.fullmatch(r"[\w.-]{1,30}", title.strip()) and below and sum(map(len, below)) > 2 * len(title) * len(below):
        return True
    numbers = [at for at in range(len(rows[0])) if all(len(row) > at and _is_number(row[at]) for row in rows[1:20])]
    return len(rows) > 1 and any(not _is_number(rows[0][at]) for at in numbers)


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"-?\d+(?:\.\d+)?", cell.strip()) is not None


# ---------------------------------------------------------------------- records


def _records(text: str, form: str, column: str | None, file: Path) -> Iterator[str]:
    try:
        if form == "json":
            records = json.loads(text)
            records = list(records.values()) if isinstance(records, dict) else records
        else:
            records = [json.loads(line) for line in text.split("\n") if line.strip()]
    except (ValueError, RecursionError):
        raise CsmvError(f"'{file}' is not {form.upper()}.") from None
    if all(isinstance(record, str) for record in records):
        yield from records
        return
    rows = [record for record in records if isinstance(record, dict)]
    name = column or _fullest(rows)
    if rows and not any(isinstance(_at(row, name), str) for row in rows):
        raise CsmvError(f"No record of '{file}' has text in a field '{name}'. Name one with --column.")
    yield from (value for row in rows if isinstance(value := _at(row, name), str))


def _at(record: Any, name: str) -> Any:
    """The value at a name, or at names joined by dots."""
    if not isinstance(record, dict) or name in record:
        return record.get(name) if isinstance(record, dict) else None
    first, _, rest = name.partition(".")
    return _at(record.get(first), rest) if rest else None


def _fullest(rows: list[dict[str, Any]]) -> str:
    sizes = Counter[str]()
    for row in rows[:_LOOKED_AT]:
        sizes.update({name: _letters(value) for name, value in row.items() if isinstance(value, str)})
    return sizes.most_common(1)[0][0] if sizes else "text"


def _parquet(data: bytes, column: str | None, file: Path) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(data))
    except pa.ArrowException:
        raise CsmvError(f"'{file}' is no Parquet file.") from None
    texts = [one.name for one in table.schema if pa.types.is_string(one.type) or pa.types.is_large_string(one.type)]
    if not texts or (column is not None and column not in texts):
        raise CsmvError(f"'{file}' has no column of text '{column or ''}'; it has {', '.join(texts)}.")
    head = table.slice(0, _LOOKED_AT)
    name = column or max(texts, key=lambda one: sum(_letters(text or "") for text in head[one].to_pylist()))
    yield from (text for text in table[name].to_pylist() if text is not None)
