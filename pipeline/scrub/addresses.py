"""Street addresses: a house number and a street by its type, in the order of the language.

Only forms that name both are found: a lone "Main Street" says where something is, not where somebody lives.
"""

import re
from collections.abc import Iterator

from csmv.pipeline.scrub.ordinary import is_ordinary
from csmv.pipeline.scrub.policy import Kind
from csmv.pipeline.scrub.recognizer import Finding, Glance, TextRecognizer

_AFTER = (
    "street st avenue ave av road rd boulevard blvd lane ln drive dr court ct way place pl terrace ter circle cir "
    "highway hwy parkway pkwy square sq trail trl crescent cres close gardens grove mews row hill loop alley"
)
_BEFORE = (
    "calle carrera avenida av avda plaza paseo rua travessa alameda rue avenue boulevard chemin impasse allee quai via "
    "viale corso piazza vicolo ul ulica aleja al jalan jl gang calea strada bulevardul ulitsa улица ул вулиця проспект"
)
_GERMANIC = (
    "strasse straße str weg allee platz gasse ring damm ufer straat laan weg plein gracht gatan vagen veien gate vej"
)
_NUMBER = r"\d{1,5}(?:\s?[a-zA-Z])?(?:[-/]\d{1,4}[a-zA-Z]?)?"
_SPEECH = (
    "a an the is are was in on of to and or at times it way be than that this so my your i you for every each some any "
    "no all more most same other another what which who how why when where if but just not very"
)


def _any(words: str) -> str:
    return "|".join(words.split())


_NAMED = rf"(?!(?i:{_any(_SPEECH)})\b)(?:[A-ZÀ-ÞА-Я][\w'.-]{{0,24}}|\d+(?:st|nd|rd|th))"
_ENGLISH = re.compile(
    rf"(?<![\w.,$€£-])\d{{1,5}}[a-zA-Z]?,?\s+(?:[NSEWnsew]\.?\s+|(?:North|South|East|West)\s+)?(?:{_NAMED}\s+){{1,3}}"
    rf"(?:(?i:{_any(_AFTER)}))\b\.?(?:,?\s+(?i:apt|apartment|unit|suite|ste|flat|#)\.?\s?\w{{1,5}})?"
    rf"(?:,\s*{_NAMED}(?:\s+{_NAMED}){{0,2}})?(?:,?\s+[A-Z]{{2}}\b)?"
    r"(?:,?\s+(?:\d{5}(?:-\d{4})?|[A-Z]{1,2}\d[\dA-Z]? ?\d[A-Z]{2})\b)?"
)
_LOWER_ENGLISH = re.compile(
    r"(?i:\b(?:live|lives|living|address|house|home|pull up|come|deliver|send|ship|mail|located|find me)\b"
    r"[\w\s:,']{0,20}?)"
    rf"(?P<address>\b\d{{1,5}}\s+(?:[\w'.-]{{2,24}}\s+){{1,3}}(?i:{_any(_AFTER)})\b)"
)
_ROMANCE = re.compile(
    rf"(?<!\w)(?i:{_any(_BEFORE)})\b\.?\s+"
    r"(?:(?:de|del|de la|des|du|da|das|do|dos|della|delle|degli|dei|di|la|le|les|los|las)\s+){0,2}"
    rf"(?:{_NAMED}\s+){{0,3}}{_NAMED},?\s+(?:(?i:n[°º.o]|no|nr|num|numero|número)\.?\s*)?{_NUMBER}(?!\w|[.,]\d|%)"
)
_FRENCH = re.compile(
    r"(?<![\w.,$€£-])\d{1,4}(?:\s?(?:bis|ter))?,?\s+"
    r"(?i:rue|avenue|boulevard|chemin|impasse|allee|quai|place|route)\s+"
    rf"(?:(?:de|du|des|la|le|les|l'|d')\s*){{0,2}}{_NAMED}(?:[\s-]{_NAMED}){{0,3}}"
)
_GERMAN = re.compile(
    rf"(?<!\w)[A-ZÄÖÜ][\w-]{{2,30}}(?:\s(?i:{_any(_GERMANIC)})|(?i:{_any(_GERMANIC)}))\.?\s+{_NUMBER}(?!\w|[.,]\d|%|:)"
    rf"(?:,?\s+\d{{4,5}}\s+{_NAMED})?"
)
_ASIAN = re.compile(
    r"[\w一-鿿]{1,12}[路街道巷]\s?\d{1,5}\s?[号號弄]|\d{1,4}[-−]\d{1,4}[-−]\d{1,4}\s?[一-鿿]{2,8}[区市町]"
)
_TYPES = frozenset((*_AFTER.split(), *_BEFORE.split()))
_GLUED = re.compile(_any(_GERMANIC) + "|[路街道巷区市町]", re.I)


_WORDS = re.compile(r"\s(?:way|place)\b")
"""In small letters they are words: "2 Good way to go"."""


def _is_a_rank(written: str) -> bool:
    """Whether it is "Platz 1" behind an ordinary word, and no square: "Glückwunsch Platz 1"."""
    first, _, rest = written.partition(" ")
    return rest[:1].isalpha() and is_ordinary(first) and not first.lower().endswith("er")


class AddressRecognizer(TextRecognizer):
    """Finds street addresses."""

    kind = Kind.STREET_ADDRESS

    def may_hold(self, glance: Glance) -> bool:
        """An address has a house number and a word for its street."""
        if not glance.digits:
            return False
        return not _TYPES.isdisjoint(glance.words) or _GLUED.search(glance.text) is not None

    def find(self, text: str) -> Iterator[Finding]:
        """Addresses in each language's order."""
        rules = (
            ("English", _ENGLISH),
            ("Romance", _ROMANCE),
            ("French", _FRENCH),
            ("Germanic", _GERMAN),
            ("Asian", _ASIAN),
        )
        for rule, pattern in rules:
            for match in pattern.finditer(text):
                if (rule == "Germanic" and _is_a_rank(match[0])) or (rule == "English" and _WORDS.search(match[0])):
                    continue
                yield match.start(), match.end(), 0.7, rule
        for match in _LOWER_ENGLISH.finditer(text):
            yield *match.span("address"), 0.65, "after a word for home"
