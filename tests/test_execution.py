"""Many steps a call and XLA: chosen where it pays, never where somebody chose otherwise, and nothing else changes."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from kdlab import Distiller, distill
from kdlab.backend import keras, tf
from kdlab.datasets.dataset import Split
from kdlab.execution import STEPS_PER_EXECUTION, choose_execution, count_steps
from kdlab.models import mlp
from kdlab.runs import runs
from kdlab.teachers.digits import digits_teacher, train_digits_teacher

FEATURES, CLASSES, BATCH = 5, 3, 4
WORTH_COMPILING = 32  # here; where it does pay is for benchmarks
SAMPLES = BATCH * WORTH_COMPILING  # whole batches: XLA compiles each size by itself


@pytest.fixture(autouse=True)
def _fewer_steps(monkeypatch):
    monkeypatch.setattr("kdlab.execution.WORTH_COMPILING", WORTH_COMPILING)


@pytest.fixture(scope="module")
def ragged():
    """Samples, labels and teacher logits, of which the last make a smaller batch."""
    rng, size = np.random.default_rng(0), SAMPLES + 1
    x = rng.random((size, FEATURES)).astype(np.float32)
    return x, rng.integers(0, CLASSES, size).astype(np.int32), rng.normal(size=(size, CLASSES)).astype(np.float32)


@pytest.fixture(scope="module")
def data(ragged):
    return tuple(array[:SAMPLES] for array in ragged)


def compiled(loss=None, **how):
    model = Distiller(student=mlp(FEATURES, (4,), CLASSES, seed=1), distillation_loss=loss)
    model.compile(**{"optimizer": "sgd", **how})
    return model


def own(teacher_logits, student_logits, temperature):
    """A loss of one's own, without which XLA would take seconds: many steps a call are counted as with it."""
    tf.print("looking", output_stream="file:///dev/null")
    return tf.reduce_mean((teacher_logits - student_logits) ** 2, axis=1)


def fit(model, data, **options):
    x, y, teacher_logits = data
    keras.utils.set_random_seed(3)
    options = {"batch_size": BATCH, "verbose": 0, **options}
    return model.fit(x, y, teacher_logits=teacher_logits, **options).history


def chosen(model):
    return (model.steps_per_execution, bool(model.jit_compile)) == (STEPS_PER_EXECUTION, True)


