"""Measure live students tied to a teacher's layer, and Keras's FeatureDistillation: ``python tests/benchmarks/live_features.py``.

Ten students, dense 64-16-10, 30 epochs of 15 batches of 64 digits, Adam at 0.01, T = 4, α = 0.9, φ = 0.5; the teacher is
dense 64-256-256-10, and the ties are to its layers of 256 units, through a projector where it is a hint. Times are of warm
calls, which take turns with those of ten students on the response alone: other work on the machine slows both, and the
ratio is of their medians. "first" is what the first call took beyond that, to trace and compile. The rival trains one
student, with neither projector nor kept features, so its pair has 16 units on both sides, and so has ours beside it.
"""

import argparse
import time

import numpy as np

import kdlab
from kdlab import models
from kdlab.backend import keras
from kdlab.features.taps import tap
from kdlab.live.batched_features import METHODS
from kdlab.teachers.digits import digits_teacher

EPOCHS, BATCH, RATE, SEEDS = 30, 64, 0.01, 10
POSITION = {"temperature": 4.0, "alpha": 0.9, "seeds": SEEDS}
TIED = {"feature_alpha": 0.5, "pairs": [("hidden_2", "hidden_1")]}


def seconds(call):
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def live(trainer, repeats, only=""):
    """Print a row per way to tie whose name holds ``only``; return the milliseconds of the last, the equal pair."""
    ways = {method: TIED | {"method": method} for method in METHODS}
    ways["hint, two layers"] = TIED | {"pairs": [("hidden_1", "hidden_1"), ("hidden_2", "hidden_1")]}
    ways["hint, equal widths"] = TIED | {"pairs": [("small", "hidden_1")]}
    seconds(lambda: trainer.train(**POSITION))
    print(f"{'ten students':24}{'median ms':>10}{'p95 ms':>9}{'best ms':>9}{'÷ response':>12}{'first s':>9}")
    for name, way in ((name, way) for name, way in ways.items() if only in name):
        first = seconds(lambda way=way: trainer.train(**POSITION, **way))
        times = [
            (seconds(lambda: trainer.train(**POSITION)), seconds(lambda way=way: trainer.train(**POSITION, **way)))
            for _ in range(repeats)
        ]
        response, tied = np.array(times).T
        median, p95 = np.median(tied), np.quantile(tied, 0.95)
        times = f"{1e3 * median:10.1f}{1e3 * p95:9.1f}{1e3 * tied.min():9.1f}"
        print(f"{name:24}{times}{median / np.median(response):12.2f}{first - median:9.2f}", flush=True)
    print(f"{'response alone':24}{1e3 * np.median(response):10.1f}{'':9}{1e3 * response.min():9.1f}")
    return median


def rival(data, teacher, epochs):
    """Return the seconds of a first and of a second fit of Keras's own Distiller with both of its losses."""
    student = models.mlp()
    ties = [
        keras.distillation.LogitsDistillation(4.0, loss=keras.losses.KLDivergence()),
        keras.distillation.FeatureDistillation("mse", "hidden_1", "hidden_1"),
    ]
    distiller = keras.distillation.Distiller(teacher, student, ties, [0.9, 1.0], student_loss_weight=0.05)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.Adam(RATE), loss)
    return [
        seconds(lambda: distiller.fit(data.train.x, data.train.y, batch_size=BATCH, epochs=epochs, verbose=0))
        for _ in range(2)
    ]


def main():
    """Print the table, then the rival and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--rivals", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--only", metavar="TEXT", default="", help="only ways to tie whose name holds this")
    arguments = parser.parse_args()

    data, teacher, small = kdlab.load("digits"), digits_teacher(), models.mlp(name="small")
    logits, features = tap(teacher, ["hidden_1", "hidden_2"]).predict(data.train.x, verbose=0)
    features["small"] = tap(small, ["hidden_1"]).predict(data.train.x, verbose=0)[1]["hidden_1"]
    trainer = kdlab.LiveTrainer(data, models.mlp(), logits, arguments.epochs, BATCH, RATE, teacher_features=features)
    ours = live(trainer, arguments.repeats, arguments.only) / SEEDS

    new, warm = np.median([rival(data, small, arguments.epochs) for _ in range(arguments.rivals)], axis=0)
    print(f"live, equal widths: {1e3 * ours:.2f} ms per student")
    for name, theirs in (("new", new), ("warm", warm)):
        print(f"keras.distillation, {name:4}: {theirs:.2f} s per student, {theirs / ours:.0f} times as long")


if __name__ == "__main__":
    main()
