"""Reading configuration: files, YAML, and sections that reject what they do not know and name the nearest they do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from csmv.extractors.nearest_names import did_you_mean
from csmv.pipeline.errors import CsmvError


class Validated(BaseModel):
    """Base of every configuration section: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


Section = TypeVar("Section", bound=BaseModel)

Scalar = str | int | float | bool | None
Json = Scalar | list[Scalar]
"""A field's value, as YAML and JSON write it."""


def parse(section: type[Section], data: object, where: str) -> Section:
    """`data` (as read from YAML or JSON) as a `section`.

    Raises CsmvError, in one sentence that begins with `where`: the first thing wrong, and for an unknown key the
    nearest known one.
    """
    try:
        return section.model_validate(data)
    except ValidationError as error:
        raise CsmvError(f"{where}: {_sentence(section, error)}") from None


def read_text(path: Path) -> str:
    """The text of a file that a person wrote. Raises CsmvError if it is not there, or not UTF-8."""
    if not path.is_file():
        raise CsmvError(f"The file '{path}' is not there.")
    return decoded(path.read_bytes(), str(path))


def decoded(data: bytes, where: str) -> str:
    """Bytes as text. Raises CsmvError if they are not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise CsmvError(f"{where}: expected YAML in UTF-8, found something else.") from None


def yaml_value(text: str, where: str) -> Any:
    """What a YAML text holds. Raises CsmvError, one sentence that begins with `where`, if it is not YAML."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        raise CsmvError(f"{where}: this is not YAML{place}.") from None


def yaml_mapping(text: str, where: str) -> dict[str, Any]:
    """The mapping that a YAML text holds, empty for an empty text. Raises CsmvError if it holds anything else."""
    data = yaml_value(text, where)
    if not isinstance(data, dict | None):
        raise CsmvError(f"{where}: expected a mapping of configuration keys, found {type(data).__name__}.")
    return data or {}


def wording(problem: Any, description: str | None) -> str:
    """What pydantic found wrong with a field, for people: a pattern is told by the field's description instead."""
    if problem["type"] == "string_pattern_mismatch" and description:
        return f"expected {description}"
    # Of what a check of ours says, pydantic tells first that it was one.
    message: str = problem["msg"].removeprefix("Value error, ").removesuffix(".")
    return f"{message[:1].lower()}{message[1:]}"


def _sentence(section: type[BaseModel], error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False)
    # An unknown key explains more than the missing one it was meant to be.
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    path = ".".join(str(part) for part in first["loc"]) or "the file"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    sections = _sections_of(section, first["loc"][:-1])
    if first["type"] != "extra_forbidden":
        fields = [m.model_fields.get(str(first["loc"][-1])) for m in sections] if first["loc"] else []
        described = next((field.description for field in fields if field is not None), None)
        return f"{path}: {wording(first, described)}{more}."
    keys = sorted({key for model in sections for key in model.model_fields})
    hint = did_you_mean(str(first["loc"][-1]), keys, "known keys are", cutoff=0.5)
    return f"unknown key '{path}'{more}; {hint}"


def _sections_of(section: type[BaseModel], path: tuple[int | str, ...]) -> list[type[BaseModel]]:
    """The sections that may stand at `path`; several where a field is a union."""
    models = [section]
    for part in path:
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        if fields:
            models = [inner for field in fields for inner in _models_in(field.annotation)]
    return models


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
