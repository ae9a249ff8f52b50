"""The two-headed student: its gradient is the distillation gradient, and it trains like any Keras model."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kdlab import two_headed as module
from kdlab.models import mlp
from kdlab.softening import distillation_gradient, softmax

N, C = 6, 4


@pytest.fixture
def logits():
    rng = np.random.default_rng(0)
    return rng.normal(scale=2, size=(N, C)), rng.normal(scale=2, size=(N, C)), rng.integers(0, C, N)


def identity_student():
    """A student whose logits are its inputs."""
    return keras.Sequential([keras.Input((C,)), keras.layers.Identity()])


def test_outputs_and_targets(logits):
    student, teacher, labels = logits
    outputs = module.two_headed(identity_student(), 5.0)(student).numpy()
    assert outputs.shape == (N, 2 * C)
    np.testing.assert_allclose(outputs[:, :C], softmax(student), rtol=1e-5)
    np.testing.assert_allclose(outputs[:, C:], softmax(student, 5.0), rtol=1e-5)
    np.testing.assert_array_equal(module.first_half(outputs), outputs[:, :C])
    targets = module.two_headed_targets(labels, teacher)
    assert targets.dtype == np.float32
    np.testing.assert_array_equal(targets[:, :C], np.eye(C)[labels])
    np.testing.assert_allclose(targets[:, C:], teacher, rtol=1e-6)


@pytest.mark.parametrize(("temperature", "lambda_"), [(10.0, 0.5), (1.0, 1.0), (4.0, 0.05), (2.0, 0.0)])
def test_its_gradient_is_ours_for_one_alpha_and_scale(logits, temperature, lambda_):
    student, teacher, labels = logits
    model, loss = module.two_headed(identity_student(), temperature), module.two_headed_loss(temperature, lambda_)
    z = tf.Variable(student, dtype=tf.float32)
    with tf.GradientTape() as tape:
        value = loss(module.two_headed_targets(labels, teacher), model(z))
    alpha, scale = 1 / (1 + lambda_ * temperature**2), lambda_ + 1 / temperature**2
    expected = scale * distillation_gradient(student, teacher, labels, temperature, alpha)
    np.testing.assert_allclose(tape.gradient(value, z), expected, atol=1e-6)
    hard = -np.log(softmax(student))[np.arange(N), labels]
    soft = -(softmax(teacher, temperature) * np.log(softmax(student, temperature))).sum(axis=1)
    np.testing.assert_allclose(value, (lambda_ * hard + soft).mean(), rtol=1e-5)


def test_it_trains_the_student_and_comes_back_from_a_file(tmp_path):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 5)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int32) + 2 * (x[:, 1] > 0)
    student = mlp(5, (8,), C, seed=1)
    model = module.two_headed(student, 10.0)
    model.compile(
        keras.optimizers.Adam(0.05), loss=module.two_headed_loss(10.0, 0.5), metrics=[module.two_headed_accuracy]
    )
    targets = module.two_headed_targets(y, 8 * np.eye(C)[y])
    model.fit(x, targets, epochs=20, batch_size=60, verbose=0)
    loss, accuracy = model.evaluate(x, targets, verbose=0)
    assert accuracy > 0.85
    assert accuracy == pytest.approx((student(x).numpy().argmax(axis=1) == y).mean())
    model.save(tmp_path / "x.keras")
    objects = {"two_headed_accuracy": module.two_headed_accuracy}
    loaded = keras.models.load_model(tmp_path / "x.keras", custom_objects=objects)
    assert loaded.evaluate(x, targets, verbose=0) == pytest.approx([loss, accuracy])


def test_bad_input(logits):
    _, teacher, labels = logits
    with pytest.raises(ValueError, match="temperature must be a finite number above 0"):
        module.two_headed(identity_student(), 0)
    with pytest.raises(ValueError, match=r"student must be a keras\.Model that is built"):
        module.two_headed(keras.Sequential([keras.layers.Dense(C)]), 4.0)
    with pytest.raises(ValueError, match=r"labels must have shape \(6,\)"):
        module.two_headed_targets(labels[:3], teacher)
    with pytest.raises(ValueError, match="labels must lie in 0 to 3, got -1"):
        module.two_headed_targets(np.full(N, -1), teacher)
    with pytest.raises(ValueError, match="teacher_logits must be finite"):
        module.two_headed_targets(labels, teacher * np.nan)
    for lambda_ in (-1, float("nan"), None, True):
        with pytest.raises(ValueError, match="lambda_ must be a finite number of at least 0, got"):
            module.two_headed_loss(4.0, lambda_)
    with pytest.raises(ValueError, match="temperature must be a finite number above 0, got 0"):
        module.two_headed_loss(0)
