"""What a run shows while it works: bars on a terminal, plain lines elsewhere."""

import sys
import time
from contextlib import AbstractContextManager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from ..backend import keras
from ..runs.results import markdown_table

_NAMES = {
    "loss": "loss",
    "accuracy": "accuracy",
    "val_loss": "validation loss",
    "val_accuracy": "validation accuracy",
}


class Display(AbstractContextManager):
    """Shows a command's work on ``file`` (None: the standard output); if ``quiet``, its results only."""

    def __init__(self, file=None, quiet=False):
        self.console = Console(file=file or sys.stdout, highlight=False)
        self.quiet, self.draws = quiet, self.console.is_terminal and not quiet
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}"))
        times = (TimeElapsedColumn(), TimeRemainingColumn(elapsed_when_finished=True))
        # The estimate looks back a day: an epoch may take an hour.
        how = {"console": self.console, "disable": not self.draws, "speed_estimate_period": 86400}
        self.bars = Progress(*columns, *times, **how)
        self.bars.start()

    def __exit__(self, *error):
        """Stop drawing; what was drawn stays."""
        self.bars.stop()

    def note(self, text):
        """Show a line of progress."""
        if not self.quiet:
            self.say(text)

    def say(self, text):
        """Show a line of the results."""
        self.console.print(text, markup=False, soft_wrap=True)

    def table(self, header, rows):
        """Show a table of strings: with lines on a terminal, else in Markdown."""
        if not self.console.is_terminal:
            return self.say(markdown_table(header, rows))
        table = Table(*header)
        for row in rows:
            table.add_row(*row)
        return self.console.print(table)

    def count(self, title):
        """Return a function to be called with (done, total)."""
        task = self.bars.add_task(title, total=None, visible=False, state="")
        return lambda done, total: self.bars.update(task, completed=done, total=total, visible=True)

    def training(self, title, passing=False):
        """Return a ``keras.callbacks.Callback`` that shows the epochs of one training: losses, accuracies, time left.

        ``passing`` is for one of many: its bar goes when it is done, and there is one line for it, not one per epoch.
        """
        return _Epochs(self, title, passing)


class _Epochs(keras.callbacks.Callback):
    """Shows an epoch when it ends. It has no method for batches: they would make training slower."""

    def __init__(self, display, title, passing):
        super().__init__()
        self.display, self.title, self.passing = display, title, passing
        self.task, self.line = None, ""

    def on_epoch_begin(self, epoch, logs=None):
        """Note when and where the first epoch of this call began: a run that goes on begins later."""
        if self.task is None:
            self.first, self.begun, epochs = epoch, time.monotonic(), self.params["epochs"]
            self.task = self.display.bars.add_task(self.title, total=epochs, completed=epoch, state="")

    def on_epoch_end(self, epoch, logs=None):
        """Show the epoch's losses and accuracies, and the time left if all epochs are run."""
        done, epochs = epoch + 1, self.params["epochs"]
        shown = ", ".join(f"{_NAMES[name]} {value:.4f}" for name, value in (logs or {}).items() if name in _NAMES)
        each = (time.monotonic() - self.begun) / (done - self.first)
        left = f", at most {duration(each * (epochs - done))} left" if done < epochs else ""
        self.line = f"{self.title}: epoch {done} of {epochs}, {shown}, {duration(each)} each"
        self.display.bars.update(self.task, completed=done, state=shown)
        if not (self.display.draws or self.passing):
            self.display.note(self.line + left)

    def on_train_end(self, logs=None):
        """Take the bar of one of many away; say its last epoch."""
        if self.passing and self.line:
            self.display.bars.remove_task(self.task)
            self.display.note(self.line)


def duration(seconds):
    """Return seconds in words: "0.4 s", "12 s", "3 min 20 s", "2 h 05 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
