"""``kdlab train``, ``distill`` and ``sweep`` on small files of every kind: what they write is right, whatever happens."""

import contextlib
import dataclasses
import io
import json
import os
import shlex
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from scipy.stats import binomtest

import kdlab
from kdlab import models
from kdlab.commands import run_command
from kdlab.commands.command_line import main
from kdlab.datasets.class_folders import printable
from kdlab.foreign_models import Inputs, adapt
from kdlab.runs import runs
from kdlab.runs.record import describe_run, knows_data
from kdlab.softening import softmax

SETTINGS = runs.Settings(epochs=2, batch_size=32)
FAST = ["--epochs", "2", "--batch-size", "32"]
TRAIN = ["train", "--data", "data.npz", "--model", "mlp"]
DISTILL = ["distill", "--data", "data.npz", "--teacher", "teacher.keras", "--student", "mlp", *FAST]
SWEEP = ["sweep", "--data", "data.npz", "--teacher", "teacher.keras", "--student", "mlp", *FAST]
GRID = ["--temperatures", "1,8", "--alphas", "0.5", "--seeds", "1"]


def call_in(folder, line):
    """Run a command that must succeed in a folder, and keep what it shows in a file there, named for the command."""
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(shown):
        patch.chdir(folder)
        patch.setenv("KDLAB_CACHE", str(folder / "cache"))
        assert main(line) == 0
    (folder / f"{line[0]}.txt").write_text(shown.getvalue(), "utf-8")


@pytest.fixture(scope="module")
def shared(tmp_path_factory, write_digits):
    """A folder with data.npz (300 and 100 digits), a teacher trained on it by the command, and a cache."""
    folder = tmp_path_factory.mktemp("commands")
    write_digits(folder)
    call_in(folder, [*TRAIN, "--epochs", "6", "--batch-size", "64", "--out", "teacher.keras", "--seed", "7"])
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
def trainings():
    """What the trainings of ``distilled`` were called with, and the runs that they came to: {name: (arguments, run)}."""
    return {}


@pytest.fixture(scope="module")
def distilled(shared, trainings):
    """The folder of a distillation by the command, with the tutorial's own weight."""

    def seen(train):
        def call(model, *args, **keywords):
            weights = model.get_weights()
            run = train(model, *args, **keywords)
            trainings[train.__name__] = SimpleNamespace(weights=weights, args=args, run=run, **keywords)
            return run

        return call

    with pytest.MonkeyPatch.context() as patch:
        for train in (runs.train, runs.distill):
            patch.setattr(runs, train.__name__, seen(train))
        line = [*DISTILL, "--temperature", "3", "--lambda", "0.5", "--out", "student.keras", "--tensorboard", "logs"]
        call_in(shared, line)
    return shared


@pytest.fixture(scope="module")
def swept(shared, tmp_path_factory):
    """The folder of a sweep by the command, at two temperatures."""
    folder = tmp_path_factory.mktemp("swept")
    for name in ("data.npz", "teacher.keras", "teacher.json"):
        (folder / name).symlink_to(shared / name)
    call_in(folder, [*SWEEP, *GRID, "--out", "sweep.csv"])
    return folder


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


def knows_brightness(shape, levels):
    """Return a model that tells classes by how bright their images are."""
    head = keras.layers.Dense(len(levels))
    model = keras.Sequential([keras.Input(shape), keras.layers.GlobalAveragePooling2D(), head])
    head.set_weights([100 * levels * np.ones((shape[-1], 1)) / shape[-1], -50 * levels**2])
    return model


