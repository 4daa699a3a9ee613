"""Phone numbers the way people type them: any country's grouping, digits of any script, digits and signs in words.

Comments are full of other numbers, so a run of digits is a phone number only with evidence: a plus sign, a word such
as "call" near it, or a grouping that some country's numbering plan knows. Scores, prices, years, counts and dates
have evidence against them. Numbering plans come from the `phonenumbers` package (libphonenumber's data).
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

from csmv.pipeline.scrub.policy import Kind
from csmv.pipeline.scrub.recognizer import Finding, Glance, TextRecognizer
from csmv.pipeline.scrub.vocabulary import (
    CALLED_AFTER,
    CALLED_BEFORE,
    CALLED_BEFORE_STEMS,
    MONEY_BEFORE,
    SPACED,
    UNITS,
    either,
)

_REGIONS = """
US GB CA AU NZ IE IN PK BD LK DE AT CH FR BE NL ES PT IT BR MX AR CO CL PE SE NO DK FI PL CZ RO HU GR RU UA TR IL SA AE
EG NG KE ZA GH ID MY PH SG TH VN JP KR CN HK TW
"""
SHORTEST, LONGEST = 7, 15
SHORTEST_CALLED = 5
"""Digits: E.164 allows 15, and the shortest subscriber numbers people write have 7."""

_GAP = (
    r"(?: ?[-./()\[\]~_*|,]{1,3} ?| {1,3}| ?(?:dash|minus|hyphen|dot|punto|guion|tiret) ?"
    r"| ?[🔸🔹▪•➖💠⭐✨]{1,2} ?)"
)
_GLUED_WORDS = "call text tel phone whatsapp dial number sms cell mobile ring"
_GLUED = "|".join(f"(?<={word})" for word in _GLUED_WORDS.split())
"""Words to which a number is glued now and then."""
_RUN = re.compile(rf"(?:(?<![{SPACED}])|{_GLUED})(?:\+ ?|\()?\(?\+?\d(?:{_GAP}?\d)*", re.I)
_EXTENSION = re.compile(r"\s?(?:x|ext\.?|extension|poste|durchwahl)\s?\d{1,6}(?!\w)", re.I)
_GROUP = re.compile(r"\d+")
_PARTING = re.compile(r"[\s|]")
_JOINT = re.compile(r"[,/;&]")
_WHOLE = 9
"""Digits of one group that are a number by themselves."""
_WORD_DIGITS = {
    "zero": "0", "oh": "0", "o": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
    "seven": "7", "eight": "8", "nine": "9", "niner": "9", "cero": "0", "uno": "1", "dos": "2", "tres": "3",
    "cuatro": "4", "cinco": "5", "seis": "6", "siete": "7", "ocho": "8", "nueve": "9", "um": "1", "dois": "2",
    "quatro": "4", "sete": "7", "oito": "8", "nove": "9", "un": "1", "deux": "2", "trois": "3", "quatre": "4",
    "cinq": "5", "sept": "7", "huit": "8", "neuf": "9", "null": "0", "eins": "1", "zwei": "2", "drei": "3",
    "vier": "4", "funf": "5", "sechs": "6", "sieben": "7", "acht": "8", "neun": "9",
}  # fmt: skip
_NUMBER_WORD = "|".join(sorted(_WORD_DIGITS, key=len, reverse=True))
_SPELLED_DIGIT = rf"(?:{_NUMBER_WORD}|\d{{1,4}})"
_SPELLED = re.compile(
    rf"(?<!\w)(?:(?:double|triple) )?{_SPELLED_DIGIT}"
    rf"(?:[\s,.-]{{1,3}}(?:(?:double|triple|dash|plus) )?{_SPELLED_DIGIT}){{4,20}}(?!\w)",
    re.I,
)
_SPELLED_PART = re.compile(rf"(?:(double|triple) )?(?<!\w)({_NUMBER_WORD}|\d{{1,4}})(?!\w)", re.I)
_CONTEXT_BEFORE = re.compile(rf"\b(?:{either(CALLED_BEFORE)})\b|{either(CALLED_BEFORE_STEMS)}", re.I)
_CONTEXT_AFTER = re.compile(
    r"^\W{0,4}(?:(?:is|that's|thats|its|it's|das ist|es|c'est|est|e|ist|on|this is)\s+)?"
    rf"(?:my|mi|meu|mon|meine?|mio|the)?\s*(?:\w+\s)?(?:(?:{either(CALLED_AFTER)})\b|[☎📞📱📲])",
    re.I,
)
_CALLED_DIRECTLY = re.compile(
    r"\b(?:call|text|ring|phone|dial|whats ?app|sms|tel|reach|contact|llama(?:me|nos)?|appelle[rz]?|ruf|ligue"
    r"|chiama(?:mi|ci)?)"
    r"(?:\s+(?:me|us|him|her|them|at|on|al|a|to|now|the|number|no|nr|mich|uns|an|au|le|para|o))*\W{0,3}$",
    re.I,
)
"""A word that asks for a call, and nothing but its own little words between it and the number."""
_UNIT = re.compile(rf"^ ?(?:[%€$£¥₹°+]|(?:{either(UNITS)})\b)", re.I)
_MONEY_BEFORE = re.compile(rf"(?:[$€£¥₹#=<>×÷^]|\b(?:{either(MONEY_BEFORE)})\.?)\s?$", re.I)
_US_SHAPE = re.compile(r"\+?(?:1[ .-]?)?\(?[2-9]\d{2}\)?[ .-]{0,2}\d{3}[ .-]\d{4}")
_DATE = re.compile(
    r"(?:\d{1,2}[ ./-]{1,3}\d{1,2}[ ./-]{1,3}(?:19|20)\d{2}|(?:19|20)\d{2}[ ./-]{1,3}\d{1,2}[ ./-]{1,3}\d{1,2})"
)
_YEARS = re.compile(r"(?:19|20)\d{2}(?:\D+(?:19|20)?\d{2})+|(?:19|20)\d{2}\D\d{4}")
_CLOCKS = re.compile(r"\d{1,2}[.:]\d{2}(?:\D+\d{1,2}[.:]\d{2})+")
_LIST = re.compile(r",|/.*/|(?<!\d)[1-9]\d{0,2}(?:\.\d{3}){2,}(?!\d)")
_LETTER = re.compile(r"[A-Za-z]")
_HAS_WORD = re.compile(r"[^\W_]")
_SCORES = re.compile(r"\d{1,3}-\d{1,3}(?:,? +\d{1,3}-\d{1,3})+")
_LADDER = "01234567890123456789"


class PhoneNumberRecognizer(TextRecognizer):
    """Finds phone numbers."""

    kind = Kind.PHONE

    def may_hold(self, glance: Glance) -> bool:
        """A number has seven digits, or words for them."""
        return glance.digits >= SHORTEST_CALLED or not glance.words.isdisjoint(_WORD_DIGITS)

    def find(self, text: str) -> Iterator[Finding]:
        """Numbers in digits, then numbers in words."""
        for run in _RUN.finditer(text):
            digits = sum(char.isdecimal() for char in run[0])
            if digits >= SHORTEST:
                yield from _in_run(text, run.start(), run.end())
            elif digits >= SHORTEST_CALLED and _is_short_and_called(text, run):
                yield run.start(), run.end(), 0.7, "short, called a number"
        for match in _SPELLED.finditer(text):
            score = _spelled_score(text, match)
            if score:
                yield match.start(), match.end(), score, "digits in words"


def _is_short_and_called(text: str, run: re.Match[str]) -> bool:
    """Whether a run of five or six digits is what a small country's numbers are like, and is to be rung."""
    digits = "".join(char for char in run[0] if char.isdecimal())
    if _is_round(digits) or len(set(digits)) < 3 or _UNIT.match(text[run.end() : run.end() + 40]):
        return False
    return _CALLED_DIRECTLY.search(text[max(0, run.start() - 40) : run.start()]) is not None


