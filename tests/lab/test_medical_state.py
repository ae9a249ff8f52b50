"""Chapter 4's state: what is shown is what was trained and tested, a stop keeps what there was, chance is counted right."""

import subprocess
import sys

import numpy as np
import pytest

from kdlab import timing
from kdlab.clinical import auc, bootstrap_interval, one_against_rest, paired_bootstrap, sensitivity, specificity
from kdlab.datasets.nuclei import fields, regions, views
from kdlab.evaluation import (
    expected_calibration_error,
    mean_interval,
    paired_difference,
    reliability_diagram,
    samples_needed,
    wilson_interval,
)
from kdlab.lab import medical_figures, medical_state
from kdlab.lab.medical_figures import chance
from kdlab.lab.medical_questions import medical_questions
from kdlab.lab.medical_state import DEFAULTS, SHOWN, MedicalState
from kdlab.softening import softmax

NEOPLASTIC = 2


@pytest.fixture(scope="module", autouse=True)
def short():
    patch = pytest.MonkeyPatch()
    for name, value in {
        "SEEDS": 2,
        "LEAK_SEEDS": 2,
        "EPOCHS": 2,
        "SECONDS": 0.02,
        "views": lambda x: views(x)[:2],
    }.items():
        patch.setattr(medical_state, name, value)
    patch.setattr(medical_figures, "RESAMPLES", 200)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def trained():
    """A state, what was known before any training, and the results its training told of."""
    state, told = MedicalState(), []
    before = {"decision": state.decide(NEOPLASTIC), "cost": state.cost()}
    assert state.train(told.append, **DEFAULTS)
    return state, before, told


def probabilities(state, name, split="test"):
    logits = state.networks()[name](getattr(state.data, split).x, training=False).numpy()
    return softmax(logits.astype(np.float64))


def test_every_epoch_is_told_and_the_last_has_the_difference(trained):
    _, _, told = trained
    assert [(result["done"], result["total"]) for result in told] == [(k, 8) for k in range(1, 9)]
    assert all(result["difference"] is None for result in told[:-1])
    assert [len(run) for run in told[2]["students"]["alone"]["per_epoch"]] == [2, 1]
    assert list(told[3]["students"]) == ["alone"]
    last = {kind: np.array([run[-1] for run in one["per_epoch"]]) for kind, one in told[-1]["students"].items()}
    for kind, one in told[-1]["students"].items():
        np.testing.assert_allclose(one["accuracy"], mean_interval(last[kind]), atol=1e-3)
    expected = paired_difference(last["distilled"], last["alone"])
    assert told[-1]["difference"]["mean"] == pytest.approx(expected.mean, abs=1e-3)
    assert told[-1]["difference"]["verdict"] == expected.verdict


def test_the_networks_are_the_first_seeds_pair_and_the_shipped_teacher(trained):
    state, _, told = trained
    networks = state.networks()
    assert list(networks) == ["teacher", "alone", "distilled"]
    for kind in ("alone", "distilled"):
        right = (probabilities(state, kind).argmax(axis=1) == state.data.test.y).mean()
        assert right == pytest.approx(told[-1]["students"][kind]["per_epoch"][0][-1], abs=1e-4)
    right = (probabilities(state, "teacher").argmax(axis=1) == state.data.test.y).mean()
    assert told[0]["teacher"]["accuracy"] == pytest.approx(right)
    assert right > 0.8


def test_another_position_trains_other_distilled_students_and_the_alone_are_kept(trained):
    state, _, first = trained
    told, moved = [], []
    kept = state.networks()

    def progress(result):
        told.append(result)
        moved.append(len(told) == 2)

    assert not state.train(progress, moved=lambda: moved[-1], temperature=1.0, alpha=0.5)
    assert [result["done"] for result in told] == [5, 6]
    assert told[-1]["students"]["alone"] == {"per_epoch": first[-1]["students"]["alone"]["per_epoch"]}
    assert told[-1]["students"]["distilled"]["per_epoch"][0] != first[-1]["students"]["distilled"]["per_epoch"][0]
    assert told[-1]["position"] == {"temperature": 1.0, "alpha": 0.5}
    assert all(state.networks()[name] is kept[name] for name in kept)  # it did not come to its end


def test_a_stop_ends_also_the_students_alone_and_a_move_does_not():
    state, told = MedicalState(), []
    assert not state.train(told.append, stop=lambda: True, **DEFAULTS)
    assert [result["done"] for result in told] == [1]
    assert list(state.networks()) == ["teacher"]
    assert not state.train(told.append, moved=lambda: True, **DEFAULTS)
    assert [result["done"] for result in told[1:]] == [1, 2, 3, 4, 5]
    assert state.train(told.append, temperature=2.0, alpha=0.0)
    assert told[-1]["students"]["distilled"] == told[-1]["students"]["alone"]  # without weight the teacher says nothing


