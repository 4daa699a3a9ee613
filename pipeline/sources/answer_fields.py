"""How every answer of a site is read: fields that are needed, fields that are expected, and fields that are wanted.

An answer's fields are declared once, in a model that derives from `Answer`:

- a field without a default is *needed*: where it is missing or of another kind, the element gives no row;
- a path in `expected` is what the site always sends: where its key is missing, or holds something of another kind than
  null, the shape has changed, and the element counts as unreadable although the rest of it may give a row;
- a field with a default is *wanted*: null, a float or an object in its place is no value, and costs nothing.

What is wrong is said by the field's path, such as `comments[].text`, and never by a value, which may be personal.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

IN_A_ROW = 3
"""So many unreadable elements one after the other mean that the site has changed, not one element."""
SHARE = 0.05
"""And so does this share of a page, of two or more."""

Value = TypeVar("Value", bound="Answer")

_COUNT = re.compile(r"(\d{1,20}(?:\.\d{1,6})?)\s*([kmb]?)", re.IGNORECASE)
_TIMES = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}
_LAST_SECOND = 1 << 33
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}")


@dataclass(frozen=True)
class Expected:
    """A path that an answer always has, or one of several, and the kind of its value.

    `kind` raises ValueError for a value of another kind. null is of every kind.
    """

    paths: tuple[str, ...]
    kind: Callable[[object], object] = lambda value: value
    optional: bool = False
    """Whether one element may lack it, where a site leaves out what has no value; never all elements of a list."""

    def problem(self, data: dict[str, Any], at: str) -> str:
        """What is wrong with it in `data`, or ""."""
        problems = [self._problem(data, path, at) for path in self.paths]
        # Of several, the one that is there and wrong says more than the one that is not there.
        return "" if "" in problems else next((one for one in problems if not one.endswith("missing")), problems[0])

    def _problem(self, data: object, path: str, at: str) -> str:
        value = data
        for part in path.split("."):
            if not isinstance(value, dict) or part not in value:
                return "" if self.optional else f"`{_joined(at, path)}` is missing"
            value = value[part]
        try:
            if value is not None:
                self.kind(value)
        except (ValueError, OverflowError):
            return f"`{_joined(at, path)}` is {kind_of(value)} where it should be another value"
        return ""


class Answer(BaseModel):
    """What a site answered, or an element of it. Unknown fields are ignored; they stay in landing."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    expected: ClassVar[tuple["Expected", ...]] = ()
    """What is always sent, besides what is needed."""

    @classmethod
    def odd(cls, data: dict[str, Any], at: str) -> str:
        """What else is wrong with the shape of an element that could be read; "" where nothing is."""
        return ""

    @field_validator("*", mode="wrap")
    @classmethod
    def _wanted(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        declared = cls.model_fields[str(info.field_name)]
        try:
            return handler(value)
        except (ValueError, OverflowError, RecursionError):
            if declared.is_required():
                raise
        return declared.get_default(call_default_factory=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    __str__ = __repr__


# ---------------------------------------------------------------------- kinds of values


def _id(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _number_id(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,20}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 64:
        raise ValueError("no id")
    return value


def count_of(value: object) -> int:
    """A count that comes as a number, as "1234", as "1,234" or as "1.2K". Raises ValueError for anything else."""
    if isinstance(value, bool):
        raise ValueError("no count")
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    match = _COUNT.fullmatch(value.strip().replace(",", "")) if isinstance(value, str) and len(value) < 40 else None
    if match is None:
        raise ValueError("no count")
    return round(float(match[1]) * _TIMES[match[2].lower()]) if match[2] or "." in match[1] else int(match[1])


def second_of(value: object) -> int:
    """Unix seconds that are a day people live in; 0 where the site has none."""
    if value is None or value == "":
        return 0
    second = count_of(value)
    if not 0 <= second < _LAST_SECOND:
        raise ValueError("no time in seconds")
    return second


def text_of(value: object) -> str:
    """A text, "" for null. Raises ValueError for anything else."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def _texts(value: object) -> object:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list | tuple) else value


def _objects(value: object) -> object:
    return tuple(one for one in value if isinstance(one, dict)) if isinstance(value, list | tuple) else value


def flag_of(value: object) -> bool:
    """A yes or no, as true, 1 or "1". Raises ValueError for anything else."""
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    if value in ("0", "1", "true", "false"):
        return value in ("1", "true")
    raise ValueError("neither true nor false")


Id = Annotated[str, BeforeValidator(_id), StringConstraints(pattern=r"^[0-9]{1,20}$")]
"""An id of digits, as a string or as a whole number; a float has lost its last digits and is none."""
NumberId = Annotated[int, BeforeValidator(_number_id)]
"""An id that comes as a number, or as a string of digits."""
AnyId = Annotated[str, BeforeValidator(_id)]
"""An id that is only compared."""
Count = Annotated[int, BeforeValidator(count_of)]
Second = Annotated[int, BeforeValidator(second_of)]
Text = Annotated[str, BeforeValidator(text_of)]
Flag = Annotated[bool, BeforeValidator(flag_of)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]
Objects = BeforeValidator(_objects)
"""A list of which only the objects count, for lists of what is only wanted."""


# ---------------------------------------------------------------------- reading


@dataclass(frozen=True, repr=False)
class Reading(Generic[Value]):
    """What reading came to: the value, if there is one, and what is wrong with the shape, if something is."""

    value: Value | None
    problem: str = ""
    unsafe: bool = False
    """Whether all that is wrong is an id which may not become a file name."""


def read(model: type[Value], data: object, at: str = "") -> Reading[Value]:
    """Read `data` as a `model`.

    Args:
        model: what it should be.
        data: a JSON value.
        at: the path of `data` in the answer, for the sentence: `itemList[]`.

    Returns:
        The value where nothing needed is missing, and a sentence that names the first field that is not as it should
        be: "`itemList[].createTime` is missing".
    """
    if not isinstance(data, dict):
        return Reading(None, f"`{at or 'the answer'}` is {kind_of(data)}, not an object")
    try:
        value = model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        path = _joined(at, _name_of(model, first["loc"]))
        if first["type"] == "missing":
            return Reading(None, f"`{path}` is missing")
        given = _at(data, first["loc"])
        unsafe = first["type"] == "string_pattern_mismatch"
        return Reading(None, f"`{path}` is {kind_of(given)} where it should be another value", unsafe)
    except (RecursionError, OverflowError):
        return Reading(None, f"`{at or 'the answer'}` is nested too deep")
    problems = (expectation.problem(data, at) for expectation in model.expected)
    return Reading(value, next(filter(None, problems), "") or model.odd(data, at))


def read_all(
    model: type[Value],
    elements: Sequence[object],
    at: str,
    check: Callable[[Value], str] = lambda _value: "",
) -> "Elements[Value]":
    """Read the elements of a list one by one, so that one costs only itself.

    Args:
        model: what each should be.
        elements: JSON values.
        at: the list's path, `itemList[]`.
        check: a sentence about what is wrong with an element although its fields are well, or "": it gives no row.
    """
    read_elements = Elements[Value]()
    for element in elements:
        reading = read(model, element, at)
        refused = check(reading.value) if reading.value is not None else reading.problem
        if reading.value is not None and isinstance(element, dict) and not refused:
            read_elements.rows.append((element, reading.value))
        else:
            read_elements.lost[refused] += 1
        read_elements.problems.append(refused or reading.problem)
        read_elements.unsafe += reading.unsafe
    lacking = _lacking(model, elements, at)
    if lacking:
        read_elements.problems = [problem or lacking for problem in read_elements.problems]
    return read_elements


def _lacking(model: type[Answer], elements: Sequence[object], at: str) -> str:
    """A sentence about what each of several elements lacks although it is expected, or ""."""
    if len(elements) < IN_A_ROW:
        return ""
    for expectation in model.expected:
        whole = replace(expectation, optional=False)
        if all(isinstance(one, dict) and whole.problem(one, at).endswith("missing") for one in elements):
            return whole.problem({}, at)
    return ""


@dataclass(repr=False)
class Elements(Generic[Value]):
    """The elements of a list: those that give rows, raw and typed, and of every element what is wrong, or ""."""

    rows: list[tuple[dict[str, Any], Value]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    """Those that give no row, by what is wrong."""
    unsafe: int = 0

    @property
    def values(self) -> list[Value]:
        """The typed rows."""
        return [value for _, value in self.rows]

    @property
    def told(self) -> Counter[str]:
        """How many elements have which fault."""
        return Counter(problem for problem in self.problems if problem)


class Streak:
    """Tells one odd element from a site that has changed: three in a row, or two that are 5 % of a page."""

    def __init__(self) -> None:
        self._row = 0

    def feed(self, problems: Sequence[str]) -> str:
        """The sentence about what has changed, once these elements show it; "" before that."""
        changed = ""
        for problem in problems:
            self._row = self._row + 1 if problem else 0
            if self._row >= IN_A_ROW:
                changed = changed or problem
        faults = Counter(problem for problem in problems if problem)
        if faults.total() >= max(2, SHARE * len(problems)):
            changed = changed or faults.most_common(1)[0][0]
        return changed


def moved_to(data: dict[str, Any], key: str) -> str:
    """Where a list that is empty under `key` may have moved: another key with a list of objects, or ""."""
    for name, value in data.items():
        if name != key and isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            return name if _KEY.fullmatch(name) else "another key"
    return ""


def kind_of(value: object) -> str:
    """The kind of a JSON value, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    kinds: dict[type, str] = {int: "a number", float: "a fraction", str: "a text", list: "a list", dict: "an object"}
    return kinds.get(type(value), "missing")


def _name_of(model: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """The path of an error, with the first of a field's aliases where pydantic names the field."""
    name = ""
    for part in loc:
        name += "[]" if isinstance(part, int) else f".{part}" if name else str(part)
    fields = model.model_fields.get(str(loc[0])) if loc else None
    if fields is not None and isinstance(fields.validation_alias, AliasChoices):
        return str(fields.validation_alias.choices[0])
    return name


def _at(data: object, loc: tuple[int | str, ...]) -> object:
    for part in loc:
        if isinstance(part, str) and isinstance(data, dict):
            data = data.get(part)
        elif isinstance(part, int) and isinstance(data, list) and part < len(data):
            data = data[part]
    return data


def _joined(at: str, path: str) -> str:
    return f"{at}.{path}" if at and path else at or path
