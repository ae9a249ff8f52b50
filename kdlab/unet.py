"""U-Nets that segment, and their losses with labels and with a teacher; ``kdlab.live.unet`` trains small ones.

Symbols: z_s student logits, z_t teacher logits, one per pixel and class; σ the sigmoid; y masks of 0 and 1; T temperature.
A pixel may belong to no class, so the classes are asked for one by one: sigmoids, not a softmax.
"""

import random

from .backend import keras, tf
from .checks import check_count
from .datasets.nuclei import CLASS_NAMES
from .segmentation import SIDE, named_classes
from .transfer_set import logits_of

LEVELS = 3
SMOOTH = 1.0  # pixels: so that a class of which a batch has none does no harm


def unet(width, seed=0, name="unet"):
    """Return a U-Net before training (Ronneberger et al. 2015): (N, 64, 64, 3) in [0, 1] → logits (N, 64, 64, 3).

    On three levels, of ``width``, 2·``width`` and 4·``width`` channels, two 3×3 convolutions each on the way down and
    on the way up, which are joined across. ``seed`` fixes its weights.
    """
    layers, starts = keras.layers, keras.initializers
    # Those that Keras draws after set_random_seed, which would have TensorFlow prepare anew (0.7 s) what it has compiled.
    seeds = random.Random(seed)

    def convolution(channels, size, start, **options):
        return layers.Conv2D(channels, size, kernel_initializer=start(seeds.randint(1, 10**9)), **options)

    def block(x, channels):
        for _ in range(2):
            x = convolution(channels, 3, starts.HeNormal, padding="same", use_bias=False)(x)
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
    outputs = convolution(len(CLASS_NAMES), 1, starts.GlorotUniform, name="logits")(x)
    return keras.Model(inputs, outputs, name=name)


def logits(model, x, batch_size=16):
    """Return a model's logits on ``x`` (N, 64, 64, 3): float32 (N, 64, 64, classes)."""
    return logits_of(model, x, batch_size)


def segment(model, x):
    """Return the maps of classes, uint8 (N, 64, 64), that ``model`` sees in ``x`` (N, 64, 64, 3)."""
    return named_classes(logits(model, x))


def dice_loss(logits, masks, labelled=None):
    """Return 1 − the mean over classes of (2 Σ σ(z)·y + 1) / (Σ σ(z) + Σ y + 1), a scalar.

    After Milletari et al. 2016, V-Net, section 3, who have squares in the denominator. Sums go over all pixels of all
    samples of the batch: many a tile has no nucleus of a class. Both (N, H, W, C).
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

    p = σ(z_t / T), q = σ(z_s / T); both logits (N, H, W, C). The derivative by a logit is T·(q − p) / (N·H·W·C), which
    for large T tends to (z_s − z_t) / (4·N·H·W·C): as with softmax, T² keeps the term's pull when T is raised. No gradient flows to
    the teacher. At p = q it is T² times the teacher's entropy, not 0.
    """
    temperature = tf.cast(temperature, student_logits.dtype)
    p = tf.stop_gradient(tf.sigmoid(teacher_logits / temperature))
    return temperature**2 * hard_binary_cross_entropy(student_logits / temperature, p)
