"""The live engine trains what Keras would train: same weights, same batches, same optimizer, same loss.

Tolerances: sums in another order differ by about 1e-7, and Adam divides by small moments; over a hundred steps
that grows to some 1e-5 in a weight. Accuracies may then differ by one sample.
"""

from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import kdlab
from kdlab import models
from kdlab.backend import keras, tf
from kdlab.datasets.dataset import Split, digits_logits
from kdlab.datasets.load import load
from kdlab.live.result import diverged_at
from kdlab.live.trainer import LiveTrainer
from kdlab.scenarios import SCENARIOS
from kdlab.softening import distillation_loss, softmax

EPOCHS, SEEDS = 4, 3
SPLITS = ("train", "validation", "test")
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def shorten(split, samples):
    return Split(split.x[:samples], split.y[:samples])


def unlabelled(data, where):
    """The same samples, the training labels removed ``where`` that is true."""
    labels = np.where(where, -1, data.train.y).astype(np.int32)
    return SimpleNamespace(**{**vars(data), "train": Split(data.train.x, labels)})


def noisy_logits(data, seed=0):
    """Logits of a teacher that is mostly right."""
    random = np.random.default_rng(seed)
    right = np.eye(10, dtype=np.float32)[data.train.y]
    return 4 * right + random.normal(size=right.shape).astype(np.float32)


@pytest.fixture(scope="module")
def data():
    """Digits, with 260 samples to train on: four batches of 64 and one of 4."""
    data = kdlab.load("digits")
    return replace(data, train=shorten(data.train, 260))


@pytest.fixture(scope="module")
def teacher_logits(data):
    return noisy_logits(data)


@pytest.fixture(scope="module")
def trainer(data, teacher_logits):
    return LiveTrainer(data, models.mlp(seed=0), teacher_logits, epochs=EPOCHS)


def train(trainer, temperature=4.0, alpha=0.9):
    """All that are trained this way are one compiled program, which takes a second to compile."""
    return trainer.train(temperature, alpha, seeds=SEEDS, keep_epochs=True)


@pytest.fixture(scope="module")
def result(trainer):
    return train(trainer, temperature=3.0, alpha=0.7)


@pytest.fixture(scope="module")
def ten(trainer):
    return trainer.train(temperature=3.0, alpha=0.7, seeds=10)


def frozen(data, student, teacher_logits):
    """A trainer whose students hardly move: its losses are those of the initial weights."""
    return LiveTrainer(data, student, teacher_logits, epochs=EPOCHS, learning_rate=1e-12)


def initial_logits(trainer, student, x, seed):
    student = keras.models.clone_model(student)
    student.set_weights(trainer.initial_weights(seed))
    return student(x).numpy()


def same_accuracy(first, second, samples):
    return np.allclose(first, second, rtol=0, atol=1.001 / samples)


# --- the same as Keras


def train_in_numpy(trainer, data, teacher_logits, seed, temperature, alpha):
    """Train a student of one hidden layer by backpropagation and Adam; return its weights and the losses of epochs."""
    weights = [w.astype(np.float64) for w in trainer.initial_weights(seed)]
    means, squares = ([np.zeros_like(w) for w in weights] for _ in range(2))
    losses, steps = [], 0
    for order in trainer.batch_order(seed):
        total = 0.0
        for batch in np.split(order, range(64, len(order), 64)):
            x, y, answers = data.train.x[batch], data.train.y[batch], teacher_logits[batch]
            hidden = np.maximum(x @ weights[0] + weights[1], 0)
            logits = hidden @ weights[2] + weights[3]
            total += len(batch) * distillation_loss(logits, answers, y, temperature, alpha)
            hard, soft = softmax(logits) - np.eye(10)[y], softmax(logits, temperature) - softmax(answers, temperature)
            by_logits = ((1 - alpha) * hard + alpha * temperature * soft) / len(batch)
            by_hidden = (by_logits @ weights[2].T) * (hidden > 0)
            gradients = [x.T @ by_hidden, by_hidden.sum(axis=0), hidden.T @ by_logits, by_logits.sum(axis=0)]
            steps += 1
            for w, m, v, g in zip(weights, means, squares, gradients, strict=True):
                m += 0.1 * (g - m)
                v += 0.001 * (g * g - v)
                w -= 0.01 * np.sqrt(1 - 0.999**steps) / (1 - 0.9**steps) * m / (np.sqrt(v) + 1e-7)
        losses.append(total / len(order))
    return weights, losses


