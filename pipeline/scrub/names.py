"""Recognisers that ask a language model: of names and places, and as a second opinion on every kind.

Only when a policy names a model, since it costs a hundred times more than everything else here.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from csmv.pipeline.scrub.model_readers import reader_of
from csmv.pipeline.scrub.policy import NER_KINDS, Kind, NerModel, ScrubPolicy
from csmv.pipeline.scrub.recognizer import Finding, Glance, TextRecognizer

_PIECE = re.compile(r"[^\ue000]+")
"""What stands between placeholders, which a scrubber shows as characters of private use."""

_LETTER = r"[0-9A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u052f]"
_REST_OF_WORD = re.compile(f"{_LETTER}*")
_END_IN_WORD = re.compile(f"{_LETTER}+$")
"""Letters of scripts that part words by spaces. A model may tag one piece of a word; half a name is one too many."""


class ModelRecognizer(TextRecognizer):
    """Finds what a model gives a label that means one kind.

    Args:
        kind: what is reported.
        model: which one, and how it is read.

    Raises:
        CsmvError: the model is not on this machine or can't be read, or none of its labels means anything here.
    """

    def __init__(self, kind: Kind, model: NerModel) -> None:
        self.kind = kind
        self.threshold = model.threshold
        self.reader = reader_of(model)

    def may_hold(self, glance: Glance) -> bool:
        """Anything may be a name."""
        return bool(glance.text) and not glance.text.isspace()

    def find(self, text: str) -> Iterator[Finding]:
        """What the model finds of this kind. Raises CsmvError if it can't read the text."""
        for start, end, label, score in self.reader.read(text):
            if self.reader.kinds.get(label) is self.kind:
                for first, after in _pieces(text, start, end):
                    yield first, after, score, f"{self.reader.name}:{label}"


def model_recognizers(policy: ScrubPolicy) -> list[ModelRecognizer]:
    """The recognisers that ask the models of a policy: `ner` for persons and places, `models` for every kind on.

    Raises:
        CsmvError: as `ModelRecognizer` does.
    """
    asked = [(model, NER_KINDS if model is policy.ner else tuple(Kind)) for model in policy.language_models]
    recognizers = [ModelRecognizer(kind, model) for model, kinds in asked for kind in kinds if kind in policy.kinds]
    return [one for one in recognizers if one.kind in one.reader.kinds.values()]


def is_of(recognizer: TextRecognizer, model: NerModel) -> bool:
    """Whether a recogniser asks this model."""
    return isinstance(recognizer, ModelRecognizer) and recognizer.reader.model == model


def read_ahead(recognizers: Iterable[TextRecognizer], texts: Sequence[str]) -> None:
    """Have each model read several folded texts together, as far as a policy allows it, for the `find` that follows."""
    for reader in dict.fromkeys(one.reader for one in recognizers if isinstance(one, ModelRecognizer)):
        reader.read_ahead(texts)


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The parts of a model's finding that are text: without placeholders and spaces at the ends, but whole words."""
    for piece in _PIECE.finditer(text, start, end):
        words = piece[0].strip()
        if not any(map(str.isalnum, words)):
            continue
        first = piece.start() + piece[0].index(words)
        after = first + len(words)
        if (rest := _REST_OF_WORD.match(text, after)) and re.match(_LETTER, text[after - 1]):
            after = rest.end()
        if re.match(_LETTER, text[first]) and (begun := _END_IN_WORD.search(text[max(0, first - 100) : first])):
            first -= len(begun[0])
        yield first, after
