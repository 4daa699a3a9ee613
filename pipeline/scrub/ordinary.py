"""Tells ordinary words from names and handles by how often people write them, in the languages of social media.

Frequencies come from the `wordfreq` package (Robyn Speer, CC BY-SA 4.0): web, books, Reddit and Twitter.
"""

import re
from functools import cache

from csmv.pipeline.scrub.folding import fold
from csmv.pipeline.scrub.vocabulary import SLANG

_LANGUAGES = (
    *("en", "es", "fr", "de", "pt", "it", "nl", "pl", "tr", "ro", "sv", "nb", "id", "ms", "fil", "vi"),
    *("ru", "uk", "ar", "hi"),
)
# Zipf values: the logarithm of a word's uses in a billion words.
_ENGLISH_AT_LEAST = 3.0
_OTHERS_AT_LEAST = 4.0
_EVERYDAY_AT_LEAST = 5.5
_SLANG = frozenset(SLANG.split())


@cache
def _words() -> dict[str, float]:
    from wordfreq import get_frequency_list

    words: dict[str, float] = {}
    for language in _LANGUAGES:
        least = _ENGLISH_AT_LEAST if language == "en" else _OTHERS_AT_LEAST
        # The list is in steps of a hundredth of Zipf's logarithm, down from 9, the most frequent words first.
        for step, same in enumerate(get_frequency_list(language, "small")[: round((9 - least) * 100) + 1]):
            for word in same:
                plain = word if word.isascii() else fold(word).text
                words[plain] = max(9 - step / 100, words.get(plain, 0.0))
    return words


def is_ordinary(word: str) -> bool:
    """Whether a word is one in a million in English, one in 100,000 in another language, slang, or digits."""
    plain = fold(word.lower()).text
    return word.isdecimal() or plain in _SLANG or plain in _words()


def is_everyday(word: str, at_least: float = _EVERYDAY_AT_LEAST) -> bool:
    """Whether a word is among the few hundred most used of a language, such as `the`, `best` or `good`.

    `at_least` is on Zipf's scale: the logarithm of its uses in a billion words.
    """
    return _words().get(fold(word.lower()).text, 0.0) >= at_least


def is_shaped(name: str) -> bool:
    """Whether a word is written as handles are: letters with digits, an underscore, or a dot inside."""
    letters = any(char.isalpha() for char in name)
    return letters and ("_" in name or any(char.isdecimal() for char in name) or _is_dotted(name))


def is_clearly_shaped(name: str) -> bool:
    """Whether it is shaped like a handle and not like a product or a part: "iphone12", "ps5", "part2"."""
    if not is_shaped(name) or name[0].isdecimal() or is_product(name):
        return False
    if "_" in name or _is_dotted(name):
        return True
    letters = name.rstrip("0123456789")
    return len(letters) > 3 and not is_ordinary(letters) and "-" not in name


def _is_dotted(name: str) -> bool:
    """Whether there is a dot between parts that are no sentence's end and beginning."""
    parts = name.split(".")
    if len(parts) < 2 or not all(parts) or all(is_ordinary(part) for part in parts):
        return False
    # "home.See" lost the space between two sentences.
    return not (parts[0].islower() and any(part.istitle() for part in parts[1:]))


def is_written_like_handle(name: str) -> bool:
    """Whether a word is shaped like a handle, or of three letters or more and no ordinary word."""
    return len(name) >= 3 and (is_shaped(name) or not is_ordinary(name))


def is_product(name: str) -> bool:
    """Whether a word with a number is a device, a game or a part of something: "ps5", "gta6", "s23", "ep4"."""
    return _PRODUCT.fullmatch(name) is not None


_PRODUCT = re.compile(
    r"(?:ps|xbox|gta|mw|cod|bo|fifa|fc|nba|nba2k|2k|mk|rdr|tlou|fnaf|re|ff|dmc|gow|cs|dota|ark|ios|iphone|ipad|win|wii"
    r"|switch|android|s|note|z|a|rtx|gtx|rx|i|ep|e|pt|part|vol|ch|chapter|season|lvl|level|day|top|no|ver|v|web|h|mp|ao"
    r"|utube|tv|4k|cod_mobile|bo|ww|l4d|hl|p|d|u|k|x|b|r|t|m|c|g|q|f|o|n)-?\d{1,4}[a-z]?",
    re.I,
)
