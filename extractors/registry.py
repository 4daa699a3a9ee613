"""The one list of extractors: a decorator, a dictionary, and the entry points of other packages.

An extractor elsewhere is a class named by an entry point, of the extractor's name, in the group `csmv.extractors`.
Families such as `timm:NAME` make a class of any name after their prefix.
"""

import json
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from csmv.extractors.extractor_errors import ExtractorError, UnknownChoiceError

if TYPE_CHECKING:
    from csmv.extractors.base import Extractor

GROUP = "csmv.extractors"
HOUSE = {
    "clip": "timm_frames",
    "i3d": "i3d",
    "i3d:full-frame": "i3d",
    "mfcc": "audio",
    "r2plus1d_18": "r2plus1d",
    "r2plus1d_34_ig65m32": "ig65m",
    "r2plus1d_34_ig65m8": "ig65m",
    "r2plus1d_34_ig65m_kinetics32": "ig65m",
    "r2plus1d_34_ig65m_kinetics8": "ig65m",
    "resnet50": "resnet50",
    "videomae_b": "videomae_b",
    "videomaev2_b": "videomaev2",
    "videomaev2_g": "videomaev2",
    "videomaev2_s": "videomaev2",
    "wav2vec2": "wav2vec2",
}
"""The extractors of this package and their modules, imported only when asked for: some take seconds."""
FAMILIES = {"timm": "timm_frames"}

CARDS = Path(__file__).parent / "cards.json"
"""The cards of HOUSE, written by `python -m csmv.flows.generated`: listing them loads no network library."""

_classes: "dict[str, type[Extractor]]" = {}
_families: "dict[str, Callable[[str], type[Extractor]]]" = {}

Class = TypeVar("Class", bound="type[Extractor]")


def register(cls: Class) -> Class:
    """Class decorator: make an extractor known by its `name`."""
    earlier = _classes.get(cls.name)
    if earlier is not None and earlier.__qualname__ != cls.__qualname__:
        raise ExtractorError(f"Two extractors call themselves '{cls.name}': {earlier.__module__}, {cls.__module__}.")
    _classes[cls.name] = cls
    return cls


def register_family(
    prefix: str,
) -> "Callable[[Callable[[str], type[Extractor]]], Callable[[str], type[Extractor]]]":
    """Decorator for a function that makes the class of `prefix:NAME`."""

    def keep(make: "Callable[[str], type[Extractor]]") -> "Callable[[str], type[Extractor]]":
        _families[prefix] = make
        return make

    return keep


def _plugins() -> dict[str, Any]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _load_plugin(point: Any) -> "type[Extractor]":
    from csmv.extractors.base import Extractor

    try:
        loaded = point.load()
    except Exception as error:
        raise ExtractorError(
            f"The extractor plugin '{point.name}' ({point.value}) could not be loaded "
            f"({type(error).__name__}: {error}): mend or uninstall that package."
        ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, Extractor) and loaded.name == point.name):
        raise ExtractorError(
            f"The entry point '{point.name}' ({point.value}) should name an Extractor class of that name: "
            "mend or uninstall that package."
        )
    return register(loaded)


def names() -> list[str]:
    """Names of every extractor there is, this package's and plugins', sorted; families as `prefix:NAME`."""
    return sorted({*HOUSE, *_classes, *_plugins()}) + [f"{prefix}:NAME" for prefix in sorted(FAMILIES)]


def card_of(name: str) -> Mapping[str, Any]:
    """The card of an extractor: one of this package's is read, and any other's class is loaded and asked.

    Raises:
        ExtractorError: there is none of that name, or its plugin can't be loaded.
    """
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
    cards = {name: extractor_class(name).card() for name in sorted(HOUSE)}
    return json.dumps(cards, indent=1, ensure_ascii=False) + "\n"


def extractor_class(name: str) -> "type[Extractor]":
    """The class called `name`. ExtractorError names the nearest one there is."""
    if name in HOUSE:
        import_module(f"csmv.extractors.{HOUSE[name]}")
    if name in _classes:
        return _classes[name]
    prefix, colon, rest = name.partition(":")
    if colon and prefix in FAMILIES:
        import_module(f"csmv.extractors.{FAMILIES[prefix]}")
        return _families[prefix](rest)
    if name in (plugins := _plugins()):
        return _load_plugin(plugins[name])
    near = get_close_matches(name, names(), 1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(names())}."
    raise UnknownChoiceError(f"There is no extractor '{name}': {hint}")


def create(name: str, weights: Any = "default", **options: Any) -> "Extractor":
    """An extractor by name, loaded and on its device.

    weights: "default" (the published file), a name from its card, a path, a URL, or "random" (seeded by `seed`).
    options: granularity ("clip" | "temporal"), device, dtype ("float32" | "tf32" | "bfloat16" | "float16"),
    sha256 (what the file must have), seed, max_clips, compile, measure (its `deviation` then says how far `dtype` is
    from float32 on a fixed window). ExtractorError for anything that cannot be had.
    """
    return extractor_class(name)(weights, **options)
