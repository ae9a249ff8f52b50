"""What a run shows: lines where there is no terminal, bars where there is one, results only if quiet."""

import io
import re

import keras
import numpy as np
import pytest
from rich.console import Console

from kdlab.commands import progress
from kdlab.commands.progress import Display, duration


@pytest.fixture(scope="module")
def fit():
    """A function that trains a model with a callback, the same in all tests, and returns its history."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    x, y = np.eye(4, 2, dtype=np.float32), np.zeros(4, np.int32)

    def fit(callback, initial_epoch=0, epochs=3):
        epochs = {"epochs": epochs, "initial_epoch": initial_epoch}
        return model.fit(x, y, validation_data=(x, y), callbacks=[callback], **epochs, verbose=0).history

    return fit


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A file that rich takes for a wide terminal."""
    monkeypatch.setattr(progress, "Console", lambda **keywords: Console(**keywords, width=150, force_terminal=True))
    return Terminal()


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_an_epoch_is_a_line_with_its_losses_accuracies_and_the_time_left(fit):
    file = io.StringIO()
    with Display(file) as display:
        history = fit(display.training("student"))
    lines = file.getvalue().splitlines()
    assert len(lines) == 3
    for number, line in enumerate(lines, 1):
        values = {name: history[name][number - 1] for name in ("accuracy", "loss", "val_accuracy", "val_loss")}
        assert line.startswith(
            f"student: epoch {number} of 3, accuracy {values['accuracy']:.4f}, loss {values['loss']:.4f}, "
            f"validation accuracy {values['val_accuracy']:.4f}, validation loss {values['val_loss']:.4f}, "
        )
        assert re.search(r" s each" + (r", at most [\d.]+ s left$" if number < 3 else "$"), line)


def test_a_run_that_goes_on_counts_from_its_first_epoch(fit):
    file = io.StringIO()
    with Display(file) as display:
        fit(display.training("student"), initial_epoch=2, epochs=4)
    assert [re.match(r"student: epoch (\d) of 4", line)[1] for line in file.getvalue().splitlines()] == ["3", "4"]


def test_the_time_left_is_that_of_the_epochs_seen_here(monkeypatch):
    now = iter([100.0, 107.0, 121.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    file = io.StringIO()
    callback = Display(file).training("student")
    callback.set_params({"epochs": 10})
    for epoch in (4, 5):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {"loss": 0.5})
    assert file.getvalue().splitlines() == [
        "student: epoch 5 of 10, loss 0.5000, 7.0 s each, at most 35 s left",
        "student: epoch 6 of 10, loss 0.5000, 10 s each, at most 42 s left",
    ]


def test_one_of_many_trainings_is_one_line(fit):
    file = io.StringIO()
    with Display(file) as display:
        fit(display.training("T 2, alpha 0.5, seed 0", passing=True))
    assert re.fullmatch(r"T 2, alpha 0.5, seed 0: epoch 3 of 3, .* each\n", file.getvalue())


def test_quiet_shows_results_only(fit):
    file = io.StringIO()
    with Display(file, quiet=True) as display:
        display.note("Reading data")
        fit(display.training("student"))
        display.count("logits")(1, 2)
        display.say("No detectable difference.")
        display.table(["model"], [["student"]])
    assert file.getvalue() == "No detectable difference.\n| model |\n| --- |\n| student |\n"


def test_long_lines_and_square_brackets_stay_as_they_are():
    file = io.StringIO()
    text = "[bold]" + "word " * 60 + "end"
    Display(file).say(text)
    assert file.getvalue() == text + "\n"


def test_on_a_terminal_bars_count_epochs_and_samples(terminal, fit):
    with Display(terminal) as display:
        display.count("logits of teacher.keras")(256, 1000)
        history = fit(display.training("student"))
        display.table(["model"], [["student"]])
    shown = plain(terminal.getvalue())
    assert re.search(r"logits of teacher\.keras .* 256/1000", shown)
    assert re.search(rf"student .* 3/3 .*loss {history['loss'][-1]:.4f}", shown)
    assert "epoch" not in shown
    assert "│ student │" in shown


def test_on_a_terminal_the_bar_of_one_of_many_goes_and_leaves_a_line(terminal, fit):
    with Display(terminal) as display:
        fit(display.training("seed 0", passing=True))
        assert not display.bars.tasks
    assert re.search(r"[\r\n]seed 0: epoch 3 of 3, .* each *\n", plain(terminal.getvalue()))


def test_the_terminal_is_given_back_after_an_error(terminal):
    def stopped():
        with Display(terminal) as display:
            display.count("logits")(1, 2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert terminal.getvalue().endswith("\x1b[?25h")  # the cursor is back


def test_batches_are_not_slowed_down():
    """Keras calls back at every batch where a callback wants it, and then runs one step at a time."""
    callback = Display(io.StringIO()).training("student")
    for name in ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"):
        assert getattr(type(callback), name) is getattr(keras.callbacks.Callback, name)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words
