"""The check of the open experiments: whether two kinds of students were compared in pairs."""

import numpy as np

from ..evaluation import paired_difference
from .judging import Right, WrongAnswerError, called, recorded

__all__ = ["experiment"]

LEAST = 5  # pairs


@recorded
def experiment(answer, *position):
    """Check that ``answer(*position)`` is {kind of students: accuracies, one per seed}: two kinds or more, in pairs.

    The sentence returned says what they come to: the mean paired difference of the first two kinds, first − second, with
    its 95 % interval, which the written answer can argue with. What the experiment is about is not checked. Raises
    ``WrongAnswerError``.
    """
    found = called(answer, *position)
    if not isinstance(found, dict):
        raise WrongAnswerError(
            f"The experiment must return a dictionary, {{kind: accuracies}}, got a {type(found).__name__}."
        )
    if len(found) < 2:
        raise WrongAnswerError(f"There must be two kinds of students to compare, got {len(found)}.")
    kinds = {}
    for name, values in found.items():
        try:
            kinds[name] = np.asarray(values, np.float64)
        except (TypeError, ValueError):
            raise WrongAnswerError(f"The accuracies of “{name}” must be numbers, got {values!r}.") from None
    for name, values in kinds.items():
        if values.ndim == 0:
            raise WrongAnswerError(
                f"“{name}” is one number: an interval needs the accuracy of every seed, not their mean."
            )
        if values.ndim > 1:
            raise WrongAnswerError(f"“{name}” must have one accuracy per seed, (seeds,), got shape {values.shape}.")
        if len(values) < LEAST:
            raise WrongAnswerError(
                f"“{name}” has {len(values)} seeds: with fewer than {LEAST} an interval says little."
            )
        if not np.isfinite(values).all():
            raise WrongAnswerError(f"“{name}” has accuracies that are not finite: did the training diverge?")
        if values.min() < 0:
            raise WrongAnswerError(
                f"“{name}” has values below 0, down to {values.min():g}: return the accuracies of each kind, not differences."
            )
        if values.max() > 1:
            raise WrongAnswerError(
                f"“{name}” has accuracies up to {values.max():g}: give shares from 0 to 1, not per cent."
            )
    (first, one), (second, two), *_ = kinds.items()
    if len({len(values) for values in kinds.values()}) > 1:
        counts = ", ".join(f"{len(values)} of “{name}”" for name, values in kinds.items())
        raise WrongAnswerError(f"Pairs need as many seeds of each kind, got {counts}.")
    if np.array_equal(one, two) and np.ptp(one):
        raise WrongAnswerError(
            f"“{first}” and “{second}” have the very same accuracies, seed by seed: were they trained alike?"
        )
    gain = paired_difference(one, two)
    mean, low, high = (
        f"{round(100 * value, 1) + 0.0:+.1f}".replace("-", "−") for value in (gain.mean, gain.low, gain.high)
    )
    return Right(
        f"{len(one)} pairs. {first} − {second}: {mean} percentage points, 95 % interval {low} to {high} "
        f"({gain.verdict})."
    )
