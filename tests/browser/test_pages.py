"""For every page: linked, its widgets are shown, its kernel goes; and what the home page promises."""

import re
from pathlib import Path

import nbformat
import pytest

from kdlab.lab.pages import CHAPTERS, notebooks_folder

PANEL = ".kdlab-panel"
PROMISED = "    keeps_the_promises_of_every_page(lab_page.page)\n"


def test_every_chapter_is_looked_at_in_a_file_of_its_own():
    files = [file.read_text("utf-8") for file in Path(__file__).parent.glob("test_*_page.py")]
    looked_at = [re.search(r'^NAME = "(.*)"', file, re.M)[1] for file in files if PROMISED in file]
    assert sorted(looked_at) == [chapter.name for chapter in CHAPTERS]


@pytest.fixture(scope="module")
def home(server, open_module_page):
    """The home page, opened by the server's own address."""
    assert server.wait(lambda: server.kernels() == 0, 30)  # none is started ahead of nobody
    page = open_module_page(server.url, ".kd-card")
    assert page.url.endswith("/voila/render/index.ipynb")
    return page


# Images hold one and a half pixels for each that they need to be shown at, for their letters to be read.
SHRUNK = """[...document.querySelectorAll(".kd-picture")]
    .filter(e => e.clientWidth + 1 < e.naturalWidth / 1.5).map(e => e.alt)"""


def test_home_is_clean_fits_and_is_accessible(home, keeps_the_promises_of_every_page):
    for width in (1280, 390):
        home.set_viewport_size({"width": width, "height": 900})
        home.wait_for_timeout(300)
        assert home.locator(".kd-picture").count() == len(CHAPTERS) + 2
        assert home.evaluate(SHRUNK) == [], width
    keeps_the_promises_of_every_page(home)


FORMULA = "<mjx-container {}><mjx-math style='display: inline-block; width: 700px'>z</mjx-math></mjx-container>"
WIDE = {
    "table": f"<table><tr><td>{FORMULA.format('')}</td><td>its name</td></tr></table>",
    "formula in a line": f"<p>so {FORMULA.format('')} holds</p>",
    "formula": FORMULA.format("display='true' style='display: block'"),
    "code": f"<pre style='white-space: pre'>{'kdlab distill ' * 40}</pre>",
}


# What takes axe longest, and nothing here has colours of its own.
NO_COLOURS = {"rules": {"color-contrast": {"enabled": False}}}
INSERT = """(e, html) => {
    const added = document.createElement("div");
    added.innerHTML = html;
    added.className = "added";
    e.append(added);
}"""


@pytest.mark.parametrize(
    ("kind", "where"), [*((kind, ".jp-RenderedMarkdown") for kind in WIDE), ("table", ".jp-RenderedHTML:has(.kd-card)")]
)
def test_what_is_wider_than_its_column_scrolls_and_is_reached_by_keys(home, fits_and_is_accessible, kind, where):
    home.set_viewport_size({"width": 390, "height": 900})
    assert home.locator(".kd-wide").count() == 0
    home.locator(where).first.evaluate(INSERT, WIDE[kind])
    home.wait_for_selector(".kd-wide")
    assert home.locator(".kd-wide").get_attribute("aria-label").endswith("wider than the page")
    home.locator(".kd-wide").focus()
    home.keyboard.press("ArrowRight")
    home.wait_for_function("document.activeElement.scrollLeft > 0")
    assert home.evaluate("document.querySelector('#rendered_cells').scrollWidth <= innerWidth")
    fits_and_is_accessible(home, options=NO_COLOURS)
    if kind == "table":  # nobody scrolls on paper
        home.emulate_media(media="print")
        assert home.locator(".kd-wide").evaluate("e => getComputedStyle(e).overflowX") == "visible"
        home.emulate_media(media="screen")
    home.set_viewport_size({"width": 2500, "height": 900})
    style = home.add_style_tag(content="#rendered_cells > div { max-width: none !important }")
    if kind != "code":  # longer than any page
        home.wait_for_function("!document.querySelector('.kd-wide')")
        assert home.locator(".kd-may-be-wide[tabindex]").count() == 0
    style.evaluate("e => e.remove()")
    home.locator(".added").evaluate("e => e.remove()")


