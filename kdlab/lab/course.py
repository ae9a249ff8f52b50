"""``kdlab course``: the exercise sheets as an nbgrader course, with solutions, a test and a guide for the instructor.

nbgrader makes the student and solution sheets; here are the folder around them and the guide.
"""

import os
import re
import shutil
import sysconfig
import tempfile
from pathlib import Path

from ..cache import ELSEWHERE, explained, new_file, try_file
from ..mistakes import MISTAKES
from ..runs.results import markdown_table
from . import feature_questions, medical_questions, response_questions, temperature_questions, tinyml_questions
from .handout import executed
from .pages import CHAPTERS, notebooks_folder
from .tinyml import prepared

GRADEBOOK = "gradebook.db"
CONFIG = """# nbgrader's settings of this course; every `nbgrader` command in this folder reads them.
from nbgrader.preprocessors import CheckCellMetadata, ClearOutput, OverwriteKernelspec

from kdlab.lab.grading import AddedBack, CountedOnce

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "kdlab"
c.CourseDirectory.release_directory = "student"
c.CourseDirectory.solution_directory = "solutions"
c.Execute.timeout = 600  # seconds for a cell of a submission; some train students
c.Execute.kernel_manager_class = "kdlab.lab.kernels.KernelManager"  # on Linux a submission's is there in a third of a second
# Cells that a student has copied count once, and checks that one has deleted are added back.
c.Autograde.sanitize_preprocessors = [ClearOutput, CountedOnce, OverwriteKernelspec, AddedBack, CheckCellMetadata]
"""

# A chapter's questions on its page, in the chapters' order.
_QUESTIONS = (
    temperature_questions.temperature_questions,
    response_questions.response_questions,
    feature_questions.feature_questions,
    medical_questions.medical_questions,
    tinyml_questions.tinyml_questions,
)
TEST = ((0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 1))
"""The questions of the test before and after: (chapter, question on its page), both counted from 0; all need no slider."""

_BEGINNING = (
    (5, "The test, before anything is said (`test.md`, on paper or projected)."),
    (5, "What teacher and student are; predict together what becomes of the second and the fifth class (chapter 1)."),
)
PLANS = {
    55: (
        *_BEGINNING,
        (10, "Chapter 1, sections 1 to 3, in pairs: soften a digit, dark knowledge, the exponent of T."),
        (20, "Sheet 1, as far as each one gets; whoever is done starts chapter 2."),
        (10, "Chapter 2, sections 2 and 3, together: predict, then train at three positions. Where does it help?"),
        (5, "The test again."),
    ),
    110: (
        *_BEGINNING,
        (15, "Chapter 1, sections 1 to 3, in pairs: soften a digit, dark knowledge, the exponent of T."),
        (20, "Sheet 1, as far as each one gets."),
        (15, "Chapter 2, sections 2, 3 and 5, together: predictions, few labels, all labels, the winner's curse."),
        (10, "Break."),
        (30, "Sheet 2; whoever is done chooses between chapters 3, 4 and 5."),
        (5, "Two groups show an experiment of theirs: the interval first, then the claim."),
        (5, "The test again."),
    ),
}
"""Minutes and what happens in them."""


