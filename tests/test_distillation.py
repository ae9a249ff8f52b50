"""``kdlab.distill``: one call, a distilled student and the same student alone."""

import dataclasses
import re
import warnings

import keras
import numpy as np
import pytest

import kdlab
from kdlab.datasets.dataset import Split
from kdlab.distillation import Result
from kdlab.execution import seed_layers
from kdlab.foreign_models import Inputs, adapt
from kdlab.models import mlp
from kdlab.softening import cross_entropy, softmax
from kdlab.teachers.digits import digits_teacher


@pytest.fixture(scope="module")
def data(tenth_of_digits):
    """90 samples to train on, 30 to validate, 32 to test: whole batches, for a smaller one is traced by itself."""
    test = tenth_of_digits.test
    return dataclasses.replace(tenth_of_digits, test=Split(test.x[:32], test.y[:32]))


@pytest.fixture(scope="module")
def teacher():
    return digits_teacher()


def test_it_returns_both_students_with_their_metrics(data, teacher):
    student = mlp(seed=2)
    before = teacher.get_weights()
    result = kdlab.distill(
        teacher, student, data, temperature=2.0, alpha=0.5, epochs=6, batch_size=30, learning_rate=0.03
    )
    assert isinstance(result, Result)
    assert result.student is student
    assert result.student_alone is not student
    for model, metrics in (
        (result.student, result.metrics),
        (result.student_alone, result.student_alone_metrics),
        (teacher, result.teacher_metrics),
    ):
        logits = model(data.test.x).numpy()
        assert metrics["accuracy"] == pytest.approx((logits.argmax(axis=1) == data.test.y).mean())
        assert metrics["loss"] == pytest.approx(cross_entropy(data.test.y, logits).mean(), rel=1e-5)
        assert metrics["accuracy"] > 0.4
    for history in (result.history, result.student_alone_history):
        assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(history)
        assert {len(values) for values in history.values()} == {6}
        assert history["loss"][-1] < history["loss"][0]
    for a, b in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.metrics = {}


def compiled_alone(student):
    student.compile(
        keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True
    )
    return student


def test_same_weights_and_batches_for_both_and_what_is_random_depends_on_the_seed_alone(data, teacher):
    """With alpha = 0 the distilled student is the student alone, dropout and all, and plain Keras's."""

    def student():
        random = [keras.layers.RandomFlip(), keras.layers.GaussianNoise(0.2), keras.layers.Dropout(0.3)]
        layers = [keras.layers.Reshape((8, 8, 1)), *random, keras.layers.Flatten(), keras.layers.Dense(10)]
        model = keras.Sequential([keras.Input((64,)), *layers])
        model.set_weights(
            [0.01 * np.random.default_rng(k).normal(size=w.shape) for k, w in enumerate(model.get_weights())]
        )
        return model

    nothing = Split(data.validation.x[:0], data.validation.y[:0])  # where nothing is random
    part, x, y = dataclasses.replace(data, validation=nothing), data.train.x, data.train.y
    result = kdlab.distill(teacher, student(), part, alpha=0.0, epochs=1, batch_size=30, seed=4)
    plain = compiled_alone(student())
    keras.utils.set_random_seed(4)
    seed_layers(plain, 4)
    plain.fit(x, y, batch_size=30, steps_per_epoch=3, verbose=0)
    for a, b, c, d in zip(
        *(model.get_weights() for model in (result.student, result.student_alone, plain, student())), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-5)
        np.testing.assert_allclose(a, c, atol=1e-5)
        assert np.abs(a - d).max() > 1e-3
    answers = []
    for seed in (4, 5, 4):
        seed_layers(plain, seed)
        answers.append(plain(x, training=True).numpy())
    np.testing.assert_array_equal(answers[0], answers[2])
    assert np.abs(answers[0] - answers[1]).max() > 1e-3


@keras.saving.register_keras_serializable("kdlab_tests")
class OfOnesOwn(keras.Model):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.dense = keras.layers.Dense(10, kernel_initializer=keras.initializers.GlorotUniform(2))

    def call(self, inputs):
        return self.dense(inputs)


