"""``UNetTrainer``: small U-Nets that segment, trained on labels and kept teacher logits while somebody looks on.

XLA is slow for convolutions on a CPU, so they are trained one by one, as those of ``kdlab.live.convolutional``.
"""

from dataclasses import dataclass, field

import numpy as np

from ..backend import keras, tf
from ..checks import check_alpha, check_count, check_training_temperature
from ..datasets.nuclei import views
from ..segmentation import dice, overlaps
from ..training_checks import DivergenceGuard
from ..unet import dice_loss, logits, segment, soft_binary_cross_entropy, unet
from .sequential import KeptModel, SequentialTrainer

VIEWS = 8


@dataclass(eq=False)
class UNetResult:
    """Students trained with one loss, one per seed: curves, NaN where a stop left none.

    ``train_loss`` is what is trained, the mean over the batches of an epoch, and ``validation_dice`` that after each epoch,
    the mean of the classes. ``students`` are ``keras.Model``s: the last may be unfinished after a stop.
    """

    train_loss: np.ndarray  # (seeds, epochs)
    validation_dice: np.ndarray  # (seeds, epochs)
    students: list = field(default_factory=list)


class UNetTrainer(SequentialTrainer):
    """Trains U-Nets of a ``width`` on ``train``, all eight views of its ``segmentation.Tiles``, by Adam.

    The logits of ``teacher``, a ``keras.Model`` such as ``kdlab.unet.unet`` returns, are computed once, of the same views.
    A training is of ``epochs`` times ``steps_per_epoch`` batches; after each epoch the student is tried on ``validation``.
    The rate falls from ``learning_rate`` to 0 along a cosine. A seed fixes initial weights and batches, whatever the loss.

    Raises ValueError for counts below 1.
    """

    def __init__(
        self, teacher, width, train, validation, epochs=12, steps_per_epoch=15, batch_size=16, learning_rate=0.01
    ):
        super().__init__(epochs)
        self.steps_per_epoch = check_count(steps_per_epoch, "steps_per_epoch")
        self.batch_size, self.width, self.validation = check_count(batch_size, "batch_size"), width, validation
        x, masks = (views(a).reshape(-1, *a.shape[1:]) for a in (train.x, train.masks()))
        self.teacher_logits = logits(teacher, x)
        self._arrays = tuple(map(tf.constant, (x, masks.astype(bool), self.teacher_logits)))
        learner = _UNetDistiller(unet(width))
        rate = keras.optimizers.schedules.CosineDecay(learning_rate, self.epochs * self.steps_per_epoch)
        # An epoch is one call of a plain graph.
        learner.compile(keras.optimizers.Adam(rate), steps_per_execution=self.steps_per_epoch, jit_compile=False)
        self._kept = KeptModel(learner)
        # Traced once, not for every student and epoch.
        self._learning = tf.function(lambda x, training: learner.student(x, training=training))

    def train(self, temperature=2.0, alpha=0.5, labelled=None, seeds=1, progress=None, stop=None):
        """Train ``seeds`` students, one after another, L = (1 − α)·(1 − Dice(y)) + α·T²·BCE(σ(z_t/T), σ(z_s/T)).

        ``temperature`` is above 0 and ``alpha`` from 0, the labels alone, to 1, the teacher alone. Of so many tiles as
        ``labelled`` (None: all) the labels count: Dice is of these, the teacher's term of all tiles.

        After each epoch ``progress(done, total, result)`` is called with the epochs of all seeds and the result so far;
        then ``stop()`` is asked, and where it says true the training ends with what it has. Returns the ``UNetResult``;
        raises ValueError for what is not accepted and FloatingPointError where training diverges.
        """
        temperature, alpha = check_training_temperature(temperature), check_alpha(alpha)
        counts = tf.constant(self.labelled(labelled))
        result = UNetResult(*np.full((2, check_count(seeds, "seeds"), self.epochs), np.nan))

        def batch(rows):
            x, *targets = (tf.gather(array, rows) for array in (*self._arrays, counts))
            return x, tuple(targets)

        def begin(seed):
            student = unet(self.width, seed, name="student")
            self._kept.begin(student)
            self._kept.model.temperature.assign(temperature)
            self._kept.model.alpha.assign(alpha)
            rows = self.batch_order(seed, labelled).reshape(-1, self.batch_size)
            return student, tf.data.Dataset.from_tensor_slices(rows).map(batch).prefetch(2)

        return self._train(result, self._kept, begin, self._judge, progress, stop)

    def labelled(self, count=None):
        """Return whose labels count, bool (views,), where those of ``count`` tiles do; they are always the same tiles."""
        tiles = len(self.teacher_logits) // VIEWS
        count = check_count(tiles if count is None else count, "labelled", 1, tiles)
        return np.tile(np.random.default_rng(0).permutation(tiles) < count, VIEWS)

    def batch_order(self, seed, labelled=None):
        """Return the indices into the views, in the order in which ``seed`` sees them: (epochs, steps, batch).

        The first half of each batch are views of the ``labelled`` tiles, the other of any.
        """
        random, shape = np.random.default_rng((seed, 1)), (self.epochs, self.steps_per_epoch)
        halves = [np.flatnonzero(self.labelled(labelled)), np.arange(len(self.teacher_logits))]
        sizes = self.batch_size // 2, self.batch_size - self.batch_size // 2
        drawn = [random.choice(of, (*shape, size)) for of, size in zip(halves, sizes, strict=True)]
        return np.concatenate(drawn, axis=-1).astype(np.int32)

    def _judge(self, result, place):
        found = overlaps(segment(self._learning, self.validation.x), self.validation.classes)
        result.validation_dice[place] = np.nanmean(dice(found))


class _UNetDistiller(keras.Model):
    """A U-Net, ``student``, with the loss of ``UNetTrainer.train``; the targets are masks, teacher logits and whose labels count."""

    def __init__(self, student):
        super().__init__(name="unet_distiller")  # its own would begin with an underscore, which TensorFlow refuses
        self.student = student
        self.temperature, self.alpha = (tf.Variable(1.0, trainable=False) for _ in range(2))

    def call(self, x, training=None):
        return self.student(x, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        masks, teacher_logits, labelled = y
        loss = (1 - self.alpha) * dice_loss(y_pred, masks, labelled)
        return loss + self.alpha * soft_binary_cross_entropy(y_pred, teacher_logits, self.temperature)

    def fit(self, *args, callbacks=(), **fitting):
        return super().fit(*args, callbacks=[DivergenceGuard(), *callbacks], **fitting)
