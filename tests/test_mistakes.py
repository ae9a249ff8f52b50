"""The mistakes' gradients against finite differences and against the real Keras, and their equivalents."""

import numpy as np
import pytest

from kdlab.mistakes import MISTAKES, equivalent_alpha, mistaken_gradient
from kdlab.softening import cross_entropy, distillation_gradient, log_softmax, softmax

random = np.random.default_rng(3)
STUDENT, TEACHER = random.normal(size=(5, 4)), random.normal(size=(5, 4)) * 3
LABELS = np.array([0, 1, 2, 3, 1])
T, ALPHA = 3.0, 0.7


def wrong_loss(name, student):
    hard = (1 - ALPHA) * cross_entropy(LABELS, student)
    target = softmax(softmax(TEACHER) if name == "probabilities" else TEACHER, T)
    soft = -(target * log_softmax(student, T)).sum(axis=1)
    factor = {"no_square": 1, "class_mean": T**2 / 4, "probabilities": T**2}[name]
    return (hard + ALPHA * factor * soft).mean()


@pytest.mark.parametrize("name", ["no_square", "class_mean", "probabilities"])
def test_gradient_by_finite_differences(name):
    gradient = mistaken_gradient(name, STUDENT, TEACHER, LABELS, T, ALPHA)
    for i, k in np.ndindex(STUDENT.shape):
        step = np.zeros_like(STUDENT)
        step[i, k] = 1e-6
        slope = (wrong_loss(name, STUDENT + step) - wrong_loss(name, STUDENT - step)) / 2e-6
        assert gradient[i, k] == pytest.approx(slope, abs=1e-8)


def test_keras_default_is_what_keras_does():
    from kdlab.backend import keras, tf

    student = tf.Variable(STUDENT)
    with tf.GradientTape() as tape:
        loss = keras.distillation.LogitsDistillation(temperature=T).compute_loss(tf.constant(TEACHER), student)
        loss = tf.reduce_mean(loss)
    hard = (1 - ALPHA) * distillation_gradient(STUDENT, TEACHER, LABELS, T, 0.0)
    expected = hard + ALPHA * tape.gradient(loss, student).numpy()
    np.testing.assert_allclose(
        mistaken_gradient("keras_default", STUDENT, TEACHER, LABELS, T, ALPHA), expected, rtol=1e-5
    )


@pytest.mark.parametrize("name", ["none", "no_square", "class_mean"])
def test_equivalent_alpha_gives_the_same_direction(name):
    wrong = mistaken_gradient(name, STUDENT, TEACHER, LABELS, T, ALPHA)
    right = distillation_gradient(STUDENT, TEACHER, LABELS, T, equivalent_alpha(name, T, ALPHA, classes=4))
    scale = (wrong * right).sum() / (right * right).sum()
    np.testing.assert_allclose(wrong, scale * right, rtol=1e-9, atol=1e-12)


def test_the_rest():
    assert not mistaken_gradient("swapped", STUDENT, TEACHER, LABELS, T, ALPHA).any()
    assert equivalent_alpha("swapped", T, ALPHA) is None
    with pytest.raises(ValueError, match=f"name must be one of {', '.join(MISTAKES)}, got 'x'"):
        mistaken_gradient("x", STUDENT, TEACHER, LABELS)
