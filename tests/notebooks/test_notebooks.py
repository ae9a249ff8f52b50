"""Every notebook runs from top to bottom and is what it should be.

A chapter calls ``lab.interact``; the home page is prose and cards. Without the cells that only make sense with code they
run in the tests of the pages, too.
"""

import ast
import builtins
import copy
import re
import symtable
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest

from kdlab import softmax
from kdlab.lab.handout import run
from kdlab.lab.pages import CHAPTERS, HOME, notebooks_folder

FOLDER = notebooks_folder()
BOOKS = {path.name: nbformat.read(path, as_version=4) for path in sorted(FOLDER.glob("*.ipynb"))}
TAGS = {"setup", "frame", "lab"}  # shows nothing; header, page and footer; only with code
PLOTTING = {"matplotlib", "pyplot", "plt", "subplots", "axes", "gca", "add_subplot", "imshow", "scatter", "set_xlabel"}

# What a reader may do to every panel: see its first result, and move its sliders to the one end and the other. What takes
# a button is stopped as soon as it asks whether to: its whole run is for the tests of the page. The first result of a panel
# with sliders that they wait for, and what takes a button that they press, is not computed here again. U-Nets have every
# third tile: the teacher answers for eight views of each before the first epoch.
EVERY_PANEL = """
from functools import partial

import psutil
from ipywidgets import FloatLogSlider, FloatSlider
from ipywidgets.widgets.widget import _instances
from kdlab import segmentation
from kdlab.lab import Panel, Progress

segmentation.load_tiles = partial(segmentation.load_tiles, stride=3 * segmentation.TILE)

def at_end(control, top):
    if isinstance(control, FloatLogSlider):
        return control.base ** (control.max if top else control.min)
    if isinstance(control, FloatSlider):
        return control.max if top else control.min
    return control.value

panels, faults = [widget for widget in _instances.values() if isinstance(widget, Panel)], {{}}
for panel in panels:
    if panel._button and any(text in panel._name for text in {pressed!r}):
        continue
    name, values = panel.function.__name__, panel._now()
    sliders = any(isinstance(control, (FloatLogSlider, FloatSlider)) for control in panel.controls.values())
    runs = [values] if panel._button or not sliders else [*([] if name in {shown!r} else [values]), *(
        {{name: at_end(control, top) for name, control in panel.controls.items()}} for top in (False, True)
    )]
    for values in runs:
        stopped = Progress()
        stopped.stop()
        panel._compute(values, progress=stopped if panel._button and panel._wants_progress else None)
        if panel._state.state != "idle" and not panel._state.message.startswith("Stopped"):
            faults[f"{{name}}({{values}})"] = panel._state.message
len(panels), faults, psutil.Process().memory_full_info().uss / 1e6
"""
MOST_MEMORY = 1000  # MB that are the kernel's own; what a server takes a page for is less, as few move every slider


def of_page_tests(name):
    """What the tests of a notebook's page do with its panels: {"shown": names of functions, "pressed": texts of buttons}.

    A page that is printed shows all of them.
    """
    files = [file.read_text("utf-8") for file in Path(__file__).parents[1].joinpath("browser").glob("test_*_page.py")]
    (tests,) = [text for text in files if f'NAME = "{name.removesuffix(".ipynb")}"' in text]
    functions = re.findall(r"lab\.interact\((\w+)", "\n".join(cell.source for cell in code_cells(BOOKS[name])))
    shown = {function for function in functions if f'"{function}"' in tests or '"Print this page"' in tests}
    return {"shown": shown, "pressed": set(re.findall(r'"button", name="([^"]+)"', tests))}


def is_new(book):
    return any("lab.interact(" in cell.source for cell in book.cells if cell.cell_type == "code")


def code_cells(book, *but):
    return [c for c in book.cells if c.cell_type == "code" and not set(but) & tags(c)]


def tags(cell):
    return set(cell.metadata.get("tags", []))


LABS = [name for name, book in BOOKS.items() if is_new(book)]


def executed(book, extra=""):
    """The notebook, run in a kernel as the pages have it, with a cell more at the end.

    What is computed by hand runs twice, as a reader may run a cell again: it comes to the same.
    """
    book = nbformat.from_dict(book)
    by_hand = [cell for cell in code_cells(book) if "lab" in tags(cell) and "by hand" in cell.source]
    for cell in by_hand:
        book.cells.insert(book.cells.index(cell), copy.deepcopy(cell))
    if extra:
        book.cells.append(nbformat.v4.new_code_cell(extra))
    run(book, FOLDER)
    return book


