"""MedMNIST's archives and Keras's: images and labels as they are in the file, and nothing that could run code."""

import hashlib
import importlib.util
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kdlab
from kdlab.datasets import medmnist
from kdlab.datasets.medmnist import NAMES, REFUSED, SETS, read_npz

MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist.npz"
COUNTS = {"train": 40, "val": 10, "test": 20}
# The number of classes that the publication's table 2 gives (Yang et al. 2023).
CLASSES = {
    "bloodmnist": 8,
    "breastmnist": 2,
    "dermamnist": 7,
    "octmnist": 4,
    "organamnist": 11,
    "organcmnist": 11,
    "organsmnist": 11,
    "pathmnist": 9,
    "pneumoniamnist": 2,
    "retinamnist": 5,
    "tissuemnist": 8,
}


def arrays(classes=2, channels=None, parts=COUNTS, side=28):
    """What a MedMNIST file of random images holds."""
    random = np.random.default_rng(0)
    shape = (side, side) if channels is None else (side, side, channels)
    held = {}
    for part, count in parts.items():
        held[f"{part}_images"] = random.integers(0, 256, (count, *shape), np.uint8)
        held[f"{part}_labels"] = (np.arange(count) % classes).astype(np.uint8)[:, None]
    return held


def save(path, held):
    np.savez(path, **held)
    return path


def as_float(images):
    return (images.astype(np.float64) / 255).astype(np.float32)


# --- the layouts


@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("compressed", [False, True])
def test_each_part_is_as_in_the_file(tmp_path, channels, compressed):
    held = arrays(3, channels)
    (np.savez_compressed if compressed else np.savez)(tmp_path / "mine.npz", **held)
    data = kdlab.load(tmp_path / "mine.npz")
    for part, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        split, images = getattr(data, name), held[f"{part}_images"]
        np.testing.assert_array_equal(split.x, as_float(images if channels else images[..., None]))
        np.testing.assert_array_equal(split.y, held[f"{part}_labels"][:, 0])
    assert data.class_names == ("0", "1", "2")
    assert data.source == str(tmp_path / "mine.npz")
    assert "unknown" in data.licence


def test_labels_without_a_second_axis_and_in_floats_are_taken(tmp_path):
    held = arrays()
    expected = read_npz(save(tmp_path / "a.npz", held)).fingerprint
    flat = {name: array[:, 0].astype(np.float64) if "labels" in name else array for name, array in held.items()}
    assert read_npz(save(tmp_path / "b.npz", flat)).fingerprint == expected


def keras_layout(held):
    new = {"train_images": "x_train", "train_labels": "y_train", "test_images": "x_test", "test_labels": "y_test"}
    return {new[name]: array[:, 0] if "labels" in name else array for name, array in held.items() if name in new}


def test_kerass_layout_gets_a_stratified_validation_split(tmp_path):
    held = keras_layout(arrays(4))
    path = save(tmp_path / "a.npz", held)
    data = read_npz(path, validation_split=0.2, seed=5)
    assert np.bincount(data.validation.y).tolist() == [2] * 4
    place = {image.tobytes(): k for k, image in enumerate(as_float(held["x_train"])[..., None])}
    rows = [[place[x.tobytes()] for x in split.x] for split in (data.train, data.validation)]
    assert sorted(rows[0] + rows[1]) == list(range(40))
    for split, found in zip((data.train, data.validation), rows, strict=True):
        np.testing.assert_array_equal(split.y, held["y_train"][found])
    np.testing.assert_array_equal(data.test.x, as_float(held["x_test"])[..., None])
    assert read_npz(path, validation_split=0.2, seed=5).fingerprint == data.fingerprint
    assert read_npz(path, validation_split=0.2, seed=6).fingerprint != data.fingerprint


@pytest.fixture
def published(monkeypatch):
    """A function that makes files count as those that MedMNIST published."""

    def publish(name, *paths):
        checksums = [hashlib.md5(path.read_bytes()).hexdigest() for path in paths]
        monkeypatch.setitem(SETS, name, (" ".join(checksums), SETS[name][1]))

    return publish


