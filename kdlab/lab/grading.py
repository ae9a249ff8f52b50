"""What nbgrader's settings of a course use: ``kdlab course`` writes their names into them."""

import uuid

from nbgrader.preprocessors import DeduplicateIds, OverwriteCells

__all__ = ["AddedBack", "CountedOnce"]


class CountedOnce(DeduplicateIds):
    """Takes of a cell that a student has copied the last, as nbgrader means to.

    Its own step leaves the others empty marks, which a later step takes for those of an old version, and so ends the
    grading of the whole class.
    """

    def preprocess_cell(self, cell, resources, cell_index):
        """Return the cell, without marks if there is another one of its name."""
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if cell.metadata.get("nbgrader") == {}:
            del cell.metadata["nbgrader"]
        return cell, resources


class AddedBack(OverwriteCells):
    """Adds back the checks that a student has deleted: nbgrader's own step leaves them without the id that cells must have."""

    add_missing_cells = True

    def missing_cell_transform(self, *source, **options):
        """Return the cell to add."""
        cell = super().missing_cell_transform(*source, **options)
        cell["id"] = uuid.uuid4().hex[:8]
        return cell
