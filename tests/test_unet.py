"""The losses against numpy in float64 and finite differences; the shipped teacher."""

import numpy as np
import pytest
import tensorflow as tf

from kdlab.backend import keras
from kdlab.segmentation import SIDE, dice, dice_intervals, load_tiles, overlaps
from kdlab.teachers.segmentation import segmentation_teacher, vary
from kdlab.unet import dice_loss, hard_binary_cross_entropy, segment, soft_binary_cross_entropy, unet

TEMPERATURES = [0.5, 1.0, 4.0]


@pytest.fixture(scope="module")
def arrays():
    """Student and teacher logits and masks of two samples of 3×4 pixels, float64."""
    random = np.random.default_rng(0)
    shape = (2, 3, 4, 3)
    return random.normal(scale=3, size=shape), random.normal(scale=3, size=shape), random.integers(0, 2, shape)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def numpy_dice(z, y):
    p, losses = sigmoid(z), []
    for c in range(z.shape[-1]):
        a, b = p[..., c].ravel(), y[..., c].ravel()
        losses.append(1 - (2 * (a * b).sum() + 1) / (a.sum() + b.sum() + 1))
    return np.mean(losses)


def numpy_cross_entropy(z, targets):
    q = sigmoid(z)
    return -np.mean(targets * np.log(q) + (1 - targets) * np.log(1 - q))


def numpy_soft(z, teacher, temperature):
    return temperature**2 * numpy_cross_entropy(z / temperature, sigmoid(teacher / temperature))


def gradient(function, z):
    z = tf.Variable(z)
    with tf.GradientTape() as tape:
        value = function(z)
    return value.numpy(), tape.gradient(value, z).numpy()


def check_gradient(function, oracle, z, step=1e-6):
    """Value and gradient of ``function`` against ``oracle`` and its finite differences."""
    value, slope = gradient(function, z)
    assert value == pytest.approx(oracle(z), rel=1e-9)
    for i in np.ndindex(z.shape):
        up, down = z.copy(), z.copy()
        up[i] += step
        down[i] -= step
        assert slope[i] == pytest.approx((oracle(up) - oracle(down)) / (2 * step), abs=1e-8)


def test_dice_loss_and_its_gradient(arrays):
    z, _, y = arrays
    check_gradient(lambda v: dice_loss(v, y), lambda v: numpy_dice(v, y), z)
    assert float(dice_loss(60.0 * (2 * y - 1), y)) == pytest.approx(0, abs=1e-12)
    assert float(dice_loss(np.full(y.shape, -60.0), 0 * y)) == pytest.approx(
        0, abs=1e-12
    )  # nothing there, nothing said


def test_the_labels_cross_entropy_and_its_gradient(arrays):
    z, _, y = arrays
    check_gradient(lambda v: hard_binary_cross_entropy(v, y), lambda v: numpy_cross_entropy(v, y), z)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_teachers_cross_entropy_and_its_gradient(arrays, temperature):
    z, teacher, _ = arrays
    check_gradient(
        lambda v: soft_binary_cross_entropy(v, tf.constant(teacher), temperature),
        lambda v: numpy_soft(v, teacher, temperature),
        z,
    )
    _, slope = gradient(lambda v: soft_binary_cross_entropy(v, tf.constant(teacher), temperature), z)
    expected = temperature * (sigmoid(z / temperature) - sigmoid(teacher / temperature)) / z.size
    np.testing.assert_allclose(slope, expected, atol=1e-12)


def test_with_its_square_a_high_temperature_matches_logits(arrays):
    z, teacher, _ = arrays
    _, slope = gradient(lambda v: soft_binary_cross_entropy(v, tf.constant(teacher), 1000.0), z)
    np.testing.assert_allclose(slope, (z - teacher) / (4 * z.size), rtol=1e-4)


def test_no_gradient_flows_to_the_teacher(arrays):
    z, teacher, _ = arrays
    teacher = tf.Variable(teacher)
    with tf.GradientTape() as tape:
        value = soft_binary_cross_entropy(tf.constant(z), teacher, 2.0)
    assert tape.gradient(value, teacher) is None


def test_a_seed_gives_the_weights_that_keras_draws_after_setting_it(monkeypatch):
    ours = unet(2, seed=3).get_weights()
    he, glorot = keras.initializers.HeNormal, keras.initializers.GlorotUniform
    monkeypatch.setattr(keras.initializers, "HeNormal", lambda seed: he())
    monkeypatch.setattr(keras.initializers, "GlorotUniform", lambda seed: glorot())
    keras.utils.set_random_seed(3)
    for one, other in zip(ours, unet(2, seed=99).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


# --- the shipped teacher


def test_the_shipped_teacher_is_better_than_darkness_by_more_than_its_interval():
    test = load_tiles("test")
    teacher = segmentation_teacher()
    assert teacher.input_shape == (None, SIDE, SIDE, 3)
    *classes, _ = dice_intervals(overlaps(segment(teacher, test.x), test.classes))
    # The best that one threshold on the red light can do, which haematoxylin absorbs, chosen on the test tiles themselves.
    red, best = test.x[..., 0], np.zeros(3)
    for threshold in np.arange(0.2, 0.8, 0.05):
        said = [np.where(red < threshold, c, 0) for c in (1, 2, 3)]
        best = np.maximum(best, [dice(overlaps(one, test.classes))[c] for c, one in enumerate(said)])
    assert all(low > of_darkness for (_, low, _), of_darkness in zip(classes, best, strict=True))


def test_images_are_stained_and_lit_otherwise_each_in_its_way():
    x = np.repeat(load_tiles("test").x[:1], 100, axis=0)
    varied = vary(x, np.random.default_rng(0))
    assert varied.dtype == np.float32
    assert 0 <= varied.min() < varied.max() <= 1
    colours = varied.mean(axis=(1, 2))
    assert (colours.std(axis=0) > 0.02).all()
    assert np.abs(colours.mean(axis=0) - x[0].mean(axis=(0, 1))).max() < colours.std(axis=0).min()
