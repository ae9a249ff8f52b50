"""Runs: trained as plain Keras would, kept in a file, and after a kill at any moment the same to the last bit."""

import dataclasses
import os
import shutil

import numpy as np
import pytest
from scipy.special import softmax

import kdlab
from kdlab.backend import keras
from kdlab.datasets.dataset import Split, epoch_order
from kdlab.model_files import load
from kdlab.models import mlp
from kdlab.runs import runs
from kdlab.runs.resuming import state_path
from kdlab.runs.runs import Run, Settings

QUICK = Settings(epochs=3, batch_size=16, learning_rate=0.01, patience=10, mixed_precision="off")


@pytest.fixture(scope="module")
def data():
    """A part of digits."""
    digits = kdlab.load("digits")
    sizes = {"train": 100, "validation": 60, "test": 60}
    parts = {name: getattr(digits, name) for name in sizes}
    return dataclasses.replace(
        digits, **{name: Split(part.x[: sizes[name]], part.y[: sizes[name]]) for name, part in parts.items()}
    )


@pytest.fixture(scope="module")
def logits(data):
    return np.random.default_rng(0).normal(size=(len(data.train), 10)).astype(np.float32)


@pytest.fixture(scope="module")
def plain(data, logits, tmp_path_factory):
    """A run to compare others with, and what a callback saw of it."""
    student = mlp(64, (16,), 10, seed=1)
    seen = Weights(student)
    out = tmp_path_factory.mktemp("plain") / "out.keras"
    return runs.distill(student, logits, data, out, QUICK, 3.0, 0.7, [seen]), seen


class Weights(keras.callbacks.Callback):
    """The weights after every epoch, and what else a callback sees."""

    def __init__(self, model):
        super().__init__()
        self.of, self.weights, self.epochs, self.begun = model, [], [], 0

    def on_train_begin(self, logs=None):
        self.begun += 1

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.of.get_weights())
        self.epochs.append(epoch)


class Interrupt(keras.callbacks.Callback):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch, batch=2):
        super().__init__()
        self.at, self.epoch = (epoch, batch), 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt


def assert_same(first, second, **tolerance):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, **tolerance) if tolerance else np.testing.assert_array_equal(a, b)


def by_hand(weights, x, y, settings, teacher_logits=None, temperature=1.0, alpha=0.0):
    """Train a student of one hidden layer with NumPy's Adam, in the order of ``epoch_order``.

    Changes ``weights``, a list of arrays in float64, and returns the mean loss of each epoch.
    """
    moments, step, history = [(np.zeros_like(w), np.zeros_like(w)) for w in weights], 0, []
    labels = soft = np.eye(10)[y]
    if teacher_logits is not None:  # (N, C), or (N, K, C) of an ensemble
        soft = softmax(teacher_logits.reshape(len(x), -1, 10) / temperature, axis=-1).mean(axis=1)
    for epoch in range(settings.epochs):
        order, losses = epoch_order(len(x), settings.seed, epoch), []
        for start in range(0, len(x), settings.batch_size):
            rows = order[start : start + settings.batch_size]
            kernel, bias, kernel_2, bias_2 = weights
            hidden = np.maximum(x[rows] @ kernel + bias, 0)
            logits = hidden @ kernel_2 + bias_2
            hard, softened = softmax(logits, axis=1), softmax(logits / temperature, axis=1)
            loss = -(1 - alpha) * labels[rows] * np.log(hard)
            loss -= alpha * temperature**2 * soft[rows] * np.log(softened)
            losses.append(loss.sum())
            d_logits = (1 - alpha) * (hard - labels[rows]) + alpha * temperature * (softened - soft[rows])
            d_logits /= len(rows)
            d_hidden = d_logits @ kernel_2.T * (hidden > 0)
            gradients = x[rows].T @ d_hidden, d_hidden.sum(axis=0), hidden.T @ d_logits, d_logits.sum(axis=0)
            step += 1
            rate = settings.learning_rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            for weight, gradient, (first, second) in zip(weights, gradients, moments, strict=True):
                first += 0.1 * (gradient - first)
                second += 0.001 * (gradient**2 - second)
                weight -= rate * first / (np.sqrt(second) + 1e-7)
        history.append(sum(losses) / len(x))
    return history


