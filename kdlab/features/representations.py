"""A look inside: how similar two layers are, and two of them on the same axes. Numpy only.

Features are real arrays (N, F), what a layer returns for N samples, the same ones in the same order for all layers;
maps (N, height, width, channels) count as F = height · width · channels.
"""

from typing import NamedTuple

import numpy as np

from ..checks import check_count


class CommonAxes(NamedTuple):
    """Teacher and student on the teacher's principal axes, both (N, components), and how much these axes show.

    The shares, 0 to 1, are those of all the variance of each that lies along these axes.
    """

    teacher: np.ndarray
    student: np.ndarray
    teacher_share: float
    student_share: float


def linear_cka(first, second):
    """Return the linear centred kernel alignment of features (N, F1) and (N, F2), a float from 0 to 1.

    ‖XᵀY‖² / (‖XᵀX‖ · ‖YᵀY‖) of centred features, Frobenius norms (Kornblith et al. 2019, section 3): 1 where the one
    is the other turned, mirrored, scaled or shifted, 0 where no direction of the one goes with any of the other.
    With few samples in many units it is high whatever they are: take N well above F.

    Raises ValueError for features of other shapes, of fewer than two samples or of different numbers of samples,
    values that are not finite, and features that are the same for all samples: there is nothing to compare.
    """
    return float(cka_matrix([first], [second])[0, 0])


def cka_matrix(first, second):
    """Return ``linear_cka`` of each layer of a list with each of another, (len(first), len(second))."""
    named = ("first", first), ("second", second)
    layers = [[_centred(f, f"layer {k} of {name}") for k, f in enumerate(of)] for name, of in named]
    if not all(layers):
        raise ValueError("first and second must have at least one layer each, got none")
    _check_same_samples([features for of in layers for features in of])
    # With the same products between samples, and no more units than samples.
    first, second = ([np.linalg.qr(features.T, mode="r").T for features in of] for of in layers)
    norms = [[np.linalg.norm(f.T @ f) for f in of] for of in (first, second)]
    shared = [[np.linalg.norm(x.T @ y) ** 2 for y in second] for x in first]
    return np.clip(shared / np.outer(*norms), 0, 1)


def common_pca(teacher, student, components=2):
    """Return ``CommonAxes``: features (N, F_t) and (N, F_s) in the plane in which the teacher's vary most.

    The teacher's coordinates are its principal components. The student has no part in the choice of the axes, which
    so stay where they are while it changes; it is turned, mirrored and scaled as a whole, by what brings it nearest
    to the teacher (orthogonal Procrustes analysis, Schönemann 1966). No more than that: CKA does not see these either,
    while a free linear map would make any student look like its teacher. ``components`` is at most the smallest
    of F_t, F_s and N − 1. Raises ValueError for that and as ``linear_cka`` does.
    """
    (_, teacher), (_, student) = ((name, _centred(f, name)) for name, f in (("teacher", teacher), ("student", student)))
    _check_same_samples([teacher, student])
    most = min(len(teacher) - 1, teacher.shape[1], student.shape[1])
    components = check_count(components, "components", 1, most)
    axes = np.linalg.svd(teacher, full_matrices=False)[2][:components]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    axes *= np.sign(largest)  # An axis has no direction of its own: its largest entry is positive here.

    left, values, right = np.linalg.svd(student.T @ teacher, full_matrices=False)
    placed = [teacher @ axes.T, student @ (left @ (right @ axes.T))]
    shares = [np.sum(p**2) / np.sum(f**2) for p, f in zip(placed, (teacher, student), strict=True)]
    return CommonAxes(placed[0], values.sum() / np.sum(student**2) * placed[1], *map(float, shares))


def _centred(features, name):
    """Return features (N, F) less their mean, float64, or raise ValueError."""
    features = np.asarray(features)
    if features.dtype.kind not in "biuf" or features.ndim < 2 or not features.size:
        raise ValueError(
            f"{name} must be real numbers of shape (samples, units) or (samples, height, width, channels), "
            f"got {features.dtype} of shape {features.shape}"
        )
    features = features.astype(np.float64)
    if not np.isfinite(features).all():
        raise ValueError(f"{name} must be finite")
    features = features.reshape(len(features), -1)
    if len(features) < 2:
        raise ValueError(f"{name} must have at least two samples, got {len(features)}")
    if (features == features[0]).all():
        raise ValueError(f"{name} is the same for all samples: there is nothing to compare")
    return features - features.mean(axis=0)


def _check_same_samples(layers):
    samples = {len(features) for features in layers}
    if len(samples) > 1:
        raise ValueError(f"all layers must have the same samples, got {', '.join(map(str, sorted(samples)))} of them")
