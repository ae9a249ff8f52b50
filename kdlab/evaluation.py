"""What a result says and how sure it is: accuracy, calibration, fidelity, intervals, comparisons."""

import math
from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

import numpy as np

from .checks import check_alpha, check_count, check_labels, check_logits, check_same_shape


class Reliability(NamedTuple):
    """Per bin, (bins,): mean confidence and accuracy, both NaN in an empty bin, and number of samples."""

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray


class Interval(NamedTuple):
    """An estimate with its confidence interval, in the unit of the values it was made from."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedDifference:
    """The mean of first − second with its confidence interval, in the unit of the values."""

    mean: float
    low: float
    high: float

    @property
    def verdict(self):
        """What it says of the first: "better", "worse" or, where the interval holds 0, "no detectable difference"."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "no detectable difference"


class BiasSweep(NamedTuple):
    """Wrong predictions per bias, (B,): among all samples, and among those of the biased classes."""

    errors: np.ndarray
    class_errors: np.ndarray


def accuracy(logits, labels):
    """Return the share of samples whose largest logit is at their label, a float from 0 to 1.

    ``logits`` (N, C), or probabilities; ``labels`` (N,) from 0 to C − 1. Raises ValueError for no samples,
    for shapes that do not match and for labels out of range.
    """
    logits, labels = _check_predictions(logits, labels)
    return float(np.mean(logits.argmax(axis=1) == labels))


def balanced_accuracy(predicted, labels):
    """Return the mean over the classes in ``labels`` (N,) of the share of their samples in ``predicted`` (N,): 0 to 1.

    It is 1 / (number of these classes) for random guesses, also where one class is much larger than the others.
    """
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    return float(np.mean([(predicted[labels == label] == label).mean() for label in np.unique(labels)]))


def at_chance(predicted, labels):
    """Whether classes (N,) named for samples with these ``labels`` (N,) are no more often right than guesses would be.

    True where the balanced accuracy is at most that of guessing, 1 / C, plus two of its standard deviations.
    """
    classes, samples = np.unique(labels, return_counts=True)
    guess = 1 / len(classes)
    deviation = (guess * (1 - guess) * (1 / samples).sum()) ** 0.5 / len(classes)
    return bool(balanced_accuracy(predicted, labels) <= guess + 2 * deviation)


def agreement(first_logits, second_logits):
    """Return the share of samples that two models put in the same class, a float from 0 to 1.

    Both (N, C), logits or probabilities. It is the top-1 fidelity of a student to its teacher, which may be
    low for an accurate student (Stanton et al. 2021, Does Knowledge Distillation Really Work?, section 3).
    Raises ValueError for no samples and for shapes that differ.
    """
    first = check_logits(first_logits, "first_logits", dimensions=2)
    second = check_logits(second_logits, "second_logits", dimensions=2)
    check_same_shape(first, second, "first_logits", "second_logits")
    _check_some(first, "first_logits")
    return float(np.mean(first.argmax(axis=1) == second.argmax(axis=1)))


def reliability_diagram(probabilities, labels, bins=15):
    """Return a ``Reliability``: confidence against accuracy in M = ``bins`` equal bins ((m − 1)/M, m/M].

    ``probabilities`` (N, C), rows that sum to 1; confidence is the largest of a row; ``labels`` (N,) from 0
    to C − 1. Guo et al. 2017, On Calibration of Modern Neural Networks, section 2. Raises ValueError for rows
    that are no distribution (logits, say), for labels out of range and for fewer than one bin.
    """
    probabilities, labels = _check_predictions(probabilities, labels, "probabilities")
    total = probabilities.sum(axis=1)
    # Loose enough for half precision, strict enough to catch logits.
    if probabilities.min() < 0 or np.abs(total - 1).max() > 1e-2:
        worst = total[np.abs(total - 1).argmax()]
        raise ValueError(
            "probabilities must be at least 0 and sum to 1 in every row, as softmax of the logits does, "
            f"got values from {probabilities.min():.4g} and a row that sums to {worst:.4g}"
        )
    bins = check_count(bins, "bins", 1)
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    place = np.searchsorted(np.arange(1, bins) / bins, confidence, side="left")
    count = np.bincount(place, minlength=bins)
    share = np.full((2, bins), np.nan)
    for row, values in zip(share, (confidence, right), strict=True):
        np.divide(np.bincount(place, values, bins), count, out=row, where=count > 0)
    return Reliability(*share, count)


