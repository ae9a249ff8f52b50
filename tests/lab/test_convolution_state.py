"""Convolutional students of nuclei: what is shown is what was trained, a stop keeps the maps, a look is the networks'."""

import numpy as np
import pytest

from kdlab.evaluation import mean_interval, paired_difference
from kdlab.lab import convolution_state
from kdlab.lab.convolution_state import DEFAULTS, SHOWN, STAGES, ConvolutionState


@pytest.fixture(scope="module", autouse=True)
def short():
    patch = pytest.MonkeyPatch()
    patch.setattr(convolution_state, "SEEDS", 2)
    patch.setattr(convolution_state, "EPOCHS", 2)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def trained():
    """A state, and the results its training told of."""
    state, told = ConvolutionState(), []
    state.train(told.append, **DEFAULTS)
    return state, told


def test_every_epoch_is_told_and_the_last_has_the_verdict(trained):
    _, told = trained
    assert [(result["done"], result["total"]) for result in told] == [(k, 12) for k in range(1, 13)]
    assert all(result["differences"] is None for result in told[:-1])
    assert list(told[0]["students"]) == ["alone"]
    assert [len(run) for run in told[5]["students"]["response"]["per_epoch"]] == [2, 0]
    students = told[-1]["students"]
    last = {kind: np.array([run[-1] for run in one["per_epoch"]]) for kind, one in students.items()}
    for kind, one in students.items():
        np.testing.assert_allclose(one["accuracy"], mean_interval(last[kind]), atol=1e-3)
    for kind, difference in told[-1]["differences"].items():
        expected = paired_difference(last["features"], last[kind])
        assert difference["mean"] == pytest.approx(expected.mean, abs=1e-3)
        assert difference["verdict"] == expected.verdict


def test_without_weight_the_features_change_nothing_and_the_alone_are_those_of_before(trained):
    state, told = ConvolutionState(), []
    state.train(told.append, **DEFAULTS | {"feature_alpha": 0.0, "stage": "late", "method": "hint"})
    students = told[-1]["students"]
    assert students["features"] == students["response"]
    assert students["alone"] == trained[1][-1]["students"]["alone"]
    assert students["alone"] != students["response"]


def test_who_learns_without_features_is_not_trained_again(trained, monkeypatch):
    state, before = trained
    from kdlab.live.convolutional import ConvolutionalTrainer

    asked, train, told = [], ConvolutionalTrainer.train, []
    monkeypatch.setattr(ConvolutionalTrainer, "train", lambda self, **s: asked.append(s) or train(self, **s))
    state.train(told.append, **DEFAULTS | {"stage": "early"})
    assert [settings["features"].pairs for settings in asked] == [(("stage2", "block1"),)]
    assert [result["done"] for result in told] == [4, 8, 9, 10, 11, 12]
    assert told[-1]["students"]["alone"] == before[-1]["students"]["alone"]
    assert told[-1]["students"]["features"] != before[-1]["students"]["features"]


def test_a_stop_ends_it_and_the_maps_stay_those_of_the_last_finished_training(trained):
    state, _ = trained
    before, told = state.look(0, "middle"), []
    state.train(told.append, lambda: len(told) == 3, **DEFAULTS | {"temperature": 1.0})
    assert [result["done"] for result in told] == [4, 5, 6]  # the students alone were there already
    assert told[-1]["differences"] is None
    assert state.look(0, "middle") == before


def test_attention_is_the_sum_of_squares_over_the_channels(trained):
    state, _ = trained
    look = state.look(7, "late")
    assert look["shape"] == [6, 6]
    assert list(look["attention"]) == ["teacher", "alone", "response", "features"]
    maps = state.shown()[0][7:8] / np.float32(255)
    for layer in state._students["features"].layers:
        maps = layer(maps)
        if layer.name == "block3":
            break
    squares = (maps.numpy()[0] ** 2).sum(axis=-1)
    np.testing.assert_allclose(look["attention"]["features"], (255 * squares / squares.max()).ravel(), atol=3)
    assert len(look["channels"]["teacher"]) == 8


def test_before_any_training_there_is_the_teacher():
    look = ConvolutionState().look(0, "early")
    assert list(look["answers"]) == ["teacher"]
    assert look["shape"] == [24, 24]


def test_as_many_nuclei_of_every_class_are_shown(trained):
    images, labels = trained[0].shown()
    assert images.shape == (SHOWN, 48, 48, 3)
    assert labels == ["inflammatory"] * 4 + ["connective"] * 4 + ["neoplastic"] * 4


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("method", "crd", "method must be one of attention, hint, similarity, got 'crd'"),
        ("stage", "block9", "stage must be one of early, middle, late, got 'block9'"),
        ("feature_alpha", 2, "feature_alpha must be a number from 0 to 1, got 2"),
        ("temperature", 1e9, "temperature must be from 0.01 to 10000 to train in single precision, got 1e"),
    ],
)
def test_a_bad_position_is_refused(name, value, said):
    with pytest.raises(ValueError, match=said):
        ConvolutionState().train(None, **DEFAULTS | {name: value})


def test_a_nucleus_or_stage_that_is_not_there_is_refused(trained):
    with pytest.raises(ValueError, match="image must be a whole number from 0 to 11, got 12"):
        trained[0].look(12, next(iter(STAGES)))
    with pytest.raises(ValueError, match="stage must be one of early, middle, late, got 'x'"):
        trained[0].look(0, "x")
