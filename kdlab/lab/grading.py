"""What nbgrader's settings of a course use: ``kdlab course`` writes their names into them."""

import uuid

from nbgrader.preprocessors import DeduplicateIds, OverwriteCells


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
    """Adds back the checks that a student has deleted, each behind what of the sheet is there before it.

    nbgrader's own step fails where that is gone, too, and makes cells without the id that they must have. Marks of cells of
    another sheet are taken away whole: a rest of them would be taken for damage.
    """

    add_missing_cells = True

    def preprocess_cell(self, cell, resources, cell_index):
        """Return the cell as the gradebook has it."""
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if "nbgrader" in cell.metadata and "grade_id" not in cell.metadata.nbgrader:
            del cell.metadata["nbgrader"]
        return cell, resources

    def add_missing_grade_cells(self, nb, resources):
        """Return the notebook with every cell that is graded."""
        sheet = self.gradebook.find_notebook(self.notebook_id, self.assignment_id)
        names = [cell.name for cell in sheet.source_cells]
        points = {cell.name: cell.max_score for cell in sheet.grade_cells}
        answers = {cell.name for cell in sheet.solution_cells}
        for place, name in enumerate(names):
            there = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in nb.cells]
            if name in points and name not in there:
                before = next((one for one in reversed(names[:place]) if one in there), None)
                source, answer = sheet.source_cells[place], name in answers
                cell = self.missing_cell_transform(source, points[name], is_solution=answer)
                if (nb.nbformat, nb.nbformat_minor) >= (4, 5):
                    cell["id"] = uuid.uuid4().hex[:8]
                nb.cells.insert(there.index(before) + 1 if before else 0, cell)
        return nb, resources
