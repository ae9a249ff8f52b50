"""Students trained with a mistake in the loss: their rows say what was trained."""

import numpy as np
import pytest

from kdlab.backend import keras
from kdlab.evaluation import paired_difference
from kdlab.lab.response_mistakes import keras_default, mistakes
from kdlab.lab.response_state import DEFAULTS, SEEDS, ResponseState
from kdlab.mistakes import MISTAKES
from kdlab.teachers.digits import digits_teacher


@pytest.fixture(scope="module")
def state():
    return ResponseState()


@pytest.fixture(scope="module")
def rows(state):
    return {row["name"]: row for row in mistakes(state, **DEFAULTS)}


def test_every_mistake_has_a_row_and_the_right_loss_is_the_measure(state, rows):
    assert list(rows) == list(MISTAKES)
    right = state.trainer("few", 16).train(4.0, 0.9, seeds=SEEDS)
    assert [rows["none"]["size"], rows["none"]["cosine"]] == pytest.approx([1, 1])
    assert rows["none"]["difference"]["mean"] == 0
    assert rows["none"]["accuracy"][0] == pytest.approx(right.test_accuracy.mean(), abs=1e-6)
    assert rows["keras_default"]["accuracy"] is None


def test_a_missing_square_is_trained_with_its_alpha(state, rows):
    # 0.9 without T^2 weighs 0.9 / 16 against 0.1.
    alpha = (0.9 / 16) / (0.1 + 0.9 / 16)
    students = state.trainer("few", 16).train(4.0, alpha, seeds=SEEDS)
    right = state.trainer("few", 16).train(4.0, 0.9, seeds=SEEDS)
    difference = paired_difference(students.test_accuracy, right.test_accuracy)
    assert rows["no_square"]["difference"]["mean"] == pytest.approx(difference.mean, abs=1e-6)


def test_swapped_students_stay_as_they_began(state, rows):
    begun = state.trainer("few", 16).train(4.0, 0.9, seeds=SEEDS, keep_epochs=True)
    accuracies = [
        (begun.student(seed, epoch=0).predict(state.data.test.x, verbose=0).argmax(axis=1) == state.data.test.y).mean()
        for seed in range(3)
    ]
    shown = (begun.logits(state.data.test.x, epoch=0).argmax(axis=-1) == state.data.test.y).mean(axis=1)
    np.testing.assert_allclose(shown[:3], accuracies, atol=2e-3)
    assert rows["swapped"]["accuracy"][0] == pytest.approx(shown.mean(), abs=1e-6)
    assert rows["swapped"]["cosine"] is None


def test_keras_gets_as_many_steps_as_the_others(state):
    row = keras_default(state, **{**DEFAULTS, "scenario": "unlabelled"}, seeds=2)
    assert row["accuracy"][0] > 0.4  # with 28 steps instead of 420 it is .24


def test_in_the_place_of_ten_teachers_keras_takes_the_shipped_one(state, monkeypatch):
    taken = []

    class Distiller:
        """What is asked of Keras, without the training."""

        def __init__(self, teacher, **_):
            taken.append(teacher.get_weights())

        def compile(self, **_):
            pass

        def fit(self, *_, **__):
            pass

    monkeypatch.setattr(keras.distillation, "Distiller", Distiller)
    keras_default(state, **{**DEFAULTS, "scenario": "ensemble"}, seeds=2)
    assert len(taken) == 2
    for weights in taken:
        for one, two in zip(weights, digits_teacher().get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)
