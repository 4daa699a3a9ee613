"""Links to videos: every address form of TikTok reduced to the numeric id, one by one or from a file.

Reads xlsx (Strict Open XML too), csv, txt and jsonl. Asks no server: a short link, whose id only TikTok knows, is
handed on as such. Handles in addresses are personal data: only `creators_in`, for the scrub, gives them.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.sources.workbook import read_workbook

MAX_FILE_BYTES = 256 << 20
MAX_LINK_CHARACTERS = 4096

_ID = r"(?P<id>[0-9]{15,20})"
_SITE = frozenset({"tiktok.com", "www.tiktok.com", "m.tiktok.com", "tiktokv.com", "www.tiktokv.com", "m.tiktokv.com"})
_SHORTENERS = frozenset({"vm.tiktok.com", "vt.tiktok.com"})
_PATHS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"/@[^/]*/(?:video|photo)/{_ID}",
        rf"/share/video/{_ID}",
        rf"/embed(?:/v[0-9])?/{_ID}",
        rf"/player/v[0-9]/{_ID}",
        rf"/v/{_ID}(?:\.html)?",
    )
)
_CREATORS_PATH = re.compile(rf"/@(?P<handle>[^/]+)/(?:video|photo)/{_ID}")
_SHORT_PATH = re.compile(r"/[0-9A-Za-z_-]{4,32}")
_BARE_ID = re.compile(_ID)
_LINK_KEYS = ("url", "link", "video_url", "share_url", "webvideourl", "video_id", "id")


@dataclass(frozen=True)
class Reject:
    """A row that gave no id. `row` counts from 1 as an editor shows it; the row's text is left out on purpose."""

    row: int
    reason: str


@dataclass(frozen=True)
class LinkFile:
    """What a file of links holds: `rows` with anything in them, `ids` in order of first appearance.

    `rows == len(ids) + repeats + len(short_links) + len(rejects)`.
    """

    rows: int
    ids: tuple[str, ...]
    repeats: int
    short_links: tuple[str, ...]
    rejects: tuple[Reject, ...]
    id_differs: int = 0
    """Rows whose id column names another video than their link; the link counts."""


def video_id_of(url: str) -> str | None:
    """The numeric id of the video an address points to, or None where the address does not say it.

    Understands every form that carries the id (with or without scheme, `www.`, handle and query) and a bare id of 15
    to 20 digits. Any other host, scheme, port or user part gives None.
    """
    text = url.strip()
    if len(text) > MAX_LINK_CHARACTERS:
        return None
    if _BARE_ID.fullmatch(text):
        return text
    place = _host_and_path(text)
    if place is None or place[0] not in _SITE:
        return None
    for pattern in _PATHS:
        if match := pattern.fullmatch(place[1]):
            return match["id"]
    return None


def short_link_of(url: str) -> str | None:
    """The address of a short link in its plain form (https, no query), or None if `url` is not one."""
    place = _host_and_path(url.strip()[:MAX_LINK_CHARACTERS])
    if place is None:
        return None
    host, path = place
    if host in _SHORTENERS and _SHORT_PATH.fullmatch(path):
        return f"https://{host}{path}/"
    if host in _SITE and path.startswith("/t/") and _SHORT_PATH.fullmatch(path[2:]):
        return f"https://www.tiktok.com{path}/"
    return None


def canonical_url(video_id: str) -> str:
    """The address of a video without its creator's handle."""
    return f"https://www.tiktok.com/@/video/{video_id}"


def _host_and_path(text: str) -> tuple[str, str] | None:
    if "://" not in text:
        text = f"https://{text.removeprefix('//')}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or parts.username is not None or port not in (None, 80, 443):
        return None
    path = unquote(parts.path).rstrip("/")
    if any(ord(character) < 32 for character in path):
        return None
    return (parts.hostname or "").rstrip("."), path


def read_links(path: Path | str) -> LinkFile:
    """The links in a file, by its ending: .xlsx, .csv, .tsv, .txt or .jsonl.

    In tables the first cell of a row that is a link or an id counts; a first row with neither is a heading. Raises
    CsmvError if the file is not there, too large, or not what its ending says.
    """
    return _collect(_rows_of(Path(path)))


