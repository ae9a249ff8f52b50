"""The command line without TensorFlow: help, arguments, and what is refused before anything is loaded."""

import gc
import json
import signal
import subprocess
import sys
import time
import weakref

import nbformat
import pytest

from kdlab.commands import command_line, run_arguments
from kdlab.commands.command_line import main
from kdlab.lab.copies import without_solutions
from kdlab.lab.kernels import NOT_FORKED
from kdlab.lab.pages import notebooks_folder
from kdlab.runs.unfinished import exclusive_lock

COMMANDS = ("train", "distill", "sweep")
TRAIN = ["train", "--data", "digits", "--model", "mlp", "--out", "a.keras"]
SETTINGS = ("epochs", "batch_size", "learning_rate", "seed", "patience", "mixed_precision", "tensorboard")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder to work in, with a file that calls itself a teacher."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "teacher.keras").write_bytes(b"not looked at here")
    return tmp_path


def refused(arguments, capsys):
    """Run a command that must fail with exit code 2 and one line, which is returned."""
    try:
        code = main(arguments)
    except SystemExit as left:  # argparse
        code = left.code
    out, error = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert error.count("\n") == 1
    assert error.startswith("kdlab: ")
    return error


def others(command):
    """Arguments that are right."""
    if command == "train":
        return ["--data", "digits", "--model", "mlp"]
    return ["--data", "digits", "--teacher", "teacher.keras", "--student", "mlp"]


def test_help_is_there_without_tensorflow():
    script = (
        "import sys\nfrom kdlab.commands.command_line import main\n"
        "for arguments in (['--help'], ['train', '--help'], ['distill', '--help'], ['sweep', '--help'], ['export', '--help']):\n"
        "    try:\n        main(arguments)\n    except SystemExit as left:\n        assert left.code == 0\n"
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'rich', 'scipy'} & set(sys.modules)\n"
        "sys.stderr.write(' '.join(sorted(heavy)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stderr == ""
    for words in ("train a model on your data", "--temperatures T,T,…", "--lambda L", "30 to 200)"):
        assert words in done.stdout


