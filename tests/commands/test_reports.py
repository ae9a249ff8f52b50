"""What a run reports beside its numbers: pairs over seeds, classes, wrong images, chance, commands to go on with."""

import json
import re
import shlex

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from kdlab.commands.command_line import main
from kdlab.commands.run_command import again

layers = keras.layers


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with class folders of 20 images 4×4 each; those of "b" and "c" are alike."""
    rng = np.random.default_rng(0)
    for name, level in {"a": 30, "b": 200, "c": 200}.items():
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(level - 20, level + 20, (4, 4)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "cache"))
    head = layers.Dense(3)
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.GlobalAveragePooling2D(), head])
    head.set_weights([np.array([[-20.0, 20.0, 19.9]]), np.array([9.0, -9.0, -9.0])])
    model.save("teacher.keras")
    return tmp_path


def test_pairs_over_seeds_give_one_verdict_and_the_report_names_classes_and_images(folder):
    line = ["distill", "--data", "images", "--teacher", "teacher.keras", "--student", "mlp", "--epochs", "2"]
    splits = ["--test-split", "0.4", "--validation-split", "0.25"]
    assert main([*line, *splits, "--seeds", "2", "--seed", "5", "--out", "student.keras", "--quiet"]) == 0
    found = json.loads((folder / "student.json").read_text("utf-8"))
    assert found["data"]["samples"] == {"train": 27, "validation": 9, "test": 24}
    assert (found["settings"]["test_split"], found["settings"]["validation_split"]) == (0.4, 0.25)
    pairs = found["pairs"]
    teacher, alone, distilled = found["models"]
    assert len(pairs["alone"]) == len(pairs["distilled"]) == 2
    assert (pairs["alone"][0], pairs["distilled"][0]) == (alone["test_accuracy"], distilled["test_accuracy"])
    differences = np.subtract(pairs["distilled"], pairs["alone"])
    assert pairs["difference"]["mean"] == pytest.approx(differences.mean())
    assert "on average over 2 seeds" in found["sentence"]
    # The same images for all: of seed 6 alone come the same two students as in the pairs.
    names = ["student.alone.keras", "student.json", "student.keras", "student.md"]
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(("s", "."))) == names

    assert teacher["confusion"] == [[8, 0, 0], [0, 8, 0], [0, 8, 0]]
    assert teacher["recall"][2]["mean"] == 0
    assert set(teacher["accuracies"]) == {"training", "validation"}
    assert teacher["accuracies"]["training"] == pytest.approx(2 / 3)
    assert {wrong["class"] for wrong in teacher["wrong"]} == {2}
    assert all((folder / "images" / wrong["name"]).is_file() for wrong in teacher["wrong"])
    page = (folder / "student.md").read_text("utf-8")
    assert "Recall per class:" in page
    assert re.search(r"- `c/\d+\.png`: c, taken for [ab]", page)
    assert "| training accuracy | validation accuracy |" in page


def test_of_two_classes_the_positive_one_is_named(folder, untrained):
    line = ["train", "--data", "images", "--classes", "a,b", "--model", "mlp", "--epochs", "1", "--quiet"]
    assert main([*line, "--out", "model.keras"]) == 0
    said = "The positive class is b: sensitivity is the recall of b, specificity that of a."
    found = json.loads((folder / "model.json").read_text("utf-8"))
    assert said in found["notes"]
    assert set(found["models"][0]["clinical"]) == {"sensitivity", "specificity", "AUC"}
    assert said in (folder / "model.md").read_text("utf-8")
    assert main([*line, "--pixel-range", "0,255", "--out", "other.keras"]) == 2


def test_a_student_alone_that_guesses_is_trained_anew_by_the_command_that_goes_further(folder, untrained):
    line = ["distill", "--data", "images", "--teacher", "teacher.keras", "--student", "mlp", "--epochs", "1", "--quiet"]
    train = ["train", *line[1:3], "--image-size", "4", "--model", "mlp", *line[7:]]
    assert main([*train, "--out", "alone.keras"]) == 0
    assert main([*line, "--batch-size", "4", "--student-alone", "alone.keras", "--out", "student.keras"]) == 0
    notes = json.loads((folder / "student.json").read_text("utf-8"))["notes"]
    of = {name: next(note for note in notes if f"student {name} cannot be" in note) for name in ("alone", "distilled")}
    assert all("--batch-size 4" in note for note in of.values())
    assert ("--student-alone" in of["alone"], "--student-alone" in of["distilled"]) == (False, True)


def test_a_student_at_chance_is_named_with_a_command_that_goes_further(folder, untrained):
    line = ["train", "--data", "images", "--model", "mlp", "--epochs", "1", "--out", "model.keras", "--quiet"]
    assert main(line) == 0
    (note,) = (note for note in json.loads((folder / "model.json").read_text("utf-8"))["notes"] if "guessing" in note)
    assert re.match(r"The model cannot be told from guessing on 12 test samples \([\d.]+ % right\)\. More", note)
    further = shlex.split(note.partition("may help: ")[2])
    assert further[0] == "kdlab"
    assert further[further.index("--epochs") + 1] == "4"
    assert main(further[1:]) == 0


def test_students_of_all_seeds_and_of_a_sweep_that_guess_are_named_first(folder, untrained):
    line = ["--data", "images", "--teacher", "teacher.keras", "--student", "mlp", "--epochs", "1", "--quiet"]
    assert main(["distill", *line, "--seeds", "2", "--out", "student.keras"]) == 0
    found = json.loads((folder / "student.json").read_text("utf-8"))
    assert found["sentence"].startswith("No student can be told from guessing, so comparing them says nothing: ")
    notes = " ".join(found["notes"])
    for name in ("alone", "distilled"):
        assert f"The student {name} of 2 of 2 seeds cannot be told from guessing on 12 test samples (" in notes

    grid = ["--temperatures", "2", "--alphas", "0.5", "--seeds", "1", "--out", "sweep.csv"]
    assert main(["sweep", *line, *grid]) == 0
    found = json.loads((folder / "sweep.json").read_text("utf-8"))
    assert found["sentence"].startswith("No student can be told from guessing, so comparing them says nothing: ")
    notes = " ".join(found["notes"])
    for name in ("alone", "distilled"):
        assert f"The student {name} cannot be told from guessing on 12 test samples (" in notes
    more = shlex.join(["kdlab", "sweep", *line, *grid[:4], *grid[6:], "--seeds", "3"])
    assert f"To judge by three seeds, the first of which is kept: {more}" in found["notes"]


@pytest.mark.parametrize(
    ("line", "dropped", "changed", "wanted"),
    [
        ("kdlab train --epochs 3 --out a.keras", (), {"epochs": 9}, "kdlab train --out a.keras --epochs 9"),
        (
            "kdlab sweep --alphas=0,1 --seeds 3 --out 'a b.csv'",
            ("alphas", "seeds"),
            {"out": "s.keras"},
            "kdlab sweep --out s.keras",
        ),
        (
            "kdlab --verbose sweep --alphas 0,1 --data d",
            ("alphas",),
            {"command": "distill", "alpha": 1},
            "kdlab --verbose distill --data d --alpha 1",
        ),
        (
            "kdlab train --batch-size 8 --force --data d",
            (),
            {"batch_size": 4, "force": True},
            "kdlab train --data d --batch-size 4 --force",
        ),
        (
            "kdlab export --force m.keras --pixel-range 0,255 --data d",
            ("force",),
            {"pixel_range": "-1,1", "colour_order": None},
            "kdlab export m.keras --data d --pixel-range=-1,1",
        ),
    ],
)
def test_a_command_again_with_other_options(line, dropped, changed, wanted):
    assert again(line, *dropped, **changed) == wanted


def test_the_width_of_a_small_cnn(folder, untrained):
    line = ["train", "--data", "images", "--epochs", "1", "--image-size", "8", "--quiet"]
    assert main([*line, "--model", "small-cnn", "--width", "0.125", "--out", "w.keras"]) == 0
    model = keras.saving.load_model("w.keras")
    assert [layer.filters for layer in model.layers if isinstance(layer, layers.Conv2D)] == [3, 4, 8, 16]
    assert main([*line, "--model", "mlp", "--width", "0.5", "--out", "m.keras"]) == 2


@pytest.mark.parametrize("images", [60, 1000])
def test_the_defaults_learn_from_a_folder_of_any_size(images, tmp_path, monkeypatch):
    """They come within five points of logistic regression on the same images, by the digits that are not in the folder."""
    monkeypatch.chdir(tmp_path)
    # Hundreds of files, which nobody reads.
    monkeypatch.setattr("kdlab.runs.resuming.TrainingState._write", lambda *_: None)
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(1).permutation(np.flatnonzero(labels < 6))
    rows, others = order[:images], order[images:]
    for row in rows:
        (tmp_path / "images" / str(labels[row])).mkdir(parents=True, exist_ok=True)
        picture = (pixels[row].reshape(8, 8) * 15.9).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / "images" / str(labels[row]) / f"{row}.png")
    line = ["train", "--data", "images", "--model", "mlp", "--image-size", "8"]
    assert main([*line, "--quiet", "--out", "model.keras"]) == 0
    named = keras.saving.load_model("model.keras").predict(pixels[others].reshape(-1, 8, 8, 1) * 15.9 / 255, verbose=0)
    rival = LogisticRegression(max_iter=1000).fit(pixels[rows] / 16, labels[rows])
    accuracy = (named.argmax(axis=1) == labels[others]).mean()
    assert accuracy >= rival.score(pixels[others] / 16, labels[others]) - 0.05
