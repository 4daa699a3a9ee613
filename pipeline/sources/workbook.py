"""Rows of the first sheet of an Excel workbook, Strict Open XML included, whatever the file may try to do.

The parsing happens in a child process with a ceiling on memory and time, so that a workbook made to exhaust the
machine ends in a sentence. Never runs macros, follows external links or evaluates formulas.
"""

import json
import resource
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from csmv.pipeline.errors import CsmvError

MAX_UNPACKED_BYTES = 512 << 20
_CHILD_MEMORY_BYTES = 3 << 30
_CHILD_SECONDS = 120
_MAX_CELL_CHARACTERS = 8192


def read_workbook(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(row number from 1, the row's cells as text) of the first sheet.

    Raises CsmvError if the file is no workbook, unpacks to more than 512 MiB, or needs more than 3 GiB or two
    minutes to read.
    """
    _refuse_bomb(path)
    command = [sys.executable, "-m", "csmv.pipeline.sources.workbook", str(path.resolve())]
    home = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=home) as child:
        assert child.stdout is not None
        for line in child.stdout:
            number, cells = json.loads(line)
            yield number, cells
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
    """In the child: the rows of the first sheet as JSON lines. 2 if it is no workbook, 3 if it is too much."""
    resource.setrlimit(resource.RLIMIT_AS, (_CHILD_MEMORY_BYTES, _CHILD_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CHILD_SECONDS, _CHILD_SECONDS))
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        sheet = CalamineWorkbook.from_path(path).get_sheet_by_index(0)
        for number, row in enumerate(sheet.iter_rows(), start=1):
            cells = [_text(cell) for cell in row]
            if any(cells):
                sys.stdout.write(json.dumps([number, cells]) + "\n")
    except CalamineError:
        return 2
    except (MemoryError, IndexError, ValueError):
        return 3
    return 0


def _text(cell: object) -> str:
    # Excel's numbers are floats: a whole one is written as such, and an id above 2**53 has lost digits already.
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 2**53 else ""
    return str(cell)[:_MAX_CELL_CHARACTERS]


if __name__ == "__main__":
    sys.exit(_print_rows(sys.argv[1]))
