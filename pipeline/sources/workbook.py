"""Rows of every sheet of an Excel workbook, Strict Open XML included, whatever the file may try to do.

The parsing happens in a child process with a ceiling on memory and time, so that a workbook made to exhaust the
machine ends in a sentence. Never runs macros, follows external links or evaluates formulas.
"""

import json
import posixpath
import re
import resource
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, iterparse

from csmv.pipeline.errors import CsmvError

MAX_UNPACKED_BYTES = 512 << 20
_CHILD_MEMORY_BYTES = 3 << 30
_CHILD_SECONDS = 120
_MAX_CELL_CHARACTERS = 8192


def read_workbook(path: Path) -> Iterator[tuple[str, int, list[str]]]:
    """(sheet, row number from 1, the row's cells as text) of every sheet; a link behind a cell's words is its text.

    Raises CsmvError if the file is no workbook, unpacks to more than 512 MiB, or needs more than 3 GiB or two
    minutes to read.
    """
    _refuse_bomb(path)
    command = [sys.executable, "-m", "csmv.pipeline.sources.workbook", str(path.resolve())]
    home = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=home) as child:
        assert child.stdout is not None
        for line in child.stdout:
            sheet, number, cells = json.loads(line)
            yield sheet, number, cells
        code = child.wait()
    if code == 2:
        raise CsmvError(f"'{path.name}' is not an Excel workbook that can be read: save it again as .xlsx.")
    if code != 0:
        raise CsmvError(f"'{path.name}' needs too much memory or time to read: save only its links, as .csv.")


def _refuse_bomb(path: Path) -> None:
    """Measure what the archive unpacks to; the sizes an archive states about itself are not believed."""
    try:
        with zipfile.ZipFile(path) as archive:
            left = MAX_UNPACKED_BYTES
            for member in archive.infolist():
                left -= _unpacked_size(path, member, left)
                if left < 0:
                    raise CsmvError(
                        f"'{path.name}' unpacks to more than {MAX_UNPACKED_BYTES >> 20} MiB: this is no list of links."
                    )
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError):
        raise CsmvError(f"'{path.name}' is not an Excel workbook that can be read: save it again as .xlsx.") from None


def _unpacked_size(path: Path, member: zipfile.ZipInfo, limit: int) -> int:
    if member.compress_type == zipfile.ZIP_STORED:
        return member.compress_size
    if member.compress_type != zipfile.ZIP_DEFLATED:
        raise zipfile.BadZipFile("a workbook is packed with deflate")
    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = file.read(30)
        file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
        unpacker = zlib.decompressobj(-15)
        size, left = 0, member.compress_size
        while left > 0 and not unpacker.eof and size <= limit:
            chunk = file.read(min(left, 1 << 16))
            if not chunk:
                break
            left -= len(chunk)
            while chunk and size <= limit:
                size += len(unpacker.decompress(chunk, 1 << 20))
                chunk = unpacker.unconsumed_tail
    return size


def _print_rows(path: str) -> int:
    """In the child: the rows of all sheets as JSON lines. 2 if it is no workbook, 3 if it is too much."""
    resource.setrlimit(resource.RLIMIT_AS, (_CHILD_MEMORY_BYTES, _CHILD_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CHILD_SECONDS, _CHILD_SECONDS))
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        workbook = CalamineWorkbook.from_path(path)
        behind = _links_behind(path)
        for name in workbook.sheet_names:
            sheet = workbook.get_sheet_by_name(name)
            hidden = behind.get(name, {})
            for number, row in enumerate(sheet.iter_rows(), start=1):
                cells = [_text(cell) for cell in row]
                for column, target in hidden.get(number, {}).items():
                    cells += [""] * (column + 1 - len(cells))
                    if "://" not in cells[column] and "tiktok" not in cells[column].lower():
                        cells[column] = target[:_MAX_CELL_CHARACTERS]
                if any(cells):
                    sys.stdout.write(json.dumps([name, number, cells]) + "\n")
    except CalamineError:
        return 2
    except (MemoryError, IndexError, ValueError):
        return 3
    return 0


def _text(cell: object) -> str:
    # Excel's numbers are floats: a whole one is written as such, and an id above 2**53 has lost digits already.
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 2**53 else f"{cell:e}"
    return str(cell)[:_MAX_CELL_CHARACTERS]


_CELL = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_FORMULA = re.compile(r"""HYPERLINK\(\s*"([^"]+)\"""", re.IGNORECASE)
_SHEETS = "xl/workbook.xml"


def _links_behind(path: str) -> dict[str, dict[int, dict[int, str]]]:
    """Sheet -> row -> column -> the address that a cell leads to, by a hyperlink or by a formula that makes one."""
    behind: dict[str, dict[int, dict[int, str]]] = {}
    with zipfile.ZipFile(path) as archive:
        targets = _relations(archive, _SHEETS)
        for sheet in _elements(archive, _SHEETS, "sheet"):
            place = targets.get(_attribute(sheet, "id"), "")
            links = _relations(archive, place)
            cells = behind.setdefault(_attribute(sheet, "name"), {})
            for element in _elements(archive, place, "c", "hyperlink"):
                where = _CELL.match(_attribute(element, "r") or _attribute(element, "ref"))
                formulas = [_FORMULA.search(inner.text or "") for inner in element if inner.tag.endswith("}f")]
                target = links.get(_attribute(element, "id"), "") or next((one[1] for one in formulas if one), "")
                if where and target:
                    cells.setdefault(int(where[2]), {})[_column(where[1])] = target
    return behind


def _relations(archive: zipfile.ZipFile, place: str) -> dict[str, str]:
    """Id -> target of what a part of the archive refers to; a part of it is named from the archive's root."""
    folder, _, name = place.rpartition("/")
    found: dict[str, str] = {}
    for one in _elements(archive, f"{folder}/_rels/{name}.rels", "Relationship"):
        target = _attribute(one, "Target")
        inside = _attribute(one, "TargetMode") != "External"
        found[_attribute(one, "Id")] = posixpath.normpath(posixpath.join("/", folder, target))[1:] if inside else target
    return found


def _elements(archive: zipfile.ZipFile, place: str, *names: str) -> Iterator[Element]:
    """The elements of these names in a part of the archive, whatever their namespace; none where it is not there."""
    if place not in archive.namelist():
        return
    try:
        with archive.open(place) as part:
            for _, element in iterparse(part):
                if element.tag.rpartition("}")[2] in names:
                    yield element
                    element.clear()
    except ParseError:
        return


def _attribute(element: Element, name: str) -> str:
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), "")


def _column(letters: str) -> int:
    """A column's number from 0, of its letters."""
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1


if __name__ == "__main__":
    sys.exit(_print_rows(sys.argv[1]))
