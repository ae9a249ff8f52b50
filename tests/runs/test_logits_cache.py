"""A teacher's logits, kept: computed once, never those of another teacher or other samples, whole or not there."""

import numpy as np
import pytest

from kdlab.backend import keras
from kdlab.datasets.dataset import Split
from kdlab.models import mlp
from kdlab.runs.logits_cache import teacher_logits


@pytest.fixture(scope="module")
def teacher():
    return mlp(6, (8,), 3, dropout=0.5, seed=1)


@pytest.fixture(scope="module")
def split():
    rng = np.random.default_rng(0)
    return Split(rng.random((50, 6), np.float32), rng.integers(0, 3, 50).astype(np.int32))


class Count:
    """A progress function that counts: a teacher that does not run reports none."""

    def __init__(self):
        self.calls = []

    def __call__(self, done, samples):
        self.calls.append((done, samples))


def by_hand(teacher, x):
    """The logits in float64."""
    kernel, bias, kernel_2, bias_2 = (weight.astype(np.float64) for weight in teacher.get_weights())
    return np.maximum(x.astype(np.float64) @ kernel + bias, 0) @ kernel_2 + bias_2


def test_they_are_computed_once_and_are_the_teachers(teacher, split, cache):
    first, second = Count(), Count()
    logits = teacher_logits(teacher, split, "data train", progress=first)
    assert (logits.dtype, logits.shape) == (np.float32, (50, 3))
    np.testing.assert_allclose(logits, by_hand(teacher, split.x), atol=1e-6)
    assert first.calls == [(50, 50)]
    np.testing.assert_array_equal(teacher_logits(teacher, split, "data train", progress=second), logits)
    assert second.calls == []
    assert [path.parent for path in cache.rglob("*.npz")] == [cache / "logits"]


def test_a_teacher_is_known_by_what_it_computes(teacher, split, tmp_path, cache):
    def runs(model, data_key="data", split=split):
        count = Count()
        teacher_logits(model, split, data_key, progress=count)
        return bool(count.calls)

    assert runs(teacher)
    teacher.save(tmp_path / "teacher.keras")
    assert not runs(keras.saving.load_model(tmp_path / "teacher.keras"))
    assert not runs(mlp(6, (8,), 3, dropout=0.5, seed=1))  # the same again, built anew: its layers have other numbers
    other = mlp(6, (8,), 3, dropout=0.5, seed=1)
    other.layers[0].bias.assign(np.eye(8)[0] * 1e-3)
    assert runs(other)
    inputs = keras.Input((6,))
    linear = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Dense(8)(inputs)))
    linear.set_weights(teacher.get_weights())  # the same weights, no ReLU
    assert runs(linear)
    np.testing.assert_allclose(teacher_logits(linear, split, "data"), linear.predict(split.x, verbose=0), atol=1e-6)
    assert runs(teacher, "other data")
    assert runs(teacher, split=Split(split.x[:40], split.y[:40]))


def test_bad_teachers(teacher, split, cache):
    softmax = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, activation="softmax")])
    with pytest.raises(ValueError, match="the teacher's outputs look like probabilities"):
        teacher_logits(softmax, split, "data")
    infinite = mlp(6, (8,), 3, seed=1)
    infinite.layers[-1].bias.assign([np.inf, 0, 0])
    with pytest.raises(ValueError, match="the teacher's logits must be finite, got 50 value"):
        teacher_logits(infinite, split, "data")
    with pytest.raises(ValueError, match="no samples for the teacher"):
        teacher_logits(teacher, Split(split.x[:0], split.y[:0]), "data")
    assert list(cache.rglob("*.npz")) == []
