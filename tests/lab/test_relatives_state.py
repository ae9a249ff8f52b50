"""Chapter 3's relatives, without a page: mutual learning, students together, another view."""

import numpy as np
import pytest

from kdlab.datasets.views import VIEWS
from kdlab.evaluation import paired_difference
from kdlab.lab.features_state import SEEDS, FeaturesState
from kdlab.lab.relatives_state import SHOWN, TOGETHER, VIEW_TITLES, RelativesState
from kdlab.softening import softmax

TASK = {"temperature": 2.0, "alpha": 0.5, "scenario": "few", "width": 16}


@pytest.fixture(scope="module")
def features():
    return FeaturesState()


@pytest.fixture(scope="module")
def state(features):
    return RelativesState(features)


def test_pairs_are_compared_pair_by_pair(state, features):
    out, trainer = state.mutual(**TASK), features.trainer("few", 16)
    pairs = [trainer.train_mutually(2.0, alpha, SEEDS) for alpha in (0.5, 0.0)]
    together, alone = (np.mean([result.test_accuracy for result in pair], axis=0) for pair in pairs)
    expected = paired_difference(together, alone)
    assert out["difference"]["mean"] == pytest.approx(expected.mean, abs=1e-6)
    assert out["difference"]["verdict"] == expected.verdict
    assert np.shape(out["students"]["with"]["per_epoch"])[0] == 2 * SEEDS
    assert out["students"]["with"]["accuracy"][0] == pytest.approx(together.mean(), abs=1e-6)
    assert out["position"] == TASK


def test_students_together_answer_by_their_mean_probability(state, features):
    out = state.ensemble(**TASK)
    trained = features.trainer("few", 16).train(2.0, 0.5, seeds=SEEDS * TOGETHER)
    groups = softmax(trained.test_logits).reshape(SEEDS, TOGETHER, -1, 10).mean(axis=1)
    right = [(group.argmax(axis=1) == features.data.test.y).mean() for group in groups]
    assert out["together"]["distilled"][-1][0] == pytest.approx(np.mean(right), abs=1e-6)
    assert len(out["together"]["alone"]) == TOGETHER
    gain = out["gain"]["alone"]
    assert gain["mean"] == pytest.approx(out["together"]["alone"][-1][0] - out["together"]["alone"][0][0], abs=1e-6)
    assert gain["verdict"] == "better"


@pytest.mark.parametrize("view", VIEWS)
def test_a_teacher_that_sees_the_whole_helps_one_that_sees_less(state, view):
    out = state.other_view(view, temperature=4.0, alpha=0.9, width=16)
    assert out["difference"]["verdict"] == "better"
    assert out["students"]["with"]["accuracy"][0] < out["teacher"]
    assert out["position"]["view"] == view


def test_pictures_are_of_the_same_digits(state, features):
    images = state.view_images()
    assert images.shape == (1 + len(VIEWS), SHOWN, 64)
    np.testing.assert_array_equal(images[0], np.round(255 * features.data.test.x[:SHOWN]))
    half = images[1 + list(VIEWS).index("left_half")].reshape(SHOWN, 8, 8)
    np.testing.assert_array_equal(half[:, :, :4], images[0].reshape(SHOWN, 8, 8)[:, :, :4])
    assert not half[:, :, 4:].any()


def test_every_view_has_a_title():
    assert list(VIEW_TITLES) == list(VIEWS)


@pytest.mark.parametrize(
    ("method", "changes", "said"),
    [
        ("mutual", {"scenario": "no3"}, "scenario must be one of few"),
        ("ensemble", {"width": 5}, "width must be one of 8"),
        ("mutual", {"temperature": -1}, "temperature must be a finite number above 0"),
        ("other_view", {"view": "upside_down"}, "view must be one of left_half, edges, got 'upside_down'"),
    ],
)
def test_a_bad_task_is_refused(state, method, changes, said):
    with pytest.raises(ValueError, match=said):
        getattr(state, method)(**TASK | changes)


def test_divergence_is_said(state, features):
    trainer = features.trainer("all", 8)
    rate, trainer.learning_rate = trainer.learning_rate, 1e30
    try:
        with pytest.raises(ValueError, match=r"students diverged .* the first in epoch \d+"):
            state.mutual(**TASK | {"scenario": "all", "width": 8})
    finally:
        trainer.learning_rate = rate