def test_a_long_run_of_a_dense_student_trains_the_same_as_step_by_step(ragged, data):
    how = {"optimizer": "adam", "metrics": ["accuracy"]}
    fast, slow = compiled(**how), compiled(**how, steps_per_execution=1)
    validation = {"validation_data": data[:2]}
    histories = [fit(model, ragged, **validation) for model in (fast, slow)]
    assert chosen(fast)
    assert not chosen(slow)
    for name, values in histories[1].items():
        np.testing.assert_allclose(histories[0][name], values, rtol=2e-4)
    for a, b in zip(fast.get_weights(), slow.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    assert int(fast.optimizer.iterations) == WORTH_COMPILING + 1


def test_evaluating_before_and_after_the_choice(ragged):
    model = compiled()
    before = model.evaluate(*ragged[:2], batch_size=BATCH, verbose=0)
    choose_execution(model, model.student, WORTH_COMPILING, xla=False)
    assert model.steps_per_execution == STEPS_PER_EXECUTION
    assert model.evaluate(*ragged[:2], batch_size=BATCH, verbose=0) == pytest.approx(before, rel=1e-5)


def test_epochs_count(data):
    model = compiled()
    choose_execution(model, model.student, WORTH_COMPILING - 1)
    assert not chosen(model)
    choose_execution(model, model.student, WORTH_COMPILING)
    assert chosen(model)


@pytest.mark.parametrize("how", [{"steps_per_execution": 2}, {"jit_compile": False}, {"run_eagerly": True}])
def test_what_was_chosen_by_hand_stays(data, how):
    model = compiled(**how)
    choose = model._choose_execution
    assert choose == ("run_eagerly" in how)
    choose_execution(model, model.student, 10**6) if choose else None
    assert model.steps_per_execution == how.get("steps_per_execution", 1)
    assert not model.jit_compile


class PerBatch(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass


class PerEpoch(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        pass


@pytest.mark.parametrize(
    ("callback", "expected"),
    [
        (PerBatch(), False),
        (PerEpoch(), True),
        (keras.callbacks.LambdaCallback(on_train_batch_end=print), False),
        (keras.callbacks.LambdaCallback(on_epoch_end=print), True),
        (keras.callbacks.ModelCheckpoint("a.keras"), True),
        (keras.callbacks.ModelCheckpoint("a.keras", save_freq=10), False),
        (keras.callbacks.EarlyStopping(), True),
    ],
)
def test_callbacks_that_want_every_batch_get_every_batch(callback, expected):
    model = compiled()
    choose_execution(model, model.student, 10**6, [callback])
    assert chosen(model) is expected


def endless(data, batch=BATCH):
    x, y, teacher_logits = data
    return tf.data.Dataset.from_tensor_slices((x, (y, teacher_logits))).batch(batch, drop_remainder=True).repeat()


def generator(data):
    x, y, teacher_logits = data
    while True:
        for start in range(0, len(x), BATCH):
            some = slice(start, start + BATCH)
            yield x[some], (y[some], teacher_logits[some])


@pytest.mark.parametrize(("count", "at_once"), [(32, 16), (35, 7), (37, 1), (10, 10)])
def test_so_many_steps_a_call_as_an_epoch_is_a_multiple_of(count, at_once):
    model = compiled()
    choose_execution(model, model.student, WORTH_COMPILING, counts=(count,))
    assert model.steps_per_execution == at_once


@pytest.mark.parametrize(
    ("kind", "steps", "at_once", "loss"),
    [(generator, 35, 7, own), (endless, 37, 1, None)],
    ids=["generator", "endless"],
)
def test_as_many_steps_are_trained_as_were_asked_for(data, kind, steps, at_once, loss):
    model = compiled(loss)
    model.fit(kind(data), steps_per_epoch=steps, epochs=2, shuffle=False, verbose=0)
    assert int(model.optimizer.iterations) == 2 * steps
    assert model.steps_per_execution == at_once
    assert bool(model.jit_compile) == (loss is None)
    if at_once > 1:  # Another fit's choice holds until it does not fit.
        model.fit(kind(data), steps_per_epoch=5, epochs=2, shuffle=False, verbose=0)
        assert int(model.optimizer.iterations) == 2 * steps + 10


def test_as_many_steps_are_validated_and_evaluated_as_were_asked_for(data):
    model, seen = compiled(own), []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append(int(model._student_loss.count)))
    checked = tf.data.Dataset.from_tensor_slices(data[:2]).batch(BATCH).repeat()
    fit(model, data, validation_data=checked, validation_steps=10, callbacks=[watch])
    assert model.steps_per_execution == 10
    assert seen == [10 * BATCH]
    train = model.train_function
    model.evaluate(checked, steps=7, verbose=0)
    assert int(model._student_loss.count) == 7 * BATCH
    assert model.predict(checked, steps=3, verbose=0).shape == (3 * BATCH, CLASSES)
    assert model.evaluate(*data[:2], batch_size=BATCH, verbose=0)
    assert (model.steps_per_execution, model.train_function) == (10, train)


def test_a_callback_that_wants_every_batch_gets_it_in_a_later_fit_too(data):
    model, seen = compiled(own), []
    fit(model, data)
    assert model.steps_per_execution == STEPS_PER_EXECUTION
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    fit(model, data, callbacks=[count])
    assert len(seen) == WORTH_COMPILING


def resizing():
    """A convolutional teacher, with an operation that XLA has not."""
    inputs = keras.Input((FEATURES,))
    x = keras.layers.Reshape((FEATURES, 1, 1))(inputs)
    x = keras.layers.Conv2D(2, 1)(keras.layers.Resizing(3, 3, antialias=True)(x))
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(keras.layers.Flatten()(x)))


@pytest.mark.parametrize("what", ["loss", "metric", "teacher"])
def test_what_xla_may_not_know_runs_many_steps_a_call_without_it(data, what):
    student = mlp(FEATURES, (4,), CLASSES, seed=1)
    teacher = resizing() if what == "teacher" else None
    model = Distiller(teacher=teacher, student=student, distillation_loss=own if what == "loss" else None)
    model.compile("sgd", metrics=[lambda y, z: tf.reduce_mean(z)] if what == "metric" else ["accuracy"])
    if what == "teacher":
        model.fit(tf.data.Dataset.from_tensor_slices(data[:2]).batch(BATCH), shuffle=False, verbose=0)
    else:
        fit(model, data)
    assert (model.steps_per_execution, bool(model.jit_compile)) == (STEPS_PER_EXECUTION, False)
    assert int(model.optimizer.iterations) == WORTH_COMPILING


def test_without_a_batch_size_arrays_come_in_batches_of_32_as_in_keras():
    samples = 50  # a whole batch and a smaller one
    random = np.random.default_rng(1)
    x, y = random.random((samples, FEATURES)).astype(np.float32), random.integers(0, CLASSES, samples)
    plain, student = (mlp(FEATURES, (4,), CLASSES, seed=1) for _ in range(2))
    plain.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
    model = Distiller(student=student, alpha=0.0)
    model.compile("adam", run_eagerly=True)
    plain.fit(x, y, shuffle=False, verbose=0)
    model.fit(x, y, shuffle=False, verbose=0, teacher_logits=np.zeros((samples, CLASSES), np.float32))
    for a, b in zip(plain.get_weights(), student.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_convolutions_and_models_of_ones_own_are_left_alone():
    layers = keras.layers
    convolutional = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3)])
    nested = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), mlp(64, (4,), 3)])

    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    for student, expected in ((convolutional, False), (nested, True), (Own(), False)):
        model = compiled()
        choose_execution(model, student, 10**6)
        assert chosen(model) is expected