def test_every_page_has_its_notebook():
    assert {f"{name}.ipynb" for name in (HOME, *(page.name for page in CHAPTERS))} <= set(BOOKS)


@pytest.mark.parametrize("name", BOOKS)
def test_nothing_is_stored_but_the_text(name):
    for cell in code_cells(BOOKS[name]):
        assert cell.outputs == []
        assert cell.execution_count is None
    assert BOOKS[name].metadata.voila.template == "kdlab"
    assert BOOKS[name].metadata.title


@pytest.mark.parametrize("name", LABS)
def test_it_runs_computes_what_kdlab_does_and_every_panel_works_at_the_ends_of_its_sliders(name):
    *cells, last = code_cells(executed(BOOKS[name], EVERY_PANEL.format(**of_page_tests(name))))
    assert_every_cell_shows_what_it_should(cells)
    check_against_kdlab("\n".join(o.data["text/plain"] for c in cells if "lab" in tags(c) for o in c.outputs))
    count, faults, memory = ast.literal_eval(last.outputs[-1].data["text/plain"])
    assert faults == {}
    assert memory < MOST_MEMORY
    assert count == sum("lab.interact(" in cell.source for cell in cells)
    assert len(last.outputs) == 1


@pytest.mark.parametrize("name", LABS)
def test_the_dashboard_needs_nothing_of_the_cells_that_it_leaves_out(name):
    assert missing(cell.source for cell in code_cells(BOOKS[name], "lab")) == set()


def missing(sources):
    """The names that these sources use and do not make."""
    tables, used, made = [symtable.symtable("\n".join(sources), "cells", "exec")], set(), {*vars(builtins), "__file__"}
    made |= {symbol.get_name() for symbol in tables[0].get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    while tables:
        table = tables.pop()
        used |= {s.get_name() for s in table.get_symbols() if s.is_referenced() and s.is_global()}
        tables += table.get_children()
    return used - made


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["def f(x):\n    return [y + z for y in x]", "f([1])"], {"z"}),
        (["import numpy as np", "a = np.ones(3)", "a.sum() + b"], {"b"}),
        (["f = lambda x: g(x)", "def g(x):\n    import math\n    return math.pi * x * len('a')"], set()),
    ],
)
def test_a_missing_name_is_found(sources, names):
    assert missing(sources) == names


@pytest.mark.parametrize("name", LABS)
def test_a_traced_function_holds_nothing_that_a_reader_makes_anew_in_another_cell(name):
    """It would go on with the old student, and the number below would be that of one that nobody trained."""
    sources = [cell.source for cell in code_cells(BOOKS[name])]
    imported = {used.split(".")[-1] for source in sources for used in uses(source)}
    for source in sources:
        if "tf.function" in source:
            assert missing([source]) - imported == set()


def test_panels_with_a_scenario_show_the_teacher_that_teaches_in_it():
    sources = [cell.source for cell in code_cells(BOOKS["02_response_based_kd.ipynb"])]
    (teachers,) = [source for source in sources if "def teacher_on_test" in source]
    labels, logits = np.arange(6) % 3, np.random.default_rng(0).normal(0, 2, (11, 6, 3))
    names = {"np": np, "softmax": softmax, "labels": labels, "teacher_says": logits[10]}
    names["taught"] = lambda seeds: SimpleNamespace(test_logits=logits[:seeds])
    exec(teachers, names)
    together = np.mean([softmax(of_one) for of_one in logits[:10]], axis=0)
    np.testing.assert_allclose(softmax(names["teacher_on_test"]("ensemble")), together)
    assert names["accuracy_of_teacher"]("ensemble") == np.mean(together.argmax(axis=1) == labels)
    assert names["accuracy_of_teacher"]("few") == np.mean(logits[10].argmax(axis=1) == labels)
    for source in sources:
        if re.search(r"^def \w+\(.*\bscenario\b", source, re.MULTILINE) and source != teachers:
            assert not re.search(r"\bteacher_says\b", source), source


def assert_every_cell_shows_what_it_should(cells):
    for cell in cells:
        kinds = [o.output_type for o in cell.outputs]
        one = ["display_data" if "lab.interact(" in cell.source else "execute_result"]
        assert kinds == ([] if "setup" in tags(cell) else one) or ("lab" in tags(cell) and kinds == []), cell.source


