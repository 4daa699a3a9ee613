"""The tables of a release as CSV and JSON lines, for people without a reader of Parquet.

In CSV a text that a spreadsheet would run as a formula has an apostrophe before it, which spreadsheets take for "this
is text"; lists are joined by spaces. JSON lines have every value as it is.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from csmv.pipeline.release.plain_values import plain
from csmv.pipeline.release.release_folder import TABLES

_FORMULA = frozenset("=+-@\t\r\n＝＋－＠")
"""What a cell begins with that a spreadsheet may run (OWASP, "CSV Injection"), and the same in full width."""
_ROWS = 1 << 14


def write_csv(release: Path, splits: Sequence[str], features: Sequence[str]) -> Path:
    """Write the tables and splits of a release below its folder `csv`; features have no place in one.

    Args:
        release: a local folder that has the release's Parquet files.
        splits: the splits in it.
        features: the feature sets in it.

    Returns:
        The folder.
    """
    for name in _tables(release, splits):
        path = _place(release, "csv", name)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            source = pq.ParquetFile(release / f"{name}.parquet")
            writer.writerow(source.schema_arrow.names)
            for row in _rows(source):
                writer.writerow([_cell(value) for value in row.values()])
    return release / "csv"


def write_jsonl(release: Path, splits: Sequence[str], features: Sequence[str]) -> Path:
    """Write the tables and splits of a release below its folder `jsonl`, an object a line; otherwise as `write_csv`."""
    for name in _tables(release, splits):
        path = _place(release, "jsonl", name)
        with path.open("w", encoding="utf-8") as file:
            for row in _rows(pq.ParquetFile(release / f"{name}.parquet")):
                file.write(json.dumps({key: plain(value) for key, value in row.items()}, ensure_ascii=False) + "\n")
    return release / "jsonl"


def _tables(release: Path, splits: Sequence[str]) -> Iterator[str]:
    yield from TABLES
    for split in splits:
        for path in sorted((release / "splits" / split).glob("*.parquet")):
            yield f"splits/{split}/{path.stem}"


def _place(release: Path, suffix: str, name: str) -> Path:
    path = release / suffix / f"{name}.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _rows(source: pq.ParquetFile) -> Iterator[dict[str, Any]]:
    for batch in source.iter_batches(batch_size=_ROWS):
        yield from batch.to_pylist()


def _cell(value: Any) -> Any:
    """A value as a cell of CSV has it; empty where there is none."""
    if isinstance(value, list):
        value = " ".join(map(str, value))
    if not isinstance(value, str):
        return plain(value)
    begins = value.lstrip(" ")[:1]
    return f"'{value}" if begins in _FORMULA and begins else value
