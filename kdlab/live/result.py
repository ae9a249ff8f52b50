"""What the live engine returns: the students of one slider position, or the accuracies of a landscape."""

from dataclasses import dataclass

import numpy as np

from ..checks import check_count
from .batched import DenseStudent, apply_all, spread


class _Divergence:
    """What a result says of students whose training went wrong."""

    @property
    def message(self):
        """What a page must say of students that diverged, with the first epoch, counted from 1; else ""."""
        bad = self.diverged_at[self.diverged_at >= 0]
        if not bad.size:
            return ""
        return (
            f"{bad.size} of {self.diverged_at.size} students diverged (the loss is not a finite number), "
            f"the first in epoch {bad.min() + 1}; a smaller learning rate often helps"
        )


@dataclass(frozen=True, eq=False, repr=False)
class LiveResult(_Divergence):
    """The students trained at one slider position, one per seed: their curves, their weights, themselves.

    ``train_loss`` is in nats, the mean over the samples of an epoch while it trains, as in Keras's ``fit``;
    accuracies are fractions, after each epoch. Weights are lists in the order of Keras's ``get_weights``,
    with seeds in front; ``weights_per_epoch`` with seeds and epochs + 1, the first of them the initial ones.
    Where a layer was tied to a teacher's, ``train_loss`` is φ · L_feature + (1 − φ) · L, with φ = ``feature_alpha``.
    """

    temperature: float
    alpha: float
    test_accuracy: np.ndarray  # (seeds,)
    test_logits: np.ndarray  # (seeds, N_test, C)
    train_loss: np.ndarray  # (seeds, epochs)
    validation_accuracy: np.ndarray  # (seeds, epochs); NaN without validation samples
    test_accuracy_per_epoch: np.ndarray  # (seeds, epochs)
    diverged_at: np.ndarray  # (seeds,): index, in the curves, of the first epoch that is not finite, or -1
    weights: list
    weights_per_epoch: list | None
    _student: DenseStudent
    feature_alpha: float = 0.0
    feature_loss: np.ndarray | None = None  # (seeds, epochs), L_feature alone; None where feature_alpha is 0

    def __repr__(self):
        accuracy, seeds = self.test_accuracy.mean(), len(self.test_accuracy)
        position = f"temperature={self.temperature}, alpha={self.alpha}, seeds={seeds}"
        if self.feature_alpha:
            position += f", feature_alpha={self.feature_alpha}"
        return f"LiveResult({position}, mean test accuracy {accuracy:.3f})"

    def student(self, seed, epoch=None):
        """Return the student of ``seed``, counted from 0, as a ``keras.Model`` of its own.

        ``epoch`` goes back to the weights after so many epochs, 0 the initial ones; it needs
        ``keep_epochs=True``. Raises ValueError for a seed or an epoch that there is not.
        """
        seed = check_count(seed, "seed", 0, len(self.test_accuracy) - 1)
        return self._student.to_keras([w[seed] for w in self._weights_after(epoch)])

    def logits(self, x, epoch=None):
        """Return all students' logits on other inputs ``x`` (N, ...): (seeds, N, C); ``epoch`` as above."""
        return self._values(x, epoch)[-1]

    def features(self, x, layer, epoch=None):
        """Return what ``layer`` of all students returns on inputs ``x`` (N, ...): (seeds, N, units).

        ``epoch`` as above. Raises ValueError, naming the layers there are, for one that there is not.
        """
        step, _ = self._student.layer(layer)
        return self._values(x, epoch)[step]

    def _values(self, x, epoch):
        """Return what each step of all students computes, a list of (seeds, N, units)."""
        x, shape = np.asarray(x, np.float32), self._student.keras_student.input_shape[1:]
        if x.shape[1:] != shape or not x.ndim:
            raise ValueError(f"x must have shape (N, {', '.join(map(str, shape))}), got {x.shape}")
        inputs = self._student.features(x)[None]
        values = apply_all(self._student.steps, spread(self._weights_after(epoch)), inputs)
        return [value[:, 0].numpy().swapaxes(1, 2) for value in values]

    def _weights_after(self, epoch):
        if epoch is None:
            return self.weights
        if self.weights_per_epoch is None:
            raise ValueError("epoch needs the weights of every epoch: train with keep_epochs=True")
        epoch = check_count(epoch, "epoch", 0, self.train_loss.shape[1])
        return [w[:, epoch] for w in self.weights_per_epoch]


@dataclass(frozen=True, eq=False)
class LiveSweep(_Divergence):
    """A temperature × alpha landscape of trained students; NaN where a stop left none."""

    temperatures: np.ndarray  # (T,)
    alphas: np.ndarray  # (A,)
    test_accuracy: np.ndarray  # (T, A, seeds)
    validation_accuracy: np.ndarray  # (T, A, seeds): a position is chosen by this, never by the test's
    diverged_at: np.ndarray  # (T, A, seeds): index of the first epoch that is not finite, or -1


def diverged_at(out):
    """Return, of every student (K, G), the index of the first epoch that is not finite, or −1.

    A last step that went wrong is in no loss: it shows in the logits.
    """
    bad = ~np.isfinite(out["loss"])
    bad[..., -1] |= ~np.isfinite(out["logits"]).all(axis=(2, 3))
    return np.where(bad.any(axis=-1), bad.argmax(axis=-1), -1)
