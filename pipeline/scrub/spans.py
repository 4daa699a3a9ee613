"""Where something was found in a text, and by whom."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """One finding: characters [start, end) of the text as it was given."""

    start: int
    end: int
    kind: str
    score: float
    recognizer: str
