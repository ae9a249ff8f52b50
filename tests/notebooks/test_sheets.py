"""The exercise sheets: nbgrader's format, short cells, a check for every function, and solutions that run and pass."""

import ast
import importlib.util
import re
from itertools import pairwise

import nbformat
import pytest

import kdlab
from kdlab.lab.copies import without_solutions
from kdlab.lab.handout import run
from kdlab.lab.pages import CHAPTERS, notebooks_folder

FOLDER = notebooks_folder() / "exercises"
SHEETS = {path.stem: nbformat.read(path, as_version=4) for path in sorted(FOLDER.glob("*.ipynb"))}
SOLUTION = re.compile(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", re.DOTALL)
HIDDEN = re.compile(r"\n### BEGIN HIDDEN TESTS\n(.*?)### END HIDDEN TESTS", re.DOTALL)
OF_GRADING = {"grade", "grade_id", "locked", "schema_version", "solution", "task"}
EVERY_PANEL = """
from ipywidgets.widgets.widget import _instances
from kdlab.lab import Panel, Progress

panels, faults = [widget for widget in _instances.values() if isinstance(widget, Panel)], {}
for panel in panels:
    stopped = Progress()
    stopped.stop()
    panel._compute(panel._now(), progress=stopped if panel._button else None)
    if panel._state.state != "idle" and not panel._state.message.startswith("Stopped"):
        faults[panel.function.__name__] = panel._state.message
    panel.close()  # and no longer among the instances, where the next sheet's will be
len(panels), faults
"""


def graded(cell):
    return cell.metadata.get("nbgrader", {})


def each(kind):
    """Pairs of a sheet's name and a cell: "written" by the reader, "checked", "answered" in words, or "exercise"."""
    kinds = {
        "written": lambda c: c.cell_type == "code" and graded(c).get("solution"),
        "checked": lambda c: c.cell_type == "code" and graded(c).get("grade"),
        "answered": lambda c: c.cell_type == "markdown" and graded(c).get("grade"),
        "exercise": lambda c: "kdlab" in c.metadata,
    }
    return [(name, cell) for name, book in SHEETS.items() for cell in book.cells if kinds[kind](cell)]


def stripped(cell):
    """A cell as a student gets it: without solution and hidden tests."""
    return HIDDEN.sub("", SOLUTION.sub("raise NotImplementedError()\n", cell.source))


def names(kind):
    return [graded(cell)["grade_id"] for _, cell in each(kind)]


def cells(kind):
    return pytest.mark.parametrize("cell", [cell for _, cell in each(kind)], ids=names(kind))


# ---- what a sheet is


def test_every_chapter_has_its_sheet_of_four_to_six_exercises():
    assert list(SHEETS) == [chapter.name for chapter in CHAPTERS]
    for name, book in SHEETS.items():
        exercises = [cell.metadata.kdlab for sheet, cell in each("exercise") if sheet == name]
        number = int(name[:2])
        assert [e.exercise for e in exercises] == [f"{number}.{k + 1}" for k in range(len(exercises))]
        assert 4 <= len(exercises) <= 6
        assert book.metadata.kdlab.chapter == name
        assert book.metadata.kdlab.minutes == sum(e.minutes for e in exercises)
        assert f"about {book.metadata.kdlab.minutes} minutes" in book.cells[0].source
        assert book.metadata.title


def test_each_exercise_says_what_why_how_long_and_where_to_read():
    for _, cell in each("exercise"):
        about, first, text = cell.metadata.kdlab, *cell.source.split("\n\n", 1)
        assert first == f"## {about.exercise} {about.title}"
        assert text.startswith(f"*{about.minutes} minutes.* ")
        assert re.search(r"\]\(https://", text), about.exercise
        assert about.goal


@pytest.mark.parametrize("name", SHEETS)
def test_the_metadata_is_nbgraders(name):
    ids = []
    for cell in SHEETS[name].cells:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
        meta = graded(cell)
        if not meta:
            assert "BEGIN SOLUTION" not in cell.source
            continue
        ids.append(meta.grade_id)
        assert set(meta) == OF_GRADING | ({"points"} if meta.grade else set())
        assert meta.schema_version == 3
        assert meta.task is False
        assert meta.solution == ("### BEGIN SOLUTION" in cell.source)
        assert meta.locked == (not meta.solution)
        assert not meta.grade or meta.points > 0
        if cell.cell_type == "markdown":
            assert meta.grade
            assert meta.solution
    assert len(set(ids)) == len(ids)
    # Of all sheets together: each begins with the number of its chapter.
    assert all(one.startswith(f"{int(name[:2])}-") for one in ids)
    if importlib.util.find_spec("nbgrader"):
        assert_nbgrader_accepts(SHEETS[name])


def assert_nbgrader_accepts(book):
    from nbgrader.nbgraderformat import MetadataValidator
    from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions

    MetadataValidator().validate_nb(book)
    cleared = nbformat.from_dict(book)
    for step in (ClearSolutions(), ClearHiddenTests()):
        cleared, _ = step.preprocess(cleared, {})
    for cell, before in zip(cleared.cells, book.cells, strict=True):
        wanted = stripped(before) if before.cell_type == "code" else SOLUTION.sub("YOUR ANSWER HERE\n", before.source)
        assert cell.source.replace("# YOUR CODE HERE\n", "").split() == wanted.replace("# YOUR CODE HERE\n", "").split()


@cells("written")
def test_a_stripped_cell_holds_the_task_and_nothing_of_the_solution(cell):
    task, lines = stripped(cell), [line for found in SOLUTION.findall(cell.source) for line in found.splitlines()]
    (function,) = [node for node in ast.parse(task).body if isinstance(node, ast.FunctionDef)]
    assert ast.get_docstring(function).startswith(("Return ", "Take "))
    assert [line for line in lines if line.strip() and line.strip() in task] == []
    assert isinstance(function.body[-1], ast.Raise)
    assert [type(node) for node in ast.parse(cell.source).body] == [type(node) for node in ast.parse(task).body]


def test_what_is_set_up_needs_nothing_that_the_reader_writes():
    for name, book in SHEETS.items():
        written = [
            re.search(r"^def (\w+)", cell.source, re.MULTILINE)[1] for sheet, cell in each("written") if sheet == name
        ]
        for cell in book.cells:
            if "setup" in cell.metadata.get("tags", []):
                assert not re.search(rf"\b({'|'.join(written)})\b", cell.source), cell.source


@cells("answered")
def test_a_written_answer_has_a_model(cell):
    (model,) = SOLUTION.findall(cell.source)
    assert len(model.split()) > 40


def test_every_function_is_checked_in_the_next_cell_and_no_check_is_hidden_alone():
    for name, book in SHEETS.items():
        code = [cell for cell in book.cells if cell.cell_type == "code"]
        functions = {}
        for cell, after in pairwise(code):
            if graded(cell).get("solution"):
                functions[re.search(r"^def (\w+)", cell.source, re.MULTILINE)[1]] = after
        checked = {function: after for function, after in functions.items() if graded(after).get("grade")}
        for function, after in checked.items():
            check = re.fullmatch(rf"kdlab\.check\.(\w+)\({function}(?:, [\d.]+)?\)", stripped(after).strip())
            assert check, stripped(after)
            assert check[1] in kdlab.check.__all__
            assert check[1] == "experiment" or f"kdlab.check.{check[1]}({function}, seed=" in after.source
        # A function without a check of its own is there for the next one.
        for function in set(functions) - set(checked):
            assert any(f"{function}(" in cell.source for cell in code if graded(cell).get("solution")), (name, function)
    assert len(each("checked")) == len(each("exercise"))


def test_cells_are_short_and_names_of_panels_are_functions_of_their_own():
    for book in SHEETS.values():
        for cell in book.cells:
            if cell.cell_type == "code":
                lines = [line for line in cell.source.splitlines() if line.strip() and "### " not in line]
                assert len(lines) <= 12, cell.source
                assert not [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.ClassDef)]


