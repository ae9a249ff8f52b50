"""Convolutional students against ``kdlab.Distiller`` fed by hand; what is seen of them, and what a seed fixes."""

from dataclasses import replace

import numpy as np
import pytest

import kdlab
from kdlab import FeatureDistillation, models
from kdlab.backend import keras, tf
from kdlab.datasets import nuclei
from kdlab.datasets.dataset import Split
from kdlab.features.taps import tap
from kdlab.live.convolutional import ConvolutionalTrainer

SAMPLES, EPOCHS = 70, 2  # two whole batches of 32, and six samples left out of each epoch
HINT = FeatureDistillation("hint", [("block1", "block1")])
ATTENTION = FeatureDistillation("attention", [("block1", "block1"), ("block2", "block1")])


def build(seed, channels=(4,)):
    return models.small_cnn((8, 8, 1), 10, seed, channels=channels)


@pytest.fixture(scope="module")
def data():
    digits = kdlab.load("digits")
    splits = {name: getattr(digits, name) for name in ("train", "validation", "test")}
    images = {n: Split(s.x[:SAMPLES].reshape(-1, 8, 8, 1), s.y[:SAMPLES]) for n, s in splits.items()}
    return replace(digits, **images)


@pytest.fixture(scope="module")
def teacher():
    return build(5, (8, 9))


@pytest.fixture(scope="module")
def trainer(data, teacher):
    return ConvolutionalTrainer(data, teacher, build, epochs=EPOCHS, batch_size=32)


@pytest.fixture(scope="module")
def result(trainer):
    return trainer.train(3.0, 0.7, seeds=2, features=HINT, feature_alpha=0.4)


