"""The vocabularies of the tables hold together."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from extractors.reasons import MediaFailure
from pipeline.config import DatasetConfig, FolderSource
from pipeline.labels import TASKS
from pipeline.schemas import COMMENTS, FAILURES, LABELS, SPLITS, VIDEOS, FailureReason
from pipeline.store import Store


def test_every_reason_of_a_media_file_may_stand_in_a_failures_table() -> None:
    assert {reason.value for reason in MediaFailure} <= {reason.value for reason in FailureReason}


def test_every_column_says_what_it_means_and_numbers_have_units() -> None:
    for spec in (VIDEOS, COMMENTS, LABELS, SPLITS, FAILURES):
        for field in spec.schema:
            assert field.metadata[b"meaning"], field.name
            if str(field.type) in ("double", "int32", "int64", "date32[day]") or "timestamp" in str(field.type):
                assert field.metadata[b"unit"], field.name


def test_a_labels_file_names_the_classes_of_each_task_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), DatasetConfig(name="t", n_shards=1, source=FolderSource(path="x")))
    rows = [{"comment_id": "c", "opinion": "positive", "emotion": "joy", "source": "published"}]
    store.write("labels", 0, pa.Table.from_pylist(rows))

    metadata = pq.read_schema(tmp_path / "labels" / "0000.parquet").metadata

    assert json.loads(metadata[b"classes.opinion"]) == ["positive", "neutral", "negative"]
    emotions = ["joy", "disgust", "surprise", "sadness", "trust", "fear", "anger", "anticipation"]
    assert json.loads(metadata[b"classes.emotion"]) == emotions == list(TASKS["emotion"])
