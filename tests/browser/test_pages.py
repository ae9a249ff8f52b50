"""For every page: no source, no traceback, no error, nothing overflows, accessible, linked, its kernel goes."""

import re

import nbformat
import pytest

from kdlab.lab.pages import CHAPTERS, notebooks_folder

PANEL = ".kdlab-panel"
PAGES = {"index": ".kd-card", **{page.name: PANEL for page in CHAPTERS}}


# The tests of the chapters look at their panels with the machine's own fonts; here: narrower ones, and wider.
@pytest.mark.parametrize("open_page_with_fonts", ["STIXGeneral"], indirect=True)
@pytest.mark.parametrize("name", PAGES)
def test_page_is_clean_fits_and_is_accessible(server, open_page_with_fonts, name, fits_and_is_accessible):
    page = open_page_with_fonts(server.page(name), PAGES[name])
    page.wait_for_timeout(500)
    text = page.inner_text("body")
    assert "Traceback" not in text
    assert "from kdlab" not in text
    assert page.locator(".jp-InputArea-editor, .cm-editor").count() == 0
    assert page.locator("h1").count() == 1
    ids = page.locator("[id]").evaluate_all("all => all.map(e => e.id)")
    assert len(ids) == len(set(ids))
    fits_and_is_accessible(page)


# What a reader may set without losing anything (WCAG 2.2, 1.4.12).
SPACED = """* { letter-spacing: 0.12em !important; word-spacing: 0.16em !important; }
p { line-height: 1.5 !important; margin-bottom: 2em !important; }"""


@pytest.mark.parametrize("open_page_with_fonts", ["DejaVu"], indirect=True)
@pytest.mark.parametrize("name", PAGES)
def test_page_fits_and_is_accessible_with_wide_fonts_and_wider_text(
    server, open_page_with_fonts, name, fits_and_is_accessible
):
    page = open_page_with_fonts(server.page(name), PAGES[name])
    page.wait_for_timeout(1000)
    fits_and_is_accessible(page)
    page.add_style_tag(content=SPACED)
    fits_and_is_accessible(page)


FORMULA = "<mjx-container {}><mjx-math style='display: inline-block; width: 700px'>z</mjx-math></mjx-container>"
WIDE = {
    "table": f"<table><tr><td>{FORMULA.format('')}</td><td>its name</td></tr></table>",
    "formula in a line": f"<p>so {FORMULA.format('')} holds</p>",
    "formula": FORMULA.format("display='true' style='display: block'"),
    "code": f"<pre style='white-space: pre'>{'kdlab distill ' * 40}</pre>",
}


@pytest.mark.parametrize(
    ("kind", "where"), [*((kind, ".jp-RenderedMarkdown") for kind in WIDE), ("table", ".jp-RenderedHTML:has(.kd-card)")]
)
def test_what_is_wider_than_its_column_scrolls_and_is_reached_by_keys(
    server, open_page, fits_and_is_accessible, kind, where
):
    page = open_page(server.page("index"), ".kd-card", width=390)
    page.locator(where).first.evaluate("(e, html) => e.insertAdjacentHTML('beforeend', html)", WIDE[kind])
    page.wait_for_selector(".kd-wide")
    assert page.locator(".kd-wide").get_attribute("aria-label").endswith("wider than the page")
    page.locator(".kd-wide").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.scrollLeft > 0")
    assert page.evaluate("document.querySelector('#rendered_cells').scrollWidth <= innerWidth")
    fits_and_is_accessible(page)
    page.set_viewport_size({"width": 2500, "height": 900})
    page.add_style_tag(content="#rendered_cells > div { max-width: none !important }")
    if kind != "code":  # longer than any page
        page.wait_for_function("!document.querySelector('.kd-wide')")
        assert page.locator(".kd-may-be-wide[tabindex]").count() == 0


# A panel asks for its widget every 100 ms for two seconds. As on a slow machine, its clock goes off late: after those
# two seconds, and after the widgets came.
LATE = """const wait = window.setTimeout;
window.setTimeout = (run, delay, ...more) => wait(run, delay === 100 ? 3000 : delay, ...more);"""


def test_widgets_that_come_late_are_shown(server, open_page):
    page = open_page(server.page(CHAPTERS[0].name), PANEL, script=LATE)
    book = nbformat.read(notebooks_folder() / f"{CHAPTERS[0].name}.ipynb", as_version=4)
    expected = sum(bool(re.search(r"lab\.interact\(|\bquestions\.\w+\(", cell.source)) for cell in book.cells)
    assert server.wait(lambda: page.locator(PANEL).count() == expected, 30)
    assert page.get_by_text("model not found").count() == page.get_by_text("Loading widget").count() == 0


def test_navigation_leads_through_all_pages_and_home_and_ctrl_c_ends_all(start_server, open_page):
    server = start_server("--port", "8983")
    page = open_page(server.url, ".kd-card")
    assert page.url.endswith("/voila/render/index.ipynb")
    for chapter in CHAPTERS:
        page.locator(".kd-nav .kd-next").first.click()
        page.wait_for_selector(PANEL, timeout=60_000)
        assert chapter.name in page.url
        assert chapter.title in page.inner_text("h1")
    page.locator(".kd-nav .kd-home").first.click()
    page.wait_for_selector(".kd-card", timeout=60_000)
    assert page.locator(".kd-card").count() == len(CHAPTERS)
    assert server.wait(lambda: server.kernels() == 1, 60)  # the pages that were left took theirs along
    page.goto("about:blank")  # else it would log that its kernel is lost
    server.ends_with_its_kernels()


def test_the_kernel_is_gone_after_leaving(start_server, open_page):
    server = start_server("--port", "8981")
    assert server.kernels() == 0
    page = open_page(server.page(CHAPTERS[0].name), PANEL)
    assert server.kernels() == 1
    page.goto("about:blank")
    assert server.wait(lambda: server.kernels() == 0, 10)
    page = open_page(server.page(CHAPTERS[0].name), PANEL)
    assert server.kernels() == 1
    page.close(run_before_unload=True)
    assert server.wait(lambda: server.kernels() == 0, 10)
