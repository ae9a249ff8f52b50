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

__all__ = ["BIASES", "BINS", "compare", "describe_reliability", "describe_students", "summarise"]

BINS = 10
BIASES = np.arange(-12, 12.01, 0.5)


def summarise(result, data, teacher, biased):
    """Return wrong students per test digit, bias sweep and fidelity of a ``LiveResult``.

    ``teacher``: probabilities (N_test, C); ``biased``: the classes whose logits a bias may correct, () for none.
    """
    labels, probabilities = data.test.y, softmax(result.test_logits)
    bias = None
    if biased:
        validation = _mean_errors(result.logits(data.validation.x), data.validation.y, biased)
        test = _mean_errors(result.test_logits, labels, biased)
        bias = {"errors": test[0].tolist(), "class_errors": test[1].tolist(), "chosen": int(np.argmin(validation[0]))}
    pooled = probabilities.reshape(-1, probabilities.shape[-1])
    return {
        "wrong": (result.test_logits.argmax(axis=-1) != labels).sum(axis=0),
        "bias": bias,
        "fidelity": describe_reliability(pooled, np.tile(labels, len(probabilities)))
        | {
            "accuracy": list(mean_interval(result.test_accuracy)),
            "agreement": list(mean_interval([agreement(p, teacher) for p in probabilities])),
            "calibration": list(mean_interval([expected_calibration_error(p, labels, BINS) for p in probabilities])),
        },
    }


def describe_students(result, width):
    """Return mean and interval, the curves and the size of the students of one kind."""
    return {
        "accuracy": list(mean_interval(result.test_accuracy)),
        "per_epoch": np.round(result.test_accuracy_per_epoch, 4).tolist(),
        "loss": np.round(result.train_loss.mean(axis=0), 5).tolist(),
        "parameters": sum(w[0].size for w in result.weights),
        "width": width,
    }


def compare(distilled, alone):
    """Return the paired difference of two arrays of accuracies (seeds,), with its interval and verdict."""
    difference = paired_difference(distilled, alone)
    return {
        "mean": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "verdict": difference.verdict,
        "each": (distilled - alone).tolist(),
    }


def _mean_errors(logits, labels, classes):
    sweeps = [bias_sweep(one, labels, classes, BIASES) for one in logits]
    return np.mean([s.errors for s in sweeps], axis=0), np.mean([s.class_errors for s in sweeps], axis=0)


def describe_reliability(probabilities, labels):
    """Return the reliability diagram of probabilities (N, C) as lists, None in an empty bin."""
    diagram = reliability_diagram(probabilities, labels, BINS)
    return {
        "confidence": [None if np.isnan(c) else float(c) for c in diagram.confidence],
        "correct": [None if np.isnan(a) else float(a) for a in diagram.accuracy],
        "count": diagram.count.tolist(),
    }
