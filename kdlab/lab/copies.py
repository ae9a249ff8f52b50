"""A reader's own copy of the notebooks, with the exercise sheets' solutions in a folder of their own."""

import json
import re

from ..cache import ELSEWHERE, explained
from .pages import notebooks_folder

# nbgrader's marks of what a student does not see, with the mark's own indentation.
_SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION", re.MULTILINE | re.DOTALL)
_HIDDEN = re.compile(r"\n[ \t]*### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS", re.DOTALL)
_STUBS = {"code": r"\1# Write your code here.\n\1raise NotImplementedError()", "markdown": r"\1Write your answer here."}


def copy_notebooks(folder):
    """Copy the shipped notebooks and their pictures to ``folder``; return the names of files there that differ.

    Those are kept: nothing is written over. Exercise sheets come without their solutions, which are in
    ``exercises/solutions``.
    """
    source, kept = notebooks_folder(), []
    if folder.resolve() == source.resolve():
        return kept
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        name, content = file.relative_to(source), file.read_bytes()
        if any(part.startswith((".", "__")) for part in name.parts):
            continue
        if name.parts[0] == "exercises":
            kept += _write(folder, name.parent / "solutions" / name.name, content)
            content = without_solutions(content.decode()).encode()
        kept += _write(folder, name, content)
    return sorted(kept)


def without_solutions(sheet):
    """Return an exercise sheet, the text of its file, with a line to be replaced in place of each solution.

    What the instructor's guide says the experiments come to, in the cells' metadata, is left out as well.
    """
    book = json.loads(sheet)
    for cell in book["cells"]:
        cell["metadata"].get("kdlab", {}).pop("expected", None)
        text = "".join(cell["source"])
        if cell["cell_type"] in _STUBS:
            text = _HIDDEN.sub("", _SOLUTION.sub(_STUBS[cell["cell_type"]], text))
        cell["source"] = text.splitlines(keepends=True)
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def _write(folder, name, content):
    """Write a file that is not there; return its name, in a list, if one is there that differs."""
    target = folder / name
    with explained(target.parent, ELSEWHERE):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("xb") as copy:
                copy.write(content)
        except FileExistsError:
            return [] if target.is_file() and target.read_bytes() == content else [name.as_posix()]
    return []
