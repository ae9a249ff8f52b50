"""Milliseconds per step of feature distillation, beside the plain student and Keras's own FeatureDistillation.

    python tests/benchmarks/features.py [--images 12800] [--batch-size 64] [--rounds 2] [--only TEXT]

Random images of 28×28. Teacher: the EMNIST tutorial's CNN, 3,378,970 parameters, with one pass over the images
before the clock runs. A student is trained alone, with a tie to one layer of the teacher, and, where the two are of
equal shape, by ``keras.distillation.Distiller`` with the same tie and the response loss, which ours has too. The runs
take turns, three epochs each, and the least epoch of all counts. Once compiled as each comes (of which ours runs a
dense student's steps by the sixteen and under XLA), once all with the same options: sixteen steps a call, and XLA for
dense students.
"""

import argparse
import time

from distiller import CLASSES, cnn, compiled, images

from kdlab import Distiller, FeatureDistillation
from kdlab.backend import keras

layers = keras.layers
EPOCHS = 3
CODE, MAPS = 5, 3  # The teacher's layers: dense 1024, and the second pooling, 5×5×128.


def mlp(units):
    """A dense student; its layer 1 is the hidden one."""
    return keras.Sequential(
        [keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(units, activation="relu"), layers.Dense(CLASSES)]
    )


def small_cnn(channels):
    """A convolutional student; its layer 3 is the second pooling, 5×5×``channels``."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(channels, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(CLASSES),
        ]
    )


# Name: student, method, teacher's layer, student's layer. Equal widths have no projector, and so a rival.
CASES = {
    "dense 784-512: hint, projector 512 to 1024": (lambda: mlp(512), "hint", CODE, 1),
    "dense 784-512: similarity": (lambda: mlp(512), "similarity", CODE, 1),
    "dense 784-512: relational": (lambda: mlp(512), "relational", CODE, 1),
    "dense 784-1024: hint, equal widths": (lambda: mlp(1024), "hint", CODE, 1),
    "conv 16-32: hint, projector 32 to 128": (lambda: small_cnn(32), "hint", MAPS, 3),
    "conv 16-32: attention": (lambda: small_cnn(32), "attention", MAPS, 3),
    "conv 16-32: similarity": (lambda: small_cnn(32), "similarity", MAPS, 3),
    "conv 16-32: relational": (lambda: small_cnn(32), "relational", MAPS, 3),
    "conv 16-128: hint, equal widths": (lambda: small_cnn(128), "hint", MAPS, 3),
}


class Clock(keras.callbacks.Callback):
    """The least seconds of an epoch."""

    least = float("inf")

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.least = min(self.least, time.perf_counter() - self.start)


def rival(teacher, student, theirs, ours):
    """Return Keras's own Distiller with the same tie, and the response loss whose default is mended."""
    return keras.distillation.Distiller(
        teacher,
        student,
        [
            keras.distillation.LogitsDistillation(4.0, loss=keras.losses.KLDivergence()),
            keras.distillation.FeatureDistillation("mse", theirs, ours),
        ],
        student_loss_weight=0.05,
    )


def milliseconds(case, teacher, x, y, options, same):
    """Return the milliseconds per step of the student alone, of ours and, with equal widths, of Keras's."""
    make, method, theirs, ours = case
    how = {"steps_per_execution": 16, "jit_compile": not any("conv" in layer.name for layer in make().layers)}
    how = how if same else {}
    student = make()
    names = teacher.layers[theirs].name, student.layers[ours].name
    equal = teacher.layers[theirs].output.shape == student.layers[ours].output.shape
    distiller = Distiller(teacher=teacher, student=student, features=FeatureDistillation(method, [names]))
    kept = {"teacher_logits": distiller.teacher_logits(x), "teacher_features": distiller.teacher_features(x)}
    runs = {"alone": (compiled(make(), **how), {}), "kdlab": (compiled(distiller, **how), kept)}
    if equal:
        student = make()
        runs["keras"] = (compiled(rival(teacher, student, names[0], student.layers[ours].name), **how), {})
    clocks = {name: Clock() for name in runs}
    for _ in range(options.rounds):
        for name, (model, extra) in runs.items():
            fitting = {"batch_size": options.batch_size, "epochs": EPOCHS, "verbose": 0}
            model.fit(x, y, callbacks=[clocks[name]], **fitting, **extra)
    steps = -(-options.images // options.batch_size)
    return {name: 1000 * clock.least / steps for name, clock in clocks.items()}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=12800)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tables", type=int, choices=(1, 2), default=2, help="the first only, or both")
    parser.add_argument("--only", metavar="TEXT", default="", help="only cases whose name holds this")
    options = parser.parse_args(arguments)
    x, y = images(options.images)
    teacher = cnn()
    for same in (False, True)[: options.tables]:
        title = "ms per step, compiled the same" if same else "ms per step, as each comes"
        print(f"\n{title:45}{'alone':>8}{'kdlab':>8}{'÷ alone':>9}{'keras':>8}{'keras ÷':>9}")
        for name, case in CASES.items():
            if options.only in name:
                took = milliseconds(case, teacher, x, y, options, same)
                row = f"{name:45}{took['alone']:8.2f}{took['kdlab']:8.2f}{took['kdlab'] / took['alone']:9.2f}"
                beside = f"{took['keras']:8.2f}{took['keras'] / took['kdlab']:9.2f}" if "keras" in took else ""
                print(row + beside, flush=True)


if __name__ == "__main__":
    main()
