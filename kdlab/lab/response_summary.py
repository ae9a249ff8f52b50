"""What chapter 2 shows of a batch of trained students, as plain Python values for the page."""

import numpy as np

from ..evaluation import (
    agreement,
    bias_sweep,
    expected_calibration_error,
    mean_interval,
    paired_difference,
    reliability_diagram,
)
from ..softening import softmax

__all__ = [
    "BIASES",
    "BINS",
    "check_converged",
    "compare",
    "describe_landscape",
    "describe_reliability",
    "describe_students",
    "summarise",
]

BINS = 10
BIASES = np.arange(-12, 12.01, 0.5)


def summarise(result, data, teacher, biased):
    """Return, per test digit, wrong students and their commonest wrong class, bias sweep and fidelity of a ``LiveResult``.

    ``teacher``: probabilities (N_test, C); ``biased``: the classes whose logits a bias may correct, () for none.
    """
    labels, probabilities = data.test.y, softmax(result.test_logits)
    bias = None
    if biased:
        validation = _mean_errors(result.logits(data.validation.x), data.validation.y, biased)
        test = _mean_errors(result.test_logits, labels, biased)
        bias = {"errors": test[0].tolist(), "class_errors": test[1].tolist(), "chosen": _best_bias(validation[0])}
    pooled = probabilities.reshape(-1, probabilities.shape[-1])
    answers = result.test_logits.argmax(axis=-1)
    votes = (answers[..., None] == np.arange(probabilities.shape[-1])).sum(axis=0)  # (N_test, C)
    votes[np.arange(len(labels)), labels] = -1
    return {
        "wrong": (answers != labels).sum(axis=0),
        "read": votes.argmax(axis=-1),
        "bias": bias,
        "fidelity": describe_reliability(pooled, np.tile(labels, len(probabilities)))
        | {
            "accuracy": list(mean_interval(result.test_accuracy)),
            "agreement": list(mean_interval([agreement(p, teacher) for p in probabilities])),
            "calibration": list(mean_interval([expected_calibration_error(p, labels, BINS) for p in probabilities])),
        },
    }


def describe_students(result):
    """Return mean and interval, the accuracy after every epoch and the size of the students of one kind."""
    return {
        "accuracy": list(mean_interval(result.test_accuracy)),
        "per_epoch": np.round(result.test_accuracy_per_epoch, 4).tolist(),
        "parameters": sum(w[0].size for w in result.weights),
    }


def describe_landscape(sweep, alone):
    """Return mean differences of a ``LiveSweep`` to the students ``alone`` of the same seeds, as (T, A) lists.

    ``differences`` on the test set and ``validation`` are None in a cell that is not trained or where any student
    diverged; ``diverged`` counts these, ``message`` speaks of them. ``best`` [t, a] has the highest accuracy on the
    validation set, or is None: a position is chosen by that, never by the test set.
    """
    seeds = sweep.test_accuracy.shape[-1]
    diverged = (sweep.diverged_at >= 0).sum(axis=-1)
    validation, differences = (
        np.where(diverged > 0, np.nan, (accuracy - of_pairs[:seeds]).mean(axis=-1))
        for accuracy, of_pairs in (
            (sweep.validation_accuracy, alone.validation_accuracy[:, -1]),
            (sweep.test_accuracy, alone.test_accuracy),
        )
    )
    known = ~np.isnan(validation)
    best = np.unravel_index(np.nanargmax(validation), validation.shape) if known.any() else None
    return {
        "differences": _without_nan(differences),
        "validation": _without_nan(validation),
        "diverged": diverged.tolist(),
        "best": None if best is None else [int(i) for i in best],
        "message": sweep.message,
    }


def compare(distilled, alone):
    """Return the paired difference of two arrays of accuracies (seeds,), with its interval and verdict."""
    difference = paired_difference(distilled, alone)
    return {
        "mean": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "verdict": difference.verdict,
    }


def _mean_errors(logits, labels, classes):
    sweeps = [bias_sweep(one, labels, classes, BIASES) for one in logits]
    return np.mean([s.errors for s in sweeps], axis=0), np.mean([s.class_errors for s in sweeps], axis=0)


def _best_bias(errors):
    """Return the index of the bias with the fewest errors; of several, the one that changes least."""
    return int(np.lexsort((np.abs(BIASES), errors))[0])


def describe_reliability(probabilities, labels):
    """Return the reliability diagram of probabilities (N, C) as lists, None in an empty bin."""
    diagram = reliability_diagram(probabilities, labels, BINS)
    return {
        "confidence": _without_nan(diagram.confidence),
        "correct": _without_nan(diagram.accuracy),
        "count": diagram.count.tolist(),
    }


def _without_nan(values):
    """Return an array as nested lists with None for NaN, which JSON does not know."""
    return np.where(np.isnan(values), None, values).tolist()


def check_converged(*results):
    """Raise ValueError, with the epoch, where students diverged: the page says it and keeps the last good view."""
    for result in results:
        if result.message:
            raise ValueError(result.message)