def test_defaults_are_those_of_the_package(folder):
    from kdlab import Distiller, models
    from kdlab.runs import runs

    by_size = {"epochs", "batch_size", "patience"}  # these follow from the number of samples, unless they are given
    for command in COMMANDS:
        out = "a.csv" if command == "sweep" else "a.keras"
        options = command_line._parser(command_line._top_options()).parse_args(
            [command, *others(command), "--out", out]
        )
        given = {name: value for name, value in vars(options).items() if name in SETTINGS}
        assert given == {name: None if name in by_size else getattr(runs.Settings(), name) for name in SETTINGS}
    options = command_line._parser(command_line._top_options()).parse_args(
        ["distill", *others("distill"), "--out", "a.keras"]
    )
    ours = {"temperature": options.temperature, "alpha": options.alpha}
    assert Distiller.__init__.__kwdefaults__.items() >= ours.items()
    for name in models.NAMES:
        assert name in run_arguments.MODELS


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--epochs", "0"], "--epochs: must be a whole number of at least 1, got 0"),
        (["--epochs", "1.5"], "--epochs: must be a whole number of at least 1, got '1.5'"),
        (["--batch-size", "-4"], "--batch-size: must be a whole number of at least 1, got -4"),
        (["--seed", "x"], "--seed: must be a whole number of at least 0, got 'x'"),
        (["--learning-rate", "0"], "--learning-rate: must be a finite number above 0, got 0.0"),
        (["--learning-rate", "nan"], "--learning-rate: must be a finite number above 0, got nan"),
        (["--learning-rate", "fast"], "--learning-rate: must be a finite number above 0, got 'fast'"),
        (["--image-size", "0"], "--image-size: must be a whole number of at least 1, got 0"),
        (["--image-size", "9"], "--image-size scales the images of a folder, and --data digits is none; leave it out"),
        (
            ["--tensorboard", "teacher.keras"],
            "--tensorboard: must be a folder or the name of a new one, got 'teacher.k",
        ),
        (["--tensorboard", "teacher.keras/logs"], "--tensorboard: must be a folder or the name of a new one, got 'tea"),
        (["--mixed-precision", "half"], "--mixed-precision: invalid choice: 'half'"),
        (["--nonsense"], "unknown arguments: --nonsense"),
        (["--imag", "9"], "unknown arguments: --imag 9"),  # or a command that is suggested would repeat it
        (["--out", "model.h5"], "--out must be a file whose name ends in ."),
        (["--out", "."], "--out must be a file whose name ends in ."),
    ],
)
def test_bad_settings_are_one_line(folder, capsys, command, arguments, said):
    out = ["--out", "a.csv" if command == "sweep" else "a.keras"]
    assert said in refused([command, *others(command), *out, *arguments], capsys)
    assert [path.name for path in folder.iterdir()] == ["teacher.keras"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--temperature", "0"], "--temperature: must be a finite number above 0, got 0.0"),
        (["--temperature", "nan"], "--temperature: must be a finite number above 0, got nan"),
        (["--temperature", "inf"], "--temperature: must be a finite number above 0, got inf"),
        (["--alpha", "1.5"], "--alpha: must be a number from 0 to 1, got 1.5"),
        (["--alpha", "nan"], "--alpha: must be a number from 0 to 1, got nan"),
        (["--lambda", "-1"], "must make both losses' weights at least 0 and one of them more, got lambda_=-1"),
        (["--lambda", "nan"], "lambda_ must be a finite number, got nan"),
        (["--alpha", "0.5", "--lambda", "0.5"], "--lambda: not allowed with argument --alpha"),
        (["--teacher", "absent.keras"], "kdlab: there is no file absent.keras"),
        (["--teacher", "mlp"], "kdlab: there is no file mlp"),
        (["--student", "absent.keras"], "kdlab: there is no file absent.keras"),
        (["--student-alone", "."], "kdlab: . is a folder, not a .keras file"),
    ],
)
def test_bad_arguments_of_distill_are_one_line(folder, capsys, arguments, said):
    assert said in refused(["distill", *others("distill"), "--out", "a.keras", *arguments], capsys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--temperatures", "1,x"], "--temperatures: must be a finite number above 0, got 'x'"),
        (["--temperatures", "1,0"], "--temperatures: must be a finite number above 0, got 0.0"),
        (["--temperatures", "1,,2"], "--temperatures: must be a finite number above 0, got ''"),
        (["--temperatures", "1,2,1.0"], "--temperatures: must not hold a value twice, got '1,2,1.0'"),
        (["--alphas", "0.5,2"], "--alphas: must be a number from 0 to 1, got 2.0"),
        (["--seeds", "0"], "--seeds: must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_arguments_of_sweep_are_one_line(folder, capsys, arguments, said):
    assert said in refused(["sweep", *others("sweep"), "--out", "a.csv", *arguments], capsys)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_needed_is_asked_for(folder, capsys, command):
    said = refused([command], capsys)
    assert "required: --data" in said
    assert f"(kdlab {command} --help)" in said


@pytest.mark.parametrize(
    ("command", "exists"),
    [
        ("train", "a.keras"),
        ("train", "a.json"),
        ("train", "a.md"),
        ("distill", "a.keras"),
        ("distill", "a.alone.keras"),
        ("distill", "a.json"),
        ("sweep", "a.png"),
        ("sweep", "a.json"),
    ],
)
def test_no_file_is_written_over(folder, capsys, command, exists):
    (folder / exists).write_text("mine")
    out = "a.csv" if command == "sweep" else "a.keras"
    said = refused([command, *others(command), "--out", out], capsys)
    assert f"{exists} exists already; --force replaces it, or give another --out" in said
    assert (folder / exists).read_text() == "mine"


def test_a_folder_that_is_not_there_is_said(folder, capsys):
    said = refused([*TRAIN[:-1], "models/a.keras"], capsys)
    assert "the folder models of --out does not exist; make it first" in said


def test_a_second_copy_of_a_command_is_refused(folder, capsys):
    with exclusive_lock("a.keras"):
        said = refused(TRAIN, capsys)
    assert "another kdlab is writing a.keras now; let it end, or give another --out" in said
    assert [path.name for path in folder.iterdir()] == ["teacher.keras"]


@pytest.mark.parametrize(
    ("command", "option", "out"),
    [
        ("distill", "teacher", "teacher.keras"),
        ("distill", "student", "student.keras"),
        ("distill", "student-alone", "b.keras"),
        ("train", "model", "student.keras"),
        ("sweep", "data", "table.csv"),
        ("sweep", "data", "~/table.csv"),
    ],
)
def test_what_is_read_is_never_written_over_even_if_forced(folder, capsys, monkeypatch, command, option, out):
    monkeypatch.setenv("HOME", str(folder))
    out, given = out.removeprefix("~/"), out
    (folder / out).write_text("weights")
    said = refused([command, *others(command), f"--{option}", given, "--out", f"./{out}", "--force"], capsys)
    assert f"--out would overwrite --{option} {given}; give another --out" in said
    assert (folder / out).read_text() == "weights"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["teacher.keras", "--to", "tflite-int8", "--out", "a.tflite"], "--to tflite-int8 needs --data, the data that"),
        (["teacher.keras", "--to", "c-array", "--out", "a.h"], "--to c-array needs --data, the data that"),
        (["teacher.keras", "--to", "tflite", "--out", "a.h"], "--out of --to tflite must be a file whose name ends in"),
        (
            ["teacher.keras", "--to", "c-array", "--out", "a.tflite", "--data", "digits"],
            "name ends in .h or .c or .cc or .cpp, got 'a.tflite'",
        ),
        (["teacher.keras", "--to", "tflite", "--out", "no/a.tflite"], "the folder no of --out does not exist"),
        (["teacher.keras", "--to", "tflite", "--out", "mine.tflite"], "mine.tflite exists already; --force replaces"),
        (["absent.keras", "--to", "tflite", "--out", "a.tflite"], "there is no file absent.keras"),
        (["teacher.keras", "--to", "onnx", "--out", "a.tflite"], "--to: invalid choice: 'onnx'"),
        (["teacher.keras", "--to", "tflite"], "required: --out"),
        (["teacher.keras", "--to", "tflite", "--out", "a.tflite", "--image-size", "9"], "--data, which is not given"),
    ],
)
def test_bad_arguments_of_export_are_one_line(folder, capsys, arguments, said):
    (folder / "mine.tflite").write_bytes(b"mine")
    assert said in refused(["export", *arguments], capsys)
    assert sorted(path.name for path in folder.iterdir()) == ["mine.tflite", "teacher.keras"]