def test_it_agrees_with_keras_fit(trainer, data, teacher_logits, result):
    """The student with two outputs, z and z / T, and loss weights 1 − α and α T², for two epochs."""
    temperature, alpha, seed, student, inputs = 3.0, 0.7, 1, models.mlp(), keras.Input((64,))
    logits = student(inputs)
    both = keras.Model(inputs, [logits, logits / temperature])
    both.compile(
        optimizer=keras.optimizers.Adam(0.01),
        loss=[keras.losses.CategoricalCrossentropy(from_logits=True) for _ in range(2)],
        loss_weights=[1 - alpha, alpha * temperature**2],
        run_eagerly=True,
    )
    both.set_weights(trainer.initial_weights(seed))
    targets, losses = [np.eye(10, dtype=np.float32)[data.train.y], softmax(teacher_logits, temperature)], []
    for order in trainer.batch_order(seed)[:2]:
        history = both.fit(
            data.train.x[order], [target[order] for target in targets], batch_size=64, shuffle=False, verbose=0
        )
        losses += history.history["loss"]
    for ours, theirs in zip(result.weights_per_epoch, student.get_weights(), strict=True):
        np.testing.assert_allclose(ours[seed, 2], theirs, **CLOSE)
    np.testing.assert_allclose(result.train_loss[seed, :2], losses, rtol=1e-4)
    np.testing.assert_allclose(result.logits(data.test.x, epoch=2)[seed], student(data.test.x), **CLOSE)


@pytest.mark.parametrize(("temperature", "alpha"), [(3.0, 0.7), (8.0, 1.0), (2.0, 0.0)])
def test_each_seed_agrees_with_training_in_numpy(trainer, data, teacher_logits, temperature, alpha):
    found = train(trainer, temperature, alpha)
    for seed in range(SEEDS):
        weights, losses = train_in_numpy(trainer, data, teacher_logits, seed, temperature, alpha)
        for ours, theirs in zip(found.weights, weights, strict=True):
            np.testing.assert_allclose(ours[seed], theirs, **CLOSE)
        np.testing.assert_allclose(found.train_loss[seed], losses, rtol=1e-4)


def test_a_student_trained_by_hand_is_the_engines_first():
    """As a page's handout trains it, over the whole training of a scenario."""
    digits, temperature, alpha = load("digits"), 4.0, 0.9
    made = SCENARIOS["few"].prepare(digits, digits_logits("train")["teacher"][None])
    student, optimizer, train = models.mlp(64, (16,), 10), keras.optimizers.Adam(0.01), made.data.train
    live = LiveTrainer(made.data, student, made.teacher_logits, epochs=made.epochs, batch_size=made.batch_size)
    student.set_weights(live.initial_weights(0))

    @tf.function(reduce_retracing=True)
    def step(x, labels, teacher_logits):
        with tf.GradientTape() as tape:
            z = student(x, training=True)
            hard = keras.losses.sparse_categorical_crossentropy(labels, z, from_logits=True)
            q = tf.nn.softmax(teacher_logits / temperature)
            soft = keras.losses.categorical_crossentropy(q, z / temperature, from_logits=True)
            loss = tf.reduce_mean((1 - alpha) * hard + alpha * temperature**2 * soft)
        optimizer.apply(tape.gradient(loss, student.trainable_variables), student.trainable_variables)

    order = live.batch_order(0)
    assert order.shape == (made.epochs, len(train))
    for samples in order:
        for start in range(0, len(samples), live.batch_size):
            rows = samples[start : start + live.batch_size]
            step(train.x[rows], train.y[rows], made.teacher_logits[rows])
    engine = live.train(temperature, alpha, seeds=1)
    logits = student(digits.test.x).numpy()
    # Some hundred steps apart, in float32: what rounding leaves between two orders of adding up.
    np.testing.assert_allclose(engine.logits(digits.test.x)[0], logits, rtol=0.01, atol=0.02)
    assert same_accuracy(engine.test_accuracy[0], (logits.argmax(axis=1) == digits.test.y).mean(), 600)


