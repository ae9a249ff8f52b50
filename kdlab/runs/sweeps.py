"""A student distilled at every temperature and alpha, with several seeds; killed, the same call goes on."""

import gc
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

from ..cache import ELSEWHERE, new_file
from . import runs
from .record import accuracies
from .sweep_table import Point, SweepTable, read_points, write_points
from .unfinished import Unfinished

__all__ = ["sweep"]


def sweep(
    student, teacher_logits, data, out, settings, temperatures, alphas, seeds=3, *, run, overwrite=False, callbacks=None
):
    """Train ``student(seed)`` at every point and return the ``SweepTable``; every point is kept in ``out``, a CSV file.

    ``student`` is a function from a seed to a new ``keras.Model``, ``teacher_logits`` one without arguments that
    returns them as for ``runs.distill``; it is called where there is something to distil. The seeds are ``seeds``
    numbers from ``settings.seed`` on; each trains a student alone too, from the same weights and batches.
    ``run`` is a string that names all that the points depend on; what ``out`` has of them already is not trained
    again, so that the call goes on after a kill, and adds points to a sweep that is done. ``callbacks(done, total,
    title)`` returns the callbacks of the training of a point after ``done`` of ``total`` others.

    Raises ValueError for no validation samples, by which a point is chosen, and, unless ``overwrite``, for an
    ``out`` that holds something else; the errors of ``runs.distill`` leave the points that are done.
    """
    for name, split in (("validation", data.validation), ("test", data.test)):
        if not len(split):
            raise ValueError(f"a sweep needs {name} samples, and the data have none")
    out = Path(out)
    places = SweepTable.places(temperatures, alphas, range(settings.seed, settings.seed + seeds))
    points = _points_so_far(out, run, overwrite)
    done = {point.place for point in points}
    work = Unfinished([out])  # Where a point is trained: it, too, goes on after a kill.
    logits = cache(teacher_logits)
    try:
        for number, place in enumerate(places):
            if place not in done:
                shown = callbacks(number, len(places), _named(place)) if callbacks else ()
                work.folder.mkdir(exist_ok=True)
                points.append(_train(student, logits, data, work.folder, settings, place, run, shown))
                with new_file(out, ELSEWHERE) as file:
                    file.write(write_points(points).encode())
    except BaseException:
        work.tidy()
        raise
    shutil.rmtree(work.folder, ignore_errors=True)
    return SweepTable(tuple(temperatures), tuple(alphas), tuple(sorted({seed for *_, seed in places})), tuple(points))


def _points_so_far(out, run, overwrite):
    if not out.exists():
        return []
    try:
        points = read_points(out.read_text("utf-8", errors="replace"), out)
        if any(point.run != run for point in points):
            raise ValueError(f"{out} holds points of other data, models or settings")
    except ValueError as error:
        if overwrite:
            return []
        raise ValueError(f"{error}; --force replaces it, or give another --out") from None
    return points


def _train(student, teacher_logits, data, folder, settings, place, run, callbacks):
    """Return the ``Point`` of a student trained at (temperature, alpha, seed)."""
    temperature, alpha, seed = place
    name = "alone" if temperature is None else f"T{temperature}-alpha{alpha}"
    logs = settings.tensorboard and Path(settings.tensorboard) / f"{name}-seed{seed}"
    common = {
        "data": data,
        "out": folder / f"{name}-seed{seed}.keras",
        "settings": replace(settings, seed=seed, tensorboard=logs),
        "callbacks": callbacks,
        "overwrite": True,
    }
    if temperature is None:
        trained = runs.train(student(seed), **common)
    else:
        trained = runs.distill(student(seed), teacher_logits(), temperature=temperature, alpha=alpha, **common)
    validation, test = accuracies(trained.model, data.validation, data.test)
    point = Point(
        temperature=temperature,
        alpha=alpha,
        seed=seed,
        validation_accuracy=validation,
        test_accuracy=test,
        epochs=trained.epochs_done,
        best_epoch=trained.best_epoch,
        seconds=round(trained.seconds, 3),
        run=run,
    )
    common["out"].unlink()
    del trained
    gc.collect()  # Keras's models hold themselves.
    return point


def _named(place):
    temperature, alpha, seed = place
    return f"alone, seed {seed}" if temperature is None else f"T {temperature:g}, alpha {alpha:g}, seed {seed}"
