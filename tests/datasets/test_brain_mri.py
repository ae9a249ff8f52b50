"""Scans are cut to the head and brought to one brightness, whatever surrounds them."""

import numpy as np
import pytest

from kdlab.datasets.brain_mri import prepare_scan


def scan(height=200, width=160, middle=(90, 80), axes=(60, 40), light=200, dark=0):
    """An ellipse with a gradient inside, on a background."""
    rows, columns = np.ogrid[:height, :width]
    inside = ((rows - middle[0]) / axes[0]) ** 2 + ((columns - middle[1]) / axes[1]) ** 2 <= 1
    image = np.where(inside, light * (0.4 + 0.6 * rows / height), dark)
    return image.astype(np.uint8)


def test_the_border_is_cut_off_and_the_head_is_whole():
    prepared = prepare_scan(scan())
    # The ellipse is 121 by 81; 2 % more on each side, and the smoothing reaches a few pixels beyond its edge.
    assert 121 <= prepared.shape[0] <= 121 + 2 * (3 + 4)
    assert 81 <= prepared.shape[1] <= 81 + 2 * (2 + 4)
    # What was outside the head in the smallest box around it, and in the margin.
    assert 0.65 < (prepared > 0).mean() < np.pi / 4


def test_where_the_head_lies_does_not_matter():
    here, there = (prepare_scan(scan(middle=middle)).shape for middle in ((90, 80), (110, 70)))
    np.testing.assert_allclose(here, there, atol=2)


def test_brightness_does_not_matter():
    bright, dim = prepare_scan(scan(light=250)), prepare_scan(scan(light=80))
    assert bright.shape == dim.shape
    assert np.abs(bright.astype(int) - dim).max() <= 5
    assert bright.min() == 0
    assert bright.max() == 255


def test_small_writing_beside_the_head_is_left_out():
    written = scan()
    written[5:12, 5:30] = 255
    np.testing.assert_array_equal(prepare_scan(written).shape, prepare_scan(scan()).shape)


def test_without_a_head_nothing_is_cut():
    specks = np.zeros((100, 120), np.uint8)
    specks[::20, ::20] = 200
    assert prepare_scan(specks).shape == (100, 120)
    np.testing.assert_array_equal(prepare_scan(np.full((30, 40), 7, np.uint8)), np.zeros((30, 40), np.uint8))


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8)])
def test_other_images_are_refused(image):
    with pytest.raises(ValueError, match=r"grey must be uint8 \(height, width\), got"):
        prepare_scan(image)
