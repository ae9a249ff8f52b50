"""How Keras runs its steps: one at a time, or many in one call and compiled by XLA where that pays."""

from contextlib import contextmanager

import numpy as np

from .backend import keras, tf
from .transfer_set import in_memory

STEPS_PER_EXECUTION = 16
# XLA takes about two seconds to start with and saves one or two milliseconds a step.
WORTH_COMPILING = 500

DENSE = ("InputLayer", "Dense", "Flatten", "Reshape", "Activation", "ReLU", "Dropout", "Rescaling")


def batches(split, size):
    """Return a ``tf.data.Dataset`` of the batches (x, y) of a ``Split`` in their order, ``size`` samples each."""
    with tf.device("CPU:0"):
        return tf.data.Dataset.from_tensor_slices((split.x, split.y)).batch(size)


def build_state(model, classes):
    """Make the variables that a compiled model's optimizer and metrics keep, before its first step.

    A step that makes them itself is traced twice by TensorFlow, which takes a quarter of a second for the smallest student.
    ``model`` returns logits of ``classes`` classes, and its labels are whole numbers, (N,).
    """
    with model.distribute_strategy.scope():
        model.optimizer.build(model.trainable_variables)
        model.compute_metrics(None, tf.zeros(1, tf.int32), tf.zeros((1, classes)))
        model.reset_metrics()


def choose_execution(model, student, steps, callbacks=(), counts=(), xla=True):
    """Let ``model``, compiled with Keras's defaults, run many steps a call under XLA where that is faster.

    It is for a dense ``student`` on a CPU: the optimizer's many small operations take most of its step, and
    XLA makes them one; convolutions are slower with it, and what is not Keras's or ours may not work: without ``xla``
    there are many steps a call alone. ``steps`` is the number in this call of ``fit``, None where nobody knows.
    ``counts`` are those of an epoch or a validation that ``fit`` is told, None where it is not: no more are run. A
    callback that wants every batch keeps the steps single. What is computed changes by rounding only. Once chosen it
    stays, but for what counts or callbacks ask, so that nothing compiles twice.
    """
    if any(map(_wants_batches, callbacks)):
        counts = (1,)
    if model.steps_per_execution > 1 or model.jit_compile:
        if any(count and count % model.steps_per_execution for count in counts):
            _run(model, _most_at_once(counts), model.jit_compile)
    elif (
        steps
        and steps >= WORTH_COMPILING
        and 1 not in counts
        and not model.run_eagerly
        and not tf.config.list_logical_devices("GPU")
        and made_of(student, DENSE)
    ):
        _run(model, _most_at_once(counts), xla)


@contextmanager
def exactly(model, steps):
    """Within the block ``model`` evaluates or predicts so many steps, if told, and no more; training is left as it is."""
    chosen = model.steps_per_execution
    if not steps or steps % chosen == 0:
        yield
        return
    model.steps_per_execution = _most_at_once((steps,))
    model.test_function = model.predict_function = None
    try:
        yield
    finally:
        model.steps_per_execution = chosen
        model.test_function = model.predict_function = None


def _most_at_once(counts):
    return max(k for k in range(1, STEPS_PER_EXECUTION + 1) if not any(count and count % k for count in counts))


def _run(model, steps, xla):
    model.steps_per_execution, model.jit_compile = steps, xla
    model.train_function = model.test_function = model.predict_function = None


def seed_layers(model, *numbers):
    """Make what is random in a model's layers, such as dropout and augmentation, depend on these whole numbers alone."""
    states = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    for place, variable in enumerate(states):
        variable.assign(np.random.SeedSequence((*numbers, place)).generate_state(2).astype(variable.dtype))


def made_of(model, kinds):
    """Whether all layers of ``model``, those of models inside it too, are Keras's own, of the classes with these names."""
    return all(_is_keras(layer) and type(layer).__name__ in kinds for layer in _flatten(model))


def is_known(thing):
    """Whether a loss or a metric is Keras's own, or ours: of others nobody knows whether XLA can compile them."""
    return isinstance(thing, str) or type(thing).__module__.partition(".")[0] in ("keras", "kdlab")


def leaf_layers(model):
    """Yield the layers of a model, those of models inside it in place of these."""
    for layer in model.layers:
        if isinstance(layer, keras.Model) and layer.layers:
            yield from leaf_layers(layer)
        else:
            yield layer


def count_steps(x, batch_size=None, steps_per_epoch=None):
    """Return the steps of an epoch of ``fit`` on ``x``, or None for a generator that does not tell its length.

    ``fit`` that is told them, as ``steps_per_epoch``, makes one iterator an epoch. Otherwise Keras makes two, and for
    arrays each takes ten milliseconds, as long as an epoch of a thousand digits.
    """
    if steps_per_epoch:
        return steps_per_epoch
    if isinstance(x, tf.data.Dataset):
        cardinality = int(x.cardinality())
        return cardinality if cardinality > 0 else None
    if isinstance(x, keras.utils.PyDataset):
        return x.num_batches
    return -(-len(keras.tree.flatten(x)[0]) // (batch_size or 32)) if in_memory(x) else None


def _flatten(layer):
    """Yield the layers of a model, those of models inside it too; a model of somebody's own making as itself."""
    if isinstance(layer, keras.Model) and _is_keras(layer):
        for inner in layer.layers:
            yield from _flatten(inner)
    else:
        yield layer


def _is_keras(thing):
    return type(thing).__module__.split(".")[0] == "keras"


def _wants_batches(callback):
    """Tell whether a callback does something of its own at a batch."""
    names = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
    if _is_keras(callback):
        every = getattr(callback, "save_freq", getattr(callback, "update_freq", "epoch"))
        return every != "epoch" or any(name in vars(callback) for name in names)
    return any(getattr(type(callback), name) is not getattr(keras.callbacks.Callback, name) for name in names)
