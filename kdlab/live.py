"""``LiveTrainer``: distillation at the speed of a slider. Every position trains real students, many at once.

The whole run (every epoch of every seed) is one compiled program, see ``batched``. Temperature and alpha are
its inputs, so that moving a slider compiles nothing. A seed starts from the same weights and sees the samples
in the same order at every position (common random numbers): a difference between positions is the loss's
doing. Every seed has an order of its own: error bars then hold the chance in the batches as well as in the
weights, and it costs next to nothing, for all positions of a seed still share a matrix product.
"""

import copy
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral, Real

import numpy as np

from .backend import tf
from .batched import DenseStudent, apply, gather, spread, training_program
from .checks import check_alpha, check_labels, check_logits, check_temperature
from .softening import softmax
from .training_checks import check_not_probabilities

__all__ = ["LiveResult", "LiveSweep", "LiveTrainer"]

STUDENTS_AT_ONCE = 20  # Of a sweep, in one call of the program: the next picture is never far.


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

    def __repr__(self):
        accuracy, seeds = self.test_accuracy.mean(), len(self.test_accuracy)
        position = f"temperature={self.temperature}, alpha={self.alpha}, seeds={seeds}"
        return f"LiveResult({position}, mean test accuracy {accuracy:.3f})"

    def student(self, seed, epoch=None):
        """Return the student of ``seed``, counted from 0, as a ``keras.Model`` of its own.

        ``epoch`` goes back to the weights after so many epochs, 0 the initial ones; it needs
        ``keep_epochs=True``. Raises ValueError for a seed or an epoch that there is not.
        """
        seed = _check_count(seed, "seed", 0, len(self.test_accuracy) - 1)
        return self._student.to_keras([w[seed] for w in self._weights_after(epoch)])

    def logits(self, x, epoch=None):
        """Return all students' logits on other inputs ``x`` (N, ...): (seeds, N, C); ``epoch`` as above."""
        x, shape = np.asarray(x, np.float32), self._student.keras_student.input_shape[1:]
        if x.shape[1:] != shape or not x.ndim:
            raise ValueError(f"x must have shape (N, {', '.join(map(str, shape))}), got {x.shape}")
        features = self._student.features(x)[None]
        answers = apply(self._student.steps, spread(self._weights_after(epoch)), features)
        return answers[:, 0].numpy().swapaxes(1, 2)

    def _weights_after(self, epoch):
        if epoch is None:
            return self.weights
        if self.weights_per_epoch is None:
            raise ValueError("epoch needs the weights of every epoch: train with keep_epochs=True")
        epoch = _check_count(epoch, "epoch", 0, self.train_loss.shape[1])
        return [w[:, epoch] for w in self.weights_per_epoch]


@dataclass(frozen=True, eq=False)
class LiveSweep(_Divergence):
    """A temperature × alpha landscape of trained students; NaN where a stop left none."""

    temperatures: np.ndarray  # (T,)
    alphas: np.ndarray  # (A,)
    test_accuracy: np.ndarray  # (T, A, seeds)
    validation_accuracy: np.ndarray  # (T, A, seeds): a position is chosen by this, never by the test's
    diverged_at: np.ndarray  # (T, A, seeds): index of the first epoch that is not finite, or -1