def write_course(folder, force=False, sheets=None, say=print):
    """Write the course to ``folder``: source/, student/, solutions/, guide.md, test.md, and nbgrader's settings and gradebook.

    ``sheets`` is the folder of the sheets, by default the shipped ones. A solution that fails, and a file that is there,
    unless ``force`` replaces it, raise ValueError; a gradebook that is there is kept and only told of the sheets.
    Nothing else in ``folder`` is touched, and nothing at all before everything is made.
    """
    import nbformat

    folder, found = Path(folder), sorted(Path(sheets or notebooks_folder() / "exercises").glob("*.ipynb"))
    if not found:
        raise ValueError(f"there are no exercise sheets in {sheets or notebooks_folder() / 'exercises'}")
    made = ["nbgrader_config.py", "guide.md", "test.md"]
    made += [f"{part}/{file.stem}/{file.name}" for part in ("source", "student", "solutions") for file in found]
    there = [] if force else [folder / name for name in made if (folder / name).exists()]
    if there:
        raise ValueError(f"{there[0]} exists already; --force replaces what kdlab course wrote, or give another folder")
    _try_folder(folder)
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        if (folder / GRADEBOOK).exists():
            shutil.copy(folder / GRADEBOOK, work)
        (work / "nbgrader_config.py").write_text(CONFIG, "utf-8")
        known, books = {}, {}
        for file in found:
            (work / "source" / file.stem).mkdir(parents=True)
            book = nbformat.read(file, as_version=4)
            known[file.stem] = _take_expected(book)
            nbformat.write(book, work / "source" / file.stem / file.name)
        _generate(work)
        for file in found:
            say(f"Running the solutions of {file.stem} …")
            path = work / "solutions" / file.stem / file.name
            books[file.stem] = book = nbformat.read(path, as_version=4)
            try:
                words = executed(book, path.parent)
            except ValueError as error:
                raise ValueError(f"the solution of {file.stem} fails: {error}") from error
            nbformat.write(book, path)
            book.metadata.words, book.metadata.expected = words, known[file.stem]  # for the guide alone
        (work / "test.md").write_text(test_sheet(), "utf-8")
        (work / "guide.md").write_text(guide(books), "utf-8")
        for name in (*made, GRADEBOOK):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with new_file(folder / name, ELSEWHERE) as file:
                file.write((work / name).read_bytes())


def _try_folder(folder):
    """Raise what writing to the folder would raise, before solutions are run for nothing; leave no new one."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    with explained(folder, ELSEWHERE):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        try_file(folder / "guide.md", ELSEWHERE)
    finally:
        for path in made:
            path.rmdir()


def _take_expected(book):
    """Take what its experiments come to out of a sheet's metadata, which students get; return {number of the exercise: text}."""
    told = [cell.metadata.kdlab for cell in book.cells if "expected" in cell.metadata.get("kdlab", {})]
    return {about.exercise: about.pop("expected") for about in told}


def _generate(root):
    """Let nbgrader make the student sheets, the gradebook and the solutions, not yet executed, of ``root``/source."""
    from nbgrader.converters import GenerateAssignment, GenerateSolution
    from nbgrader.converters.base import NbGraderException
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.preprocessors import ClearMarkScheme, ClearOutput, LockCells
    from traitlets.config import PyFileConfigLoader

    if not shutil.which("alembic"):  # which nbgrader runs by its name; it is beside a Python that nobody has activated
        os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), sysconfig.get_path("scripts")])
    config = PyFileConfigLoader("nbgrader_config.py", str(root)).load_config()
    course = CourseDirectory(config=config, root=str(root), assignment_id="*")
    try:
        GenerateAssignment(coursedir=course, config=config).start()
        # Without nbgrader's own execution, which computes no panel.
        unexecuted = [LockCells, ClearOutput, ClearMarkScheme]
        GenerateSolution(coursedir=course, config=config, preprocessors=unexecuted).start()
    except NbGraderException as error:
        raise ValueError(f"nbgrader could not make the sheets: {error}") from error


# ---- the test before and after


def choices_of(question):
    """Return a choice's options as (text, whether it is right, what is said of it), in their order."""
    answers = [question.check(k) for k in range(len(question.choices))]
    return [(text, a.correct, a.message) for text, a in zip(question.choices, answers, strict=True)]


def _test_questions():
    return [_QUESTIONS[chapter]().asked[place] for chapter, place in TEST]


def test_sheet():
    """Return the test of eight questions as Markdown, without the answers."""
    parts = ["# Knowledge distillation: eight questions\n\nName: ________  Date: ________  ☐ before  ☐ after\n"]
    for number, question in enumerate(_test_questions(), 1):
        options = [f"- ☐ {letter}. {text}" for letter, text in zip("ABCDEFGH", question.choices, strict=False)]
        parts.append(f"**{number}.** {question.prompt}\n\n" + "\n".join(options) + "\n")
    return "\n".join(parts)


