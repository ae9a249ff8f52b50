"""The notebooks with their code, in a real JupyterLab: `kdlab lab` and Chromium."""

import contextlib
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

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

# What is saved with its widgets and read again without a kernel that knows of them.
SAVED = (
    """import numpy as np
from kdlab import check, figures, lab
T = lab.temperature(4)

def softened(logits, T):
    powers = np.exp((logits - logits.max(axis=-1, keepdims=True)) / T)
    return powers / powers.sum(axis=-1, keepdims=True)

try:
    check.softmax(lambda logits, T: softened(logits, 1))
except AssertionError as wrong:
    print(wrong)
print(check.softmax(softened))
lab.Page(T=T)""",
    """def softened(T):
    return figures.bars({"softened": [T / 64, 1 - T / 64]}), f"at T = {T:g}"

lab.interact(softened, T=T)""",
)


@pytest.fixture(scope="module")
def jupyterlab(tmp_path_factory, worker_id, wait):
    """`kdlab lab` in a folder with a reader's notebooks: its ``.url``, ``.token``, ``.notebooks``; with nobody's settings."""
    folder = tmp_path_factory.mktemp("lab")
    notebooks = folder / "kdlab-notebooks"
    notebooks.mkdir()
    chapter = nbformat.read(notebooks_folder() / f"{CHAPTER}.ipynb", as_version=4)
    own = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(READERS_OWN)], metadata=chapter.metadata)
    nbformat.write(own, notebooks / "own.ipynb")
    cells = [nbformat.v4.new_code_cell(source) for source in SAVED]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=chapter.metadata), notebooks / "saved.ipynb")
    port = "8961" if worker_id == "master" else f"896{worker_id.removeprefix('gw')}"
    options = [
        "--allow-root",
        f"--LabApp.user_settings_dir={folder / '.settings'}", f"--LabApp.workspaces_dir={folder / '.workspaces'}",
    ]  # fmt: skip
    command = [sys.executable, "-m", "kdlab.commands.command_line", "lab", "--no-browser", "--port", port, *options]
    with (folder / "said.txt").open("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, cwd=folder)
        found = []

        def listens():
            found[:] = re.findall(r"(http://127\.0\.0\.1:\d+)/lab\S*\?token=(\w+)", (folder / "said.txt").read_text())
            return found or process.poll() is not None

        wait(listens, 120)
        try:
            assert found, (folder / "said.txt").read_text()
            url, token = found[0]
            yield SimpleNamespace(url=url, token=token, notebooks=notebooks)
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def context(browser):
    """A reader's browser: JupyterLab's programs are loaded once."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    yield context
    context.close()


@pytest.fixture
def notebook(jupyterlab, context):
    """Return a function that opens a notebook and, unless told not to, runs all of its cells when the kernel is idle."""

    def run(name, run_all=True):
        page = context.new_page()
        page.goto(f"{jupyterlab.url}/lab/workspaces/{name}/tree/{name}.ipynb?token={jupyterlab.token}")
        page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=120_000)
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=120_000)
        page.get_by_text("(ipykernel) | Idle").wait_for(timeout=120_000)  # what is run before is lost
        if not run_all:
            return page
        menu(page, "Run", "Run All Cells")
        return page

    yield run
    for page in context.pages:
        page.close()


def menu(page, name, item):
    page.locator(".lm-MenuBar-item", has_text=name).first.click()
    page.get_by_text(item, exact=True).click()


def settings(page):
    address = "lab/api/settings/@jupyterlab/apputils-extension:kernels-settings"
    return page.evaluate("async url => (await (await fetch(url)).json())", f"{page.url.split('/lab')[0]}/{address}")


def scroll_to(page, wanted):
    """Go to the last that is ``wanted``, which moves while what is above it grows and shrinks."""
    for _ in range(20):
        wanted.last.scroll_into_view_if_needed(timeout=60_000)
        page.wait_for_timeout(700)
        box = wanted.last.bounding_box()
        if box and 0 < box["y"] < 900:
            return wanted.last
    raise AssertionError(f"{wanted} does not stay on the screen")


def test_lab_serves_a_copy_of_the_notebooks_beside_a_readers_own(jupyterlab):
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{jupyterlab.url}/api/contents")
    asked = urllib.request.Request(
        f"{jupyterlab.url}/api/contents", headers={"Authorization": f"token {jupyterlab.token}"}
    )
    with urllib.request.urlopen(asked) as answer:
        listed = {entry["name"] for entry in json.load(answer)["content"]}
    assert listed >= {f"{CHAPTER}.ipynb", "own.ipynb"}
    assert (jupyterlab.notebooks / f"{CHAPTER}.ipynb").exists()


def test_run_all_shows_the_panels_and_their_sliders_work(notebook, wait):
    page = notebook(CHAPTER)
    page.locator("nav.kd-nav .kd-home").last.wait_for(timeout=180_000)  # the footer, which is the last to run
    digit = page.get_by_role("slider", name="digit", exact=True)
    panel = scroll_to(page, page.locator(".kdlab-panel", has=digit))
    image = panel.locator("[data-kdlab=figure] img")
    image.wait_for(timeout=120_000)
    before = image.get_attribute("alt")
    assert before.startswith("Bars of probability per class; the three largest of each. teacher: ")
    panel.get_by_role("slider", name="T", exact=True).focus()
    page.keyboard.press("Home")
    assert wait(lambda: image.get_attribute("alt") != before, 60)
    assert page.get_by_text("Copy a link to these values").count() == 0  # there is no URL to send
    assert page.get_by_text("official Jupyter news").count() == 0  # which JupyterLab asks whether to fetch
    scroll_to(page, page.get_by_text("largest difference to kdlab.softmax"))
    assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0


def test_widget_callbacks_run_in_the_kernels_own_thread_and_a_readers_pyplot_is_whole(notebook, wait):
    page = notebook("own")
    found = settings(page)["schema"]["properties"]["commsOverSubshells"]
    assert found["default"] == "disabled"
    slider = page.get_by_role("slider")
    slider.wait_for(timeout=60_000)
    page.get_by_text("3 bars").last.wait_for(timeout=60_000)
    slider.focus()
    images = page.locator(".jp-OutputArea-output img")
    for bars in (4, 5, 6, 7, 8):
        page.keyboard.press("ArrowRight")
        page.get_by_text(f"{bars} bars").last.wait_for(timeout=60_000)
        assert wait(lambda: images.count() == 1, 30), images.count()
    size = images.evaluate("e => [e.naturalWidth, e.naturalHeight]")
    assert size[0] > 250
    assert size[1] > 120


END_KERNELS = """async () => {
    const token = document.cookie.match(/_xsrf=([^;]+)/)[1];
    for (const { id } of await (await fetch("/api/sessions")).json())
        await fetch(`/api/sessions/${id}`, { method: "DELETE", headers: { "X-XSRFToken": token } });
}"""


def test_a_saved_notebook_shows_its_panels_without_their_kernel_and_answers_are_downloaded(jupyterlab, notebook, wait):
    page = notebook("saved")
    image = page.locator("[data-kdlab=figure] img")
    image.wait_for(timeout=120_000)
    alt = image.get_attribute("alt")
    with page.expect_download() as got:
        page.get_by_role("button", name="Download my answers").click()
    assert got.value.suggested_filename == "saved answers.json"
    (answer,) = json.loads(Path(got.value.path()).read_text("utf-8"))["answers"]
    assert (answer["question"], answer["answer"], answer["correct"]) == ("check.softmax", "softened", True)
    assert answer["tries"] == 2
    page.get_by_text(answer["message"]).wait_for()

    menu(page, "File", "Save Notebook")
    saved = []

    def written():  # which takes a moment, in which it is half there
        with contextlib.suppress(ValueError):
            saved[:] = [nbformat.read(jupyterlab.notebooks / "saved.ipynb", as_version=4)]
        return saved and "widgets" in saved[0].metadata

    assert wait(written, 60)
    (shown,) = saved[0]["cells"][1]["outputs"]
    assert shown["data"]["text/plain"] == "The panel of softened with T: run this cell to see it."
    assert shown["data"]["text/html"] == "<p>The panel of softened with T: run this cell to see it.</p>"
    page.evaluate(END_KERNELS)
    page.close()

    again = notebook("saved", run_all=False)
    image = again.locator("[data-kdlab=figure] img")
    image.wait_for(timeout=60_000)
    assert image.get_attribute("alt") == alt
    assert image.evaluate("e => e.naturalWidth") > 300
    again.get_by_text("at T = 4").wait_for()
    again.get_by_text(
        "Shown as it was saved. To make it live again, run the notebook: menu Run, Run All Cells."
    ).wait_for()
    assert again.get_by_text("Error displaying widget").count() == 0

    # Run again, it lives, in the old panel's place; what is gone with a restarted kernel is said.
    menu(again, "Run", "Run All Cells")
    again.get_by_text("Shown as it was saved.").wait_for(state="detached", timeout=60_000)
    again.get_by_role("slider", name="T", exact=True).press("ArrowRight")
    again.get_by_text("at T = 4.36").wait_for(timeout=60_000)
    assert again.evaluate("[...kdlabOnScreen.values()].map(views => views.size)") == [1]
    menu(again, "Kernel", "Restart Kernel…")
    again.get_by_role("button", name="Confirm Kernel Restart").click()
    again.get_by_text(
        "Its kernel was restarted or has stopped. To make it live again, run the notebook: menu Run, Run All Cells."
    ).wait_for(timeout=60_000)
    again.get_by_text("at T = 4.36").wait_for()
    again.get_by_text("(ipykernel) | Idle").wait_for(timeout=60_000)  # a server that is ended meanwhile fails to
