"""What the scrub's rules and a language model find in the same texts, and where only one of the two does."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from csmv.pipeline.progress import track
from csmv.pipeline.scrub.deny_list import DenyList
from csmv.pipeline.scrub.model_files import framework_of
from csmv.pipeline.scrub.names import is_of
from csmv.pipeline.scrub.policy import CompareSettings, EntityRule, Kind, NerModel, ScrubPolicy, StreamSettings
from csmv.pipeline.scrub.scrubber import Scrubber, Span
from csmv.pipeline.scrub_pool import ScrubPool
from csmv.pipeline.scrub_stream import PlacedText, StreamSummary, placed_texts

_TEXTS = 500
"""Texts that are compared together."""
WHO = ("both", "only_rules", "only_model")


@dataclass
class Comparison:
    """How often both found something, and how often one of them did.

    Attributes:
        stream: how many rows there were, and how many could not be read as asked.
        kinds: kind -> both, only_rules, only_model -> findings. Both is where findings overlap, under the rules' kind.
        renamed: findings of both that the model calls another kind.
        off: kind -> findings of the model of a kind that the policy leaves in, which are in no other number.
    """

    stream: StreamSummary = field(default_factory=StreamSummary)
    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    renamed: int = 0
    off: Counter[str] = field(default_factory=Counter)

    def rows(self) -> list[tuple[str, ...]]:
        """A row a kind, for a table: kind, both, only rules, only model."""
        return [(kind, *(f"{self.kinds[kind][who]:,}" for who in WHO)) for kind in sorted(self.kinds)]

    def sentences(self) -> list[str]:
        """What the table does not say."""
        said = [f"{self.stream.lines:,} {self.stream.noun}s."]
        if self.renamed:
            said.append(f"{self.renamed:,} findings of both have another kind by the model.")
        if self.off:
            kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(self.off.items()))
            said.append(f"Not listed, since the policy leaves these kinds in: {kinds}.")
        return said

    @property
    def bad(self) -> int:
        """How many rows could not be read as asked."""
        return self.stream.bad

    def about_bad_rows(self) -> str:
        """What became of the rows that could not be read as asked."""
        return (
            f"{self.bad:,} of {self.stream.lines:,} {self.stream.noun}s could not be read as asked, and were compared "
            "whole or left out, as --bad-rows says: correct them, or say with --field or --format what they hold."
        )

    def as_json(self) -> dict[str, object]:
        """For a machine."""
        kinds = {kind: {who: self.kinds[kind][who] for who in WHO} for kind in sorted(self.kinds)}
        return {
            "rows": self.stream.lines,
            "kinds": kinds,
            "renamed": self.renamed,
            "off": dict(sorted(self.off.items())),
        }


def model_to_compare(settings: CompareSettings, policy: ScrubPolicy) -> NerModel:
    """The model that `--compare` names: one of the policy's, with its settings there, or a folder or an id.

    Raises:
        CsmvError: nothing of this name is on this machine.
    """
    name = settings.compare or ""
    listed = [one for one in policy.language_models if one.name == name and settings.framework in (None, one.framework)]
    return listed[0] if listed else NerModel(framework=settings.framework or framework_of(name), name=name)


def compare(
    pool: ScrubPool,
    settings: StreamSettings,
    file: Path | None,
    asked: CompareSettings,
    *,
    as_json: bool,
    show_values: bool,
) -> Comparison:
    """Write each finding that only the rules or only the model has to standard output; ends the pool.

    A line of it is a sentence, or a JSON object: row of the stream, start and end in its text, kind, who found it, how
    surely and by which rule; with `show_values` the words, too. The rules are all that the pool's policy calls for
    but this model.

    Raises:
        CsmvError: the model is not there or fails, the file is not there, or its rows are not as expected.
    """
    model = model_to_compare(asked, pool.policy)
    on = frozenset(pool.policy.kinds)
    summary = Comparison()
    look = partial(_compared, model, on)
    with pool, pool.by(_with_model(pool.policy, model)) as both, track("scrub --compare", None) as tick:
        for batch, findings in both.map(look, _batches(placed_texts(settings, file, summary.stream))):
            for text, (differences, counts) in zip(batch, findings, strict=True):
                _add(summary, counts)
                for one in differences:
                    sys.stdout.write(
                        _as_json(text, one, show_values)
                        if as_json
                        else f"{summary.stream.noun} {_line(text, one, show_values)}"
                    )
            tick(len(batch))
    return summary


def _batches(texts: Iterable[PlacedText]) -> Iterator[list[PlacedText]]:
    rest = iter(texts)
    while batch := list(islice(rest, _TEXTS)):
        yield batch


class Difference(NamedTuple):
    """A finding that one of the two has: `rules` or `model`."""

    who: str
    span: Span


class _Counts(NamedTuple):
    kinds: list[tuple[str, str]]  # kind, who
    renamed: int
    off: list[str]


def _with_model(policy: ScrubPolicy, model: NerModel) -> ScrubPolicy:
    """The policy with the model beside what it has, and every kind on: what is off is told apart afterwards."""
    on: dict[str, Any] = {kind.lower(): EntityRule() for kind in Kind if kind not in policy.kinds}
    models = policy.models if model in policy.language_models else (*policy.models, model)
    return policy.model_copy(update=on | {"models": models})


def _compared(
    model: NerModel, on: frozenset[Kind], scrubber: Scrubber, batch: Sequence[PlacedText]
) -> list[tuple[list[Difference], _Counts]]:
    texts = [one.text for one in batch]
    by_rules = scrubber.only(lambda one: (one.kind in on or isinstance(one, DenyList)) and not is_of(one, model)).find(
        texts
    )
    by_model = scrubber.only(lambda one: is_of(one, model)).find(texts)
    return [_difference(rules, model_spans, on) for rules, model_spans in zip(by_rules, by_model, strict=True)]


def _difference(
    rules: Sequence[Span], model_spans: Sequence[Span], on: frozenset[Kind]
) -> tuple[list[Difference], _Counts]:
    counts = _Counts([], sum(1 for one in rules if _renamed(one, model_spans)), [])
    differences = []
    for span in rules:
        shared = any(_overlap(span, other) for other in model_spans)
        counts.kinds.append((span.kind, "both" if shared else "only_rules"))
        if not shared:
            differences.append(Difference("rules", span))
    for span in model_spans:
        if any(_overlap(span, other) for other in rules):
            continue
        if span.kind not in on:
            counts.off.append(span.kind)
            continue
        counts.kinds.append((span.kind, "only_model"))
        differences.append(Difference("model", span))
    return sorted(differences, key=lambda one: one.span.start), counts


def _renamed(span: Span, others: Sequence[Span]) -> bool:
    kinds = {other.kind for other in others if _overlap(span, other)}
    return bool(kinds) and span.kind not in kinds


def _overlap(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end


def _add(summary: Comparison, counts: _Counts) -> None:
    for kind, who in counts.kinds:
        summary.kinds.setdefault(kind, Counter())[who] += 1
    summary.renamed += counts.renamed
    summary.off.update(counts.off)


def _line(text: PlacedText, one: Difference, show_values: bool) -> str:
    span = one.span
    place = f", {text.place}" if text.place else ""
    value = f" {text.text[span.start : span.end]!r}" if show_values else ""
    where = f"{text.row}{place}: {span.start}-{span.end}"
    return f"{where} {span.kind} only {one.who} {span.score:.2f} {span.recognizer}{value}\n"


def _as_json(text: PlacedText, one: Difference, show_values: bool) -> str:
    span = one.span
    fields: dict[str, object] = {"row": text.row, "start": span.start, "end": span.end, "kind": span.kind}
    fields |= {"who": one.who, "score": span.score, "recognizer": span.recognizer}
    fields |= {"field": text.place} if text.place else {}
    fields |= {"value": text.text[span.start : span.end]} if show_values else {}
    return json.dumps(fields) + "\n"
