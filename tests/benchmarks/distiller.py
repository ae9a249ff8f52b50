"""Seconds per epoch of Distiller with kept teacher logits, beside the plain student and Keras's own Distiller.

    python tests/benchmarks/distiller.py [--images 60000] [--batch-size 64] [--rounds 3] [--mnist mnist.npz]

Teacher: the EMNIST tutorial's CNN, 3,378,970 parameters; student: its MLP 784-512-26, 415,258. The runs take turns,
an epoch each, and the least of ``rounds`` counts: others may use the machine too. Keras's Distiller runs its
teacher in every step, in every epoch; ours ran it once, which is the last row. "÷ alone" compares with the
student alone run the same way: Keras's defaults take single steps, ours sixteen a call under XLA.
"""

import argparse
import time

import numpy as np

from kdlab import Distiller
from kdlab.backend import keras

CLASSES = 26
FAST, SINGLE = {"steps_per_execution": 16, "jit_compile": True}, {"steps_per_execution": 1}
ALONE, RIVAL, MANY, STEP = "student alone", "keras.distillation.Distiller", ", 16 steps a call, XLA", ", step by step"


def cnn():
    """The teacher."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(128, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(1024, activation="relu"),
            layers.Dense(CLASSES),
        ]
    )


def mlp():
    """The student."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            layers.Dense(512, activation="relu"),
            layers.Dense(CLASSES),
        ]
    )


def keras_distiller(teacher):
    """Keras's own, with the loss that is right."""
    kl = keras.distillation.LogitsDistillation(4.0, loss=keras.losses.KLDivergence())
    return keras.distillation.Distiller(teacher, mlp(), kl, student_loss_weight=0.1)


def images(number, mnist=None):
    """Return ``number`` images (N, 28, 28, 1), float32 in [0, 1], and labels: random ones, or MNIST's first."""
    if mnist:
        with np.load(mnist) as file:
            x, y = file["x_train"][:number, ..., None], file["y_train"][:number]
        return (x / 255).astype(np.float32), y.astype(np.int32)
    rng = np.random.default_rng(0)
    return rng.random((number, 28, 28, 1), np.float32), rng.integers(0, CLASSES, number).astype(np.int32)


def compiled(model, **options):
    """Compile as the tutorial does."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss=loss, metrics=["accuracy"], **options)
    return model


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self.start


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mnist", metavar="NPZ", help="MNIST as an .npz; random images without it")
    options = parser.parse_args(arguments)
    x, y = images(options.images, options.mnist)
    teacher = cnn()
    ours, ours_single = (compiled(Distiller(teacher=teacher, student=mlp()), **how) for how in ({}, SINGLE))
    ours.teacher_logits(x[: 2 * options.batch_size])  # Warm-up.
    start = time.perf_counter()
    teacher_logits = ours.teacher_logits(x)
    once = time.perf_counter() - start
    kept = {"teacher_logits": teacher_logits}
    runs = {
        ALONE: (compiled(mlp()), {}),
        "kdlab.Distiller" + STEP: (ours_single, kept),
        ALONE + MANY: (compiled(mlp(), **FAST), {}),
        "kdlab.Distiller": (ours, kept),
        RIVAL: (compiled(keras_distiller(teacher)), {}),
        RIVAL + MANY: (compiled(keras_distiller(teacher), **FAST), {}),
    }
    seconds = {name: [] for name in runs}
    some = slice(20 * options.batch_size + 1)  # Traces whole and partial batches, before the clock runs.
    for turn in range(options.rounds + 1):
        for name, (model, extra) in runs.items():
            part = some if turn == 0 else slice(None)
            extra = {key: value[part] for key, value in extra.items()}
            clock = Clock()
            model.fit(x[part], y[part], batch_size=options.batch_size, verbose=0, callbacks=[clock], **extra)
            if turn:
                seconds[name].append(clock.seconds)

    best = {name: min(values) for name, values in seconds.items()}
    print(f"{options.images} images, batches of {options.batch_size}, best of {options.rounds} epochs\n")
    print(f"{'per epoch':48}{'seconds':>9}{'÷ alone':>9}{'Keras ÷':>9}")
    for name, value in best.items():
        alone = best[ALONE + MANY if name in (ALONE + MANY, "kdlab.Distiller") else ALONE]
        print(f"{name:48}{value:9.2f}{value / alone:9.2f}{best[RIVAL] / value:9.2f}")
    print(f"{'the teacher once over the images':48}{once:9.2f}")


if __name__ == "__main__":
    main()
