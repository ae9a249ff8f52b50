"""Feature losses of many students at once: ``kdlab.features.losses`` on the axes of ``batched``, with their gradients.

``share`` (B,) weighs the samples of a batch, 1 / n for each of its n and 0 for what fills it up. The hint's
gradient is written out, for it is then two large products a step in place of three and no residual is kept: XLA
takes a third less time. Angles take N³ numbers a step: here they are those of a batch's first ``IN_ANGLES`` samples,
in random order as all samples are, so that their mean is an estimate of that over the whole batch.
"""

from typing import NamedTuple

import numpy as np

from ..backend import tf
from ..features.losses import compare_angles, compare_distances, compare_products

METHODS = ("hint", "similarity", "relational_distance", "relational_angle", "relational")
"""The methods of ``kdlab.FeatureDistillation`` between dense layers."""
IN_ANGLES = 16


class FeatureTies(NamedTuple):
    """Which of the student's ``apply_all`` values are tied to a teacher's layer, by which method, what with a projector."""

    method: str
    steps: tuple[int, ...]
    projected: tuple[bool, ...]


def teacher_table(method, features):
    """Return what ``feature_loss`` looks up of a teacher's features (N, F) over the training set: a dict of float32.

    Relations between samples depend on no student: they are computed here, once, for all pairs of samples.
    """
    if method == "hint":
        table = {"features": features, "squares": (features**2).sum(axis=1)}
    else:
        # Of centred features distances are the same and lose fewer digits; products are not the same.
        centred = features.astype(np.float64) - (0 if method == "similarity" else features.mean(axis=0))
        relations = centred @ centred.T
        if method != "similarity":
            squares = relations.diagonal()
            relations = squares[:, None] + squares - 2 * relations
        table = {"relations": relations}
    return {name: tf.constant(values, tf.float32) for name, values in table.items()}


def feature_loss(method, table, index, share, student, projector=()):
    """Return the loss of one batch (K, G), its gradient by ``student`` (K, G, H, B), and those by the projector.

    ``index`` (K, B) are the batch's samples in ``table``, which is the ``teacher_table`` of the method. The
    ``projector`` of a hint is empty or a kernel (K, G, H, F) and a bias (K, G, 1, F).
    """
    if method == "hint":
        teacher, squares = tf.gather(table["features"], index), tf.gather(table["squares"], index)
        if projector:
            return _projected_hint(teacher, squares, share, student, *projector)
        return *_hint(teacher, share, student), []
    relations = tf.gather(tf.gather(table["relations"], index), index, axis=2, batch_dims=1)[:, None]
    with tf.GradientTape() as tape:
        tape.watch(student)
        value = _relational(method, relations, share, student)
    return value, tape.gradient(value, student), []


def tied_loss(ties, tables, index, share, values, projectors):
    """Return the mean feature loss of the ties (K, G, 1), its gradients by values, {step: …}, and by projectors."""
    feature, by_values, by_projectors, ways = 0.0, {}, [], len(ties.steps)
    for table, step, projected in zip(tables, ties.steps, ties.projected, strict=True):
        projector, projectors = projectors[: 2 * projected], projectors[2 * projected :]
        loss, by_value, by_projector = feature_loss(ties.method, table, index, share, values[step], projector)
        feature += loss[..., None] / ways
        by_values[step] = by_values.get(step, 0.0) + by_value / ways
        by_projectors += [gradient / ways for gradient in by_projector]
    return feature, by_values, by_projectors


def _hint(teacher, share, student):
    """Return Σ_b s_b ‖h_b − t_b‖² / F and its gradient by h, for features of equal width."""
    residual = student - tf.transpose(teacher, (0, 2, 1))[:, None]
    gradient = residual * share * (2 / residual.shape[2])
    return tf.reduce_sum(residual * gradient, axis=(2, 3)) / 2, gradient


def _projected_hint(teacher, squares, share, student, kernel, bias):
    """Return Σ_b s_b ‖Pᵀh_b + p − t_b‖² / F, its gradient by h, and those by P and p.

    The square is multiplied out: h · (PPᵀh + 2 Pp − 2 Pt) + ‖p‖² − 2 p · t + ‖t‖². ``teacher`` t (K, B, F),
    ``squares`` ‖t‖² (K, B), ``student`` h (K, G, H, B), ``kernel`` P (K, G, H, F), ``bias`` p (K, G, 1, F).
    """
    scale = 2 / teacher.shape[2]
    weighted = student * share
    mean_student = tf.reduce_sum(weighted, axis=3, keepdims=True)
    mean_teacher = tf.matmul(tf.broadcast_to(share, (teacher.shape[0], 1, teacher.shape[1])), teacher)[:, None]
    with_teacher = _shared(tf.matmul, kernel, teacher, transpose_b=True)  # Pt
    with_itself = tf.matmul(tf.matmul(kernel, kernel, transpose_b=True), student)  # PPᵀh
    with_bias = tf.reduce_sum(kernel * bias, axis=3, keepdims=True)  # Pp

    by_kernel = tf.matmul(tf.matmul(weighted, student, transpose_b=True), kernel)
    by_kernel += mean_student * bias - _shared(tf.matmul, weighted, teacher)
    by_bias = tf.reduce_sum(mean_student * kernel, axis=2, keepdims=True) + bias - mean_teacher
    by_student = (with_itself + with_bias - with_teacher) * share
    loss = tf.reduce_sum(weighted * (with_itself + 2 * with_bias - 2 * with_teacher), axis=(2, 3))
    loss += tf.reduce_sum(bias * (bias - 2 * mean_teacher), axis=(2, 3)) + tf.reduce_sum(squares * share, 1)[:, None]
    return loss * (scale / 2), scale * by_student, [scale * by_kernel, scale * by_bias]


def _relational(method, relations, share, student):
    """Return one of the losses that compare relations, (K, G), from ``relations`` of the teacher's, (K, 1, B, B)."""
    if method == "similarity":
        return compare_products(tf.matmul(student, student, transpose_a=True), relations, share)
    loss = 0.0
    if method != "relational_angle":
        loss += compare_distances(_squared_distances(share, student), relations, share)
    if method != "relational_distance":
        few = min(IN_ANGLES, share.shape[0])
        share = tf.math.divide_no_nan(share[:few], tf.reduce_sum(share[:few]))
        squared = _squared_distances(share, student[..., :few])
        weight = 2 if method == "relational" else 1
        loss += weight * compare_angles(squared, relations[..., :few, :few], share)
    return loss


def _squared_distances(share, student):
    """Return ‖f_i − f_j‖² of features (K, G, H, B): (K, G, B, B)."""
    student -= tf.reduce_sum(student * share, axis=3, keepdims=True)
    squares = tf.reduce_sum(student**2, axis=2)
    return squares[..., None] + squares[:, :, None] - 2 * tf.matmul(student, student, transpose_a=True)


def _shared(product, first, second, **options):
    """Return the product of (K, G, H, ·) and what all students of a seed share, (K, ·, ·), as one for them all."""
    rows = tf.reshape(first, (first.shape[0], -1, first.shape[3]))
    return tf.reshape(product(rows, second, **options), (*first.shape[:3], -1))