def same(first, second):
    return all(np.allclose(a, b, atol=1e-5) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


@pytest.fixture(scope="module")
def viewing(data, teacher):
    return ConvolutionalTrainer(data, teacher, build, epochs=EPOCHS, batch_size=32, views=nuclei.views)


def test_another_position_traces_nothing_and_leaves_no_trace(trainer, monkeypatch):
    """The first test, for it has to be the first that trains."""
    traced, loss = [], kdlab.Distiller.compute_loss
    monkeypatch.setattr(kdlab.Distiller, "compute_loss", lambda *a, **k: traced.append(1) or loss(*a, **k))
    first = trainer.train(3.0, 0.7, seeds=1)
    once = len(traced)
    assert once > 0
    trainer.train(1.0, 0.0, seeds=1)
    again = trainer.train(3.0, 0.7, seeds=1)
    assert len(traced) == once
    assert same(again.students[0], first.students[0])
    np.testing.assert_allclose(again.train_loss, first.train_loss, rtol=1e-5)


def check_against_distiller(trainer, data, teacher, features):
    """By hand: batch after batch, the teacher run in each of them."""
    settings = {"temperature": 3.0, "alpha": 0.7, "features": features, "feature_alpha": 0.4 if features else 0.0}
    distiller = kdlab.Distiller(teacher=teacher, student=build(1), **settings)
    distiller.compile(keras.optimizers.Adam(trainer.learning_rate), run_eagerly=True)
    losses = []
    for order in trainer.batch_order(1):
        assert order.shape == (2, 32)
        assert len(np.unique(order)) == 64
        of_epoch = []
        for batch in order:
            distiller.reset_metrics()
            x, y = (tf.constant(part[batch]) for part in (data.train.x, data.train.y))
            of_epoch.append(distiller.train_on_batch(x, y, return_dict=True)["loss"])
        losses.append(np.mean(of_epoch))
    found = trainer.train(seeds=2, **settings)
    assert same(found.students[1], distiller.student)
    np.testing.assert_allclose(found.train_loss[1], losses, rtol=1e-4)
    answers = distiller.student(data.test.x, training=False).numpy().argmax(axis=1)
    assert found.test_accuracy[1] == pytest.approx(np.mean(answers == data.test.y), abs=0.02)


def test_it_trains_what_distiller_trains_on_the_same_batches(trainer, data, teacher):
    check_against_distiller(trainer, data, teacher, None)


def test_views_are_seen_with_the_teachers_logits_of_those_very_views(viewing, data, teacher):
    seen = nuclei.views(data.train.x)
    said = teacher(seen.reshape(-1, 8, 8, 1), training=False).numpy().reshape(8, SAMPLES, 10)
    distiller = kdlab.Distiller(student=build(0), temperature=3.0, alpha=0.7)
    distiller.compile(keras.optimizers.Adam(viewing.learning_rate), run_eagerly=True)
    for rows, ways in zip(viewing.batch_order(0), viewing.view_order(0), strict=True):
        assert len(np.unique(ways)) == 8
        for batch, way in zip(rows, ways, strict=True):
            x, y, logits = (tf.constant(part) for part in (seen[way, batch], data.train.y[batch], said[way, batch]))
            distiller.train_on_batch(x, (y, logits))
    assert same(viewing.train(3.0, 0.7, seeds=1).students[0], distiller.student)
    np.testing.assert_allclose(viewing.teacher_logits, said, atol=1e-5)
    with pytest.raises(ValueError, match="features must be None where there are views"):
        viewing.train(seeds=1, features=HINT)


def test_logits_of_another_view_are_those_of_the_one_after(viewing, monkeypatch):
    alone = [viewing.train(alpha=0.0, seeds=1, another_view=other).students[0] for other in (True, False)]
    assert same(*alone)  # without the teacher's term it does not matter
    mismatched = viewing.train(3.0, 0.7, seeds=1, another_view=True)
    assert not same(mismatched.students[0], viewing.train(3.0, 0.7, seeds=1).students[0])
    rolled = viewing.teacher_logits[[1, 2, 3, 4, 5, 6, 7, 0]]
    monkeypatch.setattr(viewing, "teacher_logits", rolled)
    assert same(mismatched.students[0], viewing.train(3.0, 0.7, seeds=1).students[0])


def test_views_that_do_more_than_move_pixels_are_refused(data, teacher):
    with pytest.raises(ValueError, match="views must return views"):
        ConvolutionalTrainer(data, teacher, build, views=lambda x: np.stack([x, 0 * x]))


def test_accuracies_are_those_of_the_students(result, data):
    for split, accuracies in ((data.test, result.test_accuracy), (data.validation, result.validation_accuracy[:, -1])):
        right = result.logits(split.x).argmax(axis=2) == split.y
        np.testing.assert_allclose(accuracies, right.mean(axis=1))
    np.testing.assert_array_equal(result.test_accuracy, result.test_accuracy_per_epoch[:, -1])
    assert result.train_loss.shape == result.validation_accuracy.shape == (2, EPOCHS)


def test_features_are_those_of_the_layer(result, data):
    found = result.features(data.test.x, "block1")
    assert found.shape == (2, SAMPLES, 8, 8, 4)
    np.testing.assert_allclose(found[1], tap(result.students[1], ["block1"])(data.test.x)[1]["block1"], atol=1e-5)
    with pytest.raises(ValueError, match="student has no layer 'block9'; its layers are"):
        result.features(data.test.x, "block9")


def test_a_seed_fixes_all_of_a_run_its_projector_too(trainer, result):
    """Also as one of kinds, which are what each is alone and are kept."""
    keras.utils.set_random_seed(99)
    hint = {"temperature": 3.0, "alpha": 0.7, "features": HINT, "feature_alpha": 0.4}
    kinds = {"alone": {"alpha": 0.0}, "hint": hint}
    found = trainer.train_kinds(kinds, 2)
    assert all(same(*pair) for pair in zip(found["hint"].students, result.students, strict=True))
    assert not same(*result.students)
    assert not same(found["alone"].students[0], result.students[0])
    np.testing.assert_allclose(found["hint"].train_loss, result.train_loss, rtol=1e-5)
    alone = trainer.train(alpha=0.0, seeds=1)
    np.testing.assert_allclose(found["alone"].train_loss[:1], alone.train_loss, rtol=1e-5)
    assert trainer.train_kinds(kinds, 2) == found


def test_the_teacher_is_left_as_it_was_and_keeps_what_it_said(trainer, teacher, data):
    before, said = [w.copy() for w in teacher.get_weights()], trainer._kept_features(False, ("block1",))
    trainer.train(seeds=1, features=HINT)
    for was, now in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    assert trainer._kept_features(False, ("block1",)) is said


def test_progress_shows_the_curves_so_far_and_a_stop_keeps_what_there_is(trainer):
    calls = []

    def progress(done, total, result):
        calls.append((done, total, np.isfinite(result.validation_accuracy).sum()))

    found = trainer.train(seeds=3, progress=progress, stop=lambda: len(calls) == 3)
    assert calls == [(1, 6, 1), (2, 6, 2), (3, 6, 3)]
    assert np.isfinite(found.test_accuracy).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t, d, m: ConvolutionalTrainer(d, m, build, batch_size=0), "batch_size must be a whole number"),
        (lambda t, d, m: t.train(seeds=0), "seeds must be a whole number of at least 1, got 0"),
        (lambda t, d, m: t.train(alpha=2), "alpha must be a number from 0 to 1, got 2"),
        (
            lambda t, d, m: t.train(features=FeatureDistillation("hint", [("block2", "blok1")])),
            "student has no layer 'blok1'; its layers are",
        ),
    ],
)
def test_what_does_not_fit_is_refused(trainer, data, teacher, call, message):
    with pytest.raises(ValueError, match=message):
        call(trainer, data, teacher)


def test_with_attention_it_trains_what_distiller_trains(trainer, data, teacher):
    """Last, for a trainer keeps two kinds of features: with a third the tests before would trace theirs again."""
    check_against_distiller(trainer, data, teacher, ATTENTION)
