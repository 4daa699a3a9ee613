"""CSV, JSON lines and WebDataset: the rows and vectors of the Parquet files, and nothing that a spreadsheet runs."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from release_roots import LICENSED, release

from csmv.pipeline.release.plain_tables import write_csv
from csmv.pipeline.release.release_config import ReleaseFormat

ALL = LICENSED.model_copy(update={"formats": tuple(ReleaseFormat)})


@pytest.fixture(scope="module")
def formats(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release with every format."""
    return Path(release(str(released.parent), ALL, tmp_path_factory.mktemp("formats") / "out").address)


def test_csv_and_json_lines_have_the_rows_of_the_tables(formats: Path) -> None:
    for name in ("videos", "comments", "labels", "splits/video/train"):
        rows = pq.read_table(formats / f"{name}.parquet").to_pylist()
        lines = [json.loads(line) for line in (formats / "jsonl" / f"{name}.jsonl").read_text().splitlines()]
        table = pandas.read_csv(formats / "csv" / f"{name}.csv", dtype=str)

        assert [{k: str(v) for k, v in row.items()} for row in lines] == [
            {k: str(v) for k, v in row.items()} for row in rows
        ], name
        assert list(table.columns) == list(rows[0]) and len(table) == len(rows)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
        ("+1 for this", "'+1 for this"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("  =1", "'  =1"),
        ("＝1+1", "'＝1+1"),
        ("plain = good", "plain = good"),
        ('two\nlines, one "quote"', 'two\nlines, one "quote"'),
        ("", ""),
    ],
)
def test_no_cell_is_a_formula(tmp_path: Path, text: str, cell: str) -> None:
    for name in ("videos", "labels"):
        pq.write_table(pa.table({"x": ["y"]}), tmp_path / f"{name}.parquet")
    pq.write_table(pa.table({"text": [text], "count": [-3], "tags": [["=a", "b"]]}), tmp_path / "comments.parquet")

    write_csv(tmp_path, [], [])

    [_, row] = csv.reader((tmp_path / "csv" / "comments.csv").open(newline=""))
    assert row == [cell, "-3", "'=a b"]


def test_webdataset_streams_vectors_with_comments_and_labels(formats: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    shards = sorted(map(str, (formats / "webdataset" / "i3d").iterdir()))
    tables = pa.concat_tables(pq.read_table(path) for path in sorted((formats / "features" / "i3d").iterdir()))
    stored = {row["video_id"]: row["features"] for row in tables.to_pylist()}
    labels = {row["comment_id"]: row for row in pq.read_table(formats / "labels.parquet").to_pylist()}

    samples: list[dict[str, Any]] = list(webdataset.WebDataset(shards, shardshuffle=False).decode())

    assert {sample["__key__"] for sample in samples} == stored.keys()
    for sample in samples:
        assert np.array_equal(sample["npy"], stored[sample["__key__"]])
        assert len(sample["json"]["comments"]) == 5
        for comment in sample["json"]["comments"]:
            assert comment["emotion"] == labels[comment["comment_id"]]["emotion"]
            assert comment["splits"].keys() == {"video", "comment"}


def test_every_format_is_the_same_bytes_again(formats: Path, released: Path, tmp_path: Path) -> None:
    again = Path(release(str(released.parent), ALL, tmp_path / "again").address)

    assert (again / "SHA256SUMS").read_bytes() == (formats / "SHA256SUMS").read_bytes()
