"""The state of a run, kept beside its result after every epoch: killed, the same run goes on from there."""

import json
import time
from pathlib import Path

import numpy as np

from ..backend import keras
from ..cache import ELSEWHERE, new_file

_KEPT = ("history", "seconds", "best_epoch", "halved_at")


def state_path(out):
    """Return the file beside ``out`` that holds the state of an unfinished run."""
    return Path(f"{out}.resume")


class TrainingState(keras.callbacks.Callback):
    """Chooses the best epoch, halves the learning rate, ends the run, and keeps its state after every epoch.

    Keras's ``EarlyStopping`` and ``ReduceLROnPlateau`` begin to count anew in each ``fit`` and look at one number,
    where small validation sets need two: accuracy, and among equals the loss. Its ``BackupAndRestore`` keeps neither
    their counts nor the history, and writes weights and epoch one after the other: a kill in between repeats an epoch.

    ``student`` has the weights that matter, ``settings`` are ``runs.Settings``, ``key`` is a dict of plain values, all
    that the result depends on. ``begin_epoch(epoch)`` is called at the beginning of each; all that is random in an epoch
    must come from its number and the seed. After ``resume`` and after training ``history``, ``seconds``,
    ``best_epoch`` and ``best`` (its weights) are those of the whole run.
    """

    def __init__(self, student, settings, out, key, begin_epoch):
        super().__init__()
        self.student, self.settings, self.begin_epoch = student, settings, begin_epoch
        self.path, self.key = state_path(out), json.loads(json.dumps(key))
        self.history, self.seconds, self.best_epoch, self.halved_at = {}, 0.0, 0, 0
        self.best, self.notes = student.get_weights(), []

    @property
    def epochs_done(self):
        """How many epochs the run has behind it."""
        return len(self.history.get("loss", ()))

    @property
    def finished(self):
        """Whether there is nothing more to train."""
        return self.epochs_done >= self.settings.epochs or self._waited(self.best_epoch) >= self.settings.patience

    def resume(self, optimizer):
        """Go on where the state says; without one, keep that of the beginning: a full disk is met now, not later.

        ``optimizer`` must be built. Returns the epochs done. Raises OSError where the state cannot be written.
        """
        for partial in self.path.parent.glob(f".{self.path.name}.*"):  # of a run killed while it wrote
            partial.unlink(missing_ok=True)
        try:
            self._read(optimizer)
        except FileNotFoundError:
            pass
        except _OtherRun as other:
            self.notes.append(f"{self.path} was left by a run of {other}: it is not used.")
        except Exception:  # A damaged zip file raises errors of many kinds.
            self.notes.append(f"{self.path} is damaged and not used: the run began anew.")
        if not self.epochs_done:
            self._write(optimizer)
        return self.epochs_done

    def on_epoch_begin(self, epoch, logs=None):
        """Begin the epoch."""
        self.begun = time.perf_counter()
        self.begin_epoch(epoch)

    def on_epoch_end(self, epoch, logs=None):
        """Judge the epoch and keep the state."""
        optimizer = self.model.optimizer
        logs["learning_rate"] = float(optimizer.learning_rate.numpy())
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        if not self.best_epoch or self._score(self.epochs_done) > self._score(self.best_epoch):
            self.best_epoch, self.best = self.epochs_done, self.student.get_weights()
        elif self._waited(max(self.best_epoch, self.halved_at)) >= self.settings.reduce_patience:
            self.halved_at = self.epochs_done
            optimizer.learning_rate = logs["learning_rate"] / 2
        self.model.stop_training = self.finished
        self.seconds += time.perf_counter() - self.begun
        try:
            self._write(optimizer)
        except OSError as error:
            self.notes.append(f"After epoch {epoch + 1} the state of the run could not be kept: {error}.")

    def remove(self):
        """Remove the state's file."""
        self.path.unlink(missing_ok=True)

    def _waited(self, since):
        return self.epochs_done - since

    def _score(self, epoch):
        """Return what makes an epoch, counted from 1, better than another: accuracy, then loss."""
        prefix = "val_" if "val_loss" in self.history else ""
        return self.history[f"{prefix}accuracy"][epoch - 1], -self.history[f"{prefix}loss"][epoch - 1]

    def _read(self, optimizer):
        """Take the state from its file; ``_OtherRun`` for that of another run."""
        with open(self.path, "rb") as file, np.load(file, allow_pickle=False) as parts:
            head = json.loads(str(parts["head"]))
            arrays = [parts[f"arr_{k}"] for k in range(len(parts.files) - 1)]
        theirs, values = head["key"], head["values"]
        if theirs != self.key:
            names = [name for name in {**theirs, **self.key} if theirs.get(name) != self.key.get(name)]
            raise _OtherRun(f"other {', '.join(names)}")
        if (done := len(values["history"].get("loss", ()))) > self.settings.epochs:
            raise _OtherRun(f"{done} epochs")
        vars(self).update(values)
        variables = [*self.student.weights, *optimizer.variables]
        for variable, value in zip(variables, arrays[: len(variables)], strict=True):
            variable.assign(value)
        self.best = arrays[len(variables) :]

    def _write(self, optimizer):
        """Write the state at once or, OSError, not at all: the one before then stays."""
        head = {"key": self.key, "values": {name: getattr(self, name) for name in _KEPT}}
        current = [variable.numpy() for variable in (*self.student.weights, *optimizer.variables)]
        with new_file(self.path, ELSEWHERE) as file:
            np.savez(file, *current, *self.best, head=json.dumps(head))


class _OtherRun(Exception):  # noqa: N818 - it is no error
    """The state is that of another run; says in what it differs."""