class LiveTrainer:
    """Trains many copies of a dense ``student`` on ``teacher_logits`` at once, with Adam.

    L = (1 − α) · CE(y, softmax(z_s)) + α · T² · CE(softmax(z_t / T), softmax(z_s / T)), the mean over a batch
    (Hinton, Vinyals & Dean 2015, section 2). ``data`` is a ``kdlab.Dataset``; a training label of −1 is "no
    label": that sample takes part in the soft term only. ``student`` is a Keras model, one chain of Dense
    layers with elementwise activations, logits out; it is copied, never changed. ``teacher_logits`` (N, C)
    belong to ``data.train``; (K, N, C) is an ensemble, of whose softened probabilities the mean is taken.

    Initial weights (by the student's own initializers) and the order of the samples depend on the seed alone:
    ``train(seeds=3)`` trains the first three of ``train(seeds=10)``. The last batch of an epoch is the
    smaller rest, as in Keras's ``fit``, with which all else agrees but for rounding. ``memory_limit`` (bytes,
    may be set) bounds what a run may need.

    Raises ValueError, before any training, for inputs, classes or labels that do not match, for logits that
    are not finite or look like probabilities, a training set that is empty or of a single class, and a
    student that cannot be batched.
    """

    def __init__(self, data, student, teacher_logits, epochs=30, batch_size=64, learning_rate=0.01):
        for name in ("train", "test"):
            if not len(getattr(data, name).x):
                raise ValueError(f"data.{name} must have at least one sample, got none")
        self.samples = len(data.train.x)
        self.epochs = _check_count(epochs, "epochs")
        self.batch_size = min(_check_count(batch_size, "batch_size"), self.samples)
        if not isinstance(learning_rate, Real) or not 0 < learning_rate < np.inf:
            raise ValueError(f"learning_rate must be a finite number above 0, got {learning_rate!r}")
        self.learning_rate = float(learning_rate)
        self.memory_limit = 2**30

        self._student = DenseStudent(student, data.train.x)
        self.classes = self._student.dense[-1].units
        if len(data.class_names) != self.classes:
            raise ValueError(
                f"student and data must have as many classes, got {self.classes} and {len(data.class_names)}"
            )
        self._teacher = _check_teacher_logits(teacher_logits, self.samples, self.classes)
        train, validation, test = (
            check_labels(split.y, self.classes, len(split.x), f"data.{name}.y", unlabelled=name == "train")
            for name, split in (("train", data.train), ("validation", data.validation), ("test", data.test))
        )
        if train[0] >= 0 and (train == train[0]).all():
            raise ValueError(f"data must have at least two classes to train on, got only class {train[0]}")
        self._labelled = bool((train >= 0).any())

        self._tests = len(test)
        inside = np.arange(-(-self.samples // self.batch_size) * self.batch_size) < self.samples
        # What fills up the last batch has weight 0.
        inside = inside.reshape(-1, self.batch_size).astype(np.float32)
        self._tables = {
            "x": self._student.features(data.train.x),
            "one_hot": tf.one_hot(train, self.classes),
            "share_of_batch": tf.constant(inside / inside.sum(axis=1, keepdims=True)),
            "share_of_epoch": tf.constant(inside.sum(axis=1) / self.samples),
            "held_out_x": self._student.features(np.concatenate([data.validation.x, data.test.x]))[None],
            "held_out_y": tf.constant(np.concatenate([validation, test]), tf.int32),
        }
        self._run = training_program(self._student.steps)
        self._begin, self._soften = lru_cache(maxsize=64)(self._begin), lru_cache(maxsize=64)(self._soften)

    @property
    def traces(self):
        """How often a program for students of these layers was compiled, by any trainer; a slider adds none."""
        return self._run.experimental_get_tracing_count()

    def train(self, temperature=4.0, alpha=0.9, seeds=10, keep_epochs=False):
        """Train ``seeds`` students at one slider position and return the ``LiveResult``.

        The first call with a number of seeds compiles, a second or two. ``keep_epochs`` also returns the
        weights after every epoch. α = 0 is the student alone. A run that diverges raises nothing: see
        ``diverged_at``. Raises ValueError for T ≤ 0, α outside [0, 1], seeds below 1 or more than
        ``memory_limit`` allows.
        """
        position = check_temperature(temperature), check_alpha(alpha)
        seeds = _check_count(seeds, "seeds")
        self._check_run([position[1]], seeds, seeds, keep_epochs)
        size = -(-seeds // min(seeds, _processors()))  # For each processor as many; the surplus is cut off.
        parts = [range(first, first + size) for first in range(0, seeds, size)]
        with ThreadPoolExecutor(len(parts)) as pool:
            outputs = pool.map(lambda part: self._train(part, [position], keep_epochs), parts)
            out = tf.nest.map_structure(lambda *arrays: np.concatenate(arrays)[:seeds], *outputs)
        return LiveResult(
            *position,
            test_accuracy=out["test"][:, 0, -1],
            test_logits=out["logits"][:, 0],
            train_loss=out["loss"][:, 0],
            validation_accuracy=out["validation"][:, 0],
            test_accuracy_per_epoch=out["test"][:, 0],
            diverged_at=_diverged_at(out)[:, 0],
            weights=gather(self._student.steps, out["weights"]),
            weights_per_epoch=gather(self._student.steps, out["kept"]) if keep_epochs else None,
            _student=self._student,
        )

    def sweep(self, temperatures, alphas, seeds=5, progress=None, stop=None):
        """Train ``seeds`` students at every temperature and alpha and return the ``LiveSweep``.

        Whenever some more students are done, ``progress(done, total, sweep)`` is called in the caller's
        thread with the landscape so far; then ``stop()`` is asked, and where it says true the sweep ends with
        what it has. Raises ValueError as ``train`` does, and for no temperatures or no alphas.
        """
        temperatures = _check_list(temperatures, "temperatures", check_temperature)
        alphas = _check_list(alphas, "alphas", check_alpha)
        seeds = _check_count(seeds, "seeds")
        shape = (len(temperatures), len(alphas), seeds)
        cells = list(np.ndindex(shape[:2]))
        size = min(max(1, STUDENTS_AT_ONCE // seeds), -(-len(cells) // _processors()))
        self._check_run(alphas, seeds, seeds * size * _processors())

        test, validation = np.full((2, *shape), np.nan, np.float32)
        sweep = LiveSweep(np.array(temperatures), np.array(alphas), test, validation, np.full(shape, -1))
        done, pool = 0, ThreadPoolExecutor(_processors())
        try:
            chunks = {}
            for first in range(0, len(cells), size):
                chunk = cells[first : first + size]
                filled = chunk + chunk[-1:] * (size - len(chunk))  # One size, one program.
                positions = [(temperatures[t], alphas[a]) for t, a in filled]
                chunks[pool.submit(self._train, range(seeds), positions)] = chunk
            for future in as_completed(chunks):
                out, diverged_at = future.result(), _diverged_at(future.result())
                for point, cell in enumerate(chunks[future]):
                    sweep.test_accuracy[cell] = out["test"][:, point, -1]
                    sweep.validation_accuracy[cell] = out["validation"][:, point, -1]
                    sweep.diverged_at[cell] = diverged_at[:, point]
                done += seeds * len(chunks[future])
                if progress:
                    progress(done, test.size, copy.deepcopy(sweep))
                if stop and stop():
                    break
        finally:
            pool.shutdown(cancel_futures=True)
        return sweep

    def batch_order(self, seed):
        """Return the indices into ``data.train`` in the order in which ``seed`` sees them: (epochs, N)."""
        random = np.random.default_rng((seed, 1))
        return np.stack([random.permutation(self.samples) for _ in range(self.epochs)]).astype(np.int32)

    def initial_weights(self, seed):
        """Return the weights that ``seed`` starts from: a list of arrays, as Keras's ``get_weights``."""
        return self._student.initial_weights(seed)

    def _begin(self, seed):
        """Return a seed's initial weights and batches (epochs, steps, B); sample 0 fills up the last."""
        order = np.pad(self.batch_order(seed), ((0, 0), (0, -self.samples % self.batch_size)))
        return self.initial_weights(seed), order.reshape(self.epochs, -1, self.batch_size)

    def _soften(self, temperature):
        """Return the teacher's softened probabilities (N, C): of an ensemble, their mean."""
        return softmax(self._teacher, temperature).mean(axis=0).astype(np.float32)

    def _train(self, seeds, positions, keep_epochs=False):
        """Run the program for these seeds at these (temperature, alpha); return its outputs in numpy."""
        weights, orders = zip(*map(self._begin, seeds), strict=True)
        outputs = self._run(
            spread([np.stack(w) for w in zip(*weights, strict=True)], len(positions)),
            self._tables,
            tf.constant(np.stack(orders, axis=2)),
            tf.constant(np.stack([self._soften(temperature) for temperature, _ in positions], axis=1)),
            *(tf.constant(values, tf.float32) for values in zip(*positions, strict=True)),
            tf.constant(self.learning_rate, tf.float32),
            tests=self._tests,
            keep_epochs=keep_epochs,
        )
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), outputs)

    def _check_run(self, alphas, seeds, students, keep_epochs=False):
        """Raise ValueError where nothing can be learnt, or for more ``students`` at once than fit."""
        if min(alphas) == 0 and not self._labelled:
            raise ValueError("alpha must be above 0 where no training sample has a label, got 0")
        held_out, dense = len(self._tables["held_out_y"]), self._student.dense
        of_student = sum(layer.count_params() for layer in dense) * (6 + (self.epochs + 1) * keep_epochs)
        of_student += sum(layer.units for layer in dense) * (4 * self.batch_size + held_out)
        of_student += self.classes * (2 * self.samples + held_out)
        needed = 4 * (students * of_student + seeds * 2 * self.epochs * self.samples)
        if needed > self.memory_limit:
            raise ValueError(
                f"seeds must be few enough for memory_limit ({self.memory_limit / 1e6:.0f} MB), "
                f"got {seeds}, which would need about {needed / 1e6:.0f} MB"
            )


def _diverged_at(out):
    """Return, of every student (K, G), the index of the first epoch that is not finite, or −1.

    A last step that went wrong is in no loss: it shows in the logits.
    """
    bad = ~np.isfinite(out["loss"])
    bad[..., -1] |= ~np.isfinite(out["logits"]).all(axis=(2, 3))
    return np.where(bad.any(axis=-1), bad.argmax(axis=-1), -1)


def _check_teacher_logits(logits, samples, classes):
    """Return the teacher's logits with the ensemble in front, (K, N, C), float32, or raise ValueError."""
    logits = check_logits(logits, "teacher_logits").astype(np.float32, copy=False)
    if logits.ndim not in (2, 3) or logits.shape[-2:] != (samples, classes) or not len(logits):
        raise ValueError(
            f"teacher_logits must have shape ({samples}, {classes}), a row per training sample and a column "
            f"per class of the student, or (teachers, {samples}, {classes}), got {logits.shape}"
        )
    check_not_probabilities(logits, "teacher")
    return logits.reshape(-1, samples, classes)


def _check_count(value, name, least=1, most=np.inf):
    if not isinstance(value, Integral) or isinstance(value, bool) or not least <= value <= most:
        accepted = f"of at least {least}" if most == np.inf else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {accepted}, got {value!r}")
    return int(value)


def _check_list(values, name, check):
    values = [check(value, name) for value in np.ravel(values).tolist()]
    if not values:
        raise ValueError(f"{name} must have at least one value, got none")
    return values


def _processors():
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
