"""The one list of extractors: the entry points of this package and of others, and classes registered as they load.

An extractor is a class named by an entry point, of the extractor's name, in the group `csmv.extractors`; this package's
own stand in pyproject.toml like anybody's. Families such as `timm:NAME` are functions in `csmv.extractor_families` that
make the class of any name after their prefix. A name that two packages claim is refused, so none is taken silently.
"""

import gc
import json
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from csmv.extractors.extractor_errors import ExtractorError, UnknownChoiceError
from csmv.extractors.nearest_names import did_you_mean

if TYPE_CHECKING:
    from csmv.extractors.base import Extractor

GROUP = "csmv.extractors"
FAMILIES = "csmv.extractor_families"
PACKAGE = "csmv"

CARDS = Path(__file__).parent / "cards.json"
"""The cards of this package's own, by `python -m csmv.flows.generated`: listing them loads no network library."""

_classes: "dict[str, type[Extractor]]" = {}

Class = TypeVar("Class", bound="type[Extractor]")


def register(cls: Class) -> Class:
    """Class decorator: make an extractor known by its `name`."""
    earlier = _classes.get(cls.name)
    if earlier is not None and earlier.__qualname__ != cls.__qualname__:
        raise ExtractorError(f"Two extractors call themselves '{cls.name}': {earlier.__module__}, {cls.__module__}.")
    _classes[cls.name] = cls
    return cls


@cache
def _own(group: str) -> tuple[EntryPoint, ...]:
    """This package's own entry points: in a checkout those of its pyproject.toml, elsewhere those that pip recorded.

    A checkout that was installed before an extractor was added has older records, so they are not asked there.
    """
    described = Path(__file__).resolve().parent.parent / "pyproject.toml"
    if described.is_file():
        project = tomllib.loads(described.read_text(encoding="utf-8")).get("project", {})
        if project.get("name") == PACKAGE:
            named = project.get("entry-points", {}).get(group, {})
            return tuple(EntryPoint(name, value, group) for name, value in named.items())
    return _recorded(group)


