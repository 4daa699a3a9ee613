"""What Prefect shows of runs: names that a person can read, a line a unit, and how far a unit is while it runs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from prefect import get_run_logger
from prefect.runtime import flow_run

from csmv.flows.fan_out import root_name, span_of
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.progress import Meter, track
from csmv.pipeline.stage import Stage, UnitReport
from csmv.pipeline.work import do_unit

_UNITS_OF = {"bytes": "bytes", "decode_seconds": "s of decoding"}
"""How amounts are called in a line, where their own names don't read well."""


def run_name(what: str, root: str, units: Sequence[str] = ()) -> str:
    """What a flow run is called: `features mine 0-3,7`, of a root called `mine`."""
    return " ".join(part for part in (what, root_name(root), span_of(units) if units else "") if part)


def current_run_name(what: str) -> str:
    """`run_name` of the flow run that is beginning, by its parameters."""
    dataset = flow_run.parameters.get("dataset") or {}
    fields: Mapping[str, Any] = dataset if isinstance(dataset, Mapping) else vars(dataset)
    units = fields.get("units") or fields.get("shards") or ()
    return run_name(what, str(fields.get("root", "")), [str(unit) for unit in units])


def seen_unit(stage: Stage, dataset: Dataset, unit: str) -> UnitReport:
    """Do a unit in a task: with a bar, its file under `private/work`, and one line in the run's log at its end."""
    meter = Meter()
    logger = get_run_logger()
    try:
        with track(f"{stage.name} {unit}", None) as tick:
            report = do_unit(stage, dataset, unit, tick, run=flow_run.name or "", meter=meter)
    except BaseException:
        reading = meter.read()
        logger.warning("%s", line(f"{stage.name} {unit} stopped", reading.amounts, reading.reasons, reading.seconds))
        raise
    logger.info("%s", line(f"{stage.name} {unit}", report.counts, report.reasons, meter.read().seconds))
    return report


def line(what: str, amounts: Mapping[str, float], reasons: Counter[str], seconds: float) -> str:
    """`features 0003: 512 videos, 40,960 windows, 812 s; failures: 3 no_audio`; it names nobody."""
    told = [f"{round(amount):,} {_UNITS_OF.get(name, name)}" for name, amount in amounts.items() if round(amount)]
    told.append(f"{seconds:,.1f} s")
    failures = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    return f"{what}: {', '.join(told)}" + (f"; failures: {failures}" if failures else "")
