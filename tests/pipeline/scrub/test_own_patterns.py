"""Patterns of a policy's own: what they find, what context does, and that a slow one is not taken."""

from typing import Any

import pytest

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.scrub import Scrubber, ScrubPolicy, own_patterns
from csmv.pipeline.scrub.pattern_check import refusal
from csmv.pipeline.validated import parse

STUDENT = {"name": "student number", "kind": "identifier", "regex": r"\b[a-z]\d{7}\b", "score": 0.3}


def policy_of(*patterns: dict[str, Any], **more: Any) -> ScrubPolicy:
    return parse(ScrubPolicy, {"patterns": list(patterns), **more}, "policy")


def scrubbed(policy: ScrubPolicy, text: str, language: str | None = None) -> str:
    return Scrubber(policy).scrub([text], [language])[0].text


def test_the_score_decides_and_context_raises_it_to_the_threshold() -> None:
    policy = policy_of(STUDENT | {"context": ["Matrikel", "student number"]})
    assert scrubbed(policy, "s1234567 is nice") == "s1234567 is nice"
    assert scrubbed(policy, "meine Matrikelnummer ist S1234567") == "meine Matrikelnummer ist <IDENTIFIER>"
    assert scrubbed(policy, "s1234567 is my Student  Number") == "<IDENTIFIER> is my Student  Number"
    assert scrubbed(policy, "student of a certain number s1234567") == "student of a certain number s1234567"
    far = "matrikel one two three four five six s1234567"
    assert scrubbed(policy, far) == far
    assert scrubbed(policy_of(STUDENT | {"score": 0.5}), "s1234567 is nice") == "<IDENTIFIER> is nice"
    high = policy_of(STUDENT | {"context": ["matrikel"]}, threshold=0.95)
    assert scrubbed(high, "matrikel s1234567") == "matrikel <IDENTIFIER>"


def test_a_finding_names_its_pattern_and_presidio_can_ask_it() -> None:
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NoOpNlpEngine

    scrubber = Scrubber(policy_of(STUDENT | {"context": ["matrikel"]}))
    (span,) = scrubber.find(["matrikel s1234567"])[0]
    assert span.recognizer == "OwnPatternRecognizer/student number"
    nlp = NoOpNlpEngine(models=[{"lang_code": "en", "model_name": "none"}])
    engine = AnalyzerEngine(registry=scrubber.registry, nlp_engine=nlp, supported_languages=["en"])
    (result,) = engine.analyze("matrikel s1234567", language="en", score_threshold=0.5)
    assert (result.entity_type, result.start, result.end) == ("IDENTIFIER", 9, 17)


def test_a_pattern_of_a_language_looks_at_that_language_and_where_nobody_knows() -> None:
    policy = policy_of(STUDENT | {"score": 1.0, "language": "de"})
    assert scrubbed(policy, "s1234567", "de-AT") == "<IDENTIFIER>"
    assert scrubbed(policy, "s1234567", None) == scrubbed(policy, "s1234567", "un") == "<IDENTIFIER>"
    assert scrubbed(policy, "s1234567", "fr") == "s1234567"


@pytest.mark.parametrize("regex", [r"\S+", r"[^ ]{1,9}", r".{3}", r"<\w+>", r"\*+", r"\[\w+\]"])
@pytest.mark.parametrize(
    "rule", [{}, {"operator": "remove"}, {"operator": "mask"}, {"replace": "[id]"}, {"replace": "nobody"}]
)
def test_a_pattern_that_fits_what_was_put_there_is_stable(regex: str, rule: dict[str, Any]) -> None:
    policy = policy_of(STUDENT | {"regex": regex, "score": 1.0}, identifier=rule)
    try:
        scrubber = Scrubber(policy)
    except CsmvError as error:
        assert "in the place of findings" in str(error)
        return
    once = scrubber.scrub(["s1234567 of <USERNAME>, *** [x] @kayla_r!"])[0].text
    assert scrubber.scrub([once])[0].text == once


@pytest.mark.parametrize(
    "regex",
    [
        *(r"\b\d{8}\b", r"[A-Z]{2}\d{5,9}", r"(?<!\d)\d{3}-\d{4}(?!\d)", r"matr(?:ikel)?\.?\s?nr\.?\s?\d{5,8}"),
        *(r"\bstud\w{0,20}\d{3,8}", r"(?:foo|bar|baz){1,5}\d", r"\b\w+-id\b", r"\b(?:[A-F0-9]{2}:){5}[A-F0-9]{2}\b"),
        *(r"(?<=student )\d+", r"(?:a{1,10}b{1,10}){1,5}c", r"x{1,200}y", r"(['\"])\d{3}\1"),
    ],
)
def test_a_pattern_of_linear_time_is_taken(regex: str) -> None:
    assert refusal(regex) == ""


SLOW = [r"(a|a)*b", r"(\w+\s?)+$", r"(?:ab|cd|abcd)+e", r"(\d+)*-", r"^(([a-z])+.)+[A-Z]([a-z])+$", r"(?=(\w+)+z)\w"]


@pytest.mark.parametrize(
    "regex",
    [
        *(r"(a+)+b", r"(x+x+)+y", r"\d+x", r"\w+@\w+", r"a.*b.*c"),
        *(pytest.param(regex, marks=pytest.mark.slow) for regex in (*SLOW, r"\s+\d{8}", r"(?:\d+,)*\d+;")),
    ],
)
def test_a_pattern_of_more_than_linear_time_is_refused(regex: str) -> None:
    with pytest.raises(CsmvError, match="the pattern 'student number' takes time that grows faster than the text"):
        policy_of(STUDENT | {"regex": regex})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"regex": "(a"}, "the pattern 'student number' is no regular expression"),
        ({"regex": r"\d*"}, "the pattern 'student number' fits an empty text"),
        ({"regex": r"(?=\d)"}, "fits an empty text"),
        ({"kind": "student"}, "there is no kind 'student'; the kinds are credit_card"),
        ({"kind": "person"}, "finds the kind 'person', which is off"),
        ({"score": 2}, "patterns.0.score"),
        ({"contexts": ["x"]}, "unknown key 'patterns.0.contexts'; did you mean 'context'"),
        ({"context": ["?"]}, "expected words"),
        ({"language": "German"}, "a language's code"),
        ({"name": ""}, "patterns.0.name"),
    ],
)
def test_a_mistake_in_a_pattern_is_named(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CsmvError) as error:
        policy_of(STUDENT | change)
    assert sentence in str(error.value)


def test_two_patterns_of_one_name_are_refused() -> None:
    with pytest.raises(CsmvError, match="two patterns are called 'student number'"):
        policy_of(STUDENT, STUDENT)


def test_a_pattern_that_runs_out_of_time_is_named_and_the_text_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a text that the check has not thought of."""
    scrubber = Scrubber(policy_of(STUDENT))
    (recognizer,) = (one for one in scrubber._recognizers if isinstance(one, own_patterns.OwnPatternRecognizer))
    monkeypatch.setattr(recognizer, "_compiled", own_patterns.compile_pattern("(k+)+b"))
    monkeypatch.setattr(own_patterns, "_SECONDS", 0.05)
    with pytest.raises(CsmvError, match="The pattern 'student number' of the scrub policy has not gone") as error:
        scrubber.scrub(["k" * 3000 + "x b"])
    assert "kkk" not in str(error.value)
