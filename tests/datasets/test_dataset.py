"""The shipped data: rows are scikit-learn's, splits are fixed and apart, the logits belong to them."""

import hashlib
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

import kdlab
from kdlab.datasets import load as loading
from kdlab.datasets.dataset import Dataset, Split, digits_logits, digits_teacher_weights, epoch_order, hold_out
from kdlab.datasets.load import load
from kdlab.scenarios import few

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


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        (
            "nothing.mat",
            FileNotFoundError,
            r"nothing\.mat does not exist: give the path of a .mat, an .npz, a .csv or a folder",
        ),
        ("folder/nothing", FileNotFoundError, "nothing does not exist"),
        (
            "table.txt",
            ValueError,
            r"table\.txt must be an EMNIST .mat, a MedMNIST .npz, a table as .csv or .npz, or a folder of class folders$",
        ),
    ],
)
def test_load_refuses_other_paths(tmp_path, monkeypatch, path, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.txt").write_text("1,2")
    for given_path in (path, tmp_path / path):
        with pytest.raises(error, match=message) as caught:
            load(given_path)
        assert "\n" not in str(caught.value)


def test_a_name_comes_before_a_folder_of_that_name(tmp_path, monkeypatch, digits):
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load("digits").fingerprint == digits.fingerprint
    with pytest.raises(ValueError, match="at least two folders of images"):
        load("./digits")


@pytest.mark.parametrize("count", [10, 50, 437, 898])
def test_so_many_labelled_digits_are_kept_of_every_class_as_many_as_can_be(digits, count):
    few = load("digits", labels=count)
    assert few.fingerprint == load("digits", labels=count).fingerprint
    assert len(few.train) == count
    for split in ("validation", "test"):
        np.testing.assert_array_equal(getattr(few, split).x, getattr(digits, split).x)
    of_class, there = (np.bincount(data.train.y, minlength=10) for data in (few, digits))
    assert (of_class >= np.minimum(there, of_class.max() - 1)).all()
    whole = {x.tobytes(): y for x, y in zip(digits.train.x, digits.train.y, strict=True)}
    assert all(whole[x.tobytes()] == y for x, y in zip(few.train.x, few.train.y, strict=True))


@pytest.mark.parametrize("count", [50, 300])
def test_they_are_those_of_the_scenario(digits, count):
    logits = np.arange(898 * 10.0).reshape(898, 10)
    made = few(count)(digits, logits)
    np.testing.assert_array_equal(made.data.train.x, load("digits", labels=count).train.x)
    chosen = [int(row[0]) // 10 for row in made.teacher_logits]
    np.testing.assert_array_equal(digits.train.x[chosen], made.data.train.x)
    both = few(count)(digits, np.stack([logits, logits + 1]))
    np.testing.assert_array_equal(both.teacher_logits, made.teacher_logits)


@pytest.mark.parametrize("count", [1, 899, 0, -3, 2.5, True, "50"])
def test_another_number_of_labels_is_refused(count):
    with pytest.raises(ValueError, match=rf"^labels must be a whole number from 2 to 898, got {count!r}$"):
        load("digits", labels=count)


def test_options_that_a_source_does_not_have_are_refused():
    with pytest.raises(ValueError, match=r"^'digits' takes labels; got image_size, seed$"):
        load("digits", image_size=3, seed=1)
    with pytest.raises(ValueError, match=r"^'emnist-letters' takes seed, validation_split; got image_size$"):
        load("emnist-letters", image_size=3)
    with pytest.raises(
        ValueError, match=r"^'brain-tumor' takes image_size, channels, preparation, seed, .*; got size$"
    ):
        load("brain-tumor", size=3)


def test_options_reach_a_loader_and_one_class_is_refused(monkeypatch):
    def loader(seed=0):
        y = np.full(4, min(seed, 1), np.int32)
        train = Split(split().x, y if seed < 2 else np.array([-1, 0, 1, -1], np.int32))
        return Dataset(train, split(), split(), ("a", "b"), source=str(seed), licence="none")

    monkeypatch.setitem(loading._NAMED, "mine", loader)
    assert load("mine", seed=7).source == "7"
    for seed, only in ((0, "'a'"), (1, "'b'")):
        with pytest.raises(
            ValueError, match=rf"mine has one class only to train on \({only}\): at least two are needed"
        ):
            load("mine", seed=seed)


# --- splitting and order


@given(st.data())
def test_hold_out_splits_every_class_and_keeps_groups_whole(data):
    groups = np.array(data.draw(st.lists(st.integers(0, 30), min_size=8, max_size=80)))
    labels = groups % 2  # of a group's samples all have one
    share, seed = data.draw(st.floats(0.01, 0.99)), data.draw(st.integers(0, 99))
    different = [len(np.unique(groups[labels == label])) for label in np.unique(labels)]
    if min(different) < 2:
        with pytest.raises(ValueError, match="has too few different samples"):
            hold_out(labels, share, seed, groups)
        return
    rest, held = hold_out(labels, share, seed, groups)
    assert sorted([*rest, *held]) == list(range(len(labels)))
    assert (np.diff(rest) > 0).all()
    assert (np.diff(held) > 0).all()
    assert not set(groups[rest]) & set(groups[held])
    for label, number in zip(np.unique(labels), different, strict=True):
        count = len(np.unique(groups[held][labels[held] == label]))
        assert 1 <= count <= number - 1
        assert abs(count - share * number) <= max(0.5, 1 - share * number, share * number - (number - 1)) + 1e-9
    again = hold_out(labels, share, seed, groups)
    np.testing.assert_array_equal(held, again[1])


def test_hold_out_depends_on_the_seed():
    labels = np.repeat([0, 1], 50)
    chosen = {tuple(hold_out(labels, 0.3, seed)[1]) for seed in range(10)}
    assert len(chosen) == 10
    counts = np.bincount([row for rows in chosen for row in rows], minlength=100)
    assert counts.sum() == 300
    assert counts.max() <= 9  # none is always chosen


@pytest.mark.parametrize("share", [1, 1.5, -0.1, "a", None, True, np.nan])
def test_hold_out_refuses_shares(share):
    with pytest.raises(ValueError, match=re.escape(f"must lie in [0, 1), got {share!r}")):
        hold_out([0, 0, 1, 1], share)


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None, True])
def test_hold_out_refuses_seeds(seed):
    with pytest.raises(ValueError, match=re.escape(f"seed must be a whole number of at least 0, got {seed!r}")):
        hold_out([0, 0, 1, 1], 0.5, seed)


