"""Names of persons and places, by a language model: only when a policy asks for one, since it costs a hundred times
more than everything else here. Never downloads a model.
"""

from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.scrub.policy import Kind, NerModel
from csmv.pipeline.scrub.recognizer import Finding, Glance, TextRecognizer

_LABELS = {
    Kind.PERSON: frozenset(("PERSON", "PER")),
    Kind.LOCATION: frozenset(("LOCATION", "LOC", "GPE", "FAC")),
}
Entities = Callable[[str], Iterator[tuple[int, int, str, float]]]
"""Gives start, end, label and score of everything a model finds in a text."""

_SPACY_SCORE = 0.85
"""spaCy gives no score; this is the one that Presidio gives in its place."""


class NameRecognizer(TextRecognizer):
    """Finds what a model calls a person, or a place."""

    def __init__(self, kind: Kind, model: NerModel) -> None:
        self.kind = kind
        self._entities = entities_of(model)

    def may_hold(self, glance: Glance) -> bool:
        """Any word may be a name."""
        return bool(glance.words)

    def find(self, text: str) -> Iterator[Finding]:
        """What the model finds with a label of this kind."""
        for start, end, label, score in self._entities(text):
            if label.removeprefix("B-").removeprefix("I-").upper() in _LABELS[self.kind]:
                yield start, end, score, "model"


@cache
def entities_of(model: NerModel) -> Entities:
    """The model that a policy names, loaded once. Raises CsmvError if it is not there."""
    return _spacy(model.name) if model.framework == "spacy" else _transformers(model.name)


def _spacy(name: str) -> Entities:
    if not Path(name).is_dir() and find_spec(name) is None:
        raise CsmvError(
            f"The scrub policy asks for the spaCy model '{name[:80]}', which is not installed: "
            f"`python -m spacy download {name[:80]}`, or name a folder, or turn `person` and `location` off."
        )
    import spacy

    try:
        language = spacy.load(name)
    except (OSError, ValueError) as error:
        raise CsmvError(f"spaCy can't load the model '{name[:80]}' ({type(error).__name__}).") from None

    def entities(text: str) -> Iterator[tuple[int, int, str, float]]:
        for entity in language(text[: language.max_length]).ents:
            yield entity.start_char, entity.end_char, entity.label_, _SPACY_SCORE

    return entities


def _transformers(name: str) -> Entities:
    if find_spec("transformers") is None:
        raise CsmvError("The scrub policy asks for a transformers model, and transformers is not installed.")
    from transformers import pipeline

    try:
        tagger: Any = pipeline("token-classification", model=name, aggregation_strategy="simple", local_files_only=True)
    except (OSError, ValueError) as error:
        raise CsmvError(
            f"The scrub policy asks for the transformers model '{name[:80]}', which is not on this machine "
            f"({type(error).__name__}): download it first, or turn `person` and `location` off."
        ) from None

    def entities(text: str) -> Iterator[tuple[int, int, str, float]]:
        for entity in tagger(text):
            yield int(entity["start"]), int(entity["end"]), str(entity["entity_group"]), float(entity["score"])

    return entities