def _key():
    rows = []
    for number, question in enumerate(_test_questions(), 1):
        options = zip("ABCDEFGH", choices_of(question), strict=False)
        rows += [(number, letter, why) for letter, (_, right, why) in options if right]
    return markdown_table(["", "answer", "because"], rows)


# ---- the guide


def expected():
    """Yield what the predictions of chapters 2 and 3 come to: the question, the right answer, mean and interval; trained now."""
    from ..backend import keras
    from ..live.trainer import LiveTrainer
    from ..models import mlp
    from ..teachers.digits import digits_teacher

    def trainer(scenario, hidden, **features):
        made = prepared(scenario)
        lasting = {"epochs": made.epochs, "batch_size": made.batch_size}
        return LiveTrainer(made.data, mlp(64, hidden, 10), made.teacher_logits, **lasting, **features)

    def with_features(scenario):
        teacher = digits_teacher()
        layer = keras.Model(teacher.inputs, teacher.get_layer("hidden_2").output)
        seen = layer.predict(prepared(scenario).data.train.x, verbose=0)
        return trainer(scenario, (16, 16), teacher_features={"hidden_2": seen})

    for question in (
        *response_questions.predict_students(trainer).asked,
        *feature_questions.predict_features(with_features).asked,
    ):
        [(text, _, why)] = [option for option in choices_of(question) if option[1]]
        yield question.prompt, text, why


def guide(books):
    """Return the instructor's guide as Markdown, from the executed solution ``books``, {sheet's name: notebook}."""
    predictions = markdown_table(["asked", "what happens", "by how much, with its 95 % interval"], expected())
    parts = [
        OPENING,
        "## Plans",
        *(f"### {minutes} minutes\n\n{markdown_table(['minutes', ''], steps)}" for minutes, steps in PLANS.items()),
        ABOUT_THE_TEST,
        _key(),
        "## What the predictions of chapters 2 and 3 come to",
        predictions,
    ]
    return "\n\n".join([*parts, *(_sheet(*item) for item in books.items())]) + "\n"


OPENING = """# Teaching with kdlab: a guide for the instructor

- `student/`: the sheets to hand out. `solutions/`: the same with solutions, executed. `source/`: what both are made from.
- `test.md`: the test before and after, to print.
- Handing in: on a shared machine through nbgrader's exchange (`nbgrader release_assignment SHEET`, students fetch and submit,
  `nbgrader collect SHEET`); from anywhere else, put the files at `submitted/NAME/SHEET/SHEET.ipynb`.
- Grading: in this folder `nbgrader autograde SHEET` and `nbgrader generate_feedback SHEET`; `nbgrader export` writes the scores as
  a table. Functions and values are graded, no widget is; the answers in words wait for you (in JupyterLab: *Nbgrader*,
  *Formgrader*). A file that you have replaced is graded again by `nbgrader autograde SHEET --student NAME --force`.
- Numbers below were computed when this file was written, unless it says otherwise beside them. Minutes are estimates of the
  authors, not yet measured in a class."""


ABOUT_THE_TEST = """## The test before and after

The same eight questions twice; do not go through the answers after the first time. Questions 1 and 2 belong to chapter 1, 3 and 4
to chapter 2 (4 to its section 5), 5 to 7 to chapter 3, and 8 to chapter 4: the plan of 55 minutes teaches 1 to 3, that of
110 minutes 1 to 4.
Score the n questions that were taught, and report the normalised gain of those who sat both tests,
(after − before) / (n − before) of their mean scores ([Hake 1998](https://doi.org/10.1119/1.18809)), and how many they are."""