@pytest.mark.parametrize("name", ["pneumoniamnist.npz", "PneumoniaMNIST_64.NPZ", "my lungs.npz"])
def test_a_file_that_medmnist_published_has_its_classes_whatever_its_name(tmp_path, published, name):
    small, large = save(tmp_path / "small.npz", arrays()), save(tmp_path / "large.npz", arrays(side=64))
    published("pneumoniamnist", small, large)
    for path in (small, large):
        data = kdlab.load(path.rename(tmp_path / name))
        assert data.class_names == ("normal", "pneumonia")
        assert (data.licence, data.notes) == ("CC BY 4.0", ())
        assert "Yang" in data.source
    skin = save(tmp_path / "a.npz", arrays(7, 3))
    published("dermamnist", skin)
    assert kdlab.load(skin).licence == "CC BY-NC 4.0"


@pytest.mark.parametrize(
    ("name", "classes"), [("retinamnist_binary", 2), ("pneumoniamnist", 3), ("breastmnist", 2), ("PathMNIST-mine", 9)]
)
def test_a_file_that_only_has_the_name_of_a_set_keeps_its_own_classes(tmp_path, name, classes):
    data = kdlab.load(save(tmp_path / f"{name}.npz", arrays(classes)))
    assert data.class_names == tuple(map(str, range(classes)))
    assert data.licence == "unknown: the file does not say"
    assert data.source == str(tmp_path / f"{name}.npz")
    (note,) = data.notes
    assert note.startswith(
        f"{name}.npz has the name of {re.match('[a-z]+', name.lower())[0]} but is not the published file"
    )


def test_a_published_checksum_with_other_labels_gives_no_names(tmp_path, published):
    path = save(tmp_path / "a.npz", arrays(3))
    published("breastmnist", path)
    assert kdlab.load(path).class_names == ("0", "1", "2")


def test_a_file_that_only_has_the_name_of_mnist_is_not_mnist(tmp_path):
    data = kdlab.load(save(tmp_path / "mnist.npz", keras_layout(arrays())))
    assert data.licence == "unknown: the file does not say"
    assert "is not the published file" in data.notes[0]


# --- one-hot labels


def one_hot(held, classes, kind=np.uint8):
    return {
        name: np.eye(classes, dtype=kind)[array[:, 0]] if "labels" in name else array for name, array in held.items()
    }


@pytest.mark.parametrize("kind", [np.uint8, np.float64, bool])
@pytest.mark.parametrize("classes", [2, 5])
def test_one_hot_labels_are_one_label_per_image(tmp_path, kind, classes):
    held = arrays(classes)
    plain, hot = save(tmp_path / "a.npz", held), save(tmp_path / "b.npz", one_hot(held, classes, kind))
    assert read_npz(hot).fingerprint == read_npz(plain).fingerprint
    keras, hot = save(tmp_path / "c.npz", keras_layout(held)), one_hot(held, classes, kind)
    names = {"train_images": "x_train", "train_labels": "y_train", "test_images": "x_test", "test_labels": "y_test"}
    hot = save(tmp_path / "d.npz", {names[name]: array for name, array in hot.items() if name in names})
    assert read_npz(hot).fingerprint == read_npz(keras).fingerprint


def test_a_class_of_one_hot_labels_may_be_missing(tmp_path):
    data = read_npz(save(tmp_path / "a.npz", one_hot(arrays(3), 4)))
    assert data.class_names == ("0", "1", "2", "3")
    assert set(data.train.y) == {0, 1, 2}


@pytest.mark.skipif(not MNIST.exists(), reason="../shared/data/mnist.npz, the real MNIST, is not here")
def test_real_mnist():
    data = kdlab.load(MNIST)
    with np.load(MNIST) as file:
        assert len(data.train) + len(data.validation) == len(file["y_train"]) == 60_000
        np.testing.assert_array_equal(data.test.y, file["y_test"])
        np.testing.assert_array_equal(data.test.x[..., 0], as_float(file["x_test"]))
        labels = np.concatenate([data.train.y, data.validation.y])
        np.testing.assert_array_equal(np.bincount(labels), np.bincount(file["y_train"]))
    assert data.class_names == tuple("0123456789")


# --- refused


def refused(path, message):
    with pytest.raises(ValueError, match=message) as caught:
        kdlab.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


class Loud:
    """Says so when it is unpickled."""

    loaded = False

    def __reduce__(self):
        return (_shout, ())


def _shout():
    Loud.loaded = True


