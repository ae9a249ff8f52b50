"""A sweep trains every point as ``runs`` does, keeps each in its file, and goes on with what is there."""

import dataclasses

import numpy as np
import pytest

from kdlab.evaluation import at_chance
from kdlab.models import mlp
from kdlab.runs import runs
from kdlab.runs.runs import Settings
from kdlab.runs.sweep_table import read_points
from kdlab.runs.sweeps import sweep

TEMPERATURES, ALPHAS, SEEDS = (1.0, 4.0), (0.5,), 2
SETTINGS = Settings(epochs=2, batch_size=32, learning_rate=0.01, seed=5)


@pytest.fixture(scope="module")
def data(tenth_of_digits):
    return tenth_of_digits


@pytest.fixture(scope="module")
def logits(data):
    return np.random.default_rng(0).normal(0, 3, (len(data.train), 10)).astype(np.float32)


def student(seed):
    return mlp(64, (8,), 10, seed=seed)


def run(data, logits, out, seeds=SEEDS, temperatures=TEMPERATURES, name="abc", **changes):
    return sweep(student, lambda: logits, data, out, SETTINGS, temperatures, ALPHAS, seeds, run=name, **changes)


@pytest.fixture(scope="module")
def done(data, logits, tmp_path_factory):
    """A sweep of two points that are really trained."""
    out = tmp_path_factory.mktemp("sweep") / "sweep.csv"
    return run(data, logits, out, seeds=1, temperatures=(4.0,)), out


def accuracy(model, split):
    return (model.predict(split.x, verbose=0).argmax(axis=1) == split.y).mean()


def test_every_point_is_what_runs_trains(done, data, logits, tmp_path):
    points = {point.place: point for point in done[0].points}
    assert set(points) == {(None, 0.0, 5), (4.0, 0.5, 5)}
    for place in points:
        if place[0] is None:
            trained = runs.train(student(5), data, tmp_path / "alone.keras", SETTINGS)
        else:
            trained = runs.distill(student(5), logits, data, tmp_path / "s.keras", SETTINGS, *place[:2])
        point = points[place]
        assert point.validation_accuracy == pytest.approx(accuracy(trained.model, data.validation))
        assert point.test_accuracy == pytest.approx(accuracy(trained.model, data.test))
        named = trained.model.predict(data.test.x, verbose=0).argmax(axis=1)
        assert point.at_chance == at_chance(named, data.test.y)
        assert (point.epochs, point.best_epoch) == (2, trained.best_epoch)
        assert point.run == "abc"


def test_the_file_holds_the_points_and_nothing_is_left_beside_it(done):
    table, out = done
    assert tuple(read_points(out.read_text())) == table.points
    assert [path.name for path in out.parent.iterdir()] == ["sweep.csv"]


# --- what is kept and what is gone on with: no need to really train


@pytest.fixture
def quick(monkeypatch):
    """Trainings that return the student as it began, moved by its temperature; a list of what was asked for."""
    asked = []

    def train(model, data, out, settings, callbacks, overwrite, temperature=0.0, alpha=0.0):
        asked.append((temperature, alpha, settings.seed))
        for weight, expected in zip(model.get_weights(), student(settings.seed).get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)
        model.set_weights([weight + temperature * np.cos(weight) for weight in model.get_weights()])
        out.write_text("weights")
        return runs.Run(model=model, history={}, seconds=1.0, epochs_done=2, best_epoch=1)

    monkeypatch.setattr(runs, "train", train)
    monkeypatch.setattr(runs, "distill", lambda model, logits, **keywords: train(model, **keywords))
    return asked


def test_every_seed_trains_its_own_student_and_each_training_has_its_title(data, logits, tmp_path, quick):
    titles = []

    def callbacks(number, total, title):
        titles.append((number, total, title))
        return ()

    run(data, logits, tmp_path / "sweep.csv", callbacks=callbacks)
    assert quick == [(0, 0, 5), (0, 0, 6), (1, 0.5, 5), (4, 0.5, 5), (1, 0.5, 6), (4, 0.5, 6)]
    assert titles == [
        (0, 6, "alone, seed 5"),
        (1, 6, "alone, seed 6"),
        (2, 6, "T 1, alpha 0.5, seed 5"),
        (3, 6, "T 4, alpha 0.5, seed 5"),
        (4, 6, "T 1, alpha 0.5, seed 6"),
        (5, 6, "T 4, alpha 0.5, seed 6"),
    ]


