"""What chapter 3 shows of the inside: how alike all layers of teacher and students are, and both in one plane. No view."""

import numpy as np

from ..features.representations import cka_matrix, common_pca
from .features_state import HIDDEN, SEEDS, pairs

__all__ = ["look_inside"]

LAYERS = (*HIDDEN, "logits")
PER_CLASS = 14  # digits drawn in the plane


def look_inside(state, **position):
    """Return CKA of all layers and the plane of the first tied pair, for a ``FeaturesState`` at a position.

    ``cka``: before training and for every kind of students, the mean over these, rows the teacher's layers, columns
    the student's. ``plane``: some test digits at the first tied pair, for the first student of each kind.
    """
    position = state.check(**position)
    students, _ = state.students(**position)
    tied = pairs(position["teacher_layer"], position["student_layer"])
    x = state.data.test.x
    teacher = [features[0] for features in _layers(state.teacher()[0], x)]
    stages = {"before": _layers(students["alone"], x, epoch=0)}
    stages |= {kind: _layers(result, x) for kind, result in students.items()}
    ours = [one for layers in stages.values() for features in layers for one in features]
    # In one call, so that what concerns the teacher alone is computed once.
    cka = cka_matrix(teacher, ours).reshape(len(LAYERS), len(stages), len(LAYERS), SEEDS).mean(axis=-1)
    return {
        "position": position,
        "layers": list(LAYERS),
        "tied": [[LAYERS.index(t), LAYERS.index(s)] for t, s in tied],
        "cka": {stage: cka[:, i].tolist() for i, stage in enumerate(stages)},
        "plane": _plane(state, students, x, *tied[0]),
    }


def _layers(result, x, epoch=None):
    """Return what each of ``LAYERS`` of all networks of a ``LiveResult`` makes of ``x``: a list of (seeds, N, units)."""
    return [result.features(x, name, epoch) for name in LAYERS]


def _plane(state, students, x, teacher_layer, student_layer):
    """Return chosen test digits, at a layer of the teacher and of the first student of each kind, on common axes.

    ``shares`` are those of the variance of the teacher's and of each student's layer that lies in this plane.
    """
    labels = state.data.test.y
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == c)[:PER_CLASS] for c in range(10)]))
    teacher = state.teacher()[0].features(x, teacher_layer)[0]
    points, shares = {}, {}
    for kind, result in students.items():
        axes = common_pca(teacher, result.features(x, student_layer)[0])
        points |= {"teacher": axes.teacher[chosen], kind: axes.student[chosen]}
        shares |= {"teacher": axes.teacher_share, kind: axes.student_share}
    every = np.concatenate(list(points.values()))
    (left, bottom), (right, top) = every.min(axis=0), every.max(axis=0)
    return {
        "labels": labels[chosen].tolist(),
        "limits": [float(limit) for limit in (left, right, bottom, top)],
        "shares": shares,
        "points": {name: values.round(3).ravel().tolist() for name, values in points.items()},
    }