@pytest.mark.parametrize("which", ["train_images", "train_labels", "val_images", "test_labels"])
def test_python_objects_are_never_loaded(tmp_path, which):
    held = arrays()
    held[which] = np.array([Loud()] * len(held[which]), object)
    refused(save(tmp_path / "a.npz", held), "holds Python objects, which are not loaded because they could run code")
    assert not Loud.loaded


def test_images_of_different_sizes_are_refused(tmp_path):
    held = arrays()
    images = np.empty(40, object)
    images[:] = [np.zeros((20 + k, 28), np.uint8) for k in range(40)]
    refused(save(tmp_path / "a.npz", held | {"train_images": images}), "images of one size as uint8")
    other = arrays(side=20)
    refused(
        save(tmp_path / "b.npz", held | {"test_images": other["test_images"]}),
        r"images of the test part .* those to train on, \(28, 28, 1\), got \(20, 20, 1\)$",
    )


def test_multi_label_sets_are_refused(tmp_path):
    held = arrays()
    for part, count in COUNTS.items():
        held[f"{part}_labels"] = np.zeros((count, 14), np.uint8)
    refused(
        save(tmp_path / "chestmnist.npz", held),
        r"are 14 numbers per image and not one-hot \(a multi-label set\?\), as the",
    )
    for row in ([1, 1, 0], [0, 0, 2], [0.5, 0.5, 0], [0, 0, 0], [-1, 1, 1]):
        labels = np.eye(3)[np.arange(40) % 3]
        labels[7] = row
        said = re.escape(" ".join(map(str, np.array(row, float))))
        refused(
            save(tmp_path / "a.npz", held | {"train_labels": labels}), rf"not one-hot .*, as the row {said}: one label"
        )
    with pytest.raises(
        ValueError, match=r"'chestmnist' is a multi-label set .* needs one label per image: take one of"
    ):
        kdlab.load("chestmnist")
    assert list(REFUSED) == ["chestmnist"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_images": np.zeros((40, 28, 28))}, r"images of the train part .* must be uint8 .* got float64"),
        (
            {"train_images": np.zeros((40, 28, 28, 28), "u1")},
            r"\(N, height, width, 1 or 3\), got uint8 \(40, 28, 28, 28",
        ),
        ({"test_images": np.zeros((20, 784), "u1")}, r"images of the test part .* got uint8 \(20, 784\)"),
        ({"test_images": np.zeros((20, 0, 28), "u1")}, r"images of the test part .* got uint8 \(20, 0, 28\)"),
        ({"test_labels": np.zeros((19, 1), "u1")}, r"labels of the test part .* must have shape \(20,\)"),
        ({"test_labels": np.full((20, 1), 2, "u1")}, "labels of the test part .* must lie in 0 to 1, got 2"),
        ({"val_labels": np.full((10, 1), -1, "i1")}, "labels of the validation part .* must lie in 0 to 1, got -1"),
        ({"train_labels": np.arange(40)[:, None] % 2 + 1}, "from 0 to C − 1, each at least once, got 1, 2$"),
        ({"train_labels": np.arange(40)[:, None] % 2 * 10**9}, "each at least once, got 0, 1000000000$"),
        ({"train_labels": np.arange(40)[:, None] / 2}, "each at least once, got 0.0, 0.5, 1.0"),
        ({"train_labels": np.array([["a"], ["b"]] * 20)}, "must be whole numbers from 0 to C − 1"),
        ({"train_labels": np.zeros((40, 1), "u1")}, r"one class only to train on \('0'\): at least two"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path, change, message):
    refused(save(tmp_path / "a.npz", arrays() | change), message)


def test_one_class_only_is_refused(tmp_path):
    refused(save(tmp_path / "a.npz", arrays(1)), r"has one class only to train on \('0'\): at least two are needed")


def test_one_hot_labels_of_different_widths_are_refused(tmp_path):
    held = one_hot(arrays(3), 3)
    held["test_labels"] = np.pad(held["test_labels"], ((0, 0), (0, 1)))
    refused(
        save(tmp_path / "a.npz", held), r"as many columns in each part, got 3 \(train\), 3 \(validation\), 4 \(test\)$"
    )
    refused(
        save(tmp_path / "b.npz", arrays() | {"val_labels": np.zeros((10, 1, 1))}),
        r"one-hot \(N, C\), got shape \(10, 1, 1\)$",
    )


def test_other_arrays_are_refused_and_named(tmp_path):
    refused(save(tmp_path / "a.npz", {"b": np.zeros(3), "a": np.zeros(3)}), "must hold train_images, .* got a, b$")
    images_only = {name: array for name, array in arrays().items() if name != "val_labels"}
    refused(save(tmp_path / "c.npz", images_only), r"must hold train_images, .* \(and val_…\), .*val_images$")
    refused(save(tmp_path / "b.npz", {}), "must hold train_images, .* got nothing$")


def test_what_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    for content in (b"", b"hello", b"PK\x03\x04" + bytes(100)):
        path.write_bytes(content)
        refused(path, "is not an .npz, or it is cut off or damaged: get the file once more")
    with path.open("wb") as file:
        np.save(file, np.zeros(3))  # an .npy under a false name
    refused(path, "is not an .npz")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "whole.npz"
    np.savez_compressed(path, **arrays())
    return path


@settings(deadline=None, max_examples=40)
@given(share=st.floats(0, 0.999))
def test_a_file_cut_off_anywhere_is_refused(whole, share):
    content, path = whole.read_bytes(), whole.with_name("cut.npz")
    path.write_bytes(content[: int(share * len(content))])
    refused(path, "cut off or damaged: get the file once more")


@settings(deadline=None, max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_changes_nothing(whole, share, bit):
    content, path = whole.read_bytes(), whole.with_name("flipped.npz")
    expected = read_npz(whole).fingerprint
    damaged = bytearray(content)
    damaged[int(share * len(content))] ^= 1 << bit
    path.write_bytes(bytes(damaged))
    try:
        found = read_npz(path).fingerprint
    except ValueError as error:
        found = str(error).replace(str(path), "the file")
    assert found == expected or re.match("the file .*(damaged|must hold)|.*of the file must|.*[xy] must", found)


def test_members_that_are_no_arrays_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name in arrays():
            archive.writestr(f"{name}.npy", b"no array")
    refused(tmp_path / "a.npz", "damaged|must be")


def test_more_than_the_memory_is_refused_before_it_is_filled(tmp_path, monkeypatch):
    path = save(tmp_path / "a.npz", arrays())
    monkeypatch.setattr("kdlab.datasets.splits.free_memory", lambda: 10_000)
    refused(path, "GB of memory and 0.0 GB are free")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.npz does not exist"):
        read_npz(tmp_path / "nothing.npz")


# --- by name


def test_the_table_of_sets_is_complete():
    assert {name: len(names.split("|")) for name, (_, names) in SETS.items()} == CLASSES
    checksums = [checksum for each, _ in SETS.values() for checksum in each.split()]
    assert all(re.fullmatch("[0-9a-f]{32}", checksum) for checksum in checksums)
    assert len(set(checksums)) == 4 * len(SETS)
    assert set(NAMES) == {*SETS, "mnist"}


def test_the_checksum_of_mnist_is_that_of_keras():
    folder = Path(importlib.util.find_spec("keras").submodule_search_locations[0])  # found, not imported
    source = (folder / "src" / "datasets" / "mnist.py").read_text("utf-8")
    assert medmnist.MNIST[1].removeprefix("sha256:") in source
    assert medmnist.MNIST[0].rsplit("/", 1)[0] in source


@pytest.mark.parametrize("name", NAMES)
def test_every_set_is_downloaded_by_name(name, served, cache, monkeypatch):
    held = arrays(
        CLASSES.get(name, 10), 3 if name in ("pathmnist", "dermamnist", "bloodmnist", "retinamnist") else None
    )
    held = keras_layout(held) if name == "mnist" else held
    path = save(served.folder / f"{name}.npz", held)
    checksum = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(medmnist, "URL", served.url)
    monkeypatch.setattr(medmnist, "MNIST", (f"{served.url}mnist.npz", f"md5:{checksum}"))
    monkeypatch.setitem(SETS, name, (checksum, SETS[name][1] if name in SETS else ""))
    if name == "mnist":
        monkeypatch.delitem(SETS, name)
    data = kdlab.load(name)
    assert data.fingerprint == read_npz(path).fingerprint
    assert len(data.class_names) == CLASSES.get(name, 10)
    kdlab.load(name)
    assert served.asked == [f"/{name}.npz"]