def check_against_kdlab(said):
    """What the lab cells computed by hand is what kdlab computes; what they trained is about as good."""
    compared = 0
    for difference in re.findall(r"difference[^:]*: ([-+.e\d]+)", said):
        assert float(difference) < 1e-5, said
        compared += 1
    for hand, other, by in re.findall(r"by hand ([.\d]+), (\w+) ([.\d]+)", said):
        # Accuracies, too, are of students with the same weights: in float32 one of 600 digits may fall otherwise.
        assert float(hand) == pytest.approx(float(by), abs=1e-6 if other == "kdlab" else 1.1 / 600), said
        compared += 1
    for right in re.findall(r"right of 600: shipped (\d+), trained now (\d+)", said):
        assert min(map(int, right)) >= 550, said
    for distilled, alone in re.findall(r"distilled ([.\d]+)%, alone ([.\d]+)%", said):
        assert float(distilled) > float(alone), said
    assert compared


@pytest.mark.parametrize(
    ("said", "fits"),
    [
        ("largest difference to kdlab.softmax: 2.2e-16", True),
        ("largest difference to kdlab: 1e-3", False),
        ("by hand 1.234567, kdlab 1.234567", True),
        ("by hand 1.234567, kdlab 1.234667", False),
        ("by hand 0.8750, LiveTrainer 0.8733", True),
        ("by hand 0.8750, LiveTrainer 0.8800", False),
        ("nothing is compared", False),
    ],
)
def test_a_cell_that_does_not_compute_what_kdlab_does_is_found(said, fits):
    if fits:
        check_against_kdlab(said)
    else:
        with pytest.raises(AssertionError):
            check_against_kdlab(said)


@pytest.mark.parametrize("name", LABS)
def test_cells_are_short_thoughts_without_classes_or_plotting(name):
    for cell in code_cells(BOOKS[name]):
        assert sum(map(bool, cell.source.splitlines())) <= 12, cell.source
        assert tags(cell) <= TAGS
        found = faults_of(cell.source)
        assert found == [], cell.source


def faults_of(source):
    """What a cell must not have: classes, and names of plotting."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            found.append(f"class {node.name}")
        names = []
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [
                *(getattr(node, "module", None) or "").split("."),
                *(p for a in node.names for p in a.name.split(".")),
            ]
        elif isinstance(node, (ast.Name, ast.Attribute)):
            names = [getattr(node, "id", None) or getattr(node, "attr", "")]
        found += sorted(PLOTTING.intersection(names))
    return found


def uses(source):
    """The modules of kdlab that a source imports from, and whether it is kdlab itself."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def core_of(book):
    """The names below the lab that a notebook's cells import from kdlab."""
    names = {name for cell in code_cells(book) for name in uses(cell.source) if name.split(".")[0] == "kdlab"}
    return {name for name in names if not f"{name}.".startswith(("kdlab.lab.", "kdlab.figures."))}


@pytest.mark.parametrize("name", LABS)
def test_it_calls_the_core_and_not_only_the_lab(name):
    assert core_of(BOOKS[name])
    assert any(re.search(r"\bkdlab\.(?!lab\b)\w+", cell.source) for cell in code_cells(BOOKS[name], "frame", "lab"))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("class Mine:\n    pass", ["class Mine"]),
        ("import matplotlib.pyplot as plt\nplt.plot([1])", ["matplotlib", "pyplot", "plt"]),
        ("figure, axes = Figure().subplots(1)", ["axes", "subplots"]),
        ("from matplotlib.figure import Figure", ["matplotlib"]),
        ("figures.bars({'a': [1, 2]})", []),
        ("# a class of plots\nx = 'plt.plot'", []),
    ],
)
def test_classes_and_plotting_are_seen(source, found):
    assert sorted(faults_of(source)) == sorted(found)


@pytest.mark.parametrize(
    ("source", "core"),
    [
        ("from kdlab import lab\nfrom kdlab.lab import questions\nfrom kdlab import figures", set()),
        ("import kdlab", {"kdlab"}),
        ("from kdlab import evaluation, lab", {"kdlab.evaluation"}),
        ("from kdlab.scenarios import SCENARIOS", {"kdlab.scenarios.SCENARIOS"}),
    ],
)
def test_what_is_of_the_core_is_seen(source, core):
    assert core_of(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])) == core


# ---- the home page


def test_the_home_page_is_prose_pictures_and_cards():
    cells = code_cells(executed(BOOKS[f"{HOME}.ipynb"]))
    assert [[o.output_type for o in cell.outputs] for cell in cells] == [["execute_result"]] * len(cells)
    assert all(cell.source.splitlines()[-1].startswith(("pages.", ")")) for cell in cells)
