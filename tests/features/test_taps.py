"""Taps by layer name: the values of each layer, in one pass, and what cannot be tapped."""

import re

import keras
import numpy as np
import pytest
from keras import layers

from kdlab.features.taps import layer_shapes, tap

X = np.random.default_rng(0).random((5, 8, 8, 1)).astype(np.float32)


def stack():
    return [
        layers.Conv2D(3, 3, activation="relu", name="conv"),
        layers.BatchNormalization(name="norm"),
        layers.Flatten(name="flat"),
        layers.Dense(4, name="logits"),
    ]


def sequential():
    return keras.Sequential([keras.Input((8, 8, 1), name="image"), *stack()])


def functional():
    image = keras.Input((8, 8, 1), name="image")
    outputs = image
    for layer in stack():
        outputs = layer(outputs)
    return keras.Model(image, outputs)


@pytest.mark.parametrize("make", [sequential, functional])
def test_it_returns_the_output_and_each_layers_features(make):
    model = make()
    tapped = tap(model, ["conv", "flat"])
    logits, features = tapped(X)
    conv, norm, flat, dense = [layer for layer in model.layers if not isinstance(layer, layers.InputLayer)]
    expected = conv(X)
    np.testing.assert_allclose(features["conv"], expected, rtol=1e-6)
    np.testing.assert_allclose(features["flat"], flat(norm(expected)), rtol=1e-6)
    np.testing.assert_allclose(logits, dense(flat(norm(expected))), rtol=1e-5, atol=1e-6)
    assert set(features) == {"conv", "flat"}
    assert {id(v) for v in tapped.variables} == {id(v) for v in model.variables}
    assert layer_shapes(model) == {"conv": (6, 6, 3), "norm": (6, 6, 3), "flat": (108,), "logits": (4,)}


def test_layers_borrowed_from_another_model_are_tapped_in_this_one():
    """Their own `output` is the other model's."""
    other = sequential()
    image = keras.Input((8, 8, 1))
    borrowed = keras.Sequential([image, layers.Rescaling(2.0), *other.layers[:-1], layers.Dense(4)])
    np.testing.assert_allclose(tap(borrowed, ["conv"])(X)[1]["conv"], other.get_layer("conv")(2 * X), rtol=1e-6)


def test_a_model_inside_a_model_is_one_layer():
    inner = keras.Sequential([keras.Input((8, 8, 1)), *stack()[:3]], name="inner")
    model = keras.Sequential([keras.Input((8, 8, 1)), inner, layers.Dense(4)])
    np.testing.assert_allclose(tap(model, ["inner"])(X)[1]["inner"], inner(X), rtol=1e-6)
    with pytest.raises(ValueError, match=r"no layer 'conv'; its layers are inner \(108,\), dense"):
        tap(model, ["conv"])


def test_named_inputs_are_taken_as_the_model_takes_them():
    inputs = {"a": keras.Input((2,), name="a"), "b": keras.Input((3,), name="b")}
    both = layers.Concatenate(name="both")([inputs["a"], inputs["b"]])
    model = keras.Model(inputs, layers.Dense(2)(both))
    x = {"b": np.ones((4, 3), np.float32), "a": np.zeros((4, 2), np.float32)}
    np.testing.assert_array_equal(tap(model, ["both"])(x)[1]["both"], [[0, 0, 1, 1, 1]] * 4)
    with pytest.raises(ValueError, match="layer 'b' is the model's input"):
        tap(model, ["b"])


def shared():
    image = keras.Input((4,), name="image")
    twice = layers.Dense(4, name="twice")
    return keras.Model(image, layers.Dense(3, name="logits")(twice(twice(image))))


def two_outputs():
    image = keras.Input((4, 4), name="image")
    sequence, state = layers.GRU(2, return_state=True, name="gru")(image)
    return keras.Model(image, layers.Dense(3, name="logits")(layers.Concatenate()([sequence, state])))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, inputs):
        return self.dense(inputs)


THERE_ARE = "; its layers are conv (6, 6, 3), norm (6, 6, 3), flat (108,), logits (4,)"
REFUSED = {
    "misspelt": (sequential, "covn", f"student has no layer 'covn'{THERE_ARE}"),
    "no name": (functional, 0, f"student has no layer 0{THERE_ARE}"),
    "input of Sequential": (sequential, "image", f"student layer 'image' is the model's input, and not a feature of it{THERE_ARE}"),
    "input of Functional": (functional, "image", "student layer 'image' is the model's input"),
    "shared": (shared, "twice", "'twice' has 2 outputs or calls, and which one is meant cannot be told; its layers are logits (3,)"),
    "two outputs": (two_outputs, "gru", "student layer 'gru' has 2 outputs or calls"),
    "not built": (lambda: keras.Sequential(stack()), "conv", "must be built before its layers are tapped: give it a keras.Input"),
    "subclassed": (Subclassed, "dense", "student must be a Functional or Sequential keras.Model"),
    "no model": (lambda: None, "dense", "a Functional or Sequential keras.Model for its layers to be tapped, got None"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_tapped_is_said_with_the_layers_there_are(case):
    make, name, message = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        tap(make(), [name], "student")