def test_the_students_are_real_keras_models(result, data):
    for seed in range(SEEDS):
        student = result.student(seed)
        student.compile(metrics=["accuracy"], loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        student.run_eagerly = True
        for split, ours in (
            (data.test, result.test_accuracy),
            (data.validation, result.validation_accuracy[:, -1]),
        ):
            _, accuracy = student.evaluate(split.x, split.y, batch_size=len(split), verbose=0)
            assert same_accuracy(ours[seed], accuracy, len(split))
        np.testing.assert_allclose(result.test_logits[seed], student(data.test.x), rtol=1e-5, atol=1e-5)


def test_accuracy_is_that_of_the_logits(result, data):
    right = result.test_logits.argmax(axis=2) == data.test.y
    np.testing.assert_allclose(result.test_accuracy, right.mean(axis=1), atol=1e-6)
    assert (result.test_accuracy == result.test_accuracy_per_epoch[:, -1]).all()
    assert (result.test_accuracy > 0.3).all()  # Chance is 0.1; these have seen 20 batches.
    assert (np.diff(result.train_loss, axis=1) < 0).all()


def deep_student():
    inputs = keras.Input((8, 8, 1))
    hidden = keras.layers.Flatten()(keras.layers.Rescaling(2.0, offset=-1.0)(inputs))
    hidden = keras.layers.Dense(12, activation="tanh", use_bias=False, kernel_initializer="he_normal")(hidden)
    hidden = keras.layers.Dense(11, bias_initializer=keras.initializers.RandomNormal(stddev=0.1))(hidden)
    hidden = keras.layers.Dense(12)(keras.layers.LeakyReLU(negative_slope=0.2)(hidden))
    logits = keras.layers.Dense(10, activation="linear")(keras.layers.Activation("gelu")(hidden))
    return keras.Model(inputs, keras.layers.Rescaling(0.5)(logits))


def test_other_dense_students_agree_with_a_gradient_tape(data, teacher_logits):
    """The oracle is a plain loop: eager, its own loss written out, Keras's Adam; some samples without a label.

    There are no validation samples.
    """
    some = unlabelled(data, np.arange(260) % 3 == 0)
    some.validation = shorten(data.validation, 0)
    images = SimpleNamespace(
        class_names=data.class_names,
        **{n: Split(getattr(some, n).x.reshape(-1, 8, 8, 1), getattr(some, n).y) for n in SPLITS},
    )
    student, temperature, alpha = deep_student(), 5.0, 0.4
    trainer = LiveTrainer(images, student, teacher_logits, epochs=2, batch_size=100, learning_rate=0.005)
    found = trainer.train(temperature, alpha, seeds=1)

    student.set_weights(trainer.initial_weights(0))
    optimizer = keras.optimizers.Adam(0.005)
    for order in trainer.batch_order(0):
        for batch in np.split(order, [100, 200]):
            labels = images.train.y[batch]
            with tf.GradientTape() as tape:
                logits = student(images.train.x[batch])
                hard = tf.nn.sparse_softmax_cross_entropy_with_logits(np.maximum(labels, 0), logits)
                soft = tf.nn.softmax_cross_entropy_with_logits(
                    tf.nn.softmax(teacher_logits[batch] / temperature), logits / temperature
                )
                loss = tf.reduce_mean(tf.where(labels < 0, 0.0, (1 - alpha) * hard) + alpha * temperature**2 * soft)
            gradients = tape.gradient(loss, student.trainable_variables)
            optimizer.apply_gradients(zip(gradients, student.trainable_variables, strict=True))
    for ours, theirs in zip(found.weights, student.get_weights(), strict=True):
        np.testing.assert_allclose(ours[0], theirs, **CLOSE)
    np.testing.assert_allclose(found.student(0)(images.test.x), student(images.test.x), **CLOSE)
    np.testing.assert_allclose(found.logits(images.test.x), found.test_logits, rtol=1e-5, atol=1e-5)
    assert np.isnan(found.validation_accuracy).all()
    assert np.isfinite(found.test_accuracy).all()


# --- the loss


@pytest.fixture(scope="module")
def still(data, teacher_logits):
    return frozen(data, models.mlp(), teacher_logits)


@pytest.mark.parametrize("temperature", [0.5, 4.0, 30.0])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_loss_is_the_numpy_floors(still, data, teacher_logits, temperature, alpha):
    found = train(still, temperature, alpha)
    for seed in range(SEEDS):
        logits = initial_logits(still, models.mlp(), data.train.x, seed)
        expected = distillation_loss(logits, teacher_logits, data.train.y, temperature, alpha)
        np.testing.assert_allclose(found.train_loss[seed, 0], expected, rtol=2e-6)


def test_unlabelled_samples_take_part_in_the_soft_term_only(data, teacher_logits):
    some, student = unlabelled(data, np.arange(260) < 200), models.mlp()
    trainer = frozen(some, student, teacher_logits)
    logits = initial_logits(trainer, student, data.train.x, 0)
    for alpha in (0.0, 0.6):
        expected = distillation_loss(logits, teacher_logits, some.train.y, 4.0, alpha)
        np.testing.assert_allclose(train(trainer, 4.0, alpha).train_loss[0, 0], expected, rtol=2e-6)


def test_without_any_label_only_the_teacher_teaches(data, teacher_logits):
    trainer = frozen(unlabelled(data, True), models.mlp(), teacher_logits)
    assert np.isfinite(train(trainer, alpha=0.5).train_loss).all()
    with pytest.raises(ValueError, match="alpha must be above 0 where no training sample has a label"):
        trainer.train(alpha=0.0)


def test_an_ensemble_is_the_mean_of_softened_probabilities(data, teacher_logits):
    teachers = 3 * np.stack([teacher_logits, noisy_logits(data, 1), noisy_logits(data, 2)])  # They disagree.
    student = models.mlp()
    losses = [train(frozen(data, student, logits), 1.0, 1.0).train_loss for logits in teachers]
    found = train(frozen(data, student, teachers), 1.0, 1.0).train_loss
    # The soft cross-entropy is linear in the teacher's probabilities, and not in its logits.
    np.testing.assert_allclose(found, np.mean(losses, axis=0), rtol=1e-5)
    of_mean_logits = train(frozen(data, student, teachers.mean(axis=0)), 1.0, 1.0).train_loss
    assert (np.abs(found - of_mean_logits) > 1e-3).all()


def test_without_weight_the_teacher_and_the_temperature_do_nothing(trainer, data):
    other = LiveTrainer(data, models.mlp(), noisy_logits(data, 1), epochs=EPOCHS)
    alone, elsewhere = (train(one, temperature, alpha=0.0) for one, temperature in ((trainer, 2.0), (other, 9.0)))
    np.testing.assert_array_equal(alone.test_logits, elsewhere.test_logits)


# --- seeds, positions, epochs


def test_moving_a_slider_does_not_retrace(trainer, result):
    before = trainer.traces
    for temperature, alpha in ((1, 0), (2.5, 0.5), (20, 1)):
        train(trainer, temperature, alpha)
    assert trainer.traces == before


def test_another_scenario_of_the_same_shape_does_not_retrace(trainer, result, data):
    wrong = replace(data, train=Split(data.train.x, data.train.y[::-1].copy()))
    other = LiveTrainer(wrong, models.mlp(), noisy_logits(wrong, 5), epochs=EPOCHS, learning_rate=0.002)
    before = other.traces
    different = train(other)
    assert other.traces == before
    assert not np.allclose(different.test_logits, result.test_logits, atol=0.1)


def test_seeds_are_nested_and_differ(trainer, data, result, ten):
    np.testing.assert_allclose(ten.test_logits[:SEEDS], result.test_logits, rtol=1e-4, atol=1e-4)
    assert same_accuracy(ten.validation_accuracy[:SEEDS], result.validation_accuracy, len(data.validation))
    assert ten.validation_accuracy.shape == ten.train_loss.shape == (10, EPOCHS)
    assert len(np.unique(ten.weights[0][:, 0, 0])) == len(np.unique(ten.train_loss[:, -1])) == 10
    assert not (trainer.batch_order(0) == trainer.batch_order(1)).all()
    assert (np.sort(trainer.batch_order(1)) == np.arange(260)).all()


def test_layers_of_equal_shape_start_differently(data, teacher_logits):
    weights = frozen(data, models.mlp(64, (64, 64), 10), teacher_logits).initial_weights(0)
    assert not np.allclose(weights[0], weights[2])
    assert abs(weights[0].std() - np.sqrt(2 / 128)) < 0.005  # Glorot's


@pytest.fixture
def six_at_once(monkeypatch):
    """Sweeps of three seeds train at two positions at once, so that all compile the same program."""
    monkeypatch.setattr("kdlab.live.trainer.STUDENTS_AT_ONCE", 6)


def test_a_sweep_reports_progress_and_compiles_once(trainer, six_at_once):
    calls, before = [], trainer.traces
    sweep = trainer.sweep(np.linspace(1, 9, 3), [0.5, 0.9, 1.0], seeds=SEEDS, progress=lambda *call: calls.append(call))
    # 9 positions, 2 at a time: the last chunk is filled up. No test before this one sweeps with as many at once.
    assert trainer.traces == before + 1
    done, totals, landscapes = zip(*calls, strict=True)
    assert list(done) == sorted(done)
    assert done[-1] == totals[0] == 27
    for count, landscape in zip(done, landscapes, strict=True):
        assert np.isfinite(landscape.test_accuracy).sum() == count
    np.testing.assert_array_equal(landscapes[-1].test_accuracy, sweep.test_accuracy)


def test_a_sweep_is_a_train_at_every_position(trainer, data, six_at_once):
    temperatures, alphas = [1.0, 4.0, 12.0], [0.0, 0.9, 1.0]
    sweep = trainer.sweep(temperatures, alphas, seeds=SEEDS)
    assert sweep.test_accuracy.shape == sweep.validation_accuracy.shape == (3, 3, SEEDS)
    for t, temperature in enumerate(temperatures):
        for a, alpha in enumerate(alphas):
            one = train(trainer, temperature, alpha)
            assert same_accuracy(sweep.test_accuracy[t, a], one.test_accuracy, len(data.test))
            assert same_accuracy(sweep.validation_accuracy[t, a], one.validation_accuracy[:, -1], len(data.validation))
    assert sweep.message == ""


@pytest.mark.parametrize(("processors", "fit"), [(1, 1), (4, 4), (64, 5)])
def test_a_sweep_on_many_processors_trains_as_many_students_at_once_as_there_is_memory_for(
    trainer, six_at_once, monkeypatch, processors, fit
):
    def fits(limit):
        monkeypatch.setattr(trainer, "memory_limit", limit)
        try:
            return trainer._check_run([1.0], SEEDS, 30) or True
        except ValueError:
            return False

    pools = []
    monkeypatch.setattr(trainer, "memory_limit", bisect_left(range(10**8), True, key=fits))  # of thirty students
    monkeypatch.setattr("kdlab.live.trainer._processors", lambda: processors)
    monkeypatch.setattr(
        "kdlab.live.trainer.ThreadPoolExecutor", lambda workers: pools.append(workers) or ThreadPoolExecutor(workers)
    )
    sweep = trainer.sweep(np.linspace(1, 9, 12), [1.0], seeds=SEEDS)
    assert pools == [fit]
    assert np.isfinite(sweep.test_accuracy).all()


def test_a_stopped_sweep_keeps_what_it_had(trainer, six_at_once):
    done = []
    sweep = trainer.sweep(
        np.linspace(1, 9, 20),
        np.linspace(0, 1, 10),
        seeds=SEEDS,
        progress=lambda count, *_: done.append(count),
        stop=lambda: len(done) == 2,
    )
    assert len(done) == 2
    assert np.isfinite(sweep.test_accuracy).sum() == np.isfinite(sweep.validation_accuracy).sum() == done[-1]
    assert done[-1] < sweep.test_accuracy.size


def test_an_error_in_progress_ends_the_sweep(trainer, six_at_once):
    def progress(*_):
        raise RuntimeError("the page is gone")

    with pytest.raises(RuntimeError, match="the page is gone"):
        trainer.sweep([1.0, 2.0, 3.0], [0.5, 1.0], seeds=SEEDS, progress=progress)


def test_every_epoch_can_be_gone_back_to(trainer, result, data):
    for w, kept in zip(result.weights, result.weights_per_epoch, strict=True):
        assert kept.shape == (SEEDS, EPOCHS + 1, *w.shape[1:])
        np.testing.assert_array_equal(kept[:, -1], w)
    for ours, initial in zip(result.weights_per_epoch, trainer.initial_weights(2), strict=True):
        np.testing.assert_array_equal(ours[2, 0], initial)
    for epoch in range(1, EPOCHS + 1):
        answers = result.logits(data.test.x, epoch=epoch).argmax(axis=2)
        accuracy = (answers == data.test.y).mean(axis=1)
        assert same_accuracy(accuracy, result.test_accuracy_per_epoch[:, epoch - 1], len(data.test))
    then = result.student(1, epoch=2)(data.test.x[:5])
    np.testing.assert_allclose(then, result.logits(data.test.x[:5], epoch=2)[1], rtol=1e-5, atol=1e-5)


def test_the_callers_student_is_left_alone(data, teacher_logits):
    student = models.mlp(seed=3)
    before = student.get_weights()
    result = train(LiveTrainer(data, student, teacher_logits, epochs=EPOCHS))
    for was, now in zip(before, student.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    assert result.student(0) is not student
    assert not np.allclose(result.student(0).get_weights()[0], result.student(1).get_weights()[0])


# --- divergence


def test_a_run_that_diverges_says_at_which_epoch(data, teacher_logits, six_at_once):
    wild = LiveTrainer(data, models.mlp(), teacher_logits, epochs=EPOCHS, learning_rate=1e37)
    result = train(wild)
    assert (result.diverged_at >= 0).all()
    for seed, epoch in enumerate(result.diverged_at):
        assert np.isfinite(result.train_loss[seed, :epoch]).all()
        assert not np.isfinite(result.train_loss[seed, epoch]) or epoch == EPOCHS - 1
    first = result.diverged_at.min() + 1
    assert result.message.startswith(f"{SEEDS} of {SEEDS} students diverged")
    assert f"epoch {first};" in result.message
    assert wild.sweep([1.0, 2.0, 3.0], [0.5], seeds=SEEDS).message.startswith("9 of 9 students diverged")


def test_a_run_that_does_not_diverge_says_nothing(result):
    assert (result.diverged_at == -1).all()
    assert result.message == ""


def test_one_students_divergence_is_not_the_others(result):
    losses = result.train_loss.copy()
    losses[1, 2:] = np.nan
    found = diverged_at({"loss": losses[:, None], "logits": result.test_logits[:, None]})
    assert found.tolist() == [[-1], [2], [-1]]
    assert "1 of 3 students diverged" in replace(result, diverged_at=found[:, 0]).message
    assert "epoch 3;" in replace(result, diverged_at=found[:, 0]).message


# --- what is refused, before any training


def sequential(*layers, features=64):
    return keras.Sequential([keras.Input((features,)), *layers])


def dense(units=10, **options):
    return keras.layers.Dense(units, **options)


def skipping():
    inputs = keras.Input((64,))
    hidden = keras.layers.Dense(64)(inputs)
    hidden = keras.layers.Activation("relu")(hidden)
    return keras.Model(inputs, keras.layers.Dense(10)(hidden + inputs))


def shared():
    inputs, layer = keras.Input((64,)), keras.layers.Dense(64)
    return keras.Model(inputs, keras.layers.Dense(10)(layer(layer(inputs))))


class Subclassed(keras.Model):
    def call(self, x):
        return x


def untrainable():
    student = models.mlp()
    student.layers[0].trainable = False
    return student


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: models.mlp(dropout=0.3), r"layer 'dropout\w*' \(Dropout\) is none of these"),
        (lambda: sequential(keras.layers.Dropout(0.2), dense()), r"\(Dropout\) is none of these"),
        (
            lambda: sequential(dense(8), keras.layers.BatchNormalization(), dense()),
            r"\(BatchNormalization\) is none of these",
        ),
        (
            lambda: sequential(
                keras.layers.Reshape((8, 8, 1)), keras.layers.Conv2D(2, 3), keras.layers.Flatten(), dense()
            ),
            r"\(Conv2D\) is none of these",
        ),
        (lambda: sequential(dense(kernel_regularizer="l2")), r"\(Dense\) is none of these"),
        (lambda: sequential(dense(kernel_constraint="non_neg")), r"\(Dense\) is none of these"),
        (untrainable, r"\(Dense\) is none of these"),
        (lambda: sequential(keras.layers.ReLU()), "student must have at least one Dense layer"),
        (lambda: sequential(dense(8, activation="softmax"), dense()), "computes something else"),
        (
            lambda: keras.Sequential(
                [keras.Input((64,)), keras.layers.Reshape((8, 8)), dense(4), keras.layers.Flatten(), dense()]
            ),
            "computes something else",
        ),
        (skipping, "is none of these|computes something else"),
        (shared, "computes something else"),
        (lambda: sequential(dense(activation="softmax")), "the student's outputs look like probabilities"),
        (lambda: sequential(dense(), keras.layers.Softmax()), "the student's outputs look like probabilities"),
        (
            lambda: models.mlp(classes=7),
            "student and data must have as many classes, got 7 and 10",
        ),
        (
            lambda: models.mlp(features=60),
            r"student and data must have inputs of the same shape, got \(60,\) and \(64,\)",
        ),
        (lambda: keras.Sequential([dense()]), "keras.Model with one input of known shape, got <Sequential"),
        (Subclassed, "keras.Model with one input of known shape, got <Subclassed"),
        (lambda: "mlp", "keras.Model with one input of known shape, got 'mlp'"),
    ],
)
def test_a_student_that_cannot_be_batched_is_refused(data, teacher_logits, build, message):
    with pytest.raises(ValueError, match=message):
        LiveTrainer(data, build(), teacher_logits)


