"""Images as bytes: converted exactly, indexed like an array, never loaded as a whole by mistake."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdlab.datasets import stored_images
from kdlab.datasets.stored_images import StoredImages, check_fits_in_memory, to_float

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 3, 4, 2), np.uint8)


def as_float(pixels):
    return (pixels.astype(np.float64) / 255).astype(np.float32)


def test_every_byte_becomes_its_255th():
    values = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1)
    images = to_float(values, np.arange(256))
    np.testing.assert_array_equal(images.ravel(), as_float(np.arange(256)))
    assert (images.dtype, images.shape) == (np.float32, (256, 1, 1, 1))


@given(st.lists(st.integers(0, 19), max_size=40), st.integers(1, 7))
def test_rows_are_taken_in_their_order_whatever_the_block(rows, block):
    before, stored_images._BLOCK = stored_images._BLOCK, block
    try:
        np.testing.assert_array_equal(to_float(PIXELS, np.array(rows, int)), as_float(PIXELS[np.array(rows, int)]))
    finally:
        stored_images._BLOCK = before


@given(st.data())
def test_stored_images_are_indexed_like_the_array(data):
    rows = data.draw(st.lists(st.integers(0, 19), min_size=1, max_size=30))
    stored, array = StoredImages(PIXELS, rows), as_float(PIXELS[rows])
    assert (stored.shape, stored.ndim, stored.dtype, len(stored)) == (array.shape, 4, np.float32, len(array))
    limits = st.none() | st.integers(-35, 35)
    which = data.draw(
        st.integers(-len(rows), len(rows) - 1)
        | st.slices(len(rows))
        | st.builds(slice, limits, limits)
        | st.lists(st.integers(0, len(rows) - 1)).map(lambda chosen: np.array(chosen, int))
        | st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)).map(np.array)
    )
    got = stored[which]
    np.testing.assert_array_equal(got, array[which])
    assert got.dtype == np.float32


def test_stored_images_can_be_iterated_and_end():
    assert sum(1 for _ in StoredImages(PIXELS, [3, 5])) == 2
    with pytest.raises(IndexError):
        StoredImages(PIXELS, [3, 5])[2]


@pytest.mark.parametrize("convert", [np.asarray, np.array, lambda images: np.mean(images)])
def test_a_whole_array_by_mistake_is_refused(convert):
    with pytest.raises(
        TypeError, match=r"20 images are larger than memory_limit .* kdlab.datasets.image_streams.stream"
    ):
        convert(StoredImages(PIXELS, range(20)))


def test_what_does_not_fit_in_memory_is_refused(monkeypatch):
    monkeypatch.setattr(stored_images, "free_memory", lambda: 3 * 10**9)
    check_fits_in_memory(3 * 10**9, "a.npz")
    with pytest.raises(ValueError, match=r"a\.npz needs 50\.0 GB of memory and 3\.0 GB are free: "):
        check_fits_in_memory(50 * 10**9, "a.npz")
