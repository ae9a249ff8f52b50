"""EMNIST's MATLAB files as NIST ships them: images upright, classes from 0 on, named by their characters."""

import hashlib
import tracemalloc
import zipfile

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

import kdlab
from kdlab.datasets import emnist
from kdlab.datasets.emnist import NAMES, read_mat

LETTERS = [[k + 1, ord("A") + k, ord("a") + k] for k in range(26)]
DIGITS = [[k, ord("0") + k] for k in range(10)]
BYCLASS = [[k, ord(c)] for k, c in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")]
BALANCED = [[k, ord(c)] for k, c in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt")]
MAPPINGS = {
    "letters": LETTERS,
    "digits": DIGITS,
    "mnist": DIGITS,
    "byclass": BYCLASS,
    "balanced": BALANCED,
    "bymerge": BALANCED,
}


def upright(count, seed):
    """Random images (N, 28, 28), as they are to be seen."""
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), np.uint8)


def part(images, labels):
    """A part as NIST has it: every image a row, column after column."""
    flat = np.stack([image.flatten(order="F") for image in images]) if len(images) else np.zeros((0, 784), np.uint8)
    return {"images": flat, "labels": np.array(labels, np.uint8)[:, None], "writers": np.zeros((len(labels), 1), "u2")}


def save(path, train, test, mapping, compressed=True, **more):
    dataset = {"train": train, "test": test, "mapping": np.array(mapping, np.uint8), **more}
    scipy.io.savemat(path, {"dataset": dataset}, do_compression=compressed)
    return path


def labels_of(mapping, each):
    return np.repeat([row[0] for row in mapping], each)


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """A small file of letters: its path, images, and labels from 1 to 26."""
    train, test = upright(26 * 10, 0), upright(26 * 2, 1)
    labels = np.random.default_rng(2).permutation(labels_of(LETTERS, 10)), labels_of(LETTERS, 2)
    path = save(
        tmp_path_factory.mktemp("emnist") / "emnist-letters.mat", part(train, labels[0]), part(test, labels[1]), LETTERS
    )
    return path, train, test, *labels


def as_float(images):
    return (images.astype(np.float64) / 255).astype(np.float32)[..., None]


def test_images_are_upright_and_labels_begin_at_0(letters):
    path, train, test, train_labels, test_labels = letters
    data = read_mat(path)
    assert data.class_names == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    np.testing.assert_array_equal(data.test.x, as_float(test))
    np.testing.assert_array_equal(data.test.y, test_labels - 1)
    # Every training image is in one of two splits, in the file's order, with its label.
    place = {image.tobytes(): k for k, image in enumerate(as_float(train))}
    rows = [[place[x.tobytes()] for x in split.x] for split in (data.train, data.validation)]
    assert sorted(rows[0] + rows[1]) == list(range(260))
    for split, found in zip((data.train, data.validation), rows, strict=True):
        assert found == sorted(found)
        np.testing.assert_array_equal(split.y, train_labels[found] - 1)
    assert np.bincount(data.validation.y).tolist() == [1] * 26


def test_a_single_bright_pixel_is_where_it_was(tmp_path):
    image = np.zeros((784,), np.uint8)
    image[5 * 28 + 2] = 255  # column 5, row 2
    train = part(upright(8, 0), [0, 1] * 4)
    test = {"images": image[None], "labels": np.array([[1]], np.uint8), "writers": np.zeros((1, 1))}
    x = read_mat(save(tmp_path / "a.mat", train, test, DIGITS)).test.x
    assert np.argwhere(x[0, ..., 0]).tolist() == [[2, 5]]


@pytest.mark.parametrize("variant", MAPPINGS)
@pytest.mark.parametrize("compressed", [True, False])
def test_every_variant_has_its_characters(tmp_path, variant, compressed):
    mapping = MAPPINGS[variant]
    count = len(mapping)
    path = tmp_path / f"emnist-{variant}.mat"
    train = part(upright(3 * count, 0), labels_of(mapping, 3))
    save(path, train, part(upright(count, 1), labels_of(mapping, 1)), mapping, compressed)
    data = kdlab.load(path)
    assert data.class_names == tuple(chr(row[1]) for row in mapping)
    assert data.test.y.tolist() == list(range(count))
    assert data.train.x.shape == (2 * count, 28, 28, 1)
    assert (data.source, data.licence) == (str(path), "unknown: the file does not say")
    assert f"emnist-{variant}" in NAMES
    assert len(NAMES) == len(MAPPINGS)


