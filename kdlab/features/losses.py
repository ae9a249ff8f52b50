"""Losses between a teacher's features and a student's: what a layer of each returns for one batch.

Features are float tensors of the same N samples, channels last: (N, D) or maps (N, H, W, C); μ is a mean over
the batch. ``hint`` and ``attention`` return a loss per sample, (N,). The others compare how the samples of a
batch are arranged and return a scalar: they have no loss per sample, but fit features of any two shapes.

What compares relations between samples, ``compare_…``, is on any axes in front, so that the live engine uses it for many
students at once; ``share`` (N,) there weighs the samples, 1 / n for each of a batch's n and 0 for what fills it up.

Out of reach on a laptop, and so not here: contrastive representation distillation, CRD (Tian, Krishnan & Isola
2020), which draws thousands of negatives for every sample from a memory bank of the whole training set.
"""

import numpy as np

from ..backend import tf


def hint(*, teacher_features, student_features):
    """Return ‖f_s − f_t‖² / D for each sample, (N,), from features of one shape with D numbers a sample.

    FitNets (Romero et al. 2015, equation 3) has ½ in place of 1 / D; a mean does not grow with the layer. Where the
    numbers D differ the student's features have been through a projector: see ``FeatureDistillation``.
    """
    return tf.reduce_mean(_flat((student_features - teacher_features) ** 2), axis=1)


def attention_map(features):
    """Return how strongly each place of maps (N, H, W, C) is attended to, (N, H, W): the sum of C squares."""
    return tf.reduce_sum(features**2, axis=-1)


def attention(*, teacher_features, student_features):
    """Return ‖a_s / ‖a_s‖ − a_t / ‖a_t‖‖² for each sample, (N,), from 0 to 2, of two attention maps (N, H, W).

    Attention transfer (Zagoruyko & Komodakis 2017, equation 2), squared as in the authors' code, whose mean over
    H · W places is here their sum. Of maps of different sizes the larger is average-pooled to the smaller.
    """
    sizes = [features.shape[1:] for features in (teacher_features, student_features)]
    height, width = (min(pair) for pair in zip(*sizes, strict=True))
    teacher, student = (
        tf.math.l2_normalize(_flat(_pool(features, height, width)), axis=1)
        for features in (teacher_features, student_features)
    )
    return tf.reduce_sum((student - teacher) ** 2, axis=1)


def similarity(*, teacher_features, student_features):
    """Return ‖G_s − G_t‖² / N², a scalar: G holds the products f_i · f_j of two samples, each row of norm 1.

    Similarity-preserving distillation (Tung & Mori 2019, equations 1 to 4).
    """
    student, teacher = (_products(_flat(features)) for features in (student_features, teacher_features))
    return compare_products(student, teacher, _equal_share(student))


def relational_distance(*, teacher_features, student_features):
    """Return the mean over pairs of samples of Huber(d_s / μ(d_s) − d_t / μ(d_t)), d = ‖f_i − f_j‖, a scalar.

    Relational knowledge distillation, distance-wise (Park et al. 2019, equations 6 to 8), whose sum over pairs is
    here their mean. 0 for a batch of one sample.
    """
    student, teacher = map(_squared_distances, (student_features, teacher_features))
    return compare_distances(student, teacher, _equal_share(student))


def relational_angle(*, teacher_features, student_features):
    """Return the mean over triples of samples of Huber(cos_s − cos_t) of the angle at f_j in f_i f_j f_k, a scalar.

    Relational knowledge distillation, angle-wise (Park et al. 2019, equations 9 and 10), whose sum over triples is
    here their mean. It takes N³ numbers: 1 MB for a batch of 64, 67 MB for one of 256. 0 below three samples.
    """
    student, teacher = map(_squared_distances, (student_features, teacher_features))
    return compare_angles(student, teacher, _equal_share(student))


def relational(*, teacher_features, student_features):
    """Return ``relational_distance`` + 2 · ``relational_angle``: their weights, 25 and 50, in Park et al. 2019."""
    features = {"teacher_features": teacher_features, "student_features": student_features}
    return relational_distance(**features) + 2 * relational_angle(**features)


