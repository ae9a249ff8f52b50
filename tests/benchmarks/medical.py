"""Chapter 4's speeds: `python tests/benchmarks/medical.py`.

Prints: EfficientNetB0's time per image over the brain student's, at the same size and batch; seconds from the
begin of a training to the first point of its curve; an epoch of
`keras.distillation.Distiller` with the EfficientNetB0 teacher over an epoch from kept logits.
"""

import argparse
import time
from dataclasses import replace

import numpy as np

from kdlab import Distiller, models
from kdlab.backend import keras, tf
from kdlab.datasets.dataset import Dataset, Split
from kdlab.datasets.nuclei import load_nuclei, views
from kdlab.export.convert import latency, multiply_adds, to_tflite
from kdlab.live.convolutional import ConvolutionalTrainer
from kdlab.teachers.nuclei import nuclei_teacher
from kdlab.timing import time_per_example

SHAPE, CLASSES = (128, 128, 1), 2  # of brain scans as they are prepared


def speeds(x, rounds=8):
    """Print what an image takes in either network, and the ratio: the two take turns, so that both meet the same noise."""
    networks = {
        "EfficientNetB0": models.efficientnet(SHAPE, CLASSES, weights=None, seed=0),
        "small-cnn": models.small_cnn(SHAPE, CLASSES, seed=0),
    }
    counts = "; ".join(f"{n}: {m.count_params():,} parameters" for n, m in networks.items())
    print(f"{counts}; {multiply_adds(networks['small-cnn']).total:,} multiply-adds of the student's")
    files = {name: to_tflite(network) for name, network in networks.items()}
    ways = {f"Keras, batch {batch}": lambda name, batch=batch: in_keras(networks[name], x, batch) for batch in (1, 32)}
    ways["LiteRT, batch 1, one core"] = lambda name: latency(files[name], x, seconds=1).median
    for way, median in ways.items():
        taken = np.array([[1e3 * median(name) for name in networks] for _ in range(rounds)])
        for name, milliseconds in zip(networks, taken.T, strict=True):
            print(f"  {way}: {name:15}", quartiles(milliseconds, 2), "ms per image")
        print(f"  {way}: ratio", quartiles(taken[:, 0] / taken[:, 1], 1))
    empty = time_per_example(lambda images: tf.identity(tf.constant(images)).numpy(), x, 1, seconds=1).median
    print(f"  (an empty call, batch 1: {1e3 * empty:.2f} ms)")


def in_keras(network, x, batch):
    """Return the median of the seconds that an image takes a compiled network, in batches of this size."""
    call = tf.function(lambda images: network(images, training=False))
    call = call.get_concrete_function(tf.TensorSpec((batch, *x.shape[1:]), tf.float32))
    return time_per_example(lambda images: call(tf.constant(images)).numpy(), x, batch, seconds=1).median


def quartiles(values, digits):
    """Return a median and its quartiles in words."""
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def first_point(moves, nuclei):
    """Print the seconds from a training's begin to the first epoch that it tells of, once all is warm.

    ``nuclei`` are how many of those to train on; None: all.
    """
    data, temperature, first = load_nuclei(size=48), 1.0, []
    data = replace(data, train=Split(data.train.x[:nuclei], data.train.y[:nuclei]))

    def build(seed):
        blocks = models.small_cnn((24, 24, 3), 3, seed, channels=(8, 16, 32)).layers
        return keras.Sequential([keras.Input((48, 48, 3)), keras.layers.AveragePooling2D(2), *blocks])

    trainer = ConvolutionalTrainer(data, nuclei_teacher(), build, 15, 32, 0.005, views)
    for move in range(moves + 1):
        begun, told = time.perf_counter(), []
        note = lambda *_, told=told: told.append(time.perf_counter())  # noqa: E731
        trainer.train(temperature + move, 0.9, seeds=1, progress=note, stop=lambda told=told: bool(told))
        first.append(told[0] - begun)
    print(f"  button to first point: median {np.median(first[1:]):.2f} s, longest {max(first[1:]):.2f} s")


def epochs(x, y, batch_size=32, epochs=20, rounds=3):
    """Print the seconds of an epoch from kept logits and of one of Keras's Distiller; they take turns as well."""
    teacher = models.efficientnet(SHAPE, CLASSES, weights=None, seed=0)
    ours = Distiller(student=models.small_cnn(SHAPE, CLASSES, seed=0))
    ours.compile(keras.optimizers.Adam(1e-3))
    logits = Distiller(teacher=teacher, student=ours.student).teacher_logits(x)
    none = Split(x[:0], y[:0])
    trainer = ConvolutionalTrainer(
        Dataset(Split(x, y), none, none, ("a", "b"), "noise", "none"),
        teacher,
        lambda seed: models.small_cnn(SHAPE, CLASSES, seed),
        epochs,
        batch_size,
    )
    theirs = keras.distillation.Distiller(
        teacher=teacher,
        student=models.small_cnn(SHAPE, CLASSES, seed=0),
        distillation_losses=keras.distillation.LogitsDistillation(temperature=4.0, loss=keras.losses.KLDivergence()),
        student_loss_weight=0.1,
    )
    theirs.compile(keras.optimizers.Adam(1e-3), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    fitting = {"batch_size": batch_size, "epochs": epochs, "verbose": 0}
    ways = {
        "keras.distillation.Distiller": lambda: theirs.fit(x, y, **fitting),
        "kept logits, kdlab.Distiller": lambda: ours.fit(x, y, teacher_logits=logits, **fitting),
        "kept logits, ConvolutionalTrainer": lambda: trainer.train(seeds=1),
    }
    taken = {name: [] for name in ways}
    for _ in range(rounds + 1):  # the first compiles
        for name, fit in ways.items():
            start = time.perf_counter()
            fit()
            taken[name].append((time.perf_counter() - start) / epochs)
    keras_ = taken["keras.distillation.Distiller"][1:]
    print(f"  an epoch of {len(x)} images, in runs of {epochs}")
    for name, seconds in taken.items():
        print(
            f"  {name:33}", quartiles(seconds[1:], 3), "s, Keras's ÷ it", quartiles(np.divide(keras_, seconds[1:]), 1)
        )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--moves", type=int, default=6, help="trainings whose first point is waited for")
    parser.add_argument("--nuclei", type=int, help="that those trainings have; all without it")
    parser.add_argument("--only", choices=("speeds", "first_point", "epochs"))
    options = parser.parse_args(arguments)
    random = np.random.default_rng(0)
    x = random.random((options.images, *SHAPE), np.float32)
    y = random.integers(0, CLASSES, options.images, np.int32)
    parts = {
        "speeds": lambda: speeds(x),
        "first_point": lambda: first_point(options.moves, options.nuclei),
        "epochs": lambda: epochs(x, y),
    }
    for name, part in parts.items():
        if options.only in (None, name):
            print(name, flush=True)
            part()


if __name__ == "__main__":
    main()
