"""Views of digits by hand: which pixels go, and Sobel's filters written out."""

import numpy as np
import pytest

import kdlab
from kdlab.datasets.views import VIEWS, edges, left_half, see


@pytest.fixture(scope="module")
def data():
    return kdlab.load("digits")


def test_the_left_half_stays(data):
    shown, images = left_half(data.test.x).reshape(-1, 8, 8), data.test.x.reshape(-1, 8, 8)
    np.testing.assert_array_equal(shown[:, :, :4], images[:, :, :4])
    assert not shown[:, :, 4:].any()
    assert images[:, :, 4:].any()  # The images that came in are as they were.


def test_the_middle_of_an_odd_width_stays():
    shown = left_half(np.ones((1, 2, 5, 3), np.float32))
    assert shown[0, 0, :, 0].tolist() == [1, 1, 1, 0, 0]


def test_edges_are_sobels_steepness():
    image = np.random.default_rng(0).random((6, 6))
    padded = np.pad(image, 1, mode="symmetric")
    smooth, slope = np.array([1, 2, 1]), np.array([-1, 0, 1])

    def filtered(rows, columns):
        kernel = np.outer(rows, columns)
        return np.array([[np.sum(kernel * padded[i : i + 3, j : j + 3]) for j in range(6)] for i in range(6)])

    steepness = np.sqrt(filtered(slope, smooth) ** 2 + filtered(smooth, slope) ** 2)
    found = edges(image.reshape(1, 36)).reshape(6, 6)
    np.testing.assert_allclose(found, steepness / steepness.max(), rtol=1e-5)


def test_an_even_image_has_no_edges():
    assert not edges(np.full((2, 16), 0.7, np.float32)).any()


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_of_a_dataset_changes_the_images_alone(data, view):
    shown = see(data, view)
    for name in ("train", "validation", "test"):
        before, after = getattr(data, name), getattr(shown, name)
        np.testing.assert_array_equal(after.x, VIEWS[view](before.x))
        np.testing.assert_array_equal(after.y, before.y)
        assert after.x.shape == before.x.shape
    assert shown.source == data.source
    image = VIEWS[view](data.test.x.reshape(-1, 8, 8, 1))
    np.testing.assert_array_equal(image.reshape(-1, 64), shown.test.x)


def test_what_is_no_view_or_image_is_refused(data):
    with pytest.raises(ValueError, match="view must be one of 'left_half', 'edges', got 'right_half'"):
        see(data, "right_half")
    with pytest.raises(ValueError, match=r"\(N, F\) of square images, got shape \(3, 60\)"):
        edges(np.zeros((3, 60)))
