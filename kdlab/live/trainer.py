"""``LiveTrainer``: distillation at the speed of a slider. Every position trains real students, many at once.

The whole run (every epoch of every seed) is one compiled program, see ``live.program``. Temperature and alpha are
its inputs, so that moving a slider compiles nothing. A seed starts from the same weights and sees the samples
in the same order at every position (common random numbers): a difference between positions is due to the
loss. Every seed has an order of its own: error bars then include the randomness of batches as well as of
weights, and it costs next to nothing, for all positions of a seed still share a matrix product.
"""

import copy
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import lru_cache
from numbers import Real

import numpy as np

from ..backend import keras, tf
from ..checks import check_alpha, check_count, check_labels, check_training_temperature
from ..foreign_models import ready, warn_at_chance
from ..softening import softmax
from ..transfer_set import check_teacher_logits, logits_of
from .batched import DenseStudent, gather, spread
from .program import training_program
from .result import LiveResult, LiveSweep, diverged_at
from .ties import Ties

STUDENTS_AT_ONCE = 20  # Of a sweep, in one call of the program: the next picture is never far.
SECOND = 10**6  # The second of a mutual pair starts as that many seeds further on would.


class LiveTrainer:
    """Trains many copies of a dense ``student`` on ``teacher_logits`` at once, with Adam.

    L = (1 − α) · CE(y, softmax(z_s)) + α · T² · CE(softmax(z_t / T), softmax(z_s / T)), the mean over a batch
    (Hinton, Vinyals & Dean 2015, section 2). ``data`` is a ``kdlab.Dataset``; a training label of −1 is "no
    label": that sample takes part in the soft term only. ``student`` is a Keras model, one chain of Dense
    layers with elementwise activations, logits out; it is copied, never changed. ``teacher_logits`` (N, C)
    belong to ``data.train``; (K, N, C) is an ensemble, of whose softened probabilities the mean is taken. A
    ``keras.Model`` in their place, or a list of them, is run over ``data.train`` once, in the range of pixels that its
    first layers speak of; a warning says where it is at chance level. Losses of one's own are for ``kdlab.Distiller``:
    here the loss is part of a compiled program.

    Initial weights (by the student's own initializers) and the order of the samples depend on the seed alone:
    ``train(seeds=3)`` trains the first three of ``train(seeds=10)``. The last batch of an epoch is the
    smaller rest, as in Keras's ``fit``, with which all else agrees but for rounding. ``memory_limit`` (bytes,
    may be set) bounds what a run may need.

    ``teacher_features``, {layer name: (N, F)}, are what layers of the teacher return on ``data.train``: ``train``
    can then tie the student's layers to them.

    Raises ValueError, before any training, for inputs, classes or labels that do not match, for logits and
    features that are not finite, logits that look like probabilities, a training set that is empty or of a
    single class, and a student that cannot be batched.
    """

    def __init__(
        self,
        data,
        student,
        teacher_logits,
        epochs=30,
        batch_size=64,
        learning_rate=0.01,
        teacher_features=None,
        distillation_loss=None,
    ):
        if distillation_loss is not None:
            raise ValueError(
                "LiveTrainer takes no distillation_loss, for its loss is part of a compiled program; kdlab.Distiller "
                f"takes one of your own: kdlab.Distiller(..., distillation_loss=...), got {distillation_loss!r}"
            )
        for name in ("train", "test"):
            if not len(getattr(data, name).x):
                raise ValueError(f"data.{name} must have at least one sample, got none")
        self.samples = len(data.train.x)
        self.epochs = check_count(epochs, "epochs")
        self.batch_size = min(check_count(batch_size, "batch_size"), self.samples)
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
        teacher_logits = _run(teacher_logits, data)
        logits = check_teacher_logits(teacher_logits, self.samples, self.classes, teachers_first=True)
        self._teacher = logits.reshape(-1, self.samples, self.classes)
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
        self._ties = Ties(self._student, teacher_features or {}, self.samples, self.batch_size)
        self._programs = {(None, False): training_program(self._student.steps)}
        self._begin, self._soften = lru_cache(maxsize=128)(self._begin), lru_cache(maxsize=64)(self._soften)

    @property
    def traces(self):
        """How often the programs that this trainer used were compiled, by any trainer; a slider adds none."""
        return sum(program.__wrapped__.experimental_get_tracing_count() for program in self._programs.values())

    def train(
        self,
        temperature=4.0,
        alpha=0.9,
        seeds=10,
        keep_epochs=False,
        feature_alpha=0.0,
        method="hint",
        pairs=(),
        start=None,
    ):
        """Train ``seeds`` students at one slider position and return the ``LiveResult``.

        With ``feature_alpha`` φ above 0 what is trained is φ · L_feature + (1 − φ) · L: ``pairs`` are (layer of
        ``teacher_features``, layer of the student), ``method`` one of ``batched_features.METHODS``, all as in
        ``kdlab.FeatureDistillation``; angles are those of ``batched_features.IN_ANGLES`` samples a batch. A hint's
        projectors start from the seed, too, and train along.

        ``start``, a ``LiveResult`` of as many students of this shape, gives the weights to start from: training in
        stages, such as FitNets' (Romero et al. 2015), whose first is ``feature_alpha`` 1. Adam starts anew.

        The first call with a number of seeds, or another method or student layer, compiles, a second or two.
        ``keep_epochs`` also returns the weights after every epoch. α = 0 is the student alone. A run that
        diverges raises nothing: see ``diverged_at``. Raises ValueError for T ≤ 0, α or φ outside [0, 1], seeds
        below 1 or more than ``memory_limit`` allows, an unknown method, a ``start`` of other students, and, naming the
        layers there are, for pairs that cannot be tied.
        """
        position = (
            check_training_temperature(temperature),
            check_alpha(alpha),
            check_alpha(feature_alpha, "feature_alpha"),
        )
        seeds, tied = check_count(seeds, "seeds"), self._ties.tie(feature_alpha, method, pairs)
        self._check_run([position[1]], seeds, seeds, keep_epochs, tied)
        start = None if start is None else self._check_start(start, seeds)
        return self._train_at_once(seeds, [position], keep_epochs, tied, start=start)[0]

    def train_mutually(self, temperature=1.0, alpha=0.5, seeds=10):
        """Train ``seeds`` pairs of students that teach each other; return the firsts' and the seconds' ``LiveResult``.

        Deep mutual learning (Zhang et al. 2018, section 3): the loss of ``train`` with the other student's answers,
        as they are in this step, in the teacher's place. The paper's CE + KL is twice this at T = 1 and α = ½, for
        the same gradient; there the two step in turns, here at once. The firsts are those of ``train``, and their
        pairs see the same batches; α = 0 is both alone. Raises ValueError as ``train`` does.
        """
        position, seeds = (
            (check_training_temperature(temperature), check_alpha(alpha), 0.0),
            check_count(seeds, "seeds"),
        )
        self._check_run([position[1]], seeds, 2 * seeds)
        return self._train_at_once(seeds, [position] * 2, mutual=True)

    def sweep(
        self, temperatures, alphas, seeds=5, progress=None, stop=None, feature_alpha=0.0, method="hint", pairs=()
    ):
        """Train ``seeds`` students at every temperature and alpha and return the ``LiveSweep``.

        ``feature_alpha``, ``method`` and ``pairs`` as for ``train``, the same at every position. Whenever some
        more students are done, ``progress(done, total, sweep)`` is called in the caller's thread with the
        landscape so far; then ``stop()`` is asked, and where it says true the sweep ends with what it has.
        Raises ValueError as ``train`` does, and for no temperatures or no alphas.
        """
        temperatures = _check_list(temperatures, "temperatures", check_training_temperature)
        alphas = _check_list(alphas, "alphas", check_alpha)
        feature_alpha = check_alpha(feature_alpha, "feature_alpha")
        seeds, tied = check_count(seeds, "seeds"), self._ties.tie(feature_alpha, method, pairs)
        shape = (len(temperatures), len(alphas), seeds)
        cells = list(np.ndindex(shape[:2]))
        for workers in range(_processors(), 0, -1):  # as many as there is memory for
            size = min(max(1, STUDENTS_AT_ONCE // seeds), -(-len(cells) // workers))
            try:
                self._check_run(alphas, seeds, seeds * size * workers, tied=tied)
                break
            except ValueError:
                if workers == 1:
                    raise

        test, validation = np.full((2, *shape), np.nan, np.float32)
        sweep = LiveSweep(np.array(temperatures), np.array(alphas), test, validation, np.full(shape, -1))
        done, pool = 0, ThreadPoolExecutor(workers)
        try:
            chunks = {}
            for first in range(0, len(cells), size):
                chunk = cells[first : first + size]
                filled = chunk + chunk[-1:] * (size - len(chunk))  # One size, one program.
                positions = [(temperatures[t], alphas[a], feature_alpha) for t, a in filled]
                chunks[pool.submit(self._train, range(seeds), positions, tied=tied)] = chunk
            for future in as_completed(chunks):
                out, diverged = future.result(), diverged_at(future.result())
                for point, cell in enumerate(chunks[future]):
                    sweep.test_accuracy[cell] = out["test"][:, point, -1]
                    sweep.validation_accuracy[cell] = out["validation"][:, point, -1]
                    sweep.diverged_at[cell] = diverged[:, point]
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

    def initial_projectors(self, seed, pairs):
        """Return what a hint's projectors start from: for each pair [kernel (H, F), bias (F,)], [] for equal widths."""
        return self._ties.projectors(seed, self._ties.check_pairs(pairs))

    def _begin(self, seed):
        """Return a seed's initial weights and batches (epochs, steps, B); sample 0 fills up the last."""
        order = np.pad(self.batch_order(seed), ((0, 0), (0, -self.samples % self.batch_size)))
        return self.initial_weights(seed), order.reshape(self.epochs, -1, self.batch_size)

    def _soften(self, temperature):
        """Return the teacher's softened probabilities (N, C): of an ensemble, their mean."""
        return softmax(self._teacher, temperature).mean(axis=0).astype(np.float32)

    def _train_at_once(self, seeds, positions, keep_epochs=False, tied=None, mutual=False, start=None):
        """Return the ``LiveResult`` of each position."""
        size = -(-seeds // min(seeds, _processors()))  # For each processor as many; the surplus is cut off.
        parts = [range(first, first + size) for first in range(0, seeds, size)]
        with ThreadPoolExecutor(len(parts)) as pool:
            outputs = pool.map(lambda part: self._train(part, positions, keep_epochs, tied, mutual, start), parts)
            out = tf.nest.map_structure(lambda *arrays: np.concatenate(arrays)[:seeds], *outputs)
        return [
            LiveResult(
                *position[:2],
                test_accuracy=out["test"][:, place, -1],
                test_logits=out["logits"][:, place],
                train_loss=out["loss"][:, place],
                validation_accuracy=out["validation"][:, place],
                test_accuracy_per_epoch=out["test"][:, place],
                diverged_at=diverged_at(out)[:, place],
                weights=gather(self._student.steps, out["weights"], place),
                weights_per_epoch=gather(self._student.steps, out["kept"], place) if keep_epochs else None,
                _student=self._student,
                feature_alpha=position[2],
                feature_loss=out["feature"][0][:, place] if tied else None,
            )
            for place, position in enumerate(positions)
        ]

    def _train(self, seeds, positions, keep_epochs=False, tied=None, mutual=False, start=None):
        """Run the program for these seeds at these (temperature, alpha, feature_alpha); return its outputs in numpy."""
        kind = (tied.ties if tied else None, mutual)
        if mutual:
            halves = [self._spread(self._begin(seed + start)[0] for seed in seeds) for start in (0, SECOND)]
            weights = [tf.concat(both, axis=1) for both in zip(*halves, strict=True)]
        else:
            begin = start or (lambda seed: self._begin(seed)[0])
            weights = self._spread((begin(seed) for seed in seeds), len(positions))
        outputs = self._programs.setdefault(kind, training_program(self._student.steps, *kind))(
            weights + self._ties.weights(tied, seeds, len(positions)),
            self._tables | {"ties": self._ties.tables(tied)},
            tf.constant(np.stack([self._begin(seed)[1] for seed in seeds], axis=2)),
            tf.constant(np.stack([self._soften(position[0]) for position in positions], axis=1)),
            *(tf.constant(values, tf.float32) for values in zip(*positions, strict=True)),
            tf.constant(self.learning_rate, tf.float32),
            tests=self._tests,
            keep_epochs=keep_epochs,
        )
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), outputs)

    def _spread(self, weights, students=1):
        return spread([np.stack(w) for w in zip(*weights, strict=True)], students)

    def _check_start(self, start, seeds):
        """Return the function of a seed that gives its weights in ``start``; ValueError for other students."""
        ours = [w.shape for w in self._begin(0)[0]]
        if not isinstance(start, LiveResult) or [w.shape[1:] for w in start.weights] != ours:
            raise ValueError(f"start must be a LiveResult of students with the same layers, got {start!r}")
        if len(start.test_accuracy) != seeds:
            raise ValueError(f"start must have as many students as seeds ({seeds}), got {len(start.test_accuracy)}")
        # More seeds are trained than asked for where they do not divide among processors: what is cut off afterwards.
        return lambda seed: [w[min(seed, seeds - 1)] for w in start.weights]

    def _check_run(self, alphas, seeds, students, keep_epochs=False, tied=None):
        """Raise ValueError where nothing can be learnt, or for more ``students`` at once than fit."""
        if min(alphas) == 0 and not self._labelled:
            raise ValueError("alpha must be above 0 where no training sample has a label, got 0")
        held_out, dense = len(self._tables["held_out_y"]), self._student.dense
        of_student = sum(layer.count_params() for layer in dense) * (6 + (self.epochs + 1) * keep_epochs)
        of_student += sum(layer.units for layer in dense) * (4 * self.batch_size + held_out)
        of_student += self.classes * (2 * self.samples + held_out)
        of_seed, once = 2 * self.epochs * self.samples, 0
        if tied:
            of_student, of_seed = of_student + tied.numbers_per_student, of_seed + tied.numbers_per_seed
            once = tied.numbers
        needed = 4 * (students * of_student + seeds * of_seed + once)
        if needed > self.memory_limit:
            raise ValueError(
                f"seeds must be few enough for memory_limit ({self.memory_limit / 1e6:.0f} MB), "
                f"got {seeds}, which would need about {needed / 1e6:.0f} MB"
            )


def _run(teacher, data):
    """Return the logits on ``data.train`` of a model or a list of models, and whatever else it is as it is."""
    models = list(teacher) if isinstance(teacher, (list, tuple)) else [teacher]
    if not models or not all(isinstance(model, keras.Model) for model in models):
        return teacher
    logits = [logits_of(model, data.train.x) for model in ready(models)]
    warn_at_chance(models, data, stacklevel=3)
    return np.stack(logits)


def _check_list(values, name, check):
    values = [check(value, name) for value in np.ravel(values).tolist()]
    if not values:
        raise ValueError(f"{name} must have at least one value, got none")
    return values


def _processors():
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
