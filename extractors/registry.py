"""The one list of extractors: a decorator, a dictionary, and the entry points of other packages.

An extractor elsewhere is a class (or a module whose import registers it) named by an entry point in the group
`csmv.extractors`. Families such as `timm:NAME` make a class of any name after their prefix.
"""

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

from extractors.base import Extractor
from extractors.errors import ExtractorError

GROUP = "csmv.extractors"
HOUSE = (
    "audio",
    "i3d",
    "ig65m",
    "r2plus1d",
    "resnet50",
    "timm_frames",
    "videomae_b",
    "videomaev2",
    "wav2vec2",
)
"""Modules of this package that register extractors when imported."""

_classes: dict[str, type[Extractor]] = {}
_families: dict[str, Callable[[str], type[Extractor]]] = {}
_loaded = False

Class = TypeVar("Class", bound=type[Extractor])


def register(cls: Class) -> Class:
    """Class decorator: make an extractor known by its `name`."""
    known = _classes.get(cls.name)
    if known is not None and known.__qualname__ != cls.__qualname__:
        raise ExtractorError(f"Two extractors call themselves '{cls.name}': {known.__module__}, {cls.__module__}.")
    _classes[cls.name] = cls
    return cls


def register_family(prefix: str) -> Callable[[Callable[[str], type[Extractor]]], Callable[[str], type[Extractor]]]:
    """Decorator for a function that makes the class of `prefix:NAME`."""

    def keep(make: Callable[[str], type[Extractor]]) -> Callable[[str], type[Extractor]]:
        _families[prefix] = make
        return make

    return keep


def _load_all() -> None:
    global _loaded
    if _loaded:
        return
    for module in HOUSE:
        import_module(f"extractors.{module}")
    for point in entry_points(group=GROUP):
        _load_plugin(point)
    _loaded = True


def _load_plugin(point: Any) -> None:
    try:
        found = point.load()
    except Exception as error:
        raise ExtractorError(
            f"The extractor plugin '{point.name}' ({point.value}) could not be loaded "
            f"({type(error).__name__}: {error}): mend or uninstall that package."
        ) from error
    if isinstance(found, type) and issubclass(found, Extractor):
        register(found)


def names() -> list[str]:
    """Names of every extractor there is, this package's and plugins', sorted; families as `prefix:NAME`."""
    _load_all()
    return sorted(_classes) + [f"{prefix}:NAME" for prefix in sorted(_families)]


def extractor_class(name: str) -> type[Extractor]:
    """The class called `name`. ExtractorError names the nearest one there is."""
    _load_all()
    if name in _classes:
        return _classes[name]
    prefix, colon, rest = name.partition(":")
    if colon and prefix in _families:
        return _families[prefix](rest)
    near = get_close_matches(name, names(), 1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(names())}."
    raise ExtractorError(f"There is no extractor '{name}': {hint}")


def create(name: str, weights: Any = "default", **options: Any) -> Extractor:
    """An extractor by name, loaded and on its device.

    weights: "default" (the published file), a name from its card, a path, a URL, or "random" (seeded by `seed`).
    options: granularity ("clip" | "temporal"), device, dtype ("float32" | "tf32" | "bfloat16" | "float16"),
    sha256 (what the file must have), seed, max_clips, compile. ExtractorError for anything that cannot be had.
    """
    return extractor_class(name)(weights, **options)
