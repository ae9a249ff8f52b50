"""Forms of a model: each answers and is counted as its file is, and what a file holds can be read."""

import numpy as np
import pytest

from kdlab import evaluation, export, models
from kdlab.backend import keras


@pytest.fixture(scope="module")
def model():
    return models.mlp(12, (6,), 4, seed=3)


@pytest.fixture(scope="module")
def samples():
    return np.random.default_rng(0).random((40, 12), np.float32)


def test_the_forms_are_those_of_the_files(model, samples):
    forms = export.forms(model, samples, samples, seconds=0.01)
    assert list(forms) == ["Keras", "float32", "int8"]
    np.testing.assert_allclose(forms["Keras"].logits, np.asarray(model(samples)), atol=1e-6)
    for name, needed in (("float32", 4), ("int8", 1)):
        form = forms[name]
        np.testing.assert_array_equal(form.logits, export.run_tflite(form.tflite, samples))
        assert (form.file, form.arena) == (len(form.tflite), export.arena_bytes(form.tflite))
        assert form.arena <= needed * 32
        assert 0 < form.seconds.low <= form.seconds.median <= form.seconds.high
    assert (forms["Keras"].arena, forms["Keras"].tflite) == (None, b"")
    assert forms["Keras"].file > 4 * model.count_params()


def test_the_integers_and_scales_of_a_file_are_read(model, samples):
    tensors = export.tensors(export.to_tflite_int8(model, samples))
    weights = [tensor for tensor in tensors if tensor.integers is not None and tensor.integers.ndim == 2]
    for kernel in (w for w in model.get_weights() if w.ndim == 2):
        (stored,) = [tensor for tensor in weights if tensor.integers.shape == kernel.T.shape]
        np.testing.assert_allclose(
            stored.integers * stored.scales[:, None], export.quantise_weights(kernel, 8).T, atol=1e-6
        )
        assert stored.zero_point == 0
    z = np.asarray(model(samples))
    output, (low, high) = tensors[-1], (min(z.min(), 0), max(z.max(), 0))
    assert output.integers is None
    assert output.scales[0] == pytest.approx((high - low) / 255, rel=1e-4)
    assert output.zero_point == round(-128 - low / output.scales[0])


def test_accuracy_by_bits_rounds_kernels_and_leaves_the_models(samples):
    layers = keras.layers
    convolution = keras.Sequential(
        [keras.Input((6, 2, 1)), layers.Conv2D(3, 2), layers.BatchNormalization(), layers.Flatten(), layers.Dense(4)]
    )
    for model, x in ((models.mlp(12, (6,), 4, seed=1), samples), (convolution, samples.reshape(-1, 6, 2, 1))):
        y = np.asarray(model(x)).argmax(axis=1)  # so that unrounded weights are right everywhere
        before = [w.copy() for w in model.get_weights()]
        found = export.accuracy_by_bits([model, model], x, y)
        assert found.shape == (7, 2)
        rounded = keras.models.clone_model(model)
        rounded.set_weights([w if w.ndim == 1 else export.quantise_weights(w, 3) for w in before])
        assert found[1, 0] == found[1, 1] == evaluation.accuracy(np.asarray(rounded(x)), y)
        assert found[-1, 0] >= 0.9
        for now, then in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(now, then)