def creators_in(path: Path | str) -> dict[str, str]:
    """Video id -> its creator's handle, as the addresses in a file of links have it. Personal: for `private/` only."""
    creators: dict[str, str] = {}
    for _number, cells in _rows_of(Path(path)):
        for cell in cells:
            place = _host_and_path(cell.strip()[:MAX_LINK_CHARACTERS])
            named = _CREATORS_PATH.fullmatch(place[1]) if place and place[0] in _SITE else None
            if named:
                creators[named["id"]] = named["handle"]
    return creators


def _rows_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise CsmvError(f"'{path.name}': a file of links ends in {', '.join(_READERS)}; found '{path.suffix}'.")
    if not path.is_file():
        raise CsmvError(f"There is no file '{path}'; name the file that holds the links.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise CsmvError(f"'{path.name}' is larger than {MAX_FILE_BYTES >> 20} MiB: split it into smaller files.")
    return reader(path)


def _collect(rows: Iterable[tuple[int, list[str]]]) -> LinkFile:
    ids: dict[str, None] = {}
    shorts: dict[str, None] = {}
    rejects: list[Reject] = []
    counted = repeats = differs = 0
    for number, cells in rows:
        cells = [cell for cell in cells if cell.strip()]
        if not cells or (counted == 0 and number == 1 and not any(map(_looks_like_a_link, cells))):
            continue
        counted += 1
        link = _link_in(cells)
        if isinstance(link, Reject):
            rejects.append(Reject(number, link.reason))
            continue
        video_id, short = link
        stated = [cell.strip() for cell in cells if _BARE_ID.fullmatch(cell.strip())]
        differs += bool(video_id and stated) and video_id not in stated
        seen = ids if video_id else shorts
        key = video_id or short
        repeats += key in seen
        seen.setdefault(key)
    return LinkFile(counted, tuple(ids), repeats, tuple(shorts), tuple(rejects), differs)


def _link_in(cells: list[str]) -> tuple[str, str] | Reject:
    """(id, "") or ("", short link) of a row's cells, or why there is neither."""
    addresses = [cell for cell in cells if not _BARE_ID.fullmatch(cell.strip()) and _looks_like_a_link(cell)]
    bare = next((cell for cell in cells if _BARE_ID.fullmatch(cell.strip())), None)
    if not addresses:
        return (bare.strip(), "") if bare else Reject(0, "no link in the row")
    address = addresses[0]
    if len(address) > MAX_LINK_CHARACTERS:
        return Reject(0, f"a link of more than {MAX_LINK_CHARACTERS} characters")
    video_id = video_id_of(address)
    if video_id is None:
        short = short_link_of(address)
        return ("", short) if short else Reject(0, "not an address of a TikTok video")
    return video_id, ""


def _looks_like_a_link(cell: str) -> bool:
    text = cell.strip()
    return "://" in text[:40] or "tiktok" in text[:200].lower() or _BARE_ID.fullmatch(text) is not None


# ---------------------------------------------------------------------- files


def _read_text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise CsmvError(f"'{path.name}' is not text in UTF-8 or UTF-16: save it as UTF-8.") from None


def _txt_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        if not line.lstrip().startswith("#"):
            yield number, line.split()


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    text = _read_text(path)
    head = text[: text.find("\n")] if "\n" in text else text
    delimiter = max(",;\t", key=head[:MAX_LINK_CHARACTERS].count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise CsmvError(f"'{path.name}' is not CSV from line {reader.line_num} on ({error}).") from None
        yield reader.line_num, row


def _jsonl_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            yield number, ["not JSON"]
            continue
        yield number, _json_links(value)


def _json_links(value: object) -> list[str]:
    if isinstance(value, str | int):
        return [str(value)]
    if not isinstance(value, dict):
        return ["no link"]
    lowered = {str(key).lower(): item for key, item in value.items()}
    links = [str(lowered[key]) for key in _LINK_KEYS if isinstance(lowered.get(key), str | int)]
    return links or ["no link"]


_READERS: dict[str, Callable[[Path], Iterator[tuple[int, list[str]]]]] = {
    ".xlsx": read_workbook,
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".txt": _txt_rows,
    ".jsonl": _jsonl_rows,
}
