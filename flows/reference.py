"""Writes what guides say of stages, commands and tables from the stages, commands and schemas themselves.

`python -m csmv.flows.generated` puts it into `README.md`, `flows/COMMANDS.md` and `pipeline/README.md`.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import typer
from typer.main import get_command

from csmv.flows.cli import build_app
from csmv.pipeline.schemas import (
    COMMENTS,
    FAILURES,
    LABELS,
    SPLITS,
    VIDEOS,
    FailureClass,
    TableSpec,
    features_spec,
    reasons_of,
)
from csmv.pipeline.stage import Unit
from csmv.pipeline.stages import STAGES

_ANY_WIDTH = 1
_TABLES: tuple[tuple[str, TableSpec], ...] = (
    ("videos", VIDEOS),
    ("comments", COMMENTS),
    ("labels", LABELS),
    ("features/<set>", features_spec(_ANY_WIDTH)),
    ("splits/<name>", SPLITS),
    ("failures/<stage>", FAILURES),
)


def stages_table() -> str:
    """The list of stages, as a table in Markdown."""
    rows = ["| stage | what it makes | by | section | needs |", "|---|---|---|---|---|"]
    for stage in STAGES:
        needs = [what for what, does in (("GPU", stage.needs.gpu), ("network", stage.needs.network)) if does]
        unit = "everything" if stage.unit is Unit.TARGET else str(stage.unit)
        section = f"`{stage.section}`" if stage.section else ""
        rows.append(f"| `{stage.name}` | {stage.summary} | {unit} | {section} | {', '.join(needs)} |")
    return "\n".join(rows) + "\n"


def with_part(page: str, name: str, text: str) -> str:
    """A page with `text` between its two marks of that name, `<!-- NAME: ... -->` and `<!-- end of NAME -->`."""
    before, begin, rest = page.partition(f"<!-- {name}: made by `python -m csmv.flows.generated` -->\n")
    _, end, after = rest.partition(f"<!-- end of {name} -->")
    if not begin or not end:
        raise ValueError(f"a page has no two marks of '{name}'")
    return f"{before}{begin}{text}{end}{after}"


def command_reference() -> str:
    """Every command with its arguments and options, as Markdown."""
    app = get_command(build_app())
    lines = [
        "# Commands",
        "",
        "Written by `python -m csmv.flows.generated` from the commands themselves, which say the same with `--help`.",
        "Exit codes: 0, all that was asked is settled; 3, something may succeed later, and the sentence says how;",
        "1, an error; 2, a wrong command.",
    ]
    for name, command in _commands(app, "csmv"):
        lines += ["", f"## {name}", "", _sentence(command.help), ""]
        lines += _parameters(command)
    return "\n".join(lines) + "\n"


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def _parameters(command: Any) -> Iterator[str]:
    yield "| argument or option | what it says |"
    yield "|---|---|"
    for parameter in command.get_params(typer.Context(command, info_name=command.name)):
        if parameter.param_type_name == "option":
            word = ", ".join(f"`{option}`" for option in [*parameter.opts, *parameter.secondary_opts])
        else:
            word = f"`{parameter.name.upper()}`"
        yield f"| {word} | {_cell(_sentence(parameter.help))}{_default(parameter)} |"


def _default(parameter: Any) -> str:
    if parameter.required:
        return " Required."
    default = parameter.default
    shown = isinstance(default, str | int | float) and not isinstance(default, bool) and default != ""
    return f" Default: {_cell(str(default))}." if shown else ""


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def tables_reference() -> str:
    """Every table's columns with type, unit and meaning, and the reasons of failures, as Markdown."""
    lines: list[str] = []
    for name, spec in _TABLES:
        key = ", ".join(f"`{column}`" for column in spec.key)
        lines += [f"### {name}", "", f"A row is named by {key}.", "", "| column | type | unit | meaning |"]
        lines += ["|---|---|---|---|", *map(_column, spec.schema), ""]
    lines += ["### Reasons of failures", ""]
    for one in FailureClass:
        lines += [f"**{one.value}**: {one.sentence}.", "", "| reason | meaning | tried again |", "|---|---|---|"]
        for reason in reasons_of(one):
            lines.append(f"| `{reason.value}` | {_cell(reason.sentence)} | {'no' if reason.final else 'yes'} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _column(field: pa.Field) -> str:
    words = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    kind = str(field.type).replace(": int64", "")
    if field.name == "features":
        kind = "list<fixed_size_list<float32 or float16>[dim]>"
    return f"| `{field.name}` | `{kind}` | {words.get('unit', '')} | {_cell(words.get('meaning', ''))} |"
