"""Every refusal names the argument, says what came and what is accepted."""

from fractions import Fraction

import numpy as np
import pytest

from kdlab import checks
from kdlab.softening import (
    cross_entropy,
    distillation_gradient,
    distillation_loss,
    log_softmax,
    logit_matching_gradient,
    smooth_labels,
    softmax,
)

LOGITS = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
NOT_A_NUMBER = ["4", "", None, True, False, np.True_, 1j, [4.0], np.array([1.0, 2.0]), np.array(True), object]


def refused(call, *parts):
    """Check that ``call`` raises a ValueError whose message has every part."""
    with pytest.raises(ValueError, match=r".") as caught:
        call()
    message = str(caught.value)
    for part in parts:
        assert part in message, f"{part!r} is missing in {message!r}"


@pytest.mark.parametrize("wrong", [0, -1, -0.0, float("nan"), float("inf"), -float("inf"), *NOT_A_NUMBER])
def test_temperature_refused(wrong):
    parts = ("must be a finite number above 0", f"got {wrong.item() if _scalar(wrong) else wrong!r}")
    refused(lambda: checks.check_temperature(wrong), "temperature", *parts)
    refused(lambda: checks.check_temperature(wrong, "teacher_temperature"), "teacher_temperature", *parts)
    for function in (softmax, log_softmax):
        refused(lambda f=function: f(LOGITS, wrong), "temperature", *parts)
    for function in (distillation_loss, distillation_gradient):
        refused(lambda f=function: f(LOGITS, LOGITS, [0, 1], temperature=wrong), "temperature", *parts)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, -1, 2, float("nan"), float("inf"), *NOT_A_NUMBER])
def test_alpha_refused(wrong):
    parts = ("must be a number from 0 to 1", f"got {wrong.item() if _scalar(wrong) else wrong!r}")
    refused(lambda: checks.check_alpha(wrong), "alpha", *parts)
    for function in (distillation_loss, distillation_gradient):
        refused(lambda f=function: f(LOGITS, LOGITS, [0, 1], alpha=wrong), "alpha", *parts)
    refused(lambda: smooth_labels([0, 1], 2, wrong), "smoothing", *parts)


def _scalar(value):
    return isinstance(value, np.ndarray) and value.ndim == 0


@pytest.mark.parametrize("right", [4, 4.0, np.float32(4), np.float16(4), np.int64(4), np.array(4.0), Fraction(4)])
def test_temperature_accepted_as_a_float(right):
    result = checks.check_temperature(right)
    assert result == 4
    assert type(result) is float


@pytest.mark.parametrize("right", [0, 1, 0.5, np.float32(0.25), np.array(1), np.int8(0)])
def test_alpha_accepted_as_a_float(right):
    result = checks.check_alpha(right)
    assert result == float(right)
    assert type(result) is float


WRONG_LOGITS = [
    ([[1.0, np.nan, 2.0]], ("must be finite", "1 value(s)", "nan")),
    ([[np.inf, -np.inf, 2.0]], ("must be finite", "2 value(s)", "inf")),
    ([[1.0], [2.0]], ("at least 2 classes", "(2, 1)")),
    ([[], []], ("at least 2 classes", "(2, 0)")),
    (3.0, ("must have shape", "got shape ()")),
    ("logits", ("must be real numbers", "type <U6")),
    ([["1", "2"]], ("must be real numbers", "type <U1")),
    ([[True, False]], ("must be real numbers", "type bool")),
    ([[1j, 2]], ("must be real numbers", "type complex128")),
    (None, ("must be real numbers", "type object")),
    ([[1.0, None]], ("must be real numbers", "type object")),
    ([[1.0, 2.0], [3.0]], ("must be an array of numbers", "[[1.0, 2.0], [3.0]]")),
]


@pytest.mark.parametrize(("wrong", "parts"), WRONG_LOGITS, ids=lambda value: str(value)[:24])
def test_logits_refused(wrong, parts):
    refused(lambda: checks.check_logits(wrong), "logits", *parts)
    refused(lambda: softmax(wrong), "logits", *parts)
    if np.ndim(np.asarray(wrong, dtype=object)) == 2:
        for function in (distillation_loss, distillation_gradient):
            refused(lambda f=function: f(wrong, LOGITS, [0, 1]), "student_logits", *parts)
            refused(lambda f=function: f(LOGITS, wrong, [0, 1]), "teacher_logits", *parts)
        refused(lambda: logit_matching_gradient(LOGITS, wrong), "teacher_logits", *parts)