def expected_calibration_error(probabilities, labels, bins=15):
    """Return |accuracy − confidence|, averaged over the bins by their samples, a float from 0 to 1.

    Arguments and errors as of ``reliability_diagram``. It depends on the number of bins: state it with the
    value. Guo et al. 2017, section 2, equation 3.
    """
    confidence, right, count = reliability_diagram(probabilities, labels, bins)
    return float(np.nansum(count * np.abs(right - confidence)) / count.sum())


def bias_sweep(logits, labels, class_indices, biases):
    """Return a ``BiasSweep``: the errors when each of ``biases`` is added to the logits of the given classes.

    ``logits`` (N, C); ``labels`` (N,); ``class_indices`` at least one of 0 to C − 1; ``biases`` (B,) finite.
    It shows what a student knows of a class it was never shown, once that class's bias is raised (Hinton,
    Vinyals & Dean 2015, section 3). Choose the bias on validation data. Raises ValueError for what does not
    fit.
    """
    logits, labels = _check_predictions(logits, labels)
    biases = _check_values(biases, "biases", 1)
    chosen = check_labels(class_indices, logits.shape[1], np.size(class_indices), "class_indices")
    if not len(chosen):
        raise ValueError("class_indices must have at least one class, got none")
    concerned = np.isin(labels, chosen)
    added = np.isin(np.arange(logits.shape[1]), chosen)
    wrong = np.stack([(logits + bias * added).argmax(axis=1) != labels for bias in biases])
    return BiasSweep(wrong.sum(axis=1), wrong[:, concerned].sum(axis=1))


def wilson_interval(correct, total, confidence=0.95):
    """Return the ``Interval`` of an accuracy of ``correct`` out of ``total`` samples; mean: correct / total.

    It holds for few samples and near 0 and 1, where mean ± 2 standard errors does not (Wilson 1927). Raises
    ValueError unless 0 ≤ correct ≤ total, total ≥ 1 and 0 < confidence < 1.
    """
    from scipy.stats import binomtest

    total = check_count(total, "total", 1)
    found = binomtest(check_count(correct, "correct", 0, total), total)
    interval = found.proportion_ci(check_confidence(confidence), method="wilson")
    return Interval(correct / total, float(interval.low), float(interval.high))