def weights_of(model):
    return [weight.astype(np.float64) for weight in model.get_weights()]


def test_training_is_that_of_adam_on_the_labels(data, tmp_path):
    model = mlp(64, (16,), 10, seed=1)
    seen, weights = Weights(model), weights_of(model)
    run = runs.train(model, data, tmp_path / "out.keras", QUICK, [seen])
    assert run.history["loss"] == pytest.approx(by_hand(weights, data.train.x, data.train.y, QUICK), rel=1e-4)
    assert_same(seen.weights[-1], weights, atol=1e-5)
    assert (seen.begun, seen.epochs, seen.params["epochs"]) == (1, [0, 1, 2], 3)


def test_distilling_is_that_of_adam_on_both_losses(data, logits, plain):
    run, seen = plain
    weights = weights_of(mlp(64, (16,), 10, seed=1))
    expected = by_hand(weights, data.train.x, data.train.y, QUICK, logits, 3.0, 0.7)
    assert run.history["loss"] == pytest.approx(expected, rel=1e-4)
    assert_same(seen.weights[-1], weights, atol=1e-5)
    names = {"student_loss", "distillation_loss", "val_loss", "val_accuracy", "accuracy", "learning_rate"}
    assert names < set(run.history)


def test_distilling_from_an_ensemble_is_that_from_its_mean_probabilities(data, logits, tmp_path):
    student, ensemble = mlp(64, (16,), 10, seed=1), np.stack([logits, 2 * logits[::-1]], axis=1)
    expected = by_hand(weights_of(student), data.train.x, data.train.y, QUICK, ensemble, 3.0, 0.7)
    run = runs.distill(student, ensemble, data, tmp_path / "out.keras", QUICK, 3.0, 0.7)
    assert run.history["loss"] == pytest.approx(expected, rel=1e-4)


def test_the_file_and_the_model_are_of_the_best_epoch(data, logits, tmp_path):
    model, out = mlp(64, (16,), 10, seed=1), tmp_path / "out.keras"
    seen = Weights(model)
    settings = dataclasses.replace(QUICK, epochs=12, learning_rate=0.3, patience=4, reduce_patience=2)
    run = runs.distill(model, logits, data, str(out), settings, 2.0, 0.5, [seen])
    assert isinstance(run, Run)
    assert run.model is model
    assert run.best_epoch < run.epochs_done  # Else this test could not tell the best from the last.
    assert_same(model.get_weights(), seen.weights[run.best_epoch - 1])
    assert_same(load(out).get_weights(), model.get_weights())
    answers = model.predict(data.validation.x, verbose=0)
    accuracies = run.history["val_accuracy"]
    assert accuracies[run.best_epoch - 1] == max(accuracies)
    assert max(accuracies) == pytest.approx((answers.argmax(axis=1) == data.validation.y).mean())
    assert {len(values) for values in run.history.values()} == {run.epochs_done}
    assert run.seconds > 0
    assert run.notes == ()
    assert os.listdir(tmp_path) == ["out.keras"]


# --- resuming


@pytest.fixture(scope="module")
def interrupted(data, logits, tmp_path_factory):
    """A student whose distillation was interrupted in its second epoch, and the folder where it left its state."""
    folder = tmp_path_factory.mktemp("interrupted")
    student, fewer = mlp(64, (16,), 10, seed=1), dataclasses.replace(QUICK, epochs=2)
    with pytest.raises(KeyboardInterrupt):
        runs.distill(student, logits, data, folder / "out.keras", fewer, 3.0, 0.7, [Interrupt(1)])
    assert os.listdir(folder) == ["out.keras.resume"]
    return student, folder


