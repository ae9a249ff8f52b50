"""Chapter 2's state, without a page: what it shows is what was trained."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from kdlab.evaluation import paired_difference
from kdlab.lab.regions_state import SIDE, RegionsState, plane
from kdlab.lab.response_state import DEFAULTS, SEEDS, ResponseState
from kdlab.lab.response_summary import BIASES
from kdlab.softening import softmax


@pytest.fixture(scope="module")
def state():
    return ResponseState()


@pytest.fixture(scope="module")
def few(state):
    return state.train(**DEFAULTS)


def test_what_is_shown_is_what_was_trained(state, few):
    trainer, alone = state.trainer("few", 16), state.alone("few", 16)
    distilled = trainer.train(temperature=4.0, alpha=0.9, seeds=SEEDS)
    difference = paired_difference(distilled.test_accuracy, alone.test_accuracy)
    assert few["difference"]["mean"] == pytest.approx(difference.mean, abs=1e-6)
    assert few["difference"]["verdict"] == difference.verdict
    assert few["distilled"]["accuracy"][0] == pytest.approx(distilled.test_accuracy.mean(), abs=1e-6)
    model = distilled.student(3)
    predicted = model.predict(state.data.test.x, verbose=0).argmax(axis=1)
    assert (predicted == state.data.test.y).mean() == pytest.approx(few["distilled"]["per_epoch"][3][-1], abs=2e-3)
    assert few["distilled"]["parameters"] == model.count_params() == 64 * 16 + 16 + 16 * 10 + 10


def test_it_helps_with_few_labels_and_loses_with_all(state, few):
    assert few["difference"]["verdict"] == "better"
    everything = state.train(temperature=16.0, alpha=1.0, scenario="all", width=4)
    assert everything["difference"]["verdict"] == "worse"


def test_every_training_time_is_measured(state, few):
    assert min(few[name]["seconds"] for name in ("alone", "distilled")) > 0
    assert few["teacher"]["seconds"] is None  # shipped
    assert state.train(**DEFAULTS | {"scenario": "ensemble"})["teacher"]["seconds"] > 0
    assert state.train(**DEFAULTS | {"temperature": 2.0})["alone"]["seconds"] == few["alone"]["seconds"]


def test_errors_are_counted_over_the_students(state, few):
    distilled = state.trainer("few", 16).train(temperature=4.0, alpha=0.9, seeds=SEEDS)
    wrong = (distilled.test_logits.argmax(axis=-1) != state.data.test.y).sum(axis=0)
    assert [e["distilled"] for e in few["errors"]] == sorted(wrong, reverse=True)[: len(few["errors"])]
    assert all(wrong[e["digit"]] == e["distilled"] for e in few["errors"])
    for error in few["errors"]:
        answers = distilled.test_logits[:, error["digit"]].argmax(axis=-1).tolist()
        others = [answer for answer in answers if answer != error["label"]]
        assert others.count(error["read"]) == max(map(others.count, others))


def test_the_bias_is_chosen_on_validation_and_mends_the_missing_digit(state):
    bias = state.train(temperature=8.0, alpha=0.9, scenario="no3", width=16)["bias"]
    students = state.trainer("no3", 16).train(temperature=8.0, alpha=0.9, seeds=SEEDS)
    logits, labels = students.logits(state.data.validation.x).copy(), state.data.validation.y
    errors = []
    for value in BIASES:
        shifted = logits.copy()
        shifted[..., 3] += value
        errors.append((shifted.argmax(axis=-1) != labels).mean())
    fewest = BIASES[np.isclose(errors, min(errors))]
    assert abs(BIASES[bias["distilled"]["chosen"]]) == np.abs(fewest).min()
    assert BIASES[bias["distilled"]["chosen"]] in fewest
    zero = bias["values"].index(0.0)
    assert bias["distilled"]["errors"][bias["distilled"]["chosen"]] < bias["distilled"]["errors"][zero]
    assert bias["alone"]["class_errors"][zero] == bias["class_samples"]  # a student alone misses every 3
    assert state.train(**DEFAULTS)["bias"] is None


def test_an_ensemble_is_one_teacher_of_ten(state):
    result = state.train(**{**DEFAULTS, "scenario": "ensemble"})
    assert result["teacher"]["count"] == 10
    assert result["teacher"]["accuracy"] > 0.96


def test_ten_are_distilled_into_one(state):
    out = state.from_ten_to_one(**DEFAULTS)
    ten = state.alone("few", 16)
    votes = softmax(ten.test_logits).mean(axis=0).argmax(axis=1)
    right = votes == state.data.test.y
    wilson = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    assert out["together"] == pytest.approx([right.mean(), wilson.low, wilson.high], abs=1e-6)
    assert out["samples"] == len(right)
    assert out["position"] == {"temperature": 4.0, "alpha": 0.9, "width": 16}
    assert out["one"][0] == pytest.approx(ten.test_accuracy.mean(), abs=1e-6)
    assert out["together"][0] > out["one"][0]
    share = (out["distilled"][0] - out["one"][0]) / (out["together"][0] - out["one"][0])
    assert out["share"] == pytest.approx(share, abs=1e-4)


def test_a_drawing_is_answered_by_all_three(state):
    digit = 17
    answer = state.draw(state.data.test.x[digit], **DEFAULTS)
    np.testing.assert_allclose(answer["teacher"], state.teachers(1)[0].test_logits[0, digit], atol=1e-4)
    np.testing.assert_allclose(answer["alone"], state.alone("few", 16).test_logits[0, digit], atol=1e-4)


def test_a_landscape_comes_bit_by_bit_and_stops(state):
    seen = []
    temperatures, alphas = [1, 2, 4, 8, 16], [0.25, 0.5, 0.75, 1.0]
    state.landscape("few", 16, temperatures, alphas, 5, lambda *p: seen.append(p), stop=lambda: True)
    done, total, landscape = seen[-1]
    assert len(seen) == 1
    assert 0 < done < total == 100
    for name in ("differences", "validation"):
        assert sum(value is not None for row in landscape[name] for value in row) == done / 5
    assert landscape["message"] == ""


@pytest.fixture
def landscape(state):
    seen = []
    state.landscape("few", 16, [2, 8], [0.5, 1.0], 3, lambda *p: seen.append(p[-1]), stop=lambda: False)
    return seen[-1]


def test_the_best_cell_of_a_landscape_is_chosen_on_validation(state, landscape):
    pairs = state.alone("few", 16)
    validation, test = {}, {}
    for t, temperature in enumerate([2, 8]):
        for a, alpha in enumerate([0.5, 1.0]):
            students = state.trainer("few", 16).train(temperature, alpha, seeds=3)
            validation[t, a] = (students.validation_accuracy - pairs.validation_accuracy[:3])[:, -1].mean()
            test[t, a] = (students.test_accuracy - pairs.test_accuracy[:3]).mean()
            assert landscape["validation"][t][a] == pytest.approx(validation[t, a], abs=1e-6)
            assert landscape["differences"][t][a] == pytest.approx(test[t, a], abs=1e-6)
    assert validation[tuple(landscape["best"])] == pytest.approx(max(validation.values()), abs=1e-6)
    assert landscape["diverged"] == [[0, 0], [0, 0]]


def test_diverged_cells_have_no_number_and_are_said(state):
    trainer, seen = state.trainer("few", 8), []
    state.alone("few", 8)
    rate, trainer.learning_rate = trainer.learning_rate, 1e30
    try:
        state.landscape("few", 8, [2, 8], [0.5], 2, lambda *p: seen.append(p[-1]), stop=lambda: False)
    finally:
        trainer.learning_rate = rate
    landscape = seen[-1]
    assert landscape["diverged"] == [[2], [2]]
    assert landscape["differences"] == landscape["validation"] == [[None], [None]]
    assert landscape["best"] is None
    assert "4 of 4 students diverged" in landscape["message"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("temperature", 0, "temperature must be a finite number above 0, got 0"),
        ("temperature", math.inf, "temperature must be"),
        ("temperature", 1e8, "temperature must be from 0.01 to 10000 to train in single precision, got 1e.08"),
        ("alpha", 1.5, "alpha must be a number from 0 to 1, got 1.5"),
        ("scenario", "none", "scenario must be one of few, all"),
        ("width", 7, "width must be one of 4, 8, 16, 32, 64, got 7"),
    ],
)
def test_a_bad_position_is_refused(state, name, value, said):
    with pytest.raises(ValueError, match=said):
        state.train(**{**DEFAULTS, name: value})


def test_divergence_is_said_with_its_epoch(state):
    trainer = state.trainer("few", 4)
    state.alone("few", 4)
    rate, trainer.learning_rate = trainer.learning_rate, 1e30
    try:
        with pytest.raises(ValueError, match=r"students diverged .* the first in epoch \d+"):
            state.train(**{**DEFAULTS, "width": 4})
    finally:
        trainer.learning_rate = rate


@pytest.mark.parametrize("shape", ["moons", "spirals"])
def test_the_plane_is_in_the_unit_square_with_equal_classes(shape):
    x, y = plane(shape, 400, seed=0)
    assert x.min() >= 0
    assert x.max() <= 1
    assert y.mean() == 0.5
    assert np.abs(np.corrcoef(x[:, 0], y)[0, 1]) < 0.9


def test_regions_are_the_networks_answers():
    out = RegionsState().train("moons", 4.0, 0.9, seeds=2)
    assert out["position"] == {"shape": "moons", "temperature": 4.0, "alpha": 0.9}
    assert len(out["distilled"]["map"]) == SIDE**2
    assert out["teacher"]["accuracy"] > 0.95
    assert out["teacher"]["accuracy"] > out["alone"]["accuracy"]
    with pytest.raises(ValueError, match="shape must be one of moons, spirals, got 'star'"):
        plane("star", 4, seed=0)
