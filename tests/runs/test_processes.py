"""Runs in processes of their own, that are killed or have two devices; in one file, to be forked from one process."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from kdlab.commands.command_line import main
from kdlab.model_files import load

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")


def assert_same_weights(first, second):
    for a, b in zip(load(first).get_weights(), load(second).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# --- commands

TRAIN = ["train", "--data", "data.npz", "--model", "mlp", "--epochs", "8", "--patience", "8", "--batch-size", "64"]
SWEEP = ["sweep", "--data", "data.npz", "--teacher", "whole.keras", "--student", "mlp", "--epochs", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_digits):
    """A folder to work in, with data.npz and whole.keras, which is what the command makes of them that nobody stops."""
    folder = tmp_path_factory.mktemp("commands")
    write_digits(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kdlab.timing.MOST", 10)  # nobody looks at how long a model takes
        patch.chdir(folder)
        patch.setenv("KDLAB_CACHE", str(folder / "cache"))
        assert main([*TRAIN, "--out", "whole.keras"]) == 0
        yield folder


def start(line, launch):
    """Start the command in a process of its own, which Ctrl-C interrupts; what it shows goes to two files."""
    return launch(
        "import signal, sys\n"
        "from kdlab.commands.command_line import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])\n"
        "sys.stdout, sys.stderr = (open(name, 'w', buffering=1) for name in ('out.txt', 'err.txt'))\n"
        f"sys.exit(main({line!r}))"
    )


def stop_when(ready, process, how):
    """Send the process this signal as soon as ``ready()``; return its exit code."""
    deadline = time.monotonic() + 120
    while not ready() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, how)
    process.join(60)
    return process.exitcode


def test_a_command_that_is_killed_in_an_epoch_comes_to_the_same_weights(folder, capsys, launch):
    line = [*TRAIN, "--out", "model.keras"]

    def some_epochs():
        try:
            state = np.load(folder / "model.keras.unfinished" / "model.keras.resume")
            return json.loads(str(state["head"]))["values"]["best_epoch"] > 2
        except (OSError, ValueError, KeyError, EOFError):
            return False

    assert stop_when(some_epochs, start(line, launch), signal.SIGKILL) == -signal.SIGKILL
    assert not (folder / "model.keras").exists()
    assert main(line) == 0
    shown = capsys.readouterr().out
    assert "epoch 8 of 8" in shown
    assert "epoch 2 of 8" not in shown
    assert_same_weights("model.keras", "whole.keras")
    ours, whole = (json.loads((folder / name).read_text("utf-8")) for name in ("model.json", "whole.json"))
    assert ours["training"]["model"]["history"] == whole["training"]["model"]["history"]


def test_a_sweep_that_is_killed_keeps_its_points_and_goes_on(folder, launch):
    line = [*SWEEP, "--temperatures", "8", "--alphas", "0.5", "--seeds", "1", "--out", "sweep.csv"]
    table = folder / "sweep.csv"
    process = start(line, launch)
    code = stop_when(lambda: table.exists() and table.read_text().count("\n") >= 2, process, signal.SIGKILL)
    assert code == -signal.SIGKILL
    kept = table.read_text()
    assert kept.count("\n") == 2
    assert main(line) == 0
    assert table.read_text().startswith(kept)
    assert table.read_text().count("\n") == 1 + 2
    assert not (folder / "sweep.csv.unfinished").exists()


def test_ctrl_c_is_one_line_and_leaves_what_it_takes_to_go_on(folder, launch):
    # Seconds of training, and too few steps to be compiled by XLA.
    process = start([*TRAIN, "--epochs", "240", "--batch-size", "512", "--out", "long.keras"], launch)
    out = folder / "out.txt"
    code = stop_when(lambda: out.exists() and ": epoch 2 of 240" in out.read_text(), process, signal.SIGINT)
    assert code == 130
    assert (folder / "err.txt").read_text() == "kdlab: stopped; repeat the command to resume\n"
    assert [path.name for path in folder.glob("*long*")] == ["long.keras.unfinished"]


# --- runs

KILLED = """
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
        process = launch(KILLED.format(arguments=(kind, str(out), kill, str(report))))
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
    assert_same_weights(out, tmp_path / "whole.keras")
    assert [path.name for path in tmp_path.iterdir() if "killed" in path.name] == ["killed.keras"]


ON_TWO_DEVICES = """
import dataclasses, json
import numpy as np
from kdlab.backend import tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
import kdlab
from kdlab.runs import hardware, runs
from kdlab.datasets.dataset import Split
from kdlab.models import mlp

folder = {folder!r}
digits = kdlab.load("digits")
# The last batch of validation samples leaves nothing for the second device, that of training samples is none.
data = dataclasses.replace(
    digits, train=Split(digits.train.x[:96], digits.train.y[:96]), validation=Split(digits.test.x[:257], digits.test.y[:257])
)
settings = runs.Settings(epochs=2, batch_size=32)
logits = np.random.default_rng(0).normal(size=(96, 10)).astype(np.float32)
found = {{"train": [], "distill": []}}
for devices in ([], ["CPU:0", "CPU:1"]):
    runs.choose_strategy = lambda: hardware.choose_strategy(devices)
    for kind in found:
        out, model = f"{{folder}}/{{kind}}{{len(devices)}}.keras", mlp(64, (8,), 10, seed=0)
        if kind == "train":
            run = runs.train(model, data, out, settings)
        else:
            run = runs.distill(model, logits, data, out, settings, 2.0, 0.5)
        weights = [w.tolist() for w in run.model.get_weights()]
        found[kind].append({{"history": run.history, "weights": weights, "notes": run.notes}})
with open(f"{{folder}}/found.json", "w") as file:
    json.dump(found, file)
"""


@pytest.fixture(scope="module")
def on_two_devices(tmp_path_factory, launch):
    """The same runs on one device and on two, in a process that has two."""
    folder = tmp_path_factory.mktemp("devices")
    process = launch(ON_TWO_DEVICES.format(folder=str(folder)))
    process.join(120)
    assert process.exitcode == 0
    return json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize("kind", ["train", "distill"])
def test_two_devices_come_to_what_one_comes_to(kind, on_two_devices):
    one, two = on_two_devices[kind]
    assert two["notes"] == ["Trained on 2 devices at once."]
    assert one["history"].keys() == two["history"].keys()
    for name, values in one["history"].items():
        np.testing.assert_allclose(two["history"][name], values, rtol=1e-4)
    for a, b in zip(one["weights"], two["weights"], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