@pytest.mark.parametrize("grey", ["folder", "npz"])
def test_a_teacher_of_colour_images_teaches_grey_ones(folder, untrained, capsys, grey):
    if grey == "folder":
        source, size = str(make_folder(folder / "grey", "L")), ["--image-size", "8"]
        knows_brightness((8, 8, 3), np.array([0.176, 0.411])).save("rgb.keras")
    else:
        source, size = "data.npz", []
        models.mlp((8, 8, 3), (), 10, seed=0).save("rgb.keras")
    line = [
        "distill",
        "--data",
        source,
        *size,
        "--teacher",
        "rgb.keras",
        "--student",
        "mlp",
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


def test_a_teacher_of_grey_images_teaches_colour_ones_and_others_are_refused(folder, untrained, capsys):
    source = str(make_folder(folder / "colour", "RGB"))
    models.mlp((8, 8, 1), (), 2, seed=0).save("grey.keras")
    line = [
        "distill",
        "--teacher",
        "grey.keras",
        "--student",
        "mlp",
        "--weak-teacher",
        "--quiet",
        "--out",
        "student.keras",
    ]
    assert main([*line, "--data", source, "--image-size", "8", "--channels", "1"]) == 0
    assert record("student.json")["data"]["shape"] == [8, 8, 1]
    capsys.readouterr()
    assert main([*line[:-1], "b.keras", "--data", "digits", "--channels", "3"]) == 2
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


def test_distill_trains_both_students_of_the_same_beginning_and_writes_nothing_else(distilled, trainings, data):
    alone, student = trainings["train"], trainings["distill"]
    assert student.temperature == 3.0
    assert student.alpha == pytest.approx(1 / (1 + 0.5 * 3**2))  # the two-headed student's lambda in our weights
    for training, part, file in ((alone, "alone", "student.alone.keras"), (student, "distilled", "student.keras")):
        assert training.settings == dataclasses.replace(SETTINGS, tensorboard=Path("logs", part))
        for weight, expected in zip(training.weights, models.build("mlp", data).get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)
        assert_same_weights(distilled / file, training.run.model)
        logs = {file.parent.name for file in (distilled / "logs" / part).rglob("events.out.tfevents.*")}
        assert logs == {"train", "validation"}
    logits, data_of_student = student.args
    np.testing.assert_allclose(logits, predict(distilled / "teacher.keras", data.train.x), atol=1e-5)
    assert data_of_student.fingerprint == alone.args[0].fingerprint == data.fingerprint
    written = ["student.alone.keras", "student.json", "student.keras", "student.md"]
    others = ["cache", "data.npz", "distill.txt", "logs", "teacher.json", "teacher.keras", "teacher.md", "train.txt"]
    assert names(distilled) == sorted(written + others)


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


def test_a_student_alone_that_is_given_is_not_trained_again_and_quiet_prints_the_results_only(
    folder, monkeypatch, capsys
):
    monkeypatch.setattr(runs, "train", lambda *args, **keywords: pytest.fail("trained"))
    line = [*DISTILL, "--alpha", "0.5", "--student-alone", "teacher.keras", "--out", "s.keras", "--quiet"]
    assert main(line) == 0
    out, error = capsys.readouterr()
    assert out.startswith("| model |")
    assert "The student alone is teacher.keras" in out
    assert not any(word in out for word in ("Reading", "Judging", "Measuring", "epoch"))
    assert error == ""
    found = record("s.json")
    assert found["models"][0]["test_correct"] == found["models"][1]["test_correct"]
    assert not Path("s.alone.keras").exists()


def test_several_teachers_are_an_ensemble(folder, data):
    other = keras.saving.load_model("teacher.keras")
    other.set_weights([weight + 0.05 * np.cos(99 * weight) for weight in other.get_weights()])
    other.save("other.keras")
    line = [*DISTILL, "--teacher", "other.keras", "--student-alone", "other.keras"]
    assert main([*line, "--out", "s.keras"]) == 0
    row, alone, _ = record("s.json")["models"]
    p = np.mean([softmax(predict(name, data.test.x)) for name in ("teacher.keras", "other.keras")], axis=0)
    assert row["test_correct"] == (p.argmax(axis=1) == data.test.y).sum() != alone["test_correct"]
    assert row["file"] == "teacher.keras, other.keras"
    assert row["parameters"] == 2 * other.count_params()


@pytest.mark.parametrize("command", ["train", "distill", "sweep"])
def test_every_run_begins_with_the_classes_and_their_numbers_of_images(distilled, swept, data, command):
    folder = swept if command == "sweep" else distilled
    first, said, *rest = (folder / f"{command}.txt").read_text("utf-8").splitlines()
    assert first == "Reading data.npz"
    labels = [getattr(data, name).y for name in ("train", "validation", "test")]
    numbers = [f"{c} {' + '.join(str((y == c).sum()) for y in labels)}" for c in range(10)]
    assert said == f"10 classes, samples to train on + validate with + test on: {', '.join(numbers)}"
    last = 6 if command == "train" else 2
    assert any(f"epoch {last} of {last}" in line for line in rest)


def scans(*folders):
    """Folders of eight small images each."""
    for number, name in enumerate(folders):
        Path("scans", name).mkdir(parents=True)
        for k in range(8):
            Image.new("L", (9, 9), 20 * number + k).save(Path("scans", name, f"{k}.png"))


def test_classes_are_chosen_and_what_is_left_out_is_said_before_and_after(folder, untrained, capsys):
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


def test_names_of_any_bytes_can_be_trained_on_and_written_down(folder, capsys, request):
    name = b"m\xe9ningiome \xff a\nb " + "\U0001f9e0 $x_$ |".encode()
    images = bytes_in_names(name)
    Path("scans").rename(images)
    common = ["--data", images, "--image-size", "8", "--epochs", "1"]
    teacher, student, table = (f"{images} {what}" for what in ("t.keras", "s.keras", "w.csv"))
    assert main(["train", *common, "--model", "mlp", "--out", teacher]) == 0
    request.getfixturevalue("untrained")  # One training writes all the kinds of files that the others write.
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
def test_a_terminal_that_has_not_all_signs_is_no_reason_to_fail(folder, untrained, monkeypatch, encoding):
    scans("腫瘍", "普通")
    shown = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", shown)
    assert (
        main(["train", "--data", "scans", "--image-size", "8", "--model", "mlp", "--epochs", "1", "--out", "a.keras"])
        == 0
    )
    shown.flush()
    assert r"\u816b\u760d 5 + 1 + 2" in shown.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        *((TRAIN, fault) for fault in ("page", "long name")),
        (DISTILL, "json"),
        *(([*SWEEP, *GRID], fault) for fault in ("page", "json", "long name")),
    ],
)
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


