"""Finds personal data in batches of short texts and puts the policy's operator in its place.

Every character outside a finding stays as it was. Scrubbing a scrubbed text changes nothing. The text never reaches a
log or an exception.
"""

from bisect import bisect, bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from pydantic import SecretStr

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.scrub.deny_list import DenyList
from csmv.pipeline.scrub.folding import fold
from csmv.pipeline.scrub.gazetteer import Gazetteer
from csmv.pipeline.scrub.names import read_ahead
from csmv.pipeline.scrub.own_patterns import OwnPatternRecognizer
from csmv.pipeline.scrub.policy import OTHER, Kind, ScrubPolicy
from csmv.pipeline.scrub.presidio import registry_of
from csmv.pipeline.scrub.recognizer import Glance, TextRecognizer
from csmv.pipeline.scrub.replacements import Inert, Replacements, is_bracketed, placeholders_inert
from csmv.pipeline.scrub.roster import recognizers_for
from csmv.pipeline.scrub.spans import Span
from csmv.pipeline.scrub.spared import Spared
from csmv.pipeline.scrub.word_lists import WordLists

if TYPE_CHECKING:
    from presidio_analyzer.recognizer_registry import RecognizerRegistry

__all__ = ["Scrubbed", "Scrubber", "Span", "holds"]

_OWN = f"{OwnPatternRecognizer.__name__}/"
_AROUND = ("{}", "so {} said")
_GLUED = ("name{}mail.com", "name{}mail dot com", "name at gmail{}com")
"""What may stand around a text that is put in the place of a finding."""
_AROUND = ("{}", "so {} said")
_GLUED = ("name{}mail.com", "name{}mail dot com", "name at gmail{}com")
"""What may stand around a text that is put in the place of a finding; around one in brackets, the second too."""
_ROUNDS = 50
"""A cut can bring things together that were apart. Each round looks at the result of the one before."""


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """A text without its personal data, the kinds that were found in it (sorted), and where they were.

    `rounds` counts how often something was cut: after one round, only the text itself and the result were looked at.
    """

    text: str
    kinds: tuple[str, ...]
    spans: tuple[Span, ...]
    rounds: int = field(default=0, compare=False)


class _View:
    """A policy as it is for texts of one language: who looks, from what score on, and what is put in its place."""

    def __init__(self, policy: ScrubPolicy, recognizers: Iterable[TextRecognizer], key: SecretStr | None) -> None:
        self.replacements = Replacements(policy, key)
        self.looking = [
            (recognizer, policy.threshold_of(recognizer.kind) if recognizer.threshold is None else recognizer.threshold)
            for recognizer in recognizers
            if _is_asked(recognizer, policy)
        ]

    @cached_property
    def looking_without_digits(self) -> list[tuple[TextRecognizer, float]]:
        """Those who may find something in a text that has no digit."""
        return [one for one in self.looking if not one[0].needs_digits]

    def only(self, chosen: Callable[[TextRecognizer], bool]) -> "_View":
        """The same with some of those who look."""
        some = copy(self)
        some.__dict__.pop("looking_without_digits", None)
        some.looking = [(recognizer, threshold) for recognizer, threshold in self.looking if chosen(recognizer)]
        return some


def _is_asked(recognizer: TextRecognizer, policy: ScrubPolicy) -> bool:
    """Whether a policy, as it is for one language, asks a recogniser."""
    if isinstance(recognizer, OwnPatternRecognizer) and recognizer.pattern not in policy.patterns:
        return False
    return policy.rule(recognizer.kind).enabled or isinstance(recognizer, DenyList)