def test_hold_out_names_a_class_that_is_too_small():
    with pytest.raises(ValueError, match="class 'b' has too few different samples to split off 50%"):
        hold_out([0, 0, 1], 0.5, class_names=("a", "b"))
    with pytest.raises(ValueError, match="class 1 has too few"):
        hold_out([0, 0, 1, 1], 0.5, groups=[0, 1, 2, 2])


def test_the_order_of_an_epoch_is_fixed():
    assert epoch_order(8, 1, 2).tolist() == np.random.default_rng([1, 2]).permutation(8).tolist()
    assert len({tuple(epoch_order(8, seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


def test_samples_are_counted_by_class_and_split(digits):
    assert digits.count()[3] == tuple(int((getattr(digits, name).y == 3).sum()) for name in SPLITS)
    assert np.sum(digits.count()) == 1797
    train = Split(np.zeros((6, 3), np.float32), np.array([-1, 0, 2, 2, -1, -1], np.int32))
    test = Split(np.zeros((1, 3), np.float32), np.array([1], np.int32))
    data = Dataset(train, split(0), test, ("a", "b", "c"), source="here", licence="none")
    assert data.count() == [(1, 0, 0), (0, 0, 1), (2, 0, 0)]


# --- the fingerprint


def test_the_fingerprint_is_that_of_the_contents(digits):
    content = hashlib.sha256(repr(digits.class_names).encode())
    for name in SPLITS:
        content.update(repr(getattr(digits, name).x.shape).encode())
        content.update(getattr(digits, name).x.tobytes())
        content.update(getattr(digits, name).y.tobytes())
    assert digits.fingerprint == content.hexdigest()
    assert load("digits").fingerprint == digits.fingerprint


def test_whatever_changes_the_data_changes_the_fingerprint():
    good = Dataset(split(), split(), split(), ("a", "b"), source="here", licence="none")
    other = split()
    other.x[1, 2] = 0.25
    changed = [replace(good, class_names=("a", "c")), replace(good, class_names=("a", "b", "c"))]
    for name in SPLITS:
        changed.append(replace(good, **{name: other}))
        changed.append(replace(good, **{name: split(5)}))
        changed.append(replace(good, **{name: replace(split(), y=np.array([0, 0, 1, 0], np.int32))}))
    found = [data.fingerprint for data in (good, *changed)]
    assert len(set(found)) == len(found)
    assert replace(good, source="there", licence="other", notes=("a note",)).fingerprint == good.fingerprint


def test_notes_are_kept():
    assert Dataset(split(), split(), split(), ("a", "b"), source="here", licence="none").notes == ()


# --- the shipped logits


@pytest.mark.parametrize(
    ("split", "right"),
    [
        ("train", {"teacher": 898, "student": 412}),
        ("validation", {"teacher": 294, "student": 129}),
        ("test", {"teacher": 589, "student": 270}),
    ],
)
def test_shipped_logits_have_the_accuracy_that_was_reported_when_they_were_made(digits, split, right):
    logits, labels = digits_logits(split), getattr(digits, split).y
    assert {name: int((z.argmax(axis=1) == labels).sum()) for name, z in logits.items()} == right
    for values in logits.values():
        assert values.shape == (len(labels), 10)
        assert values.dtype == np.float32
        # Logits, not probabilities: rows do not sum to 1, and some values are below 0.
        assert values.min() < 0
        assert np.abs(values.sum(axis=1) - 1).min() > 1e-6


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_teachers_logits_are_computed_by_hand_from_its_weights(split):
    first, b1, second, b2, last, b3 = digits_teacher_weights()
    hidden = np.maximum(np.maximum(getattr(kdlab.load("digits"), split).x @ first + b1, 0) @ second + b2, 0)
    np.testing.assert_allclose(hidden @ last + b3, digits_logits(split)["teacher"], rtol=1e-4, atol=1e-4)


def test_the_test_digits_logits_are_what_one_gets_unasked():
    np.testing.assert_array_equal(digits_logits()["student"], digits_logits("test")["student"])


@pytest.mark.parametrize("split", ["valid", None, 0])
def test_other_splits_than_there_are_have_no_logits(split):
    with pytest.raises(ValueError, match=f"split must be train, validation or test, got {split!r}"):
        digits_logits(split)


def test_the_logits_need_no_tensorflow():
    program = "import sys, kdlab.datasets.dataset as d; d.digits_logits('train'); print('tensorflow' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False"]


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


# --- arrays of one's own


@pytest.mark.parametrize(
    ("x", "shape"),
    [
        (np.random.default_rng(0).random((60, 5)), (5,)),
        (np.random.default_rng(0).integers(0, 256, (60, 4, 6)).astype(np.uint8), (4, 6, 1)),
        (np.random.default_rng(0).random((60, 4, 4, 3), np.float32), (4, 4, 3)),
    ],
)
def test_arrays_become_a_dataset_of_three_parts_that_share_nothing(x, shape):
    y = np.arange(60) % 3
    data = kdlab.Dataset.from_arrays(x, y, class_names=["a", "b", "c"])
    assert data.train.x.shape[1:] == shape
    assert [len(split) for split in (data.train, data.validation, data.test)] == [42, 6, 12]
    assert [np.bincount(split.y).tolist() for split in (data.validation, data.test)] == [[2] * 3, [4] * 3]
    rows = np.concatenate([split.x.reshape(len(split), -1) for split in (data.train, data.validation, data.test)])
    wanted = np.asarray(x, np.float32).reshape(60, -1) / (255 if x.dtype == np.uint8 else 1)
    np.testing.assert_allclose(np.unique(rows, axis=0), np.unique(wanted, axis=0), rtol=1e-6)
    assert kdlab.Dataset.from_arrays(x, y, class_names=["a", "b", "c"]).fingerprint == data.fingerprint


def test_parts_that_are_given_stay_and_unlabelled_samples_are_trained_on():
    x, y = np.random.default_rng(0).random((30, 4)), np.where(np.arange(30) % 3, np.arange(30) % 2, -1)
    data = kdlab.Dataset.from_arrays(x, y, test=(x[:5], [0, 1, 2, 0, 1]), validation_split=0.2)
    assert data.class_names == ("0", "1", "2")
    assert len(data.test) == 5
    assert (data.train.y == -1).sum() == 10
    assert (data.validation.y >= 0).all()


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((4, 2, 2, 2, 2)), np.arange(4) % 2, "x must be numbers of shape"),
        (np.array([["a"], ["b"]]), [0, 1], "x must be numbers of shape"),
        (np.full((20, 2), 7.0), np.arange(20) % 2, r"x must lie in \[0, 1\], got values from 7.0 to 7.0"),
        (np.zeros((20, 2)), np.arange(19) % 2, r"y must have shape \(20,\), one label per sample"),
    ],
)
def test_arrays_that_are_no_samples_are_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        kdlab.Dataset.from_arrays(x, y)


