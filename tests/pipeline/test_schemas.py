"""The vocabularies of the tables hold together."""

from extractors.reasons import MediaFailure
from pipeline.schemas import COMMENTS, FAILURES, LABELS, SPLITS, VIDEOS, FailureReason


def test_every_reason_of_a_media_file_may_stand_in_a_failures_table() -> None:
    assert {reason.value for reason in MediaFailure} <= {reason.value for reason in FailureReason}


def test_every_column_says_what_it_means_and_numbers_have_units() -> None:
    for spec in (VIDEOS, COMMENTS, LABELS, SPLITS, FAILURES):
        for field in spec.schema:
            assert field.metadata[b"meaning"], field.name
            if str(field.type) in ("double", "int32", "int64", "date32[day]") or "timestamp" in str(field.type):
                assert field.metadata[b"unit"], field.name
