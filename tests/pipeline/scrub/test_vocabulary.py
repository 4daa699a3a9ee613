"""The words that recognisers listen for: a text that holds an entry is never passed over."""

import re

import pytest

from csmv.pipeline.scrub import Scrubber, ScrubPolicy, vocabulary
from csmv.pipeline.scrub.recognizer import Glance
from csmv.pipeline.scrub.vocabulary import SPACED, Tokens, either

LISTS = ("CLEAR_PLATFORMS", "SHORT_PLATFORMS", "VAGUE_PLATFORMS", "GAMES", "PLAYER_NAMES", "PLAYER_HANDLES", "CREDITS")


@pytest.mark.parametrize("name", LISTS)
def test_a_text_that_holds_an_entry_is_never_passed_over(name: str) -> None:
    words = getattr(vocabulary, name)
    tokens = Tokens(words)
    found = re.compile(rf"(?<![{SPACED}])(?:{either(words)})(?![{SPACED}])", re.I)
    for entry in words.split():
        for gap in (" ", "\n", ""):
            for around in ("{}", "so {}: x", "我{}号"):
                text = around.format(entry.replace("_", gap)).upper()
                if found.search(text.lower()):
                    glance = Glance(text.lower())
                    assert tokens.are_in(glance.text, glance.words), text


def test_a_part_of_an_entry_is_not_one() -> None:
    tokens = Tokens("you_tube be_real free_fire_max +v 加v ins账号")
    for text in ("are you in the tub", "to be or not", "free max", "ve"):
        assert not tokens.are_in(text, Glance(text).words), text
    for text in ("you tube", "youtube", "free firemax", "max: fire free", "+v", "加v", "我的ins账号是"):
        assert tokens.are_in(text, Glance(text).words), text


@pytest.mark.parametrize("text", ["", "Hi, you_2 there! A-b 12", "ÀB ｘ 12 ١٢", "\x00a\x7fb 3"])
def test_a_glance_at_ascii_sees_what_the_expressions_see(text: str) -> None:
    glance = Glance(text)
    assert glance.words == frozenset(vocabulary.WORD.findall(text.lower()))
    assert glance.digits == len(re.findall(r"\d", text))


def test_who_needs_digits_finds_nothing_without_any() -> None:
    recognizers = [one for one in Scrubber(ScrubPolicy())._recognizers if one.needs_digits]
    assert len(recognizers) >= 5
    for text in ("my passport is AB - C", "iban DE: x", "plate AB-CD", "password: hunter", "a.b.c.d", "f::a::b"):
        for recognizer in recognizers:
            assert not recognizer.may_hold(Glance(text)), recognizer.name
