"""The U-Net that teaches to segment, shipped trained, and the script that trains it: ``python -m kdlab.teachers.segmentation``.

Of 20 channels, 185,803 parameters, it had a mean Dice of .705 on the validation tiles (inflammatory .826, connective .536,
neoplastic .752); one of 8 channels, 30,259 parameters, trained half as long had .629.
"""

import numpy as np

from ..backend import keras, tf
from ..datasets.dataset import DATA
from ..datasets.nuclei import views
from ..model_files import load, save
from ..segmentation import dice, load_tiles, overlaps
from ..unet import dice_loss, hard_binary_cross_entropy, segment, unet

TEACHER_FILE = DATA / "segmentation_teacher.keras"
WIDTH = 20
STRIDE = 64  # pixels of the field: its tiles overlap, for more of them


def segmentation_teacher():
    """Return the shipped teacher: a ``keras.Model``, (N, 64, 64, 3) in [0, 1] → logits (N, 64, 64, 3)."""
    return load(TEACHER_FILE)


def vary(x, random):
    """Return images (N, …, 3) in [0, 1] as they might also have been stained and lit, float32 in [0, 1].

    Light is taken to a power for each colour (a stain absorbs more or less) and times a factor, both within 25 and 10 %
    and others for each image. ``random`` is a ``numpy.random.Generator``.
    """
    one = (len(x), *[1] * (x.ndim - 2))
    light = np.maximum(x, 1 / 255) ** random.uniform(0.8, 1.25, (*one, 3)) * random.uniform(0.9, 1.1, (*one, 1))
    return np.clip(light, 0, 1).astype(np.float32)


def train_teacher(steps=1600, seed=0, batch_size=16, width=WIDTH):
    """Return the teacher trained on the tiles of the training region alone (minutes).

    L = Dice + binary cross-entropy, both with the labels, by AdamW with a cosine schedule, on tiles that overlap, turned,
    mirrored and ``vary``ed.
    """
    tiles = load_tiles("train", STRIDE)
    x, masks = (views(part).reshape(-1, *part.shape[1:]) for part in (tiles.x, tiles.masks().astype(bool)))
    teacher = unet(width, seed, name="teacher")
    warm = steps // 10
    rate = keras.optimizers.schedules.CosineDecay(1e-4, steps - warm, warmup_target=0.004, warmup_steps=warm)
    optimizer, random = keras.optimizers.AdamW(rate, weight_decay=0.01), np.random.default_rng(seed)

    def batches():
        for _ in range(steps):
            rows = random.integers(len(x), size=batch_size)
            yield vary(x[rows], random), masks[rows]

    signature = tuple(tf.TensorSpec((batch_size, *part.shape[1:]), part.dtype) for part in (x, masks))
    data = tf.data.Dataset.from_generator(batches, output_signature=signature)
    teacher.compile(optimizer, lambda y, z: dice_loss(z, y) + hard_binary_cross_entropy(z, y), jit_compile=False)
    teacher.fit(data, steps_per_epoch=steps, shuffle=False, verbose=0)
    return keras.Model(teacher.input, teacher.output, name="teacher")  # without the optimizer's state


if __name__ == "__main__":
    save(train_teacher(), TEACHER_FILE)
    teacher = segmentation_teacher()
    for name in ("validation", "test"):
        tiles = load_tiles(name)
        found = dice(overlaps(segment(teacher, tiles.x), tiles.classes))
        print(
            f"{name}: Dice {' '.join(f'{value:.3f}' for value in found)}, mean {found.mean():.3f}, {len(tiles)} tiles"
        )
