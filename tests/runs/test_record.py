"""What a model came to on test data."""

import keras
import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import recall_score, roc_auc_score

from kdlab.datasets.dataset import Split
from kdlab.runs.record import measure


@pytest.fixture
def identity(tmp_path, monkeypatch):
    """A function from a number of classes to a model whose logits are its input, and its file."""

    monkeypatch.setattr("kdlab.timing.MOST", 10)  # nobody looks at how long it takes

    def make(classes):
        model = keras.Sequential([keras.Input((classes,)), keras.layers.Identity()])
        model.save(tmp_path / "x.keras")
        return model, tmp_path / "x.keras"

    return make


def test_of_two_classes_the_second_is_the_positive_one(identity):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 80).astype(np.int32)
    x = rng.uniform(0, 0.7, (80, 2)).astype(np.float32)
    x[:, 1] += 0.3 * y
    model, file = identity(2)
    found = measure("m", [file], [model], Split(x, y)).to_json()["clinical"]
    called, margin = x.argmax(axis=1), x[:, 1] - x[:, 0]
    assert found["sensitivity"]["mean"] == pytest.approx(recall_score(y, called))
    assert found["specificity"]["mean"] == pytest.approx(recall_score(y, called, pos_label=0))
    assert found["AUC"]["mean"] == pytest.approx(roc_auc_score(y, margin))
    assert found["AUC"]["low"] < found["AUC"]["mean"] < found["AUC"]["high"]
    larger = keras.Sequential([model, keras.layers.Rescaling(256.0)])  # probabilities of 0 and 1, in the same order
    assert measure("m", [file], [larger], Split(x, y)).to_json()["clinical"]["AUC"] == found["AUC"]
    right = int((called[y == 1] == 1).sum())
    oracle = binomtest(right, int((y == 1).sum())).proportion_ci(0.95, method="wilson")
    assert list(found["sensitivity"].values())[1:] == pytest.approx([oracle.low, oracle.high])


def test_of_more_classes_or_a_single_one_there_is_none(identity):
    model, file = identity(3)
    x = np.eye(3, dtype=np.float32)
    assert measure("m", [file], [model], Split(x, np.arange(3, dtype=np.int32))).auc is None
    model, file = identity(2)
    for y in ([0, 0, 0], [0, 1, 0]):  # a bootstrap has nothing to draw from
        assert measure("m", [file], [model], Split(x[:, :2], np.array(y, np.int32))).auc is None


def test_the_accuracy_on_many_samples_is_of_all_classes_though_they_come_in_their_order(identity):
    model, file = identity(2)
    y = np.repeat([0, 1], 4000).astype(np.int32)
    x = np.tile(np.float32([[1, 0]]), (8000, 1))  # class 0, always
    found = measure("m", [file], [model], Split(x[::800], y[::800]), {"training": Split(x, y)})
    assert found.accuracies == {"training": 0.5}
