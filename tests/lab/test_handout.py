"""What a handout leaves of panels; that it works without a kernel is in ``browser/test_handout.py``."""

import os
import signal
import subprocess
import sys
import time

import ipywidgets
import pytest
from ipywidgets.widgets.widget import _instances

import kdlab
from kdlab import lab
from kdlab.lab import handout
from kdlab.lab.kernels import FORKED


@pytest.fixture
def nothing_else(monkeypatch):
    """The kernel has no widgets but those of the test."""
    monkeypatch.setattr(handout, "_instances", ours := {})
    before = set(_instances)
    return lambda: ours.update({key: widget for key, widget in _instances.items() if key not in before})


def words_of(panel):
    return [child.value for child in panel.children if isinstance(child, ipywidgets.HTML)]


def test_panels_are_computed_and_say_what_they_were_computed_for(nothing_else):
    def double(n, name):
        return f"<{2 * n}>", ipywidgets.Button()

    def broken(n):
        raise ValueError("there is no n")

    def pressed(n, progress):
        progress(1, 2)
        return f"{n} of {progress.total}"

    n = ipywidgets.IntSlider(3, description="n")
    name = ipywidgets.Text("")
    panels = [lab.interact(double, n=n, name=name), lab.interact(broken, n=n), lab.interact(pressed, manual="Go", n=n)]
    nothing_else()
    assert handout.compute() == {"double": "<6>", "broken": "", "pressed": "3 of 2"}
    nothing_else()  # what the panels made meanwhile
    handout.freeze()
    assert [words_of(panel) for panel in panels] == [
        ["<p>Shown for n = 3.</p>"],
        ["<p>there is no n.</p>"],
        ["<p>Shown for n = 3.</p>"],
    ]
    assert n.disabled
    assert panels[0]._box.children[1].disabled
    assert all(panel._state not in panel.children for panel in panels)  # it would say that it is not live


def test_only_sliders_that_are_joined_to_bars_stay_and_only_with_them(nothing_else):
    t, other = lab.temperature(2.0), lab.alpha(0.5)
    bars = lab.Bars([2.0, 0.0])
    ipywidgets.jslink((t, "value"), (bars, "temperature"))
    joined = lab.interact(lambda t, other: bars, t=t, other=other)
    alone = lab.interact(lambda t: kdlab.softmax([2.0, 0.0], t)[0], t=t)
    nothing_else()
    handout.compute()
    handout.freeze()
    assert joined.children[0] is t
    assert words_of(joined) == ["<p>Shown for α = 0.5.</p>"]
    assert words_of(alone) == ["<p>Shown for T = 2.</p>"]
    assert t not in alone.children
    assert (t.disabled, other.disabled) == (False, True)


STOPPED = """
import multiprocessing
import nbformat
from pathlib import Path
from kdlab.lab.handout import executed
from nbformat.v4 import new_code_cell, new_notebook

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    set_all = context.set_forkserver_preload
    # Of all that kernels have imported ahead these are enough here; nothing else imports the last.
    context.set_forkserver_preload = lambda names: set_all(["kdlab.lab.kernels", "numpy", "token", "wave"])
    cell = "import pathlib, sys, time; pathlib.Path('begun').write_text(str('wave' in sys.modules)); time.sleep(60)"
    try:
        executed(new_notebook(cells=[new_code_cell(cell)]), Path.cwd())
    except KeyboardInterrupt:
        print("stopped")
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_notebook_that_runs_is_stopped_without_a_traceback_and_imports_no_files_of_its_folder_ahead(tmp_path):
    for name in ("numpy.py", "token.py", "wave.py"):
        (tmp_path / name).write_text(f"raise SystemExit('not this {name}')")
    script = tmp_path / "elsewhere" / "script.py"
    script.parent.mkdir()
    script.write_text(STOPPED)
    with subprocess.Popen(
        [sys.executable, script],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        end = time.monotonic() + 60
        while not (tmp_path / "begun").exists() and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
    assert (process.returncode, out, error) == (0, "stopped\n", "")
    # What the kernel is forked from has imported it ahead, and not from the current folder.
    assert (tmp_path / "begun").read_text() == str(FORKED)
