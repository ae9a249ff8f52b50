"""``kdlab course``: the sheets through nbgrader, from handing out to the scores, and the guide."""

import copy
import os
import shutil
from types import SimpleNamespace
from typing import ClassVar

import nbformat
import numpy as np
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.api import Gradebook
from nbgrader.auth import Authenticator
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange.default import (
    ExchangeCollect,
    ExchangeFetchAssignment,
    ExchangeReleaseAssignment,
    ExchangeSubmit,
)
from traitlets.config import PyFileConfigLoader

from kdlab.lab.course import CONFIG, PLANS, TEST, _generate, _test_questions, choices_of, write_course
from kdlab.lab.pages import CHAPTERS, notebooks_folder

SHEET = "01_small"
SOLUTION = "p = np.exp((z - z.max()) / T)\n    return p / p.sum()"
PANEL = """from kdlab import lab

def first(T):
    return f"{softened(np.eye(2)[0], T)[0]:.4f} at T = {T:g}"

lab.interact(first, T=lab.temperature(1))"""
ABOUT = {"chapter": "01_temperature_softening", "minutes": 40}
EXERCISE = {"exercise": "1.1", "title": "Softmax", "goal": "soften", "minutes": 10}
EXPECTED = "0 % at T = 1, 40 % (11) at 8."
STUB = "# YOUR CODE HERE\n    raise NotImplementedError()"


def graded(source, grade_id, points=None):
    more = {} if points is None else {"points": points}
    mark = {"grade": points is not None, "solution": points is None, "locked": points is not None, "task": False}
    return new_code_cell(source, metadata={"nbgrader": {"grade_id": grade_id, "schema_version": 3, **mark, **more}})


def sheet(solution=SOLUTION):
    cells = [
        new_markdown_cell("# Softening"),
        new_code_cell("import numpy as np"),
        new_markdown_cell("## 1. Softmax", metadata={"kdlab": EXERCISE}),
        graded(f"def softened(z, T):\n    ### BEGIN SOLUTION\n    {solution}\n    ### END SOLUTION", "softened"),
        graded("assert abs(softened(np.array([1.0, 0.0]), 2.0).sum() - 1) < 1e-9", "sums_to_1", 1),
        graded(
            "### BEGIN HIDDEN TESTS\nassert abs(softened(np.array([2.0, 0.0]), 2.0)[0] - 0.7310586) < 1e-6\n### END HIDDEN TESTS",
            "value",
            2,
        ),
        new_code_cell("softened(np.array([2.0, 0.0]), 2.0).round(3)"),
        new_markdown_cell("## 2. A panel", metadata={"kdlab": {**EXERCISE, "exercise": "1.2", "expected": EXPECTED}}),
        new_code_cell(PANEL),
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel, "title": "Sheet 1", "kdlab": ABOUT})


@pytest.fixture(scope="module")
def sheets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sheets")
    nbformat.write(sheet(), folder / f"{SHEET}.ipynb")
    return folder


class Live:
    """A trainer whose distilled students are two points better, give or take a half, but for those with features."""

    made: ClassVar = []

    def __init__(self, data, student, teacher_logits, epochs, batch_size, teacher_features=None):
        self.made.append(
            (len(data.train), teacher_logits.shape, {n: f.shape for n, f in (teacher_features or {}).items()})
        )

    def train(self, temperature=1.0, alpha=0.9, feature_alpha=0.0, **features):
        gain = np.array([0.015, 0.025]) * (alpha > 0) - 0.03 * feature_alpha
        return SimpleNamespace(test_accuracy=0.8 + np.tile(gain, 5))


