"""The parts of Presidio that the scrub stands on, imported without the deep-learning stacks it never uses here.

Presidio imports transformers and torch, where they are installed, for engines that are not used here: ten seconds
for nothing in every worker. Its own log is silenced, since it may quote the text it failed on.
"""

import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_UNUSED = ("torch", "transformers")


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


with _without(*_UNUSED):
    from presidio_analyzer import (
        AnalysisExplanation,
        EntityRecognizer,
        LocalRecognizer,
        Pattern,
        PatternRecognizer,
        RecognizerResult,
    )
    from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine, NoOpNlpEngine
    from presidio_analyzer.recognizer_registry import RecognizerRegistry

logging.getLogger("presidio-analyzer").addFilter(lambda record: False)

LANGUAGE = "en"
"""Presidio files recognisers under a language; the ones here read any, and all are filed under this one."""

__all__ = [
    "LANGUAGE",
    "AnalysisExplanation",
    "EntityRecognizer",
    "LocalRecognizer",
    "NlpArtifacts",
    "NlpEngine",
    "NoOpNlpEngine",
    "Pattern",
    "PatternRecognizer",
    "RecognizerRegistry",
    "RecognizerResult",
    "predefined",
]


@cache
def predefined(name: str, pattern: Pattern | None = None) -> PatternRecognizer:
    """One of the pattern recognisers that come with Presidio, by the name of its class; made once.

    `pattern` is looked for instead of the recogniser's own.
    """
    with _without(*_UNUSED):
        from presidio_analyzer import predefined_recognizers

    settings = {"patterns": [pattern]} if pattern else {}
    recognizer: PatternRecognizer = getattr(predefined_recognizers, name)(supported_language=LANGUAGE, **settings)
    return recognizer
