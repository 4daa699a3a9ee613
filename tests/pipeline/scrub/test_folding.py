"""What each kind of character becomes, and which part of the original a folded span came from."""

import pytest

from csmv.pipeline.scrub.folding import fold


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        # dots and quotes
        ("a。b｡c·d•e∙f‧g", "a.b.c.d.e.f.g"),
        ("‘a’ ‛b` c´", "'a' 'b' c'"),
        ("“a” „b”", '"a" "b"'),
        ("XX‘’ XX·", "XX'' XX."),
        # dashes and the minus sign
        ("1‐2‑3‒4–5—6―7−8－9", "1-2-3-4-5-6-7-8-9"),
        # spaces: no-break, thin, ideographic; a line's end is none
        ("a\u00a0b\u2009c\u3000d\ne", "a b c d\ne"),
        # digits of other scripts, circled, raised, full-width, double-struck and in keycaps
        ("٠١٩ ०९ ①⑨ ²₃ ０９ 𝟘𝟡", "019 09 19 23 09 09"),
        ("5️⃣ 🔟", "5 10"),
        # letters: full-width, mathematical, circled, raised; ligatures and fractions keep their place
        ("ＫａＹ 𝓴𝔞𝕪 ⓚⓐ ᵏ", "KaY kay ka k"),
        ("ﬁ ½ ℀ Ǆ", "ﬁ ½ ℀ Ǆ"),
        # accents go from Latin letters, however they are typed, and from no others
        ("Zoë ZOE\u0308 ñ Å \u212b ợ ḗ İ", "Zoe ZOE n A A o e I"),
        ("ø ß й ё が 가", "ø ß й ё が 가"),
        ("＠ｎａｍｅ．ｘ", "@name.x"),
        # other things stay as they are
        ("你好 سلام 🔥 € <USERNAME>", "你好 سلام 🔥 € <USERNAME>"),
        ("", ""),
    ],
)
def test_plain_forms(text: str, plain: str) -> None:
    assert fold(text).text == plain


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (0x0300, 0x036F),  # accents that are typed apart
        (0x20D0, 0x20FF),  # the same for symbols, the keycap's frame among them
        (0xFE00, 0xFE0F),  # which form of an emoji to show
        (0x1F3FB, 0x1F3FF),  # skin tones
        (0x180E, 0x180E),
        (0x115F, 0x1160),  # blank Hangul letters
        (0x3164, 0x3164),
        (0xFFA0, 0xFFA0),
        (0x00AD, 0x00AD),  # soft hyphen
        (0x200B, 0x200F),  # zero-width space and joiners, direction marks
        (0x202A, 0x202E),
        (0xFEFF, 0xFEFF),
        (0xE0020, 0xE007F),  # tags
    ],
)
def test_invisible_characters_go_and_their_neighbours_stay(first: int, last: int) -> None:
    for code in {first, (first + last) // 2, last}:
        assert fold(f"é{chr(code)}x").text == "ex", hex(code)
    neighbours = "\u02ff\u0370\U0001f3fa\U0001f400\u20cf\u180d"
    assert fold(neighbours).text == neighbours
    assert fold("︐").text == ","  # U+FE10


def test_plain_ascii_is_handed_back() -> None:
    text = "so good! it's `fine` - 100%"
    assert fold(text).text is text
    assert fold(text).origins is None


def test_where_every_character_keeps_its_place_there_are_no_origins() -> None:
    folded = fold("Zoë – ok")
    assert (folded.text, folded.origins) == ("Zoe - ok", None)
    assert folded.original(0, 3) == (0, 3)


def test_origins_of_characters_that_became_none_or_two() -> None:
    folded = fold("a\u200b\u200cé🔟z")
    assert folded.text == "ae10z"
    assert folded.origins == (0, 3, 4, 4, 5, 6)
    assert fold("\u200b").origins == (1,)


@pytest.mark.parametrize(
    ("text", "word", "original"),
    [
        ("hi ka\u200byla ok", "kayla", "ka\u200byla"),
        ("\u200bkayla", "kayla", "kayla"),
        ("x kayla\u200b\u200b y", "kayla", "kayla\u200b\u200b"),  # what follows unseen belongs to it
        ("5️⃣x", "5", "5️⃣"),
        ("x5️⃣6️⃣", "56", "5️⃣6️⃣"),
        ("🔟", "10", "🔟"),
        ("a🔟b", "1", "🔟"),  # half of a character is the character
        ("a🔟b", "0", "🔟"),
        ("a🔟b", "0b", "🔟b"),
        ("a🔟b", "a1", "a🔟"),
        ("é\u200bkayla", "k", "k"),
    ],
)
def test_a_folded_span_leads_back_to_the_original(text: str, word: str, original: str) -> None:
    folded = fold(text)
    start = folded.text.index(word)
    first, last = folded.original(start, start + len(word))
    assert text[first:last] == original


def test_the_same_text_twice_folds_the_same() -> None:
    """The second time every character has been met before."""
    for text in ("１２\u200b🔟 ëÜ", "１２\u200b🔟 ëÜ", "\u200b１"):
        assert fold(text) == fold(text)
    assert fold("\u200b１").text == "1"
    assert fold("\u200b１").original(0, 1) == (1, 2)