def _in_run(text: str, start: int, end: int) -> Iterator[Finding]:
    """The best reading of a run of digits and signs: the longest series of groups that is a number, from the left.

    A series begins and ends where a writer would part two numbers, never inside "2016/17-2019/20".
    """
    groups = [match.span() for match in _GROUP.finditer(text, start, end)]
    if len(groups) > 3 * LONGEST and all(end - start == 1 for start, end in groups):
        return  # a list of figures
    parted = [True, *(_PARTING.search(text, a[1], b[0]) is not None for a, b in pairwise(groups)), True]
    for place in _between_numbers(text, groups):
        parted[place] = True
    first = 0
    while first < len(groups):
        reading = _longest(text, start, groups, parted, first) if parted[first] else None
        if reading is None:
            first += 1
            continue
        last, finding = reading
        yield finding
        first = last + 1


def _between_numbers(text: str, groups: list[tuple[int, int]]) -> Iterator[int]:
    """The groups that begin another number: behind a comma or slash, or a sign of any kind between two whole ones."""
    joints = [place for place, (a, b) in enumerate(pairwise(groups), 1) if _JOINT.search(text, a[1], b[0])]
    edges = [0, *joints, len(groups)]
    sizes = [sum(end - start for start, end in groups[a:b]) for a, b in pairwise(edges)]
    for place, (before, after) in zip(joints, pairwise(sizes), strict=True):
        if SHORTEST <= before <= LONGEST and SHORTEST <= after <= LONGEST:
            yield place
    for place, (a, b) in enumerate(pairwise(groups), 1):
        if min(a[1] - a[0], b[1] - b[0]) >= _WHOLE:
            yield place