def test_an_interrupted_run_goes_on_with_the_same_model_in_the_same_process_and_to_more_epochs(
    data, logits, plain, interrupted, tmp_path
):
    student, folder = interrupted
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    seen = Weights(student)
    run = runs.distill(student, logits, data, tmp_path / "out.keras", QUICK, 3.0, 0.7, [seen])
    assert (run.resumed_from, run.epochs_done, seen.epochs) == (1, 3, [1, 2])
    assert run.history == plain[0].history
    assert_same(run.model.get_weights(), plain[0].model.get_weights())
    assert os.listdir(tmp_path) == ["out.keras"]


def test_dropout_depends_on_the_seed_and_the_epoch(data, tmp_path, monkeypatch):
    # One batch in the same order and no learning to speak of: only dropout makes a difference between epochs.
    monkeypatch.setattr("kdlab.runs.epoch_batches.epoch_order", lambda samples, seed, epoch: np.arange(samples))

    def losses(out, seed):
        settings = dataclasses.replace(QUICK, learning_rate=1e-12, batch_size=100, seed=seed)
        return runs.train(mlp(64, (64,), 10, 0.5, seed=1), data, tmp_path / out, settings).history["loss"]

    first, other = losses("a.keras", 0), losses("b.keras", 1)
    assert np.ptp(first) > 1e-4
    assert not np.isclose(first, other, atol=1e-5).any()


def test_a_run_that_was_only_to_be_written_is_not_trained_again(data, logits, plain, tmp_path, file_size_limit):
    def call(*callbacks):
        student = mlp(64, (16,), 10, seed=1)
        return runs.distill(student, logits, data, out, QUICK, 3.0, 0.7, callbacks, overwrite=True)

    class Full(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            file_size_limit(100)

    out = tmp_path / "out.keras"
    out.write_bytes(b"what was there")
    with pytest.raises(
        OSError, match=r"there is no space left .*the run is kept in .*out\.keras\.resume: the same call"
    ):
        call(Full())
    assert out.read_bytes() == b"what was there"
    file_size_limit(10**9)
    seen = Weights(None)
    run = call(seen)
    assert (run.resumed_from, seen.begun) == (3, 0)
    assert run.history == plain[0].history
    assert_same(load(out).get_weights(), plain[0].model.get_weights())
    assert os.listdir(tmp_path) == ["out.keras"]


def test_what_another_call_left_is_said_and_not_used(data, logits, interrupted, tmp_path):
    shutil.copytree(interrupted[1], tmp_path, dirs_exist_ok=True)
    out = tmp_path / "out.keras"
    run = runs.distill(mlp(64, (16,), 10, seed=2), logits + 1, data, out, QUICK, 4.0, 0.7)
    assert run.resumed_from == 0
    assert run.notes == (
        f"{state_path(out)} was left by a run of other model, temperature, teacher_logits: it is not used.",
    )


# --- other data and hardware


def test_samples_without_a_label_and_no_validation(data, tmp_path):
    y = data.train.y.copy()
    y[::2] = -1
    part = dataclasses.replace(data, train=Split(data.train.x, y), validation=Split(data.test.x[:0], data.test.y[:0]))
    model = mlp(64, (16,), 10, seed=1)
    expected = by_hand(weights_of(model), data.train.x[1::2], y[1::2], QUICK)
    run = runs.train(model, part, tmp_path / "out.keras", QUICK)
    assert run.history["loss"] == pytest.approx(expected, rel=1e-4)
    assert run.notes == (
        "50 of 100 training samples have no label and were left out.",
        "There are no validation samples: the best epoch was chosen on the training split.",
    )
    assert run.best_epoch == 1 + int(np.argmax(run.history["accuracy"]))


def test_mixed_precision_keeps_weights_and_logits_in_float32(data, logits, plain, tmp_path):
    seen = []

    class Precision(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            outputs = self.model(data.train.x[:2], training=False)
            seen.append(({layer.compute_dtype for layer in student.layers[:-1]}, outputs.dtype.name))

    student = mlp(64, (16,), 10, seed=1)
    mixed = dataclasses.replace(QUICK, mixed_precision="on")
    run = runs.distill(student, logits, data, tmp_path / "out.keras", mixed, 3.0, 0.7, [Precision()])
    assert seen == [({"bfloat16"}, "float32")] * 3
    assert {layer.compute_dtype for layer in (*student.layers, *load(tmp_path / "out.keras").layers)} == {"float32"}
    assert run.notes == ("Trained in mixed precision (mixed_bfloat16); the weights are float32.",)
    np.testing.assert_allclose(run.history["loss"], plain[0].history["loss"], rtol=0.02)
    assert run.history["loss"] != plain[0].history["loss"]


# --- bad input


def test_what_exists_is_not_overwritten(data, logits, tmp_path):
    out = tmp_path / "out.keras"
    out.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"out\.keras exists already; overwrite=True replaces it"):
        runs.train(mlp(64, (), 10), data, out)
    with pytest.raises(FileExistsError):
        runs.distill(mlp(64, (), 10), logits, data, out)
    assert out.read_bytes() == b"mine"
    assert os.listdir(tmp_path) == ["out.keras"]


def test_a_run_that_diverges_leaves_nothing(data, tmp_path):
    settings = dataclasses.replace(QUICK, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="training diverged in epoch 1"):
        runs.train(mlp(64, (16,), 10, seed=1), data, tmp_path / "out.keras", settings)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"batch_size": 1.5}, r"batch_size must be a whole number of at least 1, got 1\.5"),
        ({"patience": True}, "patience must be a whole number of at least 1, got True"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"learning_rate": 0}, "learning_rate must be a finite number above 0, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be a finite number above 0, got nan"),
        ({"mixed_precision": "yes"}, r"mixed_precision must be one of \('auto', 'on', 'off'\), got 'yes'"),
    ],
)
def test_settings_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        Settings(**changes)


