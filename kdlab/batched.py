"""Many students in one program: a dense Keras model as a function of batched weights, and its whole training.

Axes: K seeds, G students per seed (grid points), B samples, F features, H units of a layer, C classes.
Hidden values are kept features first, (K, G, H, B). So every product is a batched matrix product without a
transpose, and all students of a seed share the first layer's: (K, G·H, F) times (K, F, B).
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .backend import keras, tf
from .training_checks import check_not_probabilities

__all__ = ["DenseStudent", "apply", "gather", "spread", "training_program"]

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
    share a program. Raises ValueError, naming the layer, for what cannot be batched.
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
        self.before, self.dense, steps = [], [], []
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
    weights, values = iter(weights), None
    for step in steps:
        if not isinstance(step, Product):
            values = step(values)
            continue
        kernel = next(weights)
        if values is None:  # One large product for all students that see the same samples.
            rows = tf.reshape(kernel, (x.shape[0], -1, kernel.shape[-1]))
            values = tf.reshape(tf.matmul(rows, x, transpose_b=True), (*kernel.shape[:3], -1))
        else:
            values = tf.matmul(kernel, values)
        if step.use_bias:
            values += next(weights)
    return values


def spread(weights, students=1):
    """Return Keras's weights, seeds in front, as ``apply`` takes them, for G ``students`` of a seed."""
    weights = [w.swapaxes(1, 2) if w.ndim == 3 else w[:, :, None] for w in weights]
    return [tf.constant(np.repeat(w[:, None], students, axis=1)) for w in weights]


def gather(steps, weights):
    """Return the way back: Keras's weights, seeds in front, from (K, 1, ..., H, F or 1) arrays."""
    weights, gathered = iter(weights), []
    for product in (step for step in steps if isinstance(step, Product)):
        gathered.append(next(weights)[:, 0].swapaxes(-1, -2))
        if product.use_bias:
            gathered.append(next(weights)[:, 0, ..., 0])
    return gathered


@lru_cache(maxsize=32)
def training_program(steps):
    """Return the whole training of students of these ``steps``: compiled once per shape of its arguments."""

    @tf.function(jit_compile=True, autograph=False)
    def run(weights, tables, order, soft, temperature, alpha, learning_rate, tests, keep_epochs):
        """Train. ``order`` (epochs, steps, K, B) are indices, ``soft`` (N, G, C) the teacher's, T, α (G,)."""
        students, (epochs, batches) = weights[0].shape[:2], order.shape[:2]
        temperature, alpha = temperature[:, None, None], alpha[:, None, None]
        target = (1 - alpha[:, 0]) * tables["one_hot"][:, None] + (alpha * temperature)[:, 0] * soft
        labelled = tf.reduce_sum(tables["one_hot"], axis=1)

        def step(epoch, batch, weights, means, squares, loss):
            index = order[epoch, batch]
            x = tf.gather(tables["x"], index)
            with tf.GradientTape() as tape:
                tape.watch(weights)
                logits = apply(steps, weights, x)
            each_loss, gradient = _loss_and_gradient(
                logits,
                tf.transpose(tf.gather(target, index), (0, 2, 3, 1)),
                (1 - alpha) * tf.gather(labelled, index)[:, None, None],
                alpha * temperature,
                temperature,
            )
            share = tables["share_of_batch"][batch]
            gradients = tape.gradient(logits, weights, output_gradients=gradient * share)
            loss += each_loss * (tables["share_of_epoch"][batch] * share)
            number = tf.cast(epoch * batches + batch + 1, tf.float32)
            return epoch, batch + 1, *_adam(weights, means, squares, gradients, number, learning_rate), loss

        def one_epoch(epoch, weights, means, squares, curves, kept):
            _, _, weights, means, squares, loss = tf.while_loop(
                lambda _, batch, *__: batch < batches,
                step,
                (epoch, 0, weights, means, squares, tf.zeros((*students, order.shape[-1]))),
            )
            answers = tf.argmax(apply(steps, weights, tables["held_out_x"]), axis=2, output_type=tf.int32)
            right = tf.cast(answers == tables["held_out_y"], tf.float32)
            values = (
                tf.reduce_sum(loss, axis=-1),
                *(tf.reduce_mean(part, axis=-1) for part in (right[..., :-tests], right[..., -tests:])),
            )
            curves = [_put(curve, epoch, value) for curve, value in zip(curves, values, strict=True)]
            kept = [_put(values, epoch + 1, w) for values, w in zip(kept, weights, strict=False)]
            return epoch + 1, weights, means, squares, curves, kept

        zeros = [tf.zeros_like(w) for w in weights]
        curves = [tf.zeros((epochs, *students))] * 3
        kept = [_put(tf.zeros((epochs + 1, *w.shape)), 0, w) for w in weights] if keep_epochs else []
        _, weights, _, _, curves, kept = tf.while_loop(
            lambda epoch, *_: epoch < epochs, one_epoch, (0, weights, zeros, zeros, curves, kept)
        )
        loss, validation, test = map(_epochs_last, curves)
        return {
            "loss": loss,  # (K, G, epochs), as validation and test
            "validation": validation,
            "test": test,
            "logits": tf.transpose(apply(steps, weights, tables["held_out_x"])[..., -tests:], (0, 1, 3, 2)),
            "weights": weights,
            "kept": list(map(_epochs_last, kept)),  # (K, G, epochs + 1, H, F or 1)
        }

    return run


def _loss_and_gradient(logits, target, hard, soft, temperature):
    """Return the loss of every sample (K, G, B), in nats, and its gradient by the logits, (K, G, C, B).

    With h = ``hard`` (1 − α, or 0 without a label), s = ``soft`` = α T, lse(z) = log Σ exp z and the target
    t = h onehot(y) + s softmax(z_t / T), the loss is h lse(z) + s T lse(z / T) − t · z. Its gradient is then
    h softmax(z) + s softmax(z / T) − t, which is ``kdlab.softening.distillation_gradient``.
    """
    logits -= tf.reduce_max(logits, axis=2, keepdims=True)
    powers, soft_powers = tf.exp(logits), tf.exp(logits / temperature)
    total, soft_total = (tf.reduce_sum(p, axis=2, keepdims=True) for p in (powers, soft_powers))
    loss = hard * tf.math.log(total) + soft * temperature * tf.math.log(soft_total)
    loss -= tf.reduce_sum(target * logits, axis=2, keepdims=True)
    return loss[:, :, 0], hard * powers / total + soft * soft_powers / soft_total - target


def _adam(weights, means, squares, gradients, number, learning_rate):
    """Return weights and moments after step ``number`` of Adam (Kingma & Ba 2015, end of section 2)."""
    rate = learning_rate * tf.sqrt(1 - 0.999**number) / (1 - 0.9**number)
    means = [m + 0.1 * (g - m) for m, g in zip(means, gradients, strict=True)]
    squares = [v + 0.001 * (g * g - v) for v, g in zip(squares, gradients, strict=True)]
    moved = [w - rate * m / (tf.sqrt(v) + 1e-7) for w, m, v in zip(weights, means, squares, strict=True)]
    return moved, means, squares


def _put(rows, index, row):
    return tf.tensor_scatter_nd_update(rows, [[index]], row[None])


def _epochs_last(values):
    """Move the epochs from the front to behind seeds and students."""
    return tf.transpose(values, (1, 2, 0, *range(3, len(values.shape))))


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
