"""Known answers of the clip rule and of ffmpeg's fps filter, worked out by hand; `test_sampling` asks ffmpeg itself."""

from fractions import Fraction

import numpy as np
import pytest

from csmv.extractors.sampling import CSMV_RULE, ClipRule, FpsFilter, nearest, sample_indices, sample_stream


def shown(rate: Fraction | int, frames: int, fps: int = 24) -> list[int]:
    """The numbers of the frames that are put out of a film with a constant rate."""
    return sample_indices(range(frames), 1 / Fraction(rate), 1, fps).tolist()


# ---------------------------------------------------------------------- the rule


def test_the_papers_rule() -> None:
    assert ClipRule(fps=24, frames=16, step=16, max_clips=180) == CSMV_RULE
    assert str(CSMV_RULE) == "24 fps, 16 frames, step 16, at most 180"


@pytest.mark.parametrize("field", ["fps", "frames", "step", "max_clips"])
def test_every_number_of_a_rule_is_at_least_one(field: str) -> None:
    assert getattr(ClipRule(**{field: 1}), field) == 1
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=rf"at least 1.*{wrong}"):
            ClipRule(**{field: wrong})


@pytest.mark.parametrize(
    ("rule", "counts"),
    [
        # sampled frames -> windows
        (ClipRule(), {-1: 0, 0: 0, 1: 1, 15: 1, 16: 1, 31: 1, 32: 2, 2879: 179, 2880: 180, 2896: 180}),
        (ClipRule(frames=16, step=4, max_clips=10), {0: 0, 1: 1, 16: 1, 19: 1, 20: 2, 51: 9, 52: 10, 56: 10}),
        (ClipRule(frames=4, step=10, max_clips=5), {3: 1, 4: 1, 13: 1, 14: 2, 43: 4, 44: 5, 54: 5}),
        (ClipRule(frames=1, step=1, max_clips=3), {0: 0, 1: 1, 2: 2, 3: 3, 4: 3}),
    ],
    ids=str,
)
def test_windows_in_so_many_sampled_frames(rule: ClipRule, counts: dict[int, int]) -> None:
    assert {sampled: rule.count(sampled) for sampled in counts} == counts


@pytest.mark.parametrize(
    ("rule", "frames"),
    [
        (ClipRule(), 2880),
        (ClipRule(frames=16, step=4, max_clips=10), 52),
        (ClipRule(frames=4, step=10, max_clips=5), 44),
        (ClipRule(frames=3, step=2, max_clips=1), 3),
    ],
    ids=str,
)
def test_after_max_frames_nothing_more_of_a_video_is_needed(rule: ClipRule, frames: int) -> None:
    assert rule.max_frames == frames
    windows = rule.windows(frames)
    assert windows.max() == frames - 1
    np.testing.assert_array_equal(rule.windows(frames + 1000), windows)
    assert not np.array_equal(rule.windows(frames - 1), windows)


def test_positions_of_windows() -> None:
    rule = ClipRule(frames=4, step=3, max_clips=3)
    assert rule.windows(0).shape == (0, 4)
    assert rule.windows(1).tolist() == [[0, 0, 0, 0]]
    assert rule.windows(3).tolist() == [[0, 1, 2, 2]]
    assert rule.windows(7).tolist() == [[0, 1, 2, 3], [3, 4, 5, 6]]
    assert rule.windows(99).tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert rule.windows(0).dtype == rule.windows(7).dtype == np.int64


# ---------------------------------------------------------------------- rounding and rates


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        ("0", 0),
        ("49/100", 0),
        ("1/2", 1),
        ("1", 1),
        ("3/2", 2),
        ("5/2", 3),
        ("251/100", 3),
        ("-49/100", 0),
        ("-1/2", -1),
        ("-1", -1),
        ("-5/2", -3),
    ],
)
def test_halves_are_rounded_away_from_zero(value: str, whole: int) -> None:
    assert nearest(Fraction(value)) == whole