def test_the_rate_is_halved_after_half_the_patience():
    assert [Settings(patience=p).reduce_patience for p in (1, 5, 40)] == [1, 2, 20]
    assert Settings(patience=40, reduce_patience=3).reduce_patience == 3


def test_what_does_not_go_together(data, logits, tmp_path):
    out, student = tmp_path / "out.keras", mlp(64, (), 10)
    with pytest.raises(ValueError, match=r"out must be a path that ends in \.keras, got 'out\.h5'"):
        runs.train(student, data, "out.h5")
    with pytest.raises(ValueError, match="student returns outputs of shape"):
        runs.distill(mlp(64, (), 9), logits, data, out)
    with pytest.raises(ValueError, match=r"teacher_logits must have shape \(100, 10\)"):
        runs.distill(student, logits[:50], data, out)
    with pytest.raises(ValueError, match="the teacher's outputs look like probabilities"):
        runs.distill(student, np.full((100, 10), 0.1, np.float32), data, out)
    with pytest.raises(ValueError, match="temperature must be a finite number above 0"):
        runs.distill(student, logits, data, out, QUICK, 0.0)
    with pytest.raises(ValueError, match="alpha must be a number from 0 to 1"):
        runs.distill(student, logits, data, out, QUICK, 1.0, 2.0)
    one = dataclasses.replace(data, train=Split(data.train.x, np.where(data.train.y == 3, 3, -1).astype(np.int32)))
    with pytest.raises(ValueError, match="labelled samples of at least two classes"):
        runs.train(student, one, out)
    assert os.listdir(tmp_path) == []


def test_few_samples_get_small_batches_and_many_epochs():
    found = [runs.suggest(samples) for samples in (10, 43, 130, 720, 5000, 100_000)]
    assert [one["batch_size"] for one in found] == sorted(one["batch_size"] for one in found)
    assert [one["epochs"] for one in found] == sorted((one["epochs"] for one in found), reverse=True)
    assert (found[0]["batch_size"], found[0]["epochs"]) == (8, 200)
    assert (found[-1]["batch_size"], found[-1]["epochs"]) == (64, 30)
    for samples in (130, 720):
        one = runs.suggest(samples)
        assert one["epochs"] * -(-samples // one["batch_size"]) >= 2000
    runs.Settings(**found[1])