# --- a copy of the notebooks, and a lecturer's own


ENDS = """
import asyncio, sys, types, anyio.to_thread

def serve(arguments):
    async def work():
        await anyio.to_thread.run_sync(print, "served")
        loop.stop()
        await asyncio.Event().wait()
    loop = asyncio.new_event_loop()
    task = loop.create_task(work())  # its end, which tells the thread to stop, does not come
    loop.run_forever()

sys.modules["jupyterlab"] = types.ModuleType("jupyterlab")  # which takes a second to import
sys.modules["jupyterlab.labapp"] = types.SimpleNamespace(main=serve)
from kdlab.commands.command_line import main
from kdlab.lab import kernels
kernels.FORKED = False
sys.exit(main(["lab", "--copy-to", "copy"]))
"""


def test_lab_ends_even_if_a_thread_still_waits_for_work_and_says_where_kernels_are_not_forked(folder):
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=60)
    first, *_, last = done.stdout.splitlines()
    assert (done.returncode, first, last) == (0, NOT_FORKED, "served"), done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--notebooks", "x"], "--notebooks must be a folder of notebooks, and there is no folder x"),
        (["--notebooks", "."], "--notebooks must be a folder of notebooks, and there is none (.ipynb) in ."),
        (["--notebooks", "x", "lab"], "--notebooks is for the dashboards; kdlab lab --copy-to DIR works in a folder"),
        (
            ["lab", "--copy-to", "teacher.keras"],
            "--copy-to: must be a folder or the name of a new one, got 'teacher.keras'",
        ),
        (["course", "teacher.keras"], "DIR: must be a folder or the name of a new one, got 'teacher.keras'"),
        (["handout", "new", "--chapter", "6"], "--chapter: must be a whole number from 1 to 5, got 6"),
    ],
)
def test_folders_that_do_not_fit_are_one_line(folder, capsys, arguments, said):
    assert said in refused(arguments, capsys)
    assert [path.name for path in folder.iterdir()] == ["teacher.keras"]


