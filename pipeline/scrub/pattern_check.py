"""Whether a regular expression that a person wrote is safe to run on every text: whether its time grows with the text.

Nobody can tell this from the expression alone, so it is run on texts that make expressions slow: what each of its
repeats takes, again and again, followed by what it does not take. Time is the processor's, so that a busy machine finds
nothing else than an idle one.
"""

import re
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice, product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import regex

FLAGS = re.IGNORECASE | re.MULTILINE | re.DOTALL
"""Those by which Presidio reads its patterns."""
LONGEST = 1000
"""Characters of an expression."""

_FIRST, _LAST = 1500, 6000
"""Characters of the texts that it is run on."""
_QUICK_S = 0.001
_OUT_OF_TIME_S = 0.5
_GROWTH = 7.5
"""Time that four times the text may take: linear is 4, quadratic 16."""
_WORTH_A_LOOK_S = 0.004
_MOST_TEXTS = 160
_MOST_SAMPLES = 3
_REPEATED_OFTEN = 9
_STRANGE = "\x01"
_COMMON = ("a", "0", " ", ".", "-", "_", "@", "/", ":", "é", "中", "a ", "a.", "0-", "a0", "a@", "0 ", "\n")


@lru_cache(maxsize=256)
def refusal(expression: str) -> str:
    """Why an expression is not taken, as the end of a sentence; empty if it is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = _tree(expression)
            compiled = compile_pattern(expression)
    except _errors() as error:
        return f"is no regular expression ({str(error)[:80]})"
    if tree.getwidth()[0] == 0:
        return "fits an empty text, so it would be found everywhere: let it ask for at least one character"
    for text in _attacks(tree):
        if _grows_too_fast(compiled, text):
            return (
                "takes time that grows faster than the text: give its repeats an end, such as {1,30} instead of + or "
                "*, let what follows a repeat begin with something else than what is repeated, or begin with \\b"
            )
    return ""


def compile_pattern(expression: str) -> "regex.Pattern[str]":
    """The expression, ready to be run with a limit of time."""
    import regex

    return regex.compile(expression, FLAGS)


def _errors() -> tuple[type[Exception], ...]:
    import regex

    return (re.error, regex.error, OverflowError, RecursionError)


def _tree(expression: str) -> Any:
    """What the expression is made of, as the standard library's own parser reads it."""
    re.compile(expression, FLAGS)
    return re._parser.parse(expression, FLAGS)  # type: ignore[attr-defined]


# ---------------------------------------------------------------------- time


def _grows_too_fast(compiled: "regex.Pattern[str]", attack: tuple[str, str]) -> bool:
    first = _seconds(compiled, _text(attack, _FIRST))
    if first < _QUICK_S or first >= _OUT_OF_TIME_S:
        return first >= _OUT_OF_TIME_S
    # Looked at again, and the quickest of three counts: another thread may have taken the time.
    for _ in range(3):
        short, long = (_seconds(compiled, _text(attack, size)) for size in (_FIRST, _LAST))
        if long < _WORTH_A_LOOK_S or (long < _OUT_OF_TIME_S and long / max(short, 1e-6) < _GROWTH):
            return False
    return True


def _seconds(compiled: "regex.Pattern[str]", text: str) -> float:
    """The processor's time that a search through a text takes, no longer than the limit."""
    before = time.thread_time()
    try:
        for _ in compiled.finditer(text, timeout=_OUT_OF_TIME_S):
            pass
    except TimeoutError:
        return _OUT_OF_TIME_S
    return time.thread_time() - before


def _text(attack: tuple[str, str], size: int) -> str:
    unit, end = attack
    return unit * (size // len(unit)) + end


# ---------------------------------------------------------------------- texts


def _attacks(tree: Any) -> Iterator[tuple[str, str]]:
    """What is written again and again, and what stands at the end."""
    # Behind what does not fit stands what does, or a search would end at a glance for a letter that is not there.
    ends = [_STRANGE, *(f"{_STRANGE} {whole}" for whole in _samples(tree, 1))]
    units = dict.fromkeys((*_units(tree, ("",)), *_COMMON))
    texts = ((unit, end) for unit in units if 0 < len(unit) <= _FIRST // 4 for end in ends)
    return islice(texts, _MOST_TEXTS)


def _units(tree: Iterable[Any], before: Sequence[str]) -> Iterator[str]:
    """What each repeat takes, alone and behind what stands before it."""
    for operation, argument in tree:
        name = str(operation)
        if name.endswith("REPEAT"):
            _, most, body = argument
            if most >= _REPEATED_OFTEN:
                for unit in _samples(body, _MOST_SAMPLES):
                    yield unit
                    yield unit + unit[::-1]
                    yield from (beginning + unit for beginning in before if beginning)
            yield from _units(body, before)
        elif name == "BRANCH":
            for branch in argument[1]:
                yield from _units(branch, before)
        elif name in ("SUBPATTERN", "ATOMIC_GROUP", "ASSERT", "ASSERT_NOT"):
            yield from _units(argument if name == "ATOMIC_GROUP" else argument[-1], before)
        taken = _of_one(operation, argument, _MOST_SAMPLES)
        before = [first + more for first, more in islice(product(before, taken), _MOST_SAMPLES)]
        yield from (beginning for beginning in before if beginning)


def _samples(tree: Iterable[Any], most: int) -> list[str]:
    """Some texts that fit, or nearly: what an expression asks of what stands around is left out."""
    samples = [""]
    for operation, argument in tree:
        samples = [
            first + more for first, more in islice(product(samples, _of_one(operation, argument, most)), max(most, 1))
        ]
    return samples


def _of_one(operation: Any, argument: Any, most: int) -> list[str]:
    name = str(operation)
    if name == "LITERAL":
        return [chr(argument)]
    if name == "NOT_LITERAL":
        return ["b" if chr(argument) == "a" else "a"]
    if name == "ANY":
        return ["a"]
    if name == "IN":
        return _of_class(argument, most)
    if name == "BRANCH":
        return [sample for branch in argument[1] for sample in _samples(branch, 1)][: most + 2]
    if name == "SUBPATTERN":
        return _samples(argument[-1], most)
    if name == "ATOMIC_GROUP":
        return _samples(argument, most)
    if name.endswith("REPEAT"):
        least, _, body = argument
        return [sample * max(least, 1) for sample in _samples(body, most)]
    return [""]


_OF_CATEGORY = {"DIGIT": "0", "SPACE": " ", "WORD": "a", "NOT_DIGIT": "a", "NOT_SPACE": "a", "NOT_WORD": " "}


def _of_class(members: Sequence[Any], most: int) -> list[str]:
    negated = str(members[0][0]) == "NEGATE"
    taken: list[str] = []
    for operation, argument in members:
        name = str(operation)
        if name == "LITERAL":
            taken.append(chr(argument))
        elif name == "RANGE":
            taken += (chr(argument[0]), chr(argument[1]))
        elif name == "CATEGORY":
            taken.append(_OF_CATEGORY.get(str(argument).removeprefix("CATEGORY_"), "a"))
    if negated:
        return [char for char in "a0 .-" if char not in taken][:most] or [_STRANGE]
    return list(dict.fromkeys(taken))[: most + 1] or ["a"]
