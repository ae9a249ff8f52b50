"""What chapter 4 says of networks that are there already: training, decision, calibration, chance. Numpy, plain values."""

import math

import numpy as np

from ..checks import check_count
from ..clinical import (
    auc,
    bootstrap_interval,
    confusion_matrix,
    one_against_rest,
    paired_bootstrap,
    roc_curve,
    youden_threshold,
)
from ..evaluation import check_share, expected_calibration_error, mean_interval, samples_needed, wilson_interval
from .response_summary import BINS, compare, describe_reliability

__all__ = [
    "calibrate",
    "chance",
    "decide",
    "describe_leak",
    "describe_training",
    "waver",
]

RESAMPLES = 1000


def describe_training(position, teacher, found, done, total):
    """Return what the page shows of the students so far, by kind: at the end distilled − alone, on test and validation."""
    result = {"position": position, "done": done, "total": total, "teacher": {"accuracy": teacher}, "difference": None}
    result["students"] = {kind: {"per_epoch": _curves(one)} for kind, one in found.items()}
    if done == total:
        final = {kind: one.test_accuracy_per_epoch[:, -1] for kind, one in found.items()}
        for kind, accuracy in final.items():
            result["students"][kind]["accuracy"] = list(mean_interval(accuracy))
        result["difference"] = compare(final["distilled"], final["alone"])
        elsewhere = {kind: one.validation_accuracy[:, -1] for kind, one in found.items()}
        result["validation"] = compare(elsewhere["distilled"], elsewhere["alone"])
    return result


def describe_leak(found, done, total):
    """Return what the page shows of students on both splits so far: random − region at the end."""
    result = {"done": done, "total": total, "splits": {}, "difference": None}
    for split, one in found.items():
        result["splits"][split] = {"per_epoch": _curves(one)}
    if done == total:
        final = {split: one.test_accuracy_per_epoch[:, -1] for split, one in found.items()}
        for split, accuracy in final.items():
            result["splits"][split]["accuracy"] = list(mean_interval(accuracy))
        result["difference"] = compare(final["random"], final["region"])
    return result


def decide(probabilities, validation, labels, validation_labels, class_index):
    """Return confusion matrices, ROC curves and thresholds of ``class_index`` against the other classes, by network.

    ``probabilities`` {network: (N_test, C)} and ``validation`` {network: (N_validation, C)} with their labels. By network:
    "confusion" (C, C), the true class in the row; "roc" with lists "false_positive_rate", "sensitivity" and
    "thresholds" (the first, where nothing is called positive, is None); "youden", the threshold that is best on the
    validation samples; "auc". ``positive`` and ``negative`` are the numbers of test samples of either kind.
    """
    found = {}
    for name, one in probabilities.items():
        scores, positive = one_against_rest(one, labels, class_index)
        roc = roc_curve(scores, positive)
        found[name] = {
            "confusion": confusion_matrix(one.argmax(axis=1), labels, one.shape[1]).tolist(),
            "accuracy": list(wilson_interval(int((one.argmax(axis=1) == labels).sum()), len(labels))),
            "auc": auc(scores, positive),
            "youden": youden_threshold(*one_against_rest(validation[name], validation_labels, class_index)),
            "roc": {
                "false_positive_rate": roc.false_positive_rate.tolist(),
                "sensitivity": roc.sensitivity.tolist(),
                "thresholds": [None, *roc.thresholds[1:].tolist()],
            },
        }
    positive = int((labels == class_index).sum())
    return {"networks": found, "positive": positive, "negative": len(labels) - positive}


def waver(probabilities, labels, class_index, threshold):
    """Return sensitivity, specificity and AUC at a threshold as [value, low, high], by network, and two differences.

    95 % percentile bootstrap. ``difference`` has of each measure distilled − alone on the same draws, with its verdict,
    where both are there, or is None.
    """
    measures, found = ("sensitivity", "specificity", "auc"), {}
    for name, one in probabilities.items():
        scores, positive = one_against_rest(one, labels, class_index)
        found[name] = {
            m: list(bootstrap_interval(m, scores, positive, threshold, resamples=RESAMPLES)) for m in measures
        }
    difference = None
    if "distilled" in probabilities and "alone" in probabilities:
        two = [one_against_rest(probabilities[name], labels, class_index)[0] for name in ("distilled", "alone")]
        difference = {}
        for m in measures:
            d = paired_bootstrap(m, *two, positive, (threshold, threshold), resamples=RESAMPLES)
            difference[m] = {"mean": d.mean, "low": d.low, "high": d.high, "verdict": d.verdict}
    return {"networks": found, "difference": difference}


def calibrate(probabilities, labels):
    """Return reliability diagram, calibration error and accuracy, by network, of {network: (N, C)}.

    ``gap`` is the mean of confidence − right over the samples, with its interval: "better" where it is too sure.
    """
    return {
        name: describe_reliability(one, labels)
        | {
            "error": expected_calibration_error(one, labels, BINS),
            "accuracy": float((one.argmax(axis=1) == labels).mean()),
            "mean_confidence": float(one.max(axis=1).mean()),
            "gap": compare(one.max(axis=1), (one.argmax(axis=1) == labels).astype(float)),
        }
        for name, one in probabilities.items()
    }


def chance(samples, first, second):
    """Return what two accuracies (fractions) on ``samples`` test samples say: intervals, and how many would be needed.

    ``right``: the whole numbers of right answers that come nearest; ``intervals``: their Wilson intervals; ``needed``: as
    ``samples_needed`` says, None for equal accuracies; ``standard_error`` of the difference, two independent
    test sets of that size.
    """
    samples = check_count(samples, "samples", 1)
    both = (check_share(first, "first"), check_share(second, "second"))
    right = [round(share * samples) for share in both]
    return {
        "right": right,
        "position": {"samples": samples, "first": both[0], "second": both[1]},
        "intervals": [list(wilson_interval(count, samples)) for count in right],
        "needed": samples_needed(*both),
        "standard_error": math.sqrt(sum(share * (1 - share) for share in both) / samples),
    }


def _curves(result):
    return [[round(float(v), 4) for v in run[~np.isnan(run)]] for run in result.test_accuracy_per_epoch]
