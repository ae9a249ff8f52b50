"""Rounded weights: by hand, and the very weights of a LiteRT file."""

import numpy as np
import pytest

from kdlab.export.quantisation import quantise_weights


def test_three_bits_by_hand():
    weights = np.array([[0.9, -3.0], [-0.5, 0.4], [0.16, 1.6]], np.float32)
    # Three steps to the largest of each column: scales 0.3 and 1.
    expected = [[0.9, -3.0], [-0.6, 0.0], [0.3, 2.0]]
    np.testing.assert_allclose(quantise_weights(weights, 3), expected, atol=1e-6)


def test_channels_are_the_last_axis_and_do_not_see_each_other():
    weights = np.random.default_rng(0).normal(size=(3, 3, 4, 5)).astype(np.float32)
    rounded = quantise_weights(weights, 4)
    for channel in range(5):
        alone = quantise_weights(weights[..., channel : channel + 1], 4)
        np.testing.assert_array_equal(rounded[..., channel], alone[..., 0])
        assert len(np.unique(np.round(rounded[..., channel] / np.abs(rounded[..., channel]).max(), 4))) <= 15


def test_a_channel_of_zeros_stays():
    assert not quantise_weights(np.zeros((4, 2), np.float32), 8).any()


@pytest.mark.parametrize("bits", [1, 9, 4.0, None])
def test_other_bits_are_refused(bits):
    with pytest.raises(ValueError, match=f"bits must be a whole number from 2 to 8, got {bits}"):
        quantise_weights(np.ones((2, 2)), bits)


def test_eight_bits_are_what_litert_keeps():
    from kdlab import models
    from kdlab.backend import keras
    from kdlab.export import convert

    keras.utils.set_random_seed(0)
    convolution = keras.Sequential([keras.Input((8, 8, 2)), keras.layers.Conv2D(6, 3), keras.layers.Flatten()])
    for model in (models.mlp(16, (6,), 3, seed=0), convolution):
        samples = np.random.default_rng(0).random((20, *model.input_shape[1:]), np.float32)
        interpreter = convert.interpreter_of(convert.to_tflite_int8(model, samples))
        kept = []
        for tensor in interpreter.get_tensor_details():
            scales = tensor["quantization_parameters"]["scales"]
            if tensor["dtype"] == np.int8 and len(scales) > 1:
                values = interpreter.get_tensor(tensor["index"]) * scales.reshape(-1, *[1] * (len(tensor["shape"]) - 1))
                kept.append(np.moveaxis(values, 0, -1))  # the output channel is LiteRT's first axis
        kernels = [layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")]
        assert len(kept) == len(kernels)
        for kernel in kernels:
            ours = quantise_weights(kernel, 8)
            assert min(np.abs(ours - own).max() for own in kept if own.shape == ours.shape) < 1e-6
