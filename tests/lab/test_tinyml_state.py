"""Converted students: what is shown is what the files answer, pairs are pairs, a stop keeps what there is."""

import re

import numpy as np
import pytest

from kdlab.evaluation import mean_interval, paired_difference, wilson_interval
from kdlab.export import convert
from kdlab.export.boards import BOARDS
from kdlab.export.quantisation import quantise_weights
from kdlab.lab import tinyml_students
from kdlab.lab.tinyml_questions import tinyml_questions
from kdlab.lab.tinyml_state import BITS, DEFAULTS, TinymlState


@pytest.fixture(scope="module", autouse=True)
def short():
    patch = pytest.MonkeyPatch()
    patch.setattr(tinyml_students, "EPOCHS", 1)
    patch.setattr(tinyml_students.DigitStudents, "pairs", 3)
    patch.setattr(tinyml_students.NucleusStudents, "pairs", 2)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def state():
    return TinymlState()


@pytest.fixture(scope="module")
def converted(state):
    return state.convert(**DEFAULTS)


@pytest.fixture(scope="module")
def pairs(state):
    """What was told, and the result."""
    told = []
    return told, state.compare(lambda *what: told.append(what), **DEFAULTS)


def test_the_table_is_of_the_file_in_the_c_source(state, converted):
    result, source = converted
    file = bytes(int(byte, 16) for byte in re.findall(r"0x(..),", source))
    data = state._sources["few"].data
    answers = convert.run_tflite(file, data.test.x).argmax(axis=1)
    keras, float32, int8 = result["rows"]
    assert [row["form"] for row in result["rows"]] == ["Keras", "float32", "int8"]
    correct = int((answers == data.test.y).sum())
    assert int8["accuracy"] == list(wilson_interval(correct, len(data.test)))
    assert (int8["bytes"], int8["arena"]) == (len(file), 64 + 16)
    assert float32["arena"] == 4 * (64 + 16)
    assert keras["agreement"] == float32["agreement"] == 1
    assert int8["agreement"] == pytest.approx(1 - result["changed"] / result["samples"])
    assert int8["multiply_adds"] == 64 * 16 + 16 * 10
    assert int8["parameters"] == 65 * 16 + 17 * 10
    assert result["won"] - result["lost"] == correct - round(float32["accuracy"][0] * result["samples"])
    assert int8["boards"] == [board.verdict(len(file), 80) for board in BOARDS]
    assert all(0 < low <= median <= high for median, low, high in (row["seconds"] for row in result["rows"]))


def test_the_ranges_are_those_of_training_samples(state, monkeypatch):
    seen = []
    monkeypatch.setattr(convert, "to_tflite_int8", lambda model, samples: seen.append(samples) or b"")
    for task, expected in (("few", 50), ("all", 200)):
        source = state._sources[task]
        state._to_int8(None, source)
        training = {row.tobytes() for row in source.data.train.x}
        assert len(seen[-1]) == expected
        assert {row.tobytes() for row in seen[-1]} <= training


def test_the_teacher_is_converted_once_for_all_digits(state, converted, monkeypatch):
    result, _ = converted
    with_teacher = state.with_teacher(result)
    assert [row["name"] for row in with_teacher["rows"]] == ["student"] * 3 + ["teacher"] * 3
    assert with_teacher["rows"][5]["parameters"] == 85_002
    assert with_teacher["rows"][5]["bytes"] > 85_002
    monkeypatch.setattr(convert, "to_tflite", lambda model: pytest.fail("converted again"))
    other = result | {"position": result["position"] | {"task": "all"}}
    assert state.with_teacher(other)["rows"][3:] == with_teacher["rows"][3:]


def test_pairs_are_the_live_engines_students(state, pairs):
    told, result = pairs
    assert [what[1:] for what in told] == [(0, 3), (1, 3), (2, 3)]
    response = state._sources["few"]._response
    students = {kind: one["runs"] for kind, one in result["students"].items()}
    distilled = response.trainer("few", 16).train(4.0, 0.9, seeds=3).test_accuracy
    np.testing.assert_allclose(students["alone"], response.alone("few", 16).test_accuracy[:3], atol=1e-6)
    np.testing.assert_allclose(students["distilled"], distilled, atol=1e-6)
    (student,) = state._sources["few"].train("medium", 4.0, 0.9, 1)
    assert students["distilled_int8"][0] == state._accuracies(student, state._sources["few"])[1]
    assert result["students"]["alone_int8"]["accuracy"] == list(mean_interval(students["alone_int8"]))
    for name, first, second in (
        ("order", "distilled_int8", "alone_int8"),
        ("float32", "distilled", "alone"),
        ("alone", "alone_int8", "alone"),
        ("distilled", "distilled_int8", "distilled"),
    ):
        expected = paired_difference(students[first], students[second])
        found = result["differences"][name]
        assert (found["mean"], found["verdict"]) == (pytest.approx(expected.mean), expected.verdict)
    assert result["teacher"] > 0.95


