"""The teacher of the nuclei, shipped trained, and the script that trained it: ``python -m kdlab.teachers.nuclei``."""

import numpy as np

from ..backend import keras, tf
from ..datasets.dataset import DATA
from ..datasets.nuclei import CLASS_NAMES, crops, fields, load_nuclei, regions, views
from ..model_files import load, save

TEACHER_FILE = DATA / "nuclei_teacher.keras"
SIZE, SHIFT = 48, 4  # pixels: of a crop, and how far one may lie off its nucleus
WIDTHS = (16, 32, 64, 96)
# How strongly haematoxylin, eosin and a third stain absorb red, green and blue (Ruifrok & Johnston 2001).
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])


def nuclei_teacher():
    """Return the shipped teacher of the nuclei: a ``keras.Model``, (N, 48, 48, 3) in [0, 1] → logits (N, 3).

    Its layers "stage1" to "stage4" return maps of 48, 24, 12 and 6 pixels a side.
    """
    return load(TEACHER_FILE)


def build_teacher(seed=0):
    """Return the teacher before training: four stages of two convolutions, the second with a way around it."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.BatchNormalization(center=False, scale=False)(inputs)
    for stage, width in enumerate(WIDTHS, 1):
        if stage > 1:
            x = layers.MaxPooling2D()(x)
        first = layers.ReLU()(_convolution(x, width))
        x = layers.ReLU(name=f"stage{stage}")(layers.Add()([first, _convolution(first, width)]))
    x = layers.Dropout(0.4)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(len(CLASS_NAMES), name="logits")(x), name="teacher")


def _convolution(x, width):
    x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    return keras.layers.BatchNormalization(momentum=0.95)(x)


def augment(x, random):
    """Return images (N, 56, 56, 3) in [0, 1] as they might also have been: float32 (N, 48, 48, 3) in [0, 1].

    Moved by up to ``SHIFT`` pixels, turned and mirrored, and stained otherwise: amounts of the stains (in the
    logarithm of the light, where they add up; Tellez et al. 2018) and brightness vary from image to image.
    ``random`` is a ``numpy.random.Generator``.
    """
    varied = np.empty((len(x), SIZE, SIZE, 3))
    for image, (top, left), way in zip(
        range(len(x)), random.integers(0, 2 * SHIFT + 1, (len(x), 2)), random.integers(0, 8, len(x)), strict=True
    ):
        varied[image] = views(x[image, top : top + SIZE, left : left + SIZE])[way]
    one = (len(x), 1, 1)
    stains = -np.log(np.maximum(varied, 1 / 255)) @ np.linalg.inv(STAINS)
    stains = stains * random.uniform(0.78, 1.22, (*one, 3)) + random.normal(0, 0.045, (*one, 3))
    light = np.exp(-stains @ STAINS) * random.uniform(0.85, 1.15, (*one, 1)) + random.normal(0, 0.02, (*one, 1))
    return np.clip(light, 0, 1).astype(np.float32)


def train_teacher(epochs=100, seed=0, batch_size=64):
    """Return the teacher trained on the training region of ``kdlab.load("nuclei", size=48)`` alone (minutes).

    AdamW with a cosine schedule and a moving average of the weights, on ``augment``ed images of which two are mixed
    (mixup; Zhang et al. 2018), with smoothed labels: there are not six hundred nuclei to learn from.
    """
    field = fields()["nest"]
    # A margin of SHIFT is less than that between the regions: nothing of another split is seen.
    chosen = regions(field, SIZE) == "train"
    x, targets = crops(field, SIZE + 2 * SHIFT)[chosen], np.eye(len(CLASS_NAMES))[field.y[chosen]]
    steps = len(x) // batch_size
    random = np.random.default_rng(seed)

    def batches():
        for _ in range(epochs):
            for rows in random.permutation(len(x))[: steps * batch_size].reshape(steps, batch_size):
                images, other = augment(x[rows], random), random.permutation(batch_size)
                share = random.beta(0.4, 0.4, batch_size)
                mixed = [share.reshape(-1, *[1] * (a.ndim - 1)) for a in (images, targets)]
                yield tuple(
                    (s * a + (1 - s) * a[other]).astype(np.float32)
                    for s, a in zip(mixed, (images, targets[rows]), strict=True)
                )

    teacher = build_teacher(seed)
    signature = (tf.TensorSpec((batch_size, SIZE, SIZE, 3)), tf.TensorSpec((batch_size, len(CLASS_NAMES))))
    total = steps * epochs
    warm = total // 10
    rate = keras.optimizers.schedules.CosineDecay(1e-4, total - warm, warmup_target=0.003, warmup_steps=warm)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=0.02, use_ema=True, ema_momentum=0.99)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    teacher.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1))
    data = tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(4)
    teacher.fit(data, steps_per_epoch=steps, epochs=epochs, shuffle=False, verbose=0)
    return keras.Model(teacher.input, teacher.output, name="teacher")  # without the optimizer's state


if __name__ == "__main__":
    save(train_teacher(), TEACHER_FILE)
    data = load_nuclei(size=SIZE)
    for name in ("validation", "test"):
        split = getattr(data, name)
        answers = nuclei_teacher()(split.x, training=False).numpy().argmax(axis=1)
        print(f"{name}: accuracy {(answers == split.y).mean():.3f} of {len(split)}")
