"""Known answers of the frame transforms, on pictures of a few pixels; `test_transforms` asks the originals."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from csmv.extractors.transforms import (
    EnlargeThenCrop,
    FrameTransform,
    PillowShortSide,
    ResizeThenCrop,
    ShortSideThenCrop,
    Stretch,
    bilinear,
    centre_offset,
    round_half_even,
)


def noise(height: int, width: int) -> np.ndarray:
    """Two frames of noise."""
    return np.random.default_rng(height * width).integers(0, 256, (2, height, width, 3), dtype=np.uint8)


def grey(*rows: list[float]) -> np.ndarray:
    """One frame with these grey levels."""
    return np.repeat(np.array(rows, np.uint8)[None, :, :, None], 3, axis=3)


def levels(frames: np.ndarray) -> list[list[float]]:
    """The grey levels of the only frame."""
    assert (frames == frames[..., :1]).all()
    return frames[0, :, :, 0].tolist()


def test_bilinear_takes_half_pixel_centres_and_repeats_the_edges() -> None:
    # Doubled: the new centres lie at -0.25, 0.25, 0.75 and 1.25 of the old ones. Halved: at 0.5 and 2.5.
    assert levels(bilinear(grey([0, 100]), 1, 4)) == [[0, 25, 75, 100]]
    assert levels(bilinear(grey([0], [100]), 4, 1)) == [[0], [25], [75], [100]]
    assert levels(bilinear(grey([0, 10, 100, 200]), 1, 2)) == [[5, 150]]
    assert levels(bilinear(grey([0, 40], [100, 200]), 2, 2)) == [[0, 40], [100, 200]]
    assert levels(bilinear(grey([0, 40], [100, 200]), 1, 1)) == [[85]]
    assert levels(bilinear(grey([0, 40], [100, 200]), 1, 2)) == [[50, 120]]
    assert levels(bilinear(grey([7]), 2, 3)) == [[7] * 3] * 2
    assert bilinear(grey([0, 100]), 1, 4).dtype == np.float32


def test_a_step_that_is_given_replaces_the_quotient_of_the_sizes() -> None:
    # Step 0.25: centres at -0.375, -0.125, 0.125, 0.375.
    assert levels(bilinear(grey([0, 80]), 1, 4, scale=0.25)) == [[0, 0, 10, 30]]
    assert levels(bilinear(grey([0], [80]), 4, 1, scale=0.25)) == [[0], [0], [10], [30]]
    # Step 3: centres at 1 and at 4, beyond the last.
    assert levels(bilinear(grey([0, 80, 90]), 1, 2, scale=3)) == [[80, 90]]


def test_a_box_is_top_left_height_width_of_the_resized_picture() -> None:
    frames = noise(5, 7)
    whole = bilinear(frames, 10, 21)
    np.testing.assert_array_equal(bilinear(frames, 10, 21, box=(2, 3, 4, 6)), whole[:, 2:6, 3:9])
    np.testing.assert_array_equal(bilinear(frames, 10, 21, box=(9, 0, 1, 21)), whole[:, 9:])


def test_grey_levels_are_rounded_halves_to_even_and_stay_in_range() -> None:
    values = np.array([-3, -0.4, 0.5, 0.6, 1.5, 2.5, 254.5, 255.4, 256, 300], np.float32)
    assert round_half_even(values).tolist() == [0, 0, 0, 1, 2, 2, 254, 255, 255, 255]
    assert round_half_even(values).dtype == np.uint8


@pytest.mark.parametrize(
    ("size", "crop", "offset"),
    [(4, 4, 0), (4, 2, 1), (3, 2, 0), (5, 2, 2), (7, 2, 2), (9, 2, 4), (5, 1, 2), (2, 5, -2)],
)
def test_where_a_centre_crop_begins(size: int, crop: int, offset: int) -> None:
    assert centre_offset(size, crop) == offset


def test_resize_then_crop_rounds_before_it_crops() -> None:
    # Halved to 1 x 3: 5, 55 and 150.5, of which the middle is kept; and 150.5 becomes 150.
    frames = grey([0, 10, 10, 100, 101, 200], [0, 10, 10, 100, 101, 200])
    assert levels(ResizeThenCrop((1, 3), (1, 1))(frames)) == [[55]]
    assert levels(ResizeThenCrop((1, 3), (1, 3))(frames)) == [[5, 55, 150]]
    assert levels(ResizeThenCrop((2, 6), (1, 2))(grey([1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]))) == [[3, 4]]


def test_stretching_keeps_fractions_and_no_aspect() -> None:
    assert levels(Stretch((1, 2))(grey([0, 1, 100, 201]))) == [[0.5, 150.5]]
    assert levels(Stretch((2, 1))(grey([0, 100]))) == [[50], [50]]


def test_the_shorter_side_is_resized_without_antialiasing_then_cropped() -> None:
    wide = noise(4, 7)  # to 2 x 3, the longer side cut down from 3.5
    np.testing.assert_array_equal(ShortSideThenCrop(2, (2, 2))(wide), round_half_even(bilinear(wide, 2, 3))[:, :, :2])
    tall = noise(7, 4)
    np.testing.assert_array_equal(ShortSideThenCrop(2, (2, 2))(tall), round_half_even(bilinear(tall, 3, 2))[:, :2])
    assert levels(ShortSideThenCrop(1, (1, 1))(grey([0, 0, 100, 200], [0, 0, 100, 200]))) == [[0]]
    assert levels(ShortSideThenCrop(2, (2, 2))(grey([0, 90], [30, 60]))) == [[0, 90], [30, 60]]


def test_enlarging_begins_one_below_the_shorter_side_that_is_asked_for() -> None:
    crop = EnlargeThenCrop(4, (2, 2))
    rows = [[10 * y + x for x in range(6)] for y in range(4)]
    assert levels(crop(grey(*rows))) == [[12, 13], [22, 23]]  # 4 x 6: as it is
    turned = [list(column) for column in zip(*rows, strict=True)]
    assert levels(crop(grey(*turned))) == [[12, 22], [13, 23]]
    # 2 x 3 is doubled to 4 x 6, of which the middle 2 x 2 lie at 0.25 and 0.75 down, 0.75 and 1.25 across.
    assert levels(crop(grey([0, 40, 80], [100, 140, 180]))) == [[55, 75], [105, 125]]
    assert levels(crop(grey([0, 100], [40, 140], [80, 180]))) == [[55, 105], [75, 125]]
    # 3 x 5 grows by 4/3 to 4 x 6.67, rounded to 7; a crop of all of it begins at the top left.
    assert EnlargeThenCrop(4, (4, 7))(noise(3, 5)).shape == (2, 4, 7, 3)
    np.testing.assert_array_equal(
        EnlargeThenCrop(4, (4, 7))(noise(3, 5)), round_half_even(bilinear(noise(3, 5), 4, 7, scale=0.75))
    )
    assert crop(grey(*rows)).flags.c_contiguous


@pytest.mark.parametrize(
    ("size", "resized"),
    [((4, 4), (3, 3)), ((4, 6), (3, 4)), ((6, 4), (4, 3)), ((4, 7), (3, 5)), ((7, 4), (5, 3)), ((2, 2), (3, 3))],
)
@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
def test_pillows_short_side_with_the_longer_one_cut_down(
    size: tuple[int, int], resized: tuple[int, int], kind: Any
) -> None:
    frames = noise(*size)
    wanted = [
        np.asarray(Image.fromarray(frame).resize(resized[::-1], Image.Resampling[kind.upper()])) for frame in frames
    ]
    top, left = round((resized[0] - 2) / 2), round((resized[1] - 3) / 2)
    found = PillowShortSide(3, (2, 3), kind)(frames)
    np.testing.assert_array_equal(found, np.stack(wanted)[:, top : top + 2, left : left + 3])
    assert PillowShortSide(3, (2, 3)) == PillowShortSide(3, (2, 3), "bilinear")


def test_a_crop_wider_than_the_longer_side_widens_it() -> None:
    assert PillowShortSide(4, (4, 5))(noise(6, 6)).shape == (2, 4, 5, 3)
    assert PillowShortSide(4, (5, 4))(noise(7, 6)).shape == (2, 5, 4, 3)


def test_every_transform_says_what_it_gives() -> None:
    for transform, kind in [
        (ResizeThenCrop((4, 4), (2, 2)), "uint8"),
        (Stretch((2, 2)), "float32"),
        (ShortSideThenCrop(4, (2, 2)), "uint8"),
        (EnlargeThenCrop(4, (2, 2)), "uint8"),
        (PillowShortSide(4, (2, 2)), "uint8"),
    ]:
        assert isinstance(transform, FrameTransform)
        assert (transform.dtype, transform.size) == (kind, (2, 2))
        assert transform(noise(6, 9)).dtype == kind
