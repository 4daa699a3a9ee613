"""How a name is recognized in a text: which spellings of a handle or display name count, and which are ordinary speech.

Loads no recognizer, so that what looks for names without having them in plain (digests) goes by the same rules.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from csmv.pipeline.scrub.folding import fold
from csmv.pipeline.scrub.ordinary import is_everyday, is_ordinary
from csmv.pipeline.scrub.vocabulary import GIVEN_NAMES
from csmv.pipeline.scrub.vocabulary import WORD as WORD

SPACE = re.compile(r"\s+")
SHORTEST_UNSPACED = 3
"""Characters of a name in a script without spaces: two are often an ordinary Chinese word, three hardly ever."""
MOST_WORDS = 12
_ORNAMENT = re.compile(r"[^\w\s']")
_SHORTEST_WORD = 3
_LONGEST_YEAR = 4
_GIVEN = frozenset(GIVEN_NAMES.split())


class Writing(StrEnum):
    """How a name must be written to count: in any casing, exactly so, or anywhere among letters without spaces."""

    LOOSE = "loose"
    EXACT = "exact"
    UNSPACED = "unspaced"


@dataclass(frozen=True)
class Form:
    """A folded name as a text may hold it, in small letters if its casing does not matter, and its words."""

    text: str
    writing: Writing
    words: tuple[str, ...] = ()


def form_of(name: str) -> Form | None:
    """The form by which a name is recognized; None if it is ordinary speech or too short to tell.

    The name counts from its first to its last letter or digit: without @, emoji and ornaments around it.
    """
    plain = _plain(name)
    if not plain:
        return None
    if _is_unspaced(plain):
        return Form(plain, Writing.UNSPACED) if len(plain) >= SHORTEST_UNSPACED else None
    words = tuple(word.lower() for word in WORD.findall(plain))
    if len(words) > MOST_WORDS:
        return None
    # "kai.the.great" is a handle and no speech, whatever its words.
    exactly = _ORNAMENT.search(plain) is None and _is_phrase(words)
    if len(words) == 1 and (exactly or len(words[0]) < _SHORTEST_WORD):
        return None
    written = SPACE.sub(" ", plain)
    return Form(written, Writing.EXACT, words) if exactly else Form(written.lower(), Writing.LOOSE, words)


def denied_form(word: str, *, forced: bool) -> Form | None:
    """The form by which a word is recognized that somebody wants removed; None if it is an ordinary word.

    However short or long it is, it counts; so does a number that is no year. An ordinary word counts if it is `forced`,
    and a phrase of ordinary words then in any casing.
    """
    plain = _plain(word)
    if not plain:
        # Emoji and other signs alone are found as they stand.
        signs = fold(unicodedata.normalize("NFC", word)).text.strip()
        return None if signs.isascii() else Form(signs, Writing.UNSPACED)
    if _is_unspaced(plain):
        return Form(plain, Writing.UNSPACED)
    words = tuple(part.lower() for part in WORD.findall(plain))
    written = SPACE.sub(" ", plain)
    is_number = len(words) == 1 and words[0].isdecimal() and len(words[0]) > _LONGEST_YEAR
    if forced or is_number or _ORNAMENT.search(plain) is not None or not _is_phrase(words):
        return Form(written.lower(), Writing.LOOSE, words)
    return Form(written, Writing.EXACT, words) if len(words) > 1 else None


def _plain(name: str) -> str:
    """A name folded, from its first to its last letter or digit; empty if it has none."""
    folded = fold(unicodedata.normalize("NFC", name)).text
    places = list(WORD.finditer(folded))
    if not places:
        return ""
    end = places[-1].end()
    # Thai, Khmer and Burmese write vowels as marks upon a letter, and those of the last letter belong to the name.
    while end < len(folded) and unicodedata.category(folded[end]).startswith("M"):
        end += 1
    return folded[places[0].start() : end]


def _is_phrase(words: tuple[str, ...]) -> bool:
    """Whether a name could as well be ordinary speech."""
    if not all(is_ordinary(word) for word in words):
        return False
    if len(words) == 1:
        return True
    # "John Smith" is two ordinary words by number of uses, and no ordinary speech; "example viewer 01" is neither.
    if any(word.isdecimal() for word in words) and len(words) > 2:
        return False
    return not any(word in _GIVEN for word in words) or all(is_everyday(word) for word in words)


def _is_unspaced(plain: str) -> bool:
    """Whether a name is in a script that puts no spaces between words: Chinese, Japanese, Thai, Khmer, Lao, Burmese."""
    letters = [char for char in plain if char.isalpha()]
    return len(letters) > 1 and all(_has_no_spaces(char) for char in letters)


def _has_no_spaces(char: str) -> bool:
    code = ord(char)
    return 0x0E00 <= code < 0x1100 or 0x1780 <= code < 0x1800 or 0x3040 <= code < 0xA000 or 0x20000 <= code < 0x32000
