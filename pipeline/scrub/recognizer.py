"""What every recogniser here shares: one cheap look at a text, and a way to report a finding to Presidio.

A recogniser says from the look alone whether the text may hold what it looks for. That answer must be sound: where
it is no, `analyze` finds nothing.
"""

import re
from collections.abc import Iterable, Iterator

from csmv.pipeline.scrub.forms import WORD
from csmv.pipeline.scrub.policy import Kind
from csmv.pipeline.scrub.presidio import (
    LANGUAGE,
    AnalysisExplanation,
    LocalRecognizer,
    NlpArtifacts,
    RecognizerResult,
)

_DIGIT = re.compile(r"\d")


class Glance:
    """What one pass over a folded text tells: its lower-case words, and how many digits there are."""

    __slots__ = ("digits", "text", "words")

    def __init__(self, text: str) -> None:
        self.text = text
        self.words = frozenset(WORD.findall(text.lower()))
        self.digits = len(_DIGIT.findall(text))


Finding = tuple[int, int, float, str]
"""Start, end, score and the name of the rule that fired."""


class TextRecognizer(LocalRecognizer):
    """A recogniser of one kind that needs nothing but the folded text.

    Presidio looks its recognisers up by the name of the class, among all there are: none here may be called as one
    of Presidio's own.
    """

    kind: Kind
    name: str
    id: str

    def __init__(self) -> None:
        super().__init__(supported_entities=[self.kind.value], supported_language=LANGUAGE)

    def load(self) -> None:
        """Nothing to load."""

    def may_hold(self, glance: Glance) -> bool:
        """Whether a text may hold something of this kind; no means that it does not."""
        raise NotImplementedError

    def find(self, text: str) -> Iterable[Finding] | Iterator[Finding]:
        """The findings in a folded text, in any order; they may overlap."""
        raise NotImplementedError

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        """Presidio's interface to `find`."""
        return [self._result(*finding) for finding in self.find(text) if finding[0] < finding[1]]

    def _result(self, start: int, end: int, score: float, rule: str) -> RecognizerResult:
        return RecognizerResult(
            entity_type=self.kind.value,
            start=start,
            end=end,
            score=score,
            analysis_explanation=AnalysisExplanation(
                recognizer=self.name,
                original_score=score,
                pattern_name=rule,
                textual_explanation=f"Found by `{self.name}`, rule `{rule}`",
            ),
            recognition_metadata={
                RecognizerResult.RECOGNIZER_NAME_KEY: self.name,
                RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id,
            },
        )
