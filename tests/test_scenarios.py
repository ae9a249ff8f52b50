"""The scenarios: what each keeps, drops or spoils, by value."""

import numpy as np
import pytest

from kdlab.datasets.load import load
from kdlab.scenarios import SCENARIOS, STEPS

DATA = load("digits")
LOGITS = np.random.default_rng(0).normal(size=(3, len(DATA.train), 10)).astype(np.float32)


def places(x):
    """Where the samples stand in the full training set."""
    rows = {row.tobytes(): i for i, row in enumerate(DATA.train.x)}
    return np.array([rows[row.tobytes()] for row in x])


@pytest.fixture(params=SCENARIOS)
def prepared(request):
    return request.param, SCENARIOS[request.param].prepare(DATA, LOGITS)


def test_logits_belong_to_their_samples_and_held_out_data_stay(prepared):
    name, out = prepared
    at = places(out.data.train.x)
    wanted = LOGITS[:, at] if SCENARIOS[name].ensemble else LOGITS[0, at]
    np.testing.assert_array_equal(out.teacher_logits, wanted)
    assert out.data.validation is DATA.validation
    assert out.data.test is DATA.test


def test_all_are_trained_about_as_long(prepared):
    _, out = prepared
    steps = out.epochs * -(-len(out.data.train) // out.batch_size)
    assert steps == pytest.approx(STEPS, rel=0.05)


def test_few_labels_are_five_of_each_class():
    train = SCENARIOS["few"].prepare(DATA, LOGITS).data.train
    assert np.bincount(train.y).tolist() == [5] * 10
    np.testing.assert_array_equal(train.y, DATA.train.y[places(train.x)])


def test_the_unlabelled_keep_the_same_fifty_labels():
    few = SCENARIOS["few"].prepare(DATA, LOGITS).data.train
    train = SCENARIOS["unlabelled"].prepare(DATA, LOGITS).data.train
    labelled = np.flatnonzero(train.y >= 0)
    assert len(train) == len(DATA.train)
    assert sorted(places(few.x)) == labelled.tolist()
    np.testing.assert_array_equal(train.y[labelled], DATA.train.y[labelled])


def test_three_labels_in_ten_are_wrong():
    train = SCENARIOS["wrong"].prepare(DATA, LOGITS).data.train
    assert (train.y != DATA.train.y).sum() == round(0.3 * len(DATA.train))


@pytest.mark.parametrize(("name", "kept"), [("no3", {0, 1, 2, 4, 5, 6, 7, 8, 9}), ("only78", {7, 8})])
def test_classes_are_left_out_whole(name, kept):
    train = SCENARIOS[name].prepare(DATA, LOGITS).data.train
    assert set(train.y.tolist()) == kept
    assert len(train) == np.isin(DATA.train.y, list(kept)).sum()
