"""Counting for the report: how often values stand in columns, as bars and histograms."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BINS = 12

Count = dict[str, Any]
"""What a bar shows: name, count, share of the whole, share of the longest bar."""


def counts_of(column: pa.ChunkedArray, names: Iterable[str]) -> list[Count]:
    """How often each of `names` stands in a column, and how often nothing does."""
    counts = tally(column)
    missing = [("none settled", counts[None])] if counts[None] else []
    return bars([*((str(name), counts[str(name)]) for name in names), *missing])


def tally(column: pa.Array | pa.ChunkedArray) -> Counter[Any]:
    """How often each value stands in a column, in the order in which they first do."""
    return Counter({one["values"]: one["counts"] for one in pc.value_counts(column).to_pylist()})


def bars(counts: Iterable[tuple[str, int]]) -> list[Count]:
    """Bars of named counts."""
    rows = list(counts)
    whole, longest = sum(count for _, count in rows), max((count for _, count in rows), default=0)
    return [
        {"name": name, "count": count, "share": share_of(count, whole), "length": share_of(count, longest)}
        for name, count in rows
    ]


def true_in(flags: pa.ChunkedArray) -> int:
    """How many of some flags are set."""
    return int(pc.sum(flags).as_py() or 0)


def share_of(part: int, whole: int) -> float:
    """A part of a whole; 0 of nothing."""
    return part / whole if whole else 0.0


def histogram(values: pa.ChunkedArray, unit: str) -> dict[str, Any]:
    """Counts in at most twelve bins of equal, round width; what is far out goes into the last."""
    numbers = np.sort(values.drop_null().to_numpy().astype(np.float64))
    if not len(numbers):
        return {"bins": [], "unit": unit, "median": None}
    high = float(numbers[int(0.99 * (len(numbers) - 1))])
    width = _round_up((high or 1) / BINS)
    bins, sizes = np.unique(np.minimum(numbers // width, BINS - 1).astype(int), return_counts=True)
    counts = Counter(dict(zip(bins.tolist(), sizes.tolist(), strict=True)))
    last = max(counts)
    shown = bars([(f"{n * width:g} to {(n + 1) * width:g}", counts[n]) for n in range(min(counts), last + 1)])
    if numbers[-1] >= (last + 1) * width:
        shown[-1]["name"] = f"{last * width:g} and more"
    return {"bins": shown, "unit": unit, "median": float(numbers[len(numbers) // 2])}


def _round_up(width: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** (len(str(int(width))) - 1) if width >= 1 else 0.1
    return next((power * step for step in (1, 2, 2.5, 5) if power * step >= width), power * 10)
