"""Finds the words that a policy denies, wherever they stand as words."""

from collections.abc import Iterable

from csmv.pipeline.scrub.gazetteer import Gazetteer
from csmv.pipeline.scrub.word_lists import denied


class DenyList(Gazetteer):
    """Finds denied words as a gazetteer finds names. They go whatever kinds are on, and no allow list spares them."""

    rule = "denied word"
    threshold = 0.0

    def __init__(self, words: Iterable[str]) -> None:
        super().__init__(form for _, form in denied(words) if form is not None)
