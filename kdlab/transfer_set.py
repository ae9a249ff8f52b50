"""The transfer set, what a student is distilled on: arrays checked and made ready, batches taken apart."""

import math

import numpy as np

from .backend import keras, tf
from .checks import check_labels, check_logits
from .training_checks import check_not_probabilities

__all__ = ["in_memory", "labels_and_logits", "prepare", "take", "weigh_classes", "weights"]


def prepare(distiller, x, y=None, teacher_logits=None, sample_weight=None, class_weight=None, validation_split=0.0):
    """Return x, (labels, teacher logits), weights or None, and the validation part or None, ready for Keras.

    Arguments as for ``Distiller.fit`` on arrays; the teacher runs once where ``teacher_logits`` is None. As
    Keras does it, the last samples are the validation part, and class weights do not touch it.

    Raises ValueError for no samples, a single class, labels out of range, student outputs that look like
    probabilities, and teacher logits that are not finite, of the wrong shape or look like probabilities.
    """
    samples = len(keras.tree.flatten(x)[0])
    if samples == 0:
        raise ValueError("the transfer set is empty: x holds no samples")
    outputs = distiller.student(take(x, slice(16)), training=False)
    check_not_probabilities(outputs, "student")
    classes = outputs.shape[-1]
    labels = np.full(samples, -1) if y is None else np.asarray(y)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    labels = check_labels(labels, classes, samples, "y", unlabelled=True).astype(np.int32)
    if teacher_logits is not None:
        teacher_logits = _check_teacher_logits(teacher_logits, samples, classes)

    first = math.floor(samples * (1 - validation_split))
    if first == 0:
        raise ValueError(f"the transfer set is empty: validation_split={validation_split} leaves no samples")
    data = (x, labels) if sample_weight is None else (x, labels, sample_weight)
    validation = take(data, slice(first, None)) if validation_split else None
    x, labels, *given = take(data, slice(first))
    if labels[0] >= 0 and (labels == labels[0]).all():
        raise ValueError(f"the transfer set must hold at least two classes, got only class {labels[0]}")
    if teacher_logits is None:
        teacher_logits = _check_teacher_logits(distiller.teacher_logits(x), first, classes)
    if class_weight is not None:
        if given:
            raise ValueError("give class_weight or sample_weight, not both")
        # Not left to Keras, which refuses class weights beside labels of two parts.
        given = [np.array([class_weight.get(int(label), 1.0) for label in labels], np.float32)]
    return x, (labels, teacher_logits[:first]), given[0] if given else None, validation


def in_memory(x):
    """Whether ``x`` is an array, or a list or dict of them, and no data set or generator."""
    return all(hasattr(leaf, "__array__") and hasattr(leaf, "shape") for leaf in keras.tree.flatten(x))


def take(arrays, which):
    """Return ``array[which]`` for each array of a nest of them."""
    return keras.tree.map_structure(lambda array: array[which], arrays)


def labels_and_logits(y):
    """Return labels (N,) int32 and teacher logits, or None, from a batch's labels alone or a pair of both."""
    labels, logits = y if isinstance(y, (tuple, list)) else (y, None)
    if labels is None or (labels.shape.rank == 2 and labels.shape[1] != 1):
        got = "none" if labels is None else f"shape {tuple(labels.shape)}"
        raise ValueError(f"labels must be whole numbers of shape (samples,), −1 for no label, got {got}")
    return tf.reshape(tf.cast(labels, tf.int32), [-1]), logits


def weigh_classes(dataset, class_weight):
    """Return a ``tf.data.Dataset`` of (x, y) with a weight per sample: that of its class, or 1.

    Not left to Keras, which fails at unlabelled samples and at labels beside teacher logits.
    Raises ValueError where the data set brings weights already.
    """
    classes, values = (np.array(list(part)) for part in (class_weight.keys(), class_weight.values()))

    def with_weights(x, y, *given):
        if given:
            raise ValueError("give class_weight or sample weights, not both")
        theirs = tf.cast(labels_and_logits(y)[0][:, None] == classes, tf.float32)
        return x, y, 1 + tf.reduce_sum(theirs * (values.astype(np.float32) - 1), axis=1)

    return dataset.map(with_weights)


def weights(sample_weight):
    """Return a batch's weights (N,), float32; beside labels of two parts Keras gives them twice."""
    return tf.reshape(tf.cast(keras.tree.flatten(sample_weight)[0], tf.float32), [-1])


def _check_teacher_logits(logits, samples, classes):
    """Return teacher logits as float32, (N, C) or for K teachers (N, K, C), or raise ValueError."""
    logits = check_logits(logits, "teacher_logits").astype(np.float32, copy=False)
    if logits.ndim not in (2, 3) or (logits.shape[0], logits.shape[-1]) != (samples, classes):
        raise ValueError(
            f"teacher_logits must have shape ({samples}, {classes}), a row per sample and a column per class "
            f"of the student, or ({samples}, teachers, {classes}), got {logits.shape}"
        )
    check_not_probabilities(logits, "teacher")
    return logits
