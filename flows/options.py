"""Options of commands, made of the fields of configuration sections: type, bounds, default and help are the field's.

A command names a section and some of its fields in the annotation of one parameter, which gets the values as a
dictionary. A section's module is imported when the command is called or its own help is asked for, and not before, so
that `csmv --help` answers at once.
"""

import inspect
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache, wraps
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import typer
from typer.core import TyperCommand

from csmv.pipeline.errors import CsmvError, UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

Root = Annotated[str, typer.Option("--root", help="The dataset root: a folder or an fsspec URL such as s3://bucket/x.")]
RootArgument = Annotated[str, typer.Argument(help="The dataset root: a folder or an fsspec URL such as s3://bucket/x.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]

Values = dict[str, Any]
"""Field -> value, of the fields of one section."""


class Fields:
    """Fields of a section that a command has options for. Stands in the annotation of the parameter that gets them.

    Args:
        section: the section's class, as module:Class.
        names: fields whose options are called as they are.
        repeated: which of the options may be given again, though the field holds one value: the parameter gets a list.
        short: options that have a short form too.
        base: where a value comes from that no option gives, such as "the root's"; the parameter gets only what was
            given then, and otherwise the field's defaults as well.
        renamed: option=field, for an option that is called otherwise. One in `_gb` may set a field in `_bytes`.
    """

    def __init__(
        self,
        section: str,
        *names: str,
        repeated: tuple[str, ...] = (),
        short: dict[str, str] | None = None,
        base: str = "",
        **renamed: str,
    ) -> None:
        self.section = section
        self.fields = {name: name for name in names} | renamed
        self.repeated = repeated
        self.short = short or {}
        self.base = base

    def options(self) -> "Iterator[FieldOption]":
        """An option a field; imports the section's module."""
        module, _, name = self.section.partition(":")
        section: type[BaseModel] = getattr(import_module(module), name)
        for option, field in self.fields.items():
            yield FieldOption(option, section.model_fields[field], option in self.repeated, self.base)

    def parameters(self) -> list[inspect.Parameter]:
        """The options as parameters of a function that typer understands."""
        return [option.parameter(self.short.get(option.name)) for option in self.options()]

    def values(self, given: Values) -> Values:
        """Take the values of these options out of a command's parameters: field -> value."""
        values = {field: given.pop(option) for option, field in self.fields.items()}
        return {field: value for field, value in values.items() if not self.base or value is not None}


SITE = "csmv.pipeline.sources.collect_settings"
Connection = Annotated[Values, Fields(f"{SITE}:Connection", "proxy", "ca_file", "cookies")]
Visit = Annotated[Values, Fields(f"{SITE}:RunSettings", "links", "workers", interval="interval_s")]
Running = Annotated[Values, Fields("csmv.flows.stage_limits:TaskRunning", "task_runner", "cluster")]
NewRoot = Annotated[
    Values,
    Fields(
        "csmv.pipeline.dataset_head:DatasetHead", shards="n_shards", base="what suits the number of videos expected"
    ),
]


@dataclass(frozen=True)
class FieldOption:
    """One option and the field that it sets."""

    name: str
    field: "FieldInfo"
    repeated: bool
    base: str

    @property
    def help(self) -> str:
        """The field's description, as a sentence."""
        text = self.field.description or ""
        again = " May be given again." if get_origin(self._option_type) is list else ""
        unit = " In GB." if self.name.endswith("_gb") else ""
        return f"{text[:1].upper()}{text[1:]}.{unit}{again}"

    @property
    def default(self) -> Any:
        """The field's default, as it would be typed."""
        value = None if self.field.is_required() else self.field.get_default(call_default_factory=True)
        if isinstance(value, tuple):
            return list(value) if get_origin(self._option_type) is list else ":".join(f"{part:g}" for part in value)
        return [value] if self.repeated and value is not None else value

    def parameter(self, short: str | None) -> inspect.Parameter:
        """The option as a parameter of a function that typer understands."""
        flag = "--" + self.name.replace("_", "-")
        both = self._option_type is bool and self.default is not False
        bounds = {key: getattr(one, key) for one in self.field.metadata for key in ("ge", "le") if hasattr(one, key)}
        shown: bool | str = f"{self.base}, else {self._shown_default}" if self._shown_default else self.base
        option = typer.Option(
            f"{flag}/--no-{flag[2:]}" if both else flag,
            *([short] if short else []),
            help=self.help,
            show_default=shown if self.base else True,
            min=bounds.get("ge"),
            max=bounds.get("le"),
            metavar="YYYY-MM-DD" if self._field_type is date else None,
            callback=self._checked,
        )
        default = None if self.base else ... if self.field.is_required() else self.default
        annotation = self._option_type if default is ... else self._option_type | None
        return inspect.Parameter(
            self.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[annotation, option]
        )

    @property
    def _shown_default(self) -> str:
        value = self.default
        if value is None or isinstance(value, bool):
            return {True: "yes", False: "no", None: ""}[value]
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    @property
    def _field_type(self) -> Any:
        """The field's type, without the None that it may be."""
        annotation = self.field.annotation
        if get_origin(annotation) in (Union, types.UnionType):
            return next(one for one in get_args(annotation) if one is not type(None))
        return annotation

    @property
    def _option_type(self) -> Any:
        """The type that typer reads: a tuple of a fixed length is written with colons, a day as text."""
        if self.name.endswith("_gb"):
            return float
        if get_origin(self._field_type) is tuple:
            first, *rest = get_args(self._field_type)
            return types.GenericAlias(list, (first,)) if rest == [...] else str
        plain = str if self._field_type is date else self._field_type
        return types.GenericAlias(list, (plain,)) if self.repeated else plain

    def _checked(self, value: Any) -> Any:
        """What was given, as the field takes it. Raises BadParameter where it does not."""
        from pydantic import TypeAdapter, ValidationError

        from csmv.pipeline.validated import wording

        if value is None or value == []:
            return value
        if self.name.endswith("_gb"):
            value = int(value * 1e9)
        elif self._option_type is str and get_origin(self._field_type) is tuple:
            value = value.split(":")
        kind: Any = Annotated[self.field.annotation, self.field]
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        try:
            for one in value if self.repeated else [value]:
                adapter.validate_python(one)
        except ValidationError as error:
            problem = error.errors(include_input=False)[0]
            raise typer.BadParameter(wording(problem, self.field.description)) from None
        return value


def command(
    commands: typer.Typer, name: str, alone: tuple[str, ...] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare a function with `Fields` among its parameters as a command.

    Args:
        commands: where it belongs.
        name: what it is called.
        alone: options of text, such as --review, that may stand without a value: the parameter then gets "".
    """

    def declare(function: Callable[..., None]) -> Callable[..., None]:
        @cache
        def whole() -> Any:
            app = typer.Typer(add_completion=False)
            app.command(name)(_with_options(function))
            return typer.main.get_command(app)

        class Deferred(TyperCommand):
            """A command that gets its options when it is called or its own help is asked for."""

            def get_params(self, ctx: typer.Context) -> list[Any]:  # type: ignore[override]
                self.params, self.callback = whole().params, whole().callback
                return super().get_params(ctx)

            def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
                return super().parse_args(ctx, list(_with_values(args, alone)))

        commands.command(name, cls=Deferred, help=inspect.getdoc(function))(lambda: None)
        return function

    return declare


def _with_values(arguments: list[str], alone: tuple[str, ...]) -> Iterator[str]:
    """The arguments of a command, with an empty value for each of these options that stands without one."""
    for argument, following in pairwise([*arguments, "-"]):
        yield f"{argument}=" if argument in alone and following.startswith("-") else argument


def fields_of(function: Callable[..., None]) -> dict[str, Fields]:
    """Parameter -> the fields that it gets the values of."""
    return {
        parameter.name: mark
        for parameter in inspect.signature(function).parameters.values()
        for mark in getattr(parameter.annotation, "__metadata__", ())
        if isinstance(mark, Fields)
    }


def _with_options(function: Callable[..., None]) -> Callable[..., None]:
    """The function with an option a field in place of each parameter that gets the values of several."""
    sections = fields_of(function)

    @wraps(function)
    def called(**given: Any) -> None:
        values = {name: fields.values(given) for name, fields in sections.items()}
        function(**given, **values)

    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(function).parameters.values():
        fields = sections.get(parameter.name)
        parameters += fields.parameters() if fields else [parameter]
    keyword_only = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    called.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]
    return called


@contextmanager
def usage() -> Iterator[None]:
    """What is refused within the block was asked for wrongly: an unknown choice, or options that contradict."""
    try:
        yield
    except CsmvError as error:
        raise UsageError(str(error)) from None


def set_values(settings: list[str] | None) -> dict[str, list[Any]]:
    """Field -> the values that `--set field=value` or `field=value,value` gives it. Raises UsageError."""
    from csmv.pipeline.validated import yaml_value

    values: dict[str, list[Any]] = {}
    for setting in settings or ():
        field, equals, text = setting.partition("=")
        if not equals or not field:
            raise UsageError(f"--set takes field=value, and got '{setting[:80]}'.")
        several = "," in text and not text.startswith(("[", "{"))
        with usage():
            value = yaml_value(f"[{text}]" if several else text, f"the value of --set {field}")
        values[field] = [_number(one) for one in (value if several else [value])]
    return values


def one_value_each(settings: list[str] | None) -> dict[str, Any]:
    """Field -> the value that `--set field=value` gives it, a list where there are several."""
    return {field: values if len(values) > 1 else values[0] for field, values in set_values(settings).items()}


def _number(value: Any) -> Any:
    # YAML reads 2e-5 as text; nobody who writes it means text.
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
