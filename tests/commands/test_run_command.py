"""``kdlab train``, ``distill`` and ``sweep`` on small files of every kind: what they write is right, whatever happens."""

import io
import json
import os
import shlex
import signal
import sys
import time
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from scipy.stats import binomtest
from sklearn.datasets import load_digits

import kdlab
from kdlab import models
from kdlab.commands import run_command
from kdlab.commands.command_line import main
from kdlab.datasets.class_folders import printable
from kdlab.foreign_models import Inputs, adapt
from kdlab.runs import runs
from kdlab.runs.record import knows_data
from kdlab.softening import softmax

SETTINGS = runs.Settings(epochs=2, batch_size=32)
FAST = ["--epochs", "2", "--batch-size", "32"]
TRAIN = ["train", "--data", "data.npz", "--model", "mlp"]
DISTILL = ["distill", "--data", "data.npz", "--teacher", "teacher.keras", "--student", "mlp", *FAST]
SWEEP = ["sweep", "--data", "data.npz", "--teacher", "teacher.keras", "--student", "mlp", *FAST]
GRID = ["--temperatures", "1,8", "--alphas", "0.5", "--seeds", "2"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder with data.npz (300 and 100 digits), a teacher trained on it by the command, and a cache."""
    folder = tmp_path_factory.mktemp("commands")
    images, labels = load_digits(return_X_y=True)
    images = np.rint(images.reshape(-1, 8, 8) / 16 * 255).astype(np.uint8)
    parts = {"x_train": images[:300], "y_train": labels[:300], "x_test": images[300:400], "y_test": labels[300:400]}
    np.savez(folder / "data.npz", **parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("KDLAB_CACHE", str(folder / "cache"))
        line = [*TRAIN, "--epochs", "6", "--batch-size", "64", "--out", "teacher.keras", "--seed", "7"]
        assert main(line) == 0
    return folder


@pytest.fixture
def folder(shared, tmp_path, monkeypatch):
    """A folder to work in, with links to the data and the teacher."""
    for name in ("data.npz", "teacher.keras", "teacher.json"):
        (tmp_path / name).symlink_to(shared / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDLAB_CACHE", str(shared / "cache"))
    return tmp_path


@pytest.fixture(scope="module")
def data(shared):
    return kdlab.load(shared / "data.npz")


@pytest.fixture(scope="module")
def distilled(shared):
    """The folder of a distillation by the command, with the tutorial's own weight."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(shared)
        patch.setenv("KDLAB_CACHE", str(shared / "cache"))
        assert main([*DISTILL, "--temperature", "3", "--lambda", "0.5", "--out", "student.keras"]) == 0
    return shared


def predict(path, x):
    return keras.saving.load_model(path).predict(x, verbose=0)


def record(path):
    return json.loads(Path(path).read_text("utf-8"))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_same_weights(first, second):
    for a, b in zip(keras.saving.load_model(first).get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# --- channels


def make_folder(path, mode, classes=("a", "b"), number=15):
    """Make class folders of small images, each class of another brightness."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(classes):
        (path / name).mkdir(parents=True)
        for number_of_image in range(number):
            shape = (8, 8) if mode == "L" else (8, 8, 3)
            pixels = rng.integers(60 * k, 60 * k + 90, shape).astype(np.uint8)
            Image.fromarray(pixels, mode).save(path / name / f"{number_of_image}.png")
    return path


@pytest.mark.parametrize("grey", ["folder", "npz"])
def test_a_teacher_of_colour_images_teaches_grey_ones(folder, capsys, grey):
    if grey == "folder":
        source, size = str(make_folder(folder / "grey", "L")), ["--image-size", "8"]
    else:
        source, size = "data.npz", []
    classes = 2 if grey == "folder" else 10
    models.mlp((8, 8, 3), (), classes, seed=0).save("rgb.keras")
    line = [
        "distill",
        "--data",
        source,
        *size,
        "--teacher",
        "rgb.keras",
        "--student",
        "mlp",
        *FAST,
        "--quiet",
        "--weak-teacher",
    ]
    assert main([*line, "--out", "student.keras"]) == 2
    error = capsys.readouterr().err
    mended = shlex.join(["kdlab", *line, "--out", "student.keras", "--channels", "3"])
    assert error.endswith(f"(8, 8, 1); to read them so: {mended}\n")
    assert main(shlex.split(mended)[1:]) == 0
    found = record("student.json")
    assert found["settings"]["channels"] == 3
    assert found["data"]["shape"] == [8, 8, 3]
    grey = kdlab.load(source, **({"image_size": 8} if size else {})).test
    right = predict("rgb.keras", np.repeat(grey.x, 3, axis=-1)).argmax(axis=1) == grey.y
    assert found["models"][0]["test_correct"] == right.sum()


def test_a_teacher_of_grey_images_teaches_colour_ones_and_others_are_refused(folder, capsys):
    source = str(make_folder(folder / "colour", "RGB"))
    models.mlp((8, 8, 1), (), 2, seed=0).save("grey.keras")
    line = [
        "distill",
        "--teacher",
        "grey.keras",
        "--student",
        "mlp",
        *FAST,
        "--weak-teacher",
        "--out",
        "student.keras",
        "--quiet",
    ]
    assert main([*line, "--data", source, "--image-size", "8", "--channels", "1"]) == 0
    assert record("student.json")["data"]["shape"] == [8, 8, 1]
    capsys.readouterr()
    assert main([*line[:-3], "--out", "b.keras", "--data", "digits", "--channels", "3"]) == 2
    assert capsys.readouterr().err == "kdlab: --channels 3 does not go with digits, whose samples have shape (64,)\n"


# --- train


def test_train_writes_the_model_that_runs_trains(shared, data, tmp_path):
    settings = runs.Settings(epochs=6, seed=7)
    trained = runs.train(models.build("mlp", data, 7), data, tmp_path / "model.keras", settings)
    assert_same_weights(shared / "teacher.keras", trained.model)


def test_the_record_of_train_has_the_numbers_of_the_model(shared, data):
    found = record(shared / "teacher.json")
    (row,) = found["models"]
    right = int((predict(shared / "teacher.keras", data.test.x).argmax(axis=1) == data.test.y).sum())
    interval = binomtest(right, 100).proportion_ci(0.95, method="wilson")
    assert (row["test_correct"], row["test_samples"], row["test_accuracy"]) == (right, 100, right / 100)
    assert row["test_accuracy_95_percent"] == pytest.approx({"low": interval.low, "high": interval.high})
    assert right > 50
    assert row["parameters"] == 64 * 512 + 512 + 512 * 10 + 10
    assert row["size_on_disk_bytes"] == (shared / "teacher.keras").stat().st_size < 6 * row["parameters"]
    assert row["file"] == "teacher.keras"
    assert set(row["seconds_per_example"]) == {"1", "32"}
    for seconds in row["seconds_per_example"].values():
        assert 0 < seconds["quartiles"]["low"] <= seconds["median"] <= seconds["quartiles"]["high"] < 1


def test_the_record_of_train_says_how_to_repeat_it(shared, data):
    found = record(shared / "teacher.json")
    assert (
        found["command"]
        == "kdlab train --data data.npz --model mlp --epochs 6 --batch-size 64 --out teacher.keras --seed 7"
    )
    assert found["data"]["fingerprint"] == data.fingerprint
    assert found["data"]["samples"] == {"train": len(data.train), "validation": len(data.validation), "test": 100}
    assert found["data"]["class_names"] == list("0123456789")
    assert found["data"]["source"] == "data.npz"
    assert found["data"]["licence"] == data.licence
    assert found["settings"].items() >= {"model": "mlp", "epochs": 6, "batch_size": 64, "seed": 7}.items()
    assert found["versions"]["keras"] == keras.__version__
    assert found["versions"]["kdlab"] == kdlab.__version__
    training = found["training"]["model"]
    assert training["epochs_done"] == 6 == len(training["history"]["val_accuracy"])
    page = (shared / "teacher.md").read_text("utf-8")
    assert found["command"] in page
    assert data.fingerprint in page


def emnist(path):
    """A letters file as NIST ships it, two letters of 20 samples; labels run from 1."""
    random = np.random.default_rng(0)

    def split(samples):
        labels = 1 + np.arange(samples) % 2
        images = np.zeros((samples, 784), np.uint8)
        images[np.arange(samples), 100 * labels] = random.integers(100, 255, samples)
        return {"images": images, "labels": labels[:, None], "writers": np.zeros((samples, 1))}

    mapping = np.array([[1, 65, 97], [2, 66, 98]])
    savemat(path, {"dataset": {"train": split(40), "test": split(20), "mapping": mapping}}, do_compression=True)


def image_folder(path, size=12):
    """Two class folders of ten images each; one more is a copy, one cannot be read."""
    random = np.random.default_rng(0)
    for label, level in (("no", 60), ("yes", 190)):
        (path / label).mkdir(parents=True)
        for number in range(10):
            pixels = random.integers(level - 50, level + 50, (size + number, size, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(path / label / f"{number}.png")
    (path / "no" / "copy.png").write_bytes((path / "no" / "0.png").read_bytes())
    (path / "yes" / "broken.png").write_bytes(b"nothing")


@pytest.mark.parametrize(
    ("name", "make", "arguments", "classes", "shape", "noted"),
    [
        ("letters.mat", emnist, ["--model", "mlp"], ["A", "B"], [28, 28, 1], []),
        (
            "brain",
            image_folder,
            ["--model", "mlp", "--image-size", "16"],
            ["no", "yes"],
            [16, 16, 3],
            ["broken.png", "duplicate"],
        ),
    ],
)
def test_train_takes_files_of_every_kind(folder, capsys, name, make, arguments, classes, shape, noted):
    make(folder / name)
    assert main(["train", "--data", name, *arguments, "--out", "model.keras", "--epochs", "1"]) == 0
    found = record("model.json")
    assert (found["data"]["class_names"], found["data"]["shape"]) == (classes, shape)
    shown = capsys.readouterr().out
    for words in noted:
        assert words in shown
        assert any(words in note for note in found["notes"])


# --- distill


def test_distill_writes_both_students_of_the_same_beginning_and_nothing_else(distilled, data, tmp_path):
    alpha = 1 / (1 + 0.5 * 3**2)  # the two-headed student's lambda in our weights
    teacher = models.build(distilled / "teacher.keras", data)
    alone = runs.train(models.build("mlp", data), data, tmp_path / "a.keras", SETTINGS)
    student = runs.distill(
        models.build("mlp", data),
        teacher.predict(data.train.x, verbose=0),
        data,
        tmp_path / "s.keras",
        SETTINGS,
        3.0,
        alpha,
    )
    assert_same_weights(distilled / "student.alone.keras", alone.model)
    for a, b in zip(
        models.build(distilled / "student.keras", data).get_weights(), student.model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-5)  # the teacher's logits come in other batches
    assert names(distilled) == [
        "cache",
        "data.npz",
        "student.alone.keras",
        "student.json",
        "student.keras",
        "student.md",
        "teacher.json",
        "teacher.keras",
        "teacher.md",
    ]


def test_the_record_of_distill_compares_the_students(distilled, data):
    found = record(distilled / "student.json")
    assert [row["name"] for row in found["models"]] == ["teacher", "student alone", "student distilled"]
    correct = {}
    for row in found["models"]:
        correct[row["name"]] = predict(distilled / row["file"], data.test.x).argmax(axis=1) == data.test.y
        assert row["test_correct"] == correct[row["name"]].sum()
    student, alone = correct["student distilled"], correct["student alone"]
    b, c = int((student & ~alone).sum()), int((alone & ~student).sum())
    p = binomtest(b, b + c).pvalue if b + c else 1.0
    comparison = found["comparison"]
    assert (comparison["only_first_correct"], comparison["only_second_correct"]) == (b, c)
    assert comparison["mcnemar_p"] == pytest.approx(p)
    assert comparison["verdict"] == ("no detectable difference" if p >= 0.05 else "helps" if b > c else "hurts")
    assert found["sentence"] in (distilled / "student.md").read_text("utf-8")


def test_lambda_is_translated_and_said(distilled):
    found = record(distilled / "student.json")
    assert found["settings"]["temperature"] == 3.0
    assert found["settings"]["alpha"] == pytest.approx(1 / 5.5)
    assert any("lambda = 0.5 of the two-headed student is alpha = 0.1818 here, at T = 3" in n for n in found["notes"])
    assert any("81.8 % of the weight is on the labels" in note for note in found["notes"])


def test_a_student_alone_that_is_given_is_not_trained_again(folder, data, monkeypatch, capsys):
    monkeypatch.setattr(runs, "train", lambda *args, **keywords: pytest.fail("trained"))
    assert main([*DISTILL, "--alpha", "0.5", "--student-alone", "teacher.keras", "--out", "s.keras"]) == 0
    assert "The student alone is teacher.keras" in capsys.readouterr().out
    found = record("s.json")
    assert found["models"][0]["test_correct"] == found["models"][1]["test_correct"]
    assert not Path("s.alone.keras").exists()


def test_several_teachers_are_an_ensemble(folder, data):
    other = models.build("mlp", data, 3)
    other.save("other.keras")
    line = [*DISTILL, "--teacher", "other.keras", "--student-alone", "other.keras", "--weak-teacher"]
    assert main([*line, "--out", "s.keras"]) == 0
    row = record("s.json")["models"][0]
    p = np.mean([softmax(predict(name, data.test.x)) for name in ("teacher.keras", "other.keras")], axis=0)
    assert row["test_correct"] == (p.argmax(axis=1) == data.test.y).sum()
    assert row["file"] == "teacher.keras, other.keras"
    assert row["parameters"] == 2 * other.count_params()


@pytest.mark.parametrize("line", [TRAIN, DISTILL, [*SWEEP, "--temperatures", "2", "--alphas", "0.5", "--seeds", "1"]])
def test_every_run_begins_with_the_classes_and_their_numbers_of_images(folder, capsys, data, line):
    assert main([*line, "--epochs", "1", "--out", f"new{'.csv' if line[0] == 'sweep' else '.keras'}"]) == 0
    first, said, *rest = capsys.readouterr().out.splitlines()
    assert first == "Reading data.npz"
    labels = [getattr(data, name).y for name in ("train", "validation", "test")]
    numbers = [f"{c} {' + '.join(str((y == c).sum()) for y in labels)}" for c in range(10)]
    assert said == f"10 classes, samples to train on + validate with + test on: {', '.join(numbers)}"
    assert any("epoch 1 of 1" in line for line in rest)


def scans(*folders):
    """Folders of eight small images each."""
    for number, name in enumerate(folders):
        Path("scans", name).mkdir(parents=True)
        for k in range(8):
            Image.new("L", (9, 9), 20 * number + k).save(Path("scans", name, f"{k}.png"))


def test_classes_are_chosen_and_what_is_left_out_is_said_before_and_after(folder, capsys):
    scans("b/x", "b/y", "c/x", "c/y", "d")
    line = ["train", "--data", "scans", "--model", "mlp", "--epochs", "1", "--image-size", "8", "--out", "model.keras"]
    assert main(line) == 2
    assert (
        "which folders of scans are the classes? Several folders hold the same folders: b/{x, y},"
        in capsys.readouterr().err
    )
    assert main([*line, "--classes", "b, c"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "2 classes, samples to train on + validate with + test on: b 12 + 1 + 3, c 12 + 1 + 3"
    note = "Left out, not being among the classes that were named: d (images: 8)."
    assert lines[2] == note
    assert note in lines[3:]
    assert record("model.json")["settings"]["classes"] == ["b", "c"]
    assert main([*TRAIN, "--classes", "0,1", "--out", "other.keras"]) == 2
    assert "--classes chooses the images of a folder, and --data data.npz is none" in capsys.readouterr().err


def bytes_in_names(name):
    """A folder of scans, one class of which has these bytes in its name; and the name as text."""
    scans("plain", os.fsdecode(name))
    return os.fsdecode(b"scans of " + name)


def test_names_of_any_bytes_can_be_trained_on_and_written_down(folder, capsys):
    name = b"m\xe9ningiome \xff a\nb " + "\U0001f9e0 $x_$ |".encode()
    images = bytes_in_names(name)
    Path("scans").rename(images)
    common = ["--data", images, "--image-size", "8", "--epochs", "1"]
    teacher, student, table = (f"{images} {what}" for what in ("t.keras", "s.keras", "w.csv"))
    assert main(["train", *common, "--model", "mlp", "--out", teacher]) == 0
    taught = [*common, "--teacher", teacher, "--weak-teacher", "--student", "mlp"]  # after an epoch it knows nothing
    assert main(["distill", *taught, "--out", student]) == 0
    grid = ["--temperatures", "2", "--alphas", "0.5", "--seeds", "1"]
    assert main(["sweep", *taught, *grid, "--out", table]) == 0
    for out in (teacher, student, table):
        found = record(Path(out).with_suffix(".json"))
        assert found["data"]["class_names"] == sorted([printable(os.fsdecode(name)), "plain"])
        assert found["data"]["name"] == images
        assert found["settings"].get("teacher", [teacher]) == [teacher]
        page = Path(out).with_suffix(".md").read_text("utf-8")
        assert printable(os.fsdecode(name)) in page
    assert kdlab.load(images, image_size=8).source == printable(images)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_has_not_all_signs_is_no_reason_to_fail(folder, monkeypatch, encoding):
    scans("腫瘍", "普通")
    shown = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", shown)
    assert (
        main(["train", "--data", "scans", "--image-size", "8", "--model", "mlp", "--epochs", "1", "--out", "a.keras"])
        == 0
    )
    shown.flush()
    assert r"\u816b\u760d 5 + 1 + 2" in shown.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("line", [TRAIN, DISTILL, [*SWEEP, *GRID]])
@pytest.mark.parametrize("fault", ["page", "json", "long name"])
def test_what_the_record_needs_is_tried_before_training(folder, capsys, monkeypatch, line, fault):
    def fail(*found, **keywords):
        raise ValueError("this cannot be written down")

    def train(*args, **keywords):
        raise AssertionError("trained in vain")

    monkeypatch.setattr(runs, "train", train)
    monkeypatch.setattr(runs, "distill", train)
    if fault != "long name":
        monkeypatch.setattr(run_command.results, {"page": "markdown", "json": "to_bytes"}[fault], fail)
    stem, before = "x" * (215 if fault == "long name" else 5), names(folder)
    assert main([*line, "--out", f"{stem}{'.csv' if line[0] == 'sweep' else '.keras'}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert {"long name": "a name is too long for a file in "}.get(fault, "this cannot be written down") in error
    assert names(folder) == before


def test_quiet_prints_the_results_only(folder, capsys):
    assert main([*DISTILL, "--student-alone", "teacher.keras", "--out", "s.keras", "--quiet"]) == 0
    out, error = capsys.readouterr()
    assert out.startswith("| model |")
    assert "epoch" not in out
    assert error == ""


def test_a_warning_is_a_line_among_the_others(folder, capsys, monkeypatch):
    def teacher_logits(teacher, split, *args, **keywords):
        warnings.warn("the teacher's logits are not kept", stacklevel=1)
        return teacher.predict(split.x, verbose=0)

    monkeypatch.setattr(run_command, "teacher_logits", teacher_logits)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main([*DISTILL, "--student-alone", "teacher.keras", "--out", "s.keras"]) == 0
    out, error = capsys.readouterr()
    assert "\nNote: the teacher's logits are not kept\n" in out
    assert error == ""


def test_logs_for_tensorboard(folder):
    assert main([*DISTILL, "--out", "s.keras", "--tensorboard", "logs"]) == 0
    assert names(folder / "logs") == ["alone", "distilled"]
    assert list((folder / "logs").rglob("events.out.tfevents.*"))


# --- sweep


def test_sweep_writes_table_picture_and_record(folder, capsys, monkeypatch):
    assert main([*SWEEP, *GRID, "--out", "sweep.csv"]) == 0
    assert {"sweep.csv", "sweep.png", "sweep.json", "sweep.md"} <= set(names(folder))
    assert not (folder / "sweep.csv.unfinished").exists()
    found = record("sweep.json")
    lines = [line.split(",") for line in (folder / "sweep.csv").read_text().splitlines()[1:]]
    validation = {(line[0], line[2]): float(line[3]) for line in lines}
    test = {(line[0], line[2]): float(line[4]) for line in lines}
    wanted = [[np.mean([validation[t, s] - validation["", s] for s in "01"])] for t in ("1.0", "8.0")]
    np.testing.assert_allclose(found["grid"]["validation_difference"], wanted)
    chosen = ("1.0", "8.0")[int(np.argmax(wanted))]
    assert (found["sweep"]["temperature"], found["sweep"]["alpha"]) == (float(chosen), 0.5)
    assert found["sweep"]["test_accuracy"]["mean"] == pytest.approx(np.mean([test[chosen, s] for s in "01"]))
    assert found["models"][0]["name"] == "teacher"
    with Image.open("sweep.png") as picture:
        assert picture.size[0] > 500
    shown = capsys.readouterr().out
    assert f"T = {float(chosen):g}, alpha = 0.5, chosen on validation data" in shown
    again = f"{shlex.join(['kdlab', *DISTILL])} --temperature {float(chosen):g} --alpha 0.5 --out student.keras"
    assert again in shown

    monkeypatch.setattr(runs, "train", lambda *args, **keywords: pytest.fail("trained"))
    monkeypatch.setattr(runs, "distill", lambda *args, **keywords: pytest.fail("trained"))
    assert main([*SWEEP, *GRID, "--out", "sweep.csv"]) == 0  # done: it is shown again

    assert main([*SWEEP, *GRID, "--out", "sweep.csv", "--learning-rate", "0.01"]) == 2
    assert "sweep.csv holds points of other data, models or settings; --force" in capsys.readouterr().err


# --- bad input: exit code 2, one line, nothing half-written, nothing lost


def break_data(name):
    """A data file that is wrong in the way of that name; returns its path."""
    path = Path({"folder": "folder", "loose": "loose"}.get(name, f"{name}.{'mat' if 'mat' in name else 'npz'}"))
    x, y = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 2
    train = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    if name == "no_mat":
        path.write_bytes(b"no MATLAB file")
    elif name == "cut_mat":
        emnist(path)
        path.write_bytes(path.read_bytes()[:300])
    elif name == "cut":
        np.savez(path, **train)
        path.write_bytes(path.read_bytes()[:700])
    elif name == "objects":
        np.savez(path, **{**train, "x_train": np.array([x[0], x[1, :4]], object)})
    elif name == "one_class":
        np.savez(path, **{**train, "y_train": np.zeros(20, int)})
    elif name == "loose":
        path.mkdir()
        Image.fromarray(x[0]).save(path / "a.png")
    return str(path)


@pytest.mark.parametrize("name", ["no_mat", "cut_mat", "cut", "objects", "one_class", "loose", "absent"])
def test_bad_data(folder, capsys, name):
    bad = break_data(name)
    before = names(folder)
    assert main(["train", "--data", bad, "--model", "mlp", "--out", "model.keras", "--quiet"]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert error.startswith("kdlab: ")
    assert bad in error
    assert names(folder) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--data", "letter", "--model", "mlp"], "--data must be one of 'digits', "),
        (
            ["train", "--data", "data.npz", "--model", "vgg"],
            "a model must be one of cnn, mlp, small-cnn, efficientnet or",
        ),
        (
            [*TRAIN, "--image-size", "9"],
            "--image-size scales the images of a folder",
        ),
        (["train", "--data", "data.npz", "--model", "cnn"], "cnn needs images of at least 10×10, got 8×8"),
        ([*DISTILL[:3], "--teacher", "wrong.keras", "--student", "mlp"], "wrong.keras is no .keras file"),
        ([*DISTILL[:3], "--teacher", "three.keras", "--student", "mlp"], "but the data have 10 classes"),
    ],
)
def test_bad_names_and_models(folder, capsys, arguments, said):
    Path("wrong.keras").write_bytes(b"no model")
    models.mlp((8, 8, 1), (4,), 3).save("three.keras")
    before = names(folder)
    assert main([*arguments, "--out", "model.keras"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert names(folder) == before


def test_a_teacher_of_other_classes_is_told_by_its_record(folder, capsys):
    theirs = record("teacher.json")
    Path("teacher.json").unlink()
    theirs["data"]["class_names"] = list("ABCDEFGHIJ")
    Path("teacher.json").write_text(json.dumps(theirs))
    assert main([*DISTILL, "--out", "s.keras"]) == 2
    said = "the teacher teacher.keras knows the classes A, B, C, D, E, F … (10), the data have 0, 1, 2, 3, 4, 5 … (10)"
    assert said in capsys.readouterr().err
    for odd in ("{}", "no JSON", '{"data": 3}'):
        Path("teacher.json").write_text(odd)
        assert knows_data("teacher", "teacher.keras", kdlab.load("data.npz")) is None


@pytest.mark.parametrize("told", [True, False])
def test_of_models_of_other_data_the_teacher_is_a_note_and_the_student_alone_refused(folder, capsys, told):
    theirs = record("teacher.json")
    theirs["data"]["fingerprint"] = "0" * 64
    Path("theirs.keras").symlink_to("teacher.keras")
    if told:
        Path("theirs.json").write_text(json.dumps(theirs))
    line = [*DISTILL[:3], "--teacher", "theirs.keras", *DISTILL[5:], "--out", "s.keras", "--quiet"]
    assert main([*line, "--student-alone", "teacher.keras"]) == 0
    (note,) = (note for note in record("s.json")["notes"] if "theirs.keras was trained on" in note)
    assert ("which may hold some of these test samples" in note) == told
    assert ("theirs.keras was trained on is not known" in note) == (not told)

    line = [*DISTILL, "--student-alone", "theirs.keras", "--out", "t.keras", "--quiet"]
    assert main(line) == (2 if told else 0)
    said = (
        "--student-alone theirs.keras was trained on other data, or on these read or split otherwise, and may have seen"
    )
    assert (said in capsys.readouterr().err) == told
    if not told:
        assert any("What theirs.keras was trained on is not known" in note for note in record("t.json")["notes"])


def test_the_student_alone_of_a_distillation_is_known_by_its_record(distilled, data):
    assert knows_data("student", distilled / "student.alone.keras", data) is True


def test_a_sweep_goes_on_only_where_the_record_beside_is_its_own(folder, capsys):
    line = [*SWEEP, "--temperatures", "2", "--alphas", "0.5", "--seeds", "1", "--out", "s.csv", "--quiet"]
    assert main(line) == 0
    assert main(line) == 0  # its own
    own = record("s.json")
    foreign = json.dumps({**own, "table": "other.csv"})
    for name, content in (("s.json", foreign), ("s.json", "{}"), ("s.md", "mine"), ("s.png", "mine")):
        for kind in ("json", "md", "png"):
            Path(f"s.{kind}").unlink(missing_ok=True)
        Path(name).write_text(content)
        capsys.readouterr()
        assert main(line) == 2
        assert f"{name} exists already, and is not of the sweep in s.csv: move it away" in capsys.readouterr().err
        assert Path(name).read_text() == content


def test_a_table_s_column_of_labels_is_named(folder, capsys):
    random = np.random.default_rng(0)
    rows = [f"{k % 3},{random.normal(k % 2):.4f},{'yn'[k % 2]}" for k in range(60)]
    Path("t.csv").write_text("\n".join(["class,age,target", *rows]))
    line = ["train", "--data", "t.csv", "--model", "mlp", *FAST, "--out", "t.keras", "--quiet"]
    assert main(line) == 2
    assert (
        "several columns that may be the labels, 'class', 'target': name the one that holds them (label, --label)"
        in (capsys.readouterr().err)
    )
    assert main([*line, "--label", "target"]) == 0
    found = record("t.json")
    assert (found["data"]["class_names"], found["data"]["shape"]) == (["n", "y"], [2])
    assert found["settings"]["label"] == "target"
    assert main([*TRAIN, *FAST, "--label", "target", "--out", "m.keras"]) == 2
    assert "got label" in capsys.readouterr().err


def test_the_record_of_a_model_whose_name_ends_in_alone_is_its_own(folder, data):
    for name in ("m.alone.json", "m.json"):
        theirs = record("teacher.json")
        theirs["data"]["fingerprint"] = theirs["data"]["fingerprint"] if name == "m.alone.json" else "0" * 64
        Path(name).write_text(json.dumps(theirs))
    assert knows_data("teacher", "m.alone.keras", data) is True
    Path("m.alone.json").unlink()
    assert knows_data("teacher", "m.alone.keras", data) is False


def test_a_folder_with_the_name_of_a_data_set_is_a_question(folder, capsys):
    make_folder(folder / "digits", "L")
    assert main(["train", "--data", "digits", "--model", "mlp", *FAST, "--out", "m.keras"]) == 2
    error = capsys.readouterr().err
    assert "--data digits is the name of a data set, and here is a file or folder of that name" in error
    path = error.partition("for that write --data ")[2].partition(",")[0]
    assert main(["train", "--data", path, "--image-size", "8", "--model", "mlp", *FAST, "--out", "m.keras"]) == 0
    assert record("m.json")["data"]["class_names"] == ["a", "b"]


def test_classes_with_commas_in_their_names_are_given_in_quotes_and_named_so(folder, capsys):
    classes = ("duct, tubule", "leukocytes", "mucus")
    make_folder(folder / "tissue", "L", classes)
    line = ["--data", "tissue", "--image-size", "8", "--epochs", "1"]
    head, levels = keras.layers.Dense(3), np.array([0.175, 0.41, 0.645])  # how bright a class is
    knows = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.GlobalAveragePooling2D(), head])
    head.set_weights([100 * levels[None], -50 * levels**2])
    knows.save("t.keras")
    data = kdlab.load("tissue", image_size=8)
    turned = adapt(keras.saving.load_model("t.keras"), Inputs(classes=(1, 2, 0)))
    turned.save("turned.keras")
    line = ["distill", *line, "--teacher", "turned.keras", "--student", "mlp", "--out", "s.keras"]
    assert main(line) == 2
    command = capsys.readouterr().err.partition("would be 100 %: ")[2]
    assert """--teacher-classes 'leukocytes,mucus,"duct, tubule"'""" in command
    assert main(shlex.split(command)[1:]) == 0
    right = (predict("t.keras", data.test.x).argmax(axis=1) == data.test.y).sum()
    assert record("s.json")["models"][0]["test_correct"] == right


def test_an_existing_output_is_replaced_only_when_forced_and_only_when_all_is_done(folder, capsys, monkeypatch):
    line = [*TRAIN, *FAST, "--out", "model.keras"]
    Path("model.keras").write_text("mine")
    assert main(line) == 2
    assert "model.keras exists already; --force" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(run_command, "measure", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt()))
        assert main([*line, "--force"]) == 130
    assert Path("model.keras").read_text() == "mine"
    assert main([*line, "--force"]) == 0
    assert keras.saving.load_model("model.keras").count_params() > 0
    assert not Path("model.keras.unfinished").exists()


def test_divergence_is_one_line_and_leaves_nothing(folder, capsys):
    line = [*TRAIN, *FAST, "--out", "model.keras"]
    before = names(folder)
    assert main([*line, "--learning-rate", "1e30", "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("kdlab: training diverged in epoch ")
    assert error.count("\n") == 1
    assert names(folder) == before


@pytest.mark.parametrize("limit", [1_000, 100_000, 300_000])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(folder, capsys, file_size_limit, limit):
    """The model needs 150 kB, the state of its training three times as much."""
    before = {name: Path(name).read_bytes() for name in names(folder)}
    file_size_limit(limit)
    code = main([*TRAIN, *FAST, "--out", "model.keras", "--quiet"])
    error = capsys.readouterr().err
    assert code == 2
    assert error.startswith("kdlab: ")
    assert error.count("\n") == 1
    assert "space" in error
    assert {name: Path(name).read_bytes() for name in names(folder)} == before


# --- stopped and killed


def test_stopped_in_the_second_training_the_first_is_not_repeated(folder, distilled, capsys, monkeypatch):
    line = [*DISTILL, "--temperature", "3", "--lambda", "0.5", "--out", "student.keras"]
    with monkeypatch.context() as patch:
        patch.setattr(runs, "distill", lambda *args, **keywords: (_ for _ in ()).throw(KeyboardInterrupt()))
        assert main(line) == 130
    assert capsys.readouterr().err == "kdlab: stopped; repeat the command to resume\n"
    assert not list(folder.glob("student.*[!d]"))
    other = [*DISTILL, "--temperature", "4", "--lambda", "0.5", "--out", "student.keras"]
    assert main(other) == 2
    said = capsys.readouterr().err
    assert "student.keras.unfinished holds an unfinished run that differs in temperature, alpha" in said
    monkeypatch.setattr(runs, "train", lambda *args, **keywords: pytest.fail("trained again"))
    assert main(line) == 0
    assert not Path("student.keras.unfinished").exists()
    for name in ("student.keras", "student.alone.keras"):
        assert_same_weights(name, keras.saving.load_model(distilled / name))
    ours, theirs = record("student.json"), record(distilled / "student.json")
    for name in ("student alone", "student distilled"):
        assert ours["training"][name]["history"] == theirs["training"][name]["history"]
    assert ours["comparison"] == theirs["comparison"]


def test_stopped_as_the_files_are_put_in_place_the_next_call_does_that_alone(folder, capsys, monkeypatch):
    line = [*TRAIN, *FAST, "--out", "model.keras"]
    real = os.replace

    def stop(source, target):
        if Path(target) == Path("model.json"):
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stop)
        assert main(line) == 130
    assert not Path("model.keras").exists()
    monkeypatch.setattr(run_command, "load", lambda *args, **keywords: pytest.fail("begun again"))
    capsys.readouterr()
    assert main(line) == 0
    assert capsys.readouterr().out.startswith("| model |")
    assert {"model.json", "model.keras", "model.md"} <= set(names(folder))
    assert not Path("model.keras.unfinished").exists()
    assert main(line) == 2  # it exists


def kill_when(ready, line, launch):
    """Start the command in a process of its own and kill it as soon as ``ready()``."""
    process = launch(f"from kdlab.commands.command_line import main; main({line!r})")
    deadline = time.monotonic() + 120
    while not ready() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_killed_in_an_epoch_it_comes_to_the_same_weights(folder, data, capsys, launch):
    line = [*TRAIN, "--out", "model.keras", "--epochs", "8", "--patience", "8", "--batch-size", "64"]
    work = folder / "model.keras.unfinished"

    def some_epochs():
        state = work / "model.keras.resume"
        try:
            return json.loads(str(np.load(state)["head"]))["values"]["best_epoch"] > 2
        except (OSError, ValueError, KeyError, EOFError):
            return False

    kill_when(some_epochs, line, launch)
    assert not (folder / "model.keras").exists()
    assert main(line) == 0
    shown = capsys.readouterr().out
    assert "epoch 8 of 8" in shown
    assert "epoch 2 of 8" not in shown
    whole = runs.train(models.build("mlp", data), data, folder / "whole.keras", runs.Settings(epochs=8, patience=8))
    assert_same_weights("model.keras", whole.model)
    assert record("model.json")["training"]["model"]["history"] == whole.history


def test_a_sweep_that_is_killed_keeps_its_points_and_goes_on(folder, launch):
    line = [*SWEEP, *GRID, "--temperatures", "8", "--out", "sweep.csv"]
    table = folder / "sweep.csv"
    kill_when(lambda: table.exists() and table.read_text().count("\n") >= 2, line, launch)
    kept = table.read_text()
    assert kept.count("\n") in (2, 3)
    assert main(line) == 0
    assert table.read_text().startswith(kept)
    assert table.read_text().count("\n") == 1 + 4
    assert not (folder / "sweep.csv.unfinished").exists()
