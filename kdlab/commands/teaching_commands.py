"""``kdlab course`` and ``kdlab handout``: what a lecturer prints, hands out and grades."""

from ..checks import check_count
from ..lab.pages import CHAPTERS
from .run_arguments import checked, new_folder, of_extra


def add_teaching(commands):
    """Add the two commands to argparse's ``commands``; each sets ``run``, which takes the options."""
    course = commands.add_parser(
        "course",
        help="write exercise sheets, solutions and an instructor's guide, for nbgrader",
        description="Write a course for nbgrader: student sheets, executed solutions, an instructor's guide and a test.",
    )
    _add_folder(course)
    course.set_defaults(run=_course, command="course")

    handout = commands.add_parser(
        "handout",
        help="write the chapters as pages that need no kernel and no network",
        description="Execute the chapters and write them as HTML: figures, code, and softened bars that still move. The first time, "
        "npm fetches 5 MB: what shows ipywidgets without a kernel.",
    )
    _add_folder(handout)
    handout.add_argument(
        "--chapter",
        type=checked(check_count, int, most=len(CHAPTERS)),
        action="append",
        metavar="N",
        help="only this chapter; may be given several times (default: the home page and all chapters)",
    )
    handout.set_defaults(run=_handout, command="handout")


def _add_folder(parser):
    parser.add_argument("folder", metavar="DIR", type=new_folder, help="where to write; made if it is not there")
    parser.add_argument("--force", action="store_true", help="replace files that an earlier run wrote")


def _course(options):
    with of_extra("course", "kdlab course"):
        import nbgrader  # noqa: F401 - before anything is computed

        from ..lab.course import write_course

        write_course(options.folder, options.force)
    print(f"The course is in {options.folder}; guide.md says how to use it.")


def _handout(options):
    with of_extra("course", "kdlab handout"):
        import latex2mathml.converter  # noqa: F401
        import nbclient  # noqa: F401 - all before anything is computed

        from ..lab.handout import write_handout

        chapters = sorted(set(options.chapter or ()))
        write_handout(options.folder, [CHAPTERS[k - 1].name for k in chapters], options.force)
    print(f"The pages are in {options.folder}; open one in a browser.")
