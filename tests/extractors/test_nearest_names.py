"""A name that there is not is answered by the nearest there is, or by all."""

import pytest

from csmv.extractors.nearest_names import did_you_mean

SETS = ["i3d", "r2plus1d_18", "mfcc"]


@pytest.mark.parametrize(
    ("word", "answer"),
    [("r2plus1d", "did you mean 'r2plus1d_18'?"), ("clip", "there are i3d, r2plus1d_18, mfcc.")],
)
def test_the_nearest_name_or_all(word: str, answer: str) -> None:
    assert did_you_mean(word, SETS) == answer


def test_a_long_list_is_cut_and_an_empty_one_is_named_so() -> None:
    assert did_you_mean("x", [f"set-{number}" for number in range(14)]).endswith("set-11 and 2 more.")
    assert did_you_mean("x", []) == "there are none."