def test_logits_of_the_wrong_number_of_axes():
    refused(lambda: cross_entropy([0], [1.0, 2.0]), "logits", "(samples, classes)", "got shape (2,)")
    refused(lambda: distillation_loss(LOGITS[None], LOGITS[None], [0, 1]), "student_logits", "got shape (1, 2, 3)")


def test_logits_refused_in_few_words_however_many_there_are():
    wrong = [[1.0] * 500, [1.0]]
    with pytest.raises(ValueError, match="must be an array of numbers") as caught:
        checks.check_logits(wrong)
    assert len(str(caught.value)) < 120
    assert "…" in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "parts"),
    [
        ([0, 3], ("0 to 2", "got 3")),
        ([0, -1], ("0 to 2", "got -1")),
        ([0, 1, 2], ("(2,)", "got shape (3,)")),
        ([[0], [1]], ("(2,)", "got shape (2, 1)")),
        (LOGITS, ("(2,)", "got shape (2, 3)")),  # one-hot labels
        (None, ("(2,)", "got shape ()")),
        ("01", ("(2,)", "got shape ()")),
        ([[0], [1, 2]], ("array of whole numbers", "[[0], [1, 2]]")),
        (["0", "1"], ("whole numbers", "type <U1")),
        ([True, False], ("whole numbers", "type bool")),
        ([0, None], ("whole numbers", "type object")),
        ([0.5, 1.0], ("whole numbers", "type float64")),
        ([np.nan, 1.0], ("whole numbers", "type float64")),
        ([np.inf, 1.0], ("whole numbers", "type float64")),
    ],
    ids=lambda value: str(value)[:24],
)
def test_labels_refused(wrong, parts):
    refused(lambda: checks.check_labels(wrong, classes=3, samples=2), "labels", *parts)
    if parts[-1] != "got -1":  # there it means "no label"
        refused(lambda: distillation_loss(LOGITS, LOGITS, wrong), "labels", *parts)


def test_only_minus_1_means_no_label_and_only_where_it_may():
    accepted = checks.check_labels([-1, 2], classes=3, samples=2, unlabelled=True)
    np.testing.assert_array_equal(accepted, [-1, 2])
    refused(
        lambda: checks.check_labels([-2, 2], classes=3, samples=2, unlabelled=True),
        "labels must lie in 0 to 2 (or -1 for an unlabelled sample), got -2",
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.float32])
def test_whole_labels_of_any_number_type_come_back_as_integers(dtype):
    result = checks.check_labels(np.array([0, 2], dtype=dtype), classes=3, samples=2)
    assert result.dtype.kind in "iu"
    np.testing.assert_array_equal(result, [0, 2])


def test_shapes_that_do_not_match():
    both = ("student_logits and teacher_logits must have the same shape", "(2, 3)", "(2, 2)")
    for function in (distillation_loss, distillation_gradient):
        refused(lambda f=function: f(LOGITS, LOGITS[:, :2], [0, 1]), *both)
    refused(lambda: logit_matching_gradient(LOGITS, LOGITS[:, :2]), *both)
    # One row would broadcast: it must be refused just the same.
    refused(lambda: distillation_loss(LOGITS, LOGITS[:1], [0, 1]), "same shape", "(2, 3)", "(1, 3)")
    assert checks.check_same_shape(LOGITS, LOGITS, "a", "b") is None


def test_no_sample_at_all():
    empty = np.zeros((0, 3))
    refused(lambda: distillation_loss(empty, empty, np.zeros(0, int)), "at least one sample", "(0, 3)")


@pytest.mark.parametrize("value", [1, np.int64(3), 10**9])
def test_counts_come_back_as_int(value):
    found = checks.check_count(value, "seeds")
    assert found == value
    assert type(found) is int


@pytest.mark.parametrize(
    ("value", "most", "message"),
    [
        (0, None, "seeds must be a whole number of at least 1, got 0"),
        (2.0, None, r"seeds must be a whole number of at least 1, got 2\.0"),
        (True, None, "seeds must be a whole number of at least 1, got True"),
        ("3", None, "seeds must be a whole number of at least 1, got '3'"),
        (6, 5, "seeds must be a whole number from 1 to 5, got 6"),
    ],
)
def test_wrong_counts_are_refused(value, most, message):
    with pytest.raises(ValueError, match=message):
        checks.check_count(value, "seeds", 1, most)