def test_a_warning_is_a_line_among_the_others(folder, capsys, monkeypatch):
    def teacher_logits(*args, **keywords):
        warnings.warn("the teacher's logits are not kept", stacklevel=1)
        raise KeyboardInterrupt  # the rest of the run says nothing of it

    monkeypatch.setattr(run_command, "teacher_logits", teacher_logits)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main([*DISTILL, "--student-alone", "teacher.keras", "--out", "s.keras"]) == 130
    out, error = capsys.readouterr()
    assert "\nNote: the teacher's logits are not kept\n" in out
    assert error == "kdlab: stopped; repeat the command to resume\n"


# --- sweep


def test_sweep_writes_table_picture_and_record(swept):
    written = ["sweep.csv", "sweep.json", "sweep.md", "sweep.png"]
    assert names(swept) == sorted([*written, "cache", "data.npz", "sweep.txt", "teacher.json", "teacher.keras"])
    found = record(swept / "sweep.json")
    rows = [line.split(",") for line in (swept / "sweep.csv").read_text().splitlines()[1:]]
    validation, test = ({row[0]: float(row[k]) for row in rows} for k in (3, 4))
    wanted = [[validation[t] - validation[""]] for t in ("1.0", "8.0")]
    np.testing.assert_allclose(found["grid"]["validation_difference"], wanted)
    chosen = ("1.0", "8.0")[int(np.argmax(wanted))]
    assert (found["sweep"]["temperature"], found["sweep"]["alpha"]) == (float(chosen), 0.5)
    assert found["sweep"]["test_accuracy"]["mean"] == pytest.approx(test[chosen])
    assert found["models"][0]["name"] == "teacher"
    with Image.open(swept / "sweep.png") as picture:
        assert picture.size[0] > 500
    shown = (swept / "sweep.txt").read_text("utf-8")
    assert f"T = {float(chosen):g}, alpha = 0.5, chosen on validation data" in shown
    again = f"{shlex.join(['kdlab', *DISTILL])} --temperature {float(chosen):g} --alpha 0.5 --out student.keras"
    assert again in shown


@pytest.fixture
def copy_of_swept(folder, swept):
    """The folder to work in, with the files of a sweep that is done."""
    for name in ("sweep.csv", "sweep.json", "sweep.md", "sweep.png"):
        (folder / name).write_bytes((swept / name).read_bytes())


@pytest.mark.usefixtures("copy_of_swept")
def test_a_sweep_that_is_done_is_shown_again_and_another_is_refused(capsys, monkeypatch):
    monkeypatch.setattr(runs, "train", lambda *args, **keywords: pytest.fail("trained"))
    monkeypatch.setattr(runs, "distill", lambda *args, **keywords: pytest.fail("trained"))
    assert main([*SWEEP, *GRID, "--out", "sweep.csv"]) == 0
    assert main([*SWEEP, *GRID, "--out", "sweep.csv", "--learning-rate", "0.01"]) == 2
    assert "sweep.csv holds points of other data, models or settings; --force" in capsys.readouterr().err


