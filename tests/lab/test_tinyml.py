"""Chapter 5's students, tables and questions: what is shown is what the files answer, and a stop keeps what there is."""

import inspect
from dataclasses import replace

import numpy as np
import pytest

from kdlab import export
from kdlab.datasets.dataset import Split
from kdlab.datasets.nuclei import SPLITS
from kdlab.evaluation import paired_difference
from kdlab.export.boards import BOARDS
from kdlab.lab import Progress, tinyml
from kdlab.lab.tinyml_questions import tinyml_questions


def test_digit_students_are_the_live_engines():
    students = tinyml.Students()("few", "narrow", 4.0, 0.9, 2)
    made = tinyml.prepared("few")
    result = tinyml.live_trainer("few", "narrow").train(4.0, 0.9, seeds=10)
    for seed, student in enumerate(students):
        assert student.count_params() == 65 * 8 + 9 * 10
        np.testing.assert_allclose(student(made.data.test.x), result.test_logits[seed], atol=1e-4)


def test_nuclei_are_trained_for_who_asks_with_progress_and_kept(monkeypatch):
    nuclei = tinyml.data("nuclei")
    few = {name: Split(split.x[:40], split.y[:40]) for name in SPLITS for split in [getattr(nuclei, name)]}
    monkeypatch.setattr(tinyml, "data", lambda task: replace(nuclei, **few))
    trainer = inspect.unwrap(tinyml.live_trainer)("nuclei", "narrow")
    trainer.epochs = 1
    monkeypatch.setattr(tinyml, "live_trainer", lambda *position: trainer)
    students, progress = tinyml.Students(), Progress()
    position = ("nuclei", "narrow", 4.0, 0.9)
    assert students(*position, 1) == []
    assert students.trained.value == "Nuclei: none trained yet"
    (first,) = students(*position, 1, progress)
    assert (progress.done, progress.total) == (1, 1)
    assert students.trained.value == "Nuclei, trained last: 1, narrow, T = 4, α = 0.90"
    assert students(*position, 1)[0] is students(*position, 1, progress)[0] is first
    progress.stop()
    assert students("nuclei", "narrow", 4.0, 0.9, 3, progress) == [first]  # stopped before its first was whole
    assert students.trained.value.startswith("Nuclei, trained last: 1, narrow, T = 4")
    assert len(students("nuclei", "narrow", 2.0, 0.0, 1, Progress())) == 1
    assert students.trained.value == "Nuclei, trained last: 1, narrow, without a teacher"
    assert len(students("nuclei", "narrow", 8.0, 0.0, 3)) == 1  # alone, no temperature matters


@pytest.mark.parametrize(("task", "count", "expected"), [("few", 200, 50), ("all", 200, 200), ("nuclei", 7, 7)])
def test_representative_samples_are_training_samples_without_repeats(task, count, expected):
    training = {row.tobytes() for row in tinyml.data(task).train.x}
    drawn = [{row.tobytes() for row in tinyml.representative(task, count, seed)} for seed in (0, 1)]
    assert [len(one) for one in drawn] == [expected, expected]
    assert drawn[0] | drawn[1] <= training
    assert (drawn[0] == drawn[1]) == (expected == len(training))


def test_what_int8_changes_is_counted():
    y = np.array([0, 1, 2, 0])
    float32, int8 = np.eye(3)[[0, 1, 0, 1]], np.eye(3)[[0, 0, 2, 2]]
    assert tinyml.changed(float32, int8, y) == (
        "Test accuracy: float32 50.0%, int8 50.0%. Of 4 samples int8 puts 3 in another class: "
        "1 from right to wrong, 1 from wrong to right."
    )


def test_differences_are_paired():
    found = np.array([[0.80, 0.79, 0.85, 0.85], [0.82, 0.82, 0.87, 0.87], [0.81, 0.80, 0.88, 0.87]])
    figure, said, table = tinyml.differences(found)
    order = paired_difference(found[:, 3], found[:, 1])
    assert said.kind == "better"
    assert f"{100 * order.mean:+.1f} percentage points" in said
    assert [row[1] for row in table.rows] == ["+6.0", "+5.7", "−0.7", "−0.3"]
    assert "3 pairs" in figure.get_label()
    with pytest.raises(ValueError, match="Stopped before there were two pairs"):
        tinyml.differences(found[:1])


@pytest.mark.parametrize(
    ("file", "arena", "said"),
    [
        (1024, 80, "✓ fits: flash 0.195\u00a0%"),
        (1024, 127 * 1024, "≈ close: RAM 99.2\u00a0%"),
        (600 * 1024, None, "✗ does not fit: flash 117\u00a0%"),
    ],
)
def test_a_board_says_which_memory_is_fuller(file, arena, said):
    (board,) = [board for board in BOARDS if "micro:bit" in board.name]
    assert tinyml.fit(board, file, arena) == said


def test_training_with_rounded_weights_moves_the_unrounded_ones():
    made, (student,) = tinyml.prepared("few"), tinyml.Students()("few", "narrow", 4.0, 0.9, 1)
    unrounded = tinyml.copy(student)
    before = student.get_weights()
    student.set_weights(export.quantise_model(before, 2))
    tinyml.step(student, unrounded, made, 4.0, 0.9)()
    for now, rounded, own, start in zip(
        student.get_weights(), export.quantise_model(before, 2), unrounded.get_weights(), before, strict=True
    ):
        np.testing.assert_array_equal(now, rounded)
        assert 0 < np.abs(own - start).max() < 0.0031  # a first step of Adam is the learning rate's size


def test_questions_know_their_answers_and_the_known_slips():
    arena, stored, blank, levels, order = tinyml_questions().asked
    assert arena.check("24").correct
    for answer, said in (("96", "float32"), ("16", "output alone"), ("48", "read from flash"), ("24.576", "1024")):
        assert said in arena.check(answer).message
    assert stored.check("40").correct
    assert "127" in stored.check("25.4").message
    assert levels.check("7").correct
    assert "8 patterns" in levels.check("8").message
    assert [blank.check(k).correct for k in range(4)] == [False, False, True, False]
    assert [order.check(k).correct for k in range(4)] == [False, True, False, False]
    assert not any("{" in question.check("123").message for question in (arena, stored, levels))
