"""Many students at once: a dense Keras model as a function of batched weights.

Axes: K seeds, G students per seed (grid points), B samples, F features, H units of a layer, C classes.
Hidden values are kept features first, (K, G, H, B). So every product is a batched matrix product without a
transpose, and all students of a seed share the first layer's: (K, G·H, F) times (K, F, B).
"""

from typing import NamedTuple

import numpy as np

from ..backend import keras, tf
from ..training_checks import check_not_probabilities

ELEMENTWISE = tuple(
    getattr(keras.layers, name) for name in ("Activation", "ELU", "Identity", "LeakyReLU", "ReLU", "Rescaling")
)


class Product(NamedTuple):
    """The matrix product of a Dense layer, and whether a bias is added; all other steps are functions."""

    use_bias: bool


class DenseStudent:
    """A Keras model read as steps: layers that look at the input only, then products and functions.

    ``student`` is a Sequential or functional ``keras.Model``, one layer after the other, logits out; ``x``
    (N, ...) are inputs on which the reading is compared with the model itself. Students of equal ``steps``
    share a program. ``layers`` gives, for each layer that has features, its step and its units. Raises
    ValueError, naming the layer, for what cannot be batched.
    """

    def __init__(self, student, x):
        shape = getattr(student, "input_shape", None)
        if not isinstance(student, keras.Model) or not isinstance(shape, tuple):
            raise ValueError(
                f"student must be a Sequential or functional keras.Model with one input of known shape, got {student!r}"
            )
        if shape[1:] != x.shape[1:]:
            raise ValueError(f"student and data must have inputs of the same shape, got {shape[1:]} and {x.shape[1:]}")
        check_not_probabilities(student(x[:8], training=False), "student")
        self.keras_student = student
        self.before, self.dense, self.layers, steps = [], [], {}, []
        for layer in student.layers:
            if isinstance(layer, keras.layers.Dense) and _is_plain(layer):
                self.dense.append(layer)
                steps += [Product(layer.use_bias), layer.activation]
            elif self.dense and isinstance(layer, ELEMENTWISE):
                # The function is the same object in every model, the layer is not: the program is shared.
                steps.append(layer.activation if isinstance(layer, keras.layers.Activation) else layer)
            elif not self.dense and not layer.variables:
                self.before += [] if isinstance(layer, keras.layers.InputLayer) else [layer]
            elif isinstance(layer, keras.layers.Flatten):
                pass  # After a Dense layer there is nothing left to flatten.
            else:
                raise ValueError(
                    "student must be made of plain, trainable Dense layers and elementwise activations; "
                    f"layer {layer.name!r} ({type(layer).__name__}) is none of these and cannot be trained "
                    "in a batch of students: kdlab.Distiller takes it"
                )
            if self.dense:
                self.layers[layer.name] = len(steps) - 1, self.dense[-1].units
        if not self.dense:
            raise ValueError("student must have at least one Dense layer, got none")
        self.steps = tuple(steps)
        self._compare(x[:8])

    def features(self, x):
        """Return what the first Dense layer sees of inputs ``x`` (N, ...): (N, F), float32."""
        for layer in self.before:
            x = layer(x)
        return tf.convert_to_tensor(x, tf.float32)

    def initial_weights(self, seed):
        """Return weights as ``get_weights`` does, by the student's initializers, the same for a seed."""
        return [
            _draw(initializer, variable.shape, (seed, index, part))
            for index, layer in enumerate(self.dense)
            for part, (initializer, variable) in enumerate(
                zip((layer.kernel_initializer, layer.bias_initializer), layer.weights, strict=False)
            )
        ]

    def layer(self, name):
        """Return the step and the units of a layer. Raises ValueError, naming the layers there are, if it is none."""
        if not isinstance(name, str) or name not in self.layers:
            known = ", ".join(f"{layer} ({units})" for layer, (_, units) in self.layers.items())
            raise ValueError(f"the student has no layer {name!r} with features; its layers and units are {known}")
        return self.layers[name]

    def initial_projector(self, seed, index, units, width):
        """Return kernel (units, width) and bias (width,) of the ``index``-th pair's projector, as Keras draws them."""
        kernel = _draw(keras.initializers.GlorotUniform(seed=0), (units, width), (seed, len(self.dense) + index, 0))
        return [kernel, np.zeros(width, np.float32)]

    def to_keras(self, weights):
        """Return a copy of the student, a ``keras.Model``, with these weights: kernels (F, H), biases (H,)."""
        student = keras.models.clone_model(self.keras_student)
        student.set_weights(weights)
        return student

    def _compare(self, x):
        """Raise ValueError unless the steps compute what the model does, at random weights and biases."""
        random = np.random.default_rng(0)
        weights = [w + random.normal(0, 0.1, w.shape).astype(np.float32) for w in self.initial_weights(0)]
        try:
            expected = self.to_keras(weights)(x, training=False)
            found = apply(self.steps, spread([w[None] for w in weights]), self.features(x)[None])[0, 0]
            same = np.allclose(tf.transpose(found), expected, rtol=1e-3, atol=1e-4)
        except (ValueError, TypeError, tf.errors.InvalidArgumentError):
            same = False
        if not same:
            raise ValueError(
                "student must be one chain, each layer on the output of the one before, Dense layers on "
                "(samples, features) with elementwise activations; this model computes something else"
            )


