"""The handles and display names of one dataset, removed wherever they stand as words.

A name that is an ordinary word is spared, or a commenter called "love" would take the word out of every comment:
- one word is spared if it is ordinary (see `csmv.pipeline.scrub.ordinary`), has under three letters, or is all digits;
- several words that are all ordinary and hold no given name ("Sunny Day") go only where they are written exactly so;
- everything else goes in any casing, with or without accents, and with any space between its words.
With an @ before it every name goes: that is the handle recogniser's work.
"""

from collections.abc import Iterable, Iterator

from csmv.pipeline.scrub.folding import fold
from csmv.pipeline.scrub.forms import MOST_WORDS, SHORTEST_UNSPACED, SPACE, Form, Writing, form_of
from csmv.pipeline.scrub.policy import Kind
from csmv.pipeline.scrub.recognizer import Finding, Glance, TextRecognizer
from csmv.pipeline.scrub.vocabulary import WORD

_BEGINNING = SHORTEST_UNSPACED
"""The characters by which names in scripts without spaces are looked up."""


class _Node:
    """A place in the tree of names: the next words, and how the names that end here are written.

    Most places have a single name and no next word, and a root may know millions of names: nothing empty is kept.
    """

    __slots__ = ("exact", "loose", "next")

    def __init__(self) -> None:
        self.next: dict[str, _Node] = _NOTHING_NEXT
        self.exact: tuple[str, ...] = ()
        self.loose: tuple[str, ...] = ()

    def below(self, word: str) -> "_Node":
        """The place after one word more, made if it is not there."""
        if self.next is _NOTHING_NEXT:
            self.next = {}
        node = self.next.get(word)
        if node is None:
            node = self.next[word] = _Node()
        return node

    def end(self, form: Form) -> None:
        """Let a name end here. Names that share their words differ in what stands between them, so they are few."""
        # Of one word, the name is the key by which this place was reached.
        text = form.words[0] if form.text == form.words[0] else form.text
        if form.writing is Writing.EXACT and text not in self.exact:
            self.exact += (text,)
        elif form.writing is Writing.LOOSE and text not in self.loose:
            self.loose += (text,)


_NOTHING_NEXT: dict[str, _Node] = {}


class Gazetteer(TextRecognizer):
    """Finds the names it was made with. Time to search does not grow with their number."""

    kind = Kind.USERNAME
    rule = "known name"

    def __init__(self, names: Iterable[str | Form]) -> None:
        self._root = _Node()
        self._most_words = MOST_WORDS
        unspaced: set[str] = set()
        for name in names:
            form = name if isinstance(name, Form) else form_of(name)
            if form is not None and form.writing is Writing.UNSPACED:
                unspaced.add(form.text)
            elif form is not None:
                self._add(form)
        # A known name has at least as many characters as are looked up; a denied word may have fewer.
        self._beginning = min((_BEGINNING, *map(len, unspaced)))
        self._unspaced = _by_beginning(unspaced, self._beginning)

    def may_hold(self, glance: Glance) -> bool:
        """A name begins with one of its first words, or is in a script without spaces."""
        if not self._root.next.keys().isdisjoint(glance.words):
            return True
        return bool(self._unspaced) and not glance.text.isascii()

    def find(self, text: str) -> Iterator[Finding]:
        """Every name that stands between word boundaries, the longest at each place."""
        words = [(match.group().lower(), match.start(), match.end()) for match in WORD.finditer(text)]
        for first in range(len(words)):
            end = self._longest(text, words, first)
            if end:
                yield words[first][1], end, 1.0, self.rule
        if self._unspaced and not text.isascii():
            for start in range(len(text) - self._beginning + 1):
                for name in self._unspaced.get(text[start : start + self._beginning], ()):
                    if text.startswith(name, start):
                        yield start, start + len(name), 0.9, f"{self.rule} without spaces"
                        break

    def count(self, text: str) -> int:
        """How many names stand in a text as it was written."""
        folded = fold(text).text
        return sum(1 for _ in self.find(folded)) if self.may_hold(Glance(folded)) else 0

    def _add(self, form: Form) -> None:
        self._most_words = max(self._most_words, len(form.words))
        node = self._root
        for word in form.words:
            node = node.below(word)
        node.end(form)

    def _longest(self, text: str, words: list[tuple[str, int, int]], first: int) -> int:
        """Where the longest name that begins with word `first` ends; 0 if none does."""
        node = self._root
        best = 0
        for word, _, end in words[first : first + self._most_words]:
            following = node.next.get(word)
            if following is None:
                break
            node = following
            if node.loose or node.exact:
                written = SPACE.sub(" ", text[words[first][1] : end])
                if written in node.exact or written.lower() in node.loose:
                    best = end
        return best


def _by_beginning(names: set[str], characters: int) -> dict[str, list[str]]:
    """The names by their first characters, so many, the longest first."""
    by_beginning: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: (-len(name), name)):
        by_beginning.setdefault(name[:characters], []).append(name)
    return by_beginning
