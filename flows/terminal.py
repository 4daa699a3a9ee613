"""What commands say at the end: a table for people, JSON for machines."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "", caption: str = "") -> "Table":
    """A table whose columns of numbers stand to the right; the names of its rows are never folded."""
    from rich.table import Table

    rows = list(rows)
    printed = Table(title=title or None, caption=caption or None)
    for number, column in enumerate(columns):
        is_text = number == 0 or any(row[number][:1].isalpha() for row in rows)
        is_name = number == 0 and not any(" " in row[number] for row in rows)
        printed.add_column(column, justify="left" if is_text else "right", no_wrap=is_name)
    for row in rows:
        printed.add_row(*row)
    return printed


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """Print a table on standard output."""
    from rich.console import Console

    Console(highlight=False).print(table(columns, rows, title))


def print_json(value: Any) -> None:
    """Print a result for a machine to read."""
    typer.echo(json.dumps(value, indent=2, default=str))
