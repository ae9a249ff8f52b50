"""The feature losses against numpy in float64, sample by sample and pair by pair, and finite differences."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kdlab.features import losses

N = 6
BATCH_LOSSES = ("similarity", "relational_distance", "relational_angle", "relational")


def features(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=(N, *shape))


def compare(name, teacher, student):
    loss = getattr(losses, name)
    return loss(teacher_features=tf.constant(teacher), student_features=tf.constant(student)).numpy()


def gradient(name, teacher, student):
    """Of the mean over samples, which for a scalar is the loss itself."""
    variable = tf.Variable(student)
    with tf.GradientTape() as tape:
        loss = getattr(losses, name)(teacher_features=tf.constant(teacher), student_features=variable)
        value = tf.reduce_mean(loss)
    return tape.gradient(value, variable).numpy()


def assert_gradient_is_that_of_finite_differences(name, teacher, student, step=1e-5):
    """Along five directions."""
    directions = np.random.default_rng(2).normal(size=(5, *student.shape))
    slopes = [
        (compare(name, teacher, student + step * along).mean() - compare(name, teacher, student - step * along).mean())
        / (2 * step)
        for along in directions
    ]
    assert np.abs(slopes).max() > 1e-3
    found = [(gradient(name, teacher, student) * along).sum() for along in directions]
    np.testing.assert_allclose(found, slopes, atol=1e-8)


# Each from its paper, with loops.


def numpy_hint(teacher, student):
    return np.array([np.mean((s - t) ** 2) for t, s in zip(teacher, student, strict=True)])


def numpy_pooled(attention, height, width):
    """Adaptive average pooling, cell by cell."""
    pooled = np.zeros((height, width))
    for i, j in np.ndindex(height, width):
        rows = slice(i * attention.shape[0] // height, -(-(i + 1) * attention.shape[0] // height))
        columns = slice(j * attention.shape[1] // width, -(-(j + 1) * attention.shape[1] // width))
        pooled[i, j] = attention[rows, columns].mean()
    return pooled


def numpy_attention(teacher, student):
    """From the maps (N, H, W, C) of both."""
    size = [min(pair) for pair in zip(teacher.shape[1:3], student.shape[1:3], strict=True)]
    values = []
    for pair in zip(teacher, student, strict=True):
        t, s = (numpy_pooled((maps**2).sum(axis=-1), *size).ravel() for maps in pair)
        values.append(((s / np.linalg.norm(s) - t / np.linalg.norm(t)) ** 2).sum())
    return np.array(values)


def numpy_similarity(teacher, student):
    rows = []
    for f in (teacher.reshape(N, -1), student.reshape(N, -1)):
        products = np.array([[f[i] @ f[j] for j in range(N)] for i in range(N)])
        rows.append([row / np.linalg.norm(row) for row in products])
    return np.sum((np.array(rows[0]) - np.array(rows[1])) ** 2) / N**2


def huber(difference):
    return difference**2 / 2 if abs(difference) <= 1 else abs(difference) - 0.5


def numpy_distance(teacher, student):
    pairs, relations = list(itertools.permutations(range(N), 2)), []
    for f in (teacher.reshape(N, -1), student.reshape(N, -1)):
        distances = np.array([np.linalg.norm(f[i] - f[j]) for i, j in pairs])
        relations.append(distances / distances.mean())
    return np.mean([huber(d) for d in relations[1] - relations[0]])


def numpy_angle(teacher, student):
    relations = []
    for f in (teacher.reshape(N, -1), student.reshape(N, -1)):
        sides = [(f[i] - f[j], f[k] - f[j]) for i, j, k in itertools.permutations(range(N), 3)]
        relations.append(np.array([a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in sides]))
    return np.mean([huber(d) for d in relations[1] - relations[0]])


def numpy_relational(teacher, student):
    return numpy_distance(teacher, student) + 2 * numpy_angle(teacher, student)


ORACLES = {
    "similarity": numpy_similarity,
    "relational_distance": numpy_distance,
    "relational_angle": numpy_angle,
    "relational": numpy_relational,
}


@pytest.mark.parametrize("shape", [(7,), (3, 4, 5)])
def test_hint_against_numpy(shape):
    teacher, student = features(*shape), features(*shape, seed=1)
    np.testing.assert_allclose(compare("hint", teacher, student), numpy_hint(teacher, student), rtol=1e-12)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [((4, 4, 3), (4, 4, 5)), ((8, 8, 3), (4, 4, 2)), ((3, 3, 2), (7, 7, 2)), ((7, 3, 2), (5, 6, 2))],
)
def test_attention_against_numpy(theirs, ours):
    """Of one size, of a multiple, of sizes that do not divide, and each larger on one side."""
    teacher, student = features(*theirs), features(*ours, seed=1)
    maps = losses.attention_map(tf.constant(teacher)), losses.attention_map(tf.constant(student))
    np.testing.assert_allclose(maps[0], (teacher**2).sum(axis=-1), rtol=1e-12)
    values = compare("attention", *maps)
    assert values.shape == (N,)
    np.testing.assert_allclose(values, numpy_attention(teacher, student), rtol=1e-10)


@pytest.mark.parametrize("name", BATCH_LOSSES)
@pytest.mark.parametrize(("theirs", "ours"), [((7,), (7,)), ((2, 3, 4), (5,))])
def test_batch_losses_against_numpy(name, theirs, ours):
    teacher, student = features(*theirs), features(*ours, seed=1)
    # One sample far away: its distances differ by more than 1, where Huber's loss is a straight line.
    student[0] *= 30
    value = compare(name, teacher, student)
    assert value.shape == ()
    np.testing.assert_allclose(value, ORACLES[name](teacher, student), rtol=1e-10)


@pytest.mark.parametrize("name", ["hint", "attention", *BATCH_LOSSES])
def test_gradients_against_finite_differences(name):
    teacher, student = (features(2, 1, seed=seed) ** 2 for seed in (0, 1))
    assert_gradient_is_that_of_finite_differences(name, teacher, student)


def test_gradient_through_pooled_attention():
    teacher, student = features(2, 3) ** 2, features(5, 3, seed=1) ** 2
    assert_gradient_is_that_of_finite_differences("attention", teacher, student)


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.1, 10))
def test_what_the_losses_do_not_see(seed, scale):
    """Attention: the scale; similarity: rotations too; relations: moves of the whole batch as well."""
    rng = np.random.default_rng(seed)
    teacher = rng.normal(size=(N, 4))
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    turned = scale * teacher @ rotation
    maps = teacher.reshape(N, 2, 2) ** 2
    np.testing.assert_allclose(compare("attention", maps, scale * maps), 0, atol=1e-12)
    np.testing.assert_allclose(compare("similarity", teacher, turned), 0, atol=1e-12)
    for name in BATCH_LOSSES[1:]:
        np.testing.assert_allclose(compare(name, teacher, turned + rng.normal(size=4)), 0, atol=1e-12)
    student = rng.normal(size=(N, 4))
    assert (compare("attention", maps, student.reshape(N, 2, 2) ** 2) <= 2).all()
    for name in BATCH_LOSSES:  # None of them sees the order of the samples either.
        order = rng.permutation(N)
        np.testing.assert_allclose(
            compare(name, teacher[order], student[order]), compare(name, teacher, student), rtol=1e-8
        )


@pytest.mark.parametrize("name", BATCH_LOSSES)
@pytest.mark.parametrize("case", ["equal samples", "dead layer", "one sample", "two samples"])
def test_degenerate_batches_have_finite_values_and_gradients(name, case):
    teacher, student = (features(5, seed=seed).astype(np.float32) for seed in (0, 1))
    if case == "equal samples":
        teacher[1], student[2:] = teacher[0], student[2]
    elif case == "dead layer":
        student[:] = 0
    else:
        teacher, student = (f[: 1 if case == "one sample" else 2] for f in (teacher, student))
    assert np.isfinite(compare(name, teacher, student))
    assert np.isfinite(gradient(name, teacher, student)).all()
    if case == "one sample":
        assert compare(name, teacher, student) == 0


@pytest.mark.parametrize("name", BATCH_LOSSES)
def test_float32_keeps_its_digits_far_from_the_origin(name):
    """Relations are of differences: a common offset must not cost them."""
    teacher, student = (features(50, seed=seed) + 10 for seed in (0, 1))
    expected = ORACLES[name](teacher, student)
    value = compare(name, teacher.astype(np.float32), student.astype(np.float32))
    np.testing.assert_allclose(value, expected, rtol=1e-3)