def test_the_choice_is_not_saved(tmp_path):
    model = compiled()
    choose_execution(model, model.student, WORTH_COMPILING)
    model.save(tmp_path / "d.keras")
    loaded = keras.models.load_model(tmp_path / "d.keras")
    assert chosen(model)
    assert not chosen(loaded)
    assert loaded._choose_execution
    compiled(steps_per_execution=4).save(tmp_path / "d.keras")
    assert keras.models.load_model(tmp_path / "d.keras").steps_per_execution == 4


def test_steps_are_counted_for_every_kind_of_data(ragged):
    x, y, _ = ragged
    assert count_steps(x, 4) == WORTH_COMPILING + 1
    assert count_steps({"a": x[:33]}) == 2
    batches = tf.data.Dataset.from_tensor_slices((x[:10], y[:10])).batch(4)
    assert count_steps(batches) == 3
    assert count_steps(batches.repeat()) is None
    assert count_steps(batches.repeat(), steps_per_epoch=7) == 7
    assert count_steps(iter([])) is None


def test_a_short_run_starts_at_once_and_an_epoch_begins_one_iterator_over_arrays(data, monkeypatch):
    """Each costs more than the steps of a small epoch; that the batches are Keras's own other tests say."""
    begun, begin = [], tf.data.Dataset.__iter__
    monkeypatch.setattr(tf.data.Dataset, "__iter__", lambda self: begun.append(self) or begin(self))
    model = compiled()
    history = fit(model, [array[: 4 * BATCH] for array in data], epochs=3)
    assert (model.steps_per_execution, model.jit_compile) == (1, False)
    assert len(history["loss"]) == 3
    assert max(begun.count(one) for one in begun) <= 3 + 1


@pytest.mark.parametrize("train", ["Distiller", "distill", "runs", "teacher"])
def test_a_step_is_traced_once_for_each_shape_of_its_batches(train, data, tenth_of_digits, tmp_path, monkeypatch):
    """A step that makes the variables of its optimizer or its metrics is traced again."""
    some = replace(tenth_of_digits, train=Split(tenth_of_digits.train.x[:64], tenth_of_digits.train.y[:64]))
    traced, student, step = Counter(), mlp(64, (4,), 10, seed=1), keras.Model.train_step

    def counted(model, batch):
        traced[model, *(part.shape[0] for part in keras.tree.flatten(batch))] += tf.inside_function()
        return step(model, batch)

    monkeypatch.setattr(keras.Model, "train_step", counted)
    if train == "Distiller":
        fit(compiled(), [array[: 4 * BATCH + 1] for array in data])
    elif train == "distill":
        distill(digits_teacher(), student, some, epochs=1)
    elif train == "runs":
        runs.train(student, some, tmp_path / "model.keras", runs.Settings(epochs=1))
    else:
        train_digits_teacher(some, epochs=1)
    assert traced
    assert set(traced.values()) == {1}
