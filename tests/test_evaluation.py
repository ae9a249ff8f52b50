"""Against scikit-learn, scipy and values by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score

from kdlab import evaluation
from kdlab.datasets.dataset import digits_logits
from kdlab.datasets.load import load
from kdlab.softening import softmax

# No deadline: on a busy machine a slow example is no failure.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

RANDOM = np.random.default_rng(2)
LOGITS = RANDOM.normal(0, 2, (200, 6))
LABELS = RANDOM.integers(0, 6, 200)
PROBABILITIES = softmax(LOGITS, 0.7)


@pytest.fixture(scope="module")
def digits():
    return digits_logits(), load("digits").test.y


# --- accuracy and agreement


def test_accuracy_equals_scikit_learn(digits):
    logits, labels = digits
    for values in logits.values():
        expected = accuracy_score(labels, values.argmax(axis=1))
        assert evaluation.accuracy(values, labels) == pytest.approx(expected, rel=1e-15)
    assert evaluation.accuracy(logits["teacher"], labels) == pytest.approx(589 / 600)


def test_accuracy_by_hand():
    logits = [[3.0, 1.0], [0.0, 1.0], [2.0, 1.0], [0.0, 5.0]]
    assert evaluation.accuracy(logits, [0, 1, 1, 1]) == 0.75
    assert type(evaluation.accuracy(logits, [0, 1, 1, 1])) is float


def test_agreement_is_accuracy_against_the_other_models_answers():
    other = LOGITS + RANDOM.normal(0, 1, LOGITS.shape)
    expected = accuracy_score(other.argmax(axis=1), LOGITS.argmax(axis=1))
    assert 0.3 < expected < 0.95
    assert evaluation.agreement(LOGITS, other) == pytest.approx(expected, rel=1e-15)
    assert evaluation.agreement(other, LOGITS) == evaluation.agreement(LOGITS, other)


def test_two_accurate_models_may_agree_little():
    # Each is right on its own half: both 50 % accurate, never of one mind.
    labels = np.zeros(4, int)
    first, second = np.eye(2)[[0, 0, 1, 1]], np.eye(2)[[1, 1, 0, 0]]
    assert evaluation.accuracy(first, labels) == evaluation.accuracy(second, labels) == 0.5
    assert evaluation.agreement(first, second) == 0
    assert evaluation.agreement(first, first * 10) == 1


# --- calibration


def loop_over_bins(probabilities, labels, bins):
    """Guo et al. 2017, equation 3, word by word."""
    total = 0
    for m in range(1, bins + 1):
        inside = [i for i, p in enumerate(probabilities) if (m - 1) / bins < p.max() <= m / bins]
        if inside:
            right = np.mean([probabilities[i].argmax() == labels[i] for i in inside])
            total += len(inside) * abs(right - np.mean([probabilities[i].max() for i in inside]))
    return total / len(labels)


@pytest.mark.parametrize("bins", [1, 5, 10, 15, 100])
def test_calibration_error_equals_its_definition(bins):
    expected = loop_over_bins(PROBABILITIES, LABELS, bins)
    assert expected > 0.1  # random labels: there is something to measure
    ours = evaluation.expected_calibration_error(PROBABILITIES, LABELS, bins)
    assert ours == pytest.approx(expected, rel=1e-12)


def test_calibration_error_uses_15_bins_unless_told():
    expected = loop_over_bins(PROBABILITIES, LABELS, 15)
    assert evaluation.expected_calibration_error(PROBABILITIES, LABELS) == pytest.approx(expected, rel=1e-12)


def test_reliability_equals_scikit_learn():
    confidence, right, count = evaluation.reliability_diagram(PROBABILITIES, LABELS, bins=10)
    hit = PROBABILITIES.argmax(axis=1) == LABELS
    expected_right, expected_confidence = calibration_curve(hit, PROBABILITIES.max(axis=1), n_bins=10)
    filled = count > 0
    np.testing.assert_allclose(right[filled], expected_right, rtol=1e-12)
    np.testing.assert_allclose(confidence[filled], expected_confidence, rtol=1e-12)
    np.testing.assert_array_equal(count, np.histogram(PROBABILITIES.max(axis=1), 10, (0, 1))[0])


def test_reliability_by_hand_with_empty_bins():
    probabilities = [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [1.0, 0.0]]
    diagram = evaluation.reliability_diagram(probabilities, [0, 0, 1, 0], bins=4)
    np.testing.assert_allclose(diagram.confidence, [np.nan, np.nan, 0.6, 0.9])
    np.testing.assert_allclose(diagram.accuracy, [np.nan, np.nan, 1.0, 2 / 3])
    np.testing.assert_array_equal(diagram.count, [0, 0, 1, 3])
    # 1/4 · |1 − .6| + 3/4 · |2/3 − .9|
    error = evaluation.expected_calibration_error(probabilities, [0, 0, 1, 0], bins=4)
    assert error == pytest.approx(0.1 + 0.175, rel=1e-12)


def test_a_confidence_on_the_edge_belongs_to_the_bin_below():
    count = evaluation.reliability_diagram([[0.5, 0.5], [0.75, 0.25]], [0, 0], bins=4).count
    np.testing.assert_array_equal(count, [0, 1, 1, 0])


def test_calibration_of_a_perfect_and_of_a_wrong_oracle():
    labels = np.array([0, 1, 2])
    assert evaluation.expected_calibration_error(np.eye(3), labels) == 0
    assert evaluation.expected_calibration_error(np.eye(3), (labels + 1) % 3) == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_calibration_takes_the_rounding_of_low_precision(dtype):
    rounded = PROBABILITIES.astype(dtype)
    exact = evaluation.expected_calibration_error(PROBABILITIES, LABELS, bins=1)
    assert evaluation.expected_calibration_error(rounded, LABELS, bins=1) == pytest.approx(exact, abs=1e-3)


def test_calibration_refuses_logits():
    with pytest.raises(ValueError, match=r"probabilities must be at least 0 and sum to 1.* got values from -"):
        evaluation.expected_calibration_error(LOGITS, LABELS)
    with pytest.raises(ValueError, match=r"probabilities must .* a row that sums to 2$"):
        evaluation.reliability_diagram([[0.5, 0.5], [1.0, 1.0]], [0, 0])


@pytest.mark.parametrize("bins", [0, -1, 2.0, "15", None, True])
def test_calibration_refuses_bins(bins):
    with pytest.raises(ValueError, match=f"bins must be a whole number of at least 1, got {bins!r}"):
        evaluation.reliability_diagram(PROBABILITIES, LABELS, bins)


# --- the class that was left out


def test_bias_sweep_by_hand():
    # Class 2 lies 1, 2 and 3 below the winner in the threes; the last sample is a 0 with 2 at distance 2.5.
    logits = [[5.0, 0, 4.0], [0, 5.0, 3.0], [5.0, 0, 2.0], [5.0, 0, 2.5]]
    sweep = evaluation.bias_sweep(logits, [2, 2, 2, 0], [2], [0, 1.5, 2.25, 2.75, 3.5])
    np.testing.assert_array_equal(sweep.class_errors, [3, 2, 1, 1, 0])
    np.testing.assert_array_equal(sweep.errors, [3, 2, 1, 2, 1])


@pytest.mark.parametrize("chosen", [[3], [7, 8], np.array([0, 1, 2])])
def test_bias_sweep_equals_adding_the_bias(digits, chosen):
    logits, labels = digits[0]["student"], digits[1]
    biases = [-7.6, -1, 0, 0.5, 3.5]
    sweep = evaluation.bias_sweep(logits, labels, chosen, biases)
    for bias, errors, class_errors in zip(biases, *sweep, strict=True):
        moved = logits.astype(np.float64)
        moved[:, chosen] += bias
        wrong = moved.argmax(axis=1) != labels
        assert errors == wrong.sum()
        assert class_errors == wrong[np.isin(labels, chosen)].sum()
    # A bias of 0 changes nothing; it is large enough here for the others to.
    assert sweep.errors[2] == (logits.argmax(axis=1) != labels).sum()
    assert len(set(sweep.errors)) > 2


def test_raising_a_bias_never_adds_errors_within_the_class(digits):
    logits, labels = digits[0]["student"], digits[1]
    sweep = evaluation.bias_sweep(logits, labels, [3], np.linspace(-5, 5, 21))
    assert (np.diff(sweep.class_errors) <= 0).all()
    assert sweep.class_errors[0] == (labels == 3).sum()
    assert sweep.class_errors[-1] == 0


@pytest.mark.parametrize(
    ("chosen", "biases", "message"),
    [
        ([6], [0], "class_indices must lie in 0 to 5, got 6"),
        ([-1], [0], "class_indices must lie in 0 to 5, got -1"),
        ([], [0], "class_indices must have at least one class, got none"),
        (["3"], [0], "class_indices must be whole numbers"),
        ([3], [], r"biases must have shape \(n,\) with n of at least 1, got shape \(0,\)"),
        ([3], 1.0, r"biases must have shape \(n,\).* got shape \(\)"),
        ([3], [np.nan], r"biases must be finite numbers, got \[nan\]"),
        ([3], ["1"], r"biases must be finite numbers, got \['1'\]"),
    ],
)
def test_bias_sweep_refuses(chosen, biases, message):
    with pytest.raises(ValueError, match=message):
        evaluation.bias_sweep(LOGITS, LABELS, chosen, biases)


# --- intervals


@given(st.data(), st.integers(1, 2000), st.floats(0.5, 0.999))
def test_wilson_equals_scipy(data, total, confidence):
    correct = data.draw(st.integers(0, total))
    ours = evaluation.wilson_interval(correct, total, confidence)
    theirs = stats.binomtest(correct, total).proportion_ci(confidence, method="wilson")
    assert ours.mean == correct / total
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9, abs=1e-12)
    assert 0 <= ours.low <= ours.mean <= ours.high <= 1


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_published(correct, total, low, high):
    # Newcombe 1998, Two-sided confidence intervals for the single proportion, table I, method 3.
    assert evaluation.wilson_interval(correct, total)[1:] == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((11, 10), "correct must be a whole number from 0 to 10, got 11"),
        ((-1, 10), "correct must be a whole number from 0 to 10, got -1"),
        ((0.5, 10), "correct must be a whole number from 0 to 10, got 0.5"),
        ((True, 10), "correct must be a whole number from 0 to 10, got True"),
        ((None, 10), "correct must be a whole number from 0 to 10, got None"),
        ((0, 0), "total must be a whole number of at least 1, got 0"),
        ((0, "10"), "total must be a whole number of at least 1, got '10'"),
        ((5, 10, 95), "confidence must be a number between 0 and 1, got 95"),
        ((5, 10, 1.0), "confidence must be a number between 0 and 1, got 1.0"),
        ((5, 10, 0), "confidence must be a number between 0 and 1, got 0"),
        ((5, 10, float("nan")), "confidence must be a number between 0 and 1, got nan"),
        ((5, 10, "0.95"), "confidence must be a number between 0 and 1, got '0.95'"),
        ((5, 10, True), "confidence must be a number between 0 and 1, got True"),
    ],
)
def test_wilson_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        evaluation.wilson_interval(*arguments)


values = st.lists(st.floats(-100, 100), min_size=2, max_size=20)


@given(values, st.floats(0.5, 0.999))
def test_mean_interval_equals_scipy(data, confidence):
    ours = evaluation.mean_interval(data, confidence)
    assert ours.mean == pytest.approx(np.mean(data), rel=1e-12, abs=1e-12)
    if len(set(data)) == 1:
        assert ours == pytest.approx((data[0], data[0], data[0]), rel=1e-12)
    if np.std(data) < 1e-12:  # scipy divides by it
        return
    theirs = stats.t.interval(confidence, len(data) - 1, np.mean(data), stats.sem(data))
    assert (ours.low, ours.high) == pytest.approx(theirs, rel=1e-9, abs=1e-9)


def test_mean_interval_by_hand():
    # Mean 2, standard deviation 1, t(.975, 2) = 4.302653: 2 ± 4.302653 / √3.
    half = 4.302652729911275 / 3**0.5
    assert evaluation.mean_interval([1, 2, 3]) == pytest.approx((2, 2 - half, 2 + half), rel=1e-9)


# --- comparisons


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=3, max_size=15))
def test_paired_verdict_is_that_of_the_paired_t_test(pairs):
    first, second = np.array(pairs).T
    # Where the spread is rounding only, the t test has nothing to say.
    if (first - second).std() < 1e-6:
        return
    result = evaluation.paired_difference(first, second)
    test = stats.ttest_rel(first, second)
    interval = test.confidence_interval(0.95)
    assert result.mean == pytest.approx(np.mean(first - second), rel=1e-9, abs=1e-12)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-9)
    if abs(test.pvalue - 0.05) > 1e-6:
        expected = "no detectable difference" if test.pvalue > 0.05 else "better" if result.mean > 0 else "worse"
        assert result.verdict == expected


def test_pairing_sees_a_small_difference_that_unpaired_intervals_hide():
    second = np.array([0.80, 0.85, 0.90, 0.95, 0.88])
    first = second + np.array([0.010, 0.012, 0.009, 0.011, 0.010])
    alone = evaluation.mean_interval(first), evaluation.mean_interval(second)
    assert alone[0].low < alone[1].high  # they overlap
    assert evaluation.paired_difference(first, second).verdict == "better"
    assert evaluation.paired_difference(second, first).verdict == "worse"
    assert evaluation.paired_difference(first, second[::-1]).verdict == "no detectable difference"


def test_a_higher_confidence_is_harder_to_convince():
    first, second = [0.92, 0.94, 0.95, 0.93], [0.91, 0.91, 0.93, 0.93]
    assert evaluation.paired_difference(first, second, confidence=0.8).verdict == "better"
    assert evaluation.paired_difference(first, second, confidence=0.99).verdict == "no detectable difference"


def test_differences_that_are_all_equal():
    same = evaluation.paired_difference([0.5, 0.75], [0.5, 0.75])
    assert (same.mean, same.low, same.high, same.verdict) == (0, 0, 0, "no detectable difference")
    up = evaluation.paired_difference([0.75, 1.0], [0.5, 0.75])
    assert (up.mean, up.low, up.high, up.verdict) == (0.25, 0.25, 0.25, "better")
    assert evaluation.paired_difference([0.5, 0.75], [0.75, 1.0]).verdict == "worse"


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([1.0], [1.0], r"first must have shape \(n,\) with n of at least 2, got shape \(1,\)"),
        ([1.0, 2.0], [1.0, 2.0, 3.0], r"first and second must have the same shape, got \(2,\) and \(3,\)"),
        ([1.0, 2.0], [[1.0, 2.0]], r"second must have shape \(n,\).* got shape \(1, 2\)"),
        ([1.0, np.nan], [1.0, 2.0], r"first must be finite numbers, got \[1.0, nan\]"),
        ([1.0, 2.0], [1.0, None], r"second must be finite numbers, got \[1.0, None\]"),
        ([True, False], [1.0, 2.0], r"first must be finite numbers, got \[True, False\]"),
        ([[1.0], [1.0, 2.0]], [1.0, 2.0], r"first must be a list of numbers"),
        (None, [1.0, 2.0], r"first must have shape \(n,\).* got shape \(\)"),
    ],
)
def test_paired_difference_refuses(first, second, message):
    with pytest.raises(ValueError, match=message):
        evaluation.paired_difference(first, second)


def test_results_cannot_be_changed():
    with pytest.raises(AttributeError):
        evaluation.paired_difference([1.0, 2.0], [0.0, 0.0]).mean = 5


def correct(both, first_only, second_only, neither):
    """Which samples two models got right, from the four counts of the table."""
    counts = [both, first_only, second_only, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize(
    ("first_only", "second_only", "expected"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 5, 1.0), (0, 5, 2 / 32), (6, 0, 2 / 64), (1, 8, 20 / 512)],
)
def test_mcnemar_by_hand(first_only, second_only, expected):
    assert evaluation.mcnemar(*correct(40, first_only, second_only, 3)) == pytest.approx(expected, rel=1e-12)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 30), st.integers(0, 30))
def test_mcnemar_is_the_doubled_binomial_tail_and_symmetric(both, first_only, second_only, neither):
    first, second = correct(both, first_only, second_only, neither)
    tail = stats.binom.cdf(min(first_only, second_only), first_only + second_only, 0.5)
    assert evaluation.mcnemar(first, second) == pytest.approx(min(1, 2 * tail), rel=1e-9)
    assert evaluation.mcnemar(second, first) == pytest.approx(evaluation.mcnemar(first, second), rel=1e-9)


@given(*[st.integers(0, 1000).map(lambda k: k / 1000)] * 2)
def test_samples_needed_are_the_fewest_with_the_power(first, second):
    n = evaluation.samples_needed(first, second)
    difference, variance = abs(first - second), first * (1 - first) + second * (1 - second)
    if not difference:
        assert n is None
        return

    def power(n):
        return stats.norm.cdf(difference / np.sqrt(variance / n) - stats.norm.ppf(0.975)) if variance else 1.0

    assert n >= 1
    assert power(n * (1 + 1e-9)) >= 0.8
    assert n == 1 or power((n - 1) * (1 - 1e-9)) < 0.8


def test_one_sample_is_enough_where_one_is_always_right_and_the_other_always_wrong():
    assert evaluation.samples_needed(0, 1) == evaluation.samples_needed(1.0, 0.0) == 1


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([1, 0], [True, False], r"first_correct must be booleans of shape \(samples,\), got .*int64.*\(2,\)"),
        ([True, False], [0.5, 1.0], "second_correct must be booleans"),
        ([], [], "first_correct must be booleans"),
        ([[True]], [[True]], r"first_correct must be booleans.*\(1, 1\)"),
        ([True], [True, False], "first_correct and second_correct must have the same shape"),
        (None, [True], "first_correct must be booleans"),
    ],
)
def test_mcnemar_refuses(first, second, message):
    with pytest.raises(ValueError, match=message):
        evaluation.mcnemar(first, second)


# --- refusals shared by the measures


@pytest.mark.parametrize(
    ("measure", "arguments", "message"),
    [
        ("accuracy", (LOGITS, LABELS[:5]), r"labels must have shape \(200,\).* got shape \(5,\)"),
        ("accuracy", (LOGITS, LABELS - 1), "labels must lie in 0 to 5, got -1"),
        ("accuracy", (LOGITS[0], LABELS), r"logits must have shape .* got shape \(6,\)"),
        ("accuracy", (LOGITS * np.inf, LABELS), "logits must be finite"),
        ("accuracy", (LOGITS[:0], LABELS[:0]), "logits must have at least one sample"),
        ("agreement", (LOGITS, LOGITS[:1]), "first_logits and second_logits must have the same shape"),
        ("agreement", (LOGITS, "x"), "second_logits must be real numbers"),
        ("agreement", (LOGITS[:0], LOGITS[:0]), "first_logits must have at least one sample"),
        ("bias_sweep", (LOGITS[:0], [], [0], [0]), "logits must have at least one sample"),
        ("reliability_diagram", (PROBABILITIES[:, :1], LABELS), "probabilities must .* 2 classes"),
        ("reliability_diagram", (PROBABILITIES, LABELS + 1), "labels must lie in 0 to 5, got 6"),
    ],
)
def test_measures_refuse(measure, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(evaluation, measure)(*arguments)


def test_an_interval_of_shares_ends_where_shares_do():
    shares = [0.99, 1.0, 0.8]
    free, bound = evaluation.mean_interval(shares), evaluation.mean_interval(shares, within=(0, 1))
    assert free.high > 1
    assert bound == (free.mean, free.low, 1)
    assert evaluation.mean_interval([0.0, 0.01, 0.2], within=(0, 1)).low == 0


@pytest.mark.parametrize("sizes", [(20, 20), (90, 10), (5, 5, 5, 200), (30,) * 10])
def test_guessing_is_at_chance_and_knowing_a_little_is_not(sizes):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    largest = np.full(len(labels), np.argmax(sizes))
    assert evaluation.at_chance(largest, labels)
    assert evaluation.balanced_accuracy(largest, labels) == pytest.approx(1 / len(sizes))
    guesses = [evaluation.at_chance(rng.permutation(labels), labels) for _ in range(200)]
    assert np.mean(guesses) > 0.9
    known = np.where(rng.random(len(labels)) < 0.7, labels, rng.permutation(labels))
    assert not evaluation.at_chance(known, labels)
