"""Clinical figures of a yes-or-no decision: sensitivity, specificity, ROC, threshold, intervals by bootstrap. Numpy only.

Of two classes 1 is the positive one (ill) and 0 the negative one. A score is the probability of the positive class,
as softmax gives it, and a sample is called positive where its score is at least the threshold. Probabilities in float64
are best: those in float32 may all round to 1, and so no longer be in order.
"""

from numbers import Real
from typing import NamedTuple

import numpy as np

from .checks import check_count, check_labels, check_same_shape
from .evaluation import Interval, PairedDifference, check_confidence

__all__ = [
    "MEASURES",
    "Roc",
    "auc",
    "bootstrap_interval",
    "check_threshold",
    "confusion_matrix",
    "one_against_rest",
    "paired_bootstrap",
    "roc_curve",
    "sensitivity",
    "specificity",
    "youden_threshold",
]

MEASURES = ("accuracy", "sensitivity", "specificity", "auc")
"""What ``bootstrap_interval`` and ``paired_bootstrap`` can measure; each from 0 to 1, and larger is better."""
_BLOCK = 2**22  # samples drawn at a time


class Roc(NamedTuple):
    """The receiver operating characteristic, one point per threshold, (P,), from (0, 0) to (1, 1).

    ``thresholds`` fall; the first is infinity, where nothing is called positive.
    """

    false_positive_rate: np.ndarray
    sensitivity: np.ndarray
    thresholds: np.ndarray


def check_threshold(threshold, name="threshold"):
    """Return ``threshold`` as a float, or raise ValueError unless it is a number from 0 to 1."""
    if not isinstance(threshold, Real) or isinstance(threshold, bool | np.bool_) or not 0 <= threshold <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, got {threshold!r}")
    return float(threshold)


