"""The transfer set, what a student is distilled on: arrays checked and made ready, batches taken apart."""

import itertools
import math
from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np

from .backend import keras, tf
from .checks import check_labels, check_logits
from .training_checks import check_not_probabilities


def prepare(distiller, x, y=None, targets=None, sample_weight=None, validation_split=0.0):
    """Return x, (labels, logits[, features]), weights or None, and the validation part or None, ready for Keras.

    Arguments as for ``Distiller.fit`` on arrays; ``targets`` is a dict of the teacher's "logits" and, with features,
    "features", and the teacher runs once for those that are None. As Keras does it, the last samples are the
    validation part.

    Raises ValueError for no samples, a single class, labels out of range, student outputs that look like
    probabilities, teacher logits that are not finite, of the wrong shape or look like probabilities, and teacher
    features that are not finite or of other layers or shapes.
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
    if sample_weight is not None and not np.isfinite(sample_weight).all():
        raise ValueError("sample_weight must be finite numbers, and some are not")
    teacher = distiller.teacher_targets
    targets = _check_targets(teacher, targets or {}, samples, classes)

    first = math.floor(samples * (1 - validation_split))
    if first == 0:
        raise ValueError(f"the transfer set is empty: validation_split={validation_split} leaves no samples")
    data = (x, labels) if sample_weight is None else (x, labels, sample_weight)
    validation = take(data, slice(first, None)) if validation_split else None
    x, labels, *given = take(data, slice(first))
    if labels[0] >= 0 and (labels == labels[0]).all():
        raise ValueError(f"the transfer set must hold at least two classes, got only class {labels[0]}")
    targets = take(targets, slice(first))
    if missing := teacher.missing(targets):
        targets |= _check_targets(teacher, teacher.over(x, missing), first, classes)
    return x, (labels, *map(targets.get, teacher.names)), given[0] if given else None, validation


def in_memory(x):
    """Whether ``x`` is an array, or a list or dict of them, and no data set or generator."""
    return all(hasattr(leaf, "__array__") and hasattr(leaf, "shape") for leaf in keras.tree.flatten(x))


def take(arrays, which):
    """Return ``array[which]`` for each array of a nest of them."""
    return keras.tree.map_structure(lambda array: array[which], arrays)


def over_batches(function, x, batch_size=256, progress=None):
    """Return ``function``, of a batch of tensors to a dict of them, over all of ``x``: one of float32 arrays.

    ``progress(done, samples)`` is called after each batch.
    """
    spec = keras.tree.map_structure(lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), x)
    # One trace for every batch size; `predict` would leave a function behind in the model.
    run = tf.function(function).get_concrete_function(spec)
    samples, results = len(keras.tree.flatten(x)[0]), None
    for start in range(0, samples, batch_size):
        rows = slice(start, start + batch_size)
        outputs = run(keras.tree.map_structure(tf.convert_to_tensor, take(x, rows)))
        if results is None:  # Filled as they come: features may be large, and a list of batches would double them.
            results = keras.tree.map_structure(lambda part: np.empty((samples, *part.shape[1:]), np.float32), outputs)
        keras.tree.map_structure(lambda whole, part, rows=rows: whole.__setitem__(rows, part), results, outputs)
        if progress:
            progress(min(start + batch_size, samples), samples)
    return results


def logits_of(model, x, batch_size=256, progress=None):
    """Return what ``model`` answers on all of ``x``, float32 (N, …); else as ``over_batches``."""
    return over_batches(lambda batch: model(batch, training=False), x, batch_size, progress)


def labels_and_targets(y):
    """Return labels (N,) int32 and what is beside them, a dict of the teacher's "logits" and "features", or less."""
    if y is not None:
        y = tf.nest.map_structure(tf.convert_to_tensor, y)  # of an eager step it may be NumPy's
    labels, *targets = y if isinstance(y, (tuple, list)) else (y,)
    if labels is None or (labels.shape.rank == 2 and labels.shape[1] != 1):
        got = "none" if labels is None else f"shape {tuple(labels.shape)}"
        raise ValueError(f"labels must be whole numbers of shape (samples,), −1 for no label, got {got}")
    return tf.reshape(tf.cast(labels, tf.int32), [-1]), dict(zip(("logits", "features"), targets, strict=False))


