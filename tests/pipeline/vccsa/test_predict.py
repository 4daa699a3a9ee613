"""Which seconds an answer names: of every vector, and of several visual streams together."""

import pytest
import torch

from csmv.extractors.sampling import ClipRule, vector_spans
from csmv.pipeline.vccsa.predict import _windows

RULE = ClipRule(fps=24, frames=16, step=16)


def test_a_window_with_two_vectors_is_two_halves() -> None:
    whole, halves = vector_spans(RULE, 1, 2), vector_spans(RULE, 2, 4)
    assert whole == [(0, pytest.approx(16 / 24)), (pytest.approx(16 / 24), pytest.approx(32 / 24))]
    assert [start for start, _ in halves] == pytest.approx([0, 8 / 24, 16 / 24, 24 / 24])
    assert halves[-1][1] == pytest.approx(32 / 24)


def test_overlapping_windows_keep_their_own_times() -> None:
    assert vector_spans(ClipRule(fps=10, frames=10, step=5), 1, 2) == [(0, 1), (0.5, 1.5)]


def test_streams_of_other_rates_point_at_the_same_seconds() -> None:
    """The first stream looks at window 0 of 2; the second, at twice the rate, at the last quarter: window 1."""
    weights = torch.zeros(4, 1, 4)  # two streams of two scales, one comment
    weights[:2, 0, 0] = 1
    weights[2:, 0, 3] = 1
    spans = [vector_spans(RULE, 1, 2), vector_spans(RULE, 2, 4)]

    found = _windows(weights, 0, spans)

    assert [(round(w.start_s, 3), w.weight) for w in found] == [(0, 0.5), (0.667, 0.5)]


def test_what_lies_beyond_the_first_stream_goes_to_its_nearest_window() -> None:
    weights = torch.zeros(2, 1, 3)
    weights[0, 0, 0] = 1
    weights[1, 0, 2] = 1
    found = _windows(weights, 0, [vector_spans(RULE, 1, 2), vector_spans(RULE, 1, 3)])
    assert [w.weight for w in found] == [0.5, 0.5]


def test_no_video_no_windows() -> None:
    assert _windows(None, 0, []) == []