def compare_products(student, teacher, share):
    """Return ``similarity`` (…) from products f_i · f_j of samples (…, N, N)."""
    inside = tf.sign(share)
    student, teacher = (tf.math.l2_normalize(products * inside, axis=-1) for products in (student, teacher))
    return tf.reduce_sum((student - teacher) ** 2 * share * share[:, None], axis=(-2, -1))


def compare_distances(student, teacher, share):
    """Return ``relational_distance`` (…) from squared distances ‖f_i − f_j‖² (…, N, N)."""
    others = _others(share)
    student, teacher = (_distances(squared, share) for squared in (student, teacher))
    student, teacher = (tf.math.divide_no_nan(d, _mean(d, others)[..., None, None]) for d in (student, teacher))
    return _mean(_huber(student - teacher), others)


def compare_angles(student, teacher, share):
    """Return ``relational_angle`` (…) from squared distances ‖f_i − f_j‖² (…, N, N)."""
    others = _others(share)
    student, teacher = (_cosines(squared, share) for squared in (student, teacher))
    return _mean(_huber(student - teacher), others[:, :, None] * others[:, None] * others[None])


def _flat(features):
    return tf.reshape(features, [tf.shape(features)[0], -1])


def _pool(maps, height, width):
    """Return maps (N, H, W) average-pooled to (N, height, width)."""
    if tuple(maps.shape[1:]) == (height, width):
        return maps
    rows, columns = (
        tf.constant(_cells(size, cells), maps.dtype)
        for size, cells in zip(maps.shape[1:], (height, width), strict=True)
    )
    return tf.einsum("ah,nhw,bw->nab", rows, maps, columns)


def _cells(size, cells):
    """Return (cells, size): which places each cell averages, the last ones shared where the sizes do not divide."""
    place, cell = np.arange(size), np.arange(cells)[:, None]
    covered = (place >= cell * size // cells) & (place < -(-(cell + 1) * size // cells))
    return covered / covered.sum(axis=1, keepdims=True)


def _products(flat):
    return tf.matmul(flat, flat, transpose_b=True)


def _squared_distances(features):
    """Return ‖f_i − f_j‖², (N, N)."""
    flat = _flat(features)
    products = _products(flat - tf.reduce_mean(flat, axis=0))  # Centred: the differences lose fewer digits.
    squares = tf.linalg.diag_part(products)
    return squares[:, None] + squares - 2 * products


def _equal_share(relations):
    samples = tf.shape(relations)[0]
    return tf.fill([samples], 1 / tf.cast(samples, relations.dtype))


def _distances(squared, share):
    """Return distances, never 0, where the root has no gradient: equal samples get a thousandth of the mean."""
    mean = tf.reduce_sum(squared * share * share[:, None], axis=(-2, -1), keepdims=True)
    return tf.sqrt(tf.maximum(squared, tf.stop_gradient(1e-6 * mean + 1e-12)))


def _cosines(squared, share):
    """Return the cosine of the angle at j between i and k, (…, j, i, k), by the law of cosines."""
    distances = _distances(squared, share)
    products = (squared[..., :, None] + squared[..., None, :] - squared[..., None, :, :]) / 2
    return products / (distances[..., :, None] * distances[..., None, :])


def _others(share):
    """Return 1 for two different samples of those inside a batch, else 0: (N, N)."""
    inside = tf.sign(share)
    inside = inside * inside[:, None]
    return inside - tf.linalg.diag(tf.linalg.diag_part(inside))


def _mean(values, counted):
    """Return the mean over pairs or triples of samples, (…), of those that count, or 0 where none does."""
    axes = range(-len(counted.shape), 0)
    return tf.math.divide_no_nan(tf.reduce_sum(values * counted, axis=axes), tf.reduce_sum(counted))


def _huber(difference):
    size = tf.abs(difference)
    return tf.where(size <= 1, size**2 / 2, size - 0.5)
