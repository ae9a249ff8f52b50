"""Batches of a split for Keras, read as they are needed: also where the images are larger than memory."""

import numpy as np

from ..backend import tf
from ..checks import check_count, check_logits
from .dataset import epoch_order

__all__ = ["stream"]


def stream(split, batch_size, seed=None, epoch=0, teacher_logits=None, epochs=1, drop_remainder=False):
    """Return a ``tf.data.Dataset`` of the batches (x, y) of a ``Split``, or (x, (y, teacher logits)).

    x (batch, …) float32, y (batch,) int32; ``teacher_logits`` (N, C) or for K teachers (N, K, C). Without a ``seed``
    the samples come in their order. With one, each epoch has its own, ``datasets.epoch_order(N, seed, epoch)``,
    the same in every process: what a training that is resumed needs. The batches are those of ``epochs`` epochs
    from number ``epoch`` on, or of all that follow where ``epochs`` is None: then give ``fit`` the steps of an
    epoch. ``drop_remainder`` leaves out the last, smaller batch of each.

    Raises ValueError for an empty split, numbers out of range and logits that do not fit.
    """
    samples, batch_size = len(split), check_count(batch_size, "batch_size")
    if samples == 0:
        raise ValueError("the split is empty: there is nothing to stream")
    epoch = check_count(epoch, "epoch", 0)
    seed = None if seed is None else check_count(seed, "seed", 0)
    epochs = None if epochs is None else check_count(epochs, "epochs")
    arrays = [split.x, split.y]
    if teacher_logits is not None:
        logits = check_logits(teacher_logits, "teacher_logits")
        if logits.ndim not in (2, 3) or len(logits) != samples:
            raise ValueError(f"teacher_logits must have {samples} rows, one per sample, got shape {logits.shape}")
        arrays.append(logits)
    types = [tf.float32, tf.int32, tf.float32][: len(arrays)]
    steps = samples // batch_size if drop_remainder else -(-samples // batch_size)
    if steps == 0:
        raise ValueError(f"batch_size must be at most {samples}, the number of samples, where the remainder is dropped")

    def order(epoch):
        return np.arange(samples) if seed is None else epoch_order(samples, seed, int(epoch))

    def rows_of_batches(epoch):
        rows = tf.numpy_function(order, [epoch], tf.int64, stateful=False)
        return tf.data.Dataset.range(steps).map(lambda step: rows[step * batch_size : (step + 1) * batch_size])

    def take(rows):
        return [array[rows].astype(kind.as_numpy_dtype, copy=False) for array, kind in zip(arrays, types, strict=True)]

    def batch(rows):
        parts = tf.numpy_function(take, [rows], types)
        for part, array in zip(parts, arrays, strict=True):
            part.set_shape((batch_size if drop_remainder else None, *array.shape[1:]))
        x, y, *logits = parts
        return x, (y, *logits) if logits else y

    if seed is None and isinstance(split.x, np.ndarray):  # A tenth of what it costs to begin an epoch as below.
        with tf.device("CPU:0"):
            parts = [tf.constant(array, kind) for array, kind in zip(arrays, types, strict=True)]
        x, y, *logits = map(tf.data.Dataset.from_tensor_slices, parts)
        samples = tf.data.Dataset.zip(x, tf.data.Dataset.zip(y, *logits) if logits else y)
        return samples.batch(batch_size, drop_remainder).repeat(epochs)

    last = tf.int64.max if epochs is None else epoch + epochs
    batches = tf.data.Dataset.range(epoch, last).flat_map(rows_of_batches).map(batch, tf.data.AUTOTUNE)
    count = tf.data.INFINITE_CARDINALITY if epochs is None else steps * epochs
    return batches.apply(tf.data.experimental.assert_cardinality(count)).prefetch(tf.data.AUTOTUNE)