@pytest.fixture(scope="module")
def course(sheets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("course") / "new"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kdlab.live.trainer.LiveTrainer", Live)
        patch.setenv("PATH", os.defpath)  # as in an environment that is not activated
        write_course(folder, sheets=sheets)
    return folder


def source_of(course, part):
    return "\n".join(cell.source for cell in nbformat.read(course / part / SHEET / f"{SHEET}.ipynb", 4).cells)


def test_students_get_neither_solutions_nor_hidden_tests_and_the_solutions_have_been_run(course):
    student, solution = source_of(course, "student"), source_of(course, "solutions")
    assert STUB in student
    assert "assert abs(softened(np.array([1.0, 0.0])" in student
    assert "np.exp" not in student
    assert "0.7310586" not in student
    assert "SOLUTION" not in student
    for part in ("source", "student"):
        assert EXPECTED not in (course / part / SHEET / f"{SHEET}.ipynb").read_text("utf-8")
    assert SOLUTION in solution
    book = nbformat.read(course / "solutions" / SHEET / f"{SHEET}.ipynb", 4)
    assert book.cells[6].outputs[0].data["text/plain"] == "array([0.731, 0.269])"
    assert book.metadata.widgets  # so that its panels are there when it is opened


def at_work(step, course, sheet, student="*", **options):
    """Let nbgrader take one step in a course: a converter, or one of its exchange between instructor and students."""
    config = PyFileConfigLoader("nbgrader_config.py", str(course)).load_config()
    folder = CourseDirectory(config=config, root=str(course), assignment_id=sheet, student_id=student)
    step(coursedir=folder, config=config, **options).start()


def graded_by_nbgrader(course, sheet, answers, home):
    """Release a sheet, have students fetch, write and submit it, collect and autograde; return {student: submission's scores}.

    ``answers`` is {student: function(book)}, which changes the book that was fetched. nbgrader's exchange, its own folder on
    a shared machine, is below ``home``.
    """
    exchange = {"root": str(home / "exchange"), "cache": str(home / "cache"), "authenticator": Authenticator()}
    at_work(ExchangeReleaseAssignment, course, sheet, **exchange)
    for name, write in answers.items():
        (home / name).mkdir()
        at_work(ExchangeFetchAssignment, course, sheet, name, assignment_dir=str(home / name), **exchange)
        file = home / name / sheet / f"{sheet}.ipynb"
        book = nbformat.read(file, 4)
        write(book)
        nbformat.write(book, file)
        at_work(ExchangeSubmit, course, sheet, name, assignment_dir=str(home / name), **exchange)
    at_work(ExchangeCollect, course, sheet, check_owner=False, **exchange)
    at_work(Autograde, course, sheet)
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "kdlab") as gradebook:
        found = {name: gradebook.find_submission(sheet, name) for name in answers}
        return {name: (s.code_score, s.max_code_score, s.needs_manual_grade) for name, s in found.items()}


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")  # nbgrader's own
def test_nbgrader_collects_and_scores_a_right_a_wrong_an_empty_and_a_crashing_submission(course, tmp_path):
    def writes(answer):
        def write(book):
            assert STUB in book.cells[3].source
            book.cells[3].source = book.cells[3].source.replace(STUB, answer)

        return write

    right = "return np.exp(z / T) / np.exp(z / T).sum()"

    def copies(book):
        """Copy the answer's cell in JupyterLab, marks and all, and write into the second."""
        book.cells.insert(4, NotebookNode({**copy.deepcopy(book.cells[3]), "id": "copy"}))
        book.cells[4].source = book.cells[4].source.replace(STUB, right)

    def deletes(book):
        writes(right)(book)
        del book.cells[5]

    def deletes_all(book):
        """Keep nothing but the answer, and that without its marks; add a cell of another sheet, marks and all."""
        writes(right)(book)
        book.cells[:] = [*book.cells[1:4], graded("1 / 1", "of another sheet", 2)]
        del book.cells[2].metadata["nbgrader"]

    def of_old(book):
        deletes(book)
        book.nbformat_minor = 4
        for cell in book.cells:
            del cell["id"]

    answers = {
        "copying": copies,
        "deleting": deletes,
        "deleting all": deletes_all,
        "deleting in an old notebook": of_old,
        "right": writes(right),
        "wrong": writes("return np.exp(z * T) / np.exp(z * T).sum()"),  # ×T instead of /T: it sums to 1, too
        "empty": writes(STUB),
        "crashing": writes("raise SystemExit"),
    }
    scores = graded_by_nbgrader(course, SHEET, answers, tmp_path)
    assert scores == {
        "copying": (3, 3, False),
        "deleting": (3, 3, False),
        "deleting all": (0, 3, False),
        "deleting in an old notebook": (3, 3, False),
        "right": (3, 3, False),
        "wrong": (1, 3, False),
        "empty": (0, 3, False),
        "crashing": (0, 3, False),
    }


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
def test_a_shipped_sheet_goes_out_comes_back_solved_or_untouched_and_is_scored(course, tmp_path):
    gradebook, course, sheet = course / "gradebook.db", tmp_path / "course", CHAPTERS[0].name
    (course / "source" / sheet).mkdir(parents=True)
    shutil.copy(notebooks_folder() / "exercises" / f"{sheet}.ipynb", course / "source" / sheet)
    (course / "nbgrader_config.py").write_text(CONFIG)
    shutil.copy(gradebook, course)  # nbgrader takes seconds to make a new one
    _generate(course)
    solution = nbformat.read(course / "solutions" / sheet / f"{sheet}.ipynb", 4)

    def solve(book):
        for mine, theirs in zip(book.cells, solution.cells, strict=True):
            if mine.metadata.get("nbgrader", {}).get("solution"):
                assert "YOUR " in mine.source
                mine.source = theirs.source

    scores = graded_by_nbgrader(course, sheet, {"solved": solve, "untouched": lambda book: None}, tmp_path)
    # The five functions' points; the two answers in words, once somebody wrote them, wait for a person.
    assert scores == {"solved": (13, 13, True), "untouched": (0, 13, False)}


