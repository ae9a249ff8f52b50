"""A sweep's table: every digit survives the file, and the choice looks at validation data alone."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kdlab.runs.sweep_table import Point, SweepTable, read_points, write_points

TEMPERATURES, ALPHAS, SEEDS = (1.0, 4.0, 20.0), (0.1, 0.9), (3, 4, 5)


def point(temperature, alpha, seed, validation, test):
    return Point(temperature, alpha, seed, validation, test, epochs=5, best_epoch=3, seconds=1.5, run="abc")


@pytest.fixture
def accuracies():
    """Validation and test accuracies of students (T, A, S) and of those alone (S,)."""
    random = np.random.default_rng(0)
    return {name: random.uniform(0.5, 0.9, (3, 2, 3)) for name in ("validation", "test")} | {
        f"{name} alone": random.uniform(0.5, 0.9, 3) for name in ("validation", "test")
    }


def table(accuracies, seeds=SEEDS):
    points = []
    for s, seed in enumerate(seeds):
        points.append(point(None, 0.0, seed, accuracies["validation alone"][s], accuracies["test alone"][s]))
        for t, temperature in enumerate(TEMPERATURES):
            for a, alpha in enumerate(ALPHAS):
                place = t, a, s
                points.append(
                    point(temperature, alpha, seed, accuracies["validation"][place], accuracies["test"][place])
                )
    order = np.random.default_rng(1).permutation(len(points))
    return SweepTable(TEMPERATURES, ALPHAS, seeds, tuple(points[i] for i in order))


def test_differences_are_the_means_over_seeds_of_pairs(accuracies):
    wanted = [
        [
            math.fsum(accuracies["validation"][t, a, s] - accuracies["validation alone"][s] for s in range(3)) / 3
            for a in range(2)
        ]
        for t in range(3)
    ]
    np.testing.assert_allclose(table(accuracies).differences(), wanted, rtol=1e-12)


def test_the_point_is_chosen_on_validation_and_judged_on_test(accuracies):
    accuracies["validation"][2, 0] = 0.95
    accuracies["test"][1, 1] = 0.99  # a trap
    found = table(accuracies)
    assert found.chosen() == (20.0, 0.1)
    summary = found.summary()
    assert (summary["temperature"], summary["alpha"], summary["seeds"]) == (20.0, 0.1, [3, 4, 5])
    distilled, alone = accuracies["test"][2, 0], accuracies["test alone"]
    assert summary["test_accuracy"]["mean"] == pytest.approx(distilled.mean())
    assert summary["student_alone_test_accuracy"]["mean"] == pytest.approx(alone.mean())
    test = stats.ttest_rel(distilled, alone).confidence_interval(0.95)
    assert list(summary["difference"].values()) == pytest.approx([(distilled - alone).mean(), test.low, test.high])


def test_of_equals_the_first_is_chosen_also_where_rounding_makes_another_seem_better(accuracies):
    accuracies["validation"][:] = 0.7
    accuracies["validation alone"][:] = 0.6
    accuracies["validation"][0, 1] = [0.8, 0.8, 0.8]
    accuracies["validation"][2, 0] = [0.8 + 1e-12, 0.8, 0.8]
    assert table(accuracies).chosen() == (1.0, 0.9)


@pytest.mark.parametrize(
    ("gain", "verdict", "begins"),
    [
        ([0.05, 0.06, 0.05], "helps", "Distillation helps here: T = 1, alpha = 0.1"),
        ([-0.05, -0.06, -0.05], "hurts", "Distillation hurts here: T = 1, alpha = 0.1"),
        ([0.05, -0.06, 0.02], "no detectable difference", "No detectable difference: T = 1, alpha = 0.1"),
    ],
)
def test_the_sentence_says_what_the_interval_says(accuracies, gain, verdict, begins):
    accuracies["validation"][0, 0] = 0.99
    accuracies["test"][0, 0] = accuracies["test alone"] + gain
    summary = table(accuracies).summary()
    assert summary["verdict"] == verdict
    assert summary["sentence"].startswith(begins)
    assert f"{100 * np.mean(gain):+.2f} points on average over 3 seeds" in summary["sentence"]


def test_one_seed_is_never_a_verdict(accuracies):
    accuracies["test"][:] = 1.0
    summary = table(accuracies, seeds=(0,)).summary()
    assert summary["difference"] is None
    assert summary["verdict"] == "no detectable difference"
    assert "one seed has no spread to judge by" in summary["sentence"]


def test_students_that_all_guess_are_not_compared(accuracies):
    accuracies["test"][:] = accuracies["test alone"] + np.array([0.05, 0.06, 0.05])
    known = table(accuracies)
    assert known.summary()["sentence"].startswith("Distillation helps here")
    guessing = SweepTable(TEMPERATURES, ALPHAS, SEEDS, tuple(replace(one, at_chance=True) for one in known.points))
    assert guessing.guesses() == guessing.guesses(4.0, 0.9) == [True] * 3
    assert guessing.summary()["sentence"].startswith(
        "No student can be told from guessing, so comparing them says nothing"
    )
    one_knows = tuple(replace(one, at_chance=one.seed != 4) for one in known.points)
    mixed = SweepTable(TEMPERATURES, ALPHAS, SEEDS, one_knows)
    assert mixed.guesses(1.0, 0.1) == [True, False, True]
    assert mixed.summary()["sentence"].startswith("Distillation helps here")


@pytest.mark.parametrize("gain", [0.01, -0.01])
def test_seeds_that_all_differ_by_the_same_are_no_verdict(accuracies, gain):
    """Of 100 test samples, say, one more is right with every seed: no spread is not certainty."""
    accuracies["validation"][0, 0] = 0.99
    accuracies["test alone"][:] = 0.5
    accuracies["test"][0, 0] = 0.5 + gain
    summary = table(accuracies).summary()
    assert summary["verdict"] == "no detectable difference"
    assert f"{100 * gain:+.2f} points on average over 3 seeds (all equal: no spread to judge by)" in summary["sentence"]
    # Two sets of 0.5 and 0.51 or 0.49: (1.960 + 0.842)² · (0.25 + 0.2499) / 0.01² samples.
    told = "Detecting such a difference in a single pair would take about 39,000 or fewer test samples."
    assert summary["sentence"].endswith(told)


def test_of_equal_means_nothing_is_said_to_be_found_by_more_samples(accuracies):
    accuracies["validation"][0, 0] = 0.99
    accuracies["test alone"][:] = [0.1, 0.2, 0.3]
    accuracies["test"][0, 0] = [0.3, 0.2, 0.1]  # the sums differ by rounding
    assert "would take" not in table(accuracies).summary()["sentence"]


def test_places_are_every_student_once_and_those_alone_first():
    places = SweepTable.places(TEMPERATURES, ALPHAS, SEEDS)
    assert places[:3] == [(None, 0.0, 3), (None, 0.0, 4), (None, 0.0, 5)]
    assert len(places) == len(set(places)) == 3 + 18
    assert set(places[3:]) == {(t, a, s) for t in TEMPERATURES for a in ALPHAS for s in SEEDS}


# --- the file

share = st.floats(0, 1)
points = st.builds(
    Point,
    temperature=st.none() | st.floats(1e-3, 1e6),
    alpha=share,
    seed=st.integers(0, 2**32),
    validation_accuracy=share,
    test_accuracy=share,
    epochs=st.integers(1, 1000),
    best_epoch=st.integers(1, 1000),
    seconds=st.floats(0, 1e6),
    run=st.text("0123456789abcdef", min_size=1, max_size=16),
    at_chance=st.booleans(),
)


@given(st.lists(points, max_size=5))
def test_every_digit_survives_the_file(some):
    assert read_points(write_points(some)) == some


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: "", "t.csv is not a table of a sweep"),
        (lambda text: "a,b\n1,2\n", "t.csv is not a table of a sweep"),
        (lambda text: text[:-20], "t.csv is damaged in line 3"),
        (lambda text: text.replace("0.75", "much"), "t.csv is damaged in line 2"),
        (lambda text: text + "1.0,0.5\n", "t.csv is damaged in line 4"),
    ],
)
def test_a_file_that_is_something_else_or_cut_off_is_refused(spoil, message):
    text = write_points([point(1.0, 0.5, 0, 0.75, 0.5), point(None, 0.0, 1, 0.5, 0.5)])
    with pytest.raises(ValueError, match=message):
        read_points(spoil(text), "t.csv")
