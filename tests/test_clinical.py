"""Against scikit-learn, scipy.stats.bootstrap, exact binomial quantiles and values by hand."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from kdlab import clinical

# No deadline: on a busy machine a slow example is no failure.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

RANDOM = np.random.default_rng(5)
LABELS = np.repeat([1, 0, 0], 40)
SCORES = 1 / (1 + np.exp(-(2 * LABELS - 1 + RANDOM.normal(0, 1.3, 120))))
OTHER = 1 / (1 + np.exp(-(1.2 * LABELS - 0.6 + RANDOM.normal(0, 1.3, 120))))
RAGGED = [[0.1], [0.2, 0.3]]


@st.composite
def samples(draw):
    """Scores with many ties, and labels of both classes."""
    grid = draw(st.sampled_from([2, 5, 1000]))
    labels = draw(st.lists(st.integers(0, 1), min_size=2, max_size=40).filter(lambda y: len(set(y)) == 2))
    ranks = draw(st.lists(st.integers(0, grid), min_size=len(labels), max_size=len(labels)))
    return np.array(ranks) / grid, np.array(labels)


# --- measures


def test_by_hand():
    scores, labels = [0.9, 0.5, 0.4, 0.5, 0.1], [1, 1, 1, 0, 0]
    assert clinical.sensitivity(scores, labels) == pytest.approx(2 / 3)
    assert clinical.specificity(scores, labels) == 0.5
    assert clinical.auc(scores, labels) == pytest.approx((2 + 1.5 + 1) / 6)
    assert type(clinical.auc(scores, labels)) is float


@settings(max_examples=30)
@given(samples(), st.floats(0, 1))
def test_measures_equal_scikit_learn(drawn, threshold):
    scores, labels = drawn
    called = scores >= threshold
    assert clinical.sensitivity(scores, labels, threshold) == pytest.approx(metrics.recall_score(labels, called))
    expected = metrics.recall_score(labels, called, pos_label=0)
    assert clinical.specificity(scores, labels, threshold) == pytest.approx(expected)
    assert clinical.auc(scores, labels) == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)


def test_the_area_counts_pairs():
    wins = stats.mannwhitneyu(SCORES[LABELS == 1], SCORES[LABELS == 0]).statistic
    assert clinical.auc(SCORES, LABELS) == pytest.approx(wins / (40 * 80), rel=1e-12)


@pytest.mark.parametrize("scale", [1, 10, 1000, 1e30])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_area_is_that_of_the_order_however_far_apart_logits_are(scale, kind):
    random = np.random.default_rng(5)
    labels = random.integers(0, 2, 300)
    margins = (random.normal(labels, 1.5).round(2) * scale).astype(kind)  # some of them ties
    logits = np.stack([np.zeros(300, kind), margins], axis=1)
    assert clinical.auc(clinical.scores_for_auc(logits), labels) == pytest.approx(
        metrics.roc_auc_score(labels, margins)
    )


@pytest.mark.parametrize("logits", [np.zeros(3), np.zeros((3, 3)), np.zeros((3, 1)), [[0.0, np.nan]]])
def test_what_is_not_two_logits_a_sample_has_no_order(logits):
    with pytest.raises(ValueError, match="logits"):
        clinical.scores_for_auc(logits)


# --- intervals


@pytest.mark.parametrize(
    ("measure", "trials", "hits"), [("sensitivity", LABELS == 1, SCORES >= 0.4), ("specificity", LABELS == 0, SCORES < 0.4)]
)  # fmt: skip
def test_intervals_of_shares_are_quantiles_of_the_binomial(measure, trials, hits):
    """Drawn within the class, the number of hits is binomial: what the bootstrap tends to, without chance."""
    interval = clinical.bootstrap_interval(measure, SCORES, LABELS, 0.4, resamples=20_000)
    n, share = trials.sum(), hits[trials].mean()
    assert 0.3 < share < 0.9
    assert interval.mean == pytest.approx(share, rel=1e-12)
    chance = 3 * (0.025 * 0.975 / 20_000) ** 0.5  # three standard errors of a tail
    for end, tail in ((interval.low, 0.025), (interval.high, 0.975)):
        count = round(end * n)
        assert end == pytest.approx(count / n, abs=1e-9)
        assert stats.binom.cdf(count - 1, n, share) - chance <= tail <= stats.binom.cdf(count, n, share) + chance


@pytest.mark.parametrize("measure", clinical.MEASURES)
def test_intervals_are_those_of_scipy_and_scikit_learn(measure):
    """Draw by draw: scipy's bootstrap of scikit-learn's measure, from the same seed; scores with ties."""
    scores = np.round(SCORES, 1)
    of = {
        "accuracy": lambda y, s: metrics.accuracy_score(y, s >= 0.4),
        "sensitivity": lambda y, s: metrics.recall_score(y, s >= 0.4),
        "specificity": lambda y, s: metrics.recall_score(y, s >= 0.4, pos_label=0),
        "auc": metrics.roc_auc_score,
    }[measure]

    def statistic(*drawn):
        chosen = np.concatenate(drawn)
        return of(LABELS[chosen], scores[chosen])

    data = np.flatnonzero(LABELS == 1), np.flatnonzero(LABELS == 0)
    options = {"method": "percentile", "n_resamples": 200, "confidence_level": 0.8, "vectorized": False}
    theirs = stats.bootstrap(data, statistic, **options, rng=3).confidence_interval
    ours = clinical.bootstrap_interval(measure, scores, LABELS, 0.4, confidence=0.8, resamples=200, seed=3)
    assert theirs.high - theirs.low > 0.03
    assert ours == pytest.approx((statistic(*data), *theirs), rel=1e-12)


def test_intervals_are_those_of_before():
    """What an implementation of our own, which counted how often each sample is drawn, came to with these seeds."""
    auc = clinical.bootstrap_interval("auc", SCORES, LABELS)
    paired = clinical.paired_bootstrap("auc", SCORES, OTHER, LABELS, seed=7)
    assert auc == pytest.approx((0.861875, 0.7949921875, 0.9209375), rel=1e-9)
    assert (paired.mean, paired.low, paired.high) == pytest.approx((0.120625, 0.0099921875, 0.2378515625), rel=1e-9)
    shares = clinical.bootstrap_interval("accuracy", SCORES, LABELS, 0.4, confidence=0.9, resamples=1000, seed=1)
    assert shares == pytest.approx((0.75, 0.68333333333, 0.80833333333), rel=1e-9)


def test_the_seed_decides_the_draws():
    first = clinical.bootstrap_interval("auc", SCORES, LABELS, seed=3)
    assert clinical.bootstrap_interval("auc", SCORES, LABELS, seed=3) == first
    assert clinical.bootstrap_interval("auc", SCORES, LABELS, seed=4) != first
    assert first.low < first.mean < first.high


def test_the_global_generator_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - that it is not touched is the point
    clinical.bootstrap_interval("auc", SCORES, LABELS)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("measure", clinical.MEASURES)
def test_perfect_and_always_wrong_are_one_value(measure):
    labels = np.array([1, 0, 1, 0])
    assert clinical.bootstrap_interval(measure, labels / 1.0, labels) == (1, 1, 1)
    assert clinical.bootstrap_interval(measure, 1.0 - labels, labels) == (0, 0, 0)


def test_scores_that_say_nothing_have_an_area_of_one_half():
    assert clinical.bootstrap_interval("auc", np.full(9, 0.3), [1, 0, 0] * 3) == (0.5, 0.5, 0.5)


# --- two models


def difference(measure, thresholds):
    def of(positive, negative):
        values = []
        for scores, threshold in zip((SCORES, OTHER), thresholds, strict=True):
            p, n = scores[positive], scores[negative]
            if measure == "auc":
                values.append(np.mean((p[:, None] > n) + 0.5 * (p[:, None] == n)))
            else:
                values.append(np.mean(p >= threshold))
        return values[0] - values[1]

    return of


@pytest.mark.parametrize("measure", ["sensitivity", "auc"])
def test_the_paired_difference_equals_scipys(measure):
    of, data = difference(measure, (0.4, 0.6)), (np.flatnonzero(LABELS == 1), np.flatnonzero(LABELS == 0))
    theirs = stats.bootstrap(data, of, method="percentile", n_resamples=3000, vectorized=False, rng=2)
    ours = clinical.paired_bootstrap(measure, SCORES, OTHER, LABELS, (0.4, 0.6), resamples=3000)
    assert ours.mean == pytest.approx(of(*data), rel=1e-12)
    step = 1 / 40 if measure == "sensitivity" else 0.012
    np.testing.assert_allclose([ours.low, ours.high], theirs.confidence_interval, atol=1.01 * step)


def test_pairs_cancel_what_is_hard_for_both():
    """A model against nearly itself: apart there is no detectable difference, in pairs there is."""
    nearly = SCORES - 0.1 * LABELS * SCORES
    alone = [clinical.bootstrap_interval("auc", scores, LABELS) for scores in (SCORES, nearly)]
    paired = clinical.paired_bootstrap("auc", SCORES, nearly, LABELS)
    assert alone[0].low < alone[1].high
    assert paired.verdict == "better"
    assert clinical.paired_bootstrap("auc", nearly, SCORES, LABELS).high == -paired.low
    same = clinical.paired_bootstrap("accuracy", SCORES, SCORES, LABELS)
    assert (same.mean, same.low, same.high, same.verdict) == (0, 0, 0, "no detectable difference")


def test_the_thresholds_are_each_models_own():
    found = clinical.paired_bootstrap("sensitivity", SCORES, SCORES, LABELS, (0.2, 0.8))
    expected = np.mean(SCORES[LABELS == 1] >= 0.2) - np.mean(SCORES[LABELS == 1] >= 0.8)
    assert found.mean == pytest.approx(expected)
    assert found.low > 0


@pytest.mark.parametrize("chance", [0.7, 0.9])
def test_the_interval_holds_the_truth_as_often_as_it_says(chance):
    """Specificity of 150 negatives in 300 experiments: within three standard errors of 95 %, less a percentile's bias."""
    random, labels = np.random.default_rng(0), np.repeat([0, 1], [150, 2])
    held = 0
    for seed in range(300):
        scores = np.where(np.append(random.random(150) < chance, [False, False]), 0.2, 0.8)
        interval = clinical.bootstrap_interval("specificity", scores, labels, resamples=300, seed=seed)
        held += interval.low <= chance <= interval.high
    assert 0.90 < held / 300 < 0.99


