"""``kdlab`` with models made elsewhere: right, wrong and missing options, formats of files, and the way into export."""

import json
import re
import shlex

import keras
import numpy as np
import pytest
from PIL import Image

from kdlab.commands.command_line import main
from kdlab.foreign_models import Inputs, adapt
from kdlab.runs import runs

layers = keras.layers
LEVELS = np.array([0.1, 0.5, 0.9])
CLASSES = ("bright", "dark", "mid")
BRIGHTNESS = dict(zip(CLASSES, (0.9, 0.1, 0.5), strict=True))
FAST = ["--data", "images", "--student", "mlp", "--epochs", "1", "--quiet", "--out", "student.keras"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Class folders of 30 images 6×6 each: their brightness, most of it red, is the class's."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name, level in BRIGHTNESS.items():
        (folder / name).mkdir()
        for number in range(30):
            pixels = 255 * (level + rng.normal(0, 0.03, (6, 6, 3))) * [1.0, 0.6, 0.2]
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def folder(images, tmp_path, monkeypatch):
    """A folder to work in, with those images."""
    (tmp_path / "images").symlink_to(images)
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
def test_a_teacher_that_says_its_range_teaches_as_it_knows(folder, untrained, before, activation, said):
    teacher("teacher.keras", *before(), activation=activation)
    assert main(["distill", "--teacher", "teacher.keras", *FAST]) == 0
    found = record()
    assert found["models"][0]["test_accuracy"] == 1
    assert found["settings"]["teacher_inputs"]["teacher.keras"]["pixel_range"] == [0, 255]
    assert found["settings"]["image_size"] == 6  # the teacher's own
    notes = " ".join(found["notes"])
    assert said in notes
    assert ("The softmax at the end of teacher.keras is taken off." in notes) == (activation == "softmax")


def run_the_command_after(colon, text):
    """Run the command that a message ends in, after these words; return its exit code."""
    words = shlex.split(text.partition(colon)[2])
    assert words[0] == "kdlab"
    return main(words[1:])


@pytest.mark.parametrize(
    ("make", "given", "said"),
    [
        (
            lambda: teacher("teacher.keras", layers.Rescaling(0.5, offset=0.5), classes=("mid", "bright", "dark")),
            [],
            "With --pixel-range=-1,1 --teacher-classes mid,bright,dark",
        ),
        # Right without the options that were given, or with others.
        (
            lambda: teacher("teacher.keras"),
            ["--pixel-range", "0,255", "--colour-order", "bgr", "--teacher-classes", "mid,bright,dark"],
            "Without --pixel-range 0,255 --colour-order bgr --teacher-classes mid,bright,dark",
        ),
        (
            lambda: teacher("teacher.keras", layers.Rescaling(1 / 255)),
            ["--pixel-range=0,1"],
            "Without --pixel-range 0,1",
        ),
        (
            lambda: teacher("teacher.keras", layers.Rescaling(0.5, offset=0.5), classes=("dark", "mid", "bright")),
            ["--pixel-range", "0,255", "--teacher-classes", "mid,bright,dark"],
            "With --pixel-range=-1,1 --teacher-classes dark,mid,bright",
        ),
        # One of two options is right, and stays.
        (
            lambda: teacher("teacher.keras", layers.Rescaling(0.5, offset=0.5), classes=("dark", "mid", "bright")),
            ["--teacher-classes=dark,mid,bright", "--colour-order", "bgr"],
            "With --pixel-range=-1,1 and without --colour-order bgr",
        ),
    ],
)
def test_a_teacher_at_chance_stops_the_run_and_the_command_that_it_names_mends_it(
    folder, capsys, monkeypatch, make, given, said
):
    make()
    assert main(["distill", "--teacher", "teacher.keras", *FAST, *given]) == 2
    error = capsys.readouterr().err
    assert error.startswith("kdlab: The teacher teacher.keras is at chance level: balanced accuracy ")
    assert f". {said} its balanced accuracy would be 100 %: kdlab distill " in error
    assert not (folder / "student.keras").exists()
    monkeypatch.setattr(runs, "train", lambda *args, **how: (_ for _ in ()).throw(KeyboardInterrupt()))
    assert run_the_command_after("would be 100 %: ", error) == 130  # the teacher is judged, and training begins
    if not given:  # so written, argparse would take the value for an option
        line = shlex.split(error.partition("would be 100 %: ")[2].replace("--pixel-range=-1,1", "--pixel-range -1,1"))
        assert main(line[1:]) == 130


def test_a_teacher_is_trained_further_on_this_run_s_own_split(folder, untrained):
    inputs = keras.Input((6, 6, 3))
    head = layers.Dense(2)(layers.Flatten()(layers.Rescaling(0.5, offset=0.5)(inputs)))
    keras.Model(inputs, head).save("teacher.keras")
    splits = ["--test-split", "0.5", "--validation-split=0.3", "--classes", "dark,mid"]
    line = ["--pixel-range", "-1,1", "--seeds", "1", "--weak-teacher", "--temperature", "2", *FAST, *splits]
    assert main(["distill", "--teacher", "teacher.keras", *line]) == 0
    found = record()
    (note,) = (note for note in found["notes"] if "was trained on is not known" in note)
    assert run_the_command_after("training split alone: ", note) == 0
    again = record("again.json")
    assert again["data"]["fingerprint"] == found["data"]["fingerprint"]
    assert again["settings"]["model"] == "teacher.keras"


def test_one_of_an_ensemble_at_chance_is_named_and_may_be_let_pass(folder, untrained, capsys):
    teacher("good.keras")
    model = keras.Sequential([keras.Input((6, 6, 3)), layers.Flatten(), layers.Dense(3, kernel_initializer="zeros")])
    model.save("blank.keras")
    line = ["distill", "--teacher", "good.keras", "--teacher", "blank.keras", *FAST]
    assert main(line) == 2
    error = capsys.readouterr().err
    assert "The teacher blank.keras is at chance level" in error
    assert run_the_command_after("to go on with it: ", error) == 0
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
    ("before", "classes", "bgr", "said"),
    [
        ([layers.Rescaling(0.5, offset=0.5)], CLASSES, False, "With --pixel-range=-1,1"),
        ([], ("dark", "mid", "bright"), True, "With --colour-order bgr --model-classes dark,mid,bright"),
    ],
)
def test_an_export_names_a_model_at_chance_and_the_options_that_its_contract_needs(
    folder, capsys, monkeypatch, before, classes, bgr, said
):
    # The converter survives these models: it needs no process of its own.
    monkeypatch.setattr("kdlab.export.convert._is_harmless", lambda *_: True)
    model = teacher("mine.keras", *before, classes=classes)
    if bgr:
        adapt(model, Inputs(bgr=True)).save("mine.keras")
    assert main(["export", "mine.keras", "--data", "images", "--to", "tflite", "--out", "mine.tflite"]) == 0
    (note,) = (note for note in record("mine.tflite.json")["notes"] if "chance" in note)
    assert note.startswith("The model mine.keras is at chance level: balanced accuracy ")
    assert f". {said} its balanced accuracy would be 100 %: kdlab export mine.keras " in note
    assert note in capsys.readouterr().out
    assert run_the_command_after("would be 100 %: ", note) == 0
    found = record("mine.tflite.json")
    assert not any("chance" in note for note in found["notes"])
    row = next(row for row in found["table"][1:] if row[0].startswith("test accuracy"))
    assert [cell[:9] for cell in row[1:]] == ["100.00 % "] * 2
    assert found["output"]["class_names"] == list(classes)
    assert found["input"]["channels"] == ("blue, green, red" if bgr else "red, green, blue")
    assert found["input"]["range"] == ([0, 1] if bgr else [-1, 1])
    # The example is the first test sample, whose class is the first.
    first = np.array(found["example"]["input"]).reshape(6, 6, 3).mean(axis=(0, 1))
    assert (first[0] < first[2]) == bgr
    assert found["example"]["class"] == "bright"
    assert np.argmax(found["example"]["output"]) == classes.index("bright")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--model-classes", "a,b,c", "--data", "images"], "--model-classes must be bright,dark,mid in some order"),
        (["--model-classes", "a,b"], "--model-classes must name 3 classes, one for each output, got 2"),
        (["--colour-order", "bgr", "grey.keras"], "--colour-order is of colour images; the model takes (6, 6, 1)"),
        (
            ["--data", "images", "--image-size", "9"],
            "(9, 9, 3); to read them so: kdlab export mine.keras --to tflite --out mine.tflite --data images --image-size 6\n",
        ),
    ],
)
def test_what_an_export_cannot_be_told(folder, capsys, given, said):
    teacher("mine.keras")
    keras.Sequential([keras.Input((6, 6, 1)), layers.Flatten(), layers.Dense(3)]).save("grey.keras")
    file = "grey.keras" if "grey.keras" in given else "mine.keras"
    given = [word for word in given if word != file]
    assert main(["export", file, "--to", "tflite", "--out", "mine.tflite", *given]) == 2
    assert said in capsys.readouterr().err


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
