"""The parts of Presidio that the scrub stands on: loaded when a text first needs one, without the deep-learning stacks.

Presidio takes a second to import, since it brings spaCy, and most texts hold nothing that one of its recognisers has
to look at: a `Borrowed` recogniser is loaded with the first window that it is shown. Presidio imports transformers and
torch, too, where they are installed, for engines that are not used here: ten seconds for nothing in every worker. Its
own log is silenced, since it may quote the text it failed on.
"""

import logging
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module, reload
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer, LocalRecognizer, PatternRecognizer, RecognizerResult
    from presidio_analyzer.recognizer_registry import RecognizerRegistry

_UNUSED = ("torch", "transformers", "gliner", "stanza")


class _Absent(MetaPathFinder):
    """Makes packages look uninstalled to the thread that made it, and to no other."""

    def __init__(self, packages: tuple[str, ...]) -> None:
        self._packages = packages
        self._thread = threading.get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in self._packages and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{fullname} is not needed here", name=fullname)
        return None


@contextmanager
def _without(*packages: str) -> Iterator[None]:
    absent = _Absent(packages)
    sys.meta_path.insert(0, absent)
    try:
        yield
    finally:
        sys.meta_path.remove(absent)


@cache
def presidio() -> Any:
    """The package `presidio_analyzer`, imported once, with its recognisers and its registry."""
    with _without(*_UNUSED):
        import presidio_analyzer
        import presidio_analyzer.predefined_recognizers
    logging.getLogger("presidio-analyzer").addFilter(lambda record: False)
    return presidio_analyzer


@cache
def model_wrapper(name: str) -> ModuleType:
    """One of the modules in which Presidio wraps models of deep learning, with the packages that such models need.

    It was imported without them, and read again it finds them.
    """
    presidio()
    return reload(import_module(f"presidio_analyzer.predefined_recognizers.ner.{name}"))


LANGUAGE = "en"
"""Presidio files recognisers under a language; the ones here read any, and all are filed under this one."""


class Form(NamedTuple):
    """What Presidio calls a pattern: a name, a regular expression, and the score of what fits it."""

    name: str
    regex: str
    score: float


@dataclass(frozen=True)
class Borrowed:
    """A pattern recogniser of Presidio's, loaded with the first text that it looks at.

    Args:
        name: one of those that come with Presidio, by the name of its class, or PatternRecognizer itself.
        forms: what is looked for instead of the recogniser's own patterns.
        entity: what a PatternRecognizer's findings are called.
        flags: of a PatternRecognizer's regular expressions, instead of Presidio's own.
    """

    name: str
    forms: tuple[Form, ...] = ()
    entity: str = ""
    flags: int | None = None

    def look(self, text: str) -> "list[RecognizerResult]":
        """What the recogniser finds in a text."""
        results: list[RecognizerResult] = self._recognizer.analyze(text, self._recognizer.supported_entities)
        return results

    @cached_property
    def _recognizer(self) -> "PatternRecognizer":
        package = presidio()
        settings: dict[str, Any] = {"supported_language": LANGUAGE}
        if self.forms:
            settings["patterns"] = [package.Pattern(*form) for form in self.forms]
        if self.entity:
            settings["supported_entity"] = self.entity
        if self.flags is not None:
            settings["global_regex_flags"] = self.flags
        recognizer_class = getattr(package, self.name, None) or getattr(package.predefined_recognizers, self.name)
        recognizer: PatternRecognizer = recognizer_class(**settings)
        return recognizer


class Finder(Protocol):
    """A recogniser of the scrub's own: it finds things of one kind (start, end, score, rule) in a folded text."""

    kind: Any

    @property
    def name(self) -> str:
        """By which a finding says who found it."""

    def find(self, text: str) -> Iterable[tuple[int, int, float, str]]:
        """The findings in a text."""


def results_of(finder: Finder, text: str) -> "list[RecognizerResult]":
    """What a recogniser of the scrub's own finds in a folded text, as Presidio says it, with the rules that fired."""
    return [_result(finder, *finding) for finding in finder.find(text) if finding[0] < finding[1]]


def registry_of(finders: Iterable[Finder]) -> "RecognizerRegistry":
    """The recognisers as a registry that Presidio's AnalyzerEngine takes."""
    everything: list[EntityRecognizer] = [_lent(finder) for finder in finders]
    registry: RecognizerRegistry = presidio().RecognizerRegistry(recognizers=everything, supported_languages=[LANGUAGE])
    return registry


def _lent(finder: Finder) -> "LocalRecognizer":
    class Lent(presidio().LocalRecognizer):  # type: ignore[misc]
        """Presidio's interface to a recogniser of the scrub's own."""

        def load(self) -> None:
            """Nothing to load."""

        def analyze(self, text: str, entities: list[str], nlp_artifacts: object = None) -> "list[RecognizerResult]":
            """What it finds."""
            return results_of(finder, text)

    recognizer: LocalRecognizer = Lent(
        supported_entities=[finder.kind.value], supported_language=LANGUAGE, name=finder.name
    )
    return recognizer


def _result(finder: Finder, start: int, end: int, score: float, rule: str) -> "RecognizerResult":
    package = presidio()
    result: RecognizerResult = package.RecognizerResult(
        entity_type=finder.kind.value,
        start=start,
        end=end,
        score=score,
        analysis_explanation=package.AnalysisExplanation(
            recognizer=finder.name,
            original_score=score,
            pattern_name=rule,
            textual_explanation=f"Found by `{finder.name}`, rule `{rule}`",
        ),
        recognition_metadata={package.RecognizerResult.RECOGNIZER_NAME_KEY: finder.name},
    )
    return result