def check_class_weight(class_weight, classes):
    """Return weights of classes, {class: weight}, from such a dict or a sequence of one per class.

    ``classes`` is their number, None where unknown. Raises ValueError for anything else.
    """
    if not isinstance(class_weight, Mapping):
        try:
            weights = np.asarray(class_weight, np.float64)
        except (TypeError, ValueError):  # a ragged list, or words
            weights = np.zeros(0)
        if weights.ndim != 1 or len(weights) != (classes or max(len(weights), 1)):
            raise ValueError(
                f"class_weight must be a dict from classes to weights or one weight for each of {classes or 'the'} classes, "
                f"got {class_weight!r}"
            )
        class_weight = dict(enumerate(weights.tolist()))
    for label, weight in class_weight.items():
        if not isinstance(label, Integral) or not 0 <= label < (classes or math.inf):
            raise ValueError(
                f"the classes of class_weight must be whole numbers from 0 {f'to {classes - 1}' if classes else 'on'}, got {label!r}"
            )
        if not isinstance(weight, Real) or not 0 <= weight < math.inf:
            raise ValueError(f"the weights of class_weight must be finite numbers of at least 0, got {weight!r}")
    return class_weight


def find_fault(batches, classes, steps=None):
    """Return what in a transfer set makes a loss that is no number, a sentence, or "" for nothing.

    ``batches`` are (x, y[, weights]) with y as for ``Distiller.fit``; the first ``steps`` of them, or all, are looked at.
    """
    for number, (x, y, *weight) in enumerate(itertools.islice(batches, steps), 1):
        labels, *targets = y if isinstance(y, (tuple, list)) else (y,)
        labels = np.asarray(labels)
        if (wrong := labels[(labels < -1) | (labels >= classes)]).size:
            return (
                f"the labels of the transfer set must lie in 0 to {classes - 1} (or -1 for an unlabelled sample), "
                f"got {wrong.flat[0]} in batch {number}"
            )
        for name, values in zip(("samples", "teacher's logits", "teacher's features"), (x, *targets), strict=False):
            if not _all_finite(values):
                return f"the {name} of the transfer set must be finite numbers, and those of batch {number} are not"
        if not _all_finite(weight):
            return f"the weights of the samples must be finite numbers, and those of batch {number} are not"
    return ""


def watched(batches, classes, found):
    """Yield the batches of a generator, which nobody can ask again; the first fault in one goes to the list ``found``."""
    for number, batch in enumerate(batches, 1):
        if not found and (fault := find_fault([batch], classes)):
            found.append(fault.replace("batch 1", f"batch {number}"))
        yield batch


def _all_finite(values):
    arrays = (np.asarray(value) for value in keras.tree.flatten(values) if value is not None)
    return all(np.isfinite(array).all() for array in arrays if array.dtype.kind == "f")


def weights(sample_weight):
    """Return a batch's weights (N,), float32; beside labels of two parts Keras gives them twice."""
    return tf.reshape(tf.cast(keras.tree.flatten(sample_weight)[0], tf.float32), [-1])


def _check_targets(teacher, targets, samples, classes):
    """Return those of the teacher's targets that are not None, float32, or raise ValueError."""
    checked = {}
    if targets.get("logits") is not None:
        checked["logits"] = check_teacher_logits(targets["logits"], samples, classes)
    if targets.get("features") is not None:
        if teacher.features is None:
            raise ValueError("teacher_features go with Distiller(features=…), and there are none")
        checked["features"] = _check_teacher_features(targets["features"], samples, teacher.feature_shapes)
    return checked


def check_teacher_logits(logits, samples, classes, teachers_first=False):
    """Return teacher logits as float32, (N, C) or for K teachers (N, K, C), or (K, N, C) with ``teachers_first``.

    Raises ValueError for other shapes, for what is not finite and for what looks like probabilities.
    """
    logits = check_logits(logits, "teacher_logits").astype(np.float32, copy=False)
    ensemble = ("teachers", samples, classes) if teachers_first else (samples, "teachers", classes)
    fits = logits.ndim == 3 and all(a in ("teachers", b) for a, b in zip(ensemble, logits.shape, strict=True))
    if not logits.size or not (fits or logits.shape == (samples, classes)):
        raise ValueError(
            f"teacher_logits must have shape ({samples}, {classes}), a row per sample and a column per class "
            f"of the student, or ({', '.join(map(str, ensemble))}), got {logits.shape}"
        )
    check_not_probabilities(logits, "teacher")
    return logits


def _check_teacher_features(features, samples, shapes):
    """Return teacher features as float32, {layer name: (N, …)}, of these shapes of a sample, or raise ValueError."""
    expected = {name: (samples, *shape) for name, shape in shapes.items()}
    got = {name: tuple(np.shape(value)) for name, value in features.items()} if isinstance(features, dict) else features
    if got != expected:
        raise ValueError(f"teacher_features must be arrays by layer name, of shapes {expected}, got {got!r}")
    for name, value in features.items():
        if not math.isfinite(np.sum(value, dtype=np.float64)):
            raise ValueError(f"teacher_features must be finite, those of {name!r} are not")
    return {name: np.asarray(value, np.float32) for name, value in features.items()}