def stop_at(stop):
    """Callbacks that stop a sweep when the point of that number begins."""

    def callbacks(number, total, title):
        if number == stop:
            raise KeyboardInterrupt
        return ()

    return callbacks


@pytest.mark.parametrize("stop", [0, 3])
def test_stopped_it_goes_on_to_the_same_points(data, logits, tmp_path, quick, stop):
    whole = run(data, logits, tmp_path / "whole.csv")
    every, quick[:] = list(quick), []
    out = tmp_path / "sweep.csv"
    with pytest.raises(KeyboardInterrupt):
        run(data, logits, out, callbacks=stop_at(stop))
    first = out.read_text() if stop else ""
    assert len(quick) == stop
    assert run(data, logits, out).points == whole.points
    assert quick == every
    assert out.read_text().startswith(first)
    assert out.read_text() == (tmp_path / "whole.csv").read_text()
    assert len({(p.validation_accuracy, p.test_accuracy) for p in whole.points}) > 3


def test_a_sweep_that_is_done_trains_nothing_and_one_that_grows_only_what_is_new(data, logits, tmp_path, quick):
    out = tmp_path / "sweep.csv"
    table = run(data, logits, out)
    quick.clear()
    again = sweep(student, lambda: 1 / 0, data, out, SETTINGS, TEMPERATURES, ALPHAS, SEEDS, run="abc")
    assert again.points == table.points
    assert not quick
    grown = run(data, logits, out, temperatures=(1.0, 9.0), seeds=3)
    assert quick == [(0, 0, 7), (9, 0.5, 5), (9, 0.5, 6), (1, 0.5, 7), (9, 0.5, 7)]
    assert (grown.temperatures, grown.seeds) == ((1.0, 9.0), (5, 6, 7))
    assert len(read_points(out.read_text())) == 6 + 5


def test_points_of_another_run_are_refused_and_stay(done, data, logits, tmp_path, quick):
    out = tmp_path / "sweep.csv"
    out.write_text(done[1].read_text())
    with pytest.raises(ValueError, match=r"sweep\.csv holds points of other data, models or settings; --force"):
        run(data, logits, out, name="another")
    assert out.read_text() == done[1].read_text()
    assert len(run(data, logits, out, temperatures=(1.0,), seeds=1, name="another", overwrite=True).points) == 2


def test_a_file_that_is_no_sweep_is_refused(data, logits, tmp_path, quick):
    out = tmp_path / "sweep.csv"
    out.write_text("name,grade\nme,1\n")
    with pytest.raises(ValueError, match=r"sweep\.csv is not a table of a sweep.*--force replaces it"):
        run(data, logits, out)
    assert out.read_text() == "name,grade\nme,1\n"


@pytest.mark.parametrize("name", ["validation", "test"])
def test_a_sweep_without_samples_to_choose_or_judge_by_is_refused(data, logits, tmp_path, name):
    split = getattr(data, name)
    empty = dataclasses.replace(data, **{name: type(split)(split.x[:0], split.y[:0])})
    with pytest.raises(ValueError, match=f"a sweep needs {name} samples, and the data have none"):
        run(empty, logits, tmp_path / "sweep.csv")


def test_an_error_in_training_leaves_the_points_before_it(data, logits, tmp_path, monkeypatch, quick):
    out, real = tmp_path / "sweep.csv", runs.distill

    def distill(*args, temperature, **keywords):
        if temperature == 4.0:
            raise FloatingPointError("training diverged")
        return real(*args, temperature=temperature, **keywords)

    monkeypatch.setattr(runs, "distill", distill)
    with pytest.raises(FloatingPointError):
        run(data, logits, out)
    assert len(read_points(out.read_text())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.csv"]
