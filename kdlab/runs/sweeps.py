"""A student distilled at every temperature and alpha, with several seeds; killed, the same call goes on."""

import gc
import pickle
import shutil
import tempfile
import threading
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from ..cache import ELSEWHERE, new_file
from ..evaluation import at_chance
from . import runs
from .cluster import on_cluster
from .record import answers
from .sweep_table import Point, SweepTable, read_points, write_points
from .unfinished import Unfinished


def sweep(
    student,
    teacher_logits,
    data,
    out,
    settings,
    temperatures,
    alphas,
    seeds=3,
    *,
    run,
    overwrite=False,
    callbacks=None,
    scheduler=None,
):
    """Train ``student(seed)`` at every point and return the ``SweepTable``; every point is kept in ``out``, a CSV file.

    ``student`` is a function from a seed to a new ``keras.Model``, ``teacher_logits`` one without arguments that
    returns them as for ``runs.distill``; it is called where there is something to distil. The seeds are ``seeds``
    numbers from ``settings.seed`` on; each trains a student alone too, from the same weights and batches.
    ``run`` is a string that names all that the points depend on; what ``out`` has of them already is not trained
    again, so that the call goes on after a kill, and adds points to a sweep that is done. ``callbacks(done, total,
    title)`` returns the callbacks of the training of a point after ``done`` of ``total`` others.

    With a ``scheduler``, the address of one of Dask's, its workers train the points, several at a time: data, logits and
    students are sent to them, and ``callbacks`` is called when a point is there.

    Raises ValueError for no validation samples, by which a point is chosen, and, unless ``overwrite``, for an
    ``out`` that holds something else; the errors of ``runs.distill`` and of ``cluster.on_cluster`` leave the points
    that are done.
    """
    for name, split in (("validation", data.validation), ("test", data.test)):
        if not len(split):
            raise ValueError(f"a sweep needs {name} samples, and the data have none")
    out = Path(out)
    places = SweepTable.places(temperatures, alphas, range(settings.seed, settings.seed + seeds))
    points = _points_so_far(out, run, overwrite)
    done = {point.place for point in points}
    missing = {number: place for number, place in enumerate(places) if place not in done}
    work = Unfinished([out])  # Where a point is trained: it, too, goes on after a kill.
    train = _train_here if scheduler is None else partial(_train_on_cluster, scheduler)
    callbacks = callbacks or (lambda done, total, title: ())

    def begin(number, place):
        return callbacks(number, len(places), _named(place))

    try:
        for point in train(student, cache(teacher_logits), data, work.folder, settings, missing, begin):
            points.append(replace(point, run=run))
            with new_file(out, ELSEWHERE) as file:
                file.write(write_points(points).encode())
    except BaseException:
        work.tidy()
        raise
    shutil.rmtree(work.folder, ignore_errors=True)
    return SweepTable(tuple(temperatures), tuple(alphas), tuple(sorted({seed for *_, seed in places})), tuple(points))


def _train_here(student, teacher_logits, data, folder, settings, missing, begin):
    """Yield the ``Point`` of each missing place, trained one after the other in ``folder``."""
    for number, place in missing.items():
        shown = begin(number, place)
        folder.mkdir(exist_ok=True)
        logits = None if place[0] is None else teacher_logits()
        yield _train(student(place[-1]), logits, data, folder, settings, place, shown)


def _train_on_cluster(scheduler, student, teacher_logits, data, folder, settings, missing, begin):
    """Yield the ``Point`` of each missing place, trained by the workers of a Dask cluster, as they finish."""
    if not missing:
        return
    if settings.tensorboard:
        raise ValueError("--tensorboard needs the training on this machine; leave it out, or --scheduler")
    # As bytes: every training begins with a student of its own.
    students = {seed: pickle.dumps(student(seed)) for seed in {seed for *_, seed in missing.values()}}
    logits = teacher_logits() if any(temperature for temperature, *_ in missing.values()) else None
    shared = students, logits, data, settings
    # The first to finish has the number of the first that is missing, whichever it is.
    for number, (place, point) in zip(
        missing, on_cluster(scheduler, _train_on_worker, shared, missing.values()), strict=True
    ):
        begin(number, place)
        yield point


def _train_on_worker(shared, place):
    students, logits, data, settings = shared
    with _ONE_AT_A_TIME, tempfile.TemporaryDirectory() as folder:
        return _train(pickle.loads(students[place[-1]]), logits, data, Path(folder), settings, place, ())


_ONE_AT_A_TIME = threading.Lock()  # A worker may have several threads; Keras is trained in one.


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


def _train(model, teacher_logits, data, folder, settings, place, callbacks):
    """Return the ``Point`` of a student trained at (temperature, alpha, seed), still without the name of its run."""
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
        trained = runs.train(model, **common)
    else:
        trained = runs.distill(model, teacher_logits, temperature=temperature, alpha=alpha, **common)
    validation, test = answers(trained.model, data.validation, data.test)
    common["out"].unlink()
    point = Point(
        temperature=temperature,
        alpha=alpha,
        seed=seed,
        validation_accuracy=float((validation == data.validation.y).mean()),
        test_accuracy=float((test == data.test.y).mean()),
        epochs=trained.epochs_done,
        best_epoch=trained.best_epoch,
        seconds=round(trained.seconds, 3),
        run="",
        at_chance=at_chance(test, data.test.y),
    )
    del model, trained
    gc.collect()  # Keras's models hold themselves.
    return point


def _named(place):
    temperature, alpha, seed = place
    return f"alone, seed {seed}" if temperature is None else f"T {temperature:g}, alpha {alpha:g}, seed {seed}"
