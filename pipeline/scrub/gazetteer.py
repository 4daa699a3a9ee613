"""The handles and display names of one dataset, removed wherever they stand as words.

A name that is an ordinary word is spared, or a commenter called "love" would take the word out of every comment:
- one word is spared if it is ordinary (see `pipeline.scrub.ordinary`), has under three letters, or is all digits;
- several words that are all ordinary and hold no given name ("Sunny Day") go only where they are written exactly so;
- everything else goes in any casing, with or without accents, and with any space between its words.
With an @ before it every name goes: that is the handle recogniser's work.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from pipeline.scrub.folding import fold
from pipeline.scrub.ordinary import is_everyday, is_ordinary
from pipeline.scrub.policy import Kind
from pipeline.scrub.recognizer import WORD, Finding, Glance, TextRecognizer
from pipeline.scrub.vocabulary import GIVEN_NAMES

_SPACE = re.compile(r"\s+")
_ORNAMENT = re.compile(r"[^\w\s']")
_SHORTEST_WORD = 3
_BEGINNING = 3
"""The characters by which names in scripts without spaces are looked up; a shorter name is none."""
_MOST_WORDS = 12
_GIVEN = frozenset(GIVEN_NAMES.split())


class _Node:
    """A place in the tree of names: the next words, and how the names that end here are written."""

    __slots__ = ("exact", "loose", "next")

    def __init__(self) -> None:
        self.next: dict[str, _Node] = {}
        self.exact: set[str] = set()
        self.loose: set[str] = set()


class Gazetteer(TextRecognizer):
    """Finds the names it was made with. Time to search does not grow with their number."""

    kind = Kind.USERNAME

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self._root = _Node()
        unspaced: set[str] = set()
        for name in names:
            for plain in _forms(name):
                if _is_unspaced(plain):
                    unspaced.add(plain)
                else:
                    self._add(plain)
        self._unspaced = _by_beginning(unspaced)

    def may_hold(self, glance: Glance) -> bool:
        """A name begins with one of its first words, or is in a script without spaces."""
        if not self._root.next.keys().isdisjoint(glance.words):
            return True
        return bool(self._unspaced) and not glance.text.isascii()

    def find(self, text: str) -> Iterator[Finding]:
        """Every name that stands between word boundaries, the longest at each place."""
        words = [(found.group().lower(), found.start(), found.end()) for found in WORD.finditer(text)]
        for first in range(len(words)):
            end = self._longest(text, words, first)
            if end:
                yield words[first][1], end, 1.0, "known name"
        if self._unspaced and not text.isascii():
            for start in range(len(text) - _BEGINNING + 1):
                for name in self._unspaced.get(text[start : start + _BEGINNING], ()):
                    if text.startswith(name, start):
                        yield start, start + len(name), 0.9, "known name without spaces"
                        break

    def count(self, text: str) -> int:
        """How many names stand in a text as it was written."""
        folded = fold(text).text
        return sum(1 for _ in self.find(folded)) if self.may_hold(Glance(folded)) else 0

    def _add(self, plain: str) -> None:
        words = [word.lower() for word in WORD.findall(plain)]
        if not words or len(words) > _MOST_WORDS:
            return
        # "kai.the.great" is a handle and no speech, whatever its words.
        exactly = _ORNAMENT.search(plain) is None and _is_phrase(words)
        if len(words) == 1 and (exactly or len(words[0]) < _SHORTEST_WORD):
            return
        node = self._root
        for word in words:
            node = node.next.setdefault(word, _Node())
        if exactly:
            node.exact.add(_SPACE.sub(" ", plain))
        else:
            node.loose.add(_SPACE.sub(" ", plain).lower())

    def _longest(self, text: str, words: list[tuple[str, int, int]], first: int) -> int:
        """Where the longest name that begins with word `first` ends; 0 if none does."""
        node = self._root
        best = 0
        for word, _, end in words[first : first + _MOST_WORDS]:
            following = node.next.get(word)
            if following is None:
                break
            node = following
            if node.loose or node.exact:
                written = _SPACE.sub(" ", text[words[first][1] : end])
                if written in node.exact or written.lower() in node.loose:
                    best = end
        return best


def _forms(name: str) -> Iterator[str]:
    """The folded name from its first to its last letter or digit: without @, emoji and ornaments around it."""
    plain = fold(unicodedata.normalize("NFC", name)).text
    words = list(WORD.finditer(plain))
    if words:
        yield plain[words[0].start() : words[-1].end()]


def _is_phrase(words: list[str]) -> bool:
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


def _by_beginning(names: set[str]) -> dict[str, list[str]]:
    """The names by their first characters, the longest first."""
    found: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: (-len(name), name)):
        # Two characters are often an ordinary Chinese word; three in a row that are somebody's name hardly ever.
        if len(name) >= _BEGINNING:
            found.setdefault(name[:_BEGINNING], []).append(name)
    return found
