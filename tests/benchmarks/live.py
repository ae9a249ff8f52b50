"""Measure the live engine on digits, and Keras's own Distiller beside it: ``python tests/benchmarks/live.py``.

The student is dense 64-16-10, 30 epochs of 15 batches of 64, Adam at 0.01, T = 4, α = 0.9. Times are of warm calls;
"first" is what the first call of a shape took beyond that, to trace and compile. The rival and ten live students
take turns, so that other work on the machine slows both; the ratio is of their medians.
"""

import argparse
import time

import numpy as np

import kdlab
from kdlab import models
from kdlab.backend import keras
from kdlab.teachers.digits import digits_teacher

EPOCHS, BATCH, RATE, TEMPERATURE, ALPHA = 30, 64, 0.01, 4.0, 0.9


def measure(call, repeats):
    """Return the seconds of the first call, and of ``repeats`` calls after it."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds[0], np.array(seconds[1:])


def live(trainer, repeats, seeds, sides):
    """Print a row per number of students: so many seeds at one position, and on a grid with such sides, but for the last."""
    temperatures, alphas = np.linspace(1, 20, sides[0]), np.linspace(0, 1, sides[1])
    rows = [(f"{n:3} at one position", n, lambda n=n: trainer.train(TEMPERATURE, ALPHA, n)) for n in seeds]
    for n in seeds[:-1]:
        students = sides[0] * sides[1] * n
        name = f"{students:3} = {sides[0]} x {sides[1]} x {n}"
        rows.append((name, students, lambda n=n: trainer.sweep(temperatures, alphas, n)))
    print(f"{'students':22}{'median ms':>10}{'p95 ms':>9}{'best ms':>9}{'ms/student':>12}{'first s':>9}")
    per_student = []
    for name, students, call in rows:
        first, warm = measure(call, repeats if students <= seeds[-1] else -(-repeats // 5))
        median, p95 = np.median(warm), np.quantile(warm, 0.95)
        per_student.append(1e3 * median / students)
        times = f"{1e3 * median:10.1f}{1e3 * p95:9.1f}{1e3 * warm.min():9.1f}"
        print(f"{name:22}{times}{per_student[-1]:12.2f}{first - median:9.2f}", flush=True)
    most, fewer = rows[-1][1], rows[-2][1]
    print(f"time per student, {most} against {fewer}: {per_student[-1] / per_student[-2]:.2f} (linear: 1)")


def rival(data, teacher, initial_weights, epochs):
    """Return seconds of Keras's own Distiller for one student, new and warm, and its test accuracy.

    A new position of a slider is a new Distiller there, which traces: what it holds of the temperature after its
    first fit stays. Warm is a second fit of the same one. Keras's own shuffle makes the batches.
    """
    student = models.mlp()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    soft = keras.distillation.LogitsDistillation(loss=keras.losses.KLDivergence(), temperature=TEMPERATURE)
    seconds = []
    for _ in range(2):
        student.set_weights(initial_weights)
        start = time.perf_counter()
        if not seconds:
            optimizer = keras.optimizers.Adam(RATE)
            distiller = keras.distillation.Distiller(teacher, student, soft, student_loss_weight=1 - ALPHA)
            distiller.compile(optimizer, loss)
        for variable in optimizer.variables:
            if variable is not optimizer.learning_rate:
                variable.assign(np.zeros(variable.shape))
        distiller.fit(data.train.x, data.train.y, batch_size=BATCH, epochs=epochs, verbose=0)
        seconds.append(time.perf_counter() - start)
    answers = student.predict(data.test.x, verbose=0).argmax(axis=1)
    return *seconds, (answers == data.test.y).mean()


def main():
    """Print the table, then the rival and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--rival-seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    numbers = {"type": lambda text: [int(n) for n in text.split(",")]}
    parser.add_argument("--seeds", default=[1, 5, 10], help="numbers of students at a position", **numbers)
    parser.add_argument("--grid", default=[11, 8], help="temperatures and alphas of the grid", **numbers)
    arguments = parser.parse_args()

    data, teacher = kdlab.load("digits"), digits_teacher()
    teacher_logits = teacher.predict(data.train.x, verbose=0)
    trainer = kdlab.LiveTrainer(data, models.mlp(), teacher_logits, arguments.epochs, BATCH, RATE)
    live(trainer, arguments.repeats, arguments.seeds, arguments.grid)

    ours, theirs, many = [], [], arguments.seeds[-1]
    for seed in range(arguments.rival_seeds):
        theirs.append(rival(data, teacher, trainer.initial_weights(seed), arguments.epochs))
        ours.extend(measure(lambda: trainer.train(TEMPERATURE, ALPHA, many), 6)[1] / many)
    new, warm, accuracy = np.array(theirs).T
    same = trainer.train(TEMPERATURE, ALPHA, arguments.rival_seeds).test_accuracy
    ours = np.median(ours)
    print(f"live, {many} students at once: {1e3 * ours:.2f} ms per student")
    for name, seconds in (("new", np.median(new)), ("warm", np.median(warm))):
        print(
            f"keras.distillation.Distiller, {name:4}: {seconds:.2f} s per student, {seconds / ours:.0f} times as long"
        )
    print(f"test accuracy, mean of {len(same)} seeds: live {same.mean():.3f}, Distiller {accuracy.mean():.3f}")


if __name__ == "__main__":
    main()
