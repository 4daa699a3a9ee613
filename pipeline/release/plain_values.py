"""Values of tables as JSON has them, and back."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import pyarrow as pa


def plain(value: Any) -> Any:
    """A value as JSON has it: days and times in ISO 8601."""
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, date | datetime) else value


def plain_row(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Some values of a row as JSON has them; those that are missing are left out."""
    return {name: plain(row[name]) for name in names if row.get(name) is not None}


def from_plain(values: Mapping[str, Any], schema: pa.Schema) -> dict[str, Any]:
    """The reverse of `plain_row`, by the types of a schema."""

    def restored(name: str, value: Any) -> Any:
        kind = schema.field(name).type
        if pa.types.is_date(kind):
            return date.fromisoformat(value)
        return datetime.fromisoformat(value) if pa.types.is_timestamp(kind) else value

    return {name: restored(name, value) for name, value in values.items()}