def test_without_alpha_the_two_kinds_are_one(state):
    result = state.compare(lambda *what: None, **DEFAULTS | {"alpha": 0.0})
    assert result["students"]["alone"] == result["students"]["distilled"]
    assert result["differences"]["order"] == {"mean": 0, "low": 0, "high": 0, "verdict": "not told apart"}


def test_a_stop_keeps_the_pairs_that_are_converted(state, pairs):
    told = []

    def progress(*what):
        told.append(what)

    result = state.compare(progress, lambda: len(told) == 3, **DEFAULTS)
    assert result["pairs"] == 2
    assert result["students"]["alone_int8"]["runs"] == pairs[1]["students"]["alone_int8"]["runs"][:2]
    told.clear()
    assert state.compare(progress, lambda: len(told) == 2, **DEFAULTS) is None


def test_fewer_bits_lose_more(state, pairs):
    result = state.bits(**DEFAULTS)
    assert [one["bits"] for one in result["bits"]] == list(BITS)
    errors = [one["error"] for one in result["bits"]]
    assert errors == sorted(errors, reverse=True)
    weights = np.array(result["unit"])
    for one in result["bits"]:
        np.testing.assert_allclose(one["unit"], quantise_weights(weights[:, None], one["bits"])[:, 0], atol=2e-4)
        assert len(set(one["unit"])) <= 2 ** one["bits"] - 1
    for kind in ("alone", "distilled"):
        assert result["float32"][kind] == pytest.approx(pairs[1]["students"][kind]["accuracy"], abs=1e-6)
        assert result["bits"][-1]["accuracy"][kind][0] == pytest.approx(result["float32"][kind][0], abs=0.01)
        assert result["bits"][0]["accuracy"][kind][0] < result["float32"][kind][0] - 0.1


def test_nuclei_are_trained_with_progress_once(state, monkeypatch):
    nuclei, told = DEFAULTS | {"task": "nuclei", "width": "narrow"}, []
    assert state.bits(**nuclei) is None
    assert state.convert(lambda *what: told.append(what), **nuclei)[0]["rows"][2]["accuracy"][0] > 0.2
    assert told == [("Training", 1, 1), ("Converting", 0, 1)]
    told.clear()
    result = state.compare(lambda *what: told.append(what), **nuclei)
    assert told[:4] == [
        ("Training, without distillation", 1, 2),
        ("Training, without distillation", 2, 2),
        ("Training, distilled", 1, 2),
        ("Training, distilled", 2, 2),
    ]
    assert result["pairs"] == 2
    monkeypatch.setattr(
        "kdlab.live.convolutional.ConvolutionalTrainer.train", lambda *a, **k: pytest.fail("trained again")
    )
    bits = state.bits(**nuclei)
    assert bits["students"] == 2
    assert len(bits["unit"]) == 3 * 3 * 8  # into a channel of the third convolution
    assert bits["float32"]["distilled"] == pytest.approx(result["students"]["distilled"]["accuracy"], abs=1e-6)


def test_a_stopped_training_converts_nothing(state, monkeypatch):
    monkeypatch.setattr(tinyml_students, "EPOCHS", 2)
    told = []
    position = DEFAULTS | {"task": "nuclei", "width": "medium"}
    assert state.convert(lambda *what: told.append(what), lambda: True, **position) == (None, None)
    assert told == [("Training", 1, 2)]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("task", "x", "task must be one of few, unlabelled, all, nuclei, got 'x'"),
        ("width", 16, "width must be one of narrow, medium, wide, got 16"),
        ("alpha", 2, "alpha must be a number from 0 to 1, got 2"),
        ("temperature", 1e9, "temperature must be from 0.01 to 10000"),
    ],
)
def test_a_bad_position_is_refused(state, name, value, said):
    with pytest.raises(ValueError, match=said):
        state.convert(**DEFAULTS | {name: value})


def test_questions_know_their_answers_and_the_known_slips():
    arena, stored, _ = tinyml_questions().asked
    assert arena.check("38.4").correct
    assert "float32" in arena.check("153.6").message
    assert "output alone" in arena.check("25.6").message
    assert "read from flash" in arena.check("48").message
    assert stored.check("40").correct
    assert "127" in stored.check("25.4").message
    assert [tinyml_questions().asked[2].check(k).correct for k in range(4)] == [False, True, False, False]
