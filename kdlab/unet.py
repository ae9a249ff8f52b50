"""U-Nets that segment, their loss with a teacher, and a trainer of small ones on kept teacher logits.

Symbols: z_s student logits, z_t teacher logits, one per pixel and class; σ the sigmoid; y masks of 0 and 1; T temperature.
A pixel may belong to no class, so the classes are asked for one by one: sigmoids, not a softmax.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from .backend import keras, tf
from .checks import check_alpha, check_count, check_training_temperature
from .datasets.nuclei import CLASS_NAMES, views
from .segmentation import SIDE, dice, named_classes, overlaps
from .transfer_set import over_batches

__all__ = [
    "UNetResult",
    "UNetTrainer",
    "dice_loss",
    "hard_binary_cross_entropy",
    "logits",
    "segment",
    "soft_binary_cross_entropy",
    "unet",
]

LEVELS, VIEWS = 3, 8
SMOOTH = 1.0  # pixels: so that a class of which a batch has none does no harm


def unet(width, seed=0, name="unet"):
    """Return a U-Net before training (Ronneberger et al. 2015): (N, 64, 64, 3) in [0, 1] → logits (N, 64, 64, 3).

    On three levels, of ``width``, 2·``width`` and 4·``width`` channels, two 3×3 convolutions each on the way down and
    on the way up, which are joined across. ``seed`` fixes its weights.
    """
    keras.utils.set_random_seed(seed)
    layers = keras.layers

    def block(x, channels):
        for _ in range(2):
            x = layers.Conv2D(channels, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
            x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        return x

    inputs = keras.Input((SIDE, SIDE, 3))
    x, across = inputs, []
    widths = [check_count(width, "width") * 2**level for level in range(LEVELS)]
    for channels in widths[:-1]:
        across.append(block(x, channels))
        x = layers.MaxPooling2D()(across[-1])
    x = block(x, widths[-1])
    for channels, other in zip(widths[-2::-1], across[::-1], strict=True):
        x = block(layers.Concatenate()([layers.UpSampling2D()(x), other]), channels)
    return keras.Model(inputs, layers.Conv2D(len(CLASS_NAMES), 1, name="logits")(x), name=name)


def logits(model, x, batch_size=16):
    """Return a model's logits on ``x`` (N, 64, 64, 3): float32 (N, 64, 64, classes)."""
    return over_batches(lambda batch: model(batch, training=False), x, batch_size)


def segment(model, x):
    """Return the maps of classes, uint8 (N, 64, 64), that ``model`` sees in ``x`` (N, 64, 64, 3)."""
    return named_classes(logits(model, x))


def dice_loss(logits, masks, labelled=None):
    """Return 1 − the mean over classes of (2 Σ σ(z)·y + 1) / (Σ σ(z) + Σ y + 1), a scalar (Milletari et al. 2016).

    Sums go over all pixels of all samples of the batch: many a tile has no nucleus of a class. Both (N, H, W, C).
    ``labelled`` (N,) says whose labels count, of whom alone the sums are then; None: of all.
    """
    axes = [0, 1, 2]
    p, masks = tf.sigmoid(logits), tf.cast(masks, logits.dtype)
    if labelled is not None:
        p, masks = (part * tf.cast(labelled, logits.dtype)[:, None, None, None] for part in (p, masks))
    both, sizes = 2 * tf.reduce_sum(p * masks, axes), tf.reduce_sum(p, axes) + tf.reduce_sum(masks, axes)
    return 1 - tf.reduce_mean((both + SMOOTH) / (sizes + SMOOTH))


def hard_binary_cross_entropy(logits, masks):
    """Return the mean over samples, pixels and classes of −y log σ(z) − (1 − y) log(1 − σ(z)), a scalar in nats."""
    masks = tf.cast(masks, logits.dtype)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(masks, logits))


def soft_binary_cross_entropy(student_logits, teacher_logits, temperature):
    """Return T² · the mean over samples, pixels and classes of −p log q − (1 − p) log(1 − q), a scalar in nats.

    p = σ(z_t / T), q = σ(z_s / T); both logits (N, H, W, C). The derivative by a logit is T·(q − p) / (N·H·W·C), for
    large T about (z_s − z_t) / 4 of it: as with softmax, T² keeps the term's pull when T is raised. No gradient flows to
    the teacher. At p = q it is T² times the teacher's entropy, not 0.
    """
    temperature = tf.cast(temperature, student_logits.dtype)
    p = tf.stop_gradient(tf.sigmoid(teacher_logits / temperature))
    return temperature**2 * hard_binary_cross_entropy(student_logits / temperature, p)


@dataclass(eq=False)
class UNetResult:
    """Students trained with one loss, one per seed; after a stop fewer than asked for, the last unfinished.

    ``train_loss`` (seeds, points), the mean since the last point, and ``validation_dice`` (seeds, points), the mean of
    the classes, are NaN where a stop left none. ``students`` are ``keras.Model``s, and ``finished`` of them are trained.
    """

    train_loss: np.ndarray
    validation_dice: np.ndarray
    students: list = field(default_factory=list)
    finished: int = 0


