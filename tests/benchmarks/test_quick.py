"""The benchmarks still run, on little, and print their tables. What they measure here means nothing."""

import contextlib
import io
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

FOLDER = Path(__file__).parent

# With these arguments a benchmark needs no other checkout, no download and little time.
QUICK = {
    "brain_scans": ["{scans}", "--folds", "2", "--repetitions", "1", "--epochs", "1", "--image-size", "32"],
    "class": ["--quick"],
    "defaults": ["--images", "60", "--epochs", "2", "--batches", "32", "--seeds", "1", "--at-most", "2"],
    "data": ["--images", "600", "--files", "40", "--rounds", "1"],
    "distiller": ["--images", "32", "--batch-size", "16", "--rounds", "1"],
    "features": ["--images", "128", "--rounds", "1", "--tables", "1", "--only", "784-512: similarity"],
    "live": ["--repeats", "1", "--rival-seeds", "1", "--seeds", "1,1", "--grid", "1,1", "--epochs", "2"],
    "live_features": ["--repeats", "1", "--rivals", "1", "--epochs", "2", "--only", "equal widths"],
    "medical": ["--images", "64", "--only", "first_point", "--moves", "1", "--nuclei", "64"],
    "pages": ["--quick"],
    "runs": ["--images", "128", "--rounds", "1", "--no-rival"],
}
IN_CHROMIUM = ("pages", "class")

# Runs both with a server that is started once.
TOGETHER = """
import contextlib, runpy, sys
from pathlib import Path
import pages

with pages.serving(8953) as server:
    pages.serving = lambda port, folder: contextlib.nullcontext(server)
    pages.main({pages!r})
    print("---- class", flush=True)
    sys.argv = [str(Path(pages.__file__).with_name("class.py")), *{class!r}]
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_all_benchmarks_are_run():
    assert set(QUICK) == {file.stem for file in FOLDER.glob("*.py") if not file.stem.startswith(("test_", "__"))}


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """A folder of two classes of small images."""
    folder, random = tmp_path_factory.mktemp("scans"), np.random.default_rng(0)
    for k in range(80):
        side = folder / ("yes", "no")[k % 2]
        side.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 120 + 60 * (k % 2), (40, 40), np.uint8)).save(side / f"{k}.png")
    return folder


def all_but_the_first_reading_in_this_process(run):
    """What runs a benchmark's own script here, where all is imported: only the first ``--read`` is a process of its own."""
    waiting = ["--read"]

    def run_here(command, **options):
        _, file, *arguments = command
        if waiting and waiting[0] in arguments:
            waiting.clear()
            return run(command, **options)
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as said:
            patch.setattr(sys, "argv", [file, *arguments])
            runpy.run_path(file, run_name="__main__")
        return SimpleNamespace(stdout=said.getvalue())

    return run_here


@pytest.mark.parametrize("name", [name for name in QUICK if name not in IN_CHROMIUM])
def test_it_runs_and_prints_its_table(name, scans, monkeypatch, capsys):
    file = str(FOLDER / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [file, *(argument.format(scans=scans) for argument in QUICK[name])])
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    if name == "data":
        monkeypatch.setenv("KDLAB_CACHE", "")  # it sets this itself, to a folder that goes
        monkeypatch.setattr(subprocess, "run", all_but_the_first_reading_in_this_process(subprocess.run))
    runpy.run_path(file, run_name="__main__")
    # Of what these two measure one row is short enough.
    assert_table(capsys.readouterr().out, 1 if name in ("medical", "features") else 2)


def test_those_in_chromium_run_and_print_their_tables():
    needed = os.environ.get("KDLAB_REQUIRE_BROWSER") or os.environ.get("KDLAB_CHROMIUM")
    if not needed and not any(map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))):
        pytest.skip("no Chromium found")
    program = TOGETHER.format(**QUICK)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600, cwd=FOLDER)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "not served" not in done.stderr, done.stderr
    for printed in done.stdout.split("---- class"):
        assert_table(printed)


def assert_table(printed, rows=2):
    """That at least so many lines have numbers in them, and none is missing."""
    assert len([line for line in printed.splitlines() if re.search(r"\d", line)]) >= rows, printed
    assert "nan" not in printed