def mean_interval(values, confidence=0.95, within=None):
    """Return the ``Interval`` of the mean of ``values`` (n,), n ≥ 2, one per seed: Student's t.

    It covers variation between seeds only: another test set would move the mean too. Values that are all equal leave no
    spread to judge by: the interval is that one value. ``within``, a pair, is what the mean can be at all, (0, 1) for
    shares: the interval ends there. Raises ValueError for fewer than two values or any that is not finite.
    """
    from scipy.stats import t

    values = _check_values(values, "values", 2)
    confidence = check_confidence(confidence)
    mean = float(values.mean())
    half = float(t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
    least, most = within or (-math.inf, math.inf)
    return Interval(mean, max(least, mean - half), min(most, mean + half))


def paired_difference(first, second, confidence=0.95):
    """Return a ``PairedDifference``: mean, interval and verdict of first − second, pair by pair.

    ``first`` and ``second`` (n,), n ≥ 2: a larger-is-better score of two methods with the same seed, batches
    and test samples in each pair, so that what they share cancels. Student's t over the differences;
    differences that are all equal leave no spread: the interval is that one value. Raises ValueError for
    shapes that differ, fewer than two values or any that is not finite.
    """
    first, second = _check_values(first, "first", 2), _check_values(second, "second", 2)
    check_same_shape(first, second, "first", "second")
    return PairedDifference(*mean_interval(first - second, confidence))


def bootstrap(statistic, samples, confidence=0.95, resamples=2000, seed=0):
    """Return the value of a statistic, and the low and high end of its percentile bootstrap interval, three arrays (…).

    ``samples`` is a tuple of arrays (n,), each drawn from by itself with replacement (Efron & Tibshirani 1993, chapter
    13); ``statistic`` is a function of draws of each, (draws, n), and of ``axis``, to values (…, draws); of the samples
    themselves, to (…). The draws depend on ``seed`` alone. Values that are NaN in a draw are left out. Raises ValueError
    unless 0 < ``confidence`` < 1, ``resamples`` ≥ 100 and ``seed`` ≥ 0.
    """
    from scipy import stats

    found = stats.bootstrap(
        samples,
        statistic,
        n_resamples=check_count(resamples, "resamples", 100),
        batch=max(1, 2**22 // sum(map(len, samples))),
        vectorized=True,
        method="percentile",
        rng=check_count(seed, "seed", 0),
    )
    confidence = check_confidence(confidence)
    ends = np.nanquantile(found.bootstrap_distribution, [(1 - confidence) / 2, (1 + confidence) / 2], axis=-1)
    return statistic(*samples), *ends


def mcnemar(first_correct, second_correct):
    """Return the exact two-sided p value, from 0 to 1, of McNemar's test for two models' equal accuracy.

    ``first_correct`` and ``second_correct`` (N,), booleans: which of the same test samples each got right.
    Only those that one alone got right count; with none, p is 1 (McNemar 1947; Dietterich 1998, section 3.1).
    Raises ValueError for anything but booleans, for no samples and for shapes that differ.
    """
    from scipy.stats import binomtest

    first = _check_booleans(first_correct, "first_correct")
    second = _check_booleans(second_correct, "second_correct")
    check_same_shape(first, second, "first_correct", "second_correct")
    first_only, second_only = int((first & ~second).sum()), int((second & ~first).sum())
    if not first_only + second_only:
        return 1.0
    return float(binomtest(first_only, first_only + second_only).pvalue)


def samples_needed(first, second, confidence=0.95, power=0.8):
    """Return how many test samples each needs for a difference of two accuracies to be detected; None for equal ones.

    n = (z_{1−(1−confidence)/2} + z_power)² · (p₁(1 − p₁) + p₂(1 − p₂)) / (p₁ − p₂)²: two independent test sets of n,
    two-sided, by the normal approximation with each set's own variance. On one test set for both,
    fewer do where the two mostly err on the same samples. Raises ValueError for what is not between 0 and 1.
    """
    from scipy.stats import norm

    first, second = check_alpha(first, "first"), check_alpha(second, "second")
    if first == second:
        return None
    reach = norm.ppf((1 + check_confidence(confidence)) / 2) + norm.ppf(check_confidence(power))
    return max(1, math.ceil(reach**2 * (first * (1 - first) + second * (1 - second)) / (first - second) ** 2))


def _check_predictions(logits, labels, name="logits"):
    logits = check_logits(logits, name, dimensions=2)
    _check_some(logits, name)
    return logits, check_labels(labels, logits.shape[1], len(logits))


def _check_some(array, name):
    if not len(array):
        raise ValueError(f"{name} must have at least one sample, got shape {array.shape}")


def _check_values(values, name, least):
    """Return ``values`` as a float64 array (n,) of at least ``least`` finite numbers."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a list of numbers, got {values!r}") from None
    if array.ndim != 1 or len(array) < least:
        raise ValueError(f"{name} must have shape (n,) with n of at least {least}, got shape {array.shape}")
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite numbers, got {values!r}")
    return array.astype(np.float64)


def _check_booleans(values, name):
    array = np.asarray(values)
    if array.dtype != bool or array.ndim != 1 or not len(array):
        raise ValueError(f"{name} must be booleans of shape (samples,), got type {array.dtype} and shape {array.shape}")
    return array


def check_confidence(confidence):
    """Return ``confidence`` as a float, or raise ValueError unless it lies between 0 and 1."""
    if not isinstance(confidence, Real) or isinstance(confidence, bool) or not 0 < confidence < 1:
        raise ValueError(f"confidence must be a number between 0 and 1, got {confidence!r}")
    return float(confidence)
