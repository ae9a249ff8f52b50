"""Every notebook runs from top to bottom, and is what it should be: prose, and one call per panel."""

import re

import nbformat
import pytest
from nbclient import NotebookClient

from kdlab.lab.pages import CHAPTERS, HOME, notebooks_folder

FOLDER = notebooks_folder()
NOTEBOOKS = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS)
def notebook(request):
    return request.param, nbformat.read(FOLDER / request.param, as_version=4)


def test_every_page_has_its_notebook_and_every_notebook_its_page():
    assert sorted(f"{name}.ipynb" for name in (HOME, *(page.name for page in CHAPTERS))) == NOTEBOOKS


def test_it_runs(notebook):
    name, book = notebook
    NotebookClient(book, timeout=120, resources={"metadata": {"path": str(FOLDER)}}).execute()
    shown = [o for cell in book.cells if cell.cell_type == "code" for o in cell.outputs]
    assert not [o for o in shown if o.output_type in ("error", "stream")], name
    assert len(shown) == sum(cell.cell_type == "code" for cell in book.cells)


def test_it_is_stripped_and_thin(notebook):
    _, book = notebook
    for cell in book.cells:
        if cell.cell_type != "code":
            continue
        assert cell.outputs == []
        assert cell.execution_count is None
        assert len(cell.source.splitlines()) <= 5
        assert not re.search(r"\b(def|class|lambda|for|plt)\b", cell.source)
    assert book.metadata.voila.template == "kdlab"
    assert book.metadata.title
