"""Chapter 1's state and view, without a browser."""

import math

import numpy as np
import pytest

from kdlab.datasets.dataset import digits_logits
from kdlab.lab.temperature import Chapter
from kdlab.lab.temperature_state import TemperatureState, gradient_curves
from kdlab.softening import softmax


@pytest.fixture(scope="module")
def state():
    return TemperatureState()


def test_ambiguous_digits_come_first(state):
    leads = np.sort(softmax(state.teacher_logits), axis=1)
    leads = leads[:, -1] - leads[:, -2]
    assert state.order[0] == leads.argmin() == state.digit
    assert (np.diff(leads[state.order]) >= 0).all()
    assert sorted(state.order) == list(range(600))


def test_probabilities_follow_temperature_digit_and_logits():
    state = TemperatureState(temperature=2, digit=5)
    np.testing.assert_array_equal(state.probabilities(), softmax(digits_logits()["teacher"][5], 2))
    state.logits = range(10)
    np.testing.assert_allclose(state.probabilities(), softmax(np.arange(10.0), 2))
    state.logits = []
    state.temperature = 8
    np.testing.assert_array_equal(state.probabilities(), softmax(digits_logits()["teacher"][5], 8))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("temperature", 0, "temperature must be a finite number above 0, got 0"),
        ("temperature", math.nan, "temperature must be a finite number above 0, got nan"),
        ("temperature", "4", "temperature must be a finite number above 0, got '4'"),
        ("digit", 600, "digit must be a whole number from 0 to 599, got 600"),
        ("digit", True, "digit must be a whole number from 0 to 599, got True"),
        ("digit", 1.5, "digit must be a whole number from 0 to 599, got 1.5"),
        ("logits", [1.0, 2.0], "logits must be ten numbers, one per digit, or none, got 2"),
        ("logits", [math.inf] * 10, "logits must be finite, got 10 value"),
    ],
)
def test_a_bad_value_is_refused_and_the_last_good_one_stays(name, value, said):
    state = TemperatureState(temperature=3.0, digit=7)
    before = getattr(state, name)
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        setattr(state, name, value)
    assert getattr(state, name) == before


def test_gradient_curves_against_direct_numbers(state):
    samples = slice(0, 50)
    student, teacher, labels = (
        state.student_logits[samples],
        state.teacher_logits[samples],
        state.test.y[samples],
    )
    curves = gradient_curves(student, teacher, labels, [0.5, 4.0, 1e4])
    for i, t in enumerate(curves["temperatures"]):
        norms = [np.linalg.norm((softmax(s, t) - softmax(z, t)) / t) for s, z in zip(student, teacher, strict=True)]
        assert curves["without_square"][i] == pytest.approx(np.mean(norms), rel=1e-4)
        assert curves["with_square"][i] == pytest.approx(np.mean(norms) * t**2, rel=1e-4)
    hard = [np.linalg.norm(softmax(s) - np.eye(10)[y]) for s, y in zip(student, labels, strict=True)]
    assert curves["hard"] == pytest.approx(np.mean(hard), rel=1e-4)
    assert curves["cosine"][0] < 0.9
    assert curves["cosine"][-1] == pytest.approx(1, abs=1e-3)


def test_state_and_panel_follow_each_other():
    chapter = Chapter()
    panel = chapter.softened_bars()
    panel.temperature = 9.0
    assert chapter.state.temperature == 9.0
    chapter.state.digit = 11
    assert panel.digit == 11
    with pytest.raises(ValueError, match="temperature must be a finite number above 0"):
        chapter.state.temperature = -1
    assert panel.temperature == 9.0


def test_all_panels_of_a_chapter_share_one_page():
    chapter = Chapter()
    panels = [
        chapter.softened_bars(),
        chapter.dark_knowledge(),
        chapter.temperature_squared(),
        chapter.limits(),
    ]
    assert len({panel.page_id for panel in panels}) == 1
    assert Chapter().limits().page_id != panels[0].page_id
