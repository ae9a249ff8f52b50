"""The notebooks with their code, in a real JupyterLab: `kdlab lab` and Chromium."""

import re
import signal
import subprocess
import sys

import nbformat
import pytest

from kdlab.lab.pages import notebooks_folder

CHAPTER = "01_temperature_softening"

# What a reader writes: pyplot, and ipywidgets' own interact.
READERS_OWN = """import matplotlib.pyplot as plt
from ipywidgets import interact

@interact(n=(1, 8))
def own(n=3):
    plt.figure(figsize=(4, 2))
    plt.bar(range(n), range(1, n + 1))
    plt.title(f"{n} bars of my own")
    plt.show()
    print(n, "bars")
"""


@pytest.fixture(scope="module")
def jupyterlab(tmp_path_factory, worker_id):
    """The URL of `kdlab lab` on a chapter and a notebook of a reader, beside no settings of anybody."""
    folder = tmp_path_factory.mktemp("lab")
    chapter = nbformat.read(notebooks_folder() / f"{CHAPTER}.ipynb", as_version=4)
    nbformat.write(chapter, folder / f"{CHAPTER}.ipynb")
    own = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(READERS_OWN)], metadata=chapter.metadata)
    nbformat.write(own, folder / "own.ipynb")
    port = "8961" if worker_id == "master" else f"896{worker_id.removeprefix('gw')}"
    options = [
        f"--ServerApp.root_dir={folder}", "--IdentityProvider.token=", "--allow-root",
        f"--LabApp.user_settings_dir={folder / '.settings'}", f"--LabApp.workspaces_dir={folder / '.workspaces'}",
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "kdlab.commands.command_line", "lab", "--no-browser", "--port", port, *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    said = []
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"(http://127\.0\.0\.1:\d+)/lab", line):
            break
    else:
        pytest.fail("".join(said))
    drain = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
    yield found[1]
    process.terminate()
    process.wait(30)
    drain.wait(30)
    process.stdout.close()


@pytest.fixture
def notebook(jupyterlab, browser):
    """Return a function that opens a notebook, runs all of its cells and waits until the kernel is idle again."""
    contexts = []

    def run(name, cells):
        context = browser.new_context(viewport={"width": 1400, "height": 1000})
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{jupyterlab}/lab/workspaces/{name}/tree/{name}.ipynb")
        page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=120_000)
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=120_000)
        page.click("text=Run >> nth=0")
        page.click("text=Run All Cells")
        count = "count => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].filter(e => /\\[\\d+\\]/.test(e.innerText)).length"
        page.wait_for_function(f"({count})() >= {cells}" if False else f"({count})({cells}) >= 1", timeout=240_000)
        return page

    yield run
    for context in contexts:
        context.close()


def settings(page):
    address = "lab/api/settings/@jupyterlab/apputils-extension:kernels-settings"
    return page.evaluate("async url => (await (await fetch(url)).json())", f"{page.url.split('/lab')[0]}/{address}")


def test_run_all_shows_every_panel_and_its_sliders_work(notebook):
    page = notebook(CHAPTER, 10)
    panel = page.locator(".kdlab-panel", has=page.get_by_role("slider", name="digit")).first
    panel.scroll_into_view_if_needed(timeout=120_000)
    image = panel.locator("[data-kdlab=figure] img")
    image.wait_for(timeout=120_000)
    before = image.get_attribute("alt")
    assert "T = 4:" in before
    panel.get_by_role("slider", name="T", exact=True).focus()
    page.keyboard.press("Home")
    page.wait_for_function("alt => document.querySelector('[data-kdlab=figure] img[alt*=\"T = 0.125:\"]')", arg=before, timeout=60_000)
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    by_hand = page.locator(".jp-OutputArea-output", has_text="largest difference to kdlab.softmax")
    by_hand.first.wait_for(timeout=120_000)
    assert page.get_by_text("Copy a link to these values").count() == 0  # there is no URL to send


def test_widget_callbacks_run_in_the_kernels_own_thread_and_a_readers_pyplot_is_whole(notebook):
    page = notebook("own", 1)
    found = settings(page)["schema"]["properties"]["commsOverSubshells"]
    assert found["default"] == "disabled"
    slider = page.get_by_role("slider")
    slider.wait_for(timeout=60_000)
    page.get_by_text("3 bars").last.wait_for(timeout=60_000)
    slider.focus()
    for bars in (4, 5, 6, 7, 8):
        page.keyboard.press("ArrowRight")
        page.get_by_text(f"{bars} bars").last.wait_for(timeout=60_000)
        page.wait_for_function("document.querySelectorAll('.jp-OutputArea-output img').length === 1", timeout=30_000)
    size = page.locator(".jp-OutputArea-output img").evaluate("e => [e.naturalWidth, e.naturalHeight]")
    assert size[0] > 250
    assert size[1] > 120