def _sheet(name, book):
    """Return the section on a sheet: its exercises, expected results, misconceptions."""
    about = book.metadata.get("kdlab", {})
    chapter = next((k for k, page in enumerate(CHAPTERS) if page.name == about.get("chapter")), None)
    page = CHAPTERS[chapter] if chapter is not None else None
    rows, points = _exercises(book)
    facts = [f"{about['minutes']} minutes"] if "minutes" in about else []
    facts += [f"{points:g} points", *([f"after chapter {chapter + 1} ({page.minutes} minutes)"] if page else [])]
    parts = [f"## {book.metadata.get('title', name)}", ", ".join(facts) + "."]
    if page:
        parts.append(f"**Goals.** {_goals(page)}")
    if rows:
        parts.append(markdown_table(["", "exercise", "you will be able to", "minutes", "points"], rows))
    results = _results(book)
    if results:
        parts.append(f"**Expected.** What the solutions show:\n\n{results}")
    for exercise, text in book.metadata.get("expected", {}).items():
        parts.append(f"**Exercise {exercise}, with its spread** (trained by the authors, with the solution). {text}")
    wrong = [*_of_checks(book), *(_of_questions(_QUESTIONS[chapter]()) if page else ())]
    if chapter == 1:
        wrong += [f"{m.title}: {m.what} (seen in: {m.found})" for name, m in MISTAKES.items() if name != "none"]
    if wrong:
        parts.append("**Misconceptions.**\n\n" + "\n".join(f"- {line}" for line in wrong))
    return "\n\n".join(parts)


def _exercises(book):
    """Return a table's rows of a sheet's exercises, and the points of them all."""
    rows, points = [], []
    for cell in book.cells:
        about = cell.metadata.get("kdlab", {})
        if "exercise" in about:
            rows.append(about)
            points.append(0)
        mark = cell.metadata.get("nbgrader", {})
        if mark.get("grade"):
            points = points or [0]
            points[-1] += mark.points
    return [(r.exercise, r.title, r.goal, r.minutes, f"{p:g}") for r, p in zip(rows, points, strict=False)], sum(points)


def _goals(page):
    """Return what a chapter says that its reader will be able to do."""
    import nbformat

    text = "\n".join(
        cell.source for cell in nbformat.read(notebooks_folder() / f"{page.name}.ipynb", as_version=4).cells
    )
    found = re.search(r"\*\*You will be able to\*\*(.+?)\.\s", text, re.DOTALL)
    return f"You will be able to {' '.join(found[1].split())}." if found else page.sentence


def _results(book):
    """Return the words and numbers that an executed sheet and its panels show, under the headings they stand under."""
    heading, lines = "", []
    for cell in book.cells:
        if cell.cell_type == "markdown":
            found = re.findall(r"^##? +(.+)", cell.source, re.MULTILINE)  # three are nbgrader's marks
            heading = found[-1] if found else heading
            continue
        panel = re.search(r"\binteract\((\w+)", cell.source)
        said = [book.metadata.words.get(panel[1], "")] if panel else [*map(_text, cell.outputs)]
        lines += [f"- {heading}: {text}" for text in said if text and not text.startswith(("<", "✓"))]
    return "\n".join(lines)


def _text(output):
    text = output.get("text", "") if output.get("name") == "stdout" else output.get("data", {}).get("text/plain", "")
    return " ".join(text.split())[:300]


def _of_checks(book):
    """Return the sentences on the mistakes by name that the checks in a sheet know."""
    from .. import check

    source = "\n".join(cell.source for cell in book.cells if cell.cell_type == "code")
    for name in dict.fromkeys(re.findall(r"\bcheck\.(\w+)\(", source)):
        mistakes = getattr(getattr(check, name), "mistakes", tuple)()  # some only look at a form
        if mistakes:
            yield "\n".join([f"`kdlab.check.{name}` knows:", *(f"  - {sentence}" for sentence in mistakes)])


def _of_questions(asked):
    """Return a page's questions, each with its wrong answers and what is to be said to them."""
    for question in asked.asked:
        if question.choices:
            wrong = [f"  - “{text}”: {why}" for text, right, why in choices_of(question) if not right]
            yield "\n".join([f"*{question.prompt}*", *wrong])
