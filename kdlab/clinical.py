"""Clinical figures of a yes-or-no decision: sensitivity, specificity, AUC, and their intervals by bootstrap.

Of two classes 1 is the positive one (ill) and 0 the negative one. A score is the probability of the positive class,
as softmax gives it, and a sample is called positive where its score is at least the threshold. Probabilities in float64
are best: those in float32 may all round to 1, and so no longer be in order.
"""

import numpy as np

from .checks import check_alpha, check_labels, check_logits, check_same_shape
from .evaluation import Interval, PairedDifference, bootstrap

MEASURES = ("accuracy", "sensitivity", "specificity", "auc")
"""What ``bootstrap_interval`` and ``paired_bootstrap`` can measure; each from 0 to 1, and larger is better."""


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


def scores_for_auc(logits):
    """Return scores (N,) from 0 to 1 in the order of the margins z₁ − z₀ of two classes' ``logits`` (N, 2).

    They are ranks, for what depends on the order alone: probabilities of margins above 37 round to 1 even in float64, and
    as ties would count half. Raises ValueError for logits of another shape, or that are not finite.
    """
    from scipy.stats import rankdata

    logits = check_logits(logits)
    if logits.ndim != 2 or logits.shape[1] != 2:
        raise ValueError(f"logits must have shape (samples, 2), got shape {logits.shape}")
    margins = logits[:, 1].astype(np.float64) - logits[:, 0]
    return rankdata(margins) / max(len(margins), 1)


def bootstrap_interval(measure, scores, labels, threshold=0.5, *, confidence=0.95, resamples=2000, seed=0):
    """Return the ``Interval`` of one of ``MEASURES``: the value of these samples, and its percentile bootstrap interval.

    Samples are drawn with replacement within each class (stratified; Efron & Tibshirani 1993, chapter 13), so that every
    draw has both classes and every measure a value: the interval of the accuracy is that at this share of positive
    samples. The draws depend on ``seed`` alone. The threshold counts as given: choose it on other samples. Where a
    measure is 0 or 1, all draws are alike and the interval is that one value, which is too narrow: for a share take
    ``evaluation.wilson_interval`` there.

    ``scores``, ``labels`` and ``threshold`` as for ``sensitivity`` (the AUC needs no threshold), two samples of each class or
    more, ``confidence`` between 0 and 1, ``resamples`` at least 100. Raises ValueError for anything else.
    """
    models = {"scores": (scores, threshold)}
    return Interval(*_interval(measure, models, labels, confidence, resamples, seed))


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
    return PairedDifference(*_interval(measure, models, labels, confidence, resamples, seed))


def _interval(measure, models, labels, *how):
    """Return value, low and high of a measure of a model or of two models' difference, three floats."""
    statistic, samples = _statistic(measure, models, labels)
    if min(map(len, samples)) < 2:
        counts = " and ".join(
            f"{len(rows)} {name}" for rows, name in zip(samples, ("positive", "negative"), strict=True)
        )
        raise ValueError(f"an interval needs at least two positive and two negative samples, got {counts}")
    return map(float, bootstrap(statistic, samples, *how))


def _estimate(measure, scores, labels, threshold):
    statistic, samples = _statistic(measure, {"scores": (scores, threshold)}, labels)
    return float(statistic(*samples))


def _statistic(measure, models, labels):
    """Return a measure of one of ``models`` {name: (scores, threshold)} or the difference of two, and its samples.

    It is a function of indices of positive and of negative samples, (…, P) and (…, Q), as ``scipy.stats.bootstrap``
    draws them; the samples are all indices, (P,) and (Q,).
    """
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {', '.join(MEASURES)}, got {measure!r}")
    checked = []
    for name, (scores, threshold) in models.items():
        checked.append((_check(scores, labels, name)[0], check_alpha(threshold, "threshold")))
    labels = np.asarray(labels)

    def statistic(positive, negative, axis=-1):
        values = [_measure(measure, scores[positive], scores[negative], threshold) for scores, threshold in checked]
        return values[0] if len(values) == 1 else values[0] - values[1]

    return statistic, (np.flatnonzero(labels == 1), np.flatnonzero(labels == 0))


def _measure(measure, positive, negative, threshold):
    """Return a measure (…) from the scores of positive samples (…, P) and of negative ones (…, Q)."""
    if measure == "sensitivity":
        return (positive >= threshold).mean(axis=-1)
    if measure == "specificity":
        return (negative < threshold).mean(axis=-1)
    if measure == "accuracy":
        return np.concatenate([positive >= threshold, negative < threshold], axis=-1).mean(axis=-1)
    from scipy.stats import rankdata

    first, second = positive.shape[-1], negative.shape[-1]
    ranks = rankdata(np.concatenate([positive, negative], axis=-1), axis=-1)[..., :first].sum(axis=-1)
    return (ranks - first * (first + 1) / 2) / (first * second)  # Mann & Whitney's U, of all pairs


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