@pytest.mark.usefixtures("copy_of_swept")
def test_a_sweep_goes_on_only_where_the_record_beside_is_its_own(capsys):
    line = [*SWEEP, *GRID, "--out", "sweep.csv", "--quiet"]
    foreign = json.dumps({**record("sweep.json"), "table": "other.csv"})
    for name, content in (("json", foreign), ("json", "{}"), ("md", "mine"), ("png", "mine")):
        for kind in ("json", "md", "png"):
            Path(f"sweep.{kind}").unlink(missing_ok=True)
        Path(f"sweep.{name}").write_text(content)
        capsys.readouterr()
        assert main(line) == 2
        said = f"sweep.{name} exists already, and is not of the sweep in sweep.csv: move it away"
        assert said in capsys.readouterr().err
        assert Path(f"sweep.{name}").read_text() == content


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
def test_of_models_of_other_data_the_teacher_is_a_note_and_the_student_alone_refused(folder, untrained, capsys, told):
    theirs = record("teacher.json")
    theirs["data"]["fingerprint"] = "0" * 64
    Path("theirs.keras").symlink_to("teacher.keras")
    if told:
        Path("theirs.json").write_text(json.dumps(theirs))
    line = [*DISTILL[:3], "--teacher", "theirs.keras", *DISTILL[5:], "--quiet"]
    assert main([*line, "--student-alone", "teacher.keras" if told else "theirs.keras", "--out", "s.keras"]) == 0
    notes = [note for note in record("s.json")["notes"] if "theirs.keras was trained on" in note]
    if not told:
        assert [note.partition("theirs.keras was trained on is not known")[0] for note in notes] == ["What "] * 2
        return
    (note,) = notes
    assert "which may hold some of these test samples" in note
    assert main([*DISTILL, "--student-alone", "theirs.keras", "--out", "t.keras", "--quiet"]) == 2
    said = (
        "--student-alone theirs.keras was trained on other data, or on these read or split otherwise, and may have seen"
    )
    assert said in capsys.readouterr().err


def test_the_student_alone_of_a_distillation_is_known_by_its_record(distilled, data):
    assert knows_data("student", distilled / "student.alone.keras", data) is True


def test_a_table_s_column_of_labels_is_named(folder, untrained, capsys):
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


def test_a_folder_with_the_name_of_a_data_set_is_a_question(folder, untrained, capsys):
    make_folder(folder / "digits", "L")
    assert main(["train", "--data", "digits", "--model", "mlp", *FAST, "--out", "m.keras"]) == 2
    error = capsys.readouterr().err
    assert "--data digits is the name of a data set, and here is a file or folder of that name" in error
    path = error.partition("for that write --data ")[2].partition(",")[0]
    assert main(["train", "--data", path, "--image-size", "8", "--model", "mlp", *FAST, "--out", "m.keras"]) == 0
    assert record("m.json")["data"]["class_names"] == ["a", "b"]


def test_classes_with_commas_in_their_names_are_given_in_quotes_and_named_so(folder, untrained, capsys):
    classes = ("duct, tubule", "leukocytes", "mucus")
    make_folder(folder / "tissue", "L", classes)
    line = ["--data", "tissue", "--image-size", "8", "--epochs", "1"]
    knows_brightness((8, 8, 1), np.array([0.175, 0.41, 0.645])).save("t.keras")
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


def test_an_existing_output_is_replaced_only_when_forced_and_only_when_all_is_done(
    folder, untrained, capsys, monkeypatch
):
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


def test_stopped_in_the_second_training_the_first_is_not_repeated(folder, untrained, capsys, monkeypatch):
    line = [*DISTILL, "--temperature", "3", "--lambda", "0.5", "--out", "student.keras"]
    first = []
    train = runs.train
    monkeypatch.setattr(runs, "train", lambda *args, **keywords: first.append(train(*args, **keywords)) or first[-1])
    with monkeypatch.context() as patch:
        patch.setattr(runs, "distill", lambda *args, **keywords: (_ for _ in ()).throw(KeyboardInterrupt()))
        assert main(line) == 130
    assert capsys.readouterr().err == "kdlab: stopped; repeat the command to resume\n"
    assert not list(folder.glob("student.*[!d]"))
    other = [*DISTILL, "--temperature", "4", "--lambda", "0.5", "--out", "student.keras"]
    assert main(other) == 2
    said = capsys.readouterr().err
    assert "student.keras.unfinished holds an unfinished run that differs in temperature, alpha" in said
    assert main(line) == 0
    assert not Path("student.keras.unfinished").exists()
    (run,) = first
    assert_same_weights("student.alone.keras", run.model)
    training = record("student.json")["training"]
    assert list(training) == ["student alone", "student distilled"]
    assert training["student alone"] == describe_run(run)


def test_stopped_as_the_files_are_put_in_place_the_next_call_does_that_alone(folder, untrained, capsys, monkeypatch):
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