def test_a_copy_has_all_notebooks_and_what_a_reader_changed_is_kept_and_named(folder):
    shipped = notebooks_folder()
    wanted = {path.relative_to(shipped).as_posix(): path.read_bytes() for path in sorted(shipped.rglob("*.*"))}
    wanted = {name: content for name, content in wanted.items() if not name.startswith(".")}
    before = dict(wanted)
    sheets = [name for name in wanted if name.startswith("exercises/")]
    wanted |= {name.replace("exercises/", "exercises/solutions/"): wanted[name] for name in sheets}
    wanted |= {name: without_solutions(wanted[name].decode()).encode() for name in sheets}
    (folder / "mine").mkdir()
    (folder / "mine" / "index.ipynb").write_text("my own")
    (folder / "mine" / "02_response_based_kd.ipynb").mkdir()
    kept = command_line.copy_notebooks(folder / "mine")
    assert kept == ["02_response_based_kd.ipynb", "index.ipynb"]
    copied = {
        p.relative_to(folder / "mine").as_posix(): p.read_bytes() for p in (folder / "mine").rglob("*.*") if p.is_file()
    }
    assert copied == {**{n: c for n, c in wanted.items() if n not in kept}, "index.ipynb": b"my own"}
    (folder / "mine" / "03_feature_based_kd.ipynb").unlink()
    assert command_line.copy_notebooks(folder / "mine") == kept  # and what has gone comes again
    assert (folder / "mine" / "03_feature_based_kd.ipynb").read_bytes() == wanted["03_feature_based_kd.ipynb"]
    assert {name: (shipped / name).read_bytes() for name in before} == before


def test_a_sheet_without_solutions_is_what_nbgrader_makes_of_it():
    nbgrader = pytest.importorskip("nbgrader.preprocessors")
    for file in notebooks_folder().glob("exercises/*.ipynb"):
        ours = json.loads(without_solutions(file.read_text("utf-8")))
        theirs, resources = nbformat.read(file, as_version=4), {"celltoolbar": None, "nbgrader": {"checksums": {}}}
        stubs = {"python": "# Write your code here.\nraise NotImplementedError()"}
        clear = nbgrader.ClearSolutions(code_stub=stubs, text_stub="Write your answer here.")
        for step in (clear, nbgrader.ClearHiddenTests()):
            theirs, resources = step.preprocess(theirs, resources)
        assert ["".join(cell["source"]) for cell in ours["cells"]] == [cell.source for cell in theirs.cells]
        assert "SOLUTION" not in json.dumps(ours)
        assert any("expected" in cell.metadata.get("kdlab", {}) for cell in theirs.cells)
        assert not any("expected" in cell["metadata"].get("kdlab", {}) for cell in ours["cells"])


def test_the_shipped_notebooks_themselves_are_nobodys_changed_copy():
    assert command_line.copy_notebooks(notebooks_folder()) == []