def _longest(
    text: str, start: int, groups: list[tuple[int, int]], parted: list[bool], first: int
) -> tuple[int, Finding] | None:
    """The longest number that begins with group `first`, and its last group."""
    digits, last = 0, first
    while last < len(groups) and digits + groups[last][1] - groups[last][0] <= LONGEST + 2:
        digits += groups[last][1] - groups[last][0]
        last += 1
    opening = _opening(text, start, groups[first][0])
    while last > first and digits >= SHORTEST:
        last -= 1
        if parted[last + 1]:
            end = _closing(text, groups[last][1])
            score, rule = _judge(text, opening, end, [text[a:b] for a, b in groups[first : last + 1]])
            if score:
                return last, (opening, end, score, rule)
        digits -= groups[last][1] - groups[last][0]
    return None


def _opening(text: str, floor: int, at: int) -> int:
    """Where a number begins that has its first digit at `at`: at its bracket or plus sign, if it has them."""
    while at > floor and text[at - 1] in "+(":
        at -= 1
    if at >= 2 and text[at - 1] == " " and text[at - 2] == "+" and at - 2 >= floor:
        at -= 2
    return at


def _closing(text: str, end: int) -> int:
    extension = _EXTENSION.match(text, end)
    if extension is not None:
        return extension.end()
    return end + 1 if text[end : end + 1] == ")" and "(" in text[max(0, end - 8) : end] else end


def _judge(text: str, start: int, end: int, groups: list[str]) -> tuple[float, str]:
    """The score of one candidate and the rule that gave it; 0 if it is no number."""
    written, digits = _EXTENSION.sub("", text[start:end]), "".join(groups)
    if not SHORTEST <= len(digits) <= LONGEST + 2 or len(set(digits)) < 3:
        return 0.0, ""
    if digits in _LADDER and not _CALLED_DIRECTLY.search(text[max(0, start - 40) : start]):
        return 0.0, ""
    bare = written.strip("() ")
    if any(shape.fullmatch(bare) for shape in (_DATE, _YEARS, _CLOCKS)) or _counts_up(groups):
        return 0.0, ""
    after, before = text[end : end + 40], text[max(0, start - 45) : start]
    if written[0] == "+" or written.startswith("(+"):
        return (0.9, "international") if _is_international(written, digits, groups) else (0.0, "")
    if _UNIT.match(after):
        return 0.0, ""
    called = _CONTEXT_BEFORE.search(before) is not None or _CONTEXT_AFTER.match(after) is not None
    if called and len(digits) <= LONGEST and not _is_round(digits):
        return 0.85, "called a number"
    # "1440p" has a unit of its own.
    if _MONEY_BEFORE.search(before) or _is_decimal(written, groups) or _LETTER.match(after):
        return 0.0, ""
    score, rule = _uncalled(written, digits, groups)
    if 0 < score < 0.5 and len(digits) >= 8 and not (_HAS_WORD.search(before) or _HAS_WORD.search(after)):
        # Somebody who writes nothing but a number means it to be rung.
        likely = len(groups) > 1 or digits[0] == "0" or _in_a_plan(digits)
        return (0.6, "nothing but a number") if likely else (score, rule)
    return score, rule


