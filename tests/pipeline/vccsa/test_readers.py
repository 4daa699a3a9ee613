"""Labels and predictions, read with what people have: class names come out as words, probabilities as lists."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from csmv.pipeline.labels import EMOTIONS, OPINIONS
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa import train
from csmv.pipeline.vccsa.predict_table import CommentsOfFile, predict_table
from csmv.pipeline.vccsa.train_config import TrainConfig

Row = dict[str, Any]
Read = Callable[[list[str], Path], list[Row]]


@pytest.fixture(scope="module")
def tables(root: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The files of the labels, of a run's predictions, and of a table of many comments with a bad row."""
    train(root, TrainConfig(model="text", epochs=1).replace({"text.tiny_dim": 8}), "readable")
    folder = tmp_path_factory.mktemp("asked")
    lines = [{"comment_id": str(number), "text": "so good"} for number in range(5)]
    (folder / "asked.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n{\n")
    predict_table(root, "readable", CommentsOfFile(folder / "asked.jsonl"), folder / "asked.parquet")
    return {
        "labels": [root.path(name) for name in root.files("labels") if pq.read_metadata(root.path(name)).num_rows],
        "predictions": [root.path("models/readable/predictions.parquet")],
        "asked": [str(folder / "asked.parquet")],
    }


def by_pandas(files: list[str], _: Path) -> list[Row]:
    import pandas

    frame = pandas.concat([pandas.read_parquet(file) for file in files])
    return [
        {name: value.tolist() if hasattr(value, "tolist") else value for name, value in row.items()}
        for row in frame.astype(object).where(frame.notna(), None).to_dict("records")
    ]


def by_polars(files: list[str], _: Path) -> list[Row]:
    import polars

    return [
        {name: value.to_list() if hasattr(value, "to_list") else value for name, value in row.items()}
        for row in polars.read_parquet(files).to_dicts()
    ]


def by_duckdb(files: list[str], _: Path) -> list[Row]:
    import duckdb

    found = duckdb.connect().execute("SELECT * FROM read_parquet($1)", [files])
    names = [column[0] for column in found.description]
    rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return [{name: list(value) if isinstance(value, tuple) else value for name, value in row.items()} for row in rows]


def by_datasets(files: list[str], cache: Path) -> list[Row]:
    import datasets

    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(cache))
    return list(loaded)


READERS = {"pandas": by_pandas, "polars": by_polars, "duckdb": by_duckdb, "datasets": by_datasets}


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(read, id=name, marks=pytest.mark.skipif(not find_spec(name), reason=f"{name} is not installed"))
        for name, read in READERS.items()
    ],
)
def test_class_names_and_probabilities_are_read(tables: dict[str, list[str]], tmp_path: Path, read: Read) -> None:
    for name, files in tables.items():
        rows = read(files, tmp_path)
        wanted = [row for file in files for row in pq.read_table(file).to_pylist()]
        columns = [column for column in wanted[0] if column.endswith(("opinion", "emotion", "probabilities", "_id"))]
        assert len(columns) >= 3
        for row, expected in zip(rows, wanted, strict=True):
            for column in columns:
                value = expected[column]
                assert row[column] == (pytest.approx(value) if isinstance(value, list) else value), (name, column)
        opinion, emotion = ("opinion", "emotion") if name == "labels" else ("predicted_opinion", "predicted_emotion")
        assert {row[opinion] for row in rows} <= {*OPINIONS, None} != {None}
        assert {row[emotion] for row in rows} <= {*EMOTIONS, None} != {None}
