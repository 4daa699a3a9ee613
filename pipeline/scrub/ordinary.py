"""Tells ordinary words from names and handles by how often people write them, in the languages of social media.

Frequencies come from the `wordfreq` package (Robyn Speer, CC BY-SA 4.0): web, books, Reddit and Twitter.
"""

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