class UNetTrainer:
    """Trains U-Nets of a ``width`` on ``train``, all eight views of its ``segmentation.Tiles``, by Adam.

    The logits of ``teacher``, a ``keras.Model`` such as ``unet`` returns, are computed once, of the same views. A
    training is of ``points`` times ``steps`` batches; after each point the student is tried on ``validation``. The rate
    falls from ``learning_rate`` to 0 along a cosine. A seed fixes initial weights and batches, whatever the loss. XLA is
    slow for convolutions on a CPU: this is a plain graph, traced once for all trainings. Raises ValueError for counts
    below 1.
    """

    def __init__(self, teacher, width, train, validation, points=12, steps=15, batch_size=16, learning_rate=0.01):
        self.points, self.steps = check_count(points, "points"), check_count(steps, "steps")
        self.batch_size, self.width = check_count(batch_size, "batch_size"), width
        self.validation = validation
        self._x, masks = (views(a).reshape(-1, *a.shape[1:]) for a in (train.x, train.masks()))
        self.teacher_logits = logits(teacher, self._x)
        self._kept = tuple(tf.constant(a) for a in (self._x, masks.astype(bool), self.teacher_logits))
        self._model = unet(width)
        rate = keras.optimizers.schedules.CosineDecay(learning_rate, self.points * self.steps)
        self._optimizer = keras.optimizers.Adam(rate)
        self._optimizer.build(self._model.trainable_variables)
        self._start = [variable.numpy() for variable in self._optimizer.variables]
        self._run = tf.function(self._run)

    def train(self, temperature=2.0, alpha=0.5, labelled=None, seeds=1, progress=None, stop=None):
        """Train ``seeds`` students, one after another, L = (1 − α)·Dice(y) + α·T²·BCE(σ(z_t/T), σ(z_s/T)).

        ``temperature`` is above 0 and ``alpha`` from 0, the labels alone, to 1, the teacher alone. Of so many tiles as
        ``labelled`` (None: all) the labels count: Dice is of these, the teacher's term of all tiles.

        After each point ``progress(done, total, result)`` is called with the points of all seeds; then ``stop()`` is
        asked, and where it says true the training ends with what it has. Returns the ``UNetResult``; raises ValueError
        for what is not accepted and FloatingPointError where training diverges.
        """
        temperature, alpha, seeds = (
            check_training_temperature(temperature),
            check_alpha(alpha),
            check_count(seeds, "seeds"),
        )
        result = UNetResult(*np.full((2, seeds, self.points), np.nan))
        settings = tf.constant(self.labelled(labelled)), tf.constant(temperature), tf.constant(alpha)
        for seed in range(seeds):
            student = unet(self.width, seed, name="student")
            self._model.set_weights(student.get_weights())
            for variable, value in zip(self._optimizer.variables, self._start, strict=True):
                variable.assign(value)
            result.students.append(student)
            for point, order in enumerate(self.batch_order(seed, labelled)):
                loss = float(self._run(tf.constant(order), *settings))
                if not math.isfinite(loss):
                    raise FloatingPointError(
                        f"training diverged: the loss is {loss} at point {point + 1} of {self.points}"
                    )
                student.set_weights(self._model.get_weights())
                found = dice(overlaps(segment(student, self.validation.x), self.validation.classes))
                result.train_loss[seed, point], result.validation_dice[seed, point] = loss, np.nanmean(found)
                result.finished += point + 1 == self.points
                if progress:
                    progress(seed * self.points + point + 1, seeds * self.points, result)
                if stop and stop():
                    return result
        return result

    def labelled(self, count=None):
        """Return whose labels count, bool (views,), where those of ``count`` tiles do; they are always the same tiles."""
        tiles = len(self._x) // VIEWS
        count = check_count(tiles if count is None else count, "labelled", 1, tiles)
        return np.tile(np.random.default_rng(0).permutation(tiles) < count, VIEWS)

    def batch_order(self, seed, labelled=None):
        """Return the indices into the views, in the order in which ``seed`` sees them: (points, steps, batch).

        The first half of each batch are views of the ``labelled`` tiles, the other of any.
        """
        random, shape = np.random.default_rng((seed, 1)), (self.points, self.steps)
        halves = [np.flatnonzero(self.labelled(labelled)), np.arange(len(self._x))]
        sizes = self.batch_size // 2, self.batch_size - self.batch_size // 2
        drawn = [random.choice(of, (*shape, size)) for of, size in zip(halves, sizes, strict=True)]
        return np.concatenate(drawn, axis=-1).astype(np.int32)

    def _run(self, order, labelled, temperature, alpha):
        """Do a step for each row of ``order``; return their mean loss."""
        total = tf.constant(0.0)
        for index in order:  # AutoGraph makes it a loop of the graph.
            x, masks, teacher = (tf.gather(kept, index) for kept in self._kept)
            with tf.GradientTape() as tape:
                z = self._model(x, training=True)
                loss = (1 - alpha) * dice_loss(z, masks, tf.gather(labelled, index))
                loss += alpha * soft_binary_cross_entropy(z, teacher, temperature)
            variables = self._model.trainable_variables
            self._optimizer.apply(tape.gradient(loss, variables), variables)
            total += loss
        return total / tf.cast(tf.shape(order)[0], tf.float32)
