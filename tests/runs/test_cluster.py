"""A sweep on a real Dask cluster on this machine: the points of one here, and one sentence for what goes wrong with it."""

import os
import re
import sys
import time
from types import SimpleNamespace

import cloudpickle
import numpy as np
import pytest
from distributed import LocalCluster
from sklearn.datasets import load_digits

from kdlab.commands.command_line import main
from kdlab.lab.kernels import start_forkserver
from kdlab.models import mlp
from kdlab.runs import cluster, sweeps
from kdlab.runs.runs import Settings
from kdlab.runs.sweep_table import Point, read_points
from kdlab.runs.sweeps import sweep

LINE = ["sweep", "--data", "data.npz", "--teacher", "teacher.keras", "--student", "mlp", "--epochs", "1"]
GRID = ["--temperatures", "8", "--alphas", "0.5", "--seeds", "1", "--batch-size", "32"]
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # The workers do not have this file.


@pytest.fixture(scope="module")
def address():
    """The address of a scheduler with one worker, a process that may die once."""
    from dask import config

    start_forkserver()  # A worker need not import TensorFlow, nor the one that comes after it.
    forked = {"distributed.worker.multiprocessing-method": "forkserver"}
    # A worker that is long in coming back, on a busy machine, is not given up.
    slow = {"distributed.deploy.lost-worker-timeout": "10 minutes"}
    with (
        config.set({"distributed.scheduler.allowed-failures": 0, **slow, **forked}),
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as local,
    ):
        yield local.scheduler_address


@pytest.fixture
def folder(tmp_path, monkeypatch):
    images, labels = load_digits(return_X_y=True)
    images = np.rint(images.reshape(-1, 8, 8) / 16 * 255).astype(np.uint8)
    parts = {"x_train": images[:90], "y_train": labels[:90], "x_test": images[300:360], "y_test": labels[300:360]}
    np.savez(tmp_path / "data.npz", **parts)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("kdlab.timing.MOST", 10)  # nobody looks at how long a model takes
    teacher = mlp((8, 8, 1), (), 10)
    means = np.array([images[labels == c].mean(axis=0).ravel() / 255 for c in range(10)])
    teacher.set_weights([means.T, -(means**2).sum(axis=1) / 2])  # of the class whose mean is the nearest
    teacher.save("teacher.keras")
    return tmp_path


def points(path):
    """The points of a table by place, without the time that each took."""
    return {
        p.place: (p.validation_accuracy, p.test_accuracy, p.best_epoch, p.run) for p in read_points(path.read_text())
    }


def test_a_cluster_trains_what_is_missing_to_the_same_points_and_without_one_dask_is_not_imported(
    folder, address, capsys, monkeypatch
):
    with monkeypatch.context() as patch:
        for name in ("dask", "distributed"):
            patch.setitem(sys.modules, name, None)  # An import of it fails.
        assert main([*LINE, *GRID, "--out", "here.csv"]) == 0
        assert main([*LINE, *GRID, "--out", "sweep.csv", "--scheduler", address]) == 2
    assert capsys.readouterr().err.endswith(
        "--scheduler needs distributed, which is not installed: pip install 'kdlab[cluster]'\n"
    )
    header, first, *_ = (folder / "here.csv").read_text().splitlines()
    (folder / "sweep.csv").write_text(f"{header}\n{first}\n")
    assert main([*LINE, *GRID, "--out", "sweep.csv", "--scheduler", address]) == 0
    assert (folder / "sweep.csv").read_text().startswith(f"{header}\n{first}\n")
    assert points(folder / "sweep.csv") == points(folder / "here.csv")
    assert len(points(folder / "here.csv")) == 2
    shown = capsys.readouterr().out
    assert re.findall("(.*): trained, (.*)", shown) == [("T 8, alpha 0.5, seed 0", "2 of 2")]
    assert "scheduler" not in re.search("To keep such a student: (kdlab distill .*)", shown)[1]
    assert (folder / "sweep.png").exists()
    assert not list(folder.glob("sweep.csv.*"))


def test_an_address_that_does_not_answer_is_one_line(folder, capsys, monkeypatch):
    monkeypatch.setattr(cluster, "ANSWER", 0.2)
    for address in ("tcp://127.0.0.1:9", "nonsense://here"):
        assert main([*LINE, *GRID, "--out", "sweep.csv", "--scheduler", address]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"kdlab: no Dask scheduler answers at {address}: start one with `dask scheduler`")
        assert error.count("\n") == 1


def test_what_cannot_be_done_elsewhere_is_said_before_anybody_is_asked(tmp_path):
    data = SimpleNamespace(train=SimpleNamespace(x=np.zeros((4, 8, 8, 1))), validation=[1], test=[1])
    settings, said = Settings(tensorboard="logs"), "--tensorboard needs the training on this machine"
    with pytest.raises(ValueError, match=said):
        sweep(
            None,
            lambda: None,
            data,
            tmp_path / "a.csv",
            settings,
            (1.0,),
            (0.5,),
            seeds=1,
            run="",
            scheduler="nobody:1",
        )
    assert list(tmp_path.iterdir()) == []


def die_at_20(shared, place):
    temperature, alpha, seed = place
    if temperature == 20:
        os._exit(1)
    time.sleep(0.5)  # A training takes its time: the others are not finished when the first worker dies.
    return Point(temperature, alpha, seed, 0.5, 0.5, 1, 1, 1.0, "")


def test_a_worker_that_dies_is_one_sentence_and_what_was_trained_is_kept(
    tenth_of_digits, tmp_path, address, monkeypatch
):
    monkeypatch.setattr(sweeps, "_train_on_worker", die_at_20)
    with pytest.raises(
        OSError, match=f"workers of the Dask cluster at {address} died again and again at the same work"
    ):
        sweep(
            lambda seed: "a student",  # nobody trains it, and a new worker need not import Keras for it
            lambda: np.zeros((len(tenth_of_digits.train), 10), np.float32),
            tenth_of_digits,
            tmp_path / "sweep.csv",
            SimpleNamespace(seed=0, tensorboard=None),
            (1.0, 20.0),
            (0.5,),
            seeds=1,
            run="abc",
            scheduler=address,
        )
    assert set(points(tmp_path / "sweep.csv")) == {(None, 0.0, 0), (1.0, 0.5, 0)}


def test_what_a_worker_raises_is_raised_here(address):
    with pytest.raises(ZeroDivisionError):
        list(cluster.on_cluster(address, lambda shared, job: shared / job, 6, [0]))
    found = dict(cluster.on_cluster(address, lambda shared, job: shared / job, 6, [1, 2, 3]))
    assert found == {1: 6, 2: 3, 3: 2}


def test_a_cluster_without_workers_is_one_sentence(monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.3)
    said = r"the Dask cluster at tcp.* has no worker left: start one"
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=":0", protocol="tcp://") as local,
        pytest.raises(OSError, match=said),
    ):
        list(cluster.on_cluster(local.scheduler_address, lambda shared, job: job, None, [1]))
