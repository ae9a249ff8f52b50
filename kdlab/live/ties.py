"""Ties between layers of live students and of their teacher: checked, and what the program takes for them."""

from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np

from ..backend import tf
from .batched_features import IN_ANGLES, METHODS, FeatureTies, teacher_table


class Tied(NamedTuple):
    """One choice of method and pairs: its part of the program, ``ties``, and of the memory, in numbers of 4 bytes."""

    pairs: tuple[tuple[str, str], ...]
    ties: FeatureTies
    numbers_per_student: int
    numbers_per_seed: int
    numbers: int


class Ties:
    """All ties that can be made between a ``DenseStudent``'s layers and ``teacher_features``, {name: (N, F)}.

    Raises ValueError for features that are not finite numbers of shape (``samples``, F).
    """

    def __init__(self, student, teacher_features, samples, batch_size):
        if not isinstance(teacher_features, dict):
            raise ValueError(f"teacher_features must be a dict, layer name to array, got {teacher_features!r}")
        self._student, self._batch_size = student, batch_size
        self._features = {name: _check_features(features, name, samples) for name, features in teacher_features.items()}
        self.table, self.projectors = lru_cache(maxsize=64)(self.table), lru_cache(maxsize=1024)(self.projectors)

    def tie(self, feature_alpha, method, pairs):
        """Return the ``Tied``, or None where ``feature_alpha`` is 0.

        Raises ValueError for an unknown method, and, naming the layers there are, for layers that are not there.
        """
        if method not in METHODS:
            known = ", ".join(map(repr, METHODS))
            raise ValueError(f"method must be one of {known}, got {method!r}; kdlab.FeatureDistillation has others")
        pairs = self.check_pairs(pairs)
        if not feature_alpha:
            return None
        if not pairs:
            raise ValueError("pairs must have at least one (teacher layer, student layer) for a feature_alpha above 0")
        widths = [self._widths(*pair) for pair in pairs]
        layers = [self._student.layer(ours) for _, ours in pairs]
        projected = tuple(method == "hint" and units != width for units, width in widths)
        batch, samples = self._batch_size, len(self._features[pairs[0][0]])
        if method == "hint":
            numbers_per_student = sum(6 * (units + 1) * width + 4 * units * batch for units, width in widths)
            numbers_per_seed, numbers = sum(batch * width for _, width in widths), 0
        else:
            of_student = batch**2 + (min(batch, IN_ANGLES) ** 3 if method in ("relational_angle", "relational") else 0)
            numbers_per_student, numbers_per_seed = 8 * len(pairs) * of_student, batch * samples
            numbers = 5 * samples**2  # Made in float64.
        ties = FeatureTies(method, tuple(step for step, _ in layers), projected)
        return Tied(pairs, ties, numbers_per_student, numbers_per_seed, numbers)

    def check_pairs(self, pairs):
        """Return pairs as a tuple of tuples of two names. Raises ValueError as ``tie`` does."""
        try:
            pairs = tuple((teacher, student) for teacher, student in pairs)
        except (TypeError, ValueError):
            raise ValueError(f"pairs must be a list of (teacher layer, student layer), got {pairs!r}") from None
        for teacher, student in pairs:
            if not isinstance(teacher, str) or teacher not in self._features:
                known = ", ".join(f"{name} ({f.shape[1]})" for name, f in self._features.items()) or "none"
                raise ValueError(f"teacher_features has no layer {teacher!r}; its layers and units are {known}")
            self._student.layer(student)
        return pairs

    def tables(self, tied):
        """Return the ``teacher_table`` of each tie; of None, none."""
        return [self.table(tied.ties.method, teacher) for teacher, _ in tied.pairs] if tied else []

    def weights(self, tied, seeds, students):
        """Return the projectors' first weights as ``feature_loss`` takes them, for G ``students`` of each seed."""
        if not tied or not any(tied.ties.projected):
            return []
        of_seeds = [chain.from_iterable(self.projectors(seed, tied.pairs)) for seed in seeds]
        stacked = (np.stack([np.atleast_2d(w) for w in weights]) for weights in zip(*of_seeds, strict=True))
        return [tf.constant(np.repeat(w[:, None], students, axis=1)) for w in stacked]

    def table(self, method, layer):
        """Return the ``teacher_table`` of a layer of the teacher; kept."""
        return teacher_table(method, self._features[layer])

    def projectors(self, seed, pairs):
        """Return for each pair [kernel (H, F), bias (F,)], or [] where the widths are equal; kept."""
        widths = enumerate(self._widths(*pair) for pair in pairs)
        return [self._student.initial_projector(seed, k, *pair) if pair[0] != pair[1] else [] for k, pair in widths]

    def _widths(self, teacher, student):
        return self._student.layer(student)[1], self._features[teacher].shape[1]


def _check_features(features, name, samples):
    """Return features (N, F) as float32, or raise ValueError."""
    features = np.asarray(features)
    if features.dtype.kind not in "iuf" or features.ndim != 2 or len(features) != samples or not features.size:
        raise ValueError(
            f"teacher_features[{name!r}] must be real numbers of shape ({samples}, units), a row per training sample, "
            f"got {features.dtype} of shape {features.shape}"
        )
    if not np.isfinite(features).all():
        raise ValueError(f"teacher_features[{name!r}] must be finite")
    return features.astype(np.float32)
