"""Runs: trained as plain Keras would, kept in a file, and after a kill at any moment the same to the last bit."""

import dataclasses
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

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


def by_hand(learner, x, y, settings, extra=()):
    """Train with plain Keras, batch by batch in the order of ``epoch_order``; yield the losses of an epoch."""
    learner.compile(
        keras.optimizers.Adam(settings.learning_rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    size = settings.batch_size
    for epoch in range(settings.epochs):
        order, losses = epoch_order(len(x), settings.seed, epoch), []
        for start in range(0, len(x), size):
            rows = order[start : start + size]
            target = (y[rows], *(part[rows] for part in extra)) if extra else y[rows]
            losses.append(learner.train_on_batch(x[rows], target, return_dict=True)["loss"] * len(rows))
        yield sum(losses) / len(x)


def test_training_is_that_of_plain_keras(data, tmp_path):
    model, other = mlp(64, (16,), 10, seed=1), mlp(64, (16,), 10, seed=1)
    seen = Weights(model)
    run = runs.train(model, data, tmp_path / "out.keras", QUICK, [seen])
    assert run.history["loss"] == pytest.approx(list(by_hand(other, data.train.x, data.train.y, QUICK)), rel=1e-4)
    assert_same(seen.weights[-1], other.get_weights(), atol=1e-5)
    assert (seen.begun, seen.epochs, seen.params["epochs"]) == (1, [0, 1, 2], 3)


def test_distilling_is_that_of_distiller(data, logits, plain, tmp_path):
    run, seen = plain
    other = mlp(64, (16,), 10, seed=1)
    rival = kdlab.Distiller(student=other, temperature=3.0, alpha=0.7)
    expected = list(by_hand(rival, data.train.x, data.train.y, QUICK, [logits]))
    assert run.history["loss"] == pytest.approx(expected, rel=1e-4)
    assert_same(seen.weights[-1], other.get_weights(), atol=1e-5)
    names = {"student_loss", "distillation_loss", "val_loss", "val_accuracy", "accuracy", "learning_rate"}
    assert names < set(run.history)
    ensemble = np.stack([logits, logits], axis=1)
    twice = runs.distill(mlp(64, (16,), 10, seed=1), ensemble, data, tmp_path / "k.keras", QUICK, 3.0, 0.7)
    assert twice.history["loss"] == pytest.approx(expected, rel=1e-4)


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


def test_an_interrupted_run_goes_on_with_the_same_model_in_the_same_process_and_to_more_epochs(
    data, logits, plain, tmp_path
):
    student, out = mlp(64, (16,), 10, seed=1), tmp_path / "out.keras"
    fewer = dataclasses.replace(QUICK, epochs=2)
    with pytest.raises(KeyboardInterrupt):
        runs.distill(student, logits, data, out, fewer, 3.0, 0.7, [Interrupt(1)])
    assert os.listdir(tmp_path) == ["out.keras.resume"]
    seen = Weights(student)
    run = runs.distill(student, logits, data, out, QUICK, 3.0, 0.7, [seen])
    assert (run.resumed_from, run.epochs_done, seen.epochs) == (1, 3, [1, 2])
    assert run.history == plain[0].history
    assert_same(run.model.get_weights(), plain[0].model.get_weights())
    assert os.listdir(tmp_path) == ["out.keras"]


def test_dropout_depends_on_the_seed_and_the_epoch(data, tmp_path):
    def losses(out, seed):
        settings = dataclasses.replace(QUICK, learning_rate=1e-12, batch_size=100, seed=seed)
        return runs.train(mlp(64, (64,), 10, 0.5, seed=1), data, tmp_path / out, settings).history["loss"]

    # One batch and no learning to speak of: only dropout makes a difference between epochs.
    first, other = losses("a.keras", 0), losses("b.keras", 1)
    assert np.ptp(first) > 1e-4
    assert not np.isclose(first, other, atol=1e-5).any()


SCRIPT = """
import os, signal, sys
kind, out, kill, report = {arguments!r}
# A program that a call has compiled, the next one finds.
os.environ["TF_XLA_FLAGS"] = "--tf_xla_persistent_cache_directory=" + os.path.dirname(out) + "/xla"
import numpy as np
import kdlab
from kdlab import cache, model_files
from kdlab.runs import runs
from kdlab.backend import keras
from kdlab.models import mlp

digits = kdlab.load("digits")
# Whole batches only: XLA compiles anew for a smaller one.
first, second = (type(part)(part.x[:size], part.y[:size]) for part, size in ((digits.train, 896), (digits.test, 256)))
data = kdlab.Dataset(first, second, second, digits.class_names, "", "")
logits = np.random.default_rng(0).normal(size=(len(data.train), 10)).astype(np.float32)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Kill(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if kill == "in the middle of epoch 2" and self.epoch == 1 and batch >= 40:
            die()

    def on_epoch_end(self, epoch, logs=None):
        if kill == "while the state is written after epoch 4" and epoch == 2:  # Written once more after this.
            real = np.savez

            def half(file, *arrays, **parts):
                real(file, *arrays, **parts)
                file.truncate(file.tell() // 2)
                file.flush()
                die()

            np.savez = half


if kill == "while the result is written":
    model_files.os.replace = lambda *paths: die() if str(paths[1]) == out else os.rename(*paths)

settings = runs.Settings(
    epochs=5, batch_size=8, learning_rate=0.02, patience=2, reduce_patience=1, seed=3, mixed_precision="off"
)
if kind == "distill":  # so many steps that they run by the sixteen, under XLA; to judge by samples is compiled, too
    data = kdlab.Dataset(first, type(second)(second.x[:0], second.y[:0]), second, digits.class_names, "", "")
    run = runs.distill(mlp(64, (16,), 10, 0.3, seed=1), logits, data, out, settings, 2.0, 0.5, [Kill()])
else:
    images = [type(part)(part.x[:200].reshape(-1, 8, 8, 1), part.y[:200]) for part in (first, second)]
    data = kdlab.Dataset(images[0], images[1], images[1], data.class_names, "", "")
    keras.utils.set_random_seed(1)
    layers = keras.layers
    body = [layers.RandomTranslation(0.1, 0.1), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Flatten()]
    model = keras.Sequential([keras.Input((8, 8, 1)), *body, layers.Dropout(0.3), layers.Dense(10)])
    run = runs.train(model, data, out, settings, [Kill()])
weights = {{str(k): w for k, w in enumerate(run.model.get_weights())}}
np.savez(report, resumed_from=run.resumed_from, best_epoch=run.best_epoch, seconds=run.seconds, **weights)
import json
open(report + ".json", "w").write(json.dumps(run.history))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
@pytest.mark.parametrize(
    ("kind", "kills"),
    [
        ("distill", ["in the middle of epoch 2"]),
        ("train", ["while the state is written after epoch 4", "while the result is written"]),
    ],
)
def test_killed_the_same_call_comes_to_the_same_weights_bit_by_bit(kind, kills, tmp_path, launch):
    def call(out, kill=None):
        report = tmp_path / "report.npz"
        process = launch(SCRIPT.format(arguments=(kind, str(out), kill, str(report))))
        process.join(120)
        if kill:
            assert process.exitcode == -signal.SIGKILL
            assert not out.exists()
            return None
        assert process.exitcode == 0
        with np.load(report) as parts:
            return dict(parts), json.loads(Path(f"{report}.json").read_text())

    expected, history = call(tmp_path / "whole.keras")
    assert expected["resumed_from"] == 0
    out = tmp_path / "killed.keras"
    for kill in kills:
        call(out, kill)
    got, its_history = call(out)
    assert got["resumed_from"] == (1 if kind == "distill" else len(history["loss"]))
    assert len(history["loss"]) >= 4
    assert its_history == history
    assert got.keys() == expected.keys()
    for name in expected.keys() - {"resumed_from", "seconds"}:
        np.testing.assert_array_equal(got[name], expected[name])
    assert_same(load(out).get_weights(), load(tmp_path / "whole.keras").get_weights())
    assert [path.name for path in tmp_path.iterdir() if "killed" in path.name] == ["killed.keras"]


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


def test_what_another_call_left_is_said_and_not_used(data, logits, tmp_path):
    out = tmp_path / "out.keras"
    with pytest.raises(KeyboardInterrupt):
        runs.distill(mlp(64, (16,), 10, seed=1), logits, data, out, QUICK, 4.0, 0.9, [Interrupt(1)])
    run = runs.distill(mlp(64, (16,), 10, seed=2), logits + 1, data, out, QUICK, 3.0, 0.9)
    assert run.resumed_from == 0
    assert run.notes == (
        f"{state_path(out)} was left by a run of other model, temperature, teacher_logits: it is not used.",
    )


# --- other data and hardware


def test_samples_without_a_label_and_no_validation(data, tmp_path):
    y = data.train.y.copy()
    y[::2] = -1
    part = dataclasses.replace(data, train=Split(data.train.x, y), validation=Split(data.test.x[:0], data.test.y[:0]))
    model, other = mlp(64, (16,), 10, seed=1), mlp(64, (16,), 10, seed=1)
    run = runs.train(model, part, tmp_path / "out.keras", QUICK)
    expected = list(by_hand(other, data.train.x[1::2], y[1::2], QUICK))
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


def test_tensorboard_logs(data, tmp_path):
    settings = dataclasses.replace(QUICK, epochs=1, tensorboard=tmp_path / "logs")
    runs.train(mlp(64, (), 10, seed=1), data, tmp_path / "out.keras", settings)
    assert {path.parent.name for path in (tmp_path / "logs").rglob("*tfevents*")} == {"train", "validation"}


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
