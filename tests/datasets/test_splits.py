"""Copies of an image are on one side of every border and are told, whatever the format they come in."""

import re
from collections import Counter

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import kdlab
from kdlab.datasets import splits
from kdlab.datasets.splits import divide, from_arrays

SPLITS = ("train", "validation", "test")

pytestmark = pytest.mark.usefixtures("cache")

# What is in each part, as grey values: those below 100 are of class 0.
APART = {"train": [*range(20), *range(100, 120)], "test": [*range(30, 36), *range(130, 136)]}
COPIES = {
    "across the border": ({"test": [3, 104, 104]}, 2, "Images across the given border: 2, different ones: 2."),
    "within training": ({"train": [3, 3, 105]}, 0, "Exact duplicates (the same pixels): 3, in groups: 2."),
    "within testing": ({"test": [31, 131]}, 0, "Exact duplicates (the same pixels): 2, in groups: 2."),
    "several, on both sides": (
        {"train": [7, 107], "test": [7, 7]},
        2,
        "Images across the given border: 2, different ones: 1.",
    ),
}


def images_of(numbers, side=28):
    """One image for each number: its grey value, with a mark so that a turned image is another."""
    images = np.full((len(numbers), side, side), 0, np.uint8) + np.array(numbers, np.uint8)[:, None, None]
    images[:, :3, 0] = 255
    return images


def labels_of(numbers):
    return (np.array(numbers) >= 100).astype(np.uint8)


def as_medmnist(path, parts):
    held = {}
    for part, numbers in ({"val": [60, 160]} | parts).items():
        held |= {f"{part}_images": images_of(numbers), f"{part}_labels": labels_of(numbers)[:, None]}
    np.savez(path / "a.npz", **held)
    return path / "a.npz"


def as_keras(path, parts):
    np.savez(
        path / "a.npz",
        **{f"x_{part}": images_of(numbers) for part, numbers in parts.items()},
        **{f"y_{part}": labels_of(numbers) for part, numbers in parts.items()},
    )
    return path / "a.npz"


def as_emnist(path, parts):
    held = {
        part: {
            "images": images_of(numbers).transpose(0, 2, 1).reshape(len(numbers), -1),
            "labels": labels_of(numbers)[:, None] + 1,
        }
        for part, numbers in parts.items()
    }
    scipy.io.savemat(path / "a.mat", {"dataset": held | {"mapping": np.array([[1, 65, 97], [2, 66, 98]], np.uint8)}})
    return path / "a.mat"


def as_folder(path, parts):
    for part, numbers in parts.items():
        for place, (image, label) in enumerate(zip(images_of(numbers), labels_of(numbers), strict=True)):
            file = path / part / "ab"[label] / f"{place}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(file)
    return path


FORMATS = {make.__name__: make for make in (as_medmnist, as_keras, as_emnist, as_folder)}


def read(path):
    return kdlab.load(path, image_size=28) if path.is_dir() else kdlab.load(path)


def numbers_in(data):
    return {name: [round(255 * x[5, 5, 0]) for x in getattr(data, name).x] for name in SPLITS}


@pytest.mark.parametrize("form", FORMATS)
def test_without_copies_there_is_nothing_to_say(tmp_path, form):
    data = read(FORMATS[form](tmp_path, APART))
    assert data.notes == ()
    found = numbers_in(data)
    assert sorted(found["train"] + found["validation"]) == sorted(APART["train"] + [60, 160] * (form == "as_medmnist"))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("case", COPIES)
def test_copies_are_told_and_kept_apart_in_every_format(tmp_path, form, case):
    more, left_out, said = COPIES[case]
    parts = {part: numbers + more.get(part, []) for part, numbers in APART.items()}
    data = read(FORMATS[form](tmp_path, parts))
    assert any(note.startswith(said) for note in data.notes)
    found = numbers_in(data)
    sides = [set(found[name]) for name in SPLITS]
    assert sum(map(len, sides)) == len(set.union(*sides))
    assert sorted(found["test"]) == sorted(parts["test"])
    given_ones = sorted(parts["train"] + [60, 160] * (form == "as_medmnist"))
    assert sum(map(len, found.values())) == len(given_ones) + len(parts["test"]) - left_out
    for name in SPLITS:
        np.testing.assert_array_equal(getattr(data, name).y, labels_of(found[name]))