def test_samples_without_a_label_are_for_the_distilled_student_alone(data, teacher):
    """And a student may be of a class of one's own."""
    y = data.train.y.copy()
    y[::2] = -1
    some = dataclasses.replace(data, train=Split(data.train.x, y))
    student, plain = OfOnesOwn(), compiled_alone(OfOnesOwn())
    result = kdlab.distill(teacher, student, some, epochs=2, batch_size=15, seed=7)
    keras.utils.set_random_seed(7)
    plain.fit(data.train.x[1::2], y[1::2], batch_size=15, epochs=2, steps_per_epoch=3, verbose=0)
    assert result.student is student
    for one, other in zip(result.student_alone.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert result.metrics["loss"] < result.student_alone_metrics["loss"]  # it had twice the samples


def test_teachers_of_an_ensemble_get_the_range_of_pixels_that_their_first_layers_speak_of(data, teacher):
    of_bytes = keras.Sequential([keras.Input((64,)), keras.layers.Rescaling(1 / 255), teacher])
    other = mlp(64, (8,), 10, seed=3)
    nothing = Split(data.validation.x[:0], data.validation.y[:0])
    without = dataclasses.replace(data, validation=nothing)
    with pytest.warns(UserWarning, match="teacher 2 is at chance level"):  # it was never trained
        result = kdlab.distill([of_bytes, other], mlp(seed=2), without, epochs=1, batch_size=45)
    p = np.mean([softmax(model(data.test.x).numpy()) for model in (teacher, other)], axis=0)
    assert result.teacher_metrics["loss"] == pytest.approx(-np.log(p)[np.arange(32), data.test.y].mean(), rel=1e-4)
    assert result.teacher_metrics["accuracy"] == pytest.approx((p.argmax(axis=1) == data.test.y).mean())
    assert "val_loss" not in result.history
    live = kdlab.LiveTrainer(data, mlp(seed=2), of_bytes, epochs=1)
    np.testing.assert_allclose(live._teacher[0], teacher(data.train.x), atol=1e-3)


class _Begins(Exception):  # noqa: N818 - it is no error
    """A training begins."""


def test_a_teacher_at_chance_is_said_with_what_mends_it(data, teacher, monkeypatch):
    turned = adapt(teacher, Inputs(classes=(*range(1, 10), 0)))

    def distill(one):
        # All is said before the training, which may stay out.
        monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: (_ for _ in ()).throw(_Begins))
        with pytest.raises(_Begins):
            kdlab.distill(one, mlp(seed=2), data, epochs=1)

    ways = distill, lambda one: kdlab.LiveTrainer(data, mlp(seed=2), one, epochs=1)
    for way in ways:
        with pytest.warns(UserWarning, match=r"teacher 1 is at chance level: .*balanced accuracy \d+%") as said:
            way(turned)
        assert said[0].filename == __file__
        text = str(said[0].message)
        assert "on 120 labelled samples (of validation data and, where they are few, training data)" in text
        mend = re.search(
            r"with kdlab\.foreign_models\.adapt\(teacher, kdlab\.foreign_models\.(.*)\) its balanced", text
        )[1]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            way(adapt(turned, eval(mend, {"Inputs": Inputs})))


def test_a_sigmoid_and_a_loss_of_one_s_own_are_refused_in_words(data, teacher):
    sigmoid = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10, activation="sigmoid")])
    for way in (
        lambda: kdlab.distill([teacher, sigmoid], mlp(), data),
        lambda: kdlab.LiveTrainer(data, mlp(), [teacher, sigmoid]),
    ):
        with pytest.raises(ValueError, match="teacher 2 ends in a sigmoid, an answer for each class by itself"):
            way()
    with pytest.raises(
        ValueError, match=r"LiveTrainer takes no distillation_loss, .*; kdlab\.Distiller takes one of your own"
    ):
        kdlab.LiveTrainer(data, mlp(), teacher, distillation_loss=lambda t, s, temperature: 0.0)


def test_bad_input(data, teacher):
    with pytest.raises(ValueError, match=r"data must be a kdlab\.Dataset, as kdlab\.load returns, got str"):
        kdlab.distill(teacher, mlp(), "digits")
    with pytest.raises(ValueError, match=r"teacher must be a keras\.Model or a list of them, got None"):
        kdlab.distill(None, mlp(), data)
    with pytest.raises(ValueError, match="alpha must be a number from 0 to 1"):
        kdlab.distill(teacher, mlp(), data, alpha=2.0)
    with pytest.raises(ValueError, match="outputs of the same shape"):
        kdlab.distill(teacher, mlp(classes=7), data)