@pytest.mark.parametrize(("variant", "train", "test"), [("letters", 124_800, 20_800), ("mnist", 60_000, 10_000)])
def test_files_as_large_as_the_published_ones_have_their_source(tmp_path, monkeypatch, variant, train, test):
    mapping = MAPPINGS[variant]
    parts = {
        name: part(upright(2 * len(mapping), seed), labels_of(mapping, 2))
        for seed, name in enumerate(("train", "test"))
    }
    small = read_mat(save(tmp_path / f"emnist-{variant}.mat", **parts, mapping=mapping))
    assert "EMNIST (" not in small.source
    assert emnist._SAMPLES[variant] == (train, test)
    monkeypatch.setitem(emnist._SAMPLES, variant, (2 * len(mapping), 2 * len(mapping)))
    whole = read_mat(tmp_path / f"emnist-{variant}.mat")
    assert (whole.source[:13], whole.licence[:11]) == (f"EMNIST (emnist-{variant}"[:13], "none stated")
    other = read_mat((tmp_path / f"emnist-{variant}.mat").rename(tmp_path / "mine.mat"))
    assert other.source == str(tmp_path / "mine.mat")


def test_share_and_seed_of_the_validation_split(letters):
    path, *_ = letters
    fifth = read_mat(path, validation_split=0.2)
    assert np.bincount(fifth.validation.y).tolist() == [2] * 26
    assert read_mat(path, validation_split=0.2).fingerprint == fifth.fingerprint
    assert read_mat(path, validation_split=0.2, seed=1).fingerprint != fifth.fingerprint
    none = read_mat(path, validation_split=0)
    assert (len(none.train), len(none.validation)) == (260, 0)


def test_reading_needs_less_than_twice_the_memory_of_what_it_returns(tmp_path):
    train, test = part(upright(6000, 0), [1, 2] * 3000), part(upright(1000, 1), [1, 2] * 500)
    path = save(tmp_path / "a.mat", train, test, LETTERS)
    del train, test
    read_mat(path)  # what is imported is not counted
    tracemalloc.start()
    try:
        data = read_mat(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    size = sum(split.x.nbytes for split in (data.train, data.validation, data.test))
    assert size == 7000 * 784 * 4
    assert peak < 2 * size


# --- refused


def refused(path, message):
    with pytest.raises(ValueError, match=message) as caught:
        kdlab.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_what_is_no_matlab_file_is_refused(tmp_path):
    path = tmp_path / "a.mat"
    for content in (b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(500), bytes(200)):
        path.write_bytes(content)
        refused(path, "is not a MATLAB file, or it is cut off or damaged .*: get the file once more")


@settings(deadline=None, max_examples=60)
@given(share=st.floats(0, 0.999))
def test_a_file_cut_off_anywhere_is_refused(letters, tmp_path_factory, share):
    content = letters[0].read_bytes()
    path = tmp_path_factory.mktemp("cut") / "a.mat"
    path.write_bytes(content[: int(share * len(content))])
    refused(path, "cut off|not one of EMNIST's")


def test_a_matlab_7_3_file_is_refused(tmp_path):
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(600))
    refused(path, "is a MATLAB 7.3 file: save it with '-v7'")


@pytest.mark.parametrize(
    "content",
    [
        {"x": np.zeros(3)},
        {"dataset": np.zeros(3)},
        {"dataset": {"train": {"images": np.zeros((1, 784))}, "mapping": np.zeros((2, 2))}},
        {"dataset": {"train": 1, "test": 2, "mapping": 3}},
    ],
)
def test_another_matlab_file_is_refused(tmp_path, content):
    scipy.io.savemat(tmp_path / "a.mat", content)
    refused(tmp_path / "a.mat", "is a MATLAB file but not one of EMNIST's: it must hold a struct 'dataset'")


