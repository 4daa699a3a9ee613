"""What every recogniser here shares: one cheap look at a text, and the findings in it.

A recogniser says from the look alone whether the text may hold what it looks for. That answer must be sound: where
it is no, `find` finds nothing.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from csmv.pipeline.scrub.policy import Kind
from csmv.pipeline.scrub.presidio import results_of
from csmv.pipeline.scrub.vocabulary import WORD

if TYPE_CHECKING:
    from presidio_analyzer import RecognizerResult

_DIGIT = re.compile(r"\d")
_WORDS_IN_ASCII = {code: chr(code).lower() if chr(code).isalnum() or chr(code) == "_" else " " for code in range(128)}
"""Makes of ASCII the words that `WORD` finds in it, parted by spaces, in less than half of the time."""
_NO_DIGITS = bytes(code for code in range(128) if not chr(code).isdecimal())


class Glance:
    """What one pass over a folded text tells: its lower-case words, and how many digits there are."""

    __slots__ = ("digits", "text", "words")

    def __init__(self, text: str) -> None:
        self.text = text
        if text.isascii():
            self.words = frozenset(text.translate(_WORDS_IN_ASCII).split())
            self.digits = len(text.encode().translate(None, _NO_DIGITS))
        else:
            self.words = frozenset(WORD.findall(text.lower()))
            self.digits = len(_DIGIT.findall(text))


Finding = tuple[int, int, float, str]
"""Start, end, score and the name of the rule that fired."""


class TextRecognizer:
    """A recogniser of one kind that needs nothing but the folded text.

    It loads nothing of Presidio before `analyze` is called; `presidio.registry_of` makes several into Presidio's own.
    None here may be called as one of Presidio's: a finding would not say who found it.
    """

    kind: Kind
    threshold: float | None = None
    """The score from which a finding counts, where that is the recogniser's own affair and not the policy's."""
    needs_digits = False
    """Whether it finds nothing in a text without a digit, and need not be asked then."""

    @property
    def name(self) -> str:
        """By which a finding says who found it."""
        return type(self).__name__

    def may_hold(self, glance: Glance) -> bool:
        """Whether a text may hold something of this kind; no means that it does not."""
        raise NotImplementedError

    def look(self, glance: Glance) -> Iterable[Finding]:
        """As `find`, for a text at which the glance was cast already."""
        return self.find(glance.text)

    def find(self, text: str) -> Iterable[Finding] | Iterator[Finding]:
        """The findings in a folded text, in any order; they may overlap, and one may be empty."""
        raise NotImplementedError

    def analyze(self, text: str, entities: Sequence[str]) -> "list[RecognizerResult]":
        """Presidio's interface to `find`."""
        return results_of(self, text) if self.kind in entities else []
