"""The shipped data: rows are scikit-learn's, splits are fixed and apart, the logits belong to them."""

import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

import kdlab
from kdlab.datasets import Dataset, Split, digits_logits, load

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def digits():
    return load("digits")


@pytest.fixture(scope="module")
def rows(digits):
    """The row of scikit-learn's table that each sample of each split is."""
    table = {(image * 16).astype(int).tobytes(): index for index, image in enumerate(load_digits().data / 16)}
    assert len(table) == 1797  # no two images are the same, so that a row can be found by its pixels
    return {name: [table[(x * 16).astype(int).tobytes()] for x in getattr(digits, name).x] for name in SPLITS}


def test_load_is_public():
    assert kdlab.load is load
    assert kdlab.Dataset is Dataset


def test_every_row_of_scikit_learn_is_in_exactly_one_split(rows):
    assert {name: len(rows[name]) for name in SPLITS} == {"train": 898, "validation": 299, "test": 600}
    assert sorted(rows["train"] + rows["validation"] + rows["test"]) == list(range(1797))


def test_pixels_and_labels_are_those_of_the_row(digits, rows):
    table = load_digits()
    for name in SPLITS:
        split = getattr(digits, name)
        np.testing.assert_array_equal(split.x, (table.data[rows[name]] / 16).astype(np.float32))
        np.testing.assert_array_equal(split.y, table.target[rows[name]])
        assert (split.x.dtype, split.y.dtype) == (np.float32, np.int32)
        assert (split.x.min(), split.x.max()) == (0, 1)


def test_splits_are_stratified(digits):
    shares = np.bincount(load_digits().target) / 1797
    for name in SPLITS:
        split = getattr(digits, name)
        np.testing.assert_allclose(np.bincount(split.y), shares * len(split), atol=1)


def test_splits_are_fixed(digits, rows):
    # The first rows of each, pinned: the shipped logits are in this order.
    assert [rows[name][:4] for name in SPLITS] == [
        [1280, 210, 1764, 269],
        [876, 227, 1579, 497],
        [1637, 970, 678, 1508],
    ]
    again = load("digits")
    for name in SPLITS:
        np.testing.assert_array_equal(getattr(digits, name).x, getattr(again, name).x)
        np.testing.assert_array_equal(getattr(digits, name).y, getattr(again, name).y)


def test_digits_say_where_they_come_from(digits):
    assert digits.class_names == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    assert "Alpaydin" in digits.source
    assert digits.licence == "CC BY 4.0"


def test_a_caller_cannot_spoil_the_next_load(digits):
    spoilt = load("digits")
    spoilt.train.x[:] = 0
    spoilt.train.y[:] = 0
    np.testing.assert_array_equal(load("digits").train.x, digits.train.x)
    np.testing.assert_array_equal(load("digits").train.y, digits.train.y)


@pytest.mark.parametrize("name", ["digit", "", None, 3, ["digits"], {"digits"}])
def test_load_refuses_an_unknown_name_and_lists_the_known(name):
    with pytest.raises(ValueError, match=re.escape(f"got {name!r}")) as caught:
        load(name)
    assert "name_or_path must be" in str(caught.value)
    assert "'digits'" in str(caught.value)


# --- the shipped logits


def test_shipped_logits_have_the_accuracy_that_was_reported_when_they_were_made(digits):
    logits = digits_logits()
    assert sorted(logits) == ["student", "teacher"]
    right = {name: int((z.argmax(axis=1) == digits.test.y).sum()) for name, z in logits.items()}
    assert right == {"teacher": 581, "student": 270}
    for values in logits.values():
        assert values.shape == (600, 10)
        assert values.dtype == np.float32
        # Logits, not probabilities: rows do not sum to 1, and some values are below 0.
        assert values.min() < 0
        assert np.abs(values.sum(axis=1) - 1).min() > 1e-6


# --- what a Split and a Dataset refuse


def split(samples=4, features=(3,)):
    return Split(np.full((samples, *features), 0.5, np.float32), np.zeros(samples, np.int32))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((2, 3)), [0, 0], "x must be float32 and y int32, got float64 and int32"),
        (np.zeros((2, 3), "f4"), np.zeros(2, "i8"), "x must be float32 and y int32, got float32 and int64"),
        (np.zeros((2, 3, 3), "f4"), [0, 0], r"x must be .* got shape \(2, 3, 3\)"),
        (np.zeros(2, "f4"), [0, 0], r"x must be .* got shape \(2,\)"),
        (np.zeros((2, 3), "f4"), [0, 0, 0], r"y must have shape \(2,\).* got \(3,\)"),
        (np.zeros((2, 3), "f4"), [[0], [0]], r"y must have shape \(2,\).* got \(2, 1\)"),
        (np.full((2, 3), 255, "f4"), [0, 0], r"x must lie in \[0, 1\], got .* 255"),
        (np.full((2, 3), -0.5, "f4"), [0, 0], r"x must lie in \[0, 1\], got values from -0.5"),
        (np.full((2, 3), np.nan, "f4"), [0, 0], r"x must lie in \[0, 1\], got .* nan"),
    ],
)
def test_split_refuses(x, y, message):
    with pytest.raises(ValueError, match=message):
        Split(x, np.int32(y) if isinstance(y, list) else y)


def test_split_counts_its_samples():
    assert len(split(4)) == 4
    assert len(split(2, (8, 8, 1))) == 2
    assert len(split(0)) == 0


def test_dataset_refuses_splits_that_do_not_fit():
    good = Dataset(split(), split(), split(), ("a", "b"), source="here", licence="none")
    for name in ("validation", "test"):
        with pytest.raises(ValueError, match=rf"{name}\.x must have samples of shape \(3,\), got \(2, 4\)"):
            replace(good, **{name: split(2, (4,))})
    for name in SPLITS:
        for label in (-2, -1, 2):
            odd = replace(getattr(good, name), y=np.array([0, 1, label, 0], np.int32))
            if (name, label) == ("train", -1):  # "no label"
                assert replace(good, train=odd).train.y[2] == -1
                continue
            with pytest.raises(ValueError, match=rf"{name}\.y must lie in 0 to 1.*, got {label}"):
                replace(good, **{name: odd})