def _uncalled(written: str, digits: str, groups: list[str]) -> tuple[float, str]:
    if digits.startswith("00") and len(digits) >= 11 and _is_international(written[2:], digits[2:], groups):
        return 0.8, "international with 00"
    if _US_SHAPE.fullmatch(written):
        return 0.8, "North American grouping"
    if _is_thousands(written, groups) or _is_round(digits) or _LIST.search(written) or _SCORES.fullmatch(written):
        return 0.0, ""
    if len(groups) == 1:
        if len(digits) in (10, 11, 12, 13) and (digits[0] == "0" or len(set(digits)) >= 5) and _in_a_plan(digits):
            return 0.6, "in a numbering plan"
        return (0.3, "bare digits")
    if max(map(len, groups)) == 1:
        return (0.55, "single digits") if 10 <= len(digits) <= 13 and len(set(digits)) >= 4 else (0.0, "")
    if any(len(group) == 1 for group in groups[1:]):
        return 0.0, ""
    if len(digits) >= 8 and _in_a_plan(digits):
        return 0.65, "grouped, in a numbering plan"
    if digits[0] == "0" and 9 <= len(digits) <= 12:
        return 0.6, "grouped, with a trunk prefix"
    if len(groups) == 2 and [len(group) for group in groups] == [3, 4] and "-" in written and not digits.endswith("00"):
        return 0.55, "seven digits, grouped"
    return 0.3, "grouped digits"


def _is_international(written: str, digits: str, groups: list[str]) -> bool:
    import phonenumbers

    if _is_round(digits) or len(digits) < 8:
        return False
    like_a_count = " " not in written.strip("+ ") and _is_thousands(written.lstrip("+ "), groups)
    # "+49 (0)30 ..." keeps the trunk prefix that is left out from abroad.
    for candidate in (digits, "".join(g for i, g in enumerate(groups) if i == 0 or g != "0")):
        try:
            number = phonenumbers.parse("+" + candidate, None)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return True
        if not like_a_count and (len(groups) > 1 or phonenumbers.is_possible_number(number)):
            return True
    return False


@cache
def _plans() -> re.Pattern[str]:
    """Every regular number of the regions, with its trunk prefix or without."""
    from phonenumbers import PhoneMetadata

    plans: set[str] = set()
    for region in _REGIONS.split():
        metadata = PhoneMetadata.metadata_for_region(region, None)
        if metadata is None:
            continue
        trunk = f"(?:{metadata.national_prefix})?" if metadata.national_prefix else ""
        for kind in (metadata.mobile, metadata.fixed_line):
            if kind is not None and kind.national_number_pattern:
                plans.add(f"{trunk}(?:{kind.national_number_pattern})")
    return re.compile("|".join(sorted(plans)))


def _in_a_plan(digits: str) -> bool:
    return _plans().fullmatch(digits) is not None


def _is_decimal(written: str, groups: list[str]) -> bool:
    trunk = groups[0][0] == "0" and len(groups[0]) > 2
    return len(groups) == 2 and not trunk and re.fullmatch(r"\d{1,4}[.,]\d+", written) is not None


def _is_thousands(written: str, groups: list[str]) -> bool:
    gaps = set(re.findall(r"\D+", written))
    regular = len(groups) > 1 and len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:])
    if not regular or not gaps <= {".", ",", " ", "_", "'"}:
        return False
    # 612 345 678 is how mobile numbers are written in Spain and Poland, and no count ends like that.
    return not (
        gaps == {" "} and len(groups) == 3 and len(groups[0]) == 3 and groups[0][0] in "0456789" and groups[2] != "000"
    )


def _is_round(digits: str) -> bool:
    return digits.endswith("0000") or len(set(digits[3:])) == 1


def _counts_up(groups: list[str]) -> bool:
    numbers = [int(group) for group in groups]
    steps = {b - a for a, b in pairwise(numbers)}
    return len(numbers) >= 4 and len(steps) == 1


def _spelled_score(text: str, match: re.Match[str]) -> float:
    digits = ""
    words = 0
    for times, part in _SPELLED_PART.findall(match[0]):
        words += not part.isdecimal()
        digits += _WORD_DIGITS.get(part.lower(), part) * {"double": 2, "triple": 3}.get(times.lower(), 1)
    if words < 3 or not SHORTEST <= len(digits) <= LONGEST or digits in _LADDER or len(set(digits)) < 3:
        return 0.0
    if digits in _LADDER[::-1]:
        return 0.0
    called = _CONTEXT_BEFORE.search(text[max(0, match.start() - 45) : match.start()])
    return 0.8 if called else 0.6 if len(digits) >= 9 else 0.5 if words >= 7 else 0.4
