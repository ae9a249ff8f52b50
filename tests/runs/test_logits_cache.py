"""A teacher's logits, kept: computed once, never those of another teacher or other samples, whole or not there."""

import os

import numpy as np
import pytest

from kdlab.backend import keras
from kdlab.datasets.dataset import Split
from kdlab.datasets.stored_images import StoredImages
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
    logits = teacher_logits(teacher, split, "data train", batch_size=20, progress=first)
    assert (logits.dtype, logits.shape) == (np.float32, (50, 3))
    np.testing.assert_allclose(logits, by_hand(teacher, split.x), atol=1e-6)
    assert first.calls == [(20, 50), (40, 50), (50, 50)]
    np.testing.assert_array_equal(teacher_logits(teacher, split, "data train", progress=second), logits)
    assert second.calls == []
    assert [path.parent for path in cache.rglob("*.npz")] == [cache / "logits"]


def test_a_teacher_is_known_by_what_it_computes(teacher, split, tmp_path):
    def runs(model, data_key="data", split=split):
        count = Count()
        teacher_logits(model, split, data_key, folder=tmp_path, progress=count)
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
    np.testing.assert_allclose(
        teacher_logits(linear, split, "data", folder=tmp_path), linear.predict(split.x, verbose=0), atol=1e-6
    )
    assert runs(teacher, "other data")
    assert runs(teacher, split=Split(split.x[:40], split.y[:40]))


def test_images_on_disk(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 1)).astype(np.uint8)
    rows = np.array([5, 0, 3])
    stored = Split(StoredImages(pixels, rows), np.array([0, 1, 0], np.int32))
    teacher = mlp((4, 4, 1), (), 2, seed=0)
    logits = teacher_logits(teacher, stored, "stored", batch_size=2, folder=tmp_path)
    kernel, bias = teacher.get_weights()
    np.testing.assert_allclose(logits, (pixels[rows] / 255).reshape(3, 16) @ kernel + bias, atol=1e-6)


def test_a_damaged_file_is_computed_anew(teacher, split, tmp_path):
    logits = teacher_logits(teacher, split, "data", folder=tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    inside = content.index(logits.tobytes()) + 100
    flipped = content[:inside] + bytes([content[inside] ^ 1]) + content[inside + 1 :]
    for damaged in (b"", content[: len(content) // 2], flipped, b"no zip file"):
        path.write_bytes(damaged)
        count = Count()
        np.testing.assert_array_equal(teacher_logits(teacher, split, "data", folder=tmp_path, progress=count), logits)
        assert count.calls, damaged[:20]
        assert path.read_bytes() == content


def test_a_full_disk_is_said_and_the_logits_are_there(teacher, split, tmp_path, file_size_limit):
    file_size_limit(100)
    with pytest.warns(UserWarning, match="logits are not kept, the next run computes them again: there is no space"):
        logits = teacher_logits(teacher, split, "data", folder=tmp_path)
    np.testing.assert_allclose(logits, by_hand(teacher, split.x), atol=1e-6)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(teacher, split, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match=f"not kept.*{os.sep}file"):
        assert teacher_logits(teacher, split, "data").shape == (50, 3)


def test_bad_teachers(teacher, split, tmp_path):
    softmax = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, activation="softmax")])
    with pytest.raises(ValueError, match="the teacher's outputs look like probabilities"):
        teacher_logits(softmax, split, "data", folder=tmp_path)
    infinite = mlp(6, (8,), 3, seed=1)
    infinite.layers[-1].bias.assign([np.inf, 0, 0])
    with pytest.raises(ValueError, match="the teacher's logits must be finite, got 50 value"):
        teacher_logits(infinite, split, "data", folder=tmp_path)
    with pytest.raises(ValueError, match="no samples for the teacher"):
        teacher_logits(teacher, Split(split.x[:0], split.y[:0]), "data", folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
