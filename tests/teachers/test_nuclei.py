"""The shipped teacher of the nuclei is good enough to teach, and its script sees the training region only."""

import dataclasses

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

import kdlab
from kdlab.backend import keras
from kdlab.datasets import nuclei
from kdlab.features.taps import tap
from kdlab.teachers import nuclei as nuclei_teacher


@pytest.fixture(scope="module")
def data():
    return kdlab.load("nuclei", size=nuclei_teacher.SIZE)


@pytest.fixture(scope="module")
def teacher():
    return nuclei_teacher.nuclei_teacher()


def test_it_is_clearly_above_a_random_forest_on_the_same_pixels(data, teacher):
    forest = RandomForestClassifier(100, random_state=0).fit(data.train.x.reshape(len(data.train), -1), data.train.y)
    for split in (data.validation, data.test):
        answers = teacher(split.x, training=False).numpy().argmax(axis=1)
        theirs = forest.score(split.x.reshape(len(split), -1), split.y)
        assert (answers == split.y).mean() > theirs + 0.03


def test_its_stages_return_maps_of_half_the_size_each(data, teacher):
    names = [f"stage{k}" for k in range(1, 5)]
    _, maps = tap(teacher, names, "teacher")(data.test.x[:2], training=False)
    assert [maps[name].shape[1:3] for name in names] == [(48, 48), (24, 24), (12, 12), (6, 6)]
    assert all((maps[name].numpy() >= 0).all() for name in names)  # attention compares squares: after the ReLU


class _Same:
    """A generator that draws nothing: no turn, no shift, the same stain."""

    def integers(self, low, high, size):
        return np.full(size, nuclei_teacher.SHIFT if high > 8 else 0)

    def uniform(self, low, high, size):
        return np.ones(size)

    def normal(self, mean, deviation, size):
        return np.zeros(size)


def test_varied_by_nothing_an_image_stays_itself():
    x = np.random.default_rng(0).uniform(0.01, 1, (3, 56, 56, 3)).astype(np.float32)
    np.testing.assert_allclose(nuclei_teacher.augment(x, _Same()), x[:, 4:-4, 4:-4], atol=1e-5)


def test_images_are_moved_turned_and_stained_otherwise_each_in_its_way():
    x = np.repeat(nuclei.crops(nuclei.fields()["nest"], 56)[:1], 200, axis=0)
    varied = nuclei_teacher.augment(x, np.random.default_rng(0))
    assert varied.dtype == np.float32
    assert varied.min() >= 0
    assert varied.max() <= 1
    assert len({image.tobytes() for image in varied}) == 200
    colours = varied.mean(axis=(1, 2))
    assert (colours.std(axis=0) > 0.02).all()
    unvaried = x[0, 4:-4, 4:-4].mean(axis=(0, 1))
    assert np.abs(colours.mean(axis=0) - unvaried).max() < colours.std(axis=0).min()
    again = nuclei_teacher.augment(x, np.random.default_rng(0))
    np.testing.assert_array_equal(varied, again)


def test_its_training_sees_no_pixel_of_another_region(monkeypatch):
    field = nuclei.fields()["nest"]
    image = field.image.astype(np.float32)
    for top, bottom, split in nuclei.BANDS:
        if split != "train":
            image[top:bottom] = np.nan
    blind = dataclasses.replace(field, image=image)
    monkeypatch.setattr(nuclei_teacher, "fields", lambda: {"nest": blind})
    assert nuclei_teacher.build_teacher().output_shape == (None, 3)

    def small(seed):  # one pixel that is no number, and no weight of it is
        inputs, head = keras.Input((48, 48, 3)), keras.layers.Dense(3, kernel_initializer="zeros")
        return keras.Model(inputs, head(keras.layers.GlobalAveragePooling2D()(inputs)))

    monkeypatch.setattr(nuclei_teacher, "build_teacher", small)
    kernel, bias = nuclei_teacher.train_teacher(epochs=1).get_weights()
    assert np.isfinite(bias).all()
    assert np.isfinite(kernel).all()
    assert kernel.all()  # it was trained