X, Y = np.zeros((20, 2)), np.arange(20) % 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"y": Y.astype(str)}, "^y must be whole numbers, got values of type <U21"),
        ({"y": Y + 0.5}, "^y must be whole numbers"),
        ({"y": Y, "test": (X[:2], [0.9, 1.9])}, "^test's y must be whole numbers, got values of type float64"),
        ({"y": Y, "test": (X[:2], ["0", "1"])}, "^test's y must be whole numbers, got values of type <U1"),
        ({"y": Y, "test": (X[:2], [0, -1])}, "^test's y must be whole numbers from 0 on, got -1"),
        ({"y": Y - 2}, r"^y must be whole numbers from 0 on \(or -1 for an unlabelled sample\), got -2"),
        ({"y": Y, "validation": (X[:3], [0, 1])}, r"^validation's y must have shape \(3,\)"),
        ({"y": Y, "validation": (X[:2], [0, 3]), "class_names": "abc"}, "^validation's y must lie in 0 to 2, got 3"),
    ],
)
def test_labels_that_are_none_are_refused_in_every_part(given, message):
    with pytest.raises(ValueError, match=message):
        kdlab.Dataset.from_arrays(X, **given)


def test_a_part_may_be_empty():
    data = kdlab.Dataset.from_arrays(X, Y, validation=(X[:0], Y[:0]), test=(X[:2], [0.0, 4.0]))
    assert [len(split) for split in (data.train, data.validation, data.test)] == [20, 0, 2]
    assert data.class_names == ("0", "1", "2", "3", "4")
    assert data.test.y.tolist() == [0, 4]


def test_a_dataset_is_one_line():
    data = kdlab.load("digits")
    assert repr(data) == "Dataset(898 train, 299 validation, 600 test; 10 classes; samples of shape (64,))"
    assert repr(data.test) == "Split(600 samples of shape (64,))"
    with pytest.raises(ValueError, match="names must be one for each of 600 samples, got 2"):
        kdlab.Split(data.test.x, data.test.y, ("a", "b"))