# --- what goes wrong in a run


@pytest.fixture
def failing(folder, monkeypatch):
    """A function that makes the next command raise an error."""

    def fail(error):
        def run(options):
            raise error

        monkeypatch.setattr(run_arguments, "_run", run)

    return fail


class ResourceExhaustedError(Exception):
    """As TensorFlow's."""


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ValueError("first\nsecond  line"), 2, "kdlab: first second line\n"),
        (
            OSError(28, "No space left on device", "a.keras"),
            2,
            "kdlab: [Errno 28] No space left on device: 'a.keras'\n",
        ),
        (FloatingPointError("training diverged in epoch 2"), 2, "kdlab: training diverged in epoch 2\n"),
        (MemoryError(), 2, "kdlab: there is not enough memory; a smaller --batch-size or --image-size needs less\n"),
        (
            ResourceExhaustedError("OOM when\nallocating"),
            2,
            "kdlab: there is not enough memory; a smaller --batch-size or --image-size needs less\n",
        ),
        (KeyboardInterrupt(), 130, "kdlab: stopped; repeat the command to resume\n"),
        (RuntimeError("odd\nthing"), 1, "kdlab: RuntimeError, which was not foreseen: odd thing\n"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(failing, capsys, error, code, said):
    failing(error)
    assert main(TRAIN) == code
    assert capsys.readouterr().err == said


def test_a_stopped_export_promises_nothing_that_goes_on(failing, capsys):
    failing(KeyboardInterrupt())
    assert main(["export", "teacher.keras", "--to", "tflite", "--out", "a.tflite"]) == 130
    assert capsys.readouterr().err == "kdlab: stopped; nothing half-written is left\n"


def interrupt(*_):
    raise KeyboardInterrupt


class Unlucky:
    """Whatever interrupts when it dies."""

    __del__ = interrupt


def dies_at_once():
    Unlucky()


def dies_in_a_cycle():
    unlucky = Unlucky()
    unlucky.itself = unlucky
    del unlucky
    gc.collect()


def is_told_of_a_death():
    mortal = set()
    reference = weakref.ref(mortal, interrupt)
    del mortal
    return reference


@pytest.fixture
def only_our_objects_die():
    """No garbage of other tests is collected in between, and Ctrl-C does what it does unless somebody changed it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("only_our_objects_die")
@pytest.mark.parametrize("strike", [dies_at_once, dies_in_a_cycle, is_told_of_a_death])
def test_ctrl_c_is_not_lost_where_python_drops_errors(folder, capsys, monkeypatch, strike):
    def run(options):
        strike()
        end = time.monotonic() + 30
        while time.monotonic() < end:
            time.sleep(0.01)

    monkeypatch.setattr(run_arguments, "_run", run)
    assert main(TRAIN) == 130
    assert capsys.readouterr().err == "kdlab: stopped; repeat the command to resume\n"


@pytest.mark.parametrize("kind", [ResourceWarning, OSError])
def test_other_errors_of_dying_objects_go_where_they_went_before(folder, capsys, monkeypatch, kind):
    class Careless:
        def __del__(self):
            raise kind("left open")

    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: seen.append(unraisable.exc_type))
    monkeypatch.setattr(run_arguments, "_run", lambda options: Careless() and None)
    assert main(TRAIN) == 0
    assert seen == [kind]
    assert capsys.readouterr().err == ""


def test_endless_messages_are_cut(failing, capsys):
    failing(ValueError("x" * 5000))
    assert main(TRAIN) == 2
    assert len(capsys.readouterr().err) < 2100


def test_serving_ends_quietly_and_hides_no_error_of_ours(monkeypatch):
    monkeypatch.setattr(
        "kdlab.commands.command_line._serve", lambda options: (_ for _ in ()).throw(KeyboardInterrupt())
    )
    assert main([]) == 0
    monkeypatch.setattr("kdlab.commands.command_line._serve", lambda options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main([])
