"""Finds personal data in batches of short texts and puts the policy's operator in its place.

Every character outside a finding stays as it was. Scrubbing a scrubbed text changes nothing. The text never reaches a
log or an exception.
"""

import hashlib
import hmac
import re
from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import SecretStr

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.scrub.folding import Folded, fold
from csmv.pipeline.scrub.gazetteer import Gazetteer
from csmv.pipeline.scrub.names import read_ahead
from csmv.pipeline.scrub.policy import Kind, Operator, ScrubPolicy
from csmv.pipeline.scrub.presidio import registry_of
from csmv.pipeline.scrub.recognizer import Glance, TextRecognizer
from csmv.pipeline.scrub.roster import recognizers_for

if TYPE_CHECKING:
    from presidio_analyzer.recognizer_registry import RecognizerRegistry

_PLACEHOLDER = re.compile(rf"<(?:{'|'.join(Kind)})(?::[0-9a-f]{{12}})?>")
_INERT = "\ue000"
"""A character of private use that no recogniser reads as part of anything."""

_ROUNDS = 50
"""A cut can bring things together that were apart. Each round looks at the result of the one before."""


@dataclass(frozen=True, slots=True)
class Span:
    """One finding: characters [start, end) of the text as it was given."""

    start: int
    end: int
    kind: str
    score: float
    recognizer: str


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """A text without its personal data, the kinds that were found in it (sorted), and where they were.

    `rounds` counts how often something was cut: after one round, only the text itself and the result were looked at.
    """

    text: str
    kinds: tuple[str, ...]
    spans: tuple[Span, ...]
    rounds: int = field(default=0, compare=False)