class Scrubber:
    """Scrubs texts by one policy. What is heavy is loaded with the first text that needs it: keep it for many."""

    def __init__(
        self,
        policy: ScrubPolicy,
        key: SecretStr | None = None,
        names: Iterable[str] = (),
        words: WordLists = WordLists(),  # noqa: B008  (immutable)
    ) -> None:
        """A scrubber for texts of any language.

        Args:
            policy: what is removed, and how.
            key: for keyed hashes.
            names: handles and display names known for this dataset.
            words: allowed and denied ones; those whose digests the policy has.

        Raises:
            CsmvError: the policy hashes and there is no key; it asks for a language model that is not there, or for
                other words; or one of its own texts would be scrubbed itself.
        """
        if policy.needs_key and key is None:
            raise CsmvError("The scrub policy replaces something by a keyed hash, and no key was given.")
        words.require(policy)
        self.policy = policy
        self._recognizers = recognizers_for(policy.widest, names, words.deny)
        self._inert = Inert(policy)
        self._spared = Spared(policy, words)
        self._views = {
            language: _View(policy.in_language(language), self._recognizers, key)
            for language in (None, OTHER, *policy.spoken)
        }
        self._check_own_texts()

    @property
    def gazetteer(self) -> Gazetteer | None:
        """What finds the names that were given; None without any, and where the policy leaves handles alone."""
        return next((one for one in self._recognizers if type(one) is Gazetteer), None)

    @property
    def registry(self) -> "RecognizerRegistry":
        """The recognisers in use, as Presidio's own AnalyzerEngine takes them."""
        return registry_of(self._recognizers)

    def scrub(self, texts: Sequence[str], languages: Sequence[str | None] | None = None) -> list[Scrubbed]:
        """Each text scrubbed, in the order given. Any Unicode is well, lone surrogates too.

        Args:
            texts: what is scrubbed.
            languages: of each text, where they are known; a policy may have other rules for some.
        """
        if self.policy.language_models:
            read_ahead(self._recognizers, [fold(self._inert(text)).text for text in texts])
        views = self._views_of(texts, languages)
        return [self._scrub(text, view) for text, view in zip(texts, views, strict=True)]

    def only(self, chosen: Callable[[TextRecognizer], bool]) -> "Scrubber":
        """A scrubber with some of the recognisers of this one."""
        some = copy(self)
        some._recognizers = [recognizer for recognizer in self._recognizers if chosen(recognizer)]
        some._views = {language: view.only(chosen) for language, view in self._views.items()}
        return some

    def find(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """What would be cut out of each text."""
        return [scrubbed.spans for scrubbed in self.scrub(texts)]

    def holds(self, text: str) -> bool:
        """Whether anything would be cut out of a text."""
        return bool(self._look(text, self._views[None]))

    def candidates(
        self,
        texts: Sequence[str],
        at_least: float = 0.25,
        removed: Sequence[Sequence[Span]] | None = None,
        languages: Sequence[str | None] | None = None,
    ) -> list[tuple[Span, ...]]:
        """What was nearly cut out of each text: findings that score `at_least` this and less than the policy asks.

        Of findings that overlap the surest stays; what lies over something that is cut out is left out.

        Args:
            texts: before scrubbing.
            at_least: the lowest score.
            removed: what is cut out of each, for whoever has it already.
            languages: as for `scrub`.
        """
        if removed is None:
            removed = [scrubbed.spans for scrubbed in self.scrub(texts, languages)]
        views = self._views_of(texts, languages)
        return [
            _apart(self._look(text, view, at_least), spans)
            for text, view, spans in zip(texts, views, removed, strict=True)
        ]

    def replacement(self, span: Span, text: str, language: str | None = None) -> str:
        """What `scrub` puts in the place of a span of this text."""
        (view,) = self._views_of([text], [language])
        return view.replacements.of(span.kind, text[span.start : span.end])

    def _views_of(self, texts: Sequence[str], languages: Sequence[str | None] | None) -> "list[_View]":
        if languages is None or not self.policy.by_language:
            return [self._views[None]] * len(texts)
        return [self._views[self.policy.language_of(language)] for language in languages]

    def _scrub(self, text: str, view: _View) -> Scrubbed:
        spans = self._look(text, view)
        if not spans:
            return Scrubbed(text, (), ())
        rounds = 0
        asked = Counter[int]()
        while rounds < _ROUNDS:
            rounds += 1
            out, pieces = _applied(text, spans, view.replacements, asked)
            more = self._look(out, view)
            if not more:
                break
            asked.update(pieces.replaced_in(more))
            spans = _joined([*spans, *map(pieces.moved, more)])
        return Scrubbed(out, tuple(sorted({span.kind for span in spans})), tuple(spans), rounds)

    def _look(self, text: str, view: _View, at_least: float | None = None) -> list[Span]:
        """What recognisers find in a text: as surely as the policy asks, or `at_least` so surely, then not joined."""
        folded = fold(self._inert(text))
        glance = Glance(folded.text)
        found: list[Span] = []
        # Most texts have no digit, and for those more than half of the recognisers need not be asked.
        for recognizer, threshold in view.looking if glance.digits else view.looking_without_digits:
            if recognizer.may_hold(glance):
                least = threshold if at_least is None else min(at_least, threshold)
                for start, end, score, rule in recognizer.look(glance):
                    if score >= least and start < end:
                        found.append(_span(recognizer, score, rule, *folded.original(start, end)))
        if found and self._spared:
            found = self._spared.left(found, text)
        return _joined(found) if found and at_least is None else found

    def _check_own_texts(self) -> None:
        """Raises CsmvError for a text of one's own that would be read as a finding, or as a part of one."""
        own = self._spared, self._inert
        self._spared, self._inert = Spared(ScrubPolicy(), WordLists()), placeholders_inert
        for text in sorted(self.policy.own_texts()):
            for context in (*_AROUND, *(_GLUED if is_bracketed(text) else ())):
                place = context.index("{")
                spans = (self._look(context.format(text), view) for view in self._views.values())
                if any(span.start < place + len(text) and span.end > place for found in spans for span in found):
                    raise CsmvError(
                        f"The scrub policy puts '{text}' in the place of findings, and that would itself be read as "
                        "one, or as part of one: take another text, such as '[user]'."
                    )
        self._spared, self._inert = own


class _Piece(NamedTuple):
    """A piece of a scrubbed text, where it stands there and in the text before, and whether it was kept."""

    out_start: int
    out_end: int
    start: int
    end: int
    is_kept: bool


class _Pieces:
    """The pieces of a scrubbed text in order, none of them empty."""

    def __init__(self, pieces: Sequence[_Piece]) -> None:
        self._pieces = pieces
        self._starts = [piece.out_start for piece in pieces]
        self._ends = [piece.out_end for piece in pieces]

    def moved(self, span: Span) -> Span:
        """A span of the scrubbed text as one of the text before; where it touches a replacement, all of the finding."""
        first = self._pieces[bisect_right(self._ends, span.start)]
        last = self._pieces[bisect_left(self._starts, span.end) - 1]
        start = first.start + span.start - first.out_start if first.is_kept else first.start
        end = last.start + span.end - last.out_start if last.is_kept else last.end
        return Span(start, end, span.kind, span.score, span.recognizer)

    def replaced_in(self, spans: Iterable[Span]) -> set[int]:
        """Where, in the text before, the findings began whose replacement is part of these spans."""
        return {
            piece.start
            for span in spans
            for piece in self._pieces[bisect_right(self._ends, span.start) : bisect_left(self._starts, span.end)]
            if not piece.is_kept
        }


def _applied(
    text: str, spans: Sequence[Span], replacements: Replacements, asked: Mapping[int, int]
) -> tuple[str, _Pieces]:
    """The text with every span replaced, and the pieces it is made of; empty ones are left out.

    `asked` says of beginnings of spans how often what was put in their place was found again.
    """
    pieces: list[_Piece] = []
    written: list[str] = []
    at = length = 0

    def put(piece: str, start: int, end: int, is_kept: bool) -> None:
        nonlocal length
        if piece:
            written.append(piece)
            pieces.append(_Piece(length, length + len(piece), start, end, is_kept))
            length += len(piece)

    for span in spans:
        put(text[at : span.start], at, span.start, True)
        times = max((times for start, times in asked.items() if span.start <= start < span.end), default=0)
        put(replacements.of(span.kind, text[span.start : span.end], times), span.start, span.end, False)
        at = span.end
    put(text[at:], at, len(text), True)
    return "".join(written), _Pieces(pieces)


def holds(gazetteer: Gazetteer, text: str) -> bool:
    """Whether a scrubber that knows the gazetteer's names would find one of them when it looks at `text`."""
    folded = fold(placeholders_inert(text)).text
    return gazetteer.may_hold(Glance(folded)) and any(True for _ in gazetteer.find(folded))


def _span(recognizer: TextRecognizer, score: float, rule: str, start: int, end: int) -> Span:
    return Span(start, end, recognizer.kind.value, float(score), f"{recognizer.name}/{rule}")


def _weight(span: Span) -> tuple[int, bool, bool, float]:
    """What decides of two spans that overlap whose kind they get."""
    is_own = span.recognizer.startswith(_OWN)
    return span.end - span.start, is_own, span.kind != Kind.PHONE, span.score


def _joined(spans: list[Span]) -> list[Span]:
    """Spans that overlap become one, of the longest one's kind; of equally long ones, the more particular one's.

    What a policy describes itself is more particular than what everybody looks for. An IP address and many a
    document's number can also be read as a phone number, never the other way round.
    """
    spans.sort(key=lambda span: (span.start, -span.end))
    joined: list[Span] = []
    for span in spans:
        if not joined or span.start >= joined[-1].end:
            joined.append(span)
            continue
        last = joined[-1]
        best = max(last, span, key=_weight)
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
