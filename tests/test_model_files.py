"""Model files: opened safely, written whole or not at all; models checked against data, and told apart."""

import os
import re
import zipfile

import numpy as np
import pytest

from kdlab import Distiller
from kdlab.backend import keras
from kdlab.datasets.dataset import Dataset, Split
from kdlab.model_files import check_fits, fingerprint, load, save
from kdlab.models import mlp, small_cnn


def dataset(shape=(6,), classes=3):
    x = np.random.default_rng(0).random((4, *shape), np.float32)
    y = np.arange(4, dtype=np.int32) % classes
    split = Split(x, y)
    return Dataset(split, split, split, tuple(map(str, range(classes))), "noise", "none")


@pytest.fixture
def model():
    return mlp(6, (8,), 3, dropout=0.5, seed=1)


def test_save_and_load(model, tmp_path):
    path = tmp_path / "model.keras"
    model.compile("adam")
    save(model, path)
    loaded = load(path)
    x = dataset().train.x
    np.testing.assert_array_equal(loaded(x), model(x))
    assert not loaded.compiled
    assert os.listdir(tmp_path) == ["model.keras"]
    save(mlp(6, (8,), 3, seed=2), path)
    assert not np.array_equal(load(path)(x), model(x))


def test_a_full_disk_leaves_what_was_there(model, tmp_path, file_size_limit):
    path = tmp_path / "model.keras"
    save(model, path)
    before = path.read_bytes()
    file_size_limit(100)
    with pytest.raises(OSError, match=r"there is no space left in .*: free some, or write to another place"):
        save(mlp(6, (8,), 3, seed=2), path)
    assert os.listdir(tmp_path) == ["model.keras"]
    assert path.read_bytes() == before


def test_the_student_of_a_saved_distiller(model, tmp_path):
    distiller = Distiller(teacher=mlp(6, (4,), 3), student=model)
    distiller.save(tmp_path / "distiller.keras")
    loaded = load(tmp_path / "distiller.keras")
    assert fingerprint(loaded) == fingerprint(model)


def test_files_that_are_no_models(model, tmp_path):
    with pytest.raises(ValueError, match=r"there is no file .*missing\.keras"):
        load(tmp_path / "missing.keras")
    save(model, tmp_path / "model.keras")
    half = tmp_path / "half.keras"
    half.write_bytes((tmp_path / "model.keras").read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"half\.keras is no \.keras file, or only a part of one"):
        load(half)
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as file:
        file.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match=r"other\.keras cannot be opened as a Keras model: "):
        load(tmp_path / "other.keras")
    code = keras.Sequential([keras.Input((6,)), keras.layers.Lambda(lambda x: x + 1), keras.layers.Dense(3)])
    code.save(tmp_path / "code.keras")
    with pytest.raises(ValueError, match=r"code\.keras holds Python code \(a Lambda layer\), which is not run"):
        load(tmp_path / "code.keras")


def test_a_model_that_fits(model):
    check_fits(model, dataset())
    check_fits(small_cnn((8, 8, 1), 3), dataset((8, 8, 1)))
    anything = keras.Input((None, None, 1))
    logits = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(anything))
    check_fits(keras.Model(anything, logits), dataset((8, 8, 1)))


class Gate(keras.layers.Layer):
    """A layer that Keras does not know."""

    def call(self, x):
        """Return x."""
        return x


def warp(x):
    """Return x: an activation that Keras does not know."""
    return x


@pytest.mark.parametrize(
    ("make", "missing"),
    [
        (lambda: [keras.layers.Dense(4) for _ in range(8)] + [Gate()], "Could not locate class 'Gate'"),
        (lambda: [keras.layers.Dense(4, activation=warp)], "Could not locate function 'warp'"),
        (
            lambda: [keras.Sequential([keras.Input((6,)), keras.layers.Dense(4), Gate()])],
            "Could not locate class 'Gate'",
        ),
    ],
)
def test_what_a_file_lacks_is_said_whatever_was_read_before_it(tmp_path, make, missing):
    keras.Sequential([keras.Input((6,)), *make()]).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=f"model.keras cannot be opened as a Keras model: {missing}") as error:
        load(tmp_path / "model.keras")
    assert len(str(error.value)) < 600
    assert "\n" not in str(error.value)
    assert "config" not in str(error.value)


@pytest.mark.parametrize(
    ("takes", "has", "options"),
    [
        ((8, 8, 3), (8, 8, 1), "channels=3 (--channels 3)"),
        ((12, 12, 1), (8, 8, 1), "image_size=12 (--image-size 12)"),
        ((16, 16, 1), (8, 8, 3), "image_size=16 (--image-size 16) and channels=1 (--channels 1)"),
    ],
)
def test_a_model_of_other_images_is_told_how_to_read_them(takes, has, options):
    with pytest.raises(ValueError, match=rf"shape .*; a folder's images can be read with {re.escape(options)}$"):
        check_fits(mlp(takes, (), 3), dataset(has))


@pytest.mark.parametrize(
    ("make", "data", "message"),
    [
        (lambda: "cnn", {}, "model must be a keras.Model, got 'cnn'"),
        (lambda: keras.Sequential([keras.layers.Dense(3)]), {}, "model must be built: call it on samples once"),
        (lambda: mlp(7, (), 3), {}, r"model takes samples of shape \(7,\), but the data's have shape \(6,\)"),
        (
            lambda: mlp((8, 8, 3), (), 3),
            {"shape": (8, 8, 1)},
            r"shape \(8, 8, 3\), but the data's have shape \(8, 8, 1\)",
        ),
        (lambda: mlp(6, (), 4), {}, r"model returns outputs of shape \(4,\), but the data have 3 classes: it must"),
        (
            lambda: keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, activation="softmax")]),
            {},
            "the model's outputs look like probabilities .* leave out the softmax",
        ),
        (
            lambda: keras.Model(inputs := [keras.Input((6,)), keras.Input((6,))], keras.layers.Add()(inputs)),
            {},
            "model must have one input and one output, got 2 and 1",
        ),
    ],
)
def test_a_model_that_does_not_fit(make, data, message):
    with pytest.raises(ValueError, match=message):
        check_fits(make(), dataset(**data))


def test_fingerprints():
    def dense(units=4, **keywords):
        return keras.Sequential([keras.Input((6,)), keras.layers.Dense(units, kernel_initializer="ones", **keywords)])

    known = fingerprint(dense())
    assert fingerprint(dense()) == known  # though its layers have other names
    assert (
        len({known, fingerprint(dense(5)), fingerprint(dense(activation="relu")), fingerprint(dense(use_bias=False))})
        == 4
    )
    changed = dense()
    changed.layers[0].bias.assign([0, 0, 0, 1e-7])
    assert fingerprint(changed) != known
    inputs = keras.Input((6,))
    first, second = (keras.layers.Dense(6, kernel_initializer="ones") for _ in range(2))
    chain = keras.Model(inputs, second(first(inputs)))
    first, second = (keras.layers.Dense(6, kernel_initializer="ones") for _ in range(2))
    beside = keras.Model(inputs, keras.layers.Add()([first(inputs), second(inputs)]))
    assert fingerprint(chain) != fingerprint(beside)
