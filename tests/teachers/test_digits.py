"""The shipped teacher and logits: they belong together, and both networks, trained again here, come out as good."""

import random

import numpy as np
import pytest

from kdlab.backend import keras, tf
from kdlab.datasets.dataset import digits_logits
from kdlab.datasets.load import load
from kdlab.teachers import digits

# Accuracy may differ by this much between machines and versions of the libraries: nine of 600 test samples.
TOLERANCE = 0.015
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def data():
    return load("digits")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder that the script wrote to."""
    folder = tmp_path_factory.mktemp("made")
    digits.write(folder)
    return folder


@pytest.fixture
def again(made, monkeypatch):
    """What was made, read as what is shipped is read."""
    monkeypatch.setattr("kdlab.datasets.dataset.DATA", made)
    monkeypatch.setattr(digits, "TEACHER_FILE", made / "digits_teacher.npz")


def said(teacher, x):
    return teacher(x, training=False).numpy()


def accuracy(logits, labels):
    return (logits.argmax(axis=1) == labels).mean()


@pytest.mark.parametrize("split", SPLITS)
def test_the_shipped_teacher_gives_the_shipped_logits(data, split):
    found = said(digits.digits_teacher(), getattr(data, split).x)
    np.testing.assert_allclose(found, digits_logits(split)["teacher"], rtol=1e-4, atol=1e-4)


def test_what_is_made_again_belongs_together(data, again):
    found = said(digits.digits_teacher(), data.validation.x)
    np.testing.assert_allclose(found, digits_logits("validation")["teacher"], rtol=1e-4, atol=1e-4)
    assert digits_logits("train")["student"].dtype == np.float32


@pytest.mark.parametrize("name", ["teacher", "student"])
def test_what_is_made_again_answers_like_the_shipped_ones(data, name, request):
    shipped = digits_logits()[name]
    request.getfixturevalue("again")
    found = digits_logits()[name]
    assert accuracy(found, data.test.y) == pytest.approx(accuracy(shipped, data.test.y), abs=TOLERANCE)
    # Not only as many right answers but the same ones: the logits correlate sample by sample.
    centred = [z - z.mean(axis=1, keepdims=True) for z in (shipped, found)]
    assert np.corrcoef(centred[0].ravel(), centred[1].ravel())[0, 1] > 0.97


def test_the_teacher_knows_what_the_student_has_still_to_learn(data):
    logits = digits_logits()
    assert accuracy(logits["teacher"], data.test.y) > 0.97
    assert 0.3 < accuracy(logits["student"], data.test.y) < 0.8


def test_what_the_docstring_says_of_the_teacher_is_so(data):
    from kdlab.evaluation import wilson_interval

    text = " ".join(digits.__doc__.split())
    right = {s: int((digits_logits(s)["teacher"].argmax(axis=1) == getattr(data, s).y).sum()) for s in SPLITS}
    interval = wilson_interval(right["test"], 600)
    assert f"{right['validation']} of the 299 validation digits ({right['validation'] / 299:.3f})" in text
    assert f"{right['test']} of the 600 test digits ({right['test'] / 600:.3f}, " in text
    assert f"interval {interval.low:.3f} to {interval.high:.3f}" in text
    assert f"{digits.digits_teacher().count_params():,} parameters" in text


def test_a_seed_makes_the_same_networks_whatever_ran_before_and_another_seed_others(data):
    first = digits.partly_trained_student(data, seed=3), digits.train_digits_teacher(data, epochs=1)
    # Numbers are drawn, in every generator that there is, after networks were made and trained.
    keras.utils.set_random_seed(99)
    keras.random.normal((7,))
    tf.random.normal((3,))
    random.random()
    again = digits.partly_trained_student(data, seed=3), digits.train_digits_teacher(data, epochs=1)
    assert [layer.name for layer in again[1].layers] == ["hidden_1", "hidden_2", "logits"]
    for networks in zip(first, again, strict=True):
        for one, two in zip(*(network.get_weights() for network in networks), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-5)
    of_seed_1 = digits_logits("test")["student"]
    assert np.abs(said(first[0], data.test.x) - of_seed_1).max() > 0.1


def test_a_teacher_can_be_trained_otherwise(data):
    small, smoothed = (
        digits.train_digits_teacher(data, epochs=8, hidden=(32,), dropout=0.0, smoothing=smoothing)
        for smoothing in (0.0, 0.5)
    )
    logits = [said(teacher, data.test.x) for teacher in (small, smoothed)]
    leads = [np.ptp(each, axis=1).mean() for each in logits]
    assert leads[1] < 0.7 * leads[0]  # smoothed labels ask for less sure answers
    assert small.count_params() == 64 * 32 + 32 + 32 * 10 + 10
    assert accuracy(logits[0], data.test.y) > 0.85


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"smoothing": 1.0}, "smoothing must be a number from 0 to below 1, got 1.0"),
        ({"dropout": -0.1}, "dropout must be a number from 0 to below 1, got -0.1"),
        ({"smoothing": float("nan")}, "smoothing must be a number from 0 to below 1, got nan"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(data, options, said):
    with pytest.raises(ValueError, match=said):
        digits.train_digits_teacher(data, **options)