def test_a_panel_is_driven_by_the_readers_function():
    for book in SHEETS.values():
        functions = set()
        for cell in book.cells:
            if graded(cell).get("solution") and cell.cell_type == "code":
                functions |= set(re.findall(r"^def (\w+)", cell.source, re.MULTILINE))
            elif "panel" in cell.metadata.get("tags", []):
                assert "lab.interact(" in cell.source
                assert [f for f in functions if re.search(rf"\b{f}\(", cell.source)], cell.source


# ---- what its cells do


def as_students_get_it(name):
    """A sheet without its solutions; only the cells that are graded may raise."""
    book = nbformat.reads(without_solutions((FOLDER / f"{name}.ipynb").read_text("utf-8")), as_version=4)
    for cell in book.cells:
        if cell.cell_type == "code" and graded(cell).get("grade"):
            cell.metadata.tags = ["raises-exception"]
    return book


@pytest.fixture(scope="module")
def executed():
    """All sheets, each run from top to bottom and from an empty namespace, in one kernel: solved, then as students get it.

    What is set up is the same for both, and takes longest: it stays.
    """
    whole, ends = nbformat.v4.new_notebook(), {}
    for name, book in SHEETS.items():
        for kind, one in (("solved", nbformat.from_dict(book)), ("untouched", as_students_get_it(name))):
            before = "%reset -f" if kind == "solved" else ""
            if kind == "untouched":
                one.cells = [cell for cell in one.cells if "setup" not in cell.metadata.get("tags", [])]
            whole.cells += [nbformat.v4.new_code_cell(before), *one.cells, nbformat.v4.new_code_cell(EVERY_PANEL)]
            ends[kind, name] = len(whole.cells)
    wrong = nbformat.v4.new_code_cell("kdlab.check.memory(lambda sizes: (1, 2))")
    wrong.metadata.tags = ["raises-exception"]
    whole.cells += [nbformat.v4.new_code_cell("import kdlab"), wrong]
    run(whole, FOLDER)
    found, start = {}, 0
    for name, end in ends.items():
        found[name], start = whole.cells[start + 1 : end], end
    return found, whole.cells[-1]