def apply(steps, weights, x):
    """Return all students' logits (K, G, C, B) on ``x`` (K, B, F), or (1, B, F) where all see the same.

    ``weights`` has, for every ``Product``, a kernel (K, G, H, F) and where it has one a bias (K, G, H, 1).
    """
    return apply_all(steps, weights, x)[-1]


def apply_all(steps, weights, x):
    """Return what ``apply`` does after each of the steps: a list of (K, G, H, B), the last of them the logits."""
    weights, values = iter(weights), []
    for step in steps:
        if not isinstance(step, Product):
            values.append(step(values[-1]))
            continue
        kernel = next(weights)
        if values:
            product = tf.matmul(kernel, values[-1])
        else:  # One large product for all students that see the same samples.
            rows = tf.reshape(kernel, (x.shape[0], -1, kernel.shape[-1]))
            product = tf.reshape(tf.matmul(rows, x, transpose_b=True), (*kernel.shape[:3], -1))
        values.append(product + next(weights) if step.use_bias else product)
    return values


def spread(weights, students=1):
    """Return Keras's weights, seeds in front, as ``apply`` takes them, for G ``students`` of a seed."""
    weights = [w.swapaxes(1, 2) if w.ndim == 3 else w[:, :, None] for w in weights]
    return [tf.constant(np.repeat(w[:, None], students, axis=1)) for w in weights]


def gather(steps, weights, student=0):
    """Return the way back: one student's weights as Keras's, seeds in front, from (K, G, ..., H, F or 1) arrays."""
    weights, gathered = iter(weights), []
    for product in (step for step in steps if isinstance(step, Product)):
        gathered.append(next(weights)[:, student].swapaxes(-1, -2))
        if product.use_bias:
            gathered.append(next(weights)[:, student, ..., 0])
    return gathered


def _is_plain(layer):
    """Tell whether a Dense layer is no more than a trained kernel, bias and activation, in float32."""
    extras = ("kernel_regularizer", "bias_regularizer", "activity_regularizer")
    extras += ("kernel_constraint", "bias_constraint")
    return (
        len(layer.trainable_variables) == len(layer.variables) == 1 + layer.use_bias
        and all(getattr(layer, name) is None for name in extras)
        and layer.compute_dtype == "float32"
    )


def _draw(initializer, shape, seed):
    """Return initial values of one weight; every (seed, layer, part) has random numbers of its own."""
    config = initializer.get_config() if hasattr(initializer, "get_config") else {}
    if "seed" in config:
        number = int(np.random.SeedSequence(seed).generate_state(1)[0] >> 1)
        initializer = type(initializer).from_config({**config, "seed": number})
    return np.asarray(initializer(shape, dtype="float32"), np.float32)
