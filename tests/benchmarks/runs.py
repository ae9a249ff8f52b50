"""Seconds per epoch of full-size runs, resumable, beside the same training by plain ``fit`` and by Keras's own Distiller.

    python tests/benchmarks/runs.py [--images 60000] [--batch-size 64] [--rounds 3] [--mnist mnist.npz]

The student is the EMNIST tutorial's MLP, 784-512-26; validation on a tenth of the images. Keras's Distiller, as it comes,
runs the tutorial's CNN in every step, and takes its turn in one round only: it is slow. An epoch lasts from the end of
the one before to its own end, so that all that a run does after an epoch is in it; the runs take turns, and the least
counts: others may use the machine too.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from distiller import CLASSES, RIVAL, cnn, compiled, images, keras_distiller

from kdlab import Distiller, models
from kdlab.backend import keras
from kdlab.datasets.dataset import Dataset, Split
from kdlab.execution import choose_execution, count_steps
from kdlab.runs import runs
from kdlab.runs.resuming import TrainingState

EPOCHS = 4  # in a turn; the first of them, which compiles, does not count


class Clock(keras.callbacks.Callback):
    """Seconds between the ends of two epochs."""

    def on_train_begin(self, logs=None):
        self.ends = []

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(time.perf_counter())

    @property
    def seconds(self):
        return np.diff(self.ends)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mnist", metavar="NPZ", help="MNIST as an .npz; random images without it")
    parser.add_argument(
        "--rival", action=argparse.BooleanOptionalAction, default=True, help="whether Keras's Distiller takes part"
    )
    options = parser.parse_args(arguments)
    x, y = images(options.images, options.mnist)
    tenth = Split(x[: len(x) // 10], y[: len(x) // 10])
    data = Dataset(Split(x, y), tenth, tenth, tuple(map(str, range(CLASSES))), "a benchmark", "")
    teacher_logits = np.random.default_rng(0).normal(size=(len(x), CLASSES)).astype(np.float32)
    settings = runs.Settings(epochs=EPOCHS, batch_size=options.batch_size, patience=EPOCHS)
    folder = tempfile.TemporaryDirectory()
    out = Path(folder.name) / "student.keras"
    kept, end = [], TrainingState.on_epoch_end

    def timed(keeper, epoch, logs=None):
        start = time.perf_counter()
        end(keeper, epoch, logs)
        kept.append(time.perf_counter() - start)

    def student():
        return models.mlp((28, 28, 1), (512,), CLASSES, seed=0)

    def fit(model, clock, epochs=EPOCHS, **extra):
        how = {"batch_size": options.batch_size, "epochs": epochs, "verbose": 0, "callbacks": [clock]}
        model.fit(x, y, validation_data=(tenth.x, tenth.y), validation_batch_size=256, **how, **extra)

    def alone(clock):
        model = compiled(student())
        choose_execution(model, model, EPOCHS * count_steps(x, options.batch_size))
        fit(model, clock)

    turns = {
        "student alone, fit": alone,
        "student alone, runs.train": lambda clock: runs.train(student(), data, out, settings, [clock], True),
        "distilled, Distiller.fit": lambda clock: fit(
            compiled(Distiller(student=student())), clock, teacher_logits=teacher_logits
        ),
        "distilled, runs.distill": lambda clock: runs.distill(
            student(), teacher_logits, data, out, settings, callbacks=[clock], overwrite=True
        ),
    }
    TrainingState.on_epoch_end = timed
    best = dict.fromkeys(turns, float("inf"))
    for _ in range(options.rounds):
        for name, turn in turns.items():
            clock = Clock()
            turn(clock)
            best[name] = min(best[name], *clock.seconds)
    TrainingState.on_epoch_end = end
    if options.rival:
        clock = Clock()
        fit(compiled(keras_distiller(cnn())), clock, epochs=2)
        best[RIVAL] = min(clock.seconds)
    folder.cleanup()

    print(f"{options.images} images, batches of {options.batch_size}, best of {options.rounds * (EPOCHS - 1)} epochs\n")
    print(f"{'per epoch, validation and state included':44}{'seconds':>9}{'÷ fit':>8}{'÷ alone':>9}{'Keras ÷':>9}")
    for name, value in best.items():
        by_fit = best["student alone, fit" if "alone" in name else "distilled, Distiller.fit"]
        ratios = f"{value / by_fit:8.3f}{value / best['student alone, runs.train']:9.3f}"
        ratios += f"{best[RIVAL] / value:9.2f}" if options.rival else f"{'–':>9}"
        print(f"{name:44}{value:9.3f}{ratios}")
    share = min(kept) / best["distilled, runs.distill"]
    print(f"{'of it, judging the epoch and the state':44}{min(kept):9.3f}{share:8.1%}")


if __name__ == "__main__":
    main()