def test_the_threshold_is_a_point_of_the_curve(trained):
    state, before, _ = trained
    assert list(before["decision"]["networks"]) == ["teacher"]
    found = state.decide(NEOPLASTIC)
    assert (found["positive"], found["negative"]) == (80, 267)
    bounds = state.waver(NEOPLASTIC, 0.3)
    assert bounds["position"]["students"] == found["position"]["students"] != before["decision"]["position"]["students"]
    scores = {}
    for name, one in found["networks"].items():
        scores[name], labels = one_against_rest(probabilities(state, name), state.data.test.y, NEOPLASTIC)
        roc = one["roc"]
        at = [None, *roc["thresholds"][1:]]
        last = max(i for i, t in enumerate(at) if t is None or t >= 0.3)  # as the browser looks it up
        assert roc["sensitivity"][last] == pytest.approx(sensitivity(scores[name], labels, 0.3))
        assert 1 - roc["false_positive_rate"][last] == pytest.approx(specificity(scores[name], labels, 0.3))
        assert one["auc"] == pytest.approx(auc(scores[name], labels))
        confusion = np.array(one["confusion"])
        assert np.trace(confusion) / confusion.sum() == pytest.approx(one["accuracy"][0])
        assert confusion.sum(axis=1).tolist() == np.bincount(state.data.test.y).tolist()
        expected = bootstrap_interval("sensitivity", scores[name], labels, 0.3, resamples=200)
        assert bounds["networks"][name]["sensitivity"] == pytest.approx(list(expected))
    expected = paired_bootstrap("auc", scores["distilled"], scores["alone"], labels, resamples=200)
    assert bounds["difference"]["auc"]["mean"] == pytest.approx(expected.mean)
    assert bounds["difference"]["auc"]["low"] == pytest.approx(expected.low)


def test_youdens_threshold_is_the_best_of_the_validation_nuclei(trained):
    state, _, _ = trained
    chosen = state.decide(0)["networks"]["teacher"]["youden"]
    scores, labels = one_against_rest(probabilities(state, "teacher", "validation"), state.data.validation.y, 0)
    gains = [sensitivity(scores, labels, t) + specificity(scores, labels, t) for t in np.linspace(0, 1, 201)]
    at_chosen = sensitivity(scores, labels, chosen) + specificity(scores, labels, chosen)
    assert at_chosen >= max(gains) - 1e-9


def test_calibration_is_that_of_the_networks(trained):
    state, _, _ = trained
    for name, one in state.calibration()["networks"].items():
        p = probabilities(state, name)
        assert one["error"] == pytest.approx(expected_calibration_error(p, state.data.test.y, 10))
        assert one["count"] == reliability_diagram(p, state.data.test.y, 10).count.tolist()
        assert one["mean_confidence"] == pytest.approx(p.max(axis=1).mean())
        gap = mean_interval(p.max(axis=1) - (p.argmax(axis=1) == state.data.test.y))
        assert [one["gap"][part] for part in ("mean", "low", "high")] == pytest.approx(list(gap))
        assert one["gap"]["verdict"] == ("better" if gap.low > 0 else "worse" if gap.high < 0 else "not told apart")


def test_the_cost_is_counted_measured_and_compared(trained):
    state, before, told = trained
    assert list(before["cost"]["accuracy"]) == ["teacher"]
    cost = state.cost()
    assert cost["networks"] == before["cost"]["networks"] != state.cost(again=True)["networks"]
    teacher, student = cost["networks"]["teacher"], cost["networks"]["student"]
    # By hand: three convolutions of 3×3 at 24, 12 and 6 pixels a side, their batch normalization, three logits.
    products = 9 * (24**2 * 3 * 8 + 12**2 * 8 * 16 + 6**2 * 16 * 32) + 32 * 3
    weights = 9 * (3 * 8 + 8 * 16 + 16 * 32) + 4 * (8 + 16 + 32) + 33 * 3
    assert (student["multiply_adds"], student["parameters"], student["bytes"]) == (products, weights, 4 * weights)
    assert teacher["parameters"] > 30 * weights
    for batch in ("1", "32"):
        median, low, high = teacher["seconds"][batch]
        assert 0 < low <= median <= high
    right = round(347 * told[-1]["students"]["alone"]["per_epoch"][0][-1])
    assert cost["accuracy"]["alone"] == pytest.approx(list(wilson_interval(right, 347)))


def test_each_networks_time_is_its_own(trained, monkeypatch):
    state = trained[0]
    monkeypatch.setattr(state, "_costs", None)
    monkeypatch.setattr(timing, "time_per_example", lambda run, x, batch, seconds: (float(run(x[:batch]).max()),) * 4)
    x = state.data.test.x
    networks = state.cost()["networks"]
    for name, network in (("teacher", state._teacher()), ("student", medical_state.build_student(0))):
        for batch in (1, 32):
            expected = float(network(x[:batch], training=False).numpy().max())
            assert networks[name]["seconds"][str(batch)] == pytest.approx([expected] * 3, rel=1e-4)


