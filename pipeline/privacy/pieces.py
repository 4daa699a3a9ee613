"""What a file's contents come as when an audit reads them: texts with their places, and what could not be read."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple


class Look(Enum):
    """What a text is, which decides what is looked for in it."""

    CELL = auto()
    """A value of a table: everything."""
    PROSE = auto()
    """A sentence or a line of a document: everything; a link counts where it leads to a person."""
    LABEL = auto()
    """A name of a file or column, a key, an attribute: names and ids; and addresses and mentions of persons."""
    BARE = auto()
    """Markup, code, headers: names and ids."""
    BYTES = auto()
    """What happens to be readable in bytes: names that are long enough, and ids."""


class Piece(NamedTuple):
    """A text, the file and the place in it, and how often it stands there."""

    file: str
    place: str
    text: str
    look: Look
    times: int = 1
    column: str = ""
    """The column's own name, where the text is a value of a table's column."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A file, or a part of one, of which not everything could be searched, and why."""

    file: str
    why: str


Pieces = Iterator[Piece | Unread]

MOST_BYTES = 1 << 32
"""That something may have unpacked."""
_DEEPEST = 12
SMALLEST_ID = 10_000_000
"""Ids have at least eight digits."""
BATCH = 1 << 20
"""Bytes of what is unpacked or read at once."""


def placed(piece: Piece | Unread, place: str) -> Piece | Unread:
    """The same, said to stand at `place`."""
    if isinstance(piece, Unread):
        return Unread(piece.file, f"{place}: {piece.why}")
    return Piece(piece.file, place, piece.text, piece.look, piece.times, piece.column)
