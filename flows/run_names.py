"""What flow runs are called, so that a person can read it: `features mine 0-3,7`."""

from collections.abc import Mapping, Sequence
from typing import Any

from prefect.runtime import flow_run


def root_name(root: str) -> str:
    """The last part of a root's address, for names that people read."""
    return root.rstrip("/").rsplit("/", 1)[-1][:40] or "root"


def span_of(units: Sequence[str]) -> str:
    """Units in a word or two: `0-3`, `hashtags 0 of 3`."""
    if not all(unit.isdigit() for unit in units):
        return ", ".join(units)[:60]
    numbers = sorted(int(unit) for unit in units)
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in spans)[:60]


def run_name(what: str, root: str, units: Sequence[str] = ()) -> str:
    """What a flow run is called: `features mine 0-3,7`, of a root called `mine`."""
    return " ".join(part for part in (what, root_name(root), span_of(units) if units else "") if part)


def current_run_name(what: str) -> str:
    """`run_name` of the flow run that is beginning, by its parameters."""
    dataset = flow_run.parameters.get("dataset") or {}
    fields: Mapping[str, Any] = dataset if isinstance(dataset, Mapping) else vars(dataset)
    units = fields.get("units") or fields.get("shards") or ()
    return run_name(what, str(fields.get("root", "")), [str(unit) for unit in units])
