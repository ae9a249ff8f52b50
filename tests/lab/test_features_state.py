"""Chapter 3's dense students, without a page: what it shows is what was trained, and what is inside them."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from kdlab.backend import keras
from kdlab.evaluation import paired_difference
from kdlab.lab.features_state import CASES, DEFAULTS, SEEDS, FeaturesState, pairs
from kdlab.lab.inside_state import LAYERS, look_inside


@pytest.fixture(scope="module")
def state():
    return FeaturesState()


@pytest.fixture(scope="module")
def few(state):
    return state.train(**DEFAULTS)


def tapped(model, layer, x):
    """What a layer of a Keras model returns: an oracle of its own for ``LiveResult.features``."""
    return np.asarray(keras.Model(model.inputs[0], model.get_layer(layer).output)(x))


def alignment(first, second):
    """CKA by its definition with centred Gram matrices, float64."""
    centre = np.eye(len(first)) - 1 / len(first)
    ours, theirs = (centre @ (f.astype(np.float64) @ f.T.astype(np.float64)) @ centre for f in (first, second))
    return (ours * theirs).sum() / np.linalg.norm(ours) / np.linalg.norm(theirs)


def test_what_is_shown_is_what_was_trained(state, few):
    trainer = state.trainer("few", 16)
    task = {"temperature": 4.0, "alpha": 0.5, "seeds": SEEDS}
    response = trainer.train(**task)
    features = trainer.train(**task, feature_alpha=0.5, method="hint", pairs=[("hidden_2", "hidden_2")])
    alone = trainer.train(temperature=1.0, alpha=0.0, seeds=SEEDS)
    for kind, pair in (("response", response), ("alone", alone)):
        difference = paired_difference(features.test_accuracy, pair.test_accuracy)
        assert few["differences"][kind]["mean"] == pytest.approx(difference.mean, abs=1e-6)
        assert few["differences"][kind]["low"] == pytest.approx(difference.low, abs=1e-6)
        assert few["differences"][kind]["verdict"] == difference.verdict
    model = features.student(3)
    predicted = model.predict(state.data.test.x, verbose=0).argmax(axis=1)
    assert (predicted == state.data.test.y).mean() == pytest.approx(
        few["students"]["features"]["per_epoch"][3][-1], abs=2e-3
    )
    assert few["students"]["features"]["parameters"] == model.count_params()  # no projector in it


def test_the_verdict_is_about_features_beyond_answers(few):
    assert few["differences"]["alone"]["verdict"] == "better"
    assert few["differences"]["response"]["mean"] < few["differences"]["alone"]["mean"]


def test_without_weight_features_change_nothing(state):
    result = state.train(**DEFAULTS | {"feature_alpha": 0.0, "alpha": 0.25})
    assert result["students"]["features"] == result["students"]["response"]
    assert result["differences"]["response"]["verdict"] == "not told apart"


@pytest.mark.parametrize(
    ("teacher", "student", "tied"),
    [
        ("hidden_1", "hidden_2", [("hidden_1", "hidden_2")]),
        ("both", "hidden_1", [("hidden_1", "hidden_1"), ("hidden_2", "hidden_1")]),
        ("hidden_2", "both", [("hidden_2", "hidden_1"), ("hidden_2", "hidden_2")]),
        ("both", "both", [("hidden_1", "hidden_1"), ("hidden_2", "hidden_2")]),
    ],
)
def test_two_choices_say_which_layers_are_tied(teacher, student, tied):
    assert list(pairs(teacher, student)) == tied


def test_another_layer_and_another_method_are_other_students(state, few):
    accuracies = [few["students"]["features"]["per_epoch"]]
    for change in ({"teacher_layer": "hidden_1"}, {"student_layer": "hidden_1"}, {"method": "similarity"}):
        result = state.train(**DEFAULTS | change)
        assert result["students"]["response"] == few["students"]["response"]
        accuracies.append(result["students"]["features"]["per_epoch"])
    assert all(a != b for i, a in enumerate(accuracies) for b in accuracies[:i])


def test_the_cases_do_what_their_buttons_say(state):
    verdicts = [state.train(**DEFAULTS | case.position)["differences"]["response"]["verdict"] for case in CASES]
    assert verdicts == ["better", "not told apart", "worse"]


def test_panels_that_look_at_one_position_share_its_students(state, few, monkeypatch):
    state.train(**DEFAULTS)
    monkeypatch.setattr(state, "_train", None)
    assert look_inside(state, **DEFAULTS)["position"] == few["position"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("temperature", 0, "temperature must be a finite number above 0, got 0"),
        ("alpha", -1, "alpha must be a number from 0 to 1, got -1"),
        ("feature_alpha", 1.5, "feature_alpha must be a number from 0 to 1, got 1.5"),
        ("method", "crd", "method must be one of hint, similarity, .*, got 'crd'"),
        ("teacher_layer", "hidden_3", "teacher_layer must be one of hidden_1, hidden_2, both, got 'hidden_3'"),
        ("student_layer", "logits", "student_layer must be one of hidden_1, hidden_2, both, got 'logits'"),
        ("scenario", "no3", "scenario must be one of few, unlabelled, all"),
        ("width", 4, "width must be one of 8, 16, 32, 64, got 4"),
    ],
)
def test_a_bad_position_is_refused(state, name, value, said):
    with pytest.raises(ValueError, match=said):
        state.train(**DEFAULTS | {name: value})


def test_divergence_is_said_with_its_epoch(state):
    trainer = state.trainer("few", 8)
    state.alone("few", 8)
    rate, trainer.learning_rate = trainer.learning_rate, 1e30
    try:
        with pytest.raises(ValueError, match=r"students diverged .* the first in epoch \d+"):
            state.train(**DEFAULTS | {"width": 8})
    finally:
        trainer.learning_rate = rate


def test_alignment_is_that_of_the_keras_models(state):
    inside, x = look_inside(state, **DEFAULTS), state.data.test.x
    students, _ = state.students(**state.check(**DEFAULTS))
    teacher = state.teacher()[0].student(0)
    assert inside["tied"] == [[1, 1]]
    for i, j in ((0, 0), (1, 2)):
        theirs = tapped(teacher, LAYERS[i], x)
        for stage, models in {
            "before": [students["alone"].student(k, epoch=0) for k in range(SEEDS)],
            "features": [students["features"].student(k) for k in range(SEEDS)],
        }.items():
            expected = np.mean([alignment(theirs, tapped(model, LAYERS[j], x)) for model in models])
            assert inside["cka"][stage][i][j] == pytest.approx(expected, abs=1e-4)


def test_what_is_tied_grows_alike(state):
    alike = look_inside(state, **DEFAULTS | {"alpha": 0.0})["cka"]
    assert alike["before"][1][1] < alike["alone"][1][1] < alike["features"][1][1]


def test_teacher_and_students_lie_in_the_teachers_plane(state):
    plane = look_inside(state, **DEFAULTS | {"teacher_layer": "hidden_1", "student_layer": "hidden_2"})["plane"]
    labels, x = np.array(plane["labels"]), state.data.test.x
    assert set(np.bincount(labels)) == {14}
    features = tapped(state.teacher()[0].student(0), "hidden_1", x)
    fitted = PCA(2).fit(features)
    chosen = np.sort(np.concatenate([np.flatnonzero(state.data.test.y == c)[:14] for c in range(10)]))
    theirs = np.array(plane["points"]["teacher"]).reshape(-1, 2)
    np.testing.assert_allclose(np.abs(theirs), np.abs(fitted.transform(features[chosen])), atol=5e-3)
    assert plane["shares"]["teacher"] == pytest.approx(fitted.explained_variance_ratio_.sum(), abs=1e-4)
    left, right, bottom, top = plane["limits"]
    for values in plane["points"].values():
        x, y = np.array(values).reshape(-1, 2).T
        assert left - 1e-3 <= x.min() <= x.max() <= right + 1e-3
        assert bottom - 1e-3 <= y.min() <= y.max() <= top + 1e-3