def _recorded(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of this package as pip recorded them when it was installed."""
    try:
        return tuple(distribution(PACKAGE).entry_points.select(group=group))
    except PackageNotFoundError:
        return ()


@cache
def _others(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of other packages."""
    own = {(point.name, point.value) for point in (*_own(group), *_recorded(group))}
    strangers = (point for point in entry_points(group=group) if (point.name, point.value) not in own)
    return tuple(point for point in strangers if not _was_own(point))


def _was_own(point: EntryPoint) -> bool:
    """Whether it is of another installation of this package, such as one from before a class moved."""
    return point.value.startswith(f"{PACKAGE}.") and point.dist is not None and point.dist.name == PACKAGE


def _point(name: str, group: str = GROUP) -> EntryPoint | None:
    """The one entry point of that name; None if there is none.

    Raises:
        ExtractorError: several packages claim the name.
    """
    own = [point for point in _own(group) if point.name == name]
    others = [point for point in _others(group) if point.name == name]
    prefix, colon, _ = name.partition(":")
    is_of_family = bool(colon) and any(point.name == prefix for point in _own(FAMILIES))
    if others and (own or is_of_family or len(others) > 1):
        packages = " and ".join(sorted({_package(point) for point in others}))
        whose = "csmv's own" if own or is_of_family else "both of them"
        raise ExtractorError(
            f"The extractor name '{name}' is claimed by {packages}, but should be of one package and is {whose}: "
            "uninstall that package, or have its entry point and its class call themselves otherwise."
        )
    return next(iter((*own, *others)), None)


def _package(point: EntryPoint) -> str:
    return f"the package '{point.dist.name}'" if point.dist else f"'{point.value}'"


def _load(point: EntryPoint) -> Any:
    if any(point == one for one in _own(point.group)):
        return _imported(point)  # a missing library is then told with the extra that brings it
    try:
        return _imported(point)
    except Exception as error:
        raise ExtractorError(
            f"The extractor plugin '{point.name}' ({point.value}) could not be loaded "
            f"({type(error).__name__}: {error}): mend or uninstall that package."
        ) from error


def _imported(point: EntryPoint) -> Any:
    """What an entry point names. Libraries of networks make a million objects that stay: none is looked through."""
    collected = gc.isenabled()
    gc.disable()
    try:
        return point.load()
    finally:
        if collected:
            gc.enable()


def _load_class(point: EntryPoint) -> "type[Extractor]":
    loaded = _load(point)
    from csmv.extractors.base import Extractor  # after it: this imports torch, and that is quicker inside `_load`

    if not (isinstance(loaded, type) and issubclass(loaded, Extractor) and loaded.name == point.name):
        raise ExtractorError(
            f"The entry point '{point.name}' ({point.value}) should name an Extractor class of that name: "
            "mend or uninstall that package."
        )
    return register(loaded)


def families() -> list[str]:
    """The prefixes of families, sorted."""
    return sorted({point.name for point in (*_own(FAMILIES), *_others(FAMILIES))})


def own_names() -> list[str]:
    """The names of this package's own extractors, sorted; needs no network library.

    Raises:
        ExtractorError: what was recorded when it was installed is of an earlier version.
    """
    installed = {point.name for point in _own(GROUP)}
    if lacking := sorted(_house_cards().keys() - installed):
        raise ExtractorError(
            f"csmv was installed before its extractor '{lacking[0]}' was added, so that it is not found: run "
            "`pip install -e .` in its folder, or install its wheel again."
        )
    return sorted(installed)


def names() -> list[str]:
    """Names of every extractor there is, this package's and plugins', sorted; families as `prefix:NAME`.

    Raises:
        ExtractorError: two packages claim one name.
    """
    plugins = {point.name for point in _others(GROUP)}
    for name in plugins:
        _point(name)
    return sorted({*own_names(), *_classes, *plugins}) + [f"{prefix}:NAME" for prefix in families()]


def card_of(name: str) -> Mapping[str, Any]:
    """The card of an extractor: one of this package's is read, and any other's class is loaded and asked.

    Raises:
        ExtractorError: there is none of that name, several packages claim it, or its plugin can't be loaded.
    """
    _point(name)
    return _house_cards().get(name) or extractor_class(name).card()


def predecessor_of(name: str) -> str:
    """The extractor that does what this one did before its preprocessing changed; empty if it never did.

    Loads nothing: of another package's extractor it is known once that is loaded.
    """
    if name in _classes:
        return _classes[name].predecessor
    return str(_house_cards().get(name, {}).get("predecessor", ""))


@cache
def _house_cards() -> Mapping[str, Mapping[str, Any]]:
    cards: Mapping[str, Mapping[str, Any]] = json.loads(CARDS.read_text(encoding="utf-8"))
    return cards


def cards_text() -> str:
    """What `cards.json` should say."""
    cards = {name: extractor_class(name).card() for name in sorted(point.name for point in _own(GROUP))}
    return json.dumps(cards, indent=1, ensure_ascii=False) + "\n"


def extractor_class(name: str) -> "type[Extractor]":
    """The class called `name`. ExtractorError names the nearest one there is."""
    point = _point(name)
    if name in _classes:
        return _classes[name]
    if point is not None:
        return _load_class(point)
    prefix, colon, rest = name.partition(":")
    if colon and (family := _point(prefix, FAMILIES)) is not None:
        made: type[Extractor] = _load(family)(rest)
        return made
    raise UnknownChoiceError(f"There is no extractor '{name}': {did_you_mean(name, names())}")


def create(name: str, weights: Any = "default", **options: Any) -> "Extractor":
    """An extractor by name, loaded and on its device.

    weights: "default" (the published file), a name from its card, a path, a URL, or "random" (seeded by `seed`).
    options: granularity ("clip" | "temporal"), device, dtype ("float32" | "tf32" | "bfloat16" | "float16"),
    sha256 (what the file must have), seed, max_clips, rule (a ClipRule in place of its own), compile, measure (its
    `deviation` then says how far `dtype` is from float32 on a fixed window). ExtractorError for anything that cannot be
    had.
    """
    return extractor_class(name)(weights, **options)