def test_the_leak_trains_the_same_student_on_both_splits(trained):
    state, _, first = trained
    told = []
    state.leakage(told.append)
    assert [(result["done"], result["total"]) for result in told] == [(k, 8) for k in range(1, 9)]
    splits = told[-1]["splits"]
    assert splits["region"]["per_epoch"] == first[-1]["students"]["alone"]["per_epoch"]
    last = {name: [run[-1] for run in one["per_epoch"]] for name, one in splits.items()}
    assert last["random"] != last["region"]
    expected = paired_difference(last["random"], last["region"])
    assert told[-1]["difference"]["mean"] == pytest.approx(expected.mean, abs=1e-3)
    state.leakage(told.append, stop=lambda: True)
    assert told[-1]["done"] == 1


def test_what_is_seen_first_needs_no_tensorflow():
    code = (
        "import sys; from kdlab.lab.medical import Chapter; c = Chapter(); c.images(); c.chance(); c.training();"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pages_of_test_nuclei_are_of_their_classes_and_differ(trained):
    state, _, _ = trained
    test = np.round(255 * state.data.test.x).astype(np.uint8)
    first, second = state.images(), state.images(1)
    assert first.shape == (3 * SHOWN, 48, 48, 3)
    for i, image in enumerate(first):
        where = np.flatnonzero((test == image).all(axis=(1, 2, 3)))
        assert set(test_label := state.data.test.y[where].tolist()) == {i // SHOWN}, test_label
    assert not any((image == first).all(axis=(1, 2, 3)).any() for image in second)


def test_the_slide_tells_of_every_nucleus(trained):
    state, _, _ = trained
    slide = state.slide()
    field = fields()["nest"]
    assert sum(map(sum, slide["counts"].values())) + slide["left_out"] == len(field.y)
    assert slide["counts"]["test"] == np.bincount(field.y[regions(field, 48) == "test"]).tolist()
    assert slide["bands"][3] == [850 / 1500, 1350 / 1500, "test"]
    assert slide["picture"].startswith("data:image/jpeg;base64,/9j/")


def test_chance_of_the_published_difference():
    found = chance(253, 0.8999, 0.8956)
    assert found["right"] == [228, 227]
    assert found["intervals"][0] == list(wilson_interval(228, 253))
    assert found["needed"] == samples_needed(0.8956, 0.8999) > 70_000
    assert found["standard_error"] == pytest.approx(np.sqrt((0.8999 * 0.1001 + 0.8956 * 0.1044) / 253))
    assert chance(10, 0.9, 0.9)["needed"] is None


def test_so_many_samples_tell_two_accuracies_apart_four_times_in_five():
    random, needed = np.random.default_rng(0), samples_needed(0.8, 0.7)
    assert needed == 291  # by hand: 2.8016² · (0.16 + 0.21) / 0.01 = 290.4
    shares = random.binomial(needed, [[0.8], [0.7]], size=(2, 20_000)) / needed
    z = (shares[0] - shares[1]) / np.sqrt((shares * (1 - shares)).sum(axis=0) / needed)
    assert (z > 1.95996).mean() == pytest.approx(0.8, abs=0.015)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda s: s.train(None, temperature=1e9, alpha=0.5), "temperature must be from 0.01 to 10000 to train"),
        (lambda s: s.train(None, temperature=4, alpha=2), "alpha must be a number from 0 to 1, got 2"),
        (lambda s: s.images(-1), "page must be a whole number of at least 0, got -1"),
        (lambda s: chance(0, 0.5, 0.5), "samples must be a whole number of at least 1, got 0"),
        (lambda s: chance(10, 1.5, 0.5), "first must be an accuracy from 0 to 1, got 1.5"),
    ],
)
def test_what_is_not_accepted_is_said(call, said):
    with pytest.raises(ValueError, match=said):
        call(MedicalState())


def test_a_class_or_threshold_that_is_not_there_is_refused(trained):
    with pytest.raises(ValueError, match="class_index must be a whole number from 0 to 2, got 3"):
        trained[0].decide(3)
    with pytest.raises(ValueError, match="threshold must be a number from 0 to 1, got 2"):
        trained[0].waver(0, 2)


def test_every_choice_of_the_questions_has_one_right_answer():
    _, *choices = medical_questions().asked
    assert [[q.check(k).correct for k in range(4)].index(True) for q in choices] == [1, 2, 3]
    assert all(sum(q.check(k).correct for k in range(4)) == 1 for q in choices)