@pytest.mark.parametrize(
    ("rate", "frames", "numbers"),
    [
        (24, 5, [0, 1, 2, 3, 4]),
        # At 16 fps frame n is due at 1.5 n: 0, 1.5 -> 2, 3, 4.5 -> 5, 6; the sixth ends at 7.5 -> 8, or the fifth at 6.
        (16, 4, [0, 0, 1, 2, 2, 3]),
        (16, 5, [0, 0, 1, 2, 2, 3, 4, 4]),
        # At 48 fps at n / 2: 0, 1, 1, 2, 2, 3; of two frames that are due together the later one is shown.
        (48, 6, [0, 2, 4]),
        (48, 5, [0, 2, 4]),
        # At 96 fps at n / 4: 0, 0.25 -> 0, 0.5 -> 1, 1, 1, 1.25 -> 1, 1.5 -> 2, 2, 2.
        (96, 9, [1, 5]),
        (96, 10, [1, 5, 9]),
        (12, 3, [0, 0, 1, 1, 2, 2]),
        (8, 2, [0, 0, 0, 1, 1, 1]),
    ],
)
def test_constant_rates_whose_step_is_a_whole_a_half_or_a_quarter(rate: int, frames: int, numbers: list[int]) -> None:
    assert shown(rate, frames) == numbers


@pytest.mark.parametrize(("fps", "numbers"), [(24, [0, 1, 2, 3]), (12, [0, 2]), (48, [0, 0, 1, 1, 2, 2, 3, 3])])
def test_other_sampling_rates(fps: int, numbers: list[int]) -> None:
    assert shown(24, 4, fps) == numbers


# ---------------------------------------------------------------------- beginnings and ends


def test_a_film_without_frames_shows_none() -> None:
    assert shown(24, 0) == []
    assert shown(24, 0) == sample_indices([], Fraction(1, 24), 0).tolist()
    assert FpsFilter().finish(Fraction(1)) == 0
    assert list(sample_stream([], Fraction(1))) == []


@pytest.mark.parametrize(
    ("duration", "copies"), [("0", 0), ("1/49", 0), ("1/48", 1), ("1/24", 1), ("71/1000", 2), ("1", 24)]
)
def test_the_only_frame_is_shown_for_as_long_as_it_lasts(duration: str, copies: int) -> None:
    assert list(sample_stream([Fraction(0)], Fraction(duration))) == ([(0, copies)] if copies else [])


def test_twenty_four_a_second_unless_asked_otherwise() -> None:
    assert FpsFilter().push(Fraction(0)) == 0
    chosen = FpsFilter()
    assert [chosen.push(Fraction(second)) for second in (0, 1, 3)] == [0, 24, 48]
    assert list(sample_stream([Fraction(0)], Fraction(1))) == [(0, 24)]
    assert len(sample_indices([0, 1], Fraction(1), 1)) == 48


def test_a_last_frame_that_ends_before_what_was_shown_is_not_shown_again() -> None:
    chosen = FpsFilter(24)
    assert [chosen.push(Fraction(time, 24)) for time in (0, 3, 1)] == [0, 3, 0]
    assert chosen.finish(Fraction(1, 24)) == 0
    assert chosen.finish(Fraction(3, 24)) == 1


def test_the_first_frame_sets_the_beginning_wherever_it_lies() -> None:
    late = [Fraction(10), Fraction(10) + Fraction(2, 24)]
    assert list(sample_stream(late, Fraction(1, 24))) == [(0, 2), (1, 1)]
    before_zero = [Fraction(-3, 48), Fraction(0), Fraction(1, 24)]
    # -1.5 is rounded to -2: the first frame is shown from -2 to 0.
    assert list(sample_stream(before_zero, Fraction(1, 24))) == [(0, 2), (1, 1), (2, 1)]


def test_frames_out_of_order_and_at_one_time_are_passed_over() -> None:
    times = [Fraction(tick, 24) for tick in (0, 2, 1, 2, 3)]
    assert list(sample_stream(times, Fraction(1, 24))) == [(0, 2), (3, 1), (4, 1)]


def test_the_containers_start_is_taken_off_before_rounding() -> None:
    base = Fraction(1, 1000)
    # 0 ms, 21 ms (0.504 of a frame) and 42 ms (1.008), until 63 ms (1.512): 0, 1, 1, until 2.
    assert sample_indices([0, 21, 42], base, 21).tolist() == [0, 2]
    # A millisecond earlier: -0.024, 0.48, 0.984, until 1.488: 0, 0, 1, until 1.
    assert sample_indices([0, 21, 42], base, 21, start=base).tolist() == [1]
    # 0 ms, 20 ms (0.48) and 40 ms (0.96), until 70 ms (1.68); a millisecond later the second is at 0.504.
    assert sample_indices([0, 20, 40], base, 30).tolist() == [1, 2]
    assert sample_indices([0, 20, 40], base, 30, start=-base).tolist() == [0, 2]
    assert sample_indices([0, 20, 40], base, 30).dtype == np.int64
