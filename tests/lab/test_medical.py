"""What chapter 4's cells call: layers that keep their weights, a folder of scans, and tables against what they are of."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from kdlab.backend import keras
from kdlab.lab import medical
from kdlab.segmentation import load_tiles


@pytest.fixture(scope="module")
def model():
    layers = [keras.layers.Dense(4, name=name) for name in ("first", "second", "logits")]
    return keras.Sequential([keras.Input((3,)), *layers])


@pytest.mark.parametrize(("last", "kept"), [("", 0), ("first", 1), ("second", 2), ("logits", 3)])
def test_layers_up_to_the_last_one_keep_their_weights(model, last, kept):
    before = model.get_weights()
    made = medical.with_random_top(model, last)
    same = [np.array_equal(a.kernel, b.kernel) for a, b in zip(made.layers, model.layers, strict=True)]
    assert same == [True] * kept + [False] * (3 - kept)
    assert all(map(np.array_equal, before, model.get_weights()))


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.75, np.inf])
def test_sensitivity_and_specificity_at_a_threshold(threshold):
    random = np.random.default_rng(1)
    ill, scores = random.random(200) < 0.3, random.random(200) * 0.99
    (tn, fp), (fn, tp) = confusion_matrix(ill, scores >= threshold, labels=[False, True])
    expected = [tp / (tp + fn), tn / (tn + fp), tp / (tp + fn) + tn / (tn + fp) - 1]
    assert medical.on_test(scores, ill, threshold) == [f"{value:.3f}" for value in expected]


def test_a_folder_of_scans_is_a_path_that_is_there(tmp_path):
    assert medical.scan_folder(f" {tmp_path} ") == tmp_path
    for wrong in (tmp_path / "nowhere", __file__):
        with pytest.raises(ValueError, match=r"folder must be brain-tumor or the path of a folder .*, got '"):
            medical.scan_folder(str(wrong))


def result(logits, students=1):
    """A ``ConvolutionalResult`` of students that answer with these logits."""
    student = SimpleNamespace(count_params=lambda: 1234)
    return SimpleNamespace(
        logits=lambda x: np.stack([logits] * students),
        students=[student] * students,
        test_accuracy=np.array([0.5, 0.6, 0.7]),
    )


def test_networks_are_judged_on_the_test_scans():
    y = np.array([0, 0, 0, 1, 1])
    test = SimpleNamespace(x=np.zeros((5, 1)), y=y)
    right, never_ill = np.eye(2)[y] * 4, np.tile([2.0, 0.0], (5, 1))
    kinds = {"teacher": result(right), "alone": result(never_ill), "distilled": result(right)}
    kinds["distilled"].test_accuracy = kinds["alone"].test_accuracy + 0.1
    table, _, verdict = medical.judged(SimpleNamespace(test=test, class_names=["no", "yes"]), kinds)
    assert [row[:2] for row in table.rows] == [[name, "1,234"] for name in kinds]
    assert [row[2].split()[0] for row in table.rows] == ["100.0%", "60.0%", "100.0%"]
    assert [row[3:5] for row in table.rows] == [["1.000", "1.000"], ["0.000", "1.000"], ["1.000", "1.000"]]
    assert "first student of each kind; positive: yes; " in table.caption
    assert "the larger class alone would be right on 60.0%" in table.caption
    assert verdict.startswith("Distilled: better than alone. Distilled − alone: +10.0")


def test_dice_of_students_has_intervals_and_a_difference(monkeypatch):
    tiles = load_tiles("test")
    answers = {"alone": np.zeros_like(tiles.classes), "distilled": tiles.classes}
    monkeypatch.setattr("kdlab.unet.segment", lambda student, x: answers[student])
    kinds = {name: SimpleNamespace(students=[name] * 2, validation_dice=np.ones((2, 3))) for name in answers}
    rows = medical.dice_verdicts(kinds, tiles).rows
    assert rows[0] == ["alone", *["0.000 (0.000 to 0.000)"] * 4]
    assert rows[1] == ["distilled", *["1.000 (1.000 to 1.000)"] * 4]
    assert rows[2] == ["distilled − alone", *["+100.0 (+100.0 to +100.0) points"] * 4]
    said = medical.dice_curves(kinds).get_label()
    assert "distilled, student 2: from 1 to 1" in said
