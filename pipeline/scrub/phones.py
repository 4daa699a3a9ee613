"""Phone numbers the way people type them: any country's grouping, digits of any script, digits and signs in words.

Comments are full of other numbers, so a run of digits is a phone number only with evidence: a plus sign, a word such
as "call" near it, or a grouping that some country's numbering plan knows. Scores, prices, years, counts and dates
have evidence against them. Numbering plans come from the `phonenumbers` package (libphonenumber's data).
"""

import re
from collections.abc import Iterator
from enum import IntEnum
from functools import cache
from itertools import islice, pairwise, product

from csmv.pipeline.scrub.expressions import Expression
from csmv.pipeline.scrub.ordinary import is_ordinary
from csmv.pipeline.scrub.policy import Kind
from csmv.pipeline.scrub.recognizer import Finding, Glance, TextRecognizer
from csmv.pipeline.scrub.vocabulary import (
    CALLED_AFTER,
    CALLED_BEFORE,
    CALLED_BEFORE_STEMS,
    COUNTED_BEFORE,
    JOINING_WORDS,
    MONEY_BEFORE,
    NUMBER_NOUNS,
    NUMBERED,
    OFFERED_BEFORE,
    POSSESSIVES,
    SMALL_WORDS,
    SPACED,
    UNITS,
    WORD,
    Listed,
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
_RUN = Expression(rf"(?<![0-9])(?:\+ ?|\()?\(?\+?\d(?:{_GAP}?\d)*", re.I)
_WORD_BEFORE = Expression(rf"(?<![{SPACED}@#/.&-])(?P<word>(?:(?![0-9_])[{SPACED}]){{2,16}})_?$")
_WORD_BEHIND = Expression(r"[^\W\d_]{2,16}(?![\w@.-])")
_CODE_BEHIND = Expression(r" ?\((?P<code>\+\d{1,4}|\d{1,4}\+|\d{3})\)| (?P<open>\+\d{1,3})(?![\d ])")
"""The code of a country or area behind a number."""
_ALTERNATIVE = Expression(r" ?/ ?\d{1,4}(?![\w/.:-])")
"""The last digits of another line of the same house: "312-515-2239/40"."""
_EXTENSION = Expression(r"\s?(?:x|ext\.?|extension|poste|durchwahl)\s?\d{1,6}(?!\w)", re.I)
_GROUP = Expression(r"\d+")
_AFTER_GROUP = Expression(r"[+( ]*\d+(?:\D+(?=\d))?")
_SPACED = Expression(f"[{SPACED}]")
_EVEN = Expression(r"\(?\d+(?:\) ?\d+)?(?:[ .-]\d+|(?<=\d) \(\d+\)|/\d+)*|\d \(\d+\)(?:[ -]\d+)*")
_YEAR = Expression(r"(?:19|20)\d{2}")
_COMMAS = Expression(r"\d{1,3}(?:,\d{3})+")
_PARTING = Expression(r"[\s|]")
_JOINT = Expression(r"[,/;&]")
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
_SPELLED = Expression(
    rf"(?<!\w)(?:(?:double|triple) )?{_SPELLED_DIGIT}"
    rf"(?:[\s,.-]{{1,3}}(?:(?:double|triple|dash|plus) )?{_SPELLED_DIGIT}){{4,20}}(?!\w)",
    re.I,
)
_SPELLED_PART = re.compile(rf"(?:(double|triple) )?(?<!\w)({_NUMBER_WORD}|\d{{1,4}})(?!\w)", re.I)
_CALLED = Listed(CALLED_BEFORE)
_CALLED_STEMS = Expression(either(CALLED_BEFORE_STEMS), re.I)
_CALLED_AFTER = Listed(CALLED_AFTER)
_SIGN_AFTER = Expression(r"\W{0,4}[☎📞📱📲]")
_OFFERED = Listed(OFFERED_BEFORE)
_COUNTED = Listed(COUNTED_BEFORE)
_SMALL = frozenset(SMALL_WORDS.split())
_NUMBER_NOUNS = frozenset(NUMBER_NOUNS.split())
_NUMBERED = frozenset(NUMBERED.split())
_POSSESSIVES = frozenset((POSSESSIVES + " saya aku ku gue gw neu neue neuen new nuevo novo").split())
_TOLD = Expression(r"[:=]\W{0,3}$")
"""What says of a bare "number" that the one behind it is to be taken down."""
_JOINED = Expression(rf"\)?\s{{0,2}}(?:[,/;&|+.-]|\b(?:{either(JOINING_WORDS)})\b)\s{{0,2}}\(?\+?", re.I)
_NEAR, _SOON = 45, 60
"""Characters before a number in which a word of calling counts, and in which nothing but little words may follow it."""
_UNIT = Expression(rf"^ ?(?:[%€$£¥₹฿°円元원]|万|만|บาท|\+(?!\d)|(?:{either(UNITS)})\b)", re.I)
_MONEY_BEFORE = Expression(rf"(?:[$€£¥₹#=<>×÷^]|\b(?:{either(MONEY_BEFORE)})\.?)\s?$", re.I)
_US_SHAPE = Expression(r"\+?(?:1[ .-]?)?\(?[2-9]\d{2}\)?[ .-]{0,2}\d{3}[ .-]\d{4}")
_DATE = Expression(
    r"(?:\d{1,2}[ ./|-]{1,3}\d{1,2}[ ./|-]{1,3}(?:1[4-9]|2[01])\d{2}"
    r"|(?:1[4-9]|2[01])\d{2}[ ./|-]{1,3}\d{1,2}[ ./|-]{1,3}\d{1,2})(?:\D{1,3}\d{1,2}(?:[.:]\d{2})?)?"
    r"|\d{1,2}[./-]\d{1,2}[./-]\d{2}\D{1,3}\d{1,2}"
    r"|\d{1,2}[./]\d{1,2}(?:[./]\d{2,4})?\s?[-/]\s?\d{1,2}[./]\d{1,2}(?:[./]\d{2,4})?"
)
_YEARS = Expression(
    r"(?:19|20)\d{2}(?:\D+(?:19|20)?\d{2})+|1[4-9]\d{2} ?[-/] ?(?:1[4-9]|20)\d{2}|(?:19|20)\d{2}\D\d{4}"
    r"|(?:19|20)\d{2}\).*"
)
_CLOCKS = Expression(r"\d{1,2}[.:]\d{2}(?:\D+\d{1,2}[.:]\d{2})+")
_RANGES = Expression(r"\d{1,3}-\d{1,3} ?[/,&;] ?\d{1,3}-\d{1,3}")
_LIST_OF_YEARS = Expression(r"\d{1,2}(?: (?:19|20)\d{2})+")
_SAME = Expression(r"(\d{1,6})(?:\D{1,3}\1)+|(\d{1,3}\D{1,3}\d{1,3})(?:\D{1,3}\2)+|(?:(\d)\3{1,3}(?:\D{1,3}|$)){3,}")
_PRICES = Expression(r"\d{1,3}0{2,}(?: ?[-/~] ?\d{1,3}0{2,})+|\d{1,2}\.\d{3}(?: ?[-~] ?\d{1,3}\.\d{3})+")
_PRODUCT = Expression(r"\d{3,5} ?[~*] ?\d{3,5}")
_SHAPES = (_DATE, _YEARS, _CLOCKS, _RANGES, _LIST_OF_YEARS, _PRICES, _PRODUCT)
"""What is written like a number and is none."""
_GLUED_DATE = Expression(r"(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])(?:19|20)\d\d")
_REIGN = Expression(r"\((?P<from>\d{3,4}) ?- ?(?P<to>\d{3,4})\)?|(?P<since>1\d{3}) ?[-/~] ?(?P<until>[12]\d{3})")
_LATEST_YEAR = 2100
_ROUND_THE_CLOCK = Expression(r"[\s,(/|-]{1,4}24 ?/ ?7$")
_ZIP_BEFORE = Expression(r"[A-Z]{2},? $")
_HOUR_BEHIND = Expression(r":\d\d(?!\d)")
_LIST = Expression(r",|/.*/|(?<!\d)[1-9]\d{0,2}(?:\.\d{3}){2,}(?!\d)")
_LETTER = Expression(r"[A-Za-z]")
_HAS_WORD = Expression(r"[^\W_]")
_SCORES = Expression(r"\d{1,3}-\d{1,3}(?:,? +\d{1,3}-\d{1,3})+")
_STEPS = {*range(-10, 11), 20, 25, 50, 100}
_LADDER = "01234567890123456789"


class PhoneNumberRecognizer(TextRecognizer):
    """Finds phone numbers."""

    kind = Kind.PHONE

    def may_hold(self, glance: Glance) -> bool:
        """A number has seven digits, or words for them."""
        return glance.digits >= SHORTEST_CALLED or not glance.words.isdisjoint(_WORD_DIGITS)

    def find(self, text: str) -> Iterator[Finding]:
        """Numbers in digits, then numbers in words."""
        last: Finding | None = None
        for run in _RUN.finditer(text):
            start = _unglued(text, run)
            clock = _ROUND_THE_CLOCK.search(run[0])
            end = run.start() + clock.start() if clock is not None else run.end()
            digits = sum(char.isdecimal() for char in text[start:end])
            joined = last is not None and last[2] >= 0.5 and _is_joined(text, last[1], start)
            if digits >= SHORTEST:
                for finding in _in_run(text, start, end, joined):
                    last = finding
                    yield finding
            elif digits >= SHORTEST_CALLED and _is_short_and_called(text, start, end, joined):
                last = (start, end, 0.7, "short, called a number")
                yield last
        for match in _SPELLED.finditer(text):
            score = _spelled_score(text, match)
            if score:
                yield match.start(), match.end(), score, "digits in words"


def _unglued(text: str, run: re.Match[str]) -> int:
    """Where a run begins that may be glued to a word: behind its first digits, if they belong to the word."""
    start = run.start()
    if not start or not _SPACED.match(text, start - 1):
        return start
    word = _WORD_BEFORE.search(text[max(0, start - 18) : start])
    if word is not None:
        if word["word"].lower() in _CALLED or _CALLED_STEMS.search(word["word"]):
            return start
        first = _GROUP.search(run[0])
        whole = first is not None and (len(first[0]) >= 10 or _US_SHAPE.match(run[0]))
        if whole and is_ordinary(word["word"]) and text[start - 1] != "_":
            return start
    rest = _AFTER_GROUP.match(text, start, run.end())
    return rest.end() if rest is not None else run.end()


def _is_joined(text: str, end: int, start: int) -> bool:
    """Whether nothing but a comma or an "or" stands between a number and what follows."""
    return start - end <= 14 and _JOINED.fullmatch(text, end, start) is not None


def _is_short_and_called(text: str, start: int, end: int, joined: bool) -> bool:
    """Whether a run of five or six digits is what a small country's numbers are like, and is to be rung."""
    digits = "".join(char for char in text[start:end] if char.isdecimal())
    if len(set(digits)) < 3 or (_is_round(digits) and " " not in text[start:end]):
        return False
    if any(shape.fullmatch(text, start, end) for shape in _SHAPES) or _ZIP_BEFORE.search(
        text[max(0, start - 4) : start]
    ):
        return False
    if _UNIT.match(text[end : end + 40]) or _HOUR_BEHIND.match(text, end):
        return False
    return joined or _evidence(text, start) is Said.DIRECTLY


class Said(IntEnum):
    """What the words before a number say of it."""

    NOTHING = 0
    OFFERED = 1  # something is sold or booked
    NEARBY = 2  # a word of calling is near
    NUMBERED = 3  # a word such as "number" before it, and nothing that says whose or what for
    DIRECTLY = 4  # a word of calling, and nothing but little words between it and the number
    COUNTED = 5  # the number of something else


def _evidence(text: str, start: int) -> Said:
    """What the words before a number say of it."""
    before = text[max(0, start - _SOON) : start]
    words = [(match[0].lower(), match.start(), match.end()) for match in WORD.finditer(before)]
    at = len(before)
    for place in range(len(words) - 1, max(-1, len(words) - 9), -1):
        word, begin, end = words[place]
        if at - end > 4:
            break
        noun = word in _NUMBER_NOUNS
        if noun and place and (words[place - 1][0] in _COUNTED or words[place - 1][0] in _NUMBERED):
            return Said.COUNTED
        if place == len(words) - 1 and word in _COUNTED:
            return Said.COUNTED
        if word in _CALLED or _CALLED_STEMS.search(word):
            around = [other for other, _, _ in (*words[max(0, place - 1) : place], *words[place + 1 :])]
            is_somebodys = (
                not noun or _TOLD.search(before) is not None or any(_is_of_somebody(other) for other in around)
            )
            return Said.DIRECTLY if is_somebodys else Said.NUMBERED
        if word not in _SMALL:
            break
        at = begin
    near = [word for word, begin, _ in words if begin >= len(before) - _NEAR]
    window = before[-_NEAR:]
    if _CALLED.phrase_before(window, _SMALL):
        return Said.DIRECTLY
    if any(word in _CALLED for word in near) or _CALLED.phrase(window) or _CALLED_STEMS.search(window):
        return Said.NEARBY
    if any(word in _OFFERED for word in near) or _OFFERED.phrase(window):
        return Said.OFFERED
    return Said.NOTHING


def _is_of_somebody(word: str) -> bool:
    """Whether a word beside "number" says whose it is, or what it is for."""
    return word in _POSSESSIVES or (word not in _NUMBER_NOUNS and (word in _CALLED or bool(_CALLED_STEMS.search(word))))


def _is_called_after(text: str, end: int) -> bool:
    """Whether one of the three words behind a number is one of calling."""
    after = text[end : end + 40]
    if _SIGN_AFTER.match(after):
        return True
    at = 0
    for match in islice(WORD.finditer(after), 3):
        if match.start() - at > 4:
            return False
        if match[0].lower() in _CALLED_AFTER:
            return True
        at = match.end()
    return False


def _in_run(text: str, start: int, end: int, joined: bool) -> Iterator[Finding]:
    """The best reading of a run of digits and signs: the longest series of groups that is a number, from the left.

    A series begins and ends where a writer would part two numbers, never inside "2016/17-2019/20".
    """
    groups = [match.span() for match in _GROUP.finditer(text, start, end)]
    if len(groups) > 3 * LONGEST and all(end - start == 1 for start, end in groups):
        return  # a list of figures
    if len(groups) <= LONGEST and _SAME.fullmatch(text, groups[0][0], groups[-1][1]):
        return  # "420 69 420 69"
    parted = [True, *(_PARTING.search(text, a[1], b[0]) is not None for a, b in pairwise(groups)), True]
    walls = frozenset(_between_numbers(text, groups))
    for place in walls:
        parted[place] = True
    first = 0
    while first < len(groups):
        reading = _longest(text, start, groups, parted, walls, first, joined) if parted[first] else None
        if reading is None:
            first += 1
            continue
        last, finding = reading
        yield finding
        first = last + 1
        joined = finding[2] >= 0.5 and first < len(groups) and _is_joined(text, finding[1], groups[first][0])


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
    lengths = [end - start for start, end in groups]
    for period in range(2, len(groups) // 2 + 1):
        # Two numbers that are written alike: "415-555-2671-415-555-2672".
        if SHORTEST <= sum(lengths[:period]) <= LONGEST and lengths == lengths[:period] * (len(groups) // period):
            yield from range(period, len(groups), period)
            return


def _longest(
    text: str,
    start: int,
    groups: list[tuple[int, int]],
    parted: list[bool],
    walls: frozenset[int],
    first: int,
    joined: bool,
) -> tuple[int, Finding] | None:
    """The longest number that begins with group `first`, and its last group; the longest unsure one if none is sure."""
    opening = _opening(text, start, groups[first][0])
    digits, last = 0, first
    while last < len(groups) and digits + groups[last][1] - groups[last][0] <= LONGEST + 2:
        if last > first and last in walls:
            break
        digits += groups[last][1] - groups[last][0]
        behind = _with_code_behind(text, groups[first : last + 1]) if digits >= SHORTEST_CALLED else None
        if behind is not None:
            through = last + 1 if last + 1 < len(groups) and groups[last + 1][0] < behind else last
            return through, (opening, behind, 0.8, "code behind")
        last += 1
    unsure: tuple[int, Finding] | None = None
    whole: tuple[int, Finding] | None = None
    while last > first and digits >= SHORTEST:
        last -= 1
        size = groups[last][1] - groups[last][0]
        if parted[last + 1] and not (last > first and size <= 3 and _LETTER.match(text, groups[last][1])):
            end = _closing(text, groups[last][1])
            number = text[opening : _closing_bracket(text, groups[last][1])]
            score, rule = _judge(text, opening, end, number, [text[a:b] for a, b in groups[first : last + 1]], joined)
            if score >= 0.5:
                if whole is None and _has_a_tail(text, groups[first : last + 1]):
                    whole = last, (opening, end, score, rule)
                    digits -= size
                    continue
                return last, (opening, end, score, rule)
            if whole is not None:
                break
            if score and unsure is None:
                unsure = last, (opening, end, score, rule)
        digits -= size
    return whole or unsure


def _has_a_tail(text: str, groups: list[tuple[int, int]]) -> bool:
    """Whether one or two digits stand apart behind a whole number: "718-555-0121 - 24", "08455550121 16"."""
    joints = [text[a[1] : b[0]] for a, b in pairwise(groups)]
    before = sum(end - start for start, end in groups[:-1])
    apart = bool(joints) and " " in joints[-1] and joints[-1] not in joints[:-1]
    return apart and before >= 10 and groups[-1][1] - groups[-1][0] <= 2


def _with_code_behind(text: str, groups: list[tuple[int, int]]) -> int | None:
    """Where a number ends whose country's or area's code stands behind it, as in "550123456 (966+)"."""
    match = _CODE_BEHIND.match(text, groups[-1][1])
    if match is None:
        return None
    digits = "".join(text[start:end] for start, end in groups)
    code = match["code"] or match["open"]
    if _is_round(digits) or len(set(digits)) < 3 or _YEARS.fullmatch(text, groups[0][0], groups[-1][1]):
        return None
    if "+" in code:
        return match.end() if _is_valid(code.strip("+") + digits.lstrip("0")) else None
    american = len(digits) == 7 and _US_SHAPE.fullmatch(f"{code}{digits[:3]}-{digits[3:]}") is not None
    return match.end() if american else None


def _is_valid(digits: str) -> bool:
    import phonenumbers

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse("+" + digits, None))
    except phonenumbers.NumberParseException:
        return False


def _opening(text: str, floor: int, at: int) -> int:
    """Where a number begins that has its first digit at `at`: at its bracket or plus sign, if it has them."""
    while at > floor and text[at - 1] in "+(":
        at -= 1
    if at >= 2 and text[at - 1] == " " and text[at - 2] == "+" and at - 2 >= floor:
        at -= 2
    return at


def _closing(text: str, end: int) -> int:
    extension = _EXTENSION.match(text, end) or _ALTERNATIVE.match(text, end)
    if extension is not None:
        return extension.end()
    return _closing_bracket(text, end)


def _closing_bracket(text: str, end: int) -> int:
    return end + 1 if text[end : end + 1] == ")" and "(" in text[max(0, end - 8) : end] else end


def _judge(text: str, start: int, end: int, written: str, groups: list[str], joined: bool) -> tuple[float, str]:
    """The score of one candidate and the rule that gave it; 0 if it is no number.

    `written` is the candidate without its extension; `joined` says that it follows another number.
    """
    digits = "".join(groups)
    if not SHORTEST <= len(digits) <= LONGEST + 2 or len(set(digits)) < 3:
        return 0.0, ""
    bare = written.strip("() ")
    if any(shape.fullmatch(bare) for shape in _SHAPES) or _counts_up(groups):
        return 0.0, ""
    after, before = text[end : end + 40], text[max(0, start - 45) : start]
    if written[0] == "+" or written.startswith("(+"):
        return (0.9, "international") if _is_international(written, digits, groups) else (0.0, "")
    if _UNIT.match(after) or _HOUR_BEHIND.match(after):
        return 0.0, ""
    said = _evidence(text, start)
    formed = _is_evenly_parted(written, groups) and _is_national_form(digits, tuple(map(len, groups)))
    if (
        (digits in _LADDER or (len(digits) < 10 and digits in _LADDER[::-1]))
        and said is not Said.DIRECTLY
        and not formed
    ):
        return 0.0, ""
    if said is Said.COUNTED or (said is not Said.DIRECTLY and (_GLUED_DATE.fullmatch(bare) or _are_years(written))):
        return 0.0, ""
    called = joined or said >= Said.NEARBY or _is_called_after(text, end)
    plain = not _is_round(digits) or (said is Said.DIRECTLY and len(groups) > 2) or (formed and digits[0] == "0")
    counted = _COMMAS.fullmatch(bare) or (_is_decimal(written, groups) and len(groups[1]) != 4)
    if called and plain and not counted and len(digits) <= LONGEST:
        return 0.85, "called a number"
    # "1440p" has a unit of its own.
    if _MONEY_BEFORE.search(before) or _is_decimal(written, groups):
        return 0.0, ""
    if said is Said.OFFERED and plain and not counted and (formed or _is_regular(digits, groups)):
        return 0.7, "offered as a number"
    if _LETTER.match(after) and not _is_glued_word(after, digits, written):
        return 0.0, ""
    score, rule = _uncalled(written, digits, groups, formed)
    if 0 < score < 0.5 and len(digits) >= 8 and not (_HAS_WORD.search(before) or _HAS_WORD.search(after)):
        # Somebody who writes nothing but a number means it to be rung.
        likely = len(groups) > 1 or digits[0] == "0" or _in_a_plan(digits)
        return (0.6, "nothing but a number") if likely else (score, rule)
    return score, rule


def _are_years(written: str) -> bool:
    """Whether "(1204-1461)" or "1200-1399": the years of a life, a reign, a century."""
    years = _REIGN.fullmatch(written)
    if years is None:
        return False
    first, last = int(years["from"] or years["since"]), int(years["to"] or years["until"])
    return first < last < _LATEST_YEAR


def _is_evenly_parted(written: str, groups: list[str]) -> bool:
    """Whether groups are parted by single signs, and none of them is a year or a number by itself."""
    if len(groups) < 2 or (
        len(groups) == 2 and (len(groups[0]) < 3 or _YEAR.fullmatch(groups[1])) and groups[0][0] != "0"
    ):
        return False
    return _EVEN.fullmatch(written) is not None


def _is_regular(digits: str, groups: list[str]) -> bool:
    return len(digits) >= 8 and min(map(len, groups[1:]), default=2) > 1 and _in_a_plan(digits)


def _is_glued_word(after: str, digits: str, written: str) -> bool:
    """Whether what follows a number without a space is a word of its own: "9876543210please"."""
    word = _WORD_BEHIND.match(after)
    return (
        word is not None
        and (len(digits) >= 10 or _US_SHAPE.fullmatch(written) is not None)
        and (word[0].lower() in _CALLED or is_ordinary(word[0]) or (digits[0] == "0" and _in_a_plan(digits)))
    )


def _uncalled(written: str, digits: str, groups: list[str], formed: bool) -> tuple[float, str]:
    if digits.startswith("00") and len(digits) >= 11 and _is_international(written[2:], digits[2:], groups):
        return 0.8, "international with 00"
    if _US_SHAPE.fullmatch(written):
        return 0.8, "North American grouping"
    if formed and digits[0] == "0":
        return 0.65, "written as its country writes numbers"
    if _is_thousands(written, groups) or _is_round(digits) or _LIST.search(written) or _SCORES.fullmatch(written):
        return 0.0, ""
    if formed:
        return 0.55, "written as its country writes numbers"
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

    if len(set(digits[-4:])) == 1 and len(groups) < 3:
        return False
    like_a_count = " " not in written.strip("+ ") and _is_thousands(written.lstrip("+ "), groups)
    # "+49 (0)30 ..." keeps the trunk prefix that is left out from abroad.
    for candidate in (digits, "".join(g for i, g in enumerate(groups) if i == 0 or g != "0")):
        try:
            number = phonenumbers.parse("+" + candidate, None)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return len(digits) >= 7
        if (
            len(digits) >= 8
            and not like_a_count
            and not _is_round(digits)
            and (len(groups) > 1 or phonenumbers.is_possible_number(number))
        ):
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


@cache
def _national_forms() -> dict[tuple[int, ...], re.Pattern[str]]:
    """By the sizes of a number's groups, the regular numbers of all regions that write theirs so."""
    from phonenumbers import SUPPORTED_REGIONS, PhoneMetadata, region_code_for_country_code

    plans: dict[tuple[int, ...], set[str]] = {}
    for region in sorted(SUPPORTED_REGIONS):
        metadata = PhoneMetadata.metadata_for_region(region, None)
        if metadata is None:
            continue
        main = region_code_for_country_code(metadata.country_code or 0)
        other = None if metadata.number_format else PhoneMetadata.metadata_for_region(main, None)
        formats = metadata.number_format if other is None else other.number_format
        numbers = [
            kind.national_number_pattern
            for kind in (metadata.mobile, metadata.fixed_line)
            if kind is not None and kind.national_number_pattern
        ]
        for form in formats:
            rule = form.national_prefix_formatting_rule or ""
            for sizes, prefix in _written_sizes(str(form.pattern), str(form.format), rule):
                plans.setdefault(sizes, set()).update(f"{prefix}(?:{number})" for number in numbers)
    return {sizes: re.compile("|".join(sorted(numbers))) for sizes, numbers in plans.items()}


def _written_sizes(pattern: str, form: str, rule: str) -> Iterator[tuple[tuple[int, ...], str]]:
    """The sizes of the groups that one of libphonenumber's formats writes, and the trunk prefix before them."""
    choices = [
        range(int(least or 1), int(most or least or 1) + 1)
        for least, most in re.findall(r"\(\\d(?:\{(\d+)(?:,(\d+))?\})?\)", pattern)
    ]
    whole = form.replace("\\1", rule, 1) if rule else form
    prefix = re.sub(r"\D", "", whole.partition("\\1")[0])
    for sizes in product(*choices):
        digits = whole
        for place, size in enumerate(sizes, 1):
            digits = digits.replace(f"\\{place}", "x" * size)
        yield tuple(map(len, re.findall(r"[\dx]+", digits))), prefix


def _is_national_form(digits: str, sizes: tuple[int, ...]) -> bool:
    """Whether some region has this number and writes it in groups of these sizes."""
    form = _national_forms().get(sizes)
    return form is not None and form.fullmatch(digits) is not None


def _in_a_plan(digits: str) -> bool:
    return _plans().fullmatch(digits) is not None


def _is_decimal(written: str, groups: list[str]) -> bool:
    trunk = groups[0][0] == "0" and len(groups[0]) > 1
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
    return len(numbers) >= 4 and len(steps) == 1 and steps <= _STEPS


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
    called = _evidence(text, match.start()) in (Said.NEARBY, Said.DIRECTLY)
    return 0.8 if called else 0.6 if len(digits) >= 9 else 0.5 if words >= 7 else 0.4