def spoil(logits, value):
    logits = logits.copy()
    logits[3, 2] = value
    return logits


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z: spoil(z, np.nan), r"teacher_logits must be finite, got 1 value\(s\) that are not.* nan"),
        (lambda z: spoil(z, np.inf), "teacher_logits must be finite"),
        (lambda z: z[:, :7], r"teacher_logits must have shape \(260, 10\).*got \(260, 7\)"),
        (lambda z: z[:-1], r"teacher_logits must have shape \(260, 10\).*got \(259, 10\)"),
        (lambda z: z[None, None], r"teacher_logits must have shape \(260, 10\)"),
        (lambda z: z[None][:0], r"teacher_logits must have shape \(260, 10\)"),
        (softmax, "the teacher's outputs look like probabilities"),
    ],
)
def test_wrong_teacher_logits_are_refused(data, teacher_logits, change, message):
    with pytest.raises(ValueError, match=message):
        LiveTrainer(data, models.mlp(), change(teacher_logits))


def test_training_sets_there_is_nothing_to_learn_from_are_refused(data, teacher_logits):
    with pytest.raises(ValueError, match=r"data\.train must have at least one sample, got none"):
        LiveTrainer(replace(data, train=shorten(data.train, 0)), models.mlp(), teacher_logits[:0])
    with pytest.raises(ValueError, match=r"data\.test must have at least one sample, got none"):
        LiveTrainer(replace(data, test=shorten(data.test, 0)), models.mlp(), teacher_logits)
    threes = data.train.y == 3
    only = replace(data, train=Split(data.train.x[threes], data.train.y[threes]))
    with pytest.raises(ValueError, match="data must have at least two classes to train on, got only class 3"):
        LiveTrainer(only, models.mlp(), teacher_logits[threes])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"epochs": 2.5}, "epochs must be a whole number of at least 1, got 2.5"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be a finite number above 0, got 0.0"),
        ({"learning_rate": np.nan}, "learning_rate must be a finite number above 0, got nan"),
        ({"learning_rate": "fast"}, "learning_rate must be a finite number above 0, got 'fast'"),
    ],
)
def test_wrong_options_are_refused(data, teacher_logits, options, message):
    with pytest.raises(ValueError, match=message):
        LiveTrainer(data, models.mlp(), teacher_logits, **options)