# --- what does not fit

FUNCTIONS = {
    "sensitivity": clinical.sensitivity,
    "specificity": clinical.specificity,
    "auc": clinical.auc,
    "interval": lambda s, y: clinical.bootstrap_interval("accuracy", s, y),
}
BAD = {
    "no positive": ([0.1, 0.2], [0, 0], "labels must have both classes, got no positive sample (label 1)"),
    "no negative": ([0.1, 0.2], [1, 1], "labels must have both classes, got no negative sample (label 0)"),
    "nan": ([0.1, np.nan], [0, 1], "scores must lie from 0 to 1, got nan"),
    "logits": ([-3.5, 2.0], [0, 1], "scores must lie from 0 to 1, got -3.5"),
    "lengths": ([0.1, 0.2, 0.3], [0, 1], "scores and labels must have the same shape, got (3,) and (2,)"),
    "none": ([], [], "scores must have shape (samples,), one per sample, got shape (0,)"),
    "two columns": ([[0.1, 0.9]] * 2, [0, 1], "scores must have shape (samples,), one per sample, got shape (2, 2)"),
    "ragged": (RAGGED, [0, 1], "scores must be an array of numbers, got a ragged list"),
    "words": (["a", "b"], [0, 1], "scores must be real numbers from 0 to 1, got values of type <U1"),
    "third class": ([0.1, 0.2], [0, 2], "labels must lie in 0 to 1, got 2"),
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_said(function, case):
    scores, labels, message = BAD[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        FUNCTIONS[function](scores, labels)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, np.nan, np.inf, "0.5", None, True])
