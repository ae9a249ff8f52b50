"""``ConvolutionalTrainer``: small convolutional students of real images, a few seeds, trained while somebody looks on.

XLA is slow for convolutions on a CPU, so these students are trained one by one in ``kdlab.Distiller``, seconds each. As in the live
engine a seed fixes initial weights and batches, whatever the loss: a difference is due to the loss. One Distiller is kept
for all of them, so that another temperature or alpha traces nothing anew.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from ..backend import keras, tf
from ..checks import check_count
from ..distiller import Distiller
from ..features.distillation import FeatureDistillation
from ..features.taps import tap
from ..teacher_targets import TeacherTargets
from ..transfer_set import logits_of, over_batches
from .sequential import KeptModel, SequentialTrainer


@dataclass(eq=False)
class ConvolutionalResult:
    """Students trained with one loss, one per seed: curves and accuracies (fractions), NaN where a stop left none.

    ``train_loss`` is what is trained, the mean over the batches of an epoch; accuracies are those after each epoch.
    ``students`` are ``keras.Model``s: the last may be unfinished after a stop.
    """

    train_loss: np.ndarray  # (seeds, epochs)
    validation_accuracy: np.ndarray  # (seeds, epochs)
    test_accuracy_per_epoch: np.ndarray  # (seeds, epochs)
    students: list = field(default_factory=list)

    @property
    def test_accuracy(self):
        """That after the last epoch: (seeds,)."""
        return self.test_accuracy_per_epoch[:, -1]

    def logits(self, x):
        """Return all students' logits on ``x`` (N, height, width, channels): (students, N, C)."""
        return np.stack([logits_of(s, x) for s in self.students])

    def features(self, x, layer):
        """Return what ``layer`` of all students returns on ``x``: (students, N, …). ValueError, naming those there are."""
        tapped = [tap(student, [layer], "student") for student in self.students]
        return np.stack([over_batches(lambda b, t=t: t(b, training=False)[1][layer], x) for t in tapped])