@pytest.mark.parametrize(
    ("position", "message"),
    [
        ({"temperature": 0}, "temperature must be a finite number above 0, got 0"),
        ({"temperature": 1e20}, "temperature must be from 0.01 to 10000 to train in single precision, got 1e.20"),
        ({"temperature": 1e-3}, "temperature must be from 0.01 to 10000 to train in single precision, got 0.001"),
        ({"alpha": 1.5}, "alpha must be a number from 0 to 1, got 1.5"),
        ({"seeds": 0}, "seeds must be a whole number of at least 1, got 0"),
        ({"seeds": True}, "seeds must be a whole number of at least 1, got True"),
        ({"seeds": 10**6}, r"seeds must be few enough for memory_limit \(1074 MB\), got 1000000, which would"),
    ],
)
def test_wrong_positions_are_refused(trainer, position, message):
    with pytest.raises(ValueError, match=message):
        trainer.train(**position)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [0.5]), "temperatures must have at least one value, got none"),
        (([1.0], []), "alphas must have at least one value, got none"),
        (([1.0, -1.0], [0.5]), "temperatures must be a finite number above 0, got -1.0"),
        (([1.0], [0.5, 2.0]), "alphas must be a number from 0 to 1, got 2.0"),
        (([1.0], [0.5], 0), "seeds must be a whole number of at least 1, got 0"),
        (([1.0], [0.5], 10**6), "seeds must be few enough for memory_limit"),
    ],
)
def test_wrong_sweeps_are_refused(trainer, arguments, message):
    with pytest.raises(ValueError, match=message):
        trainer.sweep(*arguments)


def test_a_result_is_shown_in_one_line(result):
    assert repr(result).startswith("LiveResult(temperature=3.0, alpha=0.7, seeds=3, mean test accuracy 0.")


def test_the_memory_limit_can_be_set(data, teacher_logits):
    trainer = LiveTrainer(data, models.mlp(), teacher_logits, epochs=EPOCHS)
    trainer.memory_limit = 10**5
    with pytest.raises(ValueError, match=r"memory_limit \(0 MB\), got 3, which would need about \d+ MB"):
        trainer.train(seeds=3)


def test_what_a_result_does_not_have_is_refused(result, ten, data):
    with pytest.raises(ValueError, match="seed must be a whole number from 0 to 2, got 3"):
        result.student(3)
    with pytest.raises(ValueError, match="epoch must be a whole number from 0 to 4, got 5"):
        result.student(0, epoch=5)
    with pytest.raises(ValueError, match=r"x must have shape \(N, 64\), got \(3, 60\)"):
        result.logits(np.zeros((3, 60)))
    with pytest.raises(ValueError, match="train with keep_epochs=True"):
        ten.logits(data.test.x, epoch=1)