class Scrubber:
    """Scrubs texts by one policy. What is heavy is loaded with the first text that needs it: keep it for many."""

    def __init__(self, policy: ScrubPolicy, key: SecretStr | None = None, names: Iterable[str] = ()) -> None:
        """`names` are the handles and display names known for this dataset; `key` is needed for keyed hashes.

        Raises CsmvError if the policy hashes and there is no key, or asks for a language model that is not there.
        """
        if policy.needs_key and key is None:
            raise CsmvError("The scrub policy replaces something by a keyed hash, and no key was given.")
        self.policy = policy
        self._key = key.get_secret_value().encode("utf-8", "surrogatepass") if key else b""
        self._thresholds: dict[str, float] = {kind.value: policy.threshold_of(kind) for kind in policy.kinds}
        self._recognizers = recognizers_for(policy, names)

    @property
    def registry(self) -> "RecognizerRegistry":
        """The recognisers in use, as Presidio's own AnalyzerEngine takes them."""
        return registry_of(self._recognizers)

    def scrub(self, texts: Sequence[str]) -> list[Scrubbed]:
        """Each text scrubbed, in the order given. Any Unicode is well, lone surrogates too."""
        if self.policy.language_models:
            read_ahead(self._recognizers, [_read(text).text for text in texts])
        return [self._scrub(text) for text in texts]

    def find(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """What would be cut out of each text."""
        return [scrubbed.spans for scrubbed in self.scrub(texts)]

    def candidates(
        self, texts: Sequence[str], at_least: float = 0.25, removed: Iterable[Sequence[Span]] | None = None
    ) -> list[tuple[Span, ...]]:
        """What was nearly cut out of each text: findings that score `at_least` this and less than the policy asks.

        Of findings that overlap the surest stays; what lies over something that is cut out is left out. `removed` are
        the texts' spans, for whoever has them already.
        """
        removed = self.find(texts) if removed is None else removed
        return [_apart(self._look(text, at_least), spans) for text, spans in zip(texts, removed, strict=True)]

    def replacement(self, span: Span, text: str) -> str:
        """What `scrub` puts in the place of a span of this text."""
        return self._replacement(span, text[span.start : span.end])

    def _scrub(self, text: str) -> Scrubbed:
        spans = self._look(text)
        if not spans:
            return Scrubbed(text, (), ())
        rounds = 0
        while rounds < _ROUNDS:
            rounds += 1
            out, origins = self._apply(text, spans)
            more = self._look(out)
            if not more:
                break
            spans = _joined([*spans, *(_moved(span, origins) for span in more)])
        return Scrubbed(out, tuple(sorted({span.kind for span in spans})), tuple(spans), rounds)

    def _look(self, text: str, at_least: float | None = None) -> list[Span]:
        """What recognisers find in a text: as surely as the policy asks, or `at_least` so surely, then not joined."""
        folded = _read(text)
        glance = Glance(folded.text)
        found: list[Span] = []
        for recognizer in self._recognizers:
            if recognizer.may_hold(glance):
                threshold = recognizer.threshold
                if threshold is None:
                    threshold = self._thresholds.get(recognizer.kind.value, 2.0)
                least = threshold if at_least is None else min(at_least, threshold)
                for start, end, score, rule in recognizer.find(folded.text):
                    if score >= least and start < end:
                        found.append(_span(recognizer, score, rule, *folded.original(start, end)))
        return _joined(found) if found and at_least is None else found

    def _apply(self, text: str, spans: Sequence[Span]) -> tuple[str, list[tuple[int, int, int]]]:
        """The text with every span replaced, and for each kept piece: start there, start here, length."""
        pieces: list[str] = []
        origins: list[tuple[int, int, int]] = []
        at = length = 0
        for span in spans:
            origins.append((length, at, span.start - at))
            replacement = self._replacement(span, text[span.start : span.end])
            pieces += (text[at : span.start], replacement)
            length += span.start - at + len(replacement)
            at = span.end
        origins.append((length, at, len(text) - at))
        return "".join((*pieces, text[at:])), origins

    def _replacement(self, span: Span, value: str) -> str:
        operator = self.policy.rule(Kind(span.kind)).operator
        if operator is Operator.REMOVE:
            return ""
        if operator is Operator.PLACEHOLDER:
            return f"<{span.kind}>"
        message = f"{span.kind}:{fold(value).text.casefold()}".encode("utf-8", "surrogatepass")
        return f"<{span.kind}:{hmac.new(self._key, message, hashlib.sha256).hexdigest()[:12]}>"


def holds(gazetteer: Gazetteer, text: str) -> bool:
    """Whether a scrubber that knows the gazetteer's names would find one of them when it looks at `text`."""
    folded = _read(text).text
    return gazetteer.may_hold(Glance(folded)) and any(True for _ in gazetteer.find(folded))


def _read(text: str) -> Folded:
    """A text as recognisers read it: folded, its placeholders inert."""
    return fold(_PLACEHOLDER.sub(lambda found: _INERT * len(found[0]), text) if "<" in text else text)


def _span(recognizer: TextRecognizer, score: float, rule: str, start: int, end: int) -> Span:
    return Span(start, end, recognizer.kind.value, float(score), f"{recognizer.name}/{rule}")


def _joined(spans: list[Span]) -> list[Span]:
    """Spans that overlap become one, of the longest one's kind; of equally long ones, the more particular one's.

    An IP address and many a document's number can also be read as a phone number, never the other way round.
    """
    spans.sort(key=lambda span: (span.start, -span.end))
    joined: list[Span] = []
    for span in spans:
        if not joined or span.start >= joined[-1].end:
            joined.append(span)
            continue
        last = joined[-1]
        best = max(last, span, key=lambda one: (one.end - one.start, one.kind != Kind.PHONE, one.score))
        joined[-1] = Span(last.start, max(last.end, span.end), best.kind, best.score, best.recognizer)
    return joined


def _apart(spans: Iterable[Span], removed: Sequence[Span]) -> tuple[Span, ...]:
    """The surest of `spans` that overlap neither what is removed nor each other, in the order of the text."""
    taken = [(span.start, span.end) for span in removed]
    apart: list[Span] = []
    for span in sorted(spans, key=lambda span: (-span.score, span.start, -span.end)):
        place = bisect(taken, (span.start, span.end))
        if all(span.end <= start or span.start >= end for start, end in taken[max(place - 1, 0) : place + 1]):
            taken.insert(place, (span.start, span.end))
            apart.append(span)
    return tuple(sorted(apart, key=lambda span: span.start))


def _moved(span: Span, origins: list[tuple[int, int, int]]) -> Span:
    """A span of a scrubbed text as one of the text before. Placeholders are never part of a span."""
    start = next(here + span.start - there for there, here, size in reversed(origins) if there <= span.start)
    end = next(here + span.end - there for there, here, size in reversed(origins) if there < span.end)
    return Span(start, end, span.kind, span.score, span.recognizer)