class ConvolutionalTrainer(SequentialTrainer):
    """Trains copies of a student on ``data``, a ``kdlab.Dataset`` of images in memory, with a ``teacher``, by Adam.

    ``build(seed)`` returns a new student, a ``keras.Model`` with logits out whose initial weights that seed fixes, such
    as ``lambda seed: kdlab.models.small_cnn((32, 32, 3), 3, seed, channels=(8, 16, 32))``. The teacher's logits are
    computed once, ``teacher_logits`` (V, N, C) for V views, its features once for the layers last asked for. An epoch is as
    many whole batches as there are: batch normalization suffers from a last one of a few samples.

    ``views``, such as ``kdlab.datasets.nuclei.views``, is a function from images to several views of each, (V, N, …), which only
    moves pixels about. Every sample of a batch then is one of its views, drawn anew, with the teacher's logits of that
    very view: the two look at the same image (Beyer et al. 2022, A good teacher is patient and consistent). Features
    are not kept by view.

    Raises ValueError for counts below 1, and as ``kdlab.Distiller`` does for teacher and student.
    """

    def __init__(self, data, teacher, build, epochs=15, batch_size=64, learning_rate=0.003, views=None):
        super().__init__(epochs)
        self.data, self.teacher, self.build = data, teacher, build
        self.batch_size = min(check_count(batch_size, "batch_size"), len(data.train))
        self.learning_rate = learning_rate
        self._moves = _moves(views, data.train.x.shape[1:])
        self._images = tf.constant(data.train.x)
        self._kept = lru_cache(maxsize=2)(self._kept)
        self._kept_features = lru_cache(maxsize=2)(self._kept_features)
        self.teacher_logits = self._teacher_logits()

    def train(
        self,
        temperature=4.0,
        alpha=0.9,
        seeds=3,
        features=None,
        feature_alpha=0.5,
        another_view=False,
        progress=None,
        stop=None,
    ):
        """Train ``seeds`` students, one after another, and return the ``ConvolutionalResult``.

        ``temperature``, ``alpha``, ``features`` (a ``kdlab.FeatureDistillation`` or None) and ``feature_alpha`` are those
        of ``kdlab.Distiller``; α = 0 without features is the student alone. ``another_view`` gives it
        the teacher's logits of the view after the one that it sees, to show what that costs. After each epoch
        ``progress(done, total, result)`` is called with the epochs of all seeds and the result so far; then ``stop()`` is
        asked, and where it says true the training ends with what it has.

        Raises ValueError as ``kdlab.Distiller`` does, and FloatingPointError where training diverges.
        """
        result = ConvolutionalResult(*np.full((3, check_count(seeds, "seeds"), self.epochs), np.nan))
        kept, answer = self._kept(features)
        weights = {"temperature": temperature, "alpha": alpha, "feature_alpha": feature_alpha if features else 0.0}

        def begin(seed):
            student = self.build(seed)
            kept.begin(student)
            for name, value in weights.items():
                setattr(kept.model, name, value)
            if features:
                for k, projector in enumerate(kept.model.feature_term.projectors):
                    if projector is not None:  # As everything else, it starts from the seed.
                        start = int(np.random.SeedSequence((seed, k)).generate_state(1)[0] >> 1)
                        projector.kernel.assign(keras.initializers.GlorotUniform(start)(projector.kernel.shape))
            return student, self._batches(seed, features, another_view)

        def judge(result, place):
            for split, curve in (
                (self.data.validation, result.validation_accuracy),
                (self.data.test, result.test_accuracy_per_epoch),
            ):
                if len(split):
                    curve[place] = np.mean(answer(split.x).numpy() == split.y)

        return self._train(result, kept, begin, judge, progress, stop)

    def batch_order(self, seed):
        """Return the indices into ``data.train`` in the order in which ``seed`` sees them: (epochs, steps, batch)."""
        random, samples = np.random.default_rng((seed, 1)), len(self.data.train)
        whole = samples // self.batch_size * self.batch_size
        orders = np.stack([random.permutation(samples)[:whole] for _ in range(self.epochs)])
        return orders.reshape(self.epochs, -1, self.batch_size).astype(np.int32)

    def view_order(self, seed):
        """Return which view of each of those samples ``seed`` sees, of the same shape: 0 throughout without views."""
        shape = self.batch_order(seed).shape
        return np.random.default_rng((seed, 2)).integers(len(self._moves), size=shape, dtype=np.int32)

    def _teacher_logits(self):
        """Return the teacher's logits on every view of the training images, (V, N, C)."""
        teacher = Distiller(teacher=self.teacher, student=self.build(0)).teacher_targets
        views, samples = len(self._moves), len(self.data.train)
        which = tuple(index.ravel().astype(np.int32) for index in np.indices((views, samples)))
        logits = over_batches(lambda w: teacher.now(self._look(*w), ["logits"])["logits"], which)
        return logits.reshape(views, samples, -1)

    def _look(self, views, rows):
        """Return these views of these training images, both (B,): (B, height, width, channels)."""
        images, shape = tf.gather(self._images, rows), self._images.shape
        if len(self._moves) == 1:
            return images
        flat = tf.reshape(images, (-1, shape[1] * shape[2], shape[3]))
        return tf.reshape(tf.gather(flat, tf.gather(self._moves, views), batch_dims=1), (-1, *shape[1:]))

    def _kept(self, features):
        """Return a ``KeptModel`` of a Distiller with these features, and a function of images: what its student says."""
        distiller = Distiller(teacher=self.teacher, student=self.build(0), features=features)
        # An epoch is one call: with networks so small, calls are a third of the time.
        steps = len(self.data.train) // self.batch_size
        distiller.compile(keras.optimizers.Adam(self.learning_rate), steps_per_execution=steps)
        return KeptModel(distiller), tf.function(lambda x: tf.argmax(distiller.student(x, training=False), axis=1))

    def _batches(self, seed, features, another_view=False):
        """Return the ``tf.data.Dataset`` of a seed's batches, all epochs of them."""
        targets = [self.data.train.y]
        if features is not None:
            if len(self._moves) > 1:
                raise ValueError("features must be None where there are views: the teacher's are not kept by view")
            # Attention compares maps made of the features: another thing to keep.
            targets.append(self._kept_features(features.method == "attention", tuple(features.teacher_layers)))
        kept = tf.nest.map_structure(tf.constant, tuple(targets))
        logits = self.teacher_logits
        logits = tf.constant(np.roll(logits, -1, axis=0) if another_view else logits)

        def batch(rows, views):
            labels, *features = tf.nest.map_structure(lambda array: tf.gather(array, rows), kept)
            return self._look(views, rows), (labels, tf.gather_nd(logits, tf.stack([views, rows], axis=1)), *features)

        batches = [o.reshape(-1, self.batch_size) for o in (self.batch_order(seed), self.view_order(seed))]
        return tf.data.Dataset.from_tensor_slices(tuple(batches)).map(batch).prefetch(2)

    def _kept_features(self, attention, layers):
        """Return what ``Distiller.teacher_features`` does for these layers of the teacher."""
        features = FeatureDistillation("attention" if attention else "similarity", [(name, name) for name in layers])
        return TeacherTargets(self.teacher, features).over(self.data.train.x, ["features"])["features"]


def _moves(views, shape):
    """Return which place of an image each place of its views is taken from: int32 (V, height · width)."""
    places = np.arange(np.prod(shape[:2]), dtype=np.int32).reshape(1, *shape[:2], 1)
    moved = places[None] if views is None else np.asarray(views(places))
    if moved.shape[1:] != places.shape or (np.sort(moved.reshape(len(moved), -1)) != places.ravel()).any():
        raise ValueError(f"views must return views (V, N, …) of images {tuple(shape)} that only move pixels about")
    return moved.reshape(len(moved), -1)
