"""Quantised weights in plain numbers: one scale per output channel, symmetric, as LiteRT has them in 8 bits."""

import numpy as np

from ..checks import check_count

LOWEST_BITS, HIGHEST_BITS = 2, 8


def quantise_weights(weights, bits):
    """Return ``weights`` (…, channels) rounded to what ``bits`` can hold, as floats of the same shape.

    A channel's weight of the largest magnitude becomes ±(2^(bits − 1) − 1), and all others the nearest multiple of this
    scale: w ≈ scale · integer, zero stays zero (Jacob et al. 2018,
    Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, section 2; one scale
    per channel as in LiteRT's specification). Raises ValueError for ``bits`` not from 2 to 8.
    """
    largest = 2 ** (check_count(bits, "bits", LOWEST_BITS, HIGHEST_BITS) - 1) - 1
    weights = np.asarray(weights, np.float32)
    scale = np.abs(weights).max(axis=tuple(range(weights.ndim - 1)), keepdims=True) / np.float32(largest)
    return np.rint(weights / np.where(scale > 0, scale, 1)) * scale


def quantise_model(weights, bits):
    """Return a model's ``weights``, a list as of Keras's ``get_weights``, quantised but for biases and other vectors."""
    return [w if w.ndim < 2 else quantise_weights(w, bits) for w in weights]