def test_a_threshold_out_of_range_is_said(threshold):
    said = re.escape(f"threshold must be a number from 0 to 1, got {threshold!r}")
    for call in (
        lambda: clinical.sensitivity(SCORES, LABELS, threshold),
        lambda: clinical.bootstrap_interval("auc", SCORES, LABELS, threshold),
        lambda: clinical.paired_bootstrap("auc", SCORES, OTHER, LABELS, (0.5, threshold)),
    ):
        with pytest.raises(ValueError, match=said):
            call()


def interval(measure="auc", **options):
    return clinical.bootstrap_interval(measure, SCORES, LABELS, **options)


def paired(second=OTHER, **options):
    return clinical.paired_bootstrap("auc", SCORES, second, LABELS, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interval("f1"), "measure must be one of accuracy, sensitivity, specificity, auc, got 'f1'"),
        (lambda: interval(resamples=99), "resamples must be a whole number of at least 100, got 99"),
        (lambda: interval(confidence=95), "confidence must be a number between 0 and 1, got 95"),
        (lambda: clinical.bootstrap_interval("auc", [0.1, 0.2, 0.9], [0, 0, 1]),
         "an interval needs at least two positive and two negative samples, got 1 positive and 2 negative"),
        (lambda: clinical.paired_bootstrap("auc", [0.1, 0.9, 0.9], [0.2, 0.3, 0.4], [0, 1, 1]),
         "an interval needs at least two positive and two negative samples, got 2 positive and 1 negative"),
        (lambda: interval(seed=-1), "seed must be a whole number of at least 0, got -1"),
        (lambda: paired(OTHER[:-1]), "second and labels must have the same shape, got (119,) and (120,)"),
        (lambda: paired(OTHER * np.nan), "second must lie from 0 to 1, got nan"),
        (lambda: paired(thresholds=0.5), "thresholds must be two numbers, one for each model, got 0.5"),
    ],
)  # fmt: skip
def test_other_arguments_that_do_not_fit_are_said(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