@pytest.mark.parametrize("form", FORMATS)
def test_one_image_under_two_classes_is_told_in_every_format(tmp_path, form):
    path = FORMATS[form](tmp_path, APART)
    if path.suffix == ".npz":
        with np.load(path) as file:
            held = dict(file)
        images = held["train_images" if form == "as_medmnist" else "x_train"]
        images[-1] = images[0]
        np.savez(path, **held)
    elif path.suffix == ".mat":
        held = scipy.io.loadmat(path)
        images = held["dataset"]["train"][0, 0]["images"][0, 0]
        images[-1] = images[0]
        scipy.io.savemat(path, {"dataset": held["dataset"]})
    else:
        (path / "train" / "b" / "39.png").write_bytes((path / "train" / "a" / "0.png").read_bytes())
    names = {"as_emnist": "A, B", "as_folder": "a, b"}.get(form, "0, 1")
    assert f"The same image is there under more than one class 1 time ({names})." in read(path).notes


@pytest.mark.parametrize("form", FORMATS)
def test_a_class_whose_images_are_all_on_the_other_side_too_is_refused(tmp_path, form):
    path = FORMATS[form](tmp_path, APART | {"test": [*range(100, 120), 30]})
    with pytest.raises(
        ValueError, match=r"no image is left to train on of class [1Bb]: all are there to validate or test"
    ):
        read(path)


@given(st.data())
def test_a_border_is_kept_and_nothing_is_on_two_sides(data):
    length = data.draw(st.integers(8, 60))
    groups = np.array(data.draw(st.lists(st.integers(0, length - 1), min_size=length, max_size=length)))
    labels, sides = groups % 2, np.array(data.draw(st.lists(st.sampled_from(SPLITS), min_size=length, max_size=length)))
    shares = {"validation": 0.2} if "validation" not in sides else {}
    seed = data.draw(st.integers(0, 99))
    try:
        parts, notes = divide(labels, sides, groups, ("a", "b"), shares, seed)
    except ValueError as error:
        message = str(error)
    else:
        message = None
    if message:
        assert re.search("no image is left to train on|too few different samples", message)
        return
    held = [set(groups[part]) for part in parts]
    assert sum(map(len, held)) == len(set.union(*held)) == len(set(groups))
    last = {group: max(SPLITS.index(side) for side in sides[groups == group]) for group in groups}
    left_out = [row for row in range(length) if SPLITS.index(sides[row]) < last[groups[row]]]
    assert sorted(np.concatenate(parts)) == sorted(set(range(length)) - set(left_out))
    assert any("Images across the given border" in note for note in notes) == bool(left_out)
    repeated = sum(count - 1 for count in Counter(groups.tolist()).values())
    assert any(f"Exact duplicates (the same pixels): {repeated}," in note for note in notes) == bool(repeated)


def test_without_copies_the_validation_samples_are_those_that_were_always_chosen():
    images = {"train": images_of(range(200), 8)[..., None], "test": images_of([250, 251], 8)[..., None]}
    labels = {"train": np.arange(200) % 2, "test": np.array([0, 1])}
    data = from_arrays(images, labels, ("a", "b"), 0.1, 0, source="here", licence="none")
    # Pinned: another choice would mix what earlier teachers trained on with what students are judged by.
    chosen = [6, 54, 65, 71, 72, 90, 91, 92, 105, 111, 126, 142, 152, 157, 158, 159, 165, 168, 171, 179]
    assert numbers_in(data)["validation"] == chosen


PIXELS = np.random.default_rng(0).integers(0, 256, (20, 3, 4, 2), np.uint8)


def test_every_byte_becomes_its_255th():
    values = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1)
    images = splits.to_float(values, np.arange(256))
    np.testing.assert_array_equal(images.ravel(), (np.arange(256) / 255).astype(np.float32))
    assert (images.dtype, images.shape) == (np.float32, (256, 1, 1, 1))


@given(st.lists(st.integers(0, 19), max_size=40), st.integers(1, 7))
def test_rows_are_taken_in_their_order_whatever_the_block(rows, block):
    rows, before, splits._BLOCK = np.array(rows, int), splits._BLOCK, block
    try:
        np.testing.assert_array_equal(splits.to_float(PIXELS, rows), (PIXELS[rows] / 255).astype(np.float32))
    finally:
        splits._BLOCK = before


def test_what_does_not_fit_in_memory_is_refused(monkeypatch):
    monkeypatch.setattr(splits, "free_memory", lambda: 3 * 10**9)
    splits.check_fits_in_memory(3 * 10**9, "a.npz")
    with pytest.raises(ValueError, match=r"a\.npz needs 50\.0 GB of memory and 3\.0 GB are free: "):
        splits.check_fits_in_memory(50 * 10**9, "a.npz")
