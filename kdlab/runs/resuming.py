"""The state of a run, kept beside its result after every epoch: killed, the same run goes on from there."""

import json
import time
from pathlib import Path

import numpy as np

from ..backend import keras
from ..cache import ELSEWHERE, new_file

__all__ = ["Keeper", "State", "state_path"]


def state_path(out):
    """Return the file beside ``out`` that holds the state of an unfinished run."""
    out = Path(out)
    return out.with_name(f"{out.name}.resume")


class State:
    """The file that holds a run's state: plain values, and lists of arrays by name.

    ``key`` is a dict of plain values, all that the run's result depends on: a state with another is not read.
    """

    def __init__(self, out, key):
        self.path, self.key = state_path(out), json.loads(json.dumps(key))

    def read(self):
        """Return (values, arrays, note): the first two None where there is no state to go on from; the note says why."""
        for partial in self.path.parent.glob(f".{self.path.name}.*"):  # of a run killed while it wrote
            partial.unlink(missing_ok=True)
        try:
            with open(self.path, "rb") as file, np.load(file, allow_pickle=False) as parts:
                head = json.loads(str(parts["head"]))
                if different := self._differences(head["key"]):
                    return None, None, f"{self.path} was left by a run of other {different}: it is not used."
                arrays = {name: [parts[f"{name} {k}"] for k in range(size)] for name, size in head["sizes"].items()}
        except FileNotFoundError:
            return None, None, ""
        except Exception:  # A damaged zip file raises errors of many kinds.
            return None, None, f"{self.path} is damaged and not used: the run began anew."
        return head["values"], arrays, ""

    def write(self, values, arrays):
        """Write the state at once or, OSError, not at all: the one before then stays."""
        head = {"key": self.key, "values": values, "sizes": {name: len(parts) for name, parts in arrays.items()}}
        parts = {f"{name} {k}": part for name, parts in arrays.items() for k, part in enumerate(parts)}
        with new_file(self.path, ELSEWHERE) as file:
            np.savez(file, head=json.dumps(head), **parts)

    def _differences(self, theirs):
        """Return the names of what differs in another key, in words."""
        return ", ".join(name for name in {**theirs, **self.key} if theirs.get(name) != self.key.get(name))

    def remove(self):
        """Remove the file."""
        self.path.unlink(missing_ok=True)


class Keeper(keras.callbacks.Callback):
    """Chooses the best epoch, halves the learning rate, ends the run, and keeps its state after every epoch.

    Keras's ``EarlyStopping`` and ``ReduceLROnPlateau`` begin to count anew in each ``fit`` and look at one number,
    where small validation sets need two: accuracy, and among equals the loss. Its ``BackupAndRestore`` keeps neither
    their counts nor the history, and a kill while it writes leaves half a file.

    ``student`` has the weights that matter, ``settings`` are ``runs.Settings``, ``begin_epoch(epoch)`` is called at the
    beginning of each; all that is random in an epoch must come from its number and the seed. After ``resume`` and
    after training ``history``, ``seconds``, ``best_epoch`` and ``best`` (its weights) are those of the whole run.
    """

    def __init__(self, student, settings, state, begin_epoch):
        super().__init__()
        self.student, self.settings, self.state, self.begin_epoch = student, settings, state, begin_epoch
        self.history, self.seconds, self.best_epoch, self.halved_at = {}, 0.0, 0, 0
        self.best, self.notes = None, []

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
        values, arrays, note = self.state.read()
        if values is not None and (done := len(values["history"].get("loss", ()))) > self.settings.epochs:
            values, note = None, f"{self.state.path} was left by a run of {done} epochs: it is not used."
        if note:
            self.notes.append(note)
        if values is not None:
            for name in ("history", "seconds", "best_epoch", "halved_at"):
                setattr(self, name, values[name])
            self.best = arrays["best"]
            for variables, kept in ((self.student.weights, "weights"), (optimizer.variables, "optimizer")):
                for variable, value in zip(variables, arrays[kept], strict=True):
                    variable.assign(value)
        else:
            self.best = self.student.get_weights()
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

    def _waited(self, since):
        return self.epochs_done - since

    def _score(self, epoch):
        """Return what makes an epoch, counted from 1, better than another: accuracy, then loss."""
        prefix = "val_" if "val_loss" in self.history else ""
        return self.history[f"{prefix}accuracy"][epoch - 1], -self.history[f"{prefix}loss"][epoch - 1]

    def _write(self, optimizer):
        values = {name: getattr(self, name) for name in ("history", "seconds", "best_epoch", "halved_at")}
        arrays = {
            "weights": self.student.get_weights(),
            "optimizer": [variable.numpy() for variable in optimizer.variables],
            "best": self.best,
        }
        self.state.write(values, arrays)
