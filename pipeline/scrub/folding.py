"""One plain form for the many ways of typing a character, with the way back to the original positions.

Recognisers read the folded text; what is cut out is the original. Nothing outside a finding is ever changed.
"""

import html
import re
import unicodedata
from dataclasses import dataclass

_DELETED = set(
    map(
        chr,
        (
            *range(0x0300, 0x0370),
            *range(0x20D0, 0x2100),
            *range(0xFE00, 0xFE10),
            *range(0x1F3FB, 0x1F400),
            0x180E,
            0x115F,
            0x1160,
        ),
    )
)
_DOTS = dict.fromkeys("。｡·•∙‧・･⋅", ".")
_QUOTES = dict.fromkeys("‘’‛`´", "'") | dict.fromkeys("“”„", '"')
_SMALL_CAPITALS = dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz", strict=True))
_ON_BLACK = {chr(first + at): chr(0x41 + at) for first in (0x1F150, 0x1F170) for at in range(26)}
"""White capitals on a black circle or square; those on white have a plain form in Unicode itself."""
_SPECIAL = {**_DOTS, **_QUOTES, **_SMALL_CAPITALS, **_ON_BLACK, "−": "-", "🔟": "10", "\u3164": "", "\uffa0": ""}

_ENTITY = re.compile(
    r"&(?:amp;){0,4}(?:[a-zA-Z][a-zA-Z0-9]{1,30};|#[0-9]{1,10};?|#[xX][0-9a-fA-F]{1,8};?"
    r"|(?:amp|lt|gt|quot|nbsp)(?![a-zA-Z0-9=;]))|%(?:40|2[EeFf]|3[Aa])(?=[A-Za-z0-9_%])"
)
"""What stands for a character: HTML's entities, encoded once or several times over, their semicolon left out where
browsers do without; and the signs of addresses as links encode them."""


def _fold(char: str) -> str:
    if char in _SPECIAL:
        return _SPECIAL[char]
    category = unicodedata.category(char)
    # Format characters are invisible: zero-width spaces and joiners, direction marks, soft hyphens, tags.
    if char in _DELETED or category == "Cf":
        return ""
    if category == "Zs":
        return " "
    if category == "Pd":
        return "-"
    digit = unicodedata.digit(char, None)
    if digit is not None:
        return str(digit)
    plain = unicodedata.normalize("NFKC", char)
    if len(plain) != 1:
        return char
    parts = unicodedata.normalize("NFKD", plain)
    # An accent does not make another name of it: people leave accents out as they like.
    return parts[0] if parts[1:] and parts[0].isascii() and all(part in _DELETED for part in parts[1:]) else plain


class _Table(dict[int, str | int]):
    """What each character becomes, worked out when it is first met."""

    def __init__(self) -> None:
        super().__init__()
        self.resized: set[str] = set()  # characters that become none or several

    def __missing__(self, code: int) -> str | int:
        folded = _fold(chr(code))
        if len(folded) != 1:
            self.resized.add(chr(code))
        self[code] = code if folded == chr(code) else folded
        return self[code]


_TABLE = _Table()


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded text. `origins[i]` is where character i came from; None if every character kept its place."""

    text: str
    origins: tuple[int, ...] | None

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original text that the folded span [start, end) came from; never empty.

        Invisible characters after the last one belong to it: the frame of a keycap digit goes with its digit.
        """
        if self.origins is None:
            return start, end
        first, after = self.origins[start], self.origins[end]
        last = self.origins[end - 1]
        return first, after if after > last else last + 1


def fold(text: str) -> Folded:
    """`text` with full-width and decorated letters, foreign and emoji digits, odd spaces, dashes and dots made plain.

    Accents on Latin letters and invisible characters go; case stays.
    """
    if ("&" in text or "%" in text) and _ENTITY.search(text):
        return _fold_entities(text)
    if text.isascii():
        return Folded(text, None)
    folded = text.translate(_TABLE)
    if _TABLE.resized.isdisjoint(text):
        return Folded(folded, None)
    origins: list[int] = []
    for position, char in enumerate(text):
        origins.extend([position] * len(_as_text(char)))
    origins.append(len(text))
    return Folded(folded, tuple(origins))


def _fold_entities(text: str) -> Folded:
    """As `fold`, with what stands for a character read as that character."""
    plain: list[str] = []
    origins: list[int] = []
    at = 0
    for match in _ENTITY.finditer(text):
        meant = _meant(match[0])
        if meant == match[0]:
            continue
        _fold_onto(plain, origins, text[at : match.start()], at)
        for char in meant:
            _fold_onto(plain, origins, char, match.start())
        at = match.end()
    _fold_onto(plain, origins, text[at:], at)
    origins.append(len(text))
    return Folded("".join(plain), tuple(origins))


def _meant(entity: str) -> str:
    """The character that an entity stands for; what is no entity stays as it is."""
    if entity[0] == "%":
        return chr(int(entity[1:], 16))
    once, _, rest = entity.rpartition("amp;")
    meant = html.unescape(f"&{rest}") if once else html.unescape(entity)
    return entity if once and meant == f"&{rest}" else meant


def _fold_onto(plain: list[str], origins: list[int], text: str, at: int) -> None:
    """Adds the folded form of `text`, which begins at `at` in the original."""
    for offset, char in enumerate(text):
        folded = _as_text(char)
        plain.append(folded)
        origins.extend([at + offset] * len(folded))


def _as_text(char: str) -> str:
    folded = _TABLE[ord(char)]
    return chr(folded) if isinstance(folded, int) else folded
