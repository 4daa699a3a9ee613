"""What `csmv status` prints: stages, hashtags, who works on what, and how long it will take."""

import os
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from rich.console import Console

from csmv.flows.terminal import table
from csmv.pipeline.stage import HashtagCount, StageStatus
from csmv.pipeline.status import Overview
from csmv.pipeline.work import Work, as_json

_MOST_HASHTAGS = 20
_WIDTH = 120
"""Where there is no terminal that has one."""


def stage_rows(overview: Overview) -> list[dict[str, Any]]:
    """An entry a stage, for a machine to read."""
    return [_stage_row(row, overview) for row in overview.stages]


def _stage_row(row: StageStatus, overview: Overview) -> dict[str, Any]:
    return {
        "name": row.name,
        "unit": row.unit,
        "units": row.units,
        "done": row.done,
        "missing": row.missing,
        "stale": row.stale,
        "failures": dict(row.failures),
        "note": row.note,
        "items_left": row.items_left,
        "rate": row.rate,
        "seconds_left": row.seconds_left,
        "hashtags": {tag: vars(count) | {"failures": dict(count.failures)} for tag, count in row.hashtags.items()},
        "working": [as_json(work, overview.at) for work in overview.working if work.stage == row.name],
    }


def print_overview(overview: Overview, root: str, *, clear: bool = False) -> None:
    """Print it for a person; on a terminal in place of what stands there, if asked to."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(highlight=False, width=_WIDTH)
    if clear and console.is_terminal:
        console.clear()
    console.print(
        table(
            ["stage", "by", "done", "missing", "stale", "failures", "left", "rate", "time left"],
            [_stage_cells(row) for row in overview.stages],
            f"Stages of {root}, {overview.at.astimezone():%H:%M:%S}",
        )
    )
    for row in overview.stages:
        for unit, why in list(row.stale.items())[:3]:
            console.print(f"{row.name} {unit} is stale: {why}", soft_wrap=True, markup=False)
        if row.failures:
            console.print(f"{row.name} failures: {_counted(row.failures.most_common())}", soft_wrap=True, markup=False)
        if row.note:
            console.print(f"{row.name}: {row.note}", soft_wrap=True, markup=False)
    if any(row.hashtags for row in overview.stages):
        _print_hashtags(console, overview)
    if overview.working:
        _print_working(console, overview)


def _stage_cells(row: StageStatus) -> list[str]:
    left = "" if row.items_left is None else f"{row.items_left:,}"
    return [
        row.name,
        row.unit,
        f"{row.done:,} of {row.units:,}",
        f"{row.missing:,}",
        f"{len(row.stale):,}",
        f"{row.failures.total():,}",
        left,
        "" if row.rate is None else per_second(row.rate),
        "" if row.seconds_left is None else duration(row.seconds_left),
    ]


def _print_hashtags(console: Console, overview: Overview) -> None:
    stages = [row for row in overview.stages if row.hashtags]
    tags = list(dict.fromkeys(tag for row in stages for tag in row.hashtags))
    tags.sort(key=lambda tag: -max(_whole(row.hashtags[tag]) for row in stages if tag in row.hashtags))
    rows = [
        [tag, *(_hashtag_cell(row.hashtags.get(tag, HashtagCount())) for row in stages)]
        for tag in tags[:_MOST_HASHTAGS]
    ]
    more = f"; {len(tags) - _MOST_HASHTAGS} more with --json" if len(tags) > _MOST_HASHTAGS else ""
    caption = f"done of all, and what failed{more}"
    console.print(table(["hashtag", *(row.name for row in stages)], rows, "Videos by hashtag", caption))


def _whole(count: HashtagCount) -> int:
    return count.done + count.missing + count.failures.total()


def _hashtag_cell(count: HashtagCount) -> str:
    failures = f", {_counted(count.failures.most_common())}" if count.failures else ""
    return f"{count.done:,} of {_whole(count):,}{failures}"


def _print_working(console: Console, overview: Overview) -> None:
    rows = [_working_cells(work, overview.at) for work in overview.working]
    console.print(table(["who", "run", "works on", "done", "since", "rate"], rows, "At work"))


def _working_cells(work: Work, now: datetime) -> list[str]:
    done = f"{work.done:,}" if work.expected is None else f"{work.done:,} of {work.expected:,}"
    rate = "" if work.rate is None else per_second(work.rate)
    if work.is_silent(now):
        rate = f"silent since {work.updated.astimezone():%H:%M:%S}"
    who = f"{work.machine}/{work.process}"
    return [who, work.run, f"{work.stage} {work.unit}", done, f"{work.since.astimezone():%H:%M:%S}", rate]


def per_second(rate: float) -> str:
    """A rate as a person says it: 12.0/s, or 4.0 s each."""
    return f"{rate:,.1f}/s" if rate >= 1 else f"{1 / rate:,.1f} s each"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 40 s, 12 min, 3 h 20 min, 2 d 4 h."""
    minutes, hours, days = round(seconds / 60), int(seconds // 3600), int(seconds // 86400)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{days} d {hours % 24} h"


def _counted(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{number:,} {what}" for what, number in counts)
