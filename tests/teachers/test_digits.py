"""The shipped logits can be made again: both networks are retrained here and must come out as good."""

import random

import numpy as np
import pytest

from kdlab.backend import keras, tf
from kdlab.datasets.dataset import digits_logits, load
from kdlab.teachers import digits

# Accuracy may differ by this much between machines and versions of the libraries: nine of 600 test samples.
TOLERANCE = 0.015


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What the script makes, and the file it wrote."""
    path = tmp_path_factory.mktemp("made") / "digits_logits.npz"
    return digits.write_digits_logits(path), path


@pytest.fixture(scope="module")
def labels():
    return load("digits").test.y


def accuracy(logits, labels):
    return (logits.argmax(axis=1) == labels).mean()


@pytest.mark.parametrize("name", ["teacher", "student"])
def test_the_retrained_network_is_as_accurate_as_the_shipped_logits(name, made, labels):
    shipped = accuracy(digits_logits()[name], labels)
    assert accuracy(made[0][name], labels) == pytest.approx(shipped, abs=TOLERANCE)


@pytest.mark.parametrize("name", ["teacher", "student"])
def test_the_retrained_network_answers_like_the_shipped_logits(name, made):
    # Not only as many right answers but the same ones: the logits correlate sample by sample.
    shipped, again = digits_logits()[name], made[0][name]
    centred = [z - z.mean(axis=1, keepdims=True) for z in (shipped, again)]
    assert np.corrcoef(centred[0].ravel(), centred[1].ravel())[0, 1] > 0.98


def test_the_file_holds_what_was_returned(made):
    logits, path = made
    with np.load(path, allow_pickle=False) as file:
        assert sorted(file) == ["student", "teacher"]
        for name in file:
            assert file[name].dtype == np.float32
            np.testing.assert_array_equal(file[name], logits[name])


def test_the_teacher_knows_what_the_student_has_still_to_learn(made, labels):
    assert accuracy(made[0]["teacher"], labels) > 0.95
    assert 0.3 < accuracy(made[0]["student"], labels) < 0.8


def test_the_teacher_is_the_same_whatever_ran_before():
    data = load("digits")
    first = digits.digits_teacher(data, epochs=2)
    # Numbers are drawn and networks made and trained in between, in every generator that there is.
    keras.utils.set_random_seed(99)
    digits.begun_student(data, seed=5)
    keras.random.normal((7,))
    tf.random.normal((3,))
    random.random()
    again = digits.digits_teacher(data, epochs=2)
    for one, two in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_a_seed_makes_the_same_network_and_another_seed_another():
    data = load("digits")
    first, again, other = (digits.begun_student(data, seed=seed).get_weights() for seed in (3, 3, 4))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
    assert np.abs(first[0] - other[0]).max() > 0.01