def confusion_matrix(predictions, labels, classes=2):
    """Return how many samples of each class were called what: integers (classes, classes), the true class in the row.

    ``predictions`` and ``labels`` (N,), from 0 to ``classes`` − 1; for scores, ``scores >= threshold``. Of two classes
    it is [[true negatives, false positives], [false negatives, true positives]]. Raises ValueError for what does not
    fit.
    """
    classes = check_count(classes, "classes", 2)
    predictions = np.asarray(predictions)
    if predictions.dtype == bool:
        predictions = predictions.astype(int)
    check_same_shape(predictions, np.asarray(labels), "predictions", "labels")
    predictions = check_labels(predictions, classes, predictions.size, "predictions")
    labels = check_labels(labels, classes, len(predictions))
    pairs = labels.astype(np.int64) * classes + predictions.astype(np.int64)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def one_against_rest(probabilities, labels, class_index):
    """Return (scores, labels) of one class against all others: what the functions here take, both (N,).

    ``probabilities`` (N, C) from 0 to 1, ``labels`` (N,) from 0 to C − 1; label 1 is ``class_index``. Raises ValueError
    for what does not fit.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise ValueError(f"probabilities must have shape (samples, classes), got shape {probabilities.shape}")
    classes = probabilities.shape[1]
    class_index = check_count(class_index, "class_index", 0, classes - 1)
    _check_probabilities(probabilities, "probabilities")
    labels = check_labels(labels, classes, len(probabilities))
    return probabilities[:, class_index], (labels == class_index).astype(int)


def sensitivity(scores, labels, threshold=0.5):
    """Return the share of the positive samples that are called positive, a float from 0 to 1.

    ``scores`` (N,) from 0 to 1 and ``labels`` (N,), 0 or 1, both of which occur; ``threshold`` from 0 to 1. Raises
    ValueError for anything else.
    """
    return _estimate("sensitivity", scores, labels, threshold)


def specificity(scores, labels, threshold=0.5):
    """Return the share of the negative samples that are called negative, a float; else as ``sensitivity``."""
    return _estimate("specificity", scores, labels, threshold)


def auc(scores, labels):
    """Return the area under the ROC curve, a float from 0 to 1.

    It is the probability that a positive sample has a higher score than a negative one, a tie counting half (Hanley &
    McNeil 1982). Arguments and errors as of ``sensitivity``.
    """
    return _estimate("auc", scores, labels, 0.5)


def roc_curve(scores, labels):
    """Return the ``Roc`` with a point for each distinct score. Arguments and errors as of ``sensitivity``."""
    distinct, positives, negatives = _tally(*_check(scores, labels))
    rates = [np.append(0, np.cumsum(counts[::-1])) / counts.sum() for counts in (negatives, positives)]
    return Roc(*rates, np.append(np.inf, distinct[::-1]))


def youden_threshold(scores, labels):
    """Return the threshold with the largest sensitivity + specificity − 1, a float from 0 to 1 (Youden 1950).

    It is half-way between the two scores that it parts. Of several that are as good it is the lowest, which misses
    the fewest positive samples; where none is better than chance, the lowest score, so that all are called positive.
    Choose it on validation samples: on those that are tested it flatters the model. Arguments and errors as of
    ``sensitivity``.
    """
    distinct, positives, negatives = _tally(*_check(scores, labels))
    # Called positive at each distinct score as threshold; whole numbers, so that a tie is one.
    found, wrong = (np.cumsum(counts[::-1])[::-1] for counts in (positives, negatives))
    best = int(np.argmax(found * negatives.sum() - wrong * positives.sum()))
    threshold = distinct[best]
    if best:
        between = (distinct[best - 1] + threshold) / 2
        threshold = between if between > distinct[best - 1] else threshold
    return float(threshold)


def bootstrap_interval(measure, scores, labels, threshold=0.5, *, confidence=0.95, resamples=2000, seed=0):
    """Return the ``Interval`` of one of ``MEASURES``: the value of these samples, and its percentile bootstrap interval.

    Samples are drawn with replacement within each class (stratified; Efron & Tibshirani 1993, chapter 13), so that every
    draw has both classes and every measure a value: the interval of the accuracy is that at this share of positive
    samples. The draws depend on ``seed`` alone. The threshold counts as given: choose it on other samples. Where a
    measure is 0 or 1, all draws are alike and the interval is that one value, which is too narrow: for a share take
    ``evaluation.wilson_interval`` there.

    ``scores``, ``labels`` and ``threshold`` as for ``sensitivity`` (the AUC needs no threshold), ``confidence`` between
    0 and 1, ``resamples`` at least 100. Raises ValueError for anything else.
    """
    value, drawn = _resampled(measure, {"scores": (scores, threshold)}, labels, resamples, seed)
    return Interval(float(value[0]), *_percentiles(drawn[0], confidence))


def paired_bootstrap(measure, first, second, labels, thresholds=(0.5, 0.5), *, confidence=0.95, resamples=2000, seed=0):
    """Return the ``PairedDifference`` of one of ``MEASURES``, first − second, of two models on the same samples.

    Each draw takes the same samples for both, so that what makes them easy or hard for both cancels. ``first`` and
    ``second`` are their scores (N,), ``thresholds`` one for each. Else as ``bootstrap_interval``.
    """
    try:
        first_threshold, second_threshold = thresholds
    except (TypeError, ValueError):
        raise ValueError(f"thresholds must be two numbers, one for each model, got {thresholds!r}") from None
    models = {"first": (first, first_threshold), "second": (second, second_threshold)}
    value, drawn = _resampled(measure, models, labels, resamples, seed)
    return PairedDifference(float(value[0] - value[1]), *_percentiles(drawn[0] - drawn[1], confidence))


def _estimate(measure, scores, labels, threshold):
    return float(_resampled(measure, {"scores": (scores, threshold)}, labels, None, None)[0][0])


def _resampled(measure, models, labels, resamples, seed):
    """Return a measure's value for each of ``models`` {name: (scores, threshold)}, (models,), and of draws of samples.

    The second is (models, resamples), or None where ``resamples`` is.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {', '.join(MEASURES)}, got {measure!r}")
    checked = []
    for name, (scores, threshold) in models.items():
        checked.append((_check(scores, labels, name)[0], check_threshold(threshold)))
    labels = np.asarray(labels).astype(bool)
    measured = [_measure(measure, scores, threshold, labels) for scores, threshold in checked]
    values = np.concatenate([of(np.ones((1, len(labels)), np.int32)) for of in measured])
    if resamples is None:
        return values, None
    resamples = check_count(resamples, "resamples", 100)
    random = np.random.default_rng(check_count(seed, "seed", 0))
    rows = max(1, _BLOCK // len(labels))
    drawn = []
    for start in range(0, resamples, rows):
        counts = np.zeros((min(rows, resamples - start), len(labels)), np.int32)
        for members in (np.flatnonzero(labels), np.flatnonzero(~labels)):
            chosen = members[random.integers(len(members), size=(len(counts), len(members)))]
            chosen += np.arange(len(counts))[:, None] * len(labels)
            counts += np.bincount(chosen.ravel(), minlength=counts.size).reshape(counts.shape).astype(np.int32)
        drawn.append([of(counts) for of in measured])
    return values, np.concatenate(drawn, axis=1)


def _measure(measure, scores, threshold, labels):
    """Return a function: how often each sample is there, integers (draws, N) → the measure of each draw, (draws,)."""
    right = (scores >= threshold) == labels
    if measure != "auc":
        among = {"accuracy": np.full(len(labels), True), "sensitivity": labels, "specificity": ~labels}[measure]
        return lambda counts: counts[:, right & among].sum(axis=1) / counts[:, among].sum(axis=1)

    positives, negatives = np.flatnonzero(labels), np.flatnonzero(~labels)
    negatives = negatives[np.argsort(scores[negatives])]
    # How many negative samples lie below each positive one, and how many no higher.
    lower, not_higher = (np.searchsorted(scores[negatives], scores[positives], side) for side in ("left", "right"))

    def area(counts):
        total = np.zeros((len(counts), len(negatives) + 1), np.int32)
        np.cumsum(counts[:, negatives], axis=1, out=total[:, 1:])
        won_twice = np.einsum("dn,dn->d", counts[:, positives], total[:, lower] + total[:, not_higher], dtype=np.int64)
        return won_twice / (2 * counts[:, positives].sum(axis=1) * total[:, -1])

    return area


def _percentiles(values, confidence):
    confidence = check_confidence(confidence)
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _tally(scores, labels):
    """Return the distinct scores, rising, and how many positive and negative samples have each, all (S,)."""
    distinct, which = np.unique(scores, return_inverse=True)
    return distinct, *(np.bincount(which[labels == value], minlength=len(distinct)) for value in (1, 0))


def _check(scores, labels, name="scores"):
    """Return scores as float64 (N,) and labels as integers (N,), or raise ValueError."""
    try:
        scores = np.asarray(scores)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an array of numbers, got a ragged list") from None
    if scores.ndim != 1 or not len(scores):
        raise ValueError(f"{name} must have shape (samples,), one per sample, got shape {scores.shape}")
    _check_probabilities(scores, name)
    check_same_shape(scores, np.asarray(labels), name, "labels")
    labels = check_labels(labels, 2, len(scores))
    for value, called in ((1, "positive"), (0, "negative")):
        if not (labels == value).any():
            raise ValueError(f"labels must have both classes, got no {called} sample (label {value})")
    return scores.astype(np.float64), labels


def _check_probabilities(values, name):
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be real numbers from 0 to 1, got values of type {values.dtype}")
    wrong = values[~((values >= 0) & (values <= 1))]  # NaN is in no range
    if wrong.size:
        raise ValueError(f"{name} must lie from 0 to 1, got {wrong.flat[0]}")
