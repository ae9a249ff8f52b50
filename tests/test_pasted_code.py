"""Code that a reader pastes does what the text beside it says: README's, and chapter 2's code to take away."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kdlab
from kdlab import conventions
from kdlab.backend import keras
from kdlab.datasets.dataset import Split, digits_logits
from kdlab.evaluation import paired_difference
from kdlab.scenarios import SCENARIOS, few

README = Path(__file__).parents[1] / "README.md"


def run(code):
    """The names that a piece of code leaves."""
    names = {}
    exec(compile(code, "pasted", "exec"), names)  # as a reader would
    return names


def blocks():
    return re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def fifty():
    """The students of chapter 2's first scenario, half as long: what they are trained on, and their trainer."""
    made = SCENARIOS["few"].prepare(kdlab.load("digits"), digits_logits("train")["teacher"][None])
    made = replace(made, epochs=made.epochs // 2)
    student = kdlab.models.mlp(64, (16,), 10)
    live = kdlab.LiveTrainer(made.data, student, made.teacher_logits, epochs=made.epochs, batch_size=made.batch_size)
    return made, live


@pytest.mark.parametrize(("target", "temperature", "alpha"), [("keras", 4.0, 0.9), ("keras.distillation", 2.0, 0.5)])
def test_code_to_take_away_gives_the_number_of_the_page(target, temperature, alpha, fifty, capsys):
    made, live = fifty
    code = conventions.example(target, temperature, alpha, batch_size=made.batch_size, epochs=made.epochs)
    keras.utils.set_random_seed(0)  # of what a reader pastes there is one in fifty that lies outside
    run(code)
    shown = float(re.search(r"test accuracy (\d+\.\d)%", capsys.readouterr().out)[1]) / 100
    ten = live.train(temperature, alpha).test_accuracy
    # One student more of the same kind, with batches of Keras's own: within the spread of the ten, widened by half.
    assert ten.mean() - 4.5 * ten.std() < shown < ten.mean() + 4.5 * ten.std()
    assert ten.std() < 0.02


def test_pytorchs_piece_names_what_it_needs():
    code = conventions.example("pytorch", 4.0, 0.9)
    compile(code, "pasted", "exec")
    assert "import kdlab" not in code
    assert "TEMPERATURE = 4\n" in code


def test_readmes_dashboard_is_twenty_lines_that_run():
    (code,) = [block for block in blocks() if "lab.interact" in block]
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    panel = run(code.replace("lab.interact(", "panel = lab.interact("))["panel"]
    verdict, figure = panel.result
    data = kdlab.load("digits")
    made = few(40)(data, digits_logits("train")["teacher"][None])
    live = kdlab.LiveTrainer(
        made.data, kdlab.models.mlp(64, (32,), 10), made.teacher_logits, epochs=made.epochs, batch_size=made.batch_size
    )
    gain = paired_difference(live.train(4.0, 0.9).test_accuracy, live.train(alpha=0.0).test_accuracy)
    assert f"{100 * gain.mean:+.1f}".replace("-", "−") in verdict
    assert figure.get_label().startswith("Test accuracy")


def test_readmes_questions_take_right_and_wrong_answers():
    (code,) = [block for block in blocks() if "Questions(" in block]
    first, second = run(code.replace("\nQuestions(", "\nasked = Questions("))["asked"].asked
    assert [first.check(k).correct for k in range(2)] == [False, True]
    assert second.check(f"{1 / (1 + np.exp(-2)):.3f}").correct
    assert second.check("0.982").message == "That is T = 1."
    assert second.check("1").message.startswith("Shares of the logits")
    assert second.check("0.5").message == "0.5 is too small. Divide the logits by T first."


def test_readmes_first_example_shows_distillation_helping(monkeypatch):
    """Without validation data, which take a third of the time and of which the example says nothing."""
    load = kdlab.load

    def load_without(*arguments, **options):
        data = load(*arguments, **options)
        return replace(data, validation=Split(data.validation.x[:0], data.validation.y[:0]))

    monkeypatch.setattr(kdlab, "load", load_without)
    (code,) = [block for block in blocks() if "kdlab.distill(" in block]
    names = run(code)
    assert names["result"].metrics["accuracy"] > names["result"].student_alone_metrics["accuracy"]
    gain = paired_difference(names["distilled"].test_accuracy, names["alone"].test_accuracy)
    assert len(names["alone"].test_accuracy) == 10
    assert gain.verdict == "better"
