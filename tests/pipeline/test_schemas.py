"""The vocabularies of the tables: what every reason means, by class and finality, and what old roots say."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from csmv.extractors.reasons import MediaFailure
from csmv.pipeline.config import DatasetConfig, FolderSource, PublishedSource
from csmv.pipeline.failures import Failure, record_failures
from csmv.pipeline.labels import TASKS
from csmv.pipeline.schemas import (
    COMMENTS,
    FAILURES,
    LABELS,
    SPLITS,
    VIDEOS,
    FailureClass,
    FailureReason,
    reason_of_format_1,
)
from csmv.pipeline.sources.walls import CODES
from csmv.pipeline.stages import STAGES
from csmv.pipeline.store import Store

FINAL = {
    "media": "damaged decoder_limit empty_file no_audio no_frames no_video_stream not_a_video not_finite too_large "
    "truncated unsupported_codec missing_media",
    "gone": "advertisement age_gate comments_off download_disallowed gone indexing_disallowed not_found not_public "
    "private refused slideshow unavailable withheld",
    "input": "bad_row duplicate missing_file redirect_loop refused_address unknown_comment unknown_video unsafe_id "
    "wrong_id",
    "warning": "partly_damaged",
}
MAY_PASS = {
    "media": "decode_timeout decoder_crashed",
    "wall": "captcha challenge empty_response error_panel forbidden login_required rate_limited walled",
    "network": "network oversized refused_parameters server_error stalled unreadable",
    "space": "no_space",
}


def by_class(*, final: bool) -> dict[str, set[str]]:
    table: dict[str, set[str]] = {}
    for reason in FailureReason:
        if reason.final is final:
            table.setdefault(str(reason.kind), set()).add(str(reason))
    return table


def test_every_reason_has_its_class_and_is_final_or_may_pass() -> None:
    assert by_class(final=True) == {kind: set(words.split()) for kind, words in FINAL.items()}
    assert by_class(final=False) == {kind: set(words.split()) for kind, words in MAY_PASS.items()}
    assert {reason for reason in FailureReason if reason.wall} == set(MAY_PASS["wall"].split())
    assert all(reason.sentence and ": " not in reason.sentence for reason in FailureReason)


def test_every_reason_of_a_media_file_and_every_code_of_the_site_is_a_reason() -> None:
    assert {FailureReason(reason).kind for reason in MediaFailure} == {FailureClass.MEDIA}
    assert set(CODES.values()) <= set(FailureReason)


def test_a_failure_says_its_class_and_a_sentence(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), DatasetConfig(name="t", n_shards=1, source=PublishedSource()))
    record_failures(store, "media", 0, [Failure("1", FailureReason.CAPTCHA), Failure("2", FailureReason.GONE, "so")])

    rows = store.read_all("failures/media").to_pylist()

    assert [(row["key"], row["reason"], row["class"], row["detail"]) for row in rows] == [
        ("1", "captcha", "wall", "a captcha was asked for"),
        ("2", "gone", "gone", "so"),
    ]


@pytest.mark.parametrize(
    ("reason", "detail", "now"),
    [
        ("walled", "captcha: a captcha was asked for", ("captcha", "a captcha was asked for")),
        ("unavailable", "gone: deleted, code 10204", ("gone", "deleted, code 10204")),
        ("refused", "download_disallowed: no", ("download_disallowed", "no")),
        ("network", "stalled: the list stopped: there", ("stalled", "the list stopped: there")),
        ("truncated", "truncated: it lasts 1.0 s", ("truncated", "it lasts 1.0 s")),
        (
            "too_large",
            "too_large: the answer was larger than any real one, 60 MiB",
            ("oversized", "the answer was larger than any real one, 60 MiB"),
        ),
        ("too_large", "too_large: it can't be decoded", ("too_large", "it can't be decoded")),
        ("bad_row", "row 3: the entry is not an object", ("bad_row", "row 3: the entry is not an object")),
        ("walled", "", ("walled", "")),
    ],
)
def test_a_failure_of_format_1_keeps_its_fine_reason(reason: str, detail: str, now: tuple[str, str]) -> None:
    assert reason_of_format_1(reason, detail) == now


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


def test_stages_declare_what_they_can_record_and_nothing_coarse() -> None:
    declared = {stage.name: set(stage.failures) for stage in STAGES}
    assert declared["media"] > {FailureReason.TRUNCATED, FailureReason.CAPTCHA, FailureReason.NO_SPACE}
    assert not declared["media"] & {FailureReason.BAD_ROW, FailureReason.DUPLICATE, FailureReason.UNKNOWN_VIDEO}
    assert not declared["collect"] & {FailureReason.TRUNCATED, FailureReason.NO_SPACE}
    assert not set().union(*declared.values()) & {FailureReason.WALLED, FailureReason.REFUSED}
    assert set().union(*declared.values()) == set(FailureReason) - {FailureReason.WALLED, FailureReason.REFUSED}
