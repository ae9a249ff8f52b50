"""``kdlab`` with models made elsewhere: right, wrong and missing options, formats of files, and the way into export."""

import json
import re

import keras
import numpy as np
import pytest
from PIL import Image

from kdlab.commands.command_line import main

layers = keras.layers
LEVELS = np.array([0.1, 0.5, 0.9])
CLASSES = ("bright", "dark", "mid")
BRIGHTNESS = dict(zip(CLASSES, (0.9, 0.1, 0.5), strict=True))
FAST = ["--data", "images", "--student", "mlp", "--epochs", "1", "--quiet", "--out", "student.keras"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with class folders of 30 images 6×6 each: their brightness, most of it red, is the class's."""
    rng = np.random.default_rng(0)
    for name, level in BRIGHTNESS.items():
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(30):
            pixels = 255 * (level + rng.normal(0, 0.03, (6, 6, 3))) * [1.0, 0.6, 0.2]
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / "images" / name / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path


def teacher(path, *before, activation=None, classes=CLASSES):
    levels = np.array([BRIGHTNESS[name] for name in classes])
    head = layers.Dense(3, activation=activation)
    model = keras.Sequential([keras.Input((6, 6, 3)), *before, layers.GlobalAveragePooling2D(), head])
    head.set_weights([np.array([[1.0], [0.0], [0.0]]) * 2 * levels * 50, -(levels**2) * 50])
    model.save(path)
    return model


def normalized():
    return layers.Normalization(mean=[70.0] * 3, variance=[1.0] * 3)


def record(path="student.json"):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


@pytest.mark.parametrize(
    ("before", "activation", "said"),
    [
        (
            lambda: [layers.Rescaling(1 / 255)],
            "softmax",
            "teacher.keras gets pixels from 0 to 255, as its first layers say.",
        ),
        (
            lambda: [layers.Normalization(mean=[70.0] * 3, variance=[1.0] * 3), layers.Rescaling(1 / 255, 70 / 255)],
            None,
            "from 0 to 255",
        ),
    ],
)
def test_a_teacher_that_says_its_range_teaches_as_it_knows(folder, before, activation, said):
    teacher("teacher.keras", *before(), activation=activation)
    assert main(["distill", "--teacher", "teacher.keras", *FAST]) == 0
    found = record()
    assert found["models"][0]["test_accuracy"] == 1
    assert found["settings"]["teacher_inputs"]["teacher.keras"]["pixel_range"] == [0, 255]
    assert found["settings"]["image_size"] == 6  # the teacher's own
    notes = " ".join(found["notes"])
    assert said in notes
    assert ("The softmax at the end of teacher.keras is taken off." in notes) == (activation == "softmax")


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: teacher("teacher.keras", layers.Rescaling(0.5, offset=0.5)), ["--pixel-range", "-1,1"]),
        (lambda: teacher("teacher.keras", classes=("dark", "mid", "bright")), ["--teacher-classes", "dark,mid,bright"]),
    ],
)
def test_a_teacher_at_chance_stops_the_run_and_the_option_that_it_names_mends_it(folder, capsys, make, option):
    make()
    line = ["distill", "--teacher", "teacher.keras", *FAST]
    assert main(line) == 2
    error = capsys.readouterr().err
    assert error.startswith("kdlab: The teacher teacher.keras is at chance level: balanced accuracy ")
    assert f"With {' '.join(option)} it would be right about 100 %" in error
    assert not (folder / "student.keras").exists()
    option = [f"--pixel-range={option[1]}"] if option[0] == "--pixel-range" else option
    assert main([*line, *option]) == 0
    assert record()["models"][0]["test_accuracy"] == 1


def test_one_of_an_ensemble_at_chance_is_named_and_may_be_let_pass(folder, capsys):
    teacher("good.keras")
    model = keras.Sequential([keras.Input((6, 6, 3)), layers.Flatten(), layers.Dense(3, kernel_initializer="zeros")])
    model.save("blank.keras")
    line = ["distill", "--teacher", "good.keras", "--teacher", "blank.keras", *FAST]
    assert main(line) == 2
    error = capsys.readouterr().err
    assert "The teacher blank.keras is at chance level" in error
    assert "--weak-teacher goes on" in error
    assert main([*line, "--weak-teacher"]) == 0
    assert any("blank.keras is at chance level" in note for note in record()["notes"])


def test_the_range_goes_on_into_export(folder, capsys):
    teacher("mine.keras", layers.Rescaling(1 / 255), activation="softmax")
    line = ["export", "mine.keras", "--data", "images", "--to", "tflite-int8", "--out", "mine.tflite"]
    assert main(line) == 0
    out = capsys.readouterr().out
    assert "The softmax at the end of mine.keras is taken off: the file returns logits." in out
    accuracies = next(text for text in out.splitlines() if "test accuracy" in text)
    assert accuracies.count("100.00 % (") == 3
    contract = record("mine.tflite.json")
    assert contract["input"]["range"] == [0, 255]
    assert contract["input"]["scale"] == pytest.approx(1, abs=0.15)  # its values are pixels
    assert contract["output"]["class_names"] == list(CLASSES)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("absent.keras", "there is no file absent.keras"),
        ("nowhere/absent.keras", "there is no file nowhere/absent.keras: there is no folder nowhere"),
        ("old.h5", "python -c .*load_model\\('old.h5', compile=False\\).save\\('old.keras'\\)"),
        ("saved", "saved is a TensorFlow SavedModel, .* save it with model.save\\('model.keras'\\)"),
        ("images", "images is a folder, not a .keras file"),
        ("cut.keras", "cut.keras is no .keras file, or only a part of one"),
    ],
)
def test_what_a_model_cannot_be_read_from_is_told_apart(folder, capsys, file, said):
    (folder / "old.h5").write_bytes(b"\x89HDF")
    (folder / "saved").mkdir()
    (folder / "saved" / "saved_model.pb").write_bytes(b"")
    (folder / "cut.keras").write_bytes(b"PK\3\4")
    try:
        code = main(["distill", "--teacher", file, *FAST])
    except SystemExit as end:  # before anything is loaded
        code = end.code
    error = capsys.readouterr().err
    assert code == 2
    assert re.search(said, error), error
    assert error.count("\n") == 1
