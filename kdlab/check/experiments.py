"""The check of the open experiments: whether two kinds of students were compared in pairs."""

import numpy as np

from ..evaluation import paired_difference
from .judging import Right, WrongAnswerError, called, recorded

LEAST = 5  # pairs


@recorded
def experiment(answer, *position):
    """Check that ``answer(*position)`` is {kind of students: accuracies, one per seed}: two kinds or more, in pairs.

    The sentence returned says what they come to: the mean paired difference of the first two kinds, first − second, with
    its 95 % interval, which the written answer can argue with. What the experiment is about is not checked. Raises
    ``WrongAnswerError``.
    """
    found = called(answer, *position)
    if fault := _fault(found):
        raise WrongAnswerError(fault)
    (first, one), (second, two), *_ = ((name, np.asarray(values, np.float64)) for name, values in found.items())
    gain = paired_difference(one, two)
    mean, low, high = (
        f"{round(100 * value, 1) + 0.0:+.1f}".replace("-", "−") for value in (gain.mean, gain.low, gain.high)
    )
    return Right(
        f"{len(one)} pairs. {first} − {second}: {mean} percentage points, 95 % interval {low} to {high} "
        f"({gain.verdict})."
    )


def _fault(found):
    """Return what is wrong with what an experiment returned, a sentence, or ""."""
    if not isinstance(found, dict):
        return f"The experiment must return a dictionary, {{kind: accuracies}}, got a {type(found).__name__}."
    if len(found) < 2:
        return f"There must be two kinds of students to compare, got {len(found)}."
    kinds = {}
    for name, values in found.items():
        try:
            kinds[name] = np.asarray(values, np.float64)
        except (TypeError, ValueError):
            return f"The accuracies of “{name}” must be numbers, got {values!r}."
    for name, values in kinds.items():
        if values.ndim == 0:
            return f"“{name}” is one number: an interval needs the accuracy of every seed, not their mean."
        if values.ndim > 1:
            return f"“{name}” must have one accuracy per seed, (seeds,), got shape {values.shape}."
        if len(values) < LEAST:
            return f"“{name}” has {len(values)} seeds: with fewer than {LEAST} an interval says little."
        if not np.isfinite(values).all():
            return f"“{name}” has accuracies that are not finite: did the training diverge?"
        if (least := values.min()) < 0:
            return (
                f"“{name}” has values below 0, down to {least:g}: return the accuracies of each kind, not differences."
            )
        if (most := values.max()) > 1:
            return f"“{name}” has accuracies up to {most:g}: give shares from 0 to 1, not per cent."
    if len({len(values) for values in kinds.values()}) > 1:
        counts = ", ".join(f"{len(values)} of “{name}”" for name, values in kinds.items())
        return f"Pairs need as many seeds of each kind, got {counts}."
    (first, one), (second, two), *_ = kinds.items()
    if np.array_equal(one, two) and np.ptp(one):
        return f"“{first}” and “{second}” have the very same accuracies, seed by seed: were they trained alike?"
    return ""
