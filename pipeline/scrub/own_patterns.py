"""Finds what a policy describes by patterns of its own, as Presidio's pattern recognisers do: by a regular expression,
with a score that words nearby raise.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.scrub.folding import fold
from csmv.pipeline.scrub.forms import SPACE
from csmv.pipeline.scrub.pattern_check import compile_pattern
from csmv.pipeline.scrub.policy import OwnPattern, ScrubPolicy
from csmv.pipeline.scrub.recognizer import Finding, Glance, TextRecognizer
from csmv.pipeline.scrub.vocabulary import WORD

if TYPE_CHECKING:
    import regex

NEAR = 5
"""Words before a finding, and after it, among which one of its context counts."""
WORTH = 0.35
"""What such a word adds to the score, which then is at least the threshold. Both numbers are Presidio's."""
_CHARACTERS = 120
_FREE = re.compile("[^\ue000]+")
"""What stands between placeholders, which a scrubber shows as characters of private use."""
_SECONDS, _CHARACTERS_A_SECOND = 5.0, 20_000


class OwnPatternRecognizer(TextRecognizer):
    """Finds one pattern of a policy.

    Args:
        pattern: what is looked for.
        reached: the score that a word of the context raises it to, at least.
    """

    def __init__(self, pattern: OwnPattern, reached: float) -> None:
        self.kind = pattern.kind
        self.pattern = pattern
        self._reached = reached
        self._compiled = _compiled(pattern.regex)
        self._context = tuple(SPACE.sub(" ", fold(word).text.lower()).strip() for word in pattern.context)

    def may_hold(self, glance: Glance) -> bool:
        """Nobody knows what a pattern is about."""
        return bool(glance.text)

    def find(self, text: str) -> Iterator[Finding]:
        """Whatever fits, between placeholders. Raises CsmvError, which holds nothing of the text, if time runs out."""
        limit = _SECONDS + len(text) / _CHARACTERS_A_SECOND
        try:
            for free in _FREE.finditer(text):
                for match in self._compiled.finditer(text, free.start(), free.end(), timeout=limit):
                    yield match.start(), match.end(), self._score(text, match.start(), match.end()), self.pattern.name
        except TimeoutError:
            raise CsmvError(
                f"The pattern '{self.pattern.name}' of the scrub policy has not gone through a text of {len(text):,} "
                "characters in its time, and nothing was written of it: make the pattern simpler."
            ) from None

    def _score(self, text: str, start: int, end: int) -> float:
        if not self._context:
            return self.pattern.score
        before = WORD.findall(text[max(0, start - _CHARACTERS) : start].lower())[-NEAR:]
        after = WORD.findall(text[end : end + _CHARACTERS].lower())[:NEAR]
        nearby = f" {' '.join(before)} \n {' '.join(after)} "
        if any(word in nearby for word in self._context):
            return min(1.0, max(self.pattern.score + WORTH, self._reached))
        return self.pattern.score


def own_recognizers(policy: ScrubPolicy) -> list[OwnPatternRecognizer]:
    """A recogniser for each of a policy's own patterns."""
    policies = [policy.in_language(language) for language in (None, *policy.languages)]
    return [
        OwnPatternRecognizer(pattern, max(one.threshold_of(pattern.kind) for one in policies))
        for pattern in policy.patterns
    ]


@cache
def _compiled(expression: str) -> "regex.Pattern[str]":
    return compile_pattern(expression)