@pytest.mark.parametrize("name", SHEETS)
def test_the_solutions_pass_their_checks_and_drive_the_panels(executed, name):
    *sheet, panels = executed[0]["solved", name]
    for cell in sheet:
        if cell.cell_type != "code":
            continue
        said = "error" if graded(cell).get("grade") else ("error", "stream")  # a check prints
        assert not [o for o in cell.outputs if o.output_type in said], cell.source
        if graded(cell).get("grade"):
            (output,) = cell.outputs
            assert output.text.startswith("✓ Right. ")
        shown = graded(cell).get("grade") or {"frame", "panel"} & set(cell.metadata.get("tags", []))
        assert len(cell.outputs) == bool(shown), cell.source
    count, faults = ast.literal_eval(panels.outputs[-1].data["text/plain"])
    assert faults == {}
    assert count == sum("panel" in cell.metadata.get("tags", []) for cell in sheet)


@pytest.mark.parametrize("name", SHEETS)
def test_an_untouched_sheet_runs_and_says_of_every_function_that_it_is_not_written_yet(executed, name):
    *sheet, panels = executed[0]["untouched", name]
    for cell in sheet:
        if cell.cell_type == "code" and graded(cell).get("grade"):
            (output,) = cell.outputs
            assert output.ename == "WrongAnswerError", cell.source
            assert output.evalue.endswith("is not written yet: put your code in place of “raise NotImplementedError”.")
    count, faults = ast.literal_eval(panels.outputs[-1].data["text/plain"])
    assert count == sum("panel" in cell.metadata.get("tags", []) for cell in sheet)
    assert all(fault.startswith("NotImplementedError (line ") for fault in faults.values()), faults
    assert len(faults) >= count - sum("manual=" in cell.source for cell in sheet)


def test_a_notebook_shows_a_wrong_answer_as_one_sentence(executed):
    (output,) = executed[1].outputs
    assert output.output_type == "error"
    assert output.ename == "WrongAnswerError"
    (line,) = output.traceback
    assert line.startswith("✗ Not quite. your function returns a wrong flash: ")