GOOD = {"train": part(upright(20, 0), [1, 2] * 10), "test": part(upright(4, 1), [1, 2] * 2), "mapping": LETTERS}
CELLS = np.empty((4, 1), object)
CELLS[:, 0] = [np.zeros((k, 28), np.uint8) for k in range(1, 5)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": part(upright(4, 0), [0, 1, 2, 3])}, "train labels of .* must be in its mapping, 1 to 26, got 0"),
        ({"test": part(upright(2, 0), [1, 27])}, "test labels of .* must be in its mapping, 1 to 26, got 27"),
        ({"test": GOOD["test"] | {"images": np.zeros((4, 784))}}, r"test images .* uint8 \(4, 784\), .* got float64"),
        (
            {"test": GOOD["test"] | {"images": np.zeros((4, 100), "u1")}},
            r"must be uint8 \(4, 784\).* got uint8 \(4, 100",
        ),
        ({"test": GOOD["test"] | {"images": np.zeros((3, 784), "u1")}}, r"one row per label, got uint8 \(3, 784\)"),
        ({"test": GOOD["test"] | {"images": CELLS}}, r"test images .* must be uint8 \(4, 784\), .* got object"),
        ({"train": GOOD["train"] | {"labels": np.array([["a"]] * 20)}}, "train labels .* must be whole numbers"),
        ({"train": GOOD["train"] | {"labels": np.full((20, 1), 1.5)}}, "must be in its mapping, 1 to 26, got 1.5"),
        ({"train": part(upright(4, 0), [3] * 4)}, r"one class only to train on \('C'\)"),
        ({"mapping": [[1], [2]]}, "mapping of .* must have a row per class"),
        ({"mapping": [[1, 65], [1, 66], [2, 67]]}, "mapping of .* must have a row per class"),
        ({"mapping": [[1, 65], [2, 7]]}, "mapping of .* codes from 33 to 126, got .*7"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path, change, message):
    refused(save(tmp_path / "a.mat", **(GOOD | change)), message)


@pytest.mark.parametrize("variant", ["letters", "digits"])
def test_one_hot_labels_are_places_in_the_mapping(tmp_path, variant):
    mapping = MAPPINGS[variant]
    plain = {
        name: part(upright(3 * len(mapping), seed), labels_of(mapping, 3))
        for seed, name in enumerate(("train", "test"))
    }
    hot = {name: held | {"labels": np.repeat(np.eye(len(mapping)), 3, axis=0)} for name, held in plain.items()}
    expected = read_mat(save(tmp_path / "a.mat", **plain, mapping=mapping))
    assert read_mat(save(tmp_path / "b.mat", **hot, mapping=mapping)).fingerprint == expected.fingerprint
    hot["test"]["labels"] = hot["test"]["labels"][:, 1:]
    refused(save(tmp_path / "c.mat", **hot, mapping=mapping), f"test labels of .* have {len(mapping) - 1} columns")
    hot["test"]["labels"] = np.ones((3 * len(mapping), len(mapping)))
    refused(save(tmp_path / "d.mat", **hot, mapping=mapping), "test labels of .* not one-hot")


def test_a_class_of_one_training_sample_is_refused(tmp_path):
    path = save(tmp_path / "a.mat", **(GOOD | {"train": part(upright(5, 0), [1, 1, 1, 1, 2])}))
    with pytest.raises(ValueError, match="class 'B' has too few different samples to split off 10%"):
        read_mat(path)
    assert len(read_mat(path, validation_split=0).train) == 5


def test_more_than_the_memory_is_refused_before_it_is_filled(letters, monkeypatch):
    monkeypatch.setattr("kdlab.datasets.splits.free_memory", lambda: 10_000)
    refused(letters[0], "GB of memory and 0.0 GB are free")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.mat does not exist"):
        read_mat(tmp_path / "nothing.mat")


# --- by name


@pytest.fixture
def nist(letters, served, cache, monkeypatch):
    """NIST's archive, on this machine."""
    with zipfile.ZipFile(served.folder / "matlab.zip", "w") as archive:
        archive.write(letters[0], "matlab/emnist-letters.mat")
    checksum = hashlib.md5((served.folder / "matlab.zip").read_bytes()).hexdigest()
    monkeypatch.setattr(emnist, "URL", served.url + "matlab.zip")
    monkeypatch.setattr(emnist, "CHECKSUM", f"md5:{checksum}")
    return served


def test_letters_by_name_are_downloaded_and_unpacked_once(letters, nist, cache):
    data = kdlab.load("emnist-letters", validation_split=0.2, seed=3)
    assert data.fingerprint == read_mat(letters[0], validation_split=0.2, seed=3).fingerprint
    kdlab.load("emnist-letters")
    assert nist.asked == ["/matlab.zip"]
    (cache / "downloads" / "emnist-letters.mat").unlink()
    kdlab.load("emnist-letters")
    assert nist.asked == ["/matlab.zip"]  # the archive of all variants is kept


def test_a_disk_that_fills_while_unpacking_leaves_nothing(nist, cache, file_size_limit):
    packed = (nist.folder / "matlab.zip").stat().st_size
    emnist.fetch(emnist.URL, emnist.CHECKSUM, "emnist-matlab.zip", "emnist-letters")
    file_size_limit(packed // 2)
    with pytest.raises(OSError, match=r"no space left in .*downloads"):
        kdlab.load("emnist-letters")
    assert [path.name for path in (cache / "downloads").iterdir()] == ["emnist-matlab.zip"]


def test_a_file_put_into_the_cache_by_hand_needs_no_network(letters, cache):
    (cache / "downloads").mkdir()
    (cache / "downloads" / "emnist-letters.mat").write_bytes(letters[0].read_bytes())
    assert kdlab.load("emnist-letters").fingerprint == read_mat(letters[0]).fingerprint