# A panel asks for its widget every 100 ms for two seconds. As on a slow machine, its clock goes off late: after those
# two seconds, and after the widgets came.
LATE = """const wait = window.setTimeout;
window.setTimeout = (run, delay, ...more) => wait(run, delay === 100 ? 3000 : delay, ...more);"""
MAKES_A_PANEL = r"lab\.interact\(|questions\.\w+\("

# The answer to the question for all widgets never comes, nor those of the first few that are then asked for one by one.
LOST = 5
# Every twenty seconds a page asks again for what has not come.
SOONER = """{
    const every = setInterval;
    window.setInterval = (what, time) => every(what, time === 20000 ? 6000 : time);
}"""


def lose_answers(server_of_page):
    """Be the network between a page and its kernel, and lose some answers about widgets."""
    kernel, lost = server_of_page.connect_to_server(), []

    def from_kernel(message):
        about_widgets = re.search(rb'"method": ?"update(_states)?"', message)
        if about_widgets and len(lost) < LOST:
            lost.append(message)
        else:
            server_of_page.send(message)

    server_of_page.on_message(kernel.send)
    kernel.on_message(from_kernel)


def test_widgets_whose_answers_are_lost_are_asked_for_again(server, open_page):
    page = open_page("about:blank", "html", script=SOONER)
    page.route_web_socket(re.compile("/channels"), lose_answers)
    page.goto(server.page(CHAPTERS[0].name))
    book = nbformat.read(notebooks_folder() / f"{CHAPTERS[0].name}.ipynb", as_version=4)
    expected = sum(bool(re.search(MAKES_A_PANEL, cell.source)) for cell in book.cells)
    assert expected > 3
    shown = "([panel, expected]) => document.querySelectorAll(panel).length === expected"
    page.wait_for_function(shown, arg=[PANEL, expected], timeout=60_000)
    assert page.get_by_text("model not found").count() == page.get_by_text("Loading widget").count() == 0


def test_navigation_leads_from_page_to_page_and_home_whose_widgets_come_late_and_whose_kernels_go(
    server, home, open_page
):
    assert server.wait(lambda: server.kernels() == 1, 60)  # those of earlier tests' pages go with them, in time
    home.add_init_script(LATE)
    for chapter in (*CHAPTERS[:2], CHAPTERS[-1]):  # where links lead is asserted of every page
        if chapter == CHAPTERS[-1]:
            home.goto(server.page(chapter.name))
        else:
            home.locator(".kd-nav .kd-next").first.click()
        home.wait_for_selector(PANEL, timeout=60_000)
        assert chapter.name in home.url
        assert chapter.title in home.inner_text("h1")
        assert server.wait(lambda: home.get_by_text("Loading widget").count() == 0, 30)
        assert home.get_by_text("model not found").count() == 0
        if chapter == CHAPTERS[0]:  # a cell that makes a panel makes no more there
            book = nbformat.read(notebooks_folder() / f"{chapter.name}.ipynb", as_version=4)
            expected = sum(bool(re.search(MAKES_A_PANEL, cell.source)) for cell in book.cells)
            assert server.wait(lambda expected=expected: home.locator(PANEL).count() == expected, 30)
    home.locator(".kd-nav .kd-home").first.click()
    home.wait_for_selector(".kd-card", timeout=60_000)
    assert home.locator(".kd-card").count() == len(CHAPTERS)
    assert server.wait(lambda: server.kernels() == 1, 60)  # the pages that were left took theirs along
    home.wait_for_load_state("networkidle")
    home.goto("about:blank")
    assert server.wait(lambda: server.kernels() == 0, 10)
    page = open_page(server.page(CHAPTERS[0].name), PANEL)
    assert server.kernels() == 1
    page.wait_for_load_state("networkidle")  # else it would log that what it still asks of its kernel is not found
    with page.expect_event("close"):
        page.close(run_before_unload=True)
    assert server.wait(lambda: server.kernels() == 0, 10)
    assert "websocket" not in "".join(server.output), (
        server.output
    )  # the terminal of a lecturer who projects it stays as it was
