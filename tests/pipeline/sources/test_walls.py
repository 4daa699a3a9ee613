"""Which answer of the site means what: the whole table of its codes, HTTP statuses, and the row each leaves behind."""

import pytest

from csmv.pipeline.schemas import FailureReason
from csmv.pipeline.sources.walls import CODES, DONE, ENDINGS, Done, Verdict, verdict_of_code, verdict_of_status

DELETED = "status_deleted"
NOTES = (
    "status_deleted",
    "item doesn't exist",
    "item_privacy_authorization",
    "status_self_see",
    "status_reviewing",
    "status_audit_not_pass",
    "content_classification",
    "cross_border_violation",
    "copyright_geo_filter",
    "person_geo_fencing",
    "author_secret",
)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (10204, "gone"),
        (10216, "private"),
        (10222, "private"),
        (10231, "withheld"),
        (10205, "not_found"),
        (10209, "not_found"),
        (10202, "not_found"),
        (10221, "not_found"),
        (10225, "not_found"),
        (100002, "not_found"),
        (10201, "refused_parameters"),
        (10101, "login_required"),
        (10102, "login_required"),
        (209002, "login_required"),
        (100004, "server_error"),
        (1, "unavailable"),
        (10203, "unavailable"),
        (10206, "unavailable"),
        (77777, "unavailable"),
        (-1, "unavailable"),
    ],
)
def test_codes(code: int, outcome: str) -> None:
    verdict = verdict_of_code(code, DELETED)
    assert (str(verdict.outcome), verdict.code, verdict.note, verdict.retry_after_s) == (outcome, code, DELETED, None)


def test_no_code_is_known_that_is_not_in_the_table_above() -> None:
    assert len(CODES) == 15


@pytest.mark.parametrize("note", NOTES)
def test_10204_is_gone_where_the_message_says_so_and_else_withheld(note: str) -> None:
    verdict = verdict_of_code(10204, note)
    assert verdict.note == note
    assert str(verdict.outcome) == ("gone" if note in NOTES[:2] else "withheld")
    # The message refines no other code.
    assert str(verdict_of_code(10231, note).outcome) == "withheld"
    assert str(verdict_of_code(10222, note).outcome) == "private"


@pytest.mark.parametrize(
    ("message", "outcome", "note"),
    [
        ("", "withheld", ""),
        ("@somebody said so", "withheld", ""),
        ("STATUS_DELETED", "withheld", ""),
        ("status_self_see&status_reviewing", "withheld", "status_self_see & status_reviewing"),
        ("status_self_see&@somebody&status_deleted", "gone", "status_self_see & status_deleted"),
    ],
)
def test_of_a_message_known_words_are_kept_in_their_order(message: str, outcome: str, note: str) -> None:
    verdict = verdict_of_code(10204, message)
    assert (str(verdict.outcome), verdict.note) == (outcome, note)


# ---------------------------------------------------------------------- words in landing


def test_every_ending_is_found_by_its_word_and_an_old_word_by_what_it_meant() -> None:
    assert ENDINGS["done"] is DONE.outcome
    assert (DONE.outcome.sentence, DONE.outcome.final, DONE.outcome.wall) == ("", True, False)
    assert ENDINGS["too_large"] is FailureReason.OVERSIZED
    assert {word for word, ending in ENDINGS.items() if isinstance(ending, Done)} == {"done", "enough", "left_out"}
    assert all(done.final and not done.wall for done in Done)
    others = {word: ending for word, ending in ENDINGS.items() if word not in {*Done, "too_large"}}
    assert others == {reason.value: reason for reason in FailureReason if reason is not FailureReason.TOO_LARGE}


# ---------------------------------------------------------------------- HTTP


@pytest.mark.parametrize("status", [100, 200, 204, 206, 301, 302, 304, 399])
def test_below_400_the_body_is_read(status: int) -> None:
    assert verdict_of_status(status) is None


@pytest.mark.parametrize(
    ("status", "outcome", "note"),
    [
        (400, "unavailable", "HTTP 400"),
        (401, "unavailable", "HTTP 401"),
        (402, "unavailable", "HTTP 402"),
        (403, "forbidden", ""),
        (404, "not_found", ""),
        (405, "unavailable", "HTTP 405"),
        (409, "unavailable", "HTTP 409"),
        (410, "not_found", ""),
        (411, "unavailable", "HTTP 411"),
        (428, "unavailable", "HTTP 428"),
        (429, "rate_limited", ""),
        (430, "unavailable", "HTTP 430"),
        (451, "unavailable", "HTTP 451"),
        (499, "unavailable", "HTTP 499"),
        (500, "server_error", "HTTP 500"),
        (501, "server_error", "HTTP 501"),
        (503, "server_error", "HTTP 503"),
        (599, "server_error", "HTTP 599"),
    ],
)
def test_statuses(status: int, outcome: str, note: str) -> None:
    verdict = verdict_of_status(status, "30")
    assert verdict is not None
    assert (str(verdict.outcome), verdict.note, verdict.code) == (outcome, note, None)
    assert verdict.retry_after_s == (30 if status == 429 else None)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", None),
        ("0", 0),
        ("7", 7),
        ("2.5", 2.5),
        ("1.2.3", None),
        ("-3", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        (".", None),
        ("nan", None),
        ("²", None),  # a digit that is no number
    ],
)
def test_when_to_come_back_after_too_many_requests(header: str, seconds: float | None) -> None:
    verdict = verdict_of_status(429, header)
    assert verdict is not None
    assert verdict.retry_after_s == seconds
    assert verdict_of_status(429) == verdict_of_status(429, "")


# ---------------------------------------------------------------------- what is written down


def test_a_visit_that_ended_well_leaves_no_failure() -> None:
    assert str(DONE.outcome) == "done"
    assert DONE.failure("7679401525248000001") is None


@pytest.mark.parametrize(
    ("verdict", "detail"),
    [
        (verdict_of_code(10204, DELETED), "deleted, code 10204, status_deleted"),
        (verdict_of_code(10231, ""), "withheld here, under review, or shown to its creator only, code 10231"),
        (verdict_of_status(500), "the server failed, HTTP 500"),
        (verdict_of_status(403), "access was refused (HTTP 403)"),
        (verdict_of_status(429, "9"), "too many requests"),
    ],
    ids=str,
)
def test_a_failure_says_what_happened_the_code_and_the_sites_own_words(verdict: Verdict, detail: str) -> None:
    failure = verdict.failure("7679401525248000001")
    assert failure is not None
    assert (failure.key, failure.reason) == ("7679401525248000001", verdict.outcome)
    assert failure.detail == detail