def test_nothing_is_written_over_unless_forced_and_scores_and_submissions_stay(course, sheets, tmp_path, monkeypatch):
    monkeypatch.setattr("kdlab.lab.course.expected", lambda: [])
    mine = tmp_path / "mine"
    shutil.copytree(course, mine)
    (mine / "submitted" / "ada").mkdir(parents=True)
    (mine / "submitted" / "ada" / "notes.txt").write_text("hers")
    target = mine / "student" / SHEET / f"{SHEET}.ipynb"
    target.write_text("a student's work")
    before = {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"nbgrader_config\.py exists already; --force replaces"):
        write_course(mine, sheets=sheets)
    assert {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()} == before
    for name in ("nbgrader_config.py", "guide.md", "test.md"):
        (mine / name).unlink()
    shutil.rmtree(mine / "source")
    with pytest.raises(ValueError, match=rf"student/{SHEET}/{SHEET}\.ipynb exists already; --force replaces"):
        write_course(mine, sheets=sheets)
    assert target.read_text() == "a student's work"
    write_course(mine, sheets=sheets, force=True)
    assert source_of(mine, "student") == source_of(course, "student")
    assert (mine / "submitted" / "ada" / "notes.txt").read_text() == "hers"
    with Gradebook(f"sqlite:///{mine / 'gradebook.db'}", "kdlab") as gradebook:
        assert gradebook.find_submission(SHEET, "right").score == 3


def test_a_solution_that_fails_is_said_and_nothing_is_written(tmp_path, monkeypatch):
    # What nbgrader makes besides is not asked for here.
    monkeypatch.setattr("kdlab.lab.course._generate", lambda root: shutil.copytree(root / "source", root / "solutions"))
    (tmp_path / "sheets").mkdir()
    nbformat.write(sheet("return z / 0"), tmp_path / "sheets" / f"{SHEET}.ipynb")
    with pytest.raises(ValueError, match=f"the solution of {SHEET} fails: AssertionError"):
        write_course(tmp_path / "course", sheets=tmp_path / "sheets")
    assert not (tmp_path / "course").exists()


def test_where_nothing_can_be_written_no_solution_is_run(sheets, tmp_path, monkeypatch):
    monkeypatch.setattr("kdlab.lab.course.executed", lambda *_: pytest.fail("run"))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match=r"cannot be written to .*: allow it, or write to another place"):
        write_course(tmp_path / "file" / "course", sheets=sheets)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_guide_has_what_the_solutions_show_how_much_it_varies_and_what_goes_wrong(course):
    guide = (course / "guide.md").read_text("utf-8")
    assert "40 minutes, 3 points, after chapter 1 (30 minutes)." in guide
    assert "| 1.1 | Softmax | soften | 10 | 3 |" in guide
    assert "- 1. Softmax: array([0.731, 0.269])" in guide
    assert "- 2. A panel: 0.7311 at T = 1" in guide
    assert f"**Exercise 1.2, with its spread** (trained by the authors, with the solution). {EXPECTED}" in guide
    assert "You will be able to soften an answer by hand" in guide
    assert guide.count("Ten pairs, just trained: +2.0 points, 95 % interval +1.6 to +2.4.") == 2
    assert guide.count("Ten pairs, just trained: −1.5 points") == 1  # α_f = 0.5
    assert guide.count("Ten pairs, just trained: −3.0 points") == 1  # α_f = 0.999
    hidden = {"hidden_2": (50, 256)}, {"hidden_2": (898, 256)}
    assert Live.made == [
        (50, (50, 10), {}),
        (898, (898, 10), {}),
        (50, (50, 10), hidden[0]),
        (898, (898, 10), hidden[1]),
    ]
    assert (
        "“Nothing: a constant factor does not move the minimum”: It does not move the soft term's own minimum" in guide
    )


@pytest.mark.parametrize("minutes", PLANS)
def test_a_plan_takes_as_long_as_it_says(minutes):
    assert sum(step for step, _ in PLANS[minutes]) == minutes


def test_the_test_has_eight_different_questions_with_one_right_answer_and_does_not_give_it(course):
    asked = _test_questions()
    assert len({question.prompt for question in asked}) == len(TEST) == 8
    test = (course / "test.md").read_text("utf-8")
    for question in asked:
        assert question.prompt in test
        options = choices_of(question)
        assert sum(right for _, right, _ in options) == 1
        assert all(f". {text}" in test and why not in test for text, _, why in options)
